"""What people say over a model with their own key: the predicates of reviews, approvals, halts and lifts.

Each travels as an in-toto Statement about one manifest, in a DSSE envelope (`sealing.statements` has the type names).
`Approval` is format 9. All are format 1 documents: no floats, times in integer microseconds.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from strongroom.approval.release import EvidenceRef, Monitors, NumericProfile, Plan
from strongroom.errors import InvalidInputError
from strongroom.vocabulary import Digest, PersonId, digest_of, parse_digest, parse_name

TEXT_LIMIT = 4000


class Finding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing the validator found, and what became of it."""

    id: str
    severity: Literal["low", "medium", "high"]
    text: str
    status: Literal["open", "accepted", "closed"] = "open"

    def __post_init__(self) -> None:
        _text(self.id, "findings.id")
        _text(self.text, "findings.text")


class Review(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The independent validator's opinion.

    Attributes:
        opinion: `fit` or `unfit`; only `fit` lets a release through.
        sample: digest of the validation sample, which this validator chose and registered.
        validation: digest of the validation evidence (DSSE envelope) that was judged.
        results: digest of the machine's results (JSON) that the validation evidence names.
        rerun: digest of the results the validator got by running the battery again, or None if they did not. A `fit`
            opinion on different figures contradicts itself and is refused.
    """

    v: Literal[1]
    opinion: Literal["fit", "unfit"]
    findings: tuple[Finding, ...]
    sample: Digest
    validation: Digest
    results: Digest
    person: PersonId
    at_us: int
    rerun: Digest | None = None

    def __post_init__(self) -> None:
        for digest in (self.sample, self.validation, self.results):
            parse_digest(digest)
        if self.opinion == "fit":
            if self.rerun is not None and self.rerun != self.results:
                raise InvalidInputError("the figures of the re-run differ, so the opinion cannot be fit", field="rerun")
            if any(f.severity == "high" and f.status == "open" for f in self.findings):
                raise InvalidInputError("a high finding is open, so the opinion cannot be fit", field="findings")


class GovernanceSeen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The governance log as the signer saw it: it cannot be shortened below this later without showing."""

    origin: str
    size: int
    root: Digest


class FindingSeen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A finding that was not closed when an approver signed.

    Attributes:
        model, manifest: the version that it was entered about: the one approved, or one that it inherits from.
        finding: its name there.
        severity: as it was raised.
        step: digest of the payload of what was said of it last, which names all that was said before.
        until_us: until when somebody had accepted it; absent where nobody had.
    """

    model: str
    manifest: Digest
    finding: str
    severity: Literal["low", "medium", "high"]
    step: Digest
    until_us: int | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        parse_name(self.model, "model")
        parse_name(self.finding, "finding")
        parse_digest(self.manifest)
        parse_digest(self.step)


FINDINGS_LIMIT = 1000


class Approval(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Format 9: one approver's decision over exact digests.

    Attributes:
        manifest: of the version decided upon; the same as the statement's subject.
        release: SHA-256 of the canonical release document (format 6), which holds contracts, profile and monitors.
        evidence: every evidence envelope the approver checked, as in the release.
        policies: digests of the policies in force, as in the release.
        diagram, case: the process that was followed, and the case in it.
        conditions: in words, for people; what machines enforce stands in the release.
        plan: what operators may do without asking again, as in the release.
        tuf_draft: SHA-256 of the signed part of the role metadata that the approver signs in the same session;
            None for a rejection, which signs no metadata.
        governance: the head of the governance log; the approver's machine read every entry up to it.
        findings: what was found and is not closed, as that log and the signed statements that it names have it;
            absent in approvals from before.
    """

    v: Literal[1]
    manifest: Digest
    release: Digest
    evidence: tuple[EvidenceRef, ...]
    policies: dict[str, Digest]
    diagram: Digest
    case: str
    decision: Literal["approve", "reject"]
    conditions: tuple[str, ...]
    plan: Plan
    tuf_draft: Digest | None
    person: PersonId
    at_us: int
    governance: GovernanceSeen
    reason: str = ""
    findings: tuple[FindingSeen, ...] | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        parse_digest(self.manifest)
        self._check_findings()
        parse_digest(self.release)
        for condition in self.conditions:
            _text(condition, "conditions")
        if (self.decision == "approve") != (self.tuf_draft is not None):
            raise InvalidInputError("an approval, and it alone, names the metadata it co-signs", field="tuf_draft")
        if self.decision == "reject":
            _text(self.reason, "reason")

    def _check_findings(self) -> None:
        if isinstance(self.findings, msgspec.UnsetType):
            return
        names = [(seen.model, seen.manifest, seen.finding) for seen in self.findings]
        if names != sorted(set(names)) or len(names) > FINDINGS_LIMIT:
            raise InvalidInputError(
                f"up to {FINDINGS_LIMIT} findings, sorted, each once", field="findings", rule="order"
            )
        for seen in self.findings:
            carried = not isinstance(seen.until_us, msgspec.UnsetType) and seen.until_us > self.at_us
            if self.decision == "approve" and seen.severity == "high" and not carried:
                raise InvalidInputError(
                    f"finding `{seen.finding}` is high and nobody accepts it, so the decision cannot be `approve`",
                    field="findings",
                    rule="open",
                )


class Halt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One named person stops a model, all versions of it. The subject is the version that gave the reason."""

    v: Literal[1]
    model: str
    reason: str
    person: PersonId
    at_us: int

    def __post_init__(self) -> None:
        _text(self.reason, "reason")


class Lift(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the two voices that end one halt; `halt` is the digest of the payload of that halt."""

    v: Literal[1]
    model: str
    halt: Digest
    reason: str
    person: PersonId
    at_us: int

    def __post_init__(self) -> None:
        _text(self.reason, "reason")
        parse_digest(self.halt)


class MachineVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What scan evidence must say, whatever else it holds: only `pass` lets a release through."""

    verdict: str


class ValidationVerdict(MachineVerdict, frozen=True, kw_only=True):
    """What validation evidence must say, whatever else it holds (`validation.results.ValidationPredicate`).

    Attributes:
        sample: manifest digest of the validator's sample.
        results: digest of the results document.
        artifact_sha256: the file that was tested.
        policy_sha256: the validation policy that it was judged by.
        profile, monitors: what the release must carry.
    """

    sample: Digest
    results: Digest
    artifact_sha256: Digest
    policy_sha256: Digest
    profile: NumericProfile
    monitors: Monitors


def halt_id(payload: bytes) -> Digest:
    """The name by which lifts refer to a halt: the digest of the signed payload.

    Not of the envelope: an ECDSA signature can be rewritten by anyone into another valid one.
    """
    return digest_of(payload)


def _text(value: str, field: str) -> None:
    if not value.strip() or len(value) > TEXT_LIMIT:
        raise InvalidInputError(f"`{field}` needs 1 to {TEXT_LIMIT} characters of text", field=field, rule="text")
