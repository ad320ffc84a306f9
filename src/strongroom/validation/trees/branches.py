"""Branches: the leaves of a forest parted into groups that one look-up answers.

What a leaf gives to its features hangs on which of its path's features a row satisfies, so a few leaves that lie
together hang on a few bits: one for each feature on the way to them (an interval that the row is in or not), one for
each node among them. Leaves are grouped from below as long as the bits stay few, so that a forest has few look-ups.

All features of a path that come twice are one condition: an interval with a rule for missing values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from strongroom.errors import InvalidInputError
from strongroom.validation.trees.forests import DEPTH_LIMIT, Tree

BITS: Final = 8
"""Of a look-up: 256 entries at most, and a code that fits one byte."""
SLOTS: Final = 8
"""Features of a look-up, so that an entry of float64 is one line of the processor's cache."""

Places = npt.NDArray[np.int64]
Bits = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Conditions:
    """What is asked of a row: its value is below a bound; and intervals made of two such answers.

    Attributes:
        feature, threshold, missing_left: a condition each, shape [conditions].
        upper, lower: of an interval, the places of two conditions: the first holds and the second does not.
    """

    feature: Places
    threshold: npt.NDArray[np.float32]
    missing_left: npt.NDArray[np.bool_]
    upper: Places
    lower: Places

    def held(self, rows: npt.NDArray[np.float32]) -> Bits:
        """Zeros and ones, shape [conditions + intervals, rows]; the comparison is that of the served model."""
        count = len(self.feature)
        turned = np.ascontiguousarray(rows.T)
        found = np.empty((count + len(self.upper), len(rows)), np.uint8)
        answers = found[:count].view(np.bool_)
        np.less(turned.take(self.feature, axis=0), self.threshold[:, None], out=answers)
        missing = np.isnan(turned)
        if missing.any():
            answers |= missing.take(self.feature, axis=0) & self.missing_left[:, None]
        if len(self.upper):
            np.greater(found.take(self.upper, axis=0), found.take(self.lower, axis=0), out=found[count:].view(np.bool_))
        return found


@dataclass(frozen=True, slots=True)
class Paths:
    """The ways to all leaves of a forest, shape [leaves, depth] each; behind a leaf's own length: -1, 0.

    Attributes:
        node: among all nodes of the forest, one tree behind the other.
        left: whether the way goes left.
        length: of each leaf.
        leaf: the leaf's own node.
    """

    node: Places
    left: npt.NDArray[np.bool_]
    length: Places
    leaf: Places


