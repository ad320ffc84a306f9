"""Is the predicted probability the frequency that came? Tests by grade, by portfolio and by row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import integrate, special, stats

from strongroom.validation.results import NotEvaluable
from strongroom.validation.statistics.spread import alike

Floats = npt.NDArray[np.float64]
NORMAL_LIMIT = 12.0
"""Standard deviations within which a normal density holds all mass that a float64 can show."""


@dataclass(frozen=True, slots=True)
class Jeffreys:
    """One-sided tests per grade and for the portfolio; a small p says the PD was too low."""

    grades: tuple[float | NotEvaluable, ...]
    portfolio: float | NotEvaluable
    portfolio_pd: float | NotEvaluable


@dataclass(frozen=True, slots=True)
class Murphy:
    """Brier score = reliability - resolution + uncertainty, over groups of one PD each."""

    brier: float
    reliability: float
    resolution: float
    uncertainty: float
    skill: float | NotEvaluable


@dataclass(frozen=True, slots=True)
class Line:
    """logit(y) = intercept + slope logit(p); perfect is 0 and 1.

    Attributes:
        offset: the intercept when the slope is held at 1 (calibration in the large).
        intercept_p, slope_p, joint_p: Wald tests of intercept 0, of slope 1, and of both at once.
        clipped: rows whose p was moved off 0 or 1.
    """

    intercept: float
    slope: float
    intercept_se: float
    slope_se: float
    offset: float
    offset_se: float
    intercept_p: float
    slope_p: float
    joint_p: float
    clipped: int


@dataclass(frozen=True, slots=True)
class ChiSquare:
    """A statistic with its degrees of freedom."""

    statistic: float
    freedom: int
    p_value: float


@dataclass(frozen=True, slots=True)
class ZTest:
    """A normal statistic with its two-sided and upper p-value."""

    z: float
    two_sided: float
    upper: float


def jeffreys(n: int, defaults: int, pd: float) -> float | NotEvaluable:
    """P(true rate <= pd | data) under Jeffreys' prior: small when the PD was too low.

    Source:
        ECB 2019, section 2.5.3.1.
    """
    if n == 0:
        return NotEvaluable("the grade is empty")
    _counts(n, defaults)
    return float(special.betainc(defaults + 0.5, n - defaults + 0.5, pd))


def jeffreys_interval(n: float, defaults: float, level: float) -> tuple[float, float] | NotEvaluable:
    """Equal-tailed Jeffreys interval of the default rate; its ends are 0 and 1 where no or all rows defaulted.

    Source:
        Brown, Cai, DasGupta 2001.
    """
    if n == 0:
        return NotEvaluable("the grade is empty")
    _counts(n, defaults)
    tail = (1.0 - level) / 2.0
    low = 0.0 if defaults == 0 else float(special.betaincinv(defaults + 0.5, n - defaults + 0.5, tail))
    high = 1.0 if defaults == n else float(special.betaincinv(defaults + 0.5, n - defaults + 0.5, 1.0 - tail))
    return low, high


def jeffreys_scale(n: Sequence[int], defaults: Sequence[int], pd: Sequence[float]) -> Jeffreys:
    """Each grade and the portfolio, whose PD is the mean over obligors.

    Every grade can pass while the portfolio fails: both are looked at.
    """
    total = sum(n)
    if total == 0:
        empty = NotEvaluable("the portfolio is empty")
        return Jeffreys(tuple(NotEvaluable("the grade is empty") for _ in n), empty, empty)
    mean = math.fsum(k * p for k, p in zip(n, pd, strict=True)) / total
    grades = tuple(jeffreys(k, d, p) for k, d, p in zip(n, defaults, pd, strict=True))
    return Jeffreys(grades, jeffreys(total, sum(defaults), mean), mean)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Holm's adjustment for many tests at once, in the given order.

    Source:
        Holm 1979. That grades are adjusted is our rule; the ECB's instructions report them unadjusted.
    """
    order = np.argsort(p_values, kind="stable")
    adjusted = [0.0] * len(p_values)
    worst = 0.0
    for place, index in enumerate(order):
        worst = max(worst, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = worst
    return tuple(adjusted)


def binomial(n: int, defaults: int, pd: float) -> float | NotEvaluable:
    """P(at least so many defaults), defaults independent.

    Source:
        BCBS working paper 14 (2005).
    """
    if n == 0:
        return NotEvaluable("the grade is empty")
    _counts(n, defaults)
    return float(stats.binom.sf(defaults - 1, n, pd))


def binomial_correlated(n: int, defaults: int, pd: float, correlation: float) -> float | NotEvaluable:
    """P(at least so many defaults) when one common normal factor moves all obligors.

    Args:
        correlation: of the asset values, 0 to below 1: an assumption that must be documented.

    Source:
        BCBS working paper 14 (2005); Vasicek 2002.
    """
    if n == 0:
        return NotEvaluable("the grade is empty")
    _counts(n, defaults)
    if not 0.0 <= correlation < 1.0:
        raise ValueError("a correlation is 0 to below 1")
    if correlation == 0.0 or pd in (0.0, 1.0):
        return binomial(n, defaults, pd)
    threshold = float(special.ndtri(pd))

    def given(factor: float) -> float:
        rate = special.ndtr((threshold - math.sqrt(correlation) * factor) / math.sqrt(1.0 - correlation))
        return float(stats.binom.sf(defaults - 1, n, rate)) * math.exp(-0.5 * factor * factor)

    value, _ = integrate.quad(
        given, -NORMAL_LIMIT, NORMAL_LIMIT, points=[-4.0, -2.0, 0.0, 2.0, 4.0], epsabs=1e-12, limit=400
    )
    return float(value) / math.sqrt(2.0 * math.pi)


def critical_defaults(n: int, pd: float, confidence: float, correlation: float = 0.0) -> int | NotEvaluable:
    """Smallest number of defaults whose upper tail is at most 1 - confidence; n + 1 when none is."""
    if n == 0:
        return NotEvaluable("the grade is empty")
    low, high = 0, n + 1
    while low < high:
        middle = (low + high) // 2
        tail = 0.0 if middle > n else binomial_correlated(n, middle, pd, correlation)
        if isinstance(tail, NotEvaluable):  # n is positive here
            return tail
        if tail <= 1.0 - confidence:
            high = middle
        else:
            low = middle + 1
    return low


def brier(outcome: npt.ArrayLike, probability: npt.ArrayLike) -> float | NotEvaluable:
    """Mean squared error of the probabilities, by row."""
    y, p = _pair(outcome, probability)
    if y.size == 0:
        return NotEvaluable("the sample is empty")
    return float(np.mean((p - y) ** 2))


def murphy(n: npt.ArrayLike, defaults: npt.ArrayLike, pd: npt.ArrayLike) -> Murphy | NotEvaluable:
    """Brier score and its parts over groups; exact because each group has one PD.

    Source:
        Murphy 1973.
    """
    count, bad, p = (np.asarray(x, dtype=np.float64) for x in (n, defaults, pd))
    total = float(count.sum())
    if total == 0.0:
        return NotEvaluable("the sample is empty")
    filled = count > 0
    count, bad, p = count[filled], bad[filled], p[filled]
    rate, overall = bad / count, float(bad.sum() / total)
    reliability = float((count * (p - rate) ** 2).sum() / total)
    resolution = float((count * (rate - overall) ** 2).sum() / total)
    uncertainty = overall * (1.0 - overall)
    score = float((bad * (1.0 - p) ** 2 + (count - bad) * p**2).sum() / total)
    skill: float | NotEvaluable = NotEvaluable("the sample holds only one outcome class")
    if uncertainty > 0.0:
        skill = 1.0 - score / uncertainty
    return Murphy(score, reliability, resolution, uncertainty, skill)


def calibration_error(n: npt.ArrayLike, defaults: npt.ArrayLike, pd: npt.ArrayLike) -> float | NotEvaluable:
    """Mean over obligors of the distance between PD and default rate of their grade."""
    count, bad, p = (np.asarray(x, dtype=np.float64) for x in (n, defaults, pd))
    if count.sum() == 0:
        return NotEvaluable("the sample is empty")
    filled = count > 0
    return float(np.abs(bad - count * p)[filled].sum() / count.sum())


def calibration_line(outcome: npt.ArrayLike, probability: npt.ArrayLike, clip: float = 1e-12) -> Line | NotEvaluable:
    """Logistic regression of the outcome on the logit of the prediction, by Newton's method.

    Args:
        clip: probabilities are moved this far off 0 and 1; how many were is part of the result.

    Source:
        Cox 1958; Van Calster et al. 2019.
    """
    y, p = _pair(outcome, probability)
    if y.size == 0 or y.min() == y.max():
        return NotEvaluable("the sample holds only one outcome class" if y.size else "the sample is empty")
    moved = np.clip(p, clip, 1.0 - clip)
    x = special.logit(moved)
    if float(np.ptp(x)) < 1e-12:
        return NotEvaluable("all predictions are equal: no slope can be fitted")
    fitted = _newton([np.ones_like(x), x], y, np.zeros_like(x))
    level = _newton([np.ones_like(x)], y, x)
    if isinstance(fitted, NotEvaluable):
        return fitted
    if isinstance(level, NotEvaluable):
        # a slope was found, so the classes are not separated
        return NotEvaluable("the intercept at slope 1 cannot be found: predictions lie too near 0 or 1")
    beta, covariance = fitted
    errors = np.sqrt(np.diag(covariance))
    away = beta - np.array([0.0, 1.0])
    joint = float(away @ np.linalg.solve(covariance, away))
    return Line(
        intercept=float(beta[0]),
        slope=float(beta[1]),
        intercept_se=float(errors[0]),
        slope_se=float(errors[1]),
        offset=float(level[0][0]),
        offset_se=float(math.sqrt(level[1][0, 0])),
        intercept_p=float(2.0 * stats.norm.sf(abs(away[0] / errors[0]))),
        slope_p=float(2.0 * stats.norm.sf(abs(away[1] / errors[1]))),
        joint_p=float(stats.chi2.sf(joint, 2)),
        clipped=int((moved != p).sum()),
    )


def hosmer_lemeshow(
    n: npt.ArrayLike, defaults: npt.ArrayLike, pd: npt.ArrayLike, *, fitted_here: bool = False, minimum: float = 0.0
) -> ChiSquare | NotEvaluable:
    """Sum over grades of squared standardised distances.

    Args:
        fitted_here: True when the PDs were fitted on these rows; then two degrees of freedom fewer.
        minimum: least expected defaults and non-defaults in a grade for the chi-square to be trusted.

    Source:
        Hosmer and Lemeshow 1980; BCBS working paper 14 (degrees of freedom out of sample).
    """
    count, bad, p = (np.asarray(x, dtype=np.float64) for x in (n, defaults, pd))
    filled = count > 0
    count, bad, p = count[filled], bad[filled], p[filled]
    variance = count * p * (1.0 - p)
    if count.size == 0 or (variance <= 0.0).any():
        return NotEvaluable("a grade has a PD of 0 or 1" if count.size else "the sample is empty")
    if min(float((count * p).min()), float((count * (1.0 - p)).min())) < minimum:
        return NotEvaluable(f"a grade expects fewer than {minimum:g} defaults or non-defaults")
    freedom = count.size - (2 if fitted_here else 0)
    if freedom < 1:
        return NotEvaluable("too few grades for a degree of freedom")
    statistic = float(((bad - count * p) ** 2 / variance).sum())
    return ChiSquare(statistic, freedom, float(stats.chi2.sf(statistic, freedom)))


def spiegelhalter(outcome: npt.ArrayLike, probability: npt.ArrayLike) -> ZTest | NotEvaluable:
    """Is the Brier score what these probabilities would give?

    Source:
        Spiegelhalter 1986.
    """
    y, p = _pair(outcome, probability)
    variance = float(((1.0 - 2.0 * p) ** 2 * p * (1.0 - p)).sum())
    if variance <= 0.0:
        return NotEvaluable(
            "every probability is 0, 0.5 or 1: the statistic has no variance" if y.size else "the sample is empty"
        )
    z = float(((y - p) * (1.0 - 2.0 * p)).sum()) / math.sqrt(variance)
    return ZTest(z, float(2.0 * stats.norm.sf(abs(z))), float(stats.norm.sf(z)))


def normal_test(default_rates: npt.ArrayLike, pd: npt.ArrayLike, minimum_years: int = 5) -> ZTest | NotEvaluable:
    """Were the PDs too low over several years? Uses the spread between years, so correlation is allowed for.

    Source:
        BCBS working paper 14 (2005), normal test.
    """
    rates, means = np.asarray(default_rates, dtype=np.float64), np.asarray(pd, dtype=np.float64)
    gap = rates - means
    if gap.size < minimum_years:
        return NotEvaluable(f"the normal test needs at least {minimum_years} years, there are {gap.size}")
    if alike(gap, rates, means):
        return NotEvaluable("the gap between default rate and PD is the same in every year")
    z = float(gap.sum()) / math.sqrt(gap.size * float(np.var(gap, ddof=1)))
    return ZTest(z, float(2.0 * stats.norm.sf(abs(z))), float(stats.norm.sf(z)))


def _newton(columns: Sequence[Floats], y: Floats, offset: Floats) -> tuple[Floats, Floats] | NotEvaluable:
    """Coefficients and covariance of a logistic regression.

    Sums are numpy's own and not BLAS's, whose threads add up in another order and would change the last digit.
    """
    beta = np.zeros(len(columns))
    for _ in range(100):
        linear = offset + sum((b * column for b, column in zip(beta, columns, strict=True)), np.zeros_like(offset))
        mean = special.expit(linear)
        weight = mean * (1.0 - mean)
        information = np.array([[float((a * weight * b).sum()) for b in columns] for a in columns])
        if not np.isfinite(information).all() or np.linalg.cond(information) > 1e14:
            return NotEvaluable("the fit does not converge: the predictions separate the classes")
        step = np.linalg.solve(information, np.array([float((a * (y - mean)).sum()) for a in columns]))
        # a damped step keeps Newton from leaping over the maximum when predictions are extreme
        largest = float(np.abs(step).max())
        beta = beta + (step if largest <= 5.0 else step * (5.0 / largest))
        if largest < 1e-10:
            covariance: Floats = np.linalg.inv(information).astype(np.float64)
            return beta, covariance
    return NotEvaluable("the fit does not converge: the predictions separate the classes")


def _counts(n: float, defaults: float) -> None:
    if not 0 <= defaults <= n:
        raise ValueError("defaults are 0 to n")


def _pair(outcome: npt.ArrayLike, probability: npt.ArrayLike) -> tuple[Floats, Floats]:
    y, p = np.asarray(outcome, dtype=np.float64), np.asarray(probability, dtype=np.float64)
    if y.ndim != 1 or y.shape != p.shape:
        raise ValueError("outcome and probability are two vectors of one length")
    if not np.isin(y, (0.0, 1.0)).all():
        raise ValueError("an outcome is 0 or 1")
    if not ((p >= 0.0) & (p <= 1.0)).all():
        raise ValueError("a probability is 0 to 1")
    return y, p
