"""Does a higher estimate mean a higher outcome, where outcomes are numbers? The AUC for more than two classes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import stats

from strongroom.validation.results import NotEvaluable

Floats = npt.NDArray[np.float64]
SEGMENTS: Final = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Lower ends of the second to twelfth segment of continuous estimates; what is below 0 lies in the first."""
GRADES_LIMIT: Final = 20
"""With at most so many different estimates the model has grades, and each is a segment."""


@dataclass(frozen=True, slots=True)
class GeneralisedAuc:
    """Somers' D of estimates given outcomes, and what follows from it.

    Attributes:
        somers_d: (concordant - discordant) over the pairs whose outcomes differ.
        value: (D + 1) / 2; 0.5 is chance, 1 is perfect.
        error: standard error of `value`.
        n: rows.
    """

    somers_d: float
    value: float
    error: float
    n: int

    def interval(self, level: float) -> tuple[float, float] | NotEvaluable:
        """Normal interval, cut at 0 and 1."""
        if self.error <= 0.0:
            return NotEvaluable("the order is perfect or wholly reversed, so its variance is 0")
        reach = float(stats.norm.isf((1.0 - level) / 2.0)) * self.error
        return max(0.0, self.value - reach), min(1.0, self.value + reach)


@dataclass(frozen=True, slots=True)
class Change:
    """Fall of a generalised AUC since development; a small p says that it fell by more than chance."""

    statistic: float
    p_value: float


def gauc_table(table: npt.ArrayLike) -> GeneralisedAuc | NotEvaluable:
    """Generalised AUC of a contingency table.

    Args:
        table: counts, rows are segments of the outcome and columns segments of the estimate, both ascending. Pairs
            tied on the outcome do not count; pairs tied on the estimate alone count a half.

    Source:
        ECB 2019, Annex 3.2; Goktas and Isci 2011 (asymptotic variance).
    """
    counts = np.asarray(table, dtype=np.float64)
    if counts.ndim != 2 or (counts < 0.0).any() or not np.isfinite(counts).all():
        raise ValueError("a contingency table has counts, in two dimensions")
    total = float(counts.sum())
    if total < 2.0:
        return NotEvaluable("there are no two rows to compare")
    rows = counts.sum(axis=1)
    pairs = total * total - float((rows * rows).sum())
    if pairs <= 0.0:
        return NotEvaluable("all outcomes lie in one segment, so no two can be put in order")
    above = np.zeros((counts.shape[0] + 1, counts.shape[1] + 1))
    above[1:, 1:] = counts.cumsum(axis=0).cumsum(axis=1)
    column, row = above[-1], above[:, -1]
    # cells before and after in both, and before in one and after in the other
    low = above[:-1, :-1]
    high = total - row[1:, None] - column[None, 1:] + above[1:, 1:]
    left = column[None, :-1] - above[1:, :-1]
    right = row[:-1, None] - above[:-1, 1:]
    gap = (low + high) - (left + right)
    difference = float((counts * gap).sum())
    somers = difference / pairs
    spread = counts * (pairs * gap - difference * (total - rows[:, None])) ** 2
    error = math.sqrt(float(spread.sum())) / (pairs * pairs)
    return GeneralisedAuc(somers, (somers + 1.0) / 2.0, error, int(total))


def segmented(realised: npt.ArrayLike, estimated: npt.ArrayLike) -> npt.NDArray[np.int64] | NotEvaluable:
    """The contingency table of outcomes and estimates.

    With at most 20 different estimates each is a segment, and outcomes are cut half-way between neighbours; else both
    are cut into the 12 fixed segments. The supervisor's text on the first case was not at hand: it is a house rule.

    Args:
        realised, estimated: shape [rows].
    """
    came, told = np.asarray(realised, dtype=np.float64), np.asarray(estimated, dtype=np.float64)
    if came.ndim != 1 or came.shape != told.shape:
        raise ValueError("realised and estimated are two vectors of one length")
    if came.size == 0:
        return NotEvaluable("the sample is empty")
    if not (np.isfinite(came).all() and np.isfinite(told).all()):
        return NotEvaluable("a realised value or an estimate is not finite")
    grades = np.unique(told)
    if grades.size == 1:
        return NotEvaluable("all estimates are equal, so they put nothing in order")
    if grades.size <= GRADES_LIMIT:
        row = np.searchsorted((grades[1:] + grades[:-1]) / 2.0, came, side="right")
        column = np.searchsorted(grades, told)
        size = int(grades.size)
    else:
        row, column = (np.searchsorted(SEGMENTS, side, side="right") for side in (came, told))
        size = len(SEGMENTS) + 1
    return np.bincount(row * size + column, minlength=size * size).reshape(size, size)


def gauc(realised: npt.ArrayLike, estimated: npt.ArrayLike) -> GeneralisedAuc | NotEvaluable:
    """Generalised AUC of outcomes and estimates, in the segments of `segmented`."""
    table = segmented(realised, estimated)
    return table if isinstance(table, NotEvaluable) else gauc_table(table)


def gauc_change(initial: float, current: GeneralisedAuc) -> Change | NotEvaluable:
    """Has the order become worse than it was at development, which is taken as known?

    Source:
        ECB 2019, section 2.6.3.1 and Annex 3.2.
    """
    if current.error <= 0.0:
        return NotEvaluable("the order is perfect or wholly reversed, so its variance is 0")
    statistic = (initial - current.value) / current.error
    return Change(statistic, float(stats.norm.sf(statistic)))


def somers_d(realised: npt.ArrayLike, estimated: npt.ArrayLike) -> float | NotEvaluable:
    """Somers' D row by row, without segments, in O(n log n).

    Args:
        realised: the given side: pairs that are tied here do not count.
        estimated: pairs tied here alone count as neither concordant nor discordant.

    Source:
        Somers 1962; pairs are counted by scipy's Kendall tau (Knight 1966).
    """
    came, told = np.asarray(realised, dtype=np.float64), np.asarray(estimated, dtype=np.float64)
    if came.ndim != 1 or came.shape != told.shape:
        raise ValueError("realised and estimated are two vectors of one length")
    if came.size < 2:
        return NotEvaluable("there are no two rows to compare")
    if not (np.isfinite(came).all() and np.isfinite(told).all()):
        return NotEvaluable("a realised value or an estimate is not finite")
    apart = _apart(came)
    if apart == 0:
        return NotEvaluable("all outcomes are equal, so no two can be put in order")
    others = _apart(told)
    if others == 0:
        return 0.0
    tau = float(stats.kendalltau(came, told).statistic)
    return round(tau * math.sqrt(apart) * math.sqrt(others)) / apart


def _apart(values: Floats) -> int:
    """Pairs whose values differ."""
    counts = [int(count) for count in np.unique(values, return_counts=True)[1]]
    size = values.size
    return size * (size - 1) // 2 - sum(count * (count - 1) // 2 for count in counts)
