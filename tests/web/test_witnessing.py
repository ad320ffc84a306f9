"""A node and its witnesses: cosigned receipts, a fork that ends the answers, a silent witness nobody waits for."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from strongroom import verify
from strongroom.access.principals import Principal
from strongroom.adapters.keys.keyring import KeyFile
from strongroom.adapters.log.shard_files import FileShard
from strongroom.adapters.log.shard_reader import FolderView, ShardReader
from strongroom.adapters.log.witness_client import WitnessClient
from strongroom.adapters.log.witness_folder import WitnessFolder
from strongroom.errors import InvalidInputError, StrongroomError, TamperedError
from strongroom.ledger.actions import fsck
from strongroom.ledger.checkpoint import Checkpoint, sign_checkpoint
from strongroom.ledger.note import CosignerKey, LogKey, Note
from strongroom.ledger.tree import MemoryTree, consistency_proof, leaf_hash
from strongroom.ledger.trust import TrustPolicy, read_trust
from strongroom.office.acts import Act, Resource
from strongroom.sealing.keys import EcSigner
from strongroom.serving.receipt import make_receipt
from strongroom.vocabulary import PersonId
from strongroom.wiring.control import ControlPlane, now
from strongroom.wiring.founding import GOVERNANCE_SEED, Member, found, log_policy, open_repository
from strongroom.wiring.node import NodeLayout
from strongroom.wiring.records import NodeRecords
from strongroom.wiring.settings import Layout, RoomSettings
from strongroom.wiring.witnessing import Cosigning
from tests.ledger.samples import ORIGIN, log_key, records
from tests.web.gateways import question
from tests.web.nodes import PASSPHRASE, Node, make

NAME = "witness.example/w1"
START = (
    "import asyncio, sys; from pathlib import Path; from strongroom.adapters.log.witness_folder import WitnessFolder;"
    "from strongroom.web.witness import run;"
    "asyncio.run(run(WitnessFolder.open(Path(sys.argv[1]), b'a passphrase'), '127.0.0.1', int(sys.argv[2]),"
    "lambda port: print(port, flush=True)))"
)


class Witness:
    """A witness as a process of its own, that can go away and come back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made = WitnessFolder.create(folder, NAME, b"a passphrase")
        self.port = 0
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", START, str(self.folder), str(self.port)], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            assert self._process.wait(60) == 0
            self._process = None


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[Witness]:
    made = Witness(tmp_path / "witness")
    made.start()
    yield made
    made.stop()


def trusting(witness: Witness | None, *logs: LogKey, url: str | None = None) -> TrustPolicy:
    key = CosignerKey(NAME, b"w" * 32).verifier if witness is None else witness.made.key.verifier
    address = url or (witness.url if witness else "")
    return TrustPolicy({log.name: log.verifier for log in logs}, {"w1": key}, {}, "w1", {"w1": address})


def watched(tmp_path: Path, witness: Witness | None, url: str | None = None) -> Node:
    """A node whose trust policy names the witness."""
    node = make(tmp_path)
    path = NodeLayout(node.folder).trust / "log-policy"
    known = read_trust(path.read_bytes())
    policy = trusting(witness, url=url)
    path.write_bytes(TrustPolicy(known.logs, policy.witnesses, {}, "w1", policy.urls).encode())
    if witness is not None:
        witness.made.add_log(str(node.shard))
    return node


def cosigned(folder: Path) -> int:
    """Size of the newest cosigned checkpoint of the node's log."""
    note = FolderView(NodeLayout(folder).ledger(0)).published("checkpoint.cosigned")
    return 0 if note is None else Checkpoint.parse(Note.parse(note).text).size


def later_receipt(node: Node, decision_id: str, to: Path) -> Path:
    """What `strongroom receipt` writes."""
    with NodeRecords.open(node.folder, PASSPHRASE) as kept:
        decision = kept.decision(decision_id)
        stored, note, path = kept.receipt_parts(decision_id)
    to.write_bytes(make_receipt(stored.leaf, decision.record.salt, decision.record.answer, stored.place, path, note))
    return to


def offline(node: Node, receipt: Path, *more: str) -> int:
    trust = NodeLayout(node.folder).trust
    arguments = ["receipt", str(receipt), "--policy", str(trust / "log-policy"), "--openings", str(trust / "openings")]
    return verify.main([*arguments, *more])


