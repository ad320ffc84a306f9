"""Does the model make sense? What moves it, where it is weak, whether it beats a simple scorecard, what stress does.

Everything asks the model itself through `predict`, on a bounded number of rows drawn evenly from the sample, so that
the same sample gives the same figures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import stats

from strongroom.validation.results import NotEvaluable
from strongroom.validation.statistics.bins import quantile_edges
from strongroom.validation.statistics.calibration import holm
from strongroom.validation.statistics.spread import alike
from strongroom.validation.statistics.tables import Rows

Floats = npt.NDArray[np.float64]
Predict = Callable[[Rows], Rows]
"""Scores of rows, shape [rows]."""

ROWS: Final = 2000
BINS: Final = 10
SEGMENTS: Final = 4
"""Quantile bins of each feature from which segments are made."""
PAIRS: Final = 8
"""Features, the strongest ones, whose pairs are searched too."""


@dataclass(frozen=True, slots=True)
class Effect:
    """How the score moves along one feature, all else as it comes (accumulated local effects).

    Attributes:
        name: of the feature.
        edges: of its quantile bins.
        effect: at each edge, centred so that its mean over the rows is 0.
        span: highest less lowest.
    """

    name: str
    edges: tuple[float, ...]
    effect: tuple[float, ...]

    @property
    def span(self) -> float:
        return max(self.effect) - min(self.effect)


@dataclass(frozen=True, slots=True)
class WeakSpot:
    """A segment where outcomes and scores part.

    Attributes:
        words: which rows.
        n: how many.
        observed, expected: mean outcome and mean score.
        p_value: two-sided, after Holm's adjustment for all segments that were looked at.
    """

    words: str
    n: int
    observed: float
    expected: float
    p_value: float


@dataclass(frozen=True, slots=True)
class Scorecard:
    """A logistic regression on weights of evidence of quantile bins: what a team would have built in an afternoon.

    Attributes:
        edges: of each feature's bins.
        weights: of evidence for each bin, the last one for a missing value.
        coefficients: intercept first.
    """

    edges: tuple[Floats, ...]
    weights: tuple[Floats, ...]
    coefficients: Floats

    def score(self, rows: Rows) -> Floats:
        """Log odds of an event for each row."""
        columns = [w[_places(rows[:, i], e)] for i, (e, w) in enumerate(zip(self.edges, self.weights, strict=True))]
        found: Floats = self.coefficients[0] + np.column_stack(columns) @ self.coefficients[1:]
        return found


def some(rows: Rows, most: int = ROWS) -> Rows:
    """At most so many rows, evenly spaced over the sample."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).astype(np.intp)]


def effects(predict: Predict, rows: Rows, names: Sequence[str], bins: int = BINS) -> tuple[Effect, ...] | NotEvaluable:
    """Accumulated local effects of every feature, the widest first.

    Source: Apley and Zhu, Visualizing the effects of predictor variables in black box supervised learning models,
    JRSS B 82 (2020), eq. 15 and 16. Unlike partial dependence it moves each row only within its own bin, so that it
    asks for no row that the other features make impossible.

    Args:
        predict: the model.
        rows: shape [rows, features]; rows without the feature are left out of its effect.
        names: of the features.
        bins: quantile bins.

    Returns:
        Features with at least two values; not evaluable where there is none.
    """
    rows = some(rows)
    found: list[Effect] = []
    for place, name in enumerate(names):
        values = rows[:, place].astype(np.float64)
        there = np.isfinite(values)
        edges = np.unique(np.quantile(values[there], np.linspace(0.0, 1.0, bins + 1))) if there.any() else np.empty(0)
        if len(edges) < 2:
            continue
        inside = rows[there]
        bin_of = np.clip(np.searchsorted(edges, values[there], side="left") - 1, 0, len(edges) - 2)
        low, high = inside.copy(), inside.copy()
        low[:, place], high[:, place] = edges[bin_of], edges[bin_of + 1]
        step = predict(high).astype(np.float64) - predict(low).astype(np.float64)
        counts = np.bincount(bin_of, minlength=len(edges) - 1)
        means = np.bincount(bin_of, weights=step, minlength=len(edges) - 1) / np.maximum(counts, 1)
        line = np.concatenate([[0.0], np.cumsum(means)])
        line -= ((line[:-1] + line[1:]) / 2.0 * counts).sum() / counts.sum()
        if np.isfinite(line).all():
            found.append(Effect(name, tuple(map(float, edges)), tuple(map(float, line))))
    if not found:
        return NotEvaluable("no feature has two values")
    return tuple(sorted(found, key=lambda effect: (-effect.span, effect.name)))


