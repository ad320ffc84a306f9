"""Writing files so that a crash leaves the old content or the new, and reading those that only their owner may read."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from strongroom.errors import InvalidInputError, NotFoundError, TamperedError, UnavailableError


def replace_atomically(path: Path, data: bytes | memoryview, mode: int, *, durable: bool = True) -> None:
    """Write beside `path`, sync, rename over it, sync the folder. Durable on return.

    Args:
        path: what to replace.
        data: all of its new content.
        mode: of the file.
        durable: False for figures that are written again in a moment; readers still see the old content or the new.

    Raises:
        UnavailableError: it could not be written; the old file, if any, is as it was.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")
    try:
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(handle, view) :]
            # The umask may have taken bits away, never added any.
            os.fchmod(handle, mode)
            if durable:
                os.fsync(handle)
        finally:
            os.close(handle)
        beside.replace(path)
        if durable:
            sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise UnavailableError(f"`{path.name}` could not be written: {error.strerror}") from error


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder for this process; others that ask wait. Ends with the process at the latest.

    Raises:
        UnavailableError: the folder is not there or may not be opened.
    """
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise UnavailableError(f"folder `{folder.name}` could not be opened: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def open_regular(path: Path) -> BinaryIO:
    """Open a file that others put there: a pipe, which could be waited for for ever, is refused as devices are.

    Raises:
        IsADirectoryError, OSError: it is not a regular file, or cannot be opened.
    """
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        raise OSError(errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL, "not a regular file")
    return os.fdopen(handle, "rb")


def write_private(path: Path, data: bytes) -> None:
    """`replace_atomically` with mode 600."""
    replace_atomically(path, data, 0o600)


def read_private(path: Path, limit_bytes: int = 1024 * 1024) -> bytes:
    """Read a file that must be ours alone.

    Raises:
        NotFoundError: it is not there.
        InvalidInputError: group or others may read or write it; `chmod 600` it.
        TamperedError: it is a link, not a regular file, or larger than `limit_bytes`.
        UnavailableError: it could not be read.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no file `{path.name}` in `{path.parent.name}`") from error
    except OSError as error:
        if path.is_symlink():
            raise TamperedError(f"`{path.name}` is a link, and secrets are not read through links") from error
        raise UnavailableError(f"`{path.name}` could not be read: {error.strerror}") from error
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(file.fileno())
        if status.st_mode & 0o170000 != 0o100000 or status.st_size > limit_bytes:
            raise TamperedError(f"`{path.name}` is not a regular file of at most {limit_bytes} bytes")
        if status.st_mode & 0o077:
            raise InvalidInputError(
                f"`{path.name}` may be read by others; run `chmod 600` on it", field=path.name, rule="mode"
            )
        return file.read(limit_bytes + 1)
