"""Every blob store and key ring keeps its port's promises: memory and files."""

from __future__ import annotations

from pathlib import Path

import pytest

from strongroom.adapters.files.blob_files import BlobFiles
from strongroom.adapters.keys.keyring import SCRYPT_RFC7914_INTERACTIVE, KeyFile
from strongroom.errors import InvalidInputError, NotFoundError, TamperedError, UnavailableError
from strongroom.sealing.ports import Blobs, KeyRing, WrappedKey
from strongroom.vocabulary import Digest, digest_of
from tests.memory.blobs import MemoryBlobs, MemoryKeyRing


@pytest.fixture(params=["memory", "files"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    return MemoryBlobs() if request.param == "memory" else BlobFiles(tmp_path / "blobs")


@pytest.fixture(params=["memory", "file"])
def ring(request: pytest.FixtureRequest, tmp_path: Path) -> KeyRing:
    if request.param == "memory":
        return MemoryKeyRing()
    return KeyFile.create(tmp_path / "keys", b"a passphrase", kdf=SCRYPT_RFC7914_INTERACTIVE)


@pytest.mark.parametrize("data", [b"", b"x", bytes(100_000)])
def test_what_is_put_is_got(blobs: Blobs, data: bytes) -> None:
    digest = blobs.put(data)
    assert digest == digest_of(data) == blobs.put(data)
    assert blobs.get(digest) == data
    assert digest in blobs
    assert digest_of(b"other") not in blobs
    assert 7 not in blobs


def test_unknown_and_malformed_names(blobs: Blobs) -> None:
    with pytest.raises(NotFoundError):
        blobs.get(digest_of(b"never stored"))
    for name in ("", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 64 + "\n", "ab/" + "c" * 61):
        with pytest.raises(InvalidInputError):
            blobs.get(Digest(name))
        assert name not in blobs


def test_keys_come_back_only_as_they_were_wrapped(ring: KeyRing) -> None:
    key, context = bytes(range(32)), b"what it is for"
    wrapped = ring.wrap(key, context)
    assert wrapped.kek_id == ring.current_kek
    assert key not in wrapped.blob
    assert ring.wrap(key, context).blob != wrapped.blob
    assert ring.unwrap(wrapped, context) == key
    with pytest.raises(TamperedError):
        ring.unwrap(wrapped, b"something else")
    for at in range(len(wrapped.blob)):
        changed = bytes(value ^ (1 if place == at else 0) for place, value in enumerate(wrapped.blob))
        with pytest.raises(TamperedError):
            ring.unwrap(WrappedKey(wrapped.kek_id, changed), context)
    for size in (0, 5, 12, 27):
        with pytest.raises(TamperedError):
            ring.unwrap(WrappedKey(wrapped.kek_id, wrapped.blob[:size]), context)
    with pytest.raises(UnavailableError):
        ring.unwrap(WrappedKey("0" * 64, wrapped.blob), context)
