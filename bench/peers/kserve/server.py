"""A custom predictor for KServe's Python model server."""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np
import onnxruntime as ort
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer


class OnnxModel(Model):
    """One call of the model a request."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.load()

    def load(self) -> bool:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = ort.InferenceSession(os.environ["BENCH_MODEL"], options, providers=["CPUExecutionProvider"])
        self.ready = True
        return True

    async def predict(self, payload: InferRequest, *_headers: Any, **_more: Any) -> InferResponse:
        matrix = payload.inputs[0].as_numpy().astype(np.float32, copy=False)
        scores = self.session.run(["probabilities"], {"x": matrix})[0][:, 1]
        output = InferOutput(name="pd", shape=list(scores.shape), datatype="FP32")
        output.set_data_from_numpy(scores, binary_data=False)
        return InferResponse(response_id=payload.id or "1", model_name=self.name, infer_outputs=[output])


if __name__ == "__main__":
    ModelServer(
        http_port=int(sys.argv[1]), workers=1, enable_grpc=False, enable_latency_logging=False, access_log_format=None
    ).start([OnnxModel("pd-cards")])
