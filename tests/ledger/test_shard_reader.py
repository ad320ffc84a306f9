"""Reading back: published against durable, retention, proofs from tiles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from strongroom.adapters.files.disk import File, OsDisk
from strongroom.adapters.log.shard_files import FileShard
from strongroom.adapters.log.shard_reader import FolderView, ShardReader, segment_name
from strongroom.errors import InvalidInputError, NotDurableError, NotFoundError, TamperedError
from strongroom.ledger.actions import close_shard, fsck, open_shard
from strongroom.ledger.checkpoint import CosignerKey, Note, open_checkpoint
from strongroom.ledger.frames import entry_frames
from strongroom.ledger.tiles import TileEdge, TileTree
from strongroom.ledger.tree import MemoryTree, leaf_hash, verify_inclusion
from tests.ledger.samples import ORIGIN, decision_id, log_key, record, records

KEY = log_key()
SEGMENT = 64 * 1024


def make(folder: Path, count: int = 700) -> FileShard:
    shard = FileShard.create(folder, ORIGIN, KEY, segment_bytes=SEGMENT)
    for number in range(0, count, 50):
        shard.append(records(number, 50, 60))
    return shard


def test_only_published_records_are_seen_from_outside(tmp_path: Path) -> None:
    shard = make(tmp_path / "log", 100)
    outside = ShardReader(tmp_path / "log", KEY.verifier)
    assert (outside.size, list(outside)) == (0, [])
    with pytest.raises(NotFoundError):
        outside.get(0)
    assert shard.reader().get(99)[1:] == record(99, 60)
    assert shard.publish() == shard.published_size == 100
    assert [stored.place for stored in outside] == list(range(100))
    for number in range(100, 700, 50):
        shard.append(records(number, 50, 20))
    assert outside.size == 100
    shard.publish()
    assert outside.get(699)[1:] == record(699, 20)
    assert outside.find(decision_id(650)).place == 650


class Counted(OsDisk):
    """Counts the bytes that are asked of its files."""

    def __init__(self) -> None:
        self.asked = 0

    def open(self, path: Path, *, create: bool = False, write: bool = False) -> File:
        file = super().open(path, create=create, write=write)
        pread = file.pread

        def counted(size: int, offset: int) -> bytes:
            found = pread(size, offset)
            self.asked += len(found)
            return found

        file.pread = counted  # type: ignore[method-assign]  # to be counted
        return file


def test_reading_a_log_through_takes_each_byte_a_few_times_and_not_once_a_record(tmp_path: Path) -> None:
    make(tmp_path / "log").publish()
    disk = Counted()
    reader = ShardReader(tmp_path / "log", KEY.verifier, disk=disk)
    assert [stored.leaf for stored in reader] == [record(number, 60).leaf for number in range(700)]
    whole = sum(path.stat().st_size for path in (tmp_path / "log" / "segments").iterdir())
    assert disk.asked < 4 * whole
    read = disk.asked
    assert reader.get(3).leaf == record(3, 60).leaf
    assert disk.asked - read < 2000


def test_what_lies_behind_the_durable_end_is_not_remembered(tmp_path: Path) -> None:
    """A writer's process may die over a batch, and the next one writes another in its place."""
    folder, durable = tmp_path / "log", 50
    shard = make(folder, 50)
    reader = ShardReader(folder, limit=lambda: durable)
    (segment,) = (folder / "segments").glob(segment_name(0))
    before = segment.read_bytes()
    shard.append(records(50, 50, 60))
    whole = segment.read_bytes()
    end = len(before.rstrip(b"\0"))
    assert any(whole[end : end + 24])
    other = b"".join(entry_frames(50, [record(1000 + number, 7) for number in range(20)]))
    segment.write_bytes(before[:end] + other + before[end + len(other) :])
    assert len(list(reader)) == 50
    segment.write_bytes(whole)
    durable = 100
    assert [stored.leaf for stored in reader.records(50)] == [record(number, 60).leaf for number in range(50, 100)]


def test_every_published_leaf_is_proven_from_tiles(tmp_path: Path) -> None:
    shard = make(tmp_path / "log")
    shard.publish()
    reader = ShardReader(tmp_path / "log", KEY.verifier)
    for index in range(0, 700, 9):
        note, proof = reader.prove(index)
        checkpoint = open_checkpoint(note, KEY.verifier)
        verify_inclusion(leaf_hash(record(index, 60).leaf), index, 700, proof, checkpoint.root)
    with pytest.raises(NotFoundError):
        reader.prove(700)


