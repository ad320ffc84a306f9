"""Are these the people the model was built on? Population stability with its floor and its sampling noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from strongroom.errors import InvalidInputError
from strongroom.validation.results import NotEvaluable

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Floor:
    """What an empty bin counts as. It moves the index severalfold, so it is policy and is stored with the result.

    Attributes:
        share: the least share of a bin, or None for half a row in each empty bin.
    """

    share: float | None

    @classmethod
    def parse(cls, text: str) -> Floor:
        """Read `half-count`, or a decimal share above 0 and at most 0.01.

        Raises:
            InvalidInputError: anything else.
        """
        if text == "half-count":
            return cls(None)
        try:
            share = float(text)
        except ValueError:
            share = math.nan
        if not 0.0 < share <= 0.01:
            raise InvalidInputError("a PSI floor is `half-count` or a share above 0 and at most 0.01", rule="psi-floor")
        return cls(share)

    def shares(self, counts: Floats) -> Floats:
        """Shares of each bin, none of them 0. Half rows count in the total; a floored share is not scaled back to 1."""
        if self.share is None:
            filled = np.where(counts > 0, counts, 0.5)
            return filled / filled.sum()
        return np.maximum(counts / counts.sum(), self.share)


@dataclass(frozen=True, slots=True)
class Psi:
    """Population stability index.

    Attributes:
        value: sum of (actual - expected) ln(actual / expected).
        bins: contribution of each.
        sampling_point: 95 % point of what two samples of one population give by chance.
    """

    value: float
    bins: tuple[float, ...]
    sampling_point: float


def psi(expected: npt.ArrayLike, actual: npt.ArrayLike, floor: Floor, level: float = 0.95) -> Psi | NotEvaluable:
    """Compare two counts over the same bins.

    Args:
        expected: rows of the older sample per bin.
        actual: rows of the newer sample per bin.
        floor: for empty bins.
        level: of the sampling point.

    Source:
        Siddiqi 2006 (0.10 and 0.25 are a convention of the trade); Yurdakul and Naranjo 2020 (sampling distribution).
    """
    old, new = np.asarray(expected, dtype=np.float64), np.asarray(actual, dtype=np.float64)
    if old.shape != new.shape or old.ndim != 1:
        raise ValueError("expected and actual are counts over the same bins")
    n, m = float(old.sum()), float(new.sum())
    if n == 0.0 or m == 0.0:
        return NotEvaluable("a sample is empty")
    if old.size < 2:
        return NotEvaluable("one bin alone cannot shift")
    e, a = floor.shares(old), floor.shares(new)
    parts = (a - e) * np.log(a / e)
    point = float(stats.chi2.ppf(level, old.size - 1)) * (1.0 / n + 1.0 / m)
    return Psi(float(parts.sum()), tuple(float(x) for x in parts), point)


def quantile_edges(values: npt.ArrayLike, bins: int) -> Floats:
    """Inner edges at the quantiles of the finite values, repeats removed.

    An edge is a value that occurs (never one between two), so that float32 data meet it alike in every program;
    the largest value is no edge, since nothing would lie above it.
    """
    data = np.asarray(values, dtype=np.float64)
    data = data[np.isfinite(data)]
    if data.size == 0:
        return np.empty(0)
    edges = np.unique(np.quantile(data, np.arange(1, bins) / bins, method="inverted_cdf"))
    kept: Floats = edges[edges < data.max()]
    return kept


def count_bins(values: npt.ArrayLike, edges: npt.ArrayLike) -> tuple[npt.NDArray[np.int64], int]:
    """Rows per bin and missing rows. A value x falls in bin `sum(x > edge)`, as format 6 says."""
    data = np.asarray(values, dtype=np.float64)
    inner = np.asarray(edges, dtype=np.float64)
    missing = np.isnan(data)
    place = np.searchsorted(inner, data[~missing], side="left")
    return np.bincount(place, minlength=inner.size + 1), int(missing.sum())
