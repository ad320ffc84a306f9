"""API keys of calling systems: `sr_<id>_<secret>`.

The id is public and finds the grant; the secret proves it. They are separate, so that a secret can be replaced while
the id, the grant and everything recorded under it stay. Only a keyed digest of the secret is ever stored.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from strongroom.errors import InvalidInputError
from strongroom.vocabulary import Digest

ID_BYTES = 10
SECRET_BYTES = 32
PEPPER_BYTES = 32
FIRST_PEPPER = 1
"""A room numbers its peppers; what names none is under the first."""
SECRETS_LIMIT = 4
"""How many secrets one key id may have at a time, a rotation in progress included."""

KEY_LIMIT = 256
"""Longest API key that is looked at."""

_KEY = re.compile(r"sr_([a-z2-7]{12,32})_([a-z2-7]{52,128})\Z")
_ID = re.compile(r"[a-z2-7]{12,32}\Z")
_CONTEXT = b"strongroom/api-key/v1\n"
_NOBODY = "0" * 64


class StoredSecret(Protocol):
    """What a grant keeps of a secret."""

    @property
    def digest(self) -> Digest: ...
    @property
    def from_us(self) -> int: ...
    @property
    def until_us(self) -> int | None: ...
    @property
    def pepper_number(self) -> int: ...


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key in the clear. Made once, shown once, never stored.

    Attributes:
        id: 12 to 32 characters of lower-case base32; whatever stands under it in the grants is found by it.
        secret: at least 32 random bytes in lower-case base32.
    """

    id: str
    secret: str

    def __repr__(self) -> str:
        return f"ApiKey(id={self.id!r})"

    def __str__(self) -> str:
        """As the caller sends it: dangerous to log, so only this and nothing else spells it out."""
        return f"sr_{self.id}_{self.secret}"

    def digest(self, pepper: bytes) -> Digest:
        """HMAC-SHA-256 of id and secret under the pepper, which stands in a key ring and not beside the digests.

        Raises:
            ValueError: the pepper is shorter than 32 bytes.
        """
        if len(pepper) < PEPPER_BYTES:
            raise ValueError(f"a pepper has at least {PEPPER_BYTES} bytes")
        return Digest(hmac.new(pepper, _CONTEXT + str(self).encode(), hashlib.sha256).hexdigest())


def new_api_key(random: Callable[[int], bytes], key_id: str | None = None) -> ApiKey:
    """A new key; with `key_id`, a new secret under an id that stays."""
    return ApiKey(parse_key_id(key_id) if key_id else _base32(random(ID_BYTES)), _base32(random(SECRET_BYTES)))


def parse_api_key(text: str) -> ApiKey:
    """Read a key as a caller sent it.

    Raises:
        InvalidInputError: it has another form; the message never quotes it.
    """
    found = _KEY.match(text) if len(text) <= KEY_LIMIT else None
    if found is None:
        raise InvalidInputError("an API key has the form sr_<id>_<secret>", rule="api-key")
    return ApiKey(found[1], found[2])


def parse_key_id(text: str) -> str:
    """Read the public part of a key.

    Raises:
        InvalidInputError: it is not 12 to 32 characters of lower-case base32.
    """
    if not _ID.match(text):
        raise InvalidInputError(
            "the id of an API key is 12 to 32 characters of a-z and 2-7", field="key_id", rule="key-id"
        )
    return text


def match_secret(
    key: ApiKey, stored: Sequence[StoredSecret], peppers: Mapping[int, bytes], at_us: int
) -> StoredSecret | None:
    """The stored secret that this key has, if it counts at `at_us`.

    Four digests are compared in constant time whatever is stored, missing ones replaced by one that nobody has, and
    each pepper is used once, so that an unknown id, a wrong secret and a rotation in progress all cost the same.

    Args:
        key: as the caller sent it.
        stored: secrets of its id.
        peppers: by number; a secret under one that is not among them is nobody's.
        at_us: now, in microseconds.

    Raises:
        ValueError: no pepper, or a short one.
    """
    digests = {number: key.digest(pepper) for number, pepper in peppers.items()}
    if not digests:
        raise ValueError("API keys cannot be checked without a pepper")
    other = next(iter(digests.values()))
    matched: StoredSecret | None = None
    for place in range(max(SECRETS_LIMIT, len(stored))):
        secret = stored[place] if place < len(stored) else None
        number = secret.pepper_number if secret is not None else FIRST_PEPPER
        same = hmac.compare_digest(digests.get(number, other), secret.digest if secret is not None else _NOBODY)
        if (
            same
            and secret is not None
            and number in digests
            and secret.from_us <= at_us
            and (secret.until_us is None or at_us < secret.until_us)
        ):
            matched = secret
    return matched


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=").lower()
