"""A sandbox job: does the converted model answer as the source said it does? It never meets the source itself.

Inputs: `contract.json` (ConversionOrder), the model file (`model.onnx` or `model.ubj`), `reference.parquet`,
`predictions.parquet` with the columns `prediction` and `wide`.
Parameters: `tensor`, `column`: where the output is.
Outputs: `figures.json` (Figures).
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from strongroom.encoding import canonical, parse_as
from strongroom.errors import InvalidInputError
from strongroom.registry.contract import MODEL_SUFFIX, InputContract, OutputContract
from strongroom.validation.batteries.artifact import open_session, predictor
from strongroom.validation.results import NotEvaluable
from strongroom.validation.statistics.parity import parity
from strongroom.validation.statistics.tables import numbers, read_table
from strongroom.validation.trees import boosters, onedal
from strongroom.validation.workshop.conversion import FIGURES, PREDICTIONS, TOOLS, ConversionOrder, Figures


def run(inputs: Mapping[str, bytes], parameters: dict[str, Any]) -> dict[str, bytes]:
    """See the module's docstring.

    Raises:
        InvalidInputError: the model does not run, or the numbers of rows differ.
    """
    order = parse_as(inputs["contract.json"], ConversionOrder)
    table = read_table(inputs["reference.parquet"], "reference")
    rows = np.ascontiguousarray(
        np.column_stack([numbers(table, name, "reference") for name in order.features]), dtype=np.float32
    )
    told = read_table(inputs[PREDICTIONS], "predictions")
    source, wide = numbers(told, "prediction", "predictions"), numbers(told, "wide", "predictions")
    model = inputs["model" + MODEL_SUFFIX[order.runtime]]
    if order.runtime == "xgboost":
        served = boosters.open_booster(model).predict(rows)
    else:
        given = InputContract(tensor="input", features=order.documented)
        output = OutputContract(
            tensor=parameters["tensor"], name="x", unit="x", minimum="0", maximum="1", column=parameters["column"]
        )
        if order.runtime == "onedal":
            served = onedal.open_contracted(model, given, output).predict(rows)
        else:
            served = predictor(open_session(model), given, output)(rows)
    tolerance = float(order.tolerance)
    cuts = [float(text) for text in order.cut_offs]
    same, narrowed = parity(source, served, tolerance, cuts), parity(wide, source, tolerance, cuts)
    if isinstance(same, NotEvaluable) or isinstance(narrowed, NotEvaluable):
        reason = same.reason if isinstance(same, NotEvaluable) else "the predictions of float64 rows are not whole"
        raise InvalidInputError(f"parity cannot be shown: {reason}", field="predictions", rule="parity")
    figures = Figures(
        rows=same.n,
        largest=repr(same.largest),
        beyond=round(same.beyond * same.n),
        flips=same.flips,
        near=same.near,
        narrowing_largest=repr(narrowed.largest),
        narrowing_flips=narrowed.flips,
        tools={name: found for name in TOOLS if (found := _installed(name))},
    )
    return {FIGURES: canonical(figures)}


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
