"""The verb `validate`: run the battery on a sealed version and the validator's sample, sign what it found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from msgspec import UnsetType

from strongroom.access.people import PeopleRegister
from strongroom.access.principals import Principal
from strongroom.encoding import canonical, parse_as
from strongroom.errors import ConflictError, EvidenceError, InvalidInputError, SandboxError
from strongroom.office.acts import Act, EntryRef, Resource
from strongroom.registry.actions import Vault, open_sample, open_version
from strongroom.registry.contract import ModelContract
from strongroom.registry.former import read_former
from strongroom.registry.ports import Door, RegistryBooks
from strongroom.registry.samples import PROTECTED_FILE, VALIDATION_FILE
from strongroom.registry.versions import Sample, Version
from strongroom.sealing.dsse import sign_envelope
from strongroom.sealing.keys import Signer
from strongroom.sealing.statements import VALIDATION, make_statement
from strongroom.validation.batteries.former_files import FORMER_CONTRACT, former_files, former_input
from strongroom.validation.battery_rules import conclude, judge
from strongroom.validation.catalogue import in_its_words
from strongroom.validation.grounds import demand_same_policy, demand_same_step
from strongroom.validation.kinds import validated_kind
from strongroom.validation.policy import ValidationPolicy
from strongroom.validation.ports import Isolation, Job, Limits, Sandbox
from strongroom.validation.reporting.report import render
from strongroom.validation.results import BatteryResults, MonitorBins, ProfileProof, ValidationPredicate
from strongroom.vocabulary import Digest, ModelRef, digest_of, micros

PROFILE = "strongroom.validation.jobs.profile"
LIMITS = Limits(cpu_s=300, wall_s=600)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the sandbox gave, held against what went in.

    Attributes:
        results: `results.json`, as it came.
        found: the same, read.
        monitors: reference bins.
        isolation: how the sandbox held the jobs.
    """

    results: bytes
    found: BatteryResults
    monitors: MonitorBins
    isolation: Isolation


@dataclass(frozen=True, slots=True)
class Worked:
    """What came of a validation's work, signed by nobody yet.

    Attributes:
        outcome: of the jobs.
        report: drawn from its results.
    """

    outcome: Outcome
    report: bytes


@dataclass(frozen=True, slots=True)
class Validated:
    """A validation whose gates are all passed.

    Attributes:
        ref: what was validated.
        evidence: digest of the signed statement.
        predicate: what it says.
        entry: where the act stands in the governance log.
    """

    ref: ModelRef
    evidence: Digest
    predicate: ValidationPredicate
    entry: EntryRef


@dataclass(frozen=True, slots=True)
class Prepared:
    """A validation that may begin.

    Attributes:
        version: as the books have it.
        policy: `policy/validation.json` in force.
        inputs: what the jobs are given, in the clear; in memory only.
    """

    version: Version
    policy: bytes
    inputs: Mapping[str, bytes] = field(repr=False)


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
    """Before minutes are spent on it: whether a scanned version may be validated, and what the jobs are given.

    Nothing is kept. `work` works on it, and `enter` looks at everything again.

    Args:
        by: who asks.
        people: the register in force.
        vault: where version and sample lie.
        policy: `policy/validation.json` as the custodians signed it.

    Raises:
        EvidenceError: the policy has no battery for this kind and tier, or does not take the explanation that the
            contract asks for.
        ExpiredError: the policy is not in force.
        ConflictError: no sample is registered, or the version is past validation.
        TamperedError: version or sample are not what their people signed.
        NotFoundError, NotPermittedError, UnavailableError: as usual.
    """
    with door.prepare(Act(by, "validate", Resource("Model", ref.name), at)) as books:
        version = books.versions.get(ref)
        _demand_ready(version, policy, at)
        model, _ = open_version(version, people=people, vault=vault)
        inputs = job_inputs(version.contract, model.files, open_sample(version, vault=vault), policy)
    return Prepared(version, policy, inputs)


def work(prepared: Prepared, *, sandbox: Sandbox, isa: str) -> Worked:
    """Run the battery and draw its report. Raises as `examine`.

    Args:
        prepared: what to work on.
        sandbox: where the model is run.
        isa: instruction-set class of this machine.
    """
    version = prepared.version
    outcome = examine(version.ref, version.contract, prepared.inputs, sandbox=sandbox, isa=isa)
    return Worked(outcome, render(outcome.results))


