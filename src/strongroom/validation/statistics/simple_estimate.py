"""Is a model of amounts better than what a team would have built in an afternoon? A line through means of bins.

The benchmark of losses and conversion factors, as the scorecard of `soundness` is that of events.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from strongroom.validation.results import NotEvaluable
from strongroom.validation.statistics import losses
from strongroom.validation.statistics.bins import quantile_edges
from strongroom.validation.statistics.spread import alike
from strongroom.validation.statistics.tables import Rows

Floats = npt.NDArray[np.float64]
BINS: Final = 5
RIDGE: Final = 1.0
"""Of the standardised columns: it settles columns that say the same, and shrinks by one part in the number of rows."""


@dataclass(frozen=True, slots=True)
class SimpleEstimate:
    """A ridge regression on the mean outcome of each feature's bin.

    Attributes:
        edges: of each feature's bins.
        values: standardised mean outcome of each bin, the last one for a missing value.
        slopes: one for each feature.
        mean: outcome of the development sample.
    """

    edges: tuple[Floats, ...]
    values: tuple[Floats, ...]
    slopes: Floats
    mean: float

    def estimate(self, rows: Rows) -> Floats:
        """Estimates of rows, shape [rows], in the outcome's unit."""
        columns = [v[_places(rows[:, i], e)] for i, (e, v) in enumerate(zip(self.edges, self.values, strict=True))]
        found: Floats = self.mean + np.column_stack(columns) @ self.slopes
        return found


@dataclass(frozen=True, slots=True)
class Gain:
    """Squared errors of a model beside those of a simple one.

    Attributes:
        share: 1 less the model's mean squared error over the simple one's; below 0 the model is worse.
        p_value: two-sided, of the mean difference of squared errors; None where no two rows differ.
        model, simple: mean squared errors.
    """

    share: float
    p_value: float | None
    model: float
    simple: float


def simple_estimate(rows: Rows, outcome: npt.ArrayLike, bins: int = BINS) -> SimpleEstimate | NotEvaluable:
    """Fit the benchmark on the development sample.

    A bin's mean is taken with one more row of the overall mean, so that a bin of one row does not tell its outcome; a
    bin without rows has the overall mean.

    Args:
        rows: shape [rows, features].
        outcome: shape [rows].
        bins: quantile bins of each feature.

    Source:
        Hoerl and Kennard 1970 (ridge); Micci-Barreca 2001 (means of groups as predictors).
    """
    came = np.asarray(outcome, dtype=np.float64)
    if came.size < 2:
        return NotEvaluable("the development sample has no two rows")
    if not np.isfinite(came).all():
        return NotEvaluable("an outcome of the development sample is not finite")
    mean = float(came.mean())
    edges: list[Floats] = []
    values: list[Floats] = []
    columns: list[Floats] = []
    for place in range(rows.shape[1]):
        cut = quantile_edges(rows[:, place].astype(np.float64), bins)
        where = _places(rows[:, place], cut)
        counts = np.bincount(where, minlength=len(cut) + 2)
        means = (np.bincount(where, weights=came - mean, minlength=len(cut) + 2)) / (counts + 1.0)
        centre, spread = float(means[where].mean()), float(means[where].std())
        value = np.zeros(means.size) if alike(means[where]) else (means - centre) / spread
        edges.append(cut)
        values.append(value)
        columns.append(value[where])
    design = np.column_stack(columns)
    square = design.T @ design + RIDGE * np.eye(design.shape[1])
    slopes = np.asarray(np.linalg.solve(square, design.T @ (came - mean)), dtype=np.float64)
    if not np.isfinite(slopes).all():
        return NotEvaluable("the outcomes are too large for a regression in float64")
    return SimpleEstimate(tuple(edges), tuple(values), slopes, mean)


def gain(realised: npt.ArrayLike, model: npt.ArrayLike, simple: npt.ArrayLike) -> Gain | NotEvaluable:
    """How much smaller the model's squared errors are than the simple one's, on the same rows.

    Args:
        realised, model, simple: shape [rows].

    Source:
        Diebold and Mariano 1995 for rows that are no series: a paired t-test of the squared errors.
    """
    came, told, plain = (np.asarray(side, dtype=np.float64) for side in (realised, model, simple))
    if came.ndim != 1 or not came.shape == told.shape == plain.shape:
        raise ValueError("realised values and both estimates are vectors of one length")
    if came.size == 0:
        return NotEvaluable("the sample is empty")
    if not (np.isfinite(came).all() and np.isfinite(told).all() and np.isfinite(plain).all()):
        return NotEvaluable("a realised value or an estimate is not finite")
    mine, its = (came - told) ** 2, (came - plain) ** 2
    model_error, simple_error = float(mine.mean()), float(its.mean())
    share = model_error / simple_error if simple_error > 0.0 else math.inf
    if not math.isfinite(share):
        return NotEvaluable("the simple estimate has no error to be smaller than")
    test = losses.t_test(its, mine)
    return Gain(1.0 - share, None if isinstance(test, NotEvaluable) else test.two_sided, model_error, simple_error)


def _places(column: npt.NDArray[np.float32], edges: Floats) -> npt.NDArray[np.intp]:
    """The bin of each value; one more than the last for a missing one."""
    values = column.astype(np.float64)
    return np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, side="left"))
