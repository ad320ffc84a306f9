"""Wrapping every subject key of a node anew, beside the requests, through the keeper or in its place.

The keeper knows no secret: this process unwraps and wraps, the store exchanges a row only if it still is what was read.
An erasure overwrites the row, so an exchange that comes after it finds nothing to exchange.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom.adapters.keystore.direct import OwnedStore
from strongroom.adapters.keystore.keeper_client import ask_keeper_once
from strongroom.adapters.keystore.keeper_wire import Kind, wipe
from strongroom.errors import TamperedError
from strongroom.sealing.records import KEY_ID_SIZE
from strongroom.sealing.subjects import WRAPPED_SIZE, rewrap

ROW_SIZE: Final = 8 + KEY_ID_SIZE + WRAPPED_SIZE


class WrappedRows(Protocol):
    """The rows of one key store."""

    def page(self, after: int) -> bytearray:
        """The next rows behind row `after`: number (8 bytes), key id, wrapped key, for each; empty at the end."""

    def exchange(self, changes: bytes | bytearray) -> int:
        """Key id, wrapped key as read, wrapped key anew, for each. How many rows were still as read."""

    def renew(self) -> int:
        """Have every cache take the newest KEK. How many did.

        Raises:
            UnavailableError: one has not confirmed.
        """

    def back_up(self) -> Path:
        """Write a backup."""


class KeeperRows:
    """Through the keeper of a running node.

    Args:
        folder: of the key store.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def page(self, after: int) -> bytearray:
        """See `WrappedRows`."""
        return bytearray(ask_keeper_once(self._folder, Kind.PAGE, after.to_bytes(8, "big")))

    def exchange(self, changes: bytes | bytearray) -> int:
        """See `WrappedRows`."""
        return int(ask_keeper_once(self._folder, Kind.EXCHANGE, changes))

    def renew(self) -> int:
        """See `WrappedRows`."""
        return int(ask_keeper_once(self._folder, Kind.RENEW, b""))

    def back_up(self) -> Path:
        """See `WrappedRows`."""
        return Path(os.fsdecode(ask_keeper_once(self._folder, Kind.BACK_UP, b"")))


class OwnedRows:
    """The store itself, while no node runs."""

    def __init__(self, owned: OwnedStore) -> None:
        self.page = owned.page
        self.exchange = owned.exchange
        self.back_up = owned.back_up

    def renew(self) -> int:
        """There is no cache."""
        return 0


def rewrap_all(rows: WrappedRows, new: AESGCM, older: tuple[AESGCM, ...]) -> int:
    """One walk over all rows. How many were wrapped anew; 0 says that nothing is under an older key any more.

    Raises:
        TamperedError: a row opens under none of the keys; nothing of its page was changed.
        UnavailableError: the store does not answer; walk again.
    """
    count, after = 0, 0
    while page := rows.page(after):
        view = memoryview(page)
        changes = bytearray()
        for place in range(0, len(page), ROW_SIZE):
            row = view[place : place + ROW_SIZE]
            after = int.from_bytes(row[:8], "big")
            key_id, wrapped = bytes(row[8 : 8 + KEY_ID_SIZE]), row[8 + KEY_ID_SIZE :]
            anew = _anew(new, older, key_id, wrapped)
            if anew is not None:
                changes += key_id
                changes += wrapped
                changes += anew
        view.release()
        wipe(page)
        if changes:
            count += rows.exchange(changes)
            wipe(changes)
    return count


def _anew(new: AESGCM, older: tuple[AESGCM, ...], key_id: bytes, wrapped: memoryview) -> bytearray | None:
    """The key wrapped under `new`; None where it is."""
    for kek in (new, *older):
        try:
            anew = rewrap(kek, new, key_id, wrapped, os.urandom)
        except InvalidTag:
            continue
        return None if kek is new else anew
    raise TamperedError(f"subject key {key_id.hex()[:12]} unwraps under none of the node's keys; nothing was dropped")
