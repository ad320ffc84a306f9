"""A model that hangs or is too slow: answered for at its deadline, left alone for a while, tried again, remembered."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from strongroom.adapters.runtimes.onnx_runtime import OnnxRuntime
from strongroom.adapters.runtimes.timed_runtime import Calls, TimedRuntime, TimedSession, TooSlowError
from strongroom.serving.ports import Machine
from tests.serving.slow_model import looping_model
from tests.waiting import until

ROWS = np.ones((2, 4), np.float32)
DEADLINE_S = 0.05


class Deaf:
    """A runtime whose calls cannot be stopped: each waits until the test lets it go."""

    def __init__(self) -> None:
        self.asked = 0
        self.slow = True
        self.go = threading.Event()
        self.gone = threading.Event()

    @property
    def machine(self) -> Machine:
        return Machine("deaf", "1", "none", "none")

    def load(self, artifact: bytes, input_name: str, output_name: str, features: int) -> Deaf:
        return self

    def run(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        self.asked += 1
        if self.slow:
            self.go.wait(60)
            self.gone.set()
        return matrix[:, 0]


class Bench:
    def __init__(self, folder: Path) -> None:
        self.at_s, self.wall_s, self.folder, self.deaf = 100.0, 1e9, folder, Deaf()
        self.calls = self.worker()

    def worker(self) -> Calls:
        """The calls of a worker that starts now."""
        return Calls(DEADLINE_S, self.folder / "stuck", lambda: self.at_s, lambda: self.wall_s)

    def load(self, calls: Calls | None = None, artifact: bytes = b"m") -> TimedSession:
        return TimedRuntime(self.deaf, calls or self.calls).load(artifact, "x", "y", 4)

    def let_go(self) -> None:
        self.deaf.go.set()
        assert self.deaf.gone.wait(60)
        while self.calls.stuck_s():
            time.sleep(0.001)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.deaf.go.set()
    made.calls.close()


def too_slow(session: TimedSession) -> None:
    with pytest.raises(TooSlowError):
        session.run(ROWS)


def test_a_model_in_time_says_what_it_says_and_its_errors_are_its_own(bench: Bench) -> None:
    bench.deaf.slow = False
    session = bench.load()
    assert session.run(ROWS).tolist() == [1.0, 1.0]
    with pytest.raises(IndexError):
        session.run(ROWS[0])
    assert session.run(ROWS).tolist() == [1.0, 1.0], "an error is no reason to rest"

    class Own(Deaf):
        def run(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
            raise TimeoutError("the model's own")

    bench.deaf = Own()
    with pytest.raises(TimeoutError, match="own"):
        bench.load().run(ROWS)
    assert not bench.calls.stuck_s()


def test_a_hanging_call_is_left_behind_and_nobody_waits_for_that_model_again(bench: Bench) -> None:
    session, other = bench.load(), bench.load(artifact=b"other")
    too_slow(session)
    bench.at_s += 1000
    too_slow(session)
    assert bench.deaf.asked == 1, "as long as the first call has not come back, no second is made"
    assert bench.calls.stuck_s() == 1000
    bench.deaf.slow = False
    assert other.run(ROWS).tolist() == [1.0, 1.0], "other models are answered meanwhile"
    bench.let_go()
    assert session.run(ROWS).tolist() == [1.0, 1.0]


def test_a_slow_model_rests_longer_each_time_and_no_longer_once_it_answers(bench: Bench) -> None:
    session = bench.load()
    for pause_s in (1, 2, 4, 8, 16, 32, 60, 60):
        bench.deaf.go.clear()
        bench.deaf.gone.clear()
        asked = bench.deaf.asked
        too_slow(session)
        assert bench.deaf.asked == asked + 1
        bench.let_go()
        bench.at_s += pause_s - 0.01
        too_slow(session)
        assert bench.deaf.asked == asked + 1, "it rests"
        bench.at_s += 0.02
    bench.deaf.slow = False
    assert session.run(ROWS).tolist() == [1.0, 1.0]
    bench.deaf.slow = True
    bench.deaf.go.clear()
    bench.deaf.gone.clear()
    too_slow(session)
    bench.let_go()
    bench.at_s += 1.01
    bench.deaf.slow = False
    session.run(ROWS)


def test_the_next_worker_knows_what_its_predecessor_was_stuck_in(bench: Bench) -> None:
    too_slow(bench.load())
    bench.calls.leave_marks()
    bench.deaf.slow = False
    second = bench.worker()
    session = bench.load(second)
    assert bench.load(second, b"other").run(ROWS).tolist() == [1.0, 1.0]
    too_slow(session)
    bench.wall_s += 61
    bench.at_s += 61
    assert session.run(ROWS).tolist() == [1.0, 1.0]
    assert not list((bench.folder / "stuck").iterdir()), "it answered: forgotten"
    bench.calls.leave_marks()
    bench.calls.leave_marks()
    assert bench.worker().pause_of(next((bench.folder / "stuck").iterdir()).name) == 120
    second.close()


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"times":1}', b'{"times":"x","at_s":1}', b"\xff" * 1000])
def test_a_mark_that_cannot_be_read_is_none(bench: Bench, data: bytes) -> None:
    (bench.folder / "stuck").mkdir()
    (bench.folder / "stuck" / "m").write_bytes(data)
    assert bench.calls.pause_of("m") == 0


def test_a_clock_that_was_set_back_prolongs_no_rest(bench: Bench) -> None:
    (bench.folder / "stuck").mkdir()
    (bench.folder / "stuck" / "m").write_bytes(b'{"times":1,"at_s":9e99}')
    assert bench.calls.pause_of("m") == 60


def test_a_graph_of_many_steps_is_ended_at_its_deadline(tmp_path: Path) -> None:
    """The runtime itself, on a model whose loop turns as often as its input says."""
    calls = Calls(60.0, tmp_path, time.monotonic, time.time)
    session = TimedRuntime(OnnxRuntime(), calls).load(looping_model(), "x", "probabilities", 4)
    good = np.array([[20_000, 35, 1, 0.4]], np.float32)
    before = session.run(good)
    too_slow_rows = good.copy()
    too_slow_rows[0, 1] = 120
    calls.deadline_s = 0.2  # for this one alone: a busy machine may take longer over the others
    with pytest.raises(TooSlowError):
        session.run(too_slow_rows)
    calls.deadline_s = 60.0
    until(lambda: not calls.stuck_s())  # the runtime was stopped
    time.sleep(1.01)  # its rest
    assert (session.run(good) == before).all()
    assert (session.run(good) == OnnxRuntime().load(looping_model(), "x", "probabilities", 4).run(good)).all()
    calls.close()
