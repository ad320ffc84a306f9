"""The texts of adverse-action letters: part of a release's explanation, approved with the codes that they stand for.

A text is plain: no placeholder, no markup, no expression. What a letter says is put together, never written anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from strongroom.errors import InvalidInputError

LANGUAGES_LIMIT: Final = 32
TEXT_LIMIT: Final = 2000
HARD_SPACES: Final = "\u00a0\u202f"
"""No-break spaces, which French sets before a colon."""
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}\Z")


class LetterText(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A letter in one language.

    Attributes:
        language: BCP 47, such as `de` or `fr-CH`.
        subject: one line.
        opening: before the reasons; several lines are allowed.
        closing: after them: the applicant's rights, and whom to ask.
        reference: one word before the decision's id, such as `Reference`.
        reasons: one line for each code, those of missing values included.
    """

    language: str
    subject: str
    opening: str
    closing: str
    reference: str
    reasons: dict[str, str]

    def __post_init__(self) -> None:
        if not _LANGUAGE.match(self.language):
            raise _wrong("a language is a BCP 47 tag such as `de` or `fr-CH`", "language")
        for text in (self.subject, self.reference, *self.reasons.values()):
            _demand(text, self.language, lines=False)
        for text in (self.opening, self.closing):
            _demand(text, self.language, lines=True)


class Letters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Letters in every language that the bank writes in.

    Attributes:
        version: of the texts, as the bank numbers it.
        texts: one for each language.
        decisions: what the letter tells of, such as `decline`; for any other decision none is written. Left out: every
            decision but the favourable one.
    """

    version: str
    texts: tuple[LetterText, ...]
    decisions: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        languages = [text.language for text in self.texts]
        if not 0 < len(languages) <= LANGUAGES_LIMIT or len(set(languages)) != len(languages):
            raise _wrong(f"letters have 1 to {LANGUAGES_LIMIT} languages, each once", "languages")
        if not (0 < len(self.version) <= 32 and self.version.isprintable()):
            raise _wrong("the version of the texts has 1 to 32 printable characters", "version")
        if not isinstance(self.decisions, msgspec.UnsetType) and (
            not self.decisions or len(set(self.decisions)) != len(self.decisions)
        ):
            raise _wrong("`decisions` of the letters names one decision or more, each once", "decisions")

    def demand_decisions(self, decisions: Sequence[str], favourable: str) -> None:
        """Hold `decisions` against the cut-offs.

        Raises:
            InvalidInputError: it names what is no decision, or the favourable one.
        """
        told = () if isinstance(self.decisions, msgspec.UnsetType) else self.decisions
        if strange := sorted(set(told) - (set(decisions) - {favourable})):
            raise _wrong(
                f"`{strange[0][:40]}` of the letters is no decision against the applicant; `decisions` are of "
                f"{', '.join(one for one in decisions if one != favourable) or 'none'}",
                "decisions",
            )

    def demand_codes(self, codes: Iterable[str]) -> None:
        """Hold every language against the codes that an answer may carry.

        Raises:
            InvalidInputError: a code without a text, or a text for what is no code.
        """
        wanted = set(codes)
        for text in self.texts:
            if lacking := sorted(wanted - set(text.reasons)):
                raise _wrong(f"code `{lacking[0]}` has no text in `{text.language}`; add it to its reasons", "codes")
            if strange := sorted(set(text.reasons) - wanted):
                raise _wrong(f"`{strange[0][:40]}` in `{text.language}` is no code of the explanation", "codes")

    def text(self, language: str) -> LetterText:
        """The letter's texts in a language.

        Raises:
            InvalidInputError: the release has none; nothing is translated, and no other language stands in.
        """
        for text in self.texts:
            if text.language == language:
                return text
        known = ", ".join(sorted(text.language for text in self.texts))
        raise _wrong(
            f"the release has no approved letter in `{language[:40]}`; it has {known}; have the texts approved with "
            "the next release, or write in one of these",
            "language",
        )


def _demand(text: str, language: str, *, lines: bool) -> None:
    plain = text.replace("\n", " ") if lines else text
    for space in HARD_SPACES:
        plain = plain.replace(space, " ")
    if not (0 < len(text.strip()) <= TEXT_LIMIT and plain.isprintable()):
        what = "printable characters and line ends" if lines else "printable characters in one line"
        raise _wrong(f"a text of the letter in `{language}` has 1 to {TEXT_LIMIT} {what}", "text")


def _wrong(message: str, rule: str) -> InvalidInputError:
    return InvalidInputError(message, field="explanation.letters", rule=rule)
