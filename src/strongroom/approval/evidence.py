"""Evidence about one version, verified from bytes: the same on an approver's side, the control plane and a gateway."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from strongroom.access.people import PeopleRegister
from strongroom.approval.four_eyes import Voice, voice_of
from strongroom.approval.release import Release
from strongroom.approval.role_metadata import RoleMetadata
from strongroom.approval.statements import Approval, MachineVerdict, Review, ValidationVerdict
from strongroom.approval.trust_policy import VALIDATION_PATH, TrustPolicy
from strongroom.encoding import canonical
from strongroom.errors import (
    EvidenceError,
    FourEyesError,
    InvalidInputError,
    NotAuthenticatedError,
    TamperedError,
)
from strongroom.sealing.dsse import envelope_signers, open_envelope
from strongroom.sealing.keys import PublicKey
from strongroom.sealing.manifest import Manifest
from strongroom.sealing.model_signature import verify_model
from strongroom.sealing.statements import REVIEW, read_statement
from strongroom.vocabulary import KeyId, ModelRef, digest_of

T = TypeVar("T")

SKEW_US = 300 * 1_000_000
"""How far ahead of ours a signer's clock may be."""


@dataclass(frozen=True, slots=True)
class Register:
    """The people register with its keys ready for verification."""

    people: PeopleRegister
    keys: Mapping[KeyId, PublicKey]

    @classmethod
    def read(cls, data: bytes | None) -> Register:
        """Read `people.json`.

        Raises:
            TamperedError: the custodians' metadata vouches for bytes that are no register, or for none.
        """
        if data is None:
            raise TamperedError("the release repository has no `people.json`")
        try:
            people = PeopleRegister.decode(data)
            keys = {key.id: PublicKey(key.spki) for person in people.people for key in person.keys}
        except InvalidInputError as error:
            raise TamperedError(f"the people register does not read: {error.message}") from error
        return cls(people, keys)

    def open(self, envelope: bytes) -> tuple[bytes, KeyId]:
        """Payload and key of an envelope with exactly one signature, by a key of the register.

        Raises:
            TamperedError: the signature does not verify, or there are several.
            NotAuthenticatedError: nobody in the register has this key.
        """
        signers = envelope_signers(envelope)
        if len(signers) != 1:
            raise TamperedError("a statement is signed by exactly one key")
        if signers[0] not in self.keys:
            raise NotAuthenticatedError(f"key `{signers[0][:12]}` stands nowhere in the people register")
        return open_envelope(envelope, self.keys).payload, signers[0]

    def statement(self, envelope: bytes, ref: ModelRef, predicate_type: str, kind: type[T]) -> tuple[T, KeyId]:
        """Predicate and key of a signed statement about `ref`.

        Raises:
            EvidenceError: it is about another version.
            TamperedError, NotAuthenticatedError: see `open`, or it is no statement of this type.
        """
        payload, key_id = self.open(envelope)
        subject, predicate = read_statement(payload, predicate_type, kind)
        if subject != ref:
            raise EvidenceError(f"a {predicate_type.split(':')[3]} statement is about {subject}, not about {ref}")
        return predicate, key_id


@dataclass(frozen=True, slots=True)
class Judged:
    """A version whose evidence holds: who wrote it, who judged it."""

    author: Voice
    validator: Voice
    author_key: PublicKey
    review: Review
    validation: ValidationVerdict


def author_of(bundle: bytes, ref: ModelRef, manifest: Manifest, register: Register) -> PublicKey:
    """The key whose model signature covers exactly the files of the manifest.

    Raises:
        EvidenceError: it is nobody's of the register.
        TamperedError: it does not verify.
    """
    for key in register.keys.values():
        # The bundle names its key by the digest of the PEM; `verify_model` then holds every byte against that key.
        if digest_of(key.pem).encode() in bundle:
            verify_model(bundle, ref.name, manifest, key)
            return key
    raise EvidenceError(f"the submission of {ref} is signed by nobody in the people register")


def check_machines(
    ref: ModelRef, data: Mapping[str, bytes], tier: int, policy: TrustPolicy, register: Register, at_us: int
) -> ValidationVerdict:
    """Everything but submission and review: signed by the demanded roles, about `ref`, verdicts `pass`.

    Args:
        ref: the version.
        data: envelopes by type.
        tier: of the model.
        policy: which roles and verdicts that tier needs.
        register: the people register.
        at_us: when the keys must have counted: machine evidence bears no date that binds; the review does.

    Returns:
        The validation verdict, with sample and results.

    Raises:
        EvidenceError, NotAuthenticatedError, TamperedError: as named.
    """
    demands = policy.demands(tier)
    shapes: dict[str, type[Any]] = {"scan": MachineVerdict, "validation": ValidationVerdict}
    verdicts: dict[str, Any] = {}
    for kind in sorted(set(demands) - {"submission", "review"}):
        predicate = f"urn:strongroom:predicate:{kind}:v1"
        found, key_id = register.statement(data[kind], ref, predicate, shapes.get(kind, dict))
        voice_of(register.people, key_id, at_us, demands[kind])
        if kind in shapes:
            verdicts[kind] = found
            if found.verdict != "pass":
                raise EvidenceError(f"the {kind} of {ref} ended with verdict `{found.verdict[:40]}`")
    verdict: ValidationVerdict = verdicts["validation"]
    return verdict


