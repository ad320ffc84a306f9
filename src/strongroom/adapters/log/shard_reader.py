"""Reading a log folder without its lock, while another process may be writing to it."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec

from strongroom.adapters.files.disk import Disk, File, OsDisk
from strongroom.adapters.log.edges import read_edge
from strongroom.encoding import parse_as
from strongroom.errors import InvalidInputError, NotFoundError, TamperedError
from strongroom.ledger.checkpoint import Checkpoint, Note, VerifierKey, open_checkpoint
from strongroom.ledger.frames import ENTRY, HEADER_BYTES, Stop, read_frame
from strongroom.ledger.leaf import check_record, decision_id_of
from strongroom.ledger.ports import StoredRecord
from strongroom.ledger.recovery import SegmentRef
from strongroom.ledger.tiles import TileTree
from strongroom.ledger.tree import inclusion_proof

SEGMENT_SUFFIX = ".seg"
CHECKPOINT = "checkpoint"
COSIGNED = "checkpoint.cosigned"
_SEGMENT = re.compile(r"([0-9]{20})\.seg")
_WINDOW_BYTES = 1024 * 1024


def segment_name(first: int) -> str:
    """File name of the segment whose first leaf is `first`."""
    return f"{first:020d}{SEGMENT_SUFFIX}"


class ShardFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`shard.json`: which log this folder is."""

    origin: str
    v: Literal[1]
    vkey: str


def read_shard_file(data: bytes) -> ShardFile:
    """Read `shard.json`.

    Raises:
        TamperedError: it is not what was written at creation.
    """
    try:
        about = parse_as(data, ShardFile, 4096)
        if VerifierKey.parse(about.vkey).name != about.origin:
            raise InvalidInputError("its key is of another origin", rule="shard-file")
    except InvalidInputError as error:
        raise TamperedError(f"`shard.json` cannot be read: {error.message}") from error
    return about


class FolderView:
    """A log folder as `ledger.fsck` and recovery see it."""

    def __init__(self, folder: Path, disk: Disk | None = None) -> None:
        self._folder = folder
        self._public = str(folder / "public")
        self._disk: Disk = disk or OsDisk()

    def segments(self) -> list[SegmentRef]:
        """Segments in order; `next.seg` is not one."""
        folder = self._folder / "segments"
        refs: list[SegmentRef] = []
        if not self._disk.exists(folder):
            return refs
        for name in sorted(self._disk.names(folder)):
            match = _SEGMENT.fullmatch(name)
            if match is not None:
                path = folder / name
                refs.append(SegmentRef(int(match.group(1)), partial(self._disk.read, path)))
        return refs

    def published(self, path: str) -> bytes | None:
        """A file below `public/`."""
        try:
            # as a string: a `Path` costs as much as the opening
            return self._disk.read(f"{self._public}/{path}")
        except (FileNotFoundError, NotADirectoryError):
            return None


class _Segment:
    """Offsets of the entries of one segment, found by following frame headers as far as was asked."""

    def __init__(self, first: int, file: File) -> None:
        self.first = first
        self.file = file
        self.offsets = array("Q")
        self._next = 0

    def reach(self, index: int, size: int) -> bool:
        """Follow headers until the entry `index` is known; False if the segment ends before.

        What was read for it is followed further, up to `size`: what lies behind may not be durable yet.
        """
        while len(self.offsets) <= index - self.first:
            window, place = self.file.pread(_WINDOW_BYTES, self._next), 0
            while place + HEADER_BYTES < len(window) and len(self.offsets) < size - self.first:
                length = int.from_bytes(window[place : place + 4], "big")
                if length == 0:
                    break
                if window[place + HEADER_BYTES] == ENTRY:
                    self.offsets.append(self._next + place)
                place += HEADER_BYTES + length
            if place == 0:
                return False
            self._next += place
        return True

    def read(self, index: int) -> tuple[bytes, bytes]:
        offset = self.offsets[index - self.first]
        head = self.file.pread(4, offset)
        data = self.file.pread(HEADER_BYTES + int.from_bytes(head, "big"), offset)
        found = read_frame(data, 0)
        if isinstance(found, Stop) or found.number != index:
            raise TamperedError(f"entry {index} at byte {offset} of segment {self.first} is broken")
        try:
            leaf, payload = found.record()
            check_record(leaf, payload)
        except InvalidInputError as error:
            raise TamperedError(f"entry {index} of segment {self.first}: {error.message}") from error
        return leaf, payload


