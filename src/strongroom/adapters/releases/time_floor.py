"""A clock that a node never sees go back: the latest time it acted upon, kept on disk.

Expiry dates are the only defence against a repository that is frozen in the past. Whoever can set the clock back could
revive expired metadata; so time is at least what it was when we last looked. A clock set forward is not undone: then
everything expires early, which is the safe side, and `reset` needs a person.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from strongroom.adapters.files.safe_files import replace_atomically
from strongroom.errors import TamperedError, UnavailableError
from strongroom.vocabulary import instant, micros

STEP = timedelta(seconds=10)
"""The floor is written at most this often; so much can be gained by setting the clock back."""


def read_floor(path: Path) -> datetime | None:
    """The floor that another process keeps in `path`; None before the first.

    Raises:
        TamperedError: the file holds something else than a time.
        UnavailableError: it cannot be read.
    """
    try:
        return instant(int(path.read_text("ascii")))
    except FileNotFoundError:
        return None
    except (ValueError, OverflowError) as error:
        raise TamperedError(f"the time floor in `{path.name}` is not a time") from error
    except OSError as error:
        raise UnavailableError(f"the time floor in `{path.name}` cannot be read: {error.strerror}") from error


class TimeFloor:
    """See the module. One process per file.

    Args:
        path: the file that keeps the floor; made at the first call of `raised_to`.

    Raises:
        TamperedError: the file holds something else than a time.
        UnavailableError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._floor = read_floor(path)

    @property
    def floor(self) -> datetime | None:
        """The floor on disk."""
        return self._floor

    def raised_to(self, now: datetime) -> datetime:
        """The time to act upon: `now`, or the floor when the clock is behind it. Raises the floor when `now` is later.

        Raises:
            UnavailableError: the floor could not be written.
        """
        if self._floor is not None and now <= self._floor:
            return self._floor
        if self._floor is None or now - self._floor >= STEP:
            replace_atomically(self._path, str(micros(now)).encode(), 0o644)
            self._floor = now
        return now
