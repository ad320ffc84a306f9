"""What a client was told, held against the log that is left after a crash."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from strongroom.ledger.leaf import Leaf
from strongroom.ledger.note import VerifierKey
from strongroom.ledger.ports import StoredRecord
from strongroom.ledger.tree import MemoryTree, leaf_hash
from strongroom.sealing.records import open_decision
from strongroom.sealing.subjects import SubjectKeys
from strongroom.serving.answer import read_answer
from strongroom.serving.receipt import verify_receipt
from strongroom.vocabulary import digest_of


class BrokenPromiseError(AssertionError):
    """A client holds an answer that the log does not hold."""


@dataclass(frozen=True, slots=True)
class Told:
    """One answer as a client received it: all of its bytes had arrived."""

    subject: str
    status: int
    body: Any

    @property
    def decision_id(self) -> str:
        return str(self.body["parameters"]["decision_id"])


def check_promises(told: Iterable[Told], records: Iterable[StoredRecord], log: VerifierKey, keys: SubjectKeys) -> int:
    """Every answer that was received has its record, which opens and says the same. Returns how many there were.

    Raises:
        BrokenPromiseError: one has not.
    """
    found: dict[str, StoredRecord] = {}
    tree = MemoryTree()
    for record in records:
        found[Leaf.decode(record.leaf).decision_id] = record
        tree.append(leaf_hash(record.leaf))
    count = 0
    for one in told:
        if one.status != 200:
            continue
        count += 1
        record = found.get(one.decision_id)
        if record is None:
            raise BrokenPromiseError(f"decision {one.decision_id} was answered and is not in the log")
        leaf = Leaf.decode(record.leaf)
        assert record.payload is not None
        assert digest_of(record.payload) == leaf.payload_sha256
        opened = open_decision(leaf, record.payload, keys.by_key_id(bytes.fromhex(leaf.key_id)).aead)
        answer = read_answer(opened.answer)
        score = np.frombuffer(answer.outputs[0].data, "<f4")[0]
        assert (opened.subject, answer.decision_id) == (one.subject, one.decision_id)
        assert float(score) == one.body["outputs"][0]["data"][0]
        assert answer.decision == one.body["outputs"][1]["data"][0]
        receipt = one.body["parameters"].get("receipt")
        if receipt is not None:
            _, proven, checkpoint = verify_receipt(receipt.encode(), log)
            assert proven == leaf
            # the tree that the receipt names is the beginning of the one that was recovered: it was not forked
            assert checkpoint.size <= tree.size
            assert checkpoint.root == tree.root(checkpoint.size)
    return count


def read_told(subject: str, status: int, body: bytes) -> Told:
    """From the bytes of an answer."""
    return Told(subject, status, json.loads(body))
