"""Threat: the storage administrator changes a log folder. Every change shows, or changes nothing that is read."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from strongroom.adapters.log.shard_files import FileShard
from strongroom.adapters.log.shard_reader import FolderView, ShardReader, segment_name
from strongroom.errors import ConflictError, TamperedError
from strongroom.ledger.actions import fsck
from strongroom.ledger.checkpoint import Checkpoint, sign_checkpoint
from strongroom.ledger.frames import CHECKPOINT, ENTRY, checkpoint_frame, entry_frame, frame, scan
from strongroom.ledger.ports import Record
from strongroom.ledger.tree import MemoryTree, leaf_hash
from tests.faults.lossy_disk import LossyDisk
from tests.ledger.samples import ORIGIN, log_key, record, records

SEGMENT = 4096
KEY = log_key()


def build(folder: Path, publish: bool = True) -> FileShard:
    shard = FileShard.create(folder, ORIGIN, KEY, segment_bytes=SEGMENT)
    shard.append(records(0, 2, 60))
    shard.append(records(2, 1, 90))
    shard.append(records(3, 3, 30))  # does not fit: a second segment
    if publish:
        shard.publish()
    shard.close()
    return shard


def recovered(folder: Path) -> list[Record]:
    shard = FileShard.open(folder, KEY, segment_bytes=SEGMENT)
    try:
        return [Record(leaf, payload or b"") for _, leaf, payload in shard.reader()]
    finally:
        shard.close()


EXPECTED = [*records(0, 2, 60), *records(2, 1, 90), *records(3, 3, 30)]


def test_the_folder_under_attack_is_whole(tmp_path: Path) -> None:
    build(tmp_path / "log")
    assert recovered(tmp_path / "log") == EXPECTED
    assert fsck(FolderView(tmp_path / "log"), KEY.verifier) == []


FOLDER = Path("/log")


def _build_in_memory(publish: bool) -> tuple[LossyDisk, list[Record]]:
    disk = LossyDisk(random.Random(1))
    shard = FileShard.create(FOLDER, ORIGIN, KEY, segment_bytes=2048, disk=disk)
    expected = records(0, 3, 40)
    for item in expected:
        shard.append([item])
    if publish:
        shard.publish()
    shard.close()
    return disk, expected


def _recovered_in_memory(disk: LossyDisk) -> list[Record]:
    shard = FileShard.open(FOLDER, KEY, segment_bytes=2048, disk=disk)
    try:
        return [Record(leaf, payload or b"") for _, leaf, payload in shard.reader()]
    finally:
        shard.close()


def test_one_changed_byte_anywhere_shows_or_is_harmless() -> None:
    """Every byte of every file, 4,000 and more; harmless are only zeroes behind the last frame, and the kept edge of
    the tree, which is used only if it gives the signed root."""
    disk, expected = _build_in_memory(publish=True)
    last = FOLDER / "segments" / segment_name(2)  # the third did not fit into the first segment
    data_end = len(disk.read(last).rstrip(b"\x00"))
    files = {path: inode for path, inode in disk.files().items() if path.name != "lock"}
    assert {path.name for path in files} >= {segment_name(0), segment_name(2), "checkpoint", "shard.json", "3"}
    edge = FOLDER / "checkpoint.edge"
    proof = ShardReader(FOLDER, KEY.verifier, disk=disk).prove(1)
    positions = 0
    harmless: list[tuple[Path, int]] = []
    for path, inode in files.items():
        original = bytes(inode.live)
        for at in range(len(original)):
            if path == last and at > data_end + 40 and at % 16:
                continue  # the long run of zeroes is sampled
            positions += 1
            inode.live = bytearray(original)
            inode.live[at] ^= 1 << (at % 8)
            try:
                found = _recovered_in_memory(disk)
            except (TamperedError, ConflictError):
                continue
            if not fsck(FolderView(FOLDER, disk), KEY.verifier):
                assert found == expected
                assert ShardReader(FOLDER, KEY.verifier, disk=disk).prove(1) == proof
                harmless.append((path, at))
        inode.live = bytearray(original)
    assert positions >= 4000
    assert {path for path, _ in harmless} == {last, edge}
    assert all(at >= data_end for path, at in harmless if path == last)


def test_a_changed_byte_in_an_unpublished_last_batch_is_not_taken_for_a_torn_write() -> None:
    disk, expected = _build_in_memory(publish=False)
    inode = disk.files()[FOLDER / "segments" / segment_name(2)]
    original = bytes(inode.live)
    missed: list[tuple[int, int]] = []
    for at in range(len(original.rstrip(b"\x00"))):
        for change in (0x01, 0x80, 0xFF):
            inode.live = bytearray(original)
            inode.live[at] ^= change
            try:
                _recovered_in_memory(disk)
            except TamperedError:
                continue
            missed.append((at, change))
    assert missed == []
    inode.live = bytearray(original)
    assert _recovered_in_memory(disk) == expected


@pytest.mark.parametrize("name", [segment_name(0), segment_name(3)])
def test_a_removed_segment_shows(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "log"
    build(folder)
    (folder / "segments" / name).unlink()
    if name == segment_name(0):
        # what retention may do: the leaves stay, and the deletion is reported
        assert recovered(folder)[3:] == EXPECTED[3:]
        findings = fsck(FolderView(folder), KEY.verifier)
        assert [(f.kind, f.damage) for f in findings] == [("retained-out", False)]
    else:
        with pytest.raises(TamperedError):
            recovered(folder)
        assert [f.damage for f in fsck(FolderView(folder), KEY.verifier)] == [True]


def test_a_hole_between_segments_shows(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    shard = FileShard.create(folder, ORIGIN, KEY, segment_bytes=SEGMENT)
    for number in range(0, 18, 3):
        shard.append(records(number, 3, 30))
    shard.publish()
    shard.close()
    segments = sorted((folder / "segments").glob("0*.seg"))
    assert len(segments) >= 3
    segments[1].unlink()
    with pytest.raises(TamperedError):
        recovered(folder)
    assert any(f.damage for f in fsck(FolderView(folder), KEY.verifier))


def test_a_truncated_log_shows_once_published(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    build(folder)
    path = folder / "segments" / segment_name(3)
    path.write_bytes(bytes(SEGMENT))
    with pytest.raises(TamperedError, match="records are gone"):
        recovered(folder)


def test_an_old_snapshot_of_the_public_folder_is_found_by_fsck_or_harmless(tmp_path: Path) -> None:
    """A published checkpoint set back is a withheld publication: recovery goes on from the segments."""
    folder = tmp_path / "log"
    shard = FileShard.create(folder, ORIGIN, KEY, segment_bytes=SEGMENT)
    shard.append(records(0, 2, 60))
    shard.publish()
    shutil.copytree(folder / "public", tmp_path / "old")
    shard.append(records(2, 1, 60))
    shard.publish()
    shard.close()
    shutil.rmtree(folder / "public")
    shutil.copytree(tmp_path / "old", folder / "public")
    assert len(recovered(folder)) == 3
    assert [f.kind for f in fsck(FolderView(folder), KEY.verifier)] == ["unpublished"]


def _rewrite(folder: Path, change: int, resign: bool) -> None:
    """An insider who mends CRCs, and even owns the log's key if `resign`, replaces the payload of one record."""
    path = folder / "segments" / segment_name(0)
    data = path.read_bytes()
    tree = MemoryTree()
    out = b""
    for found in scan(data).frames:
        if found.kind == CHECKPOINT:
            note = found.body
            if resign:
                note = sign_checkpoint(Checkpoint(ORIGIN, tree.size, tree.root()), KEY)
            out += checkpoint_frame(found.number, note)
            continue
        leaf, payload = found.record()
        if found.number == change:
            leaf, payload = record(77, 60)
        tree.append(leaf_hash(leaf))
        out += entry_frame(found.number, leaf, payload)
    path.write_bytes(out + bytes(len(data) - len(out)))


