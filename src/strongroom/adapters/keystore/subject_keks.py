"""The key-encryption keys of subject keys: one wraps, and while they are rotated those before it still unwrap."""

from __future__ import annotations

from typing import Final, Protocol

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom.adapters.keys.keyring import KeyFile
from strongroom.errors import TamperedError
from strongroom.sealing.records import KEY_ID_SIZE
from strongroom.sealing.subjects import KEY_SIZE, SubjectKey, unwrap, unwrap_rows

SUBJECT_KEK: Final = "subject-kek"
"""Name of the first one in a node's key file; a later one is `subject-kek-2` and so on. Names are not reused."""


class Keks(Protocol):
    """What a cache of subject keys wraps and unwraps with."""

    @property
    def current(self) -> AESGCM:
        """The one that new keys are wrapped under."""

    def unwrap(self, key_id: bytes, wrapped: bytes | bytearray | memoryview) -> SubjectKey:
        """Raises TamperedError: wrapped under none of them, or under another id."""

    def unwrap_rows(self, rows: bytes | bytearray | memoryview) -> list[SubjectKey]:
        """Key id and wrapped key of each, 76 bytes. Raises TamperedError: as `unwrap`, for any of them."""

    def reload(self) -> None:
        """See whether there is another one. Raises what reading them raises; the known ones stay."""


class OneKek:
    """A single key, for tests and trials."""

    def __init__(self, kek: AESGCM) -> None:
        self.current = kek

    def unwrap(self, key_id: bytes, wrapped: bytes | bytearray | memoryview) -> SubjectKey:
        """See `Keks`."""
        return unwrap(self.current, key_id, wrapped)

    def unwrap_rows(self, rows: bytes | bytearray | memoryview) -> list[SubjectKey]:
        """See `Keks`."""
        return _all(unwrap_rows(self.current, rows), rows, self)

    def reload(self) -> None:
        """There is no other."""


class RingKeks:
    """Those of a node's key file.

    Args:
        ring: opened.

    Raises:
        NotFoundError: it holds none.
    """

    def __init__(self, ring: KeyFile) -> None:
        self._ring = ring
        self._keks = _of(ring)

    @property
    def current(self) -> AESGCM:
        """See `Keks`."""
        return self._keks[0]

    def unwrap(self, key_id: bytes, wrapped: bytes | bytearray | memoryview) -> SubjectKey:
        """See `Keks`. What none of the known ones opens may be wrapped under one that is newer than this object."""
        found = self._try(key_id, wrapped)
        if found is None and self._ring.reload():
            self._keks = _of(self._ring)
            found = self._try(key_id, wrapped)
        if found is None:
            raise TamperedError("a wrapped subject key does not unwrap under the region's key and its own id")
        return found

    def unwrap_rows(self, rows: bytes | bytearray | memoryview) -> list[SubjectKey]:
        """See `Keks`."""
        return _all(unwrap_rows(self.current, rows), rows, self)

    def reload(self) -> None:
        """See `Keks`."""
        self._ring.reload()
        self._keks = _of(self._ring)

    def _try(self, key_id: bytes, wrapped: bytes | bytearray | memoryview) -> SubjectKey | None:
        for kek in self._keks:
            try:
                return unwrap(kek, key_id, wrapped)
            except TamperedError:
                continue
        return None


def _all(found: list[SubjectKey | None], rows: bytes | bytearray | memoryview, keks: Keks) -> list[SubjectKey]:
    """Those that the newest key does not open, by whichever does."""
    result: list[SubjectKey] = []
    for place, key in enumerate(found):
        if key is None:
            row = memoryview(rows)[KEY_SIZE * place : KEY_SIZE * (place + 1)]
            key = keks.unwrap(bytes(row[:KEY_ID_SIZE]), row[KEY_ID_SIZE:])
        result.append(key)
    return result


def kek_names(ring: KeyFile) -> list[str]:
    """Newest first."""
    found = [name for name in ring.names if name == SUBJECT_KEK or name.startswith(SUBJECT_KEK + "-")]
    return sorted(found, key=_number, reverse=True)


def next_kek_name(ring: KeyFile) -> str:
    """Of one more."""
    return f"{SUBJECT_KEK}-{_number(kek_names(ring)[0]) + 1}"


def _number(name: str) -> int:
    return int(name.removeprefix(SUBJECT_KEK).removeprefix("-") or 1)


def _of(ring: KeyFile) -> tuple[AESGCM, ...]:
    names = kek_names(ring)
    return tuple(AESGCM(ring.get(name)) for name in names or [SUBJECT_KEK])
