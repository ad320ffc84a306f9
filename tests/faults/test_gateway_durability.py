"""Power cuts under load, seen from the callers' side: no answer that a client received lacks its record.

The whole decision path is real (sockets, HTTP, authentication, policies, batching, model, subject keys, log) but for
the disk below the log, which loses whatever no successful sync covered, at any call or between calls. The mutations at
the end take the sync away, or let answers leave before it, and demand that this very check turns red.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from strongroom.adapters.log.shard_files import FileShard
from strongroom.adapters.log.shard_reader import FolderView, ShardReader
from strongroom.errors import NotDurableError, TamperedError
from strongroom.ledger.actions import fsck
from strongroom.ledger.leaf import Leaf
from strongroom.wiring.node import NodeLayout
from tests import simulator
from tests.faults.lossy_disk import Killed, LossyDisk, SyncMode
from tests.faults.recovered import BrokenPromiseError, Told, check_promises, read_told
from tests.memory.shard import MemoryShard
from tests.serving.house import House, served
from tests.waiting import PATIENCE_S, until
from tests.web.gateways import gateway, question
from tests.web.lines import read_reply
from tests.web.nodes import make

FOLDER = Path("/log")
SEGMENT = 64 * 1024
CLIENTS = 5
TARGET = "/v2/models/pd-cards/infer"


class Client(threading.Thread):
    """Asks on one connection until it is refused or cut off; keeps what it was told."""

    def __init__(self, dial: Callable[[], socket.socket], bearer: str, number: int, target: str = TARGET) -> None:
        super().__init__()
        self.told: list[Told] = []
        self._dial, self._bearer, self._number, self._target = dial, bearer, number, target
        self.stop = threading.Event()

    def run(self) -> None:
        turn = 0
        with contextlib.suppress(OSError), self._dial() as sock:
            while not self.stop.is_set():
                turn += 1
                subject = f"client-{self._number}-{turn % 7}"
                body = json.dumps(question(subject=subject, receipt=turn % 3 == 0)).encode()
                sock.sendall(
                    f"POST {self._target} HTTP/1.1\r\nHost: h\r\nAuthorization: {self._bearer}\r\n"
                    f"Content-Length: {len(body)}\r\n\r\n".encode()
                    + body
                )
                status, _, answer = read_reply(sock)
                self.told.append(read_told(subject, status, answer))
                if status != 200:
                    return


class SendsFirst:
    """A shard that lets the answers leave before the log is written: what must never be."""

    def __init__(self, shard: FileShard, twin: MemoryShard) -> None:
        self._shard, self._twin = shard, twin
        self._later: SimpleQueue[Any] = SimpleQueue()
        self._thread = threading.Thread(target=self._write)
        self._thread.start()

    def append(self, records: Any) -> Any:
        appended = self._twin.append(records)
        self._later.put(records)
        return appended

    def close(self) -> None:
        self._later.put(None)
        self._thread.join()

    def _write(self) -> None:
        while (records := self._later.get()) is not None:
            with contextlib.suppress(NotDurableError, Killed):
                self._shard.append(records)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._shard, name)


@contextlib.contextmanager
def publishing(shard: FileShard) -> Iterator[None]:
    """What a worker does beside answering."""
    stop = threading.Event()

    def work() -> None:
        with contextlib.suppress(Killed):
            while not stop.wait(0.01):
                with contextlib.suppress(NotDurableError):
                    shard.publish()
                    shard.prepare()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


MODEL = served()


def cut_the_power(seed: int, mode: SyncMode = "honest", sends_first: bool = False) -> int:
    """One life under load, a crash, a recovery, the check. Returns how many answers had been received."""
    chance = random.Random(seed)
    disk = LossyDisk(chance)
    house = House(MODEL)
    shard = FileShard.create(FOLDER, house.log_key.name, house.log_key, segment_bytes=SEGMENT, disk=disk)
    disk.sync_mode = mode
    eager = SendsFirst(shard, MemoryShard(house.log_key.name, house.log_key)) if sends_first else None
    house.shard = eager or shard  # type: ignore[assignment]  # both are shards
    # at a call to the disk, or in between, as soon as so many answers have arrived
    by_call = mode == "honest" and not sends_first and chance.random() < 0.6
    enough = 10_000 if by_call else chance.randint(5, 60)
    with gateway(house) as desk, publishing(shard):
        clients = [Client(desk.run.socket, desk.bearer, number) for number in range(CLIENTS)]
        if by_call:
            disk.kill_in = chance.randint(4, 120)
        for client in clients:
            client.start()
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and any(client.is_alive() for client in clients):
            if sum(len(client.told) for client in clients) >= enough:
                break
            time.sleep(0.0005)
        disk.dead = True
        for client in clients:
            client.stop.set()
            client.join(PATIENCE_S)
        if not sends_first:
            # after the cut nothing is promised any more
            assert desk.ask(question())[0] == 503
            assert len(desk.broken) == 1
    if eager is not None:
        eager.close()
    disk.crash()
    disk.sync_mode = "honest"
    shard = FileShard.open(FOLDER, house.log_key, segment_bytes=SEGMENT, depth="full", disk=disk)
    told = [one for client in clients for one in client.told]
    count = check_promises(told, shard.reader(), shard.verifier, house.keys)
    shard.publish()
    assert fsck(FolderView(FOLDER, disk), shard.verifier) == []
    return count


@pytest.mark.parametrize("block", range(6))
def test_no_answer_that_a_client_received_lacks_its_record(block: int) -> None:
    received = sum(cut_the_power(seed) for seed in range(block * 8, block * 8 + 8))
    assert received > 50, "the load was too small to show anything"


@pytest.mark.parametrize(
    ("mode", "sends_first"),
    [("ignored", False), ("late", False), ("honest", True)],
    ids=["fdatasync removed", "fdatasync after the send", "answers before the append"],
)
def test_the_check_turns_red_without_the_sync_or_with_a_late_one(mode: SyncMode, sends_first: bool) -> None:
    red = 0
    for seed in range(60):
        try:
            cut_the_power(1000 + seed, mode, sends_first)
        except (BrokenPromiseError, TamperedError):
            red += 1
        if red >= 2:
            return
    raise AssertionError(f"the mutation went unnoticed in all but {red} of 60 lives")


def test_kill_9_under_load_loses_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same with a whole node: its worker is killed again and again, comes back, and recovers its log."""
    monkeypatch.setattr("strongroom.web.serve.RESTART_S", 0.02)
    node = make(tmp_path)
    chance = random.Random(7)
    told: list[Told] = []
    ledger = NodeLayout(node.folder).ledger(0)
    with node.serving():
        for _ in range(4):
            supervisor = node.supervisor
            assert supervisor is not None

            def dial(port: int = supervisor.port) -> socket.socket:
                return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)

            target = f"/v2/models/{simulator.MODEL}/infer"
            clients = [Client(dial, f"Bearer {node.key}", number, target) for number in range(CLIENTS)]
            for client in clients:
                client.start()
            enough = chance.randint(30, 120)
            until(lambda told=clients, enough=enough: sum(len(one.told) for one in told) >= enough, every_s=0.001)
            victim = supervisor._workers[0].pid
            os.kill(victim, signal.SIGKILL)
            for client in clients:
                client.stop.set()
                client.join(PATIENCE_S)
            told += [one for client in clients for one in client.told if one.status == 200]
            node.wait_for(lambda victim=victim: _answers(node, victim), 20)
        received = {one.decision_id for one in told}
        assert len(received) == len(told) > 100
        reader = ShardReader(ledger, node.shard)
        node.wait_for(lambda: received <= {Leaf.decode(one.leaf).decision_id for one in reader}, 10)
    assert fsck(FolderView(ledger), node.shard) == []


def _answers(node: Any, not_by: int) -> bool:
    try:
        return bool(node.supervisor._workers[0].pid != not_by and node.ask(question())[0] == 200)
    except OSError:
        return False
