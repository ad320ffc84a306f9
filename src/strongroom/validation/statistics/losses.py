"""Are estimated losses and exposures as high as those that came? Means, totals and buckets, in numbers or amounts.

Realised values below 0 and above 1 are kept everywhere: costs and late recoveries are real, and cutting them moves
the mean that is tested.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from strongroom.validation.results import NotEvaluable
from strongroom.validation.statistics.spread import alike

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TTest:
    """Paired t-test of realised against estimated values.

    Attributes:
        mean_difference: realised - estimated, every row alike.
        variance: of the differences, with n - 1.
        statistic: root of n times the mean difference over the standard deviation.
        upper: 1 - t(n - 1) at the statistic; small when estimates were too low.
        two_sided: small when estimates were off either way.
        interval: of the mean difference, at the level that was asked for.
        n: rows.
    """

    mean_difference: float
    variance: float
    statistic: float
    upper: float
    two_sided: float
    interval: tuple[float, float]
    n: int


def t_test(realised: npt.ArrayLike, estimated: npt.ArrayLike, level: float = 0.95) -> TTest | NotEvaluable:
    """Do estimates lie below what came, on average?

    LGD and LGD in default read `upper`, ELBE `two_sided`; CCF and EAD read `upper`. The mean is used for CCF too: a
    printed formula with a sum in its place contradicts the template that belongs to it.

    Args:
        realised, estimated: shape [rows], one pair a facility: number weighted.
        level: of the interval.

    Source:
        ECB 2019, sections 2.6.2.1 (LGD), 2.7.2.1 (ELBE), 2.8.2.1 (LGD in default), 2.9.3.1 (CCF), 2.9.3.2 (EAD).
    """
    pair = _pair(realised, estimated)
    if isinstance(pair, NotEvaluable):
        return pair
    came, told = pair
    gap = came - told
    if gap.size < 2:
        return NotEvaluable("a t-test needs two rows at least")
    if alike(gap, came, told):
        return NotEvaluable("all differences are equal, so they have no variance")
    mean, variance = float(gap.mean()), float(gap.var(ddof=1))
    error = math.sqrt(variance / gap.size)
    # squares of differences below 1e-154 are 0 in float64
    statistic = mean / error if error > 0.0 else math.inf
    if not math.isfinite(statistic):
        return NotEvaluable("the differences are too small to have a variance in float64")
    freedom = gap.size - 1
    reach = float(stats.t.isf((1.0 - level) / 2.0, freedom)) * error
    return TTest(
        mean_difference=mean,
        variance=variance,
        statistic=statistic,
        upper=float(stats.t.sf(statistic, freedom)),
        two_sided=float(2.0 * stats.t.sf(abs(statistic), freedom)),
        interval=(mean - reach, mean + reach),
        n=int(gap.size),
    )


def loss_shortfall(exposure: npt.ArrayLike, realised: npt.ArrayLike, estimated: npt.ArrayLike) -> float | NotEvaluable:
    """1 - estimated total over realised total, in amounts; above 0 when too little was estimated.

    Args:
        exposure: weight of each row, an amount; ones for amounts that are no shares.
        realised, estimated: shape [rows].

    Source:
        Li, Bhariok, Keenan and Santilli 2009.
    """
    pair = _pair(realised, estimated)
    if isinstance(pair, NotEvaluable):
        return pair
    came, told = pair
    weight = _weight(exposure, came)
    if isinstance(weight, NotEvaluable):
        return weight
    lost, foreseen = math.fsum(weight * came), math.fsum(weight * told)
    if lost <= 0.0:
        return NotEvaluable("nothing was lost in total, so there is nothing to fall short of")
    share = foreseen / lost
    return 1.0 - share if math.isfinite(share) else NotEvaluable("the realised total is too small to divide by")


def mean_absolute_deviation(
    exposure: npt.ArrayLike, realised: npt.ArrayLike, estimated: npt.ArrayLike
) -> float | NotEvaluable:
    """Exposure-weighted mean distance of realised and estimated.

    Args:
        exposure: weight of each row, not below 0.
        realised, estimated: shape [rows].

    Source:
        Li, Bhariok, Keenan and Santilli 2009.
    """
    pair = _pair(realised, estimated)
    if isinstance(pair, NotEvaluable):
        return pair
    came, told = pair
    weight = _weight(exposure, came)
    if isinstance(weight, NotEvaluable):
        return weight
    total = math.fsum(weight)
    if total <= 0.0:
        return NotEvaluable("the exposures are 0 in total")
    return math.fsum(weight * np.abs(came - told)) / total


def r_squared(realised: npt.ArrayLike, estimated: npt.ArrayLike) -> float | NotEvaluable:
    """1 - squared errors over squared distances from the realised mean. Below 0: worse than that mean for everybody."""
    pair = _pair(realised, estimated)
    if isinstance(pair, NotEvaluable):
        return pair
    came, told = pair
    if alike(came):
        return NotEvaluable("all realised values are equal, so there is nothing to explain")
    around = math.fsum((came - came.mean()) ** 2)
    share = math.fsum((came - told) ** 2) / around if around > 0.0 else math.inf
    return 1.0 - share if math.isfinite(share) else NotEvaluable("the outcomes vary too little for float64")


@dataclass(frozen=True, slots=True)
class Bucket:
    """Rows whose estimates lie together. `test` says why there is none; means are None in an empty bucket.

    Attributes:
        upper: largest estimate of the bucket (or of what is cut instead), or None for the last.
    """

    upper: float | None
    n: int
    estimated: float | None
    realised: float | None
    test: TTest | NotEvaluable


def buckets(
    realised: npt.ArrayLike, estimated: npt.ArrayLike, edges: Sequence[float], level: float = 0.95,
    by: npt.ArrayLike | None = None,
) -> tuple[Bucket, ...] | NotEvaluable:  # fmt: skip
    """Realised beside estimated in buckets of the estimate, or of another number of each row.

    Args:
        realised, estimated: shape [rows].
        edges: inner edges, ascending; an estimate x is in bucket `sum(x > edge)`.
        level: of each bucket's interval.
        by: what is cut by the edges instead of the estimate. Shape [rows].
    """
    pair = _pair(realised, estimated)
    if isinstance(pair, NotEvaluable):
        return pair
    came, told = pair
    place = np.searchsorted(
        np.asarray(edges, dtype=np.float64), told if by is None else np.asarray(by, dtype=np.float64), side="left"
    )
    found = []
    for number in range(len(edges) + 1):
        mine = place == number
        filled = bool(mine.any())
        found.append(
            Bucket(
                upper=float(edges[number]) if number < len(edges) else None,
                n=int(mine.sum()),
                estimated=float(told[mine].mean()) if filled else None,
                realised=float(came[mine].mean()) if filled else None,
                test=t_test(came[mine], told[mine], level),
            )
        )
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Exposures:
    """Exposures at default in amounts, of facilities with a limit.

    Attributes:
        realised, estimated: drawn + conversion factor times undrawn.
        undrawn: limit - drawn, 0 where more is drawn than the limit.
        convertible: rows with anything undrawn: only these have a conversion factor.
        below_zero: rows whose drawn amount is below 0, counted as 0.
    """

    realised: Floats
    estimated: Floats
    undrawn: Floats
    convertible: npt.NDArray[np.bool_]
    below_zero: int


def exposures(
    limit: npt.ArrayLike, drawn: npt.ArrayLike, realised: npt.ArrayLike, estimated: npt.ArrayLike
) -> Exposures:
    """Amounts from conversion factors.

    A credit balance (drawn below 0) counts as 0 drawn, so that a deposit lends nothing to others; a facility drawn
    beyond its limit has nothing undrawn, whatever its conversion factor.

    Args:
        limit, drawn: amounts at the reference date, shape [rows].
        realised, estimated: conversion factors.

    Source:
        CRR Art. 166(8), 182; the treatment of drawn below 0 is a house rule.
    """
    used = np.maximum(np.asarray(drawn, dtype=np.float64), 0.0)
    undrawn = np.maximum(np.asarray(limit, dtype=np.float64) - used, 0.0)
    came, told = (np.asarray(side, dtype=np.float64) for side in (realised, estimated))
    return Exposures(
        realised=used + came * undrawn,
        estimated=used + told * undrawn,
        undrawn=undrawn,
        convertible=undrawn > 0.0,
        below_zero=int((np.asarray(drawn, dtype=np.float64) < 0.0).sum()),
    )


def share_outside(values: npt.ArrayLike, low: float = 0.0, high: float = 1.0) -> tuple[float, float] | NotEvaluable:
    """Shares of rows below `low` and above `high`."""
    data = np.asarray(values, dtype=np.float64)
    if data.size == 0:
        return NotEvaluable("the sample is empty")
    if not np.isfinite(data).all():
        return NotEvaluable("a value is not finite")
    return float((data < low).mean()), float((data > high).mean())


def _pair(realised: npt.ArrayLike, estimated: npt.ArrayLike) -> tuple[Floats, Floats] | NotEvaluable:
    came, told = np.asarray(realised, dtype=np.float64), np.asarray(estimated, dtype=np.float64)
    if came.ndim != 1 or came.shape != told.shape:
        raise ValueError("realised and estimated are two vectors of one length")
    if came.size == 0:
        return NotEvaluable("the sample is empty")
    if not (np.isfinite(came).all() and np.isfinite(told).all()):
        return NotEvaluable("a realised value or an estimate is not finite")
    return came, told


def _weight(exposure: npt.ArrayLike, beside: Floats) -> Floats | NotEvaluable:
    weight = np.asarray(exposure, dtype=np.float64)
    if weight.shape != beside.shape:
        raise ValueError("each row has an exposure")
    if not np.isfinite(weight).all() or (weight < 0.0).any():
        return NotEvaluable("an exposure is below 0 or not finite")
    return weight
