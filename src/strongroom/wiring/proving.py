"""For auditors, operators and data protection: replay, receipts, outcomes, drift, erasure, fsck. All on the record."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from strongroom.access.people import PeopleRegister
from strongroom.adapters.keys.keyring import KeyFile
from strongroom.adapters.log.governance import ShardGovernanceLog
from strongroom.adapters.log.shard_reader import FolderView
from strongroom.approval.dossiers import replications_of, stored_bill
from strongroom.approval.inheritance import LOGGED, Family, hold, known_of_log, seen_of
from strongroom.approval.means import Means
from strongroom.approval.papers import findings_of, sections_of
from strongroom.approval.release import Release
from strongroom.approval.statements import Approval
from strongroom.approval.trust_policy import VALIDATION_PATH
from strongroom.compliance import actions as compliance
from strongroom.encoding import canonical
from strongroom.errors import InvalidInputError, NotFoundError, StrongroomError, UnavailableError
from strongroom.ledger.fsck import Finding, fsck
from strongroom.ledger.note import LogKey
from strongroom.monitoring import actions as monitoring
from strongroom.monitoring.alerts import Alert
from strongroom.monitoring.outcomes import Joined, Outcome, OutcomeBatch, Realised, RealisedBatch
from strongroom.monitoring.performance import performance
from strongroom.monitoring.realised import Figure, Realisations, Window, watch
from strongroom.office.acts import Act, EntryRef, Resource
from strongroom.office.entries import Entry
from strongroom.office.ports import LoggedEntry
from strongroom.registry.contract import ModelContract
from strongroom.registry.kinds import CONTRACTS, OutcomeType
from strongroom.registry.versions import Version
from strongroom.sealing.statements import APPROVAL
from strongroom.serving.letter import Letter, write_letter
from strongroom.serving.receipt import LEAF_TYPES, make_receipt
from strongroom.serving.replay import Replayed
from strongroom.validation.policy import OutcomeWatch, ValidationPolicy
from strongroom.validation.results import NotEvaluable
from strongroom.vocabulary import Digest
from strongroom.wiring.control import ControlPlane
from strongroom.wiring.founding import GOVERNANCE_SEED
from strongroom.wiring.node import NodeLayout
from strongroom.wiring.person import AtDesk
from strongroom.wiring.records import NodeRecords, node_store
from strongroom.wiring.reporting import lost_papers
from strongroom.wiring.upkeep import dropped_by_retention


def replay(desk: AtDesk, node: NodeRecords, decision_ids: Sequence[str], batch_rows: int = 1) -> list[Replayed]:
    """Compute decisions again and demand the same bits; one entry for all of them.

    Raises:
        ErasedError: a subject's key is destroyed.
        TamperedError: a bit differs.
        NotFoundError: no log of the node has one of them.
    """
    room, name = desk.room, node.settings.node
    who = desk.ask("replay", "Log", name)
    with room.office.open(Act(who, "replay", Resource("Log", name), room.clock())) as books:
        books.note(decisions=len(decision_ids), batch_rows=batch_rows, first=decision_ids[0] if decision_ids else "")
        return [node.replay(decision_id, batch_rows) for decision_id in decision_ids]


def receipt(desk: AtDesk, node: NodeRecords, decision_id: str) -> bytes:
    """The receipt of a past decision under the newest published checkpoint, with its cosignatures.

    Raises:
        ErasedError: the subject's key is destroyed; the leaf stays provable, the answer does not.
        InvalidInputError: the record is a shadow's, which nobody was told.
    """
    room, name = desk.room, node.settings.node
    who = desk.ask("verify", "Log", name)
    with room.office.open(Act(who, "verify", Resource("Log", name), room.clock())) as books:
        books.note(decision=decision_id)
        decision = node.decision(decision_id)
        if decision.leaf.type not in LEAF_TYPES.values():
            raise InvalidInputError("this record is a shadow: it was no answer, so it has no receipt", rule="shadow")
        stored, note, path = node.receipt_parts(decision_id)
        return make_receipt(stored.leaf, decision.record.salt, decision.record.answer, stored.place, path, note)


def letter(desk: AtDesk, node: NodeRecords, decision_id: str, language: str) -> Letter:
    """The letter that tells the reasons of a past decision, in the texts of its release; entered in the log.

    Raises:
        ErasedError: the subject's key is destroyed.
        InvalidInputError: see `write_letter`.
        NotFoundError: no log of the node has it, or it reached no release.
    """
    room, name = desk.room, node.settings.node
    who = desk.ask("verify", "Log", name)
    with room.office.open(Act(who, "verify", Resource("Log", name), room.clock())) as books:
        books.note(decision=decision_id, letter=language[:40])
        decision = node.decision(decision_id)
        release = None if decision.leaf.release is None else node.releases().get(decision.leaf.release)
        if release is None:
            raise NotFoundError(f"decision {decision_id} reached no release that this node knows: it has no letter")
        return write_letter(decision.answer, release, language)


def post_outcomes(desk: AtDesk, model: str, outcomes: Sequence[Outcome]) -> EntryRef:
    """Enter what became of decisions."""
    room = desk.room
    batch = OutcomeBatch(v=1, model=model, outcomes=tuple(outcomes))
    who = desk.ask("outcomes", "Model", model)
    return monitoring.post_outcomes(room.office, who, batch, room.clock, outcome_type(room, model))


def post_realised(desk: AtDesk, model: str, amounts: Sequence[Realised]) -> EntryRef:
    """Enter what estimates came to."""
    room = desk.room
    batch = RealisedBatch(v=1, model=model, realised=tuple(amounts))
    ranges = [contract.outcome_range for contract in _contracts(room, model)]
    widest = (min((low for low, _ in ranges), default=-math.inf), max((high for _, high in ranges), default=math.inf))
    who = desk.ask("outcomes", "Model", model)
    return monitoring.post_realised(room.office, who, batch, room.clock, outcome_type(room, model), widest)


def outcome_type(room: ControlPlane, model: str) -> OutcomeType:
    """What an outcome of a model is, by the kind of its versions.

    Raises:
        NotFoundError: the room has no version of the model.
    """
    contracts = _contracts(room, model)
    if not contracts:
        raise NotFoundError(f"no model `{model}` was ever submitted; `strongroom show` lists those that were")
    return "number" if any(CONTRACTS[contract.kind].outcome == "number" for contract in contracts) else "event"


def _contracts(room: ControlPlane, model: str) -> list[ModelContract]:
    with room.desk.begin() as transaction:
        return [version.contract for version in transaction.books.versions.of_model(model)]


def watch_amounts(desk: AtDesk, node: NodeRecords, model: str) -> tuple[Realisations, OutcomeWatch, tuple[Window, ...]]:
    """Realised amounts of a model by window of time, judged by the policy in force.

    Raises:
        NotFoundError: the room has no version of the model.
    """
    room = desk.room
    contracts = _contracts(room, model)
    if not contracts:
        raise NotFoundError(f"no version of `{model}` is in this room")
    rule = ValidationPolicy.decode(room.document(VALIDATION_PATH)).watched(contracts[-1].kind)
    who = desk.ask("monitor", "Model", model)
    joined = monitoring.read_realised(room.office, node, who, model, room.clock)
    return joined, rule, watch(joined, contracts[-1], rule)


def raise_amount_alerts(desk: AtDesk, model: str, windows: Sequence[Window]) -> Sequence[tuple[Alert, EntryRef]]:
    """Record an alert for every figure of the newest window that is beyond its limit by more than chance."""
    room = desk.room
    output = _contracts(room, model)[-1].output.name
    who = desk.ask("alert", "Model", model)
    return monitoring.raise_amount_alerts(room.office, who, model, output, windows, room.clock)


def amount_facts(joined: Realisations, rule: OutcomeWatch, windows: Sequence[Window]) -> dict[str, Any]:
    """Realised amounts as one plain document."""
    return {
        "rows": len(joined.amounts),
        "waiting": joined.waiting,
        "unknown": joined.unknown,
        "window_days": rule.window_days,
        "min_rows": rule.min_rows,
        "windows": [
            {
                "from_us": window.from_us,
                "until_us": window.until_us,
                "rows": window.rows,
                "figures": {name: _figure_facts(figure) for name, figure in window.figures.items()},
            }
            for window in windows
        ],
    }


def _figure_facts(figure: Figure | NotEvaluable) -> dict[str, Any]:
    if isinstance(figure, NotEvaluable):
        return {"standing": "not-evaluable", "reason": figure.reason}
    return {
        "value": round(figure.value, 6),
        "error": round(figure.error, 6),
        "n": figure.n,
        "limit": figure.limit,
        "standing": figure.standing,
    }


def read_outcomes(desk: AtDesk, node: NodeRecords, model: str) -> Joined:
    """Decisions beside their outcomes."""
    room = desk.room
    return monitoring.read_outcomes(room.office, node, desk.ask("monitor", "Model", model), model, room.clock)


def read_drift(desk: AtDesk, node: NodeRecords, model: str, since_us: int = 0) -> monitoring.DriftReport:
    """Drift of the live version, counted again from the ledger.

    Raises:
        NotFoundError: nothing is live, or nothing was decided since.
    """
    room = desk.room
    digest, release = live_release(room, node, model)
    who = desk.ask("monitor", "Model", model)
    return monitoring.read_drift(room.office, node, who, release, digest, room.clock, since_us)


def raise_alerts(desk: AtDesk, report: monitoring.DriftReport) -> Sequence[tuple[Alert, EntryRef]]:
    """Record an alert for every column beyond its limit."""
    room = desk.room
    return monitoring.raise_alerts(room.office, desk.ask("alert", "Model", report.ref.name), report, room.clock)


def drift_facts(
    report: monitoring.DriftReport,
    outcomes: Joined | dict[str, Any],
    raised: Sequence[tuple[Alert, EntryRef]],
) -> dict[str, Any]:
    """A drift report, performance and alerts as one plain document; `outcomes` are events, or `amount_facts`."""
    known = outcomes if isinstance(outcomes, dict) else msgspec.to_builtins(performance(outcomes))
    return {
        "model": str(report.ref),
        "rows": report.rows,
        "drift": [
            {
                "column": one.name,
                "psi": None if one.psi is None else round(one.psi, 5),
                "error": None if one.error is None else round(one.error, 5),
                "by_chance": None if one.by_chance is None else round(one.by_chance, 5),
                "limit": one.limit,
                "verdict": one.verdict,
            }
            for one in report.drifts
        ],
        "outcomes": known,
        "alerts": [
            f"{alert.column}: {'PSI' if alert.monitor == 'psi' else alert.monitor} {alert.value}, entry {entry}"
            for alert, entry in raised
        ],
    }


def live_release(room: ControlPlane, node: NodeRecords, model: str) -> tuple[Digest, Release]:
    """The champion's release and its digest.

    Raises:
        NotFoundError: nothing is live.
    """
    pointer = room.repository.pointer(model)
    for digest, release in node.releases().items():
        if pointer is not None and (release.model, release.manifest) == (model, pointer.champion):
            return digest, release
    raise NotFoundError(f"no version of `{model}` is live on this node")


def erase(desk: AtDesk, folder: Path, node_passphrase: bytes, subject: str) -> compliance.Erased:
    """As the data protection officer: destroy one subject's key on a node, everywhere, and certify it.

    Raises:
        UnavailableError: a cache has not confirmed; the key is gone from the store, the certificate waits.
    """
    room = desk.room
    with NodeRecords.open(folder, node_passphrase) as node:
        tag, region = node.tag(subject), node.settings.region
        ids = node.ids_of(tag)
    who = desk.ask("erase", "Subject", tag.hex(), canonical({"erase": tag.hex(), "region": region}))
    stores, signer = [node_store(folder)], room.keys.signer("control-plane")
    try:
        erased = compliance.erase(room.office, stores, signer, who, region, tag, room.clock)
    except UnavailableError as error:
        # decided and on the record, and the key may be gone: nobody could find the outcomes again when it is finished
        if "pending" in error.details:
            _forget_outcomes(room, ids)
        raise
    _forget_outcomes(room, ids)
    return erased


def _forget_outcomes(room: ControlPlane, decision_ids: Sequence[str]) -> None:
    """Outcomes are about the same person; they go with the key."""
    if decision_ids:
        with room.desk.begin() as transaction:
            transaction.books.outcomes.forget(decision_ids)
            transaction.commit()


def finish_erasures(desk: AtDesk, folder: Path, tag: str | None = None) -> list[compliance.Erased]:
    """As the data protection officer: ask again for every erasure of a node's region that is pending.

    Args:
        tag: of one subject only, hexadecimal.

    Raises:
        UnavailableError: one has still not confirmed; those before it are finished.
    """
    room, region = desk.room, NodeLayout(folder).read().region
    with room.desk.begin() as transaction:
        pending = [
            one for one in transaction.books.erasures.pending() if one.region == region and tag in (None, one.tag)
        ]
    store, signer = node_store(folder), room.keys.signer("control-plane")
    return [
        compliance.finish(room.office, [store], signer, desk.ask("erase", "Subject", one.tag), one, room.clock)
        for one in pending
    ]


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
    for version, lost in lost_papers((Entry.decode(logged.entry) for logged in room.log.entries()), versions):
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
    logged = [(one.ref.index, Entry.decode(one.entry)) for one in log.entries()]
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
            room.check_request(Entry.decode(logged.entry))
        except StrongroomError as error:
            yield f"{logged.ref}: {error.message}"


def entries(desk: AtDesk, limit: int = 50) -> list[LoggedEntry]:
    """The latest entries of the governance log, decrypted, oldest first; reading them is on the record."""
    room = desk.room
    who = desk.ask("history", "Room", room.settings.room)
    with room.office.open(Act(who, "history", Resource("Room", room.settings.room), room.clock())):
        return list(room.log.entries())[-limit:]
