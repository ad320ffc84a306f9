"""Subject keys in a worker's memory: for a bounded time, in a bounded number, and really gone when told to forget.

Wrapped keys pass through byte arrays that are overwritten; usable keys live in OpenSSL, which clears them when the last
reference goes. Forgetting therefore waits until nobody holds the key, and after a grace takes it out of the holder's
hands; it reports success only when no reference is left.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final, Protocol

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom.adapters.keystore.keeper_wire import BATCH_LIMIT, wipe
from strongroom.adapters.keystore.subject_keks import Keks, OneKek
from strongroom.errors import ErasedError, TamperedError
from strongroom.sealing.records import KEY_ID_SIZE, Aead
from strongroom.sealing.subjects import (
    KEY_SIZE,
    PUBLIC_SIZE,
    SUBJECT_KEY_SIZE,
    Forgotten,
    SubjectKey,
    make_candidates,
)

ASK_FIRST: Final = 16
"""Keys from which on, if most were known lately, the store is asked which it has before any is made."""
STAMP_SIZE: Final = 6
_POLL_S: Final = 0.002
# the table of keys on their way out, the argument of getrefcount
_OWN_REFERENCES: Final = 2


@cache
def _source() -> int:
    return os.open("/dev/urandom", os.O_RDONLY | os.O_CLOEXEC)


def _fresh(size: int) -> bytearray:
    """Random bytes in an array that can be cleared; `os.urandom` would leave keys behind in a freed object."""
    buffer = bytearray(size)
    place = 0
    with memoryview(buffer) as view:
        while place < size:
            place += os.readv(_source(), [view[place:]])
    return buffer


def _public(count: int) -> bytes:
    """Key ids and nonces. Ids begin with the time: a store then writes new ones side by side, not each to a page."""
    stamp = (time.time_ns() // 1_000_000).to_bytes(STAMP_SIZE, "big")
    size = PUBLIC_SIZE - STAMP_SIZE
    random = os.urandom(size * count)
    return b"".join([stamp + random[at : at + size] for at in range(0, size * count, size)])


class Backend(Protocol):
    """Where wrapped keys come from: a keeper, or the store itself. The caller clears the returned buffers."""

    def prepare(self) -> None:
        """Be ready for `ensure`, before keys are wrapped for it: only now may the wrapping key change.

        Raises:
            UnavailableError: it cannot be reached.
        """

    def ensure(self, tags: Sequence[bytes], candidates: bytearray) -> bytearray:
        """Key id and wrapped key, 76 bytes for each tag, durable: its own, or its candidate if it had none.

        Args:
            tags: at most 4,096, each once.
            candidates: key id and wrapped key, 76 bytes for each.
        """

    def find_all(self, tags: Sequence[bytes]) -> bytearray:
        """The same for tags as they are; zeros where there is no key."""

    def find(self, tag: bytes) -> bytearray | None:
        """The same for one tag, or None."""

    def by_key_id(self, key_id: bytes) -> bytearray | None:
        """The same for one living key, or None."""

    def forget(self, tag: bytes) -> Forgotten:
        """Destroy, with every cache's confirmation."""

    def close(self) -> None: ...


_Entry = tuple[SubjectKey, float]
"""A key, and when it leaves."""


