"""Counts those who knock without a credential, and slows them down. Their refusals are counted, not recorded one by
one, so that outsiders cannot fill the disk; one entry a window says how many there were."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

WINDOW_S: Final = 60.0
REFUSALS_AN_ADDRESS: Final = 300
ADDRESSES: Final = 10_000


class Doorkeeper:
    """Failures by address in the current window.

    Args:
        clock_s: seconds, monotonic.
        limit: failures an address may have in a window before it is only told to wait.
    """

    def __init__(
        self, clock_s: Callable[[], float], limit: int = REFUSALS_AN_ADDRESS, window_s: float = WINDOW_S
    ) -> None:
        self._clock_s = clock_s
        self._limit = limit
        self._window_s = window_s
        self._begun = clock_s()
        self._failures: dict[str, int] = {}
        self._count = 0
        self._finished = 0

    def failed(self, address: str) -> int | None:
        """Count one failure. Returns the seconds to wait if this address has had too many, else None."""
        now = self._clock_s()
        if now - self._begun >= self._window_s:
            self._begun = now
            self._failures.clear()
            self._finished += self._count
            self._count = 0
        self._count += 1
        if address not in self._failures and len(self._failures) >= ADDRESSES:
            address = ""
        seen = self._failures[address] = self._failures.get(address, 0) + 1
        return max(1, int(self._begun + self._window_s - now)) if seen > self._limit else None

    def take_finished(self) -> int:
        """How many failures the windows had that ended since the last call."""
        if self._clock_s() - self._begun >= self._window_s:
            self._begun = self._clock_s()
            self._failures.clear()
            self._finished += self._count
            self._count = 0
        finished, self._finished = self._finished, 0
        return finished
