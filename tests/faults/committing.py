"""A process that commits decisions as a worker does, and says on standard output what a caller would now hold.

Everything is real: decision path, key store on SQLite, log, publication, time floor, journal of erasures. It runs
under `strace` (tests/faults/test_commit_path.py): what it says stands in the trace between the calls it follows from.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom.adapters.keystore.backup import Backups
from strongroom.adapters.keystore.direct import direct_keys, open_owned
from strongroom.adapters.keystore.subject_cache import CachedSubjectKeys
from strongroom.adapters.log.shard_files import FileShard
from strongroom.adapters.releases.time_floor import TimeFloor
from strongroom.ledger.note import LogKey
from strongroom.sealing.records import Labels
from strongroom.sealing.subjects import subject_tag
from strongroom.serving.asked import Asked
from strongroom.serving.decision import answer_of
from strongroom.serving.question import Question
from strongroom.serving.served import ServedModel
from tests.serving.house import GOOD, House, engine, served

ORIGIN = "bank.example/credit/eu/node-1/0/1"
SEGMENT = 16 * 1024
LOG_KEY = LogKey(ORIGIN, bytes(range(32)))
KEK = AESGCM(b"k" * 32)
LABELS = Labels(purpose="credit-decision", jurisdiction="EU", environment="production")
BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
ROUNDS = 14


class Nobody:
    """Takes answers and keeps none: the process says them itself."""

    def answered(self, answered: Any) -> None: ...

    def refused(self, error: Exception, decision_id: str | None) -> None:
        raise error


@cache
def model() -> ServedModel:
    return served()


@dataclass
class Node:
    """The durable parts of a worker and its keeper, in one folder."""

    shard: FileShard
    keys: CachedSubjectKeys
    floor: TimeFloor
    house: House

    @classmethod
    def open(cls, folder: Path, depth: Any = "full") -> Node:
        owned = open_owned(folder / "keystore", Backups(folder / "backups", folder / "backup-keys"), now, "EU")
        keys = direct_keys(owned, KEK)
        shard = FileShard.open(folder / "log", LOG_KEY, segment_bytes=SEGMENT, depth=depth)
        return cls(shard, keys, TimeFloor(folder / "time-floor"), House(model(), shard=shard, keys=keys))

    def close(self) -> None:
        self.shard.close()
        self.keys.close()

    def decide(self, number: int, rows: int) -> list[dict[str, Any]]:
        """One batch of one-row questions with receipts, half of them of subjects seen before."""
        subjects = [f"s-{number + place if place % 2 else place}" for place in range(rows)]
        batch = [
            Asked(
                Nobody(), "loan-desk", LABELS, engine().digest, model(),
                Question(1, np.array([[GOOD[0] + number, *GOOD[1:]]]), (subject,), "credit-decision", "EU", None, True),
            )
            for subject in subjects
        ]  # fmt: skip
        decider = self.house.decider()
        predicted = decider.predict(batch)
        committed = decider.commit(predicted.outcomes, 1_790_000_000_000_000 + number)
        told = []
        for subject, outcome in zip(subjects, predicted.outcomes, strict=True):
            answer = answer_of(outcome, committed)
            assert answer.receipts is not None
            parameters = {"decision_id": answer.decision_ids[0], "receipt": answer.receipts[0].decode()}
            outputs = [{"data": [float(answer.scores[0])]}, {"data": [answer.decisions[0]]}]
            told.append({"subject": subject, "body": {"parameters": parameters, "outputs": outputs}})
        return told

    def tag(self, subject: str) -> bytes:
        return subject_tag(self.house.index_key, "EU", subject)


def now() -> datetime:
    return BEGIN


def make(folder: Path) -> None:
    """What `strongroom node create` leaves: it is durable before anybody is served."""
    for name in ("log", "keystore", "backups", "backup-keys"):
        (folder / name).mkdir()
    FileShard.create(folder / "log", ORIGIN, LOG_KEY, segment_bytes=SEGMENT).close()
    open_owned(folder / "keystore", Backups(folder / "backups", folder / "backup-keys"), now, "EU").close()


def say(**what: Any) -> None:
    os.write(1, json.dumps(what).encode())


def main(folder: Path) -> None:
    """Decisions over several segments, publications, the floor of time, an erasure."""
    with closing(Node.open(folder)) as node:
        for number in range(ROUNDS):
            floor = node.floor.raised_to(BEGIN + timedelta(seconds=7 * number))
            say(floor=(node.floor.floor or floor).isoformat())
            say(answers=node.decide(100 * number, 1 + number % 4))
            if number % 3 == 1:
                say(published=node.shard.publish())
            if number % 5 == 4:
                node.shard.prepare()
            if number in (6, 11):
                subject = f"s-{100 * number - 99}"
                say(erasing=subject)
                node.keys.forget(node.tag(subject))
                say(erased=subject)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
