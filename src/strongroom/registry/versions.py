"""Versions of models. What a version holds never changes; how far it has come does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import pairwise
from types import MappingProxyType
from typing import Final, Literal

from strongroom.errors import ConflictError, FourEyesError, NotFoundError
from strongroom.registry.contract import ModelContract
from strongroom.sealing.packages import Sealed
from strongroom.vocabulary import Digest, ModelRef, PersonId

State = Literal["submitted", "scanned", "validated", "reviewed", "approved", "released", "rejected", "retired"]

NEXT: Final[Mapping[State, frozenset[State]]] = MappingProxyType(
    {
        "submitted": frozenset({"scanned", "rejected"}),
        # Machines may be asked again (a new policy, a second run); a person's judgement may only go on or end.
        "scanned": frozenset({"scanned", "validated", "rejected"}),
        "validated": frozenset({"validated", "reviewed", "rejected"}),
        "reviewed": frozenset({"approved", "rejected"}),
        "approved": frozenset({"released", "rejected", "retired"}),
        "released": frozenset({"retired"}),
        "rejected": frozenset(),
        "retired": frozenset(),
    }
)


COMES_NEXT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "submitted": "next is `strongroom scan`",
        "scanned": "next are `strongroom sample` and `strongroom validate`",
        "validated": "next is `strongroom review`, by the validator",
        "reviewed": "next are `strongroom propose` and `strongroom approve`, by two approvers",
        "approved": "next is `strongroom release`",
        "released": "it went the whole way",
        "rejected": "its author submits another version",
        "retired": "its author submits another version",
    }
)
"""What follows on a state, for whoever came too early or too late."""

PaperKind = Literal["section", "finding", "replication"]


@dataclass(frozen=True, slots=True)
class Sample:
    """The validation sample that an independent validator registered for one version.

    Attributes:
        by: the validator.
        registered_at: aware, UTC.
        statement: digest of the signed `sample` statement.
        sealed: where the rows lie, encrypted; `sealed.manifest` is the sample's identity.
    """

    by: PersonId
    registered_at: datetime
    statement: Digest
    sealed: Sealed


@dataclass(frozen=True, slots=True)
class Paper:
    """A signed statement about a version that is no step of its way: a person's words for its report, a step of a
    finding, or what came of training it again.

    Attributes:
        kind: `section`, `finding` or `replication`.
        statement: digest of the signed statement.
    """

    kind: PaperKind
    statement: Digest


@dataclass(frozen=True, slots=True)
class Version:
    """One immutable version of a model, and its state.

    Attributes:
        ref: name and manifest digest.
        author: who signed and submitted it.
        submitted_at: aware, UTC.
        contract: `model.toml` of the package.
        bundle: digest of the author's model signature (evidence type `submission`).
        sealed: where its files lie, encrypted.
        state: how far it has come.
        sample: the validation sample, once registered.
        evidence: digests of signed statements by type (`scan`, `validation`, `review`), the latest of each.
        papers: what was signed about it besides, in the order in which the room took it in; only ever added to.
    """

    ref: ModelRef
    author: PersonId
    submitted_at: datetime
    contract: ModelContract
    bundle: Digest
    sealed: Sealed
    state: State = "submitted"
    sample: Sample | None = None
    evidence: Mapping[str, Digest] = field(default_factory=dict, hash=False)
    papers: tuple[Paper, ...] = ()

    def __post_init__(self) -> None:
        if self.submitted_at.tzinfo is None:
            raise ValueError("submitted_at needs a time zone")
        if self.sealed.manifest != self.ref.manifest or self.contract.name != self.ref.name:
            raise ValueError("a version's reference, contract and files are one")
        if "submission" in self.evidence:
            raise ValueError("the submission is the bundle; it is not listed twice")
        object.__setattr__(self, "evidence", MappingProxyType(dict(self.evidence)))

    @property
    def parent(self) -> Digest | None:
        """The manifest digest of the version it replaces, as its author states."""
        return Digest(self.contract.lineage.parent) if self.contract.lineage.parent else None

    def advanced(self, state: State, **evidence: Digest) -> Version:
        """The version one step on.

        Args:
            state: where to.
            evidence: digests of the statements that carried the step, by type.

        Raises:
            ConflictError: the step does not follow from the present state.
        """
        if state not in NEXT[self.state]:
            raise ConflictError(
                f"version {self.ref} is {self.state}, so it cannot become {state}; {COMES_NEXT[self.state]}"
            )
        return replace(self, state=state, evidence={**self.evidence, **evidence})

    def with_paper(self, paper: Paper) -> Version:
        """The version with one more signed statement about it.

        Raises:
            ConflictError: this very statement is there already, or it is no finding and the version came to its end.
        """
        if paper in self.papers:
            raise ConflictError("this statement is on the shelf already")
        if self.state in ("rejected", "retired") and paper.kind != "finding":
            # what was found wrong holds up later versions, so it can be settled at any time
            raise ConflictError(f"version {self.ref} is {self.state}; nothing is added to it any more")
        return replace(self, papers=(*self.papers, paper))

    def papers_of(self, kind: PaperKind) -> tuple[Digest, ...]:
        """Digests of the statements of one kind, oldest first."""
        return tuple(paper.statement for paper in self.papers if paper.kind == kind)

    def with_sample(self, sample: Sample) -> Version:
        """The version with its validation sample.

        Raises:
            FourEyesError: the sample comes from the model's author.
            ConflictError: a sample is registered already, or the version is past validation.
        """
        if sample.by == self.author:
            raise FourEyesError(f"version {self.ref} needs a validation sample from someone other than `{self.author}`")
        if self.sample is not None:
            raise ConflictError(
                f"version {self.ref} has a validation sample already; reject it and submit a new version"
            )
        if self.state not in ("submitted", "scanned"):
            raise ConflictError(f"version {self.ref} is {self.state}; a sample comes before validation")
        return replace(self, sample=sample)

    def rewrapped(self, wrapped: Digest, sample: Digest | None = None) -> Version:
        """The version after its data keys were wrapped under another KEK: no other digest changes.

        Args:
            wrapped: the new wrapped-keys document of the package.
            sample: that of the validation sample, if there is one.
        """
        kept = self.sample
        if kept is not None and sample is not None:
            kept = replace(kept, sealed=replace(kept.sealed, wrapped=sample))
        return replace(self, sealed=replace(self.sealed, wrapped=wrapped), sample=kept)


@dataclass(frozen=True, slots=True)
class PointerChange:
    """What answers from `at` on: a whole state, so that one row says everything.

    Attributes:
        model: name.
        sequence: counts up by one per model, from 1.
        at: aware, UTC.
        by: whose decision.
        champion: version that answers, or None.
        challenger: version beside it, or None.
        canary_percent: share of the challenger, 0 for shadow.
        halted: nothing answers, whatever champion says.
        reason: in the words of `by`.
    """

    model: str
    sequence: int
    at: datetime
    by: PersonId
    champion: Digest | None
    challenger: Digest | None = None
    canary_percent: int = 0
    halted: bool = False
    reason: str = ""


def live_at(changes: Sequence[PointerChange], at: datetime) -> PointerChange:
    """What was live at a moment, and by whose decision.

    Args:
        changes: of one model, in any order.
        at: aware.

    Raises:
        NotFoundError: nothing had been decided yet.
        ConflictError: two changes carry one sequence number, or time runs against the sequence.
    """
    ordered = sorted(changes, key=lambda change: change.sequence)
    for before, after in pairwise(ordered):
        if before.sequence == after.sequence or before.at > after.at:
            raise ConflictError(f"the pointer history of `{after.model}` is out of order at {after.sequence}")
    past = [change for change in ordered if change.at <= at]
    if not past:
        raise NotFoundError("no version was live at that time")
    return past[-1]


def find(versions: Sequence[Version], start: str) -> Version:
    """The version whose manifest digest starts with `start` (at least 8 digits).

    Raises:
        NotFoundError: none does.
        ConflictError: several do; give more digits.
    """
    found = [version for version in versions if len(start) >= 8 and version.ref.manifest.startswith(start)]
    if not found:
        raise NotFoundError(f"no version starts with `{start[:64]}`; give at least 8 digits of its manifest digest")
    if len(found) > 1:
        raise ConflictError(f"{len(found)} versions start with `{start}`; give more digits")
    return found[0]
