"""Format 2: the log leaf. It proves a record without saying anything about the person in it.

A leaf has no subject, no principal and no unsalted digest of anything guessable. Its bytes are canonical JSON
(format 1) of at most 1 KiB. Fields are declared in alphabetical order, so that encoding needs no sorting.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Literal, get_args

import msgspec

from strongroom.errors import InvalidInputError
from strongroom.vocabulary import Digest

LEAF_LIMIT = 1024
SALT_BYTES = 32
PLAIN = "none"
"""The `key_id` of a record whose payload is not encrypted: opening and closing entries only."""

LeafType = Literal["act", "alert", "close", "decision", "erasure", "open", "refusal", "shadow"]

_DIGEST = '"[0-9a-f]{64}"'
_WHOLE = "(?:0|[1-9][0-9]{0,14}|[1-8][0-9]{15})"  # below 9e15, and so below 2**53
# The whole form as one pattern: field order, no white space, no escapes, no duplicates, exact lengths. A match
# is therefore canonical, which saves encoding it again.
_FIELDS = (
    rf'"commitment":{_DIGEST}',
    r'"decision_id":"([0-9a-f]{32})"',
    r'"key_id":"(?:[0-9a-f]{32}|[0-9a-f]{64}|none(?=[^}]*"type":"(?:open|close)"))"',  # else it must be sealed
    r'"payload_sha256":"([0-9a-f]{64})"',
    rf'"payload_size":({_WHOLE})',
    rf'"policy":(?:null|{_DIGEST})',
    rf'"release":(?:null|{_DIGEST})',
    rf'"retain_until_us":{_WHOLE}',
    rf'"time_us":{_WHOLE}',
    rf'"type":"(?:{"|".join(get_args(LeafType))})"',
    r'"v":1',
)
_FORM = re.compile((r"\{" + ",".join(_FIELDS) + r"\}").encode())
_encoder = msgspec.json.Encoder()


class Leaf(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One leaf.

    Attributes:
        commitment: HMAC-SHA-256 of the answer document under the record's salt, hexadecimal; see `commitment`.
        decision_id: 128 random bits as 32 hexadecimal digits; for governance entries the id of the act.
        key_id: names the key that the payload is encrypted under, 32 or 64 hexadecimal digits, or `none`.
        payload_sha256: of the payload's stored bytes (ciphertext).
        payload_size: of the payload, in bytes.
        policy: digest of the policy set that allowed the act, None where none applies.
        release: digest of the release that answered, None for governance entries.
        retain_until_us: no earlier may retention delete the payload; microseconds since 1970.
        time_us: when, as the writer asserts; microseconds since 1970.
        type: what kind of line this is.
        v: version of this format, 1.
    """

    commitment: str
    decision_id: str
    key_id: str
    payload_sha256: Digest
    payload_size: int
    policy: Digest | None
    release: Digest | None
    retain_until_us: int
    time_us: int
    type: LeafType
    v: Literal[1] = 1

    def encode(self) -> bytes:
        """The canonical bytes. A log refuses them (`check_record`) if a field is out of its form."""
        return _encoder.encode(self)

    @staticmethod
    def decode(data: bytes) -> Leaf:
        """Read a leaf.

        Raises:
            InvalidInputError: anything but the canonical bytes of a version 1 leaf.
        """
        _match(data)
        return _decoder.decode(data)


_decoder = msgspec.json.Decoder(Leaf)


def _match(data: bytes) -> re.Match[bytes]:
    if len(data) > LEAF_LIMIT:
        raise InvalidInputError(f"a leaf of {len(data)} bytes exceeds {LEAF_LIMIT}", rule="leaf-size")
    match = _FORM.fullmatch(data)
    if match is None:
        raise InvalidInputError("the leaf is not of format 2", rule="leaf")
    return match


def check_record(leaf: bytes, payload: bytes) -> None:
    """Demand that `leaf` is a leaf and names exactly this payload.

    Raises:
        InvalidInputError: it is not, or it names another payload.
    """
    match = _match(leaf)
    digest, size = match.group(2, 3)
    if int(size) != len(payload) or hashlib.sha256(payload).hexdigest().encode() != digest:
        raise InvalidInputError("the leaf names another payload", rule="payload-digest")


def decision_id_of(leaf: bytes) -> str:
    """The decision id alone, for an index over many leaves.

    Raises:
        InvalidInputError: not a leaf.
    """
    return _match(leaf).group(1).decode()


def commitment(salt: bytes, document: bytes) -> str:
    """Commit to an answer document so that it can be opened later with the salt, and only to this document.

    AES-GCM does not commit to its key: one ciphertext can open to two plaintexts under two keys. This does.

    Args:
        salt: 32 random bytes, kept in the encrypted payload and given to the caller with the receipt.
        document: the canonical answer document.

    Raises:
        InvalidInputError: the salt is not 32 bytes long.
    """
    return commit(salt, document).hex()


def commit(salt: bytes, document: bytes) -> bytes:
    """See `commitment`: the same as 32 bytes."""
    if len(salt) != SALT_BYTES:
        raise InvalidInputError(f"a salt has {SALT_BYTES} bytes", rule="salt")
    return hmac.digest(salt, document, "sha256")