@dataclass(frozen=True, slots=True)
class Nodes:
    """All trees of a forest, one behind the other; children and roots by their place among all nodes."""

    root: Places
    left: Places
    right: Places
    feature: Places
    threshold: npt.NDArray[np.float32]
    missing_left: npt.NDArray[np.bool_]
    value: npt.NDArray[np.float64]

    @classmethod
    def of(cls, trees: Sequence[Tree]) -> Nodes:
        sizes = [len(tree.left) for tree in trees]
        root = np.cumsum([0, *sizes])[:-1]
        shift = np.repeat(root, sizes)

        def joined(name: str) -> Any:
            return np.concatenate([getattr(tree, name) for tree in trees])

        left, right = joined("left").astype(np.int64), joined("right").astype(np.int64)
        return cls(
            root, np.where(left < 0, -1, left + shift), np.where(left < 0, -1, right + shift),
            joined("feature").astype(np.int64), joined("threshold"), joined("missing_left"), joined("value"),
        )  # fmt: skip

    def paths(self) -> Paths:
        """Raises InvalidInputError: a tree is deeper than `DEPTH_LIMIT`, or no tree."""
        node, steps, turns = self.root, np.empty((len(self.root), 0), np.int64), np.empty((len(self.root), 0), np.bool_)
        found: list[tuple[Places, npt.NDArray[np.bool_], Places]] = []
        seen = 0
        for depth in range(DEPTH_LIMIT + 1):
            inner = self.left[node] >= 0
            found.append((steps[~inner], turns[~inner], node[~inner]))
            at = node[inner]
            if not at.size:
                break
            seen += node.size
            if depth == DEPTH_LIMIT or seen > self.left.size:
                raise InvalidInputError(
                    f"reason codes are made for trees of at most {DEPTH_LIMIT} levels", rule="depth"
                )
            steps = np.repeat(np.concatenate([steps[inner], at[:, None]], axis=1), 2, axis=0)
            turns = np.repeat(np.concatenate([turns[inner], np.ones((at.size, 1), np.bool_)], axis=1), 2, axis=0)
            turns[1::2, -1] = False
            node = np.stack([self.left[at], self.right[at]], axis=1).ravel()
        width = found[-1][0].shape[1]
        leaves = [len(leaf) for _, _, leaf in found]
        behind = [((0, 0), (0, width - length)) for length in range(width + 1)]
        return Paths(
            np.concatenate([np.pad(one, behind[one.shape[1]], constant_values=-1) for one, _, _ in found]),
            np.concatenate([np.pad(one, behind[one.shape[1]]) for _, one, _ in found]),
            np.repeat(np.arange(len(leaves)), leaves),
            np.concatenate([leaf for _, _, leaf in found]),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Branches:
    """Groups of leaves, those with most bits first.

    Attributes:
        conditions: what is asked of a row.
        asked: which condition makes each bit of a group's code, shape [groups, BITS]; 0 behind a group's own bits.
        bits: of each group, how many.
        group: of each leaf, its group.
        features: of each leaf, how many distinct ones its path has.
        named: a leaf's n-th feature, shape [leaves, depth]; -1 behind its own.
        mask, want: that feature is satisfied where `code & mask == want`.
        nth: of each step of a path, which of the leaf's features it asks for; behind the path it means nothing.
    """

    conditions: Conditions
    asked: Places
    bits: Places
    group: Places
    features: Places
    named: Places
    mask: Bits
    want: Bits
    nth: Places

    @classmethod
    def of(cls, nodes: Nodes, paths: Paths) -> Branches:
        parted = _Parted.of(nodes)
        by_bits = np.argsort(-np.array(parted.bits), kind="stable")
        rank = np.empty(len(by_bits), np.int64)
        rank[by_bits] = np.arange(len(by_bits))
        bits, top = np.array(parted.bits)[by_bits], np.array(parted.top)[by_bits]
        group = rank[np.array(parted.group)[paths.leaf]]
        place = np.array(parted.place)
        leaves, depth = paths.node.shape
        real = np.arange(depth) < paths.length[:, None]
        feature = np.where(real, nodes.feature[paths.node], -1 - np.arange(depth))
        first = np.argmax(feature[:, :, None] == feature[:, None, :], axis=2) if depth else paths.node
        head = real & (first == np.arange(depth))
        nth = np.take_along_axis(np.cumsum(head, axis=1) - 1, first, axis=1)
        above = real & (np.arange(depth) < top[group, None])
        # one leaf of each group tells the way to all of them
        sample = np.empty(len(bits), np.int64)
        sample[group] = np.arange(leaves)
        way = _Way.of(nodes, paths, sample, np.where(above, nth, -1)[sample])
        local = real & ~above
        at = paths.node[local]
        single = _keys(nodes.feature[at], nodes.threshold[at], nodes.missing_left[at])
        known, found = np.unique(np.concatenate([way.upper, way.lower, single]), return_inverse=True)
        upper, lower, single = np.split(found, [len(way.upper), 2 * len(way.upper)])
        both = way.has_upper & way.has_lower
        pairs, interval = np.unique(np.stack([upper[both], lower[both]]), axis=1, return_inverse=True)
        condition = np.where(way.has_upper, upper, lower)
        condition[both] = len(known) + interval.ravel()
        asked = np.zeros((len(bits), BITS), np.int64)
        asked[way.group, way.nth] = condition
        asked[np.repeat(group[:, None], depth, axis=1)[local], place[at]] = single
        wanted = np.zeros((len(bits), depth), np.uint8)
        wanted[way.group, way.nth] = way.has_upper
        bit = np.where(above, nth, place[paths.node]).astype(np.uint8)
        value = np.where(above, np.take_along_axis(wanted[group], nth, axis=1), paths.left).astype(np.uint8)
        mask, want, named = (np.full(nth.shape, empty, kind) for empty, kind in ((0, "u1"), (0, "u1"), (-1, "i8")))
        for step in range(depth):
            on = np.flatnonzero(real[:, step])
            where = on, nth[on, step]
            mask[where] |= np.left_shift(np.uint8(1), bit[on, step])
            want[where] |= np.left_shift(value[on, step], bit[on, step])
            named[where] = feature[on, step]
        return cls(_conditions(known, pairs), asked, bits, group, head.sum(axis=1), named, mask, want, nth)


@dataclass(frozen=True, slots=True)
class _Way:
    """The features on the way to each group, one line each.

    Attributes:
        group, nth: which group, and which of its features.
        upper, lower: keys of the bound that the value is below, and of the one that it is not below.
        has_upper, has_lower: whether there is one.
    """

    group: Places
    nth: Places
    upper: Places
    lower: Places
    has_upper: npt.NDArray[np.bool_]
    has_lower: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, nodes: Nodes, paths: Paths, sample: Places, nth: Places) -> _Way:
        shape = nth.shape
        high, low = np.full(shape, np.inf, np.float32), np.full(shape, -np.inf, np.float32)
        high_missing, low_missing = np.ones(shape, np.bool_), np.zeros(shape, np.bool_)
        has_high, has_low, feature = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_), np.full(shape, -1)
        for step in range(shape[1]):
            for left in (True, False):
                on = np.flatnonzero((nth[:, step] >= 0) & (paths.left[sample, step] == left))
                at, where = paths.node[sample[on], step], (on, nth[on, step])
                feature[where] = nodes.feature[at]
                # a bound that is no number holds for nothing: nobody is below it, and everybody is not below it
                if left:
                    high[where] = np.minimum(high[where], nodes.threshold[at])
                    high_missing[where] &= nodes.missing_left[at]
                    has_high[where] = True
                else:
                    low[where] = np.fmax(low[where], nodes.threshold[at])
                    low_missing[where] |= nodes.missing_left[at]
                    has_low[where] = True
        group, place = np.nonzero(feature >= 0)
        of = feature[group, place]
        return cls(
            group, place,
            _keys(of, high[group, place], high_missing[group, place]),
            _keys(of, low[group, place], low_missing[group, place]),
            has_high[group, place], has_low[group, place],
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Parted:
    """Groups as they are found: of each its bits and the length of the way to it; of each leaf its group; of each node
    between leaves its bit."""

    bits: list[int]
    top: list[int]
    group: list[int]
    place: list[int]

    @classmethod
    def of(cls, nodes: Nodes) -> _Parted:
        made = cls([], [], [-1] * len(nodes.left), [0] * len(nodes.left))
        left, right, feature = nodes.left.tolist(), nodes.right.tolist(), nodes.feature.tolist()
        for root in nodes.root.tolist():
            rest = made._grown(root, 0, 0, left, right, feature)
            if rest is not None:
                made._close(rest, 0, 0)
        return made

    def _grown(
        self, node: int, above: int, depth: int, left: list[int], right: list[int], feature: list[int]
    ) -> _Open | None:
        """The leaves below a node that are in no group yet; `above` is the set of features on the way, as bits."""
        if left[node] < 0:
            return [node], [], 0
        own = 1 << feature[node]
        below = above | own
        least = self._grown(left[node], below, depth + 1, left, right, feature)
        most = self._grown(right[node], below, depth + 1, left, right, feature)
        if least is not None and most is not None:
            if len(least[1]) > len(most[1]):
                least, most = most, least
            both = own | least[2] | most[2]
            if self._fits(above, len(least[1]) + len(most[1]) + 1, both):
                return least[0] + most[0], [*least[1], *most[1], node], both
            self._close(most, below, depth + 1)
        rest = most if least is None else least
        if rest is None:
            return None
        if self._fits(above, len(rest[1]) + 1, own | rest[2]):
            return rest[0], [*rest[1], node], own | rest[2]
        self._close(rest, below, depth + 1)
        return None

    @staticmethod
    def _fits(above: int, inner: int, features: int) -> bool:
        return above.bit_count() + inner <= BITS and (above | features).bit_count() <= SLOTS

    def _close(self, part: _Open, above: int, depth: int) -> None:
        first = above.bit_count()
        for leaf in part[0]:
            self.group[leaf] = len(self.bits)
        for place, node in enumerate(part[1], first):
            self.place[node] = place
        self.bits.append(first + len(part[1]))
        self.top.append(depth)


_Open = tuple[list[int], list[int], int]
"""Leaves, the nodes among them, and the features of these nodes as bits."""


def _keys(feature: Places, threshold: npt.NDArray[np.float32], missing_left: npt.NDArray[np.bool_]) -> Places:
    bound = np.ascontiguousarray(threshold, np.float32).view(np.uint32).astype(np.int64)
    return (feature << 33) | (bound << 1) | missing_left


def _conditions(keys: Places, pairs: Places) -> Conditions:
    bound = (keys >> 1 & 0xFFFFFFFF).astype(np.uint32).view(np.float32)
    return Conditions(keys >> 33, bound, (keys & 1).astype(np.bool_), pairs[0], pairs[1])
