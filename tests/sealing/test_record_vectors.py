"""Format 3 against its published vectors, which must verify for ever."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom.errors import TamperedError
from strongroom.ledger.leaf import commitment
from strongroom.sealing.records import decode_record, open_plain, open_record
from strongroom.vocabulary import digest_of
from tests.vectors.make_records import make

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "records.json").read_text())
KEY = AESGCM(bytes.fromhex(VECTORS["key"]))
DECISION, RELEASE = bytes.fromhex(VECTORS["decision_id"]), bytes.fromhex(VECTORS["release"])


def test_the_file_is_what_its_generator_writes() -> None:
    assert make() == VECTORS


@pytest.mark.parametrize("vector", VECTORS["accept"], ids=lambda vector: vector["name"])
def test_accepted(vector: dict[str, str]) -> None:
    document = open_record(bytes.fromhex(vector["payload"]), KEY, DECISION, RELEASE)
    assert document == vector["document"].encode()
    record = decode_record(document)
    assert record.outcome == vector["name"]
    assert commitment(record.salt, record.answer) == VECTORS["commitment"]


@pytest.mark.parametrize("vector", VECTORS["reject"], ids=lambda vector: vector["name"])
def test_refused(vector: dict[str, str]) -> None:
    with pytest.raises(TamperedError):
        open_record(bytes.fromhex(vector["payload"]), KEY, DECISION, RELEASE)


@pytest.mark.parametrize("document", VECTORS["reject_documents"])
def test_no_record(document: str) -> None:
    with pytest.raises(TamperedError):
        decode_record(document.encode())


def test_plain() -> None:
    payload = bytes.fromhex(VECTORS["plain"]["payload"])
    assert open_plain(payload, digest_of(payload)) == VECTORS["plain"]["document"].encode()
