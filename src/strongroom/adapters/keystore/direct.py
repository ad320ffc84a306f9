"""A key store without a keeper: in memory for tests and trials, or owned directly while no gateway runs."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom.adapters.keystore.backup import Backups
from strongroom.adapters.keystore.sqlite import KeyStore, Offer
from strongroom.adapters.keystore.subject_cache import CachedSubjectKeys
from strongroom.adapters.keystore.subject_keks import Keks
from strongroom.errors import TooLargeError, UnavailableError
from strongroom.sealing.records import KEY_ID_SIZE
from strongroom.sealing.subjects import WRAPPED_SIZE, Forgotten
from strongroom.vocabulary import Clock, micros

NO_KEY: Final = (bytes(KEY_ID_SIZE), bytes(WRAPPED_SIZE))
"""What stands for a key that is not there, where many are asked for at once."""
PAGE_ROWS: Final = 500
"""Of a walk over all keys; 68 kB of changes."""

Drop = Callable[[bytes, Sequence[bytes]], int]
"""Asks every cache to forget a tag and key ids; the number that confirmed; raises UnavailableError if one did not."""


class OwnedStore:
    """A key store with its backups, and the one way to erase from both. The keeper and the direct mode share it.

    Args:
        store: opened, so this process is the owner.
        backups: of the same region.
        clock: for dates of keys, tombstones and certificates.
        name: of the store, for certificates.
    """

    def __init__(self, store: KeyStore, backups: Backups, clock: Clock, name: str) -> None:
        self.store = store
        self.backups = backups
        self.clock = clock
        self.name = name
        self.lock = threading.Lock()

    def ensure(self, offers: Sequence[Offer]) -> bytearray:
        """Key ids and wrapped keys, durable."""
        with self.lock:
            return _pack(self.store.ensure(offers, micros(self.clock())))

    def find_all(self, tags: Sequence[bytes]) -> bytearray:
        """Key ids and wrapped keys of many tags; zeros where there is none."""
        with self.lock:
            found = self.store.find_all(tags)
        return _pack([found.get(tag, NO_KEY) for tag in tags])

    def find(self, tag: bytes) -> bytearray | None:
        """One key by tag."""
        with self.lock:
            row = self.store.find(tag)
        return None if row is None else _pack([row])

    def by_key_id(self, key_id: bytes) -> bytearray | None:
        """One key by id."""
        with self.lock:
            row = self.store.by_key_id(key_id)
        return None if row is None else _pack([row])

    def erase(self, tag: bytes, drop: Drop) -> Forgotten:
        """Journal, store, caches, in this order: whatever fails, no backup and no later start brings the key back.

        Raises:
            UnavailableError: something has not confirmed; ask again.
        """
        with self.lock:
            row = self.store.find(tag)
            if row is not None:
                self.backups.bury(row[0], tag, micros(self.clock()))
                del row
            destroyed = self.store.erase(tag, micros(self.clock()))
        caches = drop(tag, destroyed)
        now = self.clock()
        return Forgotten(
            store=self.name,
            key_ids=tuple(key_id.hex() for key_id in destroyed),
            online_us=micros(now),
            backups_us=self.backups.last_destruction_us(now),
            caches=caches,
        )

    def page(self, after: int) -> bytearray:
        """The next rows behind row `after`: number (8 bytes), key id, wrapped key, for each."""
        with self.lock:
            return _pack([(row.to_bytes(8, "big"), *rest) for row, *rest in self.store.page(after, PAGE_ROWS)])

    def exchange(self, changes: bytes | bytearray | memoryview) -> int:
        """Key id, wrapped key as read, wrapped key anew, for each. How many rows were still as read.

        Raises:
            TooLargeError: not whole changes, or more than a page of them.
        """
        size = KEY_ID_SIZE + 2 * WRAPPED_SIZE
        count, rest = divmod(len(changes), size)
        if rest or not 1 <= count <= PAGE_ROWS:
            raise TooLargeError(f"1 to {PAGE_ROWS} whole changes are made at a time")
        split = KEY_ID_SIZE + WRAPPED_SIZE
        view = memoryview(changes)
        made = []
        for place in range(0, len(changes), size):
            one = view[place : place + size]
            made.append((bytes(one[:KEY_ID_SIZE]), bytes(one[KEY_ID_SIZE:split]), bytes(one[split:])))
        with self.lock:
            return self.store.exchange(made)

    def back_up(self) -> Path:
        """Write a backup now."""
        with self.lock:
            return self.backups.back_up(self.store, self.clock())

    def back_up_daily(self) -> Path | None:
        """Write a backup unless this day has one."""
        with self.lock:
            now = self.clock()
            return None if self.backups.has_one_of(now) else self.backups.back_up(self.store, now)

    def expire(self) -> list[str]:
        """Destroy backup keys whose time is up."""
        with self.lock:
            return self.backups.expire(self.clock())

    def reconcile(self) -> None:
        """Finish erasures that reached the journal but not the store, because of a crash between the two."""
        with self.lock:
            for key_id, tag, at_us in self.backups.tombstones():
                row = self.store.find(tag)
                if row is not None and row[0] == key_id:
                    self.store.erase(tag, at_us)

    def close(self) -> None:
        """Give up ownership."""
        with self.lock:
            self.store.close()


class DirectBackend:
    """The owner itself answers; the only cache is this process's own."""

    def __init__(self, owned: OwnedStore) -> None:
        self._owned = owned
        self.cache: CachedSubjectKeys | None = None
        self.find_all = owned.find_all
        self.find = owned.find
        self.by_key_id = owned.by_key_id
        self.close = owned.close

    def prepare(self) -> None:
        """It is at hand."""

    def ensure(self, tags: Sequence[bytes], candidates: bytearray) -> bytearray:
        """Key ids and wrapped keys, durable."""
        return self._owned.ensure(_offers(tags, candidates))

    def forget(self, tag: bytes) -> Forgotten:
        """Erase, and empty the own cache."""
        return self._owned.erase(tag, self._drop)

    def _drop(self, tag: bytes, key_ids: Sequence[bytes]) -> int:
        if self.cache is not None and not self.cache.drop(tag, key_ids):
            raise UnavailableError("a key of this subject is still in use in this process; ask again")
        return 1


