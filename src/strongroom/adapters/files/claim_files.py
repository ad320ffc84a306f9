"""Claims in a folder of the room: one file for each piece of long work, locked by the process that does it.

The kernel's lock says whether the holder lives: it goes with the process, however that ends, so that a run that was
killed keeps nobody waiting. The file's content says who it is, and when a process that stands still is not waited for
any more. Files are taken and removed under the room's lock alone; a file that nobody has locked means nothing.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from strongroom.errors import ConflictError, InvalidInputError, TamperedError, UnavailableError
from strongroom.office.claims import CLAIMED, LIMIT_BYTES, Claim
from strongroom.vocabulary import digest_of


@dataclass(slots=True)
class HeldClaim:
    """A claim of this process."""

    claim: Claim
    path: Path
    descriptor: int

    def check(self, at_us: int) -> None:
        """Before the work is entered, with the room open.

        Raises:
            ConflictError: it has ended, or somebody took the work over after it had.
        """
        self.claim.standing(at_us)
        if not self._ours():
            raise ConflictError(
                f"somebody else took over `{self.claim.verb}` on {self.claim.on}, so nothing came of this run; look at "
                "what they found",
                rule=CLAIMED,
            )

    def drop(self, *, remove: bool) -> None:
        """Let go of it.

        Args:
            remove: also take the file away, which only whoever has the room open may do.
        """
        if self.descriptor < 0:
            return
        if remove and self._ours():
            with suppress(OSError):  # a file that nobody has locked means nothing
                self.path.unlink()
        os.close(self.descriptor)
        self.descriptor = -1

    def _ours(self) -> bool:
        held = os.fstat(self.descriptor)
        try:
            there = self.path.stat(follow_symlinks=False)
        except OSError:
            return False
        return (held.st_ino, held.st_dev) == (there.st_ino, there.st_dev)


class ClaimFiles:
    """The claims of a room. For whoever has the room open.

    Args:
        folder: made when it is needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def take(self, claim: Claim) -> HeldClaim:
        """Take the claim, unless a living process holds one on the same work that has not ended.

        Raises:
            ConflictError: one does; it says who.
            TamperedError: one does, but what it holds is not a claim.
            UnavailableError: it cannot be written.
        """
        path = self._folder / f"{digest_of(f'{claim.verb}/{claim.on}'.encode())}.json"
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            held = _held(path)
            if held is not None:
                held.respected(claim.at_us)
            return _write(claim, path)
        except OSError as error:
            raise UnavailableError(
                f"the claim could not be written: {(error.strerror or 'no reason').lower()}"
            ) from error


def _held(path: Path) -> Claim | None:
    """What a living process claims there; None where there is nothing, or nobody left who holds it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        try:
            return Claim.decode(os.pread(descriptor, LIMIT_BYTES + 1, 0))
        except InvalidInputError as error:
            raise TamperedError(f"`{path.name}` among the room's claims is locked, but it is not a claim") from error
    finally:
        os.close(descriptor)
    return None


def _write(claim: Claim, path: Path) -> HeldClaim:
    """A new file over whatever stood there: a holder that lost its claim sees another file than its own."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")
    descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(descriptor, claim.encode())
        beside.replace(path)
    except BaseException:
        os.close(descriptor)
        beside.unlink(missing_ok=True)
        raise
    return HeldClaim(claim, path, descriptor)
