"""A claim: who does which long work, while the room is open to everybody else.

A claim decides nothing. It keeps two people from doing the same minutes of work twice; what the work leads to is judged
when it is entered, on what the books say then.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final, Literal

import msgspec

from strongroom.encoding import canonical, parse_as
from strongroom.errors import ConflictError, InvalidInputError
from strongroom.vocabulary import instant, rfc3339

LASTS: Final = timedelta(hours=1)
"""Longer than any of these jobs may take by its limits, with the wait for the room behind it."""

CLAIMED: Final = "claimed"
"""The rule that a second run of the same work breaks."""

LIMIT_BYTES: Final = 4096


class Claim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Version 1. It lies in the room while the work lasts, and is no part of any signed document.

    Attributes:
        who: name in the people register.
        verb: of `access.verbs`.
        on: what the work is about, such as `pd-cards@<manifest>`.
        at_us: when it was taken.
        until_us: when others need not respect it any more.
    """

    v: Literal[1] = 1
    who: str
    verb: str
    on: str
    at_us: int
    until_us: int

    def __post_init__(self) -> None:
        if not self.at_us < self.until_us:
            raise InvalidInputError("a claim ends after it begins", field="until_us", rule="order")

    def encode(self) -> bytes:
        """Canonical bytes."""
        return canonical(self)

    @staticmethod
    def decode(data: bytes) -> Claim:
        """Raises InvalidInputError, TooLargeError."""
        return parse_as(data, Claim, LIMIT_BYTES)

    def respected(self, at_us: int) -> None:
        """What somebody is told who wants to do the same work.

        Raises:
            ConflictError: it has not ended.
        """
        if at_us < self.until_us:
            raise ConflictError(
                f"`{self.who}` has been running `{self.verb}` on {self.on} since {rfc3339(instant(self.at_us))}; look "
                f"again when that is done, or after {rfc3339(instant(self.until_us))}, when it counts no more",
                rule=CLAIMED,
            )

    def standing(self, at_us: int) -> None:
        """What the holder must hear before the work is entered.

        Raises:
            ConflictError: it has ended.
        """
        if at_us >= self.until_us:
            raise ConflictError(
                f"`{self.verb}` on {self.on} took until after {rfc3339(instant(self.until_us))}, when its claim ended, "
                f"so nothing came of it; run it again",
                rule=CLAIMED,
            )
