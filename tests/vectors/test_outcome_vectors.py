"""Page 14: which batches of outcomes and of realised amounts are taken, byte for byte."""

from __future__ import annotations

import json
from typing import Any

import pytest

from strongroom.encoding import canonical
from strongroom.errors import InvalidInputError
from strongroom.monitoring.outcomes import OutcomeBatch, RealisedBatch
from strongroom.vocabulary import digest_of
from tests.vectors.make_outcomes import PAGE, vectors

VECTORS: dict[str, Any] = json.loads(PAGE.read_text())
READERS: dict[str, Any] = {"realised": RealisedBatch, "outcomes": OutcomeBatch}


def cases(what: str) -> Any:
    listed = [(kind, case) for kind in READERS for case in VECTORS[kind][what]]
    return pytest.mark.parametrize(("kind", "vector"), listed, ids=[f"{kind}-{case['name']}" for kind, case in listed])


def test_the_file_is_what_its_generator_writes() -> None:
    assert vectors() == VECTORS


@cases("accept")
def test_a_batch_is_taken_and_written_as_the_same_bytes(kind: str, vector: dict[str, Any]) -> None:
    data = vector["text"].encode()
    assert canonical(READERS[kind].decode(data)) == data
    assert digest_of(data) == vector["sha256"]


@cases("reject")
def test_a_batch_is_refused(kind: str, vector: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        READERS[kind].decode(vector["text"].encode())
