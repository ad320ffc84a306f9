"""The key that wraps the subjects' keys is replaced while the node answers, and erasure wins over it."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom.adapters.keys.keyring import SCRYPT_RFC7914_INTERACTIVE, KeyFile
from strongroom.adapters.keystore.backup import Backups
from strongroom.adapters.keystore.direct import OwnedStore, direct_keys, open_owned
from strongroom.adapters.keystore.kek_rotation import OwnedRows, rewrap_all
from strongroom.adapters.keystore.subject_keks import SUBJECT_KEK, OneKek, RingKeks, kek_names, next_kek_name
from strongroom.errors import ErasedError, TamperedError, UnavailableError
from strongroom.sealing.subjects import make_candidate
from strongroom.wiring.records import NodeRecords, node_store
from strongroom.wiring.rotating import rotate_subject_kek
from tests.rotation.house import load, make_rotating, workers_of
from tests.web.gateways import question
from tests.web.nodes import PASSPHRASE

KEYS = 1100
"""More than two pages."""


def tag_of(number: int) -> bytes:
    return number.to_bytes(32, "big")


def owned_store(folder: Path) -> OwnedStore:
    backups = Backups(folder / "backups", folder / "backup-keys")
    return open_owned(folder / "keystore", backups, lambda: datetime.now(UTC), "eu")


def filled(folder: Path, kek: AESGCM) -> dict[int, bytes]:
    """A key store with keys; their ids."""
    keys = direct_keys(owned_store(folder), kek)
    # not held: a cache that closes waits for those who hold a key
    ids = dict(enumerate([key.key_id for key in keys.get_or_create([tag_of(number) for number in range(KEYS)])]))
    keys.close()
    return ids


class CrashError(Exception):
    pass


@pytest.fixture
def ring(tmp_path: Path) -> KeyFile:
    made = KeyFile.create(tmp_path / "node.keyring", PASSPHRASE, kdf=SCRYPT_RFC7914_INTERACTIVE)
    made.new_secret(SUBJECT_KEK)
    return made


def test_a_walk_that_breaks_off_is_completed_and_an_erasure_in_between_wins(tmp_path: Path, ring: KeyFile) -> None:
    old = AESGCM(ring.get(SUBJECT_KEK))
    ids = filled(tmp_path, old)
    new = AESGCM(ring.new_secret(next_kek_name(ring)))
    owned = owned_store(tmp_path)
    rows = OwnedRows(owned)
    exchange, calls = rows.exchange, 0

    def breaking(changes: Any) -> int:
        nonlocal calls
        calls += 1
        if calls == 1:
            # read already, not exchanged yet
            owned.erase(tag_of(7), lambda _tag, _ids: 0)
        if calls == 2:
            raise CrashError
        return exchange(changes)

    rows.exchange = breaking  # type: ignore[method-assign]
    with pytest.raises(CrashError):
        rewrap_all(rows, new, (old,))
    owned.close()

    # in between, keys of both kinds open
    keys = direct_keys(owned_store(tmp_path), RingKeks(ring))
    assert keys.find(tag_of(0)).key_id == ids[0]
    assert keys.find(tag_of(KEYS - 1)).key_id == ids[KEYS - 1]
    keys.close()

    owned = owned_store(tmp_path)
    first = rewrap_all(OwnedRows(owned), new, (old,))
    assert 0 < first < KEYS - 1
    assert rewrap_all(OwnedRows(owned), new, (old,)) == 0
    owned.close()
    keys = direct_keys(owned_store(tmp_path), new)
    assert all(keys.find(tag_of(n)).key_id == ids[n] for n in range(KEYS) if n != 7)
    with pytest.raises(ErasedError):
        keys.find(tag_of(7))
    with pytest.raises(ErasedError):
        keys.by_key_id(ids[7])
    keys.close()


def test_nothing_of_the_old_wrapping_is_left_in_the_store(tmp_path: Path, ring: KeyFile) -> None:
    old = AESGCM(ring.get(SUBJECT_KEK))
    filled(tmp_path, old)
    owned = owned_store(tmp_path)
    before = bytes(owned.page(0))
    wrapped = [before[place + 24 : place + 84] for place in range(0, len(before), 84)]
    assert len(wrapped) == 500
    files = [path for path in (tmp_path / "keystore").iterdir() if path.is_file()]
    assert any(wrapped[0] in path.read_bytes() for path in files), "positive control"
    rewrap_all(OwnedRows(owned), AESGCM(os.urandom(32)), (old,))
    content = b"".join(path.read_bytes() for path in (tmp_path / "keystore").iterdir() if path.is_file())
    assert not [one for one in wrapped if one in content]
    owned.close()


def test_a_row_under_a_foreign_key_stops_the_walk(tmp_path: Path, ring: KeyFile) -> None:
    filled(tmp_path, AESGCM(os.urandom(32)))
    owned = owned_store(tmp_path)
    before = owned.page(0)
    with pytest.raises(TamperedError, match="nothing was dropped"):
        rewrap_all(OwnedRows(owned), AESGCM(os.urandom(32)), (AESGCM(ring.get(SUBJECT_KEK)),))
    assert owned.page(0) == before
    owned.close()


def test_a_ring_learns_of_a_newer_key_by_itself(tmp_path: Path, ring: KeyFile) -> None:
    keks = RingKeks(KeyFile.open(tmp_path / "node.keyring", PASSPHRASE))
    name = next_kek_name(ring)
    candidate = make_candidate(AESGCM(ring.new_secret(name)), os.urandom(60))
    assert keks.unwrap(candidate.key_id, candidate.wrapped).key_id == candidate.key_id
    assert kek_names(ring) == [name, SUBJECT_KEK]
    with pytest.raises(TamperedError):
        OneKek(AESGCM(ring.get(SUBJECT_KEK))).unwrap(candidate.key_id, candidate.wrapped)


@pytest.mark.slow
def test_a_silent_worker_keeps_the_old_key_alive(tmp_path: Path, monkeypatch: Any) -> None:
    made = make_rotating(tmp_path, monkeypatch)
    node, layout = made.node, made.layout
    with node.serving():
        assert node.ask(question(subject="early"))[0] == 200
        (worker,) = workers_of()
        worker.send_signal(signal.SIGSTOP)
        try:
            with made.house.at("omar") as desk, pytest.raises(UnavailableError, match="not confirmed"):
                rotate_subject_kek(desk, node.folder, PASSPHRASE)
        finally:
            worker.send_signal(signal.SIGCONT)
        assert len(kek_names(KeyFile.open(layout.keyring, PASSPHRASE))) == 2
        assert node.ask(question(subject="between"))[0] == 200
        with made.house.at("omar") as desk:
            done = rotate_subject_kek(desk, node.folder, PASSPHRASE)
        assert done.rows >= 1
        assert kek_names(KeyFile.open(layout.keyring, PASSPHRASE)) == [f"{SUBJECT_KEK}-2"]
        assert node.ask(question(subject="late"))[0] == 200


@pytest.mark.slow
def test_under_load_no_request_is_refused_and_an_erased_subject_stays_erased(tmp_path: Path, monkeypatch: Any) -> None:
    made = make_rotating(tmp_path, monkeypatch, workers=2)
    node, layout = made.node, made.layout
    with node.serving():
        with load(node, subjects=400) as seen:
            assert node.ask(question(subject="victim"))[0] == 200
            node.wait_for(lambda: len(seen.answered) > 50, 30)
            with NodeRecords.open(node.folder, PASSPHRASE) as records:
                tag = records.tag("victim")
            node_store(node.folder).forget(tag)
            for _ in range(3):
                with made.house.at("omar") as desk:
                    rotate_subject_kek(desk, node.folder, PASSPHRASE)
            before = len(seen.answered)
            node.wait_for(lambda: len(seen.answered) > before + 50, 30)
        assert seen.failed == []
        assert kek_names(KeyFile.open(layout.keyring, PASSPHRASE)) == [f"{SUBJECT_KEK}-4"]
    with NodeRecords.open(node.folder, PASSPHRASE) as records:
        with pytest.raises(ErasedError):
            records.keys.find(tag)
        for answer in seen.answered:
            records.decision(answer["parameters"]["decision_id"])
    with node.serving():
        assert node.ask(question(subject="subject-0-1"))[0] == 200
