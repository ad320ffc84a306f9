"""CWE-400: more comes than can be answered. What waits, what is held and what is open stay bounded, and it ends."""

from __future__ import annotations

import json
import threading
import time

import pytest

from strongroom.serving.fair_queue import Room
from strongroom.web.requests import Limits
from tests.serving.house import House
from tests.web.gateways import Desk, gateway, question
from tests.web.lines import read_all, read_reply, running
from tests.web.test_gateway import SlowShard

HELD = 200_000


@pytest.fixture
def slow():
    house = House()
    house.shard = SlowShard(house.shard)
    limits = Limits(body_bytes=100_000, held_bytes=HELD, connections=60, connections_per_address=50)
    with gateway(house, limits, room=Room(requests=10, rows=1000), wait_us=60_000_000) as desk:
        yield desk


def message(desk: Desk, document: object, **headers: str) -> bytes:
    body = json.dumps(document).encode()
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"POST /v2/models/pd-cards/infer HTTP/1.1\r\nHost: h\r\nAuthorization: {desk.bearer}\r\n{lines}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def test_a_full_queue_says_when_to_come_back_and_everybody_gets_one_answer(slow):
    slow.house.shard.gate.clear()
    socks = [slow.run.socket() for _ in range(40)]
    for sock in socks:
        sock.sendall(message(slow, question()))
    time.sleep(0.3)
    assert slow.run.call(lambda: slow.board.waiting) <= 10
    slow.house.shard.gate.set()
    answers = [read_reply(sock) for sock in socks]
    statuses = [status for status, _, _ in answers]
    assert set(statuses) <= {200, 429, 503}
    assert 10 <= statuses.count(200) < 40
    for status, headers, body in answers:
        if status != 200:
            assert int(headers[b"retry-after"]) >= 1
            assert json.loads(body)["rule"] in ("queue", "queue-share")
    assert slow.house.shard.size == statuses.count(200)
    for sock in socks:
        sock.close()
    assert slow.ask(question())[0] == 200
    assert slow.run.call(lambda: slow.run.server.held_bytes) == 0


def test_held_bodies_are_bounded_over_all_connections(slow):
    slow.house.shard.gate.clear()
    part = b"POST /v2/models/pd-cards/infer HTTP/1.1\r\nHost: h\r\nContent-Length: 90000\r\n\r\n" + b"x" * 60_000
    socks = [slow.run.socket() for _ in range(20)]
    for sock in socks:
        sock.sendall(part)
    time.sleep(0.3)
    assert slow.run.call(lambda: slow.run.server.held_bytes) <= HELD
    refused = 0
    for sock in socks:
        sock.settimeout(0.2)
        try:
            refused += sock.recv(100).startswith(b"HTTP/1.1 503 ")
        except TimeoutError:
            continue
    assert refused >= 16
    for sock in socks:
        sock.close()
    slow.house.shard.gate.set()
    time.sleep(0.2)
    assert slow.run.call(lambda: slow.run.server.held_bytes) == 0


def test_bodies_of_clients_that_have_gone_count_until_they_are_answered(slow):
    slow.house.shard.gate.clear()
    padded = question(subject="s" * 100)
    with slow.run.socket() as sock:
        sock.sendall(message(slow, padded))
        assert slow.house.shard.entered.wait(10)
    time.sleep(0.2)
    assert slow.run.call(lambda: slow.run.server.held_bytes) > 0
    slow.house.shard.gate.set()
    time.sleep(0.2)
    assert slow.run.call(lambda: slow.run.server.held_bytes) == 0


def test_answers_that_nobody_reads_are_held_back_and_counted():
    limits = Limits(send_timeout_s=1.0, held_bytes=50_000_000)
    answer = b'"' + b"a" * 1_000_000 + b'"'
    with running(lambda loop: lambda exchange: exchange.reply(200, answer), limits) as run:
        with run.socket() as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * 12)
            time.sleep(0.3)
            held = run.call(lambda: run.server.held_bytes)
            assert 1_000_000 < held < 12_100_000
            got = b""
            while len(got) < 12 * len(answer):
                part = sock.recv(1 << 20)
                if not part:
                    break
                got += part
            assert got.count(answer) == 12
        with run.socket() as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * 12)
            time.sleep(2.0)
        assert run.call(lambda: run.server.held_bytes) == 0
        assert run.call(lambda: len(run.server.connections)) == 0


def test_connections_beyond_the_limit_are_closed_and_not_forgotten(slow):
    """One that is turned away and lingers unseen would hold a descriptor for ever."""
    socks = [slow.run.socket() for _ in range(50)]
    time.sleep(0.1)
    for _ in range(10):
        with slow.run.socket() as sock:
            assert read_all(sock).startswith(b"HTTP/1.1 503 ")
    assert slow.run.call(lambda: len(slow.run.server.connections)) == 50
    for sock in socks:
        sock.close()
    time.sleep(0.2)
    assert slow.ask(question())[0] == 200
    time.sleep(0.1)
    assert slow.run.call(lambda: slow.run.server._by_address) == {}


def test_who_waited_too_long_is_refused_before_anything_is_scored(slow):
    slow.house.shard.gate.clear()
    first = threading.Thread(target=slow.ask, args=(question(),))
    first.start()
    assert slow.house.shard.entered.wait(10)
    with slow.run.socket() as sock:
        sock.sendall(message(slow, question(), Prefer='respond-async, wait="1"'))
        time.sleep(1.2)
        slow.house.shard.gate.set()
        status, headers, body = read_reply(sock)
    first.join(10)
    assert status == 503
    assert headers[b"retry-after"] == b"1"
    assert json.loads(body)["rule"] == "wait"
    assert slow.house.shard.size == 1
    assert sum(rows for _, rows in slow.house.seen) == 1
