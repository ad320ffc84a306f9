"""People who sign whatever they are given, for attacks in which somebody colludes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from tuf.api.metadata import Metadata, Targets

from strongroom.approval.release import Release
from strongroom.approval.role_metadata import model_role
from strongroom.approval.statements import Approval
from strongroom.encoding import canonical
from strongroom.sealing.dsse import sign_envelope
from strongroom.sealing.statements import APPROVAL, make_statement
from strongroom.vocabulary import Digest, PersonId, digest_of, micros
from tests.simulator import CUSTODIANS, GOVERNANCE, Room, Version, signer


def approval(room: Room, release: Release, draft: bytes, person: str, changes: dict[str, Any]) -> Approval:
    """A decision that fits, but for `changes`."""
    fitting = Approval(
        v=1,
        manifest=release.manifest,
        release=digest_of(canonical(release)),
        evidence=release.evidence,
        policies=release.policies,
        diagram=release.diagram,
        case=release.case,
        decision="approve",
        conditions=(),
        plan=release.plan,
        tuf_draft=digest_of(draft),
        person=PersonId(person),
        at_us=micros(room.at),
        governance=GOVERNANCE,
    )
    return msgspec.structs.replace(fitting, **changes)


def blind_release(
    room: Room,
    version: Version,
    approvers: Sequence[str] = ("abel", "bea"),
    signers: Sequence[str] | None = None,
    *,
    edit: Callable[[Targets], None] | None = None,
    document: dict[str, Any] | None = None,
    decision: dict[str, Any] | None = None,
    point: bool = True,
) -> Release:
    """Approvals and metadata signed without looking, published without checks, and pointed to.

    Args:
        approvers: persons (or `person#key`) who sign approvals.
        signers: who signs the metadata; the approvers if None.
        edit: changes the draft before it is signed.
        document: changes to the release document.
        decision: changes to each approval.
    """
    release = room.document(version, **(document or {}))
    role = model_role(release.model)
    draft = room.repository.stage_release(release)
    if edit is not None:
        draft = edit_draft(room, role, edit)
    for name in approvers:
        said = approval(room, release, draft, name.partition("#")[0], decision or {})
        envelope = sign_envelope(make_statement(version.ref, APPROVAL, said), signer(name))
        room.shelf.put_approval(version.ref, signer(name).public.key_id, envelope)
    room.sign(role, *(approvers if signers is None else signers))
    room.repository.publish(role, room.at)
    if point:
        room.point(champion=version.ref.manifest)
    return release


def edit_draft(room: Room, role: str, edit: Callable[[Targets], None]) -> bytes:
    """Change a waiting draft behind the repository's back."""
    metadata: Metadata[Targets] = Metadata.from_bytes(room.repository.files.staged_path(role).read_bytes())
    edit(metadata.signed)
    metadata.signatures.clear()
    room.repository.files.staged_path(role).write_bytes(metadata.to_bytes())
    return metadata.signed_bytes


def hostile_targets(room: Room, edit: Callable[[Targets], None], **changes: Any) -> None:
    """Custodians sign top-level targets that somebody edited."""
    room.repository.stage_targets(room.at, **changes)
    edit_draft(room, "targets", edit)
    room.sign("targets", *CUSTODIANS[:2])
    room.repository.publish("targets", room.at)


def founded(room: Room) -> Version:
    """The ceremony and a judged version, nothing released yet."""
    room.found()
    return room.version(1)


def other(digest: Digest) -> Digest:
    """Another digest."""
    return digest_of(digest.encode())
