"""What a sample says of itself before any model: answers among its questions, gaps that tell, rows that repeat.

Figures of single features only; none needs the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import stats

from strongroom.validation.results import NotEvaluable
from strongroom.validation.statistics.bins import quantile_edges
from strongroom.validation.statistics.calibration import holm
from strongroom.validation.statistics.discrimination import auc
from strongroom.validation.statistics.tables import Rows

BINS: Final = 10
"""Quantile bins in which a feature's strength is looked at."""
ARTICLE_9: Final = (
    "ethnic", "racial", "race", "politic", "religio", "belief", "union", "genetic", "biometric", "health", "disease",
    "diagnos", "disab", "sexual", "orientation",
)  # fmt: skip
"""Words that a feature of a special category of personal data usually has in its name or purpose (GDPR Art. 9(1))."""


@dataclass(frozen=True, slots=True)
class Named:
    """A figure and the feature that it belongs to."""

    name: str
    figure: float


@dataclass(frozen=True, slots=True)
class Strength:
    """How far a feature alone orders the outcome, 0 to 1; `binned` where bins and gaps order it better than values."""

    name: str
    figure: float
    binned: bool


@dataclass(frozen=True, slots=True)
class Gap:
    """A feature whose missing values go with the outcome, or not.

    Attributes:
        missing: rows without a value.
        p_value: of the comparison of outcomes with and without, after Holm's adjustment for all features with gaps.
        difference: mean outcome without a value less that with one.
    """

    name: str
    missing: int
    p_value: float
    difference: float


def lone_strength(
    rows: Rows, outcome: npt.NDArray[Any], names: Sequence[str],
    learnt: tuple[Rows, npt.NDArray[Any]] | None = None,
) -> tuple[Strength, ...] | NotEvaluable:  # fmt: skip
    """How far each feature alone orders the outcome, strongest first: a very strong one may hold the answer itself.

    Events: |2 AUC - 1|. Numbers: the absolute rank correlation (Spearman). Of the values, over rows with one; and,
    where there is a sample to learn from, of its mean outcome in ten bins and among missing values, over all rows: a
    field that is filled for defaulters alone, or is low and high for them, tells as much as one that rises.

    Args:
        rows: shape [rows, features]; missing is NaN.
        outcome: shape [rows]; int64 of 0 and 1 for events, else float64.
        names: of the features.
        learnt: rows and outcomes of another sample, whose means order the bins.

    Returns:
        Features that have an answer; not evaluable where none has one.
    """
    found: list[Strength] = []
    for place, name in enumerate(names):
        values = rows[:, place].astype(np.float64)
        there = np.isfinite(values)
        plain = _orders(values[there], outcome[there])
        bins = None
        if learnt is not None:
            bins = _orders(_means(learnt[0][:, place].astype(np.float64), learnt[1], values), outcome)
        told = [figure for figure in (plain, bins) if figure is not None]
        if told:
            found.append(Strength(name, max(told), plain is None or (bins is not None and bins > plain)))
    if not found:
        return NotEvaluable("no feature has two values beside two outcomes")
    return tuple(sorted(found, key=lambda one: (-one.figure, one.name)))


def _orders(values: npt.NDArray[np.float64], outcome: npt.NDArray[Any]) -> float | None:
    if values.size < 3 or np.ptp(values) == 0.0 or np.ptp(outcome) == 0:
        return None
    if np.issubdtype(outcome.dtype, np.integer):
        area = auc(outcome, values)
        return None if isinstance(area, NotEvaluable) else abs(2.0 * area.auc - 1.0)
    return abs(float(stats.spearmanr(values, outcome).statistic))


