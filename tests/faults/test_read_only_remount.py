"""The disk turns read-only under a serving node, as ext4 does by itself when it meets an error of the device.

A file system cannot be remounted read-only while files are open for writing; only the file system itself does that to
its users, after an error. So a real ext4 in a file is told to give up (`mount -o remount,abort`) under a node that
serves.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from strongroom.adapters.log.shard_reader import FolderView, ShardReader
from strongroom.ledger.actions import fsck
from strongroom.ledger.leaf import Leaf
from strongroom.wiring.node import NodeLayout
from tests.faults.test_full_disk import SEGMENT
from tests.waiting import until
from tests.web.gateways import question
from tests.web.nodes import Node, make

SIZE = "64M"


def command(*words: object) -> None:
    subprocess.run([str(word) for word in words], check=True, capture_output=True, timeout=60)


class Volume:
    """An ext4 of its own, at a folder."""

    def __init__(self, image: Path, folder: Path) -> None:
        self.image, self.folder = image, folder
        folder.mkdir()
        command("truncate", "-s", SIZE, image)
        command("mkfs.ext4", "-q", "-F", image)
        self.mount()
        # a node is made in an empty folder; the tools make this one again when they need it
        (folder / "lost+found").rmdir()

    def mount(self) -> None:
        command("mount", "-o", "loop", self.image, self.folder)

    def attached(self) -> bytes:
        """The loop devices that stand for the image."""
        return subprocess.run(["losetup", "-j", str(self.image)], check=True, capture_output=True, timeout=60).stdout

    def give_up(self) -> None:
        """What an error of the device makes of it: read-only from now on, whoever has files open."""
        command("mount", "-o", "remount,abort", self.folder)

    def mend(self) -> None:
        """What an operator does, once the gateway is stopped."""
        command("umount", self.folder)
        # a sandbox of another test may have begun with a copy of this mount: while it lives, so does the aborted file
        # system, and a mount would find that again
        until(lambda: not self.attached())
        # 1: errors were corrected
        assert subprocess.run(["e2fsck", "-p", "-f", self.image], capture_output=True, timeout=60).returncode in (0, 1)
        self.mount()


@contextmanager
def volume(tmp_path: Path) -> Iterator[Volume]:
    if not all(shutil.which(name) for name in ("mkfs.ext4", "e2fsck", "mount", "truncate", "losetup")):
        pytest.skip("no tools for ext4 here")
    try:
        made = Volume(tmp_path / "disk.img", tmp_path / "gateway")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no loop device may be mounted here: {error.stderr.decode(errors='replace').strip()}")
    try:
        yield made
    finally:
        subprocess.run(["umount", "-l", str(made.folder)], capture_output=True, timeout=60)


def test_a_disk_that_turns_read_only_under_a_serving_node(tmp_path: Path) -> None:
    with volume(tmp_path) as disk:
        node = make(tmp_path, segment_bytes=SEGMENT)
        # what the test itself wrote, such as the disclosed opening
        command("sync", "-f", disk.folder)
        received: list[str] = []

        def ask(subject: str = "s-1") -> int:
            status, answer = node.ask(question(subject=subject))
            if status == 200:
                received.append(answer["parameters"]["decision_id"])
            return status

        with node.serving():
            assert [ask(f"s-{number}") for number in range(10)] == [200] * 10
            disk.give_up()
            status, answer = node.ask(question())
            assert (status, answer["code"]) == (503, "not-durable"), answer
            assert "decision_id" not in answer
            # the worker ended, and no other can begin: nothing is answered, and it is said what to do
            node.wait_for(lambda: any("checked and mounted writable" in line for line in node.told), 60)
            assert "Read-only file system" in " ".join(node.told)
            assert not any("without a word" in line for line in node.told)
            with socket.create_connection(where(node), 0.3) as idle:
                idle.sendall(b"GET /v2/health/ready HTTP/1.1\r\nHost: h\r\n\r\n")
                with pytest.raises(TimeoutError):
                    idle.recv(1)
        # it stopped when it was told to; the operator mends the disk and starts it again
        disk.mend()
        ledger = FolderView(NodeLayout(node.folder).ledger(0))
        with node.serving():
            assert [ask(f"s-{number}") for number in range(5)] == [200] * 5
            reader = ShardReader(NodeLayout(node.folder).ledger(0), node.shard)
            node.wait_for(lambda: set(received) <= {Leaf.decode(one.leaf).decision_id for one in reader}, 30)
            reader.close()
        assert len(received) == 15
        assert fsck(ledger, node.shard) == []


def where(node: Node) -> tuple[str, int]:
    assert node.supervisor is not None
    return "127.0.0.1", node.supervisor.port
