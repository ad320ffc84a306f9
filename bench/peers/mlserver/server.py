"""A custom runtime for MLServer, as its documentation has it: decode with the codec, run, encode."""

from __future__ import annotations

import os

import numpy as np
import onnxruntime as ort
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class OnnxModel(MLModel):
    """One call of the model a request."""

    async def load(self) -> bool:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = ort.InferenceSession(os.environ["BENCH_MODEL"], options, providers=["CPUExecutionProvider"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        matrix = NumpyCodec.decode_input(payload.inputs[0]).astype(np.float32, copy=False)
        scores = self.session.run(["probabilities"], {"x": matrix})[0][:, 1]
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("pd", scores)])
