"""A tile store in a folder, for example one that a web server or a network file system gives out."""

from __future__ import annotations

from pathlib import Path

from strongroom.adapters.files.disk import OsDisk, write_files
from strongroom.adapters.files.safe_files import locked
from strongroom.errors import ConflictError, UnavailableError


class FileTiles:
    """See `ledger.publication.TileStore`.

    Args:
        folder: an existing folder; one log's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, path: str) -> bytes | None:
        try:
            return self._folder.joinpath(*path.split("/")).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise UnavailableError(f"`{path}` could not be read: {error.strerror}") from error

    def exists(self, path: str) -> bool:
        return self._folder.joinpath(*path.split("/")).is_file()

    def put(self, path: str, content: bytes) -> None:
        with locked(self._folder):
            present = self.get(path)
            if present is None:
                self._write(path, content)
            elif present != content:
                raise ConflictError(f"`{path}` holds other bytes; what is published never changes")

    def replace(self, path: str, content: bytes, expected: bytes | None) -> None:
        with locked(self._folder):
            if self.get(path) != expected:
                raise ConflictError(f"`{path}` was replaced by another writer; read it again")
            self._write(path, content)

    def _write(self, path: str, content: bytes) -> None:
        try:
            write_files(OsDisk(), self._folder, [(path, content)])
        except OSError as error:
            raise UnavailableError(f"`{path}` could not be written: {error.strerror}") from error
