"""Every released example of formats 2 and 10 verifies for ever; every reject case stays refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from strongroom.errors import InvalidInputError, TamperedError
from strongroom.ledger.checkpoint import Note, VerifierKey, open_checkpoint
from strongroom.ledger.frames import ENTRY, Frame, Stop, checkpoint_frame, entry_frame, read_frame
from strongroom.ledger.leaf import Leaf
from tests.vectors.make_ledger import FILE, make

VECTORS: dict[str, Any] = json.loads(FILE.read_text())


def test_the_generator_still_writes_this_file() -> None:
    assert FILE.read_text() == make()


@pytest.mark.parametrize("leaf", VECTORS["leaf"]["accept"])
def test_leaves_are_accepted_and_encode_to_themselves(leaf: str) -> None:
    assert Leaf.decode(leaf.encode()).encode() == leaf.encode()


@pytest.mark.parametrize("case", VECTORS["leaf"]["reject"], ids=lambda case: case["why"])
def test_leaves_are_refused(case: dict[str, str]) -> None:
    with pytest.raises(InvalidInputError):
        Leaf.decode(case["leaf"].encode())


@pytest.mark.parametrize("case", VECTORS["frame"]["accept"], ids=lambda case: str(case["kind"]))
def test_frames_are_accepted(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["frame"])
    found = read_frame(data, 0)
    assert isinstance(found, Frame)
    assert (found.kind, found.number, found.end) == (case["kind"], case["number"], len(data))
    if found.kind == ENTRY:
        leaf, payload = found.record()
        assert (leaf.decode(), payload.hex()) == (case["leaf"], case["payload"])
        assert entry_frame(found.number, leaf, payload) == data
    else:
        assert found.body.decode() == case["note"]
        assert checkpoint_frame(found.number, found.body) == data


@pytest.mark.parametrize("case", VECTORS["frame"]["reject"], ids=lambda case: case["why"])
def test_frames_are_refused(case: dict[str, str]) -> None:
    found = read_frame(bytes.fromhex(case["frame"]), 0)
    assert isinstance(found, Stop)
    assert found.value == case["why"]


@pytest.mark.parametrize("case", VECTORS["checkpoint"]["accept"])
def test_checkpoints_are_accepted(case: dict[str, Any]) -> None:
    key = VerifierKey.parse(VECTORS["checkpoint"]["vkey"])
    witness = VerifierKey.parse(VECTORS["checkpoint"]["witness"])
    checkpoint = open_checkpoint(case["note"].encode(), key)
    assert (checkpoint.origin, checkpoint.size, checkpoint.root.hex()) == (key.name, case["size"], case["root"])
    assert Note.parse(case["note"].encode()).cosigned_by([witness]) == case["cosigned"]
    assert Note.parse(case["note"].encode()).encode() == case["note"].encode()


@pytest.mark.parametrize("case", VECTORS["checkpoint"]["reject"], ids=lambda case: case["why"])
def test_checkpoints_are_refused(case: dict[str, str]) -> None:
    with pytest.raises(TamperedError):
        open_checkpoint(case["note"].encode(), VerifierKey.parse(VECTORS["checkpoint"]["vkey"]))


@pytest.mark.parametrize("case", VECTORS["checkpoint"]["vkeys_reject"], ids=lambda case: case["why"])
def test_verifier_keys_are_refused(case: dict[str, str]) -> None:
    with pytest.raises(InvalidInputError):
        VerifierKey.parse(case["vkey"])
