"""The few calls to the file system that durability hangs on, behind a port, so that tests can lose what was not synced.

Everything raises OSError as the operating system does; what that means is for the caller to say.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol


class File(Protocol):
    """An open file."""

    def pwrite(self, data: bytes, offset: int) -> None:
        """Write all of `data`. Raises OSError also when less was written."""

    def pread(self, size: int, offset: int) -> bytes:
        """At most `size` bytes; fewer only at the end of the file."""

    def allocate(self, size: int) -> None:
        """Reserve blocks for the first `size` bytes. Raises OSError (ENOSPC) when there is no room."""

    def sync(self) -> None:
        """fdatasync: on return, all that was written survives a power cut."""

    def size(self) -> int: ...

    def uncache(self) -> None:
        """Give back the memory that holds what was synced; it is read from the disk again where it is wanted."""

    def close(self) -> None: ...


class Disk(Protocol):
    """A file system."""

    def open(self, path: Path, *, create: bool = False, write: bool = False) -> File:
        """`create` makes an empty file, or empties the one there is."""

    def read(self, path: Path | str) -> bytes: ...

    def names(self, folder: Path) -> list[str]: ...

    def exists(self, path: Path) -> bool: ...

    def make_folder(self, path: Path) -> None:
        """One level. Raises FileExistsError."""

    def rename(self, source: Path, target: Path) -> None:
        """Atomic; durable only after `sync_folder`."""

    def remove(self, path: Path) -> None: ...

    def sync_folder(self, path: Path) -> None:
        """On return, names made, renamed or removed in it survive a power cut."""

    def lock(self, path: Path) -> File:
        """Take an exclusive lock, held until the file is closed or the process ends. Raises BlockingIOError."""


class OsFile:
    """A file descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def pwrite(self, data: bytes, offset: int) -> None:
        written = os.pwrite(self._descriptor, data, offset)
        if written != len(data):
            raise OSError(f"wrote {written} of {len(data)} bytes")

    def pread(self, size: int, offset: int) -> bytes:
        return os.pread(self._descriptor, size, offset)

    def allocate(self, size: int) -> None:
        os.posix_fallocate(self._descriptor, 0, size)

    def sync(self) -> None:
        os.fdatasync(self._descriptor)

    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def uncache(self) -> None:
        os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class OsDisk:
    """The operating system's."""

    def open(self, path: Path, *, create: bool = False, write: bool = False) -> OsFile:
        flags = os.O_RDWR if write or create else os.O_RDONLY
        if create:
            flags |= os.O_CREAT | os.O_TRUNC
        return OsFile(os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))

    def read(self, path: Path | str) -> bytes:
        # half the time of `Path.read_bytes` for a small file, and a proof reads a handful
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = os.fstat(descriptor).st_size
            data = os.read(descriptor, size + 1)
            if len(data) == size:
                return data  # more was asked for than there is: this was the end
            while more := os.read(descriptor, 1 << 20):
                data += more
            return data
        finally:
            os.close(descriptor)

    def names(self, folder: Path) -> list[str]:
        return sorted(path.name for path in folder.iterdir())

    def exists(self, path: Path) -> bool:
        return path.exists()

    def make_folder(self, path: Path) -> None:
        path.mkdir(mode=0o700)

    def rename(self, source: Path, target: Path) -> None:
        source.replace(target)

    def remove(self, path: Path) -> None:
        path.unlink()

    def sync_folder(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def lock(self, path: Path) -> OsFile:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise
        return OsFile(descriptor)


def write_files(
    disk: Disk,
    root: Path,
    files: Iterable[tuple[str, bytes]],
    *,
    after_failure: bool = False,
    between: Callable[[], None] = lambda: None,
) -> None:
    """Write files below `root`, each whole or not at all, and durable on return.

    Args:
        disk: where.
        root: an existing folder.
        files: path below `root` with `/` between names, and content. A file that exists is replaced.
        after_failure: an earlier attempt may have ended between making a folder and syncing the one above it.
        between: called after each file, to give way to more urgent work.
    """
    touched: dict[Path, None] = {}
    waiting: list[tuple[File, Path, Path]] = []
    try:
        for name, content in files:
            path = root.joinpath(*name.split("/"))
            _make_folders(disk, root, path.parent, touched)
            touched[path.parent] = None
            if after_failure:
                touched.update(dict.fromkeys(above for above in path.parents if above.is_relative_to(root)))
            beside = path.with_name(path.name + ".tmp")
            file = disk.open(beside, create=True)
            waiting.append((file, beside, path))
            file.pwrite(content, 0)
            between()
            if len(waiting) >= TOGETHER:
                _settle(disk, waiting)
        _settle(disk, waiting)
    finally:
        for file, _, _ in waiting:
            file.close()
    for folder in touched:
        disk.sync_folder(folder)


TOGETHER = 64
"""Files that are written before the first of them is synced: the file system's journal then commits once for many, and
whoever waits for a sync of their own at that moment (the log) waits less."""


def _settle(disk: Disk, waiting: list[tuple[File, Path, Path]]) -> None:
    """Sync all, then rename all: no name ever points to content that could be lost."""
    for file, _, _ in waiting:
        file.sync()
    for file, beside, path in waiting:
        file.close()
        disk.rename(beside, path)
    waiting.clear()


def _make_folders(disk: Disk, root: Path, folder: Path, touched: dict[Path, None]) -> None:
    if folder == root or disk.exists(folder):
        return
    _make_folders(disk, root, folder.parent, touched)
    disk.make_folder(folder)
    touched[folder.parent] = None
