"""Canary: for a share of the data subjects the challenger answers instead of the champion.

Which subjects is decided by a keyed hash under a secret of the release that no caller has, so nobody can choose an arm
or guess another's. A subject stays in its arm on every worker and after every restart, and whoever is in at 5 % is in
at 10 %.

Source: HKDF, RFC 5869; HMAC, RFC 2104.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from strongroom.errors import StrongroomError
from strongroom.serving.answer import Explained
from strongroom.serving.asked import Answered, Asked, Caller, Share
from strongroom.serving.question import Question
from strongroom.serving.served import ServedModel
from strongroom.serving.standby import ID_SIZE
from strongroom.vocabulary import Digest

SECRET_SIZE: Final = 32
_CONTEXT: Final = b"strongroom/canary/v1\n"
_SPACE: Final = 1 << 64


def canary_secret(secret: bytes, release: Digest) -> bytes:
    """The secret of one release, derived from one that the nodes of a room share and callers do not have.

    Args:
        secret: at least 32 bytes.
        release: of the challenger.
    """
    return HKDF(hashes.SHA256(), SECRET_SIZE, None, _CONTEXT + bytes.fromhex(release)).derive(secret)


@dataclass(frozen=True, slots=True)
class Canary:
    """A challenger that answers a share of the subjects.

    Attributes:
        challenger: answers that share.
        percent: the share, 1 to 100.
        secret: of the challenger's release.
    """

    challenger: ServedModel
    percent: int
    secret: bytes = field(repr=False)

    def takes(self, subject: str) -> bool:
        """Whether the challenger answers this subject."""
        share = int.from_bytes(hmac.digest(self.secret, subject.encode(), "sha256")[:8], "big")
        return share * 100 < self.percent * _SPACE


def same_question(one: ServedModel, other: ServedModel) -> bool:
    """Whether what was read for `one` can be put to `other`, and both answers read alike."""
    mine, theirs = one.release, other.release
    return (
        mine.input.tensor == theirs.input.tensor
        and one.inputs.names == other.inputs.names
        and mine.output.name == theirs.output.name
        and mine.input.max_rows <= theirs.input.max_rows
    )


def covers(one: ServedModel, other: ServedModel) -> bool:
    """Whether `other` is released for everything that `one` is released for, and can be put its questions."""
    mine, theirs = one.release, other.release
    return same_question(one, other) and all(
        set(getattr(mine, name)) <= set(getattr(theirs, name)) for name in ("environments", "jurisdictions", "purposes")
    )


def divide(asked: Asked, canary: Canary, arms: Sequence[bool], standby: tuple[ServedModel, ...], base: bytes) -> None:
    """Make one request two, one for each arm, that are decided in one batch and answered as one.

    Args:
        asked: for the champion, with its question; its `parts` are set.
        canary: takes the rows where `arms` is true.
        arms: one for each row, both kinds present.
        standby: of the challenger.
        base: 16 fresh random bytes, the decision id of the first row.
    """
    question = asked.question
    if question is None:
        raise ValueError("a request without a question has no rows to divide")
    values = np.asarray(question.values)
    mine = np.flatnonzero(~np.asarray(arms))
    theirs = np.flatnonzero(np.asarray(arms))
    joiner = _Joiner(asked, 2)
    parts = []
    for served, rows, behind in ((asked.served, mine, asked.standby), (canary.challenger, theirs, standby)):
        chosen = tuple(int(row) for row in rows)
        part_of = msgspec.structs.replace(
            question,
            rows=len(chosen),
            values=values[rows],
            subjects=tuple(question.subjects[row] for row in chosen),
        )
        part = Asked(joiner, asked.principal, asked.labels, asked.policy, served, part_of, standby=behind)
        part.share = Share(chosen, int.from_bytes(base[:ID_SIZE], "big"))
        parts.append(part)
    asked.parts = tuple(parts)


class _Joiner:
    """The caller of the parts: answers the whole once all of them are answered, or refuses it once."""

    def __init__(self, whole: Asked, parts: int) -> None:
        self._whole = whole
        self._waiting = parts
        self._answers: list[Answered] = []
        self._refused: StrongroomError | None = None

    def answered(self, answered: Answered) -> None:
        self._answers.append(answered)
        self._landed()

    def refused(self, error: StrongroomError, decision_id: str | None) -> None:  # noqa: ARG002  # a `Caller`
        self._refused = self._refused or error
        self._landed()

    def _landed(self) -> None:
        self._waiting -= 1
        if self._waiting:
            return
        caller: Caller = self._whole.caller
        question = self._whole.question
        if self._refused is not None:
            caller.refused(self._refused, None)
        elif question is not None:
            caller.answered(_whole_of(question, self._whole, self._answers))


def _whole_of(question: Question, asked: Asked, answers: Sequence[Answered]) -> Answered:
    rows = question.rows
    base = asked.parts[0].share.base if asked.parts[0].share is not None else 0
    ids = [f"{(base + row) % (1 << 8 * ID_SIZE):032x}" for row in range(rows)]
    scores = np.empty(rows, np.float32)
    decisions = [""] * rows
    versions: list[ServedModel | None] = [None] * rows
    receipts: list[bytes] | None = [b""] * rows if question.receipt else None
    failed = None
    guarded: list[str] | None = None
    explained: list[Explained | None] = [None] * rows
    place_of = {decision_id: row for row, decision_id in enumerate(ids)}
    for answer in answers:
        failed = failed or answer.failed
        if answer.guarded is not None:
            guarded = guarded or [""] * rows
            for decision_id, mark in zip(answer.decision_ids, answer.guarded, strict=True):
                guarded[place_of[decision_id]] = mark
        for place, decision_id in enumerate(answer.decision_ids):
            row = place_of[decision_id]
            scores[row], decisions[row], versions[row] = answer.scores[place], answer.decisions[place], answer.served
            if answer.explained is not None:
                explained[row] = answer.explained[place]
            if receipts is not None and answer.receipts is not None:
                receipts[row] = answer.receipts[place]
    found = tuple(one for one in versions if one is not None)
    if len(found) != rows:
        raise ValueError("the parts of a request do not make it whole")
    reasons = [one for one in explained if one is not None]
    return Answered(
        found[0], question, ids, scores, decisions, receipts, found, failed, guarded,
        reasons if len(reasons) == rows else None,
    )  # fmt: skip
