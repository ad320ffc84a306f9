"""On the operator's side: a gateway's keys replaced while it serves. Every command may be repeated, and resumes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom.adapters.keys.keyring import KeyFile
from strongroom.adapters.keystore.backup import Backups
from strongroom.adapters.keystore.direct import open_owned
from strongroom.adapters.keystore.kek_rotation import KeeperRows, OwnedRows, WrappedRows, rewrap_all
from strongroom.adapters.keystore.subject_keks import kek_names, next_kek_name
from strongroom.adapters.log.shard_files import LOCKED, FileShard
from strongroom.errors import ConflictError, StrongroomError, UnavailableError
from strongroom.ledger.note import VerifierKey
from strongroom.office.acts import Act, EntryRef, Resource
from strongroom.wiring.control import now
from strongroom.wiring.generations import NodeLog, drop_seed, generations, make_successor
from strongroom.wiring.node import NodeLayout
from strongroom.wiring.node_settings import NodeSettings
from strongroom.wiring.nodes import close_log, open_log
from strongroom.wiring.person import AtDesk
from strongroom.wiring.witnessing import Cosigning

WAIT_S: Final = 60.0
"""How long a worker may take to go over to its new log; it looks four times a second."""
LOOK_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class RotatedLog:
    """One slot after its rotation.

    Attributes:
        origin, key: of the log that is written now; witnesses must be told the key.
        opened, closed: entries of its opening and of the old log's end.
    """

    origin: str
    key: VerifierKey
    opened: EntryRef
    closed: EntryRef


def rotate_logs(
    desk: AtDesk, folder: Path, passphrase: bytes, wait_s: float = WAIT_S, pause: Callable[[float], None] = time.sleep
) -> list[RotatedLog]:
    """Give every log of a gateway a next generation with a new key, while it serves or not.

    1. Keys and empty logs are made in the node's folder.
    2. Each is opened in the governance log; with the disclosed entry the worker goes over to it between two batches.
    3. When the worker has let the old log go, its end is published, entered in the governance log, and its seed is
       destroyed: nobody can sign for it any more.

    Where an earlier rotation was interrupted, it is completed, and no further one is begun.

    Args:
        wait_s: for each worker to let go of its old log.
        pause: sleeps.

    Raises:
        UnavailableError: a worker still writes its old log; everything else is done, repeat the command.
        NotPermittedError: the policies.
    """
    room, layout = desk.room, NodeLayout(folder)
    settings = layout.read()
    ring = KeyFile.open(layout.keyring, passphrase)
    begun = [slot for slot in range(settings.workers) if _begun(layout, settings, slot, ring)]
    with room.office.open(_act(desk, settings, b"logs")) as books:
        fresh = {}
        for slot in begun or range(settings.workers):
            written = generations(layout, settings, slot)[-1]
            if not _unclosed(layout, settings, slot, ring):
                fresh[slot] = make_successor(written, settings, ring)
        books.note(what="log", logs=len(begun) or settings.workers, resumed=len(begun))
    for slot, (following, key) in fresh.items():
        open_log(desk, layout, slot, key, following.opening)
    rotated: list[RotatedLog] = []
    for slot in begun or range(settings.workers):
        closed = [_finish(desk, old, settings, ring, wait_s, pause) for old in _unclosed(layout, settings, slot, ring)]
        written = generations(layout, settings, slot)[-1]
        key = written.verifier(ring)
        opened = open_log(desk, layout, slot, key, written.opening)
        rotated.append(RotatedLog(written.origin, key, opened, closed[-1]))
    return rotated


def _begun(layout: NodeLayout, settings: NodeSettings, slot: int, ring: KeyFile) -> bool:
    """Whether a rotation of this slot was begun and not finished."""
    written = generations(layout, settings, slot)[-1]
    following = settings.log_key_name(slot, written.generation + 1)
    return following in ring.names or bool(_unclosed(layout, settings, slot, ring))


def _unclosed(layout: NodeLayout, settings: NodeSettings, slot: int, ring: KeyFile) -> list[NodeLog]:
    """Logs that are no longer written and whose seeds are still there."""
    return [one for one in generations(layout, settings, slot)[:-1] if one.key_name in ring.names]


def _finish(
    desk: AtDesk,
    old: NodeLog,
    settings: NodeSettings,
    ring: KeyFile,
    wait_s: float,
    pause: Callable[[float], None],
) -> EntryRef:
    """Publish the end of a log that its worker has let go, enter it, and destroy the seed."""
    shard = _let_go(old, settings, ring, wait_s, pause)
    try:
        shard.publish()
        with suppress(StrongroomError):
            # a witness that is silent or knows another history takes nothing away from the closing entry
            Cosigning(shard, old.layout.trust_policy()).ask()
        entry = close_log(desk, shard.checkpoint, shard.verifier)
    finally:
        shard.close()
    drop_seed(old, ring)
    return entry


def _let_go(
    old: NodeLog, settings: NodeSettings, ring: KeyFile, wait_s: float, pause: Callable[[float], None]
) -> FileShard:
    for _ in range(max(1, round(wait_s / LOOK_S))):
        try:
            return FileShard.open(old.folder, old.key(ring), segment_bytes=settings.segment_bytes, depth="published")
        except ConflictError as error:
            if error.details.get("rule") != LOCKED:
                raise
        pause(LOOK_S)
    raise UnavailableError(
        f"the log `{old.origin}` is still being written; its successor is open, so run this command again "
        "when the worker has gone over to it"
    )


# subject keys ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RotatedKek:
    """The key-encryption key of a node's subject keys after its rotation.

    Attributes:
        rows: how many subject keys were wrapped anew.
        backup: written after that; older ones cannot be used any more.
        entry: of the end in the governance log.
    """

    rows: int
    backup: Path
    entry: EntryRef


def rotate_subject_kek(desk: AtDesk, folder: Path, passphrase: bytes) -> RotatedKek:
    """Wrap all subject keys of a gateway under a new key, while it serves or not, and destroy the old one.

    1. The new key is put into the key file; from now on both unwrap.
    2. Every worker takes it and confirms: nothing is wrapped under the old one any more.
    3. The rows are exchanged page by page, until a walk finds none under the old one. An erasure that meets an exchange
       wins: a row is exchanged only if it still is what was read.
    4. The key store is backed up, and the old key destroyed.

    Where an earlier rotation was interrupted, it is completed, and no further key is made.

    Raises:
        UnavailableError: a worker has not confirmed, or the keeper does not answer; nothing was lost, repeat it.
        TamperedError: a row opens under none of the keys; nothing was destroyed.
        NotPermittedError: the policies.
    """
    room, layout = desk.room, NodeLayout(folder)
    settings = layout.read()
    ring = KeyFile.open(layout.keyring, passphrase)
    resumed = len(kek_names(ring)) > 1
    with room.office.open(_act(desk, settings, b"subject-kek")) as books:
        if not resumed:
            ring.new_secret(next_kek_name(ring))
        books.note(what="subject-kek", phase="resumed" if resumed else "begun")
    newest, *older = kek_names(ring)
    new, before = AESGCM(ring.get(newest)), tuple(AESGCM(ring.get(name)) for name in older)
    with _rows(layout, settings) as rows:
        rows.renew()
        count = 0
        while done := rewrap_all(rows, new, before):
            count += done
        backup = rows.back_up()
        with room.office.open(_act(desk, settings, b"subject-kek")) as books:
            for name in older:
                ring.forget(name)
            books.note(what="subject-kek", phase="done", rows=count, backup=backup.name)
        with suppress(UnavailableError):
            # the old key leaves the workers' memory too; one that does not answer now has no use for it
            rows.renew()
    return RotatedKek(count, backup, books.receipt)


def change_passphrase(desk: AtDesk, folder: Path, passphrase: bytes, new: bytes) -> EntryRef:
    """Put a gateway's key file under another passphrase. A crash leaves it under the old one or under the new one.

    Running workers hold what they need; they have to be started again before keys are rotated.

    Raises:
        NotAuthenticatedError: the present passphrase is not its own.
        InvalidInputError: the new one is too short.
        NotPermittedError: the policies.
    """
    layout = NodeLayout(folder)
    ring = KeyFile.open(layout.keyring, passphrase)
    with desk.room.office.open(_act(desk, layout.read(), b"passphrase")) as books:
        books.note(what="passphrase")
        ring.change_passphrase(new)
    return books.receipt


@contextmanager
def _rows(layout: NodeLayout, settings: NodeSettings) -> Iterator[WrappedRows]:
    """The key store itself, or through the keeper that owns it."""
    try:
        owned = open_owned(layout.keystore, Backups(layout.backups, layout.backup_keys), now, settings.region)
    except UnavailableError:
        yield KeeperRows(layout.keystore)
        return
    try:
        yield OwnedRows(owned)
    finally:
        owned.close()


def _act(desk: AtDesk, settings: NodeSettings, what: bytes) -> Act:
    who = desk.ask("rotate-key", "Node", settings.node, what)
    return Act(who, "rotate-key", Resource("Node", settings.node), desk.room.clock())
