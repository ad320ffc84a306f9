"""Power cuts at any call, with any part of what was not synced lost: what was acknowledged is there, bit for bit."""

from __future__ import annotations

import contextlib
import errno
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.adapters.log.shard_files import FileShard
from strongroom.adapters.log.shard_reader import FolderView
from strongroom.errors import ConflictError, NotDurableError, TamperedError
from strongroom.ledger.actions import fsck
from strongroom.ledger.checkpoint import open_checkpoint
from strongroom.ledger.ports import Record
from strongroom.ledger.tree import MemoryTree, leaf_hash
from tests.faults.lossy_disk import Killed, LossyDisk, SyncMode
from tests.ledger.samples import ORIGIN, log_key, record, records

FOLDER = Path("/log")
SEGMENT = 16 * 1024


class LostError(AssertionError):
    """An acknowledged record is gone or changed."""


class Life:
    """One log through several lives, each ended by a crash."""

    def __init__(self, seed: int, sync_mode: SyncMode = "honest") -> None:
        self.chance = random.Random(seed)
        self.disk = LossyDisk(self.chance)
        self.mode = sync_mode
        self.acknowledged: list[Record] = []
        self.in_flight: list[Record] = []
        self.next = 0
        self.published = 0

    def open(self) -> FileShard:
        """Create or recover; a kill in the middle of that leads to another crash."""
        for _ in range(50):
            try:
                if not self.disk.exists(FOLDER / "shard.json"):
                    return FileShard.create(FOLDER, ORIGIN, log_key(), segment_bytes=SEGMENT, disk=self.disk)
                depth = self.chance.choice(("full", "published"))
                return FileShard.open(FOLDER, log_key(), segment_bytes=SEGMENT, depth=depth, disk=self.disk)
            except Killed:
                self.disk.crash()
                if self.chance.random() < 0.3:
                    self.disk.kill_in = self.chance.randint(1, 12)
        raise AssertionError("recovery never came to an end")

    def live(self, shard: FileShard) -> None:
        """Work until killed."""
        for _ in range(40):
            what = self.chance.random()
            if what < 0.75:
                self.in_flight = records(self.next, self.chance.randint(1, 9), self.chance.choice((0, 40, 300, 1100)))
                shard.append(self.in_flight)
                self.acknowledged += self.in_flight
                self.next += len(self.in_flight)
                self.in_flight = []
            elif what < 0.95:
                self.published = max(self.published, shard.publish())
            else:
                shard.prepare()

    def check(self, shard: FileShard) -> None:
        found = [Record(leaf, payload) for _, leaf, payload in shard.reader() if payload is not None]
        if found[: len(self.acknowledged)] != self.acknowledged:
            raise LostError(f"{len(self.acknowledged)} records were acknowledged, {len(found)} are there")
        rest = found[len(self.acknowledged) :]
        assert rest in ([], self.in_flight), "a batch is there whole or not at all"
        tree = MemoryTree()
        for item in found:
            tree.append(leaf_hash(item.leaf))
        checkpoint = open_checkpoint(shard.checkpoint, shard.verifier)
        assert (checkpoint.size, checkpoint.root) == (len(found), tree.root())
        self.acknowledged, self.in_flight, self.next = found, [], len(found)

    def run(self, lives: int) -> None:
        self.disk.kill_in = self.chance.choice((None, self.chance.randint(1, 40)))
        shard = self.open()
        for _ in range(lives):
            self.disk.sync_mode = self.mode
            self.disk.kill_in = self.chance.randint(1, 70)
            with contextlib.suppress(Killed):
                self.live(shard)
            self.disk.crash()
            if self.chance.random() < 0.3:
                self.disk.kill_in = self.chance.randint(1, 12)
            self.disk.sync_mode = "honest"
            shard = self.open()
            self.disk.kill_in = None
            self.check(shard)
        shard.publish()
        assert fsck(FolderView(FOLDER, self.disk), shard.verifier) == []


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.integers(0, 2**32))
def test_no_crash_loses_an_acknowledged_record(seed: int) -> None:
    Life(seed).run(lives=3)


@pytest.mark.parametrize("broken", ["ignored", "late"])
def test_the_crash_test_sees_a_missing_or_late_sync(broken: SyncMode) -> None:
    """Mutation: without fdatasync, or with the answer before it, the test above must turn red."""
    caught = 0
    for seed in range(200):
        try:
            Life(seed, broken).run(lives=1)
        except (LostError, TamperedError):
            caught += 1
    assert caught >= 3


def _crashed_image(content: bytes, size: int) -> bytes:
    return content + bytes(size - len(content))


