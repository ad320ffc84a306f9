"""Long life of logs: repair, retention and holds, export. All on the record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strongroom.adapters.files.safe_files import replace_atomically
from strongroom.adapters.keys.keyring import KeyFile
from strongroom.adapters.log.export import export_log
from strongroom.adapters.log.repair import Mended, mend
from strongroom.adapters.log.segments import drop_segments, full_segments
from strongroom.adapters.log.shard_reader import COSIGNED, FolderView, read_shard_file
from strongroom.adapters.releases.trusted_state_files import read_state
from strongroom.approval.release import Release
from strongroom.compliance.retention import (
    Hold,
    RetentionProof,
    droppable,
    hold_facts,
    lifted_hold,
    new_hold,
    prove_dropped,
    read_holds,
    sign_proof,
)
from strongroom.encoding import parse_as
from strongroom.errors import ConflictError, NotFoundError, StrongroomError
from strongroom.ledger.checkpoint import VerifierKey, open_checkpoint
from strongroom.ledger.note import LogKey
from strongroom.ledger.tiles import TileTree
from strongroom.ledger.trust import NONE, TrustPolicy
from strongroom.office.acts import Act, EntryRef, Resource
from strongroom.office.entries import Entry
from strongroom.vocabulary import Digest, digest_of, micros
from strongroom.wiring.control import ControlPlane
from strongroom.wiring.founding import GOVERNANCE_SEED
from strongroom.wiring.generations import every_log, log_of
from strongroom.wiring.node import NodeLayout
from strongroom.wiring.person import AtDesk
from strongroom.wiring.settings import Layout

# repair ---------------------------------------------------------------------------------------------------------------


def mend_governance(folder: Path, passphrase: bytes) -> Mended:
    """Before the room is opened, because a governance log that cannot be opened cannot record anything either.

    Raises:
        ConflictError: another command has the room open.
    """
    layout = Layout(folder)
    key = LogKey(layout.read().governance_origin, KeyFile.open(layout.keyring, passphrase).get(GOVERNANCE_SEED))
    return mend(layout.governance, key.verifier)


def record_governance_repair(desk: AtDesk, done: Mended) -> EntryRef:
    """What `mend_governance` did, on the record."""
    room = desk.room
    who = desk.ask("repair", "Room", room.settings.room)
    with room.office.open(Act(who, "repair", Resource("Room", room.settings.room), room.clock())) as books:
        books.note(rebuilt=len(done.rebuilt), removed=len(done.removed), lost=len(done.lost))
    return books.receipt


def repair_node(desk: AtDesk, folder: Path, passphrase: bytes) -> list[tuple[str, Mended]]:
    """As an operator: mend every log of a stopped gateway.

    Returns:
        Origin and what was done, for each log.

    Raises:
        ConflictError: a worker still writes one of them.
    """
    room, layout = desk.room, NodeLayout(folder)
    settings = layout.read()
    ring = KeyFile.open(layout.keyring, passphrase)
    who = desk.ask("repair", "Node", settings.node)
    with room.office.open(Act(who, "repair", Resource("Node", settings.node), room.clock())) as books:
        done = [(one.origin, mend(one.folder, one.verifier(ring))) for one in every_log(layout, settings)]
        for name in ("rebuilt", "removed", "lost"):
            books.note(**{name: sum(len(getattr(one, name)) for _, one in done)})
    return done


# holds ----------------------------------------------------------------------------------------------------------------


def acts(room: ControlPlane) -> Iterator[tuple[EntryRef, Entry]]:
    """Every act of the governance log that took place."""
    for logged in room.log.entries():
        entry = logged.document
        if entry.outcome == "done":
            yield logged.ref, entry


def holds(room: ControlPlane) -> dict[str, Hold]:
    """The holds in force, as the governance log has them."""
    return read_holds((entry.verb, entry.facts) for _, entry in acts(room))


def place_hold(desk: AtDesk, hold: Hold) -> EntryRef:
    """Keep records whatever their term.

    Raises:
        ConflictError: the name was used before.
    """
    room = desk.room
    used = {str(entry.facts.get("name")) for _, entry in acts(room) if entry.verb == "hold"}
    who = desk.ask("hold", "Room", room.settings.room, hold.name.encode())
    with room.office.open(Act(who, "hold", Resource("Room", room.settings.room), room.clock())) as books:
        books.note(**hold_facts(new_hold(hold, used)))
    return books.receipt


def lift_hold(desk: AtDesk, name: str) -> EntryRef:
    """End a hold.

    Raises:
        NotFoundError: it is not in force.
    """
    room = desk.room
    known = holds(room)
    who = desk.ask("lift-hold", "Room", room.settings.room, name.encode())
    with room.office.open(Act(who, "lift-hold", Resource("Room", room.settings.room), room.clock())) as books:
        books.note(name=lifted_hold(name, known).name)
    return books.receipt


# retention ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Dropped:
    """One log's dropping: the proof, where it lies, and its entry."""

    proof: RetentionProof
    file: Path
    entry: EntryRef


