"""Records of our own making: always what `check_record` demands, and equal to the long way."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.adapters.log.shard_files import FileShard
from strongroom.errors import InvalidInputError
from strongroom.ledger.leaf import Leaf, check_record, commit, commitment
from strongroom.ledger.making import MadeRecord, RecordMaker
from strongroom.ledger.ports import Record
from strongroom.vocabulary import Digest, digest_of
from tests.ledger.samples import ORIGIN, log_key, record

digests = st.none() | st.binary(min_size=32, max_size=32).map(lambda data: Digest(data.hex()))
times = st.integers(0, 2**53 - 1).filter(lambda number: number < 9_000_000_000_000_000)


@given(
    st.sampled_from(["decision", "refusal"]), digests, digests, times, times, st.binary(min_size=32, max_size=32),
    st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16), st.binary(max_size=300),
)  # fmt: skip
def test_a_made_record_is_the_leaf_of_its_payload(kind, policy, release, retain, time_us, seal, decision, key, payload):
    made = RecordMaker(kind, policy, release, retain, time_us).make(seal, decision, key, payload)
    check_record(*made)
    leaf = Leaf(
        commitment=seal.hex(), decision_id=decision.hex(), key_id=key.hex(), payload_sha256=digest_of(payload),
        payload_size=len(payload), policy=policy, release=release, retain_until_us=retain, time_us=time_us, type=kind,
    )  # fmt: skip
    assert made == Record(leaf.encode(), payload)
    assert Leaf.decode(made.leaf) == leaf


@pytest.mark.parametrize(
    "change", [{"policy": "x"}, {"release": "A" * 64}, {"time_us": -1}, {"retain_until_us": 2**60}]
)
def test_a_maker_refuses_what_no_leaf_may_hold(change):
    given_ = {"type": "decision", "policy": None, "release": None, "retain_until_us": 0, "time_us": 0} | change
    with pytest.raises(InvalidInputError):
        RecordMaker(**given_)


@pytest.mark.parametrize("sizes", [(31, 16, 16), (32, 15, 16), (32, 16, 32)])
def test_a_maker_refuses_other_lengths(sizes):
    with pytest.raises(ValueError, match="32, 16 and 16"):
        RecordMaker("decision", None, None, 0, 0).make(*(bytes(size) for size in sizes), b"")


def test_a_log_trusts_nothing_but_what_was_made(tmp_path: Path):
    shard = FileShard.create(tmp_path / "log", ORIGIN, log_key(), segment_bytes=65536)
    good = record(1)
    with pytest.raises(InvalidInputError):
        shard.append([Record(good.leaf, good.payload + b"x")])
    with pytest.raises(InvalidInputError):
        shard.append([Record(b"{}", b"")])
    made = RecordMaker("decision", None, None, 0, 0).make(bytes(32), bytes(16), bytes(16), b"payload")
    assert type(made) is MadeRecord
    shard.append([made, good])
    shard.close()
    again = FileShard.open(tmp_path / "log", log_key(), segment_bytes=65536, depth="full")
    assert [tuple(one[1:]) for one in again.reader()] == [tuple(made), tuple(good)]
    again.close()


def test_both_forms_of_a_commitment_are_one():
    assert commit(b"s" * 32, b"document").hex() == commitment(b"s" * 32, b"document")
