"""Does the score put defaulters above the others? AUC with its variance, Gini, KS, and comparisons.

Scores rise with risk. Sums are exact in order: a permutation of the rows changes no figure beyond rounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from strongroom.validation.results import NotEvaluable

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Auc:
    """Area under the ROC curve.

    Attributes:
        auc: P(defaulter scores above other) + half P(tie), 0 to 1.
        variance: DeLong's, or None with fewer than two rows in a class.
        defaults, others: rows per class.
    """

    auc: float
    variance: float | None
    defaults: int
    others: int

    @property
    def gini(self) -> float:
        """2 AUC - 1, the accuracy ratio."""
        return 2.0 * self.auc - 1.0

    def interval(self, level: float) -> tuple[float, float] | NotEvaluable:
        """Normal interval, cut at 0 and 1.

        Args:
            level: coverage, such as 0.95.
        """
        if self.variance is None:
            return NotEvaluable("the variance of the AUC needs two rows in each class")
        if self.variance <= 0.0:
            return NotEvaluable(
                "the variance of the AUC is zero: the classes are perfectly separated, or all scores are equal"
            )
        half = float(stats.norm.ppf(0.5 + level / 2.0)) * math.sqrt(self.variance)
        return max(0.0, self.auc - half), min(1.0, self.auc + half)


@dataclass(frozen=True, slots=True)
class Change:
    """Fall of the AUC against an initial value that is taken as known."""

    statistic: float
    p_value: float


@dataclass(frozen=True, slots=True)
class Paired:
    """Two scores on the same rows."""

    first: float
    second: float
    variance: float
    z: float
    p_value: float

    def interval(self, level: float) -> tuple[float, float]:
        """Normal interval of the first area less the second."""
        half = float(stats.norm.ppf(0.5 + level / 2.0)) * math.sqrt(self.variance)
        return self.first - self.second - half, self.first - self.second + half


@dataclass(frozen=True, slots=True)
class Ks:
    """Largest distance between the two classes' distributions, and the score at which it lies."""

    distance: float
    at: float


def placements(outcome: npt.ArrayLike, score: npt.ArrayLike) -> tuple[Floats, Floats] | NotEvaluable:
    """DeLong's structural components by midranks, O(n log n).

    Args:
        outcome: 1 for default, 0 for not; shape [rows].
        score: rising with risk; shape [rows].

    Returns:
        V10, the share of others below each defaulter (ties a half), and V01, the share of defaulters above each other;
        both in row order.

    Source:
        DeLong, DeLong, Clarke-Pearson 1988; Sun and Xu 2014 (midranks).
    """
    y, s = _pair(outcome, score)
    bad = int(y.sum())
    good = y.size - bad
    if bad == 0 or good == 0:
        return NotEvaluable("the sample holds only one outcome class" if y.size else "the sample is empty")
    if not np.isfinite(s).all():
        return NotEvaluable("a score is not finite")
    # a row's midrank among all less that in its own class is how many of the other class lie below it, equal ones a
    # half: one sort tells it for both classes, in whole halves, so that nothing is rounded
    order = np.argsort(s)
    ranked = s[order]
    first = np.append(True, ranked[1:] != ranked[:-1])
    begins = np.flatnonzero(first)
    ends = np.append(begins[1:], y.size)
    sums = np.append(0, np.cumsum(y[order]))
    bad_below = (sums[begins] + sums[ends]) / 2.0
    good_below = (begins + ends) / 2.0 - bad_below
    place = np.empty(y.size, dtype=np.intp)
    place[order] = np.cumsum(first) - 1
    return good_below[place[y]] / good, 1.0 - bad_below[place[~y]] / bad


def auc(outcome: npt.ArrayLike, score: npt.ArrayLike, weight: npt.ArrayLike | None = None) -> Auc | NotEvaluable:
    """AUC with DeLong's variance.

    Args:
        outcome, score: as `placements` says.
        weight: above 0, how many cases each row stands for; left out: one each. The area is that of the cases, the
            variance that of the rows: weights are known, and rows were drawn.

    Source:
        ECB, Instructions for reporting the validation results of internal models (2019), Annex 3.1; Sarndal, Swensson
        and Wretman 1992, result 5.6.1, for means of weighted rows.
    """
    if weight is not None:
        return _weighted_auc(outcome, score, np.asarray(weight, dtype=np.float64))
    parts = placements(outcome, score)
    if isinstance(parts, NotEvaluable):
        return parts
    v10, v01 = parts
    variance = None
    if v10.size > 1 and v01.size > 1:
        variance = float(np.var(v10, ddof=1) / v10.size + np.var(v01, ddof=1) / v01.size)
    return Auc(float(np.mean(v10)), variance, v10.size, v01.size)


def _weighted_auc(outcome: npt.ArrayLike, score: npt.ArrayLike, weight: Floats) -> Auc | NotEvaluable:
    y, s = _pair(outcome, score)
    if weight.shape != s.shape or not (np.isfinite(weight) & (weight > 0.0)).all():
        raise ValueError("each row has a weight above 0")
    if not y.any() or y.all():
        return NotEvaluable("the sample holds only one outcome class" if y.size else "the sample is empty")
    if not np.isfinite(s).all():
        return NotEvaluable("a score is not finite")
    bad, good = weight[y], weight[~y]
    v10, v01 = _below(s[y], s[~y], good), 1.0 - _below(s[~y], s[y], bad)
    area, variance = float(np.average(v10, weights=bad)), None
    if bad.size > 1 and good.size > 1:
        variance = sum(
            v.size / (v.size - 1) * float(((w * (v - area)) ** 2).sum()) / float(w.sum()) ** 2
            for v, w in ((v10, bad), (v01, good))
        )
    return Auc(area, variance, bad.size, good.size)


