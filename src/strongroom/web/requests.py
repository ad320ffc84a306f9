"""One request as it came over HTTP, who sent it, and what one client may cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from strongroom.access.certificates import Presented

STATUS_LINES: Final[dict[int, bytes]] = {
    status: f"HTTP/1.1 {status} {reason}\r\n".encode()
    for status, reason in (
        (200, "OK"),
        (400, "Bad Request"),
        (401, "Unauthorized"),
        (403, "Forbidden"),
        (404, "Not Found"),
        (405, "Method Not Allowed"),
        (406, "Not Acceptable"),
        (408, "Request Timeout"),
        (409, "Conflict"),
        (410, "Gone"),
        (413, "Content Too Large"),
        (414, "URI Too Long"),
        (415, "Unsupported Media Type"),
        (417, "Expectation Failed"),
        (422, "Unprocessable Content"),
        (429, "Too Many Requests"),
        (431, "Request Header Fields Too Large"),
        (500, "Internal Server Error"),
        (501, "Not Implemented"),
        (503, "Service Unavailable"),
    )
}


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what one client may cost.

    Attributes:
        url_bytes: of the request target.
        header_bytes: of the whole head, request line included.
        header_count: number of header lines.
        body_bytes: of a body; checked against content-length before reading, counted when chunked.
        header_timeout_s: from the first byte (or the connection's start) to the end of the head.
        body_timeout_s: from the end of the head to the end of the body.
        idle_timeout_s: between requests on one connection.
        send_timeout_s: how long a client may leave its answers unread.
        connections: open at once; one more gets 503.
        connections_per_address: of them from one address; one more gets 503.
        held_bytes: of bodies that have no answer yet and of answers that could not be sent yet, over all connections;
            the body that goes beyond gets 503.
        pipelined: unanswered requests on one connection before reading from it pauses.
    """

    url_bytes: int = 2048
    header_bytes: int = 16 * 1024
    header_count: int = 64
    body_bytes: int = 2_000_000
    header_timeout_s: float = 5.0
    body_timeout_s: float = 15.0
    idle_timeout_s: float = 75.0
    send_timeout_s: float = 20.0
    connections: int = 2048
    connections_per_address: int = 1024
    held_bytes: int = 256 * 1024 * 1024
    pipelined: int = 16


class Head:
    """A request's head as llhttp read it: method, raw target, headers by lower-case name.

    Attributes:
        length: of the body that belongs to it, or None where its framing is anything but a plain content-length.
        memo: what the handler concluded from this head alone. A head with a memo is remembered by its exact bytes, so
            that the next request with the very same ones is neither parsed nor concluded from again.
    """

    __slots__ = ("headers", "length", "memo", "method", "target")

    def __init__(self, method: bytes, target: bytes, headers: dict[bytes, bytes], length: int | None) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.length = length
        self.memo: Any = None


class Request(msgspec.Struct, frozen=True, eq=False):
    """One request as it came. `target` is the raw target with its query; nothing is decoded or normalised."""

    head: Head
    body: bytes
    peer: Peer

    @property
    def method(self) -> bytes:
        return self.head.method

    @property
    def target(self) -> bytes:
        return self.head.target

    @property
    def headers(self) -> dict[bytes, bytes]:
        return self.head.headers


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is on the line: address, and with mutual TLS the client's certificate, in DER and as it was read."""

    address: str
    certificate: bytes | None = None
    presented: Presented | None = None
