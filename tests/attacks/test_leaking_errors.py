"""CWE-209, CWE-203, CWE-532: an error tells the caller what to do next, and nothing else to anybody.

Canaries stand in the request (values, subject, token, paths, headers) and around it (another caller, its unit, another
model, versions). Whatever is wrong with the request, no answer and no log line holds one of them, and whoever has no
grant for a model is told the same of a model that exists and of one that does not.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from strongroom.access.grants import Grants
from strongroom.errors import NotDurableError, StrongroomError, UnavailableError
from tests.serving.house import House, caller_key, served
from tests.web.gateways import Desk, gateway, question
from tests.web.lines import read_all

VALUE = 987654321.125
SUBJECT = "subject-canary-7q1x"
TOKEN = "sr_canarycanary_" + "q" * 52
HEADER = "header-canary-9w2k"
KEY = "key-canary-4r"
NEIGHBOUR, UNIT, HIDDEN, MANIFEST = "neighbour-canary-3t", "unit-canary-5v", "model-canary-8z", "fe" * 32
PLANTED = ("987654321", SUBJECT, SUBJECT.upper(), "canarycanary", HEADER, NEIGHBOUR, UNIT, HIDDEN, MANIFEST, "ab" * 32)
SOURCE = str(Path(__file__).parents[2])
INNARDS = (SOURCE, sys.prefix, "site-packages", "Traceback", 'File "', ".py", "/etc/", "/root", "/home/", "0x7f")
KINDS = re.compile(r"\b[A-Z][A-Za-z]+(?:Error|Exception)\b")


class Street(House):
    """Two callers of two units, each with a model of its own."""

    def __init__(self) -> None:
        super().__init__(served(), served(name=HIDDEN, manifest=MANIFEST))
        self.api_key, mine = caller_key()
        self.neighbour_key, other = caller_key(NEIGHBOUR, (HIDDEN,))
        other = msgspec.structs.replace(other, units=(UNIT,))
        self.grants = Grants(sequence=1, systems=tuple(sorted((mine, other), key=lambda one: one.id)))


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))
        self.text: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.text.append(self.format(record))


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    with gateway(Street(), doorkeeper_limit=1_000_000) as one:
        yield one


@pytest.fixture(scope="module")
def lines() -> Iterator[Lines]:
    handler, root = Lines(), logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler
    root.removeHandler(handler)
    root.setLevel(before)


def send(desk: Desk, method: str, target: str, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
    """Status, and head and body as they came."""
    given = {"Host": "h", "Authorization": desk.bearer, "Content-Type": "application/json", "Connection": "close"}
    given |= headers
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items() if value)
    with desk.run.socket() as sock:
        line = f"{method} {target} HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n"
        sock.sendall(line.encode("utf-8", "surrogateescape") + body)
        answer = read_all(sock).decode("utf-8", "replace")
    return int(answer.split(" ", 2)[1]), answer


def demand_silence(text: str, target: str = "") -> None:
    """Names are said back to whoever gave them (models, versions, tensors, keys); values are not."""
    asked = target.partition("?")[0].split("/")
    for word in (*(one for one in PLANTED if one not in asked), *INNARDS):
        assert word not in text, f"{word!r} in {text!r}"
    assert not KINDS.search(text), text


ROWS = st.lists(
    st.sampled_from([VALUE, -VALUE, str(VALUE), SUBJECT, None, True, [VALUE], {"v": VALUE}, 40.0, 2.0, 0.05, 1e39]),
    max_size=6,
)
LABELS = st.dictionaries(
    st.sampled_from(["subject", "purpose", "jurisdiction", "principal", KEY]),
    st.sampled_from([SUBJECT, SUBJECT * 40, "\x00" + SUBJECT, VALUE, [SUBJECT], {KEY: VALUE}, None, "../" + SUBJECT]),
    min_size=1,
)
TARGETS = st.sampled_from(
    [
        "/v2/models/pd-cards/infer",
        f"/v2/models/{HIDDEN}/infer",
        f"/v2/models/{HIDDEN}/versions/{MANIFEST}/infer",
        "/v2/models/pd-cards/versions/" + "0" * 64 + "/infer",
        f"/v2/models/{SUBJECT}/infer",
        f"/v2/../../etc/passwd?{SUBJECT}",
        f"/v2/models/pd-cards/infer?token={TOKEN}",
        f"/{SUBJECT}",
        f"/v2/repository/models/{HIDDEN}/load",
    ]
)
HEADERS = st.sampled_from(
    [
        {},
        {"Authorization": f"Bearer {TOKEN}"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": ""},
        {"Content-Type": HEADER},
        {"Content-Encoding": HEADER},
        {"Inference-Header-Content-Length": HEADER},
        {"Signature-Input": f'{HEADER}=("@method");keyid="{HEADER}"', "Signature": f"{HEADER}=:AAAA:"},
        {"Content-Digest": f"sha-256=:{HEADER}:"},
        {"X-Request-Id": HEADER, "Traceparent": HEADER},
        {"Expect": HEADER},
        {"Transfer-Encoding": HEADER},
    ]
)


def spoil(document: dict[str, Any], how: str) -> bytes:
    text = json.dumps(document)
    return {
        "not": text,
        "cut": text[: len(text) // 2],
        "trailing": text + SUBJECT,
        "repeated": text[:-1] + f', "{KEY}": 1, "{KEY}": 2}}',
        "bytes": text + "\udcff",
        "shape": text.replace("[1, 4]", f"[{int(VALUE)}, 4]"),
        "kind": text.replace("FP32", KEY),
        "tensor": text.replace('"x"', f'"{KEY}"'),
        "outputs": text[:-1] + f', "outputs": [{{"name": "{KEY}"}}]}}',
        "number": text.replace("FP32", "INT64"),
    }[how].encode("utf-8", "surrogateescape")


HOWS = ["not", "cut", "trailing", "repeated", "bytes", "shape", "kind", "tensor", "outputs", "number"]


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(row=ROWS, labels=LABELS, target=TARGETS, headers=HEADERS, how=st.sampled_from(HOWS), verb=st.just("POST"))
def test_no_error_and_no_log_line_holds_a_canary(
    desk: Desk, lines: Lines, row: list[Any], labels: dict[str, Any], target: str, headers: dict[str, str], how: str,
    verb: str,
) -> None:  # fmt: skip
    status, answer = send(desk, verb, target, spoil(question(row, **labels), how), headers)
    if status == 200:
        return
    demand_silence(answer, target)
    said = "\n".join(lines.text)
    demand_silence(said)
    assert KEY not in said
    leaf = b"".join(stored.leaf for stored in list(desk.house.shard.reader())[-1:])
    for word in (KEY, SUBJECT, str(int(VALUE))):
        assert word.encode() not in leaf, "a log that is never changed would hold it for ever"
    lines.text.clear()
    assert not desk.broken


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("value", [VALUE, -VALUE, str(VALUE), [VALUE], SUBJECT, None])
def test_each_value_at_each_place(desk: Desk, lines: Lines, place: int, value: object) -> None:
    row: list[Any] = [50000.0, 40.0, 2.0, 0.05]
    row[place] = value
    status, answer = send(desk, "POST", "/v2/models/pd-cards/infer", json.dumps(question(row)).encode(), {})
    if status != 200:
        demand_silence(answer)
    demand_silence("\n".join(lines.text))


@pytest.mark.parametrize("who", ["api_key", "other"])
@pytest.mark.parametrize(
    "form",
    ["POST /v2/models/{}/infer", "POST /v2/models/{}/versions/{}/infer", "GET /v2/models/{}", "GET /v2/models/{}/ready",
     "GET /v2/models/{}/versions/{}", "GET /v2/models/{}/versions/{}/ready", "POST /v2/repository/models/{}/load",
     "POST /v2/repository/models/{}/unload"],
)  # fmt: skip
def test_a_caller_without_a_grant_cannot_tell_whether_a_model_exists(desk: Desk, form: str, who: str) -> None:
    """Status, headers and words alike, but for the number of the record and the name that was asked for."""
    verb, _, target = form.partition(" ")
    said = []
    bodies = [question(), question([VALUE] * 4), question(jurisdiction="US"), question(purpose="unheard-of"), None]
    credential = {"Authorization": f"Bearer {desk.house.api_key}" if who == "api_key" else ""}
    for name, version in ((HIDDEN, MANIFEST), (HIDDEN, "0" * 64), ("model-canary-0z", MANIFEST)):
        for document in bodies:
            body = b"{" if document is None else json.dumps(document).encode()
            status, answer = send(desk, verb, target.format(name, version), body, credential)
            assert status in (401, 403), answer
            demand_silence(answer, target.format(name, version))
            said.append(re.sub(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])", "-", answer).replace(name, "MODEL"))
    assert said[:5] == said[5:10] == said[10:], "what is said depends on whether the model exists"


def test_the_index_names_to_each_its_own(desk: Desk) -> None:
    status, answer = send(desk, "POST", "/v2/repository/index", b"{}", {})
    assert status == 200
    assert "pd-cards" in answer
    assert HIDDEN not in answer
    assert MANIFEST not in answer


@pytest.mark.parametrize(
    "trouble",
    [
        UnavailableError("the keeper does not answer at `/srv/gw-1/keystore/keeper.sock`: [Errno 111]"),
        NotDurableError("no space for the next segment of `bank/gw-1/0`: /srv/gw-1", rule="space"),
        NotDurableError("writing to the log `bank/gw-1/0` failed (/srv/gw-1); end this process"),
    ],
    ids=["keeper", "space", "write"],
)
def test_what_is_wrong_with_the_machine_is_for_the_operators_log(
    lines: Lines, trouble: StrongroomError, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Callers were told the path of the keeper's socket."""

    def fail(_records: object) -> None:
        raise trouble

    house = Street()
    monkeypatch.setattr(house.shard, "append", fail)
    with gateway(house) as desk:
        status, answer = desk.ask(question())
        assert status == 503
        said = json.dumps(answer)
        assert all(word not in said for word in ("gw-1", "Errno", "end this process", "keeper"))
        assert "try again" in said
    assert any("gw-1" in line for line in lines.text)
