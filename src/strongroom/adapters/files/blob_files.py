"""Blobs as files: `ab/cdef...` below one folder, named by digest, written once, checked on every read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from strongroom.adapters.files.safe_files import replace_atomically, sync_folder
from strongroom.errors import InvalidInputError, NotFoundError, TamperedError, UnavailableError
from strongroom.vocabulary import Digest, digest_of, parse_digest

BLOB_LIMIT = 4 * 1024 * 1024 * 1024


class BlobFiles:
    """`sealing.ports.Blobs` over a folder. Any number of processes may use it at once."""

    def __init__(self, folder: Path, *, mode: int = 0o600) -> None:
        """Use `folder`, made if it is not there.

        Args:
            folder: for blobs alone.
            mode: of the files; 0o644 where a web server publishes them.
        """
        self._folder = folder
        self._mode = mode
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, data: bytes) -> Digest:
        """Store; durable on return.

        Raises:
            UnavailableError: it could not be written; nothing was stored.
            TamperedError: other bytes lie under the name already.
        """
        digest = digest_of(data)
        path = self._path(digest)
        if path.exists():
            self.get(digest)
            return digest
        try:
            if not path.parent.exists():
                path.parent.mkdir(exist_ok=True)
                sync_folder(self._folder)
        except OSError as error:
            raise UnavailableError(f"blob {digest[:12]} could not be stored: {error.strerror}") from error
        replace_atomically(path, data, self._mode)
        return digest

    def get(self, digest: Digest) -> bytes:
        """The bytes whose digest this is, checked on reading.

        Raises:
            InvalidInputError: `digest` is not one.
            NotFoundError: no such blob.
            TamperedError: the file is a link, is no file, or holds other bytes.
            UnavailableError: it could not be read.
        """
        path = self._path(digest)
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFoundError(f"blob {digest[:12]} is not stored here") from error
        except OSError as error:
            if path.is_symlink():
                raise TamperedError(f"blob {digest[:12]} is a link") from error
            raise UnavailableError(f"blob {digest[:12]} could not be read: {error.strerror}") from error
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(file.fileno())
            if status.st_mode & 0o170000 != 0o100000 or status.st_size > BLOB_LIMIT:
                raise TamperedError(f"blob {digest[:12]} is not a regular file")
            data = file.read()
        if digest_of(data) != digest:
            raise TamperedError(f"blob {digest[:12]} holds other bytes than its name says")
        return data

    def __contains__(self, digest: object) -> bool:
        try:
            return isinstance(digest, str) and self._path(Digest(digest)).is_file()
        except InvalidInputError:
            return False

    def __iter__(self) -> Iterator[Digest]:
        """Digests of everything stored, ascending; unfinished writes are left out."""
        for shelf in sorted(self._folder.iterdir()):
            for path in sorted(shelf.iterdir()) if shelf.is_dir() else ():
                if not path.name.startswith("."):
                    yield Digest(shelf.name + path.name)

    def _path(self, digest: Digest) -> Path:
        # parse_digest first: a digest that came from a document may not walk out of the folder.
        name = parse_digest(digest)
        return self._folder / name[:2] / name[2:]
