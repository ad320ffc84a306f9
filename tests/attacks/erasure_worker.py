"""A process that holds subject keys and a log as a gateway worker does, told what to do on its standard input."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sys
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom.adapters.keystore.keeper_client import keeper_keys
from strongroom.adapters.keystore.subject_cache import CachedSubjectKeys
from strongroom.adapters.log.shard_files import FileShard
from strongroom.ledger.checkpoint import LogKey
from strongroom.ledger.leaf import Leaf, commitment
from strongroom.ledger.ports import Record
from strongroom.sealing.records import DecisionRecord, Labels, encode_record, seal_record
from strongroom.vocabulary import digest_of

ORIGIN = "bank.example/credit/eu/node/{slot}/1"
ANSWER = b'{"v":1}'


def log_key(slot: int) -> LogKey:
    return LogKey(ORIGIN.format(slot=slot), hashlib.sha256(b"test log %d" % slot).digest())


def decide(keys: CachedSubjectKeys, tags: list[bytes]) -> list[Record]:
    """One sealed decision for each subject."""
    records = []
    for key in keys.get_or_create(tags):
        decision_id, salt = os.urandom(16), os.urandom(32)
        record = DecisionRecord(
            outcome="answered",
            answer=ANSWER,
            salt=salt,
            subject="somebody",
            principal="desk",
            labels=Labels(purpose="credit", jurisdiction="EU", environment="live"),
            numeric_profile={},
        )
        payload = seal_record(encode_record(record), key.aead, key.key_id, os.urandom(12), decision_id, bytes(32))
        leaf = Leaf(
            commitment=commitment(salt, ANSWER),
            decision_id=decision_id.hex(),
            key_id=key.key_id.hex(),
            payload_sha256=digest_of(payload),
            payload_size=len(payload),
            policy=None,
            release=None,
            retain_until_us=1,
            time_us=1,
            type="decision",
        )
        records.append(Record(leaf.encode(), payload))
    return records


def main() -> None:
    specification = json.loads(sys.stdin.readline())
    folder, slot = Path(specification["folder"]), specification["slot"]
    (folder / "ledger").mkdir(exist_ok=True)
    key = log_key(slot)
    shard = FileShard.create(folder / "ledger" / str(slot), key.name, key, segment_bytes=1 << 20)
    keys = keeper_keys(folder, AESGCM(base64.b64decode(specification["kek"])), grace_s=0.3)
    held = []
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "seal":
            records = decide(keys, [bytes.fromhex(tag) for tag in order["tags"]])
            shard.append(records)
            shard.publish()
            print(json.dumps([record.payload.hex() for record in records]), flush=True)
        elif order["do"] == "hold":  # what a careless holder does: keep the usable key beyond the batch
            held.append(keys.get_or_create([bytes.fromhex(order["tag"])])[0].aead)
            print("holding", flush=True)
        elif order["do"] == "release":
            held.clear()
            print("released", flush=True)
    keys.close()
    shard.close()


if __name__ == "__main__":
    main()
