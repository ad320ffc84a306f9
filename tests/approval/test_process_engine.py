"""The shipped life cycle: run to the end, rejected, restarted, drawn, played against the checker's own rules."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from lxml import etree
from SpiffWorkflow.bpmn.parser.BpmnParser import BpmnValidator

import strongroom
from strongroom.adapters.process.cel_conditions import CelConditions
from strongroom.adapters.process.spiff import SpiffEngine
from strongroom.approval.lifecycle import Play, check_lifecycle
from strongroom.approval.picture import draw
from strongroom.approval.process import Diagram, Outcome, Progress
from strongroom.errors import ConflictError, InvalidInputError, TamperedError

SOURCE = (Path(next(iter(strongroom.__path__))) / "process" / "lifecycle.bpmn").read_bytes()
YES = Outcome("accept", "ann")
NO = Outcome("reject", "bob", "the calibration drifts")
BEFORE_APPROVAL = ("submit", "seal", "scan", "validate", "review")


@pytest.fixture(scope="module")
def engine() -> SpiffEngine:
    return SpiffEngine()


@pytest.fixture(scope="module")
def diagram(engine: SpiffEngine) -> Diagram:
    return engine.load(SOURCE)


def _run(engine: SpiffEngine, diagram: Diagram, *tasks: str) -> Progress:
    progress = engine.start(diagram, "c-1")
    for task in tasks:
        progress = engine.advance(diagram, progress.state, task, YES)
    return progress


def _waiting(progress: Progress) -> list[str]:
    return [node.id for node in progress.waiting]


def test_the_file_is_valid_bpmn_with_a_shape_for_every_node_and_a_line_for_every_flow(diagram: Diagram) -> None:
    BpmnValidator().validate(etree.fromstring(SOURCE))
    assert all(node.box is not None for node in diagram.nodes.values())
    assert all(len(flow.line) >= 2 for flow in diagram.flows.values())
    assert [lane.name for lane in diagram.lanes] == [
        "Author",
        "Strongroom",
        "Independent validator",
        "Two approvers",
    ]


def test_lines_touch_the_shapes_that_they_join(diagram: Diagram) -> None:
    for flow in diagram.flows.values():
        for end, (x, y) in ((flow.source, flow.line[0]), (flow.target, flow.line[-1])):
            box = diagram.nodes[end].box
            assert box is not None
            assert box.x <= x <= box.x + box.width, flow.id
            assert box.y <= y <= box.y + box.height, flow.id


def test_the_whole_path(engine: SpiffEngine, diagram: Diagram) -> None:
    progress = engine.start(diagram, "c-1")
    for task in BEFORE_APPROVAL:
        assert _waiting(progress) == [task]
        assert progress.ended is None
        progress = engine.advance(diagram, progress.state, task, YES)
    assert _waiting(progress) == ["approve_first", "approve_second"]
    assert [node.kind for node in progress.waiting] == ["person", "person"]
    progress = engine.advance(diagram, progress.state, "approve_second", YES)
    assert progress.task("approve").id == "approve_first"
    progress = engine.advance(diagram, progress.state, "approve_first", YES)
    assert progress.task("release").id == "release"
    progress = engine.advance(diagram, progress.state, "release", YES)
    assert (progress.waiting, progress.ended) == ((), "released")


@pytest.mark.parametrize("at", ["scan", "validate", "review", "approve_first", "approve_second"])
def test_a_rejection_ends_the_case(engine: SpiffEngine, diagram: Diagram, at: str) -> None:
    done = BEFORE_APPROVAL[: BEFORE_APPROVAL.index(at)] if at in BEFORE_APPROVAL else BEFORE_APPROVAL
    progress = engine.advance(diagram, _run(engine, diagram, *done).state, at, NO)
    assert (progress.waiting, progress.ended) == ((), "rejected")
    assert NO.reason in progress.state
    with pytest.raises(ConflictError):
        engine.advance(diagram, progress.state, "release", YES)


def test_rejection_by_the_second_after_the_first_approved(engine: SpiffEngine, diagram: Diagram) -> None:
    progress = _run(engine, diagram, *BEFORE_APPROVAL, "approve_first")
    progress = engine.advance(diagram, progress.state, "approve_second", NO)
    assert progress.ended == "rejected"


def test_a_restart_in_the_middle_changes_nothing(diagram: Diagram) -> None:
    state = ""
    for number, task in enumerate([*BEFORE_APPROVAL, "approve_first", "approve_second", "release"]):
        engine = SpiffEngine()  # as a new process would have it
        again = engine.load(SOURCE)
        progress = engine.start(again, "c-1") if number == 0 else engine.restore(again, state)
        assert task in _waiting(progress)
        state = engine.advance(again, progress.state, task, YES).state
    assert SpiffEngine().restore(diagram, state).ended == "released"


def test_what_is_not_waiting_is_refused(engine: SpiffEngine, diagram: Diagram) -> None:
    start = engine.start(diagram, "c-1")
    for task in ("release", "approve_first", "handed_in", "nowhere", ""):
        with pytest.raises(ConflictError, match="waiting"):
            engine.advance(diagram, start.state, task, YES)
    with pytest.raises(ConflictError, match="waits for `submit`"):
        start.task("release")
    with pytest.raises(ConflictError, match="no rejection"):
        engine.advance(diagram, start.state, "submit", NO)
    once = _run(engine, diagram, *BEFORE_APPROVAL, "approve_first")
    with pytest.raises(ConflictError):
        engine.advance(diagram, once.state, "approve_first", YES)


def test_a_rejection_needs_a_reason() -> None:
    with pytest.raises(InvalidInputError):
        Outcome("reject", "bob", "  ")


def test_tampered_states(engine: SpiffEngine, diagram: Diagram) -> None:
    good = _run(engine, diagram, "submit", "seal").state
    assert engine.restore(diagram, good).task("scan").id == "scan"
    for bad in (
        "",
        "{}",
        good + " ",
        good.replace("submit", "release"),
        good.replace('"accept"', '"maybe"'),
        good.replace(diagram.digest, "0" * 64),
        good.replace('"v":1', '"v":1,"x":1'),
        "[" * 100_000,
    ):
        with pytest.raises(TamperedError):
            engine.restore(diagram, bad)


def test_the_engine_and_the_checker_play_by_the_same_rules(engine: SpiffEngine, diagram: Diagram) -> None:
    """Random plays: SpiffWorkflow and the exhaustive check's own rules wait for the same tasks at every step."""
    play = Play(diagram, CelConditions())
    for seed in range(40):
        random_ = random.Random(seed)
        position, progress = play.begin(), engine.start(diagram, "c-1")
        while progress.waiting:
            assert [node.id for node in play.waiting(position)] == _waiting(progress)
            node = random_.choice(progress.waiting)
            outcome = NO if diagram.decides(node.id) and random_.random() < 0.2 else YES
            position = play.fire(position, node.id, outcome.answer)
            progress = engine.advance(diagram, progress.state, node.id, outcome)
        assert not position.tokens


def test_the_check_visits_every_position(diagram: Diagram) -> None:
    assert check_lifecycle(diagram, CelConditions()) == 17


def test_the_picture_marks_what_waits(diagram: Diagram) -> None:
    picture = draw(diagram, waiting=["review"], done=["scan"])
    root = etree.fromstring(picture.encode())
    assert root.findtext("{*}title") == "waiting: Judge the evidence and sign"
    assert picture.count("#fff3c4") == 1
    assert picture.count("#dff3e4") == 1
    texts = " ".join(root.itertext())
    for word in ("Two approvers", "findings", "Approved?", "Publish the"):
        assert word in texts
    assert "<script" not in picture
