"""Gather what a model's report is made of, with every signature verified; and hold approval and release against it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Protocol, TypeVar

import msgspec

from strongroom.approval.evidence import SKEW_US, author_of
from strongroom.approval.four_eyes import voice_of
from strongroom.approval.inheritance import Held, Known, hold, read_review, unsettled
from strongroom.approval.means import Capital, Means, proposed
from strongroom.approval.papers import findings_of, sections_of
from strongroom.approval.release import Release
from strongroom.approval.statements import Approval
from strongroom.encoding import canonical
from strongroom.errors import ConflictError, EvidenceError, NotFoundError, TamperedError
from strongroom.registry.bill import bill_of_materials
from strongroom.registry.kinds import CONTRACTS
from strongroom.registry.samples import SampleStatement
from strongroom.registry.versions import Version
from strongroom.sealing.manifest import Manifest
from strongroom.sealing.statements import APPROVAL, REPLICATION, SAMPLE, SCAN, VALIDATION
from strongroom.validation.human_text import current
from strongroom.validation.policy import ValidationPolicy
from strongroom.validation.reporting.chapters import lacking
from strongroom.validation.reporting.dossier import (
    Before,
    Decision,
    Dossier,
    Event,
    Opinion,
    Terms,
    VersionLine,
    gaps,
    tier_gap,
)
from strongroom.validation.reporting.training_chapter import replication_gap
from strongroom.validation.results import BatteryResults, ValidationPredicate
from strongroom.validation.scans.scan import ScanPredicate
from strongroom.validation.workshop.replication import ReplicationPredicate
from strongroom.vocabulary import Digest, KeyId, ModelRef, PersonId, digest_of, micros

TOLD = 5
"""Reasons at most in one refusal."""


def gather(
    version: Version,
    means: Means,
    at: datetime,
    *,
    policy: bytes,
    policy_signer: PersonId | None = None,
    events: Sequence[Event] = (),
    origin: str = "",
    command: str = "",
    failed: Digest | None = None,
    versions: Sequence[Version] = (),
    kin: Sequence[Known] = (),
    capital: Capital | None = None,
) -> Dossier:
    """The dossier of a version as it stood at a moment.

    Args:
        version: of the registry.
        means: what the verbs of approval work with.
        at: what was signed later is left out.
        policy: that judged the battery, or the one in force.
        policy_signer: of the risk function.
        events: of the governance log, about the model.
        origin: of that log.
        command: that draws the report again.
        failed: the latest validation that was not passed, for a version that no other was found for.
        versions: of the model, all of them.
        kin: versions that it inherits findings from.
        capital: draws up what results come to in capital.

    Raises:
        TamperedError, NotAuthenticatedError, EvidenceError: something signed does not hold.
        NotFoundError, UnavailableError: a blob is gone.
    """
    register, blobs, at_us = means.register, means.blobs, micros(at)
    manifest = Manifest.decode(blobs.get(version.sealed.manifest), version.ref.manifest)
    author_key = author_of(blobs.get(version.bundle), version.ref, manifest, register)
    scan = _stated(version, "scan", SCAN, "scanner", ScanPredicate, means, at_us)
    validation = _stated(version, "validation", VALIDATION, "validation-service", ValidationPredicate, means, at_us)
    proof = version.evidence.get("validation") if validation else failed
    if validation is None and failed is not None:
        validation = _by_service(failed, version, VALIDATION, "validation-service", ValidationPredicate, means, at_us)
    repetitions = [(said, leaked) for said, leaked in _repetitions(version, means) if said.at_us <= at_us]
    repeated = [said for said, leaked in repetitions if not leaked]
    results = None
    if validation is not None:
        results = blobs.get(validation.results)
        if digest_of(results) != validation.results or digest_of(policy) != validation.policy_sha256:
            raise TamperedError(f"the results of {version.ref}, or their policy, are not those that were signed")
    found_results = BatteryResults.decode(results) if results is not None else None
    before = _before(version, versions, means, at_us)
    opinion = _opinion(version, means, at_us)
    sample = None
    if version.sample is not None and micros(version.sample.registered_at) <= at_us:
        sample, _ = register.statement(blobs.get(version.sample.statement), version.ref, SAMPLE, SampleStatement)
    decisions = _decisions(version, means, at_us)
    texts = [text for text in sections_of(version, blobs, register) if text.said.at_us <= at_us]
    found = findings_of(version, blobs, register, at_us)
    inherited = tuple(
        (one.ref, finding)
        for one in hold(kin, blobs.get, register, at_us)
        if one.ref != version.ref
        for finding in one.findings
        if finding.status(at_us) != "closed"
    )
    evidence = {"submission": version.bundle}
    evidence |= {"scan": version.evidence["scan"]} if scan else {}
    evidence |= {"validation": proof} if validation and proof else {}
    evidence |= {"review": version.evidence["review"]} if opinion else {}
    return Dossier(
        ref=version.ref,
        contract=version.contract,
        author=version.author,
        author_key=author_key.key_id,
        submitted_us=micros(version.submitted_at),
        as_of_us=at_us,
        policy=ValidationPolicy.decode(policy),
        policy_sha256=digest_of(policy),
        policy_signer=policy_signer,
        results=found_results,
        results_sha256=digest_of(results) if results is not None else None,
        validation=validation,
        scan=scan,
        replication=repeated[-1] if repeated else None,
        replication_leaked=len(repetitions) > len(repeated),
        sample=sample,
        bill_sha256=_bill(version, scan),
        evidence=tuple(evidence.items()),
        texts=current(texts),
        findings=found,
        inherited=inherited,
        opinion=opinion,
        decisions=decisions,
        # before the first decision the terms are a draft that may change without a trace
        terms=_terms(version, means) if decisions else None,
        origin=origin,
        events=tuple(event for event in events if event.at_us <= at_us),
        versions=tuple(
            VersionLine(one.ref.manifest, one.author, micros(one.submitted_at), one.contract.lineage.parent)
            for one in sorted(versions, key=lambda one: (one.submitted_at, one.ref.manifest))
            if micros(one.submitted_at) <= at_us
        ),
        before=before,
        capital=() if capital is None else capital(version.contract, found_results, before.results if before else None),
        command=command,
    )


def demand_ready(version: Version, means: Means, at: datetime, held: Sequence[Held]) -> None:
    """Hold a version's findings and report against the policy in force, before somebody approves or releases it.

    Args:
        version: of the registry.
        means: what the verbs of approval work with.
        at: now.
        held: findings of the version and of all that it inherits from: what was found wrong with one is wrong with this
            one, too, until somebody settles it there.

    Raises:
        EvidenceError: a finding blocks, or the report lacks what the policy demands. The message names the section and
            the verb that helps; `details["lacks"]` counts what is missing.
        ExpiredError: the policy is not in force.
    """
    policy = ValidationPolicy.decode(means.judging).in_force(micros(at))
    reasons = unsettled(version.ref, held, policy.finding_rule, micros(at))
    contract = version.contract
    battery = policy.battery(contract.kind, contract.tier, contract.jurisdictions)
    demanded = battery.demanded
    if any(demand.by is msgspec.UNSET for demand in demanded):
        reasons += lacking(_judged_now(version, means, at, policy))
    elif demanded or any(one is not msgspec.UNSET for one in (policy.tiering, battery.replication)):
        # no section may be filled by machines alone, so there is no need to draw them up
        texts = current(sections_of(version, means.blobs, means.register))
        repeated = replications_of(version, means)
        found = [
            tier_gap(version.ref, policy, contract.tier, version.author, texts),
            *(gap.message for gap in gaps(version.ref, version.author, demanded, texts, frozenset())),
            replication_gap(version.ref, contract, battery.replication, repeated[-1] if repeated else None),
        ]
        reasons += [one for one in found if one is not None]
    if reasons:
        more = (
            f"; and {len(reasons) - TOLD} more, which `strongroom report {version.ref}` shows"
            if len(reasons) > TOLD
            else ""
        )
        told = "; also ".join(reasons[:TOLD])
        raise EvidenceError(f"version {version.ref} is not ready: {told}{more}", lacks=len(reasons))


def demand_settled(ref: ModelRef, means: Means, at: datetime, held: Sequence[Held]) -> None:
    """Hold a released version's findings against the policy in force, before it answers more than it does.

    Raises:
        EvidenceError: a finding blocks.
    """
    rule = ValidationPolicy.decode(means.judging).finding_rule
    if reasons := unsettled(ref, held, rule, micros(at)):
        raise EvidenceError(f"version {ref} may answer no more than it does: {reasons[0]}", lacks=len(reasons))


def review_findings(version: Version, means: Means, at: datetime) -> frozenset[str]:
    """Names of the findings in a version's signed review; none before it."""
    review = _opinion(version, means, micros(at) + SKEW_US)
    return frozenset(one.name for one in review.findings) if review else frozenset()


