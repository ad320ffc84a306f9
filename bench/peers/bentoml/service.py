"""A BentoML service with adaptive batching, one worker."""

from __future__ import annotations

import os
from typing import Annotated

import bentoml
import numpy as np
import onnxruntime as ort
from bentoml.validators import DType
from numpy.typing import NDArray


@bentoml.service(workers=1, traffic={"timeout": 30, "max_concurrency": 256}, metrics={"enabled": False})
class Pd:
    """One call of the model a batch."""

    def __init__(self) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = ort.InferenceSession(os.environ["BENCH_MODEL"], options, providers=["CPUExecutionProvider"])

    @bentoml.api(batchable=bool(os.environ.get("BENCH_ADAPTIVE")), max_batch_size=2048, max_latency_ms=1000)
    def predict(self, rows: Annotated[NDArray[np.float32], DType("float32")]) -> NDArray[np.float32]:
        return self.session.run(["probabilities"], {"x": np.ascontiguousarray(rows, np.float32)})[0][:, 1]
