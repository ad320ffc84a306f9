"""Threat: an erased subject's key stays in a running gateway. The whole node as it runs: supervisor, keeper, worker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom.adapters.keys.keyring import KeyFile
from strongroom.adapters.keystore.backup import Backups
from strongroom.adapters.keystore.keeper_client import NodeStore, keeper_keys
from strongroom.adapters.keystore.subject_keks import SUBJECT_KEK
from strongroom.adapters.log.shard_reader import ShardReader
from strongroom.errors import ErasedError
from strongroom.ledger.leaf import Leaf
from strongroom.sealing.records import open_decision
from strongroom.sealing.subjects import subject_tag
from strongroom.wiring.node import INDEX_KEY, NodeLayout
from tests.attacks.test_erasure_residue import _count_in_files, _count_in_memory, _masked, _stored_wrapped
from tests.web.gateways import question
from tests.web.nodes import PASSPHRASE, Node, make


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = make(tmp_path)
    with made.serving():
        yield made


def test_the_key_of_an_erased_subject_is_nowhere_in_a_running_node(node: Node, tmp_path: Path) -> None:
    for number in range(20):
        assert node.ask(question(subject=f"subject-{number}"))[0] == 200
    status, answer = node.ask(question(subject="victim"))
    assert status == 200
    decision_id = answer["parameters"]["decision_id"]
    layout = NodeLayout(node.folder)
    ring = KeyFile.open(layout.keyring, PASSPHRASE)
    settings = layout.read()
    tag = subject_tag(ring.get(INDEX_KEY), settings.region, "victim")
    whole = _stored_wrapped(layout.keystore, tag)
    piece = whole[20:52]
    processes = [child.pid for child in psutil.Process(os.getpid()).children(recursive=True)]

    # positive control
    assert _count_in_files(node.folder, piece)
    assert any(_count_in_memory(pid, piece) for pid in processes)  # the keeper

    reader = ShardReader(layout.ledger(0), node.shard)
    node.wait_for(lambda: reader.size >= 21, 10)
    note, stored = reader.note(), reader.find(decision_id)
    leaf = Leaf.decode(stored.leaf)
    wrapped, context = _masked(whole), b"strongroom/subject-key/v1\n" + bytes.fromhex(leaf.key_id)
    usable = _masked(AESGCM(ring.get(SUBJECT_KEK)).decrypt(wrapped[:12], wrapped[12:], context))[8:]
    assert any(_count_in_memory(pid, usable) for pid in processes)  # the worker, which keeps no wrapped key
    store = NodeStore(
        layout.keystore, Backups(layout.backups, layout.backup_keys), settings.region, lambda: datetime.now(UTC)
    )
    forgotten = store.forget(tag)
    assert forgotten.caches >= 1
    assert forgotten.online_us <= forgotten.backups_us

    assert _count_in_files(tmp_path, piece) == {}
    for sought in (piece, usable):
        assert {pid: _count_in_memory(pid, sought) for pid in processes} == dict.fromkeys(processes, 0)

    keys = keeper_keys(layout.keystore, AESGCM(ring.get(SUBJECT_KEK)))
    with pytest.raises(ErasedError):
        keys.by_key_id(bytes.fromhex(leaf.key_id))
    assert stored.payload is not None
    with pytest.raises(ErasedError):
        open_decision(leaf, stored.payload, None)
    assert ShardReader(layout.ledger(0), node.shard).note() == note
    # the node goes on, and a subject who comes back starts anew
    status, again = node.ask(question(subject="victim"))
    assert status == 200
    node.wait_for(lambda: reader.size >= 22, 10)
    returned = Leaf.decode(ShardReader(layout.ledger(0), node.shard).find(again["parameters"]["decision_id"]).leaf)
    assert returned.key_id != leaf.key_id
    keys.close()
    assert _masked(piece) != piece
