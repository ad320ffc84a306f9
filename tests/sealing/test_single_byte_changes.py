"""Change one byte anywhere in what is signed or sealed: it is refused, or what is trusted stays the same.

Of 2,000 and more positions, each with several new values, none may give other trusted values. The test lists where a
change leaves the values as they were (nowhere), and where it is refused but not called tampering: in the id of a KEK,
since a ring cannot know whether a KEK that it does not hold exists.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from strongroom.errors import TamperedError, UnavailableError
from strongroom.sealing.dsse import open_envelope, sign_envelope
from strongroom.sealing.manifest import Manifest
from strongroom.sealing.model_signature import verify_model
from strongroom.sealing.statements import SCAN, make_statement, read_statement
from strongroom.vocabulary import Digest
from tests.sealing.material import AUTHOR, FILES, KEYS, NAME, sealed_example


def changes(data: bytes, places: int) -> Iterator[tuple[int, bytes]]:
    """About `places` positions spread over `data`; at each, one bit flipped, another character, and a gap."""
    step = max(1, len(data) // places)
    for at in range(0, len(data), step):
        for value in (data[at] ^ 1, data[at] ^ 0x20, data[at] ^ 0x80):
            yield at, data[:at] + bytes([value]) + data[at + 1 :]
        yield at, data[:at] + data[at + 1 :]


class Survey(NamedTuple):
    """Positions that were tried, that left the trusted values as they were, and that were refused as unavailable."""

    tried: set[int]
    same: set[int]
    unavailable: set[int]


def survey(data: bytes, places: int, read: Callable[[bytes], Any], trusted: Any) -> Survey:
    """Read every change of `data`."""
    found = Survey(set(), set(), set())
    assert read(data) == trusted
    for at, changed in changes(data, places):
        found.tried.add(at)
        if changed == data:
            continue
        try:
            values = read(changed)
        except TamperedError:
            continue
        except UnavailableError:
            found.unavailable.add(at)
            continue
        assert values == trusted, f"position {at} gave other values"
        found.same.add(at)
    return found


def test_at_least_two_thousand_positions() -> None:
    example = sealed_example()
    package, manifest = example.package, example.manifest
    envelope = sign_envelope(make_statement(example.ref, SCAN, {"v": 1, "verdict": "clean"}), AUTHOR)
    files = {file["path"]: file["sha256"] for file in json.loads(package.container)["files"]}
    model_digest = Digest(files["model.onnx"])
    model_blob = example.blobs.get(model_digest)

    class Altered:
        """Blobs in which one ciphertext is replaced, digest check and all switched off."""

        def __init__(self, data: bytes) -> None:
            self.data = data

        def get(self, digest: Digest) -> bytes:
            return self.data if digest == model_digest else example.blobs.get(digest)

    def of_envelope(data: bytes) -> Any:
        opened = open_envelope(data, KEYS)
        return opened.signers, read_statement(opened.payload, SCAN, dict)

    opened = (example.ref, FILES)

    def of_package(**parts: bytes) -> Any:
        model = example.open(dataclasses.replace(package, **parts))
        return model.ref, dict(model.files)

    surveyed = {
        "manifest, by digest": survey(
            package.manifest, 500, lambda data: Manifest.decode(data, manifest.digest), manifest
        ),
        "envelope": survey(
            envelope, 500, of_envelope, ((AUTHOR.public.key_id,), (example.ref, {"v": 1, "verdict": "clean"}))
        ),
        "model signature": survey(
            example.bundle, 600, lambda data: verify_model(data, NAME, manifest, AUTHOR.public), None
        ),
        "container index": survey(package.container, 500, lambda data: of_package(container=data), opened),
        "wrapped keys": survey(package.wrapped, 400, lambda data: of_package(wrapped=data), opened),
        "ciphertext": survey(
            model_blob, 400, lambda data: dict(example.open(blobs=Altered(data)).files), FILES
        ),
    }  # fmt: skip
    assert sum(len(found.tried) for found in surveyed.values()) >= 2000
    assert {name: found.same for name, found in surveyed.items() if found.same} == {}
    unavailable = {name: found.unavailable for name, found in surveyed.items() if found.unavailable}
    start = package.wrapped.index(example.ring.current_kek.encode())
    assert set(unavailable) == {"wrapped keys"}
    assert unavailable["wrapped keys"] <= set(range(start, start + 64))


def test_a_changed_manifest_that_nobody_named_is_another_manifest_or_none() -> None:
    """Without the digest, a flip may give a valid manifest, but never the same identity."""
    manifest = sealed_example().manifest
    data = manifest.encode()
    for _, changed in changes(data, 400):
        try:
            other = Manifest.decode(changed)
        except TamperedError:
            continue
        assert other != manifest
        assert other.digest != manifest.digest
