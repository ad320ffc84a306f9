"""Exact interventional Shapley values of a forest against a few reference rows, quick enough for every answer.

The value of a set S of features is the mean, over the reference rows z, of the forest's sum where the features in S are
the row's and the others are z's. A leaf with value v counts for one pair (x, z) only if every feature on its path is
satisfied by x or by z. With a features that x alone satisfies and b that z alone does, each of the a gets
v (a-1)! b! / (a+b)! and each of the b gets -v a! (b-1)! / (a+b)!; the others get nothing.

What a leaf gives depends on x only through the pattern "which steps of the path does x satisfy": at most 2**depth of
them. So everything that the reference rows say is summed into tables once, when the model is loaded. Two last levels
share a table, which quarters the look-ups. An answer then is: compare, make patterns, look up, add.

All is elementwise or in a fixed order, without BLAS, so that a row's bits hang neither on its batch nor on threads.

Sources: Lundberg et al. 2020, Nature Machine Intelligence 2, 56 to 67 (interventional values of trees); the closed form
by counting orders is Shapley's (1953). Tables by decision pattern: Nadel and Wettenstein 2025 (WOODELF).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import factorial
from typing import Final

import numpy as np
import numpy.typing as npt

from strongroom.errors import InvalidInputError
from strongroom.validation.trees.forests import DEPTH_LIMIT, Forest, Tree

Rows = npt.NDArray[np.float32]
REFERENCE_LIMIT: Final = 256
TABLE_BYTES: Final = 96 * 1024 * 1024
_CHUNK: Final = 16
"""Rows at a time: what is compared then stays near the processor."""


@dataclass(frozen=True, slots=True)
class _Layer:
    """Trees of one depth, padded to perfect ones, level by level.

    Attributes:
        depth, trees: of each, how many.
        starts: where each level's nodes begin among all nodes of the forest.
        table: shape [trees * 2**(depth-2) * 2**(depth-2) * 8, slots]; of the slots depth + 1 are used.
        first: of each lower subtree, where its table begins, shape [trees * 2**(depth-2), 1].
        order: places of used slots, ordered by feature.
        begins: where in `order` each of `present` begins.
        present: the features that occur.
    """

    depth: int
    trees: int
    starts: tuple[int, ...]
    table: npt.NDArray[np.float32]
    first: npt.NDArray[np.int64]
    order: npt.NDArray[np.intp]
    begins: npt.NDArray[np.intp]
    present: npt.NDArray[np.int64]


class Shapley:
    """Contributions of one forest against its reference rows.

    Args:
        forest: as read from the served model.
        reference: shape [rows, features], float32.

    Raises:
        InvalidInputError: no reference rows or too many, a tree that is too deep, or tables that are too large.
    """

    def __init__(self, forest: Forest, reference: Rows) -> None:
        if not 0 < len(reference) <= REFERENCE_LIMIT or reference.shape[1:] != (forest.features,):
            raise InvalidInputError(f"an explanation has 1 to {REFERENCE_LIMIT} reference rows", rule="reference")
        by_depth: dict[int, list[Tree]] = {}
        for tree in forest.trees:
            by_depth.setdefault(max(2, _depth(tree)), []).append(tree)
        size = sum(len(trees) * 8 * 4 ** (depth - 2) * _slots(depth) * 4 for depth, trees in by_depth.items())
        if size > TABLE_BYTES:
            raise InvalidInputError(
                f"the explanation's tables would take {size} bytes, more than {TABLE_BYTES}; use fewer or lower trees",
                rule="size",
            )
        self.width = forest.features
        nodes: list[_Nodes] = []
        padded = {depth: _Padded.of(trees, depth) for depth, trees in sorted(by_depth.items())}
        starts: dict[int, tuple[int, ...]] = {}
        count = 0
        for depth, group in padded.items():
            places = []
            for level in group.levels:
                places.append(count)
                count += level.feature.size
                nodes.append(level)
            starts[depth] = tuple(places)
        self._feature = np.concatenate([level.feature.ravel() for level in nodes]).astype(np.intp)
        self._threshold = np.concatenate([level.threshold.ravel() for level in nodes])[:, None]
        self._missing_left = np.concatenate([level.missing_left.ravel() for level in nodes])[:, None]
        decided = self._decide(np.ascontiguousarray(reference))
        self._layers = [_layer(group, depth, starts[depth], decided, len(reference)) for depth, group in padded.items()]
        # what the reference rows score on average is where every explanation starts
        self.base = forest.base + sum(_mean(group, depth, starts[depth], decided) for depth, group in padded.items())

    def values(self, rows: Rows) -> npt.NDArray[np.float64]:
        """Contributions, shape [rows, features]; `base` plus their sum is the forest's sum.

        Args:
            rows: float32, shape [rows, features], NaN where missing.
        """
        found = np.empty((len(rows), self.width), np.float64)
        for start in range(0, len(rows), _CHUNK):
            part = rows[start : start + _CHUNK]
            found[start : start + len(part)] = self._chunk(part)
        return found

    def _chunk(self, rows: Rows) -> npt.NDArray[np.float64]:
        count = len(rows)
        decided = self._decide(rows)
        total = np.zeros((count, self.width))
        for layer in self._layers:
            code = _codes(layer.depth - 2, layer.trees, layer.starts, decided)
            lower = code.shape[0]
            a = decided[layer.starts[-2] : layer.starts[-2] + lower]
            pair = decided[layer.starts[-1] : layer.starts[-1] + 2 * lower].reshape(lower, 2, count)
            entry = (code.astype(np.int64) << 3) + ((a << 2) | (pair[:, 0] << 1) | pair[:, 1]) + layer.first
            for row, entries in zip(total, np.ascontiguousarray(entry.T), strict=True):
                slots = layer.table.take(entries, axis=0).ravel().take(layer.order)
                row[layer.present] += np.add.reduceat(slots, layer.begins, dtype=np.float64)
        return total

    def _decide(self, rows: Rows) -> npt.NDArray[np.uint8]:
        """Which nodes a row leaves to the left, shape [nodes, rows]."""
        turned = np.ascontiguousarray(rows.T)
        left = turned.take(self._feature, axis=0) < self._threshold
        missing = np.isnan(turned)
        if missing.any():
            left |= missing.take(self._feature, axis=0) & self._missing_left
        return left.view(np.uint8)


@dataclass(frozen=True, slots=True)
class _Nodes:
    """One level of perfect trees, arrays of shape [trees, 2**level]."""

    feature: npt.NDArray[np.int64]
    threshold: npt.NDArray[np.float32]
    missing_left: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Padded:
    """Trees of one depth as perfect trees. Below a leaf that ends early, everything goes left to the leaf's value."""

    levels: tuple[_Nodes, ...]
    value: npt.NDArray[np.float64]

    @classmethod
    def of(cls, trees: Sequence[Tree], depth: int) -> _Padded:
        node = np.zeros((len(trees), 1), np.int64)
        live = np.ones((len(trees), 1), np.bool_)
        sizes = [len(tree.left) for tree in trees]
        offset = np.concatenate([[0], np.cumsum(sizes)])[:-1, None]
        left, right, feature, threshold, missing, value = (
            np.concatenate([getattr(tree, name) for tree in trees])
            for name in ("left", "right", "feature", "threshold", "missing_left", "value")
        )
        levels = []
        for _ in range(depth):
            at = node + offset
            inner = live & (left[at] >= 0)
            levels.append(
                _Nodes(
                    np.where(inner, feature[at], 0).astype(np.int64),
                    np.where(inner, threshold[at], np.float32(np.inf)).astype(np.float32),
                    np.where(inner, missing[at], True),
                )
            )
            # a row of +inf goes right at a padded node; the contract check lets no infinite value through
            down = np.stack([np.where(inner, left[at], node), np.where(inner, right[at], 0)], axis=2)
            alive = np.stack([live, inner], axis=2)
            node, live = down.reshape(len(trees), -1), alive.reshape(len(trees), -1)
        return cls(tuple(levels), np.where(live, value[node + offset], 0.0))


