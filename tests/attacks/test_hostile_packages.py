"""Threat: a package that does something when it is opened, or lands somewhere else. All of it is refused unopened."""

from __future__ import annotations

import io
import os
import pickle
import socket
import tarfile
import zipfile
from pathlib import Path

import pytest

from strongroom.adapters.packages.package_folder import read_folder, write_folder
from strongroom.errors import InvalidInputError, RefusedError, TamperedError, TooLargeError, UnsafeArtifactError
from strongroom.registry.packages import FILES_LIMIT, read_package
from strongroom.sealing.manifest import FileEntry, Manifest
from strongroom.vocabulary import Digest
from tests.registry.room import package_files

GOOD = dict(package_files())


class Bomb:
    """Runs when it is loaded."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("strongroom-was-here",)


def pickles() -> dict[str, bytes]:
    return {f"pickle protocol {n}": pickle.dumps(Bomb(), protocol=n) for n in range(pickle.HIGHEST_PROTOCOL + 1)}


def archives() -> dict[str, bytes]:
    zipped, tarred = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("../../model.onnx", b"x")
    with tarfile.open(fileobj=tarred, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../x"), io.BytesIO(b""))
    others = {
        "gzip": b"\x1f\x8b\x08\x00",
        "zlib": b"\x78\x9c",
        "xz": b"\xfd7zXZ",
        "7z": b"7z\xbc\xaf\x27\x1c",
        "elf": b"\x7fELF",
    }
    return {
        "zip": zipped.getvalue(),
        "tar": tarred.getvalue(),
        **{name: start + bytes(40) for name, start in others.items()},
    }


HOSTILE = {**pickles(), **archives(), "python": b"import os\n", "empty": b""}


@pytest.fixture(autouse=True)
def nothing_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.chdir(tmp_path)
    yield
    assert not (tmp_path / "strongroom-was-here").exists()


def test_positive_control_the_bomb_works() -> None:
    pickle.loads(pickle.dumps(Bomb()))  # noqa: S301 - it is ours, and shows that the others would do harm
    Path("strongroom-was-here").rmdir()
    assert read_package(GOOD).contract.name == "pd-small"


@pytest.mark.parametrize("name", HOSTILE)
def test_disguised_as_model_or_sample(name: str) -> None:
    for path in ("model.onnx", "reference.parquet"):
        with pytest.raises(UnsafeArtifactError):
            read_package({**GOOD, path: HOSTILE[name]})


@pytest.mark.parametrize(
    "path",
    [
        "model.pkl",
        "model.joblib",
        "model.zip",
        "model.tar.gz",
        "setup.py",
        "notes.txt",
        "sub/more.parquet",
        "other.onnx",
        ".hidden",
        ".git/config",
        "a/.x",
        "model.sig",
        "MODEL.PKL",
    ],
)
def test_beside_the_model(path: str) -> None:
    with pytest.raises(UnsafeArtifactError):
        read_package({**GOOD, path: pickle.dumps(Bomb())})


@pytest.mark.parametrize("name", ["model.pkl", "model.onnx.zip", "model", "model.ONNX"])
def test_named_as_the_model_by_model_toml(name: str) -> None:
    toml = GOOD["model.toml"].replace(b'model = "model.onnx"', f'model = "{name}"'.encode())
    files = {**{path: content for path, content in GOOD.items() if path != "model.onnx"}, "model.toml": toml}
    with pytest.raises(UnsafeArtifactError):
        read_package({**files, name: GOOD["model.onnx"]})


PATHS = ["../model.onnx", "/etc/passwd", "a/../../b", "a\\..\\b", "C:/b", "a//b", "", ".", "..", "a/", "a\x00b", "./a"]


@pytest.mark.parametrize("path", PATHS)
def test_paths_that_lead_out(path: str, tmp_path: Path) -> None:
    with pytest.raises(RefusedError):
        read_package({**GOOD, path: b"PAR1....PAR1"})
    with pytest.raises(InvalidInputError):
        FileEntry(path, "model", 0, Digest("0" * 64))
    with pytest.raises(InvalidInputError):
        write_folder(tmp_path / "unsealed", {path: b"x"})
    raw = path.encode()
    entry = b"\x05model" + len(raw).to_bytes(2, "big") + raw + bytes(40)
    with pytest.raises(TamperedError):
        Manifest.decode(b"strongroom/manifest/v1\n\x00\x00\x00\x01" + entry)
    assert list(tmp_path.iterdir()) == []


def folder(tmp_path: Path) -> Path:
    write_folder(tmp_path / "package", GOOD)
    return tmp_path / "package"


def test_links_are_not_followed(tmp_path: Path) -> None:
    package = folder(tmp_path)
    assert read_folder(package) == GOOD
    secret = tmp_path / "secret"
    secret.write_bytes(GOOD["reference.parquet"])
    (package / "reference.parquet").unlink()
    (package / "reference.parquet").symlink_to(secret)
    with pytest.raises(UnsafeArtifactError, match="no links"):
        read_folder(package)
    (package / "reference.parquet").unlink()
    os.link(secret, package / "reference.parquet")
    with pytest.raises(UnsafeArtifactError, match="hard links"):
        read_folder(package)
    (package / "reference.parquet").unlink()
    (tmp_path / "elsewhere").mkdir()
    (package / "inner").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafeArtifactError, match="no links"):
        read_folder(package)


def test_pipes_sockets_and_hidden_files(tmp_path: Path) -> None:
    package = folder(tmp_path)
    os.mkfifo(package / "pipe.parquet")
    with pytest.raises(UnsafeArtifactError, match="regular files only"):
        read_folder(package)
    (package / "pipe.parquet").unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(package / "s.parquet"))
        with pytest.raises(UnsafeArtifactError, match="regular files only"):
            read_folder(package)
    (package / "s.parquet").unlink()
    (package / ".gitignore").write_text("x")
    with pytest.raises(UnsafeArtifactError, match="hidden"):
        read_folder(package)


def test_an_archive_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "package.zip").write_bytes(HOSTILE["zip"])
    with pytest.raises(UnsafeArtifactError, match="archives are not taken"):
        read_folder(tmp_path / "package.zip")


def test_names_that_are_not_text(tmp_path: Path) -> None:
    package = folder(tmp_path)
    (Path(os.fsdecode(os.fsencode(package) + b"/\xff.parquet"))).write_bytes(b"")
    with pytest.raises(InvalidInputError):
        read_folder(package)


def test_too_many_files_and_too_deep(tmp_path: Path) -> None:
    package = folder(tmp_path)
    for n in range(FILES_LIMIT + 1):
        (package / f"s{n}.parquet").write_bytes(b"")
    with pytest.raises(TooLargeError, match="files"):
        read_folder(package)
    deep = tmp_path / "deep"
    (deep / "/".join("abcdefghijkl")).mkdir(parents=True)
    with pytest.raises(TooLargeError):
        read_folder(deep)
    with pytest.raises(TooLargeError):
        read_package({**GOOD, **{f"s{n}.parquet": b"" for n in range(FILES_LIMIT + 1)}})


def test_unsealing_over_something_is_refused(tmp_path: Path) -> None:
    package = folder(tmp_path)
    with pytest.raises(RefusedError):
        write_folder(package, GOOD)
    (tmp_path / "file").write_text("x")
    with pytest.raises(RefusedError):
        write_folder(tmp_path / "file", GOOD)
    assert all(path.stat().st_mode & 0o077 == 0 for path in package.rglob("*"))
