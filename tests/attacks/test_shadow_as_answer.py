"""Somebody passes what a challenger computed in shadow off as the bank's answer: no verifier takes it."""

from __future__ import annotations

import pytest

from strongroom import verify
from strongroom.encoding import canonical, parse
from strongroom.errors import TamperedError
from strongroom.ledger.leaf import LeafType, commit
from strongroom.ledger.making import RecordMaker
from strongroom.ledger.note import LogKey
from strongroom.serving.answer import AnswerTemplate
from strongroom.serving.receipt import make_receipt, verify_receipt
from strongroom.vocabulary import Digest, ModelRef
from tests.memory.shard import MemoryShard
from tests.serving.house import ORIGIN, release_of

RELEASE, DECISION = Digest("12" * 32), "34" * 16


def answered() -> bytes:
    release = release_of()
    ref = ModelRef("pd-cards", release.manifest)
    template = AnswerTemplate.make(ref, RELEASE, release.input, release.output, ["accept"])
    return template.answered(DECISION, bytes(16), bytes(4), "accept")


def shadow() -> bytes:
    return canonical({**parse(answered()), "beside": "56" * 16, "status": "shadow"})


@pytest.mark.parametrize(
    ("kind", "logged", "told"),
    [
        ("shadow", shadow(), shadow()),
        # relabelled by whoever holds the record
        ("shadow", shadow(), answered()),
        # by whoever writes the log
        ("shadow", answered(), answered()),
        ("decision", shadow(), shadow()),
        ("refusal", shadow(), shadow()),
        ("decision", canonical({**parse(answered()), "beside": "56" * 16}), None),
    ],
)
def test_it_does_not_verify(kind: LeafType, logged: bytes, told: bytes | None) -> None:
    key = LogKey(ORIGIN, bytes(range(32)))
    log, salt = MemoryShard(ORIGIN, key), bytes(32)
    record = RecordMaker(kind, None, RELEASE, 2, 1).make(commit(salt, logged), bytes.fromhex(DECISION), bytes(16), b"p")
    appended = log.append([record])
    data = make_receipt(record.leaf, salt, told or logged, 0, appended.proof(0), appended.checkpoint)
    policy = verify.read_policy(f"log {key.verifier}\nquorum none\n".encode())
    with pytest.raises(verify.TamperedError):
        verify.verify_receipt(data, policy, [])
    with pytest.raises(TamperedError):
        verify_receipt(data, key.verifier)


def test_the_same_as_an_answer_verifies() -> None:
    key = LogKey(ORIGIN, bytes(range(32)))
    log, salt = MemoryShard(ORIGIN, key), bytes(32)
    maker = RecordMaker("decision", None, RELEASE, 2, 1)
    record = maker.make(commit(salt, answered()), bytes.fromhex(DECISION), bytes(16), b"p")
    appended = log.append([record])
    data = make_receipt(record.leaf, salt, answered(), 0, appended.proof(0), appended.checkpoint)
    policy = verify.read_policy(f"log {key.verifier}\nquorum none\n".encode())
    assert verify.verify_receipt(data, policy, []).document["decision"] == "accept"
    assert verify_receipt(data, key.verifier)[0].decision == "accept"