def enter(
    door: Door[RegistryBooks],
    by: Principal,
    at: datetime,
    *,
    prepared: Prepared,
    worked: Worked,
    vault: Vault,
    signer: Signer,
    policy: bytes,
) -> Validated:
    """Sign and enter what came of a validation, if its grounds are still the same.

    Results and report go into the vault's blobs, in the clear: figures and counts, no rows.

    Args:
        by: who asked; the statement is signed by the service, whoever asked.
        at: now, after the work.
        prepared: what the work was done on.
        worked: what came of it.
        vault: receives results, report and statement.
        signer: the validation service's key.
        policy: `policy/validation.json` as it is in force now.

    Raises:
        EvidenceError: a gate is not passed. The act stands in the log with its signed evidence
            (`details["evidence"]`, `["report"]`) and the version stays where it was.
        ConflictError: version or policy changed since; nothing was signed.
        ExpiredError: the policy is not in force any more.
        NotFoundError, NotPermittedError, UnavailableError: as usual.
    """
    ref, outcome = prepared.version.ref, worked.outcome
    with door.open(Act(by, "validate", Resource("Model", ref.name), at)) as books:
        version = books.versions.get(ref)
        demand_same_step("validate", prepared.version, version)
        demand_same_policy("validate", version, prepared.policy, policy)
        sample = _demand_ready(version, policy, at)
        predicate = ValidationPredicate(
            v=1,
            verdict="fail" if outcome.found.verdict == "fail" else "pass",
            warnings=outcome.found.reasons,
            results=vault.blobs.put(outcome.results),
            report=vault.blobs.put(worked.report),
            sample=sample.sealed.manifest,
            samples=outcome.found.samples,
            contract_sha256=outcome.found.contract_sha256,
            artifact_sha256=outcome.found.artifact_sha256,
            policy_sha256=outcome.found.policy_sha256,
            policy_version=outcome.found.policy_version,
            profile=outcome.found.numeric.profile,
            monitors=outcome.monitors,
            tools=outcome.found.tools,
            isolation=outcome.isolation,
            at_us=micros(at),
        )
        vault.blobs.put(policy)  # a report can always be judged by the policy that judged it
        evidence = vault.blobs.put(sign_envelope(make_statement(ref, VALIDATION, predicate), signer))
        books.note(
            manifest=ref.manifest,
            evidence=evidence,
            verdict=predicate.verdict,
            warnings=len(predicate.warnings),
            results=predicate.results,
            sample=predicate.sample,
            policy=predicate.policy_sha256,
            isolation=predicate.isolation,
        )
        if predicate.verdict == "pass":
            books.versions.save(version.advanced("validated", validation=evidence))
    if predicate.verdict != "pass":
        error = EvidenceError(
            f"the validation of version {ref} is not passed: {predicate.warnings[0]}; read the report",
            evidence=evidence,
            results=predicate.results,
            report=predicate.report,
        )
        error.entry = books.receipt
        raise error
    return Validated(ref, evidence, predicate, books.receipt)


def _demand_ready(version: Version, policy: bytes, at: datetime) -> Sample:
    version.advanced("validated")
    if version.sample is None:
        raise ConflictError(f"version {version.ref} has no validation sample; the validator registers one first")
    rules = ValidationPolicy.decode(policy).in_force(micros(at))
    rules.battery(version.contract.kind, version.contract.tier, version.contract.jurisdictions)
    if objections := rules.objections(version.contract):
        raise EvidenceError(f"version {version.ref} is not validated: {objections[0]}")
    return version.sample