def test_a_reader_goes_on_proving_while_the_log_grows_and_is_cosigned(tmp_path: Path) -> None:
    shard = make(tmp_path / "log", 250)
    shard.publish()
    reader, witness = ShardReader(tmp_path / "log", KEY.verifier), CosignerKey("witness.example", bytes(32))
    for size in range(250, 900, 50):
        for index in (0, 3, 248, 255, 256, size - 1):
            if index >= size:
                continue
            note, proof = reader.prove(index)
            checkpoint = open_checkpoint(note, KEY.verifier)
            assert (note, proof) == ShardReader(tmp_path / "log", KEY.verifier).prove(index)
            verify_inclusion(leaf_hash(record(index, 60).leaf), index, checkpoint.size, proof, checkpoint.root)
        if size % 200 == 0:
            text = Note.parse(shard.checkpoint)
            shard.publish_cosigned(text.with_lines([witness.sign(text.text, 1_790_000_000)]).encode())
        shard.append(records(size, 50, 60))
        shard.publish()


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 700])
def test_tiles_have_every_complete_node_and_no_other(size: int, tmp_path: Path) -> None:
    hashes, tree, edge = [leaf_hash(b"%d" % number) for number in range(size)], MemoryTree(), TileEdge()
    for hash_ in hashes:
        tree.append(hash_)
    tiles = TileTree(size, edge.add([b""] * size, hashes).get)
    for level in range(size.bit_length()):
        for index in range(size >> level):
            assert tiles.node(level, index) == tree.node(level, index)
        with pytest.raises(KeyError):
            tiles.node(level, size >> level)


def test_retention_removes_payloads_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    shard = make(folder)
    shard.publish()
    segments = sorted(path.name for path in (folder / "segments").glob("0*.seg"))
    assert len(segments) >= 4
    removed = int(segments[2][:20])
    for name in segments[:2]:
        (folder / "segments" / name).unlink()
    reader = ShardReader(folder, KEY.verifier)
    for index, leaf, payload in reader:
        assert leaf == record(index, 60).leaf
        assert payload == (None if index < removed else record(index, 60).payload)
    assert reader.find(decision_id(3)).payload is None
    assert reader.find(decision_id(699)).payload is not None
    shard.append(records(700, 10))
    shard.close()
    for depth in ("full", "published"):
        again = FileShard.open(folder, KEY, segment_bytes=SEGMENT, depth=depth)
        assert again.size == 710
        again.close()
    kinds = {(finding.kind, finding.damage) for finding in fsck(FolderView(folder), KEY.verifier)}
    assert kinds == {("retained-out", False), ("unpublished", False)}


