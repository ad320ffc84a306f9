"""The growing end of a log folder: preallocated write-ahead segments, one write and one sync a batch.

segments/<first leaf, 20 digits>.seg     frames (format 10), then zeroes
segments/next.seg                        a zeroed segment, kept ready
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from strongroom.adapters.files.disk import Disk, File
from strongroom.adapters.log.shard_reader import segment_name
from strongroom.errors import NotDurableError, TooLargeError
from strongroom.ledger.recovery import Recovered

_CHUNK_BYTES = 1024 * 1024
_PIECE_BYTES = 256 * 1024
_NEXT = "next.seg"


@dataclass(slots=True)
class _Position:
    """Where the next batch goes."""

    file: File
    first: int
    size_bytes: int
    end: int


class LogTail:
    """Where batches are written. `write` is for one thread at a time; `prepare` may run in another meanwhile.

    Args:
        folder: of the segments.
        origin: of the log, for messages.
        disk: the file system.
        segment_bytes: size of segments made from now on.
    """

    def __init__(self, folder: Path, origin: str, disk: Disk, segment_bytes: int) -> None:
        self._folder = folder
        self._origin = origin
        self._disk = disk
        self._segment_bytes = segment_bytes
        self._prepare_lock = threading.Lock()
        self._failed = False
        self._closed = False
        self._waited_for = False  # a batch waits for the next segment
        self._left: list[File] = []  # full segments
        self._at: _Position | None = None

    def begin(self) -> None:
        """Make the first segment of a new log. Raises OSError."""
        self.discard_unready()
        self._prepare()
        self._disk.rename(self._folder / _NEXT, self._folder / segment_name(0))
        self._disk.sync_folder(self._folder)

    def settle(self, first: int, found: Recovered) -> None:
        """Go on in the last segment behind what was recovered, and sync both. Raises OSError."""
        file = self._disk.open(self._folder / segment_name(first), write=True)
        # After a failed sync the kernel may show pages that never reached the disk and call them clean. Writing the
        # last batch again, byte for byte, makes them dirty, so that this sync means something.
        if found.last_batch:
            file.pwrite(found.last_batch, found.batch_at)
        if found.clear_to > found.end:
            file.pwrite(bytes(found.clear_to - found.end), found.end)
        file.sync()
        self._disk.sync_folder(self._folder)
        self._at = _Position(file, first, file.size(), found.end)

    def discard_unready(self) -> None:
        """Remove what an interrupted preparation left. Raises OSError."""
        for name in (_NEXT + ".tmp", _NEXT):
            path = self._folder / name
            if not self._disk.exists(path):
                continue
            if name == _NEXT:
                content = self._disk.read(path)
                if content == bytes(self._segment_bytes):
                    continue  # still fit for use
            self._disk.remove(path)

    def demand_fit(self) -> None:
        """Raises NotDurableError once the tail is closed or a write has failed."""
        if self._failed or self._closed or self._at is None:
            state = "closed" if self._closed else "ended by a failed write"
            raise NotDurableError(f"the log `{self._origin}` is {state}; end this process and start again")

    def write(self, batch: bytes, first: int) -> None:
        """Write and sync one batch; durable on return.

        Args:
            batch: whole frames.
            first: number of its first leaf.

        Raises:
            TooLargeError: more than a segment. The tail is as it was.
            NotDurableError: no space for the next segment (rule `space`), and the tail is as it was. Or the write or
                the sync failed: nobody knows what is on the disk, and the tail never writes again.
        """
        at = self._room_for(len(batch), first)
        try:
            at.file.pwrite(batch, at.end)
            at.file.sync()
        except OSError as error:
            self._failed = True
            raise NotDurableError(
                f"writing to the log `{self._origin}` failed ({error.strerror or error}); end this process"
            ) from error
        except BaseException:
            self._failed = True
            raise
        at.end += len(batch)

    def prepare(self, between: Callable[[], None] | None = None) -> None:
        """Keep the next segment ready, so that `write` need not wait for it. Call from a background thread of its own:
        with `between` it takes seconds. `close` ends it.

        Args:
            between: called after each piece of it; then pieces are small and synced one by one, so that a batch that
                must be durable meanwhile waits behind one of them and not behind all. A batch that needs the segment
                itself is not kept waiting: the rest is then made as fast as the disk allows.

        Raises:
            NotDurableError: no space; `write` goes on until the present segment is full.
        """
        try:
            self._prepare(between)
        except OSError as error:
            # `space` says: the tail is as it was and may be asked again, unlike after a failed write
            raise NotDurableError(
                f"no space for the next segment of `{self._origin}`: {error.strerror}", rule="space"
            ) from error

    def close(self) -> None:
        """Let the files go. A preparation under way ends at its next piece, and none begins any more."""
        self._closed = True
        with self._prepare_lock:
            self._leave()
            if self._at is not None:
                self._at.file.close()
                self._at = None

    def _room_for(self, length: int, first: int) -> _Position:
        at = self._at
        assert at is not None  # noqa: S101  `demand_fit` has looked
        if at.end + length <= at.size_bytes:
            return at
        if length > self._segment_bytes:
            raise TooLargeError(f"a batch of {length} bytes exceeds a segment of {self._segment_bytes}", rule="batch")
        self._waited_for = True
        try:
            self.prepare()
        finally:
            self._waited_for = False
        folder = self._folder
        try:
            # An empty present segment has this very name, and is replaced.
            self._disk.rename(folder / _NEXT, folder / segment_name(first))
            self._disk.sync_folder(folder)
            file = self._disk.open(folder / segment_name(first), write=True)
        except BaseException as error:
            # The new segment may be there already: a batch in the old one would now contradict its name.
            self._failed = True
            if isinstance(error, OSError):
                raise NotDurableError(
                    f"no next segment for `{self._origin}`: {error.strerror}; end this process"
                ) from error
            raise
        self._left.append(at.file)
        self._at = _Position(file, first, self._segment_bytes, 0)
        return self._at

    def _prepare(self, between: Callable[[], None] | None = None) -> None:
        """Make `next.seg`: reserved, zeroed and synced, so that a later write of it allocates nothing."""
        with self._prepare_lock:
            self._leave()
            folder = self._folder
            if self._closed or self._disk.exists(folder / _NEXT):
                return
            unready = folder / (_NEXT + ".tmp")
            file = self._disk.open(unready, create=True)
            try:
                file.allocate(self._segment_bytes)
                # Reserved but unwritten blocks would still change the file's map at the first write.
                piece_bytes = _CHUNK_BYTES if between is None else _PIECE_BYTES
                for offset in range(0, self._segment_bytes, piece_bytes):
                    file.pwrite(bytes(min(piece_bytes, self._segment_bytes - offset)), offset)
                    if between is not None and not self._waited_for:
                        file.sync()
                        between()
                    if self._closed:
                        file.close()
                        self._disk.remove(unready)
                        return
                file.sync()
            except BaseException:
                file.close()
                self._disk.remove(unready)
                raise
            file.close()
            self._disk.rename(unready, folder / _NEXT)
            self._disk.sync_folder(folder)

    def _leave(self) -> None:
        """Full segments are hardly read again: the next one takes the memory that cached them, which is at hand."""
        while self._left:
            file = self._left.pop()
            with suppress(OSError):
                file.uncache()
            file.close()
