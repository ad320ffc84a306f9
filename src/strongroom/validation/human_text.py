"""What a person writes into a model's report, signed by them: the predicate `section`.

A machine's figures say what was measured. What the model is for, what it must not be used for, who watches it: somebody
says so, under their name. The latest text of a role about a section counts; the earlier ones stay readable.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from strongroom.errors import InvalidInputError
from strongroom.validation.sections import TITLES, WRITERS, SectionKey
from strongroom.vocabulary import Digest, PersonId

TEXT_LIMIT = 20_000


class SectionText(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Version 1 of the predicate.

    Attributes:
        section: where it stands.
        role: in which the person writes; they hold it when they sign.
        text: paragraphs, an empty line between two; no markup.
        person: who.
        at_us: when, in microseconds since 1970.
        materiality, complexity: levels of the policy's table of tiers; for the section `identity`, both or none.
    """

    v: Literal[1]
    section: SectionKey
    role: str
    text: str
    person: PersonId
    at_us: int
    materiality: str | msgspec.UnsetType = msgspec.UNSET
    complexity: str | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        if self.section not in TITLES:
            raise InvalidInputError(f"a report has no section `{self.section[:40]}`", field="section", rule="choice")
        if self.role not in WRITERS:
            raise InvalidInputError(f"nobody writes in the role `{self.role[:40]}`", field="role", rule="choice")
        check_text(self.text, "text", TEXT_LIMIT)
        rated = (self.materiality is msgspec.UNSET, self.complexity is msgspec.UNSET)
        if rated != (True, True) and (rated != (False, False) or self.section != "identity"):
            raise InvalidInputError(
                "materiality and complexity come together, in the section `identity`", field="materiality", rule="pair"
            )
        if not isinstance(self.materiality, msgspec.UnsetType) and not isinstance(self.complexity, msgspec.UnsetType):
            check_text(self.materiality, "materiality", 100)
            check_text(self.complexity, "complexity", 100)
        if self.at_us < 0:
            raise InvalidInputError("a text is dated after 1970", field="at_us", rule="range")

    @property
    def paragraphs(self) -> tuple[str, ...]:
        """The text's paragraphs, each on one line."""
        return tuple(" ".join(part.split()) for part in self.text.split("\n\n") if part.strip())


@dataclass(frozen=True, slots=True)
class Signed:
    """A text whose signature was verified: it is by this person, who held the role.

    Attributes:
        said: the text.
        envelope: digest of the signed statement.
        key: that signed it.
    """

    said: SectionText
    envelope: Digest
    key: str


def current(texts: Sequence[Signed]) -> tuple[Signed, ...]:
    """The latest text of each role about each section, in the order of the report and then of time.

    Args:
        texts: in the order in which the room took them in.
    """
    latest = {(text.said.section, text.said.role): text for text in texts}
    order = list(TITLES)
    return tuple(sorted(latest.values(), key=lambda text: (order.index(text.said.section), text.said.at_us)))


def check_text(text: str, field: str, limit: int) -> None:
    """Words that can be shown: not empty, not endless, no control characters but line breaks.

    Raises:
        InvalidInputError: otherwise.
    """
    if not text.strip() or len(text) > limit:
        raise InvalidInputError(f"`{field}` needs 1 to {limit} characters of text", field=field, rule="text")
    # spaces that do not break are what word processors write, and French
    if any(not char.isprintable() and char != "\n" and unicodedata.category(char) != "Zs" for char in text):
        raise InvalidInputError(
            f"`{field}` holds a control character; plain words and line breaks only", field=field, rule="text"
        )
