"""Content codings: what is read, what is written, and when an answer is packed at all."""

from __future__ import annotations

import gzip
import json
import threading
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.errors import InvalidInputError, NotAcceptableError, TooLargeError, UnsupportedError
from strongroom.ledger.leaf import Leaf
from strongroom.web import bodies
from strongroom.web.coding import Choice, choose, coding_of, deflate, inflate
from tests.serving.house import GOOD
from tests.web.gateways import gateway, question

PACK = {"gzip": gzip.compress, "deflate": zlib.compress, "x-gzip": gzip.compress}
UNPACK = {b"gzip": gzip.decompress, b"deflate": zlib.decompress}


@pytest.fixture(scope="module")
def desk():
    with gateway() as one:
        yield one


@pytest.mark.parametrize(
    ("accepted", "choice"),
    [
        (b"", Choice(None, False)),
        (b"gzip", Choice(b"gzip", False)),
        (b"deflate", Choice(b"deflate", False)),
        (b"GZip", Choice(b"gzip", False)),
        (b"x-gzip", Choice(b"gzip", False)),
        (b"br, zstd", Choice(None, False)),
        (b"gzip, deflate, br, zstd", Choice(b"gzip", False)),
        (b"deflate, gzip;q=0.5", Choice(b"deflate", False)),
        (b"gzip;q=0", Choice(None, False)),
        (b"gzip;q=0, deflate", Choice(b"deflate", False)),
        (b"*", Choice(b"gzip", False)),
        (b"*, gzip;q=0", Choice(b"deflate", False)),
        (b"*;q=0, gzip", Choice(b"gzip", True)),
        (b"gzip;q=0.5, identity", Choice(None, False)),
        (b"gzip;q=0.5, identity;q=0.4", Choice(b"gzip", False)),
        (b"identity;q=0, gzip", Choice(b"gzip", True)),
        (b"identity;q=0.000 , deflate ; q=0.001", Choice(b"deflate", True)),
        (b"identity;q=0, *", Choice(b"gzip", True)),
        (b"*;q=0, identity", Choice(None, False)),
        (b"gzip;q=2", Choice(None, False)),
        (b"gzip;q=", Choice(None, False)),
        (b"gzip;q=0.1234", Choice(None, False)),
        (b"gzip;level=9", Choice(None, False)),
        (b";;,,;q=1, gzip", Choice(b"gzip", False)),
    ],
)
def test_accept_encoding_is_read_with_its_weights(accepted, choice):
    assert choose(accepted) == choice
    assert choose(accepted) == choice


@pytest.mark.parametrize("accepted", [b"identity;q=0", b"*;q=0", b"br, identity;q=0", b"gzip;q=0, *;q=0"])
def test_nothing_acceptable_is_said_so(accepted):
    with pytest.raises(NotAcceptableError):
        choose(accepted)


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_accept_encoding_is_read_or_refused(accepted):
    try:
        assert choose(accepted).coding in (None, b"gzip", b"deflate")
    except NotAcceptableError:
        assert b"0" in accepted


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=100_000), st.sampled_from([b"gzip", b"deflate"]))
def test_what_is_packed_is_unpacked_by_us_and_by_others(body, coding):
    packed = deflate(body, coding)
    assert packed == deflate(body, coding)
    assert inflate(packed, coding, len(body)) == body == UNPACK[coding](packed)
    if body:
        with pytest.raises(TooLargeError):
            inflate(packed, coding, len(body) - 1)


