"""A model that hangs, at a real node: the fixed decision stands in; and a worker that stalls is replaced."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest

from strongroom.adapters.runtimes.timed_runtime import Calls, TooSlowError
from strongroom.approval.release import OnFailure, Plan
from strongroom.errors import InvalidInputError
from strongroom.web import serve
from strongroom.web.worker import STUCK_S, Worker, _beat
from strongroom.wiring.node_settings import LimitSettings, NodeSettings
from tests import simulator
from tests.serving.house import GOOD
from tests.serving.slow_model import looping_model
from tests.web.gateways import question
from tests.web.nodes import make

TOO_OLD = [GOOD[0], 120.0, *GOOD[2:]]
REFER = Plan(stages=("live",), max_canary_percent=0, fallback=None, on_failure=OnFailure(decision="refer"))


def with_deadline(settings: NodeSettings) -> NodeSettings:
    return msgspec.structs.replace(settings, limits=LimitSettings(model_ms=200, stalled_s=5))


def test_a_model_that_hangs_costs_its_deadline_and_a_worker_that_stalls_is_replaced(tmp_path: Path) -> None:
    node = make(tmp_path, settling=with_deadline)
    node.room.model = looping_model()
    second = node.room.version(2)
    node.room.live(second, plan=REFER)
    with node.serving():
        good, old = question(), question(TOO_OLD)

        def version() -> str:
            return str(node.ask(good)[1].get("model_version"))

        node.wait_for(lambda: version() == second.ref.manifest, 60)
        status, answer = node.ask(old)
        # without a deadline this would not come back for days
        assert status == 200, answer
        assert answer["parameters"]["instead_of"] == second.ref.manifest
        assert answer["parameters"]["instead_of_reason"] == "runtime"
        assert answer["outputs"][0]["data"] == ["refer"]
        # the runtime was told to stop and did: after a second's rest the model answers what it can again
        node.wait_for(lambda: "instead_of" not in node.ask(good)[1]["parameters"], 60)
        # and a worker that does nothing at all any more is killed from outside
        assert node.supervisor is not None
        pid = node.supervisor._workers[0].pid
        os.kill(pid, signal.SIGSTOP)
        node.wait_for(lambda: any("has done nothing for 5 s" in line for line in node.told), 60)

        def answered() -> bool:
            try:
                return node.ask(good)[0] == 200
            except OSError:
                # whoever was connected to the killed worker
                return False

        node.wait_for(answered, 60)
        assert node.supervisor._workers[0].pid != pid
        assert simulator.MODEL in node.get("/metrics", node.supervisor.metrics_port)[1].decode()


class Deaf:
    def run(self, matrix: object) -> None:
        time.sleep(3600)


def test_a_worker_ends_where_a_model_does_not_come_back(tmp_path: Path) -> None:
    at_s = [0.0]
    calls = Calls(0.01, tmp_path / "stuck", lambda: at_s[0], time.time)
    worker = Worker.__new__(Worker)
    worker.parts = SimpleNamespace(admission=SimpleNamespace(calls=calls))  # type: ignore[assignment]  # all that is read
    worker.stuck, worker._ended = False, asyncio.Event()
    worker._end_if_stuck()
    with pytest.raises(TooSlowError):
        calls.run("artifact", Deaf(), np.ones((1, 1), np.float32))  # type: ignore[arg-type]  # never gives anything
    at_s[0] = STUCK_S - 0.1
    worker._end_if_stuck()
    assert not worker.stuck
    at_s[0] = STUCK_S
    worker._end_if_stuck()
    assert worker.stuck
    assert worker._ended.is_set()
    assert (tmp_path / "stuck" / "artifact").exists(), "its successor leaves that model alone for a while"


def test_only_silence_is_a_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "BEAT_LOOK_S", 1e-3)
    told: list[str] = []
    killed: list[bool] = []

    async def watch(limit_s: int) -> None:
        supervisor = serve.Supervisor.__new__(serve.Supervisor)
        supervisor.settings = SimpleNamespace(limits=SimpleNamespace(stalled_s=limit_s))  # type: ignore[assignment]  # all that is read
        supervisor._say = told.append
        child = SimpleNamespace(returncode=None, kill=lambda: killed.append(True))
        beats = asyncio.StreamReader()
        task = asyncio.create_task(supervisor._follow_beats(0, child, beats))  # type: ignore[arg-type]  # a process in these two
        for _ in range(20):
            beats.feed_data(b"\n")
            await asyncio.sleep(0)
        assert not killed
        if limit_s:
            await asyncio.wait_for(task, 30)
            return
        await asyncio.sleep(0.05)
        beats.feed_eof()
        await asyncio.wait_for(task, 30)

    asyncio.run(watch(0))
    assert (killed, told) == ([], []), "0 is never; a worker that ends is not one that stalls"
    monkeypatch.setattr(serve, "BEAT_LOOK_S", 0.5)
    asyncio.run(watch(1))
    assert killed == [True]
    assert "worker 0 has done nothing for 1 s" in told[0]


def test_a_worker_beats_where_somebody_listens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def beat_on(number: int) -> None:
        monkeypatch.setattr("sys.stdout", SimpleNamespace(fileno=lambda: number))
        task = asyncio.create_task(_beat())
        await asyncio.sleep(0)
        task.cancel()

    read, write = os.pipe()
    asyncio.run(beat_on(write))
    assert os.read(read, 10) == b"\n"
    os.close(read)
    asyncio.run(beat_on(write))  # nobody reads any more
    os.close(write)
    with (tmp_path / "file").open("wb") as file:
        asyncio.run(beat_on(file.fileno()))
    assert (tmp_path / "file").read_bytes() == b""


@pytest.mark.parametrize("limits", [{"stalled_s": 4}, {"stalled_s": -1}, {"model_ms": -1}])
def test_limits_that_would_kill_a_busy_worker_are_refused(limits: dict[str, int]) -> None:
    with pytest.raises(InvalidInputError) as refused:
        LimitSettings(**limits)
    assert refused.value.details["field"] == f"limits.{next(iter(limits))}"