def test_a_receipt_obtained_later_carries_the_cosignature(tmp_path: Path, witness: Witness) -> None:
    node = watched(tmp_path, witness)
    with node.serving():
        status, answer = node.ask(question(receipt=True))
        assert status == 200, answer
        at_once = tmp_path / "at-once.json"
        at_once.write_text(answer["parameters"]["receipt"])
        assert node.wait_for(lambda: cosigned(node.folder) >= 1, 60) < 10
        assert offline(node, at_once) == 0
        messages = {"request": question(receipt=True), "answer": answer}
        for name, message in messages.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(message))
        about = ("--request", str(tmp_path / "request.json"), "--answer", str(tmp_path / "answer.json"))
        assert offline(node, at_once, *about) == 0
        (text,) = (output for output in answer["outputs"] if output["datatype"] == "BYTES")
        text["data"] = ["another decision"]
        (tmp_path / "answer.json").write_text(json.dumps(answer))
        assert offline(node, at_once, *about) == 4
        assert offline(node, at_once, "--cosigned") == 4
        decision_id = answer["parameters"]["decision_id"]
        receipt = later_receipt(node, decision_id, tmp_path / "later.json")
        assert offline(node, receipt, "--cosigned") == 0
        # it stays provable while newer checkpoints, which no witness has seen yet, are published over it
        before = cosigned(node.folder)
        node.ask(question())
        node.wait_for(lambda: ShardReader(NodeLayout(node.folder).ledger(0)).size > before, 5)
        assert offline(node, later_receipt(node, decision_id, receipt), "--cosigned") == 0
    # and at the stop, everything
    layout = NodeLayout(node.folder)
    assert cosigned(node.folder) == ShardReader(layout.ledger(0)).size == 2
    assert fsck(FolderView(layout.ledger(0)), node.shard) == []
    assert not layout.fork(0).exists()


def test_a_log_that_a_witness_knows_otherwise_ends_the_answers(tmp_path: Path, witness: Witness) -> None:
    node = watched(tmp_path, witness)
    layout = NodeLayout(node.folder)
    settings = layout.read()
    key = LogKey(settings.origin(0), KeyFile.open(layout.keyring, PASSPHRASE).get(settings.log_key_name(0)))
    other = MemoryTree()
    for number in range(3):
        other.append(leaf_hash(b"another history %d" % number))
    note = sign_checkpoint(Checkpoint(key.name, 3, other.root()), key)
    WitnessClient(witness.url, witness.made.key.verifier).cosign(note, lambda old, new: [])
    with node.serving():
        assert node.ask(question())[0] == 200
        node.wait_for(layout.fork(0).exists, 12)
        node.wait_for(lambda: any("refused the history" in line for line in node.told), 15)
        # answers have ended, and a restarted worker refuses: the listening socket has nobody behind it
        with socket.create_connection(("127.0.0.1", node.supervisor.port), timeout=0.5) as waiting:
            waiting.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: h\r\n\r\n")
            with pytest.raises(TimeoutError):
                waiting.recv(1)
    assert cosigned(node.folder) == 0


def test_a_log_set_back_to_an_older_state_does_not_start(tmp_path: Path, witness: Witness) -> None:
    key = log_key()
    witness.made.add_log(str(key.verifier))
    shard = FileShard.create(tmp_path / "log", ORIGIN, key)
    shard.append(records(0, 3))
    shard.publish()
    assert Cosigning(shard, trusting(witness, key)).ask() == 1
    shard.close()
    again = FileShard.create(tmp_path / "set-back", ORIGIN, key)
    again.append(records(0, 2))
    again.publish()
    with pytest.raises(TamperedError, match="more than there are"):
        Cosigning(again, trusting(witness, key)).ask()
    again.append(records(7, 2))
    again.publish()
    with pytest.raises(TamperedError, match="fork"):
        Cosigning(again, trusting(witness, key)).ask()
    again.close()


