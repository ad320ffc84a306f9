"""Compressed bodies in and out, without holding up the loop.

What is small is done at once: at most `AT_ONCE_BYTES` are unpacked or packed on the loop (well under a millisecond).
Whatever is larger goes to one thread of this worker, where zlib lets the loop run on. At most `UNPACKED_AT_ONCE`
requests are unpacked before the loop has taken the first of them, so that small bodies which grow large cannot pile up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from strongroom.errors import RefusedError, TooLargeError
from strongroom.web.coding import choose, deflate, inflate
from strongroom.web.exchange import JSON_TYPE, Exchange

AT_ONCE_BYTES: Final = 32 * 1024
WORTH_BYTES: Final = 1024
"""Below it an answer goes out plain (one packet either way) unless the client refuses that."""
UNPACKED_AT_ONCE: Final = 4

Then = Callable[[bytes | RefusedError], None]


class Bodies:
    """Packs answers and unpacks requests of one gateway. Lives on the loop.

    Args:
        limit_bytes: of an unpacked body; the same limit as for one that came plain.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._thread: ThreadPoolExecutor | None = None
        self._waiting: deque[Callable[[], None]] = deque()
        self._unpacking = 0

    def unpack(self, body: bytes, coding: bytes, then: Then) -> bytes | None:
        """Make the body of a request plain; or return None if that takes a while.

        Args:
            body: as it came.
            coding: what `coding_of` found.
            then: is called on the loop with the plain body, or with why there is none, after None was returned.

        Raises:
            RefusedError: the body is too large or not of its coding.
        """
        # a body this small can still be a bomb, so the bound on what comes out decides
        if len(body) <= AT_ONCE_BYTES:
            try:
                return inflate(body, coding, min(AT_ONCE_BYTES, self._limit_bytes))
            except TooLargeError:
                if self._limit_bytes <= AT_ONCE_BYTES:
                    raise
        self._waiting.append(partial(self._unpack, body, coding, then))
        self._next()
        return None

    def reply(self, exchange: Exchange, body: bytes, content_type: bytes = JSON_TYPE, extra: bytes = b"") -> None:
        """Answer 200 in a coding that the client accepts, if that is worth it or demanded.

        Raises:
            NotAcceptableError: see `choose`.
        """
        accepted = exchange.request.headers.get(b"accept-encoding")
        if accepted is None:
            exchange.reply(200, body, content_type, extra)
            return
        choice = choose(accepted)
        coding = choice.coding
        if coding is None or (len(body) < WORTH_BYTES and not choice.demanded):
            exchange.reply(200, body, content_type, extra)
            return
        extra = b"%bcontent-encoding: %b\r\nvary: accept-encoding\r\n" % (extra, coding)
        if len(body) <= AT_ONCE_BYTES:
            exchange.reply(200, deflate(body, coding), content_type, extra)
            return

        def packed(done: asyncio.Future[bytes]) -> None:
            exchange.reply(200, done.result(), content_type, extra)

        self._aside(partial(deflate, body, coding)).add_done_callback(packed)

    def _unpack(self, body: bytes, coding: bytes, then: Then) -> None:
        def unpacked(done: asyncio.Future[bytes]) -> None:
            found: bytes | RefusedError
            try:
                found = done.result()
            except RefusedError as error:
                found = error
            try:
                then(found)
            finally:
                self._unpacking -= 1
                self._next()

        self._aside(partial(inflate, body, coding, self._limit_bytes)).add_done_callback(unpacked)

    def _next(self) -> None:
        while self._waiting and self._unpacking < UNPACKED_AT_ONCE:
            self._unpacking += 1
            self._waiting.popleft()()

    def _aside(self, work: Callable[[], bytes]) -> asyncio.Future[bytes]:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "coding")
        return asyncio.get_running_loop().run_in_executor(self._thread, work)
