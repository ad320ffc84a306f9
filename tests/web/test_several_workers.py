"""Three workers, three logs: each opened before it answers, cosigned every ten seconds under load, ended by a fork."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom.adapters.keys.keyring import KeyFile
from strongroom.adapters.log.shard_reader import FolderView, ShardReader, read_shard_file
from strongroom.adapters.log.witness_client import WitnessClient
from strongroom.ledger.checkpoint import Checkpoint, sign_checkpoint
from strongroom.ledger.fsck import fsck
from strongroom.ledger.note import LogKey, Note, VerifierKey
from strongroom.ledger.tree import MemoryTree, consistency_proof, leaf_hash
from strongroom.ledger.trust import TrustPolicy, read_trust
from strongroom.wiring.node import NodeLayout
from tests.web.gateways import question
from tests.web.nodes import PASSPHRASE, Node, make
from tests.web.test_witnessing import Witness, trusting

WORKERS = 3
LOAD_S = 22.0


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[Witness]:
    made = Witness(tmp_path / "witness")
    made.start()
    yield made
    made.stop()


def three(tmp_path: Path, witness: Witness) -> Node:
    node = make(tmp_path, workers=WORKERS)
    layout = NodeLayout(node.folder)
    path = layout.trust / "log-policy"
    policy = trusting(witness)
    path.write_bytes(TrustPolicy(read_trust(path.read_bytes()).logs, policy.witnesses, {}, "w1", policy.urls).encode())
    for slot in range(WORKERS):
        witness.made.add_log(str(key_of(layout, slot)))
    return node


def key_of(layout: NodeLayout, slot: int) -> VerifierKey:
    return VerifierKey.parse(read_shard_file((layout.ledger(slot) / "shard.json").read_bytes()).vkey)


def cosigned(layout: NodeLayout, slot: int) -> int:
    note = FolderView(layout.ledger(slot)).published("checkpoint.cosigned")
    return 0 if note is None else Checkpoint.parse(Note.parse(note).text).size


def load(node: Node, stop: threading.Event, failed: list[object]) -> None:
    while not stop.is_set():
        try:
            status, answer = node.ask(question())
        except OSError as error:
            failed.append(error)
            return
        if status != 200:
            failed.append((status, answer))


@pytest.mark.slow
@pytest.mark.study
def test_each_log_is_cosigned_at_least_every_ten_seconds_under_load(tmp_path: Path, witness: Witness) -> None:
    node = three(tmp_path, witness)
    layout = NodeLayout(node.folder)
    failed: list[object] = []
    stop = threading.Event()
    with node.serving():
        threads = [threading.Thread(target=load, args=(node, stop, failed)) for _ in range(4)]
        for thread in threads:
            thread.start()
        began = time.monotonic()
        seen = dict.fromkeys(range(WORKERS), 0)
        moved: dict[int, list[float]] = {slot: [0.0] for slot in range(WORKERS)}
        while (at := time.monotonic() - began) < LOAD_S:
            for slot in range(WORKERS):
                size = cosigned(layout, slot)
                if size > seen[slot]:
                    seen[slot] = size
                    moved[slot].append(at)
            time.sleep(0.1)
        stop.set()
        for thread in threads:
            thread.join()
    assert failed == []
    for slot, times in moved.items():
        # the kernel spreads connections; a log that got none has nothing to cosign
        if ShardReader(layout.ledger(slot)).size:
            gaps = [later - earlier for earlier, later in zip(times, [*times[1:], LOAD_S], strict=True)]
            assert max(gaps) <= 10, (slot, times)
        assert cosigned(layout, slot) == ShardReader(layout.ledger(slot)).size
        assert fsck(FolderView(layout.ledger(slot)), key_of(layout, slot)) == []


def test_an_unopened_log_among_several_does_not_answer(tmp_path: Path, witness: Witness) -> None:
    node = three(tmp_path, witness)
    layout = NodeLayout(node.folder)
    layout.opening(1).unlink()
    with pytest.raises(Exception, match="opened"), node.serving():
        pass
    assert ShardReader(layout.ledger(1)).size == 0


@pytest.mark.slow
def test_a_fork_of_one_log_ends_its_worker_with_an_alarm(tmp_path: Path, witness: Witness) -> None:
    node = three(tmp_path, witness)
    layout = NodeLayout(node.folder)
    settings = layout.read()
    ring = KeyFile.open(layout.keyring, PASSPHRASE)
    with node.serving():
        # the witness knows the second log as one that holds what nobody here wrote
        other = MemoryTree()
        for number in range(3):
            other.append(leaf_hash(b"another history %d" % number))
        key = LogKey(settings.origin(1), ring.get(settings.log_key_name(1)))
        note = sign_checkpoint(Checkpoint(key.name, other.size, other.root()), key)
        WitnessClient(witness.url, witness.made.key.verifier).cosign(
            note, lambda old, new: consistency_proof(other, old, new)
        )
        stop = threading.Event()
        failed: list[object] = []
        thread = threading.Thread(target=load, args=(node, stop, failed))
        thread.start()
        try:
            node.wait_for(lambda: layout.fork(1).exists(), 30)
        finally:
            stop.set()
            thread.join()
    assert not layout.fork(0).exists()
    assert not layout.fork(2).exists()
    assert "refuses a fork" in layout.fork(1).read_text()
