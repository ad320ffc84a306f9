"""The only thing that the gateway serves: a model whose whole chain of evidence was verified."""

from __future__ import annotations

from dataclasses import dataclass, field

from strongroom.approval.release import Release
from strongroom.vocabulary import Digest, ModelRef


@dataclass(frozen=True, slots=True)
class AdmittedModel:
    """Made by `serving.admission.admit` alone.

    Attributes:
        ref: name and manifest digest.
        release: format 6 as signed by the approvers.
        release_digest: SHA-256 of the canonical bytes of `release`; every leaf and record names it.
        policy_digest: SHA-256 over the access policies in force for this release.
        artifact: the plaintext ONNX file, in memory only.
        role: `champion`, `challenger` or `fallback`, from the operator's pointer.
        canary_percent: share that a challenger answers, 0 for shadow.
        canary_pepper: number of the room's pepper that says which subjects these are.
    """

    ref: ModelRef
    release: Release
    release_digest: Digest
    policy_digest: Digest
    artifact: bytes = field(repr=False)
    role: str = "champion"
    canary_percent: int = 0
    canary_pepper: int = 1
