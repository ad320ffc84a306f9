"""Format 3: the sealed record of one decision, and the plain payload of an entry that everyone may read.

A payload is a header of fixed width and a body:

    magic 4 | v 1 | alg 1 | zero 2 | key_id 16 | nonce 12 | body

`alg` 1 is AES-256-GCM: the body is ciphertext and its 16-byte tag; the associated data are the format's name, the whole
header, the decision id and the release digest, so a payload cannot be moved to another decision, release or key.
`alg` 0 is plain: key id and nonce are zero, the body is the entry itself, and the leaf's `payload_sha256` protects it.
A tag does not commit to a key (two keys can open one ciphertext); the leaf's commitment does, so `open_decision`
checks it before it hands anything back.
"""

from __future__ import annotations

import hmac
from typing import Final, Literal, NamedTuple, Protocol

import msgspec
from cryptography.exceptions import InvalidTag
from pybase64 import b64encode

from strongroom.encoding import parse_as
from strongroom.errors import ErasedError, InvalidInputError, TamperedError
from strongroom.ledger.leaf import Leaf, commitment
from strongroom.vocabulary import Digest, digest_of

MAGIC: Final = b"SRP3"
VERSION: Final = 1
ALG_NONE: Final = 0
ALG_AES_256_GCM: Final = 1
KEY_ID_SIZE: Final = 16
NONCE_SIZE: Final = 12
DECISION_ID_SIZE: Final = 16
RELEASE_SIZE: Final = 32
SALT_SIZE: Final = 32
HEADER_SIZE: Final = 36
TAG_SIZE: Final = 16
RECORD_LIMIT_BYTES: Final = 16 * 1024 * 1024

SEALING_CONTEXT: Final = b"strongroom/record/v1\n"
SEALED_PREFIX: Final = MAGIC + bytes((VERSION, ALG_AES_256_GCM, 0, 0))
_PLAIN_HEADER: Final = MAGIC + bytes((VERSION, ALG_NONE, 0, 0)) + bytes(KEY_ID_SIZE + NONCE_SIZE)


class Aead(Protocol):
    """AES-256-GCM with its key inside, as `cryptography` offers it."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes: ...

    def encrypt_into(self, nonce: bytes, data: bytes, associated_data: bytes | None, buf: memoryview) -> int: ...

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes: ...


class Header(NamedTuple):
    """What a payload says of itself before anything is decrypted."""

    alg: int
    key_id: bytes
    nonce: bytes


class Labels(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, cache_hash=True):
    """What the caller asserted, bounded by their grants, recorded as asserted."""

    purpose: str
    jurisdiction: str
    environment: str


class DecisionRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The plaintext of a decision's payload (version 1), canonical JSON; bytes travel as base64.

    Attributes:
        outcome: `answered`, or `refused` after authentication (then `answer` holds reasons and no input values), or
            `shadow`: what a challenger made of a row that another version answered.
        answer: canonical bytes of the answer document; the leaf's commitment covers exactly these bytes.
        salt: 32 random bytes, the key of the commitment; the caller gets it with the receipt.
        subject: the data subject as the caller named them, or an empty string when a refused request named none.
        principal: who asked.
        labels: as asserted.
        numeric_profile: the conditions under which the bits repeat, as enforced for this decision; empty when refused.
    """

    v: Literal[1] = 1
    outcome: Literal["answered", "refused", "shadow"]
    answer: bytes
    salt: bytes
    subject: str
    principal: str
    labels: Labels
    numeric_profile: dict[str, str | int]

    def __post_init__(self) -> None:
        if len(self.salt) != SALT_SIZE:
            raise InvalidInputError(f"a record's salt has {SALT_SIZE} bytes", field="salt", rule="length")


_encoder = msgspec.json.Encoder(order="sorted")
_encode = _encoder.encode


