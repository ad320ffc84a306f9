"""Forests at random, and what each feature contributes by definition: slow, plain, without the product's code."""

from __future__ import annotations

import itertools
from math import factorial
from typing import Any

import numpy as np
import numpy.typing as npt

from strongroom.validation.trees.forests import Forest, Tree


def score_of(tree: Tree, row: npt.NDArray[np.float32]) -> float:
    node = 0
    while tree.left[node] >= 0:
        value = row[tree.feature[node]]
        left = tree.missing_left[node] if np.isnan(value) else value < tree.threshold[node]
        node = int(tree.left[node] if left else tree.right[node])
    return float(tree.value[node])


def margin(forest: Forest, row: npt.NDArray[np.float32]) -> float:
    return forest.base + sum(score_of(tree, row) for tree in forest.trees)


def by_definition(forest: Forest, row: Any, reference: Any) -> npt.NDArray[np.float64]:
    """Shapley's formula over all sets of features, slow and plain."""
    width = forest.features
    worth: dict[frozenset[int], float] = {}
    for size in range(width + 1):
        for chosen in itertools.combinations(range(width), size):
            mixed = np.array(reference, np.float32)
            mixed[:, list(chosen)] = row[list(chosen)]
            worth[frozenset(chosen)] = float(np.mean([margin(forest, one) for one in mixed]))
    found = np.zeros(width)
    for feature in range(width):
        for chosen, value in worth.items():
            if feature not in chosen:
                share = factorial(len(chosen)) * factorial(width - len(chosen) - 1) / factorial(width)
                found[feature] += share * (worth[chosen | {feature}] - value)
    return found


def random_tree(random: np.random.Generator, width: int, depth: int) -> Tree:
    """Any shape up to `depth`, features repeating on a path."""
    left, right, feature, threshold, missing, value = [], [], [], [], [], []

    def grow(level: int) -> int:
        node = len(left)
        left.append(-1), right.append(-1), feature.append(0), threshold.append(0.0)
        missing.append(bool(random.integers(2))), value.append(float(random.normal()))
        if level < depth and random.random() < 0.85:
            feature[node], threshold[node], value[node] = (
                int(random.integers(width)),
                float(random.integers(-3, 4)),
                0.0,
            )
            left[node] = grow(level + 1)
            right[node] = grow(level + 1)
        return node

    grow(0)
    cover = np.ones(len(left))
    for node in range(len(left)):
        if left[node] >= 0:
            part = float(random.uniform(0, 1))
            cover[left[node]], cover[right[node]] = cover[node] * part, cover[node] * (1 - part)
    return Tree(
        np.array(left, np.int32), np.array(right, np.int32), np.array(feature, np.int32),
        np.array(threshold, np.float32), np.array(missing), np.array(value), cover,
    )  # fmt: skip


def random_rows(random: np.random.Generator, count: int, width: int) -> npt.NDArray[np.float32]:
    rows = random.integers(-4, 5, (count, width)).astype(np.float32)
    rows[random.random(rows.shape) < 0.15] = np.nan
    return rows


def expected(tree: Tree, row: npt.NDArray[np.float32], known: frozenset[int], node: int = 0) -> float:
    """The tree's value where only some features are known: the others go both ways, by training weight."""
    if tree.left[node] < 0:
        return float(tree.value[node])
    feature, cover = int(tree.feature[node]), tree.cover
    if feature in known:
        value = row[feature]
        left = tree.missing_left[node] if np.isnan(value) else value < tree.threshold[node]
        return expected(tree, row, known, int(tree.left[node] if left else tree.right[node]))
    assert cover is not None
    return sum(
        expected(tree, row, known, int(child)) * cover[child] / cover[node]
        for child in (tree.left[node], tree.right[node])
    )


def path_dependent(forest: Forest, row: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Shapley's formula over all sets, slow and plain."""
    width = forest.features
    found = np.zeros(width)
    for size in range(width):
        for chosen in itertools.combinations(range(width), size):
            before = sum(expected(tree, row, frozenset(chosen)) for tree in forest.trees)
            share = factorial(size) * factorial(width - size - 1) / factorial(width)
            for feature in set(range(width)) - set(chosen):
                after = sum(expected(tree, row, frozenset({*chosen, feature})) for tree in forest.trees)
                found[feature] += share * (after - before)
    return found
