"""Backups of a room and of gateways, and what a restored one must do before it works again. All on the record.

A restored log may lack what came after the backup, and others may hold signed checkpoints of it. So a restored gateway
never writes to its old logs: an operator rotates them, and it serves under the next generation (format 10). A restored
room is taken only if its governance log is as long as any that somebody has seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from strongroom.adapters.backup_folder import (
    BackupWriter,
    backed_up,
    check_files,
    lay_out,
    read_envelope,
)
from strongroom.adapters.files.safe_files import locked, replace_atomically
from strongroom.adapters.keys.keyring import KeyFile
from strongroom.adapters.keystore.backup import JOURNAL, Backups
from strongroom.adapters.log.shard_files import FileShard
from strongroom.adapters.log.shard_reader import FolderView, read_shard_file
from strongroom.compliance.ports import Erasures
from strongroom.errors import ConflictError, InvalidInputError, NotFoundError, TamperedError
from strongroom.ledger.checkpoint import Checkpoint, open_checkpoint
from strongroom.ledger.fsck import fsck
from strongroom.ledger.note import LogKey, Note, VerifierKey
from strongroom.ledger.tiles import TileTree, tile_frontier
from strongroom.office.acts import Act, EntryRef, Resource
from strongroom.sealing.backup_manifest import BackedLog, BackupManifest, open_manifest, sign_manifest
from strongroom.sealing.keys import PublicKey
from strongroom.sealing.signers import keys_with_role
from strongroom.vocabulary import Digest, KeyId, digest_of, micros
from strongroom.wiring.control import ControlPlane
from strongroom.wiring.founding import GOVERNANCE_SEED
from strongroom.wiring.generations import NodeLog, every_log, generations
from strongroom.wiring.node import NODE_FILE, NodeLayout
from strongroom.wiring.nodes import entered
from strongroom.wiring.person import AtDesk
from strongroom.wiring.records import back_up as back_up_keys
from strongroom.wiring.settings import ROOM_FILE, Layout

SIGNER = "control-plane"


@dataclass(frozen=True, slots=True)
class Made:
    """A finished backup."""

    manifest: BackupManifest
    digest: Digest
    entry: EntryRef


@dataclass(frozen=True, slots=True)
class Lost:
    """Records of one log that somebody saw and the backup does not have: from `first` on, `count` of them."""

    origin: str
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Restored:
    """What came back, what did not, and what state and log do not agree on."""

    manifest: BackupManifest
    lost: tuple[Lost, ...]
    findings: tuple[str, ...]
    entry: EntryRef


# backup ---------------------------------------------------------------------------------------------------------------


def back_up_room(desk: AtDesk, to: Path) -> Made:
    """Copy the room while nobody else has it open: settings, key file as it is (encrypted), database, logs, blobs.

    Raises:
        ConflictError: `to` is not empty.
        UnavailableError: something could not be written.
    """
    room, layout = desk.room, desk.room.layout
    who = desk.ask("backup", "Room", room.settings.room)
    at = room.clock()
    with room.office.open(Act(who, "backup", Resource("Room", room.settings.room), at)) as books:
        writer = BackupWriter(to)
        books.note(to=to.name)
    # after the entry, so that the backup holds it: what is restored knows that it was copied
    room.shard.publish()
    writer.copy(layout.settings, ROOM_FILE)
    writer.copy(layout.keyring, layout.keyring.name)
    writer.copy_database(layout.database, layout.database.name)
    logs = (writer.copy_log(layout.governance, room.shard.verifier, "ledger/governance"),)
    writer.copy_tree(layout.blobs, layout.blobs.name)
    writer.copy_tree(layout.trust, layout.trust.name)
    with locked(layout.repository):
        writer.copy_tree(layout.repository, layout.repository.name)
        writer.copy_tree(layout.staged, layout.staged.name)
    manifest = BackupManifest(
        kind="room", name=room.settings.room, made_by=who.id, made_us=micros(at), logs=logs, files=writer.files
    )
    envelope = sign_manifest(manifest, room.keys.signer(SIGNER))
    writer.finish(envelope)
    return Made(manifest, digest_of(envelope), books.receipt)


def back_up_node(desk: AtDesk, folder: Path, to: Path) -> Made:
    """Copy a gateway, which may go on serving: settings, trust, key file as it is, logs, mirror, a key store backup.

    The keys of the key store's backups are not copied: destroying them is what erases a subject from every backup.

    Raises:
        ConflictError: `to` is not empty.
        UnavailableError: something could not be written.
    """
    room, layout = desk.room, NodeLayout(folder)
    settings = layout.read()
    who = desk.ask("backup", "Node", settings.node)
    at = room.clock()
    with room.office.open(Act(who, "backup", Resource("Node", settings.node), at)) as books:
        writer = BackupWriter(to)
        writer.copy(layout.settings, NODE_FILE)
        writer.copy(layout.keyring, layout.keyring.name)
        for name in ("time-floor", "trusted-state"):
            writer.copy(layout.state / name, f"state/{name}")
        for tree in (layout.trust, layout.halts_seen, layout.halt, layout.metadata, layout.mirror):
            writer.copy_tree(tree, tree.relative_to(folder).as_posix())
        logs = []
        for one in every_log(layout, settings):
            key = VerifierKey.parse(read_shard_file((one.folder / "shard.json").read_bytes()).vkey)
            logs.append(writer.copy_log(one.folder, key, f"ledger/{one.folder.name}"))
        # a key is durable before its first record: copied after the records, the keys of all of them are there
        keys, _ = back_up_keys(folder)
        assert keys is not None  # noqa: S101  it was asked for
        writer.copy(keys, f"backups/{keys.name}")
        writer.copy(layout.backups / JOURNAL, f"backups/{JOURNAL}")
        manifest = BackupManifest(
            kind="node", name=settings.node, made_by=who.id, made_us=micros(at), logs=tuple(logs), files=writer.files,
            key_backup=f"backups/{keys.name}",
        )  # fmt: skip
        envelope = sign_manifest(manifest, room.keys.signer(SIGNER))
        writer.finish(envelope)
        books.note(manifest=digest_of(envelope), **{f"size_{log.folder}": log.size for log in logs})
    return Made(manifest, digest_of(envelope), books.receipt)


# restore: a room ------------------------------------------------------------------------------------------------------


def restore_room(
    source: Path, to: Path, passphrase: bytes, home: Path, home_passphrase: bytes, seen: bytes
) -> Restored:
    """As a custodian: lay a room out in a new folder from its backup, and check every byte.

    1. The key file of the backup opens with the room's passphrase; the manifest is signed by the key in it.
    2. Every file is as the manifest says, and no other is there.
    3. The governance log holds the checkpoint that somebody outside has seen. A shorter one may not be continued: what
       it lost is known elsewhere, and the room would contradict it.
    4. Only then the room appears, and its first act is the record of this.

    Args:
        source: of the backup.
        to: new folder.
        passphrase: of the room's key file.
        home, home_passphrase: a custodian's.
        seen: the newest checkpoint of the governance log that anybody outside holds: a witness, an auditor's export,
            the folder from which it is published.

    Raises:
        TamperedError: the backup is not what was written, or `seen` is of another history.
        ConflictError: `to` is not empty, or the backup is older than `seen`.
        NotPermittedError: not a custodian.
    """
    envelope = read_envelope(source)
    ring = KeyFile.open(backed_up(source, "control.keyring"), passphrase)
    signer = ring.signer(SIGNER).public
    manifest = _open(envelope, {signer.key_id: signer}, "room")
    check_files(source, manifest)
    kept = Layout(source / "files")
    settings = kept.read()
    verifier = LogKey(settings.governance_origin, ring.get(GOVERNANCE_SEED)).verifier
    _demand_whole(kept.governance, verifier)
    head = open_checkpoint(FolderView(kept.governance).published("checkpoint") or b"", verifier)
    newest = open_checkpoint(seen, verifier)
    if newest.size > head.size:
        raise ConflictError(
            f"the governance log had {newest.size} entries and this backup has {head.size}: restore a newer backup; "
            "without one this room cannot go on, and a new one is founded"
        )
    _demand_part(kept.governance, newest, head)
    lay_out(source, manifest, to, ROOM_FILE)
    replace_atomically(to / ROOM_FILE, settings.encode(), 0o644)
    try:
        with ControlPlane.open(to, passphrase) as room:
            desk = AtDesk.sit_down(home, home_passphrase, room)
            who = desk.ask("restore", "Room", settings.room, digest_of(envelope).encode())
            with room.office.open(Act(who, "restore", Resource("Room", settings.room), room.clock())) as books:
                books.note(manifest=digest_of(envelope), entries=head.size, made_us=manifest.made_us)
            findings = [f"{one.what}: act {one.act_id}" for one in room.office.fsck()]
    except BaseException:
        # nobody was let restore it, so it is no room
        (to / ROOM_FILE).unlink()
        raise
    return Restored(manifest, (), tuple(findings), books.receipt)


# restore: a gateway ---------------------------------------------------------------------------------------------------


def restore_node(
    desk: AtDesk, source: Path, to: Path, passphrase: bytes, backup_keys: Path, seen: Sequence[bytes] = ()
) -> Restored:
    """As a custodian: lay a gateway out in a new folder from its backup. An operator rotates its logs afterwards.

    1. The manifest is signed by this room; every file is as it says, and no other is there.
    2. Its logs come back to be read. The newest of each slot is marked, so that no worker writes to it again.
    3. Erasures that the room decided since are entered in the journal before the key store is made again, so that
       no backup brings anybody back.
    4. `node.toml` is last: before it the folder is no gateway.

    Args:
        desk: a custodian's.
        source: of the backup.
        to: new folder.
        passphrase: of the gateway's key file.
        backup_keys: the folder of the keys of its key store's backups, which is in no backup.
        seen: checkpoints of its logs that somebody outside holds, to say what is lost.

    Raises:
        TamperedError: the backup is not what was written.
        ConflictError: `to` is not empty, or the gateway's logs were rotated after the backup.
        ExpiredError: the key of the key store's backup is destroyed.
    """
    room, envelope = desk.room, read_envelope(source)
    keys = keys_with_role(room.register, SIGNER, micros(room.clock()))
    manifest = _open(envelope, keys, "node")
    who = desk.ask("restore", "Node", manifest.name, digest_of(envelope).encode())
    with room.office.open(Act(who, "restore", Resource("Node", manifest.name), room.clock())) as books:
        check_files(source, manifest)
        before = NodeLayout(source / "files").read()
        if before.node != manifest.name or manifest.key_backup is msgspec.UNSET:
            raise TamperedError(f"backup `{source}` is not one of gateway `{manifest.name}`")
        lay_out(source, manifest, to, NODE_FILE)
        layout = NodeLayout(to)
        for folder in (layout.mirror, layout.metadata, layout.state, layout.halt, layout.keystore, layout.backups):
            folder.mkdir(mode=0o700, exist_ok=True)
        _copy_keys(backup_keys, layout.backup_keys)
        ring = KeyFile.open(layout.keyring, passphrase)
        lost: list[Lost] = []
        backed = {log.origin: log for log in manifest.logs}
        for slot in range(before.workers):
            logs = generations(layout, before, slot)
            if set(backed) & {one.origin for one in logs} != {one.origin for one in logs}:
                raise TamperedError(f"backup `{source}` lacks a log of slot {slot}")
            if entered(desk, "open-shard", before.origin(slot, logs[-1].generation + 1)) is not None:
                raise ConflictError(
                    f"the logs of gateway `{manifest.name}` were rotated after this backup: restore a newer one"
                )
            for one in logs:
                lost += _settle(one, backed[one.origin], ring, seen)
            replace_atomically(logs[-1].restored, b"restored from a backup\n", 0o644)
        backups = Backups(layout.backups, layout.backup_keys)
        backup = to.joinpath(*manifest.key_backup.split("/"))
        erased = _erased_since(books.erasures, before.region, backups, backup)
        for key_id, tag, at_us in erased:
            backups.bury(key_id, tag, at_us)
        backups.restore(backup, layout.keystore)
        books.note(
            manifest=digest_of(envelope), lost=sum(one.count for one in lost), buried=len(erased),
            made_us=manifest.made_us,
        )  # fmt: skip
        replace_atomically(layout.settings, before.encode(), 0o644)
    return Restored(manifest, tuple(lost), (), books.receipt)


def _open(envelope: bytes, keys: Mapping[KeyId, PublicKey], kind: str) -> BackupManifest:
    manifest = open_manifest(envelope, keys)
    if manifest.kind != kind:
        raise InvalidInputError(f"this is the backup of a {manifest.kind}, not of a {kind}", field="source")
    return manifest


def _settle(one: NodeLog, backed: BackedLog, ring: KeyFile, seen: Sequence[bytes]) -> list[Lost]:
    """Publish what is durable of a log, check it, and say what others have seen of it."""
    verifier = one.verifier(ring)
    if one.key_name in ring.names:
        shard = FileShard.open(one.folder, one.key(ring))
        try:
            shard.publish()
        finally:
            shard.close()
    _demand_whole(one.folder, verifier)
    here = open_checkpoint(FolderView(one.folder).published("checkpoint") or b"", verifier)
    if here.size < backed.size:
        raise TamperedError(
            f"log `{one.origin}` of the backup has {here.size} entries, its manifest says {backed.size}"
        )
    newest = here.size
    for note in seen:
        if Checkpoint.parse(Note.parse(note).text).origin == one.origin:
            held = open_checkpoint(note, verifier)
            if held.size <= here.size:
                _demand_part(one.folder, held, here)
            newest = max(newest, held.size)
    return [Lost(one.origin, here.size, newest - here.size)] if newest > here.size else []


def _demand_whole(folder: Path, verifier: VerifierKey) -> None:
    damage = [one for one in fsck(FolderView(folder), verifier) if one.damage]
    if damage:
        raise TamperedError(f"log `{verifier.name}` of the backup: {damage[0].where}: {damage[0].message}")


def _demand_part(folder: Path, part: Checkpoint, whole: Checkpoint) -> None:
    tree = TileTree(whole.size, FolderView(folder).published)
    if tile_frontier(tree, part.size).root() != part.root:
        raise TamperedError(f"log `{part.origin}` of the backup is another history than the one that was seen")


def _copy_keys(source: Path, to: Path) -> None:
    found = sorted(source.glob("????-??-??.key"))
    if not found:
        raise NotFoundError(f"no keys of backups in `{source}`; without them nobody can read the key store's backup")
    to.mkdir(mode=0o700, exist_ok=True)
    if source.resolve() == to.resolve():
        return
    for path in found:
        replace_atomically(to / path.name, path.read_bytes(), 0o600)


def _erased_since(erasures: Erasures, region: str, backups: Backups, backup: Path) -> list[tuple[bytes, bytes, int]]:
    """Keys of the backup whose subject's erasure the room has decided after the key was made, and no journal knows."""
    known = {key_id for key_id, _, _ in backups.tombstones()}
    found = []
    for tag, key_id, created_us in backups.keys_in(backup):
        decided = [one.requested_us for one in erasures.of_tag(region, tag.hex()) if one.requested_us >= created_us]
        if decided and key_id not in known:
            found.append((key_id, tag, min(decided)))
    return found
