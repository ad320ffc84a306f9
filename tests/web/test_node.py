"""A node as it runs: supervisor, keeper, worker, refresh, halts, kill, stop."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from strongroom.access.signed_answers import verify_answer
from strongroom.access.signing_keys import read_directory
from strongroom.adapters.log.shard_reader import ShardReader
from strongroom.errors import ConflictError, StrongroomError
from strongroom.ledger.leaf import Leaf
from strongroom.serving.receipt import verify_receipt
from strongroom.wiring.node import NodeLayout
from tests import simulator
from tests.web.gateways import question
from tests.web.nodes import Node, make

NOBODY = (401, 429)
"""What somebody unknown is told; the second after five within a second, whichever test they were of."""


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    made = make(tmp_path_factory.mktemp("node"))
    with made.serving():
        yield made


def version_of(node: Node) -> str | None:
    status, answer = node.ask(question())
    return answer["model_version"] if status == 200 else None


def test_a_node_answers_with_a_receipt_that_its_log_key_signed(node):
    status, answer = node.ask(question(receipt=True))
    assert status == 200, answer
    proven, leaf, checkpoint = verify_receipt(answer["parameters"]["receipt"].encode(), node.shard)
    assert proven.decision_id == leaf.decision_id == answer["parameters"]["decision_id"]
    assert checkpoint.origin == "bank/credit/eu/node-1/0/1"


def test_a_node_publishes_the_key_that_signs_its_answers_and_remembers_nonces_on_disk(node):
    layout = NodeLayout(node.folder)
    pinned = read_directory(layout.answer_keys.read_bytes())
    headers = {"Authorization": f"Bearer {node.key}", "Accept-Signature": "sr=()", "Content-Type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", node.supervisor.port)
    connection.request("POST", "/v2/models/pd-cards/infer", json.dumps(question()), headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    fields = {name.lower().encode(): value.encode() for name, value in answer.getheaders()}
    asked = {name.lower().encode(): value.encode() for name, value in headers.items()}
    asked[b"host"] = f"127.0.0.1:{node.supervisor.port}".encode()
    verify_answer(pinned, (b"POST", b"/v2/models/pd-cards/infer", asked), 200, fields, body, int(time.time()))
    assert layout.nonces.stat().st_mode & 0o777 == 0o600


def test_no_process_with_keys_can_leave_a_core_file(node):
    workers = [process.pid for process in node.supervisor._workers.values()]
    for pid in (*workers, node.supervisor._keeper.pid):
        limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
        assert next(line.split()[4:6] for line in limits if "core file" in line) == ["0", "0"]
        # what is undumpable belongs to root in /proc, and no debugger of the same user gets in
        assert Path(f"/proc/{pid}/mem").stat().st_uid == 0
    assert workers


def test_metrics_have_an_address_of_their_own_and_nothing_personal(node):
    node.ask(question(subject="subject-of-the-metrics-test"))
    port = node.supervisor.metrics_port
    names = (b"answers_total", b"answer_seconds_bucket", b"psi", b"ledger_records", b"model{", b"worker_ready")
    names += (b"release_fresh_until_seconds",)
    text = b""

    def complete() -> bool:
        nonlocal text
        text = node.get("/metrics", port)[1]
        return all(b"strongroom_" + name in text for name in names)

    node.wait_for(complete, 5)
    assert b"subject-of-the-metrics-test" not in text
    assert b"loan-desk" not in text
    assert node.get("/metrics")[0] in NOBODY
    assert node.get("/v2", port)[0] == 404


def test_a_second_server_on_the_node_refuses_to_start(node):
    with (
        pytest.raises(ConflictError, match="served already"),
        Node(node.room, node.folder, node.key, node.shard, []).serving(),
    ):
        pass


def test_a_new_release_is_served_within_two_seconds_and_no_request_is_dropped(node):
    first = version_of(node)
    statuses: list[int] = []
    stop = threading.Event()

    def ask_on() -> None:
        while not stop.is_set():
            statuses.append(node.ask(question())[0])

    thread = threading.Thread(target=ask_on)
    thread.start()
    second = node.room.version(2)
    node.room.live(second)
    try:
        assert node.wait_for(lambda: version_of(node) == second.ref.manifest, 20) < 8
    finally:
        stop.set()
        thread.join()
    assert first != second.ref.manifest
    assert set(statuses) == {200}
    node.room.point(champion=first)
    node.wait_for(lambda: version_of(node) == first, 10)


def test_a_halt_stops_the_model_and_two_lift_it(node):
    ref = simulator.ModelRef(simulator.MODEL, version_of(node))
    halt = node.room.halt(ref)
    assert node.wait_for(lambda: node.ask(question())[0] == 409, 20) < 8
    assert node.get("/v2/health/ready")[0] == 503
    node.room.lift(ref, halt, "hal")
    node.room.lift(ref, halt, "hope")
    node.wait_for(lambda: node.ask(question())[0] == 200, 10)


def test_a_killed_worker_comes_back_and_nothing_answered_is_lost(node):
    answered = [node.ask(question(subject=f"k-{n}"))[1]["parameters"]["decision_id"] for n in range(5)]
    os.kill(node.supervisor._workers[0].pid, signal.SIGKILL)
    node.wait_for(lambda: _answers(node), 20)
    # the reader shows what is published, which follows what is durable
    node.wait_for(lambda: set(answered) <= _logged(node), 10)


def _logged(node: Node) -> set[str]:
    reader = ShardReader(NodeLayout(node.folder).ledger(0))
    return {Leaf.decode(stored.leaf).decision_id for stored in reader}


def _answers(node: Node) -> bool:
    try:
        return node.ask(question())[0] == 200
    except OSError:
        return False


def test_a_halt_file_on_the_nodes_disk_works_at_once(node):
    from strongroom.approval.signing import sign_halt
    from strongroom.vocabulary import PersonId, micros

    ref = simulator.ModelRef(simulator.MODEL, version_of(node))
    envelope = sign_halt(ref, simulator.signer("hope"), PersonId("hope"), micros(node.room.at), "dropped by hand")
    file = NodeLayout(node.folder).halt / "stop.json"
    file.write_bytes(envelope)
    assert node.wait_for(lambda: node.ask(question())[0] == 409, 20) < 8
    # taking the file away lifts nothing: it was remembered
    file.unlink()
    node.room.lift(ref, envelope, "hope")
    node.room.lift(ref, envelope, "hal")
    node.wait_for(lambda: node.ask(question())[0] == 200, 10)


def test_an_unopened_shard_does_not_answer(tmp_path):
    node = make(tmp_path, opened=False)
    with pytest.raises(StrongroomError, match="has not been opened"), node.serving():
        pass


def test_another_shards_opening_does_not_count(tmp_path):
    node = make(tmp_path)
    layout = NodeLayout(node.folder)
    data = bytearray(layout.opening(0).read_bytes())
    data[data.index(b'"leaf":"') + 40] ^= 1
    layout.opening(0).write_bytes(bytes(data))
    with pytest.raises(StrongroomError), node.serving():
        pass


def test_unauthenticated_requests_are_counted_and_the_count_is_published_soon(node):
    reader = ShardReader(NodeLayout(node.folder).ledger(0), node.shard)
    begin = reader.size

    def counts() -> list[Leaf]:
        leaves = (Leaf.decode(stored.leaf) for stored in reader.records(begin))
        return [leaf for leaf in leaves if leaf.type == "refusal" and leaf.release is None]

    for _ in range(20):
        assert node.get("/v2")[0] in NOBODY
    # the window of this node is one second; a busy machine may see them fall into several windows
    node.wait_for(lambda: bool(counts()), 20)
    assert len(counts()) < 20