@pytest.mark.parametrize("resign", [False, True])
def test_a_replaced_record_with_right_checksums_shows(tmp_path: Path, resign: bool) -> None:
    folder = tmp_path / "log"
    build(folder)
    _rewrite(folder, 1, resign)
    with pytest.raises(TamperedError):
        recovered(folder)
    assert any(f.kind == "segments" and f.damage for f in fsck(FolderView(folder), KEY.verifier))


def test_two_batches_behind_a_broken_frame_are_no_torn_write(tmp_path: Path) -> None:
    """Only one batch is in flight: a lost sector in the batch before it means lost acknowledged records."""
    folder = tmp_path / "log"
    shard = FileShard.create(folder, ORIGIN, KEY, segment_bytes=64 * 1024)
    shard.append(records(0, 1, 60))
    path = folder / "segments" / segment_name(0)
    start = len(path.read_bytes().rstrip(b"\x00"))
    shard.append(records(1, 4, 900))
    shard.append(records(5, 4, 900))
    shard.close()
    data = bytearray(path.read_bytes())
    for sector in range(-(-start // 512) * 512, start + 3000, 512):
        changed = bytearray(data)
        changed[sector : sector + 512] = bytes(512)
        path.write_bytes(changed)
        with pytest.raises(TamperedError):
            recovered(folder)


def test_a_checkpoint_of_another_key_or_log_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    build(folder)
    public = folder / "public" / "checkpoint"
    note = public.read_bytes()
    other = log_key(seed=9)
    tree = MemoryTree()
    for item in EXPECTED:
        tree.append(leaf_hash(item.leaf))
    for forged in (
        sign_checkpoint(Checkpoint(ORIGIN, 6, tree.root()), other),
        sign_checkpoint(Checkpoint(ORIGIN, 7, tree.root()), KEY),
        sign_checkpoint(Checkpoint(ORIGIN, 6, bytes(32)), KEY),
        sign_checkpoint(Checkpoint(ORIGIN, 5, tree.root(5)), KEY),
        b"",
    ):
        public.write_bytes(forged)
        with pytest.raises(TamperedError):
            recovered(folder)
        assert any(f.damage for f in fsck(FolderView(folder), KEY.verifier))
    public.unlink()
    with pytest.raises(TamperedError):
        recovered(folder)
    public.write_bytes(note)
    assert recovered(folder) == EXPECTED


def test_a_reader_with_the_key_refuses_a_forged_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    build(folder)
    public = folder / "public" / "checkpoint"
    public.write_bytes(sign_checkpoint(Checkpoint(ORIGIN, 6, bytes(32)), log_key(seed=9)))
    with pytest.raises(TamperedError):
        list(ShardReader(folder, KEY.verifier))


def test_bytes_planted_in_the_prepared_segment_are_not_taken_for_data(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    build(folder)
    shard = FileShard.open(folder, KEY, segment_bytes=SEGMENT)
    shard.prepare()
    shard.close()
    planted = bytearray(SEGMENT)
    frame = entry_frame(7, *record(7))
    planted[1000 : 1000 + len(frame)] = frame
    (folder / "segments" / "next.seg").write_bytes(planted)
    shard = FileShard.open(folder, KEY, segment_bytes=SEGMENT)
    shard.append(records(6, 3, 60))
    shard.close()
    assert recovered(folder) == [*EXPECTED, *records(6, 3, 60)]


def _frames() -> list[bytes]:
    """Two batches: entries 0 and 1 with their checkpoint, entry 2 with its own."""
    tree, frames = MemoryTree(), []
    for first, batch in ((0, records(0, 2, 60)), (2, records(2, 1, 60))):
        for index, item in enumerate(batch, first):
            tree.append(leaf_hash(item.leaf))
            frames.append(entry_frame(index, *item))
        frames.append(checkpoint_frame(tree.size, sign_checkpoint(Checkpoint(ORIGIN, tree.size, tree.root()), KEY)))
    return frames


def _overlong() -> bytes:
    leaf, payload = record(1, 60)
    return frame(ENTRY, 1, (len(leaf) + 5000).to_bytes(2, "big") + leaf + payload)


FORGERIES = {
    "an entry twice": lambda f: [f[0], f[0], *f[1:]],
    "an entry left out": lambda f: [f[0], *f[2:]],
    "entries swapped": lambda f: [f[1], f[0], *f[2:]],
    "a checkpoint twice": lambda f: [*f[:3], f[2], *f[3:]],
    "a checkpoint too early": lambda f: [f[0], f[2], f[1], *f[3:]],
    "a checkpoint under another number": lambda f: [*f[:4], checkpoint_frame(4, scan(f[4]).frames[0].body)],
    "an unsigned checkpoint": lambda f: [*f[:4], checkpoint_frame(3, Checkpoint(ORIGIN, 3, _root()).text() + b"\n")],
    "a leaf longer than its frame": lambda f: [f[0], _overlong(), *f[2:]],
    "an entry of another log's leaf": lambda f: [entry_frame(0, b"{}", b""), *f[1:]],
    "a payload that its leaf does not name": lambda f: [f[0], entry_frame(1, record(1, 60).leaf, b"x"), *f[2:]],
    "zeroes between batches": lambda f: [*f[:3], bytes(64), *f[3:]],
}


def _root() -> bytes:
    tree = MemoryTree()
    for item in records(0, 3, 60):
        tree.append(leaf_hash(item.leaf))
    return tree.root()


@pytest.mark.parametrize("published", [True, False])
@pytest.mark.parametrize("name", FORGERIES)
def test_frames_with_right_checksums_in_a_wrong_order_show(tmp_path: Path, name: str, published: bool) -> None:
    folder = tmp_path / "log"
    shard = FileShard.create(folder, ORIGIN, KEY, segment_bytes=SEGMENT)
    shard.append(records(0, 2, 60))
    shard.append(records(2, 1, 60))
    if published:
        shard.publish()
    shard.close()
    path = folder / "segments" / segment_name(0)
    assert path.read_bytes().rstrip(b"\x00") == b"".join(_frames())
    forged = b"".join(FORGERIES[name](_frames()))
    path.write_bytes(forged + bytes(SEGMENT - len(forged)))
    with pytest.raises(TamperedError):
        recovered(folder)
    assert any(finding.damage for finding in fsck(FolderView(folder), KEY.verifier))


@pytest.mark.parametrize("name", ["a checkpoint left out", "noise behind the end"])
def test_what_changes_no_record_is_harmless(tmp_path: Path, name: str) -> None:
    """A left-out checkpoint is covered by the next; noise in a later sector is what a torn batch leaves: cut."""
    folder = tmp_path / "log"
    shard = FileShard.create(folder, ORIGIN, KEY, segment_bytes=SEGMENT)
    shard.append(records(0, 2, 60))
    shard.append(records(2, 1, 60))
    shard.publish()
    shard.close()
    frames = _frames()
    changed = frames[:2] + frames[3:] if name == "a checkpoint left out" else [*frames, bytes(600), b"noise"]
    forged = b"".join(changed)
    (folder / "segments" / segment_name(0)).write_bytes(forged + bytes(SEGMENT - len(forged)))
    assert recovered(folder) == records(0, 3, 60)
    assert fsck(FolderView(folder), KEY.verifier) == []


def test_an_empty_log_with_another_root_or_without_segments_shows(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    FileShard.create(folder, ORIGIN, KEY, segment_bytes=SEGMENT).close()
    assert fsck(FolderView(folder), KEY.verifier) == []
    shutil.rmtree(folder / "segments")
    assert [finding.kind for finding in fsck(FolderView(folder), KEY.verifier)] == ["segments"]
    with pytest.raises(TamperedError):
        recovered(folder)
