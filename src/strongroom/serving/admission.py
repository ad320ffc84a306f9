"""The gateway's own judgement: everything it verifies before it decrypts a model.

The release repository, its server and the whole control plane may be in hostile hands. What holds then is written here,
in one list, and in the trust root that this node was started with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from strongroom.approval.evidence import Register, check_as_validated, check_evidence
from strongroom.approval.pointers import Pointer, check_pointer
from strongroom.approval.release import Release
from strongroom.approval.role_metadata import HALTS_ROLE, pointer_path, read_delegations
from strongroom.approval.trust_policy import (
    ACCESS_PATH,
    ACCESS_SCHEMA_PATH,
    JURISDICTIONS_PATH,
    PEOPLE_PATH,
    TRUST_PATH,
    VALIDATION_PATH,
    Jurisdictions,
    read_jurisdictions,
    read_trust_policy,
)
from strongroom.encoding import canonical, parse_as
from strongroom.errors import (
    EvidenceError,
    ExpiredError,
    InvalidInputError,
    NotPermittedError,
    NumericProfileError,
    StrongroomError,
    TamperedError,
)
from strongroom.sealing.manifest import Manifest
from strongroom.sealing.ports import Blobs, KeyRing
from strongroom.sealing.sealed import check_content, open_sealed
from strongroom.serving.admission_ports import Evidence, HaltMemory, TrustedState
from strongroom.serving.admitted import AdmittedModel
from strongroom.serving.halting import check_not_halted, read_halts
from strongroom.serving.ports import Machine
from strongroom.serving.release_checks import (
    check_approvals,
    check_delegation,
    check_document,
    check_operations,
    check_parties,
    check_role,
    check_target,
    gather_evidence,
    role_voices,
)
from strongroom.vocabulary import Digest, ModelRef, digest_of, micros

NEEDED_POLICIES = (ACCESS_PATH, TRUST_PATH, VALIDATION_PATH)


@dataclass(frozen=True, slots=True)
class NodeTrust:
    """What this node is, as its operator configured it; a release must fit it.

    Attributes:
        environment: `production`, `test` ...: a release must name it.
        jurisdictions: labels that this node serves; a release must name at least one of them.
        gateway_version: ours, for `min_gateway`.
        machine_of: what this machine computes with, by a runtime's name; None for one that it does not have. Asked for
            those that releases name and for no other, since a library may have to be loaded to know its version.
    """

    environment: str
    jurisdictions: frozenset[str]
    gateway_version: str
    machine_of: Callable[[str], Machine | None]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A model, or one version of it, that was not admitted, and why."""

    model: str
    manifest: Digest | None
    error: StrongroomError


