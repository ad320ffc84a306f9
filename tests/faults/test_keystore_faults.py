"""The key store when things break: nothing acknowledged is lost, nothing half made is handed out."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom.adapters.keystore.backup import Backups
from strongroom.adapters.keystore.direct import direct_keys, open_owned
from strongroom.adapters.keystore.keeper_client import KeeperProcess, NodeStore, forget_through_keeper, keeper_keys
from strongroom.adapters.keystore.subject_cache import CachedSubjectKeys
from strongroom.errors import ErasedError, UnavailableError

KEK = AESGCM(b"k" * 32)


def _now() -> datetime:
    return datetime.now(UTC)


def _tag(number: int) -> bytes:
    return number.to_bytes(32, "big")


def _until_answered(keys: CachedSubjectKeys, tags: list[bytes]) -> list[bytes]:
    for _ in range(100):
        try:
            return [key.key_id for key in keys.get_or_create(tags)]
        except UnavailableError:
            continue
    pytest.fail("the keeper did not come back")


def test_keys_survive_kill_nine_and_no_answer_comes_without_a_keeper(tmp_path: Path) -> None:
    keeper = KeeperProcess(tmp_path / "node", tmp_path / "backups", tmp_path / "keys", "EU")
    keeper.start()
    keys = keeper_keys(tmp_path / "node", KEK)
    tags = [_tag(number) for number in range(300)]
    before = [key.key_id for start in range(0, 300, 10) for key in keys.get_or_create(tags[start : start + 10])]
    os.kill(keeper.pid, signal.SIGKILL)
    keeper.stop()
    with pytest.raises(UnavailableError):
        keys.get_or_create([_tag(1000)])
    with pytest.raises(UnavailableError):
        forget_through_keeper(tmp_path / "node", _tag(1))
    keeper.start()
    assert _until_answered(keys, tags) == before
    keys.close()
    keeper.stop()


def test_an_erasure_survives_kill_nine_right_after_it(tmp_path: Path) -> None:
    keeper = KeeperProcess(tmp_path / "node", tmp_path / "backups", tmp_path / "keys", "EU")
    keeper.start()
    keys = keeper_keys(tmp_path / "node", KEK)
    (before,) = (key.key_id for key in keys.get_or_create([_tag(1)]))
    forgotten = forget_through_keeper(tmp_path / "node", _tag(1))
    os.kill(keeper.pid, signal.SIGKILL)
    keeper.stop()
    backups = Backups(tmp_path / "backups", tmp_path / "keys")
    again = NodeStore(tmp_path / "node", backups, "EU", _now).forget(_tag(1))
    assert again.key_ids == forgotten.key_ids == (before.hex(),)
    keys.close()


def test_a_full_store_hands_out_no_new_key_and_keeps_the_old(tmp_path: Path) -> None:
    owned = open_owned(tmp_path / "node", Backups(tmp_path / "backups", tmp_path / "keys"), _now, "EU")
    keys = direct_keys(owned, KEK, grace_s=0.05)
    old = keys.get_or_create([_tag(1)])[0].key_id
    database = owned.store._db
    (pages,) = database.execute("pragma page_count").fetchone()
    database.execute(f"pragma max_page_count = {pages}")
    with pytest.raises(UnavailableError, match="cannot be written"):
        keys.get_or_create([_tag(number) for number in range(2, 3000)])
    for number in (2, 1500, 2999):
        with pytest.raises(ErasedError):
            keys.find(_tag(number))
    assert keys.get_or_create([_tag(1)])[0].key_id == old
    database.execute("pragma max_page_count = 1000000")
    assert len(keys.get_or_create([_tag(number) for number in range(2, 3000)])) == 2998
    keys.close()


def test_commits_are_synced_before_they_are_reported(tmp_path: Path) -> None:
    owned = open_owned(tmp_path / "node", Backups(tmp_path / "backups", tmp_path / "keys"), _now, "EU")
    for _ in range(2):
        settings = {
            name: owned.store._db.execute(f"pragma {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "secure_delete", "temp_store", "auto_vacuum", "locking_mode")
        }
        assert settings == {
            "journal_mode": "wal",
            "synchronous": 2,
            "secure_delete": 1,
            "temp_store": 2,
            "auto_vacuum": 0,
            "locking_mode": "exclusive",
        }
        owned.store.scrub()  # a connection made anew must not forget them
    owned.close()
