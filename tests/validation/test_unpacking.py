"""Secrets are found in what is compressed; what is too large or broken is told, and costs no more than the rules."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.validation.jobs.scan import _Findings, _packed_secrets
from strongroom.validation.jobs.unpacking import BeyondLimitsError, Unpacker
from strongroom.validation.ports import MIB
from strongroom.validation.scans.scan import Finding, UnpackingRules

KEY = b"AKIA" + b"A2" * 8
MODEL = pickle.dumps({"w": np.arange(50.0), "note": "token " + KEY.decode()})
SMALL = UnpackingRules(unpacked_bytes=4 * MIB, archive_bytes=MIB, members=20, depth=2)


def zipped(**members: bytes) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return data.getvalue()


def by_arrow(name: str, content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, name) as stream:
        stream.write(content)
    return bytes(sink.getvalue())


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "zlib": zlib.compress,
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE),
    "lz4": lambda data: by_arrow("lz4", data),
    "zstd": lambda data: by_arrow("zstd", data),
    "zip": lambda data: zipped(schema=b"{}", model=data),
    "zip behind other bytes": lambda data: b"#!/bin/sh\n" + zipped(model=data),
    "second gzip member": lambda data: gzip.compress(b"first") + gzip.compress(data),
    "zlib in gzip": lambda data: gzip.compress(zlib.compress(data)),
    "gzip in zip": lambda data: zipped(a=b"x", b=gzip.compress(data)),
}


def found(data: bytes, rules: UnpackingRules = SMALL) -> tuple[list[Finding], Unpacker]:
    findings, unpacker = _Findings(), Unpacker(rules)
    _packed_secrets("source/m", data, unpacker, findings)
    return findings.all, unpacker


@pytest.mark.parametrize("name", PACKED)
def test_a_secret_in_a_compressed_part_is_found_and_not_repeated(name: str) -> None:
    data = PACKED[name](MODEL)
    assert KEY not in data
    (secret,) = (one for one in found(data)[0] if one.rule == "secret")
    assert secret.severity == "refuse"
    assert "AWS access key" in secret.message
    assert "unpacked" in secret.message
    assert KEY.decode() not in secret.message
    clean, unpacker = found(PACKED[name](pickle.dumps({"w": np.arange(50.0)})))
    assert clean == []
    assert unpacker.facts.parts > 0
    assert unpacker.facts.unpacked_bytes > 0


def test_joblib_of_every_kind() -> None:
    joblib = pytest.importorskip("joblib")
    for how in ("zlib", "gzip", "bz2", "xz", "lzma"):
        data = io.BytesIO()
        joblib.dump({"note": KEY.decode(), "w": np.zeros(9)}, data, compress=(how, 3))
        assert KEY not in data.getvalue()
        assert [one.rule for one in found(data.getvalue())[0]] == ["secret"], how


def test_a_secret_across_two_pieces_is_found_at_its_place() -> None:
    at = MIB - 7
    text = b"." * at + KEY + b" " + b"." * 100
    (secret,) = found(zlib.compress(text))[0]
    assert f"at byte {at})" in secret.message


def test_a_plain_file_has_no_parts() -> None:
    findings, unpacker = found(MODEL)
    assert (findings, unpacker.facts.parts) == ([], 0)


def bomb(size: int) -> bytes:
    machine = zlib.compressobj(9)
    block = bytes(MIB)
    return b"".join(machine.compress(block) for _ in range(size // MIB)) + machine.flush()


HOSTILE: dict[str, Callable[[], bytes]] = {
    "zlib bomb": lambda: bomb(8 * MIB),
    "bomb in a bomb": lambda: zlib.compress(bomb(8 * MIB), 9),
    "zip of bombs": lambda: zipped(**{f"m{n}": bytes(MIB) for n in range(9)}),
    "packed too deep": lambda: gzip.compress(gzip.compress(gzip.compress(gzip.compress(b"x")))),
    "many members": lambda: zipped(**{f"m{n}": b"" for n in range(21)}),
    "a large archive within": lambda: gzip.compress(zipped(a=np.random.default_rng(1).bytes(2 * MIB))),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_comes_to_more_than_the_rules_allow_is_refused(name: str) -> None:
    findings, unpacker = found(HOSTILE[name]())
    assert [(one.rule, one.severity) for one in findings] == [("unpacked-size", "refuse")]
    assert unpacker.facts.unpacked_bytes <= SMALL.unpacked_bytes + MIB


def test_the_budget_is_of_the_package_and_not_of_a_file() -> None:
    unpacker, part = Unpacker(SMALL), zlib.compress(bytes(3 * MIB))

    def take() -> None:
        for _, pieces in unpacker.parts(part):
            for _ in pieces:
                pass

    take()
    with pytest.raises(BeyondLimitsError):
        take()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (zlib.compress(MODEL * 9)[:-9], "compressed stream: EOFError"),
        (b"x\x9c is no stream", "compressed stream: error"),
        (zipped(a=b"1")[:-30], None),
        (b"PK\x03\x04 and no more", "its directory does not read"),
        (gzip.compress(MODEL)[:-4] + b"\0\0\0\0", "compressed stream: error"),
        (by_arrow("zstd", MODEL)[:-20], "zstd stream: "),
    ],
    # by name: the bytes of an archive hold the time, and every process of a run has to collect the same tests
    ids=["cut", "no stream", "archive without its end", "archive without a directory", "wrong checksum", "cut zstd"],
)
def test_what_does_not_unpack_to_its_end_is_told(data: bytes, says: str | None) -> None:
    notes = [one for one in found(data)[0] if one.rule != "secret"]
    assert [(one.rule, one.severity) for one in notes] == [("unpacked-unread", "note")]
    assert says is None or says in notes[0].message


@settings(max_examples=50)
@given(st.sampled_from(sorted(PACKED)), st.integers(0, 400), st.binary(max_size=12))
def test_no_bytes_raise(name: str, at: int, change: bytes) -> None:
    data = PACKED[name](b"some text " * 9)
    spoilt: Any = data[:at] + change + data[at + len(change) :]
    findings, _ = found(spoilt)
    assert {one.rule for one in findings} <= {"unpacked-unread", "unpacked-size"}
