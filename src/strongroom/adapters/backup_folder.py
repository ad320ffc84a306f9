"""A backup in a folder: `backup.json`, signed, and `files/`. Copies while others write, and lays out again.

What is copied as it is was encrypted or signed where it lay: key files, sealed models, records, logs. A log is copied
published files first and then its segments, each up to its last signed checkpoint: what is published is durable, so
the copy is a state that the log really had.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from strongroom.adapters.files.safe_files import read_private, replace_atomically, sync_folder
from strongroom.adapters.log.export import export_log
from strongroom.adapters.log.shard_reader import FolderView, segment_name
from strongroom.errors import ConflictError, NotFoundError, TamperedError, UnavailableError
from strongroom.ledger.checkpoint import VerifierKey
from strongroom.ledger.frames import CHECKPOINT, Scan, walk
from strongroom.sealing.backup_manifest import BACKUP_LIMIT_BYTES, BackedFile, BackedLog, BackupManifest

MANIFEST: Final = "backup.json"
_CHUNK_BYTES: Final = 1024 * 1024


class BackupWriter:
    """Fills a new folder.

    Raises:
        ConflictError: something is there already.
        UnavailableError: it cannot be made.
    """

    def __init__(self, to: Path) -> None:
        self._to = to
        self._files: list[BackedFile] = []
        refuse_full(to, "a backup is written to a new folder")
        try:
            (to / "files").mkdir(parents=True, mode=0o700)
        except OSError as error:
            raise UnavailableError(f"`{to}` cannot be made: {error.strerror}") from error

    @property
    def files(self) -> tuple[BackedFile, ...]:
        """What was copied so far, in order."""
        return tuple(sorted(self._files, key=lambda one: one.path))

    def put(self, path: str, chunks: Iterable[bytes]) -> None:
        """Write one file, durably.

        Raises:
            UnavailableError: no space, or another failure of the disk.
        """
        target = self._to.joinpath("files", *path.split("/"))
        digest, size = hashlib.sha256(), 0
        try:
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with os.fdopen(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600), "wb") as file:
                for chunk in chunks:
                    file.write(chunk)
                    digest.update(chunk)
                    size += len(chunk)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise UnavailableError(
                f"the backup stopped at `{path}`: {error.strerror}; remove `{self._to}` and start again"
            ) from error
        self._files.append(BackedFile(path=path, size_bytes=size, sha256=digest.hexdigest()))

    def copy(self, source: Path, path: str) -> None:
        """One file as it is now; nothing where there is none."""
        try:
            descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        except OSError as error:
            raise UnavailableError(f"`{source}` cannot be read: {error.strerror}") from error
        with os.fdopen(descriptor, "rb") as file:
            self.put(path, iter(lambda: file.read(_CHUNK_BYTES), b""))

    def copy_tree(self, source: Path, path: str) -> None:
        """Every plain file below a folder whose name does not begin with a dot."""
        for found in sorted(source.rglob("*")):
            name = found.relative_to(source)
            if found.is_file() and not found.is_symlink() and not any(part.startswith(".") for part in name.parts):
                self.copy(found, f"{path}/{name.as_posix()}")

    def copy_database(self, source: Path, path: str) -> None:
        """A consistent copy of a SQLite database, through its own backup interface, whoever writes to it."""
        beside = self._to / "database.part"
        try:
            live = sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)
            with closing(live), closing(sqlite3.connect(beside)) as copy:
                live.backup(copy)
        except sqlite3.Error as error:
            raise UnavailableError(f"`{source.name}` cannot be copied: {error}") from error
        self.copy(beside, path)
        beside.unlink()

    def copy_log(self, source: Path, verifier: VerifierKey, path: str) -> BackedLog:
        """A log, whether or not it is being written.

        Raises:
            TamperedError: the published files are not the log's.
        """
        head, published = export_log(source, verifier)
        for name, content in published.items():
            self.put(f"{path}/public/{name}", [content])
        size = head.size
        for segment in FolderView(source).segments():
            data = segment.load()
            end = 0
            for found in walk(data):
                if not isinstance(found, Scan) and found.kind == CHECKPOINT:
                    end, size = found.end, max(size, found.number)
            self.put(f"{path}/segments/{segment_name(segment.first)}", [data[:end]])
        self.copy(source / "shard.json", f"{path}/shard.json")
        self.copy_tree(source / "retention", f"{path}/retention")
        return BackedLog(folder=source.name, origin=verifier.name, size=size)

    def finish(self, envelope: bytes) -> None:
        """The manifest is last: a folder without it is no backup."""
        for folder, _, _ in os.walk(self._to / "files"):
            sync_folder(Path(folder))
        replace_atomically(self._to / MANIFEST, envelope, 0o600)
        sync_folder(self._to.parent)


def refuse_full(folder: Path, why: str) -> None:
    """Raises ConflictError for a folder that holds anything."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConflictError(f"`{folder}` is not empty; {why}")


