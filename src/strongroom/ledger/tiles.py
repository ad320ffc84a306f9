"""C2SP tiles: the published form of a log, as static files.

`tile/<L>/<N>[.p/<W>]` holds up to 256 hashes of tree level 8L, `tile/entries/<N>[.p/<W>]` the same number of
leaves, each behind its length as u16. Payloads are never published.

Source: c2sp.org/tlog-tiles.
"""

from __future__ import annotations

import copy
import hashlib
import struct
from collections.abc import Callable, Sequence

from strongroom.errors import InvalidInputError, NotFoundError, TamperedError
from strongroom.ledger.tree import HASH_BYTES, Frontier, leaf_hash

WIDTH = 256
HEIGHT = 8
CACHE_LIMIT = 1024
_NODE = hashlib.sha256(b"\x01")


def _name(index: int) -> str:
    groups = [f"{index % 1000:03d}"]
    while index >= 1000:
        index //= 1000
        groups.append(f"x{index % 1000:03d}")
    return "/".join(reversed(groups))


def tile_path(level: int, index: int, width: int = WIDTH) -> str:
    """Path of a tile; partial when `width` is below 256."""
    return f"tile/{level}/{_name(index)}" + ("" if width == WIDTH else f".p/{width}")


def entries_path(index: int, width: int = WIDTH) -> str:
    """Path of an entry bundle; partial when `width` is below 256."""
    return f"tile/entries/{_name(index)}" + ("" if width == WIDTH else f".p/{width}")


def encode_bundle(leaves: Sequence[bytes]) -> bytes:
    """An entry bundle."""
    return b"".join(len(leaf).to_bytes(2, "big") + leaf for leaf in leaves)


def decode_bundle(data: bytes) -> list[bytes]:
    """The leaves of an entry bundle.

    Raises:
        InvalidInputError: a length leads beyond the end, or there are more than 256.
    """
    leaves: list[bytes] = []
    offset = 0
    while offset < len(data):
        size = int.from_bytes(data[offset : offset + 2], "big")
        leaf = data[offset + 2 : offset + 2 + size]
        if len(leaf) != size or offset + 2 > len(data) or len(leaves) == WIDTH:
            raise InvalidInputError("the entry bundle is not whole", rule="bundle")
        leaves.append(leaf)
        offset += 2 + size
    return leaves


def subtree(hashes: Sequence[bytes]) -> bytes:
    """The root over a power of two of hashes."""
    row, sha256 = hashes, hashlib.sha256
    while len(row) > 1:
        pairs = iter(row)
        row = [sha256(b"\x01" + left + right).digest() for left, right in zip(pairs, pairs, strict=True)]
    return row[0]


def rows_above(tile: bytes) -> list[bytes]:
    """The complete nodes over a tile's hashes, level by level: all that a proof may ask for between two tile levels.

    A proof through a tile needs all but the path itself of them, so that one pass over the tile costs no more.
    """
    rows, row = [], tile
    while pairs := len(row) // (2 * HASH_BYTES):
        above: list[bytes] = []
        for both in struct.unpack_from(f"{2 * HASH_BYTES}s" * pairs, row):
            # a tenth faster than a new one each time
            hashing = _NODE.copy()
            hashing.update(both)
            above.append(hashing.digest())
        row = b"".join(above)
        rows.append(row)
    return rows


