"""Records and keys for ledger tests, made from small numbers so that every run sees the same."""

from __future__ import annotations

import hashlib

from strongroom.ledger.checkpoint import LogKey
from strongroom.ledger.leaf import Leaf, commitment
from strongroom.ledger.ports import Record
from strongroom.vocabulary import Digest, digest_of

ORIGIN = "bank.example/credit/eu/n1/0/1"


def log_key(origin: str = ORIGIN, seed: int = 1) -> LogKey:
    return LogKey(origin, hashlib.sha256(b"log key %d" % seed).digest())


def decision_id(number: int) -> str:
    return hashlib.sha256(b"decision %d" % number).hexdigest()[:32]


def payload_of(number: int, size: int = 100) -> bytes:
    """Bytes without structure, like ciphertext."""
    return hashlib.shake_128(b"payload %d" % number).digest(size)


def leaf_of(number: int, payload: bytes) -> Leaf:
    return Leaf(
        commitment=commitment(b"s" * 32, b"answer %d" % number),
        decision_id=decision_id(number),
        key_id="c" * 32,
        payload_sha256=digest_of(payload),
        payload_size=len(payload),
        policy=Digest("d" * 64),
        release=Digest("e" * 64),
        retain_until_us=2_000_000_000_000_000,
        time_us=1_790_000_000_000_000 + number,
        type="decision",
    )


def record(number: int, size: int = 100) -> Record:
    payload = payload_of(number, size)
    return Record(leaf_of(number, payload).encode(), payload)


def records(first: int, count: int, size: int = 100) -> list[Record]:
    return [record(number, size) for number in range(first, first + count)]