def weak_spots(
    rows: Rows, outcome: npt.NDArray[Any], expected: Floats, names: Sequence[str], least: int
) -> tuple[WeakSpot, ...] | NotEvaluable:
    """Segments in which outcomes differ from scores, by more than chance: the most striking first.

    Segments are the quarters of every feature (and its missing values), and pairs of quarters of those features that
    the outcome's residual goes with most. z = sum(y - p) / root of its variance: sum p (1 - p) for events, the
    sample variance of the residuals for numbers; two-sided, Holm over all segments.

    Args:
        rows: shape [rows, features].
        outcome, expected: shape [rows].
        names: of the features.
        least: rows that a segment must have.

    Returns:
        Not evaluable where no segment is large enough, or the residuals do not vary.
    """
    residual = outcome.astype(np.float64) - expected
    if len(residual) < 2 or not np.isfinite(residual).all():
        return NotEvaluable("scores and outcomes leave nothing to compare")
    event = np.issubdtype(outcome.dtype, np.integer)
    variance = expected * (1.0 - expected) if event else np.full(len(residual), residual.var(ddof=1))
    if variance.sum() <= 0.0 or (not event and alike(residual, outcome, expected)):
        return NotEvaluable("scores and outcomes leave nothing to compare")
    parts = _Parts(outcome, expected, residual, variance, least)
    quarters: list[_Cut] = []
    for place, name in enumerate(names):
        values = rows[:, place].astype(np.float64)
        edges = quantile_edges(values, SEGMENTS)
        bins = _places(rows[:, place], edges)
        bounds = [f"{edge:,.0f}" if edge == round(edge) else f"{edge:,.6g}" for edge in edges]
        words = [
            f"{name} {f'above {bounds[i - 1]}' if i else ''}"
            f"{' ' if 0 < i < len(edges) else ''}{f'up to {bounds[i]}' if i < len(edges) else ''}".rstrip()
            for i in range(len(edges) + 1)
        ]
        quarters.append(_Cut((*words, f"{name} missing"), bins.astype(np.uint8)))
    raw = [parts.measured(cut) for cut in quarters]
    strength = [max((one.z for one in segments), default=0.0) for segments in raw]
    strongest = sorted(range(len(names)), key=lambda i: (-strength[i], i))[:PAIRS]
    raw += [parts.measured(quarters[a].crossed(quarters[b])) for a, b in combinations(strongest, 2)]
    found = [one for segments in raw for one in segments if one.n < len(residual)]
    if not found:
        return NotEvaluable(f"no segment has {least} rows")
    adjusted = holm([float(2.0 * stats.norm.sf(one.z)) for one in found])
    spots = [WeakSpot(s.words, s.n, s.observed, s.expected, q) for s, q in zip(found, adjusted, strict=True)]
    return tuple(sorted(spots, key=lambda spot: (spot.p_value, -abs(spot.observed - spot.expected), spot.words)))


@dataclass(frozen=True, slots=True)
class _Cut:
    """Rows cut into segments: the segments' words, and the segment of each row, uint8."""

    words: tuple[str, ...]
    cells: npt.NDArray[np.uint8]

    def crossed(self, other: _Cut) -> _Cut:
        words = tuple(f"{a} and {b}" for a in self.words for b in other.words)
        return _Cut(words, self.cells * np.uint8(len(other.words)) + other.cells)


@dataclass(frozen=True, slots=True)
class _Segment:
    words: str
    n: int
    observed: float
    expected: float
    z: float


