"""Exact Shapley values of a forest for every answer: against reference rows, or along the trees' own training weights.

Everything that the reference says is summed into tables once: `patterns` tells what a leaf gives, `branches` which
leaves one look-up answers. An answer then is: compare, make codes, look up, add.

The tables hold float32, which halves what an answer must fetch, and all their values are multiples of one power of two,
chosen so that no sum of them needs more than the 53 bits of a float64. Adding them is exact then, in every order: a
row's bits hang neither on its batch, nor on threads, nor on how numpy adds. Two features lie side by side in an entry
and are added as one complex number, which halves the work.

What float32 rounds away is 2**-25 of each value, some 1e-8 of a contribution; the served score itself, a float32 sum of
float32 leaves, is a hundred times coarser.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, fsum, log2
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from strongroom.errors import InvalidInputError
from strongroom.registry.explanation import Explanation
from strongroom.validation.trees.branches import SLOTS, Branches, Nodes, Paths
from strongroom.validation.trees.forests import Forest
from strongroom.validation.trees.patterns import counted, gifts, independent
from strongroom.validation.trees.shapley import Shapley

Rows = npt.NDArray[np.float32]
Values = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]
REFERENCE_LIMIT: Final = 256
TABLE_BYTES: Final = 96 * 1024 * 1024
_CHUNK: Final = 32
"""Rows at a time: what is compared then stays near the processor."""
_PART: Final = 1 << 16
"""Entries at a time while tables are made, so that making them needs little more memory than they do."""


class Contributions(Protocol):
    """What explains a forest's sums. `base` and a row's values add up to the row's sum."""

    base: float

    def values(self, rows: Rows, /) -> Values:
        """Shape [rows, features], for rows of float32 with NaN where missing."""
        ...


def contributions(wish: Explanation, forest: Forest) -> Contributions:
    """What explains a forest as its release wishes. Raises InvalidInputError: see `Attribution`."""
    rows = None if wish.method == "path-dependent" else np.array(wish.rows(), np.float32)
    if wish.v == 1 and rows is not None:
        return Shapley(forest, rows)
    return Attribution(forest, rows)


@dataclass(frozen=True, slots=True)
class _Sums:
    """How the looked-up pairs are added.

    Attributes:
        pairs: places of used pairs among all of a row's, ordered by their two features.
        begins: where in `pairs` each couple of features begins.
        halves: places among the sums, each a real and an imaginary part, ordered by feature.
        starts: where in `halves` each of `present` begins.
        present: the features that occur.
    """

    pairs: Places
    begins: Places
    halves: Places
    starts: Places
    present: Places


