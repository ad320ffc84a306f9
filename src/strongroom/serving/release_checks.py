"""The single checks of admission, one noun each. `admission.admit` says in which order and why.

Every check returns what it checked, or raises.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from strongroom.approval.evidence import Register, check_decision
from strongroom.approval.four_eyes import Voice, check_four_eyes, try_voice, voice_of
from strongroom.approval.release import Release
from strongroom.approval.role_metadata import (
    OPERATIONS_ROLE,
    Delegation,
    RoleMetadata,
    TargetEntry,
    model_role,
    read_role,
    release_path,
    valid_signers,
)
from strongroom.approval.statements import Approval
from strongroom.approval.trust_policy import GRANTS_PATH
from strongroom.encoding import canonical, parse_as
from strongroom.errors import (
    EvidenceError,
    ExpiredError,
    FourEyesError,
    InvalidInputError,
    NotFoundError,
    RefusedError,
    TamperedError,
)
from strongroom.sealing.statements import APPROVAL
from strongroom.serving.admission_ports import Evidence, TrustedState
from strongroom.vocabulary import ModelRef, digest_of, micros


def check_delegation(name: str, delegations: Mapping[str, Delegation], paths: Sequence[str]) -> Delegation:
    """The delegation of a role, if it has our form and nobody else can speak for its paths.

    Raises:
        TamperedError: missing, other paths, not terminating, or another role covers the same paths.
    """
    found = delegations.get(name)
    if found is None:
        raise NotFoundError(f"the custodians have not delegated `{name}`")
    if found.paths != tuple(paths) or not found.terminating:
        raise TamperedError(f"the delegation of `{name}` is not terminating for exactly {', '.join(paths)}")
    for other in delegations.values():
        if other.name != name and other.meets(paths):
            raise TamperedError(f"role `{other.name}` is delegated paths of `{name}`")
    return found


def check_operations(
    state: TrustedState, delegations: Mapping[str, Delegation], register: Register
) -> Mapping[str, TargetEntry]:
    """Targets of the operators' role; empty before the first pointer.

    Raises:
        TamperedError, NotFoundError: the delegation has not our form.
        EvidenceError: no operator of the register signed it.
    """
    delegation = check_delegation(OPERATIONS_ROLE, delegations, ["pointers/*", GRANTS_PATH])
    if state.operations is None:
        return {}
    role = read_role(state.operations)
    at_us = micros(state.at)
    signers = valid_signers(role, delegation)
    if not any(try_voice(register.people, key_id, at_us, "operator") for key_id in signers):
        raise EvidenceError("the pointers are not signed by an operator of the people register")
    _check_age(role, state, OPERATIONS_ROLE)
    if state.grants is not None:
        check_target(role.targets, GRANTS_PATH, state.grants)
    return role.targets


def check_role(
    state: TrustedState, model: str, delegations: Mapping[str, Delegation]
) -> tuple[RoleMetadata, Delegation]:
    """A model's role metadata, read, in the form that we publish.

    Raises:
        FourEyesError: the delegation asks for fewer than two signatures.
        TamperedError, ExpiredError, NotFoundError: as named.
    """
    delegation = check_delegation(model_role(model), delegations, [f"models/{model}/*"])
    if delegation.threshold < 2:
        raise FourEyesError(f"`{delegation.name}` is delegated with threshold {delegation.threshold}; two must sign")
    fingerprints = [key.key_id for key in delegation.keys.values()]
    if len(set(fingerprints)) != len(fingerprints) or any(kid != key.key_id for kid, key in delegation.keys.items()):
        raise FourEyesError(f"`{delegation.name}` lists a key twice or under a name that is not its own")
    data = state.roles.get(model)
    if data is None:
        raise NotFoundError(f"no version of `{model}` has been approved")
    role = read_role(data)
    if role.delegates:
        raise TamperedError(f"the metadata of `{model}` hands its rights on")
    _check_age(role, state, delegation.name)
    return role, delegation


def role_voices(state: TrustedState, role: RoleMetadata, delegation: Delegation, register: Register) -> list[Voice]:
    """Approvers of the register whose signature covers the role's metadata now.

    Raises:
        FourEyesError: fewer than two different persons, or than the metadata itself demands.
    """
    at_us = micros(state.at)
    found = [try_voice(register.people, key_id, at_us, "approver") for key_id in valid_signers(role, delegation)]
    voices = [voice for voice in found if voice is not None]
    persons = {voice.person for voice in voices}
    wanted = max(2, delegation.threshold)
    if len(persons) < wanted:
        raise FourEyesError(f"`{delegation.name}` is signed by {len(persons)} approver(s), and {wanted} must sign")
    return voices


def check_target(targets: Mapping[str, TargetEntry], path: str, content: bytes) -> TargetEntry:
    """A target whose bytes are those that the metadata names.

    Raises:
        TamperedError: unlisted, or other length or digest.
    """
    entry = targets.get(path)
    if entry is None or entry.length != len(content) or entry.sha256 != digest_of(content):
        raise TamperedError(f"`{path}` is not the file that its metadata names")
    return entry


def check_document(role: RoleMetadata, ref: ModelRef, content: bytes | None) -> Release:
    """The release document: exactly what approvers signed, once as file and once as `custom`.

    Raises:
        NotFoundError: the version is not approved.
        TamperedError: file, `custom` and path do not say the same.
    """
    path = release_path(ref.name, ref.manifest)
    if path not in role.targets or content is None:
        raise NotFoundError(f"version {ref} is not among the approved versions")
    entry = check_target(role.targets, path, content)
    try:
        if canonical(entry.custom) != content:
            raise TamperedError(f"the two copies of the release document of {ref} differ")
        release = parse_as(content, Release)
    except (InvalidInputError, msgspec.MsgspecError) as error:
        raise TamperedError(f"the release document of {ref} does not read") from error
    if release.model != ref.name or release.manifest != ref.manifest:
        raise TamperedError(f"the release document at `{path}` is about another version")
    return release


def gather_evidence(release: Release, evidence: Evidence) -> dict[str, bytes]:
    """Evidence envelopes by type, each with the digest that the release names.

    Raises:
        EvidenceError: a type is listed twice, or a file is not in the mirror.
        TamperedError: other bytes lie there.
    """
    found: dict[str, bytes] = {}
    for item in release.evidence:
        if item.type in found:
            raise EvidenceError(f"`{release.model}` lists {item.type} evidence twice")
        try:
            found[item.type] = evidence.evidence(item.sha256)
        except NotFoundError as error:
            raise EvidenceError(f"{item.type} evidence {item.sha256[:12]} is not in the repository") from error
        if digest_of(found[item.type]) != item.sha256:
            raise TamperedError(f"{item.type} evidence {item.sha256[:12]} has other bytes than its name says")
    return found


def check_approvals(
    release: Release, role: RoleMetadata, register: Register, evidence: Evidence, at_us: int
) -> list[Voice]:
    """Approvers whose signed decision (format 9) is about exactly this release.

    Raises:
        EvidenceError: an approver rejected it.
        RefusedError, TamperedError: the reason why the last approval did not count, when none is left.
    """
    ref = ModelRef(release.model, release.manifest)
    voices: list[Voice] = []
    reason: RefusedError | TamperedError | None = None
    for envelope in evidence.approvals(ref):
        try:
            decision, key_id = register.statement(envelope, ref, APPROVAL, Approval)
            voice = voice_of(register.people, key_id, decision.at_us, "approver")
            check_decision(decision, voice, release, role, at_us)
        except (RefusedError, TamperedError) as error:
            # Others may have put it there: it does not count, and it does not stop those that do.
            reason = error
            continue
        if decision.decision == "reject":
            raise EvidenceError(f"`{voice.person}` rejected version {ref}")
        voices.append(voice)
    if not voices and reason is not None:
        raise reason
    return voices


def check_parties(
    author: Voice, validator: Voice, signers: Sequence[Voice], approvals: Sequence[Voice], wanted: int
) -> None:
    """Four eyes over both: who signed the metadata and who signed the approvals.

    Metadata lists all versions of a model, so that somebody may sign it who wrote one of them; such a signature counts
    for the other versions only.

    Raises:
        FourEyesError: see `four_eyes.check_four_eyes`.
    """
    check_four_eyes(author, validator, approvals, wanted)
    others = [voice for voice in signers if voice.person not in (author.person, validator.person)]
    check_four_eyes(author, validator, others, wanted)


def _check_age(role: RoleMetadata, state: TrustedState, name: str) -> None:
    if role.expires <= state.at:
        raise ExpiredError(f"the metadata of `{name}` expired on {role.expires:%Y-%m-%d}")