class ShardReader:
    """The records of a log folder, up to its published checkpoint. See `strongroom.ledger.ports.Records`.

    One thread at a time. A writer's crash cannot take back what this shows, because only a durable checkpoint is
    published.
    """

    def __init__(
        self,
        folder: Path,
        verifier: VerifierKey | None = None,
        *,
        limit: Callable[[], int] | None = None,
        disk: Disk | None = None,
    ) -> None:
        """Open for reading.

        Args:
            folder: of the log.
            verifier: if given, the published checkpoint must be signed by it each time it is read.
            limit: the durable size, known to the writer's own process; otherwise the published size counts.
            disk: another file system, for tests.
        """
        self._folder = folder
        self._disk: Disk = disk or OsDisk()
        self._view = FolderView(folder, self._disk)
        self._verifier = verifier
        self._limit = limit
        self._verified: dict[bytes, Checkpoint] = {}
        self._segments: dict[int, _Segment] = {}
        self._firsts: list[int] = []
        self._tree: TileTree | None = None
        self._cosigned_tree: TileTree | None = None
        self._ids = array("Q")  # upper half of each decision id: 8 bytes a record, and only a handful of collisions

    @property
    def size(self) -> int:
        """How many records may be read now."""
        return self._limit() if self._limit is not None else self.checkpoint().size

    def note(self) -> bytes:
        """The published checkpoint with all its signature lines.

        Raises:
            NotFoundError: nothing is published there.
        """
        note = self._view.published(CHECKPOINT)
        if note is None:
            raise NotFoundError(f"`{self._folder.name}` has no published checkpoint")
        return note

    def checkpoint(self) -> Checkpoint:
        """The published checkpoint, verified if the reader has a verifier key.

        Raises:
            NotFoundError: nothing is published there.
            TamperedError: it cannot be read or is not signed by the log.
        """
        return self._open(self.note())

    def _open(self, note: bytes) -> Checkpoint:
        if self._verifier is not None:
            known = self._verified.get(note)
            if known is None:
                known = open_checkpoint(note, self._verifier)
                # the two that are published at a time: a signature over the same bytes need not be checked again
                self._verified = dict([*self._verified.items()][-1:])
                self._verified[note] = known
            return known
        try:
            return Checkpoint.parse(Note.parse(note).text)
        except InvalidInputError as error:
            raise TamperedError(f"the published checkpoint cannot be read: {error.message}") from error

    def get(self, index: int) -> StoredRecord:
        """One record.

        Raises:
            NotFoundError: beyond the end.
            TamperedError: its frame, leaf or payload is not what was written.
        """
        size = self.size
        if not 0 <= index < size:
            raise NotFoundError(f"the log has no record {index} yet")
        return self._get(index, size)

    def __iter__(self) -> Iterator[StoredRecord]:
        return self.records()

    def records(self, start: int = 0) -> Iterator[StoredRecord]:
        """Records from `start` to the end as it was when the iteration began."""
        size = self.size
        for index in range(start, size):
            yield self._get(index, size)

    def find(self, decision_id: str) -> StoredRecord:
        """The first record of a decision id (or act id). The index is built by reading once through the log.

        Raises:
            NotFoundError: no record has it.
            TamperedError: a record on the way is not what was written.
        """
        self._index()
        try:
            wanted = int(decision_id[:16], 16)
        except ValueError:
            wanted = -1
        place = 0
        while 0 <= wanted < 2**64 and place < len(self._ids):
            try:
                place = self._ids.index(wanted, place)
            except ValueError:
                break
            record = self._get(place, len(self._ids))
            if decision_id_of(record.leaf) == decision_id:
                return record
            place += 1
        raise NotFoundError("the log has no record of this decision")

    def _index(self) -> None:
        size = self.size
        if len(self._ids) >= size:
            return
        published = self._published_tree()
        for index in range(len(self._ids), size):
            # published leaves lie together, without the payloads between them
            leaf = published.leaf(index) if index < published.size else self._get(index, size).leaf
            self._ids.append(int(decision_id_of(leaf)[:16], 16))

    def prove(self, index: int) -> tuple[bytes, list[bytes]]:
        """A published checkpoint note and the inclusion proof of a leaf in it.

        The note is the newest that witnesses cosigned, if that covers the leaf; otherwise the newest published.

        Raises:
            NotFoundError: the leaf is not published yet, or a tile is missing.
            TamperedError: a tile or the checkpoint is not what was published.
        """
        cosigned = self._view.published(COSIGNED)
        if cosigned is not None:
            head = self._open(cosigned)
            if 0 <= index < head.size:
                tree = self._cosigned_tree = self._tree_of(COSIGNED, head, self._cosigned_tree)
                return cosigned, inclusion_proof(tree, index, head.size)
        note = self.note()
        tree = self._tree = self._tree_of(CHECKPOINT, self._open(note), self._tree)
        if not 0 <= index < tree.size:
            raise NotFoundError(f"record {index} is not under a published checkpoint yet")
        return note, inclusion_proof(tree, index, tree.size)

    def close(self) -> None:
        """Close the files."""
        for segment in self._segments.values():
            segment.file.close()
        self._segments.clear()

    def _published_tree(self) -> TileTree:
        self._tree = self._tree_of(CHECKPOINT, self.checkpoint(), self._tree)
        return self._tree

    def _tree_of(self, name: str, head: Checkpoint, known: TileTree | None) -> TileTree:
        if known is not None and known.size == head.size:
            return known
        edge = read_edge(self._disk, self._folder, name, head)
        return TileTree(head.size, self._view.published, edge) if known is None else known.grown(head.size, edge)

    def _get(self, index: int, size: int) -> StoredRecord:
        segment = self._segment_of(index, size)
        if segment is not None:
            if segment.reach(index, size):
                return StoredRecord(index, *segment.read(index))
            raise TamperedError(f"segment {segment.first} ends before entry {index}")
        # retention has deleted the segment: the leaf is in the entry bundles, the payload nowhere
        return StoredRecord(index, self._published_tree().leaf(index), None)

    def _segment_of(self, index: int, size: int) -> _Segment | None:
        for fresh in (False, True):
            if fresh:
                self._firsts = [ref.first for ref in self._view.segments()]
            place = bisect_right(self._firsts, index) - 1
            # The last known segment may have been followed by another since: then it ends before `index`.
            if place < 0 or (not fresh and place == len(self._firsts) - 1 and not self._known(place, index, size)):
                continue
            first = self._firsts[place]
            if first not in self._segments:
                try:
                    file = self._disk.open(self._folder / "segments" / segment_name(first))
                except FileNotFoundError:
                    continue
                self._segments[first] = _Segment(first, file)
            return self._segments[first]
        return None

    def _known(self, place: int, index: int, size: int) -> bool:
        segment = self._segments.get(self._firsts[place])
        return segment is not None and segment.reach(index, size)
