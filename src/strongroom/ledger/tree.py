"""The Merkle tree of RFC 6962, section 2.1, over leaf hashes.

A node is named (level, index): the hash over leaves `index << level` to `(index + 1) << level`, all present.
Every proof and root can be computed from such complete nodes, which never change once they exist.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol

from strongroom.errors import InvalidInputError, TamperedError

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()
_sha256 = hashlib.sha256


def leaf_hash(leaf: bytes) -> bytes:
    """SHA-256 over 0x00 and the leaf."""
    return _sha256(b"\x00" + leaf).digest()


def leaf_hashes(leaves: Sequence[bytes]) -> list[bytes]:
    """`leaf_hash` of each."""
    sha256 = _sha256
    return [sha256(b"\x00" + leaf).digest() for leaf in leaves]


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256 over 0x01, left and right."""
    return _sha256(b"\x01" + left + right).digest()


class HashReader(Protocol):
    """Where complete nodes come from: memory, tiles, or one batch and what was before it."""

    def node(self, level: int, index: int) -> bytes:
        """The hash of a complete node. Raises NotFoundError or KeyError where it has none."""


class Span:
    """The nodes that one batch completed, each level's first joined by the left sibling that the frontier held for it:
    enough to prove every leaf of the batch.

    Attributes:
        start: size of the tree before the batch.
        end: size after it.
    """

    __slots__ = ("_levels", "_right", "end", "start")

    def __init__(self, start: int, end: int, levels: list[tuple[int, list[bytes]]]) -> None:
        self.start = start
        self.end = end
        self._levels = levels
        self._right: dict[int, bytes] = {}

    def node(self, level: int, index: int) -> bytes:
        """A node that this batch completed, or one on the frontier before it.

        Raises:
            KeyError: the node lies further back.
        """
        if level < len(self._levels):
            first, hashes = self._levels[level]
            if 0 <= index - first < len(hashes):
                return hashes[index - first]
        raise KeyError((level, index))

    def completed(self, level: int) -> Sequence[bytes]:
        """The nodes of `level` that this batch completed, in order (not the frontier's own)."""
        if level >= len(self._levels):
            return ()
        first, hashes = self._levels[level]
        return hashes[(self.start >> level) - first :]

    def proof(self, index: int) -> list[bytes]:
        """The inclusion proof of a leaf of this batch in the tree of size `end`.

        Raises:
            InvalidInputError: the leaf is not of this batch.
        """
        if not self.start <= index < self.end:
            raise InvalidInputError(f"leaf {index} is not of the batch {self.start} to {self.end}", rule="index")
        return inclusion_proof(self, index, self.end, self._right)


