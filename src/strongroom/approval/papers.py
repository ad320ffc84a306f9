"""The verbs `write` and `finding`: signed words for a model's report, and what becomes of findings.

Like all verbs they take signatures and verify everything again before anything is stored; they never take keys.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from strongroom.access.principals import Principal
from strongroom.approval.evidence import SKEW_US, Register
from strongroom.approval.four_eyes import voice_of
from strongroom.approval.means import Means
from strongroom.errors import EvidenceError, FourEyesError, InvalidInputError, NotPermittedError
from strongroom.office.acts import Act, Resource
from strongroom.registry.ports import Door, RegistryBooks
from strongroom.registry.versions import Paper, Version
from strongroom.sealing.dsse import sign_envelope
from strongroom.sealing.keys import Signer
from strongroom.sealing.ports import Blobs
from strongroom.sealing.statements import FINDING, SECTION, make_statement
from strongroom.validation.findings import Closed, Finding, FindingStep, SignedStep, check_step, find, read_findings
from strongroom.validation.human_text import SectionText, Signed
from strongroom.validation.policy import ValidationPolicy
from strongroom.vocabulary import ModelRef, digest_of, micros

EVIDENCE_LIMIT = 16 * 1024 * 1024


def sign_section(ref: ModelRef, said: SectionText, signer: Signer) -> bytes:
    """On the writer's side: the signed statement."""
    return sign_envelope(make_statement(ref, SECTION, said), signer)


def sign_step(ref: ModelRef, said: FindingStep, signer: Signer) -> bytes:
    """On the side of whoever says something of a finding: the signed statement."""
    return sign_envelope(make_statement(ref, FINDING, said), signer)


def write(
    door: Door[RegistryBooks], by: Principal, at: datetime, *, ref: ModelRef, envelope: bytes, means: Means
) -> Version:
    """Take in one person's words for a section of the report.

    Raises:
        EvidenceError: the statement is about another version, or its writer does not hold the role it names.
        FourEyesError: the author writes in another role than the author's.
        InvalidInputError: a rating by levels that the policy does not have.
        NotPermittedError: the policies, or someone else's signature.
        TamperedError, NotAuthenticatedError: the signature.
        ConflictError: it is there already, or the version came to its end.
    """
    with door.open(Act(by, "write", _model(ref), at)) as books:
        text = read_section(envelope, ref, means.register)
        _check_own(text.said.person, text.said.at_us, by, at)
        known = books.versions.get(ref)
        if text.said.person == known.author and text.said.role != "author":
            raise FourEyesError(f"`{known.author}` wrote the model, and writes in its report as its author only")
        rules = ValidationPolicy.decode(means.validation).tiering
        if isinstance(text.said.materiality, str) and not isinstance(rules, msgspec.UnsetType):
            rules.tier(text.said.materiality, str(text.said.complexity))  # refuses levels that the policy has not
        version = known.with_paper(Paper("section", means.blobs.put(envelope)))
        books.versions.save(version)
        books.note(
            manifest=ref.manifest,
            section=text.said.section,
            role=text.said.role,
            statement=text.envelope,
            key_id=text.key,
        )
    return version


def say_of_finding(
    door: Door[RegistryBooks],
    by: Principal,
    at: datetime,
    *,
    ref: ModelRef,
    envelope: bytes,
    evidence: bytes | None,
    means: Means,
) -> Finding:
    """Take in one step of a finding.

    Args:
        by: who says it.
        at: when.
        ref: the version.
        envelope: the signed step.
        evidence: the file that shows that it is mended, for a step that closes; the room keeps it.
        means: what the verbs work with.

    Raises:
        ConflictError, FourEyesError, NotFoundError: see `validation.findings.check_step`.
        InvalidInputError: a step that closes comes without its file, or with another.
        EvidenceError, NotPermittedError, TamperedError, NotAuthenticatedError: as `write`.
    """
    with door.open(Act(by, "finding", _model(ref), at)) as books:
        step = read_step(envelope, ref, means.register)
        said = step.said
        _check_own(said.person, said.at_us, by, at)
        version = books.versions.get(ref)
        known = findings_of(version, means.blobs, means.register)
        rule = ValidationPolicy.decode(means.judging).finding_rule
        check_step(said, known, frozenset(by.roles), version.author, rule)
        wanted = said.does.evidence if isinstance(said.does, Closed) else None
        if (None if evidence is None else digest_of(evidence)) != wanted:
            raise InvalidInputError(
                "a finding is closed with the file that its statement names, and with none otherwise",
                field="evidence",
                rule="digest",
            )
        if evidence is not None:
            if len(evidence) > EVIDENCE_LIMIT:
                raise InvalidInputError(
                    f"evidence takes at most {EVIDENCE_LIMIT // 1024**2} MiB; name a digest or a summary",
                    field="evidence",
                    rule="size",
                )
            means.blobs.put(evidence)
        books.versions.save(version.with_paper(Paper("finding", means.blobs.put(envelope))))
        books.note(
            manifest=ref.manifest,
            finding=said.finding,
            step=str(said.does.__struct_config__.tag),
            statement=step.envelope,
            **({} if wanted is None else {"evidence": wanted}),
        )
        return find(read_findings((*(one for f in known for one in f.steps), step)), said.finding)