def check_evidence(
    ref: ModelRef,
    data: Mapping[str, bytes],
    manifest: Manifest,
    tier: int,
    policy: TrustPolicy,
    register: Register,
    at_us: int,
) -> Judged:
    """All evidence of a version: complete, nothing foreign, signed by the right roles, and in its favour.

    The submission bears no date: author and services count as of the review, which its validator dated.

    Args:
        ref: the version.
        data: envelopes by type; the caller held each against the digest that a signed document names.
        manifest: of the version, digest checked.
        tier: of the model, as the release says.
        policy: what that tier needs.
        register: the people register.
        at_us: now, in microseconds.

    Raises:
        EvidenceError: a type is missing or foreign, a verdict negative, or something is about something else.
        FourEyesError: the validator is the author.
        NotAuthenticatedError, TamperedError: a signature does not count or does not verify.
    """
    demands = policy.demands(tier)
    missing, foreign = sorted(set(demands) - set(data)), sorted(set(data) - set(demands))
    if missing:
        raise EvidenceError(f"version {ref} lacks {missing[0]} evidence, which its tier needs")
    if foreign:
        raise EvidenceError(f"version {ref} has evidence of a type that the trust policy does not know")
    review, key_id = register.statement(data["review"], ref, REVIEW, Review)
    if review.at_us > at_us + SKEW_US:
        raise EvidenceError(f"the review of {ref} is dated in the future")
    validator = voice_of(register.people, key_id, review.at_us, demands["review"])
    if review.person != validator.person:
        raise EvidenceError(f"the review of {ref} names another person than the one who signed it")
    author_key = author_of(data["submission"], ref, manifest, register)
    author = voice_of(register.people, author_key.key_id, review.at_us, demands["submission"])
    if author.person == validator.person:
        raise FourEyesError(f"`{author.person}` is author and validator; the review needs someone else")
    judged = check_machines(ref, data, tier, policy, register, review.at_us)
    if review.opinion != "fit":
        raise EvidenceError(f"the validator found {ref} unfit")
    named = (review.sample, review.results, review.validation)
    if named != (judged.sample, judged.results, digest_of(data["validation"])):
        raise EvidenceError(f"the review of {ref} judges another validation, sample or result")
    return Judged(author, validator, author_key, review, judged)


def check_as_validated(release: Release, verdict: ValidationVerdict, manifest: Manifest) -> None:
    """What is released is what was validated: this file, under this policy, with the profile that the sandbox proved.

    Raises:
        EvidenceError: says which part differs.
    """
    for holds, what in (
        (verdict.artifact_sha256 == manifest.entry(release.artifact).sha256, "model file"),
        (verdict.policy_sha256 == release.policies.get(VALIDATION_PATH), "validation policy"),
        (verdict.profile == release.numeric_profile, "numeric profile"),
        (verdict.monitors == release.monitors, "monitors"),
    ):
        if not holds:
            raise EvidenceError(f"the release of `{release.model}` has another {what} than the validation")


def check_decision(decision: Approval, voice: Voice, release: Release, role: RoleMetadata, at_us: int) -> None:
    """A decision (format 9) is about exactly this release, in the name of the one who signed it.

    Args:
        decision: as signed.
        voice: who signed it.
        release: the release document.
        role: the metadata (or draft) that lists it.
        at_us: now.

    Raises:
        EvidenceError: says which part differs.
    """
    same = (
        (decision.person == voice.person, "person"),
        (decision.manifest == release.manifest, "manifest"),
        (decision.release == digest_of(canonical(release)), "release document"),
        (decision.evidence == release.evidence, "evidence"),
        (decision.policies == release.policies, "policies"),
        (decision.diagram == release.diagram, "diagram"),
        (decision.case == release.case, "case"),
        (decision.plan == release.plan, "plan"),
        (decision.tuf_draft is None or decision.tuf_draft in (role.digest, *role.drafts), "metadata draft"),
        (decision.at_us <= at_us + SKEW_US, "time"),
    )
    for holds, what in same:
        if not holds:
            raise EvidenceError(f"the approval of `{voice.person}` has another {what} than the release")