def job_inputs(
    contract: ModelContract, package: Mapping[str, bytes], sample: Mapping[str, bytes], policy: bytes
) -> dict[str, bytes]:
    """What the jobs are given, by the names that they know.

    Args:
        contract: of the package.
        package: the package's files by path.
        sample: the validator's files by path.
        policy: the policy's bytes.
    """
    named = contract.samples
    inputs = {
        "contract.json": canonical(contract),
        "policy.json": policy,
        contract.model_input: package[named.model],
        "development.parquet": package[named.development],
        "reference.parquet": package[named.reference],
        "predictions.parquet": package[named.predictions],
        "validation.parquet": sample[VALIDATION_FILE],
    }
    former = read_former(contract, package)
    if former is not None:
        inputs |= former_files(former.contract, canonical(former.contract), former.model)
    if named.protected is not None:
        inputs["protected.parquet"] = package[named.protected]
    if PROTECTED_FILE in sample:
        inputs["validation-protected.parquet"] = sample[PROTECTED_FILE]
    return inputs


def examine(
    ref: ModelRef, contract: ModelContract, inputs: Mapping[str, bytes], *, sandbox: Sandbox, isa: str
) -> Outcome:
    """Run the two jobs and hold what they gave against what went in.

    A hostile model may have taken over the sandbox, so the verdict is judged again out here, by the same policy.

    Raises:
        EvidenceError: no battery for this kind.
        SandboxError: a job failed, or its results name other inputs, rules or verdicts than these.
        UnavailableError: this machine cannot isolate.
    """
    battery = validated_kind(contract.kind).battery
    wanted = (contract.model_input, "contract.json", "policy.json", "reference.parquet")
    first = sandbox.run(
        Job(entry=PROFILE, inputs={name: inputs[name] for name in wanted}, parameters={"isa": isa}, limits=LIMITS)
    )
    try:
        profile = first.files["profile.json"]
        proof = parse_as(profile, ProfileProof)
        monitors = parse_as(first.files["monitors.json"], MonitorBins)
        second = sandbox.run(
            Job(
                entry=battery,
                inputs={**inputs, "profile.json": profile},
                parameters={"manifest": ref.manifest},
                limits=LIMITS,
            )
        )
        results = second.files["results.json"]
        found = BatteryResults.decode(results)
    except (KeyError, InvalidInputError) as error:
        raise SandboxError("the battery left no readable results", reason="output") from error
    if (proof.profile.runtime, proof.profile.isa) != (contract.engine, isa) or found.numeric != proof:
        raise SandboxError("the battery names another numeric profile than was proven", reason="output")
    _check(ref, contract, inputs, found)
    held: Isolation = first.isolation if first.isolation == second.isolation else "none"
    return Outcome(results, found, monitors, held)


def _check(ref: ModelRef, contract: ModelContract, inputs: Mapping[str, bytes], found: BatteryResults) -> None:
    policy = ValidationPolicy.decode(inputs["policy.json"])
    about = (found.model, found.manifest, found.battery, found.kind, found.tier, found.title, found.owner)
    judged_by = (found.policy_version, found.confidence)
    asked = (ref.name, ref.manifest, contract.kind, contract.kind, contract.tier, contract.title, contract.owner)
    if about != asked or judged_by != (policy.version, policy.confidence):
        raise SandboxError("the results are about something else", reason="output")
    # a gate that reads its figure the other way round would let through what it is there to hold up
    if not all(in_its_words(test, contract) for test in found.tests):
        raise SandboxError("the results describe a test otherwise than the catalogue", reason="output")
    named = {
        "contract.json": found.contract_sha256,
        contract.model_input: found.artifact_sha256,
        "policy.json": found.policy_sha256,
        **{f"{sample.role}.parquet": sample.sha256 for sample in found.samples},
    }
    if not isinstance(found.former, UnsetType) and FORMER_CONTRACT in inputs:
        former = parse_as(inputs[FORMER_CONTRACT], ModelContract)
        named |= {FORMER_CONTRACT: found.former.contract_sha256, former_input(former): found.former.artifact_sha256}
    if named != {name: digest_of(data) for name, data in inputs.items()}:
        raise SandboxError("the results name other inputs than were given", reason="output")
    battery = policy.battery(contract.kind, contract.tier, contract.jurisdictions).asked_of(contract)
    rules = {rule.test: rule for rule in battery.rules}
    judged = tuple(judge(test, rules.get(test.rule)) for test in found.tests)
    verdict, reasons = conclude(battery, judged)
    if (judged, verdict, reasons) != (found.tests, found.verdict, found.reasons):
        raise SandboxError("the results carry other verdicts than the policy gives", reason="output")