class MemoryBackend:
    """Keys that live as long as the process; for tests and trials, never durable."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._keys: dict[bytes, tuple[bytes, bytes]] = {}
        self._destroyed: dict[bytes, list[bytes]] = {}
        self.cache: CachedSubjectKeys | None = None

    def prepare(self) -> None:
        """It is at hand."""

    def ensure(self, tags: Sequence[bytes], candidates: bytearray) -> bytearray:
        """The first offer for a tag stays."""
        return _pack([self._keys.setdefault(tag, offer) for tag, offer in _offers(tags, candidates)])

    def find_all(self, tags: Sequence[bytes]) -> bytearray:
        """Key ids and wrapped keys of many tags; zeros where there is none."""
        return _pack([self._keys.get(tag, NO_KEY) for tag in tags])

    def find(self, tag: bytes) -> bytearray | None:
        """One key by tag."""
        row = self._keys.get(tag)
        return None if row is None else _pack([row])

    def by_key_id(self, key_id: bytes) -> bytearray | None:
        """One key by id."""
        rows = [row for row in self._keys.values() if row[0] == key_id]
        return _pack(rows) if rows else None

    def forget(self, tag: bytes) -> Forgotten:
        """Erase, and empty the own cache."""
        row = self._keys.pop(tag, None)
        destroyed = self._destroyed.setdefault(tag, [])
        if row is not None:
            destroyed.append(row[0])
        if self.cache is not None and not self.cache.drop(tag, destroyed):
            raise UnavailableError("a key of this subject is still in use in this process; ask again")
        now = micros(self._clock())
        return Forgotten("memory", tuple(key_id.hex() for key_id in destroyed), now, now, 1)

    def close(self) -> None:
        """Nothing to release."""
        self._keys.clear()


def open_owned(folder: Path, backups: Backups, clock: Clock, region: str) -> OwnedStore:
    """Own the key store of a node, made on first use, with unfinished erasures finished.

    Raises:
        UnavailableError: another process owns it.
        TamperedError: store or journal are damaged, or of another region.
    """
    exists = (folder / "keystore.db").exists()
    if not exists and backups.tombstones():
        raise UnavailableError(f"`{folder}` lost its key store; restore a backup instead of starting a new one")
    store = KeyStore.open(folder) if exists else KeyStore.create(folder, region)
    if store.region != region:
        store.close()
        raise UnavailableError(f"the key store in `{folder}` is of region `{store.region}`, not `{region}`")
    owned = OwnedStore(store, backups, clock, store_name(folder, region))
    owned.reconcile()
    return owned


def store_name(folder: Path, region: str) -> str:
    """What certificates call the key store of a node."""
    return f"keystore/{region}/{folder.name}"


def direct_keys(owned: OwnedStore, kek: AESGCM | Keks, *, grace_s: float = 1.0) -> CachedSubjectKeys:
    """Subject keys over a store that this process owns."""
    backend = DirectBackend(owned)
    backend.cache = CachedSubjectKeys(backend, kek, grace_s=grace_s)
    return backend.cache


def memory_keys(clock: Clock, kek: AESGCM | None = None, *, grace_s: float = 1.0) -> CachedSubjectKeys:
    """Subject keys in memory."""
    backend = MemoryBackend(clock)
    wrapping = kek if kek is not None else AESGCM(os.urandom(32))
    backend.cache = CachedSubjectKeys(backend, wrapping, grace_s=grace_s)
    return backend.cache


def _offers(tags: Sequence[bytes], candidates: bytearray) -> list[tuple[bytes, tuple[bytes, bytes]]]:
    return list(zip(tags, struct.iter_unpack(f"{KEY_ID_SIZE}s{WRAPPED_SIZE}s", candidates), strict=True))


def _pack(rows: Iterable[tuple[bytes, ...]]) -> bytearray:
    return bytearray().join(chain.from_iterable(rows))
