"""Are these the people the model was built on? Population stability with its floor and its sampling noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from strongroom.validation.results import NotEvaluable
from strongroom.validation.statistics.bins import Floor, contributions


@dataclass(frozen=True, slots=True)
class Psi:
    """Population stability index.

    Attributes:
        value: sum of (actual - expected) ln(actual / expected).
        bins: contribution of each.
        sampling_point: 95 % point of what two samples of one population give by chance.
    """

    value: float
    bins: tuple[float, ...]
    sampling_point: float


def psi(expected: npt.ArrayLike, actual: npt.ArrayLike, floor: Floor, level: float = 0.95) -> Psi | NotEvaluable:
    """Compare two counts over the same bins.

    Args:
        expected: rows of the older sample per bin; weighted ones on the scale of `weights.levelled`.
        actual: rows of the newer sample per bin, as well.
        floor: for empty bins.
        level: of the sampling point.

    Source:
        Siddiqi 2006 (0.10 and 0.25 are a convention of the trade); Yurdakul and Naranjo 2020 (sampling distribution).
    """
    old, new = np.asarray(expected, dtype=np.float64), np.asarray(actual, dtype=np.float64)
    if old.shape != new.shape or old.ndim != 1:
        raise ValueError("expected and actual are counts over the same bins")
    n, m = float(old.sum()), float(new.sum())
    if n == 0.0 or m == 0.0:
        return NotEvaluable("a sample is empty")
    if old.size < 2:
        return NotEvaluable("one bin alone cannot shift")
    parts = contributions(old, new, floor)
    point = float(stats.chi2.ppf(level, old.size - 1)) * (1.0 / n + 1.0 / m)
    return Psi(float(parts.sum()), tuple(float(x) for x in parts), point)
