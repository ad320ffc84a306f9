"""Erasing a data subject until every store and cache has confirmed, without keeping the room to itself meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from strongroom.compliance.actions import Erased
from strongroom.errors import ConflictError, UnavailableError
from strongroom.wiring.person import AtDesk
from strongroom.wiring.proving import erase, finish_erasures
from strongroom.wiring.records import NodeRecords

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
