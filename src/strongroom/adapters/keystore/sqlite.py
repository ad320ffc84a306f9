"""The key store of a region on SQLite: wrapped subject keys that can really be destroyed.

A deleted row usually stays: in free space of its page, in a copy that a page split left behind, in the write-ahead log.
So a wrapped key has one place for life. `keys` only ever grows at its end (SQLite then never moves a cell), an erasure
overwrites the 60 bytes in place, the write-ahead log is truncated, and the connection is closed, which frees every
page, statement and binding that saw the key. `secure_delete` is the second belt.
What remains is beneath the file: blocks that a disk or a snapshot keeps. They hold keys wrapped under the region's key.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

from strongroom.errors import ConflictError, TamperedError, UnavailableError
from strongroom.sealing.subjects import TAG_BYTES, WRAPPED_SIZE

SCHEMA_VERSION: Final = 1
DATABASE: Final = "keystore.db"
LOCK: Final = "keystore.lock"
_PIECE: Final = 256

Offer = tuple[bytes, tuple[bytes, bytes | bytearray]]
"""A tag, and the key id and wrapped key that it takes if it has none (`sealing.subjects.Candidate`)."""

_SCHEMA: Final = f"""
create table store (v integer not null, region text not null);
create table keys (
    id integer primary key,
    key_id blob not null check (length(key_id) = 16),
    wrapped blob not null check (length(wrapped) = {WRAPPED_SIZE}),
    created_us integer not null
);
create unique index keys_by_key_id on keys (key_id);
create table tags (tag blob primary key check (length(tag) = {TAG_BYTES}), id integer not null) without rowid;
create table tombstones (key_id blob primary key, tag blob not null, erased_us integer not null) without rowid;
create index tombstones_by_tag on tombstones (tag);
"""


@dataclass(frozen=True, slots=True)
class StoredKey:
    """One row, as a backup carries it."""

    tag: bytes
    key_id: bytes
    wrapped: bytes
    created_us: int


class KeyStore:
    """The one owner of `keystore.db`. Not shared between threads without a lock of the caller's."""

    def __init__(self, folder: Path, lock: int, region: str) -> None:
        """Use `create` or `open`."""
        self._path = folder / DATABASE
        self._lock = lock
        self.region = region
        self._db = _connect(self._path)

    @classmethod
    def create(cls, folder: Path, region: str) -> KeyStore:
        """Make a new store.

        Raises:
            ConflictError: there is one already.
            UnavailableError: another process owns the folder.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = _take(folder)
        try:
            if (folder / DATABASE).exists():
                raise ConflictError(f"`{folder / DATABASE}` exists already; open it, or restore into an empty folder")
            descriptor = os.open(folder / DATABASE, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            os.close(descriptor)
            with closing(_connect(folder / DATABASE)) as db:
                db.executescript(_SCHEMA)
                db.execute("insert into store (v, region) values (?, ?)", (SCHEMA_VERSION, region))
            return cls(folder, lock, region)
        except BaseException:
            os.close(lock)
            raise

    @classmethod
    def open(cls, folder: Path) -> KeyStore:
        """Open an existing store.

        Raises:
            UnavailableError: another process owns it, or it cannot be read.
            TamperedError: it is not a store of this version.
        """
        lock = _take(folder)
        try:
            if not (folder / DATABASE).exists():
                raise UnavailableError(f"there is no key store in `{folder}`; create one, or restore a backup")
            with closing(_connect(folder / DATABASE)) as db:
                rows = db.execute("select v, region from store").fetchall()
            if len(rows) != 1 or rows[0][0] != SCHEMA_VERSION:
                raise TamperedError(f"the key store in `{folder}` is not of version {SCHEMA_VERSION}")
            return cls(folder, lock, rows[0][1])
        except sqlite3.DatabaseError as error:
            os.close(lock)
            raise TamperedError(f"the key store in `{folder}` cannot be read: {error}") from error
        except BaseException:
            os.close(lock)
            raise

    def close(self) -> None:
        """Close the database (which empties the write-ahead log) and give up ownership."""
        self._db.close()
        os.close(self._lock)

    def ensure(self, offers: Sequence[Offer], now_us: int) -> list[tuple[bytes, bytes]]:
        """Key id and wrapped key for each tag, in order; a tag without a key takes the offered one. Durable on return.

        Raises:
            UnavailableError: the new keys could not be written; none was kept.
        """
        known = self.find_all([tag for tag, _ in offers])
        new: dict[bytes, tuple[bytes, bytes]] = {}
        for tag, (key_id, wrapped) in offers:
            if tag not in known and tag not in new:
                new[tag] = (key_id, bytes(wrapped))
        if new:
            # nobody else writes: this process is the owner, its caller holds the lock
            with self._transaction() as db:
                (last,) = db.execute("select coalesce(max(id), 0) from keys").fetchone()
                db.executemany(
                    "insert into keys (id, key_id, wrapped, created_us) values (?, ?, ?, ?)",
                    [(number, *key, now_us) for number, key in enumerate(new.values(), last + 1)],
                )
                # in the order of the table, so that neighbours go to one page while it is at hand
                db.executemany(
                    "insert into tags (tag, id) values (?, ?)", sorted(zip(new, count(last + 1), strict=False))
                )
            known |= new
        return [known[tag] for tag, _ in offers]

    def find_all(self, tags: Sequence[bytes]) -> dict[bytes, tuple[bytes, bytes]]:
        """Key id and wrapped key of each tag that has one."""
        found: dict[bytes, tuple[bytes, bytes]] = {}
        for start in range(0, len(tags), _PIECE):
            piece = tags[start : start + _PIECE]
            marks = ",".join("?" * len(piece))
            query = f"select t.tag, k.key_id, k.wrapped from tags t join keys k on k.id = t.id where t.tag in ({marks})"  # noqa: S608 - only question marks are put in
            for tag, key_id, wrapped in self._db.execute(query, piece):
                found[tag] = (key_id, wrapped)
        return found

    def find(self, tag: bytes) -> tuple[bytes, bytes] | None:
        """Key id and wrapped key of `tag`, or None."""
        query = "select k.key_id, k.wrapped from tags t join keys k on k.id = t.id where t.tag = ?"
        row: tuple[bytes, bytes] | None = self._db.execute(query, (tag,)).fetchone()
        return row

    def by_key_id(self, key_id: bytes) -> tuple[bytes, bytes] | None:
        """Key id and wrapped key of a living key, or None."""
        row: tuple[bytes, bytes] | None = self._db.execute(
            "select k.key_id, k.wrapped from keys k where k.key_id = ? "
            "and not exists (select 1 from tombstones d where d.key_id = k.key_id)",
            (key_id,),
        ).fetchone()
        return row

    def page(self, after: int, limit: int) -> list[tuple[int, bytes, bytes]]:
        """Row number, key id and wrapped key of the next living keys behind row `after`."""
        return list(
            self._db.execute(
                "select id, key_id, wrapped from keys where id > ? and wrapped != zeroblob(?) order by id limit ?",
                (after, WRAPPED_SIZE, limit),
            )
        )

    def exchange(self, changes: Sequence[tuple[bytes, bytes, bytes]]) -> int:
        """Put another wrapping in the place of one, where it still is the one given. How many were. Durable on return.

        Args:
            changes: key id, wrapped key as read, wrapped key anew. Of the same length, so each stays in its place.

        Raises:
            UnavailableError: it could not be written; nothing was changed.
        """
        count = 0
        with self._transaction() as db:
            for key_id, before, anew in changes:
                done = db.execute(
                    "update keys set wrapped = ? where key_id = ? and wrapped = ?", (anew, key_id, before)
                )
                count += done.rowcount
        self.scrub()
        return count

    def erase(self, tag: bytes, now_us: int) -> list[bytes]:
        """Destroy the key of `tag` in this store; ids of all its destroyed keys. Harmless to repeat.

        The caller has written the tombstone outside the database first, so that no backup can bring the key back.

        Raises:
            UnavailableError: the change could not be written, or the write-ahead log could not be truncated.
        """
        with self._transaction() as db:
            row = db.execute("select id from tags where tag = ?", (tag,)).fetchone()
            if row is not None:
                (key_id,) = db.execute("select key_id from keys where id = ?", row).fetchone()
                # same length, hence the same place: a delete would free the cell and may rebalance pages
                db.execute("update keys set wrapped = zeroblob(?) where id = ?", (WRAPPED_SIZE, row[0]))
                db.execute("delete from tags where tag = ?", (tag,))
                db.execute("insert into tombstones (key_id, tag, erased_us) values (?, ?, ?)", (key_id, tag, now_us))
        self.scrub()
        return self.destroyed(tag)

    def destroyed(self, tag: bytes) -> list[bytes]:
        """Ids of the keys that `tag` had and lost, oldest first."""
        query = "select key_id from tombstones where tag = ? order by erased_us, key_id"
        return [key_id for (key_id,) in self._db.execute(query, (tag,))]

    def scrub(self) -> None:
        """Truncate the write-ahead log and drop every page and statement in memory.

        Raises:
            UnavailableError: the log could not be truncated.
        """
        try:
            busy, _, _ = self._db.execute("pragma wal_checkpoint(truncate)").fetchone()
            self._db.close()
            self._db = _connect(self._path)
        except sqlite3.Error as error:
            raise UnavailableError(f"the write-ahead log of the key store cannot be truncated: {error}") from error
        if busy:
            raise UnavailableError("the write-ahead log of the key store is in use and was not truncated; ask again")

    def rows(self) -> Iterator[StoredKey]:
        """Every living key, for a backup."""
        query = "select t.tag, k.key_id, k.wrapped, k.created_us from tags t join keys k on k.id = t.id order by k.id"
        for row in self._db.execute(query):
            yield StoredKey(*row)

    def load(self, rows: Sequence[StoredKey], tombstones: Sequence[tuple[bytes, bytes, int]]) -> None:
        """Fill an empty store from a backup, in one transaction, without the keys that were destroyed since.

        Args:
            rows: from the backup.
            tombstones: (key id, tag, erased_us) of every erasure ever made.

        Raises:
            ConflictError: the store is not empty.
        """
        if self._db.execute("select exists (select 1 from keys)").fetchone()[0]:
            raise ConflictError("a backup is restored into an empty key store only")
        dead = {key_id for key_id, _, _ in tombstones}
        with self._transaction() as db:
            db.executemany("insert into tombstones (key_id, tag, erased_us) values (?, ?, ?)", tombstones)
            for row in rows:
                if row.key_id not in dead:
                    cursor = db.execute(
                        "insert into keys (key_id, wrapped, created_us) values (?, ?, ?)",
                        (row.key_id, row.wrapped, row.created_us),
                    )
                    db.execute("insert into tags (tag, id) values (?, ?)", (row.tag, cursor.lastrowid))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            self._db.execute("begin immediate")
            try:
                yield self._db
                self._db.execute("commit")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("rollback")
                raise
        except sqlite3.Error as error:
            raise UnavailableError(f"the key store cannot be written: {error}") from error


def _take(folder: Path) -> int:
    """The lock that makes one process the owner; it goes with the process."""
    try:
        descriptor = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UnavailableError(f"the key store folder `{folder}` cannot be used: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise UnavailableError(f"another process owns the key store in `{folder}`; ask its keeper") from error
    return descriptor


def _connect(path: Path) -> sqlite3.Connection:
    # autocommit: transactions are begun where they are meant; the keeper serialises its threads with a lock
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
    for pragma in (
        "page_size = 2048",  # of new stores: keys come at random places, so a commit writes two pages a key
        "locking_mode = exclusive",
        "journal_mode = wal",
        "synchronous = full",  # a commit is on the disk before it is reported
        # a page that gets several keys in a row is copied once, and the inner pages of both trees stay at hand
        "wal_autocheckpoint = 8192",
        "cache_size = -16384",
        "secure_delete = on",
        "temp_store = memory",
        "mmap_size = 0",
        "auto_vacuum = none",  # vacuuming moves pages, and leaves what it moved behind
        "trusted_schema = off",
        "cell_size_check = on",
    ):
        db.execute(f"pragma {pragma}")
    return db
