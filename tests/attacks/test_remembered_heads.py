"""CWE-639, CWE-613: a head remembered for one caller must never answer another, nor outlive what it was found under."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.web.http import HEAD_BYTES
from strongroom.web.requests import Head, Limits
from tests.serving.house import House, now_us
from tests.web.gateways import gateway, question
from tests.web.lines import read_reply, running

TARGET = "/v2/models/pd-cards/infer"


class Clock:
    def __init__(self) -> None:
        self.us = now_us()

    def __call__(self) -> int:
        return self.us


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def desk(clock):
    with gateway(House(), clock_us=clock) as desk:
        yield desk


def raw(bearer: str, body: bytes, target: str = TARGET, more: str = "") -> bytes:
    return (
        f"POST {target} HTTP/1.1\r\nHost: h\r\nAuthorization: {bearer}\r\n{more}"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )


def send(sock, data: bytes):
    sock.sendall(data)
    status, _, body = read_reply(sock)
    return status, json.loads(body)


def bodies_of(sock, count: int) -> list[bytes]:
    """The bodies of so many answers, however they travel."""
    stream, bodies = sock.makefile("rb"), []
    for _ in range(count):
        length = 0
        while line := stream.readline().strip():
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        bodies.append(stream.read(length))
    return bodies


def heads(desk) -> dict[bytes, Head]:
    return desk.run.server.heads


def test_the_same_head_is_read_once_and_each_body_gets_its_own_answer(desk):
    bodies = [json.dumps(question(subject=f"s-{n}")).encode() for n in range(5)]
    with desk.run.socket() as sock:
        answers = [send(sock, raw(desk.bearer, body)) for body in bodies]
    assert [status for status, _ in answers] == [200] * 5
    assert len({answer["parameters"]["decision_id"] for _, answer in answers}) == 5
    assert len(heads(desk)) == 1


def test_a_head_that_differs_in_one_byte_is_another_head(desk):
    body = json.dumps(question()).encode()
    with desk.run.socket() as sock:
        for _ in range(3):
            assert send(sock, raw(desk.bearer, body))[0] == 200
        wrong = desk.bearer[:-1] + ("a" if desk.bearer[-1] != "a" else "b")
        assert send(sock, raw(wrong, body))[0] == 401
        assert send(sock, raw(desk.bearer[:-1], body))[0] == 401
        assert send(sock, raw(desk.bearer, body, TARGET.replace("cards", "card")))[0] in (403, 404)
        assert send(sock, raw(desk.bearer, body))[0] == 200
    assert all(wrong.encode() not in raw_head for raw_head in heads(desk))


def test_a_withdrawn_credential_is_refused_at_once(desk):
    body = json.dumps(question()).encode()
    with desk.run.socket() as sock:
        for _ in range(3):
            assert send(sock, raw(desk.bearer, body))[0] == 200
        stranger = House()
        desk.run.call(desk.gateway.swap, replace(desk.gateway.rules, authenticator=stranger.authenticator()))
        assert send(sock, raw(desk.bearer, body))[0] == 401


def test_a_remembered_head_does_not_outlive_a_halt(desk):
    body = json.dumps(question()).encode()
    rules = desk.gateway.rules
    with desk.run.socket() as sock:
        for _ in range(3):
            assert send(sock, raw(desk.bearer, body))[0] == 200
        halted = replace(rules, catalogue=replace(rules.catalogue, halted={"pd-cards": "odd scores"}))
        desk.run.call(desk.gateway.swap, halted)
        assert send(sock, raw(desk.bearer, body))[0] == 409
        desk.run.call(desk.gateway.swap, replace(rules, catalogue=replace(rules.catalogue, models={})))
        assert send(sock, raw(desk.bearer, body))[0] == 404
        desk.run.call(desk.gateway.swap, rules)
        assert send(sock, raw(desk.bearer, body))[0] == 200


def test_a_remembered_head_is_kept_when_new_rules_say_the_same(desk):
    body = json.dumps(question()).encode()
    with desk.run.socket() as sock:
        for _ in range(3):
            assert send(sock, raw(desk.bearer, body))[0] == 200
        (memo,) = [head.memo for head in desk.run.server.heads.values()]
        desk.run.call(desk.gateway.swap, replace(desk.gateway.rules))
        assert send(sock, raw(desk.bearer, body))[0] == 200
        assert [head.memo for head in desk.run.server.heads.values()] == [memo]
        assert memo.rules is desk.gateway.rules


def test_a_remembered_head_ends_with_the_clock(desk, clock):
    body = json.dumps(question()).encode()
    asked = []
    authenticate = desk.gateway.rules.authenticator.authenticate

    class Counting:
        def authenticate(self, authorization, at_us, *presented):
            asked.append(at_us)
            return authenticate(authorization, at_us, *presented)

    desk.run.call(desk.gateway.swap, replace(desk.gateway.rules, authenticator=Counting()))
    with desk.run.socket() as sock:
        for _ in range(4):
            assert send(sock, raw(desk.bearer, body))[0] == 200
        # the first request of a connection is read by llhttp and its head not yet kept
        assert len(asked) == 2
        clock.us += 300_000_000
        assert send(sock, raw(desk.bearer, body))[0] == 200
    assert len(asked) == 3


def test_the_other_caller_behind_the_same_connection_is_somebody_else(desk):
    body = json.dumps(question()).encode()
    other = f"Bearer {desk.house.other_key}"
    with desk.run.socket() as sock:
        for _ in range(3):
            assert send(sock, raw(desk.bearer, body))[0] == 200
            assert send(sock, raw(other, body))[0] == 403


def test_heads_of_refused_callers_and_of_other_framing_are_not_kept(desk):
    body = json.dumps(question()).encode()
    with desk.run.socket() as sock:
        for _ in range(3):
            assert send(sock, raw("Bearer sr_nobody_nothing", body))[0] == 401
            chunked = b"POST %b HTTP/1.1\r\nHost: h\r\nAuthorization: %b\r\nTransfer-Encoding: chunked\r\n\r\n" % (
                TARGET.encode(),
                desk.bearer.encode(),
            )
            assert send(sock, chunked + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))[0] == 200
            long = "X-Padding: " + "p" * HEAD_BYTES + "\r\n"
            assert send(sock, raw(desk.bearer, body, more=long))[0] == 200
    assert not heads(desk)


def test_a_pipelined_second_request_is_read_as_before(desk):
    body = json.dumps(question()).encode()
    one = raw(desk.bearer, body)
    with desk.run.socket() as sock:
        for _ in range(3):
            assert send(sock, one)[0] == 200
        sock.sendall(one + one + one[:40])
        assert all(b"decision_id" in answer for answer in bodies_of(sock, 2))
        sock.sendall(one[40:])
        assert read_reply(sock)[0] == 200


def test_the_table_of_heads_is_bounded(desk, monkeypatch):
    monkeypatch.setattr("strongroom.web.server.HEADS", 4)
    monkeypatch.setattr("strongroom.web.server.MOST_HEADS", 8)
    body = json.dumps(question()).encode()
    with desk.run.socket() as sock:
        for callers, kept in ((0, 4), (5, 6), (1_000_000, 8), (0, 4)):
            desk.run.server.make_room(callers)
            for n in range(12):
                assert send(sock, raw(desk.bearer, body, more=f"X-Number: {n}\r\n"))[0] == 200
            assert len(heads(desk)) == kept


def test_the_bytes_of_remembered_heads_are_bounded_however_many_callers_there_are(desk, monkeypatch):
    server, body = desk.run.server, json.dumps(question()).encode()
    server.make_room(1_000_000)
    with desk.run.socket() as sock:
        for n in range(3):
            assert send(sock, raw(desk.bearer, body, more=f"X-Number: {n}\r\n"))[0] == 200
        size = max(map(len, server.heads))
        assert server._heads_bytes == sum(map(len, server.heads)) > 0
        monkeypatch.setattr("strongroom.web.server.HEADS_BYTES", 5 * size)
        for n in range(10, 30):
            assert send(sock, raw(desk.bearer, body, more=f"X-Number: {n}\r\n"))[0] == 200
            assert server._heads_bytes == sum(map(len, server.heads)) <= 5 * size
    assert 3 <= len(server.heads) <= 5


@settings(max_examples=40, deadline=None)
@given(cuts=st.lists(st.integers(1, 400), max_size=6), repeat=st.integers(1, 3))
def test_however_the_bytes_are_cut_the_answers_are_the_same(cuts, repeat):
    def echo(_loop):
        def handle(exchange):
            exchange.request.head.memo = True
            exchange.reply(200, b"[%b]" % exchange.request.body)

        return handle

    with running(echo, Limits()) as run, run.socket() as sock:
        data = b"".join(b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n%03d" % n for n in range(4 * repeat))
        places = sorted({cut % len(data) for cut in cuts} | {0, len(data)})
        for begin, end in pairwise(places):
            sock.sendall(data[begin:end])
        assert bodies_of(sock, 4 * repeat) == [b"[%03d]" % n for n in range(4 * repeat)]
