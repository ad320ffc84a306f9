"""On a person's side: review, terms, approval, rejection. What is signed was recomputed here from bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from itertools import count
from typing import Literal

import msgspec

from strongroom import __version__
from strongroom.adapters.keys.log_memories import recall, remember
from strongroom.adapters.runtimes.cpu import isa_class
from strongroom.approval import actions as approval
from strongroom.approval import trust_policy as paths
from strongroom.approval.automatic import read_rules
from strongroom.approval.cases import Case
from strongroom.approval.draft import Terms
from strongroom.approval.log_memory import read_on
from strongroom.approval.release import Monitors, NumericProfile, OnFailure, Plan, Release
from strongroom.approval.role_metadata import model_role
from strongroom.approval.signing import (
    CheckedApproval,
    LogRead,
    ReviewPapers,
    SignedApproval,
    check_approval_papers,
    sign_approval,
    sign_rejection,
    sign_review,
)
from strongroom.approval.statements import Finding
from strongroom.encoding import canonical
from strongroom.errors import ConflictError, EvidenceError, InvalidInputError, RefusedError, TamperedError
from strongroom.registry.actions import open_sample, open_version
from strongroom.registry.versions import Version
from strongroom.sealing.statements import VALIDATION
from strongroom.validation import validating
from strongroom.validation.grounds import demand_same_policy, demand_same_step
from strongroom.validation.results import ValidationPredicate
from strongroom.vocabulary import Digest, ModelRef, digest_of, micros
from strongroom.wiring.long_work import taken_up
from strongroom.wiring.person import AtDesk
from strongroom.wiring.resuming import catch_up, stated

POLICY_PATHS = (
    paths.ACCESS_PATH,
    paths.ACCESS_SCHEMA_PATH,
    paths.JURISDICTIONS_PATH,
    paths.TRUST_PATH,
    paths.VALIDATION_PATH,
)
"""Policies that every release names by digest."""

LONGEST_DAYS = 3650


def review(
    desk: AtDesk, ref: ModelRef, opinion: str, findings: Sequence[Finding] = (),
    progress: Callable[[str], None] | None = None,
) -> Case:  # fmt: skip
    """As the independent validator: recompute what the machines say, run the battery again, judge, sign.

    Args:
        desk: of the validator.
        ref: the version.
        opinion: `fit` or `unfit`.
        findings: that are signed with it.
        progress: is given what the battery says of its progress, where the desk's sandbox is our own.

    Raises:
        EvidenceError: the battery gives other results than those that the validation service signed.
        FourEyesError, EvidenceError, TamperedError: the papers do not hold; nothing was signed or sent.
    """
    room = desk.room
    catch_up(desk, ref)
    with taken_up(desk, "review", ref) as work:
        before, policy = version_of(desk, ref), room.means().judging
        review_papers(desk, before)  # refuses before minutes are spent
        inputs = battery_inputs(desk, before, policy)
        rerun = work.apart(lambda: run_again(desk, before, inputs, progress))
        version, at = version_of(desk, ref), room.clock()
        papers = review_papers(desk, version)
        with work.on_record():
            demand_same_step("review", before, version)
            demand_same_policy("review", version, policy, room.means().judging)
            if rerun != papers.results:
                raise EvidenceError(
                    f"the battery, run again, gives other results for version {ref} than those signed; reject it, "
                    "and find out who holds the validation service's key"
                )
        signed = sign_review(
            papers, desk.home, desk.person, micros(at), opinion=opinion, findings=findings, rerun=rerun
        )
        who = desk.ask("review", "Model", ref.name, signed)
        return approval.review(room.office, who, at, ref=ref, envelope=signed, means=room.means())


def review_papers(desk: AtDesk, version: Version) -> ReviewPapers:
    """What a review judges, as the room has it now.

    Raises:
        ConflictError: the version is not validated, or has no sample.
    """
    room = desk.room
    predicate = validation_of(desk, version)
    if version.sample is None:
        raise ConflictError(f"version {version.ref} has no validation sample; register one first")
    return ReviewPapers(
        ref=version.ref,
        manifest=room.vault.blobs.get(version.sealed.manifest),
        evidence={
            "submission": room.vault.blobs.get(version.bundle),
            **{kind: room.vault.blobs.get(digest) for kind, digest in version.evidence.items()},
        },
        results=room.vault.blobs.get(predicate.results),
        sample=version.sample.sealed.manifest,
        people=room.document(paths.PEOPLE_PATH),
        trust=room.document(paths.TRUST_PATH),
        tier=version.contract.tier,
    )


def battery_inputs(desk: AtDesk, version: Version, policy: bytes) -> Mapping[str, bytes]:
    """What the battery is given, opened in memory."""
    model, _ = open_version(version, people=desk.room.register, vault=desk.room.vault)
    return validating.job_inputs(version.contract, model.files, open_sample(version, vault=desk.room.vault), policy)


def run_again(
    desk: AtDesk, version: Version, inputs: Mapping[str, bytes], progress: Callable[[str], None] | None = None
) -> bytes:
    """The battery's results on one's own machine: whoever holds the service's key could sign any figures."""
    sandbox = desk.watched(progress)
    return validating.examine(version.ref, version.contract, inputs, sandbox=sandbox, isa=isa_class()).results