@contextmanager
def black_hole() -> Iterator[str]:
    """An address that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_silent_witness_delays_neither_answers_nor_publishing(tmp_path: Path) -> None:
    with black_hole() as url:
        node = watched(tmp_path, None, url)
        with node.serving():
            times = []
            for number in range(10):
                began = time.monotonic()
                status, answer = node.ask(question(subject=f"s-{number}"))
                times.append(time.monotonic() - began)
                assert status == 200
            assert max(times) < 4
            reader = ShardReader(NodeLayout(node.folder).ledger(0))
            # published every half second, while the witness is still being waited for
            assert node.wait_for(lambda: reader.size == 10, 20) < 8
            receipt = later_receipt(node, answer["parameters"]["decision_id"], tmp_path / "later.json")
            assert offline(node, receipt) == 0
            assert offline(node, receipt, "--cosigned") == 4
    assert cosigned(node.folder) == 0


def test_an_outage_is_told_once_and_what_was_missed_is_cosigned_after_it(
    tmp_path: Path, witness: Witness, caplog: pytest.LogCaptureFixture
) -> None:
    key = log_key()
    witness.made.add_log(str(key.verifier))
    shard = FileShard.create(tmp_path / "log", ORIGIN, key)
    asking = Cosigning(shard, trusting(witness, key))
    assert asking.ask() == 0  # an empty log has nothing to cosign
    shard.append(records(0, 300))
    shard.publish()
    assert asking.ask() == 1
    witness.stop()
    with caplog.at_level(logging.WARNING):
        for number in range(3):
            shard.append(records(300 + number, 1))
            shard.publish()
            assert asking.ask() == 0
        assert len(caplog.records) == 1
        assert "goes on without" in caplog.text
        witness.start()
        assert asking.ask() == 1
        assert asking.ask() == 1  # nothing new: nobody is asked
    assert len(caplog.records) == 2
    assert "again" in caplog.text
    _, path = ShardReader(tmp_path / "log", key.verifier).prove(302)
    assert path
    assert fsck(FolderView(tmp_path / "log"), key.verifier) == []
    shard.close()


def test_under_load_the_newest_cosigned_checkpoint_is_kept(tmp_path: Path, witness: Witness) -> None:
    key = log_key()
    witness.made.add_log(str(key.verifier))
    shard = FileShard.create(tmp_path / "log", ORIGIN, key)
    shard.append(records(0, 1))
    shard.publish()
    alarms: list[TamperedError] = []
    asking = Cosigning(shard, trusting(witness, key))
    asking.start(alarms.append, every_s=0.05)
    stop = threading.Event()

    def load() -> None:
        number = 1
        while not stop.wait(0.002):
            shard.append(records(number, 1))
            number += 1
            shard.publish()

    thread = threading.Thread(target=load)
    thread.start()
    sizes: set[int] = set()
    deadline = time.monotonic() + 20
    view = FolderView(tmp_path / "log")
    while len(sizes) < 8 and time.monotonic() < deadline:
        note = view.published("checkpoint.cosigned")
        if note is not None:
            sizes.add(Checkpoint.parse(Note.parse(note).text).size)
        time.sleep(0.01)
    stop.set()
    thread.join()
    asking.stop()
    assert alarms == []
    assert len(sizes) >= 8
    reader = ShardReader(tmp_path / "log", key.verifier)
    for index in range(0, max(sizes), 7):
        note, path = reader.prove(index)
        opened, times = trusting(witness, key).accept(note)
        assert NAME in times
        verify.verify_inclusion(leaf_hash(reader.get(index).leaf), index, opened.size, path, opened.root)
    shard.close()


def test_what_publish_cosigned_refuses(tmp_path: Path) -> None:
    key = log_key()
    shard = FileShard.create(tmp_path / "log", ORIGIN, key)
    shard.append(records(0, 2))
    shard.publish()
    older = (tmp_path / "log" / "public" / "checkpoint").read_bytes()
    shard.append(records(2, 2))
    shard.publish()
    newer = (tmp_path / "log" / "public" / "checkpoint").read_bytes()
    shard.publish_cosigned(older)
    shard.publish_cosigned(newer)
    for note in (older, sign_checkpoint(Checkpoint(ORIGIN, 9, bytes(32)), key)):
        with pytest.raises(StrongroomError, match=r"cosigned already|never published"):
            shard.publish_cosigned(note)
    with pytest.raises(TamperedError):
        shard.publish_cosigned(sign_checkpoint(Checkpoint(ORIGIN, 1, bytes(32)), log_key(seed=2)))
    shard.close()
    cosigned_file = tmp_path / "log" / "public" / "checkpoint.cosigned"
    cosigned_file.write_bytes(sign_checkpoint(Checkpoint(ORIGIN, 3, bytes(32)), key))
    assert [one.where for one in fsck(FolderView(tmp_path / "log"), key.verifier)] == ["checkpoint.cosigned"]


def test_a_room_names_its_witnesses_with_their_addresses() -> None:
    key = CosignerKey(NAME, os.urandom(32)).verifier
    silent = CosignerKey("witness.example/w2", os.urandom(32)).verifier
    entries = (f"{key} https://w1.example/", f"{silent}")
    settings = RoomSettings(v=1, org="bank", room="credit", region="eu", witness_vkeys=entries)
    policy = log_policy(log_key().verifier, settings)
    assert policy.urls == {"w1": "https://w1.example/"}
    assert read_trust(policy.encode()) == policy
    assert verify.read_policy(policy.encode()).witnesses.keys() == {"w1", "w2"}
    for wrong in ('k "', f'{key} http://a/"', f"{key} http://a http://b", f"{key} http://a\x7f"):
        with pytest.raises(InvalidInputError):
            RoomSettings(v=1, org="bank", room="credit", region="eu", witness_vkeys=(wrong,))


def founded(folder: Path, witness: Witness) -> ControlPlane:
    """A room whose trust policy names the witness; its founders' keys are held by the test."""
    roles = {"cora": "custodian", "cyril": "custodian", "celia": "custodian", "omar": "operator"}
    signers = {name: EcSigner.from_scalar(4000 + number) for number, name in enumerate(roles)}
    members = [Member(person_id=n, roles=(r,), key_pem=signers[n].public.pem.decode()) for n, r in roles.items()]
    entry = f"{witness.made.key.verifier} {witness.url}"
    settings = RoomSettings(v=1, org="bank", room="credit", region="eu", witness_vkeys=(entry,))
    layout = Layout(folder)
    found(layout, settings, members, PASSPHRASE, now())
    repository = open_repository(layout, KeyFile.open(layout.keyring, PASSPHRASE))
    for role in ("root", "targets"):
        for name in ("cora", "cyril"):
            repository.sign(role, signers[name].public.key_id, signers[name].sign(repository.draft(role)))
        repository.publish(role, now())
    return ControlPlane.open(folder, PASSPHRASE)


