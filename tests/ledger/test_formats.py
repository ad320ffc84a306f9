"""Parsers of the ledger against anything: they accept what was encoded, refuse with the right error, never crash."""

from __future__ import annotations

import contextlib

import google_crc32c
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.errors import InvalidInputError
from strongroom.ledger.checkpoint import Checkpoint, Note, VerifierKey
from strongroom.ledger.entries import CloseEntry, OpenEntry
from strongroom.ledger.frames import (
    ENTRY,
    Stop,
    checkpoint_frame,
    content_frames,
    entry_content,
    entry_frame,
    entry_frames,
    frame,
    record_of,
    resync,
    scan,
)
from strongroom.ledger.leaf import Leaf, commitment
from strongroom.ledger.origin import Origin
from strongroom.ledger.tiles import TileEdge, TileTree, decode_bundle, encode_bundle, entries_path, tile_path
from strongroom.ledger.tree import MemoryTree, leaf_hash, root_of
from tests.ledger.samples import ORIGIN, leaf_of, log_key, payload_of, record, records


def test_crc32c_has_the_check_value_of_rfc_3720() -> None:
    assert google_crc32c.value(b"123456789") == 0xE3069283
    assert google_crc32c.value(bytes(32)) == 0x8A9136AA


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_no_parser_raises_anything_else(data: bytes) -> None:
    for parse in (Leaf.decode, Note.parse, Checkpoint.parse, decode_bundle, OpenEntry.decode, CloseEntry.decode):
        with contextlib.suppress(InvalidInputError):
            parse(data)
    text = data.decode("utf-8", "replace")
    for parse_text in (VerifierKey.parse, Origin.parse):
        with contextlib.suppress(InvalidInputError):
            parse_text(text)
    found = scan(data)
    assert found.stopped_at <= len(data)
    list(resync(data, 0, len(data), 0, 1000))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_changed_note_is_refused_or_read_without_crash(data: st.DataObject) -> None:
    key = log_key()
    text = Checkpoint(ORIGIN, 0, MemoryTree().root()).text()
    note = Note(text, (key.sign(text),)).encode()
    at = data.draw(st.integers(0, len(note) - 1))
    changed = note[:at] + bytes([note[at] ^ data.draw(st.integers(1, 255))]) + note[at + 1 :]
    with contextlib.suppress(InvalidInputError):
        Note.parse(changed)


@pytest.mark.parametrize("text", [b"caf\xe9\n1\n\n", b"\xff\xff\xff\n"])
def test_text_that_is_not_utf_8_is_invalid_not_a_crash(text: bytes) -> None:
    with pytest.raises(InvalidInputError):
        Checkpoint.parse(text)


def test_the_commitment_is_hmac_sha_256_of_the_document_under_the_salt() -> None:
    # RFC 4231 has no case with a key of 32 bytes; this one was computed with OpenSSL
    assert commitment(b"\x0b" * 32, b"Hi There") == "198a607eb44bfbc69903a0f1cf2bbdc5ba0aa3f3d9ae3c1c7a3b1696a0b68cf7"
    for salt in (b"", b"s" * 31, b"s" * 33):
        with pytest.raises(InvalidInputError):
            commitment(salt, b"x")


def test_a_leaf_stays_within_its_limit() -> None:
    leaf = leaf_of(1, payload_of(1)).encode()
    assert len(leaf) < 600
    with pytest.raises(InvalidInputError):
        Leaf.decode(leaf + b" " * 1024)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 400), max_size=8), st.integers(0, 2000))
def test_a_scan_gives_back_what_was_framed(sizes: list[int], padding: int) -> None:
    items = [record(number, size) for number, size in enumerate(sizes)]
    data = b"".join(entry_frame(n, *item) for n, item in enumerate(items)) + checkpoint_frame(len(items), b"note")
    found = scan(data + bytes(padding))
    assert [one.record() for one in found.frames if one.kind == ENTRY] == [tuple(item) for item in items]
    assert found.frames[-1].body == b"note"
    assert found.stopped_at == len(data)
    assert found.why in (Stop.ZEROES, Stop.END)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 400), max_size=8), st.integers(0, 2**64 - 9))
def test_frames_of_a_batch_are_the_frames_of_its_records(sizes: list[int], first: int) -> None:
    items = [record(number, size) for number, size in enumerate(sizes)]
    bodies = [len(leaf).to_bytes(2, "big") + leaf + payload for leaf, payload in items]
    each = [frame(ENTRY, index, body) for index, body in enumerate(bodies, first)]
    assert b"".join(entry_frames(first, items)) == b"".join(each)
    assert [entry_frame(index, *item) for index, item in enumerate(items, first)] == each


