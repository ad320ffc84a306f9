"""Erasing a data subject until every store and cache has confirmed, without keeping the room to itself meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from strongroom.compliance import actions as compliance
from strongroom.compliance.actions import Erased
from strongroom.encoding import canonical
from strongroom.errors import ConflictError, UnavailableError
from strongroom.wiring.control import ControlPlane
from strongroom.wiring.node import NodeLayout
from strongroom.wiring.person import AtDesk
from strongroom.wiring.records import NodeRecords, node_store

LONGEST_PAUSE_S: Final = 30.0


def erase_patiently(
    desks: Callable[[], AbstractContextManager[AtDesk]],
    folder: Path,
    node_passphrase: bytes,
    subject: str,
    wait_s: float,
    pause: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Erased:
    """Erase, and where something has not confirmed, ask again until it has or the time is up.

    Each repetition is on the record; they come more seldom the longer it takes.

    Args:
        desks: opens the data protection officer's desk; let go between two tries, so that others can work in the room.
        wait_s: 0 asks once.
        pause, clock: sleeps, and monotonic seconds.

    Raises:
        UnavailableError: something has still not confirmed; the erasure stays pending.
        ConflictError: another command has finished it meanwhile; its certificate is on record.
    """
    until, gap = clock() + wait_s, 1.0
    last: UnavailableError | ConflictError
    try:
        with desks() as desk:
            return erase(desk, folder, node_passphrase, subject)
    except UnavailableError as error:
        if "pending" not in error.details:
            raise
        last = error
    with NodeRecords.open(folder, node_passphrase) as node:
        tag = node.tag(subject).hex()
    while (left := until - clock()) > 0:
        pause(min(gap, left))
        gap = min(2 * gap, LONGEST_PAUSE_S)
        try:
            with desks() as desk:
                done = finish_erasures(desk, folder, tag)
        except (UnavailableError, ConflictError) as error:
            # not confirmed, or somebody else works in the room just now
            last = error
            continue
        if not done:
            raise ConflictError("another command has finished this erasure; its certificate is on record")
        return done[0]
    raise last


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
