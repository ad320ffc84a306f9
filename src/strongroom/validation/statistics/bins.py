"""Bins of a distribution and what an empty one counts as: numpy alone, so that live monitoring shares it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from strongroom.errors import InvalidInputError

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
            halves: Floats = filled / filled.sum()
            return halves
        floored: Floats = np.maximum(counts / counts.sum(), self.share)
        return floored


def quantile_edges(values: npt.ArrayLike, bins: int, weight: npt.ArrayLike | None = None) -> Floats:
    """Inner edges at the quantiles of the finite values, repeats removed; rows count by `weight`, if there is one.

    An edge is a value that occurs (never one between two), so that float32 data meet it alike in every program;
    the largest value is no edge, since nothing would lie above it.
    """
    data = np.asarray(values, dtype=np.float64)
    there = np.isfinite(data)
    data, w = data[there], None if weight is None else np.asarray(weight, dtype=np.float64)[there]
    if data.size == 0:
        return np.empty(0)
    shares = np.arange(1, bins) / bins
    edges = np.unique(np.quantile(data, shares, method="inverted_cdf") if w is None else _weighed(data, w, shares))
    kept: Floats = edges[edges < data.max()]
    return kept


def _weighed(data: Floats, weight: Floats, shares: Floats) -> Floats:
    """The smallest value up to which each share of the weight lies; rounding of a sum moves none to its neighbour."""
    order = np.argsort(data, kind="stable")
    sums = np.cumsum(weight[order])
    found: Floats = data[order][np.searchsorted(sums, shares * sums[-1] * (1.0 - 1e-12), side="left")]
    return found


def count_bins(values: npt.ArrayLike, edges: npt.ArrayLike) -> tuple[npt.NDArray[np.int64], int]:
    """Rows per bin and missing rows. A value x falls in bin `sum(x > edge)`, as format 6 says."""
    data = np.asarray(values, dtype=np.float64)
    inner = np.asarray(edges, dtype=np.float64)
    missing = np.isnan(data)
    place = np.searchsorted(inner, data[~missing], side="left")
    return np.bincount(place, minlength=inner.size + 1), int(missing.sum())


def weigh_bins(values: npt.ArrayLike, edges: npt.ArrayLike, weight: npt.ArrayLike) -> tuple[Floats, float]:
    """As `count_bins`, with the weight of the rows in each bin, and of missing rows."""
    data, w = np.asarray(values, dtype=np.float64), np.asarray(weight, dtype=np.float64)
    inner = np.asarray(edges, dtype=np.float64)
    missing = np.isnan(data)
    place = np.searchsorted(inner, data[~missing], side="left")
    sums = np.bincount(place, weights=w[~missing], minlength=inner.size + 1)
    return sums.astype(np.float64), float(w[missing].sum())


def contributions(expected: npt.ArrayLike, actual: npt.ArrayLike, floor: Floor) -> Floats:
    """Each bin's part of the population stability index, whose value is their sum.

    Args:
        expected, actual: counts over the same bins, neither all zero.
        floor: for empty bins.
    """
    old, new = np.asarray(expected, dtype=np.float64), np.asarray(actual, dtype=np.float64)
    e, a = floor.shares(old), floor.shares(new)
    parts: Floats = (a - e) * np.log(a / e)
    return parts
