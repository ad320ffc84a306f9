"""Worker, keeper and supervisor of a real gateway killed with SIGKILL at random moments under load."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from strongroom.adapters.log.shard_reader import FolderView, ShardReader
from strongroom.ledger.actions import fsck
from strongroom.ledger.leaf import Leaf
from strongroom.serving.receipt import verify_receipt
from strongroom.wiring.node import NodeLayout
from tests import simulator
from tests.faults.recovered import Told
from tests.faults.test_gateway_durability import Client
from tests.waiting import until
from tests.web.nodes import PASSPHRASE, Node, make

ROOT = Path(__file__).parents[2]
TARGET = f"/v2/models/{simulator.MODEL}/infer"


@contextlib.contextmanager
def gateway(node: Node, secret: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """`strongroom serve` as a process, and its port; whatever is left of it ends with the block."""
    serving = subprocess.Popen(
        [sys.executable, "-m", "strongroom", "serve", str(node.folder), "--node-passphrase-file", str(secret)],
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    family: set[psutil.Process] = set()
    try:
        assert serving.stdout is not None
        line = serving.stdout.readline()
        assert "serving on port" in line, line
        family |= set(psutil.Process(serving.pid).children(recursive=True))
        yield serving, int(line.split("port ")[1].split()[0])
        with contextlib.suppress(psutil.NoSuchProcess):
            family |= set(psutil.Process(serving.pid).children(recursive=True))
    finally:
        serving.kill()
        serving.wait(10)
        _, orphans = psutil.wait_procs(list(family), 20)
        for orphan in orphans:
            orphan.kill()
    assert not orphans, "who loses the supervisor ends, so that the next one can take the log"


def victim(serving: subprocess.Popen[str], who: str) -> int:
    if who == "supervisor":
        return serving.pid
    children = psutil.Process(serving.pid).children()
    words = {child.pid: " ".join(child.cmdline()) for child in children}
    found = [pid for pid, line in words.items() if ("keeper" in line) == (who == "keeper")]
    assert found, words
    return found[0]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_whoever_is_killed_no_answer_is_lost(tmp_path: Path) -> None:
    node = make(tmp_path)
    secret = tmp_path / "passphrase"
    secret.write_bytes(PASSPHRASE)
    secret.chmod(0o600)
    ledger = NodeLayout(node.folder).ledger(0)
    chance = random.Random(11)
    told: list[Told] = []
    for who in ("supervisor", "worker", "keeper", "supervisor"):
        with gateway(node, secret) as (serving, port):

            def dial(port: int = port) -> socket.socket:
                return socket.create_connection(("127.0.0.1", port), timeout=15)

            clients = [Client(dial, f"Bearer {node.key}", number, TARGET) for number in range(4)]
            for client in clients:
                client.start()
            enough = chance.randint(20, 100)
            until(lambda told=clients, enough=enough: sum(len(one.told) for one in told) >= enough, every_s=0.001)
            os.kill(victim(serving, who), signal.SIGKILL)
            time.sleep(chance.uniform(0.0, 0.3))
            for client in clients:
                client.stop.set()
            for client in clients:
                client.join(30)
            told += [one for client in clients for one in client.told if one.status == 200]
    # started once more, so that the last log is recovered and published
    with gateway(node, secret):
        reader = ShardReader(ledger, node.shard)
        received = {one.decision_id for one in told}
        assert len(received) == len(told) > 60
        node.wait_for(lambda: received <= {Leaf.decode(one.leaf).decision_id for one in reader}, 20)
        reader.close()
    for one in told:
        receipt = one.body["parameters"].get("receipt")
        if receipt is not None:
            answer, _, _ = verify_receipt(receipt.encode(), node.shard)
            assert answer.decision_id == one.decision_id, "what was received is proven"
    damage = [one for one in fsck(FolderView(ledger), node.shard) if one.damage]
    assert damage == [], "nothing unproven is in the log"
