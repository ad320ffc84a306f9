"""A tile store in an object store (S3, Azure, Google Cloud, memory) through `obstore`. Extra: `object-store`.

Conditional writes carry the promises: `If-None-Match: *` for what never changes, `If-Match` for the checkpoint. A store
without them is refused by its own error at the first write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError, PreconditionError

from strongroom.errors import ConflictError, UnavailableError

if TYPE_CHECKING:
    from obstore.store import ObjectStore


class ObjectTiles:
    """See `ledger.publication.TileStore`.

    Args:
        store: with credentials, of a bucket and prefix that are one log's.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def get(self, path: str) -> bytes | None:
        found = self._get(path)
        return None if found is None else found[0]

    def exists(self, path: str) -> bool:
        try:
            obstore.head(self._store, path)
        except (NotFoundError, FileNotFoundError):
            return False
        except BaseError as error:
            raise _unavailable(path) from error
        return True

    def put(self, path: str, content: bytes) -> None:
        try:
            obstore.put(self._store, path, content, mode="create")
        except AlreadyExistsError as error:
            if self.get(path) != content:
                raise ConflictError(f"`{path}` holds other bytes; what is published never changes") from error
        except BaseError as error:
            raise _unavailable(path) from error

    def replace(self, path: str, content: bytes, expected: bytes | None) -> None:
        taken = ConflictError(f"`{path}` was replaced by another writer; read it again")
        found = self._get(path)
        if (None if found is None else found[0]) != expected:
            raise taken
        try:
            if found is None:
                obstore.put(self._store, path, content, mode="create")
            else:
                obstore.put(self._store, path, content, mode={"e_tag": found[1]})
        except (AlreadyExistsError, PreconditionError) as error:
            raise taken from error
        except BaseError as error:
            raise _unavailable(path) from error

    def _get(self, path: str) -> tuple[bytes, str | None] | None:
        try:
            found = obstore.get(self._store, path)
            return bytes(found.bytes()), found.meta["e_tag"]
        except (NotFoundError, FileNotFoundError):
            return None
        except BaseError as error:
            raise _unavailable(path) from error


def _unavailable(path: str) -> UnavailableError:
    # the library's text may quote addresses and request headers
    return UnavailableError(f"the object store did not take or give `{path}`; the publication waits")
