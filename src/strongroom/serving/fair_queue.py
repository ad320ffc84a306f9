"""Who travels next: first come, first served while there is room for all, deficit round robin by principal otherwise.

While everything that waits fits into one small batch, order cannot matter, and the queue is a plain line. Beyond that
each principal has a line of its own; batches take from all lines in turn, so many units of work from each as its weight
says (Shreedhar and Varghese, Efficient Fair Queuing Using Deficit Round Robin, SIGCOMM 1995). The room is shared by
dynamic thresholds (Choudhury and Hahne, Dynamic Queue Length Thresholds, 1998): nobody may hold more than what is
still free, so one caller fills at most half of it and there is always room for another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from strongroom.errors import TooLargeError, TooManyRequestsError, UnavailableError
from strongroom.serving.asked import Asked

REQUEST_COST: Final = 8
"""A request costs as much as so many rows beside its own rows: its head, its labels and its answer are made for it."""

QUANTUM: Final = 64
"""Units of work that a line of weight 1 may send in a round."""

CALM_COST: Final = 2048
"""Up to so many units of work wait in one plain line: some twenty milliseconds of one core."""


@dataclass(frozen=True, slots=True)
class Room:
    """How much may wait in a worker.

    Attributes:
        requests: number of requests.
        rows: in rows of ordinary width.
    """

    requests: int = 4_096
    rows: int = 50_000


class _Line:
    __slots__ = ("deficit", "line", "principal", "requests", "rows", "weight")

    def __init__(self, principal: str, weight: int) -> None:
        self.principal = principal
        self.weight = weight
        self.line: deque[Asked] = deque()
        self.deficit = 0
        self.requests = 0
        self.rows = 0


class FairQueue:
    """Requests that wait for a batch. Every operation costs the same however many wait (amortised).

    Args:
        room: how much may wait.
        batch_rows: rows of ordinary width that a batch may hold; of one caller alone, requests count as rows too, so
            that whoever comes meanwhile does not wait long.
    """

    def __init__(self, room: Room, batch_rows: int) -> None:
        self.room = room
        self.rows = 0
        self._requests = 0
        self._batch_rows = batch_rows
        self._calm: deque[Asked] | None = deque()
        self._weights: Mapping[str, int] = {}
        self._lines: dict[str, _Line] = {}
        self._round: deque[_Line] = deque()

    def __len__(self) -> int:
        return self._requests

    def weigh(self, weights: Mapping[str, int]) -> None:
        """Weights by principal from now on; 1 for those not named. Lines that stand keep theirs."""
        self._weights = weights

    def expect(self, principal: str) -> None:
        """Before a request is read: raise if this principal's next one finds no room. Free while the line is calm.

        Raises:
            TooManyRequestsError: as for `push`.
        """
        if self._calm is None and (line := self._lines.get(principal)) is not None:
            self._demand_share(line, 1)

    def push(self, asked: Asked) -> None:
        """Let a request wait.

        Raises:
            TooManyRequestsError: this principal holds as much of the room as is left.
            UnavailableError: the room is full.
            TooLargeError: it does not fit an empty room either.
        """
        if asked.weight > self.room.rows:
            raise TooLargeError(
                "the request has more rows than may wait here at all; send fewer at a time", rule="queue"
            )
        rows = self.rows + asked.weight
        if rows > self.room.rows or self._requests >= self.room.requests:
            raise UnavailableError(
                "too much is waiting for a decision here; try again", rule="queue", limit="queue", retry_after_s=1
            )
        calm = self._calm
        if calm is not None:
            if rows + REQUEST_COST * self._requests <= CALM_COST or not calm:
                calm.append(asked)
                self.rows = rows
                self._requests += 1
                return
            self._calm = None
            for one in calm:
                self._line_of(one.principal, one)
        self._line_of(asked.principal, asked, bounded=True)
        self.rows = rows
        self._requests += 1

    def take(self) -> list[Asked]:
        """The next batch: within the limits of one write of the log, never empty while something waits."""
        calm = self._calm
        if calm is not None:
            batch = list(calm)
            calm.clear()
            self.rows = self._requests = 0
            return batch
        batch = self._alone() if len(self._round) == 1 else self._in_turn()
        self._requests -= len(batch)
        self.rows -= sum(asked.weight for asked in batch)
        if not self._round:
            self._calm = deque()
        return batch

    def clear(self) -> list[Asked]:
        """Everything that waits, and nothing waits any more."""
        waiting = list(self._calm or ())
        for line in self._round:
            waiting.extend(line.line)
        self._calm = deque()
        self._lines.clear()
        self._round.clear()
        self.rows = self._requests = 0
        return waiting

    def _line_of(self, principal: str, asked: Asked, *, bounded: bool = False) -> None:
        line = self._lines.get(principal)
        if line is None:
            line = _Line(principal, self._weights.get(principal, 1))
            if bounded:
                self._demand_share(line, asked.weight)
            self._lines[principal] = line
        elif bounded:
            self._demand_share(line, asked.weight)
        if not line.line:
            self._round.append(line)
        line.line.append(asked)
        line.requests += 1
        line.rows += asked.weight

    def _demand_share(self, line: _Line, weight: int) -> None:
        """Nobody holds more than what is free; a first request always finds room if there is any."""
        free_requests, free_rows = self.room.requests - self._requests, self.room.rows - self.rows
        if line.requests and (line.requests + 1 > free_requests or line.rows + weight > free_rows):
            raise TooManyRequestsError(
                "too many requests of this caller are waiting already; wait for their answers",
                rule="queue-share",
                limit="queue",
                scope="caller",
                retry_after_s=1,
            )

    def _alone(self) -> list[Asked]:
        line = self._round[0]
        waiting, rows = line.line, 0
        batch: list[Asked] = []
        while waiting and (not batch or rows + waiting[0].weight + REQUEST_COST * (len(batch) + 1) <= self._batch_rows):
            asked = waiting.popleft()
            rows += asked.weight
            batch.append(asked)
        self._taken(line, len(batch), rows)
        if not waiting:
            self._round.popleft()
            del self._lines[line.principal]
        return batch

    def _in_turn(self) -> list[Asked]:
        """Until a small batch is full: its size is how long a newcomer waits."""
        batch: list[Asked] = []
        room, cost_left = self._batch_rows, CALM_COST
        round_ = self._round
        idle = 0
        while round_:
            line = round_[0]
            waiting = line.line
            if line.deficit < waiting[0].weight + REQUEST_COST:
                line.deficit += QUANTUM * line.weight
            requests = rows = 0
            full = False
            while waiting:
                asked = waiting[0]
                cost = asked.weight + REQUEST_COST
                if cost > line.deficit:
                    break
                if batch and (asked.weight > room or cost > cost_left):
                    full = True
                    break
                waiting.popleft()
                batch.append(asked)
                line.deficit -= cost
                room -= asked.weight
                cost_left -= cost
                requests += 1
                rows += asked.weight
            self._taken(line, requests, rows)
            if not waiting:
                # what it has saved goes with it: an idle caller saves nothing up
                round_.popleft()
                del self._lines[line.principal]
            elif full:
                # it keeps its turn and what it has saved: the next batch begins with it
                break
            else:
                round_.rotate(-1)
            # nobody could send in a whole round: let the rounds that change nothing pass at once
            idle = 0 if requests or not waiting else idle + 1
            if idle >= len(round_) and round_:
                self._skip_rounds()
                idle = 0
        return batch

    def _skip_rounds(self) -> None:
        rounds = min(
            (one.line[0].weight + REQUEST_COST - one.deficit - 1) // (QUANTUM * one.weight) for one in self._round
        )
        if rounds > 0:
            for one in self._round:
                one.deficit += rounds * QUANTUM * one.weight

    @staticmethod
    def _taken(line: _Line, requests: int, rows: int) -> None:
        line.requests -= requests
        line.rows -= rows
