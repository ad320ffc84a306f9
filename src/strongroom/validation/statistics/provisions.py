"""Expected credit losses that were booked, against the losses that came."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from strongroom.validation.results import NotEvaluable
from strongroom.validation.statistics import losses


@dataclass(frozen=True, slots=True)
class Backtest:
    """What was booked for a group of exposures, and what came.

    Attributes:
        exposures: with an amount in either column.
        lost: of them, with a loss that came.
        booked, realised: amounts.
        ratio: realised over booked; above 1 where too little was booked.
        interval: of the ratio at the level asked for, by Fieller's theorem.
        p_value: of the one-sided paired t-test that no more was to be expected than was booked; small where too little
            was.
    """

    exposures: int
    lost: int
    booked: float
    realised: float
    ratio: float
    interval: tuple[float, float] | NotEvaluable
    p_value: float | NotEvaluable


def backtest(booked: npt.ArrayLike, realised: npt.ArrayLike, level: float) -> Backtest | NotEvaluable:
    """Losses that came against the expected credit losses booked for the same time.

    Exposures with 0 in both columns say nothing and are left out. Amounts of losses are skewed, so with few losses the
    test finds too little too seldom rather than too often.

    Args:
        booked: expected loss of each exposure, 0 or more; shape [exposures].
        realised: the loss that came, discounted to the day of the booking; below 0 for a gain.
        level: confidence of the interval, between 0 and 1.

    Source:
        IFRS 9 5.5.17, IFRS 7 35G(c); Fieller 1954; thresholds are the bank's (house rule).
    """
    e, r = (np.asarray(one, dtype=np.float64) for one in (booked, realised))
    if e.ndim != 1 or e.shape != r.shape or not (np.isfinite(e).all() and np.isfinite(r).all()) or (e < 0.0).any():
        raise ValueError("booked and realised amounts are finite vectors of one length, and nothing booked is below 0")
    if not 0.0 < level < 1.0:
        raise ValueError("a confidence level lies between 0 and 1")
    there = (e != 0.0) | (r != 0.0)
    e, r = e[there], r[there]
    total = math.fsum(e)
    if total == 0.0:
        return NotEvaluable("no expected loss was booked")
    came = math.fsum(r)
    test = losses.t_test(r, e)
    return Backtest(
        int(e.size), int((r != 0.0).sum()), total, came, came / total, _fieller(e, r, level),
        test if isinstance(test, NotEvaluable) else test.upper,
    )  # fmt: skip


def _fieller(
    booked: npt.NDArray[np.float64], realised: npt.NDArray[np.float64], level: float
) -> tuple[float, float] | NotEvaluable:
    """Ratios at which the paired t-test of `realised - ratio booked` does not refuse, where they are bounded."""
    n = booked.size
    if n < 2:
        return NotEvaluable("fewer than two exposures")
    (var_e, cov), (_, var_r) = np.cov(booked, realised) / n
    mean_e, mean_r = float(booked.mean()), float(realised.mean())
    squared = float(stats.f.ppf(level, 1, n - 1))  # of Student's t
    a = mean_e**2 - squared * float(var_e)
    b = mean_e * mean_r - squared * float(cov)
    c = mean_r**2 - squared * float(var_r)
    inside = b * b - a * c
    if a <= 0.0 or inside < 0.0:
        return NotEvaluable("what was booked varies too much for a bounded interval")
    return (b - math.sqrt(inside)) / a, (b + math.sqrt(inside)) / a