def _means(
    learnt: npt.NDArray[np.float64], outcome: npt.NDArray[Any], values: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """For each value the mean outcome of its bin; a bin that was never seen has that of all."""
    edges = quantile_edges(learnt, BINS)
    before, now = (
        np.where(np.isnan(column), len(edges) + 1, np.searchsorted(edges, column, side="left"))
        for column in (learnt, values)
    )
    counts = np.bincount(before, minlength=len(edges) + 2)
    sums = np.bincount(before, weights=outcome.astype(np.float64), minlength=len(edges) + 2)
    overall = float(outcome.mean()) if outcome.size else 0.0
    means = np.divide(sums, counts, out=np.full(counts.size, overall), where=counts > 0)
    found: npt.NDArray[np.float64] = means[now]
    return found


def telling_gaps(rows: Rows, outcome: npt.NDArray[Any], names: Sequence[str]) -> tuple[Gap, ...] | NotEvaluable:
    """Whether missing values go with the outcome: Fisher's exact test for events, Mann-Whitney for numbers; Holm.

    Args:
        rows, outcome, names: as for `lone_strength`.

    Returns:
        Features with gaps, the most telling first; not evaluable where no feature has any.
    """
    event = np.issubdtype(outcome.dtype, np.integer)
    raw: list[tuple[str, int, float, float]] = []
    for place, name in enumerate(names):
        gone = np.isnan(rows[:, place])
        count = int(gone.sum())
        if not 0 < count < len(gone):
            continue
        without, with_ = outcome[gone], outcome[~gone]
        if event:
            table = np.array([[part.sum(), len(part) - part.sum()] for part in (without, with_)])
            p = float(stats.fisher_exact(table).pvalue)
        else:
            p = float(stats.mannwhitneyu(without, with_).pvalue)
        raw.append((name, count, p, float(without.mean() - with_.mean())))
    if not raw:
        return NotEvaluable("no feature has missing values beside others")
    adjusted = holm([p for _, _, p, _ in raw])
    gaps = [Gap(name, count, q, d) for (name, count, _, d), q in zip(raw, adjusted, strict=True)]
    return tuple(sorted(gaps, key=lambda gap: (gap.p_value, gap.name)))


def repeated(rows: Rows, outcome: npt.NDArray[Any]) -> float:
    """Share of rows that stand in the sample before already, features and outcome alike."""
    if not len(rows):
        return 0.0
    table = np.column_stack([rows, outcome.astype(np.float32)]) + np.float32(0.0)  # -0.0 becomes 0.0
    lines = np.ascontiguousarray(table).view(f"V{table.itemsize * table.shape[1]}").ravel().tolist()
    return 1.0 - len(set(lines)) / len(lines)


def missing_change(old: Rows, new: Rows, names: Sequence[str]) -> Named | NotEvaluable:
    """The feature whose share of missing values changed most between two samples, and by how much."""
    if not len(old) or not len(new):
        return NotEvaluable("a sample has no rows")
    changes = np.abs(np.isnan(new).mean(axis=0) - np.isnan(old).mean(axis=0))
    worst = int(np.argmax(changes))
    return Named(names[worst], float(changes[worst]))


def told_apart(old: Rows, new: Rows, names: Sequence[str]) -> tuple[Named, ...] | NotEvaluable:
    """How well each feature alone tells rows of one sample from rows of the other: Kolmogorov-Smirnov distances.

    Args:
        old, new: shape [rows, features]; missing is NaN and left out.
        names: of the features.

    Returns:
        Largest first, 0 to 1 each; not evaluable where no feature has values in both.
    """
    found = []
    for place, name in enumerate(names):
        first, second = (s[:, place][np.isfinite(s[:, place])].astype(np.float64) for s in (old, new))
        if len(first) and len(second):
            found.append(Named(name, _distance(first, second)))
    if not found:
        return NotEvaluable("no feature has values in both samples")
    return tuple(sorted(found, key=lambda one: (-one.figure, one.name)))


def special(names: Sequence[str], purposes: Sequence[str], grounds: Sequence[str]) -> tuple[str, ...]:
    """Features that sound like a special category of personal data, without a ground of GDPR Art. 9(2) being named.

    Words in names and purposes: a hint for a human reader, not a finding of law.
    """
    found = []
    for name, purpose, ground in zip(names, purposes, grounds, strict=True):
        text = f"{name} {purpose}".lower()
        if any(word in text for word in ARTICLE_9) and "9(2)" not in ground.replace(" ", ""):
            found.append(name)
    return tuple(found)


def _distance(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> float:
    parts = [np.sort(part) for part in (first, second)]
    both = np.concatenate(parts)
    shares = [np.searchsorted(part, both, side="right") / len(part) for part in parts]
    return float(np.abs(shares[0] - shares[1]).max())
