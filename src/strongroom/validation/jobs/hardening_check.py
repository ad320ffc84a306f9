"""A sandbox job: a model before and after hardening, held against the same tests on the same rows.

Inputs: `order.json` (HardeningOrder), `contract.json` and the model file of the hardened package, `former.json` and
`former.onnx` or `former.ubj`, `development.parquet`, `reference.parquet`.
Outputs: `figures.json` (Figures). The battery does the same on the validator's sample; nothing depends on this one.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from strongroom.encoding import canonical, parse_as
from strongroom.registry.contract import ModelContract
from strongroom.validation.batteries.artifact import Predict, open_model
from strongroom.validation.batteries.before_after import compare
from strongroom.validation.batteries.former_files import FORMER_CONTRACT, former_input
from strongroom.validation.batteries.scored import Scored
from strongroom.validation.catalogue import Basis
from strongroom.validation.statistics.tables import feature_rows, outcomes, read_table
from strongroom.validation.workshop.hardening import FIGURES, Figures, HardeningOrder
from strongroom.vocabulary import digest_of

Rows = npt.NDArray[np.float32]
LEVEL: Final = 0.95


@dataclass(frozen=True, slots=True)
class _Bench:
    contract: ModelContract
    model: bytes
    asked: Predict
    level: float = LEVEL

    def predict(self, rows: Rows, /) -> Rows:
        return self.asked(rows)

    def say(self, what: str, /) -> None:
        print(f"hardening: {what}", file=sys.stderr, flush=True)


def run(inputs: Mapping[str, bytes], parameters: dict[str, Any]) -> dict[str, bytes]:  # noqa: ARG001  # every job's form
    """See the module's docstring.

    Raises:
        InvalidInputError: a model does not run, or a sample lacks a column.
    """
    order = parse_as(inputs["order.json"], HardeningOrder)
    after = parse_as(inputs["contract.json"], ModelContract)
    before = parse_as(inputs[FORMER_CONTRACT], ModelContract)
    first, second = _bench(before, inputs[former_input(before)]), _bench(after, inputs[after.model_input])
    development, reference = (
        (_scored(first, inputs[f"{role}.parquet"], role), _scored(second, inputs[f"{role}.parquet"], role))
        for role in ("development", "reference")
    )
    found = compare(first, second, order.study, development, reference)
    return {FIGURES: canonical(Figures(v=1, rows=found.rows, lines=found.lines, notes=found.notes))}


def _bench(contract: ModelContract, model: bytes) -> _Bench:
    predict, _, _ = open_model(contract, model)
    return _Bench(contract, model, predict)


def _scored(bench: _Bench, data: bytes, role: str) -> Scored:
    table = read_table(data, role)
    rows = feature_rows(table, bench.contract.input, role)
    outcome = outcomes(table, bench.contract.samples.outcome, role)
    return Scored(Basis(role, digest_of(data), table.num_rows), rows, bench.predict(rows), outcome)
