"""For auditors: is all that a room and its gateways keep still what was signed and entered? (`strongroom fsck`)"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from strongroom.access.people import PeopleRegister
from strongroom.adapters.keys.keyring import KeyFile
from strongroom.adapters.log.governance import ShardGovernanceLog
from strongroom.adapters.log.shard_reader import FolderView
from strongroom.approval.dossiers import replications_of, stored_bill
from strongroom.approval.inheritance import LOGGED, Family, hold, known_of_log, seen_of
from strongroom.approval.means import Means
from strongroom.approval.papers import findings_of, sections_of
from strongroom.approval.statements import Approval
from strongroom.errors import StrongroomError
from strongroom.ledger.fsck import Finding, fsck
from strongroom.ledger.note import LogKey
from strongroom.office.acts import Act, Resource
from strongroom.registry.versions import Version
from strongroom.sealing.statements import APPROVAL
from strongroom.wiring.control import ControlPlane
from strongroom.wiring.founding import GOVERNANCE_SEED
from strongroom.wiring.person import AtDesk
from strongroom.wiring.records import NodeRecords
from strongroom.wiring.reporting import lost_papers
from strongroom.wiring.upkeep import dropped_by_retention


@dataclass(frozen=True, slots=True)
class Checked:
    """One line of fsck.

    Attributes:
        what: was checked.
        findings: what is wrong.
        notes: what is worth knowing and right: not published yet, dropped by retention.
    """

    what: str
    findings: tuple[str, ...]
    notes: tuple[str, ...] = ()


def check_room(desk: AtDesk, nodes: Sequence[NodeRecords]) -> list[Checked]:
    """Check every stored byte against what was signed: governance log, outbox, sealed blobs, release metadata, nodes.

    Nothing is changed. That it was asked is on the record; what is found is for whoever asked.
    """
    room = desk.room
    who = desk.ask("fsck", "Room", room.settings.room)
    with room.office.open(Act(who, "fsck", Resource("Room", room.settings.room), room.clock())) as books:
        versions = [version for name in books.versions.models() for version in books.versions.of_model(name)]
        books.note(versions=len(versions), nodes=len(nodes))
    room.shard.publish()
    checked = [
        Checked("governance log", tuple(_log_findings(room))),
        Checked("outbox", tuple(f"{one.what}: act {one.act_id}" for one in room.office.fsck())),
        Checked("sealed files", tuple(_blob_findings(room, versions))),
        Checked("words and findings", tuple(_paper_findings(room, versions))),
        Checked("approvals", tuple(approval_findings(room.means(), room.log, versions))),
        Checked("people register", tuple(_register_findings(room))),
        Checked("signed requests", tuple(_request_findings(room))),
    ]
    dropped = dropped_by_retention(room)
    for node in nodes:
        checked += [_log_checked(origin, findings, dropped.get(origin, 0)) for origin, findings in node.fsck()]
    return checked


def _log_checked(origin: str, findings: Sequence[Finding], dropped: int) -> Checked:
    """Payloads may be gone as far as acts of retention say so, and no further."""
    wrong: list[str] = []
    notes: list[str] = []
    for one in findings:
        text = f"{one.kind} at {one.where}: {one.message}"
        unproven = one.kind == "retained-out" and one.first_kept > dropped
        (wrong if one.damage or unproven else notes).append(text + (", but no act of retention says so" * unproven))
    return Checked(f"log {origin}", tuple(wrong), tuple(notes))


def _log_findings(room: ControlPlane) -> list[str]:
    verifier = _governance_key(room.keys, room).verifier
    found = fsck(FolderView(room.layout.governance), verifier)
    # nobody drops what the governance log says
    return [f"{one.kind} at {one.where}: {one.message}" for one in found if one.kind != "unpublished"]


def _governance_key(keys: KeyFile, room: ControlPlane) -> LogKey:
    return LogKey(room.settings.governance_origin, keys.get(GOVERNANCE_SEED))


def _blob_findings(room: ControlPlane, versions: Sequence[Version]) -> list[str]:
    findings = []
    for version in versions:
        named = [version.bundle, version.sealed.manifest, version.sealed.container, version.sealed.wrapped]
        for digest in [*named, *version.evidence.values()]:
            try:
                room.vault.blobs.get(digest)
            except StrongroomError as error:
                findings.append(f"{version.ref}: {error.message}")
    return findings


def _paper_findings(room: ControlPlane, versions: Sequence[Version]) -> Iterator[str]:
    """What was signed about versions besides evidence: there, signed, following one from another, and all that the log
    knows of."""
    means = room.means()
    register = means.register
    for version in versions:
        try:
            sections_of(version, room.vault.blobs, register)
            findings_of(version, room.vault.blobs, register)
            replications_of(version, means)
            stored_bill(version, means)
        except StrongroomError as error:
            yield f"{version.ref}: {error.message}"
    for version, lost in lost_papers((logged.document for logged in room.log.entries()), versions):
        yield f"{version.ref}: {lost}"


def approval_findings(means: Means, log: ShardGovernanceLog, versions: Sequence[Version]) -> Iterator[str]:
    """What approvers signed of the governance log and of findings: this very log, and what it named up to there.

    An approver who was shown another history signed its head, and the approval lies with every gateway.
    """
    register, blobs = means.register, means.blobs
    signed: list[Approval] = []
    for version in versions:
        for envelope in means.shelf.approvals_by_key(version.ref).values():
            try:
                said, _ = register.statement(envelope, version.ref, APPROVAL, Approval)
            except StrongroomError as error:
                yield f"{version.ref}: {error.message}"
                continue
            signed.append(said)
    refs = {version.ref.manifest: version.ref for version in versions}
    roots = log.roots({said.governance.size for said in signed})
    logged = [(one.ref.index, one.document) for one in log.entries()]
    logged = [(index, entry) for index, entry in logged if entry.verb in LOGGED]
    for said in signed:
        ref, head = refs[said.manifest], said.governance
        who = f"{ref}: the {said.decision} of `{said.person}`"
        if head.origin != log.origin or roots.get(head.size) != head.root:
            yield f"{who} names a governance log that is not this one: they were shown another history"
        elif not isinstance(said.findings, msgspec.UnsetType):
            known = known_of_log(entry for index, entry in logged if index < head.size)
            try:
                held = hold(Family(known, blobs.get).of(ref), blobs.get, register, as_then=True)
            except StrongroomError as error:
                yield f"{who}: {error.message}"
                continue
            if {one.step for one in said.findings} != {one.step for one in seen_of(held, said.at_us)}:
                yield f"{who} names other findings than the governance log had then"


def _register_findings(room: ControlPlane) -> list[str]:
    try:
        PeopleRegister.decode(room.document("people.json"))
    except StrongroomError as error:
        return [error.message]
    return []


def _request_findings(room: ControlPlane) -> Iterator[str]:
    """Every entry that names a request: that it is there, signed by that person for that act."""
    for logged in room.log.entries():
        try:
            room.check_request(logged.document)
        except StrongroomError as error:
            yield f"{logged.ref}: {error.message}"