class Frontier:
    """The right edge of a growing tree: one hash for every bit set in its size."""

    __slots__ = ("_edge", "size")

    def __init__(self, size: int = 0, edge: Sequence[bytes | None] = ()) -> None:
        self.size = size
        self._edge: list[bytes | None] = list(edge)

    @classmethod
    def read(cls, reader: HashReader, size: int) -> Frontier:
        """The frontier of the tree of `size` from its complete nodes."""
        edge = [
            reader.node(level, (size >> level) - 1) if size >> level & 1 else None for level in range(size.bit_length())
        ]
        return cls(size, edge)

    def encode(self) -> bytes:
        """Its hashes, from the right of the tree to the left."""
        return b"".join(hash_ for hash_ in self._edge if hash_ is not None)

    @classmethod
    def decode(cls, data: bytes, size: int) -> Frontier:
        """Read what `encode` wrote of the tree of `size`. Not trusted: compare its root with a signed one.

        Raises:
            InvalidInputError: another number of hashes than that tree has.
        """
        if len(data) != size.bit_count() * HASH_BYTES:
            raise InvalidInputError(f"the edge of a tree of {size} has another length", rule="edge")
        hashes = iter([data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)])
        return cls(size, [next(hashes) if size >> level & 1 else None for level in range(size.bit_length())])

    def nodes(self) -> dict[tuple[int, int], bytes]:
        """Its hashes by level and index of the node."""
        return {(level, (self.size >> level) - 1): hash_ for level, hash_ in enumerate(self._edge) if hash_ is not None}

    def copy(self) -> Frontier:
        """An independent frontier of the same tree."""
        return Frontier(self.size, self._edge)

    def append(self, hash_: bytes) -> None:
        """Add one leaf hash; amortised constant time."""
        edge, level, rest = self._edge, 0, self.size
        while rest & 1:
            left = edge[level]
            assert left is not None  # noqa: S101  the bit of the size says that it is there
            hash_ = node_hash(left, hash_)
            edge[level] = None
            level += 1
            rest >>= 1
        if level == len(edge):
            edge.append(hash_)
        else:
            edge[level] = hash_
        self.size += 1

    def extend(self, hashes: Sequence[bytes]) -> Span:
        """Add leaf hashes, level by level, and return what was completed on the way."""
        before = self._edge
        start, end = self.size, self.size + len(hashes)
        levels: list[tuple[int, list[bytes]]] = []
        first, row = start, list(hashes)
        edge: list[bytes | None] = []
        sha256 = _sha256
        for level in range(end.bit_length()):
            if first & 1:
                # The left sibling of the first new node ended on the old edge: its bit is set in `start`.
                left = before[level]
                assert left is not None  # noqa: S101  as above
                row.insert(0, left)
                first -= 1
            levels.append((first, row))
            edge.append(row[-1] if len(row) & 1 else None)
            pairs = iter(row)
            # zip over one iterator takes two hashes at a time and drops an unpaired last one
            row = [sha256(b"\x01" + left + right).digest() for left, right in zip(pairs, pairs, strict=False)]
            first >>= 1
        self._edge, self.size = edge, end
        return Span(start, end, levels)

    def root(self) -> bytes:
        """The root of the tree of this size; logarithmic time."""
        root: bytes | None = None
        for hash_ in self._edge:
            if hash_ is not None:
                root = hash_ if root is None else node_hash(hash_, root)
        return EMPTY_ROOT if root is None else root


class MemoryTree:
    """All complete nodes in memory: for tests, small logs and judging a folder."""

    def __init__(self) -> None:
        self._rows: list[list[bytes]] = [[]]

    @property
    def size(self) -> int:
        return len(self._rows[0])

    def append(self, hash_: bytes) -> None:
        """Add one leaf hash."""
        level = 0
        while True:
            if level == len(self._rows):
                self._rows.append([])
            row = self._rows[level]
            row.append(hash_)
            if len(row) & 1:
                return
            hash_ = node_hash(row[-2], row[-1])
            level += 1

    def node(self, level: int, index: int) -> bytes:
        """A complete node. Raises KeyError where there is none."""
        if level >= len(self._rows) or not 0 <= index < len(self._rows[level]):
            raise KeyError((level, index))
        return self._rows[level][index]

    def root(self, size: int | None = None) -> bytes:
        """The root of the tree of the first `size` leaves."""
        return root_of(self, self.size if size is None else size)


def root_of(reader: HashReader, size: int) -> bytes:
    """The root of the tree of `size` from its complete nodes."""
    return Frontier.read(reader, size).root()


def _range_hash(reader: HashReader, low: int, high: int) -> bytes:
    """MTH(D[low:high]) where `low` is a multiple of the next power of two of the width, as in every RFC 6962 split."""
    size = high - low
    root: bytes | None = None
    for level in range(size.bit_length()):
        if size >> level & 1:
            # the set bits of the width, from the right: complete nodes from `high` leftwards
            high_of = low + (size >> level << level)
            hash_ = reader.node(level, (high_of >> level) - 1)
            root = hash_ if root is None else node_hash(hash_, root)
    assert root is not None  # noqa: S101  callers split ranges of at least one leaf
    return root


