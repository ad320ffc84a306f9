"""Log the ONNX model in MLflow's format into a folder, for `mlflow models serve`."""

from __future__ import annotations

import sys

import mlflow
import numpy as np
import onnx
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec

model = onnx.load(sys.argv[1])
# the class label is of no use here, and a runtime that computes it would do more than the others
del model.graph.output[0]
signature = ModelSignature(
    inputs=Schema([TensorSpec(np.dtype(np.float32), (-1, 23), "x")]),
    outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, 2), "probabilities")]),
)
mlflow.onnx.save_model(
    model, sys.argv[2], signature=signature, pip_requirements=[],
    onnx_session_options={"intra_op_num_threads": 1, "inter_op_num_threads": 1, "execution_mode": "sequential"},
    onnx_execution_providers=["CPUExecutionProvider"],
)  # fmt: skip