def _judged_now(version: Version, means: Means, at: datetime, policy: ValidationPolicy) -> Dossier:
    """The dossier with its figures judged by whatever judged them, and its sections by the policy in force."""
    predicate = _stated(version, "validation", VALIDATION, "validation-service", ValidationPredicate, means, micros(at))
    judged = means.validation if predicate is None else policy_bytes(predicate.policy_sha256, means)
    return replace(gather(version, means, at, policy=judged, capital=means.capital), policy=policy)


def policy_bytes(digest: Digest, means: Means) -> bytes:
    """A validation policy of this room by its digest: the one in force, or one that judged before.

    Raises:
        NotFoundError: the room has never judged by it.
    """
    if digest_of(means.validation) == digest:
        return means.validation
    return means.blobs.get(digest)


class _Dated(Protocol):
    @property
    def at_us(self) -> int: ...


T = TypeVar("T", bound=_Dated)


def _stated(
    version: Version, kind: str, predicate_type: str, role: str, shape: type[T], means: Means, at_us: int
) -> T | None:
    if kind not in version.evidence:
        return None
    return _by_service(version.evidence[kind], version, predicate_type, role, shape, means, at_us)


def _by_service(
    statement: Digest, version: Version, predicate_type: str, role: str, shape: type[T], means: Means, at_us: int
) -> T | None:
    """What a service said of a version in a signed statement; None where it said so later."""
    found, key = means.register.statement(means.blobs.get(statement), version.ref, predicate_type, shape)
    if found.at_us > at_us:
        return None
    voice_of(means.register.people, key, found.at_us, role)
    return found


