"""One request and the place for its answer: all that a handler sees of HTTP.

A handler gets an `Exchange` and answers it with `exchange.reply(...)`, at once or in a later turn of the loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from strongroom.web.requests import STATUS_LINES, Request

JSON_TYPE: Final = b"application/json"

_join = b"".join


class Line(Protocol):
    """The connection on which a request came."""

    def ends_with(self, exchange: Exchange) -> bool:
        """Whether this answer is the connection's last; asked while it is made."""

    def answered(self, exchange: Exchange, status: int, size_bytes: int) -> None:
        """An exchange is ready to be sent."""


class Handler(Protocol):
    """What a server is given: must call `exchange.reply` exactly once for each exchange, now or later, on the loop."""

    def __call__(self, exchange: Exchange) -> None: ...


class Exchange(msgspec.Struct, eq=False):
    """One request and the place for its answer.

    Attributes:
        line: on which it came.
        close: whether the connection ends with the answer.
        held: bytes that it keeps in memory: its body, later its answer if that must wait.
        ready: the answer, once there is one.
        seal: where a handler sets it: given status, body, content type and extra lines, it returns more header lines.
    """

    line: Line
    request: Request
    close: bool
    held: int
    ready: bytes | None = None
    seal: Callable[[int, bytes, bytes, bytes], bytes] | None = None

    def reply(self, status: int, body: bytes, content_type: bytes = JSON_TYPE, extra: bytes = b"") -> None:
        """Answer. `extra` is whole header lines, each with its CRLF, made of our own words only."""
        if self.ready is not None:
            return
        if self.seal is not None:
            # asked once: if it fails, the error that is told instead goes out without it
            seal, self.seal = self.seal, None
            extra += seal(status, body, content_type, extra)
        line = self.line
        if self.close or line.ends_with(self):
            extra += b"connection: close\r\n"
            self.close = True
        # a HEAD is never routed to a body by us, but its refusal must not carry one either
        self.ready = ready = _join(
            (
                STATUS_LINES[status], b"content-type: ", content_type, b"\r\ncontent-length: %d\r\n" % len(body),
                extra, b"\r\n", b"" if self.request.head.method == b"HEAD" else body,
            )
        )  # fmt: skip
        line.answered(self, status, len(ready))
