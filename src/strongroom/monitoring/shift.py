"""Figures of one version beside another, each with what chance alone would give. Standard library and numpy only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from strongroom.monitoring.trials import Arm

ONE_SIDED: Final = 1.6448536269514722
"""95 % point of the normal distribution, one-sided."""
TWO_SIDED: Final = 1.959963984540054
KS_95: Final = 1.3580986393225507
"""sqrt(-ln(0.05 / 2) / 2): the 95 % point of sqrt(nm / (n + m)) times the two-sample distance, for large samples."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rate:
    """A share with Wilson's interval.

    Attributes:
        low, high: bounds; each is passed by chance in 5 % (one-sided) of cases.

    Source: Wilson 1927; Brown, Cai and DasGupta 2001.
    """

    events: int
    rows: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """As observed; 0 of none."""
        return self.events / self.rows if self.rows else 0.0


def rate(events: int, rows: int, z: float = ONE_SIDED) -> Rate:
    """A share with its interval; without rows everything is possible."""
    if rows == 0:
        return Rate(0, 0, 0.0, 1.0)
    share = events / rows
    centre = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z / (1 + z * z / rows) * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    return Rate(events, rows, max(0.0, centre - half), min(1.0, centre + half))


@dataclass(frozen=True, slots=True)
class Shift:
    """Difference of mean scores, challenger less champion.

    Attributes:
        mean: of the scores.
        error: standard error; paired where both scored the same rows.
        rows: pairs, or the smaller sample.
        paired: whether the same rows were scored.
    """

    mean: float
    error: float
    rows: int
    paired: bool

    @property
    def interval(self) -> tuple[float, float]:
        """95 %."""
        half = TWO_SIDED * self.error
        return self.mean - half, self.mean + half


def pairs_of(champion: Arm, challenger: Arm) -> tuple[Floats, Floats]:
    """Scores of both for the rows that both scored, in the order of the challenger's."""
    first = {one.decision_id: one.score for one in champion.good}
    both = [(first[one.beside], one.score) for one in challenger.good if one.kind == "shadow" and one.beside in first]
    return np.array([one for one, _ in both], np.float64), np.array([other for _, other in both], np.float64)


def shift(champion: Arm, challenger: Arm) -> Shift | None:
    """By how much the challenger scores higher; None with fewer than two rows on a side."""
    first, second = pairs_of(champion, challenger)
    if len(first) >= 2:
        moved = second - first
        return Shift(float(moved.mean()), float(moved.std(ddof=1) / math.sqrt(len(moved))), len(moved), True)
    one, other = champion.scores, challenger.scores
    if min(len(one), len(other)) < 2:
        return None
    error = math.sqrt(float(one.var(ddof=1)) / len(one) + float(other.var(ddof=1)) / len(other))
    return Shift(float(other.mean() - one.mean()), error, min(len(one), len(other)), False)


@dataclass(frozen=True, slots=True)
class Distance:
    """Two-sample Kolmogorov-Smirnov distance, and what it stays below by chance in 95 % of cases."""

    distance: float
    by_chance: float


def distance(one: Floats, other: Floats) -> Distance | None:
    """Largest gap between two distributions of scores; None where one is empty.

    Source: Smirnov 1948; Hodges 1958.
    """
    if not len(one) or not len(other):
        return None
    values = np.sort(np.concatenate([one, other]))
    below_one = np.searchsorted(np.sort(one), values, side="right") / len(one)
    below_other = np.searchsorted(np.sort(other), values, side="right") / len(other)
    by_chance = KS_95 * math.sqrt((len(one) + len(other)) / (len(one) * len(other)))
    return Distance(float(np.abs(below_one - below_other).max()), by_chance)
