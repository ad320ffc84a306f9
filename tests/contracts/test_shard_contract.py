"""Every shard keeps these promises, in memory or in files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from strongroom.adapters.log.shard_files import FileShard
from strongroom.errors import InvalidInputError, NotFoundError
from strongroom.ledger.checkpoint import open_checkpoint
from strongroom.ledger.ports import Record, Shard
from strongroom.ledger.tree import EMPTY_ROOT, MemoryTree, leaf_hash, verify_inclusion
from tests.ledger.samples import ORIGIN, decision_id, log_key, record, records
from tests.memory.shard import MemoryShard

Make = Callable[[], Shard]


@pytest.fixture(params=["memory", "files"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    opened: list[FileShard] = []

    def build() -> Shard:
        if request.param == "memory":
            return MemoryShard(ORIGIN, log_key())
        shard = FileShard.create(tmp_path / "log", ORIGIN, log_key(), segment_bytes=512 * 1024)
        opened.append(shard)
        return shard

    yield build
    for shard in opened:
        shard.close()


def test_a_new_log_is_empty_and_signed(make: Make) -> None:
    shard = make()
    assert shard.origin == ORIGIN
    assert shard.size == 0
    checkpoint = open_checkpoint(shard.checkpoint, shard.verifier)
    assert (checkpoint.size, checkpoint.root) == (0, EMPTY_ROOT)
    assert list(shard.reader()) == []


def test_batches_are_numbered_without_gap_and_proven(make: Make) -> None:
    shard = make()
    tree = MemoryTree()
    number = 0
    for count in (1, 2, 7, 64, 1, 130):
        batch = records(number, count)
        appended = shard.append(batch)
        assert appended.first_index == number
        number += count
        assert shard.size == appended.size == number
        assert shard.checkpoint == appended.checkpoint
        checkpoint = open_checkpoint(appended.checkpoint, shard.verifier)
        for item in batch:
            tree.append(leaf_hash(item.leaf))
        assert (checkpoint.origin, checkpoint.size, checkpoint.root) == (ORIGIN, number, tree.root())
        for index, item in enumerate(batch, appended.first_index):
            verify_inclusion(leaf_hash(item.leaf), index, number, appended.proof(index), checkpoint.root)
        with pytest.raises(InvalidInputError):
            appended.proof(number)
        if appended.first_index:
            with pytest.raises(InvalidInputError):
                appended.proof(appended.first_index - 1)


def test_what_was_appended_is_read_back(make: Make) -> None:
    shard = make()
    reader = shard.reader()
    first, second = records(0, 5), records(5, 300, size=700)
    shard.append(first)
    assert [(leaf, payload) for _, leaf, payload in reader] == first
    shard.append(second)
    assert [tuple(stored) for stored in reader] == [(i, *r) for i, r in enumerate(first + second)]
    assert reader.get(7)[1:] == second[2]
    assert reader.find(decision_id(200)).place == 200
    shard.append([record(305)])
    assert reader.find(decision_id(305))[1:] == record(305)
    for index in (-1, 306):
        with pytest.raises(NotFoundError):
            reader.get(index)
    for unknown in ("0" * 32, decision_id(0)[:16] + "0" * 16, "no id", ""):
        with pytest.raises(NotFoundError):
            reader.find(unknown)


def test_a_batch_with_one_bad_record_changes_nothing(make: Make) -> None:
    shard = make()
    shard.append(records(0, 3))
    good = record(3)
    for bad in (
        Record(good.leaf, good.payload + b"x"),
        Record(good.leaf, good.payload[:-1] + bytes([good.payload[-1] ^ 1])),
        Record(good.leaf.replace(b'"v":1', b'"v":2'), good.payload),
        Record(b"", b""),
    ):
        with pytest.raises(InvalidInputError):
            shard.append([good, bad])
    with pytest.raises(InvalidInputError):
        shard.append([])
    assert shard.size == 3
    assert shard.append([good]).first_index == 3


def test_the_first_of_two_records_with_one_id_is_found(make: Make) -> None:
    shard = make()
    shard.append([record(1), record(2), record(1)])
    assert shard.reader().find(decision_id(1)).place == 0
