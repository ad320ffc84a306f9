"""What approval needs from outside: a shelf for cases, the release repository, the governance log.

The engine that runs the diagram has its port in `approval.process`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from strongroom.approval.cases import Case
from strongroom.approval.pointers import Pointer
from strongroom.approval.release import Release
from strongroom.office.ports import LoggedEntry
from strongroom.registry.ports import RegistryBooks
from strongroom.sealing.packages import Sealed
from strongroom.sealing.ports import Blobs
from strongroom.vocabulary import Digest, KeyId, ModelRef


class Cases(Protocol):
    """Cases on the shelf. Part of the books: what is put here commits with the act."""

    def get(self, case_id: str) -> Case:
        """Raises NotFoundError."""

    def of_model(self, ref: ModelRef) -> Case:
        """The latest case about this version. Raises NotFoundError."""

    def put(self, case: Case) -> None:
        """Insert or replace; raises ConflictError when `case.revision` is not the stored one plus one."""


class ApprovalBooks(RegistryBooks, Protocol):
    """What the books of an act must offer to this room: the registry's and its own."""

    @property
    def cases(self) -> Cases: ...


class GovernanceRecord(Protocol):
    """The governance log, to be read."""

    def entries(self) -> Iterator[LoggedEntry]:
        """Every entry, oldest first. Raises TamperedError where bytes are not what was logged."""


class EvidenceShelf(Protocol):
    """What the release repository offers beside its metadata: evidence, approvals, sealed files."""

    def put_evidence(self, data: bytes) -> Digest:
        """Durable on return; the same bytes twice are the same file."""

    def evidence(self, digest: Digest) -> bytes:
        """Raises NotFoundError; TamperedError when the bytes have another digest."""

    def put_approval(self, ref: ModelRef, key_id: KeyId, envelope: bytes) -> None:
        """Durable on return; a later approval by the same key replaces the earlier one."""

    def publish_version(self, sealed: Sealed, blobs: Blobs, path: str) -> None:
        """Copy manifest, container, wrapped keys and the ciphertext of `path`. Durable on return; may be repeated.

        Samples stay in the room: gateways need none.
        """

    def approvals_by_key(self, ref: ModelRef) -> Mapping[KeyId, bytes]: ...


class ReleasePublisher(Protocol):
    """The control side of the TUF repository. It never sees a person's private key.

    Drafts wait in a staging area under their role's name until enough signatures are there; nothing that waits is
    visible to gateways. Not safe for two processes at once: the caller holds the room's lock.
    """

    def stage_release(self, release: Release) -> bytes:
        """Draft the next metadata of the model's role: earlier versions kept, this one added.

        Staging the same release again returns the same draft and keeps its signatures.

        Returns:
            The signed part of the draft, the exact bytes approvers sign.

        Raises:
            NotFoundError: the custodians have not delegated this model's role.
            ConflictError: a draft of another version is waiting.
        """

    def draft(self, role: str) -> bytes:
        """The signed part of a waiting draft. Raises NotFoundError."""

    def sign(self, role: str, key_id: KeyId, signature: bytes) -> None:
        """Add a signature to a draft.

        Raises:
            NotPermittedError: the key is not one of the role's.
            TamperedError: the signature does not verify.
        """

    def discard(self, role: str) -> None:
        """Drop a draft and its signatures; nothing happens if none waits."""

    def publish(self, role: str, at: datetime) -> None:
        """Make a draft with enough signatures visible, in one step for readers.

        Raises:
            FourEyesError: signatures are missing.
        """

    def releases(self, model: str) -> Sequence[Release]:
        """Published versions of a model, oldest first."""

    def pointer(self, model: str) -> Pointer | None:
        """The published pointer."""

    def stage_pointer(self, pointer: Pointer, at: datetime) -> bytes:
        """Draft the next metadata of `operations`; returns its signed part, which an operator signs."""

    def halts(self, model: str) -> Sequence[bytes]:
        """Envelopes of published halts and lifts."""

    def publish_halts(self, model: str, envelopes: Sequence[bytes], at: datetime) -> None:
        """Publish the whole list at once, under the control plane's own key: a halt waits for nobody."""
