"""What the tests of this room seal: one small package, sealed in memory, and its author."""

from __future__ import annotations

from dataclasses import dataclass

from strongroom.sealing.keys import EcSigner
from strongroom.sealing.manifest import Manifest, build_manifest
from strongroom.sealing.model_signature import sign_model
from strongroom.sealing.packages import SealedPackage
from strongroom.sealing.sealed import VerifiedModel, open_sealed, seal_package
from strongroom.vocabulary import ModelRef
from tests.memory.blobs import MemoryBlobs, MemoryKeyRing

NAME = "pd-example"
FILES = {"model.toml": b"v = 1\n", "model.onnx": b"\x08\x0a" + bytes(range(256)), "data/référence.parquet": b""}
ROLES = {"model.toml": "contract", "model.onnx": "model", "data/référence.parquet": "reference"}
AUTHOR = EcSigner.from_scalar(0xA11CE)
OTHER = EcSigner.from_scalar(0xB0B)
KEYS = {signer.public.key_id: signer.public for signer in (AUTHOR, OTHER)}


@dataclass(frozen=True)
class Example:
    """A sealed package with all that opens it."""

    ring: MemoryKeyRing
    blobs: MemoryBlobs
    manifest: Manifest
    package: SealedPackage
    bundle: bytes

    @property
    def ref(self) -> ModelRef:
        return ModelRef(NAME, self.manifest.digest)

    def open(self, package: SealedPackage | None = None, bundle: bytes | None = None, **more: object) -> VerifiedModel:
        return open_sealed(
            package or self.package,
            self.ref,
            bundle=self.bundle if bundle is None else bundle,
            author=AUTHOR.public,
            ring=more.pop("ring", self.ring),  # type: ignore[arg-type]  # tests pass other rings
            blobs=more.pop("blobs", self.blobs),  # type: ignore[arg-type]  # and other blobs
            **more,  # type: ignore[arg-type]  # and `only`
        )


def sealed_example() -> Example:
    """Made anew for each caller: tests may break it."""
    ring, blobs = MemoryKeyRing(bytes(range(32))), MemoryBlobs()
    manifest = build_manifest(FILES, ROLES)
    sealed = seal_package(FILES, manifest, ring=ring, blobs=blobs, data_key=bytes(range(32, 64)))
    return Example(ring, blobs, manifest, SealedPackage.load(sealed, blobs), sign_model(NAME, manifest, AUTHOR))
