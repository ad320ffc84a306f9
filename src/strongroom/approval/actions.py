"""The verbs of approval: open a case, follow the machines, review, approve, reject, release.

They take signatures and verify everything again before anything is stored; they never take keys. What happens to a
released model afterwards stands in `approval.standing`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import msgspec

from strongroom.access.principals import Principal
from strongroom.approval.cases import Case
from strongroom.approval.dossiers import demand_ready
from strongroom.approval.draft import Terms, draft_release
from strongroom.approval.evidence import Register, check_decision, check_evidence
from strongroom.approval.four_eyes import Voice, check_four_eyes, voice_of
from strongroom.approval.inheritance import Known, family, held_now, seen_of
from strongroom.approval.means import Means as Means
from strongroom.approval.means import proposed
from strongroom.approval.ports import ApprovalBooks
from strongroom.approval.process import Outcome
from strongroom.approval.process import Verb as Task
from strongroom.approval.release import Monitors, NumericProfile, Release
from strongroom.approval.role_metadata import model_role, read_signed, release_path
from strongroom.approval.signing import ApprovalPapers, SignedApproval
from strongroom.approval.statements import Approval, FindingSeen
from strongroom.encoding import canonical
from strongroom.errors import ConflictError, EvidenceError, NotFoundError, NotPermittedError
from strongroom.office.acts import Act, Resource
from strongroom.registry.ports import Door
from strongroom.registry.versions import COMES_NEXT, Version
from strongroom.sealing.manifest import Manifest
from strongroom.sealing.statements import APPROVAL
from strongroom.vocabulary import Digest, ModelRef, digest_of, micros


def open_case(
    door: Door[ApprovalBooks], by: Principal, at: datetime, *, case_id: str, ref: ModelRef, diagram: bytes, means: Means
) -> Case:
    """Open the case of a version that was just submitted. It follows this diagram to its end.

    Raises:
        ConflictError: the version has a case that is not rejected.
        FourEyesError, InvalidInputError: the diagram is not acceptable.
        NotPermittedError: the policies.
    """
    with door.open(Act(by, "submit", _model(ref), at)) as books:
        version = books.versions.get(ref)
        loaded = means.engine.load(diagram)
        case = Case.opened(case_id, ref, means.blobs.put(diagram), version.author, version.bundle, micros(at))
        case = case.with_process(means.engine.start(loaded, case_id).state)
        for verb in ("submit", "seal"):
            # Both were done by the submission itself; a diagram may draw them.
            case = _advanced_if_waiting(case, verb, by.id, means)
        books.cases.put(case)
        books.note(case=case.id, manifest=ref.manifest, diagram=case.diagram)
    return case


def follow(door: Door[ApprovalBooks], by: Principal, at: datetime, *, ref: ModelRef, kind: Task, means: Means) -> Case:
    """Take evidence that a machine has signed into the case, and move the process on.

    Args:
        kind: `scan` or `validate`.

    Raises:
        ConflictError: the version has no such evidence, or it is not this step's turn.
    """
    with door.open(Act(by, kind, _model(ref), at)) as books:
        name = {"scan": "scan", "validate": "validation"}.get(kind)
        version, case = books.versions.get(ref), books.cases.of_model(ref)
        if name is None or name not in version.evidence:
            raise ConflictError(f"version {ref} has no evidence of `{kind}` yet")
        case = case.with_evidence(name, version.evidence[name], by.id, micros(at))
        case = _advanced(case, kind, Outcome("accept", by.id), means)
        books.cases.put(case)
        books.note(case=case.id, manifest=ref.manifest, evidence=version.evidence[name])
    return case


def review(
    door: Door[ApprovalBooks], by: Principal, at: datetime, *, ref: ModelRef, envelope: bytes, means: Means
) -> Case:
    """Take in the validator's signed review. An opinion of `unfit` is a rejection: use `reject`.

    Raises:
        EvidenceError: the review, or what it judges, does not hold; or the sample was registered by someone else.
        FourEyesError: the reviewer is the author.
        ConflictError: it is not the review's turn.
        NotPermittedError: the policies, or someone else's signature.
    """
    with door.open(Act(by, "review", _model(ref), at)) as books:
        version, case = books.versions.get(ref), books.cases.of_model(ref)
        data = {**_evidence(version, means), "review": envelope}
        judged = check_evidence(
            ref, data, _manifest(version, means), version.contract.tier, means.policy, means.register, micros(at)
        )
        if judged.validator.person != by.id:
            raise NotPermittedError(f"the review is signed by `{judged.validator.person}`, not by `{by.id}`")
        sample = version.sample
        if sample is None or sample.by != by.id or sample.sealed.manifest != judged.review.sample:
            raise EvidenceError("the reviewer has not registered the sample that the validation used")
        digest = means.blobs.put(envelope)
        case = case.with_evidence("review", digest, by.id, micros(at))
        case = _advanced(case, "review", Outcome("accept", by.id), means)
        books.versions.save(version.advanced("reviewed", review=digest))
        books.cases.put(case)
        books.note(case=case.id, manifest=ref.manifest, evidence=digest, key_id=judged.validator.key)
    return case


def propose(
    door: Door[ApprovalBooks],
    by: Principal,
    at: datetime,
    *,
    ref: ModelRef,
    profile: NumericProfile,
    monitors: Monitors,
    terms: Terms,
    means: Means,
) -> Release:
    """Write the release document of a reviewed version and stage the metadata that approvers will co-sign.

    Nothing is released by this. Other terms need a new proposal, which drops signatures already given.

    Raises:
        ConflictError: the case is not reviewed, or another version is approved and waits for its release: its
            signatures are over a draft that this one would replace.
        InvalidInputError: the terms are wider than the contract.
        NotPermittedError: the policies, or a fallback that is not approved.
    """
    with door.open(Act(by, "release", _model(ref), at)) as books:
        version, case = books.versions.get(ref), books.cases.of_model(ref)
        if case.state != "reviewed" or case.approvers:
            late = "" if case.state == "reviewed" else f"; {COMES_NEXT[case.state]}"
            raise ConflictError(
                f"case `{case.id}` is {case.state}; terms are proposed after the review and before the first approval"
                + late
            )
        release = draft_release(version, case, profile, monitors, terms)
        fallback = release.plan.fallback
        if fallback is not None and fallback not in {one.manifest for one in means.publisher.releases(ref.name)}:
            raise NotPermittedError(f"the fallback {fallback[:12]} is not an approved version of `{ref.name}`")
        other = _waiting_version(ref.name, means)
        if other is not None and books.cases.of_model(ModelRef(ref.name, other)).state == "approved":
            raise ConflictError(f"version {other[:12]} of `{ref.name}` is approved; release or reject it first")
        means.publisher.discard(model_role(ref.name))
        draft = means.publisher.stage_release(release)
        books.note(
            case=case.id,
            manifest=ref.manifest,
            release=digest_of(canonical(release)),
            draft=digest_of(draft),
            phase="proposed",
        )
    return release


def papers(
    door: Door[ApprovalBooks],
    by: Principal,
    at: datetime,
    *,
    ref: ModelRef,
    policies: Mapping[str, bytes],
    published: bytes | None,
    means: Means,
) -> ApprovalPapers:
    """Everything that an approver needs in order to decide on their own machine.

    Args:
        policies: content by target path; those that the release names are sent.
        published: the model role's metadata as published, or None.

    Raises:
        NotFoundError: nothing is proposed.
        ConflictError: the case does not wait for approvals, or another version does.
        NotPermittedError: the policies.
    """
    with door.open(Act(by, "show", _model(ref), at)) as books:
        version, case = books.versions.get(ref), books.cases.of_model(ref)
        if case.state != "reviewed":
            raise ConflictError(
                f"case `{case.id}` is {case.state}; it does not wait for an approval; {COMES_NEXT[case.state]}"
            )
        draft, release = proposed(ref, means)
        books.note(case=case.id, manifest=ref.manifest)
        return ApprovalPapers(
            release=canonical(release),
            draft=draft.signed,
            published=published,
            manifest=means.blobs.get(version.sealed.manifest),
            evidence=_evidence(version, means),
            policies={path: policies[path] for path in release.policies if path in policies},
            diagram=means.blobs.get(case.diagram),
            people=means.people,
            kept=_kept(family(books, means).of(ref), books, means),
        )


def approve(
    door: Door[ApprovalBooks], by: Principal, at: datetime, *, ref: ModelRef, signed: SignedApproval, means: Means
) -> Case:
    """Take in one approver's decision and their signature over the metadata draft.

    Raises:
        FourEyesError: author, validator or somebody who approved already.
        EvidenceError: the decision is about anything else than what is proposed.
        NotAuthenticatedError, TamperedError: the signatures.
        NotPermittedError: the policies, or someone else's signature.
        ConflictError: it is not the approval's turn, or other terms wait than those that were signed.
    """
    with door.open(Act(by, "approve", _model(ref), at)) as books:
        version, case = books.versions.get(ref), books.cases.of_model(ref)
        draft, release = proposed(ref, means)
        register = means.register
        decision, voice = _decision(signed.envelope, ref, by, register)
        if decision.decision == "approve" and decision.tuf_draft != draft.digest:
            # somebody else was let into the room while the approver read
            raise ConflictError(
                f"other terms of {ref} wait by now than those that were read and signed; read them with "
                "`strongroom approve`",
                rule="changed",
            )
        check_decision(decision, voice, release, draft, micros(at))
        if decision.decision != "approve" or signed.draft_signature is None or signed.key_id != voice.key:
            raise EvidenceError("an approval says so, and comes with the same key's signature over the metadata")
        data, manifest = _evidence(version, means), _manifest(version, means)
        judged = check_evidence(ref, data, manifest, version.contract.tier, means.policy, register, micros(at))
        held = held_now(books, ref, means)
        if isinstance(decision.findings, msgspec.UnsetType):
            raise EvidenceError(
                f"the approval of `{by.id}` does not say which findings stood; update `strongroom` and sign anew"
            )
        if _steps(decision.findings) != _steps(seen_of(held, decision.at_us)):
            raise EvidenceError(
                f"the approval of `{by.id}` names other findings than stand now; somebody said something meanwhile: "
                "read the papers again"
            )
        demand_ready(version, means, at, held)
        case = case.approved_by(by.id, micros(at), means.policy.approvers)
        if case.state == "approved":
            check_four_eyes(judged.author, judged.validator, _voices(ref, voice, means), means.policy.approvers)
        means.publisher.sign(model_role(ref.name), voice.key, signed.draft_signature)
        means.shelf.put_approval(ref, voice.key, signed.envelope)
        case = _advanced(case, "approve", Outcome("accept", by.id), means)
        if case.state == "approved":
            books.versions.save(version.advanced("approved"))
        books.cases.put(case)
        books.note(
            case=case.id,
            manifest=ref.manifest,
            release=decision.release,
            evidence=means.blobs.put(signed.envelope),
            key_id=voice.key,
        )
    return case


def reject(
    door: Door[ApprovalBooks],
    by: Principal,
    at: datetime,
    *,
    ref: ModelRef,
    reason: str,
    means: Means,
    signed: SignedApproval | None = None,
) -> Case:
    """End the case. Its draft and the signatures on it are dropped; a draft of another version stays.

    Args:
        signed: an approver's rejection of what is proposed, kept with the case as evidence; None where there are no
            papers to sign over, or whoever rejects is no approver.

    Raises:
        EvidenceError: the rejection is about anything else than what is proposed, or is none.
        NotAuthenticatedError, TamperedError: its signature.
        InvalidInputError: no reason.
        ConflictError: released or rejected already, or published by a release that was interrupted.
        NotPermittedError: the policies, or someone else's signature.
    """
    with door.open(Act(by, "reject", _model(ref), at)) as books:
        version, case = books.versions.get(ref), books.cases.of_model(ref)
        task: Task = "approve" if case.state == "reviewed" else "review"
        evidence = None
        if signed is not None:
            evidence = _rejection(signed, ref, by, at, reason, means)
            books.note(evidence=evidence, key_id=signed.key_id)
        case = case.rejected_by(by.id, micros(at), reason, evidence)
        if any(one.manifest == ref.manifest for one in means.publisher.releases(ref.name)):
            # books that lost the release must not say `rejected` of what gateways may serve
            raise ConflictError(f"version {ref} is published; repeat its release, and halt the model to stop it")
        diagram = means.engine.load(means.blobs.get(case.diagram))
        waiting = means.engine.restore(diagram, case.process).waiting
        if any(node.verb == task for node in waiting):
            # Before the review a case can be rejected too; then the process simply stops where it is.
            case = _advanced(case, task, Outcome("reject", by.id, reason[:1000]), means)
        books.versions.save(version.advanced("rejected"))
        books.cases.put(case)
        books.note(case=case.id, manifest=ref.manifest, reason=reason)
    if _waiting_version(ref.name, means) == ref.manifest:
        means.publisher.discard(model_role(ref.name))
    return case


def release(door: Door[ApprovalBooks], by: Principal, at: datetime, *, ref: ModelRef, means: Means) -> Case:
    """Publish an approved version: evidence and ciphertext first, metadata last. May be repeated after a crash.

    Raises:
        ConflictError: approvals are missing.
        FourEyesError: signatures on the metadata are missing.
        NotPermittedError: the policies.
    """
    with door.open(Act(by, "release", _model(ref), at)) as books:
        version, case = books.versions.get(ref), books.cases.of_model(ref)
        case = _advanced(case.released_by(by.id, micros(at)), "release", Outcome("accept", by.id), means)
        published = {one.manifest: one for one in means.publisher.releases(ref.name)}
        if ref.manifest not in published:
            demand_ready(version, means, at, held_now(books, ref, means))
        document = published.get(ref.manifest) or proposed(ref, means)[1]
        for digest in (item.sha256 for item in document.evidence):
            means.shelf.put_evidence(means.blobs.get(digest))
        means.shelf.publish_version(version.sealed, means.blobs, document.artifact)
        if ref.manifest not in published:
            means.publisher.publish(model_role(ref.name), at)
        books.versions.save(version.advanced("released"))
        books.cases.put(case)
        books.note(case=case.id, manifest=ref.manifest, release=digest_of(canonical(document)), phase="published")
    return case


def _model(ref: ModelRef) -> Resource:
    return Resource("Model", ref.name, {"manifest": ref.manifest})


def _kept(known: Sequence[Known], books: ApprovalBooks, means: Means) -> dict[Digest, bytes]:
    """What an approver needs in order to read findings on their own: by digest, so that nothing of it is believed."""
    refs = [one.ref for name in books.versions.models() for one in books.versions.of_model(name)]
    named = {ref.manifest for ref in refs}
    for one in known:
        named |= {*one.steps, *([one.review] if one.review else [])}
    return {digest: means.blobs.get(digest) for digest in named}


def _steps(seen: Sequence[FindingSeen]) -> set[tuple[str, str, str, str]]:
    return {(one.model, one.manifest, one.finding, one.step) for one in seen}


def _evidence(version: Version, means: Means) -> dict[str, bytes]:
    named: dict[str, Digest] = {"submission": version.bundle, **version.evidence}
    return {kind: means.blobs.get(digest) for kind, digest in named.items()}


def _manifest(version: Version, means: Means) -> Manifest:
    return Manifest.decode(means.blobs.get(version.sealed.manifest), version.ref.manifest)


def _waiting_version(model: str, means: Means) -> Digest | None:
    """Which version the model's waiting draft adds to the published ones; None when no draft waits."""
    try:
        draft = read_signed(means.publisher.draft(model_role(model)))
    except NotFoundError:
        return None
    published = {release_path(model, one.manifest) for one in means.publisher.releases(model)}
    added = [path for path in draft.targets if path not in published]
    return Digest(added[0].rpartition("/")[2].removesuffix(".json")) if added else None


