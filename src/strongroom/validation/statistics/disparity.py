"""How far apart two groups are: error rates, mean scores, and the odds among people who are alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from strongroom.validation.results import NotEvaluable, evaluable
from strongroom.validation.statistics import calibration
from strongroom.validation.statistics.spread import alike


@dataclass(frozen=True, slots=True)
class RateGap:
    """Difference of two shares, the first less the second.

    Attributes:
        difference: of the shares.
        interval: Newcombe's hybrid of the two score intervals; it exists for shares of 0 and 1 as well.
        fisher_p: exact, two-sided.
    """

    difference: float
    interval: tuple[float, float]
    fisher_p: float


@dataclass(frozen=True, slots=True)
class MeanGap:
    """Standardised difference of two mean scores, by both denominators that are in use.

    Attributes:
        pooled: over the root of the mean of the two variances.
        overall: over the standard deviation of all rows together.
        interval: of `pooled`, for large samples.
    """

    pooled: float
    overall: float
    interval: tuple[float, float]


@dataclass(frozen=True, slots=True)
class CommonOdds:
    """Odds ratio that strata have in common, and the test that it is 1.

    Attributes:
        ratio: Mantel and Haenszel's estimate.
        interval: by Robins, Breslow and Greenland's variance of its log, or why there is none.
        p_value: Cochran-Mantel-Haenszel, two-sided, without continuity correction.
        strata: how many carried information.
    """

    ratio: float
    interval: tuple[float, float] | NotEvaluable
    p_value: float
    strata: int


@dataclass(frozen=True, slots=True)
class GroupCalibration:
    """Do a group's probabilities of default hold for the group?

    Attributes:
        n, defaults: of the group.
        mean_pd, rate: what the model gave and what came.
        interval: Jeffreys interval of the rate.
        p_value: two-sided: PDs too high harm the group as much as PDs too low mislead the bank.
        slope, intercept: calibration line, None where the group has none.
    """

    n: int
    defaults: int
    mean_pd: float
    rate: float
    interval: tuple[float, float]
    p_value: float
    slope: float | None
    intercept: float | None


def rate_gap(hits: int, n: int, other_hits: int, other_n: int, level: float = 0.95) -> RateGap | NotEvaluable:
    """Two shares against each other.

    Source:
        Newcombe 1998, method 10; Fisher 1935.
    """
    for count, rows in ((hits, n), (other_hits, other_n)):
        if not 0 <= count <= rows:
            raise ValueError("there are 0 to n hits among n rows")
    if n == 0 or other_n == 0:
        return NotEvaluable("a group is empty")
    share, other = hits / n, other_hits / other_n
    low, high = wilson(hits, n, level)
    other_low, other_high = wilson(other_hits, other_n, level)
    gap = share - other
    between = (
        gap - math.hypot(share - low, other_high - other),
        gap + math.hypot(high - share, other - other_low),
    )
    table = np.array([[hits, n - hits], [other_hits, other_n - other_hits]])
    return RateGap(gap, (max(-1.0, between[0]), min(1.0, between[1])), float(stats.fisher_exact(table)[1]))


def wilson(hits: int, n: int, level: float) -> tuple[float, float]:
    """Score interval of a share; `n` is at least 1.

    Source:
        Wilson 1927.
    """
    z = float(stats.norm.ppf(0.5 + level / 2.0))
    share = hits / n
    middle = share + z * z / (2.0 * n)
    half = z * math.sqrt(share * (1.0 - share) / n + z * z / (4.0 * n * n))
    whole = 1.0 + z * z / n
    return max(0.0, (middle - half) / whole), min(1.0, (middle + half) / whole)


def mean_gap(protected: npt.ArrayLike, reference: npt.ArrayLike, level: float = 0.95) -> MeanGap | NotEvaluable:
    """Standardised mean difference of two groups' scores, the first less the second.

    Args:
        protected, reference: scores, each of shape [rows of the group].
        level: of the interval.

    Source:
        Cohen 1988 for the pooled form; Hedges and Olkin 1985 for the variance.
    """
    a, b = np.asarray(protected, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    if a.size < 2 or b.size < 2:
        return NotEvaluable("each group needs two rows")
    both = float((np.var(a, ddof=1) + np.var(b, ddof=1)) / 2.0)
    total = float(np.var(np.concatenate([a, b]), ddof=1))
    if alike(a) and alike(b):
        return NotEvaluable("all scores of each group are equal")
    apart = float(a.mean() - b.mean())
    d = apart / math.sqrt(both)
    error = math.sqrt((a.size + b.size) / (a.size * b.size) + d * d / (2.0 * (a.size + b.size)))
    half = float(stats.norm.ppf(0.5 + level / 2.0)) * error
    return MeanGap(d, apart / math.sqrt(total), (d - half, d + half))


def common_odds(strata: Sequence[tuple[int, int, int, int]], level: float = 0.95) -> CommonOdds | NotEvaluable:
    """Odds of a favourable decision in the group over those in the reference group, among people of one stratum.

    Args:
        strata: for each, favoured and all of the protected group, favoured and all of the reference group.
        level: of the interval.

    Source:
        Mantel and Haenszel 1959; Robins, Breslow and Greenland 1986.
    """
    tables = np.asarray(strata, dtype=np.float64).reshape(len(strata), 4)
    a, c = tables[:, 0], tables[:, 2]
    b, d = tables[:, 1] - a, tables[:, 3] - c
    if (np.stack([a, b, c, d]) < 0).any():
        raise ValueError("there are 0 to n favoured among n rows")
    n = a + b + c + d
    # a stratum with one group or one decision only says nothing about the other
    told = (a + b > 0) & (c + d > 0) & (a + c > 0) & (b + d > 0)
    a, b, c, d, n = (part[told] for part in (a, b, c, d, n))
    if not told.any():
        return NotEvaluable("no stratum holds both groups and both decisions")
    r, s = a * d / n, b * c / n
    if s.sum() <= 0.0:
        return NotEvaluable("in no stratum was one of the group refused while one of the reference group was favoured")
    expected = (a + b) * (a + c) / n
    spread = (a + b) * (c + d) * (a + c) * (b + d) / (n * n * (n - 1.0))
    chi = float((a - expected).sum() ** 2 / spread.sum())
    ratio = float(r.sum() / s.sum())
    interval: tuple[float, float] | NotEvaluable = NotEvaluable("the common odds ratio is 0 and has no log")
    if ratio > 0.0:
        p, q = (a + d) / n, (b + c) / n
        variance = (
            (p * r).sum() / (2.0 * r.sum() ** 2)
            + (p * s + q * r).sum() / (2.0 * r.sum() * s.sum())
            + (q * s).sum() / (2.0 * s.sum() ** 2)
        )
        half = float(stats.norm.ppf(0.5 + level / 2.0)) * math.sqrt(float(variance))
        interval = (ratio * math.exp(-half), ratio * math.exp(half))
    return CommonOdds(ratio, interval, float(stats.chi2.sf(chi, 1)), int(told.sum()))


def group_calibration(
    outcome: npt.ArrayLike, probability: npt.ArrayLike, level: float = 0.95
) -> GroupCalibration | NotEvaluable:
    """Calibration within one group.

    Args:
        outcome: 0 or 1, shape [rows of the group].
        probability: of default, same shape.
        level: of the interval.

    Source:
        ECB, Instructions for reporting the validation results of internal models (2019), 2.5.3.1, for the one-sided
        test; doubled here (house rule).
    """
    y, p = np.asarray(outcome, dtype=np.float64), np.asarray(probability, dtype=np.float64)
    n, defaults = int(y.size), int(y.sum())
    if n == 0:
        return NotEvaluable("a group is empty")
    mean = float(p.mean())
    tail = evaluable(calibration.jeffreys(n, defaults, mean))
    around = evaluable(calibration.jeffreys_interval(n, defaults, level))
    line = calibration.calibration_line(y, p)
    fitted = None if isinstance(line, NotEvaluable) else line
    return GroupCalibration(
        n, defaults, mean, defaults / n, around, 2.0 * min(tail, 1.0 - tail),
        fitted.slope if fitted else None, fitted.intercept if fitted else None,
    )  # fmt: skip