def test_frames_are_found_again_behind_damage() -> None:
    frames = [entry_frame(n, *record(n)) for n in range(250, 262)]
    data = b"\x01" * 700 + b"".join(frames) + b"\x00\x02" * 300
    found = list(resync(data, 0, len(data), 250, 300))
    assert [one.number for one in found] == list(range(250, 262))
    assert [one.number for one in resync(data, 0, len(data), 252, 255)] == [252, 253, 254, 255]
    big = entry_frame(2**40 + 5, *record(1))
    assert [f.number for f in resync(bytes(10) + big, 0, 10 + len(big), 2**40, 2**40 + 2**25)] == [2**40 + 5]


@pytest.mark.parametrize(
    ("index", "name"), [(0, "000"), (5, "005"), (999, "999"), (1000, "x001/000"), (1234067, "x001/x234/067")]
)
def test_tile_paths_are_those_of_c2sp(index: int, name: str) -> None:
    assert tile_path(1, index) == f"tile/1/{name}"
    assert tile_path(0, index, 17) == f"tile/0/{name}.p/17"
    assert entries_path(index, 255) == f"tile/entries/{name}.p/255"


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=6))
def test_tiles_give_the_tree_at_every_published_size(counts: list[int]) -> None:
    edge, tree = TileEdge(), MemoryTree()
    files: dict[str, bytes] = {}
    for count in counts:
        leaves = [b"%d" % number for number in range(edge.size, edge.size + count)]
        hashes = [leaf_hash(leaf) for leaf in leaves]
        for hash_ in hashes:
            tree.append(hash_)
        files |= edge.add(leaves, hashes)
        tiles = TileTree(edge.size, files.get)
        assert root_of(tiles, edge.size) == tree.root()
        assert tiles.leaf(edge.size - 1) == leaves[-1]
        edge = TileEdge.load(tiles)  # as after a restart


def test_70000_leaves_make_the_files_that_the_specification_lists() -> None:
    leaves = [b"%d" % number for number in range(70_000)]
    files = TileEdge().add(leaves, [leaf_hash(leaf) for leaf in leaves])
    full = [path for path in files if ".p/" not in path and not path.startswith("tile/entries")]
    partial = sorted(path for path in files if ".p/" in path)
    assert len([path for path in full if path.startswith("tile/0/")]) == 273
    assert [path for path in full if path.startswith("tile/1/")] == ["tile/1/000"]
    assert partial == ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1", "tile/entries/273.p/112"]


def test_bundles_keep_their_leaves() -> None:
    leaves = [item.leaf for item in records(0, 256)]
    assert decode_bundle(encode_bundle(leaves)) == leaves
    for broken in (encode_bundle(leaves)[:-1], encode_bundle([*leaves, b"x"]), b"\x00", b"\x00\x02x"):
        with pytest.raises(InvalidInputError):
            decode_bundle(broken)


def test_origins_have_one_form() -> None:
    origin = Origin.parse(ORIGIN)
    assert str(origin) == ORIGIN
    assert (origin.org, origin.slot, origin.generation) == ("bank.example", "0", 1)
    assert str(origin.next()) == ORIGIN[:-1] + "2"
    for text in (
        "", "a/b/c/d/e", "a/b/c/d/e/0", "a/b/c/d/e/01", "a/b/c/d/e/+1", "a/b/c/d//1", "a/b/c/d/e/1/", "A/b/c/d/e/1",
        "../b/c/d/e/1", "a/./c/d/e/1", "a b/b/c/d/e/1", "a+/b/c/d/e/1", "a/b/c/d/e/1\n", "a" * 64 + "/b/c/d/e/1",
        "a/b/c/d/e/9999999999",
    ):  # fmt: skip
        with pytest.raises(InvalidInputError):
            Origin.parse(text)


@settings(max_examples=50, deadline=None)
@given(
    st.integers(0, 2**63 - 10),
    st.lists(st.tuples(st.binary(max_size=1024), st.binary(max_size=2000)), min_size=1, max_size=5),
)
def test_frames_from_contents_are_the_frames_of_entries(first: int, made: list[tuple[bytes, bytes]]) -> None:
    contents = [entry_content(leaf, payload) for leaf, payload in made]
    assert b"".join(content_frames(first, contents)) == b"".join(entry_frames(first, made))
    assert [record_of(content) for content in contents] == made