def test_a_broken_record_is_refused_when_read(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    make(folder, 100).publish()
    path = folder / "segments" / segment_name(0)
    data = path.read_bytes()
    payload = record(5, 60).payload
    path.write_bytes(data.replace(payload, payload[:-1] + bytes([payload[-1] ^ 1])))
    reader = ShardReader(folder, KEY.verifier)
    assert reader.get(4)[1:] == record(4, 60)
    with pytest.raises(TamperedError):
        reader.get(5)


def test_tiles_grow_as_c2sp_says_and_old_partials_go(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    shard = FileShard.create(folder, ORIGIN, KEY, segment_bytes=1024 * 1024)
    shard.append(records(0, 255, 0))
    shard.publish()
    public = folder / "public"
    assert (public / "tile/0/000.p/255").stat().st_size == 255 * 32
    shard.append(records(255, 1, 0))
    shard.publish()
    assert (public / "tile/0/000").stat().st_size == 8192
    assert (public / "tile/1/000.p/1").stat().st_size == 32
    assert (public / "tile/entries/000").exists()
    assert not list((public / "tile/0").glob("*.p/*"))
    assert not list((public / "tile/entries").glob("*.p/*"))
    shard.append(records(256, 44, 0))
    shard.publish()
    assert (public / "tile/0/001.p/44").stat().st_size == 44 * 32
    assert (public / "tile/entries/001.p/44").exists()
    assert fsck(FolderView(folder), KEY.verifier) == []


def test_the_kept_edge_of_the_tree_spares_tiles_and_decides_nothing(tmp_path: Path) -> None:
    shard = make(tmp_path / "log", 350)
    shard.publish()
    witness = CosignerKey("witness.example", bytes(32))
    note = Note.parse(ShardReader(tmp_path / "log").note())
    for number in range(350, 700, 50):
        shard.append(records(number, 50))
    shard.publish()
    shard.publish_cosigned(note.with_lines([witness.sign(note.text, 1_790_000_000)]).encode())

    def proofs() -> tuple[list[tuple[bytes, list[bytes]]], int]:
        """Those of leaves under either checkpoint, each by a new reader, and how many files were read for them."""
        found, read = [], []
        for index in (3, 255, 256, 349, 350, 699):
            reader = ShardReader(tmp_path / "log", KEY.verifier)
            published = reader._view.published

            def counting(path: str, published: Callable[[str], bytes | None] = published) -> bytes | None:
                read.append(path)
                return published(path)

            reader._view.published = counting  # type: ignore[method-assign]  # a spy
            found.append(reader.prove(index))
        return found, len(read)

    good, few = proofs()
    edges = sorted((tmp_path / "log").glob("*.edge"))
    assert [edge.name for edge in edges] == ["checkpoint.cosigned.edge", "checkpoint.edge"]
    whole = [edge.read_bytes() for edge in edges]
    for damage in (whole[::-1], [b"", b""], [b"x" * len(data) for data in whole], [data[:-1] for data in whole], None):
        for edge, data in zip(edges, damage or whole, strict=True):
            edge.unlink() if damage is None else edge.write_bytes(data)
        found, many = proofs()
        assert found == good
        assert many > few
    shard.close()


def test_cosignatures_are_merged_into_the_published_checkpoint(tmp_path: Path) -> None:
    shard = make(tmp_path / "log", 50)
    shard.publish()
    witness = CosignerKey("witness.example", bytes(32))
    reader = ShardReader(tmp_path / "log", KEY.verifier)
    note = Note.parse(reader.note())
    cosigned = note.with_lines([witness.sign(note.text, 1_790_000_000)])
    shard.publish_cosigned(cosigned.encode())
    shard.publish_cosigned(cosigned.encode())
    published = Note.parse(reader.note())
    assert published.cosigned_by([witness.verifier]) == {"witness.example": 1_790_000_000}
    assert len(published.signatures) == 2
    shard.append(records(50, 1))
    shard.publish()
    shard.publish_cosigned(cosigned.encode())
    assert len(Note.parse(reader.note()).signatures) == 1
    kept, path = reader.prove(7)
    assert kept == cosigned.encode()
    assert path
    assert reader.prove(50)[0] == reader.note()  # which no witness has seen yet
    good = reader.note()
    (shard.public_folder / "checkpoint").write_bytes(good[:-6] + b"AAA=\n")
    with pytest.raises(TamperedError):
        reader.prove(50)  # though the text is one that it has checked
    (shard.public_folder / "checkpoint").write_bytes(good)
    shard.close()
    FileShard.open(tmp_path / "log", KEY).close()
    with pytest.raises(NotDurableError):
        shard.append(records(51, 1))


def test_opening_and_closing_entries_name_the_log(tmp_path: Path) -> None:
    shard = make(tmp_path / "log", 50)
    opened = open_shard(shard.verifier, 17)
    assert type(opened).decode(opened.encode()) == opened
    assert (opened.origin, opened.generation, opened.verifier()) == (ORIGIN, 1, shard.verifier)
    closed = close_shard(shard.checkpoint, opened.verifier(), 18)
    assert type(closed).decode(closed.encode()) == closed
    assert (closed.origin, closed.size) == (ORIGIN, 50)
    assert closed.root == open_checkpoint(shard.checkpoint, shard.verifier).root.hex()
    with pytest.raises(TamperedError):
        close_shard(shard.checkpoint, log_key(seed=2).verifier, 18)
    other = str(log_key(seed=2, origin=ORIGIN.replace("/1", "/2")).verifier).encode()
    for data in (
        opened.encode().replace(b'"generation":1', b'"generation":2'),
        opened.encode().replace(str(shard.verifier).encode(), other),
        opened.encode().replace(b'"v":1', b'"v":2'),
        closed.encode(),
        b"{}",
    ):
        with pytest.raises(InvalidInputError):
            type(opened).decode(data)


def test_a_missing_tile_shows(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    shard = make(folder)
    shard.publish()
    shard.close()
    for path in ("tile/0/000", "tile/1/000.p/2", "tile/entries/002.p/188", "tile/0/002.p/188"):
        file = folder / "public" / path
        content = file.read_bytes()
        file.unlink()
        findings = fsck(FolderView(folder), KEY.verifier)
        assert findings, path
        assert all(finding.damage for finding in findings)
        file.write_bytes(content)
    assert fsck(FolderView(folder), KEY.verifier) == []
