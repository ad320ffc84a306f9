"""Content codings of bodies: gzip and deflate, undone and applied within bounds, and what a client accepts.

Source: RFC 9110 sections 8.4, 12.4.2, 12.5.3 and 15.5.16; RFC 1950 (deflate is the zlib format); RFC 1952 (gzip).
"""

from __future__ import annotations

import re
import zlib
from typing import Final, NamedTuple

from strongroom.errors import InvalidInputError, NotAcceptableError, TooLargeError, UnsupportedError

_WINDOWS: Final = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}
SPOKEN: Final = b"gzip, deflate"
"""For `accept-encoding` beside a 415."""
STEP_BYTES: Final = 16 * 1024
LEVEL: Final = 1
"""Numbers as text shrink to a third at any level; the fastest one costs a fifth of the usual."""
_WEIGHT: Final = re.compile(rb"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\Z", re.IGNORECASE)
_KNOWN_LIMIT: Final = 64


class Choice(NamedTuple):
    """How an answer may travel: `coding` compressed if that is worth it, and `demanded` if it may not go plain."""

    coding: bytes | None
    demanded: bool


def coding_of(value: bytes) -> bytes | None:
    """The one coding of a request's body, or None for a plain one.

    Raises:
        UnsupportedError: more than one coding, or one that is not spoken here.
    """
    name = value.strip().lower()
    if name == b"identity":
        return None
    if name not in _WINDOWS:
        raise UnsupportedError(
            "a body comes plain, or in one coding: gzip or deflate", field="content-encoding", rule="coding"
        )
    return name


def inflate(body: bytes, coding: bytes, limit: int) -> bytes:
    """Undo a coding, and stop as soon as there is more than is allowed.

    Args:
        body: as it came.
        coding: what `coding_of` found.
        limit: bytes that may come out; never more than one above it is made.

    Raises:
        TooLargeError: more would come out.
        InvalidInputError: not one whole stream of this coding with nothing after it.
    """
    machine = zlib.decompressobj(_WINDOWS[coding])
    parts: list[bytes] = []
    left, place = limit, 0
    # in steps: what is left over when the limit is hit would be copied as a whole
    while place < len(body) and not machine.eof:
        try:
            part = machine.decompress(body[place : place + STEP_BYTES], left + 1)
        except zlib.error:
            raise _broken(coding) from None
        place += STEP_BYTES
        left -= len(part)
        if left < 0:
            raise TooLargeError(
                f"a body has at most {limit} bytes when it is unpacked", field="content-encoding", rule="size"
            )
        parts.append(part)
    if not machine.eof or machine.unused_data or place < len(body):
        raise _broken(coding)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _broken(coding: bytes) -> InvalidInputError:
    return InvalidInputError(
        f"the body is not one whole {coding.decode()} stream with nothing after it",
        field="content-encoding",
        rule="coding",
    )


def deflate(body: bytes, coding: bytes) -> bytes:
    """Apply a coding. The same body gives the same bytes: no time is written into it."""
    machine = zlib.compressobj(LEVEL, zlib.DEFLATED, _WINDOWS[coding])
    return machine.compress(body) + machine.flush()


def choose(accepted: bytes) -> Choice:
    """Read an `Accept-Encoding`.

    A member that is not well-formed does not count; a coding named twice counts with its last weight.

    Raises:
        NotAcceptableError: neither a plain answer nor a coding of ours is accepted.
    """
    found = _known.get(accepted)
    if found is None:
        found = _choose(accepted)
        if len(_known) < _KNOWN_LIMIT:
            _known[accepted] = found
    return found


_known: Final[dict[bytes, Choice]] = {}


def _choose(accepted: bytes) -> Choice:
    weights: dict[bytes, float] = {}
    for member in accepted.lower().split(b","):
        name, *parameters = (part.strip() for part in member.split(b";"))
        weight = _WEIGHT.match(parameters[0]) if len(parameters) == 1 else None
        if not name or len(parameters) > 1 or (parameters and weight is None):
            continue
        weights[b"gzip" if name == b"x-gzip" else name] = 1.0 if weight is None else float(weight[1])
    others = weights.get(b"*", 0.0)
    # the first of the best, so gzip before deflate
    coding = max((b"gzip", b"deflate"), key=lambda name: weights.get(name, others))
    best = weights.get(coding, others)
    plain = weights.get(b"identity", 0.0 if weights.get(b"*") == 0.0 else None)
    if plain == 0.0:
        if best == 0.0:
            raise NotAcceptableError(
                "an answer goes out plain, as gzip or as deflate, and accept-encoding refuses all three",
                field="accept-encoding",
                rule="coding",
            )
        return Choice(coding, demanded=True)
    return Choice(coding if best > 0.0 and best >= (plain or 0.0) else None, demanded=False)
