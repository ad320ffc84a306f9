"""CWE-444: no message may be read in two ways. Each of these is one refusal, or one request."""

from __future__ import annotations

import pytest

from strongroom.web.requests import Limits
from tests.web.lines import read_all, running

HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n"


def answer(loop):
    def handle(exchange):
        assert exchange.request.target != b"/hidden", "a smuggled request was read"
        exchange.reply(200, b'"%b"' % exchange.request.target)

    return handle


@pytest.fixture(scope="module")
def server():
    with running(answer, Limits(header_timeout_s=1, body_timeout_s=1, idle_timeout_s=1)) as run:
        yield run


HEAD = b"POST /a HTTP/1.1\r\nHost: h\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


@pytest.mark.parametrize(
    "data",
    [
        HEAD + b"Content-Length: 5\r\n" + CHUNKED + b"\r\n0\r\n\r\n" + HIDDEN,
        HEAD + CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n" + HIDDEN,
        HEAD + b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
        HEAD + b"Content-Length: 0, 0\r\n\r\n" + HIDDEN,
        HEAD + b"Content-Length: +0\r\n\r\n" + HIDDEN,
        HEAD + b"Content-Length: 0x0\r\n\r\n" + HIDDEN,
        HEAD + b"Content-Length: \x0b0\r\n\r\n" + HIDDEN,
        HEAD + b"Content-Length : 0\r\n\r\n" + HIDDEN,
        HEAD + b"Transfer-Encoding: xchunked\r\n\r\n" + HIDDEN,
        HEAD + b"Transfer-Encoding: identity\r\n\r\n" + HIDDEN,
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
        HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + HIDDEN,
        HEAD + CHUNKED + CHUNKED + b"\r\n0\r\n\r\n" + HIDDEN,
        HEAD + b" Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
        HEAD + b"X: y\r\n Transfer-Encoding: chunked\r\n\r\n" + HIDDEN,
        HEAD + b"X: y\nContent-Length: 0\r\n\r\n" + HIDDEN,
        HEAD + b"X: y\rContent-Length: 0\r\n\r\n" + HIDDEN,
        HEAD + b"X\0: y\r\n\r\n" + HIDDEN,
        HEAD + CHUNKED + b"\r\n-1\r\n\r\n" + HIDDEN,
        HEAD + CHUNKED + b"\r\n0x1\r\na\r\n0\r\n\r\n" + HIDDEN,
        HEAD + CHUNKED + b"\r\n1\r\nab\r\n0\r\n\r\n" + HIDDEN,
        HEAD + CHUNKED + b"\r\nfffffffffffffffff\r\n" + HIDDEN,
        HEAD + CHUNKED + b"\r\n1 \r\na\r\n0\r\n\r\n" + HIDDEN,
        HEAD + CHUNKED + b"\r\n1\na\n0\n\n" + HIDDEN,
        HEAD + CHUNKED + b"\r\n0\r\nContent-Length: 9\r\n\r\n" + HIDDEN,
        b"POST /a HTTP/1.0\r\nHost: h\r\n" + CHUNKED + b"\r\n0\r\n\r\n" + HIDDEN,
        b"POST /a HTTP/1.1\nHost: h\n\n" + HIDDEN,
        b"POST /a\r\n\r\n" + HIDDEN,
    ],
)
def test_ambiguous_framing_is_refused_and_nothing_after_it_is_read(server, data):
    with server.socket() as sock:
        sock.sendall(data)
        answers = read_all(sock)
    assert answers.startswith(b"HTTP/1.1 400 "), answers[:120]
    assert answers.count(b"HTTP/1.1 ") == 1
    assert b"connection: close" in answers


def test_a_hidden_request_inside_a_body_stays_a_body(server):
    with server.socket() as sock:
        sock.sendall(HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN)
        assert read_all(sock).count(b"HTTP/1.1 200 ") == 1


def test_nothing_is_read_after_connection_close(server):
    with server.socket() as sock:
        sock.sendall(HEAD + b"Connection: close\r\nContent-Length: 0\r\n\r\n" + HIDDEN)
        assert read_all(sock).count(b"HTTP/1.1 ") == 1
