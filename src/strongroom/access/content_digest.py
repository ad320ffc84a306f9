"""`Content-Digest` and `Want-Content-Digest` (RFC 9530): the body as it went over the line, coding included."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any, Final

from strongroom.errors import InvalidInputError

FIELD_LIMIT: Final = 1024
_HASHES: Final[Mapping[str, Callable[[bytes], Any]]] = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}
"""What RFC 9530, section 7.2, calls active. The deprecated ones are no digest to us."""


def digest_field(body: bytes, algorithm: str = "sha-256") -> bytes:
    """The value of `Content-Digest` for this body."""
    return b"%b=:%b:" % (algorithm.encode(), base64.b64encode(_HASHES[algorithm](body).digest()))


def check_digest(value: bytes, body: bytes) -> None:
    """Hold a body against its `Content-Digest`.

    Raises:
        InvalidInputError: not a dictionary of digests, an algorithm twice, none that we know, or one that differs.
    """
    digests = parse_dictionary(value, "content-digest")
    for name, member in digests.items():
        digest = member[0] if isinstance(member, tuple) else None
        if not isinstance(digest, bytes):
            raise InvalidInputError("a content digest is a byte sequence", field="content-digest", rule="form")
        if name in _HASHES and not hmac.compare_digest(digest, _HASHES[name](body).digest()):
            raise InvalidInputError(
                "the body is not the one that content-digest was made of", field="content-digest", rule="digest"
            )
    if digests.keys().isdisjoint(_HASHES):
        raise InvalidInputError(
            "content-digest is made with sha-256 or sha-512", field="content-digest", rule="algorithm"
        )


def wanted_algorithm(value: bytes) -> str:
    """Which algorithm a `Want-Content-Digest` prefers among ours; SHA-256 where it knows neither.

    Raises:
        InvalidInputError: not a dictionary of preferences from 0 to 10.
    """
    best, weight = "sha-256", 0
    for name, member in parse_dictionary(value, "want-content-digest").items():
        wish = member[0] if isinstance(member, tuple) else None
        if type(wish) is not int or not 0 <= wish <= 10:
            raise InvalidInputError("a preference for a digest is 0 to 10", field="want-content-digest", rule="form")
        if name in _HASHES and wish > weight:
            best, weight = name, wish
    return best


def parse_dictionary(value: bytes, field: str, limit_bytes: int = FIELD_LIMIT) -> dict[str, Any]:
    """A structured field of type Dictionary (RFC 9651) in which no key stands twice.

    Raises:
        InvalidInputError: anything else, or longer than the limit.
    """

    def refuse(_key: str, _where: str) -> None:
        raise InvalidInputError(f"`{field}` names one key twice", field=field, rule="unique")

    if len(value) > limit_bytes:
        raise InvalidInputError(f"`{field}` has at most {limit_bytes} bytes", field=field, rule="size")
    # with the first signed message: most gateways see none
    import http_sf

    try:
        parsed = http_sf.parse(value, tltype="dictionary", on_duplicate_key=refuse)
    except (ValueError, KeyError, IndexError, OverflowError) as error:
        raise InvalidInputError(
            f"`{field}` is not a structured dictionary (RFC 9651)", field=field, rule="form"
        ) from error
    if not isinstance(parsed, dict) or not parsed:
        raise InvalidInputError(f"`{field}` is empty", field=field, rule="form")
    return parsed
