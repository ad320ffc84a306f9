"""One suite for every adapter of `SubjectKeys`: in memory, over a store of its own, through a keeper."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom.adapters.keystore.backup import Backups
from strongroom.adapters.keystore.direct import direct_keys, memory_keys, open_owned
from strongroom.adapters.keystore.keeper_client import KeeperProcess, keeper_keys
from strongroom.adapters.keystore.subject_cache import CachedSubjectKeys
from strongroom.errors import ErasedError, UnavailableError
from strongroom.sealing.subjects import subject_tag

KEK = AESGCM(b"k" * 32)


def _now() -> datetime:
    return datetime.now(UTC)


def _tag(name: str) -> bytes:
    return subject_tag(b"i" * 32, "EU", name)


@pytest.fixture(scope="module")
def keeper_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("keeper")
    with KeeperProcess(place / "node", place / "backups", place / "keys", "EU"):
        yield place / "node"


@pytest.fixture(params=["memory", "direct", "keeper"])
def keys(request: pytest.FixtureRequest, tmp_path: Path, keeper_folder: Path) -> Iterator[CachedSubjectKeys]:
    if request.param == "memory":
        made = memory_keys(_now, KEK, grace_s=0.1)
    elif request.param == "direct":
        backups = Backups(tmp_path / "backups", tmp_path / "keys")
        made = direct_keys(open_owned(tmp_path / "node", backups, _now, "EU"), KEK, grace_s=0.1)
    else:
        made = keeper_keys(keeper_folder, KEK, grace_s=0.1)
    yield made
    made.close()


def test_one_key_for_each_tag_in_order(keys: CachedSubjectKeys) -> None:
    tags = [_tag("order-a"), _tag("order-b"), _tag("order-a")]
    first, second, third = keys.get_or_create(tags)
    assert first.key_id == third.key_id != second.key_id
    assert [key.key_id for key in keys.get_or_create(tags)] == [first.key_id, second.key_id, first.key_id]
    assert keys.get_or_create([]) == []


def test_found_by_tag_and_by_id(keys: CachedSubjectKeys) -> None:
    (key,) = keys.get_or_create([_tag("found")])
    sealed = key.aead.encrypt(b"n" * 12, b"x", None)
    assert keys.find(_tag("found")).aead.decrypt(b"n" * 12, sealed, None) == b"x"
    assert keys.by_key_id(key.key_id).aead.decrypt(b"n" * 12, sealed, None) == b"x"


def test_looking_for_a_key_never_makes_one(keys: CachedSubjectKeys) -> None:
    for _ in range(2):
        with pytest.raises(ErasedError):
            keys.find(_tag("never"))
        with pytest.raises(ErasedError):
            keys.by_key_id(b"0" * 16)


def test_forgotten_is_gone_for_every_way_in_and_a_return_gets_a_new_key(keys: CachedSubjectKeys) -> None:
    key_id = keys.get_or_create([_tag("gone")])[0].key_id
    forgotten = keys.forget(_tag("gone"))
    assert forgotten.key_ids == (key_id.hex(),)
    assert forgotten.online_us <= forgotten.backups_us
    with pytest.raises(ErasedError):
        keys.find(_tag("gone"))
    with pytest.raises(ErasedError):
        keys.by_key_id(key_id)
    again = keys.forget(_tag("gone"))
    assert again.key_ids == (key_id.hex(),)
    (new,) = keys.get_or_create([_tag("gone")])
    assert new.key_id != key_id
    with pytest.raises(ErasedError):
        keys.by_key_id(key_id)


def test_forgetting_whom_nobody_knows_is_harmless(keys: CachedSubjectKeys) -> None:
    assert keys.forget(_tag("unknown")).key_ids == ()


def test_a_key_in_use_is_taken_away_and_confirmed_only_when_let_go(keys: CachedSubjectKeys) -> None:
    (key,) = keys.get_or_create([_tag("in-use")])
    aead = key.aead
    with pytest.raises(UnavailableError):
        keys.forget(_tag("in-use"))
    assert key.forgotten
    with pytest.raises(ErasedError):
        _ = key.aead
    del aead
    assert keys.forget(_tag("in-use")).key_ids == (key.key_id.hex(),)


def test_others_keep_their_keys(keys: CachedSubjectKeys) -> None:
    tags = [_tag(f"crowd-{i}") for i in range(300)]
    before = [key.key_id for key in keys.get_or_create(tags)]
    keys.forget(tags[150])
    after = [key.key_id for key in keys.get_or_create(tags)]
    assert [i for i in range(300) if before[i] != after[i]] == [150]
