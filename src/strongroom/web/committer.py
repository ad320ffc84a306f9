"""The one thread that commits: it gets keys, seals, appends and syncs while the loop reads the next requests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

_Job = tuple[Callable[[], Any], Callable[[Any, BaseException | None], None]]


class Committer:
    """Satisfies `serving.ports.Runner`. Made on the loop; `close` waits for what was handed in."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        # not a daemon: leaving the interpreter in the middle of a commit is what must not happen
        self._thread = threading.Thread(target=self._work, name="commit")
        self._thread.start()

    def run(self, work: Callable[[], Any], done: Callable[[Any, BaseException | None], None]) -> None:
        """Hand in one piece of work; `done` is called on the loop."""
        self._jobs.put((work, done))

    def close(self) -> None:
        """End the thread after what was handed in."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            work, done = job
            result: Any = None
            error: BaseException | None = None
            try:
                result = work()
            except BaseException as caught:
                error = caught
            try:
                self._loop.call_soon_threadsafe(done, result, error)
            except RuntimeError:
                # the loop is closed: nobody waits for this answer any more, its record stands
                return
