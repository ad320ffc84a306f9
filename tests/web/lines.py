"""A server on a loop in a thread, and raw sockets to talk to it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvloop

from strongroom.web.exchange import Exchange
from strongroom.web.requests import Limits
from strongroom.web.server import Server, listen
from tests.waiting import PATIENCE_S, until


class Running:
    """A started server with its loop."""

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop, port: int) -> None:
        self.server, self.loop, self.port = server, loop, port

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run a function or coroutine function on the loop and wait for it."""

        async def run() -> Any:
            result = function(*arguments)
            return await result if asyncio.iscoroutine(result) else result

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(PATIENCE_S)

    def until(self, holds: Callable[[], object]) -> None:
        """Wait for what the loop will have done by and by; asked on the loop."""
        until(lambda: self.call(holds))

    def until_connected(self, count: int) -> None:
        """Wait until so many connections are open, no more and no less."""
        self.until(lambda: len(self.server.connections) == count)

    @property
    def unanswered(self) -> int:
        """Requests that have come in and have no answer yet, over all connections; asked on the loop."""
        return sum(len(one._queue) for one in self.server.connections)

    def socket(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)


@contextmanager
def running(
    make: Callable[[asyncio.AbstractEventLoop], Callable[[Exchange], None]],
    limits: Limits | None = None,
    tls: Any = None,
) -> Iterator[Running]:
    """Serve `make(loop)` until the block ends."""
    loop = uvloop.new_event_loop()
    started: list[Running] = []
    ready = threading.Event()

    def main() -> None:
        asyncio.set_event_loop(loop)

        async def start() -> None:
            server = Server(make(loop), limits)
            port = await server.start(listen("127.0.0.1", 0), tls)
            started.append(Running(server, loop, port))

        loop.run_until_complete(start())
        ready.set()
        loop.run_forever()
        loop.close()

    thread = threading.Thread(target=main)
    thread.start()
    assert ready.wait(PATIENCE_S)
    try:
        yield started[0]
    finally:
        started[0].call(started[0].server.stop, 0.2)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE_S)


def read_all(sock: socket.socket) -> bytes:
    """Until the server closes."""
    parts = []
    while True:
        try:
            part = sock.recv(65536)
        except ConnectionResetError:
            break
        if not part:
            break
        parts.append(part)
    return b"".join(parts)


def read_reply(sock: socket.socket) -> tuple[int, dict[bytes, bytes], bytes]:
    """One answer with a content-length."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = sock.recv(65536)
        if not part:
            raise ConnectionError(f"closed after {data!r}")
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(b":") for line in lines[1:])}
    need = int(headers[b"content-length"])
    while len(body) < need:
        body += sock.recv(65536)
    assert len(body) == need, "more than one answer was sent; read them with read_all"
    return int(lines[0].split()[1]), headers, body