def admit(
    state: TrustedState,
    node: NodeTrust,
    evidence: Evidence,
    halts: HaltMemory,
    ring: KeyRing,
    blobs: Blobs,
    refused: Callable[[Refusal], None],
    opened: Mapping[ModelRef, bytes] | None = None,
) -> list[AdmittedModel]:
    """Verify everything; open and return the models that operators point to.

    Of the repository; a failure here refuses every model:
     1. its metadata stands under the pinned root, in TUF's own rules, and has not expired (the source saw to it;
        held once more against the time that never goes back);
     2. the people register, trust policy and jurisdictions are there and read;
     3. the delegations have our form;
     4. pointers and grants are signed by an operator of the register, under a role that nobody shares;
        halts under theirs.
    Of each model; a failure refuses all its versions:
     5. its role has the one name and path, is terminating, shares its path with no other role, and asks for two
        signatures or more, each key listed once and under its own id;
     6. its metadata has not expired, hands nothing on, and is signed by at least two different approvers of the
        register with different key material, whatever threshold the metadata states;
     7. it is not halted, nor was when we last looked, unless two persons lifted that halt;
     8. the pointer's bytes are those signed, are about this model, and stay within the approved plan.
    Of each version that the pointer names:
     9. the release document is listed under its own path, and file and `custom` say the same, canonically;
    10. its dates, environment, jurisdictions, gateway version and policies fit this node and this moment;
    11. its numeric profile is one that this machine can honour;
    12. every type of evidence that policy and floor demand for its tier is there, once, and nothing else; each is
        signed by one key of the register whose owner holds the demanded role, and is about this manifest;
        the submission is the author's model signature over exactly the files of the manifest;
        scan and validation say `pass`; the validator's review says `fit` of that very validation, sample and results;
        model file, validation policy, numeric profile and monitors are those that were validated;
    13. approvals (format 9) name exactly this document, evidence, policies, diagram, case, plan and metadata draft;
        no approver rejected it;
    14. author, validator and approvers are different persons with different keys, at least two approvers, both over
        the approvals and over the metadata.
    Only now:
    15. the data key is unwrapped, the model decrypted in memory, and held against the manifest.

    Args:
        state: trusted bytes from a `ReleaseSource`.
        node: what this node is.
        evidence: the local mirror.
        halts: remembered halts and those dropped on this node's disk.
        ring: unwraps data keys.
        blobs: ciphertexts.
        refused: told of each model or version that is not admitted. A version that is refused does not take down
            others, but without its champion a model has no challenger.
        opened: plaintexts of earlier admissions by version; they are held against the manifest again, which saves
            the decryption. All other steps are done each time.

    Returns:
        Champions, challengers and fallbacks, by model name.

    Raises:
        StrongroomError: the repository as a whole is refused (1 to 4).
    """
    # 1
    if state.expires <= state.at:
        raise ExpiredError(f"the release repository's metadata expired at {state.expires:%Y-%m-%dT%H:%M:%SZ}")
    # 2
    register = Register.read(state.files.get(PEOPLE_PATH))
    policy = read_trust_policy(_file(state, TRUST_PATH))
    known = read_jurisdictions(_file(state, JURISDICTIONS_PATH))
    policy_digest = _policy_digest(state)
    # 3
    delegations = read_delegations(state.targets)
    # 4
    operations = check_operations(state, delegations, register)
    check_delegation(HALTS_ROLE, delegations, ["halts/*"])

    admitted: list[AdmittedModel] = []
    for model in sorted(state.pointers):
        try:
            if model in state.failures:
                raise state.failures[model]
            # 5
            role, delegation = check_role(state, model, delegations)
            # 6
            signers = role_voices(state, role, delegation, register)
            # 7
            check_not_halted(model, read_halts(state.halts.get(model), model), halts, register, policy)
            # 8
            documents = state.releases.get(model, {})
            approved = {
                manifest: check_document(role, ModelRef(model, manifest), content)
                for manifest, content in documents.items()
            }
            check_target(operations, pointer_path(model), state.pointers[model])
            pointer = _pointer(state.pointers[model], model)
            check_pointer(pointer, approved)
        except Exception as error:  # one model's trouble, of whatever kind, does not take down the others
            refused(Refusal(model, None, _as_refusal(error, model)))
            continue
        for manifest, part, percent in _wanted(pointer, approved):
            ref = ModelRef(model, manifest)
            try:
                # 9
                release = check_document(role, ref, documents.get(manifest))
                # 10
                _check_conditions(release, node, known, micros(state.at))
                # 11
                _check_numeric_profile(release, node)
                # 12
                package = evidence.package(ref)
                manifest_of = Manifest.decode(package.manifest, manifest)
                data = gather_evidence(release, evidence)
                judged = check_evidence(ref, data, manifest_of, release.tier, policy, register, micros(state.at))
                check_as_validated(release, judged.validation, manifest_of)
                # 13
                approvals = check_approvals(release, role, register, evidence, micros(state.at))
                # 14
                check_parties(judged.author, judged.validator, signers, approvals, policy.approvers)
                # 15
                entry = manifest_of.entry(release.artifact)
                artifact = (opened or {}).get(ref)
                if artifact is None:
                    whole = open_sealed(
                        package,
                        ref,
                        bundle=data["submission"],
                        author=judged.author_key,
                        ring=ring,
                        blobs=blobs,
                        only=[release.artifact],
                    )
                    artifact = whole.files[release.artifact]
                check_content(entry, artifact)
            except Exception as error:  # as above
                refused(Refusal(model, manifest, _as_refusal(error, model)))
                if part == "champion":
                    break
                continue
            digest = digest_of(documents[manifest])
            admitted.append(
                AdmittedModel(ref, release, digest, policy_digest, artifact, part, percent, pointer.pepper_number)
            )
    return admitted


