"""Compression bombs (CWE-409, decompression amplification): little comes in, a lot would come out.

Unpacking stops at the limit for plain bodies, whatever the stream still holds; nothing is unpacked for strangers; and
only a few bodies are unpacked before the first of them is taken.
"""

from __future__ import annotations

import gzip
import json
import threading
import tracemalloc
import zlib

import pytest

from strongroom.errors import TooLargeError
from strongroom.web import bodies
from strongroom.web.coding import inflate
from tests.web.gateways import gateway, question

LIMIT = 2_000_000
GOOD_BODY = json.dumps(question()).encode()


def bomb(coding: str, size: int) -> bytes:
    machine = zlib.compressobj(9, wbits=31 if coding == "gzip" else 15)
    block = bytes(1_000_000)
    return b"".join(machine.compress(block) for _ in range(size // len(block))) + machine.flush()


BOMBS = {coding: bomb(coding, 300_000_000) for coding in ("gzip", "deflate")}


@pytest.fixture(scope="module")
def desk():
    with gateway() as one:
        yield one


def send(desk, body, coding, **headers):
    given = {"Content-Encoding": coding} | headers
    status, _, answer = desk.raw("POST", "/v2/models/pd-cards/infer", body, given)
    return status, json.loads(answer)


@pytest.mark.parametrize("coding", BOMBS)
def test_unpacking_stops_at_the_limit(coding):
    packed = BOMBS[coding]
    assert len(packed) < 500_000
    tracemalloc.start()
    try:
        with pytest.raises(TooLargeError):
            inflate(packed, coding.encode(), LIMIT)
        assert tracemalloc.get_traced_memory()[1] < 4 * LIMIT
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("coding", BOMBS)
def test_a_bomb_is_refused_recorded_and_forgotten(desk, coding):
    size = desk.house.shard.size
    status, answer = send(desk, BOMBS[coding], coding)
    assert (status, answer["code"], answer["rule"]) == (413, "too-large", "size")
    assert desk.house.shard.size == size + 1
    assert send(desk, gzip.compress(GOOD_BODY), "gzip")[0] == 200


def test_a_bomb_in_a_bomb_is_one_coding_too_many(desk):
    nested = gzip.compress(BOMBS["gzip"])
    assert send(desk, nested, "gzip, gzip")[0] == 415
    status, answer = send(desk, nested, "gzip")
    assert (status, answer["rule"]) == (400, "json")


def test_many_members_are_not_unpacked_one_after_another(desk):
    assert send(desk, gzip.compress(b"") * 50_000, "gzip")[0] == 400


def test_a_lying_size_in_the_trailer_is_found(desk):
    packed = gzip.compress(GOOD_BODY)
    assert send(desk, packed[:-4] + b"\1\0\0\0", "gzip")[0] == 400


def test_padding_that_inflates_to_a_good_request_within_the_limit_is_only_a_request(desk):
    assert send(desk, gzip.compress(GOOD_BODY.ljust(LIMIT)), "gzip")[0] == 200
    assert send(desk, gzip.compress(GOOD_BODY.ljust(LIMIT + 1)), "gzip")[0] == 413


def test_nothing_is_unpacked_for_strangers_or_callers_without_a_grant(desk, monkeypatch):
    def never(*_):
        raise AssertionError("unpacked")

    monkeypatch.setattr(bodies, "inflate", never)
    assert send(desk, BOMBS["gzip"], "gzip", Authorization="Bearer x")[0] == 401
    assert send(desk, BOMBS["gzip"], "gzip", Authorization=f"Bearer {desk.house.other_key}")[0] == 403


def test_a_volley_of_bombs_is_unpacked_a_few_at_a_time(desk, monkeypatch):
    real, lock, begun, most = bodies.inflate, threading.Lock(), [0], [0]
    taken = desk.gateway._bodies

    def count(*arguments):
        with lock:
            begun[0] += 1
            most[0] = max(most[0], taken._unpacking)
        return real(*arguments)

    monkeypatch.setattr(bodies, "inflate", count)
    packed = gzip.compress(GOOD_BODY.ljust(LIMIT))
    head = (
        f"POST /v2/models/pd-cards/infer HTTP/1.1\r\nHost: h\r\nAuthorization: {desk.bearer}\r\n"
        f"Content-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n"
    )
    with desk.run.socket() as sock:
        sock.sendall(
            (head + "\r\n").encode().join([b"", packed]) * 15 + (head + "Connection: close\r\n\r\n").encode() + packed
        )
        answer = b""
        while part := sock.recv(1 << 20):
            answer += part
    assert answer.count(b"HTTP/1.1 200 OK") == 16
    assert begun[0] >= 16
    assert 1 <= most[0] <= bodies.UNPACKED_AT_ONCE
    assert taken._unpacking == 0
