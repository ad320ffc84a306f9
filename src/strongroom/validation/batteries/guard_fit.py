"""Fit the input guard to the reference sample: bins, a Chow-Liu tree, surprises, and levels from rows left out.

A row's surprise under a table that it helped to make is too small, so the levels are quantiles of surprises under the
table of the other half of the sample.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from strongroom.errors import InvalidInputError
from strongroom.registry.contract import InputContract
from strongroom.registry.guard import SURPRISE_LIMIT, GuardTable, GuardWish
from strongroom.validation.results import decimal
from strongroom.validation.statistics.bins import quantile_edges

Rows = npt.NDArray[np.float32]
Bins = npt.NDArray[np.intp]

QUANTILE_BINS = 8
CODES = 10
"""Whole numbers and codes with at most so many values get a bin for each."""

PRIOR_ROWS = 5.0
"""A bin beside a parent's is believed as if so many rows more had been seen, spread like the feature alone."""

Tree = tuple[list[int], list[npt.NDArray[np.int64]]]


def fit_guard(reference: Rows, contract: InputContract, wish: GuardWish) -> GuardTable:
    """Make the table.

    Args:
        reference: shape [rows, features], within the contract; NaN where a value is missing.
        contract: of the input.
        wish: levels.

    Raises:
        InvalidInputError: too few rows for a level: fewer than one of them would lie above it.
    """
    rows = len(reference)
    for quantile in wish.quantiles:
        if quantile is not None and rows * (1 - quantile) < 1 - 1e-9:
            raise InvalidInputError(
                f"the guard's level {quantile} needs a reference sample of {math.ceil(1 / (1 - quantile))} rows; "
                f"this one has {rows}",
                field="guard",
                rule="rows",
            )
    edges = [_edges(reference[:, place], feature.type) for place, feature in enumerate(contract.features)]
    bins = np.column_stack([_bins(reference[:, place], one) for place, one in enumerate(edges)])
    widths = [len(one) + 2 for one in edges]
    left_out = np.zeros(rows, np.int64)
    for half in (0, 1):
        here = np.arange(rows) % 2 == half
        left_out[here] = _surprise(bins[here], _fit(bins[~here], widths))
    parents, tables = _fit(bins, widths)
    levels = [
        -1 if quantile is None else int(np.quantile(left_out, quantile, method="higher")) for quantile in wish.quantiles
    ]
    return GuardTable(
        method=wish.method,
        edges=tuple(tuple(decimal(edge) for edge in one) for one in edges),
        parents=tuple(parents),
        surprise=tuple(tuple(int(value) for value in table.ravel()) for table in tables),
        levels=(levels[0], levels[1], levels[2]),
        refer_to=wish.refer_to,
        rows=rows,
    )


def _edges(values: Rows, kind: str) -> list[float]:
    """Ascending; below the first and above the last lies nothing that was seen."""
    seen = np.unique(values[~np.isnan(values)]).astype(np.float64)
    if not seen.size:
        return []
    if kind != "float" and seen.size <= CODES:
        edges: list[float] = []
        for value in seen:
            # a gap is a bin of its own, so that a code that was never seen is not taken for its neighbour
            if not edges or value - 1 > edges[-1]:
                edges.append(float(value) - 0.5)
            edges.append(float(value))
        return edges
    lowest = float(np.nextafter(np.float32(seen[0]), np.float32(-np.inf)))
    inner = [float(edge) for edge in quantile_edges(values, QUANTILE_BINS)]
    return sorted({lowest, *inner, float(seen[-1])})


def _bins(values: Rows, edges: list[float]) -> Bins:
    found = 1 + np.searchsorted(np.asarray(edges, np.float64), values.astype(np.float64), side="left")
    return np.where(np.isnan(values), 0, found).astype(np.intp)


def _fit(bins: Bins, widths: list[int]) -> Tree:
    """Parents, and surprises of each feature by parent's bin and own."""
    rows, features = bins.shape
    counts = {}
    weights = np.zeros((features, features))
    for one in range(features):
        for two in range(one + 1, features):
            joint = np.bincount(bins[:, one] * widths[two] + bins[:, two], minlength=widths[one] * widths[two])
            counts[one, two] = joint.reshape(widths[one], widths[two])
            weights[one, two] = _mutual_information(counts[one, two])
    parents = _tree(weights)
    tables = []
    for place, parent in enumerate(parents):
        own = np.bincount(bins[:, place], minlength=widths[place])
        alone = (own + 0.5) / (rows + 0.5 * widths[place])
        if parent == place:
            shares = np.tile(alone, (widths[place], 1))
        else:
            joint = counts[place, parent].T if place < parent else counts[parent, place]
            shares = (joint + PRIOR_ROWS * alone) / (joint.sum(axis=1, keepdims=True) + PRIOR_ROWS)
        tables.append(np.minimum(np.rint(-100 * np.log2(shares)), SURPRISE_LIMIT).astype(np.int64))
    return parents, tables


def _mutual_information(joint: npt.NDArray[np.int64]) -> float:
    """In bits."""
    shares = joint / joint.sum()
    apart = shares.sum(axis=1, keepdims=True) * shares.sum(axis=0, keepdims=True)
    seen = shares > 0
    return float((shares[seen] * np.log2(shares[seen] / apart[seen])).sum())


def _tree(weights: npt.NDArray[np.float64]) -> list[int]:
    """The parent of each feature in the spanning tree of greatest weight, rooted at the first; its own for the root."""
    from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree

    features = len(weights)
    if features == 1:
        return [0]
    # scipy takes 0 for no edge, so every weight becomes a cost above 0
    costs = np.triu(weights.max() + 1 - weights, k=1)
    _, found = breadth_first_order(minimum_spanning_tree(costs), 0, directed=False)
    return [place if parent < 0 else int(parent) for place, parent in enumerate(found.tolist())]


def _surprise(bins: Bins, tree: Tree) -> npt.NDArray[np.int64]:
    total = np.zeros(len(bins), np.int64)
    for place, (parent, table) in enumerate(zip(*tree, strict=True)):
        total += table[bins[:, parent], bins[:, place]]
    return total
