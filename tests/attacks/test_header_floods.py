"""CWE-770, header floods (and CVE-2011-4885 in header names): many, long, repeated and half-sent headers.

Each is refused with 431, 414 or 400 before the handler sees anything; what is kept of it is bounded; the next client is
answered.
"""

from __future__ import annotations

import contextlib

import pytest

from strongroom.web.requests import Limits
from tests.web.lines import read_all, read_reply, running

LIMITS = Limits(header_bytes=8192, header_count=40, url_bytes=512, header_timeout_s=1, connections=20)
GOOD = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.fixture(scope="module")
def server():
    with running(lambda loop: lambda exchange: exchange.reply(200, b'"ok"'), LIMITS) as run:
        yield run


def head(*lines: bytes) -> bytes:
    return b"GET / HTTP/1.1\r\nHost: h\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (head(*(b"X-%d: y" % n for n in range(41))), 431),
        (head(*(b"X: y" for _ in range(41))), 431),
        (head(*(b"X-%d: y" % n for n in range(100_000))), 431),
        (head(b"X: " + b"y" * 9000), 431),
        (head(b"X" * 9000 + b": y"), 431),
        (head(*(b"Cookie: " + b"a" * 1000 for _ in range(10))), 431),
        (head(*(b"Authorization: Bearer %d" % n for n in range(2))), 400),
        (head(b"Host: other"), 400),
        (head(b": y"), 400),
        (head(b"X:" + b" " * 1_000_000)[:-4], 431),
        (head(b"X: y\r\n" + b" folded" * 100), 400),
        (b"GET /" + b"a" * 600 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 414),
        (b"GET /" + b"a" * 200_000, 414),
        (b"G" * 100_000, 400),
        (b"GET / HTTP/1.1\r\n" + b"X" * 200_000, 431),
        (b"\r\n" * 50_000 + GOOD, None),
    ],
    ids=[
        "41 names",
        "41 times one",
        "a hundred thousand",
        "long value",
        "long name",
        "cookies",
        "two credentials",
        "two hosts",
        "no name",
        "white space",
        "folded",
        "long target",
        "endless target",
        "endless verb",
        "endless name",
        "empty lines",
    ],
)
def test_a_flood_is_refused_and_the_next_client_is_answered(server, data, status):
    with server.socket() as sock:
        with contextlib.suppress(OSError):  # refused while it was still sent
            sock.sendall(data)
        answers = read_all(sock) if status else b""
    if status and answers:
        assert int(answers.split(b" ", 2)[1]) in (status, 400), answers[:100]
        assert answers.count(b"HTTP/1.1 ") == 1
        assert b"XXXX" not in answers
        assert b"aaaa" not in answers
    with server.socket() as sock:
        sock.sendall(GOOD)
        assert read_reply(sock)[0] == 200


def test_as_many_as_are_allowed_are_read(server):
    with server.socket() as sock:
        sock.sendall(head(*(b"X-%d: y" % n for n in range(39))))
        assert read_reply(sock)[0] == 200


def test_nothing_of_a_flood_is_kept(server):
    for _ in range(30):
        with server.socket() as sock:
            sock.sendall(head(*(b"X-%d: " % n + b"y" * 150 for n in range(40))))
            assert read_all(sock).startswith(b"HTTP/1.1 431 ")
    assert server.call(lambda: (server.server.held_bytes, len(server.server.heads))) == (0, 0)
