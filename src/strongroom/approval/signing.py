"""The person's side: recompute every digest from bytes, show what is being signed, sign, hand over signatures.

Runs where the person's key is, never on the control plane. What the control plane sends is taken as a claim; everything
that is signed was computed here from the papers themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from strongroom.approval.evidence import Judged, Register, author_of, check_as_validated, check_evidence, check_machines
from strongroom.approval.inheritance import Family, Held, Known, hold, seen_of, told, unsettled
from strongroom.approval.release import Release
from strongroom.approval.role_metadata import RoleMetadata, read_role, read_signed, release_path
from strongroom.approval.statements import (
    Approval,
    Finding,
    FindingSeen,
    GovernanceSeen,
    Halt,
    Lift,
    Review,
    ValidationVerdict,
    halt_id,
)
from strongroom.approval.trust_policy import DIAGRAM_PATH, TRUST_PATH, VALIDATION_PATH, read_trust_policy
from strongroom.encoding import canonical, parse_as
from strongroom.errors import EvidenceError, FourEyesError, InvalidInputError, NotFoundError, TamperedError
from strongroom.sealing.dsse import sign_envelope
from strongroom.sealing.keys import Signer
from strongroom.sealing.manifest import Manifest
from strongroom.sealing.statements import APPROVAL, HALT, LIFT, REVIEW, make_statement
from strongroom.validation.finding_rules import finding_rule_of
from strongroom.vocabulary import Digest, KeyId, ModelRef, PersonId, digest_of, instant, micros, one_line, rfc3339


@dataclass(frozen=True, slots=True)
class ReviewPapers:
    """What a validator reads before judging. All bytes.

    Attributes:
        ref: the version.
        manifest: format 4.
        evidence: envelopes by type: submission, scan, validation.
        results: the battery's results document.
        sample: digest of the validation sample, which the validator knows from having registered it.
        people: the people register.
        trust: the trust policy.
        tier: of the model.
    """

    ref: ModelRef
    manifest: bytes = field(repr=False)
    evidence: Mapping[str, bytes] = field(repr=False)
    results: bytes = field(repr=False)
    sample: Digest
    people: bytes = field(repr=False)
    trust: bytes = field(repr=False)
    tier: int


@dataclass(frozen=True, slots=True)
class ApprovalPapers:
    """What an approver reads before deciding. All bytes.

    Attributes:
        release: the release document (format 6).
        draft: the signed part of the role metadata to co-sign.
        published: the role's metadata as published now, or None before the first release.
        manifest: format 4.
        evidence: envelopes by type.
        policies: content by target path, every one that the release names.
        diagram: the BPMN file.
        people: the people register.
        kept: manifests of all versions of the room, and what was signed about findings of those that this one
            inherits from, by digest.
    """

    release: bytes = field(repr=False)
    draft: bytes = field(repr=False)
    published: bytes | None = field(repr=False)
    manifest: bytes = field(repr=False)
    evidence: Mapping[str, bytes] = field(repr=False)
    policies: Mapping[str, bytes] = field(repr=False)
    diagram: bytes = field(repr=False)
    people: bytes = field(repr=False)
    kept: Mapping[Digest, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class LogRead:
    """What the approver's own machine read in the governance log.

    Attributes:
        seen: the signed head; every leaf up to it was hashed and opened.
        versions: what its entries say of versions and their findings.
    """

    seen: GovernanceSeen
    versions: tuple[Known, ...]


@dataclass(frozen=True, slots=True)
class CheckedApproval:
    """Papers that hold together. Made by `check_approval_papers` alone; only this can be signed.

    Attributes:
        findings: not closed, of the version and of those that it inherits from, as the governance log has them.
        unsettled: why some of them hold the version up under the policy that the release names: it can be rejected,
            not approved.
    """

    release: Release
    digest: Digest
    draft: RoleMetadata
    judged: Judged
    governance: GovernanceSeen
    findings: tuple[FindingSeen, ...]
    unsettled: tuple[str, ...]

    def summary(self) -> str:
        """What is being signed, for the person to read."""
        release, plan = self.release, self.release.plan
        cut_offs = [f"{c.decision} below {c.below}" if c.below else c.decision for c in release.cut_offs]
        findings = self.judged.review.findings
        lines = [
            f"model        {release.model}, tier {release.tier}, version {release.manifest}",
            f"release      {self.digest}",
            f"case         {release.case}, diagram {release.diagram[:12]}",
            f"author       {self.judged.author.person}",
            f"validator    {self.judged.validator.person}: {self.judged.review.opinion}, {len(findings)} finding(s)",
            *(f"  finding    {f.id} ({f.severity}, {f.status}): {one_line(f.text)}" for f in findings),
            *(f"not closed   {told(seen)}" for seen in self.findings),
            *(f"held up by   {one_line(reason)}" for reason in self.unsettled),
            *(f"evidence     {item.type:<12} {item.sha256}" for item in release.evidence),
            f"environments {', '.join(release.environments)}; jurisdictions {', '.join(release.jurisdictions)}",
            f"purposes     {', '.join(release.purposes)}",
            f"valid        {rfc3339(instant(release.not_before_us))} to {rfc3339(instant(release.review_due_us))}",
            f"plan         {', '.join(plan.stages)}; canary up to {plan.max_canary_percent} %; "
            f"fallback {plan.fallback[:12] if plan.fallback else 'none'}",
            *([] if plan.on_failure is msgspec.UNSET else [f"on failure   {one_line(plan.on_failure.decision)}"]),
            *([] if plan.rules is msgspec.UNSET else [f"by itself    {rule}" for rule in plan.rules]),
            f"cut-offs     {', '.join(cut_offs)}",
            f"metadata     version {self.draft.version}, {len(self.draft.targets)} approved version(s), "
            f"digest {self.draft.digest}",
            f"governance   {self.governance.origin}, {self.governance.size} entries, root {self.governance.root[:12]}",
        ]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class SignedApproval:
    """What goes back to the control plane: signatures, no key.

    Attributes:
        envelope: the approval or rejection (DSSE).
        key_id: the approver's key.
        draft_signature: over the draft's signed part; None for a rejection.
    """

    envelope: bytes
    key_id: KeyId
    draft_signature: bytes | None


def check_review_papers(papers: ReviewPapers, at_us: int) -> ValidationVerdict:
    """Recompute what the machines say about a version.

    1. the manifest has the digest in `ref`;
    2. the submission is a registered author's signature over exactly its files;
    3. scan and validation are signed by services of the register, about this version, and did not fail;
    4. the results are those that the validation evidence names;
    5. the sample is the one that the validator registered.

    Returns:
        The validation's verdict.

    Raises:
        EvidenceError, TamperedError, NotAuthenticatedError: as named.
    """
    register = Register.read(papers.people)
    # 1
    manifest = Manifest.decode(papers.manifest, papers.ref.manifest)
    # 2
    author_of(papers.evidence["submission"], papers.ref, manifest, register)
    # 3
    policy = read_trust_policy(papers.trust)
    verdict = check_machines(papers.ref, papers.evidence, papers.tier, policy, register, at_us)
    # 4
    if verdict.results != digest_of(papers.results):
        raise TamperedError("the results are not those that the validation evidence names")
    # 5
    if verdict.sample != papers.sample:
        raise EvidenceError("the validation used another sample than the one that was registered")
    return verdict


def sign_review(
    papers: ReviewPapers,
    signer: Signer,
    person: PersonId,
    at_us: int,
    *,
    opinion: str,
    findings: Sequence[Finding] = (),
    rerun: bytes | None = None,
) -> bytes:
    """Check the papers and sign the validator's review.

    Args:
        papers: see `ReviewPapers`.
        signer: the validator's key.
        person: the validator.
        at_us: now.
        opinion: `fit` or `unfit`.
        findings: what was found.
        rerun: results of running the battery again, if that was done.

    Returns:
        The envelope.

    Raises:
        FourEyesError: the validator is the author.
        EvidenceError, InvalidInputError, TamperedError: the papers, or the opinion, do not hold.
    """
    check_review_papers(papers, at_us)
    register = Register.read(papers.people)
    manifest = Manifest.decode(papers.manifest, papers.ref.manifest)
    author_key = author_of(papers.evidence["submission"], papers.ref, manifest, register)
    if register.people.key_owner(author_key.key_id, at_us).person_id == person:
        raise FourEyesError(f"`{person}` is the author and cannot review; it needs someone else")
    if opinion not in ("fit", "unfit"):
        raise InvalidInputError("an opinion is `fit` or `unfit`", field="opinion", rule="choice")
    review = Review(
        v=1,
        opinion="fit" if opinion == "fit" else "unfit",
        findings=tuple(findings),
        sample=papers.sample,
        validation=digest_of(papers.evidence["validation"]),
        results=digest_of(papers.results),
        rerun=digest_of(rerun) if rerun is not None else None,
        person=person,
        at_us=at_us,
    )
    return sign_envelope(make_statement(papers.ref, REVIEW, review), signer)


def check_approval_papers(papers: ApprovalPapers, log: LogRead, at_us: int) -> CheckedApproval:
    """Recompute every digest that an approval names, from the papers themselves.

    1. the release document is canonical;
    2. manifest, evidence, policies and diagram have the digests that it names, no more and no fewer;
    3. the evidence holds: right signers, about this version, in its favour, author and validator different;
       model file, validation policy, numeric profile and monitors are those that were validated;
    4. the draft lists what is published now, unchanged, and this release: the same bytes as target and as `custom`;
    5. its version is the next one, it names all earlier drafts, expires at the latest review date and hands nothing on;
    6. of the version, and of all that it inherits findings from, everything that the governance log names is there and
       signed.

    Args:
        papers: as the control plane sent them.
        log: as this machine read it.
        at_us: now.

    Raises:
        TamperedError, EvidenceError, FourEyesError, NotAuthenticatedError: as named.
    """
    # 1
    try:
        release = parse_as(papers.release, Release)
    except InvalidInputError as error:
        raise TamperedError(f"the release document does not read: {error.message}") from error
    ref = ModelRef(release.model, release.manifest)
    # 2
    manifest = Manifest.decode(papers.manifest, release.manifest)
    named = {item.type: item.sha256 for item in release.evidence}
    if len(named) != len(release.evidence) or {k: digest_of(v) for k, v in papers.evidence.items()} != named:
        raise TamperedError("the evidence is not what the release document names")
    if {path: digest_of(data) for path, data in papers.policies.items()} != release.policies:
        raise TamperedError("the policies are not those that the release document names")
    if digest_of(papers.diagram) != release.diagram:
        raise TamperedError(f"the diagram is not the one that the release document names; see `{DIAGRAM_PATH}`")
    manifest.entry(release.artifact)
    # 3
    policy, register = read_trust_policy(papers.policies.get(TRUST_PATH, b"")), Register.read(papers.people)
    judged = check_evidence(ref, papers.evidence, manifest, release.tier, policy, register, at_us)
    check_as_validated(release, judged.validation, manifest)
    # 4, 5
    draft = check_draft(papers.draft, papers.published, release)
    # 6
    held = _findings_on_record(ref, papers, log, register)
    reasons = unsettled(ref, held, finding_rule_of(papers.policies.get(VALIDATION_PATH, b"")), at_us)
    findings = seen_of(held, at_us)
    return CheckedApproval(release, digest_of(papers.release), draft, judged, log.seen, findings, tuple(reasons))


def _findings_on_record(ref: ModelRef, papers: ApprovalPapers, log: LogRead, register: Register) -> tuple[Held, ...]:
    def read(digest: Digest) -> bytes:
        data = papers.kept.get(digest)
        if data is None or digest_of(data) != digest:
            raise TamperedError(
                f"the governance log names {digest[:12]}, and the control plane does not hand it over; call security"
            )
        return data

    try:
        return hold(Family(log.versions, read).of(ref), read, register)
    except NotFoundError as error:
        raise TamperedError(f"the governance log knows nothing of version {ref}; call security") from error


def check_draft(signed: bytes, published: bytes | None, release: Release) -> RoleMetadata:
    """A draft of a model's role adds this release to what is published, and nothing else.

    Raises:
        TamperedError: it does anything more or less.
    """
    draft = read_signed(signed)
    before = read_role(published) if published is not None else None
    content = canonical(release)
    path = release_path(release.model, release.manifest)
    entry = draft.targets.get(path)
    if entry is None or entry.sha256 != digest_of(content) or entry.length != len(content):
        raise TamperedError("the draft does not list this release document")
    if canonical(entry.custom) != content:
        raise TamperedError("the draft describes the release otherwise than its document")
    others = {key: value for key, value in draft.targets.items() if key != path}
    kept = {key: value for key, value in before.targets.items() if key != path} if before else {}
    if others != kept:
        raise TamperedError("the draft adds, drops or changes other versions")
    if draft.version != (before.version + 1 if before else 1) or draft.delegates:
        raise TamperedError("the draft is not the next version of the model's metadata")
    if draft.drafts != ((*before.drafts, before.digest) if before else ()):
        raise TamperedError("the draft does not name the metadata that came before it")
    due = max(int(item.custom["review_due_us"]) for item in draft.targets.values())
    if micros(draft.expires) > due:
        raise TamperedError("the draft expires later than the last review is due")
    return draft


def sign_approval(
    checked: CheckedApproval, signer: Signer, person: PersonId, at_us: int, conditions: Sequence[str] = ()
) -> SignedApproval:
    """Sign the approval and the metadata draft, in one sitting.

    Raises:
        FourEyesError: the person is author or validator.
        EvidenceError: a finding holds the version up.
    """
    for voice, part in ((checked.judged.author, "author"), (checked.judged.validator, "validator")):
        if person == voice.person or signer.public.key_id == voice.key:
            raise FourEyesError(f"`{person}` is {part} of this version; the approval needs someone else")
    if checked.unsettled:
        ref = ModelRef(checked.release.model, checked.release.manifest)
        raise EvidenceError(f"version {ref} is not ready: {checked.unsettled[0]}", lacks=len(checked.unsettled))
    approval = _decision(checked, person, at_us, "approve", tuple(conditions), "")
    return _signed(checked, approval, signer, signer.sign(checked.draft.signed))


def sign_rejection(
    checked: CheckedApproval, signer: Signer, person: PersonId, at_us: int, reason: str
) -> SignedApproval:
    """Sign a rejection with its reason; no metadata is signed.

    Raises:
        InvalidInputError: no reason given.
    """
    return _signed(checked, _decision(checked, person, at_us, "reject", (), reason), signer, None)


def sign_halt(ref: ModelRef, signer: Signer, person: PersonId, at_us: int, reason: str) -> bytes:
    """One person's halt of a model; `ref` is the version that gave the reason."""
    halt = Halt(v=1, model=ref.name, reason=reason, person=person, at_us=at_us)
    return sign_envelope(make_statement(ref, HALT, halt), signer)


