"""CWE-502, CWE-409: files that run when they are loaded, or unpack without end, under whatever name.

A canary stands in each of them: a folder that is made when somebody loads it. Nothing of a package is loaded outside
the sandbox, so it must never come to be; the controls show that it would.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import os
import pickle
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import joblib
import numpy as np
import pytest

from strongroom.errors import StrongroomError, UnsafeArtifactError
from strongroom.registry.packages import read_package
from tests.registry.room import package_files

GOOD = dict(package_files())
CANARY = "canary-was-loaded"
SAMPLES = ("reference.parquet", "development.parquet", "predictions.parquet")


class Canary:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (CANARY,)


def zipped(name: str, data: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr(name, data)
    return out.getvalue()


def tarred(name: str, data: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def joblib_bytes(compress: object = 0) -> bytes:
    out = io.BytesIO()
    joblib.dump({"model": Canary(), "weights": np.zeros(100)}, out, compress=compress)
    return out.getvalue()


def npy(value: object) -> bytes:
    out = io.BytesIO()
    np.save(out, np.array([value], dtype=object), allow_pickle=True)
    return out.getvalue()


def npz() -> bytes:
    out = io.BytesIO()
    np.savez(out, w=np.array([Canary()], dtype=object))
    return out.getvalue()


def hostile() -> dict[str, bytes]:
    plain = pickle.dumps(Canary(), protocol=2)
    made = {f"pickle {n}": pickle.dumps(Canary(), protocol=n) for n in range(6)}
    made |= {
        "joblib": joblib_bytes(),
        "joblib, zlib": joblib_bytes(("zlib", 3)),
        "joblib, gzip": joblib_bytes(("gzip", 3)),
        "joblib, lzma": joblib_bytes(("lzma", 3)),
        "skops": zipped("schema.json", b'{"__class__": "system", "__module__": "os", "__loader__": "TypeNode"}'),
        "torch": zipped("archive/data.pkl", plain, zipfile.ZIP_STORED),
        "torch, before 1.6": pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2) + plain,
        "npy of objects": npy(Canary()),
        "npz of objects": npz(),
        "keras": b"\x89HDF\r\n\x1a\n" + plain,
        "zip in gzip in tar": tarred("m.gz", gzip.compress(zipped("m.pkl", plain))),
        "tar in zip in xz": lzma.compress(zipped("m.tar", tarred("m.pkl", plain))),
        "gzip bomb": gzip.compress(bytes(50_000_000)),
        "bzip2 bomb": bz2.compress(bytes(50_000_000)),
        "zip bomb": zipped("m", bytes(50_000_000)),
        "bomb in a bomb": gzip.compress(gzip.compress(bytes(50_000_000))),
        "zlib": zlib.compress(plain),
        "zip behind an image": b"\x89PNG\r\n\x1a\n" + zipped("m.pkl", plain),
        "pickle between Parquet's marks": b"PAR" + plain + b"PAR1",
    }
    return made


HOSTILE = hostile()


@pytest.fixture(autouse=True)
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    yield tmp_path / CANARY
    assert not (tmp_path / CANARY).exists(), "it was loaded"


@pytest.mark.parametrize("name", ["pickle 0", "pickle 5", "joblib", "npy of objects"])
def test_the_control_each_canary_would_run(canary: Path, name: str) -> None:
    loaders = {"joblib": joblib.load, "npy of objects": lambda file: np.load(file, allow_pickle=True)}
    with contextlib.suppress(ValueError):
        loaders.get(name, pickle.load)(io.BytesIO(HOSTILE[name]))
    assert canary.is_dir()
    canary.rmdir()


@pytest.mark.parametrize("name", HOSTILE)
def test_by_content_in_place_of_the_model_or_a_sample(name: str) -> None:
    for path in ("model.onnx", *(one for one in SAMPLES if one in GOOD)):
        with pytest.raises(UnsafeArtifactError) as caught:
            read_package({**GOOD, path: HOSTILE[name]})
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize("name", HOSTILE)
def test_beside_the_model_under_any_name(name: str) -> None:
    for path in ("m.pkl", "m.joblib", "m.skops", "m.pt", "m.npy", "m.onnx", "m.parquet", "README.md", "a/b"):
        with pytest.raises(UnsafeArtifactError):
            read_package({**GOOD, path: HOSTILE[name]})


@pytest.mark.parametrize("name", HOSTILE)
def test_in_place_of_model_toml(name: str) -> None:
    with pytest.raises(StrongroomError):
        read_package({**GOOD, "model.toml": HOSTILE[name]})


def test_what_can_load_objects_is_not_even_imported_where_packages_are_read() -> None:
    code = (
        "import sys, strongroom.registry.packages, strongroom.adapters.packages.package_folder;"
        "print([m for m in ('joblib', 'skops', 'torch', 'cloudpickle', 'dill', 'onnx') if m in sys.modules])"
    )
    source = Path(__file__).parents[2] / "src"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(source)}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_no_module_of_ours_calls_a_loader_of_objects() -> None:
    source = Path(__file__).parents[2] / "src" / "strongroom"
    words = ("pickle.load", "joblib.load", "torch.load", "allow_pickle=True", "marshal.load", "shelve.open", "dill.")
    for file in source.rglob("*.py"):
        if file.name == "source_loading.py":  # inside the sandbox alone: test_hostile_sources.py
            continue
        text = file.read_text()
        assert not [word for word in words if word in text], file.name