def test_a_last_batch_torn_at_every_byte_is_cut_or_kept_whole() -> None:
    disk = LossyDisk(random.Random(1))
    shard = FileShard.create(FOLDER, ORIGIN, log_key(), segment_bytes=SEGMENT, disk=disk)
    first, last = records(0, 3, 200), records(3, 2, 150)
    shard.append(first)
    path = FOLDER / "segments" / f"{0:020d}.seg"
    before = len(disk.read(path).rstrip(b"\x00"))
    shard.append(last)
    shard.close()
    whole = disk.read(path)
    end = len(whole.rstrip(b"\x00"))
    assert end - before > 1000
    for cut in range(before, end + 1):
        disk.files()[path].live = bytearray(_crashed_image(whole[:cut], len(whole)))
        shard = FileShard.open(FOLDER, log_key(), segment_bytes=SEGMENT, disk=disk)
        expected = first + last if cut == end else first
        assert [Record(leaf, payload or b"") for _, leaf, payload in shard.reader()] == expected, cut
        shard.append([record(99)])
        assert shard.reader().get(len(expected))[1:] == record(99)
        shard.close()


def test_any_set_of_lost_sectors_of_the_last_batch_is_cut() -> None:
    disk = LossyDisk(random.Random(2))
    shard = FileShard.create(FOLDER, ORIGIN, log_key(), segment_bytes=SEGMENT, disk=disk)
    first, last = records(0, 3, 200), records(3, 5, 700)
    shard.append(first)
    path = FOLDER / "segments" / f"{0:020d}.seg"
    before = len(disk.read(path).rstrip(b"\x00"))
    shard.append(last)
    shard.close()
    whole = disk.read(path)
    end = len(whole.rstrip(b"\x00"))
    units = [(max(before, low), min(end, low + 512)) for low in range(before // 512 * 512, end, 512)]
    assert 8 <= len(units) <= 14
    for lost in range(1, 1 << len(units), 17):
        image = bytearray(whole)
        for place, (low, high) in enumerate(units):
            if lost >> place & 1:
                image[low:high] = bytes(high - low)
        disk.files()[path].live = image
        shard = FileShard.open(FOLDER, log_key(), segment_bytes=SEGMENT, disk=disk)
        assert shard.size == 3
        shard.close()
        assert not any(disk.read(path)[before:]), "what was cut is zeroed, or old bytes could follow new ones"


@pytest.mark.parametrize("call", ["pwrite", "sync"])
def test_after_a_failed_write_or_sync_the_shard_never_writes_again(call: str) -> None:
    disk = LossyDisk(random.Random(3))
    shard = FileShard.create(FOLDER, ORIGIN, log_key(), segment_bytes=SEGMENT, disk=disk)
    shard.append(records(0, 2))
    note = shard.checkpoint
    disk.failures[call] = OSError(errno.EIO, "Input/output error")
    with pytest.raises(NotDurableError):
        shard.append(records(2, 2))
    disk.failures.clear()
    calls = len(disk.calls)
    for _ in range(2):
        with pytest.raises(NotDurableError):
            shard.append(records(2, 2))
    assert len(disk.calls) == calls, "nothing is retried"
    assert (shard.size, shard.checkpoint) == (2, note), "an unsynced checkpoint is not visible"
    shard.close()
    shard = FileShard.open(FOLDER, log_key(), segment_bytes=SEGMENT, disk=disk)
    assert shard.size in (2, 4)


def test_a_full_disk_refuses_before_anything_changes_and_resumes_with_space() -> None:
    disk = LossyDisk(random.Random(4))
    shard = FileShard.create(FOLDER, ORIGIN, log_key(), segment_bytes=SEGMENT, disk=disk)
    disk.free_bytes = 0
    for done in (0, 5):
        shard.append(records(done, 5, 600))
    done = 10
    note = shard.checkpoint
    for _ in range(3):
        with pytest.raises(NotDurableError):
            shard.append(records(done, 5, 600))
    assert (shard.size, shard.checkpoint) == (done, note)
    shard.append([record(done)])  # what still fits is still written
    done += 1
    disk.free_bytes = 10 * SEGMENT
    shard.append(records(done, 5, 600))
    done += 5
    shard.publish()
    shard.close()
    shard = FileShard.open(FOLDER, log_key(), segment_bytes=SEGMENT, disk=disk)
    expected = [record(number, 100 if number == 10 else 600) for number in range(done)]
    assert [Record(leaf, payload or b"") for _, leaf, payload in shard.reader()] == expected


def test_a_failed_publication_is_only_late() -> None:
    disk = LossyDisk(random.Random(5))
    shard = FileShard.create(FOLDER, ORIGIN, log_key(), segment_bytes=SEGMENT, disk=disk)
    shard.append(records(0, 20))
    disk.failures["rename"] = OSError(errno.EIO, "Input/output error")
    with pytest.raises(NotDurableError):
        shard.publish()
    disk.failures.clear()
    shard.append(records(20, 5))
    assert shard.publish() == 25
    assert fsck(FolderView(FOLDER, disk), shard.verifier) == []


def test_one_writer_only() -> None:
    disk = LossyDisk(random.Random(6))
    shard = FileShard.create(FOLDER, ORIGIN, log_key(), segment_bytes=SEGMENT, disk=disk)
    with pytest.raises(ConflictError):
        FileShard.open(FOLDER, log_key(), disk=disk)
    with pytest.raises(ConflictError):
        FileShard.create(FOLDER, ORIGIN, log_key(), disk=disk)
    shard.close()
    with pytest.raises(ConflictError):
        FileShard.open(FOLDER, log_key(seed=2), disk=disk)
    FileShard.open(FOLDER, log_key(), disk=disk).close()
