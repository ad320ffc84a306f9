"""Do ratings move as a rating system should, and do they pile up? Migration matrix and concentration."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from strongroom.validation.results import NotEvaluable
from strongroom.validation.statistics.spread import alike

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """Matrix weighted bandwidth: 0 no migration, 1 all to the far end."""

    upper: float
    lower: float


@dataclass(frozen=True, slots=True)
class Concentration:
    """Herfindahl index now and at first, and the test that it rose."""

    variation: float
    initial_variation: float
    index: float
    initial_index: float
    statistic: float
    p_value: float


def weighted_bandwidth(counts: npt.ArrayLike) -> Bandwidth | NotEvaluable:
    """How far ratings moved, as a share of how far they could have.

    Args:
        counts: obligors by grade at the start (rows) and at the end (columns), defaults left out; shape [K, K].

    Source:
        ECB 2019, section 2.5.5.1.
    """
    matrix = _square(counts)
    k = len(matrix)
    if matrix.sum() == 0:
        return NotEvaluable("no obligor is rated at both dates")
    start, end = np.indices(matrix.shape)
    reach = np.maximum(np.abs(start - (k - 1)), np.abs(start))

    def side(weight: Floats) -> float:
        possible = float((reach * weight).sum())
        return float((np.abs(start - end) * weight).sum()) / possible if possible else 0.0

    return Bandwidth(upper=side(np.triu(matrix, 1)), lower=side(np.tril(matrix, -1)))


def migration_z(counts: npt.ArrayLike) -> dict[tuple[int, int], tuple[float, float] | NotEvaluable]:
    """For each cell off the diagonal: is it rarer than its neighbour nearer the diagonal? A small p says no.

    Returns:
        (z, p) by (grade from, grade to), from 1.

    Source:
        ECB 2019, section 2.5.5.2.
    """
    matrix = _square(counts)
    found: dict[tuple[int, int], tuple[float, float] | NotEvaluable] = {}
    for i, row in enumerate(matrix):
        n = float(row.sum())
        for j in range(len(row)):
            if i == j:
                continue
            if n == 0.0:
                found[i + 1, j + 1] = NotEvaluable("no obligor started in this grade")
                continue
            cell, nearer = row[j] / n, row[j + 1 if j < i else j - 1] / n
            variance = (cell * (1 - cell) + nearer * (1 - nearer) + 2 * cell * nearer) / n
            if variance <= 0.0:
                found[i + 1, j + 1] = NotEvaluable("neither the cell nor its neighbour has a migration")
                continue
            z = float(nearer - cell) / math.sqrt(variance)
            found[i + 1, j + 1] = z, float(stats.norm.cdf(z))
    return found


def concentration(current: npt.ArrayLike, initial: npt.ArrayLike) -> Concentration | NotEvaluable:
    """Herfindahl index over the grades of the scale, empty ones included, against its value at first.

    Args:
        current, initial: obligors (or exposure) per grade; shape [K].

    Source:
        ECB 2019, section 2.5.5.3.
    """
    now, then = np.asarray(current, dtype=np.float64), np.asarray(initial, dtype=np.float64)
    k = now.size
    if k < 2 or then.size != k:
        return NotEvaluable("a scale has two grades or more, the same at both dates")
    if now.sum() == 0 or then.sum() == 0:
        return NotEvaluable("a portfolio is empty")

    def variation(counts: Floats) -> float:
        return math.sqrt(k * float(((counts / counts.sum() - 1.0 / k) ** 2).sum()))

    def index(cv: float) -> float:
        return 1.0 + math.log((cv * cv + 1.0) / k) / math.log(k)

    if alike(now):
        return NotEvaluable("the grades are evenly filled: the test divides by their variation")
    cv, cv0 = variation(now), variation(then)
    statistic = math.sqrt(k - 1) * (cv - cv0) / math.sqrt(cv * cv * (0.5 + cv * cv))
    return Concentration(cv, cv0, index(cv), index(cv0), statistic, float(stats.norm.sf(statistic)))


def _square(counts: npt.ArrayLike) -> Floats:
    matrix = np.asarray(counts, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) < 2:
        raise ValueError("a migration matrix is square, two grades or more")
    return matrix
