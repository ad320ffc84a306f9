"""How sure is an AUC of few defaults? A studentised bootstrap, where the asymptotic variance is not to be trusted.

Defaulters and others are drawn again apart, with replacement. With few defaulters only their order among the others
matters, so the others are counts in the cells between neighbouring defaulters, and a draw is one multinomial a class:
the same distribution as drawing rows, in a time that does not grow with them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from strongroom.validation.results import NotEvaluable

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

FEW: Final = 50
"""With fewer rows than this in the rarer class the interval is drawn again. In our study (two normal scores, 1,000
others, AUC 0.7 to 0.9) the 95% interval by DeLong's variance held the AUC in 85 to 93 of 100 samples of 10 or 20
defaults, this one in 91 to 96."""
DRAWS: Final = 2000
SEED: Final = 20260101


@dataclass(frozen=True, slots=True)
class Redrawn:
    """What the bootstrap says of an AUC.

    Attributes:
        interval: at the level that was asked for.
        p_value: chance of so low an AUC if the initial one still held; None where there was none to compare with.
        draws: that had an AUC below 1, above 0 and with a variance; the others tell nothing.
    """

    interval: tuple[float, float]
    p_value: float | None
    draws: int


def few(defaults: int, others: int) -> bool:
    """Whether one class has so few rows that the normal interval is not to be trusted."""
    return min(defaults, others) < FEW


def redrawn(
    outcome: npt.ArrayLike, score: npt.ArrayLike, level: float, *, initial: float | None = None, draws: int = DRAWS
) -> Redrawn | NotEvaluable:
    """Bootstrap-t interval of the AUC on the logit scale, and the test of a fall by the same draws.

    Seeded, and by counts: the same rows in any order give the same figures.

    Args:
        outcome: 1 for default, 0 for not; shape [rows].
        score: rising with risk; shape [rows].
        level: of the interval.
        initial: AUC at development, taken as known, above 0 and below 1 to be compared with.
        draws: of the bootstrap.

    Source:
        Efron and Tibshirani 1993, section 12.5 (bootstrap-t); Obuchowski and Lieber 1998 (AUCs of small samples);
        Davison and Hinkley 1997, section 4.2 (p-value with one added).
    """
    y, s = np.asarray(outcome), np.asarray(score, dtype=np.float64)
    if y.ndim != 1 or y.shape != s.shape or not np.isin(y, (0, 1)).all():
        raise ValueError("outcome and score are two vectors of one length, and an outcome is 0 or 1")
    bad, good = s[y == 1], s[y == 0]
    if min(bad.size, good.size) < 2:
        return NotEvaluable("the bootstrap needs two rows in each class")
    if not np.isfinite(s).all():
        return NotEvaluable("a score is not finite")
    cells = _cells(bad, good) if bad.size <= good.size else _cells(-good, -bad)
    area, variance = (float(found[0]) for found in _areas(*(counts[None, :] for counts in cells)))
    if variance <= 0.0 or not 0.0 < area < 1.0:
        return NotEvaluable("the classes are perfectly separated, or all scores are equal: every draw is alike")
    random = np.random.default_rng(SEED)
    areas, variances = _areas(*(random.multinomial(c.sum(), c / c.sum(), draws) for c in cells))
    told = (variances > 0.0) & (areas > 0.0) & (areas < 1.0)
    if 2 * int(told.sum()) < draws:
        return NotEvaluable("most draws separate the classes perfectly: there are too few rows")
    areas, variances = areas[told], variances[told]
    centre, error = float(logit(area)), math.sqrt(variance) / (area * (1.0 - area))
    steps = (logit(areas) - centre) / (np.sqrt(variances) / (areas * (1.0 - areas)))
    high, low = np.quantile(steps, (0.5 - level / 2.0, 0.5 + level / 2.0))
    ends = (float(expit(centre - low * error)), float(expit(centre - high * error)))
    if initial is None or not 0.0 < initial < 1.0:
        return Redrawn(ends, None, int(areas.size))
    below = int((steps <= (centre - float(logit(initial))) / error).sum())
    return Redrawn(ends, (1 + below) / (1 + areas.size), int(areas.size))


def _cells(few_scores: Floats, many_scores: Floats) -> tuple[Counts, Counts]:
    """Rows of both classes by cell: odd cells are tied with a score of the rarer class, even ones lie between two."""
    cuts = np.unique(few_scores)
    size = 2 * cuts.size + 1
    place = np.searchsorted(cuts, many_scores, side="left") + np.searchsorted(cuts, many_scores, side="right")
    own = 2 * np.searchsorted(cuts, few_scores) + 1
    return np.bincount(own, minlength=size), np.bincount(place, minlength=size)


def _areas(bad: Counts, good: Counts) -> tuple[Floats, Floats]:
    """AUC and DeLong's variance of each line of counts by cell, cells ascending; shape [draws]."""
    defaults, others = bad.sum(axis=1, keepdims=True), good.sum(axis=1, keepdims=True)
    below = (np.cumsum(good, axis=1) - good / 2.0) / others
    above = 1.0 - (np.cumsum(bad, axis=1) - bad / 2.0) / defaults
    areas = (bad * below).sum(axis=1, keepdims=True) / defaults
    spread = (bad * (below - areas) ** 2).sum(axis=1) / ((defaults - 1) * defaults)[:, 0]
    spread = spread + (good * (above - areas) ** 2).sum(axis=1) / ((others - 1) * others)[:, 0]
    found: Floats = areas[:, 0]
    return found, spread
