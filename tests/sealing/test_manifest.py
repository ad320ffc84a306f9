"""Format 4: the manifest's bytes, its rules, and that its digest covers all that has meaning."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from strongroom.errors import InvalidInputError, StrongroomError, TamperedError, TooLargeError
from strongroom.sealing.manifest import FileEntry, Manifest, build_manifest, check_path
from strongroom.vocabulary import Digest

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "manifest.json").read_text())
PATHS = st.from_regex(r"[a-z0-9_]{1,8}(\.[a-z]{1,3})?(/[a-z0-9_]{1,8}){0,2}", fullmatch=True)


@pytest.mark.parametrize("case", VECTORS["accept"])
def test_accept(case: dict[str, Any]) -> None:
    files = {path: bytes.fromhex(content) for path, content in case["files"].items()}
    manifest = build_manifest(files, case["roles"])
    data = bytes.fromhex(case["hex"])
    assert manifest.encode() == data
    assert manifest.digest == case["digest"] == hashlib.sha256(data).hexdigest()
    assert Manifest.decode(data, Digest(case["digest"])) == manifest


def test_the_format_by_hand() -> None:
    """An implementation of the page in docs/spec, written apart from the code."""
    files, roles = {"b": b"xy", "a/é": b""}, {"b": "model", "a/é": "reference"}
    expected = b"strongroom/manifest/v1\n" + struct.pack(">I", 2)
    for path in ("a/é", "b"):
        role, raw = roles[path].encode(), path.encode()
        expected += struct.pack(">B", len(role)) + role + struct.pack(">H", len(raw)) + raw
        expected += struct.pack(">Q", len(files[path])) + hashlib.sha256(files[path]).digest()
    assert build_manifest(files, roles).encode() == expected


@pytest.mark.parametrize("case", VECTORS["reject"], ids=lambda case: case["case"])
def test_reject(case: dict[str, str]) -> None:
    with pytest.raises(TamperedError):
        Manifest.decode(bytes.fromhex(case["hex"]))


def test_digest_is_checked_before_anything_else() -> None:
    with pytest.raises(TamperedError, match="not the one called"):
        Manifest.decode(b"whatever", Digest("0" * 64))


@given(st.dictionaries(PATHS, st.binary(max_size=20), min_size=1, max_size=6))
def test_round_trip(files: dict[str, bytes]) -> None:
    assume(not any(other.startswith(path + "/") for path in files for other in files))
    manifest = build_manifest(files, dict.fromkeys(files, "model"))
    assert Manifest.decode(manifest.encode(), manifest.digest) == manifest


@given(
    st.dictionaries(PATHS, st.binary(max_size=9), min_size=1, max_size=4),
    st.dictionaries(PATHS, st.binary(max_size=9), min_size=1, max_size=4),
    st.sampled_from(["model", "reference"]),
)
def test_two_file_sets_never_share_a_digest(one: dict[str, bytes], two: dict[str, bytes], role: str) -> None:
    try:
        first, second = (
            build_manifest(one, dict.fromkeys(one, "model")),
            build_manifest(two, dict.fromkeys(two, role)),
        )
    except InvalidInputError:
        return
    assert (first.digest == second.digest) == ((one, "model") == (two, role))


def test_every_field_counts() -> None:
    base = build_manifest({"a": b"1", "b": b"2"}, {"a": "model", "b": "reference"})
    others = [
        build_manifest({"a": b"1", "c": b"2"}, {"a": "model", "c": "reference"}),
        build_manifest({"a": b"2", "b": b"1"}, {"a": "model", "b": "reference"}),
        build_manifest({"a": b"1", "b": b"2"}, {"a": "reference", "b": "model"}),
        build_manifest({"a": b"1"}, {"a": "model"}),
        Manifest((FileEntry("a", "model", 2, base.entry("a").sha256), base.entry("b"))),
    ]
    assert len({manifest.digest for manifest in [base, *others]}) == 6


@given(st.text(max_size=40))
def test_any_text_is_a_harmless_path_or_refused(path: str) -> None:
    try:
        check_path(path)
    except StrongroomError:
        return
    assert not path.startswith("/")
    assert ".." not in path.split("/")
    assert "\\" not in path
    assert path.isprintable()


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_cleanly(data: bytes) -> None:
    for start in (b"", b"strongroom/manifest/v1\n", b"strongroom/manifest/v1\n\x00\x00\x00\x01"):
        with pytest.raises(TamperedError):
            Manifest.decode(start + data)


def test_limits_and_look_up() -> None:
    with pytest.raises(TooLargeError):
        build_manifest({f"f{n}": b"" for n in range(1001)}, {f"f{n}": "model" for n in range(1001)})
    manifest = build_manifest({"a": b"", "b": b""}, {"a": "model", "b": "model"})
    with pytest.raises(InvalidInputError, match="2 files of role"):
        manifest.by_role("model")
    with pytest.raises(InvalidInputError, match="no such file"):
        manifest.entry("c")
    with pytest.raises(InvalidInputError, match="has a role"):
        build_manifest({"a": b""}, {})
