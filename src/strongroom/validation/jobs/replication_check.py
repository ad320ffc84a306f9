"""A sandbox job: do the served model and the one that was trained again answer alike? It never meets the script.

Inputs: `contract.json` (ModelContract), the served model file (`model.onnx` or `model.ubj`), the other one
(`replica.onnx` or `replica.ubj`), `rows.parquet` with the features.
Parameters: `tensor`, `column`: where the replica's output is.
Outputs: `compared.json` (Compared).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from strongroom.encoding import canonical, parse_as
from strongroom.errors import InvalidInputError
from strongroom.registry.contract import ModelContract
from strongroom.validation.batteries.artifact import open_model
from strongroom.validation.results import NotEvaluable
from strongroom.validation.statistics.parity import parity
from strongroom.validation.statistics.tables import numbers, read_table
from strongroom.validation.workshop.replication import COMPARED, Compared


def run(inputs: Mapping[str, bytes], parameters: dict[str, Any]) -> dict[str, bytes]:
    """See the module's docstring.

    Raises:
        InvalidInputError: a model does not run, or answers with no finite number.
    """
    contract = parse_as(inputs["contract.json"], ModelContract)
    training = contract.training
    if isinstance(training, msgspec.UnsetType):
        raise InvalidInputError("the contract has no training", field="contract", rule="training")
    table = read_table(inputs["rows.parquet"], "rows")
    rows = np.ascontiguousarray(
        np.column_stack([numbers(table, feature.name, "rows") for feature in contract.input.features]), dtype=np.float32
    )
    output = msgspec.structs.replace(contract.output, tensor=parameters["tensor"], column=parameters["column"])
    other = msgspec.structs.replace(contract, output=output)
    served, _, _ = open_model(contract, inputs[contract.model_input])
    replica, _, _ = open_model(other, inputs["replica" + contract.model_input.removeprefix("model")])
    cuts = [float(cut.below) for cut in contract.cut_offs if cut.below is not None]
    found = parity(served(rows), replica(rows), float(training.tolerance), cuts)
    if isinstance(found, NotEvaluable):
        raise InvalidInputError(f"the models cannot be compared: {found.reason}", field="rows", rule="parity")
    return {
        COMPARED: canonical(
            Compared(rows=found.n, largest=repr(found.largest), beyond=round(found.beyond * found.n), flips=found.flips)
        )
    }
