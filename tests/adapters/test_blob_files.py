"""Blobs on disk: what lies there may have been changed, replaced or linked elsewhere by somebody."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from strongroom.adapters.files import safe_files
from strongroom.adapters.files.blob_files import BlobFiles
from strongroom.errors import TamperedError, UnavailableError
from strongroom.vocabulary import digest_of


def place(folder: Path, data: bytes) -> Path:
    name = digest_of(data)
    return folder / name[:2] / name[2:]


def test_files_are_private_and_listed(tmp_path: Path) -> None:
    blobs = BlobFiles(tmp_path)
    digests = {blobs.put(bytes([n])) for n in range(20)}
    assert set(blobs) == digests
    assert list(blobs) == sorted(digests)
    assert place(tmp_path, b"\x01").stat().st_mode & 0o777 == 0o600
    assert BlobFiles(tmp_path / "public", mode=0o644).put(b"x")
    assert place(tmp_path / "public", b"x").stat().st_mode & 0o777 == 0o644


def test_changed_replaced_and_linked_blobs_are_tampered(tmp_path: Path) -> None:
    blobs = BlobFiles(tmp_path)
    digest = blobs.put(b"content")
    path = place(tmp_path, b"content")
    path.write_bytes(b"other")
    with pytest.raises(TamperedError, match="other bytes"):
        blobs.get(digest)
    with pytest.raises(TamperedError):
        blobs.put(b"content")
    path.unlink()
    (tmp_path / "elsewhere").write_bytes(b"content")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TamperedError, match="link"):
        blobs.get(digest)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(TamperedError, match="not a regular file"):
        blobs.get(digest)


@pytest.mark.parametrize("call", ["write", "fsync", "fchmod"])
def test_a_failed_write_leaves_nothing(call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> int:
        raise OSError(errno.ENOSPC, "no space left on device")

    blobs = BlobFiles(tmp_path)
    kept = blobs.put(b"before")
    with monkeypatch.context() as patch:
        patch.setattr(safe_files.os, call, full)
        with pytest.raises(UnavailableError, match="no space left"):
            blobs.put(b"after")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [place(tmp_path, b"before")]
    assert blobs.get(kept) == b"before"
    assert blobs.put(b"after") in blobs


def test_short_writes_are_carried_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    with monkeypatch.context() as patch:
        patch.setattr(safe_files.os, "write", lambda handle, data: real(handle, bytes(data)[:3]))
        digest = BlobFiles(tmp_path).put(b"ten letters")
    assert BlobFiles(tmp_path).get(digest) == b"ten letters"