def read_envelope(source: Path) -> bytes:
    """The signed manifest of a backup.

    Raises:
        NotFoundError: this is no backup, or one that was never finished.
    """
    try:
        return read_private(source / MANIFEST, BACKUP_LIMIT_BYTES)
    except NotFoundError as error:
        raise NotFoundError(f"`{source}` is no finished backup: it has no {MANIFEST}") from error


def backed_up(source: Path, path: str) -> Path:
    """Where a file of the backup lies."""
    return source.joinpath("files", *path.split("/"))


def check_files(source: Path, manifest: BackupManifest) -> None:
    """Hold every file against the manifest.

    Raises:
        TamperedError: one is missing, changed, or too many.
    """
    known = {file.path: file for file in manifest.files}
    top = source / "files"
    here = {found.relative_to(top).as_posix() for found in top.rglob("*") if not found.is_dir() or found.is_symlink()}
    for path in sorted(here ^ set(known)):
        raise TamperedError(f"`{path}` is {'not in the manifest' if path in here else 'missing'} of backup `{source}`")
    for path, file in known.items():
        digest, size = hashlib.sha256(), 0
        for chunk in _read(backed_up(source, path)):
            digest.update(chunk)
            size += len(chunk)
        if (size, digest.hexdigest()) != (file.size_bytes, file.sha256):
            raise TamperedError(f"`{path}` of backup `{source}` is not what was backed up; use another backup")


def lay_out(source: Path, manifest: BackupManifest, to: Path, last: str) -> None:
    """Write the files of a checked backup below `to`, but for `last`: without it the folder is nothing yet.

    Each is held against the manifest once more, as it is written.

    Args:
        source, manifest: the backup.
        to: new or empty.
        last: path of the file that makes the folder what it is; the caller writes it, when all else is done.

    Raises:
        ConflictError: `to` is not empty.
        TamperedError: a file changed under our hands.
        UnavailableError: it cannot be written.
    """
    refuse_full(to, "a backup is restored into a new folder, and overwrites nothing")
    try:
        to.mkdir(parents=True, exist_ok=True, mode=0o700)
        for file in manifest.files:
            if file.path == last:
                continue
            target = to.joinpath(*file.path.split("/"))
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            digest = hashlib.sha256()
            public = {"public", "trust", "repository"} & set(file.path.split("/")[:-1])
            descriptor = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as written:
                for chunk in _read(backed_up(source, file.path)):
                    written.write(chunk)
                    digest.update(chunk)
                written.flush()
                os.fchmod(written.fileno(), 0o644 if public else 0o600)
                os.fsync(written.fileno())
            if digest.hexdigest() != file.sha256:
                raise TamperedError(f"`{file.path}` changed while it was restored; use another backup")
        for folder, _, _ in os.walk(to):
            sync_folder(Path(folder))
    except OSError as error:
        raise UnavailableError(f"`{to}` cannot be written: {error.strerror}; remove it and start again") from error


def _read(path: Path) -> Iterator[bytes]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise TamperedError(f"`{path.name}` of the backup cannot be read: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as file:
        yield from iter(lambda: file.read(_CHUNK_BYTES), b"")
