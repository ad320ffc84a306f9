"""What a caller asks, whatever protocol brought it: rows, subjects, labels."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64] | NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class WantedOutput:
    """An output that the caller asked for by name; `binary` as the binary tensor extension means it."""

    name: str
    binary: bool


class Question(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A decoded request, not yet checked against the contract's rules.

    Attributes:
        rows: how many.
        values: [rows, features] in the contract's order; or, for one row from JSON, the plain list of numbers, which
            becomes part of the batch's matrix in one step; None or NaN stands for missing.
        subjects: the data subject of each row.
        purpose, jurisdiction, environment: labels as asserted, None when not sent.
        receipt: whether the answer carries one.
        request_id: echoed.
        outputs: as asked for; empty means all.
        by_column: whether the features came as one tensor each.
        binary: whether outputs come as binary when `outputs` is empty.
        explain: whether reason codes are asked for.
    """

    rows: int
    values: Values | list[float | None]
    subjects: tuple[str, ...]
    purpose: str | None
    jurisdiction: str | None
    environment: str | None
    receipt: bool = False
    request_id: str | None = None
    outputs: tuple[WantedOutput, ...] = ()
    by_column: bool = False
    binary: bool = False
    explain: bool = False
