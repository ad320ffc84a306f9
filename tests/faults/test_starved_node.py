"""What a running node needs and does not get: descriptors, its keeper's answers, its release repository."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from strongroom.adapters.log.shard_reader import FolderView
from strongroom.ledger.actions import fsck
from strongroom.web import serve
from strongroom.wiring.node import NodeLayout
from tests.waiting import PATIENCE_S
from tests.web.gateways import question
from tests.web.lines import read_reply
from tests.web.nodes import Node, make


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = make(tmp_path_factory.mktemp("starved"))
    with node.serving():
        yield node
    assert fsck(FolderView(NodeLayout(node.folder).ledger(0)), node.shard) == [], "nothing unproven is in the log"


def worker_of(node: Node) -> int:
    assert node.supervisor is not None
    return node.supervisor._workers[0].pid


@contextlib.contextmanager
def descriptors(pid: int, count: int) -> Iterator[None]:
    """Leave a process so many more descriptors than it has."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (psutil.Process(pid).num_fds() + count, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def ask_on(sock: socket.socket, node: Node, subject: str) -> int:
    body = json.dumps(question(subject=subject)).encode()
    head = f"POST /v2/models/pd-cards/infer HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {node.key}\r\n"
    sock.sendall(head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return read_reply(sock)[0]


def tries(node: Node) -> bool:
    try:
        return node.ask(question())[0] == 200
    except OSError:
        return False


def test_without_descriptors_who_is_connected_is_served_and_nobody_spins(node: Node) -> None:
    assert node.supervisor is not None
    worker = worker_of(node)
    address = ("127.0.0.1", node.supervisor.port)
    with contextlib.ExitStack() as open_:
        early = open_.enter_context(socket.create_connection(address, timeout=PATIENCE_S))
        assert ask_on(early, node, "early") == 200
        with descriptors(worker, 3):
            crowd = [open_.enter_context(socket.create_connection(address, timeout=PATIENCE_S)) for _ in range(30)]
            assert ask_on(early, node, "early") == 200, "who is connected is served"
            process = psutil.Process(worker)
            used = sum(process.cpu_times()[:2])
            early.settimeout(1.0)
            with pytest.raises(TimeoutError):
                early.recv(1)
            early.settimeout(PATIENCE_S)
            # a loop that accepts in vain would take the whole second
            assert sum(process.cpu_times()[:2]) - used < 0.5, "accepting in vain must not spin"
            assert ask_on(early, node, "early") == 200
            for sock in crowd:
                sock.close()
            node.wait_for(lambda: tries(node), 10)
    node.wait_for(lambda: tries(node), 10)
    assert worker_of(node) == worker, "running out of descriptors is no reason to end"


def test_a_worker_that_cannot_be_started_for_want_of_descriptors_is_started_later(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It never was: callers then hung at the common socket for ever."""
    monkeypatch.setattr(serve, "RESTART_S", 0.2)
    monkeypatch.setattr(serve, "RESTART_LIMIT_S", 0.2)
    worker, said = worker_of(node), len(node.told)
    # the supervisor of these tests is a thread of this process
    with descriptors(os.getpid(), 0):
        os.kill(worker, signal.SIGKILL)
        node.wait_for(lambda: any("could not be started (Too many open files)" in one for one in node.told[said:]), 20)
    node.wait_for(lambda: tries(node), 20)
    assert worker_of(node) != worker


def test_a_keeper_that_hangs_stops_new_subjects_and_nothing_stays_stuck(node: Node) -> None:
    assert node.supervisor is not None
    keeper = node.supervisor._keeper
    assert keeper is not None
    # a keeper that another test has killed is back: it gives a key to somebody new
    node.wait_for(lambda: node.ask(question(subject="known"))[0] == 200, 20)
    node.wait_for(lambda: node.ask(question(subject="new-before-the-stop"))[0] == 200, 20)
    os.kill(keeper.pid, signal.SIGSTOP)
    try:
        # a worker waits ten seconds for its keeper, and callers wait with it
        with socket.create_connection(("127.0.0.1", node.supervisor.port), timeout=PATIENCE_S) as patient:
            assert ask_on(patient, node, "never-seen") == 503, "an answer without a key is not given"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(keeper.pid, signal.SIGCONT)
    node.wait_for(lambda: node.ask(question(subject="never-seen"))[0] == 200, 20)
    assert node.ask(question(subject="known"))[0] == 200


def test_a_lost_repository_is_told_and_answers_go_on_until_its_metadata_expires(node: Node) -> None:
    repository = Path(NodeLayout(node.folder).read().repository)
    away = repository.with_name("away")
    said = len(node.told)
    repository.rename(away)
    try:
        assert [node.ask(question())[0] for _ in range(3)] == [200] * 3
        node.wait_for(lambda: len(node.told) > said, 10)
        assert any("repository" in line or "refresh" in line for line in node.told[said:]), node.told[said:]
    finally:
        away.rename(repository)
    second = node.room.version(2)
    node.room.live(second)
    node.wait_for(lambda: node.ask(question())[1]["model_version"] == second.ref.manifest, 30)
