"""A leaf has one spelling, and names one payload."""

from __future__ import annotations

import hashlib

import msgspec
import pytest

from strongroom.errors import InvalidInputError
from strongroom.ledger.leaf import Leaf, check_record, commit, commitment, decision_id_of
from tests.ledger.samples import decision_id, leaf_of, payload_of

PAYLOAD = payload_of(7, 12)
LEAF = leaf_of(7, PAYLOAD)


def test_a_leaf_is_written_in_its_one_spelling_and_read_back() -> None:
    assert (
        LEAF.encode()
        == (
            f'{{"commitment":"{LEAF.commitment}","decision_id":"{decision_id(7)}","key_id":"{"c" * 32}",'
            f'"payload_sha256":"{hashlib.sha256(PAYLOAD).hexdigest()}","payload_size":12,"policy":"{"d" * 64}",'
            f'"release":"{"e" * 64}","retain_until_us":2000000000000000,"time_us":1790000000000007,'
            '"type":"decision","v":1}'
        ).encode()
    )
    assert Leaf.decode(LEAF.encode()) == LEAF
    with pytest.raises(AttributeError):
        LEAF.type = "act"  # type: ignore[misc]  # it is frozen
    with pytest.raises(TypeError):
        Leaf(*msgspec.structs.astuple(LEAF))  # type: ignore[call-arg]  # by name only


def test_any_other_bytes_are_refused_with_their_reason() -> None:
    data = LEAF.encode()
    for wrong, rule in (
        (b"", "leaf"),
        (data + b"\n", "leaf"),
        (data[:-1] + b',"w":1}', "leaf"),
        (data.replace(b":12,", b":012,"), "leaf"),
        (b"x" * 1024, "leaf"),
        (b"x" * 1025, "leaf-size"),
    ):
        for read in (Leaf.decode, decision_id_of, lambda wrong: check_record(wrong, PAYLOAD)):
            with pytest.raises(InvalidInputError) as caught:
                read(wrong)
            assert caught.value.details["rule"] == rule


def test_a_leaf_names_its_payload_by_size_and_digest() -> None:
    check_record(LEAF.encode(), PAYLOAD)
    sized = msgspec.structs.replace(LEAF, payload_size=13)
    for leaf, payload in ((LEAF, payload_of(8, 12)), (LEAF, PAYLOAD + b"x"), (sized, PAYLOAD), (LEAF, b"")):
        with pytest.raises(InvalidInputError, match="names another payload") as caught:
            check_record(leaf.encode(), payload)
        assert caught.value.details["rule"] == "payload-digest"
    assert decision_id_of(LEAF.encode()) == decision_id(7)


def test_a_commitment_is_under_a_salt_of_32_bytes() -> None:
    assert commit(b"s" * 32, b"x").hex() == commitment(b"s" * 32, b"x")
    for size in (0, 31, 33):
        with pytest.raises(InvalidInputError, match="a salt has 32 bytes") as caught:
            commit(bytes(size), b"x")
        assert caught.value.details["rule"] == "salt"
