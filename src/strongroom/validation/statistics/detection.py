"""Does the score find the rare events, and what does each alarm cost? Precision and recall, value, cost, time.

Scores rise with suspicion; a row is an alarm when its score is at or above the threshold. `weight` says how many
transactions a row stands for, so that a sample enriched with frauds is read at the rate of the real traffic.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy import stats

from strongroom.validation.results import NotEvaluable
from strongroom.validation.statistics.weights import effective_number

Floats = npt.NDArray[np.float64]
ALARMS_LIMIT = 2**53


@dataclass(frozen=True, slots=True)
class AveragePrecision:
    """Area under the precision-recall curve as a step function: no line is drawn between two thresholds.

    Attributes:
        value: 0 to 1; a random order gives the rate.
        rate: share of frauds by weight.
        frauds, others: rows per class.
        effective: how many frauds of equal weight say as much as these.
    """

    value: float
    rate: float
    frauds: int
    others: int
    effective: float

    def interval(self, level: float) -> tuple[float, float] | NotEvaluable:
        """Interval on the logit scale, with the frauds as the number of rows; unequal weights make it fewer.

        Args:
            level: coverage, such as 0.95.

        Source:
            Boyd, Eng and Page 2013, section 3; Kish 1965.
        """
        if not 0.0 < self.value < 1.0:
            return NotEvaluable("an average precision of 0 or 1 has no interval on the logit scale")
        middle = math.log(self.value / (1.0 - self.value))
        half = float(stats.norm.ppf(0.5 + level / 2.0)) / math.sqrt(self.effective * self.value * (1.0 - self.value))
        low, high = (1.0 / (1.0 + math.exp(-x)) for x in (middle - half, middle + half))
        return low, high


@dataclass(frozen=True, slots=True)
class Top:
    """The rows that a team of fixed size would look at.

    Attributes:
        precision: share of frauds among the alarms.
        recall: share of the frauds that are among the alarms.
        value: share of the frauds' amount that is among the alarms, or None when no fraud has an amount.
        threshold: score of the last alarm.
        tied: whether more rows have that score than there is room for; they count by their share then.
    """

    precision: float
    recall: float
    value: float | None
    threshold: float
    tied: bool


@dataclass(frozen=True, slots=True)
class Steps:
    """Alarms at each threshold that changes them, from none to all. Arrays of shape [steps], counts by weight.

    Attributes:
        threshold: descending; the first is infinite, which means no alarm.
        found: frauds among the alarms.
        false: others among the alarms.
        value: amount of the frauds among the alarms.
        frauds, others, amount: the totals.
    """

    threshold: Floats
    found: Floats
    false: Floats
    value: Floats
    frauds: float
    others: float
    amount: float

    @property
    def recall(self) -> Floats:
        """Share of the frauds found."""
        return self.found / self.frauds

    @property
    def precision(self) -> Floats:
        """Share of frauds among the alarms; 1 where there is no alarm, the convention for drawing."""
        alarms = self.found + self.false
        return np.divide(self.found, alarms, out=np.ones_like(alarms), where=alarms > 0.0)


@dataclass(frozen=True, slots=True)
class Costs:
    """Cost of false alarms and of missed amounts at each threshold.

    Attributes:
        threshold, cost: shape [steps], thresholds descending from infinity.
        best, least: the threshold of the least cost and that cost; among equal ones the one with fewest alarms.
        none, all: cost without any alarm, and with an alarm on every row.
    """

    threshold: Floats
    cost: Floats
    best: float
    least: float
    none: float
    all: float

    def at(self, threshold: float) -> float:
        """Cost when alarms are the scores at or above `threshold`."""
        reached = np.nonzero(self.threshold >= threshold)[0]
        return float(self.cost[reached[-1]])


@dataclass(frozen=True, slots=True)
class Window:
    """One stretch of time, from `start` on and before `end` (the last one: up to and including it).

    Attributes:
        rows, frauds: in it.
        recall: share of the frauds' weight that a fixed threshold found; None without frauds.
        alarms: weight of the rows at or above it.
        effective: how many frauds of equal weight say as much as these.
        precision: average precision, or why there is none.
    """

    start: float
    end: float
    rows: int
    frauds: int
    recall: float | None
    alarms: float
    effective: float
    precision: AveragePrecision | NotEvaluable

    @property
    def found(self) -> float:
        """Frauds found, of `effective` ones."""
        return self.effective * (self.recall or 0.0)


@dataclass(frozen=True, slots=True)
class Trend:
    """Does the share of frauds found move with time? Two-sided; z below 0 says that it falls."""

    z: float
    p_value: float


def steps(
    outcome: npt.ArrayLike, score: npt.ArrayLike, amount: npt.ArrayLike | None = None,
    weight: npt.ArrayLike | None = None,
) -> Steps | NotEvaluable:  # fmt: skip
    """Alarms at every threshold; rows of one score are one step.

    Args:
        outcome: 1 for fraud, 0 for not; shape [rows].
        score: rising with suspicion; shape [rows].
        amount: 0 or more, what a fraud costs when it is missed; 0 for all when left out.
        weight: above 0, how many transactions the row stands for; 1 when left out.
    """
    y, s = np.asarray(outcome), np.asarray(score, dtype=np.float64)
    a = np.zeros(s.shape) if amount is None else np.asarray(amount, dtype=np.float64)
    w = np.ones(s.shape) if weight is None else np.asarray(weight, dtype=np.float64)
    if y.ndim != 1 or not y.shape == s.shape == a.shape == w.shape:
        raise ValueError("outcome, score, amount and weight are vectors of one length")
    if not np.isin(y, (0, 1)).all():
        raise ValueError("an outcome is 0 or 1")
    if not (np.isfinite(a) & (a >= 0.0) & np.isfinite(w) & (w > 0.0)).all():
        raise ValueError("an amount is 0 or more, a weight above 0")
    if not y.any() or y.all():
        return NotEvaluable("the sample holds only one outcome class" if y.size else "the sample is empty")
    if not np.isfinite(s).all():
        return NotEvaluable("a score is not finite")
    order = np.argsort(-s, kind="stable")
    ends = np.append(np.nonzero(np.diff(s[order]))[0], s.size - 1)
    sums = [np.concatenate([[0.0], np.cumsum(x[order])[ends]]) for x in (w * y, w * (1 - y), w * y * a)]
    threshold = np.concatenate([[math.inf], s[order][ends]])
    found, false, value = sums
    return Steps(threshold, found, false, value, float(found[-1]), float(false[-1]), float(value[-1]))


def average_precision(
    outcome: npt.ArrayLike, score: npt.ArrayLike, weight: npt.ArrayLike | None = None
) -> AveragePrecision | NotEvaluable:
    """Sum over thresholds of the gain in recall times the precision, rows of one score together.

    Source:
        Davis and Goadrich 2006 on why a line between two points of the curve would be too good.
    """
    table = steps(outcome, score, None, weight)
    if isinstance(table, NotEvaluable):
        return table
    value = float(np.sum(np.diff(table.recall) * table.precision[1:]))
    y = np.asarray(outcome)
    frauds, others = int(y.sum()), int((y == 0).sum())
    effective = float(frauds) if weight is None else effective_number(np.asarray(weight)[y == 1])
    return AveragePrecision(min(value, 1.0), table.frauds / (table.frauds + table.others), frauds, others, effective)


def top(table: Steps, alarms: float) -> Top | NotEvaluable:
    """What is found among the `alarms` rows (by weight) with the highest scores.

    Rows of one score that do not all fit count by their share, which is what a random choice among them gives on
    average.

    Args:
        table: of the sample.
        alarms: above 0.
    """
    if not 0.0 < alarms <= ALARMS_LIMIT:
        raise ValueError("a team looks at more than 0 alarms")
    total = table.found + table.false
    if alarms > total[-1]:
        return NotEvaluable("the sample has fewer rows than alarms")
    place = int(np.searchsorted(total, alarms))
    share = (alarms - total[place - 1]) / (total[place] - total[place - 1])
    found, value = (float(x[place - 1] + share * (x[place] - x[place - 1])) for x in (table.found, table.value))
    return Top(
        precision=found / alarms,
        recall=found / table.frauds,
        value=value / table.amount if table.amount > 0.0 else None,
        threshold=float(table.threshold[place]),
        tied=share < 1.0,
    )


def costs(table: Steps, false_alarm: float) -> Costs:
    """Cost by threshold: `false_alarm` for each false alarm, and the amount of each missed fraud.

    Args:
        table: of the sample, with amounts.
        false_alarm: 0 or more, in the unit of the amounts.

    Source:
        Elkan 2001; Correa Bahnsen et al. 2013 (costs by example).
    """
    if not 0.0 <= false_alarm < math.inf:
        raise ValueError("a false alarm costs 0 or more")
    cost = false_alarm * table.false + (table.amount - table.value)
    least = int(np.argmin(cost))
    return Costs(
        table.threshold, cost, float(table.threshold[least]), float(cost[least]), float(cost[0]), float(cost[-1])
    )


def calibrated_threshold(false_alarm: float, missed: float) -> float | NotEvaluable:
    """The probability from which on an alarm costs less than none, for scores that are calibrated probabilities.

    Args:
        false_alarm: cost of an alarm on a genuine transaction.
        missed: cost of a fraud without an alarm.

    Source:
        Elkan 2001, equation 2.
    """
    if min(false_alarm, missed) < 0.0:
        raise ValueError("a cost is 0 or more")
    if false_alarm + missed == 0.0:
        return NotEvaluable("without a cost every threshold is as good")
    return false_alarm / (false_alarm + missed)


def windows(
    time: npt.ArrayLike, outcome: npt.ArrayLike, score: npt.ArrayLike, edges: Sequence[float], threshold: float,
    weight: npt.ArrayLike | None = None,
) -> tuple[Window, ...]:  # fmt: skip
    """Cut a sample by time and look at each part on its own.

    Args:
        time: shape [rows], any unit.
        outcome, score, weight: as `steps` says.
        edges: ascending; the last window includes its end. Rows outside all windows are left out.
        threshold: of the alarm, the same for all windows and chosen before the first.
    """
    t, y, s = (np.asarray(x, dtype=np.float64) for x in (time, outcome, score))
    w = np.ones(s.shape) if weight is None else np.asarray(weight, dtype=np.float64)
    if len(edges) < 2 or any(b <= a for a, b in pairwise(edges)):
        raise ValueError("edges of time windows ascend")
    found = []
    for start, end in pairwise(edges):
        inside = (t >= start) & ((t <= end) if end == edges[-1] else (t < end))
        bad, alarm = inside & (y == 1.0), inside & (s >= threshold)
        recall = float(w[bad & alarm].sum() / w[bad].sum()) if bad.any() else None
        found.append(
            Window(
                start, end, int(inside.sum()), int(bad.sum()), recall, float(w[alarm].sum()),
                effective_number(w[bad]), average_precision(y[inside].astype(np.int64), s[inside], w[inside]),
            )
        )  # fmt: skip
    return tuple(found)


def trend(parts: Sequence[Window], least: int = 1) -> Trend | NotEvaluable:
    """Cochran-Armitage test that the share of frauds found is the same in each window, against a rise or fall.

    Recall and not precision, since precision moves with the rate of fraud although the model is the same. Weighted
    frauds count as so many of equal weight as say as much.

    Args:
        parts: in order of time.
        least: windows with fewer frauds, as they count, are left out.

    Source:
        Cochran 1954; Armitage 1955; Rao and Scott 1992 for counts over their design effect.
    """
    used = [(place, part) for place, part in enumerate(parts) if told(part, least)]
    if len(used) < 2:
        return NotEvaluable("fewer than two windows hold enough frauds")
    x = np.array([float(place) for place, _ in used])
    n, hits = (np.array([float(getattr(part, name)) for _, part in used]) for name in ("effective", "found"))
    rate = float(hits.sum() / n.sum())
    if rate in (0.0, 1.0):
        return NotEvaluable("all frauds are found, or none: there is nothing that could move")
    middle = float((n * x).sum() / n.sum())
    variance = rate * (1.0 - rate) * float((n * (x - middle) ** 2).sum())
    z = float(((x - middle) * (hits - n * rate)).sum()) / math.sqrt(variance)
    return Trend(z, float(2.0 * stats.norm.sf(abs(z))))


def told(part: Window, least: int) -> bool:
    """Whether a window holds frauds enough to say anything; rounding of weights takes none away."""
    return part.effective >= max(least, 1) * (1.0 - 1e-9)


def late(development: npt.ArrayLike, validation: npt.ArrayLike) -> int:
    """Rows of the development sample that are not older than every row of the validation sample: a leak of time.

    Args:
        development, validation: time of each row, in one unit; neither is empty.
    """
    old, new = (np.asarray(x, dtype=np.float64) for x in (development, validation))
    if not old.size or not new.size or not (np.isfinite(old).all() and np.isfinite(new).all()):
        raise ValueError("both samples have rows with a time")
    return int((old >= new.min()).sum())