def _decision(envelope: bytes, ref: ModelRef, by: Principal, register: Register) -> tuple[Approval, Voice]:
    decision, key_id = register.statement(envelope, ref, APPROVAL, Approval)
    voice = voice_of(register.people, key_id, decision.at_us, "approver")
    if voice.person != by.id:
        raise NotPermittedError(f"the approval is signed by `{voice.person}`, not by `{by.id}`")
    return decision, voice


def _rejection(signed: SignedApproval, ref: ModelRef, by: Principal, at: datetime, reason: str, means: Means) -> Digest:
    """Check an approver's signed rejection as an approval is checked, and keep it."""
    draft, release = proposed(ref, means)
    decision, voice = _decision(signed.envelope, ref, by, means.register)
    check_decision(decision, voice, release, draft, micros(at))
    said = (decision.decision, decision.reason, signed.draft_signature, signed.key_id)
    if said != ("reject", reason, None, voice.key):
        raise EvidenceError("a rejection says so, gives the reason that goes on the record, and signs no metadata")
    return means.blobs.put(signed.envelope)


def _voices(ref: ModelRef, last: Voice, means: Means) -> list[Voice]:
    """Approvers so far, from their stored and verified envelopes, and the one who is approving now."""
    found = {last.key: last}
    for key_id, envelope in means.shelf.approvals_by_key(ref).items():
        decision, signer = means.register.statement(envelope, ref, APPROVAL, Approval)
        if signer == key_id and decision.decision == "approve":
            found[key_id] = voice_of(means.register.people, key_id, decision.at_us, "approver")
    return list(found.values())


def _advanced(case: Case, verb: Task, outcome: Outcome, means: Means) -> Case:
    diagram = means.engine.load(means.blobs.get(case.diagram))
    task = means.engine.restore(diagram, case.process).task(verb)
    return replace(case, process=means.engine.advance(diagram, case.process, task.id, outcome).state)


def _advanced_if_waiting(case: Case, verb: Task, by: str, means: Means) -> Case:
    diagram = means.engine.load(means.blobs.get(case.diagram))
    if any(node.verb == verb for node in means.engine.restore(diagram, case.process).waiting):
        return _advanced(case, verb, Outcome("accept", by), means)
    return case
