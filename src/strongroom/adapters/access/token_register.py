"""Used tokens of a node, in memory that its workers share: `access.ports.UsedTokens`.

A file of fixed size in the node's state folder, mapped by every worker and locked for the microsecond that it takes to
look and to write. Nothing is synced: after a crash of the machine, or if the file was lost, the register begins anew
and refuses every token that was issued before, since it cannot know which of them were used.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from pathlib import Path
from typing import Final

from strongroom.access.tokens import LEEWAY_S
from strongroom.errors import NotAuthenticatedError, TamperedError, UnavailableError

PLACES: Final = 65_536
PROBES: Final = 64
"""How many places one token may have; all of them taken means full, long before every place of the table is."""

_MAGIC: Final = b"strongroom/used-tokens/v1\n"
_HEADER: Final = struct.Struct("<32s40sq")
_ENTRY: Final = struct.Struct("<32sq")
_OFFSET: Final = 128
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


class TokenRegister:
    """The register of one node; each worker opens it for itself.

    Args:
        path: of the file; made when it is missing, out of form or from before the machine was started.
        at_us: now; from when on a new register knows what was used.
        boot_id: of the running machine.

    Raises:
        UnavailableError: the file cannot be had.
    """

    def __init__(self, path: Path, at_us: int, boot_id: bytes | None = None) -> None:
        boot = (boot_id if boot_id is not None else _BOOT.read_bytes().strip()).ljust(40, b"\0")
        size = _OFFSET + PLACES * _ENTRY.size
        try:
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._handle, fcntl.LOCK_EX)
            try:
                fresh = os.fstat(self._handle).st_size != size
                if fresh:
                    os.ftruncate(self._handle, 0)
                    os.posix_fallocate(self._handle, 0, size)
                self._map = mmap.mmap(self._handle, size)
                magic, known, self._since_us = _HEADER.unpack_from(self._map)
                if fresh or magic != _MAGIC.ljust(32, b"\0") or known != boot:
                    self._map[_OFFSET:] = bytes(size - _OFFSET)
                    self._since_us = at_us
                    _HEADER.pack_into(self._map, 0, _MAGIC, boot, at_us)
            finally:
                fcntl.flock(self._handle, fcntl.LOCK_UN)
        except OSError as error:
            raise UnavailableError(f"the register of used tokens cannot be had: {error.strerror}") from error

    def spend(self, digest: bytes, issued_us: int, ends_us: int, at_us: int) -> None:
        """See `UsedTokens`."""
        if issued_us < self._since_us + LEEWAY_S * 1_000_000:
            # with the leeway that an issuer's clock may be ahead: such a token may have been used before the loss
            raise NotAuthenticatedError("the token is older than what this node remembers of used ones")
        fcntl.flock(self._handle, fcntl.LOCK_EX)
        try:
            free = self._free_place(digest, at_us)
            if free is None:
                raise UnavailableError("too many tokens that count once are in use; wait for some to end")
            _ENTRY.pack_into(self._map, free, digest, ends_us)
        finally:
            fcntl.flock(self._handle, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go; the file keeps what it knows."""
        self._map.close()
        os.close(self._handle)

    def _free_place(self, digest: bytes, at_us: int) -> int | None:
        start = int.from_bytes(digest[:8], "big")
        free: int | None = None
        for probe in range(PROBES):
            place = _OFFSET + (start + probe) % PLACES * _ENTRY.size
            known, ends_us = _ENTRY.unpack_from(self._map, place)
            if known == digest and ends_us:
                raise NotAuthenticatedError("the token was used before")
            if free is None and ends_us <= at_us:
                free = place
            if not ends_us:
                # never taken, so nothing was ever put behind it
                break
        return free


def open_register(path: Path, at_us: int) -> TokenRegister:
    """The register of this machine as it runs.

    Raises:
        UnavailableError: the file cannot be had.
        TamperedError: it is a link or no file.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise TamperedError(f"`{path.name}` is not a file of ours; look who put it there, then remove it")
    return TokenRegister(path, at_us)
