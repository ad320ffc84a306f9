"""Which refusals are recorded one by one, so that nobody fills the disk with them.

Each principal has so many recorded refusals in a window. Further ones are counted, told only to wait (who learns a
reason leaves a record), and stand in one entry a window that says how many there were. When the log could not reserve
its next segment, refusals are counted only: what space is left is for decisions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from strongroom.errors import TooManyRequestsError, UnavailableError
from strongroom.serving.asked import Outcome

COUNT_RULE: Final = "count-a-window"
"""The rule named by the entry of a window; such an entry is always recorded."""


class RefusalMeter:
    """Refusals by principal in the current window, which begins with its first refusal. Lives on the loop.

    Args:
        a_window: recorded refusals that a principal has in a window.
        window_us: length of a window in microseconds.
        short: whether the log has no next segment in reserve.
    """

    def __init__(self, a_window: int, window_us: int, short: Callable[[], bool] = lambda: False) -> None:
        self._a_window = a_window
        self._window_us = window_us
        self._short = short
        self._begun_us = 0
        self._recorded: dict[str, int] = {}
        self._counted: dict[str, int] = {}
        self._finished: dict[str, int] = {}

    def thin(self, outcomes: Sequence[Outcome], now_us: int) -> None:
        """Take the records of those refusals away that are only counted, and change what their callers are told."""
        for outcome in outcomes:
            if outcome.answered:
                continue
            asked = outcome.asked
            if asked.error is not None and asked.error.details.get("rule") == COUNT_RULE:
                continue
            self._turn(now_us)
            who = asked.principal
            recorded = self._recorded.get(who, 0)
            if recorded >= self._a_window:
                wait_s = max(1, -(-(self._begun_us + self._window_us - now_us) // 1_000_000))
                outcome.lose(
                    TooManyRequestsError(
                        "too many requests of this caller were refused; wait, and mend what was refused before",
                        rule="refusals",
                        limit="refusals",
                        scope="caller",
                        retry_after_s=wait_s,
                    )
                )
            elif self._short():
                outcome.lose(UnavailableError("space for records is short and kept for decisions; try again later"))
            else:
                self._recorded[who] = recorded + 1
                continue
            self._counted[who] = self._counted.get(who, 0) + 1

    def count(self, principal: str, now_us: int, number: int = 1) -> None:
        """Refusals that are never recorded by themselves, such as those of a limit."""
        self._turn(now_us)
        self._counted[principal] = self._counted.get(principal, 0) + number

    def take_finished(self, now_us: int, *, closing: bool = False) -> dict[str, int]:
        """How many refusals went unrecorded by principal, in windows that ended since the last call.

        Args:
            now_us: time.
            closing: the present window ends too.
        """
        if closing:
            self._end()
        else:
            self._turn(now_us)
        finished, self._finished = self._finished, {}
        return finished

    def _turn(self, now_us: int) -> None:
        if now_us - self._begun_us >= self._window_us:
            self._end()
            self._begun_us = now_us

    def _end(self) -> None:
        for principal, number in self._counted.items():
            self._finished[principal] = self._finished.get(principal, 0) + number
        self._counted, self._recorded = {}, {}
