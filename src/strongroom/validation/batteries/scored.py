"""A sample with the artifact's answers: what every battery starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from strongroom.validation.catalogue import Basis
from strongroom.validation.statistics.tables import Rows


@dataclass(frozen=True, slots=True)
class Scored:
    """A sample with the artifact's answers.

    Attributes:
        basis: which sample.
        rows: features, float32, shape [rows, features].
        scores: the artifact's output, float32, shape [rows].
        outcome: shape [rows]; 0 or 1 (int64) for kinds whose outcome is an event, else float64.
        columns: further columns by what they hold (`exposure`, `limit` ...), float64, shape [rows].
    """

    basis: Basis
    rows: Rows
    scores: Rows
    outcome: npt.NDArray[Any]
    columns: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)

    def at(self, places: npt.NDArray[Any]) -> Scored:
        """Some of the rows, by place or by mask, as a sample of their own."""
        if places.all() if places.dtype == np.bool_ else np.array_equal(places, np.arange(len(self.rows))):
            return self
        rows = self.rows[places]
        return Scored(
            Basis(self.basis.role, self.basis.sha256, len(rows)), rows, self.scores[places], self.outcome[places],
            {name: values[places] for name, values in self.columns.items()},
        )  # fmt: skip

    @property
    def pd(self) -> npt.NDArray[np.float64]:
        """Scores as probabilities; what is not one counts in `implementation.bounds` and is moved to the nearest."""
        clean = np.nan_to_num(self.scores.astype(np.float64), nan=1.0, posinf=1.0, neginf=0.0)
        return np.clip(clean, 0.0, 1.0)

    @property
    def estimate(self) -> npt.NDArray[np.float64]:
        """Scores as they are, float64: a number that is not finite makes what it enters not evaluable."""
        return self.scores.astype(np.float64)
