"""A checkpoint has one spelling, and only its log's key speaks for it."""

from __future__ import annotations

import base64

import pytest

from strongroom import verify
from strongroom.errors import InvalidInputError, TamperedError
from strongroom.ledger.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from strongroom.ledger.note import Note
from strongroom.ledger.tree import EMPTY_ROOT
from tests.ledger.samples import ORIGIN, log_key

ROOT = base64.b64encode(bytes(32)).decode()
OTHER = "bank.example/credit/eu/n2/0/1"


def test_what_was_signed_is_what_is_opened() -> None:
    checkpoint = Checkpoint(ORIGIN, 5, bytes(32))
    assert checkpoint.text() == f"{ORIGIN}\n5\n{ROOT}\n".encode()
    assert Checkpoint.parse(checkpoint.text()) == checkpoint
    assert open_checkpoint(sign_checkpoint(checkpoint, log_key()), log_key().verifier) == checkpoint


@pytest.mark.parametrize(
    ("origin", "size", "root", "says"),
    [
        ("", 1, bytes(32), "key name"),
        (ORIGIN, 1, bytes(31), "32 bytes"),
        (ORIGIN, 1, bytes(33), "32 bytes"),
        (ORIGIN, -1, bytes(32), "tree size"),
        (ORIGIN, 2**63, bytes(32), "tree size"),
        (ORIGIN, 0, bytes(32), "empty tree"),
    ],
)
def test_an_impossible_tree_head_cannot_be_made(origin: str, size: int, root: bytes, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says):
        Checkpoint(origin, size, root)


def test_the_ends_of_the_range_of_sizes_are_in_it() -> None:
    assert Checkpoint(ORIGIN, 0, EMPTY_ROOT).size == 0
    assert Checkpoint(ORIGIN, 1, EMPTY_ROOT).size == 1
    assert Checkpoint(ORIGIN, 2**63 - 1, bytes(32)).size == 2**63 - 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"\xff", "UTF-8"),
        (f"{ORIGIN}\n5\n{ROOT}".encode(), "three lines"),
        (f"{ORIGIN}\n5\n{ROOT}\nmore".encode(), "three lines"),
        (f"{ORIGIN}\n5\n{ROOT}\n\n".encode(), "three lines"),
        (f"{ORIGIN}\n5\n{ROOT}\nmore\n".encode(), "three lines"),
        (f"{ORIGIN}\n05\n{ROOT}\n".encode(), "leading zeroes"),
        (f"{ORIGIN}\nfive\n{ROOT}\n".encode(), "leading zeroes"),
        (f"{ORIGIN}\n5\n*{ROOT}\n".encode(), "not base 64"),
        (f"{ORIGIN}\n5\n{ROOT[:-2]}B=\n".encode(), "canonical"),
    ],
)
def test_any_other_text_is_refused_with_its_reason(text: bytes, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says) as caught:
        Checkpoint.parse(text)
    assert caught.value.details["rule"] == "checkpoint"


def test_a_key_signs_for_its_own_log_only() -> None:
    with pytest.raises(InvalidInputError, match="does not sign"):
        sign_checkpoint(Checkpoint(OTHER, 5, bytes(32)), log_key())


def test_a_checkpoint_is_opened_with_the_key_of_its_log_only() -> None:
    note = sign_checkpoint(Checkpoint(ORIGIN, 5, bytes(32)), log_key())
    with pytest.raises(TamperedError):
        open_checkpoint(note, log_key(seed=2).verifier)
    with pytest.raises(TamperedError, match="cannot be read"):
        open_checkpoint(b"nothing", log_key().verifier)
    text = Checkpoint(OTHER, 5, bytes(32)).text()
    with pytest.raises(TamperedError, match="not of"):
        open_checkpoint(text + b"\n" + log_key().sign(text).encode(), log_key().verifier)


@pytest.mark.parametrize("character", ["\x7f", " ", "+", "\t"])
def test_a_signature_line_names_no_key_that_cannot_be_one(character: str) -> None:
    line = f"\u2014 wit{character}ness AAAAAAAA\n"
    note = f"bank.example/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n{line}".encode()
    with pytest.raises((InvalidInputError, TamperedError)):
        Note.parse(note)
    with pytest.raises(verify.TamperedError):
        verify._split_note(note)
