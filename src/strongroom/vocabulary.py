"""The words that every room shares: digests, references, instants, labels."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NewType, Protocol

from strongroom.errors import InvalidInputError

Digest = NewType("Digest", str)
"""SHA-256 as 64 lower-case hexadecimal digits."""

KeyId = NewType("KeyId", str)
"""SHA-256 of a SubjectPublicKeyInfo in DER, as 64 lower-case hexadecimal digits (format 7)."""

PersonId = NewType("PersonId", str)
"""A person or service in the people register."""

Jurisdiction = NewType("Jurisdiction", str)
"""An upper-case label such as `EU`, `DE` or `US-NY`."""

_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*\Z")
_JURISDICTION = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,3})?\Z")
_TURNING = frozenset(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A))))
_EU_MEMBERS = frozenset(
    {
        *("AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU"),
        *("IE", "IT", "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK"),
    }
)
"""Since 2020-02-01."""
NAME_LIMIT = 63


def digest_of(data: bytes | bytearray | memoryview) -> Digest:
    """The SHA-256 of `data`."""
    return Digest(hashlib.sha256(data).hexdigest())


def parse_digest(text: str) -> Digest:
    """Read a digest that came from outside.

    Raises:
        InvalidInputError: it is not 64 lower-case hexadecimal digits.
    """
    if not _DIGEST.match(text):
        raise InvalidInputError("a digest is 64 lower-case hexadecimal digits", rule="digest")
    return Digest(text)


def lies_in(place: str, area: str) -> bool:
    """Whether a jurisdiction is another one or a part of it: `US-NY` lies in `US`, `DE` and `DE-BY` in `EU`."""
    country = place.partition("-")[0]
    return area in (place, country) or (area == "EU" and country in _EU_MEMBERS)


def is_plain(text: str) -> bool:
    """Whether words can be shown among others: no control characters but tab and line feed, and none that turn the
    direction of writing, so that what stands on the page is what a reader sees (CVE-2021-42574)."""
    return not any(
        char in _TURNING or (unicodedata.category(char) in ("Cc", "Cs") and char not in "\t\n") for char in text
    )


def parse_name(text: str, what: str) -> str:
    """Read a name (model, person, role) that came from outside and may become part of a path.

    Args:
        text: lower-case letters, digits and single inner hyphens, at most 63 characters, a letter first.
        what: the noun for the message, for example `model name`.

    Raises:
        InvalidInputError: it has any other form.
    """
    if len(text) > NAME_LIMIT or not _NAME.match(text):
        raise InvalidInputError(
            f"a {what} has lower-case letters, digits and single hyphens, starts with a letter "
            f"and is at most {NAME_LIMIT} characters long",
            field=what,
            rule="name",
        )
    return text


def parse_jurisdiction(text: str) -> Jurisdiction:
    """Read a jurisdiction label: two letters, optionally a subdivision (`EU`, `US-NY`).

    Raises:
        InvalidInputError: it has any other form.
    """
    if not _JURISDICTION.match(text):
        raise InvalidInputError(
            "a jurisdiction is two capital letters, with a subdivision where needed, such as EU or US-NY",
            field="jurisdiction",
            rule="jurisdiction",
        )
    return Jurisdiction(text)


@dataclass(frozen=True, slots=True, order=True)
class ModelRef:
    """One immutable version of a model: its name and the digest of its manifest."""

    name: str
    manifest: Digest

    def __post_init__(self) -> None:
        parse_name(self.name, "model name")
        parse_digest(self.manifest)

    def __str__(self) -> str:
        return f"{self.name}@{self.manifest[:12]}"


class Clock(Protocol):
    """Where time comes from. Aware, UTC."""

    def __call__(self) -> datetime: ...


def one_line(text: str) -> str:
    """Someone else's words in one line: line breaks, other control characters, escapes and direction marks are spelled
    out, so that they neither look like a line of ours nor speak to a terminal."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def quoted(names: Sequence[str], most: int = 12) -> str:
    """Names in one line of a message: `a`, `b` and 3 more."""
    told = ", ".join(f"`{one_line(name[:80])}`" for name in names[:most])
    return told if len(names) <= most else f"{told} and {len(names) - most} more"


def micros(at: datetime) -> int:
    """Microseconds since 1970-01-01T00:00:00Z, exact, without floats.

    Raises:
        ValueError: `at` has no time zone.
    """
    if at.tzinfo is None:
        raise ValueError("an instant needs a time zone")
    delta = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def instant(time_us: int) -> datetime:
    """The aware UTC datetime of `time_us` microseconds since 1970."""
    seconds, rest = divmod(time_us, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)


def rfc3339(at: datetime) -> str:
    """`2026-11-21T22:56:43Z`: seconds, UTC, the form that documents carry."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
