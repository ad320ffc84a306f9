"""The bare limit: granian (RSGI, uvloop), msgspec and onnxruntime, no control at all."""

from __future__ import annotations

import os
from typing import Any

import msgspec
import numpy as np
import onnxruntime as ort


class Tensor(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: list[float]


class Infer(msgspec.Struct):
    inputs: list[Tensor]


class App:
    """One call of the model a request."""

    def __rsgi_init__(self, _loop: Any) -> None:
        if os.environ.get("BENCH_BATCH"):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = ort.InferenceSession(os.environ["BENCH_MODEL"], options, providers=["CPUExecutionProvider"])
        self.decode = msgspec.json.Decoder(Infer).decode
        self.encode = msgspec.json.Encoder().encode

    async def __rsgi__(self, _scope: Any, protocol: Any) -> None:
        request = self.decode(await protocol())
        tensor = request.inputs[0]
        matrix = np.array(tensor.data, np.float32).reshape(tensor.shape)
        scores = self.session.run(["probabilities"], {"x": matrix})[0][:, 1]
        outputs = [{"name": "pd", "datatype": "FP32", "shape": [len(scores)], "data": scores.tolist()}]
        protocol.response_bytes(
            200, [("content-type", "application/json")], self.encode({"model_name": "pd-cards", "outputs": outputs})
        )


app = App()
