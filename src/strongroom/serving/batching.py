"""Requests board while the last batch is being made durable; the next batch departs soon after that one has landed.

No timer: under load the sync itself sets the size of the batch, and the sockets are read once more before it departs.
Without load a request departs at the end of the loop turn that read it. One batch is in flight at a time, so answers
and records keep one order.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from strongroom.errors import NotDurableError, StrongroomError, UnavailableError
from strongroom.serving.asked import Asked, Outcome
from strongroom.serving.decision import Committed, Decider, answer_of
from strongroom.serving.fair_queue import FairQueue, Room
from strongroom.serving.ports import Runner
from strongroom.serving.predicting import Batch
from strongroom.serving.refusal_meter import RefusalMeter

log = logging.getLogger(__name__)

ROWS_A_BATCH: Final = 8_192
"""Rows of up to 127 features; wider ones weigh more (`Asked.weight`), so that a batch of many wide requests still fits
a segment of the log (some 16 of its 64 MiB)."""


class Board:
    """The waiting room before the decision path. Lives on the loop.

    Args:
        decider: predicts and commits.
        runner: runs the commit away from the loop.
        soon: schedules a call at the end of this turn of the loop.
        clock_us: microseconds since 1970.
        on_broken: called once when the log can take no more records; the worker must end.
        on_batch: told how many requests each batch has.
        queue: where requests wait.
        meter: decides which refusals are recorded one by one; all of them when None.
        on_wait: told how long the one that waited longest waited, in microseconds, with the size of its batch.
        on_told: sees what was answered, after it is durable and told.
    """

    def __init__(
        self,
        decider: Decider,
        runner: Runner,
        soon: Callable[[Callable[[], None]], object],
        clock_us: Callable[[], int],
        on_broken: Callable[[StrongroomError], None],
        on_batch: Callable[[int], None] | None = None,
        queue: FairQueue | None = None,
        meter: RefusalMeter | None = None,
        on_wait: Callable[[int, int], None] | None = None,
        on_told: Callable[[Sequence[Outcome], Committed], None] | None = None,
    ) -> None:
        self._decider = decider
        self._runner = runner
        self._soon = soon
        self._clock_us = clock_us
        self._on_broken = on_broken
        self._on_batch = on_batch
        self._waiting = queue if queue is not None else FairQueue(Room(), ROWS_A_BATCH)
        # raises if a request of this principal finds no room now, before work goes into reading it
        self.expect = self._waiting.expect
        self._meter = meter
        self._on_wait = on_wait
        self._on_told = on_told
        self._busy = False
        self._scheduled = False
        self._broken: StrongroomError | None = None
        self._idle: list[Callable[[], None]] = []

    def board(self, asked: Asked) -> None:
        """Take a request along with the next batch.

        Raises:
            TooManyRequestsError: too much of this principal waits already.
            UnavailableError: too much waits already, or the log is broken and this worker is ending.
        """
        if self._broken is not None:
            raise UnavailableError("this worker can write no more records and is ending; try again")
        self._waiting.push(asked)
        if not self._busy and not self._scheduled:
            self._scheduled = True
            self._soon(self._depart)

    @property
    def waiting(self) -> int:
        """How many requests wait for a batch."""
        return len(self._waiting)

    def weigh(self, weights: Mapping[str, int]) -> None:
        """Shares of the queue by principal, 1 where not named."""
        self._waiting.weigh(weights)

    def when_idle(self, call: Callable[[], None]) -> None:
        """Call once nothing waits and nothing is in flight."""
        if self._busy or self._waiting:
            self._idle.append(call)
        else:
            call()

    def _depart(self) -> None:
        self._scheduled = False
        if self._busy or not self._waiting:
            return
        now = self._clock_us()
        batch = self._in_time(self._waiting.take(), now)
        if not batch:
            self._next()
            return
        self._busy = True
        try:
            predicted = self._decider.predict(batch)
            if self._meter is not None:
                self._meter.thin(predicted.outcomes, now)
            sealed = self._decider.seal(predicted.outcomes, now)
        except Exception:
            # a defect of ours: nobody of this batch is answered, the next one departs
            log.exception("a batch of %d requests could not be predicted", len(batch))
            self._busy = False
            for asked in batch:
                _tell(asked, UnavailableError("an internal error; nothing was decided and it was logged"), None)
            self._next()
            return
        if self._on_batch is not None:
            self._on_batch(len(batch))
        decider = self._decider
        self._runner.run(
            lambda: decider.commit(predicted.outcomes, now, sealed),
            lambda result, error: self._landed(predicted, result, error),
        )

    def _after_reading(self) -> None:
        # the sockets are read once more before the batch departs: whoever was just answered and asks again comes along,
        # and a batch of all costs less than two of half of them that take turns
        self._soon(self._depart)

    def _in_time(self, batch: list[Asked], now: int) -> list[Asked]:
        """Without those whose time is up: they are told before anything is scored for them, never after."""
        if self._on_wait is not None:
            self._on_wait(max(0, now - min(asked.since_us or now for asked in batch)), len(batch))
        late = [asked for asked in batch if 0 < asked.until_us < now]
        if not late:
            return batch
        for asked in late:
            if self._meter is not None:
                self._meter.count(asked.principal, now)
            _tell(asked, UnavailableError(LATE, rule="wait", limit="wait", retry_after_s=1), None)
        return [asked for asked in batch if not 0 < asked.until_us < now]

    def _landed(self, batch: Batch, result: Any, error: BaseException | None) -> None:
        self._busy = False
        outcomes = batch.outcomes
        if error is None:
            committed: Committed = result
            for outcome in outcomes:
                asked = outcome.asked
                if asked.error is not None:
                    _tell(asked, asked.error, outcome.lines[0].decision_id if outcome.lines else None)
                    continue
                try:
                    asked.caller.answered(answer_of(outcome, committed))
                except Exception:
                    # its record stands; an answer that cannot be made or delivered costs nobody else anything
                    log.exception("an answer could not be given")
                    _tell(asked, UnavailableError("an internal error after the decision was recorded"), None)
            try:
                if committed.appended is not None:
                    self._decider.watch(batch)
                    if self._on_told is not None:
                        self._on_told(outcomes, committed)
            except Exception:
                log.exception("the drift counters or the shadows failed")
        else:
            reason: StrongroomError
            # what names folders, logs and states of the disk is for the operator: callers are told that it is not them
            if isinstance(error, NotDurableError):
                log.warning("a batch was not recorded: %s", error.message)
                reason = NotDurableError(NO_RECORD)
                if error.details.get("rule") != RETRY:
                    self._break(error)
            elif isinstance(error, StrongroomError):
                log.warning("a batch was not recorded: %s", error.message)
                reason = UnavailableError(NO_KEYS)
            else:
                # unknown: whether the log took the batch is unknown too, so it must not take another
                log.error("the commit failed", exc_info=error)
                reason = NotDurableError(NO_RECORD)
                self._break(reason)
            for outcome in outcomes:
                _tell(outcome.asked, reason, None)
        self._next()

    def _break(self, error: StrongroomError) -> None:
        if self._broken is None:
            self._broken = error
            for asked in self._waiting.clear():
                _tell(asked, NotDurableError(NO_RECORD), None)
            self._on_broken(error)

    def _next(self) -> None:
        if self._waiting:
            if not self._scheduled:
                self._scheduled = True
                self._soon(self._after_reading)
        elif not self._busy:
            calls, self._idle = self._idle, []
            for call in calls:
                call()


LATE: Final = "the request waited longer than it may for its turn; nothing was decided, try again"
NO_RECORD: Final = "the record could not be written, so there is no answer; try again"
NO_KEYS: Final = "a part of this gateway that records need does not answer; nothing was decided, try again"
RETRY: Final = "space"
"""The rule named by a `NotDurableError` after which the log is sound and may be asked again: a full disk."""


def _tell(asked: Asked, error: StrongroomError, decision_id: str | None) -> None:
    try:
        asked.caller.refused(error, decision_id)
    except Exception:
        log.exception("a refusal could not be given")
