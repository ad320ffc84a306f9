"""Write `records.json`: payloads of format 3 that open, and one for each way in which one must not.

Run as `python -m tests.vectors.make_records`; a test holds the file to what this writes. Keys and nonces are fixed here
and used nowhere else.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom.ledger.leaf import commitment
from strongroom.sealing.records import DecisionRecord, Labels, encode_record, plain_payload, seal_record

KEY, KEY_ID, NONCE = bytes(range(32)), bytes(range(16)), bytes(range(100, 112))
DECISION, RELEASE = bytes(range(16, 32)), bytes(range(32, 64))
SALT = bytes(range(200, 232))
ANSWER = b'{"decision":"accept","v":1}'


def record(outcome: str = "answered") -> DecisionRecord:
    return DecisionRecord(
        outcome=outcome,  # type: ignore[arg-type]  # one of the two, from below
        answer=ANSWER,
        salt=SALT,
        subject="applicant-1" if outcome == "answered" else "",
        principal="card-desk",
        labels=Labels(purpose="credit-decision", jurisdiction="EU", environment="production"),
        numeric_profile={"runtime": "onnxruntime", "threads": 1} if outcome == "answered" else {},
    )


def make() -> dict[str, Any]:
    """All vectors."""
    good = seal_record(encode_record(record()), AESGCM(KEY), KEY_ID, NONCE, DECISION, RELEASE)
    refused = seal_record(encode_record(record("refused")), AESGCM(KEY), KEY_ID, NONCE, DECISION, RELEASE)
    plain = plain_payload(b'{"v":1}')
    bare = AESGCM(KEY).encrypt(NONCE, encode_record(record()), None)

    def change(place: int, value: int) -> str:
        return (good[:place] + bytes((value,)) + good[place + 1 :]).hex()

    return {
        "about": "payloads of format 3, docs/spec/03-payload.md; byte strings in hexadecimal",
        "key": KEY.hex(),
        "key_id": KEY_ID.hex(),
        "decision_id": DECISION.hex(),
        "release": RELEASE.hex(),
        "commitment": commitment(SALT, ANSWER),
        "accept": [
            {"name": "answered", "payload": good.hex(), "document": encode_record(record()).decode()},
            {"name": "refused", "payload": refused.hex(), "document": encode_record(record("refused")).decode()},
        ],
        "plain": {"payload": plain.hex(), "document": '{"v":1}'},
        "reject": [
            {"name": "empty", "payload": ""},
            {"name": "header only", "payload": good[:36].hex()},
            {"name": "tag cut short", "payload": good[:51].hex()},
            {"name": "another magic", "payload": change(3, ord("4"))},
            {"name": "version 2", "payload": change(4, 2)},
            {"name": "algorithm 2", "payload": change(5, 2)},
            {"name": "algorithm none over a sealed body", "payload": change(5, 0)},
            {"name": "a reserved byte set", "payload": change(7, 1)},
            {"name": "another key id", "payload": change(8, 255)},
            {"name": "another nonce", "payload": change(24, 255)},
            {"name": "first byte of the ciphertext changed", "payload": change(36, good[36] ^ 1)},
            {"name": "last byte of the tag changed", "payload": change(len(good) - 1, good[-1] ^ 1)},
            {"name": "a byte more", "payload": (good + b"\0").hex()},
            {"name": "no associated data", "payload": (good[:36] + bare).hex()},
            {"name": "plain", "payload": plain.hex()},
            {
                "name": "of another decision",
                "payload": seal_record(b"{}", AESGCM(KEY), KEY_ID, NONCE, bytes(16), RELEASE).hex(),
            },
            {
                "name": "of another release",
                "payload": seal_record(b"{}", AESGCM(KEY), KEY_ID, NONCE, DECISION, bytes(32)).hex(),
            },
        ],
        "reject_documents": [
            "{}",
            encode_record(record()).decode() + " ",
            encode_record(record()).decode().replace('"v":1', '"v":2'),
            encode_record(record()).decode().replace('"outcome":"answered"', '"outcome":"perhaps"'),
            encode_record(record()).decode().replace('"subject":"applicant-1"', '"subject":null'),
            encode_record(record()).decode().replace(',"v":1', ',"v":1,"w":1'),
        ],
    }


def main() -> None:
    """Write the file."""
    text = json.dumps(make(), indent=1, sort_keys=True) + "\n"
    Path(__file__).with_name("records.json").write_text(text)


if __name__ == "__main__":
    main()
