"""Messages between a keeper and its clients: u32 length, u8 kind, body of fixed-width fields.

Buffers are byte arrays that their owner clears, because wrapped keys pass through them.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Final

from strongroom.errors import TooLargeError, UnavailableError
from strongroom.sealing.records import KEY_ID_SIZE
from strongroom.sealing.subjects import KEY_SIZE, TAG_BYTES, WRAPPED_SIZE

FRAME_LIMIT: Final = 1 << 20
BATCH_LIMIT: Final = 4096
CLIENT_ID_SIZE: Final = 16
OFFER_SIZE: Final = TAG_BYTES + KEY_SIZE
SOCKET: Final = "keeper.sock"


class Kind(IntEnum):
    """What a message is. Requests below 64, replies below 128, pushes to a cache and their answers above."""

    LISTEN = 1
    GOODBYE = 2
    ENSURE = 3
    FIND = 4
    BY_KEY_ID = 5
    FORGET = 6
    BACK_UP = 7
    EXPIRE = 8
    PAGE = 9
    EXCHANGE = 10
    RENEW = 11
    FIND_ALL = 12
    KEYS = 64
    NONE = 65
    DONE = 66
    UNAVAILABLE = 67
    REFUSED = 68
    DROP = 128
    DROPPED = 129
    STILL_HELD = 130
    RELOAD = 131
    RELOADED = 132


class Message:
    """A received frame. Use as a context manager: the buffer is cleared at the end of the block."""

    __slots__ = ("_frame", "body", "kind")

    def __init__(self, frame: bytearray) -> None:
        self._frame = frame
        self.kind = frame[0]
        self.body = memoryview(frame)[1:]

    def __enter__(self) -> Message:
        return self

    def __exit__(self, *_: object) -> None:
        self.body.release()
        wipe(self._frame)


def wipe(buffer: bytearray) -> None:
    """Overwrite in place."""
    buffer[:] = bytes(len(buffer))


def send(peer: socket.socket, kind: Kind, *parts: bytes | bytearray | memoryview) -> None:
    """Send one frame.

    Raises:
        OSError: the peer is gone or too slow.
    """
    size = 1 + sum(len(part) for part in parts)
    frame = bytearray(4 + size)
    frame[:4] = size.to_bytes(4, "big")
    frame[4] = kind
    place = 5
    for part in parts:
        frame[place : place + len(part)] = part
        place += len(part)
    try:
        peer.sendall(frame)
    finally:
        wipe(frame)


def receive(peer: socket.socket, idle_s: float | None, rest_s: float) -> Message | None:
    """Receive one frame; None when the peer closed between two frames.

    Args:
        peer: a connected socket.
        idle_s: how long to wait for its first byte, None for ever.
        rest_s: how long each further read may take.

    Raises:
        UnavailableError: closed in the middle of a frame.
        TooLargeError: longer than a frame may be.
        OSError: time is up, or the connection broke.
    """
    head = bytearray(4)
    peer.settimeout(idle_s)
    got = peer.recv_into(head)
    if got == 0:
        return None
    peer.settimeout(rest_s)
    _fill(peer, memoryview(head)[got:])
    size = int.from_bytes(head, "big")
    if not 1 <= size <= FRAME_LIMIT:
        raise TooLargeError(f"a keeper message of {size} bytes is outside 1 to {FRAME_LIMIT}")
    frame = bytearray(size)
    _fill(peer, memoryview(frame))
    return Message(frame)


@contextmanager
def address_of(path: Path) -> Iterator[str]:
    """The address of a unix socket, also where the path is longer than the 107 bytes that an address may have."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _fill(peer: socket.socket, view: memoryview) -> None:
    while view:
        got = peer.recv_into(view)
        if got == 0:
            raise UnavailableError("the connection to the keeper closed in the middle of a message")
        view = view[got:]


def read_offers(body: memoryview) -> list[tuple[bytes, tuple[bytes, bytes]]]:
    """Parse the body of ENSURE: tags of all, then key id and wrapped key of all, as `KeyStore.ensure` takes it.

    Raises:
        TooLargeError: not 1 to 4,096 whole offers.
    """
    count, rest = divmod(len(body), OFFER_SIZE)
    if rest or not 1 <= count <= BATCH_LIMIT:
        raise TooLargeError(f"a keeper request holds 1 to {BATCH_LIMIT} whole offers")
    split = TAG_BYTES * count
    return list(zip(tags_in(body[:split]), _candidate.iter_unpack(body[split:]), strict=True))


def read_tags(body: memoryview) -> list[bytes]:
    """Parse the body of FIND_ALL.

    Raises:
        TooLargeError: not 1 to 4,096 whole tags.
    """
    count, rest = divmod(len(body), TAG_BYTES)
    if rest or not 1 <= count <= BATCH_LIMIT:
        raise TooLargeError(f"a keeper request holds 1 to {BATCH_LIMIT} whole tags")
    return tags_in(body)


def tags_in(body: memoryview) -> list[bytes]:
    """Tags, one after the other."""
    return [tag for (tag,) in _tag.iter_unpack(body)]


_tag: Final = struct.Struct(f"{TAG_BYTES}s")
_candidate: Final = struct.Struct(f"{KEY_ID_SIZE}s{WRAPPED_SIZE}s")
