"""A backup whose list or files were changed is not restored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from strongroom.adapters.backup_folder import BackupWriter, backed_up, check_files, lay_out, read_envelope
from strongroom.errors import ConflictError, InvalidInputError, NotFoundError, TamperedError
from strongroom.sealing.backup_manifest import BackedFile, BackupManifest, open_manifest, sign_manifest
from strongroom.sealing.keys import EcSigner

SIGNER = EcSigner.from_scalar(11)
KEYS = {SIGNER.public.key_id: SIGNER.public}
FILES = {
    "room.toml": b"v = 1\n",
    "blobs/ab/cd": b"sealed" * 300_000,
    "trust/log-policy": b"",
    "ledger/0/shard.json": b"{}",
}


def backup(folder: Path) -> BackupManifest:
    writer = BackupWriter(folder)
    for path, content in FILES.items():
        writer.put(path, [content[:7], content[7:]])
    made = BackupManifest(kind="room", name="credit", made_by="omar", made_us=1, logs=(), files=writer.files)
    writer.finish(sign_manifest(made, SIGNER))
    return made


def laid_out(to: Path) -> dict[str, bytes]:
    return {path.relative_to(to).as_posix(): path.read_bytes() for path in to.rglob("*") if path.is_file()}


def test_what_was_backed_up_comes_back_but_for_the_file_that_makes_it_a_room(tmp_path: Path) -> None:
    backup(tmp_path / "b")
    manifest = open_manifest(read_envelope(tmp_path / "b"), KEYS)
    check_files(tmp_path / "b", manifest)
    lay_out(tmp_path / "b", manifest, tmp_path / "to", "room.toml")
    assert laid_out(tmp_path / "to") == {path: content for path, content in FILES.items() if path != "room.toml"}
    assert all(path.stat().st_mode & 0o022 == 0 for path in (tmp_path / "to").rglob("*"))
    with pytest.raises(ConflictError):
        lay_out(tmp_path / "b", manifest, tmp_path / "to", "room.toml")
    with pytest.raises(ConflictError):
        BackupWriter(tmp_path / "b")


def flip(folder: Path) -> None:
    path = backed_up(folder, "blobs/ab/cd")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def link(folder: Path) -> None:
    path = backed_up(folder, "room.toml")
    path.rename(folder / "elsewhere")
    path.symlink_to(folder / "elsewhere")


TAMPERING: dict[str, Callable[[Path], object]] = {
    "one bit": flip,
    "cut": lambda folder: backed_up(folder, "blobs/ab/cd").write_bytes(b""),
    "longer": lambda folder: backed_up(folder, "trust/log-policy").write_bytes(b"log x"),
    "missing": lambda folder: backed_up(folder, "trust/log-policy").unlink(),
    "one more": lambda folder: backed_up(folder, "trust/root.json").write_bytes(b"{}"),
    "a link instead": link,
}


@pytest.mark.parametrize("how", TAMPERING)
def test_a_changed_file_is_seen(tmp_path: Path, how: str) -> None:
    manifest = backup(tmp_path / "b")
    check_files(tmp_path / "b", manifest)
    TAMPERING[how](tmp_path / "b")
    with pytest.raises(TamperedError):
        check_files(tmp_path / "b", manifest)


def test_a_changed_manifest_or_another_signer_is_seen(tmp_path: Path) -> None:
    manifest = backup(tmp_path / "b")
    envelope = read_envelope(tmp_path / "b")
    other = EcSigner.from_scalar(12).public
    with pytest.raises(TamperedError):
        open_manifest(envelope, {other.key_id: other})
    with pytest.raises(TamperedError):
        open_manifest(envelope, {})
    changed = sign_manifest(msgspec.structs.replace(manifest, name="debit"), EcSigner.from_scalar(12))
    with pytest.raises(TamperedError):
        open_manifest(changed, KEYS)


def test_a_backup_that_was_not_finished_is_none(tmp_path: Path) -> None:
    BackupWriter(tmp_path / "b").put("room.toml", [b""])
    with pytest.raises(NotFoundError):
        read_envelope(tmp_path / "b")


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "a//b", "a/../b", "", ".", "a/.hidden", "a\\b", "a\x00b", "a/"]
)
def test_a_path_leads_nowhere_else(path: str) -> None:
    with pytest.raises(InvalidInputError):
        BackedFile(path=path, size_bytes=0, sha256="0" * 64)


def test_a_file_is_listed_once_and_in_order() -> None:
    one, two = (BackedFile(path=path, size_bytes=0, sha256="0" * 64) for path in ("a", "b"))
    for files in ((two, one), (one, one)):
        with pytest.raises(InvalidInputError):
            BackupManifest(kind="room", name="credit", made_by="omar", made_us=1, logs=(), files=files)
