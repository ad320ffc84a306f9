"""A tile store in memory."""

from __future__ import annotations

import threading

from strongroom.errors import ConflictError


class MemoryTiles:
    """See `ledger.publication.TileStore`."""

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def get(self, path: str) -> bytes | None:
        return self._objects.get(path)

    def exists(self, path: str) -> bool:
        return path in self._objects

    def put(self, path: str, content: bytes) -> None:
        with self._lock:
            if self._objects.setdefault(path, content) != content:
                raise ConflictError(f"`{path}` holds other bytes; what is published never changes")

    def replace(self, path: str, content: bytes, expected: bytes | None) -> None:
        with self._lock:
            if self._objects.get(path) != expected:
                raise ConflictError(f"`{path}` was replaced by another writer; read it again")
            self._objects[path] = content
