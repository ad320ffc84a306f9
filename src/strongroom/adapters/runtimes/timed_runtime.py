"""A deadline for each call of a model. Native code cannot be cut off from outside, so it is called on a thread that can
be left behind: at the deadline the call counts as failed, and what was approved to stand in answers.

A model that was left behind rests: nothing calls it before its thread has come back and a pause has passed, which
doubles with each time. A thread that does not come back is ended by ending the worker (`Calls.stuck_s`); what the next
worker must know lies in a file for each artifact, so that it does not wait for the same model again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from strongroom.adapters.files.safe_files import replace_atomically
from strongroom.errors import StrongroomError, UnavailableError
from strongroom.serving.ports import Machine, Runtime, Session, Stoppable

log = logging.getLogger(__name__)

PAUSE_S: Final = 1.0
PAUSE_LIMIT_S: Final = 60.0
MARK_PAUSE_S: Final = 60.0
MARK_PAUSE_LIMIT_S: Final = 3600.0
MARK_LIMIT_BYTES: Final = 256


class TooSlowError(UnavailableError):
    """A model gave no answer in time, or rests because it did so a moment ago."""


class _Line:
    """One thread that calls models, one call at a time."""

    def __init__(self) -> None:
        self._go, self._done, self._turn = threading.Lock(), threading.Lock(), threading.Lock()
        self._go.acquire()
        self._done.acquire()
        self._job: tuple[Session, NDArray[np.float32]] | None = None
        self._result: NDArray[np.float32] | None = None
        self._error: BaseException | None = None
        self.left = False
        self.back = False
        # a daemon: a call that never comes back must not hold up the end of the process
        threading.Thread(target=self._work, name="model", daemon=True).start()

    def call(self, session: Session, matrix: NDArray[np.float32], timeout_s: float) -> NDArray[np.float32]:
        """What the model says.

        Raises:
            TimeoutError: nothing yet; this line is never used again.
        """
        self._job = session, matrix
        self._go.release()
        if not self._done.acquire(timeout=timeout_s):
            with self._turn:
                # it may have come back at this very moment
                if not self._done.acquire(blocking=False):
                    self.left = True
                    raise TimeoutError
        result, error = self._result, self._error
        self._job = self._result = self._error = None
        if error is not None:
            raise error
        if result is None:
            raise ValueError("a runtime gave nothing")
        return result

    def end(self) -> None:
        """Let the thread go; between two calls."""
        self.left = True
        self._go.release()

    def _work(self) -> None:
        while True:
            self._go.acquire()
            if self.left or self._job is None:
                return
            session, matrix = self._job
            try:
                self._result = session.run(matrix)
            except BaseException as error:  # told to whoever waits, as if called there
                self._error = error
            with self._turn:
                if self.left:
                    self.back = True
                    return
                self._done.release()


@dataclass(frozen=True, slots=True)
class _Mark:
    """What a worker leaves for the next one: how often the artifact was stuck, and when last."""

    times: int
    at_s: float

    def pause_s(self) -> float:
        return float(min(MARK_PAUSE_S * 2 ** min(self.times - 1, 16), MARK_PAUSE_LIMIT_S))


class Calls:
    """The calls of models of one worker. Used from its loop only; the models run on a thread beside it.

    Args:
        deadline_s: after so long a call counts as failed.
        marks: folder for what the next worker must know; made when needed.
        clock_s: steady seconds.
        wall_s: seconds since 1970.
    """

    def __init__(
        self, deadline_s: float, marks: Path, clock_s: Callable[[], float], wall_s: Callable[[], float]
    ) -> None:
        self.deadline_s = deadline_s
        self.clock_s = clock_s
        self._marks = marks
        self._wall_s = wall_s
        self._line: _Line | None = None
        self._stuck: dict[str, tuple[_Line, float]] = {}

    def run(self, artifact: str, session: Session, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """Call a model.

        Raises:
            TooSlowError: no answer in time.
        """
        line = self._line
        if line is None:
            line = self._line = _Line()
        try:
            return line.call(session, matrix, self.deadline_s)
        except TimeoutError as error:
            if not line.left:
                # the model's own
                raise
            self._line = None
            self._stuck[artifact] = line, self.clock_s()
            if isinstance(session, Stoppable):
                session.stop()
            raise TooSlowError(f"no answer within {self.deadline_s:g} s", rule="runtime") from error

    def is_stuck(self, artifact: str) -> bool:
        """Whether a call of this artifact was left behind and has not come back."""
        found = self._stuck.get(artifact)
        if found is None:
            return False
        if found[0].back:
            del self._stuck[artifact]
            return False
        return True

    def stuck_s(self) -> float:
        """How long the oldest call that was left behind has been gone; 0 for none."""
        gone = [since for artifact, (_, since) in list(self._stuck.items()) if self.is_stuck(artifact)]
        return self.clock_s() - min(gone) if gone else 0.0

    def leave_marks(self) -> None:
        """Before the worker ends because of them: let the next one know which artifacts are stuck."""
        for artifact in [one for one in self._stuck if self.is_stuck(one)]:
            before = self._read(artifact)
            mark = {"at_s": self._wall_s(), "times": 1 + (before.times if before is not None else 0)}
            with contextlib.suppress(StrongroomError, OSError):
                self._marks.mkdir(mode=0o700, exist_ok=True)
                replace_atomically(self._marks / artifact, json.dumps(mark).encode(), 0o600)

    def pause_of(self, artifact: str) -> float:
        """Seconds for which an artifact that another worker was stuck in rests from now on."""
        mark = self._read(artifact)
        if mark is None:
            return 0.0
        # a clock that was set back must not make the rest longer than it is
        return min(mark.pause_s(), max(0.0, mark.at_s + mark.pause_s() - self._wall_s()))

    def answered(self, artifact: str) -> None:
        """After a rest it answers in time again."""
        with contextlib.suppress(OSError):
            (self._marks / artifact).unlink(missing_ok=True)

    def close(self) -> None:
        """Let the thread go that waits for calls."""
        if self._line is not None:
            self._line.end()
            self._line = None

    def _read(self, artifact: str) -> _Mark | None:
        try:
            with (self._marks / artifact).open("rb") as file:
                found = json.loads(file.read(MARK_LIMIT_BYTES))
            return _Mark(max(1, int(found["times"])), float(found["at_s"]))
        except (OSError, ValueError, TypeError, KeyError):
            return None


class TimedSession:
    """A loaded model that is called with a deadline: `serving.ports.Session`."""

    def __init__(self, session: Session, artifact: str, calls: Calls) -> None:
        self._session = session
        self._artifact = artifact
        self._calls = calls
        self._pause_s = PAUSE_S
        rest_s = calls.pause_of(artifact)
        self._until_s = calls.clock_s() + rest_s if rest_s else 0.0

    def run(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """The output tensor.

        Raises:
            TooSlowError: no answer in time, or it rests.
        """
        calls = self._calls
        if self._until_s and (calls.clock_s() < self._until_s or calls.is_stuck(self._artifact)):
            raise TooSlowError("it was too slow a moment ago and rests", rule="runtime")
        try:
            result = calls.run(self._artifact, self._session, matrix)
        except TooSlowError:
            self._until_s = calls.clock_s() + self._pause_s
            log.error(
                "artifact %s gave no answer within %g s; what was approved to stand in answers, and it is tried again "
                "in %g s at the earliest",
                self._artifact[:12], calls.deadline_s, self._pause_s,
            )  # fmt: skip
            self._pause_s = min(2 * self._pause_s, PAUSE_LIMIT_S)
            raise
        if self._until_s:
            self._until_s, self._pause_s = 0.0, PAUSE_S
            calls.answered(self._artifact)
        return result


class TimedRuntime:
    """Another runtime, whose models are called with a deadline: `serving.ports.Runtime`."""

    def __init__(self, runtime: Runtime, calls: Calls) -> None:
        self._runtime = runtime
        self._calls = calls

    @property
    def machine(self) -> Machine:
        """That of the runtime."""
        return self._runtime.machine

    def load(self, artifact: bytes, input_name: str, output_name: str, features: int) -> TimedSession:
        """See the port."""
        session = self._runtime.load(artifact, input_name, output_name, features)
        if isinstance(session, Stoppable):
            session.arm()
        return TimedSession(session, hashlib.sha256(artifact).hexdigest(), self._calls)


def timed(runtime: Runtime, calls: Calls | None) -> Runtime:
    """The runtime, with a deadline where one is set."""
    return runtime if calls is None else TimedRuntime(runtime, calls)