class Attribution:
    """Contributions of one forest.

    Args:
        forest: as read from the served model.
        reference: shape [rows, features], float32; None for path-dependent values, which need the forest's weights.

    Raises:
        InvalidInputError: no reference rows or too many, a tree that is too deep, tables that are too large, or a
            forest without weights.
    """

    def __init__(self, forest: Forest, reference: Rows | None) -> None:
        if reference is not None and (
            not 0 < len(reference) <= REFERENCE_LIMIT or reference.shape[1:] != (forest.features,)
        ):
            raise InvalidInputError(f"an explanation has 1 to {REFERENCE_LIMIT} reference rows", rule="reference")
        nodes = Nodes.of(forest.trees)
        paths = nodes.paths()
        branches = Branches.of(nodes, paths)
        entries = int((1 << branches.bits).sum())
        size = entries * SLOTS * 4
        if size > TABLE_BYTES:
            raise InvalidInputError(
                f"the explanation's tables would take {size} bytes, more than {TABLE_BYTES}; use fewer or lower trees",
                rule="size",
            )
        self.width = forest.features
        self._conditions = branches.conditions
        self._first = np.cumsum(np.append(0, 1 << branches.bits))[:-1]
        # bit n is asked of those groups that have it, and they come first
        self._asked = [
            np.ascontiguousarray(branches.asked[: np.count_nonzero(branches.bits > bit), bit])
            for bit in range(int(branches.bits.max()))
        ]
        slot, named = _slots(branches)
        self._sums = _sums(named)
        chances = _along(forest, paths, branches) if reference is None else _against(reference, nodes, paths, branches)
        reached = [(members, chance[:, -1]) for members, chance in chances]
        self.base = fsum(
            [forest.base, *(v for members, part in reached for v in (part * nodes.value[paths.leaf[members]]).tolist())]
        )
        table = np.zeros((entries, SLOTS))
        for members, chance in chances:
            _fill(table, members, chance, branches, slot, nodes.value[paths.leaf], self._first)
        self._scale = _round(table, self._first, named, forest.features)
        self._table = table.astype(np.float32).view(np.complex64)

    def values(self, rows: Rows) -> Values:
        """Contributions, shape [rows, features]; `base` plus their sum is the forest's sum.

        Args:
            rows: float32, shape [rows, features], NaN where missing.
        """
        found = np.zeros((len(rows), self.width))
        for start in range(0, len(rows), _CHUNK):
            part = rows[start : start + _CHUNK]
            self._chunk(part, found[start : start + len(part)])
        return found

    def _chunk(self, rows: Rows, found: Values) -> None:
        held = self._conditions.held(rows)
        groups, sums = len(self._first), self._sums
        code = np.zeros((groups, len(rows)), np.uint8)
        for asked in reversed(self._asked):
            part = code[: len(asked)]
            part += part
            part |= held.take(asked, axis=0)
        totals = np.zeros((len(rows), len(sums.begins)), np.complex128)
        entry = np.empty(groups, np.int64)
        looked = np.empty((groups, SLOTS // 2), np.complex64)
        flat = looked.ravel()
        pairs, wide = np.empty(len(sums.pairs), np.complex64), np.empty(len(sums.pairs), np.complex128)
        for column, total in zip(np.ascontiguousarray(code.T), totals, strict=True):
            np.add(self._first, column, out=entry)
            # every place is in range by construction; `clip` spares the copy that `raise` makes
            self._table.take(entry, axis=0, out=looked, mode="clip")
            flat.take(sums.pairs, out=pairs, mode="clip")
            np.copyto(wide, pairs)
            np.add.reduceat(wide, sums.begins, out=total)
        if len(sums.starts):
            parts = totals.view(np.float64).take(sums.halves, axis=1)
            found[:, sums.present] = np.add.reduceat(parts, sums.starts, axis=1) * self._scale


def _against(reference: Rows, nodes: Nodes, paths: Paths, branches: Branches) -> list[tuple[Places, Values]]:
    """Chances of the reference rows' patterns, by the number of a leaf's features: (leaves, chances)."""
    turned = np.ascontiguousarray(reference.T)
    left = turned.take(nodes.feature, axis=0) < nodes.threshold[:, None]
    left |= np.isnan(turned).take(nodes.feature, axis=0) & nodes.missing_left[:, None]
    missed = np.zeros((len(paths.leaf), len(reference)), np.uint8)
    for step in range(paths.node.shape[1]):
        on = np.flatnonzero(paths.length > step)
        wrong = left[paths.node[on, step]] != paths.left[on, step, None]
        missed[on] |= wrong * np.left_shift(1, branches.nth[on, step, None]).astype(np.uint8)
    found = []
    for features in np.unique(branches.features).tolist():
        members = np.flatnonzero(branches.features == features)
        found.append((members, counted(missed[members] ^ np.uint8((1 << features) - 1), features)))
    return found


def _along(forest: Forest, paths: Paths, branches: Branches) -> list[tuple[Places, Values]]:
    """Chances where each feature follows its steps with the share of the training weight that did."""
    cover = forest.covers()
    shares = np.ones((len(paths.leaf), paths.node.shape[1]))
    for step in range(paths.node.shape[1]):
        on = np.flatnonzero(paths.length > step)
        last = paths.length[on] == step + 1
        after = np.where(last, paths.leaf[on], paths.node[on, min(step + 1, paths.node.shape[1] - 1)])
        with np.errstate(divide="ignore", invalid="ignore"):
            share = cover[after] / cover[paths.node[on, step]]
        if not np.isfinite(share).all() or (share < 0).any():
            raise InvalidInputError("a node of the model has no training weight", rule="weights")
        shares[on, branches.nth[on, step]] *= share
    found = []
    for features in np.unique(branches.features).tolist():
        members = np.flatnonzero(branches.features == features)
        found.append((members, independent(shares[members, :features])))
    return found


def _slots(branches: Branches) -> tuple[Places, Places]:
    """Where in a group's entry each feature of a leaf lies, shape [leaves, depth]; and the groups' features, shape
    [groups, SLOTS], -1 where there is none."""
    width = int(branches.named.max(initial=0)) + 1
    keys = branches.group[:, None] * width + branches.named
    known, inverse = np.unique(keys[branches.named >= 0], return_inverse=True)
    group = known // width
    begins = np.searchsorted(group, np.arange(len(branches.bits)))
    place = np.arange(len(known)) - begins[group]
    slot = np.zeros(branches.named.shape, np.int64)
    slot[branches.named >= 0] = place[inverse]
    named = np.full((len(branches.bits), SLOTS), -1)
    named[group, place] = known % width
    return slot, named


def _sums(named: Places) -> _Sums:
    first, second = named[:, 0::2].ravel(), named[:, 1::2].ravel()
    used = np.flatnonzero(first >= 0)
    order = used[np.lexsort((second[used], first[used]))]
    couples, begins = np.unique(np.stack([first[order], second[order]]), axis=1, return_index=True)
    features = couples.T.ravel()
    halves = np.argsort(features, kind="stable")[np.count_nonzero(features < 0) :]
    present, starts = np.unique(features[halves], return_index=True)
    return _Sums(order, begins, halves, starts, present)


def _fill(
    table: Values, members: Places, chances: Values, branches: Branches, slot: Places, value: Values, first: Places
) -> None:
    """Add what the leaves `members`, all of one number of features, give to every entry of their groups."""
    features = chances.shape[1].bit_length() - 1
    bits = branches.bits[branches.group[members]]
    for width in np.unique(bits).tolist():
        begin = int(first[np.searchsorted(-branches.bits, -width)])
        end = begin + (np.count_nonzero(branches.bits == width) << width)
        block = table[begin:end].reshape(-1, 1 << width, SLOTS)
        at = np.flatnonzero((bits == width) & (value[members] != 0))
        at = at[np.argsort(branches.group[members[at]], kind="stable")]
        for start in range(0, len(at), max(1, _PART >> max(width, features))):
            chosen = at[start : start + max(1, _PART >> max(width, features))]
            leaf = members[chosen]
            given = np.zeros((len(leaf), 1 << features, SLOTS))
            lines = np.arange(len(leaf))
            made = gifts(chances[chosen], value[leaf])
            for n in range(features):
                given[lines, :, slot[leaf, n]] = made[n].T
            codes = np.arange(1 << width, dtype=np.uint8)
            pattern = np.zeros((len(leaf), 1 << width), np.int64)
            for n in range(features):
                satisfied = (codes & branches.mask[leaf, n, None]) == branches.want[leaf, n, None]
                pattern |= satisfied.astype(np.int64) << n
            entries = given.reshape(-1, SLOTS).take(pattern + (lines << features)[:, None], axis=0)
            group = (first[branches.group[leaf]] - begin) >> width
            nth = lines - np.searchsorted(group, group)
            for turn in range(int(nth.max()) + 1):
                on = nth == turn
                block[group[on]] += entries[on]


def _round(table: Values, first: Places, named: Places, width: int) -> float:
    """Round a table to whole multiples, in place: whole numbers whose sums stay below 2**53. Returns the multiple."""
    largest = np.maximum.reduceat(np.abs(table), first, axis=0)
    bound = np.bincount(named[named >= 0], weights=largest[named >= 0], minlength=width)
    top = float(bound.max())
    step = 2.0 ** (ceil(log2(top)) - 52) if top > 0 else 1.0
    np.rint(np.multiply(table, 1 / step, out=table), out=table)
    return step
