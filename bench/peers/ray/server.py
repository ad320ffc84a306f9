"""A Ray Serve deployment with one replica on one processor."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

import numpy as np
import onnxruntime as ort
import ray
from ray import serve
from starlette.requests import Request


@serve.deployment(num_replicas=1, max_ongoing_requests=256, ray_actor_options={"num_cpus": 0.5})
class Pd:
    """One call of the model a request."""

    def __init__(self, path: str) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    async def __call__(self, request: Request) -> dict[str, Any]:
        matrix = np.array((await request.json())["rows"], np.float32)
        return {"scores": self.session.run(["probabilities"], {"x": matrix})[0][:, 1].tolist()}


if __name__ == "__main__":
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, _temp_dir=os.environ["BENCH_SCRATCH"])
    http = {"host": "127.0.0.1", "port": int(sys.argv[1])}
    serve.start(http_options=http, logging_config={"enable_access_log": False})
    serve.run(Pd.bind(os.environ["BENCH_MODEL"]), name="pd", route_prefix="/predict")
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    ended.wait()
    serve.shutdown()
    ray.shutdown()
