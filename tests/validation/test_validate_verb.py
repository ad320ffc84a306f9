"""From the sealed version to the signed validation statement, through the door; forged results get nowhere."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from typing import Any, ClassVar

import msgspec
import pytest

from strongroom.access.people import PeopleRegister, Person, person_key
from strongroom.access.principals import Principal
from strongroom.adapters.packages.model_toml import write_contract
from strongroom.adapters.runtimes.by_name import machine_of
from strongroom.adapters.sandbox.linux import LinuxSandbox
from strongroom.encoding import canonical, parse
from strongroom.errors import ConflictError, EvidenceError, ExpiredError, SandboxError
from strongroom.office.door import Office
from strongroom.registry.actions import Vault, register_sample, submit
from strongroom.registry.contract import ModelContract
from strongroom.registry.packages import read_package
from strongroom.registry.samples import sign_sample
from strongroom.sealing.dsse import open_envelope
from strongroom.sealing.keys import EcSigner
from strongroom.sealing.model_signature import sign_model
from strongroom.sealing.statements import VALIDATION, read_statement
from strongroom.validation import validating
from strongroom.validation.policy import ValidationPolicy
from strongroom.validation.ports import Job, JobResult, Sandbox
from strongroom.validation.reporting.report import render
from strongroom.validation.results import BatteryResults, ValidationPredicate
from strongroom.validation.validating import Prepared, Validated, Worked
from strongroom.vocabulary import Digest, ModelRef, PersonId, digest_of, micros
from tests.memory.blobs import MemoryBlobs, MemoryKeyRing
from tests.memory.office import MemoryDesk, MemoryLog
from tests.validation.worked import package

AT = datetime(2026, 11, 22, 9, tzinfo=UTC)
VAL = Principal(PersonId("val"), "Person", frozenset({"validator"}))
ISA = "x86_64-avx2"
KEYS = {name: EcSigner.from_scalar(100 + i) for i, name in enumerate(("ann", "val", "validation-service"))}
PEOPLE = PeopleRegister(
    1,
    tuple(
        Person(
            person_id=PersonId(name),
            kind="Person" if len(name) == 3 else "Service",
            keys=(person_key(key.public.spki, 0),),
            roles=(role,),
        )
        for (name, key), role in zip(KEYS.items(), ("author", "validator", "validation-service"), strict=True)
    ),
)


class Everyone:
    """Policies are the access room's; here every act is allowed."""

    def check(self, act: Any, /) -> None: ...


class InProcess:
    """The jobs without walls: fast, for what is not about walls. `spoil` plays a model that took the job over."""

    def __init__(self, spoil: Any = None) -> None:
        self.spoil = spoil

    def run(self, job: Job) -> JobResult:
        files = import_module(job.entry).run(job.inputs, dict(job.parameters))
        if self.spoil:
            files = self.spoil(dict(files))
        return JobResult(files=files, cpu_s=0.0, wall_s=0.0)


@dataclass
class House:
    door: Office[Any]
    desk: MemoryDesk
    log: MemoryLog
    vault: Vault
    ref: ModelRef

    def validate(self, sandbox: Sandbox, at: datetime = AT, policy: bytes | None = None) -> Validated:
        policy = policy or package("xgboost").inputs["policy.json"]
        prepared = self.prepare(at, policy)
        return self.enter(prepared, validating.work(prepared, sandbox=sandbox, isa=ISA), at, policy)

    def prepare(self, at: datetime = AT, policy: bytes | None = None) -> Prepared:
        return validating.prepare(
            self.door, VAL, at, ref=self.ref, people=PEOPLE, vault=self.vault,
            policy=policy or package("xgboost").inputs["policy.json"],
        )  # fmt: skip

    def enter(self, prepared: Prepared, worked: Worked, at: datetime = AT, policy: bytes | None = None) -> Validated:
        return validating.enter(
            self.door, VAL, at, prepared=prepared, worked=worked, vault=self.vault, signer=KEYS["validation-service"],
            policy=policy or prepared.policy,
        )  # fmt: skip


def house(kind: Any = "xgboost", *, with_sample: bool = True, scanned: bool = True) -> House:
    made = package(kind)
    contract: ModelContract = made.contract
    names = (contract.samples.model, contract.samples.development, contract.samples.reference)
    files: dict[str, bytes] = {name: made.inputs[name] for name in (*names, "predictions.parquet", "protected.parquet")}
    files["model.toml"] = write_contract(contract)
    desk, log, vault = MemoryDesk(), MemoryLog(), Vault(MemoryKeyRing(), MemoryBlobs())
    numbers = itertools.count(1)
    door: Office[Any] = Office(Everyone(), desk, log, lambda: AT, lambda size: next(numbers).to_bytes(size, "big"))
    ann, val = (
        Principal(PersonId(name), "Person", frozenset({role}))
        for name, role in (("ann", "author"), ("val", "validator"))
    )
    sealed = read_package(files)
    version = submit(
        door, ann, AT, name=contract.name, files=files, bundle=sign_model(contract.name, sealed.manifest, KEYS["ann"]),
        people=PEOPLE, vault=vault, data_key=bytes(range(32)),
    )  # fmt: skip
    if with_sample:
        sample = {
            "validation.parquet": made.inputs["validation.parquet"],
            "protected.parquet": made.inputs["validation-protected.parquet"],
        }
        envelope = sign_sample(
            version.ref, sample, KEYS["val"], person=PersonId("val"), rows=12000, source="held out", at_us=micros(AT)
        )
        register_sample(
            door,
            val,
            AT,
            ref=version.ref,
            files=sample,
            envelope=envelope,
            people=PEOPLE,
            vault=vault,
            data_key=bytes(32),
        )
    if scanned:
        now = desk.books.versions.get(version.ref)
        desk.books.versions.save(now.advanced("scanned", scan=Digest("cd" * 32)))
    return House(door, desk, log, vault, version.ref)


