"""Format 5 and model signatures: seal, open, rotate; refuse whatever is not exactly that."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from strongroom.adapters.packages.package_folder import write_folder
from strongroom.encoding import canonical
from strongroom.errors import InvalidInputError, TamperedError, UnavailableError
from strongroom.sealing.container import open_file, seal_file
from strongroom.sealing.manifest import Manifest, build_manifest
from strongroom.sealing.model_signature import SIGNATURE_FILE, key_hint, sign_model, verify_model
from strongroom.sealing.packages import SealedPackage, read_wrapped
from strongroom.sealing.sealed import open_files, rewrap, seal_package
from strongroom.vocabulary import Digest, digest_of
from tests.memory.blobs import MemoryBlobs, MemoryKeyRing
from tests.sealing.material import AUTHOR, FILES, NAME, OTHER, ROLES, sealed_example

VECTORS = Path(__file__).parents[1] / "vectors"


def test_open_gives_back_what_was_sealed() -> None:
    example = sealed_example()
    model = example.open()
    assert dict(model.files) == FILES
    assert model.author_key == AUTHOR.public.key_id
    assert model.by_role("model") == FILES["model.onnx"]
    assert FILES["model.onnx"].hex() not in repr(model)
    partly = example.open(only=["model.onnx"])
    assert list(partly.files) == ["model.onnx"]
    with pytest.raises(InvalidInputError, match="was not opened"):
        partly.by_role("contract")
    with pytest.raises(InvalidInputError, match="every file that was asked for"):
        example.open(only=["other"])


def test_nothing_stored_holds_plaintext() -> None:
    example = sealed_example()
    stored = b"".join([example.package.container, example.package.wrapped, *example.blobs._blobs.values()])
    for start in range(2, 200, 8):
        assert FILES["model.onnx"][start : start + 8] not in stored
    assert bytes(range(32, 64)) not in stored


def test_released_vector_opens_for_ever() -> None:
    vector = json.loads((VECTORS / "container.json").read_text())
    blobs = MemoryBlobs()
    for ciphertext in vector["ciphertexts"].values():
        blobs.put(bytes.fromhex(ciphertext))
    package = SealedPackage(*(bytes.fromhex(vector[name]) for name in ("manifest", "container", "wrapped")))
    ring = MemoryKeyRing(bytes.fromhex(vector["kek"]))
    files = open_files(package, digest_of(package.manifest), ring=ring, blobs=blobs)
    assert {path: content.hex() for path, content in files.items()} == vector["files"]


@pytest.mark.parametrize("size", [0, 1, 2**20 - 57, 2**20, 2**20 + 1, 3 * 2**20])
def test_streams_of_any_size(size: int) -> None:
    key, manifest, content = b"k" * 32, Digest("a" * 64), bytes(size)
    ciphertext = seal_file(content, key, manifest, "x")
    assert open_file(ciphertext, key, manifest, "x") == content
    assert seal_file(content, key, manifest, "x") != ciphertext
    for wrong in (ciphertext[:-1], ciphertext + b"\x00", ciphertext[: 2**20], b"", ciphertext[:40]):
        if wrong != ciphertext:
            with pytest.raises(TamperedError):
                open_file(wrong, key, manifest, "x")


def test_a_ciphertext_is_bound_to_key_version_and_path() -> None:
    ciphertext = seal_file(b"content", b"k" * 32, Digest("a" * 64), "x")
    for key, manifest, path in (
        (b"j" * 32, "a" * 64, "x"),
        (b"k" * 32, "b" * 64, "x"),
        (b"k" * 32, "a" * 64, "y"),
    ):
        with pytest.raises(TamperedError):
            open_file(ciphertext, key, Digest(manifest), path)
    with pytest.raises(InvalidInputError):
        seal_file(b"", b"short", Digest("a" * 64), "x")


def test_rotation_changes_no_digest_but_that_of_the_wrapped_keys() -> None:
    example = sealed_example()
    old = example.ring.current_kek
    new = example.ring.add(b"n" * 32)
    both = dataclasses.replace(
        example.package, wrapped=rewrap(example.package, example.ref.manifest, ring=example.ring, keep=True)
    )
    assert {one.kek_id for one in read_wrapped(both.wrapped, example.ref.manifest)} == {old, new}
    only_new = dataclasses.replace(both, wrapped=rewrap(both, example.ref.manifest, ring=example.ring, keep=False))
    assert [one.kek_id for one in read_wrapped(only_new.wrapped, example.ref.manifest)] == [new]
    for package in (both, only_new):
        assert (package.manifest, package.container) == (example.package.manifest, example.package.container)
        assert dict(example.open(package, ring=MemoryKeyRing(b"n" * 32)).files) == FILES
    with pytest.raises(UnavailableError, match="import it"):
        example.open(only_new, ring=MemoryKeyRing(bytes(range(32))))


def test_swapped_parts_are_refused() -> None:
    example = sealed_example()
    index = json.loads(example.package.container)
    files = index["files"]
    blob, other = (Digest(files[n]["sha256"]) for n in (0, 1))

    def opened(index: dict[str, Any]) -> None:
        example.open(dataclasses.replace(example.package, container=canonical(index)))

    swapped = [dict(files[1], path=files[0]["path"]), dict(files[0], path=files[1]["path"]), files[2]]
    for wrong in (
        {**index, "files": swapped},
        {**index, "files": files[:2]},
        {**index, "files": [*files, dict(files[2], path="zz")]},
        {**index, "files": [files[1], files[0], files[2]]},
        {**index, "files": [dict(files[0], size_bytes=1), *files[1:]]},
        {**index, "manifest": "0" * 64},
        {**index, "scheme": "AES128_GCM_HKDF_4KB"},
        {**index, "v": 2},
        {**index, "note": 1},
    ):
        with pytest.raises(TamperedError):
            opened(wrong)
    with pytest.raises(TamperedError, match="not in the store"):
        opened({**index, "files": [dict(files[0], sha256="0" * 64), *files[1:]]})
    example.blobs._blobs[blob] = example.blobs._blobs[other]
    with pytest.raises(TamperedError):
        example.open()


def test_a_ciphertext_of_other_content_under_the_right_key_is_refused() -> None:
    """Whoever holds the data key can make valid ciphertexts, but not the manifest's digests."""
    example = sealed_example()
    forged = example.blobs.put(seal_file(b"\x08evil", bytes(range(32, 64)), example.ref.manifest, "model.onnx"))
    index = json.loads(example.package.container)
    for file in index["files"]:
        if file["path"] == "model.onnx":
            file.update(sha256=forged, size_bytes=len(example.blobs.get(forged)))
    with pytest.raises(TamperedError, match="not the one that its manifest names"):
        example.open(dataclasses.replace(example.package, container=canonical(index)))