def propose(
    desk: AtDesk,
    ref: ModelRef,
    *,
    days: int,
    canary_percent: int = 10,
    fallback: Digest | None = None,
    on_failure: str | None = None,
    rules: bytes | None = None,
) -> Release:
    """As the operator: write the terms of a reviewed version and stage the metadata for the approvers.

    Args:
        ref: the version.
        days: until its review is due.
        canary_percent: largest share that a challenger may answer.
        fallback: approved version that answers when this one fails, and to roll back to, or None.
        on_failure: what is decided when neither can answer; None: a refusal.
        rules: a TOML file of `[[rule]]` tables, by which a machine may move the release; None: by hand only.

    Raises:
        InvalidInputError: a review that is due in more than ten years, or rules out of their form.
    """
    if not 1 <= days <= LONGEST_DAYS:
        raise InvalidInputError(f"a review is due in 1 to {LONGEST_DAYS} days", field="days", rule="range")
    room, at = desk.room, desk.room.clock()
    predicate = validation_of(desk, version_of(desk, ref))
    terms = Terms(
        not_before=at,
        review_due=at + timedelta(days=days),
        plan=Plan(
            stages=("shadow", "canary", "live"),
            max_canary_percent=canary_percent,
            fallback=fallback,
            on_failure=OnFailure(decision=on_failure) if on_failure else msgspec.UNSET,
            rules=read_rules(rules) if rules is not None else msgspec.UNSET,
        ),
        policies={path: digest_of(room.document(path)) for path in POLICY_PATHS},
        min_gateway=__version__,
        kek_id=room.keys.current_kek,
    )
    asked: dict[str, object] = {
        "canary_percent": canary_percent,
        "days": days,
        "fallback": fallback,
        "propose": ref.manifest,
    }
    asked |= {"on_failure": on_failure} if on_failure else {}
    asked |= {"rules": digest_of(rules)} if rules is not None else {}
    body = canonical(asked)
    return approval.propose(
        room.office,
        desk.ask("release", "Model", ref.name, body),
        at,
        ref=ref,
        profile=msgspec.convert(msgspec.to_builtins(predicate.profile), NumericProfile),
        monitors=msgspec.convert(msgspec.to_builtins(predicate.monitors), Monitors),
        terms=terms,
        means=room.means(),
    )


def check_papers(desk: AtDesk, ref: ModelRef) -> CheckedApproval:
    """As an approver: fetch the papers and recompute every digest. `summary()` of the result is what to read.

    Raises:
        TamperedError, EvidenceError, FourEyesError: they do not hold.
    """
    room, at = desk.room, desk.room.clock()
    log = read_log(desk)
    papers = approval.papers(
        room.office,
        desk.ask("show", "Model", ref.name),
        at,
        ref=ref,
        policies={path: room.document(path) for path in POLICY_PATHS},
        published=room.repository.role_metadata(ref.name),
        means=room.means(),
    )
    return check_approval_papers(papers, log, micros(at))


