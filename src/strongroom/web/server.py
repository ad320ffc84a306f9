"""Listening, sweeping and stopping for `web.http`."""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import socket
import ssl
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from strongroom.errors import ConflictError, UnavailableError
from strongroom.web.exchange import Exchange, Handler
from strongroom.web.http import HEAD_BYTES, HEADS, Connection
from strongroom.web.requests import Head, Limits

log = logging.getLogger(__name__)
SWEEP_S: Final = 0.25
TLS_HANDSHAKE_S: Final = 5.0
BACKLOG: Final = 1024
MOST_HEADS: Final = 131_072
"""As many heads are remembered where there are so many callers; about 2 KB each."""
HEADS_BYTES: Final = HEADS * HEAD_BYTES
"""Bytes of all of them together: one caller who never sends the same head twice cannot fill the memory."""
SAY_AGAIN_S: Final = 10.0
OWN_DESCRIPTORS: Final = 128
"""What a worker needs beside its connections: log, segments, key store, mirror, threads."""


def room_for(connections: int) -> int:
    """How many connections there are descriptors for, at most `connections`; raises the soft limit as far as it goes.

    Without this a flood of connections would take the descriptors that the log needs for its next segment.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + OWN_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    room = connections if soft == resource.RLIM_INFINITY else max(1, min(connections, soft - OWN_DESCRIPTORS))
    if room < connections:
        log.warning(
            "the limit of open files (%d) leaves room for %d connections instead of %d; raise it (LimitNOFILE=, "
            "ulimit -n) or lower limits.connections",
            soft, room, connections,
        )  # fmt: skip
    return room


def listen(host: str, port: int) -> socket.socket:
    """Bind a listening socket that workers inherit.

    Without SO_REUSEPORT: the kernel then refuses a second server on the port, ours or another's, instead of letting
    it take a share of the connections in silence.

    Raises:
        ConflictError: the port is taken.
        UnavailableError: the address cannot be bound for another reason.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise ConflictError(f"port {port} is taken; stop the other server or choose another port") from error
        raise UnavailableError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    sock.setblocking(False)
    return sock


class Server:
    """Accepts connections on a bound socket and hands requests to a handler. One loop, one thread."""

    def __init__(
        self, handler: Handler, limits: Limits | None = None, on_refused: Callable[[int], None] | None = None
    ) -> None:
        self.limits = limits or Limits()
        self.connections: set[Connection] = set()
        self.heads: OrderedDict[bytes, Head] = OrderedDict()
        self._heads_limit = HEADS
        self._heads_bytes = 0
        self.stopping = False
        self.now = 0.0
        self.held_bytes = 0
        self._by_address: dict[str, int] = {}
        self._full_said_s = -SAY_AGAIN_S
        self._handler = handler
        self._on_refused = on_refused
        self._server: asyncio.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._empty: asyncio.Event = asyncio.Event()

    async def start(self, sock: socket.socket, tls: ssl.SSLContext | None = None) -> int:
        """Begin to accept. Returns the port."""
        loop = self._loop = asyncio.get_running_loop()
        self._sweep()
        handshake = TLS_HANDSHAKE_S if tls is not None else None
        self._server = await loop.create_server(
            lambda: Connection(self), sock=sock, ssl=tls, backlog=BACKLOG, ssl_handshake_timeout=handshake
        )
        return int(sock.getsockname()[1])

    async def stop(self, grace_s: float) -> None:
        """Accept nothing new, finish what has begun, flush, close. What is left after `grace_s` is cut off."""
        self.stopping = True
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.drain()
        if self.connections:
            try:
                await asyncio.wait_for(self._empty.wait(), grace_s)
            except TimeoutError:
                for connection in list(self.connections):
                    connection.abort()
        if self._timer is not None:
            self._timer.cancel()

    def serve(self, exchange: Exchange) -> None:
        """Hand one request to the handler; a defect in it costs one 500, not the connection's other requests."""
        try:
            self._handler(exchange)
        except Exception:
            log.exception("the handler failed")
            exchange.reply(500, b'{"error":"an internal error; it was logged"}')

    def soon(self, call: Callable[[], None]) -> None:
        """Call in the next turn of the loop."""
        assert self._loop is not None  # noqa: S101  # set by start
        self._loop.call_soon(call)

    def make_room(self, callers: int) -> None:
        """Remember a head or two of each caller; `HEADS` at least, `MOST_HEADS` at most."""
        self._heads_limit = max(HEADS, min(callers + callers // 4, MOST_HEADS))
        while len(self.heads) > self._heads_limit:
            self._forget_oldest()

    def remember(self, raw: bytes, head: Head) -> None:
        """Keep a head that the handler has a memo for."""
        heads = self.heads
        if raw not in heads:
            self._heads_bytes += len(raw)
        heads[raw] = head
        while len(heads) > self._heads_limit or self._heads_bytes > HEADS_BYTES:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        # a plain dict would look for its first entry among all that left before
        raw, _ = self.heads.popitem(last=False)
        self._heads_bytes -= len(raw)

    def admit(self, connection: Connection, address: str) -> bool:
        """Take a new connection in, if there is room for it."""
        limits, here = self.limits, self._by_address.get(address, 0)
        if len(self.connections) >= limits.connections or here >= limits.connections_per_address:
            if self.now - self._full_said_s >= SAY_AGAIN_S:
                self._full_said_s = self.now
                log.warning(
                    "%d connections are open, %d of them from the address of a new one, which is turned away",
                    len(self.connections), here,
                )  # fmt: skip
            return False
        self.connections.add(connection)
        self._by_address[address] = here + 1
        return True

    def note_gone(self, connection: Connection, address: str) -> None:
        """A connection has closed."""
        if connection in self.connections:
            self.connections.remove(connection)
            left = self._by_address[address] - 1
            if left:
                self._by_address[address] = left
            else:
                del self._by_address[address]
        if self.stopping and not self.connections:
            self._empty.set()

    def note_refused(self, status: int) -> None:
        """A request was refused before it reached the handler."""
        if self._on_refused is not None:
            self._on_refused(status)

    def _sweep(self) -> None:
        assert self._loop is not None  # noqa: S101  # set by start
        self.now = now = self._loop.time()
        for connection in list(self.connections):
            connection.sweep(now)
        self._timer = self._loop.call_later(SWEEP_S, self._sweep)
