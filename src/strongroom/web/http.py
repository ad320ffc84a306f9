"""HTTP/1.1 for machines: a thin asyncio protocol over llhttp (httptools), strict, bounded and in order.

It knows requests and replies (`web.exchange`), nothing of models. Answers of pipelined requests leave in the order in
which the requests came. An answer whose client has gone is dropped and breaks nobody else.

What it refuses, so that no proxy before it can read a message differently (RFC 9112 section 6.3, 11.2): a length and
a transfer coding together, any coding but a single `chunked`, repeated length or host, trailers, folded headers, bare
line feeds, white space before a colon (the last three by llhttp's strict mode), upgrades.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import httptools

from strongroom.access.certificates import read_certificate
from strongroom.errors import InvalidInputError
from strongroom.web.exchange import Exchange
from strongroom.web.requests import Head, Limits, Peer, Request

CHUNK_OVERHEAD: Final = 64 * 1024
LINGER_S: Final = 2.0
LAST_CALL_S: Final = 1.0
"""How long a connection of a server that stops stays open for a request that is on its way."""
SLICE_BYTES: Final = 4096
"""Of what one connection sent that are read before the others have their turn: some ten requests."""
SMALL_SLICE_BYTES: Final = 512
"""The same for a connection whose caller was just told to wait: about one request, and one refusal."""
HEADS: Final = 16_384
HEAD_BYTES: Final = 3072
"""How many heads a server remembers at first, each no longer than this; oldest out first."""

_END: Final = b"\r\n\r\n"
FULL: Final = "the server holds as many requests as it may; try again"
RETRY: Final = b"retry-after: 1\r\n"


class Listener(Protocol):
    """What a connection needs of the server that accepted it.

    Attributes:
        limits: of every connection.
        now: monotonic seconds of the last sweep.
        stopping: whether nothing new is accepted any more.
        heads: heads that the handler has a memo for, by their exact bytes.
        held_bytes: of bodies without an answer and of answers that wait, over all connections; they keep the count.
    """

    limits: Limits
    now: float
    stopping: bool
    held_bytes: int

    @property
    def heads(self) -> Mapping[bytes, Head]: ...

    def admit(self, connection: Connection, address: str) -> bool:
        """Whether there is room for one more connection; counts it then."""

    def note_gone(self, connection: Connection, address: str) -> None: ...

    def note_refused(self, status: int) -> None: ...

    def remember(self, raw: bytes, head: Head) -> None:
        """Keep a head that the handler has a memo for."""

    def serve(self, exchange: Exchange) -> None:
        """Hand one request to the handler."""

    def soon(self, call: Callable[[], None]) -> None:
        """Call in the next turn of the loop."""


_IDLE, _HEAD, _BODY = 0, 1, 2


class Connection(asyncio.Protocol):
    """One connection. Created by `web.server.Server`; the llhttp callbacks are the `on_...` methods."""

    def __init__(self, server: Listener) -> None:
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._peer = Peer("")
        self._queue: deque[Exchange] = deque()
        self.phase = _HEAD
        self.since = server.now
        self.draining = False
        self._refused = False
        self._lingering = False
        self._blocked_since: float | None = None
        self._reading = True
        self._raw_bytes = 0
        # what was received and waits to be read; whether the client has closed its side behind it; whether it must wait
        self._rest = b""
        self._ended = False
        self._resting = False
        self._slice_bytes = SLICE_BYTES
        self._reset()

    def _reset(self) -> None:
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._header_bytes = 0
        self._header_count = 0
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._body_left = -1
        # the bytes that began this message, if they hold its whole head
        self._whole: bytes | None = None

    # --- the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")  # noqa: S101  # uvloop's own class
        self._transport = transport  # type: ignore[assignment]  # a write transport, as asserted
        name = transport.get_extra_info("peername")
        tls = transport.get_extra_info("ssl_object")
        certificate = tls.getpeercert(True) if tls is not None else None
        address, presented = name[0] if isinstance(name, tuple) else "local", None
        if certificate is not None:
            # once a connection: every request on it is then known by what was read here
            try:
                presented = read_certificate(certificate)
            except InvalidInputError as error:
                self._refuse(400, error.message, linger=False)
                return
        self._peer = Peer(address, certificate, presented)
        if not self._server.admit(self, address):
            # closed at once: one that lingered here would be a connection that nobody counts
            self._refuse(503, "the server has no room for another connection; try again", linger=False)
        elif self._server.stopping:
            # the kernel had accepted it for us before we stopped listening
            self.draining = True

    def connection_lost(self, _exc: Exception | None) -> None:
        self._transport = None
        self._let_go()
        self._server.note_gone(self, self._peer.address)

    def hold(self, exchange: Exchange, size_bytes: int) -> None:
        """An exchange holds so many bytes from now on; none when nobody will fetch them."""
        if self._transport is None:
            size_bytes = 0
        self._server.held_bytes += size_bytes - exchange.held
        exchange.held = size_bytes

    def _let_go(self) -> None:
        """Nothing that came or is ready is needed any more. What is still being answered stays counted until then."""
        self._server.held_bytes -= self._body_bytes
        self._body_bytes = 0
        self._body.clear()
        for exchange in self._queue:
            if exchange.ready is not None:
                self.hold(exchange, 0)
        self._queue.clear()

    def pause_writing(self) -> None:
        self._blocked_since = self._server.now
        self._pause()

    def resume_writing(self) -> None:
        self._blocked_since = None
        self.flush()
        self._resume()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._rest:
            self._rest += data
            return
        self._read(data)

    def _read(self, data: bytes) -> None:
        """Take one whole request with a head that is known, or let llhttp read."""
        if self.phase == _IDLE:
            # Between two messages. Bytes that llhttp has read before, strictly and as a whole, it would read the same
            # way again. Heads hold credentials: the table is found by a keyed hash, and bytes are compared only when
            # all of it is equal, so that time tells nothing of a part.
            server = self._server
            end = data.find(_END)
            head = server.heads.get(data[:end]) if end > 0 else None
            if head is not None and head.length is not None and (stop := end + 4 + head.length) <= len(data):
                self.since = server.now
                server.held_bytes += head.length
                if server.held_bytes > server.limits.held_bytes:
                    self._body_bytes = head.length
                    self._refuse(503, FULL)
                    return
                if stop == len(data):
                    self._take(head, data[end + 4 :], False)
                    return
                self._take(head, data[end + 4 : stop], False)
                self._put_off(data[stop:])
                return
        self._feed(data)

    def _put_off(self, data: bytes) -> None:
        """Keep the rest until the other connections have had their turn."""
        if not self._refused and self._transport is not None:
            self._rest = data
            self._pause()
            self._server.soon(self._go_on)

    def _feed(self, data: bytes) -> None:
        """Read a little, and the rest when the other connections have had their turn.

        One read of the socket may bring hundreds of requests. A body that is still coming is one request, however
        large, and is read at once.
        """
        slice_bytes = self._slice_bytes
        if len(data) <= slice_bytes:
            self._parse(data, True)
            return
        if not self._body_holds(data):
            piece, data = data[:slice_bytes], data[slice_bytes:]
            self._parse(piece, False)
            if self._refused or self._transport is None:
                return
        if self._body_holds(data):
            self._parse(data, False)
            return
        self._put_off(data)

    def _body_holds(self, data: bytes) -> bool:
        """Whether all of it is the body that is being read, but for the beginning of what may follow."""
        left = self._body_left - self._body_bytes
        return self.phase == _BODY and self._body_left >= 0 and left >= len(data) - SLICE_BYTES

    def _go_on(self) -> None:
        """The rest's turn, unless answers must leave first or the connection rests; then `_resume` comes back to it."""
        if self._refused or self._transport is None:
            self._rest = b""
        elif self._rest and not self._stands():
            data, self._rest = self._rest, b""
            self.since = self._server.now
            self._read(data)
            if not self._rest:
                if self._ended:
                    self._end()
                self._resume()

    def _stands(self) -> bool:
        """Whether nothing more may be read just now."""
        return self._resting or self._blocked_since is not None or len(self._queue) >= self._server.limits.pipelined

    def rest(self) -> None:
        """Read nothing more until the next sweep: its caller was told to wait."""
        self._resting = True
        self._slice_bytes = SMALL_SLICE_BYTES
        self._pause()

    def _parse(self, data: bytes, whole: bool) -> None:
        if self.phase == _IDLE:
            self.phase, self.since = _HEAD, self._server.now
            self._whole = data if whole else None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(400, "protocol upgrades are not offered")
            return
        except httptools.HttpParserError:
            # also raised after our own callbacks refused (then a refusal is queued already)
            self._refuse(400, "the request is not well-formed HTTP")
            return
        if self.phase == _IDLE:
            self._raw_bytes = 0
        elif not self._refused:
            # what llhttp keeps of an unfinished line, and chunk extensions, are bounded here
            self._raw_bytes += len(data)
            limits = self._server.limits
            if self.phase == _HEAD and self._raw_bytes > limits.header_bytes + limits.url_bytes + CHUNK_OVERHEAD:
                self._refuse(431, "the head of the request is too large")
            elif self._raw_bytes - 8 * self._body_bytes > 2 * limits.body_bytes + CHUNK_OVERHEAD:
                self._refuse(413, "the coding of the body is too wasteful")

    def eof_received(self) -> bool:
        # a client may close its side after the last request; keep ours until it is answered
        if self._rest:
            self._ended = True
            return True
        if self.phase != _IDLE or not self._queue:
            return False
        self.draining = True
        return True

    def _end(self) -> None:
        """The client had closed its side while a rest of what it sent was waiting to be read."""
        if not self.eof_received() and self._transport is not None:
            self._transport.close()

    # --- llhttp's side

    def on_message_begin(self) -> None:
        if self.phase == _IDLE:
            self.phase, self.since = _HEAD, self._server.now

    def on_url(self, url: bytes) -> None:
        self._url += url
        if len(self._url) > self._server.limits.url_bytes:
            self._refuse(414, "the request target is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.phase == _BODY:
            self._refuse(400, "trailers are not accepted")
            return
        limits = self._server.limits
        self._header_count += 1
        self._header_bytes += len(name) + len(value) + 4
        if self._header_count > limits.header_count or self._header_bytes > limits.header_bytes:
            self._refuse(431, "the head of the request is too large")
            return
        name = name.lower()
        if name in self._headers:
            # one meaning per name: a second authorization, length, host or type is an attack or a defect
            if name in _SINGLE:
                self._refuse(400, "a header that has one value was sent twice")
                return
            value = self._headers[name] + b", " + value
        self._headers[name] = value

    def on_headers_complete(self) -> None:
        if self._refused:
            return
        headers, limits = self._headers, self._server.limits
        if len(self._url) + self._header_bytes > limits.header_bytes + limits.url_bytes:
            self._refuse(431, "the head of the request is too large")
        elif b"host" not in headers and self._parser.get_http_version() == "1.1":
            self._refuse(400, "the host header is missing")
        elif self._parser.get_http_version() not in ("1.1", "1.0"):
            self._refuse(400, "only HTTP versions 1.1 and 1.0 are spoken here")
        elif b"transfer-encoding" in headers and (
            b"content-length" in headers
            or headers[b"transfer-encoding"].lower() != b"chunked"
            or self._parser.get_http_version() != "1.1"
        ):
            self._refuse(400, "the framing of the body is ambiguous")
        elif b"upgrade" in headers and self._parser.should_upgrade():
            self._refuse(400, "protocol upgrades are not offered")
        else:
            length = headers.get(b"content-length")
            if length is not None and (len(length) > 12 or int(length) > limits.body_bytes):
                self._refuse(413, f"a body has at most {limits.body_bytes} bytes")
                return
            self.phase, self.since = _BODY, self._server.now
            self._body_left = -1 if length is None else int(length)
            expect = headers.get(b"expect")
            # an older client knows no interim answers (RFC 9110, 10.1.1)
            if expect is not None and self._parser.get_http_version() == "1.1":
                if expect.lower() != b"100-continue":
                    self._refuse(417, "only 100-continue is understood in expect")
                elif not self._queue and self._transport is not None:
                    self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        server = self._server
        self._body_bytes += len(body)
        server.held_bytes += len(body)
        if self._body_bytes > server.limits.body_bytes:
            self._refuse(413, f"a body has at most {server.limits.body_bytes} bytes")
            return
        if server.held_bytes > server.limits.held_bytes:
            self._refuse(503, FULL)
            return
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self._refused:
            return
        parser, headers, whole = self._parser, self._headers, self._whole
        # an older client that asks to stay would have to be told that it may (RFC 9112, 9.3); it comes again instead
        close = not parser.should_keep_alive() or parser.get_http_version() == "1.0"
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        length = None
        if whole is not None and not close and b"transfer-encoding" not in headers and b"expect" not in headers:
            length = int(headers.get(b"content-length", b"0"))
        head = Head(parser.get_method(), self._url, headers, length)
        self.phase, self.since = _IDLE, self._server.now
        self._raw_bytes = 0
        self._reset()
        self._take(head, body, close)
        if head.memo is not None and whole is not None and length is not None:
            end = whole.find(_END)
            # exactly one message, so what stands before its body is exactly its head
            if end <= HEAD_BYTES and len(whole) == end + 4 + length:
                self._server.remember(whole[:end], head)

    def _take(self, head: Head, body: bytes, close: bool) -> None:
        """Hand one whole request to the handler."""
        exchange = Exchange(self, Request(head, body, self._peer), close, len(body))
        self._queue.append(exchange)
        if close:
            # nothing that follows a last request is read
            self._refused = True
            self._pause()
        elif len(self._queue) >= self._server.limits.pipelined:
            self._pause()
        self._server.serve(exchange)

    # --- answers

    def ends_with(self, exchange: Exchange) -> bool:
        """Whether a connection that drains has nothing more to answer: only the last answer may say `close`.

        A client reads nothing behind an answer that says so, and what it sends then is not looked at (RFC 9112, 9.6).
        """
        if not self.draining or self.phase != _IDLE or not self._queue or self._queue[-1] is not exchange:
            return False
        self._refused = True
        self._pause()
        return True

    def answered(self, exchange: Exchange, status: int, size_bytes: int) -> None:
        """An exchange is ready: send it if it is next in line, keep it otherwise."""
        queue = self._queue
        if not queue or queue[0] is not exchange or self._blocked_since is not None:
            self.hold(exchange, size_bytes)
        self.flush()
        if status == 429:
            self.rest()

    def flush(self) -> None:
        """Send the answers that are next in line."""
        queue, transport = self._queue, self._transport
        if transport is None or self._blocked_since is not None:
            # a client that reads nothing is sent nothing more: its answers are counted here, not piled up below
            return
        ready: list[bytes] = []
        close = False
        while queue and queue[0].ready is not None:
            exchange = queue.popleft()
            if exchange.held:
                self._server.held_bytes -= exchange.held
                exchange.held = 0
            ready.append(exchange.ready)  # type: ignore[arg-type]  # looked at above
            close = exchange.close
        if not ready:
            return
        try:
            transport.write(ready[0] if len(ready) == 1 else b"".join(ready))
            if (close or self.draining) and not queue and self.phase == _IDLE:
                self._finish(transport)
                return
        except (OSError, RuntimeError):
            # the client has gone: its answers are recorded and lost on the way, nobody else notices
            self._transport = None
            self._let_go()
            return
        if self.phase == _IDLE:
            self.since = self._server.now
        if len(queue) < self._server.limits.pipelined:
            self._resume()

    def _finish(self, transport: asyncio.Transport) -> None:
        if not self._lingering or not transport.can_write_eof():
            transport.close()
            return
        # the client may still be sending: closing now would reset the connection and could destroy the refusal
        # before it is read, so our side ends and the rest is read and thrown away for a moment (RFC 9112, 9.6)
        transport.write_eof()
        self.since = self._server.now
        if not self._reading:
            self._reading = True
            transport.resume_reading()

    def drain(self) -> None:
        """Finish what has begun, then close; where nothing has begun, a last request is still answered.

        A client may be sending just now on a connection that seems idle to us, and to close it would lose that request
        (RFC 9112, 9.5). So the sweep closes it a moment later, and an answer until then says `connection: close`.
        """
        self.draining = True
        if self._untouched():
            self.since = self._server.now

    def _untouched(self) -> bool:
        """Whether nothing has come that waits for an answer."""
        return not self._queue and (self.phase == _IDLE or self._raw_bytes == 0)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def sweep(self, now: float) -> None:
        """Close what has waited too long. Called a few times a second for every connection."""
        limits = self._server.limits
        if self._resting:
            self._resting = False
            self._resume()
        else:
            self._slice_bytes = SLICE_BYTES
        if self._rest:
            self.since = now
        waited = now - self.since
        if self._blocked_since is not None and now - self._blocked_since > limits.send_timeout_s:
            self.abort()
        elif self._refused:
            if not self._queue and waited > (LINGER_S if self._lingering else limits.send_timeout_s):
                self.abort()
        elif self.draining and self._untouched() and waited > min(LAST_CALL_S, limits.header_timeout_s):
            if self._transport is not None:
                self._transport.close()
        elif self.phase == _HEAD and waited > limits.header_timeout_s:
            self._refuse(408, "the head of the request did not arrive in time")
        elif self.phase == _BODY and waited > limits.body_timeout_s:
            self._refuse(408, "the body did not arrive in time")
        elif self.phase == _IDLE and not self._queue and waited > limits.idle_timeout_s and self._transport is not None:
            self._transport.close()

    def _refuse(self, status: int, message: str, *, linger: bool = True) -> None:
        """Answer a request that never reached the handler, after those before it; then close."""
        if self._refused:
            return
        self._refused = True
        # one that was too slow is not sending a body that could make the kernel reset the connection
        self._lingering = linger and status != 408
        self.phase, self.since = _IDLE, self._server.now
        self._body.clear()
        self._server.held_bytes -= self._body_bytes
        self._body_bytes = 0
        self._server.note_refused(status)
        exchange = Exchange(self, Request(Head(b"", b"", {}, None), b"", self._peer), True, 0)
        self._queue.append(exchange)
        exchange.reply(status, b'{"error":"%b"}' % message.encode(), extra=RETRY if status == 503 else b"")

    def _pause(self) -> None:
        if self._reading and self._transport is not None:
            self._reading = False
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._reading or self._refused or self._transport is None or self._stands():
            return
        if self._rest:
            self._server.soon(self._go_on)
            return
        self._reading = True
        self._transport.resume_reading()


_SINGLE: Final = frozenset(
    (
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"content-type",
        b"authorization",
        b"x-api-key",
        b"expect",
        b"inference-header-content-length",
        b"content-encoding",
    )
)