def _bill(version: Version, scan: ScanPredicate | None) -> Digest:
    """The bill of materials by its digest: as the scan signed it; of older scans, as the record gives it."""
    if scan is not None and not isinstance(scan.bill, msgspec.UnsetType):
        return scan.bill
    return digest_of(bill_of_materials(version, CONTRACTS[version.contract.kind].outcome))


def _before(version: Version, versions: Sequence[Version], means: Means, at_us: int) -> Before | None:
    """The version that this one replaces, if it is among those of the model, with the figures that were signed. A key
    that is compromised by now takes them away, and not the report of whoever comes after."""
    parent = version.contract.lineage.parent
    for one in versions:
        if one.ref.manifest == parent and one.ref != version.ref:
            if (key := _leaked(one, means, at_us)) is not None:
                return Before(one.ref, one.contract, None, key)
            said = _stated(one, "validation", VALIDATION, "validation-service", ValidationPredicate, means, at_us)
            data = None if said is None else means.blobs.get(said.results)
            if said is not None and data is not None and digest_of(data) != said.results:
                raise TamperedError(f"the results of {one.ref} are not those that were signed")
            return Before(one.ref, one.contract, None if data is None else BatteryResults.decode(data))
    return None


def _leaked(version: Version, means: Means, at_us: int) -> KeyId | None:
    """The key that signed a version's validation up to a moment, if it is compromised by now."""
    if "validation" not in version.evidence:
        return None
    envelope = means.blobs.get(version.evidence["validation"])
    said, key = means.register.statement(envelope, version.ref, VALIDATION, ValidationPredicate)
    return key if said.at_us <= at_us and means.register.people.leaked(key) else None