def encode_record(record: DecisionRecord) -> bytes:
    """Canonical bytes of `record`; on the hot path, so without the recursive check that `encoding.canonical` makes.

    Every field is text, base64 or a small integer, so the result is canonical by its type; a property test holds it so.
    """
    return _encoder.encode(record)


class RecordTemplate:
    """The constant parts of the records of one caller with the same labels and release.

    Args:
        outcome, principal, labels, numeric_profile: as in `DecisionRecord`.

    Attributes:
        middle: what stands between the answer and the salt.
    """

    __slots__ = ("middle",)

    def __init__(
        self,
        outcome: Literal["answered", "refused", "shadow"],
        principal: str,
        labels: Labels,
        numeric_profile: dict[str, str | int],
    ) -> None:
        whole = encode_record(
            DecisionRecord(
                outcome=outcome, answer=b"", salt=bytes(SALT_SIZE), subject="", principal=principal, labels=labels,
                numeric_profile=numeric_profile,
            )
        )  # fmt: skip
        # a quotation mark inside a text is escaped, so this finds the field and nothing inside a value
        self.middle = whole[len(_BEGIN) : whole.rindex(_SALT) + len(_SALT)]

    def fill(self, answer: bytes, salt: bytes, subject: str) -> bytes:
        """Equal to `encode_record` of the same record; a property test holds it so.

        Raises:
            InvalidInputError: the salt has another length.
        """
        if len(salt) != SALT_SIZE:
            raise InvalidInputError(f"a record's salt has {SALT_SIZE} bytes", field="salt", rule="length")
        return b'{"answer":"%b%b%b","subject":%b,"v":1}' % (
            b64encode(answer), self.middle, b64encode(salt), _encode(subject),
        )  # fmt: skip


_BEGIN: Final = b'{"answer":"'
_SALT: Final = b'"salt":"'


def decode_record(data: bytes) -> DecisionRecord:
    """Read a decrypted record.

    Raises:
        TamperedError: it is not a canonical record; our own key sealed it, so this is no mistake of a caller.
    """
    try:
        return parse_as(data, DecisionRecord, RECORD_LIMIT_BYTES)
    except InvalidInputError as error:
        raise TamperedError(f"a decrypted payload is not a decision record: {error.message}") from error


def seal_record(document: bytes, key: Aead, key_id: bytes, nonce: bytes, decision_id: bytes, release: bytes) -> bytes:
    """Seal one record under its subject's key.

    Args:
        document: plaintext, for example from `encode_record`.
        key: ready for use, of this `key_id`.
        key_id: 16 bytes.
        nonce: 12 random bytes (NIST SP 800-38D 8.3: at most 2**32 records under one key).
        decision_id: 16 bytes.
        release: SHA-256 of the release, 32 bytes.

    Raises:
        ValueError: an argument has the wrong length; a mistake in our own code.
    """
    if len(key_id) != KEY_ID_SIZE or len(nonce) != NONCE_SIZE or len(decision_id) != DECISION_ID_SIZE:
        raise ValueError("seal_record needs key id, nonce and decision id of 16, 12 and 16 bytes")
    if len(release) != RELEASE_SIZE:
        raise ValueError("seal_record needs a release of 32 bytes")
    header = b"%b%b%b" % (SEALED_PREFIX, key_id, nonce)
    return header + key.encrypt(nonce, document, b"%b%b%b%b" % (SEALING_CONTEXT, header, decision_id, release))


