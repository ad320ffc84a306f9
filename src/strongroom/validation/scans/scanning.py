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
from strongroom.sealing.dsse import sign_envelope
from strongroom.sealing.keys import Signer
from strongroom.sealing.manifest import Manifest
from strongroom.sealing.statements import SCAN, make_statement
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


def scan(
    door: Door[RegistryBooks],
    by: Principal,
    at: datetime,
    *,
    ref: ModelRef,
    people: PeopleRegister,
    vault: Vault,
    sandbox: Sandbox,
    signer: Signer,
    policy: bytes,
) -> Scanned:
    """Scan a submitted version. The plaintext goes from memory through a pipe into the sandbox, and nowhere else.

    Args:
        by: who asks; the statement is signed by the service, whoever asked.
        people: the register in force.
        vault: where the sealed package lies; receives the signed statement.
        sandbox: where the files are opened.
        signer: the scan service's key.
        policy: `policy/validation.json` as the custodians signed it: what it says of licences.

    Raises:
        UnsafeArtifactError: a finding refuses the package. The act stands in the log with its signed evidence
            (`details["evidence"]`), and the version stays where it was.
        SandboxError: the job itself failed, as hostile files make it fail.
        TamperedError: the sealed package is not what its author signed.
        ConflictError: the version is past the scan.
        ExpiredError: the policy is not in force.
        NotFoundError, NotPermittedError, UnavailableError: as usual.
    """
    with door.open(Act(by, "scan", Resource("Model", ref.name), at)) as books:
        version = books.versions.get(ref)
        version.advanced("scanned")  # refuses before seconds are spent on it
        rules = ValidationPolicy.decode(policy).in_force(micros(at)).licences
        model, _ = open_version(version, people=people, vault=vault)
        predicate = look(model.files, model.manifest, version.contract, sandbox, micros(at), rules)
        found = predicate.result.licences
        told = {} if isinstance(found, UnsetType) else expressions(found.packages)
        bill = vault.blobs.put(bill_of_materials(version, CONTRACTS[version.contract.kind].outcome, told))
        predicate = structs.replace(predicate, policy_sha256=digest_of(policy), bill=bill)
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