def _below(scores: Floats, others: Floats, weight: Floats) -> Floats:
    """Share of the others' weight below each score, ties counted half."""
    order = np.argsort(others, kind="stable")
    sums = np.concatenate([[0.0], np.cumsum(weight[order])])
    low, high = (sums[np.searchsorted(others[order], scores, side=side)] for side in ("left", "right"))
    share: Floats = (low + high) / (2.0 * sums[-1])
    return share


def auc_change(initial: float, current: Auc) -> Change | NotEvaluable:
    """Is the current AUC below the initial one, beyond chance? A small p says yes.

    Source:
        ECB 2019, section 2.5.4.1.
    """
    if current.variance is None or current.variance <= 0.0:
        return NotEvaluable("the current AUC has no variance to compare with")
    statistic = (initial - current.auc) / math.sqrt(current.variance)
    return Change(statistic, float(stats.norm.sf(statistic)))


def paired(outcome: npt.ArrayLike, first: npt.ArrayLike, second: npt.ArrayLike) -> Paired | NotEvaluable:
    """DeLong's test of two scores on the same rows, two-sided.

    Source:
        DeLong et al. 1988.
    """
    a, b = placements(outcome, first), placements(outcome, second)
    if isinstance(a, NotEvaluable):
        return a
    if isinstance(b, NotEvaluable):
        return b
    if a[0].size < 2 or a[1].size < 2:
        return NotEvaluable("the comparison needs two rows in each class")
    d10, d01 = a[0] - b[0], a[1] - b[1]
    # the variance of the difference of placements is v11 + v22 - 2 v12, without the cancellation of the three terms
    variance = float(np.var(d10, ddof=1) / d10.size + np.var(d01, ddof=1) / d01.size)
    if variance <= 0.0:
        return NotEvaluable("the two scores rank the rows alike: their difference has no variance")
    one, two = float(np.mean(a[0])), float(np.mean(b[0]))
    z = (one - two) / math.sqrt(variance)
    return Paired(one, two, variance, z, float(2.0 * stats.norm.sf(abs(z))))


def hanley_mcneil(area: float, defaults: int, others: int) -> float | NotEvaluable:
    """Standard error of an AUC when only the area and the counts are known.

    Source:
        Hanley and McNeil 1982.
    """
    if defaults < 1 or others < 1:
        return NotEvaluable("the sample holds only one outcome class")
    q1, q2 = area / (2.0 - area), 2.0 * area * area / (1.0 + area)
    top = area * (1.0 - area) + (defaults - 1) * (q1 - area * area) + (others - 1) * (q2 - area * area)
    return math.sqrt(max(0.0, top) / (defaults * others))


def ks(outcome: npt.ArrayLike, score: npt.ArrayLike) -> Ks | NotEvaluable:
    """Kolmogorov-Smirnov distance; where several scores reach it, the lowest is named."""
    y, s = _pair(outcome, score)
    if not y.any() or y.all():
        return NotEvaluable("the sample holds only one outcome class" if y.size else "the sample is empty")
    if not np.isfinite(s).all():
        return NotEvaluable("a score is not finite")
    values, place = np.unique(s, return_inverse=True)
    defaults, others = int(y.sum()), int((~y).sum())
    bad = np.cumsum(np.bincount(place[y], minlength=values.size))
    good = np.cumsum(np.bincount(place[~y], minlength=values.size))
    # whole numbers: of two equal distances, rounding must not make the later one larger
    gap = np.abs(good * defaults - bad * others)
    where = int(np.argmax(gap))
    return Ks(int(gap[where]) / (defaults * others), float(values[where]))


def roc(outcome: npt.ArrayLike, score: npt.ArrayLike, points: int = 200) -> Floats | NotEvaluable:
    """The ROC curve for drawing: columns false positive rate, true positive rate; from (0, 0) to (1, 1).

    Args:
        points: at most so many; more are thinned by rows, the ends kept.
    """
    y, s = _pair(outcome, score)
    if not y.any() or y.all():
        return NotEvaluable("the sample holds only one outcome class" if y.size else "the sample is empty")
    order = np.argsort(-s, kind="stable")
    steps = np.append(np.nonzero(np.diff(s[order]))[0], s.size - 1)
    true = np.cumsum(y[order])[steps] / int(y.sum())
    false = np.cumsum(~y[order])[steps] / int((~y).sum())
    curve = np.vstack([[0.0, 0.0], np.column_stack([false, true])])
    if len(curve) > points:
        curve = curve[np.unique(np.linspace(0, len(curve) - 1, points).round().astype(int))]
    return curve


def _pair(outcome: npt.ArrayLike, score: npt.ArrayLike) -> tuple[npt.NDArray[np.bool_], Floats]:
    y, s = np.asarray(outcome), np.asarray(score, dtype=np.float64)
    if y.ndim != 1 or y.shape != s.shape:
        raise ValueError("outcome and score are two vectors of one length")
    if not np.isin(y, (0, 1)).all():
        raise ValueError("an outcome is 0 or 1")
    return y.astype(np.bool_), s
