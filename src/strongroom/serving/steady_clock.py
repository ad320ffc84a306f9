"""A clock that never runs back: what has expired for this worker stays expired, whoever sets the machine's clock."""

from __future__ import annotations

from collections.abc import Callable


class SteadyClock:
    """The wall clock, or the latest time that was seen where the wall clock is behind it.

    Set forward, it stays there until the wall clock has caught up: everything expires early then, which is the safe
    side. One thread.

    Args:
        wall_us: microseconds since 1970.
        floor_us: no earlier than this.
    """

    __slots__ = ("_latest", "_wall_us")

    def __init__(self, wall_us: Callable[[], int], floor_us: int = 0) -> None:
        self._wall_us = wall_us
        self._latest = floor_us

    def __call__(self) -> int:
        """Microseconds since 1970."""
        now = self._wall_us()
        if now > self._latest:
            self._latest = now
            return now
        return self._latest

    def raise_to(self, floor_us: int) -> None:
        """No earlier than this from now on."""
        self._latest = max(self._latest, floor_us)
