"""From the sealed version to the signed scan statement, through the door and the real sandbox."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import onnx
import pytest
from msgspec import UnsetType, structs

from strongroom.access.people import PeopleRegister, Person, person_key
from strongroom.access.principals import Principal
from strongroom.adapters.packages.model_toml import write_contract
from strongroom.adapters.sandbox.linux import LinuxSandbox
from strongroom.encoding import canonical, parse
from strongroom.errors import ConflictError, SandboxError, UnavailableError, UnsafeArtifactError
from strongroom.office.door import Office
from strongroom.registry.actions import Vault, submit
from strongroom.registry.packages import read_package
from strongroom.sealing.dsse import open_envelope
from strongroom.sealing.keys import EcSigner
from strongroom.sealing.model_signature import sign_model
from strongroom.sealing.statements import SCAN, read_statement
from strongroom.validation import scanning
from strongroom.validation.ports import Job, JobResult
from strongroom.validation.scanning import Scanned
from strongroom.validation.scans.scan import ScanPredicate
from strongroom.vocabulary import Digest, ModelRef, PersonId, digest_of, micros
from tests.memory.blobs import MemoryBlobs, MemoryKeyRing
from tests.memory.office import MemoryDesk, MemoryLog
from tests.validation.worked import POLICY, package

AT = datetime(2026, 11, 22, 9, tzinfo=UTC)
LATER = AT + timedelta(minutes=7)
AUTHOR, SERVICE = EcSigner.from_scalar(11), EcSigner.from_scalar(12)
ANN = Principal(PersonId("ann"), "Person", frozenset({"author"}))
PEOPLE = PeopleRegister(
    1, (Person(person_id=ANN.id, kind="Person", keys=(person_key(AUTHOR.public.spki, 0),), roles=("author",)),)
)


class Everyone:
    """Policies are the access room's; here every act is allowed."""

    def check(self, act: Any, /) -> None: ...


