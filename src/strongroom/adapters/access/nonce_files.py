"""Nonces of a whole node, in one SQLite file that its workers share.

What one worker has let through, no other lets through, nor the same after a restart. The file is not synced: it lives
in the page cache, which outlives every process. When the machine itself stops, what was remembered may be lost; so the
file names the boot in which it was made and its own inode, and a new one lets nothing through that was signed before it
was there.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections import deque
from pathlib import Path
from typing import Final

from strongroom.access.signed_requests import AHEAD_S, WINDOW_S
from strongroom.adapters.access.memory_nonces import NONCES_A_PRINCIPAL, too_many, used_up
from strongroom.errors import UnavailableError

BUSY_S: Final = 0.25
SWEEP_S: Final = 1
SWEPT_A_TURN: Final = 20_000
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS place (one INTEGER PRIMARY KEY CHECK (one = 1), boot TEXT NOT NULL, floor INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS seen (digest BLOB PRIMARY KEY, created INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_age ON seen (created);
"""
# one statement decides, so no two workers can both find a nonce unused
_SPEND: Final = "INSERT OR IGNORE INTO seen SELECT ?1, ?2 WHERE ?2 > (SELECT floor FROM place WHERE boot = ?3)"


class FileNonces:
    """`access.ports.Nonces` of one worker; used by one thread.

    Args:
        path: of the file; every worker of the node has the same.
        now_s: now.
        window_s: for which requests count.
        limit: nonces that one principal may spend here within the window.
        boot: of the machine; read from the kernel when None.

    Raises:
        UnavailableError: the file cannot be opened or made.
    """

    def __init__(
        self,
        path: Path,
        now_s: int,
        window_s: int = WINDOW_S,
        limit: int = NONCES_A_PRINCIPAL,
        boot: str | None = None,
    ) -> None:
        self._path = path
        self._keep_s = window_s + AHEAD_S
        self._limit = limit
        self._boot = boot if boot is not None else _BOOT.read_text().strip()
        self._mine: dict[str, deque[tuple[int, int]]] = {}
        self._swept_s = now_s
        self._open(now_s)

    def spend(self, principal: str, nonce: str, created_s: int, now_s: int) -> None:
        """See the port."""
        try:
            if _identity(self._path) != self._file:
                # somebody took the file away: what it knew is lost to the other workers too
                self._db.close()
                self._open(now_s)
            if now_s - self._swept_s >= SWEEP_S or now_s < self._swept_s:
                self._sweep(now_s)
            mine = self._count(principal, now_s)
            if sum(count for _, count in mine) >= self._limit:
                raise too_many()
            name = principal.encode()
            digest = hashlib.sha256(len(name).to_bytes(4, "big") + name + nonce.encode()).digest()[:20]
            spent = self._db.execute(_SPEND, (digest, created_s, self._place)).rowcount
        except (sqlite3.Error, OSError) as error:
            raise UnavailableError("the memory of nonces cannot be asked, so nothing signed is let through") from error
        if spent != 1:
            raise used_up()
        if mine and mine[-1][0] == now_s:
            mine[-1] = (now_s, mine[-1][1] + 1)
        else:
            mine.append((now_s, 1))

    def close(self) -> None:
        """Let go of the file, which stays."""
        self._db.close()

    def _open(self, now_s: int) -> None:
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
            self._file = _identity(self._path)
            # a copy put back from elsewhere is another file, and does not know what was seen since
            self._place = f"{self._boot}/{self._file[0]}/{self._file[1]}"
            self._db = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = OFF")
            self._db.execute("BEGIN IMMEDIATE")
            for statement in _SCHEMA.strip().split(";\n"):
                self._db.execute(statement)
            row = self._db.execute("SELECT boot FROM place").fetchone()
            if row is None or row[0] != self._place:
                # a clock that is ahead of ours may have dated what was seen so far into the next seconds
                floor = now_s + AHEAD_S
                self._db.execute("DELETE FROM seen")
                self._db.execute("INSERT OR REPLACE INTO place VALUES (1, ?, ?)", (self._place, floor))
            self._db.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            raise UnavailableError(
                f"the memory of nonces `{self._path.name}` cannot be opened; look at the disk, or remove the file"
            ) from error

    def _sweep(self, now_s: int) -> None:
        """Forget what the window forgets, and remember how far, so that a clock set back does not bring it back."""
        floor = now_s - self._keep_s
        self._swept_s = now_s
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.execute("UPDATE place SET floor = max(floor, ?)", (floor,))
            self._db.execute(
                "DELETE FROM seen WHERE digest IN (SELECT digest FROM seen WHERE created <= ? LIMIT ?)",
                (floor, SWEPT_A_TURN),
            )
            self._db.execute("COMMIT")
        except sqlite3.Error:
            self._db.execute("ROLLBACK")
            raise
        self._mine = {who: mine for who in self._mine if (mine := self._count(who, now_s))}

    def _count(self, principal: str, now_s: int) -> deque[tuple[int, int]]:
        mine = self._mine.setdefault(principal, deque())
        while mine and mine[0][0] < now_s - self._keep_s - AHEAD_S:
            mine.popleft()
        return mine


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino
