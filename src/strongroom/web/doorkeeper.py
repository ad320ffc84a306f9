"""Counts those who knock without a credential, and slows them down. Their refusals are counted, not recorded one by
one, so that outsiders cannot fill the disk; one entry a window says how many there were."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

WINDOW_S: Final = 10.0
REFUSALS_A_SECOND: Final = 5
ADDRESSES: Final = 10_000


class Doorkeeper:
    """Failures by address in the current window. A window begins with its first failure.

    Args:
        clock_s: seconds, monotonic.
        limit: failures an address may have in a window before it is only told to wait; five a second when None.
        window_s: length of a window.
    """

    def __init__(self, clock_s: Callable[[], float], limit: int | None = None, window_s: float = WINDOW_S) -> None:
        self._clock_s = clock_s
        self._limit = int(REFUSALS_A_SECOND * window_s) if limit is None else limit
        self._window_s = window_s
        self._begun = clock_s()
        self._failures: dict[str, int] = {}
        self._count = 0
        self._finished = 0

    def failed(self, address: str) -> int | None:
        """Count one failure. Returns the seconds to wait if this address has had too many, else None."""
        now = self._clock_s()
        self._turn(now)
        if self._count == 0:
            self._begun = now
        self._count += 1
        if address not in self._failures and len(self._failures) >= ADDRESSES:
            address = ""
        seen = self._failures[address] = self._failures.get(address, 0) + 1
        return max(1, int(self._begun + self._window_s - now)) if seen > self._limit else None

    def take_finished(self) -> int:
        """How many failures the windows had that ended since the last call."""
        self._turn(self._clock_s())
        finished, self._finished = self._finished, 0
        return finished

    def put_back(self, count: int) -> None:
        """Give back what was taken and could not be recorded: it is taken again with the next look."""
        self._finished += count

    def take_all(self) -> int:
        """The same with the present window, which ends: for when the house closes."""
        self._finished += self._count
        self._count = 0
        self._failures.clear()
        return self.take_finished()

    def _turn(self, now: float) -> None:
        if self._count and now - self._begun >= self._window_s:
            self._finished += self._count
            self._count = 0
            self._failures.clear()
