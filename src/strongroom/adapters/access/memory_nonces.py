"""Nonces in the memory of one process: for a gateway with one worker in tests, and to hold the files against."""

from __future__ import annotations

from strongroom.access.ports import Nonces as Nonces
from strongroom.access.signed_requests import AHEAD_S, WINDOW_S
from strongroom.errors import NotPermittedError, TooManyRequestsError

NONCES_A_PRINCIPAL = 262_144
"""Some 4,000 signed requests a second over the whole window."""


class MemoryNonces:
    """`access.ports.Nonces`.

    Args:
        now_s: what was signed before is not let through, because it may have been seen by another process.
        window_s: for which requests count.
        limit: nonces that one principal may have in the window.
    """

    def __init__(self, now_s: int = 0, window_s: int = WINDOW_S, limit: int = NONCES_A_PRINCIPAL) -> None:
        self._floor_s = now_s
        self._keep_s = window_s + AHEAD_S
        self._limit = limit
        self._seen: dict[str, dict[str, int]] = {}

    def spend(self, principal: str, nonce: str, created_s: int, now_s: int) -> None:
        """See the port."""
        floor = max(self._floor_s, now_s - self._keep_s)
        if floor > self._floor_s:
            self._floor_s = floor
            for owner in list(self._seen):
                self._seen[owner] = {text: at for text, at in self._seen[owner].items() if at > floor}
        mine = self._seen.setdefault(principal, {})
        if created_s <= self._floor_s or nonce in mine:
            raise used_up()
        if len(mine) >= self._limit:
            raise too_many()
        mine[nonce] = created_s


def used_up() -> NotPermittedError:
    """One sentence for both, since nobody has to know what is remembered."""
    return NotPermittedError(
        "this nonce was used before, or the request was signed too long ago; sign it anew",
        field="signature",
        rule="signature-nonce",
    )


def too_many() -> TooManyRequestsError:
    """No room for another nonce."""
    return TooManyRequestsError("too many signed requests within the window; try again later", rule="signature-nonce")
