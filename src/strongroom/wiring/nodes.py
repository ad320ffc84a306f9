"""On the operator's side: make a gateway's folder and have its logs opened, or closed, in the governance log."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from strongroom.adapters.files.safe_files import replace_atomically
from strongroom.adapters.keys.keyring import KeyFile
from strongroom.adapters.keystore.backup import Backups
from strongroom.adapters.log.shard_reader import ShardReader, read_shard_file
from strongroom.errors import ConflictError
from strongroom.ledger.actions import close_shard, open_shard
from strongroom.ledger.note import LogKey, VerifierKey
from strongroom.office.acts import Act, EntryRef, Resource
from strongroom.vocabulary import digest_of, micros
from strongroom.wiring.generations import every_log
from strongroom.wiring.node import NodeLayout, make_node, make_shard
from strongroom.wiring.node_settings import BATCH_SLOT, NodeSettings
from strongroom.wiring.person import AtDesk
from strongroom.wiring.room_keys import shared_keks, shared_peppers


def create_node(desk: AtDesk, folder: Path, settings: NodeSettings, passphrase: bytes) -> list[EntryRef]:
    """Make a gateway's folder with the room's trust, and open its logs.

    Peppers of API keys and the room's KEKs go into the node's key file, those that are next ones too: a gateway opens
    models and knows callers.

    Raises:
        ConflictError: the folder is not empty.
        NotPermittedError: the policies.
    """
    room = desk.room
    verifiers = make_node(
        folder,
        settings,
        passphrase,
        root=(room.layout.repository / "metadata" / "1.root.json").read_bytes(),
        log_policy=room.layout.trust_policy.read_bytes(),
        peppers=shared_peppers(room.keys),
        keks=shared_keks(room.keys).values(),
        profile=room.settings.profile,
    )
    return [open_log(desk, NodeLayout(folder), slot, key) for slot, key in enumerate(verifiers)]


def open_batch_log(desk: AtDesk, folder: Path, passphrase: bytes) -> EntryRef:
    """Make the log that files are scored into, beside the workers' logs, and open it. The node may be running.

    Raises:
        ConflictError: it is open already.
        NotPermittedError: the policies.
    """
    layout = NodeLayout(folder)
    settings = layout.read()
    if layout.opening(BATCH_SLOT).exists():
        raise ConflictError(f"`{folder.name}` has a log for files already; `strongroom score`, with `--node`, uses it")
    ring = KeyFile.open(layout.keyring, passphrase)
    name = settings.log_key_name(BATCH_SLOT)
    if name in ring.names and (layout.ledger(BATCH_SLOT) / "shard.json").exists():
        # made, and not opened yet, when something stopped this earlier
        key = LogKey(settings.origin(BATCH_SLOT), ring.get(name)).verifier
    else:
        key = make_shard(layout, settings, ring, BATCH_SLOT)
    return open_log(desk, layout, BATCH_SLOT, key)


def open_log(desk: AtDesk, layout: NodeLayout, slot: int, key: VerifierKey, into: Path | None = None) -> EntryRef:
    """Enter a log into the governance log, and hand the disclosed entry to node and auditors. Harmless to repeat.

    Args:
        into: the node's file for the disclosed entry, where it is not the slot's first generation.
    """
    room = desk.room
    ref = entered(desk, "open-shard", key.name)
    if ref is None:
        who, at = desk.ask("open-shard", "Log", key.name, str(key).encode()), room.clock()
        opening = open_shard(key, micros(at))
        with room.office.open(Act(who, "open-shard", Resource("Log", key.name), at)) as books:
            books.note(**_facts(opening))
        ref = books.receipt
    disclosed = room.log.disclose(ref)
    path = into or layout.opening(slot)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_atomically(room.layout.openings / f"{digest_of(key.name.encode())}.open.json", disclosed, 0o644)
    # last: the node writes to this log as soon as it is there
    replace_atomically(path, disclosed, 0o644)
    return ref


def close_log(desk: AtDesk, checkpoint: bytes, key: VerifierKey) -> EntryRef:
    """Enter the end of a log: its size and root, from its last signed checkpoint. Harmless to repeat."""
    room = desk.room
    ref = entered(desk, "close-shard", key.name)
    if ref is None:
        who, at = desk.ask("close-shard", "Log", key.name, checkpoint), room.clock()
        closing = close_shard(checkpoint, key, micros(at))
        with room.office.open(Act(who, "close-shard", Resource("Log", key.name), at)) as books:
            books.note(**_facts(closing))
        ref = books.receipt
    disclosed = room.log.disclose(ref)
    replace_atomically(room.layout.openings / f"{digest_of(key.name.encode())}.close.json", disclosed, 0o644)
    return ref


def entered(desk: AtDesk, verb: str, origin: str) -> EntryRef | None:
    """Where a log was opened or closed already: a second entry of it would make every log of the room doubtful."""
    for logged in desk.room.log.entries():
        entry = logged.document
        if entry.verb == verb and entry.on.id == origin and entry.outcome == "done":
            return logged.ref
    return None


def close_node(desk: AtDesk, folder: Path) -> list[EntryRef]:
    """Enter the end of each log of a stopped gateway.

    Raises:
        ConflictError: a worker still writes one of them.
    """
    layout = NodeLayout(folder)
    settings = layout.read()
    entries = []
    for one in every_log(layout, settings):
        reader = ShardReader(one.folder)
        key = VerifierKey.parse(read_shard_file((one.folder / "shard.json").read_bytes()).vkey)
        with exclusive(one.folder):
            entries.append(close_log(desk, reader.note(), key))
    return entries


def restore_keys(desk: AtDesk, folder: Path, backup: Path) -> EntryRef:
    """As a custodian: make a stopped node's lost key store again from a backup, without anyone erased since.

    Subjects who came after the backup have lost their keys: their records stay in the log and cannot be read.

    Raises:
        ConflictError: the key store is there; what is there is never overwritten.
        ExpiredError: the backup's key is destroyed.
        TamperedError: the backup was changed, or the journal of erasures is older than it.
    """
    layout, room = NodeLayout(folder), desk.room
    node = layout.read().node
    who = desk.ask("restore", "Node", node, backup.name.encode())
    with room.office.open(Act(who, "restore", Resource("Node", node), room.clock())) as books:
        books.note(backup=backup.name)
        Backups(layout.backups, layout.backup_keys).restore(backup, layout.keystore)
    return books.receipt


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold a log's lock, so that no worker writes meanwhile.

    Raises:
        ConflictError: a worker holds it.
    """
    with (folder / "lock").open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConflictError(f"log `{folder.name}` is being written; stop the gateway first") from error
        yield


def _facts(entry: msgspec.Struct) -> dict[str, str | int]:
    return {name: value for name, value in msgspec.to_builtins(entry).items() if name not in ("type", "v")}