class TileTree:
    """Reads complete nodes and leaves of the tree of `size` from tiles.

    The tiles are not trusted: compare the root they give (`tree.root_of`) with a signed one, or verify the proof.
    """

    def __init__(self, size: int, read: Callable[[str], bytes | None], edge: Frontier | None = None) -> None:
        """Args: `size` of a published checkpoint; `read` gives a file's bytes or None; the `edge` of that tree, if its
        root was found to be the checkpoint's."""
        self.size = size
        self._edge = {} if edge is None else edge.nodes()
        self._read = read
        self._tiles: dict[tuple[int, int], bytes] = {}
        self._above: dict[tuple[int, int], list[bytes]] = {}
        self._bundles: dict[int, list[bytes]] = {}

    def grown(self, size: int, edge: Frontier | None = None) -> TileTree:
        """The tree of another size of the same log. If it is larger, it has the whole tiles that this one has read."""
        other = TileTree(size, self._read, edge)
        if size >= self.size:
            whole = [key for key, tile in self._tiles.items() if len(tile) == WIDTH * HASH_BYTES]
            other._tiles = {key: self._tiles[key] for key in whole}
            other._above = {key: self._above[key] for key in whole if key in self._above}
        return other

    def _fetch(self, path: Callable[[int], str], width: int) -> tuple[bytes, int]:
        """A file's bytes and the width that its name says."""
        for named in (width, WIDTH):  # a partial file may go once the full one is there
            data = self._read(path(named))
            if data is not None:
                return data, named
        raise NotFoundError(f"the log has no `{path(width)}`", path=path(width))

    def _width(self, level: int, index: int) -> int:
        return min(WIDTH, (self.size >> (HEIGHT * level)) - index * WIDTH)

    def node(self, level: int, index: int) -> bytes:
        """The hash of a complete node.

        Raises:
            KeyError: not complete in this tree.
            NotFoundError: its tile is missing.
            TamperedError: its tile has a wrong length.
        """
        if index < 0 or (index + 1) << level > self.size:
            raise KeyError((level, index))
        if (known := self._edge.get((level, index))) is not None:
            return known
        tile_level, rest = divmod(level, HEIGHT)
        first = index << rest
        tile_index, place = divmod(first, WIDTH)
        tile = self.tile(tile_level, tile_index)
        if rest == 0:
            return tile[place * HASH_BYTES : (place + 1) * HASH_BYTES]
        # high nodes of a tile are many hashes, and the same ones stand in many proofs
        above = self._above.get((tile_level, tile_index))
        if above is None:
            above = self._above[tile_level, tile_index] = rows_above(tile)
        place >>= rest
        return above[rest - 1][place * HASH_BYTES : (place + 1) * HASH_BYTES]

    def tile(self, level: int, index: int) -> bytes:
        """The tile's bytes, cut to what this tree holds of it."""
        key = (level, index)
        found = self._tiles.get(key)
        if found is None:
            width = self._width(level, index)
            data, named = self._fetch(lambda w: tile_path(level, index, w), width)
            if len(data) != named * HASH_BYTES:
                raise TamperedError(f"`{tile_path(level, index, width)}` has {len(data)} bytes")
            found = data[: width * HASH_BYTES]
            if len(self._tiles) >= CACHE_LIMIT:
                self._tiles.clear()
                self._above.clear()
            self._tiles[key] = found
        return found

    def bundle(self, index: int) -> list[bytes]:
        """The leaves of an entry bundle, each checked against its hash in the tile.

        Raises:
            NotFoundError: bundle or tile is missing.
            TamperedError: they disagree.
        """
        found = self._bundles.get(index)
        if found is None:
            width = self._width(0, index)
            data, named = self._fetch(lambda w: entries_path(index, w), width)
            try:
                leaves = decode_bundle(data)
            except InvalidInputError as error:
                raise TamperedError(f"`{entries_path(index, width)}`: {error.message}") from error
            if len(leaves) != named:
                raise TamperedError(f"`{entries_path(index, named)}` has {len(leaves)} entries")
            found = leaves[:width]
            if b"".join(map(leaf_hash, found)) != self.tile(0, index):
                raise TamperedError(f"`{entries_path(index, width)}` does not hash to its tile")
            if len(self._bundles) >= 64:
                self._bundles.clear()
            self._bundles[index] = found
        return found

    def leaf(self, index: int) -> bytes:
        """One leaf. Raises as `bundle` does, and NotFoundError beyond the end."""
        if not 0 <= index < self.size:
            raise NotFoundError(f"the log has no leaf {index}")
        return self.bundle(index // WIDTH)[index % WIDTH]


class TileEdge:
    """The incomplete tiles at the right edge; turns new leaves into files."""

    def __init__(self) -> None:
        self.size = 0
        self._rows: list[list[bytes]] = [[]]
        self._leaves: list[bytes] = []

    @classmethod
    def load(cls, tree: TileTree) -> TileEdge:
        """Continue after what `tree` published. Raises NotFoundError or TamperedError as the tree does."""
        edge = cls()
        edge.size = size = tree.size
        edge._rows = []
        for level in range(max(1, -(-size.bit_length() // HEIGHT))):
            full, width = divmod(size >> (HEIGHT * level), WIDTH)
            tile = tree.tile(level, full) if width else b""
            edge._rows.append([tile[i : i + HASH_BYTES] for i in range(0, len(tile), HASH_BYTES)])
        if size % WIDTH:
            edge._leaves = list(tree.bundle(size // WIDTH))
        return edge

    def copy(self) -> TileEdge:
        """An independent edge."""
        other = copy.copy(self)
        other._rows = [list(row) for row in self._rows]
        other._leaves = list(self._leaves)
        return other

    def add(
        self, leaves: Sequence[bytes], hashes: Sequence[bytes], between: Callable[[], None] = lambda: None
    ) -> dict[str, bytes]:
        """Add leaves and return the files to publish for the new size: full ones first, then the partial edge.

        `between` is called after each full tile: whoever has more urgent work waits for one of them, not for all.
        """
        files: dict[str, bytes] = {}
        touched = 0
        place = 0
        while place < len(leaves):
            # up to the end of a tile at once
            step = WIDTH - len(self._leaves)
            self._leaves += leaves[place : place + step]
            self._rows[0] += hashes[place : place + step]
            self.size += min(step, len(leaves) - place)
            place += step
            if len(self._leaves) == WIDTH:
                files[entries_path(self.size // WIDTH - 1)] = encode_bundle(self._leaves)
                self._leaves = []
                level = 0
                while len(self._rows[level]) == WIDTH:
                    row = self._rows[level]
                    files[tile_path(level, (self.size >> (HEIGHT * (level + 1))) - 1)] = b"".join(row)
                    self._rows[level] = []
                    level += 1
                    if level == len(self._rows):
                        self._rows.append([])
                    self._rows[level].append(subtree(row))
                    touched = max(touched, level)
                between()
        return files | self.partials(touched)

    def partials(self, up_to: int = 7) -> dict[str, bytes]:
        """The partial files of this size, for tile levels 0 to `up_to`."""
        files: dict[str, bytes] = {}
        if self._leaves:
            files[entries_path(self.size // WIDTH, len(self._leaves))] = encode_bundle(self._leaves)
        for level, row in enumerate(self._rows[: up_to + 1]):
            if row:
                files[tile_path(level, self.size >> (HEIGHT * (level + 1)), len(row))] = b"".join(row)
        return files

    def superseded(self, since: int) -> list[str]:
        """Folders of partial files that full ones replaced while growing from size `since`."""
        gone: list[str] = []
        for level in range(len(self._rows)):
            before, after = since >> (HEIGHT * level), self.size >> (HEIGHT * level)
            if before % WIDTH and before // WIDTH < after // WIDTH:
                gone.append(tile_path(level, before // WIDTH) + ".p")
                if level == 0:
                    gone.append(entries_path(before // WIDTH) + ".p")
        return gone


def tile_frontier(tree: TileTree, size: int) -> Frontier:
    """The frontier of an earlier or equal size from published tiles.

    Raises:
        TamperedError: a tile that must be there is missing.
    """
    try:
        return Frontier.read(tree, size)
    except NotFoundError as error:
        raise TamperedError(f"{error.message}, though a checkpoint was published over it") from error