def refusal(room: ControlPlane) -> None:
    """Something for the governance log to say."""
    who = Principal(PersonId("omar"), "Person", frozenset({"operator"}))
    act = Act(who, "approve", Resource("Model", "pd-cards"), room.clock())
    with pytest.raises(StrongroomError), room.office.open(act):
        pass


def test_the_governance_log_is_cosigned_when_a_room_is_left(tmp_path: Path, witness: Witness) -> None:
    room = founded(tmp_path / "room", witness)
    key = room.shard.verifier
    witness.made.add_log(str(key))
    refusal(room)
    room.close()
    public = str(room.layout.governance / "public")
    trust = ["--policy", str(room.layout.trust_policy)]
    assert verify.main(["log", public, *trust, "--cosigned"]) == 0
    # away: a command goes on without it
    witness.stop()
    room = ControlPlane.open(tmp_path / "room", PASSPHRASE)
    refusal(room)
    began = time.process_time()
    room.close()
    assert time.process_time() - began < 1, "it does not try again and again"
    log = verify.verify_log(
        Path(public), [verify.Key.parse(str(key))], verify.read_policy(room.layout.trust_policy.read_bytes())
    )
    assert log.checkpoint.cosigned == {}
    # back, but it knows this log as longer than it is: the room was set back to an older state
    witness.start()
    seed = LogKey(key.name, KeyFile.open(room.layout.keyring, PASSPHRASE).get(GOVERNANCE_SEED))
    longer = MemoryTree()
    for hashed in [*log.hashes, leaf_hash(b"an entry that was dropped")]:
        longer.append(hashed)
    note = sign_checkpoint(Checkpoint(key.name, longer.size, longer.root()), seed)
    WitnessClient(witness.url, witness.made.key.verifier).cosign(
        note, lambda old, new: consistency_proof(longer, old, new)
    )
    room = ControlPlane.open(tmp_path / "room", PASSPHRASE)
    with pytest.raises(TamperedError, match="more than there are"):
        room.close()
    # everything was let go all the same
    ControlPlane.open(tmp_path / "room", PASSPHRASE).shard.close()
