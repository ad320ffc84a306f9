"""The rating scale: from a PD to a grade, and what a table of grades shows."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from strongroom.validation.results import NotEvaluable
from strongroom.validation.statistics.bins import quantile_edges


@dataclass(frozen=True, slots=True)
class Scale:
    """Grades 1 (lowest PD) to len(edges)+1.

    Attributes:
        edges: ascending PDs between grades; a PD equal to an edge belongs to the better grade.
    """

    edges: tuple[float, ...]

    def __post_init__(self) -> None:
        if list(self.edges) != sorted(set(self.edges)):
            raise ValueError("the edges of a rating scale ascend")

    @classmethod
    def from_quantiles(cls, probability: npt.ArrayLike, grades: int) -> Scale:
        """Grades of about equal size on the given (development) sample; ties make fewer."""
        return cls(tuple(float(edge) for edge in quantile_edges(probability, grades)))

    def assign(self, probability: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Grade of each row, from 1."""
        return np.searchsorted(np.asarray(self.edges), np.asarray(probability, dtype=np.float64), side="left") + 1


@dataclass(frozen=True, slots=True)
class GradeTable:
    """Obligors, defaults and mean PD per grade; empty grades have n 0 and a mean PD of 0."""

    n: tuple[int, ...]
    defaults: tuple[int, ...]
    mean_pd: tuple[float, ...]

    @property
    def inversions(self) -> int:
        """Neighbouring filled grades whose default rate falls although the PD rises."""
        rates = [d / n for n, d in zip(self.n, self.defaults, strict=True) if n]
        return sum(later < earlier for earlier, later in itertools.pairwise(rates))


def grade_table(scale: Scale, outcome: npt.ArrayLike, probability: npt.ArrayLike) -> GradeTable | NotEvaluable:
    """Count a sample by grade."""
    y, p = np.asarray(outcome, dtype=np.float64), np.asarray(probability, dtype=np.float64)
    if y.size == 0:
        return NotEvaluable("the sample is empty")
    place, bins = scale.assign(p) - 1, len(scale.edges) + 1
    n = np.bincount(place, minlength=bins)
    bad = np.bincount(place, weights=y, minlength=bins)
    total = np.bincount(place, weights=p, minlength=bins)
    mean = np.divide(total, n, out=np.zeros(bins), where=n > 0)
    return GradeTable(tuple(int(x) for x in n), tuple(int(x) for x in bad), tuple(float(x) for x in mean))