def sign_lift(ref: ModelRef, halt_payload: bytes, signer: Signer, person: PersonId, at_us: int, reason: str) -> bytes:
    """One of the two voices that end a halt, named by the payload of its envelope."""
    lift = Lift(v=1, model=ref.name, halt=halt_id(halt_payload), reason=reason, person=person, at_us=at_us)
    return sign_envelope(make_statement(ref, LIFT, lift), signer)


def _decision(
    checked: CheckedApproval, person: PersonId, at_us: int, decision: str, conditions: tuple[str, ...], reason: str
) -> Approval:
    release = checked.release
    return Approval(
        v=1,
        manifest=release.manifest,
        release=checked.digest,
        evidence=release.evidence,
        policies=release.policies,
        diagram=release.diagram,
        case=release.case,
        decision="approve" if decision == "approve" else "reject",
        conditions=conditions,
        plan=release.plan,
        tuf_draft=checked.draft.digest if decision == "approve" else None,
        person=person,
        at_us=at_us,
        governance=checked.governance,
        reason=reason,
        findings=checked.findings,
    )


def _signed(
    checked: CheckedApproval, approval: Approval, signer: Signer, draft_signature: bytes | None
) -> SignedApproval:
    ref = ModelRef(checked.release.model, checked.release.manifest)
    envelope = sign_envelope(make_statement(ref, APPROVAL, approval), signer)
    return SignedApproval(envelope, signer.public.key_id, draft_signature)
