"""Records of answered and refused lines in one tight loop: the hottest code of the house.

Equal, byte for byte, to `seal_record(RecordTemplate.fill(...))` and `RecordMaker.make`, which say what a record is and
which tests and tools use; a property test holds the two together. What differs is only that nothing is called for each
record but the primitives themselves.
"""

from __future__ import annotations

import hashlib
import hmac
from binascii import b2a_base64, hexlify
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final, Protocol

import msgspec
from pybase64 import b64encode

from strongroom.errors import ErasedError
from strongroom.ledger.making import MadeRecord, RecordMaker
from strongroom.sealing.records import (
    DECISION_ID_SIZE,
    NONCE_SIZE,
    RELEASE_SIZE,
    SALT_SIZE,
    SEALED_PREFIX,
    SEALING_CONTEXT,
    RecordTemplate,
)
from strongroom.sealing.subjects import SubjectKey

NOBODY: Final = "\0refusals"
"""Stands for the data subject of a refused request that named none; no caller can send a NUL."""

_join = b"".join
_text = msgspec.json.Encoder().encode
_sha256 = hashlib.sha256
# what the class does with two arguments, without a Python frame for it
_made: Callable[[tuple[bytes, bytes]], MadeRecord] = partial(tuple.__new__, MadeRecord)


class Lines(Protocol):
    """One record to be; see `decision.Line`."""

    id: bytes
    document: bytes
    salt: bytes
    subject: str


def seal_lines(
    lines: Iterable[Lines],
    keys: Mapping[str, SubjectKey],
    nonces: bytes,
    place: int,
    template: RecordTemplate,
    maker: RecordMaker,
    release: bytes,
) -> list[MadeRecord]:
    """The records of one request.

    Args:
        lines: each with an id of 16 bytes and a salt of 32.
        keys: of every subject in the lines.
        nonces: random bytes, of which those from `place` on are used, 12 for each line.
        place: where they begin.
        template: of the caller, the labels and the release.
        maker: of the batch and the release.
        release: its digest, 32 bytes.

    Raises:
        ErasedError: a key is missing, or was destroyed meanwhile; no record of this request may be kept.
        ValueError: an argument has the wrong length; a mistake in our own code.
    """
    records: list[MadeRecord] = []
    middle, tail = template.middle, maker.tail
    for line in lines:
        nonce = nonces[place : place + NONCE_SIZE]
        place += NONCE_SIZE
        records.append(seal_line(line, keys.get(line.subject), nonce, middle, tail, release))
    return records


def seal_line(
    line: Lines, key: SubjectKey | None, nonce: bytes, middle: bytes, tail: bytes, release: bytes
) -> MadeRecord:
    """The record of one line.

    Args:
        line: with an id of 16 bytes and a salt of 32.
        key: of its subject.
        nonce: 12 random bytes.
        middle: of the `RecordTemplate`.
        tail: of the `RecordMaker`.
        release: its digest, 32 bytes.

    Raises:
        ErasedError: the key is missing, or was destroyed meanwhile.
        ValueError: an argument has the wrong length; a mistake in our own code.
    """
    if key is None:
        raise ErasedError("there is no key for this subject just now")
    subject, document, salt, decision_id = line.subject, line.document, line.salt, line.id
    if len(salt) != SALT_SIZE or len(decision_id) != DECISION_ID_SIZE or len(release) != RELEASE_SIZE:
        raise ValueError(
            f"a line has an id of {DECISION_ID_SIZE}, a salt of {SALT_SIZE} and a release of {RELEASE_SIZE} bytes"
        )
    key_id = key.key_id
    header = SEALED_PREFIX + key_id + nonce
    plain = _join(
        (
            b'{"answer":"', b64encode(document), middle, b2a_base64(salt, newline=False), b'","subject":',
            _text(subject if subject != NOBODY else ""), b',"v":1}',
        )
    )  # fmt: skip
    payload = header + key.aead.encrypt(nonce, plain, SEALING_CONTEXT + header + decision_id + release)
    leaf = _join(
        (
            b'{"commitment":"', hexlify(hmac.digest(salt, document, "sha256")),
            b'","decision_id":"', hexlify(decision_id), b'","key_id":"', hexlify(key_id),
            b'","payload_sha256":"', hexlify(_sha256(payload).digest()), b'","payload_size":%d' % len(payload), tail,
        )
    )  # fmt: skip
    return _made((leaf, payload))