class CachedSubjectKeys:
    """Implements `SubjectKeys` over a backend.

    Args:
        backend: a keeper's client or the store.
        kek: the region's key-encryption key, or several of them while they are rotated.
        limit: most keys kept; the oldest leave first.
        ttl_s: longest time a key is kept.
        grace_s: how long forgetting waits for holders before it empties the key under their hands.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        backend: Backend,
        kek: AESGCM | Keks,
        *,
        limit: int = 50_000,
        ttl_s: float = 300.0,
        grace_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._backend = backend
        self._keks: Keks = OneKek(kek) if isinstance(kek, AESGCM) else kek
        self._limit = max(limit, 1)
        self._ttl_s = ttl_s
        self._grace_s = grace_s
        self._clock = clock
        self._lock = threading.RLock()
        # ordered: the first entry of a plain dict is found ever more slowly the more have left before it
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        # usable keys on their way out, until nobody but this table refers to them
        self._leaving: dict[bytes, Aead] = {}
        # the keys of the entries by id
        self._kept: dict[bytes, SubjectKey] = {}
        # whether those that were missed lately were mostly known to the store
        self._often_known = True
        # every key that anyone may still hold after it left the cache
        self._handles: weakref.WeakValueDictionary[bytes, SubjectKey] = weakref.WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._entries)

    def get_or_create(self, tags: Sequence[bytes]) -> list[SubjectKey]:
        """See `SubjectKeys`. The lock spans the round trip: no key enters the cache behind an erasure's back."""
        with self._lock:
            self.sweep()
            entries = self._entries
            keys: dict[bytes, SubjectKey] = {}
            missing: dict[bytes, None] = {}
            for tag in tags:
                entry = entries.get(tag)
                if entry is None:
                    missing[tag] = None
                else:
                    keys[tag] = entry[0]
            new = list(missing)
            for start in range(0, len(new), BATCH_LIMIT):
                self._fetch(new[start : start + BATCH_LIMIT], keys)
            return [keys[tag] for tag in tags]

    def find(self, tag: bytes) -> SubjectKey:
        """See `SubjectKeys`."""
        with self._lock:
            entry = self._entries.get(tag)
            if entry is not None:
                return entry[0]
            return self._single(self._backend.find(tag))

    def by_key_id(self, key_id: bytes) -> SubjectKey:
        """See `SubjectKeys`."""
        with self._lock:
            held = self._held(key_id)
            return held if held is not None else self._single(self._backend.by_key_id(key_id))

    def forget(self, tag: bytes) -> Forgotten:
        """See `SubjectKeys`. Without the lock: a keeper asks this very cache to confirm."""
        return self._backend.forget(tag)

    def drop(self, tag: bytes, key_ids: Sequence[bytes]) -> bool:
        """Forget a subject's keys; True when no trace is left here.

        Args:
            tag: whose.
            key_ids: every key the tag ever had, because one may have left the cache and still be in use.
        """
        handles: list[weakref.ref[SubjectKey]] = []
        with self._lock:
            entry = self._entries.pop(tag, None)
            if entry is not None:
                self._handles[entry[0].key_id] = self._kept.pop(entry[0].key_id)
            for key_id in key_ids:
                key = self._kept.pop(key_id, None)
                late = self._handles.pop(key_id, None)
                key = late if key is None else key
                if key is not None and not key.forgotten:
                    handles.append(weakref.ref(key))
                    self._leaving[key_id] = key.aead
                del key, late
            del entry  # only now: the table of handles is weak
            until = self._clock() + self._grace_s
        while not self._gone(key_ids) and self._clock() < until:
            time.sleep(_POLL_S)
        for handle in handles:
            key = handle()
            if key is not None:
                key.forget()
            del key
        return self._gone(key_ids)

    def renew(self) -> None:
        """Take the newest key-encryption key. On return nothing that was wrapped under an older one is on its way."""
        with self._lock:
            self._keks.reload()

    def purge(self) -> bool:
        """Forget everything; True when no trace is left here."""
        with self._lock:
            self._leaving.update({key_id: key.aead for key_id, key in self._kept.items() if not key.forgotten})
            self._handles.update(self._kept)
            self._kept.clear()
            self._entries.clear()
            # what nobody else holds is gone at once, and told apart from the rest without a wait for each
            self._gone(list(self._leaving))
            stray = {*self._handles.keys(), *self._leaving}
        clean = [self.drop(b"", [key_id]) for key_id in stray]
        return all(clean)

    def sweep(self) -> None:
        """Let keys go whose time is up. Entries stand in the order in which they expire."""
        with self._lock:
            now = self._clock()
            while self._entries:
                tag, entry = next(iter(self._entries.items()))
                if entry[1] > now:
                    return
                self._evict(tag)

    def close(self) -> None:
        """Forget everything and let the backend go."""
        self.purge()
        self._backend.close()

    def _fetch(self, tags: Sequence[bytes], keys: dict[bytes, SubjectKey]) -> None:
        self._backend.prepare()
        if len(tags) >= ASK_FIRST and self._often_known:
            missing = self._look_up(tags, keys)
            self._often_known = 2 * len(missing) <= len(tags)
            if missing:
                self._create(missing, keys)
        else:
            known = self._create(tags, keys)
            if len(tags) >= ASK_FIRST:
                self._often_known = 2 * known > len(tags)

    def _look_up(self, tags: Sequence[bytes], keys: dict[bytes, SubjectKey]) -> list[bytes]:
        """Keys that the store has; returns the tags that have none."""
        rows = bytearray()
        try:
            rows = self._backend.find_all(tags)
            if len(rows) != KEY_SIZE * len(tags):
                raise TamperedError("the key store answered with another number of keys than asked")
            nothing = bytes(KEY_SIZE)
            here = [not rows.startswith(nothing, at) for at in range(0, len(rows), KEY_SIZE)]
            found, missing = list(tags), []
            if not all(here):
                found = [tag for tag, is_here in zip(tags, here, strict=True) if is_here]
                missing = [tag for tag, is_here in zip(tags, here, strict=True) if not is_here]
                with memoryview(rows) as view:
                    some = [view[n * KEY_SIZE : (n + 1) * KEY_SIZE] for n, is_here in enumerate(here) if is_here]
                    kept = bytearray().join(some)
                    del some
                wipe(rows)
                rows = kept
            self._keep(found, self._adopt_all(rows), keys)
            return missing
        finally:
            wipe(rows)

    def _create(self, tags: Sequence[bytes], keys: dict[bytes, SubjectKey]) -> int:
        """Keys of tags that have none yet, as it seems; returns how many had one."""
        secrets = _fresh(SUBJECT_KEY_SIZE * len(tags))
        try:
            offered = make_candidates(self._keks.current, _public(len(tags)), secrets)
            with memoryview(secrets) as view:
                usable = [AESGCM(view[at : at + SUBJECT_KEY_SIZE]) for at in range(0, len(secrets), SUBJECT_KEY_SIZE)]
        finally:
            wipe(secrets)
        rows = bytearray()
        try:
            rows = self._backend.ensure(tags, offered)
            if len(rows) != len(offered):
                raise TamperedError("the key store answered with another number of keys than asked")
            known = 0
            made: list[SubjectKey] = []
            if rows == offered:
                # the store took all that we offered, so they are ready for use already
                ids = [bytes(rows[at : at + KEY_ID_SIZE]) for at in range(0, len(rows), KEY_SIZE)]
                made = list(map(SubjectKey, ids, usable))
            else:
                with memoryview(rows) as view, memoryview(offered) as own:
                    for at, aead in zip(range(0, len(rows), KEY_SIZE), usable, strict=True):
                        row = view[at : at + KEY_SIZE]
                        if row == own[at : at + KEY_SIZE]:
                            made.append(SubjectKey(bytes(row[:KEY_ID_SIZE]), aead))
                        else:
                            known += 1
                            made += self._adopt_all(row)
                        row.release()
            self._keep(tags, made, keys)
            return known
        finally:
            wipe(rows)
            wipe(offered)

    def _keep(self, tags: Sequence[bytes], made: Sequence[SubjectKey], keys: dict[bytes, SubjectKey]) -> None:
        expires = self._clock() + self._ttl_s
        entries, kept = self._entries, self._kept
        for tag, key in zip(tags, made, strict=True):
            entries[tag] = (key, expires)
            kept[key.key_id] = keys[tag] = key
        while len(entries) > self._limit:
            self._evict(next(iter(entries)))

    def _adopt_all(self, rows: bytearray | memoryview) -> list[SubjectKey]:
        """Keys of the store, one for each row; the same object as ever for one that somebody still holds."""
        made = self._keks.unwrap_rows(rows)
        if self._handles or self._kept:
            made = [self._held(key.key_id) or key for key in made]
        return made

    def _held(self, key_id: bytes) -> SubjectKey | None:
        return self._kept.get(key_id) or self._handles.get(key_id)

    def _single(self, row: bytearray | None) -> SubjectKey:
        if row is None:
            raise ErasedError("there is no key for this record or subject: it is destroyed, or was never made")
        try:
            return self._adopt(memoryview(row))
        finally:
            wipe(row)

    def _adopt(self, row: memoryview) -> SubjectKey:
        key_id = bytes(row[:KEY_ID_SIZE])
        held = self._held(key_id)
        if held is not None:
            return held
        key = self._keks.unwrap(key_id, row[KEY_ID_SIZE:])
        self._handles[key_id] = key
        return key

    def _evict(self, tag: bytes) -> None:
        key_id = self._entries.pop(tag)[0].key_id
        self._handles[key_id] = self._kept.pop(key_id)

    def _gone(self, key_ids: Sequence[bytes]) -> bool:
        """Let usable keys go that nobody else refers to; True when none of these is left."""
        for key_id in key_ids:
            if key_id in self._leaving and sys.getrefcount(self._leaving[key_id]) <= _OWN_REFERENCES:
                del self._leaving[key_id]
        return not any(key_id in self._leaving for key_id in key_ids)
