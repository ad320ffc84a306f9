"""CWE-400: more comes than can be answered. What waits, what is held and what is open stay bounded, and it ends."""

from __future__ import annotations

import json
import select
import socket
import threading

import pytest

from strongroom.serving.fair_queue import Room
from strongroom.web.exchange import Exchange
from strongroom.web.requests import Limits
from tests.serving.house import House, now_us
from tests.waiting import PATIENCE_S, until
from tests.web.gateways import Desk, gateway, question
from tests.web.lines import read_all, read_reply, running
from tests.web.test_gateway import SlowShard

HELD = 200_000


@pytest.fixture
def slow():
    house = House()
    house.shard = SlowShard(house.shard)
    limits = Limits(
        body_bytes=100_000, held_bytes=HELD, connections=60, connections_per_address=50,
        header_timeout_s=PATIENCE_S, body_timeout_s=PATIENCE_S,
    )  # fmt: skip
    with gateway(house, limits, room=Room(requests=10, rows=1000), wait_us=600_000_000) as desk:
        yield desk


def message(desk: Desk, document: object, **headers: str) -> bytes:
    body = json.dumps(document).encode()
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"POST /v2/models/pd-cards/infer HTTP/1.1\r\nHost: h\r\nAuthorization: {desk.bearer}\r\n{lines}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def scored(desk: Desk) -> int:
    return sum(rows for _, rows in desk.house.seen)


def test_a_full_queue_says_when_to_come_back_and_everybody_gets_one_answer(slow):
    slow.house.shard.gate.clear()
    socks = [slow.run.socket() for _ in range(40)]
    for sock in socks:
        sock.sendall(message(slow, question()))
    # each waits for its answer, or was told to come back
    slow.run.until(lambda: slow.run.unanswered + sum(slow.tally.codes.values()) == 40)
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


def told(socks: list[socket.socket]) -> list[socket.socket]:
    """Those to whom something was said."""
    return select.select(socks, [], [], 0)[0]


def test_held_bodies_are_bounded_over_all_connections(slow):
    slow.house.shard.gate.clear()
    part = b"POST /v2/models/pd-cards/infer HTTP/1.1\r\nHost: h\r\nContent-Length: 90000\r\n\r\n" + b"x" * 60_000
    socks = [slow.run.socket() for _ in range(20)]
    for sock in socks:
        sock.sendall(part)
    until(lambda: len(told(socks)) >= 16)
    assert slow.run.call(lambda: slow.run.server.held_bytes) <= HELD
    assert all(sock.recv(100).startswith(b"HTTP/1.1 503 ") for sock in told(socks))
    for sock in socks:
        sock.close()
    slow.house.shard.gate.set()
    slow.run.until(lambda: slow.run.server.held_bytes == 0)


def test_bodies_of_clients_that_have_gone_count_until_they_are_answered(slow):
    slow.house.shard.gate.clear()
    padded = question(subject="s" * 100)
    with slow.run.socket() as sock:
        sock.sendall(message(slow, padded))
        assert slow.house.shard.entered.wait(PATIENCE_S)
    slow.run.until(lambda: all(one.draining for one in slow.run.server.connections))
    assert slow.run.call(lambda: slow.run.server.held_bytes) > 0
    slow.house.shard.gate.set()
    slow.run.until(lambda: slow.run.server.held_bytes == 0)


def test_answers_that_nobody_reads_are_held_back_and_counted():
    answer = b'"' + b"a" * 1_000_000 + b'"'
    asked: list[Exchange] = []

    def answering(_loop):
        def handle(exchange: Exchange) -> None:
            asked.append(exchange)
            exchange.reply(200, answer)

        return handle

    with running(answering, Limits(send_timeout_s=PATIENCE_S, held_bytes=50_000_000)) as run, run.socket() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * 12)
        run.until(lambda: run.server.held_bytes > 1_000_000)
        assert run.call(lambda: run.server.held_bytes) < 12_100_000
        got = b""
        while len(got) < 12 * len(answer):
            part = sock.recv(1 << 20)
            if not part:
                break
            got += part
        assert got.count(answer) == 12
    asked.clear()
    with running(answering, Limits(send_timeout_s=0.5, held_bytes=50_000_000)) as run, run.socket() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * 12)
        until(lambda: asked)
        run.until_connected(0)
        assert run.call(lambda: run.server.held_bytes) == 0


def test_connections_beyond_the_limit_are_closed_and_not_forgotten(slow):
    """One that is turned away and lingers unseen would hold a descriptor for ever."""
    socks = [slow.run.socket() for _ in range(50)]
    slow.run.until_connected(50)
    for _ in range(10):
        with slow.run.socket() as sock:
            assert read_all(sock).startswith(b"HTTP/1.1 503 ")
    assert slow.run.call(lambda: len(slow.run.server.connections)) == 50
    for sock in socks:
        sock.close()
    slow.run.until_connected(0)
    assert slow.ask(question())[0] == 200
    slow.run.until(lambda: slow.run.server._by_address == {})


def test_who_waited_too_long_is_refused_before_anything_is_scored():
    house, late_us = House(), [0]
    house.shard = shard = SlowShard(house.shard)
    with gateway(house, clock_us=lambda: now_us() + late_us[0], wait_us=600_000_000) as desk:
        shard.gate.clear()
        first = threading.Thread(target=desk.ask, args=(question(),))
        first.start()
        assert shard.entered.wait(PATIENCE_S)
        with desk.run.socket() as sock:
            sock.sendall(message(desk, question(), Prefer='respond-async, wait="100"'))
            desk.run.until(lambda: desk.board.waiting == 1)
            late_us[0] = 101_000_000
            shard.gate.set()
            status, headers, body = read_reply(sock)
        first.join(PATIENCE_S)
        assert status == 503
        assert headers[b"retry-after"] == b"1"
        assert json.loads(body)["rule"] == "wait"
        assert shard.size == 1
        assert scored(desk) == 1
