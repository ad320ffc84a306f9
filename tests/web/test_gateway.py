"""What the door guarantees: nobody unknown, nothing before it is durable, nothing lost on stopping."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
import threading
from dataclasses import replace

import pytest

from strongroom import errors
from strongroom.errors import NotDurableError, UnavailableError
from strongroom.ledger.leaf import Leaf
from strongroom.serving.rules import closed
from strongroom.web.routes import ROUTES
from strongroom.web.statuses import STATUSES, status_of
from tests.serving.house import House, now_us
from tests.waiting import PATIENCE_S, until
from tests.web.gateways import gateway, question
from tests.web.lines import read_all, read_reply

TARGETS = [
    *(route.path.format(name=name, version="1") for route in ROUTES for name in ("pd-cards", "none")),
    "/", "/v2/models", "/metrics", "/admin", "/v2/health/live/", "/v2//health/live", "/v2/health/live?x=1",
    "/v2/health/../models/pd-cards", "/v2/health/%6cive", "/V2/HEALTH/LIVE", "*", "/v2/models//infer",
    "/v2/models/pd-cards/versions//infer", "/v2/models/pd-cards/versions/" + "a" * 65, "/v2/models/" + "a" * 64,
    "/v2/models/PD/ready", "/v2/repository/models/pd-cards", "/v2/models/pd-cards/versions", "/openapi.yaml",
]  # fmt: skip
VERBS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]


@pytest.fixture(scope="module")
def desk():
    with gateway(doorkeeper_limit=100_000) as one:
        yield one


@pytest.mark.parametrize("credential", ["", "Bearer", "Bearer x", "Basic YTpi", "Bearer sr_aaaaaaaaaaaa_bbbb"])
def test_every_route_and_verb_refuses_without_a_credential(desk, credential):
    open_ = {("GET", "/v2/health/live"), ("GET", "/v2/health/ready")}
    assert {(route.method.decode(), route.path) for route in ROUTES if route.open} == open_
    size = desk.house.shard.size
    for target in TARGETS:
        for verb in VERBS:
            with desk.run.socket() as sock:
                header = f"Authorization: {credential}\r\n" if credential else ""
                sock.sendall(f"{verb} {target} HTTP/1.1\r\nHost: h\r\n{header}Connection: close\r\n\r\n".encode())
                answer = read_all(sock)
            status = int(answer.split(b" ", 2)[1])
            assert status == (200 if (verb, target) in open_ else 401), (verb, target)
    assert desk.house.shard.size == size


def test_known_routes_name_their_verb_and_unknown_ones_are_not_found(desk):
    for target in TARGETS:
        for verb in VERBS:
            if verb == "HEAD":
                continue
            status, headers, body = desk.raw(verb, target)
            if status == 405:
                assert headers[b"allow"] != verb.encode()
                assert b"answers" in body
            else:
                assert status in (200, 400, 403, 404), (verb, target, status)


def test_knocking_too_often_is_told_to_wait_and_counted_once_a_window():
    with gateway(doorkeeper_limit=3) as desk:
        codes = [desk.raw("GET", "/v2", headers={"Authorization": "Bearer x"})[0] for _ in range(5)]
        assert codes == [401, 401, 401, 429, 429]
        assert desk.raw("GET", "/v2")[0] == 200
        keeper = desk.gateway._doorkeeper
        keeper._begun -= 100
        desk.run.call(desk.gateway.note_refusals)
        _recorded(desk, 1)
        assert desk.house.shard.size == 1
        leaf = Leaf.decode(desk.house.shard.reader().get(0).leaf)
        assert leaf.type == "refusal"
        assert leaf.release is None


def _recorded(desk, size):
    until(lambda: desk.house.shard.size >= size)
    assert desk.house.shard.size == size


def test_a_count_that_finds_the_queue_full_is_recorded_with_the_next_look():
    with gateway(doorkeeper_limit=3) as desk:
        assert [desk.raw("GET", "/v2", headers={"Authorization": "Bearer x"})[0] for _ in range(2)] == [401, 401]
        desk.gateway._doorkeeper._begun -= 100
        board = desk.gateway._board

        class Full:
            def board(self, asked):
                raise UnavailableError("too many requests wait")

        desk.gateway._board = Full()
        desk.run.call(desk.gateway.note_refusals)
        desk.gateway._board = board
        desk.run.call(desk.gateway.note_refusals)
        _recorded(desk, 1)


class SlowShard:
    """A shard whose append waits to be let go, or fails as told."""

    def __init__(self, inner):
        self.inner = inner
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.fail = None

    def append(self, records):
        self.entered.set()
        assert self.gate.wait(PATIENCE_S)
        if self.fail is not None:
            raise self.fail
        return self.inner.append(records)

    def __getattr__(self, name):
        return getattr(self.inner, name)


@pytest.fixture
def slow():
    house = House()
    house.shard = SlowShard(house.shard)
    with gateway(house) as desk:
        yield desk
        house.shard.gate.set()


def send(desk, sock, body=None):
    data = json.dumps(body or question()).encode()
    sock.sendall(
        f"POST /v2/models/pd-cards/infer HTTP/1.1\r\nHost: h\r\nAuthorization: {desk.bearer}\r\n"
        f"Content-Length: {len(data)}\r\n\r\n".encode()
        + data
    )


@pytest.mark.parametrize("body", [question(), question([1, 2, 3, 4]), question(jurisdiction=None)])
def test_no_byte_of_an_answer_or_refusal_leaves_before_the_record_is_durable(slow, body):
    shard = slow.house.shard
    shard.gate.clear()
    with slow.run.socket() as sock:
        send(slow, sock, body)
        assert shard.entered.wait(PATIENCE_S)
        sock.settimeout(0.4)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        shard.gate.set()
        sock.settimeout(PATIENCE_S)
        assert read_reply(sock)[0] in (200, 400, 403)


def test_requests_board_while_the_last_batch_is_being_synced(slow):
    shard = slow.house.shard
    shard.gate.clear()
    socks = [slow.run.socket() for _ in range(12)]
    send(slow, socks[0])
    assert shard.entered.wait(PATIENCE_S)
    for sock in socks[1:]:
        send(slow, sock)
    slow.run.until(lambda: slow.board.waiting == 11)
    shard.gate.set()
    assert [read_reply(sock)[0] for sock in socks] == [200] * 12
    assert slow.house.shard.size == 12
    assert len(slow.house.seen) == 2
    for sock in socks:
        sock.close()


def test_a_client_that_hangs_up_breaks_neither_batch_nor_record(slow):
    shard = slow.house.shard
    shard.gate.clear()
    gone, stays = slow.run.socket(), slow.run.socket()
    send(slow, gone)
    assert shard.entered.wait(PATIENCE_S)
    send(slow, stays)
    slow.run.until(lambda: slow.board.waiting == 1)
    gone.close()
    slow.run.until(lambda: any(one.draining for one in slow.run.server.connections))
    shard.gate.set()
    assert read_reply(stays)[0] == 200
    assert slow.house.shard.size == 2
    stays.close()


def test_stopping_loses_nothing(slow):
    shard = slow.house.shard
    shard.gate.clear()
    socks = [slow.run.socket() for _ in range(6)]
    for sock in socks:
        send(slow, sock)
    assert shard.entered.wait(PATIENCE_S)
    # all of them are in: in the batch that is being synced, or waiting for the next
    slow.run.until(lambda: slow.run.unanswered == 6)
    stop = threading.Thread(target=lambda: slow.run.call(slow.run.server.stop, PATIENCE_S))
    stop.start()
    slow.run.until(lambda: slow.run.server.stopping)
    shard.gate.set()
    replies = [read_reply(sock) for sock in socks]
    stop.join(PATIENCE_S)
    assert [status for status, _, _ in replies] == [200] * 6
    assert {headers[b"connection"] for _, headers, _ in replies} == {b"close"}
    assert slow.house.shard.size == 6


def test_a_full_disk_gives_503_and_the_service_resumes(slow):
    slow.house.shard.fail = NotDurableError("no space", rule="space")
    status, headers, body = slow.raw("POST", "/v2/models/pd-cards/infer", json.dumps(question()).encode())
    assert status == 503
    assert headers[b"retry-after"] == b"1"
    assert json.loads(body)["code"] == "not-durable"
    slow.house.shard.fail = None
    assert slow.ask(question())[0] == 200
    assert slow.broken == []
    assert slow.house.seen
    assert len(slow.house.seen) == 1


@pytest.mark.parametrize("failure", [NotDurableError("a failed sync"), ValueError("a defect")])
def test_a_failed_sync_ends_the_worker_and_is_never_tried_again(slow, failure):
    slow.house.shard.fail = failure
    assert slow.ask(question())[0] == 503
    slow.house.shard.fail = None
    assert slow.ask(question())[0] == 503
    assert len(slow.broken) == 1
    assert slow.house.shard.size == 0


def test_halted_and_expired_are_refused_with_the_reason(desk):
    rules = desk.gateway.rules
    try:
        halted = replace(rules.catalogue, halted={"pd-cards": "suspicious scores"})
        desk.run.call(desk.gateway.swap, replace(rules, catalogue=halted))
        status, answer = desk.ask(question())
        assert (status, answer["code"]) == (409, "halted")
        assert "decision_id" in answer
        assert desk.raw("GET", "/v2/models/pd-cards/ready")[0] == 503
        expired = replace(rules.catalogue, fresh_until_us=now_us())
        desk.run.call(desk.gateway.swap, replace(rules, catalogue=expired))
        status, answer = desk.ask(question())
        assert (status, answer["rule"]) == (503, "expired")
        assert desk.raw("GET", "/v2/health/ready", headers={"Authorization": ""})[0] == 503
    finally:
        desk.run.call(desk.gateway.swap, rules)
    assert desk.ask(question())[0] == 200


def test_without_rules_nothing_is_answered_and_strangers_learn_no_more(desk):
    rules = desk.gateway.rules
    desk.run.call(desk.gateway.swap, closed())
    try:
        for method, target in (("GET", "/v2"), ("POST", "/v2/models/pd-cards/infer"), ("GET", "/nowhere")):
            status, _, body = desk.raw(method, target)
            assert status == 503
            assert json.loads(body)["error"] == "no release is in force at this node; its log says why"
        assert desk.raw("GET", "/v2/health/live")[0] == 200
        assert desk.raw("GET", "/v2/health/ready")[0] == 503
    finally:
        desk.run.call(desk.gateway.swap, rules)


def test_another_callers_model_is_refused_before_the_body_is_read(desk):
    status, answer = desk.ask(b"{", Authorization=f"Bearer {desk.house.other_key}")
    assert (status, answer["code"]) == (403, "not-permitted")


def test_every_error_has_a_status_and_parents_come_after_children():
    kinds = [
        kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.StrongroomError)
    ]
    assert len(kinds) >= 20
    listed = [kind for kind, _ in STATUSES]
    assert set(listed) == set(kinds)
    assert len(listed) == len(kinds)
    for place, kind in enumerate(listed):
        assert not any(issubclass(later, kind) for later in listed[place + 1 :])
        assert status_of(kind("x")) == dict(STATUSES)[kind]
        assert 400 <= status_of(kind("x")) < 600


HEAVY = frozenset(
    {"sklearn", "pandas", "shap", "matplotlib", "scipy", "onnx", "sqlalchemy", "xgboost", "pyarrow", "SpiffWorkflow"}
)
WORKER = HEAVY | {
    "tuf", "securesystemslib", "joserfc", "http_sf", "urllib3", "prometheus_client", "cryptography.x509",
    "strongroom.validation.trees.attribution",
}  # fmt: skip
"""What a worker loads once somebody needs it (tokens, certificates, signed messages, witnesses), or never."""
SUPERVISOR = HEAVY | {
    "numpy", "onnxruntime", "cedarpy", "tink", "joserfc", "http_sf", "prometheus_client", "cryptography.x509",
    "strongroom.serving.decision",
}  # fmt: skip


@pytest.mark.parametrize(("module", "not_needed"), [("worker", WORKER), ("serve", SUPERVISOR)])
def test_a_start_loads_only_what_it_needs(module: str, not_needed: frozenset[str]) -> None:
    code = f"import sys, strongroom.web.{module}; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert not_needed.isdisjoint(done.stdout.split())
