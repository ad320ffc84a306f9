"""The key store, its cache, its backups and its keeper, from their edges."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import stat
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom.adapters.keystore.backup import JOURNAL, Backups
from strongroom.adapters.keystore.direct import MemoryBackend, direct_keys, memory_keys, open_owned
from strongroom.adapters.keystore.keeper_client import KeeperProcess, NodeStore, expire_through_keeper, keeper_keys
from strongroom.adapters.keystore.keeper_wire import (
    OFFER_SIZE,
    SOCKET,
    Kind,
    address_of,
    read_offers,
    read_tags,
    receive,
    send,
)
from strongroom.adapters.keystore.sqlite import DATABASE, KeyStore
from strongroom.adapters.keystore.subject_cache import ASK_FIRST, CachedSubjectKeys
from strongroom.errors import (
    ConflictError,
    ErasedError,
    ExpiredError,
    StrongroomError,
    TamperedError,
    TooLargeError,
    UnavailableError,
)
from strongroom.sealing.subjects import CANDIDATE_RANDOM_SIZE, TAG_BYTES, Candidate, make_candidate

KEK = AESGCM(b"k" * 32)
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def _noon() -> datetime:
    return NOON


def _tag(number: int) -> bytes:
    return number.to_bytes(32, "big")


def _offer(number: int) -> tuple[bytes, Candidate]:
    return _tag(number), make_candidate(KEK, os.urandom(CANDIDATE_RANDOM_SIZE))


@pytest.fixture
def backups(tmp_path: Path) -> Backups:
    return Backups(tmp_path / "backups", tmp_path / "backup-keys")


def test_a_store_has_one_owner(tmp_path: Path) -> None:
    store = KeyStore.create(tmp_path, "EU")
    with pytest.raises(UnavailableError, match="owns"):
        KeyStore.open(tmp_path)
    with pytest.raises(UnavailableError, match="owns"):
        KeyStore.create(tmp_path, "EU")
    store.close()
    with pytest.raises(ConflictError):
        KeyStore.create(tmp_path, "EU")
    KeyStore.open(tmp_path).close()
    assert stat.S_IMODE((tmp_path / DATABASE).stat().st_mode) == 0o600


def test_no_erased_key_stays_in_the_file_after_thousands_of_changes(tmp_path: Path) -> None:
    store = KeyStore.create(tmp_path, "EU")
    wrapped: dict[int, bytes] = {}
    for start in range(0, 4000, 500):
        offers = [_offer(number) for number in range(start, start + 500)]
        for (_, candidate), number in zip(offers, range(start, start + 500), strict=True):
            wrapped[number] = bytes(candidate.wrapped)
        store.ensure(offers, 1)
    gone = [number for number in range(4000) if number % 37 == 5]
    for number in gone:
        store.erase(_tag(number), 2)
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert all(wrapped[number] not in files for number in gone)
    assert all(files.count(wrapped[number]) == 1 for number in wrapped if number not in gone)
    store.close()


def test_a_damaged_store_is_tampered_not_a_crash(tmp_path: Path) -> None:
    KeyStore.create(tmp_path, "EU").close()
    (tmp_path / DATABASE).write_bytes(b"not a database, but long enough to look at" * 100)
    with pytest.raises(TamperedError):
        KeyStore.open(tmp_path)
    with pytest.raises(UnavailableError):
        KeyStore.open(tmp_path / "nowhere")


def test_a_lost_store_with_a_journal_must_be_restored_not_started_anew(tmp_path: Path, backups: Backups) -> None:
    backups.bury(b"k" * 16, _tag(1), 1)
    with pytest.raises(UnavailableError, match="restore"):
        open_owned(tmp_path / "node", backups, _noon, "EU")


def test_a_crash_between_journal_and_store_is_finished_at_the_next_start(tmp_path: Path, backups: Backups) -> None:
    owned = open_owned(tmp_path / "node", backups, _noon, "EU")
    keys = direct_keys(owned, KEK)
    key_id = keys.get_or_create([_tag(1)])[0].key_id
    backups.bury(key_id, _tag(1), 5)
    keys.close()
    keys = direct_keys(open_owned(tmp_path / "node", backups, _noon, "EU"), KEK)
    with pytest.raises(ErasedError):
        keys.find(_tag(1))
    keys.close()


def test_another_region_is_refused(tmp_path: Path, backups: Backups) -> None:
    open_owned(tmp_path / "node", backups, _noon, "EU").close()
    with pytest.raises(UnavailableError, match="region"):
        open_owned(tmp_path / "node", backups, _noon, "US")


def _backed_up(tmp_path: Path, backups: Backups) -> Path:
    owned = open_owned(tmp_path / "node", backups, _noon, "EU")
    owned.ensure([_offer(number) for number in range(3)])
    owned.erase(_tag(2), lambda _tag, _ids: 0)
    path = owned.back_up()
    owned.close()
    return path


def test_every_changed_byte_of_a_backup_is_refused(tmp_path: Path, backups: Backups) -> None:
    data = _backed_up(tmp_path, backups).read_bytes()
    changed_path = tmp_path / "changed"
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1
        changed_path.write_bytes(changed)
        with pytest.raises((TamperedError, ExpiredError)):
            backups.restore(changed_path, tmp_path / "restored")
    for cut in (0, 10, len(data) - 1):
        changed_path.write_bytes(data[:cut])
        with pytest.raises(TamperedError):
            backups.restore(changed_path, tmp_path / "restored")
    assert not (tmp_path / "restored" / DATABASE).exists()


def test_a_backup_needs_the_journal_that_it_knew(tmp_path: Path, backups: Backups) -> None:
    path = _backed_up(tmp_path, backups)
    journal = backups.folder / JOURNAL
    whole = journal.read_bytes()
    (tmp_path / "restored").mkdir()
    journal.write_bytes(b"")
    with pytest.raises(TamperedError, match="journal"):
        backups.restore(path, tmp_path / "restored")
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1
        journal.write_bytes(changed)
        with pytest.raises(TamperedError):
            backups.restore(path, tmp_path / "restored")
    journal.write_bytes(whole + b"torn")
    backups.restore(path, tmp_path / "restored")
    with pytest.raises(ConflictError):
        backups.restore(path, tmp_path / "restored")
    backups.bury(b"n" * 16, _tag(9), 9)
    assert [entry[1] for entry in backups.tombstones()] == [_tag(2), _tag(9)]


def test_backup_keys_die_on_time_and_only_then(tmp_path: Path, backups: Backups) -> None:
    _backed_up(tmp_path, backups)
    day = datetime(2026, 11, 21, tzinfo=UTC)
    assert backups.last_destruction_us(NOON) == int((day + timedelta(days=35)).timestamp()) * 1_000_000
    assert backups.expire(day + timedelta(days=33, hours=23)) == []
    assert backups.expire(day + timedelta(days=34)) == ["2026-11-21"]
    assert list(backups.keys.iterdir()) == []
    assert backups.expire(day + timedelta(days=34)) == []


def test_the_cache_is_bounded_in_number_and_time() -> None:
    now = [0.0]
    backend = MemoryBackend(_noon)
    cache = CachedSubjectKeys(backend, KEK, limit=10, ttl_s=60.0, grace_s=0.0, clock=lambda: now[0])
    backend.cache = cache
    cache.get_or_create([_tag(number) for number in range(25)])
    assert len(cache) == 10
    now[0] = 59.0
    cache.get_or_create([_tag(100)])
    now[0] = 61.0
    cache.sweep()
    assert len(cache) == 1


def test_a_key_that_left_the_cache_but_is_in_use_is_still_forgotten() -> None:
    backend = MemoryBackend(_noon)
    cache = CachedSubjectKeys(backend, KEK, limit=1, grace_s=0.01)
    backend.cache = cache
    (held,) = cache.get_or_create([_tag(1)])
    cache.get_or_create([_tag(2)])
    cache.forget(_tag(1))
    assert held.forgotten


def test_a_store_that_swaps_keys_is_found_out() -> None:
    class Swapping(MemoryBackend):
        def prepare(self) -> None:
            pass

        def ensure(self, tags: Sequence[bytes], candidates: bytearray) -> bytearray:
            rows = super().ensure(tags, candidates)
            rows[:16] = b"x" * 16
            return rows

    cache = CachedSubjectKeys(Swapping(_noon), KEK)
    with pytest.raises(TamperedError):
        cache.get_or_create([_tag(1)])


def test_a_store_that_swaps_keys_is_found_out_when_many_are_asked_for() -> None:
    backend = MemoryBackend(_noon)
    tags = [_tag(number) for number in range(2 * ASK_FIRST)]
    CachedSubjectKeys(backend, KEK).get_or_create(tags)
    first, second = (backend._keys[tag] for tag in tags[:2])
    backend._keys[tags[0]] = (first[0], second[1])
    with pytest.raises(TamperedError):
        CachedSubjectKeys(backend, KEK).get_or_create(tags)


class Counting(MemoryBackend):
    """Counts what is asked of it."""

    def __init__(self) -> None:
        super().__init__(_noon)
        self.looked: list[int] = []
        self.offered: list[int] = []

    def ensure(self, tags: Sequence[bytes], candidates: bytearray) -> bytearray:
        self.offered.append(len(tags))
        return super().ensure(tags, candidates)

    def find_all(self, tags: Sequence[bytes]) -> bytearray:
        self.looked.append(len(tags))
        return super().find_all(tags)


def test_no_key_is_made_in_vain_where_most_are_known_and_nothing_is_looked_for_where_most_are_new() -> None:
    backend = Counting()
    tags = [_tag(number) for number in range(100)]
    made = CachedSubjectKeys(backend, KEK).get_or_create(tags)
    assert (backend.looked, backend.offered) == ([100], [100])
    cache = CachedSubjectKeys(backend, KEK)
    found = cache.get_or_create([*tags, _tag(100)])
    assert [key.key_id for key in found[:100]] == [key.key_id for key in made]
    assert (backend.looked, backend.offered) == ([100, 101], [100, 1])
    for start in (200, 300, 400):
        cache.get_or_create([_tag(number) for number in range(start, start + 50)])
    assert (backend.looked, backend.offered) == ([100, 101, 50], [100, 1, 50, 50, 50])
    for key, again in zip(made, CachedSubjectKeys(backend, KEK).get_or_create(tags), strict=True):
        assert key.key_id == again.key_id
        sealed = key.aead.encrypt(b"n" * 12, b"x", None)
        assert again.aead.decrypt(b"n" * 12, sealed, None) == b"x"


def test_offered_keys_that_others_were_quicker_with_are_not_used() -> None:
    backend = Counting()
    tags = [_tag(number) for number in range(40)]
    cache = CachedSubjectKeys(backend, KEK)
    cache.get_or_create([_tag(number) for number in range(1000, 1020)])  # all new: from now on it offers at once
    first = CachedSubjectKeys(backend, KEK).get_or_create(tags[:30])
    found = cache.get_or_create(tags)
    assert backend.offered[-1] == 40
    assert [key.key_id for key in found[:30]] == [key.key_id for key in first]
    sealed = found[3].aead.encrypt(b"n" * 12, b"x", None)
    assert first[3].aead.decrypt(b"n" * 12, sealed, None) == b"x"


def test_a_key_that_is_held_is_the_same_object_when_it_comes_back() -> None:
    backend = MemoryBackend(_noon)
    cache = CachedSubjectKeys(backend, KEK, limit=2, grace_s=0.0)
    (held,) = cache.get_or_create([_tag(1)])
    cache.get_or_create([_tag(2), _tag(3)])
    assert cache.get_or_create([_tag(number) for number in range(1, 2 * ASK_FIRST)])[0] is held
    assert cache.by_key_id(held.key_id) is held
    assert not cache.drop(_tag(1), [held.key_id]) or held.forgotten
    with pytest.raises(ErasedError):
        _ = held.aead


def test_purging_tells_whether_somebody_still_holds_a_key() -> None:
    cache = CachedSubjectKeys(MemoryBackend(_noon), KEK, grace_s=0.0)
    keys = cache.get_or_create([_tag(number) for number in range(50)])
    aead = keys[7].aead
    del keys
    assert not cache.purge()
    del aead
    assert cache.purge()
    assert len(cache) == 0


def test_messages_of_a_wrong_size_are_refused() -> None:
    for size in (0, 1, TAG_BYTES - 1, TAG_BYTES + 1):
        with pytest.raises(TooLargeError):
            read_tags(memoryview(bytes(size)))
    for size in (0, 1, OFFER_SIZE - 1, OFFER_SIZE + 1):
        with pytest.raises(TooLargeError):
            read_offers(memoryview(bytes(size)))
    near, far = socket.socketpair()
    with near, far:
        for head in (b"\0\0\0\0", b"\xff\xff\xff\xff"):
            near.sendall(head)
            with pytest.raises(TooLargeError):
                receive(far, 1.0, 1.0)


def test_a_keeper_survives_nonsense_and_answers_the_next(tmp_path: Path) -> None:
    with KeeperProcess(tmp_path / "node", tmp_path / "backups", tmp_path / "keys", "EU") as keeper:
        path = tmp_path / "node" / SOCKET
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        for nonsense in (
            b"\xff\xff\xff\xff",
            b"\0\0\0\x02\xc8x",
            b"\0\0\0\x05\x03abcd",
            b"\0\0\0\x02\x01x",
            b"GET / HTTP/1.1",
        ):
            with socket.socket(socket.AF_UNIX) as peer, address_of(path) as address:
                peer.connect(address)
                peer.sendall(nonsense)
                peer.shutdown(socket.SHUT_WR)
                peer.settimeout(5)
                with contextlib.suppress(ConnectionResetError):
                    while peer.recv(4096):
                        pass
        keys = keeper_keys(tmp_path / "node", KEK)
        (key,) = keys.get_or_create([_tag(1)])
        assert not key.forgotten
        with pytest.raises(UnavailableError, match="another process owns"):
            KeeperProcess(tmp_path / "node", tmp_path / "backups", tmp_path / "keys", "EU").start()
        with pytest.raises(UnavailableError):
            open_owned(tmp_path / "node", Backups(tmp_path / "backups", tmp_path / "keys"), _noon, "EU")
        assert expire_through_keeper(tmp_path / "node") == []
        status = Path(f"/proc/{keeper.pid}/limits").read_text()
        assert any(line.split()[4:6] == ["0", "0"] for line in status.splitlines() if "core file" in line)
        keys.close()


def test_a_worker_reconnects_to_a_new_keeper_with_an_empty_cache(tmp_path: Path) -> None:
    node = tmp_path / "node"
    with KeeperProcess(node, tmp_path / "backups", tmp_path / "keys", "EU"):
        keys = keeper_keys(node, KEK)
        key_id = keys.get_or_create([_tag(1)])[0].key_id
    with pytest.raises(UnavailableError):
        keys.get_or_create([_tag(2)])
    with KeeperProcess(node, tmp_path / "backups", tmp_path / "keys", "EU"):
        for _ in range(50):
            try:
                assert keys.get_or_create([_tag(1)])[0].key_id == key_id
                break
            except UnavailableError:
                continue
        else:
            pytest.fail("the worker did not reconnect")
        keys.close()


def test_an_erasure_works_with_and_without_a_keeper(tmp_path: Path, backups: Backups) -> None:
    node = tmp_path / "node"
    store = NodeStore(node, backups, "EU", lambda: datetime.now(UTC))
    with KeeperProcess(node, backups.folder, backups.keys, "EU"):
        keys = keeper_keys(node, KEK)
        ids = [key.key_id.hex() for key in keys.get_or_create([_tag(1), _tag(2)])]
        assert store.forget(_tag(1)).key_ids == (ids[0],)
        keys.close()
    offline = store.forget(_tag(2))
    assert offline.key_ids == (ids[1],)
    assert offline.store == store.name
    assert store.forget(_tag(1)).key_ids == (ids[0],)


def test_an_erasure_is_not_confirmed_when_the_journal_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    blocked = Backups(tmp_path / "file" / "backups", tmp_path / "keys")
    owned = open_owned(tmp_path / "node", Backups(tmp_path / "fine", tmp_path / "keys"), _noon, "EU")
    owned.backups = blocked
    owned.ensure([_offer(1)])
    with pytest.raises(StrongroomError):
        owned.erase(_tag(1), lambda _tag, _ids: 0)
    assert owned.find(_tag(1)) is not None
    owned.close()


def test_a_closed_client_says_so(tmp_path: Path) -> None:
    assert memory_keys(_noon, KEK).get_or_create([_tag(1)])
    near, far = socket.socketpair()
    with near, far:
        send(near, Kind.DONE, b"x")
        message = receive(far, 1.0, 1.0)
        assert message is not None
        with message:
            assert message.kind == Kind.DONE


def test_a_backup_a_day(tmp_path: Path, backups: Backups) -> None:
    owned = open_owned(tmp_path / "node", backups, _noon, "EU")
    assert owned.back_up_daily() is not None
    assert owned.back_up_daily() is None
    owned.clock = lambda: NOON + timedelta(days=1)
    assert owned.back_up_daily() is not None
    owned.close()


def test_a_keeper_backs_up_by_itself_and_can_be_seen_to_end(tmp_path: Path) -> None:
    with KeeperProcess(tmp_path / "node", tmp_path / "backups", tmp_path / "keys", "EU") as keeper:
        until = time.monotonic() + 20
        while not list((tmp_path / "backups").glob("*.keys")) and time.monotonic() < until:
            time.sleep(0.02)
        assert list((tmp_path / "backups").glob("*.keys"))
        assert keeper.running
        os.kill(keeper.pid, signal.SIGKILL)
        while keeper.running and time.monotonic() < until:
            time.sleep(0.01)
        assert not keeper.running
        keeper.start()
        assert keeper.running


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else to try this")
def test_another_user_is_not_served(tmp_path: Path) -> None:
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    try:
        with KeeperProcess(place / "node", tmp_path / "backups", tmp_path / "keys", "EU"):
            (place / "node").chmod(0o755)
            assert _ask_as_nobody(place / "node" / SOCKET) == "not let in"
            (place / "node" / SOCKET).chmod(0o666)  # even then
            assert _ask_as_nobody(place / "node" / SOCKET) == "hung up on"
    finally:
        shutil.rmtree(place)


def _ask_as_nobody(path: Path) -> str:
    child = os.fork()
    if child == 0:
        os.setgid(65534)
        os.setuid(65534)
        answer = 3
        try:
            with socket.socket(socket.AF_UNIX) as peer:
                peer.settimeout(5)
                peer.connect(os.fspath(path))
                send(peer, Kind.FIND, _tag(1))
                answer = 2 if receive(peer, 5.0, 5.0) is None else 3
        except PermissionError:
            answer = 1
        except OSError:
            answer = 2
        finally:
            os._exit(answer)
    _, status = os.waitpid(child, 0)
    return {1: "not let in", 2: "hung up on"}.get(os.waitstatus_to_exitcode(status), "answered")