@pytest.mark.parametrize("coding", [b"gzip", b"deflate"])
@pytest.mark.parametrize("size", [0, 10, 100_000])
def test_a_stream_is_whole_and_alone(coding, size):
    whole = deflate(bytes(range(256)) * (size // 256), coding)
    flipped = whole[:-1] + bytes([whole[-1] ^ 1])
    for broken in (b"", whole[:-1], whole[: len(whole) // 2], whole + b"\0", whole + whole, flipped, b"{" + whole):
        with pytest.raises(InvalidInputError) as caught:
            inflate(broken, coding, 10**6)
        assert caught.value.details == {"field": "content-encoding", "rule": "coding"}


def test_deflate_means_the_zlib_format():
    machine = zlib.compressobj(wbits=-15)
    with pytest.raises(InvalidInputError):
        inflate(machine.compress(b"{}") + machine.flush(), b"deflate", 100)


@pytest.mark.parametrize("value", [b"br", b"gzip, gzip", b"gzip,", b"", b"gzip;q=1", b"zstd", b"chunked"])
def test_another_coding_is_not_spoken(value):
    with pytest.raises(UnsupportedError):
        coding_of(value)


def ask(desk, body, target="/v2/models/pd-cards/infer", **headers):
    status, found, answer = desk.raw("POST", target, body, headers)
    return status, found, answer


BODY = json.dumps(question()).encode()


@pytest.mark.parametrize("coding", PACK)
def test_a_packed_request_gets_the_answer_of_the_plain_one(desk, coding):
    status, _, answer = ask(desk, PACK[coding](BODY), **{"Content-Encoding": coding})
    assert status == 200
    assert json.loads(answer)["outputs"] == desk.ask(question())[1]["outputs"]
    assert desk.ask(question(), **{"Content-Encoding": "identity"})[0] == 200


@pytest.mark.parametrize(
    ("coding", "body", "status", "rule"),
    [
        ("br", BODY, 415, "coding"),
        ("gzip", BODY, 400, "coding"),
        ("deflate", gzip.compress(BODY), 400, "coding"),
        ("gzip", gzip.compress(BODY)[:-3], 400, "coding"),
        ("gzip", gzip.compress(b" " * 3_000_000), 413, "size"),
    ],
)
def test_a_packed_request_that_is_none_is_refused_and_recorded(desk, coding, body, status, rule):
    size = desk.house.shard.size
    found, headers, answer = ask(desk, body, **{"Content-Encoding": coding})
    said = json.loads(answer)
    assert (found, said["field"], said["rule"]) == (status, "content-encoding", rule)
    assert headers.get(b"accept-encoding") == (b"gzip, deflate" if status == 415 else None)
    assert desk.house.shard.size == size + 1
    assert Leaf.decode(desk.house.shard.reader().get(size).leaf).decision_id == said["decision_id"]


def rows(number, **parameters):
    body = question(subject=None, **parameters)
    subjects = [f"s{n}" for n in range(number)]
    body["inputs"] = [
        {"name": "x", "shape": [number, 4], "datatype": "FP32", "data": GOOD * number},
        {
            "name": "strongroom.subject",
            "shape": [number],
            "datatype": "BYTES",
            "data": subjects,
        },
    ]
    return json.dumps(body).encode()


def test_small_answers_go_plain_unless_that_is_refused(desk):
    status, headers, answer = ask(desk, BODY, **{"Accept-Encoding": "gzip, deflate"})
    assert (status, headers.get(b"content-encoding")) == (200, None)
    json.loads(answer)
    for coding in (b"gzip", b"deflate"):
        wish = {"Accept-Encoding": f"identity;q=0, {coding.decode()}"}
        status, headers, answer = ask(desk, BODY, **wish)
        assert (status, headers[b"content-encoding"], headers[b"vary"]) == (200, coding, b"accept-encoding")
        assert json.loads(UNPACK[coding](answer))["model_name"] == "pd-cards"


@pytest.mark.parametrize("receipt", [False, True])
@pytest.mark.parametrize("coding", [b"gzip", b"deflate"])
def test_large_answers_are_packed_for_who_accepts_that(desk, coding, receipt):
    body = rows(100, receipt=receipt)
    status, headers, answer = ask(desk, body, **{"Accept-Encoding": coding.decode()})
    assert (status, headers[b"content-encoding"]) == (200, coding)
    plain = UNPACK[coding](answer)
    assert len(plain) > (bodies.AT_ONCE_BYTES if receipt else bodies.WORTH_BYTES)
    assert len(json.loads(plain)["outputs"][0]["data"]) == 100
    assert b"content-encoding" not in ask(desk, body)[1]


def test_a_packed_binary_request_says_the_length_of_its_plain_json(desk):
    import numpy as np

    tensor = {"name": "x", "shape": [1, 4], "datatype": "FP32", "parameters": {"binary_data_size": 16}}
    text = json.dumps(question() | {"inputs": [tensor]}).encode()
    packed = gzip.compress(text + np.array(GOOD, "<f4").tobytes())
    status, _, answer = ask(
        desk, packed, **{"Content-Encoding": "gzip", "Inference-Header-Content-Length": str(len(text))}
    )
    assert status == 200, answer


def test_no_decision_is_made_that_could_not_be_sent(desk):
    size = desk.house.shard.size
    status, _, answer = ask(desk, BODY, **{"Accept-Encoding": "identity;q=0"})
    assert (status, json.loads(answer)["code"]) == (406, "not-acceptable")
    assert [Leaf.decode(desk.house.shard.reader().get(place).leaf).type for place in range(size, size + 1)] == [
        "refusal"
    ]
    assert desk.house.shard.size == size + 1


def test_the_loop_packs_and_unpacks_only_what_is_small(desk, monkeypatch):
    did = []

    def spy(name, size_of):
        real = getattr(bodies, name)

        def call(*arguments):
            did.append((name, threading.current_thread().name.startswith("coding"), size_of(*arguments)))
            return real(*arguments)

        monkeypatch.setattr(bodies, name, call)

    spy("inflate", lambda body, coding, limit: max(len(body), limit))
    spy("deflate", lambda body, coding: len(body))
    large = rows(100, receipt=True).ljust(200_000)
    for body in (BODY, rows(100), large):
        for coding in ("gzip", "deflate"):
            assert ask(desk, PACK[coding](body), **{"Content-Encoding": coding, "Accept-Encoding": coding})[0] == 200
    assert {name for name, aside, _ in did if aside} == {"inflate", "deflate"}
    assert all(size <= bodies.AT_ONCE_BYTES for _, aside, size in did if not aside)


def test_an_empty_body_packed_large_is_an_empty_body(desk):
    # a gzip header may carry a file name of any length
    empty = gzip.compress(b"", mtime=0)
    packed = empty[:3] + b"\x08" + empty[4:10] + b"n" * (2 * bodies.AT_ONCE_BYTES) + b"\0" + empty[10:]
    assert gzip.decompress(packed) == b""
    status, _, answer = ask(desk, packed, **{"Content-Encoding": "gzip"})
    assert (status, json.loads(answer)["rule"]) == (400, "json")
