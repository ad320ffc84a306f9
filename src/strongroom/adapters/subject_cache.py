"""Subject keys in a worker's memory: for a bounded time, in a bounded number, and really gone when told to forget.

Wrapped keys live in byte arrays that are overwritten; usable keys live in OpenSSL, which clears them when the last
reference goes. Forgetting therefore waits until nobody holds the key, and after a grace takes it out of the holder's
hands; it reports success only when no reference is left.
"""

from __future__ import annotations

import sys
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom.adapters.keeper_wire import BATCH_LIMIT, KEY_SIZE, wipe
from strongroom.adapters.subject_keks import Keks, OneKek
from strongroom.errors import ErasedError, TamperedError
from strongroom.sealing.records import KEY_ID_SIZE, Aead
from strongroom.sealing.subjects import (
    CANDIDATE_RANDOM_SIZE,
    SUBJECT_KEY_SIZE,
    Candidate,
    Forgotten,
    SubjectKey,
    make_candidate,
)

_POLL_S: Final = 0.002
# the table of keys on their way out, the argument of getrefcount
_OWN_REFERENCES: Final = 2


def _fresh(size: int) -> bytearray:
    """Random bytes in an array that can be cleared; `os.urandom` would leave keys behind in a freed object."""
    buffer = bytearray(size)
    with open("/dev/urandom", "rb", buffering=0) as source:  # noqa: PTH123 - readinto needs the bare file
        place = 0
        while place < size:
            place += source.readinto(memoryview(buffer)[place:]) or 0
    return buffer


class Backend(Protocol):
    """Where wrapped keys come from: a keeper, or the store itself. The caller clears the returned buffers."""

    def prepare(self) -> None:
        """Be ready for `ensure`, before keys are wrapped for it: only now may the wrapping key change.

        Raises:
            UnavailableError: it cannot be reached.
        """

    def ensure(self, offers: Sequence[tuple[bytes, Candidate]]) -> bytearray:
        """Key id and wrapped key, 76 bytes for each offer, durable."""

    def find(self, tag: bytes) -> bytearray | None:
        """The same for one tag, or None."""

    def by_key_id(self, key_id: bytes) -> bytearray | None:
        """The same for one living key, or None."""

    def forget(self, tag: bytes) -> Forgotten:
        """Destroy, with every cache's confirmation."""

    def close(self) -> None: ...


class _Entry(NamedTuple):
    key: SubjectKey
    wrapped: bytearray
    expires: float


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
        # every key that anyone may still hold, also after it left the cache
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
                    keys[tag] = entry.key
            new = list(missing)
            for start in range(0, len(new), BATCH_LIMIT):
                self._fetch(new[start : start + BATCH_LIMIT], keys)
            return [keys[tag] for tag in tags]

    def find(self, tag: bytes) -> SubjectKey:
        """See `SubjectKeys`."""
        with self._lock:
            entry = self._entries.get(tag)
            if entry is not None:
                return entry.key
            return self._single(self._backend.find(tag))

    def by_key_id(self, key_id: bytes) -> SubjectKey:
        """See `SubjectKeys`."""
        with self._lock:
            held = self._handles.get(key_id)
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
                wipe(entry.wrapped)
            for key_id in key_ids:
                key = self._handles.pop(key_id, None)
                if key is not None and not key.forgotten:
                    handles.append(weakref.ref(key))
                    self._leaving[key_id] = key.aead
                del key
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
            known = [(tag, entry.key.key_id) for tag, entry in self._entries.items()]
            stray = [*self._handles.keys(), *self._leaving]
        clean = [self.drop(tag, [key_id]) for tag, key_id in known]
        clean += [self.drop(b"", [key_id]) for key_id in stray]
        return all(clean)

    def sweep(self) -> None:
        """Let keys go whose time is up. Entries stand in the order in which they expire."""
        with self._lock:
            now = self._clock()
            while self._entries:
                tag, entry = next(iter(self._entries.items()))
                if entry.expires > now:
                    return
                self._evict(tag)

    def close(self) -> None:
        """Forget everything and let the backend go."""
        self.purge()
        self._backend.close()

    def _fetch(self, tags: Sequence[bytes], keys: dict[bytes, SubjectKey]) -> None:
        self._backend.prepare()
        kek = self._keks.current
        random = _fresh(CANDIDATE_RANDOM_SIZE * len(tags))
        offers: list[tuple[bytes, Candidate]] = []
        usable: list[Aead] = []
        for i, tag in enumerate(tags):
            piece = random[i * CANDIDATE_RANDOM_SIZE : (i + 1) * CANDIDATE_RANDOM_SIZE]
            offers.append((tag, make_candidate(kek, piece)))
            usable.append(AESGCM(memoryview(piece)[KEY_ID_SIZE : KEY_ID_SIZE + SUBJECT_KEY_SIZE]))
            wipe(piece)
        wipe(random)
        rows = bytearray()
        try:
            rows = self._backend.ensure(offers)
            if len(rows) != KEY_SIZE * len(tags):
                raise TamperedError("the key store answered with another number of keys than asked")
            expires = self._clock() + self._ttl_s
            view = memoryview(rows)
            for i, (tag, candidate) in enumerate(offers):
                row = view[i * KEY_SIZE : (i + 1) * KEY_SIZE]
                if row[:KEY_ID_SIZE] == candidate.key_id and row[KEY_ID_SIZE:] == candidate.wrapped:
                    # the store took what we offered, so it is ready for use already
                    key = self._handles[candidate.key_id] = SubjectKey(candidate.key_id, usable[i])
                else:
                    key = self._adopt(row)
                while len(self._entries) >= self._limit:
                    self._evict(next(iter(self._entries)))
                self._entries[tag] = _Entry(key, bytearray(row[KEY_ID_SIZE:]), expires)
                keys[tag] = key
            view.release()
        finally:
            wipe(rows)
            for _, candidate in offers:
                wipe(candidate.wrapped)

    def _single(self, row: bytearray | None) -> SubjectKey:
        if row is None:
            raise ErasedError("there is no key for this record or subject: it is destroyed, or was never made")
        try:
            return self._adopt(memoryview(row))
        finally:
            wipe(row)

    def _adopt(self, row: memoryview) -> SubjectKey:
        key_id = bytes(row[:KEY_ID_SIZE])
        held = self._handles.get(key_id)
        if held is not None:
            return held
        key = self._keks.unwrap(key_id, row[KEY_ID_SIZE:])
        self._handles[key_id] = key
        return key

    def _evict(self, tag: bytes) -> None:
        wipe(self._entries.pop(tag).wrapped)

    def _gone(self, key_ids: Sequence[bytes]) -> bool:
        """Let usable keys go that nobody else refers to; True when none of these is left."""
        for key_id in key_ids:
            if key_id in self._leaving and sys.getrefcount(self._leaving[key_id]) <= _OWN_REFERENCES:
                del self._leaving[key_id]
        return not any(key_id in self._leaving for key_id in key_ids)
