"""Findings: what somebody found wrong with a model, who mends it by when, and what became of it.

Each step is a statement of one person, signed, about one version. A statement names the one before it about the same
finding, so none can be dropped or put in another order without showing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from strongroom.errors import ConflictError, FourEyesError, InvalidInputError, NotFoundError, TamperedError
from strongroom.validation.finding_rules import FindingsRule
from strongroom.validation.human_text import check_text
from strongroom.vocabulary import Digest, PersonId, instant, parse_digest, parse_name, rfc3339

Severity = Literal["low", "medium", "high"]
SEVERITIES: tuple[Severity, ...] = ("low", "medium", "high")
Status = Literal["open", "accepted", "expired", "closed"]
TEXT_LIMIT = 4000
DAY_US = 86_400_000_000
FAR_US = 3660 * DAY_US
"""No day in a statement lies further ahead than ten years."""


class Raised(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="step", tag="raise"):
    """A finding is entered.

    Attributes:
        severity: `high` blocks approval and release until it is accepted or closed.
        text: what is wrong.
        owner: the person of the register who mends it.
        due_us: by when.
        remediation: what is to be done.
    """

    severity: Severity
    text: str
    owner: PersonId
    due_us: int
    remediation: str

    def __post_init__(self) -> None:
        check_text(self.text, "text", TEXT_LIMIT)
        check_text(self.remediation, "remediation", TEXT_LIMIT)
        parse_name(self.owner, "owner")


class Accepted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="step", tag="accept"):
    """Somebody carries the risk until a day. After it the finding is open again by itself."""

    until_us: int
    reason: str

    def __post_init__(self) -> None:
        check_text(self.reason, "reason", TEXT_LIMIT)


class Closed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="step", tag="close"):
    """The finding is mended; `evidence` is the digest of the file that shows it, which the room keeps."""

    evidence: Digest
    name: str
    reason: str

    def __post_init__(self) -> None:
        parse_digest(self.evidence)
        check_text(self.name, "name", 200)
        check_text(self.reason, "reason", TEXT_LIMIT)


class FindingStep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Version 1 of the predicate `finding`.

    Attributes:
        finding: its name within the version, such as `f-1`.
        does: what is said of it.
        previous: digest of the payload of the statement before it about the same finding; None for the first.
        person: who says it.
        at_us: when, in microseconds since 1970.
    """

    v: Literal[1]
    finding: str
    does: Raised | Accepted | Closed
    previous: Digest | None
    person: PersonId
    at_us: int

    def __post_init__(self) -> None:
        parse_name(self.finding, "finding")
        if self.previous is not None:
            parse_digest(self.previous)
        if isinstance(self.does, Raised) != (self.previous is None):
            raise InvalidInputError(
                "the first statement about a finding raises it, and later ones name the one before",
                field="previous",
                rule="chain",
            )
        times = {Raised: "due_us", Accepted: "until_us"}.get(type(self.does))
        ends = getattr(self.does, times) if times else self.at_us + 1
        if self.at_us < 0 or not self.at_us < ends <= self.at_us + FAR_US:
            raise InvalidInputError(
                "a day by which something ends lies ahead, by ten years at most", field=times or "at_us", rule="future"
            )