def replications_of(version: Version, means: Means) -> tuple[ReplicationPredicate, ...]:
    """What came of training a version again, oldest first, every signature verified. What was signed by a key that is
    compromised by now is left out, so that somebody repeats it anew.

    Raises:
        TamperedError, NotAuthenticatedError, EvidenceError: one does not hold.
        NotFoundError: one is gone.
    """
    return tuple(said for said, leaked in _repetitions(version, means) if not leaked)


def _repetitions(version: Version, means: Means) -> Iterator[tuple[ReplicationPredicate, bool]]:
    """What came of training a version again, and whether the key that says so is compromised by now."""
    register = means.register
    for digest in version.papers_of("replication"):
        said, key = register.statement(means.blobs.get(digest), version.ref, REPLICATION, ReplicationPredicate)
        voice_of(register.people, key, said.at_us, "validation-service", even_leaked=True)
        yield said, register.people.leaked(key)


def stored_bill(version: Version, means: Means) -> bytes | None:
    """The bill of materials as the scan stored it; None before a scan, or where the scan is from before bills.

    Raises:
        TamperedError, NotAuthenticatedError, EvidenceError: the scan's statement does not hold, or the bill is not the
            one that it names.
        NotFoundError: it is gone.
    """
    if "scan" not in version.evidence:
        return None
    envelope = means.blobs.get(version.evidence["scan"])
    found, key = means.register.statement(envelope, version.ref, SCAN, ScanPredicate)
    voice_of(means.register.people, key, found.at_us, "scanner")
    if isinstance(found.bill, msgspec.UnsetType):
        return None
    stored = means.blobs.get(found.bill)
    if digest_of(stored) != found.bill:
        raise TamperedError(f"the bill of materials of {version.ref} is not the one that was signed")
    return stored


def _opinion(version: Version, means: Means, at_us: int) -> Opinion | None:
    if "review" not in version.evidence:
        return None
    return read_review(means.blobs.get(version.evidence["review"]), version.ref, means.register, at_us)


def _decisions(version: Version, means: Means, at_us: int) -> tuple[Decision, ...]:
    found = []
    for envelope in means.shelf.approvals_by_key(version.ref).values():
        said, key = means.register.statement(envelope, version.ref, APPROVAL, Approval)
        if said.at_us > at_us:
            continue
        voice = voice_of(means.register.people, key, said.at_us, "approver")
        found.append(
            Decision(voice.person, key, said.at_us, said.decision, said.conditions, said.reason, digest_of(envelope))
        )
    return tuple(sorted(found, key=lambda one: (one.at_us, one.person)))


def _terms(version: Version, means: Means) -> Terms | None:
    published = {one.manifest: one for one in means.publisher.releases(version.ref.name)}
    release: Release | None = published.get(version.ref.manifest)
    if release is None:
        try:
            release = proposed(version.ref, means)[1]
        except (NotFoundError, ConflictError):
            return None
    plan = release.plan
    return Terms(
        review_due_us=release.review_due_us,
        stages=plan.stages,
        max_canary_percent=plan.max_canary_percent,
        fallback=plan.fallback,
        on_failure=None if isinstance(plan.on_failure, msgspec.UnsetType) else plan.on_failure.decision,
        rules=() if isinstance(plan.rules, msgspec.UnsetType) else tuple(str(rule) for rule in plan.rules),
        release=digest_of(canonical(release)),
    )
