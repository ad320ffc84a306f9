"""The bits that the battery judged are the bits that the gateway serves: two ways into the runtime, one answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from strongroom.adapters.onnx_runtime import OnnxRuntime
from strongroom.validation.artifact import open_session, predictor
from strongroom.validation.tables import feature_rows, read_table
from tests.validation.worked import package


@pytest.mark.parametrize("kind", ["xgboost", "logistic"])
@pytest.mark.parametrize("size", [1, 2, 7, 64, 1000])
def test_sandbox_and_gateway_give_the_same_bits(kind: Any, size: int) -> None:
    made = package(kind)
    inputs, output = made.contract.input, made.contract.output
    rows = feature_rows(read_table(made.inputs["reference.parquet"], "reference"), inputs, "reference")[:size]
    ours = predictor(open_session(made.inputs["model.onnx"]), inputs, output)(rows)
    gateway = OnnxRuntime().load(made.inputs["model.onnx"], inputs.tensor, output.tensor, len(inputs.features))
    theirs = np.ascontiguousarray(gateway.run(rows)[:, output.column])
    assert ours.view(np.uint32).tolist() == theirs.view(np.uint32).tolist()