def inclusion_proof(
    reader: HashReader, index: int, size: int, right_edges: dict[int, bytes] | None = None
) -> list[bytes]:
    """PATH(index, D[size]), from the leaf upwards.

    Args:
        reader: complete nodes.
        index: of the leaf.
        size: of the tree.
        right_edges: remembers hashes of incomplete right siblings between proofs in the same tree.

    Raises:
        InvalidInputError: the leaf is not in the tree.

    Source: RFC 6962, section 2.1.1.
    """
    if not 0 <= index < size:
        raise InvalidInputError(f"leaf {index} is not in a tree of {size}", rule="index")
    proof: list[bytes] = []
    level, last = 0, size - 1
    position = index
    while last > 0:
        sibling = position ^ 1
        if sibling < last or (sibling == last and (last + 1) << level == size):
            proof.append(reader.node(level, sibling))
        elif sibling == last:
            low = sibling << level
            found = None if right_edges is None else right_edges.get(low)
            if found is None:
                found = _range_hash(reader, low, size)
                if right_edges is not None:
                    right_edges[low] = found
            proof.append(found)
        # a last node without sibling is carried up as it is
        position >>= 1
        last >>= 1
        level += 1
    return proof


def verify_inclusion(hash_: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Demand that the leaf hash stands at `index` in the tree of `size` with `root`.

    Raises:
        TamperedError: the proof does not lead there.

    Source: RFC 9162, section 2.1.3.2.
    """
    if not 0 <= index < size:
        raise TamperedError(f"leaf {index} is not in a tree of {size}")
    position, last = index, size - 1
    for step in proof:
        if last == 0:
            raise TamperedError("the inclusion proof is too long")
        if position & 1 or position == last:
            hash_ = node_hash(step, hash_)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            hash_ = node_hash(hash_, step)
        position >>= 1
        last >>= 1
    if last != 0 or hash_ != root:
        raise TamperedError(f"the inclusion proof of leaf {index} does not lead to the root of size {size}")


def consistency_proof(reader: HashReader, old: int, new: int) -> list[bytes]:
    """PROOF(old, D[new]). Empty when `old` is 0 or equals `new`.

    Raises:
        InvalidInputError: `old` exceeds `new` or is negative.

    Source: RFC 6962, section 2.1.2.
    """
    if not 0 <= old <= new:
        raise InvalidInputError(f"no tree of {new} extends one of {old}", rule="size")
    if old in (0, new):
        return []
    proof: list[bytes] = []
    low, high, complete = 0, new, True
    while old - low < high - low:
        split = low + (1 << (high - low - 1).bit_length() - 1)
        if old <= split:
            proof.append(_range_hash(reader, split, high))
            high = split
        else:
            proof.append(_range_hash(reader, low, split))
            low, complete = split, False
    if not complete:
        proof.append(_range_hash(reader, low, high))
    return proof[::-1]


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Demand that the tree of `new` leaves extends the tree of `old` leaves.

    Raises:
        TamperedError: it does not, or the proof is not of the right form.

    Source: RFC 9162, section 2.1.4.2.
    """
    failed = TamperedError(f"the log of size {new} does not extend the log of size {old}")
    if not 0 <= old <= new:
        raise failed
    if old == 0:
        if proof or old_root != EMPTY_ROOT:
            raise failed
        return
    if old == new:
        if proof or old_root != new_root:
            raise failed
        return
    steps = list(proof)
    if not steps:
        raise failed
    if old & (old - 1) == 0:
        steps.insert(0, old_root)
    position, last = old - 1, new - 1
    while position & 1:
        position >>= 1
        last >>= 1
    first = second = steps[0]
    for step in steps[1:]:
        if last == 0:
            raise failed
        if position & 1 or position == last:
            first, second = node_hash(step, first), node_hash(step, second)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            second = node_hash(second, step)
        position >>= 1
        last >>= 1
    if last != 0 or first != old_root or second != new_root:
        raise failed
