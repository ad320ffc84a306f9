"""The verb `scan`: open a sealed package in memory, let the sandbox look at it, sign what it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from msgspec import UNSET, UnsetType, structs

from strongroom.access.people import PeopleRegister
from strongroom.access.principals import Principal
from strongroom.encoding import canonical, parse_as
from strongroom.errors import InvalidInputError, SandboxError, UnsafeArtifactError
from strongroom.office.acts import Act, EntryRef, Resource
from strongroom.registry.actions import Vault, open_version
from strongroom.registry.bill import bill_of_materials
from strongroom.registry.contract import ModelContract
from strongroom.registry.kinds import CONTRACTS
from strongroom.registry.ports import Door, RegistryBooks
from strongroom.registry.versions import Version
from strongroom.sealing.dsse import sign_envelope
from strongroom.sealing.keys import Signer
from strongroom.sealing.manifest import Manifest
from strongroom.sealing.sealed import VerifiedModel
from strongroom.sealing.statements import SCAN, make_statement
from strongroom.validation.grounds import demand_same_policy, demand_same_step
from strongroom.validation.policy import ValidationPolicy
from strongroom.validation.ports import Job, Limits, Parameter, Sandbox
from strongroom.validation.scans.licences import LicenceRules, expressions
from strongroom.validation.scans.scan import (
    BOOSTER_RULES,
    UNPACKING_RULES,
    ScannedFile,
    ScanPredicate,
    ScanResult,
    rules_digest,
    verdict_of,
)
from strongroom.vocabulary import Digest, ModelRef, digest_of, micros

ENTRY = "strongroom.validation.jobs.scan"
LIMITS = Limits(cpu_s=60, wall_s=120)


@dataclass(frozen=True, slots=True)
class Scanned:
    """A scan that passed.

    Attributes:
        ref: what was scanned.
        evidence: digest of the signed statement.
        predicate: what it says.
        entry: where the act stands in the governance log.
    """

    ref: ModelRef
    evidence: Digest
    predicate: ScanPredicate
    entry: EntryRef


@dataclass(frozen=True, slots=True)
class Prepared:
    """A scan that may begin.

    Attributes:
        version: as the books have it.
        policy: `policy/validation.json` in force.
        rules: what it says of licences.
        model: the opened package; in memory only.
    """

    version: Version
    policy: bytes
    rules: LicenceRules | UnsetType
    model: VerifiedModel


def prepare(
    door: Door[RegistryBooks],
    by: Principal,
    at: datetime,
    *,
    ref: ModelRef,
    people: PeopleRegister,
    vault: Vault,
    policy: bytes,
) -> Prepared:
    """Before time is spent on it: whether a submitted version may be scanned, and its files.

    Nothing is kept. `work` works on them, and `enter` looks at everything again. The plaintext goes from memory through
    a pipe into the sandbox, and nowhere else.

    Args:
        by: who asks.
        people: the register in force.
        vault: where the sealed package lies.
        policy: `policy/validation.json` as the custodians signed it: what it says of licences.

    Raises:
        TamperedError: the sealed package is not what its author signed.
        ConflictError: the version is past the scan.
        ExpiredError: the policy is not in force.
        NotFoundError, NotPermittedError, UnavailableError: as usual.
    """
    with door.prepare(Act(by, "scan", Resource("Model", ref.name), at)) as books:
        version = books.versions.get(ref)
        version.advanced("scanned")
        rules = ValidationPolicy.decode(policy).in_force(micros(at)).licences
        model, _ = open_version(version, people=people, vault=vault)
    return Prepared(version, policy, rules, model)


def work(prepared: Prepared, sandbox: Sandbox, at: datetime) -> ScanPredicate:
    """Have the sandbox look at the files. Raises as `look`."""
    model, contract = prepared.model, prepared.version.contract
    return look(model.files, model.manifest, contract, sandbox, micros(at), prepared.rules)


def enter(
    door: Door[RegistryBooks],
    by: Principal,
    at: datetime,
    *,
    prepared: Prepared,
    predicate: ScanPredicate,
    vault: Vault,
    signer: Signer,
    policy: bytes,
) -> Scanned:
    """Sign and enter what a scan found, if its grounds are still the same.

    Args:
        by: who asked; the statement is signed by the service, whoever asked.
        at: now, after the work.
        prepared: what was looked at.
        predicate: what was found.
        vault: receives the signed statement.
        signer: the scan service's key.
        policy: `policy/validation.json` as it is in force now.

    Raises:
        UnsafeArtifactError: a finding refuses the package. The act stands in the log with its signed evidence
            (`details["evidence"]`), and the version stays where it was.
        ConflictError: version or policy changed since; nothing was signed.
        ExpiredError: the policy is not in force any more.
        NotFoundError, NotPermittedError, UnavailableError: as usual.
    """
    ref = prepared.version.ref
    with door.open(Act(by, "scan", Resource("Model", ref.name), at)) as books:
        version = books.versions.get(ref)
        demand_same_step("scan", prepared.version, version)
        demand_same_policy("scan", version, prepared.policy, policy)
        ValidationPolicy.decode(policy).in_force(micros(at))
        found = predicate.result.licences
        told = {} if isinstance(found, UnsetType) else expressions(found.packages)
        bill = vault.blobs.put(bill_of_materials(version, CONTRACTS[version.contract.kind].outcome, told))
        predicate = structs.replace(predicate, at_us=micros(at), policy_sha256=digest_of(policy), bill=bill)
        vault.blobs.put(policy)
        evidence = vault.blobs.put(sign_envelope(make_statement(ref, SCAN, predicate), signer))
        books.note(
            manifest=ref.manifest,
            evidence=evidence,
            verdict=predicate.verdict,
            findings=len(predicate.result.findings),
            rules=predicate.result.rules_sha256,
            isolation=predicate.isolation,
            bill=bill,
        )
        if predicate.verdict == "pass":
            books.versions.save(version.advanced("scanned", scan=evidence))
    if predicate.verdict != "pass":
        raise _refusal(ref, predicate, evidence, books.receipt)
    return Scanned(ref, evidence, predicate, books.receipt)


def look(
    files: Mapping[str, bytes],
    manifest: Manifest,
    contract: ModelContract,
    sandbox: Sandbox,
    at_us: int,
    rules: LicenceRules | UnsetType = UNSET,
) -> ScanPredicate:
    """Run the job on files that are known to be those of `manifest`, and judge licences by `rules`, if there are any.

    Raises:
        SandboxError: the job failed, or its result is not one of a scan by these rules.
        UnavailableError: this machine cannot isolate.
    """
    entries = list(manifest)
    named: list[Parameter] = [[f"file-{i}", entry.path, entry.role] for i, entry in enumerate(entries)]
    inputs = {f"file-{i}": files[entry.path] for i, entry in enumerate(entries)}
    inputs["contract.json"] = canonical(contract)
    if not isinstance(rules, UnsetType):
        inputs["licences.json"] = canonical(rules)
    ran = sandbox.run(Job(entry=ENTRY, inputs=inputs, parameters={"files": named}, limits=LIMITS))
    try:
        result = parse_as(ran.files["scan.json"], ScanResult)
    except (KeyError, InvalidInputError) as error:
        raise SandboxError("the scan left no readable result", reason="output") from error
    unpacked = UNPACKING_RULES if isinstance(result.unpacked, UnsetType) else result.unpacked.rules
    licences = UNSET if isinstance(result.licences, UnsetType) else result.licences.rules
    ours = result.rules_sha256 == rules_digest() and unpacked == UNPACKING_RULES and licences == rules
    if not ours or (result.booster and result.booster.rules != BOOSTER_RULES):
        raise SandboxError("the scan ran by other rules than ours", reason="output")
    return ScanPredicate(
        v=1,
        verdict=verdict_of(result),
        files=tuple(ScannedFile(path=entry.path, role=entry.role, sha256=entry.sha256) for entry in entries),
        result=result,
        isolation=ran.isolation,
        at_us=at_us,
    )


def _refusal(ref: ModelRef, predicate: ScanPredicate, evidence: Digest, entry: EntryRef) -> UnsafeArtifactError:
    reasons = [finding for finding in predicate.result.findings if finding.severity == "refuse"]
    first = reasons[0] if reasons else None
    what = f"{first.file or 'package'}: {first.message}" if first else "it holds no model"
    more = f", and {len(reasons) - 1} more" if len(reasons) > 1 else ""
    error = UnsafeArtifactError(
        f"the scan refuses version {ref}: {what}{more}; mend the package and submit it anew",
        rule=first.rule if first else "onnx-parse",
        evidence=evidence,
    )
    error.entry = entry
    return error
