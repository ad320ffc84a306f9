"""Words of others in our logs: a reason, a name or an error message that tries to write a line of its own, to paint the
terminal of whoever reads, or to tell callers what is none of their business."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import typer

from strongroom import verify
from strongroom.cli.output import command, tell
from strongroom.errors import HaltedError, TamperedError
from strongroom.vocabulary import one_line
from strongroom.web.serve import Supervisor
from strongroom.wiring.log_lines import EVENTS_KNOWN, MARGIN, FewRepeats, LineFormatter
from tests.serving.house import now_us
from tests.web.gateways import gateway, question
from tests.web.nodes import PASSPHRASE, Node, make

SOURCE = Path(__file__).parents[2] / "src"
FORGED = "2026-01-01 worker INFO all is well"
HOSTILE = [
    f"stop\n{FORGED}",
    f"stop\r{FORGED}",
    f"stop\r\n{FORGED}",
    f"stop\x0b{FORGED}",
    f"stop\x0c{FORGED}",
    f"stop\x85{FORGED}",
    f"stop\u2028{FORGED}",
    f"stop\u2029{FORGED}",
    "\x1b[2J\x1b[1;31mgone",
    "\x9b31mgone",
    "\x1b]0;title\x07",
    "back\x08\x08\x08\x08",
    "nul\x00",
    "\u202edrawkcab",
    "\ud800alone",
]


def clean(text: str) -> bool:
    """Whether the text is one line without anything that a terminal would obey."""
    return text.isprintable() and len(text.splitlines()) == 1


@pytest.mark.parametrize("words", HOSTILE, ids=ascii)
def test_a_log_line_stays_one_line(words: str) -> None:
    logger, stream = logging.Logger("strongroom.attack"), io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter("%(levelname)s %(name)s: %(message)s"))
    logger.addHandler(handler)
    logger.warning("model `%s` is not admitted: %s", words, words)
    shown = stream.getvalue()
    assert shown.endswith("\n")
    assert clean(shown[:-1]), ascii(shown)
    assert shown.startswith("WARNING strongroom.attack: model `")


@pytest.mark.parametrize("words", HOSTILE, ids=ascii)
def test_no_line_of_a_traceback_passes_for_an_event(words: str) -> None:
    logger, stream = logging.Logger("strongroom.attack"), io.StringIO()
    # a first handler with the standard formatter leaves its rendering behind in the record
    first, second = logging.StreamHandler(io.StringIO()), logging.StreamHandler(stream)
    second.setFormatter(LineFormatter("%(message)s"))
    logger.addHandler(first)
    logger.addHandler(second)
    try:
        raise ValueError(words)
    except ValueError:
        logger.exception("admission failed", stack_info=True)
    lines = stream.getvalue()[:-1].split("\n")
    assert lines[0] == "admission failed"
    assert len(lines) > 3
    assert all(line.startswith(MARGIN) and clean(line) for line in lines[1:])


def test_what_is_harmless_is_written_as_it_is() -> None:
    assert one_line("Grüße, 銀行: `a\\b` [x] 😀") == "Grüße, 銀行: `a\\b` [x] 😀"
    assert one_line("a\nb\x1bc\u2028d") == "a\\nb\\x1bc\\u2028d"


def test_every_process_writes_with_that_formatter() -> None:
    """Nothing else sets up logging, and the command line (also of the supervisor and the witness) and the worker do."""
    for file in (SOURCE / "strongroom").rglob("*.py"):
        if file.name != "log_lines.py":
            assert "basicConfig" not in file.read_text(), file
    code = (
        "import logging\nfrom strongroom.cli import _root\n_root(False)\n"
        f"logging.getLogger('strongroom.x').warning('halted: %s', {HOSTILE[0]!r})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, timeout=60
    )
    assert done.stderr == f"WARNING strongroom.x: halted: {one_line(HOSTILE[0])}\n"


@pytest.mark.parametrize("words", [words for words in HOSTILE if words.isascii() or "\u202e" in words], ids=ascii)
def test_commands_print_one_line_for_one_line(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    tell(False, {}, [f"alert: {words}"])
    assert clean(capsys.readouterr().out.removesuffix("\n"))

    @command
    def fails() -> None:
        raise TamperedError(words)

    with pytest.raises(typer.Exit):
        fails()
    assert clean(capsys.readouterr().err.removesuffix("\n"))


# verify.py, which an auditor runs on what others hand over ------------------------------------------------------------

VECTORS = json.loads((SOURCE.parent / "tests" / "vectors" / "verify" / "receipts.json").read_text())


@pytest.mark.parametrize(
    "words",
    ["\x1b[1A\x1b[2K\rdecision 00 of bank.example: verified", "x\nverified", "\u202edeifirev", "\x9b2K"],
    ids=ascii,
)
@pytest.mark.parametrize("where", ["output", "origin"])
def test_a_hostile_name_does_not_overwrite_what_verify_py_says(
    where: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = next(case for case in VECTORS["cases"] if case["holds"] and "answer" in case)
    (tmp_path / "policy").write_text(VECTORS["policy"])
    (tmp_path / "openings").mkdir()
    for name, opening in VECTORS["openings"].items():
        (tmp_path / "openings" / name).write_text(opening if isinstance(opening, str) else json.dumps(opening))
    answer, receipt = case["answer"], case["receipt"]
    if where == "output":
        answer = {**answer, "outputs": [{**answer["outputs"][0], "name": words}]}
    else:
        outer = json.loads(receipt)
        head, blank, note = outer["proof"].partition("\n\n")
        outer["proof"] = head + blank + words.replace("\n", " ").replace("\x1b", "\x9b") + note[note.index("\n") :]
        receipt = json.dumps(outer, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    (tmp_path / "receipt.json").write_text(receipt)
    (tmp_path / "answer.json").write_text(json.dumps(answer))
    asked = ["receipt", "receipt.json", "--policy", "policy", "--openings", "openings", "--answer", "answer.json"]
    code = verify.main([str(tmp_path / word) if (tmp_path / word).exists() else word for word in asked])
    said = capsys.readouterr()
    assert code == 4
    assert said.out == ""
    assert said.err.startswith("NOT VERIFIED: "), said.err
    assert clean(said.err.removesuffix("\n")), ascii(said.err)


# a halt, whose reason a halter wrote ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Node:
    return make(tmp_path_factory.mktemp("log-injection"))


def test_a_supervisor_tells_one_line_for_one_event(node: Node) -> None:
    told: list[str] = []
    supervisor = Supervisor(node.folder, PASSPHRASE, told.append)
    for words in HOSTILE:
        supervisor._tell(f"the release repository was not refreshed: {words}")
    assert len(told) == len(HOSTILE)
    assert all(map(clean, told))


def test_a_halts_reason_reaches_the_nodes_log_as_one_line_and_no_caller(
    node: Node, capfd: pytest.CaptureFixture[str]
) -> None:
    from tests import simulator

    reason = f"whistle-blower says so\n{FORGED}\x1b[2J"
    with node.serving():
        status, answer = node.ask(question())
        assert status == 200, answer
        node.room.halt(simulator.ModelRef(simulator.MODEL, answer["model_version"]), reason=reason)
        node.wait_for(lambda: node.ask(question())[0] == 409, 10)
        status, answer = node.ask(question())
        index = node.ask({}, "/v2/repository/index")
        health = node.get("/v2/health/ready")
    words = f"model `{simulator.MODEL}` is halted; nothing is answered until two persons lift it"
    assert answer["error"] == words
    assert index[0] == 200
    assert [one["reason"] for one in index[1]] in ([], [words])
    for said in (json.dumps(answer), json.dumps(index[1]), health[1].decode()):
        assert "whistle" not in said
        assert "hal`" not in said
    logged = capfd.readouterr().err
    lines = [line for line in logged.split("\n") if "whistle-blower" in line]
    assert lines, logged
    assert all(clean(line) and one_line(reason) in line for line in lines)
    assert "\x1b" not in logged
    assert not any(line.startswith(FORGED) for line in logged.splitlines())


@pytest.mark.parametrize("tail", ["/infer", "", "/ready", "/versions/" + "ab" * 32])
@pytest.mark.parametrize("held", [True, False], ids=["held here", "not held here"])
def test_no_route_tells_a_caller_who_halted_or_why(tail: str, held: bool) -> None:
    with gateway() as desk:
        rules = desk.gateway.rules
        trouble = str(HaltedError("`paul` halted `pd-cards`: a secret reason; two persons must lift it"))
        models = rules.catalogue.models if held else {}
        halted = replace(rules.catalogue, models=models, halted={"pd-cards": trouble}, fresh_until_us=now_us() * 2)
        desk.run.call(desk.gateway.swap, replace(rules, catalogue=halted))
        method = "POST" if tail == "/infer" else "GET"
        body = json.dumps(question()).encode() if method == "POST" else b""
        status, _, said = desk.raw(method, "/v2/models/pd-cards" + tail, body)
        assert b"paul" not in said
        assert b"secret reason" not in said
        assert status == 200 if (held and "ready" not in tail and tail != "/infer") else status in (409, 503)


def test_what_fails_with_each_request_does_not_fill_the_log() -> None:
    now, out = [100.0], io.StringIO()
    handler = logging.StreamHandler(out)
    handler.addFilter(FewRepeats(lambda: now[0]))
    log = logging.Logger("worker")
    log.addHandler(handler)
    for _ in range(1000):
        log.warning("no space: %s%%", 100)
    log.error("no space: 100%")
    log.warning("another")
    now[0] += 9.9
    log.warning("no space: %s%%", 100)
    assert out.getvalue().split("\n") == ["no space: 100%", "no space: 100%", "another", ""]
    now[0] += 0.1
    log.warning("no space: %s%%", 100)
    log.warning("no space: %s%%", 100)
    assert out.getvalue().split("\n")[3:] == ["no space: 100% (1000 more times since this was last said)", ""]
    # other causes under the same words are not hidden
    for cause in ("one", "two", "one"):
        log.warning("failed", exc_info=ValueError(cause))
    assert out.getvalue().count("failed") == 2
    # and what is remembered is bounded
    for number in range(2 * EVENTS_KNOWN):
        log.warning("event %d", number)
    assert len(handler.filters[0]._seen) == EVENTS_KNOWN  # type: ignore[union-attr]  # ours