@dataclass(frozen=True, slots=True)
class _Parts:
    """What is summed in each segment, and how many rows one must have."""

    outcome: npt.NDArray[Any]
    expected: Floats
    residual: Floats
    variance: Floats
    least: int

    def measured(self, cut: _Cut) -> list[_Segment]:
        """The segments that are large enough and vary, in the order of their words."""
        # a stable sort of small whole numbers takes one pass; in it a segment's rows stand together and in their order
        order = np.argsort(cut.cells, kind="stable")
        ends = np.cumsum(np.bincount(cut.cells, minlength=len(cut.words)))
        outcome, expected, residual, variance = (
            values[order] for values in (self.outcome, self.expected, self.residual, self.variance)
        )
        found = []
        for words, begin, end in zip(cut.words, [0, *ends[:-1]], ends, strict=True):
            one = slice(begin, end)
            spread = float(variance[one].sum())
            if end - begin < self.least or spread <= 0.0:
                continue
            z = float(abs(residual[one].sum()) / np.sqrt(spread))
            means = float(outcome[one].mean()), float(expected[one].mean())
            found.append(_Segment(words, int(end - begin), *means, z))
        return found


def scorecard(rows: Rows, outcome: npt.NDArray[np.int64], bins: int = 5) -> Scorecard | NotEvaluable:
    """Fit the benchmark: weights of evidence with half a case added to each cell, then a ridge of 1 on the slopes.

    Args:
        rows: of the development sample, shape [rows, features].
        outcome: shape [rows], 0 or 1.
        bins: quantile bins of each feature.

    Returns:
        Not evaluable with one outcome class, or where Newton's method does not settle.
    """
    bad, good = int(outcome.sum()), int(len(outcome) - outcome.sum())
    if not bad or not good:
        return NotEvaluable("the development sample holds only one outcome class")
    edges: list[Floats] = []
    weights: list[Floats] = []
    columns: list[Floats] = []
    for place in range(rows.shape[1]):
        cut = quantile_edges(rows[:, place].astype(np.float64), bins)
        where = _places(rows[:, place], cut)
        cells = len(cut) + 2
        events = np.bincount(where, weights=outcome.astype(np.float64), minlength=cells) + 0.5
        others = np.bincount(where, minlength=cells) - (events - 0.5) + 0.5
        weight = np.log(events / (bad + 0.5 * cells)) - np.log(others / (good + 0.5 * cells))
        edges.append(cut)
        weights.append(weight)
        columns.append(weight[where])
    design = np.column_stack([np.ones(len(outcome)), *columns])
    penalty = np.diag([0.0, *[1.0] * len(columns)])
    beta = np.zeros(design.shape[1])
    for _ in range(50):
        p = 1.0 / (1.0 + np.exp(-np.clip(design @ beta, -30.0, 30.0)))
        gradient = design.T @ (outcome - p) - penalty @ beta
        step = np.linalg.solve((design * (p * (1.0 - p))[:, None]).T @ design + penalty + 1e-9 * np.eye(len(beta)),
                               gradient)  # fmt: skip
        beta = beta + step
        if np.abs(step).max() < 1e-8:
            return Scorecard(tuple(edges), tuple(weights), beta)
    return NotEvaluable("the benchmark scorecard did not settle")


def stressed(
    predict: Predict, rows: Rows, made: Sequence[Effect], names: Sequence[str], deviations: float
) -> float | NotEvaluable:
    """Mean score when every feature moves against the applicant by so many standard deviations, less the mean now.

    Each feature moves in the direction in which its effect rises over the sample, and no further than the sample's own
    extremes, so that the model is not asked about what it never saw. Not evaluable where a score is not finite.
    """
    rows = some(rows)
    moved = rows.copy()
    for effect in made:
        place = names.index(effect.name)
        column = rows[:, place].astype(np.float64)
        there = np.isfinite(column)
        sign = 1.0 if effect.effect[-1] >= effect.effect[0] else -1.0
        shift = sign * deviations * float(column[there].std())
        low, high = float(column[there].min()), float(column[there].max())
        moved[there, place] = np.clip(column[there] + shift, low, high)
    before, after = (predict(part).astype(np.float64) for part in (rows, moved))
    if not np.isfinite(before).all() or not np.isfinite(after).all():
        return NotEvaluable("the model gives no finite score for some rows of the sample")
    return float(after.mean() - before.mean())


def _places(column: npt.NDArray[Any], edges: Floats) -> npt.NDArray[np.intp]:
    """The bin of each value; one more than the last for a missing one."""
    values = column.astype(np.float64)
    return np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, side="left"))
