"""How many subjects, and how much of one subject? Counted by keyed digests, in memory of fixed size.

Sources: Whang, Vander-Zanden, Taylor, A Linear-Time Probabilistic Counting Algorithm for Database Applications, 1990;
the slots give way as in Misra, Gries, Finding Repeated Elements, 1982.
"""

from __future__ import annotations

import math
from array import array
from typing import Final

CROWD_BITS: Final = 4096
"""Of the map by which different subjects are counted; within a few per cent up to some ten thousand of them."""

HEAVY: Final = 256
"""Slots for subjects with many rows. A subject is found once it has more rows than the others of its slot."""


class SubjectCounts:
    """Of one caller and model: different subjects of rows that were noted, and the most different rows of one subject.

    Args are digests of 64 bits under a secret key, so that nobody can choose their places.
    """

    __slots__ = ("_before", "_counts", "_last", "_now", "_subjects", "most")

    def __init__(self) -> None:
        self.most = 0
        self._now = self._before = 0
        self._subjects, self._last = array("Q", bytes(8 * HEAVY)), array("Q", bytes(8 * HEAVY))
        self._counts = array("I", bytes(4 * HEAVY))

    def turn(self, windows: int) -> None:
        """A window has ended, or several: of two, what was counted in the one before still counts."""
        self._before, self._now = (self._now, 0) if windows == 1 else (0, 0)
        # half of it: an even stream of rows is then counted over two windows, like everything else
        self._counts = array("I", [count >> 1 if windows == 1 else 0 for count in self._counts])
        self.most = max(self._counts)

    def crowd(self, subject: int) -> None:
        """Note a subject."""
        self._now |= 1 << subject % CROWD_BITS

    @property
    def crowded(self) -> int:
        """How many different subjects were noted, about."""
        empty = CROWD_BITS - (self._now | self._before).bit_count()
        return round(CROWD_BITS * math.log(CROWD_BITS / max(empty, 1)))

    def see(self, subject: int, row: int) -> None:
        """Count a row of a subject, unless it is the same as the subject's row before.

        Args:
            subject: digest.
            row: digest of the row.
        """
        place = (subject >> 32) % HEAVY
        count = self._counts[place]
        if self._subjects[place] == subject and count:
            if self._last[place] == row:
                return
            count += 1
        elif count:
            self._counts[place] = count - 1
            return
        else:
            self._subjects[place], count = subject, 1
        self._last[place] = row
        self._counts[place] = count
        if count > self.most:
            self.most = count
