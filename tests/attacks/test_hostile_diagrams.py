"""A diagram that would run code, read files, exhaust the machine, or release too cheaply does not load."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

import strongroom
from strongroom.adapters.process import spiff
from strongroom.adapters.process.bpmn_xml import SIZE_LIMIT
from strongroom.adapters.process.cel_conditions import CelConditions
from strongroom.adapters.process.spiff import SpiffEngine
from strongroom.approval.process import Outcome
from strongroom.errors import FourEyesError, InvalidInputError, RefusedError, TooLargeError

SOURCE = (Path(next(iter(strongroom.__path__))) / "process" / "lifecycle.bpmn").read_text()
YES, NO = Outcome("accept", "ann"), Outcome("reject", "bob", "why")


def _refused(
    source: str | bytes, kind: type[RefusedError] = InvalidInputError, within_cpu_s: float = 5
) -> RefusedError:
    data = source.encode() if isinstance(source, str) else source
    started = time.process_time()
    with pytest.raises(kind) as error:
        SpiffEngine().load(data)
    assert time.process_time() - started < within_cpu_s
    return error.value


def _replace(old: str, new: str, count: int = -1) -> str:
    assert old in SOURCE
    return SOURCE.replace(old, new, count)


def _condition(text: str) -> str:
    return _replace('review.outcome == "accept"', text)


# ---- code ----

ELEMENTS = {
    "script task": '<bpmn:scriptTask id="x"><bpmn:script>import os</bpmn:script></bpmn:scriptTask>',
    "service task": '<bpmn:serviceTask id="x" />',
    "business rule task": '<bpmn:businessRuleTask id="x" />',
    "call activity": '<bpmn:callActivity id="x" calledElement="other" />',
    "sub-process": '<bpmn:subProcess id="x" triggeredByEvent="true" />',
    "boundary event": '<bpmn:boundaryEvent id="x" attachedToRef="review" />',
    "timer": '<bpmn:intermediateCatchEvent id="x"><bpmn:timerEventDefinition /></bpmn:intermediateCatchEvent>',
    "send task": '<bpmn:sendTask id="x" />',
    "data object": '<bpmn:dataObject id="x" />',
    "extension": "<bpmn:extensionElements><x/></bpmn:extensionElements>",
    "instruction": "<?php system('id') ?>",
}


@pytest.mark.parametrize("element", ELEMENTS.values(), ids=ELEMENTS.keys())
def test_elements_that_are_not_on_the_list(element: str) -> None:
    assert "element" in _refused(_replace("</bpmn:process>", element + "</bpmn:process>")).message


def test_a_listener_inside_a_task() -> None:
    hidden = '<bpmn:extensionElements><e:x xmlns:e="urn:e">1</e:x></bpmn:extensionElements><bpmn:incoming>f_review'
    assert "extensionElements" in _refused(_replace("<bpmn:incoming>f_review", hidden)).message


@pytest.mark.parametrize(
    "attribute",
    [
        'camunda:class="x" xmlns:camunda="http://camunda.org/schema/1.0/bpmn"',
        'scriptFormat="python"',
        'implementation="##WebService"',
    ],
)
def test_attributes_that_are_not_on_the_list(attribute: str) -> None:
    assert (
        "attribute"
        in _refused(_replace('<bpmn:userTask id="review"', f'<bpmn:userTask {attribute} id="review"')).message
    )


def test_a_loop_marker_on_an_approval() -> None:
    marker = "<bpmn:multiInstanceLoopCharacteristics><bpmn:loopCardinality>0</bpmn:loopCardinality>"
    marker += "</bpmn:multiInstanceLoopCharacteristics><bpmn:incoming>f_ask_first"
    _refused(_replace("<bpmn:incoming>f_ask_first", marker))


@pytest.mark.parametrize(
    "payload",
    [
        "__import__('os').system('touch /tmp/strongroom-owned')",
        "eval('1')",
        "().__class__.__bases__[0].__subclasses__()",
        "(lambda: 1)()",
        "open('/etc/passwd')",
        "review.outcome.matches('a*')",
        "[1,2].map(x, [1,2].map(y, [1,2].map(z, x)))",
        "[1,2].exists (x, true)",
        "[1].all(x, true)",
        "has(review.outcome)",
        "size(review.outcome) > 0",
        "duration('1s') == duration('1s')",
        "review.outcome == 'acc\\u0065pt'",
        "{'a': 1}.a == 1",
        "r'x'\n== 'x'",
        "1",
        "'accept'",
        "unknown.outcome == 'accept'",
        "review.missing == 'accept'",
        "release.outcome == 'accept'",
        "review.outcome ==",
        "",
        "true &&" * 200 + " true",
        "(" * 40 + "true" + ")" * 40,
        "!" * 100 + "true",
        "[" * 30 + "]" * 30 + " == []",
    ],
)
def test_conditions(payload: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("python's own eval was reached")

    monkeypatch.setattr("builtins.eval", never)
    escaped = payload.replace("&", "&amp;").replace("<", "&lt;")
    _refused(_condition(escaped), RefusedError)
    assert not Path("/tmp/strongroom-owned").exists()


def test_the_library_behind_our_checks_evaluates_nothing_but_comparisons() -> None:
    """Were the reader's list ever too long, the engine's environment still runs no code."""
    engine = spiff._Engine()
    for call in (
        lambda: engine.execute(None, "x = 1"),
        lambda: engine.call_service(None, operation="x"),
        lambda: engine.environment.execute("x = 1", {}),
        lambda: engine.environment.call_service({}),
        lambda: engine.environment.evaluate("__import__('os')", {}),
        lambda: engine.validate("print(1)"),
    ):
        with pytest.raises(InvalidInputError):
            call()
    assert engine.environment.evaluate("a.outcome == 'accept'", {"a": {"outcome": "accept"}}) is True


# ---- XML ----


def test_xml_attacks() -> None:
    body = SOURCE.split("?>", 1)[1]
    head = '<?xml version="1.0" encoding="UTF-8"?>'
    xxe = '<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + body.replace("Package handed in", "&x;")
    laughs = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
    bomb = f'<!DOCTYPE d [<!ENTITY l0 "lol">{laughs}]>' + body.replace("Package handed in", "&l9;")
    remote = '<!DOCTYPE d SYSTEM "http://127.0.0.1:1/x.dtd">' + body
    for attack in (xxe, bomb, remote):
        assert "document type" in _refused(head + attack).message
        assert "document type" in _refused(head + attack.replace("<!DOCTYPE", "<!doctype")).message
    _refused((head + xxe).replace("UTF-8", "UTF-16").encode("utf-16"))
    _refused((head.replace("UTF-8", "UTF-7") + body).encode())
    _refused(head + body.replace("Package handed in", "&undefined;"))
    for junk in (
        b"",
        b"<",
        b"\x00" * 100,
        b"<bpmn/>",
        b"PK\x03\x04",
        SOURCE.encode()[:-20],
        b"\xff\xfe" + SOURCE.encode(),
    ):
        _refused(junk)


def test_size_depth_and_number() -> None:
    _refused(SOURCE + "<!--" + "x" * 10_000_000 + "-->", TooLargeError)
    assert len(SOURCE) < SIZE_LIMIT
    deep = "<bpmn:laneSet>" * 5000 + "</bpmn:laneSet>" * 5000
    _refused(_replace("</bpmn:process>", deep + "</bpmn:process>"), InvalidInputError)
    many = "".join(f'<bpmn:endEvent id="e{i}" />' for i in range(5000))
    _refused(_replace("</bpmn:process>", many + "</bpmn:process>"), InvalidInputError)


def test_ids_and_references() -> None:
    _refused(_replace('targetRef="review"', 'targetRef="nowhere"'))
    _refused(_replace('<bpmn:userTask id="approve_second"', '<bpmn:userTask id="approve_first"'))
    _refused(_replace('<bpmn:userTask id="review"', '<bpmn:userTask id="re-view"'))
    _refused(_replace('isExecutable="true"', 'isExecutable="false"'))
    _refused(_replace(' strongroom:verb="release"', ""))
    _refused(_replace(' strongroom:verb="release"', ' strongroom:verb="burn"'))
    _refused(_replace("</bpmn:process>", '</bpmn:process><bpmn:process id="p2" isExecutable="true"/>'))
    _refused(_replace('x="240"', 'x="1e999"') if 'x="240"' in SOURCE else _replace(' y="110"', ' y="nan"'))


# ---- four eyes ----


def _skip(source: str, task: str, arriving: str, leaving: str) -> str:
    """Take a task out: the flow that led to it leads to what followed."""
    start = source.index(f'<bpmn:userTask id="{task}"')
    end = source.index("</bpmn:userTask>", start) + len("</bpmn:userTask>")
    source = source[:start] + source[end:]
    flow = source.index(f'<bpmn:sequenceFlow id="{leaving}"')
    target = source[source.index('targetRef="', flow) + 11 :].split('"', 1)[0]
    source = source[:flow] + source[source.index("/>", flow) + 2 :]
    return source.replace(f'targetRef="{task}"', f'targetRef="{target}"').replace(
        f"<bpmn:flowNodeRef>{task}</bpmn:flowNodeRef>", ""
    )


def _retag(node: str, kind: str) -> str:
    """Make another kind of element of a node."""
    found = re.search(rf'<bpmn:(\w+) id="{node}".*?</bpmn:\1>', SOURCE, re.DOTALL)
    assert found is not None
    old = found.group(0)
    return SOURCE.replace(old, old.replace(f"bpmn:{found.group(1)}", f"bpmn:{kind}"))


def _lead(flow: str, target: str) -> str:
    """Let a flow lead elsewhere."""
    return re.sub(rf'(<bpmn:sequenceFlow id="{flow}"[^>]*targetRef=")\w+"', rf'\g<1>{target}"', SOURCE)


WEAK: dict[str, Callable[[], str]] = {
    "no review": lambda: _skip(SOURCE, "review", "f_validate_passed", "f_review").replace(
        'review.outcome == "accept"', 'validate.outcome == "accept"'
    ),
    "one approval": lambda: _skip(SOURCE, "approve_second", "f_ask_second", "f_second").replace(
        'approve_second.outcome == "accept"', 'approve_first.outcome == "accept" || true'
    ),
    "a rejected review goes on": lambda: _condition('review.outcome == "accept" || review.outcome == "reject"'),
    "always true": lambda: _condition("true"),
    "the wrong way round": lambda: _condition('review.outcome == "reject"'),
    "a rejected approval goes on": lambda: _replace('approve_first.outcome == "accept"', "true"),
    "the validation does not count": lambda: _replace('validate.outcome == "accept"', "true"),
    "the scan does not count": lambda: _replace('scan.outcome == "accept"', "true"),
    "straight to the release": lambda: _lead("f_review_fit", "release"),
    "a machine approves": lambda: _retag("approve_first", "task"),
    "a machine reviews": lambda: _retag("review", "task"),
    "the release is called otherwise": lambda: _replace(' strongroom:verb="release"', ' strongroom:verb="seal"'),
    "two releases": lambda: _replace(' strongroom:verb="seal"', ' strongroom:verb="release"'),
    "an approval called review": lambda: _replace(
        'name="Second approval: sign" strongroom:verb="approve"',
        'name="Second approval: sign" strongroom:verb="review"',
    ),
    "one is enough": lambda: _retag("both_approved", "exclusiveGateway"),
}


@pytest.mark.parametrize("make", WEAK.values(), ids=WEAK.keys())
def test_weakened_diagrams(make: Callable[[], str]) -> None:
    source = make()
    assert source != SOURCE
    _refused(source, RefusedError)


@pytest.mark.parametrize(
    "name", ["always true", "one approval", "one is enough", "two releases", "no review", "a machine approves"]
)
def test_the_reason_is_four_eyes(name: str) -> None:
    assert isinstance(_refused(WEAK[name](), RefusedError), FourEyesError), _refused(WEAK[name](), RefusedError)


def test_a_diagram_that_gets_stuck() -> None:
    # no default: a rejection has nowhere to go
    _refused(_replace(' default="f_review_unfit"', ""), InvalidInputError)
    # an end for one path only: the other approval waits at the join for ever
    stuck = _replace("<bpmn:terminateEventDefinition", "<!-- ").replace('_all" />', " -->")
    try:
        SpiffEngine().load(stuck.encode())
    except RefusedError:
        return
    raise AssertionError("a diagram that gets stuck was accepted")


def test_a_diagram_with_more_orders_than_anyone_can_check() -> None:
    """Forty approvals side by side: a million million orders. The check gives up early, and giving up is a no."""
    tasks, flows = "", ""
    for i in range(40):
        tasks += f'<bpmn:userTask id="t{i}" strongroom:verb="approve" />'
        flows += f'<bpmn:sequenceFlow id="i{i}" sourceRef="split" targetRef="t{i}" />'
        flows += f'<bpmn:sequenceFlow id="o{i}" sourceRef="t{i}" targetRef="join" />'
    chain = ("start", "scan", "validate", "review", "split")
    flows += "".join(f'<bpmn:sequenceFlow id="c{a}" sourceRef="{a}" targetRef="{b}" />' for a, b in pairwise(chain))
    flows += '<bpmn:sequenceFlow id="f1" sourceRef="join" targetRef="release" />'
    flows += '<bpmn:sequenceFlow id="f2" sourceRef="release" targetRef="end" />'
    head = SOURCE[SOURCE.index("<bpmn:definitions") : SOURCE.index("<bpmn:collaboration")]
    machines = "".join(f'<bpmn:task id="{v}" strongroom:verb="{v}" />' for v in ("scan", "validate", "release"))
    wide = (
        f'{head}<bpmn:process id="p" isExecutable="true"><bpmn:startEvent id="start" />'
        f'<bpmn:endEvent id="end" />{machines}'
        f'<bpmn:userTask id="review" strongroom:verb="review" /><bpmn:parallelGateway id="split" />'
        f'<bpmn:parallelGateway id="join" />{tasks}{flows}</bpmn:process></bpmn:definitions>'
    )
    assert "positions" in _refused(wide, TooLargeError, within_cpu_s=30).message
    few = re.sub(r'<bpmn:\w+ id="[tio](?:[2-9]|[1-3]\d)"[^>]*>', "", wide)
    assert len(SpiffEngine().load(few.encode()).tasks("approve")) == 2


def test_a_loop_without_end() -> None:
    loop = _lead("f_review_unfit", "review_decision")
    _refused(loop, RefusedError)


def test_rework_may_be_drawn_when_rejections_are_answered_anew() -> None:
    """A rejected scan may lead back to the scan: the latest answer counts, and the case can still end."""
    merge = '<bpmn:exclusiveGateway id="merge" />'
    merge += '<bpmn:sequenceFlow id="f_merge" sourceRef="merge" targetRef="scan" /></bpmn:process>'
    again = _lead("f_seal", "merge").replace("</bpmn:process>", merge)
    again = re.sub(r'(id="f_scan_refused"[^>]*targetRef=")\w+"', r'\g<1>merge"', again)
    diagram = SpiffEngine().load(again.encode())
    engine = SpiffEngine()
    progress = engine.start(diagram, "c-1")
    for task, answer in (("submit", YES), ("seal", YES), ("scan", NO), ("scan", NO), ("scan", YES), ("validate", YES)):
        assert [node.id for node in progress.waiting] == [task]
        progress = engine.advance(diagram, progress.state, task, answer)
    assert progress.task("review").id == "review"


@pytest.mark.parametrize("seed", range(20))
def test_broken_bytes_never_crash(seed: int) -> None:
    random_ = random.Random(seed)
    for _ in range(10):
        data = bytearray(SOURCE.encode())
        for _ in range(random_.choice((1, 3, 20))):
            at = random_.randrange(len(data))
            if random_.random() < 0.5:
                data[at] ^= 1 << random_.randrange(8)
            else:
                del data[at : at + random_.randrange(1, 40)]
        try:
            SpiffEngine().load(bytes(data))
        except RefusedError:
            continue


def test_conditions_that_are_fine() -> None:
    compile_ = CelConditions().compile
    for text in (
        'a.outcome == "accept"',
        "a.outcome == 'accept' && b.outcome != 'reject'",
        "!(a.outcome == 'reject') || b.outcome in ['accept', 'reject']",
        "a.outcome == b.outcome ? true : false",
    ):
        assert compile_(text).holds({"a": "accept", "b": "accept"}) is True
