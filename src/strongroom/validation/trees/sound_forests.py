"""Is a forest one that may be handed to compiled code, and which leaves give it a sum that is the same in every order?

Both are asked of the numbers that were read from the model file, before anything else meets them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from strongroom.errors import InvalidInputError
from strongroom.validation.trees.forests import Forest, Tree

DEPTH_LIMIT: Final = 128
"""Levels below the root. Deeper trees are chains: nobody trains them, and compiled code may walk them by recursion."""
_FRACTION: Final = 52
"""Bits of a float64 behind its first."""


def demand_trees(trees: Sequence[Tree]) -> None:
    """Every node but the first is the child of exactly one other and can be reached, within `DEPTH_LIMIT`.

    Raises:
        InvalidInputError: a node has two parents or none, a branch leads back, a tree is too deep, or a threshold is no
            finite number: a comparison with the float32 below it would not be the same.
    """
    for number, tree in enumerate(trees):
        inner = tree.left >= 0
        if not np.isfinite(tree.threshold[inner]).all():
            raise _refused(f"tree {number} splits at a threshold that is not finite", "threshold")
        parents = np.bincount(np.concatenate([tree.left[inner], tree.right[inner]]), minlength=len(tree.left))
        if parents[0] != 0 or (parents[1:] != 1).any():
            raise _refused(f"in tree {number} a node has two parents, or none", "tree")
        level, seen = np.zeros(1, np.int64), 0
        for _ in range(DEPTH_LIMIT + 1):
            seen += len(level)
            level = level[inner[level]]
            level = np.concatenate([tree.left[level], tree.right[level]])
            if not len(level):
                break
        else:
            raise _refused(f"tree {number} has more than {DEPTH_LIMIT} levels", "depth")
        # each has one parent, so what is not reached are rings beside the tree
        if seen != len(tree.left):
            raise _refused(f"in tree {number} branches lead round in a ring", "tree")


def exact_leaves(forest: Forest) -> list[npt.NDArray[np.float64]]:
    """The values of all nodes, tree by tree, such that one leaf of each tree, added up in float64 in any order, gives
    the same bits: no addition ever rounds.

    Let S be the sum over the trees of the largest leaf by size, 2^e the least power of two above S, and u = 2^(e-52).
    Leaves are rounded to multiples of u, which moves none by more than u/2, and only those that have bits below u: such
    as are less than 2^-28 of 2^e. With at most 2^52 trees every sum of some of them is a multiple of u of less than
    2^53 u, and so a number of float64. Sums without rounding have no order. What is lost, at most u/2 for each tree, is
    what a sum in float64 may lose by its own roundings.

    A rounded leaf is still a float32, as the library keeps it: it is the leaf itself, or a multiple of u of at most
    2^24 u.

    Raises:
        InvalidInputError: a leaf is not a finite float32.
    """
    leaves = [tree.value[tree.left < 0] for tree in forest.trees]
    every = np.concatenate(leaves)
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = every.astype(np.float32).astype(np.float64)
    if not (np.isfinite(narrow) & (narrow == every)).all() or not math.isfinite(forest.base):
        raise _refused("a leaf of the forest is not a float32, since the graph scales what comes out of it", "leaf")
    _, above = math.frexp(math.fsum(float(np.abs(part).max()) for part in leaves))
    unit = math.ldexp(1.0, above - _FRACTION)
    # a power of two, so neither quotient nor product rounds
    return [np.rint(tree.value / unit) * unit for tree in forest.trees]


def _refused(what: str, rule: str) -> InvalidInputError:
    return InvalidInputError(f"{what}; leave `runtime` out, onnxruntime runs such a model", field="model", rule=rule)
