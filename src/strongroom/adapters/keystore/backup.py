"""Backups of a key store that forget as well.

A backup is encrypted under the backup key of its day; the key is destroyed before it is 35 days old, and with it every
copy of that backup anywhere. Erasures are written to a journal beside the backups before the store changes, and the
journal is applied before a restored store can be opened, so an old backup cannot bring an erased subject back.

Backup: header | chunks. Header: magic `SRKB`, v 1, day 10 (ISO, ASCII), backup id 16, created_us 8, tombstones 8,
journal chain 32, region length 2, region. Chunk: length u32, nonce 12, AES-256-GCM of whole rows (tag 32, key id 16,
wrapped 60, created_us 8); associated data header, chunk number u32, 1 for the last chunk.
Journal row: key id 16, tag 32, erased_us 8, chain 32 = SHA-256 of the chain before it and the row.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom.adapters.keystore.sqlite import DATABASE, KeyStore, StoredKey
from strongroom.errors import ConflictError, ExpiredError, NotFoundError, TamperedError, UnavailableError
from strongroom.sealing.subjects import BACKUP_DAYS
from strongroom.vocabulary import micros

JOURNAL: Final = "erasures.journal"
_HEADER: Final = struct.Struct(">4sB10s16sQQ32sH")
_ROW: Final = struct.Struct(">32s16s60sQ")
_ENTRY: Final = struct.Struct(">16s32sQ32s")
_MAGIC: Final = b"SRKB"
_CHUNK_ROWS: Final = 8192
_CHUNK_LIMIT: Final = _CHUNK_ROWS * _ROW.size + 28
_NO_CHAIN: Final = bytes(32)
Tombstone = tuple[bytes, bytes, int]
"""Key id, tag, erased_us."""


@dataclass(frozen=True, slots=True)
class Backups:
    """One region's backups.

    Attributes:
        folder: backups and the journal of erasures; copy it to wherever backups belong.
        keys: the backup keys by day, in a place that is never itself backed up.
    """

    folder: Path
    keys: Path

    def bury(self, key_id: bytes, tag: bytes, at_us: int) -> None:
        """Write one erasure to the journal, durably; once for each key.

        Raises:
            UnavailableError: it could not be written.
            TamperedError: the journal is damaged.
        """
        entries, chain = self._journal()
        if any(entry[0] == key_id for entry in entries):
            return
        row = key_id + tag + at_us.to_bytes(8, "big")
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _private(self.folder / JOURNAL, os.O_CREAT | os.O_RDWR) as file:
                file.truncate(len(entries) * _ENTRY.size)  # a torn row was never acknowledged
                file.seek(0, os.SEEK_END)
                file.write(row + hashlib.sha256(chain + row).digest())
                file.flush()
                os.fsync(file.fileno())
            _sync(self.folder)
        except OSError as error:
            raise UnavailableError(f"the journal of erasures cannot be written: {error.strerror}") from error

    def tombstones(self) -> list[Tombstone]:
        """Every erasure ever made, oldest first.

        Raises:
            TamperedError: the journal's chain does not hold.
        """
        return self._journal()[0]

    def back_up(self, store: KeyStore, at: datetime) -> Path:
        """Write a backup of `store`, encrypted under the key of this day.

        Raises:
            UnavailableError: it could not be written.
        """
        entries, chain = self._journal()
        day = at.astimezone(UTC).date().isoformat()
        identity = os.urandom(16)
        region = store.region.encode()
        header = _HEADER.pack(_MAGIC, 1, day.encode(), identity, micros(at), len(entries), chain, len(region)) + region
        path = self.folder / f"{day}.{identity.hex()}.keys"
        try:
            key = AESGCM(self._key_of(day))
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _private(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY) as file:
                file.write(header)
                for number, rows, last in _chunks(store.rows()):
                    nonce = os.urandom(12)
                    sealed = key.encrypt(nonce, rows, header + number.to_bytes(4, "big") + bytes((last,)))
                    file.write((len(sealed) + 12).to_bytes(4, "big") + nonce + sealed)
                file.flush()
                os.fsync(file.fileno())
            _sync(self.folder)
        except OSError as error:
            raise UnavailableError(f"the backup cannot be written: {error.strerror}") from error
        return path

    def has_one_of(self, at: datetime) -> bool:
        """Whether this day has a backup."""
        return any(self.folder.glob(f"{at.astimezone(UTC).date().isoformat()}.*.keys"))

    def restore(self, backup: Path, folder: Path) -> None:
        """Make a key store in `folder` from a backup, without every subject erased since.

        The store appears under its name only when the journal has been applied.

        Raises:
            NotFoundError: no such backup.
            ConflictError: the folder holds a store already.
            ExpiredError: the key of the backup's day is destroyed.
            TamperedError: the backup was changed, or the journal is older than the backup.
        """
        if (folder / DATABASE).exists():
            raise ConflictError(f"`{folder / DATABASE}` exists already; restore into an empty folder")
        region, count, chain, rows = self._open(_read_backup(backup))
        entries = self.tombstones()
        if len(entries) < count or (count and self._chain_at(count) != chain):
            raise TamperedError("the journal of erasures lacks entries that this backup knows; find the newest journal")
        workshop = folder / "restoring"
        if workshop.exists():  # an earlier restore was interrupted; it was never a store
            for leftover in workshop.iterdir():
                leftover.unlink()
        store = KeyStore.create(workshop, region)
        store.load(rows, entries)
        store.close()
        (workshop / DATABASE).rename(folder / DATABASE)
        for leftover in workshop.iterdir():
            leftover.unlink()
        workshop.rmdir()
        _sync(folder)

    def keys_in(self, backup: Path) -> list[tuple[bytes, bytes, int]]:
        """Tag, key id and moment of creation of every key in a backup.

        Raises:
            NotFoundError, ExpiredError, TamperedError: as `restore`.
        """
        return [(row.tag, row.key_id, row.created_us) for row in self._open(_read_backup(backup))[3]]

    def expire(self, now: datetime) -> list[str]:
        """Destroy every backup key that is 34 days old; the days destroyed. Run at least daily (a keeper does).

        One day of slack keeps the promise of 35 when a node is down for a while.
        """
        gone = []
        for path in self._key_files():
            if now >= _day_start(path.stem) + timedelta(days=BACKUP_DAYS - 1):
                with path.open("r+b") as file:
                    file.write(os.urandom(32))
                    file.flush()
                    os.fsync(file.fileno())
                path.unlink()
                for backup in self.folder.glob(f"{path.stem}.*.keys"):
                    backup.unlink()
                gone.append(path.stem)
        if gone:
            _sync(self.keys)
        return gone

    def last_destruction_us(self, now: datetime) -> int:
        """When the last backup key that exists now will be destroyed at the latest; `now` if there is none."""
        days = [_day_start(path.stem) + timedelta(days=BACKUP_DAYS) for path in self._key_files()]
        return micros(max([*days, now]))

    def _key_files(self) -> list[Path]:
        return sorted(self.keys.glob("????-??-??.key")) if self.keys.exists() else []

    def _key_of(self, day: str) -> bytes:
        path = self.keys / f"{day}.key"
        if not path.exists():
            self.keys.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _private(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY) as file:
                file.write(os.urandom(32))
                file.flush()
                os.fsync(file.fileno())
            _sync(self.keys)
        return path.read_bytes()

    def _journal(self) -> tuple[list[Tombstone], bytes]:
        try:
            data = (self.folder / JOURNAL).read_bytes()
        except FileNotFoundError:
            data = b""
        except OSError as error:
            raise UnavailableError(f"the journal of erasures cannot be read: {error.strerror}") from error
        entries: list[Tombstone] = []
        chain = _NO_CHAIN
        for place in range(0, len(data) - len(data) % _ENTRY.size, _ENTRY.size):
            key_id, tag, at_us, link = _ENTRY.unpack_from(data, place)
            chain = hashlib.sha256(chain + data[place : place + _ENTRY.size - 32]).digest()
            if chain != link:
                raise TamperedError(f"the journal of erasures is damaged at entry {len(entries)}")
            entries.append((key_id, tag, at_us))
        return entries, chain

    def _chain_at(self, count: int) -> bytes:
        return (self.folder / JOURNAL).read_bytes()[count * _ENTRY.size - 32 : count * _ENTRY.size]

    def _open(self, data: bytes) -> tuple[str, int, bytes, Sequence[StoredKey]]:
        try:
            magic, version, day, _, _, count, chain, width = _HEADER.unpack_from(data)
            header = data[: _HEADER.size + width]
            region = header[_HEADER.size :].decode()
            start = _day_start(day.decode())
        except (struct.error, ValueError) as error:
            raise TamperedError("this is not a backup of a key store") from error
        if magic != _MAGIC or version != 1 or len(header) != _HEADER.size + width:
            raise TamperedError("this is not a backup of a key store of version 1")
        path = self.keys / f"{start.date().isoformat()}.key"
        if not path.exists():
            raise ExpiredError(
                f"the backup key of {start.date().isoformat()} is destroyed; nobody can read this backup"
            )
        key = AESGCM(path.read_bytes())
        rows: list[StoredKey] = []
        place, number, last = len(header), 0, False
        while not last:
            size = int.from_bytes(data[place : place + 4], "big")
            chunk = data[place + 4 : place + 4 + size]
            place += 4 + size
            if len(chunk) != size or not 28 <= size <= _CHUNK_LIMIT:
                raise TamperedError("a backup of a key store ends too early")
            last = place == len(data)
            try:
                plain = key.decrypt(chunk[:12], chunk[12:], header + number.to_bytes(4, "big") + bytes((last,)))
            except InvalidTag as error:
                raise TamperedError("a backup of a key store was changed, or is of another day's key") from error
            rows.extend(StoredKey(*fields) for fields in _ROW.iter_unpack(plain))
            number += 1
        return region, count, chain, rows


def _read_backup(backup: Path) -> bytes:
    try:
        return backup.read_bytes()
    except OSError as error:
        raise NotFoundError(f"the backup `{backup}` cannot be read: {error.strerror}") from error


def _chunks(rows: Iterator[StoredKey]) -> Iterator[tuple[int, bytes, bool]]:
    number = 0
    ahead = list(islice(rows, _CHUNK_ROWS))
    while True:
        now, ahead = ahead, list(islice(rows, _CHUNK_ROWS))
        yield number, b"".join(_ROW.pack(r.tag, r.key_id, r.wrapped, r.created_us) for r in now), not ahead
        if not ahead:
            return
        number += 1


def _day_start(day: str) -> datetime:
    parsed = date.fromisoformat(day)
    return datetime(parsed.year, parsed.month, parsed.day, tzinfo=UTC)


def _private(path: Path, flags: int) -> BinaryIO:
    return os.fdopen(os.open(path, flags, 0o600), "r+b" if flags & os.O_RDWR else "wb")


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