@dataclass(frozen=True, slots=True)
class SignedStep:
    """A step whose signature was verified.

    Attributes:
        said: the statement.
        payload: digest of what was signed, by which the next step names it.
        envelope: digest of the signed statement.
        roles: of whoever signed it.
        leaked: that key is compromised by now. What was said against the model stands, for a forger gains nothing by it
            and somebody else can settle it; what was said in its favour counts no more.
    """

    said: FindingStep
    payload: Digest
    envelope: Digest
    roles: frozenset[str] = frozenset()
    leaked: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding with everything that was said of it, oldest first. `raised` is the first step."""

    name: str
    raised: Raised
    steps: tuple[SignedStep, ...]

    @property
    def last(self) -> SignedStep:
        """What was said last, which the next statement names."""
        return self.steps[-1]

    @property
    def counts(self) -> SignedStep:
        """What was said last of what counts: that it was raised always does."""
        return next((step for step in reversed(self.steps) if not step.leaked), self.steps[0])

    def status(self, at_us: int) -> Status:
        """How it stands at a moment."""
        does = self.counts.said.does
        if isinstance(does, Closed):
            return "closed"
        if isinstance(does, Accepted):
            return "accepted" if at_us < does.until_us else "expired"
        return "open"

    def overdue(self, at_us: int) -> bool:
        """Whether it is past its day and not closed."""
        return self.status(at_us) != "closed" and at_us >= self.raised.due_us

    def settled_by(self, at_us: int) -> str:
        """How it stands, in words with a date."""
        does, person, state = self.counts.said.does, self.counts.said.person, "open"
        if isinstance(does, Accepted):
            verb = "accepted until" if at_us < does.until_us else "acceptance expired on"
            state = f"{verb} {rfc3339(instant(does.until_us))[:10]} by {person}"
        if isinstance(does, Closed):
            state = f"closed by {person} with {does.name}"
        if self.last is not self.counts:
            state += f" (what `{self.last.said.person}` said since does not count: that key is compromised)"
        return state


def read_findings(steps: Sequence[SignedStep]) -> tuple[Finding, ...]:
    """The findings of a version from its steps, in the order in which they were raised.

    Args:
        steps: verified, in the order in which the room took them in.

    Raises:
        TamperedError: the steps do not follow one from another.
    """
    found: dict[str, Finding] = {}
    for step in steps:
        known = found.get(step.said.finding)
        if step.said.previous != (known.last.payload if known else None):
            raise TamperedError(f"what was said of finding `{step.said.finding}` does not follow from what came before")
        if known is None:
            if not isinstance(step.said.does, Raised):
                raise TamperedError(f"finding `{step.said.finding}` was never raised")
            found[step.said.finding] = Finding(step.said.finding, step.said.does, (step,))
        else:
            found[step.said.finding] = Finding(known.name, known.raised, (*known.steps, step))
    return tuple(found.values())


def find(findings: Sequence[Finding], name: str) -> Finding:
    """Raises NotFoundError: no finding of that name."""
    for finding in findings:
        if finding.name == name:
            return finding
    raise NotFoundError(f"no finding `{name[:63]}` was entered; `strongroom findings list` names those that were")


def check_step(
    step: FindingStep, findings: Sequence[Finding], roles: frozenset[str], author: PersonId, rule: FindingsRule
) -> None:
    """A step may follow: who says it may say it, and what it is about is where it says.

    Args:
        step: as signed.
        findings: of the version so far.
        roles: that the person holds.
        author: of the version.
        rule: of the policy in force.

    Raises:
        ConflictError: the name is taken, or the finding is closed, or was changed meanwhile.
        FourEyesError: the author, or whoever must mend it, settles it.
        InvalidInputError: accepted for too long.
        NotFoundError: no such finding.
    """
    if isinstance(step.does, Raised):
        if any(finding.name == step.finding for finding in findings):
            raise ConflictError(f"finding `{step.finding}` exists already; give this one another name")
        return
    finding = find(findings, step.finding)
    if isinstance(finding.counts.said.does, Closed):
        raise ConflictError(f"finding `{step.finding}` is closed; enter a new one if it came back")
    if step.previous != finding.last.payload:
        raise ConflictError(f"somebody else said something of finding `{step.finding}` meanwhile; read it again")
    _check_settled(step, finding.raised.owner, roles, author, rule)


def _check_settled(
    step: FindingStep, owner: PersonId, roles: frozenset[str], author: PersonId, rule: FindingsRule
) -> None:
    """Whoever accepts or closes is neither author nor owner, and accepts as the policy lets them.

    Raises:
        FourEyesError, InvalidInputError: as `check_step`.
    """
    if step.person in (author, owner):
        part = "wrote the model" if step.person == author else "must mend it"
        raise FourEyesError(f"finding `{step.finding}` needs someone other than `{step.person}`, who {part}")
    if isinstance(step.does, Accepted):
        if not roles & set(rule.accept):
            raise FourEyesError(
                f"`{step.person}` may not accept findings; by the policy a {' or '.join(rule.accept)} may",
                rule="accept",
            )
        if step.does.until_us - step.at_us > rule.max_accept_days * DAY_US:
            raise InvalidInputError(
                f"by the policy a finding is accepted for {rule.max_accept_days} days at most",
                field="until_us",
                rule="range",
            )


def unrightful(finding: Finding, author: PersonId, rule: FindingsRule) -> str | None:
    """Why what settled a finding does not count, in words; None where it counts, or nothing settled it.

    The control plane holds a step against the policy when it comes; whoever reads it later need not believe it.

    Args:
        finding: with its steps.
        author: of the version that it is about.
        rule: of the policy in force, which may have become stricter since.
    """
    step = finding.counts
    if isinstance(step.said.does, Raised):
        return None
    try:
        _check_settled(step.said, finding.raised.owner, step.roles, author, rule)
    except (FourEyesError, InvalidInputError) as error:
        return error.message
    return None


def blocking(findings: Sequence[Finding], rule: FindingsRule, at_us: int, of: str = "") -> tuple[str, ...]:
    """Why the findings block approval and release now, in words; empty where they do not.

    Args:
        findings: of one version.
        rule: of the policy in force.
        at_us: now.
        of: more words after each name, such as of which version it is.
    """
    return tuple(
        f"finding `{finding.name}`{of} is {finding.raised.severity} and {finding.settled_by(at_us)}"
        for finding in findings
        if finding.raised.severity in rule.block and finding.status(at_us) in ("open", "expired")
    )
