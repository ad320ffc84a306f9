"""Threat: one of several workers keeps an erased subject's key. Three real workers; one is stopped, one killed."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from strongroom.errors import ConflictError, ErasedError, UnavailableError
from strongroom.ledger.leaf import Leaf
from strongroom.sealing.records import open_decision
from strongroom.wiring.erasing import erase, erase_patiently
from strongroom.wiring.records import NodeRecords
from tests.rotation.house import Rotating, load, make_rotating, workers_of
from tests.web.gateways import question
from tests.web.nodes import PASSPHRASE

WORKERS = 3


def shards_of(made: Rotating, decisions: list[str]) -> dict[str, int]:
    """Which log has which decision."""
    found = {}
    with NodeRecords.open(made.node.folder, PASSPHRASE) as records:
        for slot, reader in enumerate(records.readers):
            known = {Leaf.decode(stored.leaf).decision_id for stored in reader}
            found |= {one: slot for one in decisions if one in known}
    return found


def pending(made: Rotating) -> list[str] | None:
    """None while another command works in the room."""
    try:
        return _pending(made)
    except ConflictError:
        return None


def _pending(made: Rotating) -> list[str]:
    with made.house.at("dora") as desk, desk.room.desk.begin() as transaction:
        return [one.tag for one in transaction.books.erasures.pending()]


def ask_victim(made: Rotating, times: int) -> list[str]:
    ids = []
    for _ in range(times):
        status, answer = made.node.ask(question(subject="victim"))
        assert status == 200, answer
        ids.append(answer["parameters"]["decision_id"])
    return ids


@contextmanager
def stopped(worker: Any) -> Iterator[None]:
    worker.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        worker.send_signal(signal.SIGCONT)


@pytest.mark.slow
def test_no_certificate_before_a_stopped_worker_has_forgotten(tmp_path: Path, monkeypatch: Any) -> None:
    made = make_rotating(tmp_path, monkeypatch, workers=WORKERS)
    node = made.node
    result: list[Any] = []

    def officer() -> None:
        try:
            result.append(erase_patiently(lambda: made.house.at("dora"), node.folder, PASSPHRASE, "victim", 90))
        except Exception as error:
            result.append(error)

    with node.serving():
        with load(node) as seen:
            old = ask_victim(made, 12)
            node.wait_for(lambda: len(shards_of(made, old)) == len(old), 20)
            places = shards_of(made, old)
            assert len(set(places.values())) > 1, "the subject is in one log only"
            with NodeRecords.open(node.folder, PASSPHRASE) as records:
                tag = records.tag("victim").hex()
        assert seen.failed == []
        # without callers: a request that meets a stopped worker waits, which is no fault of the erasure
        workers = workers_of()
        assert len(workers) == WORKERS
        thread = threading.Thread(target=officer)
        with stopped(workers[1]):
            thread.start()
            node.wait_for(lambda: pending(made) == [tag], 40)
            # the key is gone from the store and from whoever could be asked, and there is no certificate
            with NodeRecords.open(node.folder, PASSPHRASE) as records:
                node.wait_for(lambda: _erased(records, tag), 20)
                for decision_id in old:
                    with pytest.raises(ErasedError):
                        records.decision(decision_id)
            assert result == []
        thread.join(60)
        assert len(result) == 1
        erased = result[0]
        assert not isinstance(erased, Exception), erased
        assert pending(made) == []
        assert erased.certificate.tag == tag
        assert json.loads(erased.envelope)["payload"]
        with load(node) as seen:
            new = ask_victim(made, 6)
        assert seen.failed == []
        node.wait_for(lambda: len(shards_of(made, new)) == len(new), 20)
    with NodeRecords.open(node.folder, PASSPHRASE) as records:
        assert set(places.values()) <= set(range(WORKERS))
        before = {_key_id(records, one) for one in old}
        after = {_key_id(records, one) for one in new}
        assert before <= {key_id for stores in erased.certificate.stores for key_id in stores.key_ids}
        assert not before & after, "a subject who comes back has a new key"
        for decision_id in old:
            stored, _, _ = records.receipt_parts(decision_id)
            assert stored.payload is not None
            with pytest.raises(ErasedError):
                open_decision(Leaf.decode(stored.leaf), stored.payload, None)
        for decision_id in new:
            records.decision(decision_id)
        assert [findings for _, findings in records.fsck()] == [[]] * WORKERS


def _erased(records: NodeRecords, tag: str) -> bool:
    try:
        records.keys.find(bytes.fromhex(tag))
    except ErasedError:
        return True
    return False


def _key_id(records: NodeRecords, decision_id: str) -> str:
    return Leaf.decode(records._find(decision_id).leaf).key_id


@pytest.mark.slow
def test_a_killed_worker_holds_nothing_and_its_successor_learns_nothing(tmp_path: Path, monkeypatch: Any) -> None:
    made = make_rotating(tmp_path, monkeypatch, workers=WORKERS)
    node = made.node
    with node.serving():
        assert node.supervisor is not None
        old = ask_victim(made, 9)
        node.wait_for(lambda: len(shards_of(made, old)) == len(old), 20)
        while 0 not in shards_of(made, old).values():
            # which worker gets a connection is by lot, and one that was never asked holds nothing up
            old.extend(ask_victim(made, 1))
            node.wait_for(lambda: len(shards_of(made, old)) == len(old), 20)
        workers = workers_of()
        known = {one.pid for one in workers}
        first = next(one for one in workers if one.pid == node.supervisor._workers[0].pid)
        first.send_signal(signal.SIGSTOP)
        with made.house.at("dora") as desk, pytest.raises(UnavailableError, match="stays pending"):
            erase(desk, node.folder, PASSPHRASE, "victim")
        first.kill()
        erased = erase_patiently(lambda: made.house.at("dora"), node.folder, PASSPHRASE, "victim", 60)
        assert erased.certificate.stores
        # it recovers its log and publishes it
        node.wait_for(lambda: node.supervisor._workers[0].pid in {one.pid for one in workers_of()} - known, 40)
        new = ask_victim(made, 9)
    with NodeRecords.open(node.folder, PASSPHRASE) as records:
        for decision_id in old:
            with pytest.raises(ErasedError):
                records.decision(decision_id)
        for decision_id in new:
            records.decision(decision_id)
        assert [findings for _, findings in records.fsck()] == [[]] * WORKERS
