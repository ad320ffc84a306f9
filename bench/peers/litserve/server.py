"""A LitServe server on the processor, one worker."""

from __future__ import annotations

import os
import sys
from typing import Any

import litserve
import numpy as np
import onnxruntime as ort


class Pd(litserve.LitAPI):
    """One call of the model a request."""

    def setup(self, device: str) -> None:  # noqa: ARG002  # LitServe passes it by name
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = ort.InferenceSession(os.environ["BENCH_MODEL"], options, providers=["CPUExecutionProvider"])

    def decode_request(self, request):  # type: ignore[no-untyped-def]  # LitServe makes a route of an annotation
        return np.array(request["rows"], np.float32)

    def predict(self, x: Any) -> Any:
        return self.session.run(["probabilities"], {"x": x})[0][:, 1]

    def encode_response(self, output: Any) -> dict[str, Any]:
        return {"scores": output.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Pd(), accelerator="cpu", devices=1, workers_per_device=1, fast_queue=True)
    server.run(
        host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=1, generate_client_file=False, log_level="warning",
        access_log=False,
    )  # fmt: skip
