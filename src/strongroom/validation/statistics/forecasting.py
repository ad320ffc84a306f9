"""How far do forecasts lie from what came, against forecasts that anybody can make? Errors, quantiles, comparisons."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from strongroom.validation.results import NotEvaluable

Floats = npt.NDArray[np.float64]
Loss = Literal["squared", "absolute"]


@dataclass(frozen=True, slots=True)
class Kupiec:
    """Likelihood-ratio test that a share of exceedances is the one that was promised.

    Attributes:
        statistic: likelihood ratio, chi-square with one degree of freedom.
        p_value: of more extreme shares on either side.
        rate: share that was seen.
    """

    statistic: float
    p_value: float
    rate: float


@dataclass(frozen=True, slots=True)
class DieboldMariano:
    """Are two forecasts equally good? Below 0 says that the first has less loss.

    Attributes:
        statistic: with the correction for small samples.
        p_value: two-sided, from Student's t with one degree of freedom less than errors.
        n: errors.
    """

    statistic: float
    p_value: float
    n: int


def scaled_error(
    actual: npt.ArrayLike, forecast: npt.ArrayLike, known: npt.ArrayLike, season: int = 1
) -> float | NotEvaluable:
    """MASE: mean absolute error over that of the seasonal naive forecast inside the known series.

    Args:
        actual, forecast: shape [rows].
        known: the series before the first forecast, in order; NaN where a period is not known.
        season: periods in a season.

    Source:
        Hyndman and Koehler 2006.
    """
    return _scaled(actual, forecast, known, season, 1)


def scaled_root_error(
    actual: npt.ArrayLike, forecast: npt.ArrayLike, known: npt.ArrayLike, season: int = 1
) -> float | NotEvaluable:
    """RMSSE: the same with squares, and the root of the quotient.

    Source:
        Hyndman and Koehler 2006.
    """
    found = _scaled(actual, forecast, known, season, 2)
    return found if isinstance(found, NotEvaluable) else math.sqrt(found)


def weighted_error(actual: npt.ArrayLike, forecast: npt.ArrayLike) -> float | NotEvaluable:
    """WAPE: sum of absolute errors over the sum of absolute values."""
    y, f = _pair(actual, forecast)
    size = float(np.abs(y).sum())
    if not y.size:
        return NotEvaluable("there are no forecasts")
    if size == 0.0:
        return NotEvaluable("every actual value is 0, so an error is no share of it")
    return float(np.abs(y - f).sum()) / size


def bias(actual: npt.ArrayLike, forecast: npt.ArrayLike) -> float | NotEvaluable:
    """Sum of forecast less actual over the sum of absolute actual values; above 0 says too high."""
    y, f = _pair(actual, forecast)
    size = float(np.abs(y).sum())
    if not y.size:
        return NotEvaluable("there are no forecasts")
    if size == 0.0:
        return NotEvaluable("every actual value is 0, so a bias is no share of it")
    return float((f - y).sum()) / size


def pinball(actual: npt.ArrayLike, forecast: npt.ArrayLike, level: float) -> float | NotEvaluable:
    """Mean quantile loss, least for the true quantile of that level.

    Args:
        level: between 0 and 1.

    Source:
        Koenker and Bassett 1978.
    """
    y, f = _pair(actual, forecast)
    _between(level)
    if not y.size:
        return NotEvaluable("there are no forecasts")
    gap = y - f
    return float(np.mean(np.maximum(level * gap, (level - 1.0) * gap)))


def winkler(actual: npt.ArrayLike, low: npt.ArrayLike, high: npt.ArrayLike, coverage: float) -> float | NotEvaluable:
    """Mean width of the interval, plus 2 / (1 - coverage) times how far values lie outside.

    Args:
        coverage: what the interval promises, between 0 and 1.

    Source:
        Winkler 1972; Gneiting and Raftery 2007.
    """
    y, a = _pair(actual, low)
    y, b = _pair(y, high)
    _between(coverage)
    if not y.size:
        return NotEvaluable("there are no forecasts")
    if (a > b).any():
        return NotEvaluable("an interval's lower end lies above its upper end")
    return float(np.mean((b - a) + 2.0 / (1.0 - coverage) * (np.maximum(a - y, 0.0) + np.maximum(y - b, 0.0))))


def inside(actual: npt.ArrayLike, low: npt.ArrayLike, high: npt.ArrayLike) -> int:
    """How many values lie in their interval, its ends included."""
    y, a = _pair(actual, low)
    y, b = _pair(y, high)
    return int(((y >= a) & (y <= b)).sum())


def kupiec(rows: int, exceedances: int, promised: float) -> Kupiec | NotEvaluable:
    """Unconditional coverage. No exceedance at all, or nothing else, has a ratio too: 0 log 0 is 0.

    It takes exceedances as independent; those of overlapping horizons are not, and the p-value is too small then.

    Args:
        rows: forecasts.
        exceedances: 0 to `rows`.
        promised: share of exceedances, between 0 and 1.

    Source:
        Kupiec 1995.
    """
    _between(promised)
    if not 0 <= exceedances <= rows:
        raise ValueError("there are 0 to `rows` exceedances")
    if rows == 0:
        return NotEvaluable("there are no forecasts")
    rate = exceedances / rows
    seen = float(special.xlogy(exceedances, rate) + special.xlogy(rows - exceedances, 1.0 - rate))
    told = exceedances * math.log(promised) + (rows - exceedances) * math.log1p(-promised)
    ratio = max(0.0, 2.0 * (seen - told))
    return Kupiec(ratio, float(stats.chi2.sf(ratio, 1)), rate)


def diebold_mariano(
    actual: npt.ArrayLike, first: npt.ArrayLike, second: npt.ArrayLike, horizon: int, loss: Loss = "squared"
) -> DieboldMariano | NotEvaluable:
    """Test of equal loss, with the correction of Harvey, Leybourne and Newbold.

    The variance of the mean difference takes the autocovariances up to `horizon` - 1 with equal weight, since errors
    of forecasts h periods ahead are correlated up to h - 1. It can come out negative; there is no answer then.

    Args:
        actual, first, second: in order of time, one period apart; shape [rows].
        horizon: periods ahead, 1 or more.
        loss: of an error.

    Source:
        Diebold and Mariano 1995; Harvey, Leybourne and Newbold 1997.
    """
    y, one = _pair(actual, first)
    y, two = _pair(y, second)
    if horizon < 1:
        raise ValueError("a horizon is 1 or more")
    n = y.size
    if n < 3 or n <= horizon:
        return NotEvaluable("too few errors for this horizon")
    a, b = ((y - one) ** 2, (y - two) ** 2) if loss == "squared" else (np.abs(y - one), np.abs(y - two))
    d = a - b
    mean = float(d.mean())
    e = d - mean
    variance = float(e @ e) / n + 2.0 * sum(float(e[k:] @ e[:-k]) / n for k in range(1, horizon))
    if float(np.abs(e).max()) <= 1e-12 * float(np.maximum(a, b).max()):
        return NotEvaluable("the two forecasts lose the same, or differ by the same, in every period")
    if variance <= 0.0:
        return NotEvaluable("the variance of the difference over time is not positive")
    factor = math.sqrt((n + 1.0 - 2.0 * horizon + horizon * (horizon - 1.0) / n) / n)
    statistic = factor * mean / math.sqrt(variance / n)
    return DieboldMariano(statistic, float(2.0 * stats.t.sf(abs(statistic), n - 1)), n)


def _scaled(
    actual: npt.ArrayLike, forecast: npt.ArrayLike, known: npt.ArrayLike, season: int, power: int
) -> float | NotEvaluable:
    y, f = _pair(actual, forecast)
    series = np.asarray(known, dtype=np.float64)
    if season < 1:
        raise ValueError("a season has 1 period or more")
    if not y.size:
        return NotEvaluable("there are no forecasts")
    moves = series[season:] - series[:-season]
    moves = np.abs(moves[np.isfinite(moves)]) ** power
    if not moves.size:
        return NotEvaluable("the known series is not longer than a season")
    scale = float(moves.mean())
    if scale == 0.0:
        return NotEvaluable("the naive forecast has no error in the known series")
    return float((np.abs(y - f) ** power).mean()) / scale


def _between(level: float) -> None:
    if not 0.0 < level < 1.0:
        raise ValueError("a level lies between 0 and 1")


def _pair(actual: npt.ArrayLike, forecast: npt.ArrayLike) -> tuple[Floats, Floats]:
    y, f = np.asarray(actual, dtype=np.float64), np.asarray(forecast, dtype=np.float64)
    if y.ndim != 1 or y.shape != f.shape:
        raise ValueError("actual and forecast are two vectors of one length")
    if not (np.isfinite(y).all() and np.isfinite(f).all()):
        raise ValueError("actual and forecast are finite")
    return y, f