class Answers:
    """A sandbox that says what it is told to say, or raises it."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def run(self, job: Job) -> JobResult:
        if isinstance(self.answer, Exception):
            raise self.answer
        return JobResult(files=self.answer, cpu_s=0.0, wall_s=0.0)


@dataclass
class House:
    door: Office[Any]
    desk: MemoryDesk
    vault: Vault
    ref: ModelRef

    def scan(self, sandbox: Any = None, policy: bytes = POLICY.read_bytes()) -> Scanned:
        prepared = scanning.prepare(self.door, ANN, AT, ref=self.ref, people=PEOPLE, vault=self.vault, policy=policy)
        found = scanning.work(prepared, sandbox or LinuxSandbox(), AT)
        return self.enter(prepared, found, policy)

    def enter(self, prepared: scanning.Prepared, found: ScanPredicate, policy: bytes = POLICY.read_bytes()) -> Scanned:
        return scanning.enter(
            self.door, ANN, LATER, prepared=prepared, predicate=found, vault=self.vault, signer=SERVICE, policy=policy
        )

    @property
    def state(self) -> str:
        return self.desk.books.versions.get(self.ref).state

    def predicate(self, evidence: Digest) -> ScanPredicate:
        opened = open_envelope(self.vault.blobs.get(evidence), {SERVICE.public.key_id: SERVICE.public})
        ref, predicate = read_statement(opened.payload, SCAN, ScanPredicate)
        assert ref == self.ref
        return predicate


def house(kind: Any = "xgboost", spoil: Any = None) -> House:
    made = package(kind)
    names = (made.contract.samples.model, "development.parquet", "reference.parquet", "predictions.parquet")
    files: dict[str, bytes] = {name: made.inputs[name] for name in (*names, "protected.parquet")}
    lineage = structs.replace(made.contract.lineage, environment={"numpy": "2.4.6"})
    files["model.toml"] = write_contract(structs.replace(made.contract, lineage=lineage))
    if spoil is not None:
        model = onnx.load_model_from_string(files[made.contract.samples.model])
        spoil(model)
        files[made.contract.samples.model] = model.SerializeToString()
    desk, vault = MemoryDesk(), Vault(MemoryKeyRing(), MemoryBlobs())
    numbers = itertools.count(1)
    door: Office[Any] = Office(
        Everyone(), desk, MemoryLog(), lambda: AT, lambda size: next(numbers).to_bytes(size, "big")
    )
    name = made.contract.name
    version = submit(
        door, ANN, AT, name=name, files=files, bundle=sign_model(name, read_package(files).manifest, AUTHOR),
        people=PEOPLE, vault=vault, data_key=bytes(range(32)),
    )  # fmt: skip
    return House(door, desk, vault, version.ref)


@pytest.mark.parametrize("kind", ["xgboost", "logistic"])
def test_a_real_model_passes_in_the_real_sandbox(kind: str) -> None:
    home = house(kind)
    done = home.scan()
    version = home.desk.books.versions.get(home.ref)
    assert (version.state, version.evidence["scan"]) == ("scanned", done.evidence)
    predicate = home.predicate(done.evidence)
    assert predicate == done.predicate
    assert (predicate.verdict, predicate.isolation, predicate.at_us) == ("pass", "linux-namespaces", micros(LATER))
    assert predicate.result.model is not None
    assert predicate.result.model.nodes > 0
    assert {file.role for file in predicate.files} == {
        "contract", "model", "development", "reference", "predictions", "protected",
    }  # fmt: skip
    assert done.entry.index >= 0
    assert predicate.policy_sha256 == digest_of(POLICY.read_bytes())
    demand_bill(home, predicate)


def demand_bill(home: House, predicate: ScanPredicate) -> None:
    """What was signed names the bill of materials; it holds the public schema, and licences are those of the scan."""
    assert not isinstance(predicate.bill, UnsetType)
    stored = home.vault.blobs.get(predicate.bill)
    assert digest_of(stored) == predicate.bill
    bill = json.loads(stored)
    assert bill["metadata"]["component"]["version"] == home.ref.manifest
    assert not isinstance(predicate.result.licences, UnsetType)
    told = {one.package: one.expression for one in predicate.result.licences.packages}
    libraries = {one["name"]: one["licenses"][0]["expression"] for one in bill["components"] if "licenses" in one}
    assert libraries == told == {"numpy": told["numpy"]}
    assert "BSD-3-Clause" in libraries["numpy"]
    json_validation = pytest.importorskip("cyclonedx.validation.json")
    from cyclonedx.schema import SchemaVersion

    assert json_validation.JsonStrictValidator(SchemaVersion.V1_6).validate_str(stored.decode()) is None


def _external(model: Any) -> None:
    tensor = model.graph.initializer.add(name="w", data_type=1, dims=[1], data_location=1)
    tensor.external_data.add(key="location", value="/etc/passwd")


def test_a_refused_package_leaves_signed_evidence_and_stays_where_it_was() -> None:
    home = house("logistic", _external)
    with pytest.raises(UnsafeArtifactError, match="data in another file") as caught:
        home.scan()
    assert caught.value.entry is not None
    assert home.state == "submitted"
    predicate = home.predicate(Digest(str(caught.value.details["evidence"])))
    assert predicate.verdict == "fail"
    assert "onnx-external-data" in {finding.rule for finding in predicate.result.findings}


@pytest.mark.parametrize("error", [SandboxError("died", reason="crash"), UnavailableError("no walls")])
def test_a_scan_that_did_not_happen_advances_nothing(error: Exception) -> None:
    home = house("logistic")
    with pytest.raises(type(error)):
        home.scan(Answers(error))
    assert home.state == "submitted"


def test_a_job_that_was_taken_over_cannot_change_the_rules_or_the_form() -> None:
    home = house("logistic")
    good = home.scan().predicate.result
    document = parse(canonical(good))
    for forged in (
        {},
        {"scan.json": b"{}"},
        {"scan.json": b"not json"},
        {"scan.json": canonical({**document, "rules_sha256": "0" * 64})},
        {"scan.json": canonical({**document, "extra": 1})},
    ):
        again = house("logistic")
        with pytest.raises(SandboxError):
            again.scan(Answers(forged))
        assert again.state == "submitted"


def test_a_version_past_the_scan_is_refused_before_any_work() -> None:
    home = house("logistic")
    version = home.desk.books.versions.get(home.ref)
    home.desk.books.versions.save(version.advanced("rejected"))
    with pytest.raises(ConflictError):
        home.scan(Answers(AssertionError("the sandbox was asked")))
