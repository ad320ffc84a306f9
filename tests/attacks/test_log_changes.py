"""Threat: the storage administrator changes a log folder. Every change shows, or changes nothing that is read."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from strongroom.adapters.shard_files import FileShard
from strongroom.adapters.shard_reader import FolderView, ShardReader, segment_name
from strongroom.errors import ConflictError, TamperedError
from strongroom.ledger.actions import fsck
from strongroom.ledger.checkpoint import Checkpoint, sign_checkpoint
from strongroom.ledger.frames import CHECKPOINT, checkpoint_frame, entry_frame, scan
from strongroom.ledger.ports import Record
from strongroom.ledger.tree import MemoryTree, leaf_hash
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


@pytest.mark.timeout(120)
def test_one_changed_byte_anywhere_shows_or_is_harmless(tmp_path: Path) -> None:
    """Every byte of every file, 9,000 and more; harmless are only zeroes behind the last frame."""
    folder = tmp_path / "log"
    build(folder)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "lock"]
    last = folder / "segments" / segment_name(3)
    data_end = len(last.read_bytes().rstrip(b"\x00"))
    positions = 0
    harmless: list[tuple[str, int]] = []
    for path in files:
        original = path.read_bytes()
        for at in range(len(original)):
            if path == last and at > data_end + 40 and at % 16:
                continue  # the long run of zeroes is sampled
            positions += 1
            changed = bytearray(original)
            changed[at] ^= 1 << (at % 8)
            path.write_bytes(changed)
            try:
                found = recovered(folder)
            except (TamperedError, ConflictError):
                path.write_bytes(original)
                continue
            if fsck(FolderView(folder), KEY.verifier):
                pass
            else:
                assert found == EXPECTED
                harmless.append((path.name, at))
            path.write_bytes(original)
    assert positions >= 5000
    assert {name for name, _ in harmless} <= {last.name}
    assert all(at >= data_end for _, at in harmless)


def test_a_changed_byte_in_an_unpublished_last_batch_is_not_taken_for_a_torn_write(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    build(folder, publish=False)
    path = folder / "segments" / segment_name(3)
    original = path.read_bytes()
    end = len(original.rstrip(b"\x00"))
    missed: list[int] = []
    for at in range(end):
        changed = bytearray(original)
        changed[at] ^= 0x80
        path.write_bytes(changed)
        try:
            recovered(folder)
        except TamperedError:
            continue
        missed.append(at)
    assert missed == []
    path.write_bytes(original)
    assert recovered(folder) == EXPECTED


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
