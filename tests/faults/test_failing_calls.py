"""Every call to the disk below a log fails in turn: no space, read-only, broken. Nothing acknowledged is lost by it."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import os
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from strongroom.adapters.log.shard_files import FileShard
from strongroom.adapters.log.shard_reader import FolderView
from strongroom.errors import NotDurableError, StrongroomError, UnavailableError
from strongroom.ledger.actions import fsck
from strongroom.ledger.ports import Record
from strongroom.web import worker
from strongroom.wiring.node import NodeLayout
from tests.faults.lossy_disk import LossyDisk
from tests.faults.test_full_disk import SEGMENT as SMALL
from tests.faults.test_full_disk import small_disk
from tests.ledger.samples import ORIGIN, log_key, records
from tests.web.gateways import question
from tests.web.nodes import make

FOLDER = Path("/log")
SEGMENT = 16 * 1024
REMOUNT_READ_ONLY = 32 | 1


class FailingDisk(LossyDisk):
    """The call number `at` fails, and with `on` every call that changes something after it."""

    def __init__(self, at: int, code: int, on: bool) -> None:
        super().__init__(random.Random(at))
        self.at, self.code, self.on = at, code, on

    def call(self, name: str) -> Any:
        made = super().call(name)
        if self.at and (len(self.calls) == self.at or (self.on and len(self.calls) > self.at)):
            raise OSError(self.code, os.strerror(self.code))
        return made


def life(disk: FailingDisk) -> tuple[list[Record], int]:
    """Append over several segments and publish, whatever fails; what was acknowledged, and how often it was refused."""
    acknowledged: list[Record] = []
    refused = 0
    with contextlib.ExitStack() as open_:
        try:
            shard = FileShard.open(FOLDER, log_key(), segment_bytes=SEGMENT, disk=disk)
        except NotDurableError:
            return [], 1
        open_.callback(shard.close)
        for number in range(12):
            batch = records(10 * number, 5, 700)
            try:
                shard.append(batch)
                acknowledged += batch
            except NotDurableError:
                refused += 1
            if number % 3 == 2:
                try:
                    shard.publish()
                    shard.prepare()
                except NotDurableError:
                    refused += 1
    return acknowledged, refused


def fresh(at: int, code: int, on: bool) -> FailingDisk:
    disk = FailingDisk(0, code, on)
    FileShard.create(FOLDER, ORIGIN, log_key(), segment_bytes=SEGMENT, disk=disk).close()
    disk.calls.clear()
    disk.at = at
    return disk


@pytest.mark.parametrize("on", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO], ids=errno.errorcode.get)
def test_whichever_call_fails_nothing_acknowledged_is_lost(code: int, on: bool) -> None:
    whole = fresh(0, code, on)
    assert life(whole)[1] == 0
    total = len(whole.calls)
    assert total > 100
    for at in range(1, total + 1, 1 if code == errno.EROFS else 3):
        disk = fresh(at, code, on)
        acknowledged, refused = life(disk)
        if on:
            assert refused, f"call {at} and all after it failed, and nobody was told"
        # writable again, after a power cut that takes what was never synced
        disk.at = 0
        disk.crash()
        shard = FileShard.open(FOLDER, log_key(), segment_bytes=SEGMENT, disk=disk)
        found = [Record(leaf, payload or b"") for _, leaf, payload in shard.reader()]
        kept = [one for one in found if one in acknowledged]
        assert kept == acknowledged, f"nothing acknowledged is lost, whatever fails at call {at}"
        shard.append(records(1000, 1))
        shard.publish()
        assert fsck(FolderView(FOLDER, disk), shard.verifier) == [], f"nothing unproven is in the log (call {at})"
        shard.close()


def test_a_node_on_a_disk_that_is_read_only_says_so_and_serves_once_it_is_not(tmp_path: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    with small_disk(tmp_path / "gateway", "16m"):
        node = make(tmp_path, segment_bytes=SMALL)
        target = os.fsencode(node.folder)
        assert libc.mount(b"tmpfs", target, b"tmpfs", REMOUNT_READ_ONLY, None) == 0
        with pytest.raises((StrongroomError, OSError)) as refused, node.serving():
            pass
        assert "ead-only" in str(refused.value), "the message says what is wrong"
        assert libc.mount(b"tmpfs", target, b"tmpfs", 32, None) == 0
        with node.serving():
            assert node.ask(question())[0] == 200
        assert fsck(FolderView(NodeLayout(node.folder).ledger(0)), node.shard) == []


def test_a_failure_on_the_way_does_not_end_the_look_for_halts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "POLL_S", 0)
    monkeypatch.setattr(worker, "WANT_S", 0)
    admitted = []

    def fails(wanted: frozenset[str]) -> None:
        if len(calls) < 3:
            calls.append(wanted)
            raise UnavailableError("`wanted-keys-0` could not be written: No space left on device")

    async def look() -> None:
        made = object.__new__(worker.Worker)
        done = asyncio.Event()

        async def readmit() -> None:
            admitted.append(True)
            done.set()

        made._loop, made._admitted_at = asyncio.get_running_loop(), 0.0
        made.readmit = readmit
        made.parts = SimpleNamespace(
            admission=SimpleNamespace(changed=lambda: True, calls=None), want_keys=fails, successor=lambda: None
        )
        authenticator = SimpleNamespace(take_wanted=lambda: frozenset({"issuer"}))
        made.gateway = SimpleNamespace(note_refusals=lambda: None, rules=SimpleNamespace(authenticator=authenticator))
        task = asyncio.create_task(made._watch_rules())
        await asyncio.wait({task, asyncio.create_task(done.wait())}, timeout=60, return_when=asyncio.FIRST_COMPLETED)
        task.cancel()

    calls: list[frozenset[str]] = []
    asyncio.run(look())
    assert len(calls) == 3
    assert admitted, "a halt that reaches the mirror is seen"
