"""A full disk: answers stop with 503, nothing is corrupted, service resumes when there is space again."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from strongroom.adapters.files.disk import OsDisk, OsFile
from strongroom.adapters.log.shard_files import FileShard
from strongroom.adapters.log.shard_reader import FolderView, ShardReader
from strongroom.ledger.actions import fsck
from strongroom.ledger.leaf import Leaf
from strongroom.wiring.node import NodeLayout
from tests.faults.recovered import check_promises, read_told
from tests.serving.house import GOOD, House
from tests.web.gateways import gateway, question
from tests.web.nodes import make

SEGMENT = 128 * 1024
DETACH = 2


def rows(subject: str, count: int = 60) -> dict[str, Any]:
    """Many rows of one subject, to fill a segment with few requests."""
    asked = question(subject=None)
    asked["inputs"] = [
        {"name": "x", "shape": [count, 4], "datatype": "FP32", "data": GOOD * count},
        {"name": "strongroom.subject", "shape": [count], "datatype": "BYTES", "data": [subject] * count},
    ]
    return asked


class FullFile(OsFile):
    """A file on a disk that may be full."""

    disk: FullDisk

    def allocate(self, size: int) -> None:
        if self.disk.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().allocate(size)


class FullDisk(OsDisk):
    """The real disk, with a switch that says it is full."""

    full = False

    def open(self, path: Path, *, create: bool = False, write: bool = False) -> OsFile:
        plain = super().open(path, create=create, write=write)
        plain.__class__ = FullFile
        plain.disk = self  # type: ignore[attr-defined]  # a FullFile now
        return plain


def test_a_log_without_space_refuses_and_resumes(tmp_path: Path) -> None:
    disk = FullDisk()
    house = House()
    folder = tmp_path / "log"
    shard = FileShard.create(folder, house.log_key.name, house.log_key, segment_bytes=SEGMENT, disk=disk)
    house.shard = shard  # type: ignore[assignment]  # a shard like any other
    told = []
    with gateway(house) as desk:

        def ask(subject: str) -> tuple[int, dict[bytes, bytes], Any]:
            asked = json.dumps(question(subject=subject)).encode()
            status, headers, body = desk.raw("POST", "/v2/models/pd-cards/infer", asked)
            told.append(read_told(subject, status, body))
            return status, headers, told[-1].body

        disk.full = True
        statuses = [ask(f"s-{turn % 5}")[0] for turn in range(120)]
        assert statuses[0] == 200
        assert statuses[-1] == 503
        assert set(statuses) == {200, 503}
        status, headers, body = ask("s-1")
        assert (status, headers[b"retry-after"], body["code"]) == (503, b"1", "not-durable")
        assert "decision_id" not in body
        disk.full = False
        assert [ask("s-1")[0] for _ in range(100)] == [200] * 100
        assert desk.broken == []
    shard.publish()
    shard.close()
    assert fsck(FolderView(folder), house.log_key.verifier) == []
    again = FileShard.open(folder, house.log_key, segment_bytes=SEGMENT)
    count = check_promises(told, again.reader(), again.verifier, house.keys)
    assert count == statuses.count(200) + 100 == again.size
    again.close()


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A file system of its own in memory; needs the right to mount."""
    libc = ctypes.CDLL(None, use_errno=True)
    folder.mkdir()
    if libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, f"size={size},mode=700".encode()) != 0:
        pytest.skip("mounting a small file system needs root; the test above has the same disk without")
    try:
        yield
    finally:
        libc.umount2(os.fsencode(folder), DETACH)


def test_a_node_on_a_really_full_disk_refuses_and_resumes(tmp_path: Path) -> None:
    with small_disk(tmp_path / "gateway", "8m"):
        node = make(tmp_path, segment_bytes=SEGMENT)
        ledger = NodeLayout(node.folder).ledger(0)
        received: list[str] = []
        filler = node.folder / "filler"

        def ask(subject: str = "s-1") -> int:
            status, answer = node.ask(rows(subject))
            if status == 200:
                first = int(answer["parameters"]["decision_id"], 16)
                received.extend(f"{(first + row) % 2**128:032x}" for row in range(60))
            else:
                assert (status, answer["code"] in ("not-durable", "unavailable")) == (503, True), answer
            return status

        with node.serving():
            assert node.supervisor is not None
            worker = node.supervisor._workers[0].pid
            assert ask() == 200
            with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(4096))
            # what was reserved is still used; then it ends
            statuses = [ask() for _ in range(12)]
            assert statuses[-3:] == [503, 503, 503]
            assert ask("somebody-new") == 503
            assert node.get("/v2/health/live")[0] == 200
            filler.unlink()
            node.wait_for(lambda: ask() == 200, 10)
            assert [ask() for _ in range(4)] == [200] * 4
            assert ask("somebody-new") == 200
            assert node.supervisor._workers[0].pid == worker, "a full disk is no reason to end"
            reader = ShardReader(ledger, node.shard)
            node.wait_for(lambda: set(received) <= {Leaf.decode(one.leaf).decision_id for one in reader}, 10)
            reader.close()
        assert fsck(FolderView(ledger), node.shard) == []