def read_log(desk: AtDesk) -> LogRead:
    """On the person's own machine: all that the governance log says of versions and findings, and its head.

    The home remembers the head: a log that is shorter the next time, or another, is refused. It also keeps what was
    read, signed by the person, so that the next reading begins where this one ended.

    Raises:
        TamperedError: it is not what was signed, or not the log that this person saw before.
    """
    room = desk.room
    room.shard.publish()
    origin = room.settings.governance_origin
    read, memory = read_on(room.log, desk.home.heads.get(origin), recall(desk.home, origin))
    remember(desk.home, memory)
    return read


def approve(desk: AtDesk, ref: ModelRef, conditions: Sequence[str] = (), signed: SignedApproval | None = None) -> Case:
    """As an approver: check, sign the approval and the metadata, hand the signatures over.

    Args:
        ref: the version.
        conditions: in words.
        signed: what `sign_shown` gave, over the papers that the approver was shown; fetched, checked and signed now
            when None.

    Raises:
        ConflictError: other terms wait by now than those that were signed.
    """
    room = desk.room
    signed = signed or sign_shown(desk, check_papers(desk, ref), conditions)
    who = desk.ask("approve", "Model", ref.name, signed.envelope)
    return approval.approve(room.office, who, room.clock(), ref=ref, signed=signed, means=room.means())


def sign_shown(desk: AtDesk, checked: CheckedApproval, conditions: Sequence[str] = ()) -> SignedApproval:
    """Sign the papers that were shown. Needs nothing of the room, so nobody waits for whoever reads them."""
    return sign_approval(checked, desk.home, desk.person, micros(desk.room.clock()), conditions)


def reject(desk: AtDesk, ref: ModelRef, reason: str) -> Case:
    """End the case of a version, with a reason. An approver signs it over the papers, where there are some."""
    room, signed = desk.room, _signed_rejection(desk, ref, reason)
    who = desk.ask("reject", "Model", ref.name, reason.encode() if signed is None else signed.envelope)
    return approval.reject(room.office, who, room.clock(), ref=ref, reason=reason, means=room.means(), signed=signed)


def _signed_rejection(desk: AtDesk, ref: ModelRef, reason: str) -> SignedApproval | None:
    """None for everybody but approvers, before anything is proposed, and when the papers do not hold: that must not
    keep anybody from rejecting them."""
    room = desk.room
    if not reason.strip() or model_role(ref.name) not in room.repository.waiting():
        return None
    try:
        with room.desk.begin() as transaction:
            state = transaction.books.cases.of_model(ref).state
        if state != "reviewed" or "approver" not in room.register.person(desk.person).roles:
            return None
        checked = check_papers(desk, ref)
    except (RefusedError, TamperedError):
        return None
    return sign_rejection(checked, desk.home, desk.person, micros(room.clock()), reason)


def version_of(desk: AtDesk, ref: ModelRef) -> Version:
    with desk.room.desk.begin() as transaction:
        return transaction.books.versions.get(ref)


def validation_of(desk: AtDesk, version: Version) -> ValidationPredicate:
    if "validation" not in version.evidence:
        raise ConflictError(f"version {version.ref} is not validated; `strongroom validate` comes first")
    return stated(desk, version, "validation", VALIDATION, "validation-service", ValidationPredicate)


def findings_of(lines: Sequence[str], taken: frozenset[str] = frozenset()) -> list[Finding]:
    """Findings from `severity:text` lines, numbered past the names that stand in the register already.

    Raises:
        InvalidInputError: a line has another form.
    """
    found = []
    free = (name for number in count(1) if (name := f"f-{number}") not in taken)
    for name, line in zip(free, lines, strict=False):
        severity, colon, text = line.partition(":")
        if not colon or severity not in ("low", "medium", "high"):
            raise InvalidInputError("a finding is written as low:text, medium:text or high:text", field="finding")
        level: Literal["low", "medium", "high"] = "low" if severity == "low" else "high"
        if severity == "medium":
            level = "medium"
        found.append(Finding(id=name, severity=level, text=text.strip(), status="accepted"))
    return found
