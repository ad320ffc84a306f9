"""Receipts and openings as the node itself reads them: each departure is refused for its own reason."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from strongroom.encoding import canonical
from strongroom.errors import TamperedError
from strongroom.serving.opening import DisclosedEntry, check_opening
from strongroom.serving.receipt import Receipt, verify_receipt
from tests.vectors.make_verify import FIRST_ID, GOVERNANCE, RELEASE, SECOND, SHARD, Room, leaf, row_document, seed

ROOM = Room()
RECEIPT, OPENING = ROOM.receipt(1).encode(), ROOM.disclose(1).encode()


def refused(says: str, read: Callable[[bytes], Any], data: bytes) -> None:
    with pytest.raises(TamperedError, match=says):
        read(data)


def receipt(data: bytes) -> Any:
    return verify_receipt(data, SHARD.verifier)


def opening(data: bytes) -> Any:
    return check_opening(data, SHARD.verifier, GOVERNANCE.verifier)


def bent(data: bytes, **changes: Any) -> bytes:
    return canonical({**json.loads(data), **changes})


def respelled(data: bytes, member: str) -> bytes:
    """The member's base 64 with a bit set that its bytes do not need."""
    text = json.loads(data)[member]
    assert text.endswith("="), "the test changes nothing"
    at = len(text.rstrip("=")) - 1
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    changed = text[:at] + letters[letters.index(text[at]) | 1] + text[at + 1 :]
    assert base64.b64decode(changed) == base64.b64decode(text)
    assert changed != text
    return bent(data, **{member: changed})


def test_a_receipt_gives_back_what_it_proves() -> None:
    answer, leaf, checkpoint = receipt(RECEIPT)
    assert (answer.decision_id, answer.release, leaf.type) == (FIRST_ID, RELEASE, "decision")
    assert (checkpoint.origin, checkpoint.size) == (SHARD.name, 5)


def test_a_receipt_that_departs_from_its_form_is_refused() -> None:
    refused("exceeds the limit of 4194304", receipt, b"x" * (4 * 1024 * 1024 + 1))
    refused("malformed: the document is not JSON", receipt, b"x" * (4 * 1024 * 1024))
    refused("malformed", receipt, bent(RECEIPT, v=2))
    refused("malformed", receipt, bent(RECEIPT, more=1))
    refused("not in canonical form", receipt, respelled(RECEIPT, "salt"))
    refused("malformed: a salt", receipt, bent(RECEIPT, salt="AAAA"))
    refused("malformed: the leaf is not", receipt, bent(RECEIPT, leaf="AAAA"))


def other(document: bytes, **more: Any) -> bytes:
    """A receipt of a leaf that commits to this document, in a log of its own."""
    room = Room()
    room.shard.leaves[1] = leaf(1, document, b"ciphertext 1", **{"decision_id": FIRST_ID, **more})
    return room.receipt(1, document).encode()


def test_a_receipt_of_another_answer_is_refused() -> None:
    assert receipt(other(row_document(0)))[0].decision_id == FIRST_ID
    refused("commits to another answer", receipt, bent(RECEIPT, salt=base64.b64encode(seed("salt 2")).decode()))
    refused("of different decisions", receipt, other(row_document(0, decision_id="0" * 32)))
    refused("of different decisions", receipt, other(row_document(0, release="0" * 64)))
    refused("of another type", receipt, other(row_document(0, release=None), kind="refusal"))
    stray = row_document(0).replace(b'AAAAPg=="', b'AAAAPh=="')
    assert stray != row_document(0)
    refused("receipt's document is not in canonical form", receipt, other(stray))
    with pytest.raises(TamperedError):
        receipt(other(row_document(0) + b" "))
    with pytest.raises(TamperedError):
        verify_receipt(RECEIPT, SECOND.verifier)


def test_an_opening_gives_back_its_entry() -> None:
    found = opening(OPENING)
    assert (found.origin, found.verifier()) == (SHARD.name, SHARD.verifier)


def test_an_opening_that_departs_from_its_form_or_is_of_another_shard_is_refused() -> None:
    refused("exceeds the limit of 262144", opening, b"x" * (256 * 1024 + 1))
    refused("does not read: the document is not JSON", opening, b"x" * (256 * 1024))
    refused("does not read", opening, bent(OPENING, more=1))
    member = next(name for name in ("leaf", "payload") if json.loads(OPENING)[name].endswith("="))
    refused("not in canonical form", opening, respelled(OPENING, member))
    refused("has not opened", opening, ROOM.disclose(3).encode())
    refused("does not read", opening, ROOM.disclose(5).encode())
    with pytest.raises(TamperedError):
        check_opening(OPENING, SHARD.verifier, SHARD.verifier)


def test_what_travels_is_named_and_does_not_change() -> None:
    for kind, values in ((Receipt, (b"", b"", "", b"")), (DisclosedEntry, (b"", b"", ""))):
        with pytest.raises(TypeError):
            kind(*values)
        made = kind(
            **dict(
                zip(
                    ("document", "leaf", "proof", "salt") if kind is Receipt else ("leaf", "payload", "proof"),
                    values,
                    strict=True,
                )
            )
        )
        with pytest.raises(AttributeError):
            made.leaf = b"x"