def open_record(payload: bytes, key: Aead | None, decision_id: bytes, release: bytes) -> bytes:
    """Decrypt one record.

    Args:
        payload: as stored.
        key: for `read_header(payload).key_id`, or None when the key store has destroyed it.
        decision_id: 16 bytes, from the leaf.
        release: 32 bytes, from the leaf.

    Raises:
        ErasedError: there is no key any more.
        TamperedError: header, ciphertext, decision id, release or key do not belong together.
    """
    header = read_header(payload)
    if header.alg != ALG_AES_256_GCM:
        raise TamperedError("a plain payload stands where a sealed record belongs")
    if len(decision_id) != DECISION_ID_SIZE or len(release) != RELEASE_SIZE:
        # else bytes could move from one to the other under the same tag
        raise TamperedError("a record is opened with a decision id of 16 and a release digest of 32 bytes")
    if key is None:
        raise ErasedError("the key of this record is destroyed; nobody can read it any more")
    associated = SEALING_CONTEXT + payload[:HEADER_SIZE] + decision_id + release
    try:
        return key.decrypt(header.nonce, payload[HEADER_SIZE:], associated)
    except InvalidTag as error:
        raise TamperedError("a sealed record does not decrypt under its key, decision id and release") from error


def plain_payload(document: bytes) -> bytes:
    """The payload of an entry that anyone may read (opening and closing of shards)."""
    return _PLAIN_HEADER + document


def open_plain(payload: bytes, payload_sha256: Digest) -> bytes:
    """The document of a plain payload, checked against its leaf.

    Raises:
        TamperedError: it is not the payload that the leaf names, or not plain.
    """
    if digest_of(payload) != payload_sha256:
        raise TamperedError("a plain payload is not the one that its leaf names")
    if read_header(payload).alg != ALG_NONE:
        raise TamperedError("a sealed payload stands where a plain one belongs")
    return payload[HEADER_SIZE:]


def read_header(payload: bytes) -> Header:
    """Read and check the fixed-width header.

    Raises:
        TamperedError: wrong length, magic, version, algorithm or reserved bytes, or a plain header with a key.
    """
    if not HEADER_SIZE <= len(payload) <= RECORD_LIMIT_BYTES:
        raise TamperedError(f"a payload of {len(payload)} bytes is outside the limits of format 3")
    if payload[:4] != MAGIC or payload[4] != VERSION or payload[6:8] != b"\0\0":
        raise TamperedError("a payload does not begin with the header of format 3, version 1")
    alg = payload[5]
    if alg == ALG_NONE:
        if payload[:HEADER_SIZE] != _PLAIN_HEADER:
            raise TamperedError("a plain payload names a key or a nonce")
    elif alg != ALG_AES_256_GCM or len(payload) < HEADER_SIZE + TAG_SIZE:
        raise TamperedError(f"a payload has algorithm {alg} or lacks its tag")
    return Header(alg, payload[8 : 8 + KEY_ID_SIZE], payload[8 + KEY_ID_SIZE : HEADER_SIZE])


def open_decision(leaf: Leaf, payload: bytes, key: Aead | None) -> DecisionRecord:
    """Open one decision's record and hold it against its leaf.

    1. The payload is the one that the leaf names, by digest and size.
    2. Its header names the leaf's key.
    3. It decrypts under that key, the leaf's decision id and release.
    4. It is a record.
    5. The leaf's commitment opens to its salt and answer: AES-GCM alone would let one ciphertext mean two things.

    Args:
        leaf: already proven to be in the log.
        payload: as stored beside it.
        key: of the leaf's `key_id`, None when destroyed.

    Raises:
        ErasedError: there is no key any more.
        TamperedError: any of the five fails.
    """
    # 1
    if len(payload) != leaf.payload_size or digest_of(payload) != leaf.payload_sha256:
        raise TamperedError(f"the payload of decision `{leaf.decision_id}` is not the one that its leaf names")
    # 2
    if read_header(payload).key_id.hex() != leaf.key_id:
        raise TamperedError(f"the payload of decision `{leaf.decision_id}` names another key than its leaf")
    # 3
    release = bytes(RELEASE_SIZE) if leaf.release is None else bytes.fromhex(leaf.release)
    plain = open_record(payload, key, bytes.fromhex(leaf.decision_id), release)
    # 4
    record = decode_record(plain)
    # 5
    if not hmac.compare_digest(commitment(record.salt, record.answer), leaf.commitment):
        raise TamperedError(f"the record of decision `{leaf.decision_id}` is not what its leaf commits to")
    return record
