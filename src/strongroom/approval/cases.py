"""A case: one version's way through the bank's process, from submission to release or rejection."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from strongroom.approval.release import EvidenceRef
from strongroom.errors import ConflictError, FourEyesError, InvalidInputError
from strongroom.registry.versions import COMES_NEXT
from strongroom.vocabulary import Digest, ModelRef, PersonId, parse_digest

State = Literal["submitted", "scanned", "validated", "reviewed", "approved", "released", "rejected"]

_FROM: dict[str, tuple[State, State]] = {
    "scan": ("submitted", "scanned"),
    "validate": ("scanned", "validated"),
    "review": ("validated", "reviewed"),
}
_EVIDENCE = {"submission": "submit", "scan": "scan", "validation": "validate", "review": "review"}


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a case's history."""

    verb: str
    by: PersonId
    at_us: int
    reason: str = ""
    evidence: Digest | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """Immutable: every verb returns the next state or refuses.

    Attributes:
        id: name of the case, as approvals quote it.
        ref: the version it is about.
        diagram: digest of the BPMN file that this case follows to its end, even when a newer one is published.
        author: the person whose key signed the submission.
        validator: the person whose key signed the review, once there is one.
        approvers: persons who approved, in order.
        process: state of the engine, opaque here.
        revision: counts up with every change; guards against two writers.
    """

    id: str
    ref: ModelRef
    diagram: Digest
    author: PersonId
    state: State = "submitted"
    validator: PersonId | None = None
    approvers: tuple[PersonId, ...] = ()
    evidence: tuple[EvidenceRef, ...] = ()
    history: tuple[Step, ...] = ()
    process: str = field(default="", repr=False)
    revision: int = 1

    def __post_init__(self) -> None:
        parse_digest(self.diagram)

    @classmethod
    def opened(
        cls, case_id: str, ref: ModelRef, diagram: Digest, author: PersonId, submission: Digest, at_us: int
    ) -> Case:
        """A new case, on the author's signed submission."""
        return cls(
            id=case_id,
            ref=ref,
            diagram=diagram,
            author=author,
            evidence=(EvidenceRef(type="submission", sha256=submission),),
            history=(Step("submit", author, at_us, evidence=submission),),
        )

    def with_evidence(self, kind: str, digest: Digest, by: PersonId, at_us: int) -> Case:
        """The case after a scan, validation or review.

        Raises:
            ConflictError: it is not this step's turn.
            FourEyesError: the author reviews their own model.
        """
        verb = _EVIDENCE.get(kind)
        if verb is None or verb not in _FROM:
            raise InvalidInputError(f"`{kind}` is no evidence that a case collects", field="type")
        before, after = _FROM[verb]
        if self.state != before:
            raise self._not_now(verb, before)
        if kind == "review" and by == self.author:
            raise FourEyesError(f"case `{self.id}` needs someone other than its author `{by}` to review it")
        return self._next(
            Step(verb, by, at_us, evidence=digest),
            state=after,
            validator=by if kind == "review" else self.validator,
            evidence=(*self.evidence, EvidenceRef(type=kind, sha256=digest)),
        )

    def approved_by(self, by: PersonId, at_us: int, threshold: int, reason: str = "") -> Case:
        """The case after one more approval; `approved` once `threshold` different persons have said yes.

        Raises:
            ConflictError: it is not reviewed, or this person approved before.
            FourEyesError: the author or the validator approves.
        """
        if self.state != "reviewed":
            raise self._not_now("approve", "reviewed")
        if by in (self.author, self.validator):
            raise FourEyesError(f"case `{self.id}` needs someone other than `{by}`, who is its author or validator")
        if by in self.approvers:
            raise FourEyesError(f"case `{self.id}` needs someone other than `{by}`, who has approved it already")
        approvers = (*self.approvers, by)
        state: State = "approved" if len(approvers) >= max(2, threshold) else "reviewed"
        return self._next(Step("approve", by, at_us, reason), state=state, approvers=approvers)

    def rejected_by(self, by: PersonId, at_us: int, reason: str, evidence: Digest | None = None) -> Case:
        """The end of the case, with the signed rejection if there is one. A new submission opens another.

        Raises:
            InvalidInputError: no reason given.
            ConflictError: released or rejected already.
        """
        if not reason.strip():
            raise InvalidInputError("a rejection needs a reason", field="reason")
        if self.state in ("released", "rejected"):
            raise ConflictError(f"case `{self.id}` is {self.state} and cannot be rejected; halt the model instead")
        return self._next(Step("reject", by, at_us, reason, evidence), state="rejected")

    def released_by(self, by: PersonId, at_us: int) -> Case:
        """The case after its metadata was published.

        Raises:
            ConflictError: approvals are missing.
        """
        if self.state != "approved":
            raise self._not_now("release", "approved")
        return self._next(Step("release", by, at_us), state="released")

    def _not_now(self, verb: str, needed: State) -> ConflictError:
        return ConflictError(
            f"case `{self.id}` is {self.state}; `{verb}` needs a case that is {needed}; {COMES_NEXT[self.state]}"
        )

    def with_process(self, process: str) -> Case:
        """The same case with the engine's state after its last step; no step of its own."""
        return replace(self, process=process)

    def _next(self, step: Step, **changes: Any) -> Case:
        return replace(self, history=(*self.history, step), revision=self.revision + 1, **changes)