def predicate_of(home: House, evidence: Digest) -> ValidationPredicate:
    signer = KEYS["validation-service"].public
    opened = open_envelope(home.vault.blobs.get(evidence), {signer.key_id: signer})
    ref, predicate = read_statement(opened.payload, VALIDATION, ValidationPredicate)
    assert ref == home.ref
    return predicate


def test_a_model_of_native_xgboost_is_validated_with_the_library_that_will_serve_it() -> None:
    from strongroom.validation.trees.boosters import library_version

    home = house("native")
    predicate = home.validate(LinuxSandbox()).predicate
    assert predicate.verdict == "pass"
    profile = predicate.profile
    assert (profile.runtime, profile.version, profile.provider) == ("xgboost", library_version(), "cpu")
    assert profile.mode == "batch-invariant"
    results = BatteryResults.decode(home.vault.blobs.get(predicate.results))
    assert results.tools["xgboost"] == library_version()
    assert "onnxruntime" not in results.tools
    assert results.numeric.comparisons > 100_000
    assert (results.numeric.differ_alone, results.numeric.differ_session) == (0, 0)


@pytest.mark.slow
@pytest.mark.skipif(machine_of("onedal") is None, reason="oneDAL has no wheel for this machine")
def test_a_model_of_onedal_is_validated_with_the_library_that_will_serve_it() -> None:
    """Behind the walls, where it finds its shared libraries, its processor and one thread."""
    from strongroom.validation.trees.onedal import library_version

    predicate = house("onedal").validate(LinuxSandbox()).predicate
    assert predicate.verdict == "pass"
    profile = predicate.profile
    assert (profile.runtime, profile.version, profile.provider) == ("onedal", library_version(), "cpu-float64")
    assert (profile.mode, profile.max_batch) == ("batch-invariant", 1000)


def test_the_sandbox_cannot_name_another_runtime_than_the_contract() -> None:
    def other(files: dict[str, bytes]) -> dict[str, bytes]:
        if "profile.json" in files:
            proof = parse(files["profile.json"])
            proof["profile"]["runtime"] = "onnxruntime"
            files["profile.json"] = canonical(proof)
        return files

    with pytest.raises(SandboxError):
        house("native").validate(InProcess(other))


class Repeating(InProcess):
    """Runs each job once; a job gives the same bytes for the same inputs, which other tests hold."""

    done: ClassVar[dict[str, dict[str, bytes]]] = {}

    def run(self, job: Job) -> JobResult:
        key = job.entry + "".join(sorted(digest_of(data) for data in job.inputs.values()))
        if key not in self.done:
            self.done[key] = dict(import_module(job.entry).run(job.inputs, dict(job.parameters)))
        return JobResult(files=self.spoil(dict(self.done[key])), cpu_s=0.0, wall_s=0.0)


@pytest.mark.parametrize(
    ("of", "name", "other"),
    [
        ("test", "better", {"higher": "lower", "lower": "higher"}),
        ("test", "title", "Passed with distinction"),
        ("test", "source", "the regulator"),
        ("test", "section", "data"),
        ("test", "unit", "count"),
        ("test", "id", "discrimination.auc/of another"),
        ("results", "title", "Another model"),
        ("results", "owner", "somebody else"),
    ],
)
def test_a_sandbox_that_was_taken_over_chooses_no_words_and_turns_no_gate_round(of: str, name: str, other: Any) -> None:
    def spoil(files: dict[str, bytes]) -> dict[str, bytes]:
        if "results.json" in files:
            results = parse(files["results.json"])
            place = results if of == "results" else next(t for t in results["tests"] if t["id"] == "discrimination.auc")
            place[name] = other[place[name]] if isinstance(other, dict) else other
            files["results.json"] = canonical(results)
        return files

    with pytest.raises(SandboxError, match=r"about something else|otherwise than the catalogue"):
        house("logistic").validate(Repeating(spoil))


