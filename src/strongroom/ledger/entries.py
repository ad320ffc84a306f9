"""The documents by which the governance log opens and closes other logs (format 10).

They are logged in plain, so that anyone with public keys can see which logs exist, from when, and where each ended.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from strongroom.encoding import canonical, parse_as
from strongroom.errors import InvalidInputError
from strongroom.ledger.note import ED25519, VerifierKey
from strongroom.ledger.origin import Origin
from strongroom.vocabulary import Digest, parse_digest

ENTRY_LIMIT = 4096


class OpenEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A log begins.

    Attributes:
        generation: of the origin, repeated so that readers need not parse it.
        opened_us: when, microseconds since 1970.
        origin: `org/room/region/node/slot/generation`.
        type: `open`.
        v: 1.
        vkey: the log's C2SP verifier key; its name is the origin.
    """

    generation: int
    opened_us: int
    origin: str
    type: Literal["open"]
    v: Literal[1]
    vkey: str

    def __post_init__(self) -> None:
        if Origin.parse(self.origin).generation != self.generation:
            raise InvalidInputError("the generation is not the origin's", field="generation", rule="entry")
        key = self.verifier()
        if key.name != self.origin or key.kind != ED25519 or str(key) != self.vkey:
            raise InvalidInputError("the verifier key is not of this origin", field="vkey", rule="entry")
        if not 0 <= self.opened_us < 2**53:
            raise InvalidInputError("an instant lies between 0 and 2**53", field="opened_us", rule="entry")

    def verifier(self) -> VerifierKey:
        """The key that signs the log's checkpoints."""
        return VerifierKey.parse(self.vkey)

    def encode(self) -> bytes:
        """Canonical bytes."""
        return canonical(self)

    @classmethod
    def decode(cls, data: bytes) -> OpenEntry:
        """Read an opening entry.

        Raises:
            InvalidInputError: not canonical, not an opening entry, or its parts disagree.
        """
        return parse_as(data, cls, ENTRY_LIMIT)


class CloseEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A log ends: nothing may follow this size.

    Attributes:
        closed_us: when, microseconds since 1970.
        origin: of the log.
        root: its last root, 64 hexadecimal digits.
        size: its last size.
        type: `close`.
        v: 1.
    """

    closed_us: int
    origin: str
    root: Digest
    size: int
    type: Literal["close"]
    v: Literal[1]

    def __post_init__(self) -> None:
        Origin.parse(self.origin)
        parse_digest(self.root)
        if not (0 <= self.closed_us < 2**53 and 0 <= self.size < 2**53):
            raise InvalidInputError("time and size lie between 0 and 2**53", rule="entry")

    def encode(self) -> bytes:
        """Canonical bytes."""
        return canonical(self)

    @classmethod
    def decode(cls, data: bytes) -> CloseEntry:
        """Read a closing entry.

        Raises:
            InvalidInputError: not canonical, not a closing entry, or a field out of form.
        """
        return parse_as(data, cls, ENTRY_LIMIT)
