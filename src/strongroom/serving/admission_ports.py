"""What admission needs from outside: trusted metadata, evidence, and a memory for halts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from strongroom.errors import StrongroomError
from strongroom.sealing.packages import SealedPackage
from strongroom.vocabulary import Digest, ModelRef


@dataclass(frozen=True, slots=True)
class TrustedState:
    """One consistent release repository, as a TUF client verified it. Raw bytes: admission reads them itself.

    Attributes:
        at: the moment all expiry dates were held against: the clock, or the time floor if the clock is behind it.
        expires: when the first of root, timestamp, snapshot, targets, operations and halts expires.
        root_version: of the trusted root.
        targets: top-level targets metadata.
        files: content of the top-level targets by path: `people.json`, `policy/...`, `process/...`.
        operations: metadata of the operators' role; None before the first pointer.
        pointers: `pointers/<model>.json` by model.
        grants: `access/grants.json`, or None.
        halts: `halts/<model>.json` by model.
        roles: role metadata by model.
        releases: release documents by model and manifest digest.
        failures: models whose metadata could not be loaded, and why.
    """

    at: datetime
    expires: datetime
    root_version: int
    targets: bytes = field(repr=False)
    files: Mapping[str, bytes] = field(repr=False)
    operations: bytes | None = field(repr=False)
    pointers: Mapping[str, bytes] = field(repr=False)
    grants: bytes | None = field(repr=False)
    halts: Mapping[str, bytes] = field(repr=False)
    roles: Mapping[str, bytes] = field(repr=False)
    releases: Mapping[str, Mapping[Digest, bytes]] = field(repr=False)
    failures: Mapping[str, StrongroomError] = field(default_factory=dict)


class ReleaseSource(Protocol):
    """Where trusted metadata comes from. One caller at a time per node."""

    def refresh(self, now: datetime) -> TrustedState:
        """Fetch and verify the newest state.

        Raises:
            ExpiredError: nothing that is still valid can be had.
            TamperedError: what came is not what was signed, or older than what we had.
            UnavailableError: the repository does not answer.
        """


class Evidence(Protocol):
    """The local mirror of evidence and sealed files. The caller checks what it returns: it may lie on a shared disk."""

    def evidence(self, digest: Digest) -> bytes:
        """Bytes of this digest. Raises NotFoundError; TamperedError when they have another digest."""

    def approvals(self, ref: ModelRef) -> Sequence[bytes]:
        """Approval envelopes that claim to be about this version, in no order."""

    def package(self, ref: ModelRef) -> SealedPackage:
        """Manifest, container index and wrapped keys. Raises NotFoundError."""


class HaltMemory(Protocol):
    """Halts and lifts that this node has seen, and those dropped on its disk. Dropping one from the repository,
    restoring an old repository or a restart does not bring a halted model back."""

    def remembered(self, model: str) -> Sequence[bytes]:
        """Envelopes seen before, and files in the node's `halt/` folder."""

    def remember(self, model: str, envelopes: Sequence[bytes]) -> None:
        """Durable on return. What is remembered already stays as it is."""
