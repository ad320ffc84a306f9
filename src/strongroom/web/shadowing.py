"""The thread that runs shadows: it takes answered rows from the loop, has the challenger score them, has them recorded.

Bounded: what does not fit its queue is dropped and counted. Its records take turns with batches of answers on the
committing thread, 64 rows at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from strongroom.errors import NotDurableError, StrongroomError
from strongroom.serving.asked import Outcome
from strongroom.serving.batching import RETRY
from strongroom.serving.decision import Committed
from strongroom.serving.ports import Runner
from strongroom.serving.served import ServedModel
from strongroom.serving.shadow import (
    CHUNK_ROWS,
    QUEUE_ROWS,
    Fate,
    Scores,
    Seen,
    Shadowed,
    ShadowRecords,
    columns_of,
    seen_rows,
    shadow,
)

log = logging.getLogger(__name__)


class Challenger(Scores, Protocol):
    """A challenger elsewhere."""

    @property
    def resting(self) -> bool: ...

    def stop(self) -> None: ...


class Counters(Protocol):
    """What became of shadows. Called on the loop."""

    def shadow(self, model: str, version: str, fate: Fate, rows: int, seconds: float = 0.0) -> None: ...


class Shadowing:
    """Made on the loop; `close` before the committer.

    Args:
        loop: of the worker.
        runner: the committing thread.
        records: writes them.
        start: makes a challenger's process.
        counters: told on the loop.
        clock_us: microseconds since 1970.
        on_broken: told on the loop when the log can take no more records.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        runner: Runner,
        records: ShadowRecords,
        start: Callable[[ServedModel], Challenger | None],
        counters: Counters,
        clock_us: Callable[[], int],
        on_broken: Callable[[StrongroomError], None],
    ) -> None:
        self._loop, self._runner, self._records, self._start = loop, runner, records, start
        self._counters, self._clock_us, self._on_broken = counters, clock_us, on_broken
        self._pairs: Mapping[ServedModel, ServedModel] = {}
        self._queue: deque[tuple[ServedModel, ServedModel, Seen]] = deque()
        self._wake = threading.Condition()
        self._stopped = False
        self._thread: threading.Thread | None = None

    # --- on the loop

    def point(self, pairs: Mapping[ServedModel, ServedModel]) -> None:
        """Which challenger sees copies of which champion's answers, from now on."""
        self._pairs = pairs
        if pairs and self._thread is None:
            self._thread = threading.Thread(target=self._work, name="shadow", daemon=True)
            self._thread.start()
        with self._wake:
            self._wake.notify()

    def take(self, outcomes: Sequence[Outcome], committed: Committed) -> None:
        """Copies of what was answered; its records are durable and its callers told."""
        if not self._pairs:
            return
        for outcome in outcomes:
            asked = outcome.asked
            if not outcome.answered or asked.error is not None or asked.failed is not None or asked.served is None:
                continue
            challenger = self._pairs.get(asked.served)
            if challenger is None:
                continue
            rows = seen_rows(outcome, committed)
            with self._wake:
                fits = len(self._queue) + len(rows) <= QUEUE_ROWS
                if fits:
                    self._queue.extend((asked.served, challenger, row) for row in rows)
                    self._wake.notify()
            if not fits:
                self._counters.shadow(challenger.ref.name, challenger.version, "dropped", len(rows))

    def close(self) -> None:
        """End the thread; what waits is dropped."""
        with self._wake:
            self._stopped = True
            self._queue.clear()
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()

    # --- on the thread

    def _work(self) -> None:
        running: tuple[ServedModel, Challenger] | None = None
        while True:
            with self._wake:
                while not self._stopped and not self._queue and self._wanted(running):
                    self._wake.wait()
                if self._stopped:
                    break
                chunk = self._chunk()
            if running is not None and (not chunk or chunk[0][1] is not running[0]):
                running[1].stop()
                running = None
            if not chunk:
                continue
            champion, challenger, _ = chunk[0]
            if running is None and (made := self._start(challenger)) is not None:
                running = challenger, made
            try:
                self._run(champion, challenger, running[1] if running else None, [seen for _, _, seen in chunk])
            except Exception:
                # one chunk's trouble costs no other, and no answer
                log.exception("a shadow of `%s` could not be made", challenger.ref)
                self._tell(challenger, "dropped", len(chunk))
        if running is not None:
            running[1].stop()

    def _wanted(self, running: tuple[ServedModel, Challenger] | None) -> bool:
        return running is None or running[0] in self._pairs.values()

    def _chunk(self) -> list[tuple[ServedModel, ServedModel, Seen]]:
        chunk: list[tuple[ServedModel, ServedModel, Seen]] = []
        while self._queue and len(chunk) < CHUNK_ROWS and (not chunk or self._queue[0][:2] == chunk[0][:2]):
            chunk.append(self._queue.popleft())
        return chunk

    def _run(
        self, champion: ServedModel, challenger: ServedModel, process: Challenger | None, seen: list[Seen]
    ) -> None:
        columns = columns_of(champion, challenger)
        if columns is None or process is None:
            self._tell(challenger, "skipped", len(seen))
            return
        if process.resting:
            self._tell(challenger, "dropped", len(seen))
            return
        began = time.monotonic()
        made = shadow(seen, challenger, columns, process, os.urandom)
        took_s = time.monotonic() - began
        if made.skipped:
            self._tell(challenger, "skipped", made.skipped)
        if not made.lines:
            return
        recorded = self._record(challenger, made)
        if recorded is None:
            self._tell(challenger, "dropped", len(made.lines))
            return
        failed = min(made.failed, recorded)
        self._tell(challenger, "failed", failed)
        self._tell(challenger, "recorded", recorded - failed, took_s)
        self._tell(challenger, "erased", len(made.lines) - recorded)

    def _record(self, challenger: ServedModel, made: Shadowed) -> int | None:
        done = threading.Event()
        found: list[int] = []

        def work() -> None:
            try:
                found.append(self._records.write(made, challenger, self._clock_us()))
            finally:
                done.set()

        def landed(_: object, error: BaseException | None) -> None:
            if isinstance(error, NotDurableError) and error.details.get("rule") != RETRY:
                self._on_broken(error)
            elif error is not None:
                log.warning("shadows were not recorded: %s", error)

        self._runner.run(work, landed)
        while not done.wait(0.5):
            if self._stopped:
                return None
        return found[0] if found else None

    def _tell(self, challenger: ServedModel, fate: Fate, rows: int, seconds: float = 0.0) -> None:
        if rows:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(
                    self._counters.shadow, challenger.ref.name, challenger.version, fate, rows, seconds
                )
