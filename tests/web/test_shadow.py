"""A challenger in shadow: it sees copies, never answers, and neither its end nor its time changes an answer."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np
import pytest

from strongroom.adapters.runtimes.onnx_runtime import OnnxRuntime
from strongroom.adapters.runtimes.shadow_process import ShadowProcess
from strongroom.errors import ErasedError, UnavailableError
from strongroom.ledger.leaf import Leaf
from strongroom.sealing.subjects import subject_tag
from strongroom.serving.replay import Decision, read_decision, replay
from strongroom.serving.served import ServedModel, make_ready
from strongroom.serving.shadow import QUEUE_ROWS, ShadowRecords
from strongroom.web.shadowing import Shadowing
from tests.serving.house import FEATURES, GOOD, House, admitted, onnx_model, release_of
from tests.web.gateways import Desk, gateway, question

LABELS = {"purpose": "credit-decision", "jurisdiction": "EU"}
CHAMPION, CHALLENGER = "ab" * 32, "cd" * 32


def challenger(**more: Any) -> ServedModel:
    release = release_of(manifest=CHALLENGER, **more)
    return make_ready(admitted(release, onnx_model(len(release.input.features), 1.0), "challenger"), OnnxRuntime())


class Here:
    """A challenger in this process, as far as the thread can see."""

    def __init__(self, served: ServedModel) -> None:
        self.served, self.resting, self.may_go, self.asked = served, False, threading.Event(), 0
        self.may_go.set()
        self.error: Exception | None = None

    def score(self, matrix: Any) -> Any:
        self.asked += 1
        assert self.may_go.wait(60)
        if self.error is not None:
            raise self.error
        return self.served.scorer.score(matrix)

    def stop(self) -> None: ...


class Watched:
    """What the counters were told."""

    def __init__(self) -> None:
        self.fates: dict[str, int] = {}
        self._changed = threading.Condition()

    def shadow(self, model: str, version: str, fate: str, rows: int, seconds: float = 0.0) -> None:
        assert (model, version) == ("pd-cards", CHALLENGER)
        with self._changed:
            self.fates[fate] = self.fates.get(fate, 0) + rows
            self._changed.notify_all()

    def wait(self, holds: Callable[[dict[str, int]], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: holds(self.fates), 60), self.fates


class Shadowed:
    """A gateway whose champion is shadowed."""

    def __init__(self, desk: Desk, house: House, here: Here, seen: Watched, shadowing: Shadowing) -> None:
        self.desk, self.house, self.here, self.seen, self.shadowing = desk, house, here, seen, shadowing

    def records(self) -> list[Decision]:
        found = []
        for stored in self.house.shard.reader():  # type: ignore[attr-defined]  # a memory shard
            try:
                key = self.house.keys.by_key_id(stored.payload[8:24])
            except ErasedError:
                key = None
            found.append(read_decision(stored, key))
        return found


@pytest.fixture
def shadowed(request: pytest.FixtureRequest) -> Iterator[Shadowed]:
    yield from shadowing_of(challenger(**getattr(request, "param", {})))


def shadowing_of(one: ServedModel) -> Iterator[Shadowed]:
    house = House(make_ready(admitted(release_of(manifest=CHAMPION)), OnnxRuntime()), one)
    here, seen = Here(one), Watched()
    with gateway(house) as desk:
        loop, board = desk.run.loop, desk.board
        records = ShadowRecords(house.shard, house.keys, os.urandom, 1000)  # type: ignore[arg-type]  # a memory shard
        shadowing = Shadowing(loop, board._runner, records, lambda _: here, seen, lambda: 7, desk.broken.append)
        board._on_told = shadowing.take
        shadowing.point(house.catalogue.shadows)
        try:
            yield Shadowed(desk, house, here, seen, shadowing)
        finally:
            here.may_go.set()
            shadowing.close()


def test_its_answers_are_recorded_beside_the_decisions_and_told_to_nobody(shadowed: Shadowed) -> None:
    _, answer = shadowed.desk.ask(question())
    assert answer["model_version"] == CHAMPION
    shadowed.seen.wait(lambda fates: fates == {"recorded": 1})
    decision, beside = shadowed.records()
    assert (decision.leaf.type, beside.leaf.type, beside.record.outcome) == ("decision", "shadow", "shadow")
    assert beside.answer.beside == decision.answer.decision_id == answer["parameters"]["decision_id"]
    assert beside.answer.manifest == CHALLENGER
    assert beside.leaf.key_id == decision.leaf.key_id
    assert (beside.record.subject, beside.record.labels) == (decision.record.subject, decision.record.labels)
    assert beside.answer.outputs != decision.answer.outputs
    assert replay(beside, shadowed.here.served).score > 0.5


def test_an_answer_does_not_wait_for_it(shadowed: Shadowed) -> None:
    shadowed.here.may_go.clear()
    for number in range(5):
        assert shadowed.desk.ask(question(subject=f"s-{number}"))[0] == 200
    assert all(one.leaf.type == "decision" for one in shadowed.records())
    shadowed.here.may_go.set()
    shadowed.seen.wait(lambda fates: fates.get("recorded") == 5)


def test_its_failure_is_on_the_record_and_nobody_elses(shadowed: Shadowed) -> None:
    shadowed.here.error = UnavailableError("it crashed")
    status, answer = shadowed.desk.ask(question())
    assert (status, answer["model_version"]) == (200, CHAMPION)
    shadowed.seen.wait(lambda fates: fates == {"failed": 1})
    said = shadowed.records()[1].answer
    assert (said.outputs, said.decision, said.reasons[0].rule) == ((), None, "runtime")


def test_a_defect_of_ours_costs_that_chunk_only(shadowed: Shadowed) -> None:
    shadowed.here.error = ZeroDivisionError()
    assert shadowed.desk.ask(question())[0] == 200
    shadowed.seen.wait(lambda fates: fates == {"dropped": 1})
    shadowed.here.error = None
    assert shadowed.desk.ask(question())[0] == 200
    shadowed.seen.wait(lambda fates: fates == {"dropped": 1, "recorded": 1})


def test_whoever_was_erased_meanwhile_gets_no_new_record(shadowed: Shadowed) -> None:
    shadowed.here.may_go.clear()
    shadowed.desk.ask(question(subject="gone"))
    shadowed.house.keys.forget(subject_tag(shadowed.house.index_key, "EU", "gone"))
    # the subject comes back under a new key, which must not seal the row of before
    shadowed.desk.ask(question(subject="gone"))
    shadowed.here.may_go.set()
    shadowed.seen.wait(lambda fates: fates.get("erased") == 1 and fates.get("recorded") == 1)
    leaves = [Leaf.decode(stored.leaf) for stored in shadowed.house.shard.reader()]  # type: ignore[attr-defined]  # as above
    shadows = [leaf.key_id for leaf in leaves if leaf.type == "shadow"]
    assert shadows == [leaf.key_id for leaf in leaves if leaf.type == "decision"][1:]


def test_what_does_not_fit_the_queue_is_dropped_and_counted(shadowed: Shadowed) -> None:
    shadowed.here.may_go.clear()
    body = question()
    body["inputs"][0] |= {"shape": [100, 4], "data": GOOD * 100}
    asked = 0
    while shadowed.seen.fates.get("dropped", 0) == 0:
        asked += 100
        assert asked <= QUEUE_ROWS + 400
        subjects = {"name": "strongroom.subject", "shape": [100], "datatype": "BYTES", "data": ["s"] * 100}
        status, _ = shadowed.desk.ask(
            {
                "inputs": [body["inputs"][0], subjects],
                "parameters": {"purpose": "credit-decision", "jurisdiction": "EU"},
            }
        )
        assert status == 200
    assert asked > QUEUE_ROWS - 100


@pytest.mark.parametrize(
    "shadowed",
    [{"features": (*FEATURES, msgspec.structs.replace(FEATURES[0], name="another"))}, {"features": FEATURES[:1]}],
    indirect=True,
    ids=["needs more", "needs less"],
)
def test_a_contract_that_the_rows_do_not_fulfil_is_skipped_and_counted(shadowed: Shadowed) -> None:
    assert shadowed.desk.ask(question())[0] == 200
    more = len(shadowed.here.served.inputs.names) > len(FEATURES)
    shadowed.seen.wait(lambda fates: fates == ({"skipped": 1} if more else {"recorded": 1}))


@pytest.mark.parametrize(
    "shadowed", [{"features": (msgspec.structs.replace(FEATURES[0], maximum="10"), *FEATURES[1:])}], indirect=True
)
def test_rows_outside_its_bounds_are_skipped(shadowed: Shadowed) -> None:
    assert shadowed.desk.ask(question())[0] == 200
    shadowed.seen.wait(lambda fates: fates == {"skipped": 1})


# --- the process


@pytest.fixture
def process() -> Iterator[ShadowProcess]:
    release = release_of()
    made = ShadowProcess(onnx_model(), "x", "probabilities", 4, release.numeric_profile, answer_s=60.0)
    yield made
    made.stop()


ROWS = np.array([GOOD, [1000.0, 20.0, 1.0, 0.0]], np.float32)


def test_it_gives_the_same_bits_in_a_process_of_its_own(process: ShadowProcess) -> None:
    here = make_ready(admitted(release_of()), OnnxRuntime())
    assert process.score(ROWS).tobytes() == here.scorer.score(ROWS).tobytes()
    assert process.pid not in (None, os.getpid())


def test_a_crash_is_a_failure_and_a_rest_and_then_another_start(
    process: ShadowProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    process.score(ROWS)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSEGV)
    with pytest.raises(UnavailableError):
        process.score(ROWS)
    assert process.resting
    with pytest.raises(UnavailableError, match="rests"):
        process.score(ROWS)
    monkeypatch.setattr(process, "_not_before", 0.0)
    assert len(process.score(ROWS)) == 2


def test_one_that_hangs_is_killed(process: ShadowProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    process.score(ROWS)
    pid = process.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    monkeypatch.setattr(process, "_answer_s", 0.05)
    with pytest.raises(UnavailableError, match="Timeout"):
        process.score(ROWS)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_what_does_not_load_is_a_failure() -> None:
    broken = ShadowProcess(b"no model", "x", "probabilities", 4, release_of().numeric_profile)
    with pytest.raises(UnavailableError):
        broken.score(ROWS)
    broken.stop()
