"""Threat: an erased subject's key survives somewhere, in a file, in the memory of a process, in a backup.

A real keeper, real worker-like processes, a search of everything. The needle is kept masked in this process and in no
file, so that only the product's own copies can be found.
"""

from __future__ import annotations

import base64
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom.adapters.keystore.backup import Backups
from strongroom.adapters.keystore.direct import direct_keys, open_owned
from strongroom.adapters.keystore.keeper_client import (
    KeeperProcess,
    back_up_through_keeper,
    forget_through_keeper,
    keeper_keys,
)
from strongroom.adapters.keystore.subject_cache import CachedSubjectKeys
from strongroom.adapters.log.shard_reader import FolderView, ShardReader
from strongroom.errors import ErasedError, ExpiredError, UnavailableError
from strongroom.ledger.fsck import fsck
from strongroom.ledger.leaf import Leaf
from strongroom.ledger.ports import StoredRecord
from strongroom.sealing.records import open_decision
from strongroom.sealing.subjects import WRAPPED_SIZE, subject_tag
from tests.attacks.erasure_worker import ANSWER, log_key

MASK = 0x5A
INDEX_KEY = bytes(range(32))


def _masked(data: bytes | bytearray) -> bytes:
    return bytes(byte ^ MASK for byte in data)


def _count_in_memory(pid: int, masked: bytes) -> int:
    found = 0
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in maps:
            span, mode, *rest = line.split()
            if "r" not in mode or rest[-1] in {"[vvar]", "[vsyscall]", "[vvar_vclock]"}:
                continue
            start, end = (int(part, 16) for part in span.split("-"))
            try:
                memory.seek(start)
                found += memory.read(end - start).count(_masked(masked))
            except (OSError, OverflowError):
                continue  # a guard or device page that nobody can read
    return found


def _count_in_files(folder: Path, masked: bytes) -> dict[str, int]:
    counts = {}
    for path in folder.rglob("*"):
        if path.is_file():
            counts[path.name] = path.read_bytes().count(_masked(masked))
    return {name: count for name, count in counts.items() if count}