def _depth(tree: Tree) -> int:
    level, depth = [0], 0
    while True:
        level = [
            child for node in level if tree.left[node] >= 0 for child in (int(tree.left[node]), int(tree.right[node]))
        ]
        if not level:
            break
        depth += 1
        if depth > DEPTH_LIMIT:
            raise InvalidInputError(f"reason codes are made for trees of at most {DEPTH_LIMIT} levels", rule="depth")
    return depth


def _codes(levels: int, trees: int, starts: Sequence[int], decided: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """For each node of level `levels`, which steps of its path a row satisfies; first step in the highest bit.

    Returns:
        Shape [trees * 2**levels, rows].
    """
    count = decided.shape[1]
    code = np.zeros((trees, count), np.uint8)
    for level in range(levels):
        width = trees << level
        step = decided[starts[level] : starts[level] + width]
        code = np.left_shift(code, 1)
        both = np.empty((width, 2, count), np.uint8)
        np.bitwise_or(code, step, out=both[:, 0])
        np.bitwise_or(code, step ^ 1, out=both[:, 1])
        code = both.reshape(2 * width, count)
    return code


def _mean(group: _Padded, depth: int, starts: Sequence[int], decided: npt.NDArray[np.uint8]) -> float:
    trees = len(group.value)
    reached = _codes(depth, trees, starts, decided).reshape(trees, -1, decided.shape[1]) == (1 << depth) - 1
    return float((reached.mean(axis=2) * group.value).sum())


def _layer(group: _Padded, depth: int, starts: tuple[int, ...], decided: npt.NDArray[np.uint8], count: int) -> _Layer:
    trees, leaves = len(group.value), 1 << depth
    path = np.empty((trees, leaves, depth), np.int64)
    for level, nodes in enumerate(group.levels):
        path[:, :, level] = np.repeat(nodes.feature, leaves >> level, axis=1)
    seen = _codes(depth, trees, starts, decided).reshape(trees * leaves, count)
    by_leaf = _leaf_tables(path.reshape(-1, depth), seen, group.value.ravel() / count)
    lower, upper = trees << (depth - 2), 1 << (depth - 2)
    table = np.zeros((lower, upper, 8, depth + 1), np.float64)
    split = by_leaf.reshape(lower, 4, upper, 4, depth)
    for bits in range(8):
        a, b, c = bits >> 2 & 1, bits >> 1 & 1, bits & 1
        for leaf in range(4):
            # steps of the path below: through the left node first, then through one of its children
            steps = ((a if leaf < 2 else 1 - a) << 1) | ((b if leaf < 2 else c) ^ (leaf & 1))
            part = split[:, leaf, :, steps]
            table[:, :, bits, : depth - 1] += part[:, :, : depth - 1]
            table[:, :, bits, depth - 1 + (leaf >> 1)] += part[:, :, depth - 1]
    features = np.empty((lower, 1, depth + 1), np.int64)
    on_path = path.reshape(lower, 4, depth)
    features[:, 0, : depth - 1] = on_path[:, 0, : depth - 1]
    features[:, 0, depth - 1], features[:, 0, depth] = on_path[:, 0, depth - 1], on_path[:, 2, depth - 1]
    first = (np.arange(lower) * upper * 8)[:, None]
    wide = np.zeros((table.size // (depth + 1), _slots(depth)), np.float32)
    wide[:, : depth + 1] = table.reshape(-1, depth + 1)
    used = (np.arange(lower)[:, None] * _slots(depth) + np.arange(depth + 1)).ravel()
    flat = features.ravel()
    order = np.argsort(flat, kind="stable")
    present, begins = np.unique(flat[order], return_index=True)
    return _Layer(depth, trees, starts, wide, first, used[order], begins, present)


def _slots(depth: int) -> int:
    """Room for depth + 1 values: rows of 32 or 64 bytes are copied in half of the time of others."""
    return 8 if depth < 8 else 16


def _leaf_tables(
    path: npt.NDArray[np.int64], seen: npt.NDArray[np.uint8], worth: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """What each leaf gives to each step of its path, for each pattern of x.

    Args:
        path: features, shape [leaves, depth].
        seen: patterns of the reference rows, shape [leaves, rows].
        worth: of each leaf, over the number of reference rows.

    Returns:
        Shape [leaves, 2**depth, depth]; a feature that comes twice has all of it at its first step.
    """
    leaves, depth = path.shape
    size = 1 << depth
    found = np.zeros((leaves, size, depth), np.float64)
    useful = worth != 0
    first = np.argmax(path[:, :, None] == path[:, None, :], axis=2)
    forms, form_of = np.unique(first, axis=0, return_inverse=True)
    patterns = np.arange(size)
    bit = (patterns[:, None] >> np.arange(depth - 1, -1, -1)) & 1
    for form, steps in enumerate(forms):
        members = np.flatnonzero((form_of.ravel() == form) & useful)
        if not members.size:
            continue
        distinct = np.unique(steps)
        # a feature is satisfied where all its steps are
        held = np.stack([bit[:, steps == one].all(axis=1) for one in distinct], axis=1)
        short = (held << np.arange(len(distinct))).sum(axis=1)
        among = np.zeros((members.size, 1 << len(distinct)), np.float64)
        mapped = short[seen[members]] + (np.arange(members.size) << len(distinct))[:, None]
        among += np.bincount(mapped.ravel(), minlength=among.size).reshape(among.shape)
        part = _counted(among, len(distinct)) * worth[members, None, None]
        found[np.ix_(members, patterns, distinct)] = part[:, short]
    return found


def _counted(among: npt.NDArray[np.float64], width: int) -> npt.NDArray[np.float64]:
    """Sum over the reference patterns of what each feature gets, shape [leaves, 2**width, width].

    Args:
        among: how many reference rows have which pattern, shape [leaves, 2**width].
        width: number of distinct features.
    """
    size = 1 << width
    whole = size - 1
    total = np.zeros((len(among), size, width), np.float64)
    bits = np.arange(width)
    for theirs in range(size):
        weight = among[:, theirs]
        if not weight.any():
            continue
        ours = np.array([pattern for pattern in range(size) if pattern | theirs == whole])
        only_x = ((ours & ~theirs)[:, None] >> bits) & 1
        only_z = ((theirs & ~ours)[:, None] >> bits) & 1
        a, b = only_x.sum(axis=1), only_z.sum(axis=1)
        gains = np.array(
            [factorial(n - 1) * factorial(m) / factorial(n + m) if n else 0.0 for n, m in zip(a, b, strict=True)]
        )
        losses = np.array(
            [factorial(n) * factorial(m - 1) / factorial(n + m) if m else 0.0 for n, m in zip(a, b, strict=True)]
        )
        share = only_x * gains[:, None] - only_z * losses[:, None]
        total[:, ours] += weight[:, None, None] * share
    return total