def test_sealing_other_files_than_the_manifest_names_is_refused() -> None:
    manifest = build_manifest(FILES, ROLES)
    for files in ({**FILES, "model.onnx": b"\x08"}, {"model.toml": FILES["model.toml"]}):
        with pytest.raises(TamperedError):
            seal_package(files, manifest, ring=MemoryKeyRing(), blobs=MemoryBlobs(), data_key=b"k" * 32)


# -- the author's signature ---------------------------------------------------------------------------------------


SIGNATURES = json.loads((VECTORS / "envelopes.json").read_text())["model_signatures"]
MANIFEST = Manifest.decode(bytes.fromhex(json.loads((VECTORS / "manifest.json").read_text())["accept"][0]["hex"]))


def test_accept_model_signature() -> None:
    bundle = bytes.fromhex(SIGNATURES["accept"][0])
    verify_model(bundle, NAME, MANIFEST, AUTHOR.public)
    assert key_hint(bundle) == digest_of(AUTHOR.public.pem)


@pytest.mark.parametrize(("name", "case"), SIGNATURES["reject"].items())
def test_reject_model_signature(name: str, case: str) -> None:
    with pytest.raises(TamperedError):
        verify_model(bytes.fromhex(case), NAME, MANIFEST, AUTHOR.public)


def test_the_author_is_who_is_asked_for() -> None:
    example = sealed_example()
    with pytest.raises(TamperedError):
        verify_model(example.bundle, NAME, example.manifest, OTHER.public)
    with pytest.raises(TamperedError):
        example.open(bundle=sign_model(NAME, example.manifest, OTHER))


def public_tool(folder: Path, key: Path) -> subprocess.CompletedProcess[str]:
    tool = Path(sys.executable).parent / "model_signing"
    command = [
        str(tool),
        "verify",
        "key",
        str(folder),
        "--signature",
        str(folder / SIGNATURE_FILE),
        "--public_key",
        str(key),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_public_tool_accepts_what_we_sign_and_refuses_what_changed(tmp_path: Path) -> None:
    example = sealed_example()
    model = example.open()
    folder, key = tmp_path / "unsealed", tmp_path / "author.pem"
    write_folder(folder, {**model.files, SIGNATURE_FILE: example.bundle})
    key.write_bytes(AUTHOR.public.pem)
    accepted = public_tool(folder, key)
    assert accepted.returncode == 0, accepted.stderr
    assert "succeeded" in accepted.stdout
    (folder / "model.onnx").write_bytes(b"\x08changed")
    assert public_tool(folder, key).returncode != 0
