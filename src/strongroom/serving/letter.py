"""An adverse-action letter out of a recorded decision: its reasons, in the words that its release approved.

The reasons are those of the record, in their order; nothing here chooses, ranks, drops, translates or rewords one.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from strongroom.approval.release import Release
from strongroom.errors import InvalidInputError, TamperedError
from strongroom.serving.answer import Answer


@dataclass(frozen=True, slots=True)
class Letter:
    """A letter, and what it was made of.

    Attributes:
        text: what is sent, plain text, lines end with LF.
        language, version: which approved texts.
        code_map: version of the codes.
        codes: told, the weightiest first.
        decision_id, decision: what it is about.
    """

    text: str
    language: str
    version: str
    code_map: str
    codes: tuple[str, ...]
    decision_id: str
    decision: str


def write_letter(answer: Answer, release: Release, language: str) -> Letter:
    """Put a letter together.

    Args:
        answer: of the record, held against its leaf.
        release: under which it was answered.
        language: of the approved texts; nothing stands in for one that is missing.

    Raises:
        InvalidInputError: the decision is not against the applicant, it has no reason codes, or the release has no
            letter in this language; the message says what to do.
        TamperedError: the record tells codes that its release does not have.
    """
    wish, told = release.explanation, answer.explanation
    if isinstance(wish, msgspec.UnsetType) or isinstance(wish.letters, msgspec.UnsetType):
        raise _refused(
            f"the release of `{release.model}` has no approved letters; add [explanation.letters] to model.toml and "
            "have a new version approved",
            "letters",
        )
    if answer.status != "answered" or answer.decision is None:
        raise _refused(
            f"decision {answer.decision_id} was refused by a rule and not by the model; its reason is that rule, and a "
            "person writes to the applicant",
            "status",
        )
    favourable = release.cut_offs[0 if wish.adverse == "high" else -1].decision
    if answer.decision == favourable:
        raise _refused(f"decision {answer.decision_id} is `{favourable}`, which needs no letter of reasons", "decision")
    letters = wish.letters
    if not isinstance(letters.decisions, msgspec.UnsetType) and answer.decision not in letters.decisions:
        raise _refused(
            f"decision {answer.decision_id} is `{answer.decision}`, and the approved letters tell of "
            f"{', '.join(letters.decisions)} alone; wait for what is decided in the end",
            "decision",
        )
    if isinstance(told, msgspec.UnsetType):
        raise _refused(
            f"decision {answer.decision_id} was recorded without reason codes; ask with `explain`, or release with "
            "`always = true`",
            "explanation",
        )
    if not told.codes:
        raise _refused(
            f"no group of features speaks against the applicant in decision {answer.decision_id}; a person looks at it",
            "codes",
        )
    text = wish.letters.text(language)
    if told.code_map != wish.code_map or not set(told.codes) <= set(text.reasons):
        raise TamperedError(f"the record of decision {answer.decision_id} tells codes that its release does not have")
    # a language with a rule of its own for the colon, as French, brings it in its approved text
    label = text.reference if text.reference.endswith(":") else f"{text.reference}:"
    lines = [
        text.subject, "", text.opening.strip("\n"), "",
        *(f"{place}. {text.reasons[code]}" for place, code in enumerate(told.codes, 1)), "",
        text.closing.strip("\n"), "", f"{label} {answer.decision_id}", "",
    ]  # fmt: skip
    return Letter(
        "\n".join(lines), language, wish.letters.version, told.code_map, told.codes, answer.decision_id, answer.decision
    )


def _refused(message: str, rule: str) -> InvalidInputError:
    return InvalidInputError(message, field="letter", rule=rule)
