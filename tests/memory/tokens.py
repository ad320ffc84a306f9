"""Used tokens of one process, in a dictionary: `access.ports.UsedTokens`."""

from __future__ import annotations

from strongroom.access.tokens import LEEWAY_S
from strongroom.errors import NotAuthenticatedError, UnavailableError


class MemoryTokens:
    """For one worker without a node around it.

    Args:
        at_us: from when on it knows what was used.
        limit: how many it remembers.
    """

    def __init__(self, at_us: int, limit: int = 65_536) -> None:
        self._since_us = at_us
        self._limit = limit
        self._used: dict[bytes, int] = {}

    def spend(self, digest: bytes, issued_us: int, ends_us: int, at_us: int) -> None:
        """See `UsedTokens`."""
        if issued_us < self._since_us + LEEWAY_S * 1_000_000:
            raise NotAuthenticatedError("the token is older than what is remembered of used ones")
        if digest in self._used:
            raise NotAuthenticatedError("the token was used before")
        if len(self._used) >= self._limit:
            self._used = {known: ends for known, ends in self._used.items() if ends > at_us}
        if len(self._used) >= self._limit:
            raise UnavailableError("too many tokens that count once are in use; wait for some to end")
        self._used[digest] = ends_us
