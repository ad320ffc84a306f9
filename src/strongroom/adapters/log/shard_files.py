"""A log in a folder: preallocated write-ahead segments, and its published tiles beside them.

    <folder>/shard.json                    origin and verifier key
    <folder>/lock                          held by the one writer
    <folder>/segments/<first leaf, 20 digits>.seg     frames (format 10), then zeroes
    <folder>/segments/next.seg             a zeroed segment, kept ready
    <folder>/public/checkpoint, tile/...   C2SP tiles; any static web server may serve this folder
    <folder>/public/checkpoint.cosigned    the newest checkpoint that witnesses cosigned
    <folder>/checkpoint*.edge              see `adapters.log_edges`

`append` is one write and one sync; it allocates nothing. Publishing is apart from it and may lag or fail: the
segments are the truth until retention deletes one, which it may only do below the published size.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

from strongroom.adapters.files.disk import Disk, File, OsDisk, write_files
from strongroom.adapters.log.edges import keep_edge
from strongroom.adapters.log.shard_reader import (
    CHECKPOINT,
    COSIGNED,
    FolderView,
    ShardFile,
    ShardReader,
    read_shard_file,
)
from strongroom.adapters.log.tail import LogTail
from strongroom.encoding import canonical
from strongroom.errors import (
    ConflictError,
    InvalidInputError,
    NotDurableError,
    NotFoundError,
    TamperedError,
)
from strongroom.ledger.checkpoint import Checkpoint, LogKey, Note, VerifierKey, open_checkpoint, sign_checkpoint
from strongroom.ledger.frames import checkpoint_frame, content_frames, entry_frames
from strongroom.ledger.leaf import check_record
from strongroom.ledger.making import MadeRecord, MadeRecords
from strongroom.ledger.ports import Appended, Record
from strongroom.ledger.recovery import BATCH_LIMIT, recover
from strongroom.ledger.tiles import TileEdge, TileTree, tile_frontier
from strongroom.ledger.tree import EMPTY_ROOT, Frontier, leaf_hashes

SEGMENT_BYTES = 64 * 1024 * 1024

Depth = Literal["full", "published"]


class FileShard:
    """The one writer of a log folder. See `strongroom.ledger.ports.Shard`.

    `append` takes a lock, so that callers in several threads are served one after the other; `publish` and `prepare`
    may run in another thread at the same time.
    """

    def __init__(self, folder: Path, key: LogKey, disk: Disk, segment_bytes: int, lock: File) -> None:
        """For `create` and `open` only."""
        self._folder, self._key, self._disk, self._lock_file = folder, key, disk, lock
        self._tail = LogTail(folder / "segments", key.name, disk, segment_bytes)
        self._append_lock = threading.Lock()
        self._publish_lock = threading.Lock()
        self._state_lock = threading.Lock()
        # folders of the public form may be there whose names were never synced: by a failure, or by an earlier process
        self._unsettled = True
        self._frontier = Frontier()
        self._durable: tuple[Frontier, bytes] = (Frontier(), b"")
        self._edge = TileEdge()
        self._pending_leaves: list[bytes] = []
        self._pending_hashes: list[bytes] = []

    @classmethod
    def create(
        cls,
        folder: Path,
        origin: str,
        log_key: LogKey,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        disk: Disk | None = None,
    ) -> FileShard:
        """Make a new log in `folder` (made if missing; its parent must exist) and open it.

        Raises:
            ConflictError: there is a log already, or another process holds it.
            InvalidInputError: the key is not of this origin.
            NotDurableError: no space for the first segment.
        """
        disk = disk or OsDisk()
        if log_key.name != origin:
            raise InvalidInputError(f"the key of `{log_key.name}` does not sign for `{origin}`", rule="origin")
        if not disk.exists(folder):
            disk.make_folder(folder)
            disk.sync_folder(folder.parent)
        if disk.exists(folder / "shard.json"):
            raise ConflictError(f"`{folder.name}` holds a log already; open it, or choose another folder")
        shard = cls(folder, log_key, disk, segment_bytes, _lock(disk, folder))
        try:
            for name in ("segments", "public"):
                if not disk.exists(folder / name):
                    disk.make_folder(folder / name)
            disk.sync_folder(folder)
            shard._tail.begin()
            note = sign_checkpoint(Checkpoint(origin, 0, EMPTY_ROOT), log_key)
            write_files(disk, folder / "public", [(CHECKPOINT, note)])
            # Last, because it is what makes the folder a log: a crash before it leaves a folder to create again.
            about = ShardFile(origin=origin, v=1, vkey=str(log_key.verifier))
            write_files(disk, folder, [("shard.json", canonical(about))])
            shard._recover("full")
        except OSError as error:
            shard.close()
            raise NotDurableError(f"the log `{origin}` could not be made: {error.strerror}") from error
        except BaseException:
            shard.close()
            raise
        return shard

    @classmethod
    def open(
        cls,
        folder: Path,
        log_key: LogKey,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        depth: Depth = "full",
        disk: Disk | None = None,
    ) -> FileShard:
        """Open a log and recover it from whatever ended its last writer.

        Args:
            folder: of the log.
            log_key: its key.
            segment_bytes: size of segments made from now on.
            depth: `full` reads every segment; `published` trusts the signed checkpoint and tiles for segments that
                lie wholly below it (and leaves those to `fsck`), so that opening time does not grow with the log.
            disk: another file system, for tests.

        Raises:
            NotFoundError: no log there.
            ConflictError: another process holds it, or the key is another log's.
            TamperedError: see `strongroom.ledger.recovery`.
            NotDurableError: what was recovered could not be synced.
        """
        disk = disk or OsDisk()
        if not disk.exists(folder / "shard.json"):
            raise NotFoundError(f"`{folder.name}` holds no log; create it first")
        shard = cls(folder, log_key, disk, segment_bytes, _lock(disk, folder))
        try:
            about = read_shard_file(disk.read(folder / "shard.json"))
            if about.vkey != str(log_key.verifier) or about.origin != log_key.name:
                raise ConflictError(f"`{folder.name}` is the log `{about.origin}` of another key than the one given")
            shard._recover(depth)
        except OSError as error:
            shard.close()
            raise NotDurableError(f"the log `{log_key.name}` could not be opened: {error.strerror}") from error
        except BaseException:
            shard.close()
            raise
        return shard

    @property
    def origin(self) -> str:
        return self._key.name

    @property
    def verifier(self) -> VerifierKey:
        return self._key.verifier

    @property
    def size(self) -> int:
        return self._durable[0].size

    @property
    def checkpoint(self) -> bytes:
        return self._durable[1]

    @property
    def published_size(self) -> int:
        return self._edge.size

    @property
    def public_folder(self) -> Path:
        """What may be served to anyone."""
        return self._folder / "public"

    def reader(self) -> ShardReader:
        """Reads up to the newest durable record, published or not."""
        return ShardReader(self._folder, limit=lambda: self.size, disk=self._disk)

    def append(self, records: Sequence[Record]) -> Appended:
        """See `Shard.append`: one write, one sync.

        1. Check every record, compute the new tree, sign its checkpoint; the shard is not changed yet.
        2. If the batch does not fit, take the next segment. No space: refused, and the shard stays as it was.
        3. Write and sync. If either fails, nobody knows what is on the disk: the shard never writes again.
        4. Only now does the shard know the batch.
        """
        with self._append_lock:
            self._tail.demand_fit()
            first = self._frontier.size
            data, leaves, hashes = self._frames(records, first)
            frontier = self._frontier.copy()
            span = frontier.extend(hashes)
            note = sign_checkpoint(Checkpoint(self.origin, frontier.size, frontier.root()), self._key)
            data.append(checkpoint_frame(frontier.size, note))
            self._tail.write(b"".join(data), first)
            self._frontier = frontier
            with self._state_lock:
                self._pending_leaves += leaves
                self._pending_hashes += hashes
                self._durable = (frontier, note)
            return Appended(first, note, span)

    def prepare(self, between: Callable[[], None] | None = None) -> None:
        """Keep the next segment ready: see `LogTail.prepare`."""
        self._tail.prepare(between)

    def publish(self, between: Callable[[], None] = lambda: None) -> int:
        """Write tiles, entry bundles and then the checkpoint for all that is durable now; returns the size.

        A crash in between leaves files that the next call writes again with the same content.

        Args:
            between: called after each full tile has been made, to give way to more urgent work.

        Raises:
            NotDurableError: not written; nothing but the publication is late.
        """
        with self._publish_lock:
            with self._state_lock:
                frontier, note = self._durable
                size = frontier.size
                count = size - self._edge.size
                leaves, hashes = self._pending_leaves[:count], self._pending_hashes[:count]
            if count == 0:
                return size
            before = self._edge.size
            edge = self._edge.copy()
            files = edge.add(leaves, hashes, between)
            try:
                write_files(
                    self._disk, self.public_folder, files.items(), after_failure=self._unsettled, between=between
                )
                self._unsettled = False
                write_files(self._disk, self.public_folder, [(CHECKPOINT, note)])
                keep_edge(self._disk, self._folder, CHECKPOINT, frontier)
                self._edge = edge
                with self._state_lock:
                    del self._pending_leaves[:count], self._pending_hashes[:count]
                self._remove_partials(edge.superseded(before))
            except OSError as error:
                self._unsettled = True
                raise NotDurableError(f"publishing `{self.origin}` failed: {error.strerror or error}") from error
            return size

    def publish_cosigned(self, note: bytes) -> None:
        """Publish a checkpoint with further signature lines (cosignatures of witnesses).

        It becomes `checkpoint.cosigned`, which stays while newer checkpoints are published that no witness has seen
        yet; and the published checkpoint itself, if that has not moved on meanwhile.

        Raises:
            ConflictError: a newer one is cosigned already, or this one was never published.
            TamperedError: it has no valid signature of this log.
            NotDurableError: not written.
        """
        with self._publish_lock:
            offered, size = Note.parse(note), open_checkpoint(note, self.verifier).size
            present = Note.parse(self._disk.read(self.public_folder / CHECKPOINT))
            files = []
            if offered.text == present.text:
                offered = present.with_lines(offered.signatures)
                files.append((CHECKPOINT, offered.encode()))
            elif size >= Checkpoint.parse(present.text).size:
                raise ConflictError("the cosigned checkpoint was never published")
            if self._disk.exists(self.public_folder / COSIGNED):
                before = Note.parse(self._disk.read(self.public_folder / COSIGNED))
                if Checkpoint.parse(before.text).size > size:
                    raise ConflictError("a newer checkpoint of this log is cosigned already")
                if before.text == offered.text:
                    offered = before.with_lines(offered.signatures)
            try:
                write_files(self._disk, self.public_folder, [*files, (COSIGNED, offered.encode())])
            except OSError as error:
                raise NotDurableError(f"publishing `{self.origin}` failed: {error.strerror or error}") from error
            tree = TileTree(size, FolderView(self._folder, self._disk).published)
            # the cosignature stands without it; `fsck` tells of tiles that are gone
            with contextlib.suppress(TamperedError, OSError):
                keep_edge(self._disk, self._folder, COSIGNED, tile_frontier(tree, size))

    def close(self) -> None:
        """Release the files and the lock. Nothing is flushed: everything acknowledged is durable already."""
        self._tail.close()
        self._lock_file.close()

    def _frames(self, records: Sequence[Record], first: int) -> tuple[list[bytes], list[bytes], list[bytes]]:
        if not 0 < len(records) <= BATCH_LIMIT:
            raise InvalidInputError(f"a batch has 1 to {BATCH_LIMIT} records", rule="batch")
        if isinstance(records, MadeRecords):
            return content_frames(first, records.contents), records.leaves, records.hashes
        for record in records:
            # A record that recovery would call tampered must never be written. One of our own making cannot be that.
            if type(record) is not MadeRecord:
                check_record(*record)
        leaves = [record[0] for record in records]
        return entry_frames(first, records), leaves, leaf_hashes(leaves)

    def _recover(self, depth: Depth) -> None:
        """Read back the truth, cut a torn tail, and sync both before anything is built on them."""
        view = FolderView(self._folder, self._disk)
        note = view.published(CHECKPOINT)
        if note is None:
            raise TamperedError(f"the published checkpoint of `{self.origin}` is gone")
        published = open_checkpoint(note, self.verifier)
        tree = TileTree(published.size, view.published)
        self._tail.discard_unready()
        segments = view.segments()
        if depth == "published":
            below = [segment for segment in segments if segment.first <= published.size]
            segments = segments[max(len(below) - 1, 0) :]
        first = segments[0].first if segments else 0
        if first > published.size:
            raise TamperedError(f"the segments of `{self.origin}` begin at {first}, behind the published checkpoint")
        found = recover(segments, self.verifier, tile_frontier(tree, first), published, self._keep(published.size))
        try:
            self._edge = TileEdge.load(tree)
            if tile_frontier(tree, published.size).root() != published.root:
                raise TamperedError(f"the tiles of `{self.origin}` do not give the root of its published checkpoint")
        except NotFoundError as error:
            raise TamperedError(f"{error.message}, though a checkpoint was published over it") from error
        self._tail.settle(segments[-1].first, found)
        self._frontier = found.frontier
        self._durable = (found.frontier, found.note or note)

    def _keep(self, published_size: int) -> _Keeper:
        return _Keeper(published_size, self._pending_leaves, self._pending_hashes)

    def _remove_partials(self, folders: Iterable[str]) -> None:
        for name in folders:
            folder = self.public_folder.joinpath(*name.split("/"))
            if self._disk.exists(folder):
                for partial in self._disk.names(folder):
                    self._disk.remove(folder / partial)


class _Keeper:
    """Collects leaves beyond the published size while segments are read."""

    def __init__(self, published_size: int, leaves: list[bytes], hashes: list[bytes]) -> None:
        self._from, self._leaves, self._hashes = published_size, leaves, hashes

    def __call__(self, first: int, leaves: list[bytes], hashes: list[bytes]) -> None:
        skip = max(0, self._from - first)
        self._leaves += leaves[skip:]
        self._hashes += hashes[skip:]


LOCKED = "locked"
"""The rule that a second writer breaks."""


def _lock(disk: Disk, folder: Path) -> File:
    try:
        return disk.lock(folder / "lock")
    except BlockingIOError as error:
        raise ConflictError(f"another process writes to the log in `{folder.name}`", rule=LOCKED) from error


__all__ = ["SEGMENT_BYTES", "FileShard", "ShardReader", "read_shard_file"]