def sections_of(version: Version, blobs: Blobs, register: Register) -> tuple[Signed, ...]:
    """The words that people signed for a version's report, oldest first, every signature verified. What was signed by a
    key that is compromised by now is left out, so that somebody writes it anew.

    Raises:
        TamperedError, NotAuthenticatedError, EvidenceError: one does not hold.
        NotFoundError: one is gone.
    """
    envelopes = (blobs.get(digest) for digest in version.papers_of("section"))
    counting = (envelope for envelope in envelopes if not register.people.leaked(register.open(envelope)[1]))
    return tuple(read_section(envelope, version.ref, register) for envelope in counting)


def findings_of(version: Version, blobs: Blobs, register: Register, at_us: int | None = None) -> tuple[Finding, ...]:
    """The findings of a version, every signature verified.

    Args:
        version: of the registry.
        blobs: of the room.
        register: of its people.
        at_us: leave out what was said later; None: nothing.

    Raises:
        TamperedError, NotAuthenticatedError, EvidenceError, NotFoundError: as `sections_of`.
    """
    steps = [read_kept_step(blobs.get(digest), version.ref, register) for digest in version.papers_of("finding")]
    return read_findings([step for step in steps if at_us is None or step.said.at_us <= at_us])


def read_section(envelope: bytes, ref: ModelRef, register: Register) -> Signed:
    """One signed text, by a person who held the role that it names.

    Raises:
        EvidenceError: another version, another role.
        TamperedError, NotAuthenticatedError: the signature, or it is no such statement.
    """
    said, key = register.statement(envelope, ref, SECTION, SectionText)
    voice = voice_of(register.people, key, said.at_us, said.role)
    _check_person(said.person, voice.person)
    return Signed(said, digest_of(envelope), key)


def read_step(envelope: bytes, ref: ModelRef, register: Register) -> SignedStep:
    """One signed step of a finding that somebody hands over now. Raises as `read_section`."""
    step = read_kept_step(envelope, ref, register)
    register.people.key(register.open(envelope)[1], step.said.at_us)
    return step


def read_kept_step(envelope: bytes, ref: ModelRef, register: Register) -> SignedStep:
    """One step that the room took in while its signer's key counted. That the key is compromised by now is told in the
    step and is no error, or one thief could lock a model out for ever. Raises otherwise as `read_section`.
    """
    payload, key = register.open(envelope)
    said, _ = register.statement(envelope, ref, FINDING, FindingStep)
    signer = register.people.key_owner(key, said.at_us, even_leaked=True)
    _check_person(said.person, signer.person_id)
    leaked = register.people.leaked(key)
    return SignedStep(said, digest_of(payload), digest_of(envelope), frozenset(signer.roles), leaked)


def _check_person(named: str, signed: str) -> None:
    if named != signed:
        raise EvidenceError(f"the statement names `{named}`, and `{signed}` signed it")


def _check_own(person: str, at_us: int, by: Principal, at: datetime) -> None:
    if person != by.id:
        raise NotPermittedError(f"the statement is signed by `{person}`, not by `{by.id}`")
    if abs(at_us - micros(at)) > SKEW_US:
        raise EvidenceError("the statement is dated otherwise than now; set the clock and sign again")


def _model(ref: ModelRef) -> Resource:
    return Resource("Model", ref.name, {"manifest": ref.manifest})
