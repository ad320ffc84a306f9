"""Issuers' keys, handed from the process that fetches them to the workers of the same node; and what workers miss.

Both are trusted as far as the node's own disk is, like the refreshed state beside them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from strongroom.access.issuers import KeySet
from strongroom.adapters.files.safe_files import replace_atomically
from strongroom.errors import StrongroomError, TamperedError, UnavailableError

ISSUERS_LIMIT = 1000


def write_key_sets(path: Path, sets: Iterable[KeySet]) -> None:
    """Write all sets, at once or not at all.

    Raises:
        UnavailableError: it could not be written.
    """
    replace_atomically(path, msgspec.json.encode(list(sets)), 0o600)


def read_key_sets(path: Path) -> tuple[KeySet, ...]:
    """What was fetched last; nothing before the first time.

    Raises:
        UnavailableError: the file is there and cannot be read.
        TamperedError: it holds something else.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=tuple[KeySet, ...])
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise UnavailableError(f"the issuers' keys cannot be read: {error.strerror}") from error
    except (msgspec.MsgspecError, StrongroomError) as error:
        raise TamperedError("the issuers' keys of this node do not read; they are fetched anew") from error


def write_wanted(path: Path, issuers: Iterable[str]) -> None:
    """Leave word that tokens of these issuers named unknown keys.

    Raises:
        UnavailableError: it could not be written.
    """
    replace_atomically(path, msgspec.json.encode(sorted(issuers)), 0o600)


def read_wanted(path: Path) -> frozenset[str]:
    """Which issuers' keys were missed; none when nobody left word, or word that does not read."""
    try:
        return frozenset(msgspec.json.decode(path.read_bytes(), type=tuple[str, ...])[:ISSUERS_LIMIT])
    except (OSError, msgspec.MsgspecError):
        return frozenset()
