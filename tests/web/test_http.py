"""The thin HTTP protocol: order, limits, smuggling, slow clients, hang-ups, stopping."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from strongroom.errors import ConflictError
from strongroom.web.exchange import Exchange
from strongroom.web.requests import Limits
from strongroom.web.server import listen
from tests.web.lines import Running, read_all, read_reply, running

LIMITS = Limits(
    header_timeout_s=0.6,
    body_timeout_s=0.6,
    idle_timeout_s=0.9,
    send_timeout_s=0.8,
    body_bytes=5000,
    header_bytes=2000,
    header_count=20,
    url_bytes=200,
    connections=5,
    pipelined=4,
)


def echo(loop):
    def handle(exchange: Exchange) -> None:
        request = exchange.request
        if request.target == b"/later":
            loop.call_later(0.15, exchange.reply, 200, b'"later"')
        elif request.target == b"/boom":
            raise ValueError("a defect")
        elif request.target == b"/big":
            exchange.reply(200, b"x" * 4_000_000)
        else:
            exchange.reply(200, b'{"target":"%b","size":%d}' % (request.target, len(request.body)))

    return handle


@pytest.fixture(scope="module")
def server():
    with running(echo, LIMITS) as run:
        yield run


def exchange_of(run: Running, data: bytes) -> bytes:
    with run.socket() as sock:
        sock.sendall(data)
        return read_all(sock)


def test_keeps_the_connection_for_the_next_request(server):
    with server.socket() as sock:
        for size in (0, 10, 5000):
            sock.sendall(b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % size + b"y" * size)
            assert read_reply(sock)[2] == b'{"target":"/a","size":%d}' % size


def test_pipelined_answers_leave_in_order_even_when_the_first_is_slow(server):
    with server.socket() as sock:
        sock.sendall(
            b"GET /later HTTP/1.1\r\nHost: h\r\n\r\n"
            + b"".join(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % n for n in range(9))
            + b"GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
        )
        text = read_all(sock)
    places = [text.index(b'"later"'), *(text.index(b'"/%d"' % n) for n in range(9)), text.index(b'"/last"')]
    assert places == sorted(places)


def test_a_request_in_single_bytes_is_understood(server):
    with server.socket() as sock:
        for byte in b"POST /b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n":
            sock.send(bytes([byte]))
        assert read_reply(sock)[2] == b'{"target":"/b","size":3}'


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5001\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999\r\n\r\n", 413),
        (
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
            + (b"400\r\n" + b"x" * 1024 + b"\r\n") * 5,
            413,
        ),
        (b"GET /" + b"u" * 300 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: h\r\nA: " + b"v" * 3000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: h\r\n" + b"A: b\r\n" * 30 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nExpect: money\r\nContent-Length: 1\r\n\r\n", 417),
    ],
)
def test_refuses_what_breaks_a_limit_or_the_grammar(server, data, status):
    answer = exchange_of(server, data)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:100]
    assert b"connection: close" in answer
    assert answer.count(b"HTTP/1.1 ") == 1


def test_expect_continue_is_answered(server):
    with server.socket() as sock:
        sock.sendall(b"POST /c HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"ab")
        assert read_reply(sock)[2] == b'{"target":"/c","size":2}'


@pytest.mark.parametrize("line", [b"", b"Connection: keep-alive\r\n", b"Expect: 100-continue\r\n"])
def test_http_1_0_is_answered_and_closed(server, line):
    with server.socket() as sock:
        sock.sendall(b"POST /x HTTP/1.0\r\n%bContent-Length: 2\r\n\r\nab" % line)
        answer = read_all(sock)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n"), "no interim answer, which an older client does not know"
    assert b"connection: close\r\n" in answer
    assert answer.endswith(b'{"target":"/x","size":2}')


def test_a_defect_in_the_handler_costs_one_500(server):
    with server.socket() as sock:
        sock.sendall(b"GET /boom HTTP/1.1\r\nHost: h\r\n\r\nGET /ok HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        answers = read_all(sock)
    assert answers.startswith(b"HTTP/1.1 500 ")
    assert b'"/ok"' in answers
    assert b"defect" not in answers


def test_a_client_that_hangs_up_breaks_nobody(server):
    sock = server.socket()
    sock.sendall(b"GET /later HTTP/1.1\r\nHost: h\r\n\r\n")
    sock.close()
    with server.socket() as other:
        other.sendall(b"GET /later HTTP/1.1\r\nHost: h\r\n\r\n")
        assert read_reply(other)[0] == 200


def test_one_connection_too_many_gets_503():
    with running(echo, Limits(connections=5, header_timeout_s=60)) as run:
        socks = [run.socket() for _ in range(5)]
        run.until_connected(5)
        with run.socket() as extra:
            assert read_all(extra).startswith(b"HTTP/1.1 503 ")
        for sock in socks:
            sock.close()
        run.until_connected(0)
        assert exchange_of(run, b"GET /ok HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "start", [b"", b"GET / HTTP/1.1\r\nHo", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc"]
)
def test_a_slow_client_is_cut_off(server, start):
    with server.socket() as sock:
        sock.sendall(start)
        # what lasts longer than the socket's own patience was not cut off
        answer = sock.recv(4096)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 408 ")


def test_an_idle_connection_is_closed(server):
    with server.socket() as sock:
        sock.sendall(b"GET /i HTTP/1.1\r\nHost: h\r\n\r\n")
        read_reply(sock)
        assert sock.recv(10) == b""


def test_a_client_that_does_not_read_is_cut_off():
    # no other timeout would end it
    with running(echo, Limits(send_timeout_s=0.8, header_timeout_s=600)) as run, run.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n" * 4)
        run.until_connected(1)
        run.until_connected(0)


def test_the_port_cannot_be_taken_twice(server):
    with pytest.raises(ConflictError, match="taken"):
        listen("127.0.0.1", server.port)


def begin_to_stop(run: Running) -> None:
    run.call(lambda: run.loop.create_task(run.server.stop(60.0)) and None)
    run.until(lambda: run.server.stopping)


def test_stopping_finishes_what_has_begun():
    begun: list[Exchange] = []

    def later(loop):
        def handle(exchange: Exchange) -> None:
            if exchange.request.target == b"/later":
                begun.append(exchange)
            else:
                echo(loop)(exchange)

        return handle

    with running(later, Limits(header_timeout_s=60, body_timeout_s=60)) as run:
        idle, busy, half = run.socket(), run.socket(), run.socket()
        busy.sendall(b"GET /later HTTP/1.1\r\nHost: h\r\n\r\n")
        half.sendall(b"POST /h HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na")
        run.until_connected(3)
        # the head of the other waits for its body
        run.until(lambda: begun and run.server.held_bytes == 1)
        begin_to_stop(run)
        half.sendall(b"b")
        run.call(begun[0].reply, 200, b'"later"')
        status, headers, body = read_reply(busy)
        assert (status, body, headers[b"connection"]) == (200, b'"later"', b"close")
        assert read_reply(half)[2] == b'{"target":"/h","size":2}'
        assert idle.recv(1) == b""
        assert busy.recv(1) == b""
        assert half.recv(1) == b""
        with pytest.raises(OSError):
            run.socket()
        for sock in (idle, busy, half):
            sock.close()


def test_a_request_that_is_on_its_way_when_the_server_stops_is_answered():
    # found when workers were started again under load: the client wrote to what the server had just closed
    limits = Limits(header_timeout_s=60)
    with running(echo, limits) as run, run.socket() as fresh, run.socket() as kept:
        kept.sendall(b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\n")
        assert read_reply(kept)[0] == 200
        run.until_connected(2)

        async def stop_and_ask() -> None:
            # on the loop itself, so that no time passes in between, however late the other thread gets its turn
            stopping = run.loop.create_task(run.server.stop(60.0))
            await asyncio.sleep(0)
            assert run.server.stopping
            assert not stopping.done()
            for sock in (fresh, kept):
                sock.sendall(b"GET /2 HTTP/1.1\r\nHost: h\r\n\r\n")

        run.call(stop_and_ask)
        for sock in (fresh, kept):
            status, headers, body = read_reply(sock)
            assert (status, headers[b"connection"]) == (200, b"close")
            assert b"/2" in body
            assert sock.recv(1) == b""


def test_a_connection_accepted_while_stopping_gets_one_answer():
    with running(echo, LIMITS) as run:
        run.call(lambda: setattr(run.server, "stopping", True))
        with run.socket() as late:
            late.sendall(b"GET /late HTTP/1.1\r\nHost: h\r\n\r\n")
            status, headers, _ = read_reply(late)
            assert (status, headers[b"connection"]) == (200, b"close")
            assert late.recv(1) == b""


def test_one_connection_with_hundreds_of_requests_lets_the_others_have_their_turn():
    order = []

    def note(loop):
        def handle(exchange: Exchange) -> None:
            order.append(exchange.request.target)
            exchange.reply(200, b"1")

        return handle

    with running(note, Limits(pipelined=1000)) as run, run.socket() as greedy, run.socket() as polite:
        greedy.sendall(b"GET /first HTTP/1.1\r\nHost: h\r\n\r\n")
        assert read_reply(greedy)[0] == 200

        def both() -> None:
            # both connections' bytes are there when the loop looks next
            greedy.sendall(b"GET /greedy HTTP/1.1\r\nHost: h\r\n\r\n" * 2000)
            polite.sendall(b"GET /polite HTTP/1.1\r\nHost: h\r\n\r\n")
            time.sleep(0.05)

        run.call(both)
        assert read_reply(polite)[0] == 200
        before = order.index(b"/polite")
        assert before < 400
        received = b""
        while received.count(b"HTTP/1.1 200 OK") < 2000:
            part = greedy.recv(1 << 20)
            assert part
            received += part
    assert order.count(b"/greedy") == 2000


def test_what_waits_to_be_read_is_answered_after_the_client_closed_its_side():
    with running(echo, Limits(pipelined=4)) as run, run.socket() as sock:
        sock.sendall(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n" * 500)
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock).count(b'{"target":"/x","size":0}') == 500


@pytest.mark.parametrize("stopping", [False, True])
def test_only_the_last_of_many_answers_says_that_it_is_the_last(stopping):
    """A client reads nothing behind it, so what was decided for the others would be lost."""
    begun: list[Exchange] = []

    def later(_loop):
        return begun.append

    with running(later, Limits()) as run, run.socket() as sock:
        sock.sendall(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n" * 3)
        if stopping:
            run.until(lambda: len(begun) == 3)
            begin_to_stop(run)
        else:
            sock.shutdown(socket.SHUT_WR)
        run.until(lambda: len(begun) == 3 and all(one.draining for one in run.server.connections))
        for one in (begun[2], begun[0], begun[1]):
            run.call(one.reply, 200, b"1")
        answers = read_all(sock).split(b"HTTP/1.1 200 OK\r\n")[1:]
        assert [b"connection: close\r\n" in answer for answer in answers] == [False, False, True]


def test_a_caller_told_to_wait_is_read_again_after_a_moment():
    def refuse_first(_loop):
        seen = []

        def handle(exchange: Exchange) -> None:
            seen.append(exchange)
            exchange.reply(429 if len(seen) == 1 else 200, b"%d" % len(seen))

        return handle

    with running(refuse_first, Limits()) as run, run.socket() as sock:
        sock.sendall(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
        assert read_reply(sock)[0] == 429
        sock.sendall(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
        assert read_reply(sock)[0] == 200


def test_a_body_larger_than_a_slice_arrives_whole_in_any_pieces():
    body = b"".join(b"%07d " % n for n in range(20_000))

    def same(_loop):
        def handle(exchange: Exchange) -> None:
            exchange.reply(200, b"yes" if exchange.request.body == body else b"no")

        return handle

    with running(same, Limits(body_bytes=1_000_000)) as run, run.socket() as sock:
        one = b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        sock.sendall(one * 3)
        text = b""
        while text.count(b"yes") + text.count(b"no") < 3:
            text += sock.recv(65536)
        assert text.count(b"yes") == 3