def _file(state: TrustedState, path: str) -> bytes:
    data = state.files.get(path)
    if data is None:
        raise TamperedError(f"the release repository has no `{path}`")
    return data


def _policy_digest(state: TrustedState) -> Digest:
    return digest_of(canonical({path: digest_of(_file(state, path)) for path in (ACCESS_PATH, ACCESS_SCHEMA_PATH)}))


def _pointer(data: bytes, model: str) -> Pointer:
    try:
        pointer = parse_as(data, Pointer)
    except InvalidInputError as error:
        raise TamperedError(f"the pointer of `{model}` does not read: {error.message}") from error
    if pointer.model != model:
        raise TamperedError(f"the pointer of `{model}` is about another model")
    return pointer


def _wanted(pointer: Pointer, approved: Mapping[Digest, Release]) -> list[tuple[Digest, str, int]]:
    """Versions to open: champion first, then challenger, then the champion's fallback."""
    wanted: list[tuple[Digest, str, int]] = []
    if pointer.champion is not None:
        wanted.append((pointer.champion, "champion", 0))
    if pointer.challenger is not None:
        wanted.append((pointer.challenger, "challenger", pointer.canary_percent))
    fallback = approved[pointer.champion].plan.fallback if pointer.champion is not None else None
    if fallback is not None and fallback not in (pointer.champion, pointer.challenger):
        wanted.append((fallback, "fallback", 0))
    return wanted


def _check_conditions(release: Release, node: NodeTrust, known: Jurisdictions, at_us: int) -> None:
    what = f"version {release.manifest[:12]} of `{release.model}`"
    if at_us < release.not_before_us:
        raise NotPermittedError(f"{what} may not answer yet")
    if at_us >= release.review_due_us:
        raise ExpiredError(f"the review of {what} is due; it does not answer until it is approved again")
    if node.environment not in known.environments or node.environment not in release.environments:
        raise NotPermittedError(f"{what} is not approved for environment `{node.environment}`")
    unknown = sorted(set(release.jurisdictions) - set(known.jurisdictions))
    if unknown or not release.jurisdictions:
        raise NotPermittedError(f"{what} names jurisdiction `{'/'.join(unknown)}`, which the policy does not know")
    if not node.jurisdictions & set(release.jurisdictions):
        raise NotPermittedError(f"{what} is approved for no jurisdiction that this node serves")
    if _version(release.min_gateway) > _version(node.gateway_version):
        raise NotPermittedError(f"{what} needs gateway {release.min_gateway}, and this is {node.gateway_version}")
    if not release.purposes or any(path not in release.policies for path in NEEDED_POLICIES):
        raise EvidenceError(f"{what} names no purposes, or not the policies under which it was approved")
    if not release.monitors.features:
        raise EvidenceError(f"{what} has no monitors")


def _check_numeric_profile(release: Release, node: NodeTrust) -> None:
    profile = release.numeric_profile
    machine = node.machine_of(profile.runtime)
    if machine is None:
        raise NumericProfileError(
            f"`{release.model}` was approved with runtime {profile.runtime}, and this node does not have it"
        )
    for wanted, ours, what in (
        (profile.version, machine.version, "runtime version"),
        (profile.provider, machine.provider, "provider"),
        (profile.isa, machine.isa, "instruction set"),
    ):
        if wanted != ours:
            raise NumericProfileError(f"`{release.model}` was approved with {what} {wanted}, and this node has {ours}")
    if profile.max_batch < 1:
        raise NumericProfileError(f"`{release.model}` was approved for no batch size at all")


def _version(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split("."))
    except ValueError as error:
        raise EvidenceError("a gateway version is numbers with dots") from error


def _as_refusal(error: Exception, model: str) -> StrongroomError:
    if isinstance(error, StrongroomError):
        return error
    wrapped = TamperedError(f"the release of `{model}` could not be judged: {type(error).__name__}")
    wrapped.__cause__ = error
    return wrapped
