"""`fsck --repair`: what can be made again is made again byte for byte; what cannot is named, and never made up."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.adapters.log.repair import mend
from strongroom.adapters.log.shard_files import FileShard
from strongroom.adapters.log.shard_reader import FolderView, ShardReader, segment_name
from strongroom.errors import ConflictError
from strongroom.ledger.checkpoint import CosignerKey, Note
from strongroom.ledger.fsck import fsck
from tests.ledger.samples import ORIGIN, decision_id, log_key, record, records

KEY = log_key()
WITNESS = CosignerKey("witness.example/w1", b"w" * 32)
BASE = TemporaryDirectory()


@cache
def whole(size: int, dropped: int) -> Path:
    """A log of several segments, published and cosigned; the first `dropped` segments are gone by retention."""
    folder = Path(BASE.name) / f"{size}-{dropped}"
    shard = FileShard.create(folder, ORIGIN, KEY, segment_bytes=64 * 1024)
    for number in range(0, size, 50):
        shard.append(records(number, min(50, size - number), 60))
        if number == 500:
            shard.publish()
            note = Note.parse((folder / "public" / "checkpoint").read_bytes())
            shard.publish_cosigned(note.with_lines([WITNESS.sign(note.text, 1_790_000_000)]).encode())
    shard.publish()
    shard.close()
    for path in sorted((folder / "segments").glob("0*.seg"))[:dropped]:
        path.unlink()
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def damage(path: Path, at: Random) -> None:
    data = path.read_bytes()
    match at.randrange(4) if data else 0:  # what was emptied before can only go
        case 0:
            path.unlink()
        case 1:
            path.write_bytes(data[: at.randrange(len(data))])
        case 2:
            place = at.randrange(len(data))
            path.write_bytes(data[:place] + bytes([data[place] ^ 1 << at.randrange(8)]) + data[place + 1 :])
        case _:
            path.write_bytes(at.randbytes(len(data)))


@settings(max_examples=25, deadline=None)
@given(at=st.randoms(use_true_random=False), size=st.sampled_from((3, 256, 700)), many=st.integers(1, 12))
def test_published_files_come_back_byte_for_byte(at: Random, size: int, many: int) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name) / "log"
        shutil.copytree(whole(size, 0), folder)
        before = contents(folder / "public")
        for path in at.choices(sorted(before), k=many):
            # the words of witnesses are theirs alone; that they are lost is the next test
            if path != "checkpoint.cosigned" and (folder / "public" / path).exists():
                damage(folder / "public" / path, at)
        if at.random() < 0.3:
            damage(folder / "shard.json", at)
        found = mend(folder, KEY.verifier)
        assert found.lost == ()
        assert contents(folder / "public") == before
        assert fsck(FolderView(folder), KEY.verifier) == []
        assert mend(folder, KEY.verifier).rebuilt == ()
        FileShard.open(folder, KEY).close()


@settings(max_examples=12, deadline=None)
@given(at=st.randoms(use_true_random=False))
def test_without_old_segments_either_a_bundle_or_its_tile_is_enough_for_the_tree(at: Random) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name) / "log"
        shutil.copytree(whole(700, 3), folder)
        before = contents(folder / "public")
        bundle = at.randrange(2)
        kept_leaves = at.random() < 0.5
        path = f"tile/0/{bundle:03d}" if kept_leaves else f"tile/entries/{bundle:03d}"
        damage(folder / "public" / path, at)
        found = mend(folder, KEY.verifier)
        after = contents(folder / "public")
        first = FolderView(folder).segments()[0].first
        assert after["tile/0/000"] == before["tile/0/000"]
        assert {p for p in before if after.get(p) != before[p]} <= {path}
        if kept_leaves or first <= bundle * 256:
            assert (found.lost, after) == ((), before)
        else:
            # a leaf cannot be made from its hash, and nothing else takes its place
            assert [one.kind for one in found.lost] == ["entries"]
            assert after.get(path) != before[path]
            assert any(one.kind == "entries" for one in fsck(FolderView(folder), KEY.verifier))


def test_lost_cosignatures_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    shutil.copytree(whole(700, 0), folder)
    (folder / "public" / "checkpoint.cosigned").write_bytes(b"damaged")
    found = mend(folder, KEY.verifier)
    assert found.removed == ("public/checkpoint.cosigned",)
    assert [one.where for one in found.lost] == ["checkpoint.cosigned"]
    assert fsck(FolderView(folder), KEY.verifier) == []


def test_a_lost_checkpoint_is_not_replaced_by_an_older_one(tmp_path: Path) -> None:
    """The segments were cut below what a witness has seen: nothing that is left may stand in for what is gone."""
    folder = tmp_path / "log"
    shutil.copytree(whole(700, 0), folder)
    cosigned = (folder / "public" / "checkpoint.cosigned").read_bytes()
    (folder / "public" / "checkpoint").unlink()
    for path in sorted((folder / "segments").glob("0*.seg"))[2:]:
        path.unlink()
    found = mend(folder, KEY.verifier)
    assert any(one.kind == "segments" for one in found.lost)
    assert (folder / "public" / "checkpoint").read_bytes() == cosigned
    assert any(one.kind == "segments" for one in fsck(FolderView(folder), KEY.verifier))


def test_what_was_tampered_with_is_not_made_good(tmp_path: Path) -> None:
    """Leaves that the log's key never signed: nothing is written, whatever they are consistent with."""
    folder = tmp_path / "log"
    shutil.copytree(whole(700, 0), folder)
    for path in (folder / "segments").glob("0*.seg"):
        path.unlink()
    bundle = folder / "public" / "tile" / "entries" / "000"
    data = bundle.read_bytes()
    other = record(1_000_000, 60).leaf
    bundle.write_bytes(data[: 2 + len(other)].replace(data[2 : 2 + len(other)], other) + data[2 + len(other) :])
    (folder / "public" / "tile" / "0" / "000").unlink()
    (folder / "public" / "tile" / "1" / "000.p" / "2").unlink()
    before = contents(folder)
    found = mend(folder, KEY.verifier)
    assert found.rebuilt == ()
    assert any(one.kind == "root" for one in found.lost)
    assert contents(folder) == before


def test_a_broken_segment_is_lost_and_said_so(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    shutil.copytree(whole(700, 0), folder)
    segment = folder / "segments" / segment_name(0)
    data = bytearray(segment.read_bytes())
    data[700] ^= 1
    segment.write_bytes(data)
    (folder / "public" / "tile" / "0" / "001").unlink()
    found = mend(folder, KEY.verifier)
    assert found.rebuilt == ("public/tile/0/001",)
    assert [one.kind for one in found.lost] == ["segments"]
    assert segment.read_bytes() == bytes(data)


def test_nobody_mends_under_a_writer(tmp_path: Path) -> None:
    shard = FileShard.create(tmp_path / "log", ORIGIN, KEY, segment_bytes=64 * 1024)
    with pytest.raises(ConflictError, match="stop the gateway"):
        mend(tmp_path / "log", KEY.verifier)
    shard.close()


def test_a_spoiled_segment_kept_ready_is_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    shutil.copytree(whole(700, 0), folder)
    (folder / "segments" / "next.seg").write_bytes(b"x" * 100)
    assert mend(folder, KEY.verifier).removed == ("segments/next.seg",)
    shard = FileShard.open(folder, KEY, segment_bytes=64 * 1024)
    shard.prepare()
    shard.append(records(700, 5))
    shard.publish()
    assert ShardReader(folder, KEY.verifier).find(decision_id(704)).place == 704
    shard.close()