class Worker:
    def __init__(self, folder: Path, kek: bytes, slot: int) -> None:
        self.child = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("erasure_worker.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.tell({"folder": str(folder), "kek": base64.b64encode(kek).decode(), "slot": slot})

    @property
    def pid(self) -> int:
        return self.child.pid

    def tell(self, order: dict[str, object]) -> str:
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self.child.stdin.write(json.dumps(order) + "\n")
        self.child.stdin.flush()
        return self.child.stdout.readline().strip()

    def seal(self, *tags: bytes) -> list[bytes]:
        return [bytes.fromhex(text) for text in json.loads(self.tell({"do": "seal", "tags": [t.hex() for t in tags]}))]

    def end(self) -> None:
        assert self.child.stdin is not None
        self.child.stdin.close()
        self.child.wait(10)
        assert self.child.stdout is not None
        self.child.stdout.close()


class Node:
    def __init__(self, place: Path) -> None:
        self.folder = place / "node"
        self.backups = Backups(place / "backups", place / "backup-keys")
        self.kek = os.urandom(32)
        self.keeper = KeeperProcess(self.folder, self.backups.folder, self.backups.keys, "EU")
        self.keeper.start()
        self.workers = [Worker(self.folder, self.kek, slot) for slot in (0, 1)]

    def stop(self) -> None:
        for worker in self.workers:
            worker.end()
        self.keeper.stop()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    yield made
    made.stop()


def _stored_wrapped(folder: Path, tag: bytes) -> bytes:
    """The wrapped key of a tag, masked, read from the files of a copy (the keeper holds the store exclusively)."""
    copy = folder.parent / "copy"
    copy.mkdir()
    for name in ("keystore.db", "keystore.db-wal"):
        (copy / name).write_bytes((folder / name).read_bytes())
    db = sqlite3.connect(copy / "keystore.db")
    row = db.execute("select k.wrapped from tags t join keys k on k.id = t.id where t.tag = ?", (tag,)).fetchone()
    masked = _masked(row[0])
    db.close()
    for path in copy.iterdir():
        path.unlink()
    copy.rmdir()
    return masked


def _unsealed(masked: bytes, key_id: bytes) -> tuple[bytes, bytes, bytes]:
    wrapped = _masked(masked)
    return wrapped[:12], wrapped[12:], b"strongroom/subject-key/v1\n" + key_id


@pytest.mark.parametrize("place", [77, 199], ids=["in the middle", "the last one unwrapped"])
def test_before_erasure_the_wrapped_key_is_found_and_after_it_is_nowhere(node: Node, place: int) -> None:
    tags = [subject_tag(INDEX_KEY, "EU", f"subject-{i}") for i in range(200)]
    for worker in node.workers:
        payloads = worker.seal(*tags)
    victim = tags[place]
    whole = _stored_wrapped(node.folder, victim)
    assert len(whole) == WRAPPED_SIZE
    # an inner piece: an allocator that reuses a freed block may overwrite its ends and leave the rest
    masked = whole[20:52]
    # the usable key, too, though the promise is about the wrapped one
    plain = _masked(AESGCM(node.kek).decrypt(*_unsealed(whole, payloads[place][8:24])))[8:]
    notes = [_log(node, slot).note() for slot in (0, 1)]

    # positive control: the search finds both where they must be
    assert _count_in_files(node.folder, masked)
    for worker in node.workers:
        # a worker keeps no wrapped key at all, only the usable one
        assert _count_in_memory(worker.pid, masked) == 0
        assert _count_in_memory(worker.pid, plain) >= 1
    assert _count_in_memory(node.keeper.pid, masked) >= 1

    forgotten = forget_through_keeper(node.folder, victim)
    assert forgotten.caches == 2
    assert len(forgotten.key_ids) == 1

    assert _count_in_files(node.folder.parent, masked) == {}
    for worker in node.workers:
        assert _count_in_memory(worker.pid, masked) == 0
        assert _count_in_memory(worker.pid, plain) == 0
    assert _count_in_memory(node.keeper.pid, masked) == 0

    # the ledger verifies as before, root unchanged; the victim's records are noise, all others open
    keys = keeper_keys(node.folder, AESGCM(node.kek))
    for slot in (0, 1):
        assert fsck(FolderView(node.folder / "ledger" / str(slot)), log_key(slot).verifier) == []
        log = _log(node, slot)
        assert log.note() == notes[slot]
        assert [stored.place for stored in log if not _opens(keys, stored)] == [place]
    with pytest.raises(ErasedError):
        keys.find(victim)
    keys.close()


def _log(node: Node, slot: int) -> ShardReader:
    return ShardReader(node.folder / "ledger" / str(slot), log_key(slot).verifier)


def _opens(keys: CachedSubjectKeys, stored: StoredRecord) -> bool:
    leaf = Leaf.decode(stored.leaf)
    assert stored.payload is not None
    try:
        key = keys.by_key_id(bytes.fromhex(leaf.key_id))
    except ErasedError:
        with pytest.raises(ErasedError):
            open_decision(leaf, stored.payload, None)
        return False
    return open_decision(leaf, stored.payload, key.aead).answer == ANSWER


def test_a_worker_that_keeps_the_usable_key_holds_up_the_certificate(node: Node) -> None:
    tag = subject_tag(INDEX_KEY, "EU", "held")
    worker = node.workers[0]
    assert worker.tell({"do": "hold", "tag": tag.hex()}) == "holding"
    with pytest.raises(UnavailableError, match="have not confirmed"):
        forget_through_keeper(node.folder, tag)
    with pytest.raises(UnavailableError, match="have not confirmed"):
        forget_through_keeper(node.folder, tag)
    assert worker.tell({"do": "release"}) == "released"
    assert len(forget_through_keeper(node.folder, tag).key_ids) == 1


def test_a_killed_worker_does_not_hold_up_erasure(node: Node) -> None:
    tag = subject_tag(INDEX_KEY, "EU", "killed")
    node.workers[0].seal(tag)
    node.workers[1].child.kill()
    node.workers[1].child.wait()
    assert len(forget_through_keeper(node.folder, tag).key_ids) == 1


def test_a_frozen_worker_holds_up_the_certificate_until_it_moves(node: Node) -> None:
    tag = subject_tag(INDEX_KEY, "EU", "frozen")
    masked_record = node.workers[1].seal(tag)
    os.kill(node.workers[1].pid, 19)
    try:
        with pytest.raises(UnavailableError, match="stays pending"):
            forget_through_keeper(node.folder, tag)
    finally:
        os.kill(node.workers[1].pid, 18)
    for _ in range(100):
        try:
            forgotten = forget_through_keeper(node.folder, tag)
            break
        except UnavailableError:
            continue
    assert forgotten.key_ids == (masked_record[0][8:24].hex(),)


def test_an_expired_backup_cannot_be_read_and_a_live_one_cannot_resurrect(node: Node, tmp_path: Path) -> None:
    tags = [subject_tag(INDEX_KEY, "EU", name) for name in ("stays", "goes")]
    records = node.workers[0].seal(*tags)
    backup = back_up_through_keeper(node.folder)
    elsewhere = tmp_path / "tape.keys"
    elsewhere.write_bytes(backup.read_bytes())
    masked = _stored_wrapped(node.folder, tags[0])
    assert _masked(masked) not in elsewhere.read_bytes()
    forgotten = forget_through_keeper(node.folder, tags[1])
    now = datetime.now(UTC)
    assert forgotten.online_us < forgotten.backups_us <= forgotten.online_us + 35 * 86_400 * 1_000_000

    live = tmp_path / "live"
    live.mkdir()
    node.backups.restore(elsewhere, live)
    keys = direct_keys(open_owned(live, node.backups, lambda: now, "EU"), AESGCM(node.kek))
    assert keys.find(tags[0]).key_id == records[0][8:24]
    with pytest.raises(ErasedError):
        keys.find(tags[1])
    with pytest.raises(ErasedError):
        keys.by_key_id(records[1][8:24])
    keys.close()

    key_files = list(node.backups.keys.iterdir())
    old = _masked(key_files[0].read_bytes())
    assert node.backups.expire(now + timedelta(days=33)) == []
    assert node.backups.expire(now + timedelta(days=35)) == [now.date().isoformat()]
    assert _count_in_files(tmp_path, old) == {}
    with pytest.raises(ExpiredError):
        node.backups.restore(elsewhere, tmp_path / "late")
    late = Backups(node.backups.folder, tmp_path / "no-keys")
    with pytest.raises(ExpiredError):
        late.restore(elsewhere, tmp_path / "late")