def test_a_version_is_validated_in_the_real_sandbox() -> None:
    home = house()
    done = home.validate(LinuxSandbox())
    version = home.desk.books.versions.get(home.ref)
    assert (version.state, version.evidence["validation"]) == ("validated", done.evidence)
    predicate = predicate_of(home, done.evidence)
    assert predicate == done.predicate
    assert predicate.verdict == "pass"
    assert version.sample is not None
    assert predicate.sample == version.sample.sealed.manifest
    results = home.vault.blobs.get(predicate.results)
    assert BatteryResults.decode(results).manifest == home.ref.manifest
    assert home.vault.blobs.get(predicate.report) == render(results)
    assert predicate.isolation == "linux-namespaces"
    assert predicate.profile.mode == "batch-invariant"
    assert sum(predicate.monitors.score.counts) == 6000
    # the same bytes outside the sandbox: walls and one thread change no figure
    again = house()
    assert again.validate(InProcess()).predicate.results == predicate.results


def test_a_failed_validation_is_signed_logged_and_leads_nowhere() -> None:
    home = house("logistic")
    with pytest.raises(EvidenceError) as caught:
        home.validate(InProcess())
    assert caught.value.entry is not None
    assert home.desk.books.versions.get(home.ref).state == "scanned"
    predicate = predicate_of(home, Digest(str(caught.value.details["evidence"])))
    assert predicate.verdict == "fail"
    assert home.vault.blobs.get(predicate.report).startswith(b"<!doctype html>")


def _better(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Turn the failed verdict into a pass, as code inside the sandbox could."""
    if "results.json" not in files:
        return dict(files)
    document = parse(files["results.json"])
    document["verdict"], document["reasons"] = "pass", []
    return {"results.json": canonical(document)}


def _other(field: str, value: Any) -> Any:
    def spoil(files: dict[str, bytes]) -> dict[str, bytes]:
        if "results.json" in files:
            files["results.json"] = canonical({**parse(files["results.json"]), field: value})
        return files

    return spoil


def _looser(files: dict[str, bytes]) -> dict[str, bytes]:
    """Judge by other cut-offs than the policy's."""
    if "results.json" in files:
        found = BatteryResults.decode(files["results.json"])
        tests = tuple(msgspec.structs.replace(t, amber="0.0", verdict="pass") if t.amber else t for t in found.tests)
        files["results.json"] = msgspec.structs.replace(found, tests=tests, verdict="pass", reasons=()).encode()
    return files


def _profile(files: dict[str, bytes]) -> dict[str, bytes]:
    if "profile.json" in files:
        document = parse(files["profile.json"])
        document["profile"]["isa"] = "x86_64-avx512"
        files["profile.json"] = canonical(document)
    return files


@pytest.mark.parametrize(
    ("kind", "spoil"),
    [
        ("logistic", _better),
        ("logistic", _looser),
        ("xgboost", _other("policy_sha256", "00" * 32)),
        ("xgboost", _other("artifact_sha256", "00" * 32)),
        ("xgboost", _other("manifest", "00" * 32)),
        ("xgboost", _other("samples", [])),
        ("xgboost", _other("tier", 3)),
        ("xgboost", _profile),
        ("xgboost", lambda files: {}),
        ("xgboost", lambda files: dict.fromkeys(files, b"{}")),
    ],
)
def test_results_from_a_sandbox_that_was_taken_over_are_refused(kind: Any, spoil: Any) -> None:
    home = house(kind)
    with pytest.raises(SandboxError):
        home.validate(InProcess(spoil))
    assert home.desk.books.versions.get(home.ref).state == "scanned"


def test_what_must_come_before() -> None:
    with pytest.raises(ConflictError):
        house(with_sample=False).validate(InProcess())
    with pytest.raises(ConflictError):
        house(scanned=False).validate(InProcess())
    with pytest.raises(ExpiredError):
        house().validate(InProcess(), at=datetime(2031, 1, 1, tzinfo=UTC))


def test_what_changed_meanwhile_keeps_the_results_out() -> None:
    home = house("logistic")
    prepared = home.prepare()
    worked = validating.work(prepared, sandbox=Repeating(dict), isa=ISA)

    def refused(match: str, policy: bytes | None = None) -> None:
        before = home.desk.books.versions.get(home.ref)
        with pytest.raises(ConflictError, match=match) as error:
            home.enter(prepared, worked, policy=policy)
        assert (error.value.details["rule"], error.value.entry is not None) == ("changed", True)
        assert home.desk.books.versions.get(home.ref) == before

    policy = ValidationPolicy.decode(prepared.policy)
    refused("ask for `validate` again", msgspec.structs.replace(policy, version="newer").encode())
    version = home.desk.books.versions.get(home.ref)
    home.desk.books.versions.save(version.advanced("scanned", scan=Digest("ef" * 32)))
    refused("has other evidence than when `validate` was taken up")
    home.desk.books.versions.save(version.advanced("rejected"))
    refused("was scanned when `validate` was taken up and is rejected by now")
    with pytest.raises(ExpiredError):
        house("logistic").enter(prepared, worked, at=datetime(2031, 1, 1, tzinfo=UTC))
