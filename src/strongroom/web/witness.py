"""The witness as a process of its own: one route, its own key and memory."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable
from functools import partial

from strongroom.adapters.log.witness_folder import FolderMemory, WitnessFolder
from strongroom.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    NotPermittedError,
    StrongroomError,
    TamperedError,
)
from strongroom.ledger.witness import REQUEST_LIMIT, ForkError, Memory, cosign
from strongroom.web.exchange import Exchange
from strongroom.web.requests import Limits
from strongroom.web.server import Server, listen

log = logging.getLogger(__name__)
TEXT = b"text/plain; charset=utf-8"
SIZE = b"text/x.tlog.size"

# The statuses are the protocol's own (c2sp.org/tlog-witness), not those of the gateway's table.
STATUS: tuple[tuple[type[StrongroomError], int], ...] = (
    (NotFoundError, 404),
    (NotPermittedError, 403),
    (ConflictError, 409),
    (InvalidInputError, 400),
    (ForkError, 422),
    (TamperedError, 500),
)


class Witness:
    """Answers `POST /add-checkpoint`; everything else is 404 or 405.

    There is no other authentication than the log's signature on the checkpoint: the protocol has none.
    """

    def __init__(self, folder: WitnessFolder, memory: Memory, clock_s: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._memory = memory
        self._clock_s = clock_s

    def __call__(self, exchange: Exchange) -> None:
        request = exchange.request
        if request.target != b"/add-checkpoint":
            exchange.reply(404, b"the only route is /add-checkpoint\n", TEXT)
        elif request.method != b"POST":
            exchange.reply(405, b"use POST\n", TEXT, b"allow: POST\r\n")
        else:
            # a synced write a call: off the loop, and one at a time because the memory locks
            future = asyncio.get_running_loop().run_in_executor(None, self.answer, request.body)
            future.add_done_callback(partial(_reply, exchange))

    def answer(self, body: bytes) -> tuple[int, bytes, bytes]:
        """Status, body and content type for one submission."""
        try:
            line = cosign(body, self._folder.logs(), self._memory, self._folder.key, int(self._clock_s()))
        except StrongroomError as error:
            status = next((status for family, status in STATUS if isinstance(error, family)), 503)
            log.warning("refused a checkpoint: %s", error.message)
            if status == 409 and "size" in error.details:
                return status, b"%d\n" % int(error.details["size"]), SIZE
            return status, error.message.encode() + b"\n", TEXT
        return 200, line, TEXT


def _reply(exchange: Exchange, future: asyncio.Future[tuple[int, bytes, bytes]]) -> None:
    if future.exception() is not None:
        log.error("the witness failed", exc_info=future.exception())
        exchange.reply(500, b"the witness failed; it was logged\n", TEXT)
        return
    status, body, content_type = future.result()
    exchange.reply(status, body, content_type)


async def run(folder: WitnessFolder, host: str, port: int, ready: Callable[[int], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT."""
    memory = FolderMemory(folder.folder / "seen")
    server = Server(Witness(folder, memory), Limits(body_bytes=REQUEST_LIMIT, connections=256))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    bound = await server.start(listen(host, port))
    if ready is not None:
        ready(bound)
    await stop.wait()
    await server.stop(5.0)
    memory.close()
