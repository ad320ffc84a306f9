"""What was found wrong with versions that answer now: findings that came later, acceptances that ended or end soon."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from strongroom.approval.inheritance import Standing, family, hold, standing
from strongroom.approval.means import Means
from strongroom.registry.ports import RegistryBooks
from strongroom.validation.finding_rules import FindingsRule
from strongroom.validation.findings import DAY_US
from strongroom.validation.policy import ValidationPolicy
from strongroom.vocabulary import ModelRef, micros

Due = Literal["warning", "alert", "roll-back", "halt"]


@dataclass(frozen=True, slots=True)
class Watched:
    """One thing that holds up a version that answers, or will within the policy's days of warning.

    Attributes:
        ref: the version.
        stage: `champion` or `challenger`.
        what: was found, where, and how it stands.
        due: what the policy has done now; a warning where its acceptance ends soon.
    """

    ref: ModelRef
    stage: str
    what: Standing
    due: Due


def answering(books: RegistryBooks, means: Means) -> Iterator[tuple[str, ModelRef]]:
    """Versions that the pointers name now, with their stage."""
    for name in books.versions.models():
        pointer = means.publisher.pointer(name)
        if pointer is None:
            continue
        for stage, manifest in (("champion", pointer.champion), ("challenger", pointer.challenger)):
            if manifest is not None:
                yield stage, ModelRef(name, manifest)


def watch_live(books: RegistryBooks, means: Means, at: datetime) -> list[Watched]:
    """What holds up versions that answer, under the policy in force.

    Raises:
        TamperedError, NotAuthenticatedError, EvidenceError, NotFoundError: something signed does not hold, or the books
            lost what the governance log knows of.
    """
    rule, known, found = ValidationPolicy.decode(means.judging).finding_rule, family(books, means), []
    for stage, ref in answering(books, means):
        held = hold(known.of(ref), means.blobs.get, means.register)
        for what in standing(ref, held, rule, micros(at)):
            due = _due(what, rule, micros(at))
            if due is not None:
                found.append(Watched(ref, stage, what, due))
    return found


def _due(what: Standing, rule: FindingsRule, at_us: int) -> Due | None:
    live = rule.of_live
    if what.reason is not None:
        return live.then if at_us >= what.since_us + live.days * DAY_US else "alert"
    soon = at_us < what.since_us <= at_us + live.warn_days * DAY_US
    return "warning" if soon and what.severity in rule.block else None
