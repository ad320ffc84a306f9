"""The bits that the battery judged are the bits that the gateway serves: two ways into the runtime, one answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from strongroom.adapters.runtimes.by_name import RUNTIMES, machine_of
from strongroom.serving.contract_check import OutputCheck
from strongroom.validation.batteries.artifact import open_model
from strongroom.validation.statistics.tables import feature_rows, read_table
from tests.validation.worked import package


@pytest.mark.parametrize("kind", ["xgboost", "logistic", "native", "onedal"])
@pytest.mark.parametrize("size", [1, 2, 7, 64, 1000])
def test_sandbox_and_gateway_give_the_same_bits(kind: Any, size: int) -> None:
    made = package(kind)
    if machine_of(made.contract.engine) is None:
        pytest.skip(f"{made.contract.engine} has no wheel for this machine")
    inputs, output = made.contract.input, made.contract.output
    rows = feature_rows(read_table(made.inputs["reference.parquet"], "reference"), inputs, "reference")[:size]
    model = made.inputs[made.contract.model_input]
    ours = open_model(made.contract, model)[0](rows)
    gateway = RUNTIMES[made.contract.engine]().load(model, inputs.tensor, output.tensor, len(inputs.features))
    theirs = OutputCheck(output, made.contract.cut_offs).scores(gateway.run(rows), size)
    assert ours.view(np.uint32).tolist() == theirs.view(np.uint32).tolist()