def retain(desk: AtDesk, folder: Path, slot: int, reason: str, generation: int | None = None) -> Dropped:
    """Drop the oldest segments of one log whose every payload is past its term. The gateway may run meanwhile.

    1. What is fixed: the checkpoint that the witnesses' quorum cosigned, or the published one where the trust policy
       asks for no witness.
    2. The segments, each leaf held against that tree; holds from the governance log.
    3. The proof is signed and its digest recorded, before anything is deleted.
    4. Only then the files go. After a crash in between, the command does it again with a proof of its own.

    Raises:
        ConflictError: nothing may go; the message says why.
        NotFoundError: this node has no such log.
        TamperedError: segments and tree disagree, or no quorum cosigned the log.
    """
    room, layout = desk.room, NodeLayout(folder)
    settings = layout.read()
    which = log_of(layout, settings, slot, settings.generation if generation is None else generation)
    if not which.made:
        raise NotFoundError(f"this node has no log `{which.origin}`")
    log = which.folder
    who = desk.ask("retain", "Node", settings.node, reason.encode())
    at = room.clock()
    with room.office.open(Act(who, "retain", Resource("Node", settings.node), at)) as books:
        key = VerifierKey.parse(read_shard_file((log / "shard.json").read_bytes()).vkey)
        note = fixed_checkpoint(layout.trust_policy(), log, key)
        head = open_checkpoint(note, key)
        tree = TileTree(head.size, FolderView(log).published)
        known = holds(room)
        dropping = droppable(full_segments(log, tree), head.size, micros(at), known.values(), _models(layout))
        proof = prove_dropped(dropping, key.name, note, known, reason, who.id, micros(at))
        envelope = sign_proof(proof, room.keys.signer("control-plane"))
        books.note(
            origin=proof.origin,
            first=proof.first,
            end=proof.end,
            segments=len(proof.segments),
            bytes=sum(one.size_bytes for one in proof.segments),
            proof=digest_of(envelope),
            reason=reason,
        )
    file = log / "retention" / f"{proof.first:020d}-{proof.end:020d}.json"
    file.parent.mkdir(mode=0o700, exist_ok=True)
    replace_atomically(file, envelope, 0o644)
    drop_segments(log, proof)
    return Dropped(proof, file, books.receipt)


def fixed_checkpoint(policy: TrustPolicy, log: Path, key: VerifierKey) -> bytes:
    """The newest checkpoint that nobody can take back.

    Raises:
        TamperedError: no quorum cosigned one.
        ConflictError: nothing is published.
    """
    view = FolderView(log)
    note = view.published("checkpoint" if policy.quorum == NONE else COSIGNED)
    if note is None:
        raise ConflictError(f"no witness has cosigned `{key.name}` yet: nothing of it may be dropped")
    policy.accept(note, key)
    return note


def _models(layout: NodeLayout) -> dict[Digest, str]:
    """The model of each release that the node's mirror knows; of others, a hold on any model keeps the records."""
    models: dict[Digest, str] = {}
    with suppress(StrongroomError):
        for documents in read_state(layout.trusted_state).releases.values():
            for data in documents.values():
                models[digest_of(data)] = parse_as(data, Release).model
    return models


def dropped_by_retention(room: ControlPlane) -> dict[str, int]:
    """Up to which leaf the payloads of each log are gone by an act of retention."""
    found: dict[str, int] = {}
    for _, entry in acts(room):
        if entry.verb == "retain":
            origin = str(entry.facts["origin"])
            found[origin] = max(found.get(origin, 0), int(entry.facts["end"]))
    return found


# export ---------------------------------------------------------------------------------------------------------------


def export(desk: AtDesk, nodes: Sequence[Path], up_to: int | None = None) -> tuple[dict[str, bytes], list[str]]:
    """What an auditor needs to judge the logs without us: public files, trust policy, openings and closings.

    Args:
        desk: an auditor's, operator's, validator's or data protection officer's.
        nodes: folders of gateways whose logs go with the governance log; they may run meanwhile.
        up_to: see `adapters.log_export.export_log`; of the gateways' logs.

    Returns:
        Path to content, and the commands that check it, to be run with `verify.py` in the folder.
    """
    room = desk.room
    name = room.settings.governance_origin
    who = desk.ask("verify", "Log", name)
    with room.office.open(Act(who, "verify", Resource("Log", name), room.clock())) as books:
        books.note(export=len(nodes))
    room.shard.publish()
    files = {"log-policy": room.layout.trust_policy.read_bytes()}
    _put(files, "governance", export_log(room.layout.governance, room.shard.verifier)[1])
    for path in sorted(room.layout.openings.glob("*.json")):
        files[f"openings/{path.name}"] = path.read_bytes()
    shards: list[str] = []
    for folder in nodes:
        layout = NodeLayout(folder)
        for log in sorted(path.parent for path in (folder / "ledger").glob("*/shard.json")):
            if "." in log.name and not (layout.trust / "openings" / f"{log.name}.json").exists():
                continue  # a next generation that is only being made
            about = read_shard_file((log / "shard.json").read_bytes())
            place = "shards/" + about.origin.replace("/", "_")
            _put(files, place, export_log(log, VerifierKey.parse(about.vkey), up_to)[1])
            shards.append(place)
            for proof in sorted((log / "retention").glob("*.json")):
                files[f"retention/{about.origin.replace('/', '_')}/{proof.name}"] = proof.read_bytes()
        layout.read()
    trust = "--policy log-policy --openings openings"
    commands = [f"verify.py log {place} {trust}" for place in shards]
    return files, [*commands, " ".join(["verify.py shards governance", *shards, trust])]


def _put(files: dict[str, Any], place: str, made: dict[str, bytes]) -> None:
    files.update({f"{place}/{path}": content for path, content in made.items()})
