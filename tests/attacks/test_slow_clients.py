"""CWE-400, CVE-2007-6750 (slowloris): clients that trickle, never read, or open and wait cannot hold the server."""

from __future__ import annotations

import time

import pytest

from strongroom.web.requests import Limits
from tests.waiting import PATIENCE_S
from tests.web.lines import read_all, read_reply, running

LIMITS = Limits(header_timeout_s=0.5, body_timeout_s=0.5, idle_timeout_s=0.5, send_timeout_s=0.5, connections=30)


@pytest.fixture(scope="module")
def server():
    with running(lambda loop: lambda exchange: exchange.reply(200, b'"ok"'), LIMITS) as run:
        yield run


@pytest.mark.parametrize(
    "start",
    [b"GET / HTTP/1.1\r\nHost: h\r\n", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n",
     b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"],
)  # fmt: skip
def test_trickling_does_not_extend_the_time(server, start):
    with server.socket() as sock:
        sock.sendall(start)
        begin = time.monotonic()
        try:
            while time.monotonic() - begin < PATIENCE_S:
                sock.sendall(b"1\r\na\r\n" if b"chunked" in start else b"X")
                time.sleep(0.05)
                sock.settimeout(0.01)
                try:
                    if sock.recv(100).startswith(b"HTTP/1.1 408 "):
                        break
                except TimeoutError:
                    continue
        except OSError:
            pass
        assert time.monotonic() - begin < PATIENCE_S, "it was let trickle on"


def test_many_idle_connections_do_not_keep_others_out_for_long(server):
    socks = [server.socket() for _ in range(30)]
    # who knocks between the last of them and their end is turned away, later nobody is
    server.until_connected(0)
    with server.socket() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert read_reply(sock)[0] == 200
    for sock in socks:
        sock.close()


def test_a_header_that_never_ends_is_cut_off(server):
    with server.socket() as sock:
        try:
            for _ in range(200):
                sock.sendall(b"X" * 4096)
        except OSError:
            return
        assert read_all(sock).startswith(b"HTTP/1.1 4")


def test_a_wasteful_chunk_coding_is_cut_off(server):
    with server.socket() as sock:
        try:
            sock.sendall(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(3000):
                sock.sendall(b"1;" + b"x" * 8000 + b"\r\na\r\n")
        except OSError:
            return
        assert not read_all(sock).startswith(b"HTTP/1.1 200 ")
