"""A whole valid room in a temporary folder, in a fraction of a second, for tests that then break one thing.

Everything is real (signatures, TUF, sealing) but for keys with small scalars, a key ring in memory, and documents in
place of a trained model. Nothing here needs the database, the sandbox or ONNX.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from strongroom.access.people import PeopleRegister, Person, person_key
from strongroom.adapters.releases.halt_files import HaltFiles
from strongroom.adapters.releases.release_fetchers import FolderFetcher
from strongroom.adapters.releases.release_mirror import ReleaseShelf, sync
from strongroom.adapters.releases.time_floor import TimeFloor
from strongroom.adapters.releases.tuf_client import ReleaseClient
from strongroom.adapters.releases.tuf_files import TufFiles
from strongroom.adapters.releases.tuf_repository import TufRepository
from strongroom.approval.inheritance import Known
from strongroom.approval.pointers import Pointer
from strongroom.approval.release import Bins, EvidenceRef, Monitors, NumericProfile, Plan, Release
from strongroom.approval.role_metadata import model_role
from strongroom.approval.signing import (
    ApprovalPapers,
    LogRead,
    ReviewPapers,
    check_approval_papers,
    sign_approval,
    sign_halt,
    sign_lift,
    sign_review,
)
from strongroom.approval.statements import Finding, GovernanceSeen
from strongroom.encoding import canonical
from strongroom.registry.contract import CutOff, Feature, InputContract, OutputContract
from strongroom.sealing.dsse import open_envelope, sign_envelope
from strongroom.sealing.keys import EcSigner
from strongroom.sealing.manifest import build_manifest
from strongroom.sealing.model_signature import sign_model
from strongroom.sealing.sealed import seal_package
from strongroom.sealing.statements import SCAN, VALIDATION, make_statement
from strongroom.serving.admission import NodeTrust, Refusal, admit
from strongroom.serving.admission_ports import TrustedState
from strongroom.serving.admitted import AdmittedModel
from strongroom.serving.ports import Machine
from strongroom.vocabulary import Digest, ModelRef, PersonId, digest_of, micros
from tests.memory.blobs import MemoryKeyRing

START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
MODEL = "pd-cards"

ROLES: dict[str, tuple[str, tuple[str, ...]]] = {
    "abel": ("Person", ("approver",)),
    "ann": ("Person", ("author",)),
    "bea": ("Person", ("approver",)),
    "cleo": ("Person", ("approver",)),
    "custodian-a": ("Person", ("custodian",)),
    "custodian-b": ("Person", ("custodian",)),
    "custodian-c": ("Person", ("custodian",)),
    "hal": ("Person", ("halter",)),
    "hope": ("Person", ("halter",)),
    "oscar": ("Person", ("operator",)),
    "scanner": ("Service", ("scanner",)),
    "val": ("Person", ("validator",)),
    "validation": ("Service", ("validation-service",)),
}
CUSTODIANS = ("custodian-a", "custodian-b", "custodian-c")


def signer(name: str) -> EcSigner:
    """The key of a person, always the same. `ann#2` is another key of a person's choice."""
    return EcSigner.from_scalar(int.from_bytes(hashlib.sha256(name.encode()).digest(), "big") >> 1)


def register(changes: Mapping[str, Person] | None = None, version: int = 1) -> PeopleRegister:
    """Everybody of `ROLES`, with changes."""
    people = {
        name: Person(
            person_id=PersonId(name),
            kind=kind,  # type: ignore[arg-type]  # a table of literals
            keys=(person_key(signer(name).public.spki, 0),),
            roles=tuple(sorted(roles)),
        )
        for name, (kind, roles) in ROLES.items()
    } | dict(changes or {})
    return PeopleRegister(version, tuple(people[name] for name in sorted(people)))


TRUST = {
    "v": 1,
    "tiers": {
        "1": [
            {"type": "submission", "role": "author"},
            {"type": "scan", "role": "scanner"},
            {"type": "validation", "role": "validation-service"},
            {"type": "review", "role": "validator"},
        ]
    },
}
POLICIES: dict[str, bytes] = {
    "policy/access.cedar": b"permit (principal, action, resource);",
    "policy/access.cedarschema": b"entity Person;",
    "policy/validation.json": canonical({"v": 1}),
    "policy/trust.json": canonical(TRUST),
    "policy/jurisdictions.json": canonical(
        {"v": 1, "jurisdictions": ["DE", "EU"], "environments": ["production", "test"]}
    ),
    "process/lifecycle.bpmn": b"<definitions/>",
}
NAMED_POLICIES = ("policy/access.cedar", "policy/trust.json", "policy/validation.json")
GOVERNANCE = GovernanceSeen(origin="bank/room/eu/control/gov/1", size=7, root=digest_of(b"root"))


def log_read(version: Version) -> LogRead:
    """What an approver reads in the governance log of a room with this one version, about which nothing was found."""
    return LogRead(GOVERNANCE, (Known(version.ref, PersonId("ann")),))


def kept_of(version: Version) -> dict[Digest, bytes]:
    """What the control plane hands over of it."""
    return {version.ref.manifest: version.manifest}


MONITORS = Monitors(
    features=(Bins(name="income", edges=("1.0",), counts=(5, 5)),),
    score=Bins(name="pd", edges=("0.5",), counts=(5, 5)),
    psi_alert="0.25",
    psi_floor="0.0001",
    min_rows=100,
)
PROFILE = NumericProfile(
    runtime="onnxruntime",
    version="1.24.0",
    provider="CPUExecutionProvider",
    threads=1,
    isa="x86_64-avx2",
    mode="batch-invariant",
    max_batch=64,
)

NODE = NodeTrust(
    environment="production",
    jurisdictions=frozenset({"EU"}),
    gateway_version="0.1.0",
    machine_of={"onnxruntime": Machine("onnxruntime", "1.24.0", "CPUExecutionProvider", "x86_64-avx2")}.get,
)


@dataclass
class Version:
    """One version of the model as the simulator made it."""

    ref: ModelRef
    files: dict[str, bytes]
    evidence: dict[str, bytes]
    results: bytes
    sample: Digest
    manifest: bytes
    release: Release | None = None


@dataclass
class Room:
    """See the module. `Room.built(folder)` gives one with version 1 live."""

    folder: Path
    at: datetime = START
    ring: MemoryKeyRing = field(default_factory=lambda: MemoryKeyRing(b"k" * 32))
    node: NodeTrust = NODE

    def __post_init__(self) -> None:
        self.repository = TufRepository(TufFiles(self.folder / "repository", self.folder / "staged"), signer("online"))
        self.shelf = ReleaseShelf(self.folder / "repository")
        self.mirror = ReleaseShelf(self.folder / "node" / "mirror")
        self.halts = HaltFiles(self.folder / "node" / "seen", self.folder / "node" / "halt")
        self.people = register()
        self.refused: list[Refusal] = []

    @classmethod
    def built(cls, folder: Path) -> Room:
        """Everything up to a champion that answers."""
        room = cls(folder)
        room.found()
        version = room.version(1)
        room.release(version)
        room.point(champion=version.ref.manifest)
        return room

    # the ceremony -----------------------------------------------------------------------------------------------

    def found(self) -> None:
        """Custodians sign root and targets; the timestamp is published."""
        self.repository.stage_root([signer(name).public for name in CUSTODIANS], 2, self.at)
        self.repository.stage_targets(
            self.at,
            files={"people.json": self.people.encode(), **POLICIES},
            models={MODEL: [signer(name).public for name in ("abel", "bea", "cleo")]},
            operators=[signer("oscar").public],
        )
        self.sign("root", *CUSTODIANS[:2])
        self.sign("targets", *CUSTODIANS[:2])
        self.repository.publish("root", self.at)
        self.repository.publish("targets", self.at)
        self.bootstrap = (self.folder / "repository" / "metadata" / "1.root.json").read_bytes()

    def sign(self, role: str, *names: str) -> None:
        """People sign a waiting draft."""
        draft = self.repository.draft(role)
        for name in names:
            self.repository.sign(role, signer(name).public.key_id, signer(name).sign(draft))

    def custodians_publish(self, **changes: object) -> None:
        """Custodians change the top-level targets."""
        self.repository.stage_targets(self.at, **changes)  # type: ignore[arg-type]  # passed on as given
        self.sign("targets", *CUSTODIANS[:2])
        self.repository.publish("targets", self.at)

    def artifact(self, number: int) -> bytes:
        """The file that is served; tests that really serve put a model here."""
        return b"model %d " % number * 200

    # a model's way ----------------------------------------------------------------------------------------------

    def version(
        self,
        number: int,
        *,
        author: str = "ann",
        validator: str = "val",
        verdict: str = "pass",
        model: str = MODEL,
        about: ModelRef | None = None,
    ) -> Version:
        """Submitted, sealed, scanned, validated, reviewed."""
        files = {"model.onnx": self.artifact(number), "reference.parquet": b"rows %d" % number}
        manifest = build_manifest(files, {"model.onnx": "model", "reference.parquet": "reference-sample"})
        ref = ModelRef(model, manifest.digest)
        sealed = seal_package(
            files,
            manifest,
            ring=self.ring,
            blobs=self.shelf.sealed_blobs,
            data_key=hashlib.sha256(ref.manifest.encode()).digest(),
        )
        self.shelf.put_version(sealed)
        subject = about or ref
        results, sample = canonical({"auc": "0.77", "version": number}), digest_of(b"sample %d" % number)
        evidence = {
            "submission": sign_model(model, manifest, signer(author)),
            "scan": sign_envelope(make_statement(subject, SCAN, {"v": 1, "verdict": "pass"}), signer("scanner")),
            "validation": self.validation(ref, files, results, sample, verdict=verdict),
        }
        made = Version(ref, files, evidence, results, sample, manifest.encode())
        if verdict == "pass" and about is None and validator != author:
            evidence["review"] = self.review(made, validator)
        return made

    def validation(
        self, ref: ModelRef, files: Mapping[str, bytes], results: bytes, sample: Digest, /, **changes: object
    ) -> bytes:
        """The validation service's signed predicate, as far as releases depend on it, with changes."""
        predicate = {
            "v": 1,
            "verdict": "pass",
            "sample": sample,
            "results": digest_of(results),
            "artifact_sha256": digest_of(files["model.onnx"]),
            "policy_sha256": digest_of(POLICIES["policy/validation.json"]),
            "profile": PROFILE,
            "monitors": MONITORS,
        }
        return sign_envelope(make_statement(ref, VALIDATION, {**predicate, **changes}), signer("validation"))

    def review(self, version: Version, validator: str = "val", findings: Sequence[Finding] = ()) -> bytes:
        """The validator's signed review, made on their side."""
        papers = ReviewPapers(
            version.ref,
            version.manifest,
            version.evidence,
            version.results,
            version.sample,
            self.people.encode(),
            POLICIES["policy/trust.json"],
            1,
        )
        at_us = micros(self.at)
        return sign_review(papers, signer(validator), PersonId(validator), at_us, opinion="fit", findings=findings)

    def document(self, version: Version, **changes: object) -> Release:
        """The release document of a version, with changes."""
        release = Release(
            v=1,
            model=version.ref.name,
            manifest=version.ref.manifest,
            evidence=tuple(
                EvidenceRef(type=kind, sha256=self.shelf.put_evidence(data))
                for kind, data in sorted(version.evidence.items())
            ),
            kind="pd",
            tier=1,
            environments=("production",),
            jurisdictions=("EU",),
            purposes=("credit-decision",),
            not_before_us=micros(self.at) - 1,
            review_due_us=micros(START + timedelta(days=365)),
            input=InputContract(
                tensor="input",
                features=(
                    Feature(name="income", type="float", unit="EUR", purpose="ability to pay", legal_basis="contract"),
                ),
            ),
            output=OutputContract(tensor="output", name="pd", unit="probability", minimum="0", maximum="1"),
            cut_offs=(CutOff(decision="accept", below="0.2"), CutOff(decision="refuse")),
            policies={path: digest_of(POLICIES[path]) for path in NAMED_POLICIES},
            monitors=MONITORS,
            numeric_profile=PROFILE,
            min_gateway="0.1.0",
            plan=Plan(stages=("shadow", "canary", "live"), max_canary_percent=20, fallback=None),
            diagram=digest_of(POLICIES["process/lifecycle.bpmn"]),
            case="c-1",
            kek_id=self.ring.current_kek,
            artifact="model.onnx",
        )
        return msgspec.structs.replace(release, **changes)

    def papers(self, version: Version, release: Release, draft: bytes) -> ApprovalPapers:
        """What an approver is sent."""
        return ApprovalPapers(
            release=canonical(release),
            draft=draft,
            published=self.repository.files.published_bytes(model_role(release.model)),
            manifest=version.manifest,
            evidence=version.evidence,
            policies={path: POLICIES[path] for path in release.policies},
            diagram=POLICIES["process/lifecycle.bpmn"],
            people=self.people.encode(),
            kept=kept_of(version),
        )

    def approve(self, version: Version, release: Release, draft: bytes, names: Sequence[str]) -> None:
        """Approvers check and sign on their side; the control plane takes the signatures."""
        for name in names:
            checked = check_approval_papers(self.papers(version, release, draft), log_read(version), micros(self.at))
            signed = sign_approval(checked, signer(name), PersonId(name), micros(self.at))
            self.shelf.put_approval(version.ref, signed.key_id, signed.envelope)
            assert signed.draft_signature is not None
            self.repository.sign(model_role(release.model), signed.key_id, signed.draft_signature)

    def release(self, version: Version, names: Sequence[str] = ("abel", "bea"), **changes: object) -> Release:
        """Approve twice and publish."""
        release = self.document(version, **changes)
        draft = self.repository.stage_release(release)
        self.approve(version, release, draft, names)
        self.repository.publish(model_role(release.model), self.at)
        version.release = release
        return release

    def point(
        self,
        champion: Digest | None,
        challenger: Digest | None = None,
        percent: int = 0,
        model: str = MODEL,
        by: str = "oscar",
    ) -> None:
        """An operator points, unchecked: the gateway must refuse what is outside the plan."""
        before = self.repository.pointer(model)
        pointer = Pointer(
            v=1,
            model=model,
            champion=champion,
            challenger=challenger,
            canary_percent=percent,
            sequence=before.sequence + 1 if before else 1,
            previous=before.champion if before else None,
            by=PersonId(by),
            at_us=micros(self.at),
        )
        self.repository.stage_pointer(pointer, self.at)
        self.sign("operations", by)
        self.repository.publish("operations", self.at)

    def halt(self, ref: ModelRef, name: str = "hal", reason: str = "figures look wrong") -> bytes:
        """Publish a halt; returns its envelope."""
        envelope = sign_halt(ref, signer(name), PersonId(name), micros(self.at), reason)
        self.repository.publish_halts(ref.name, [*self.repository.halts(ref.name), envelope], self.at)
        return envelope

    def lift(self, ref: ModelRef, halt: bytes, name: str) -> None:
        """Publish one voice that lifts a halt."""
        keys = {signer(n).public.key_id: signer(n).public for n in ROLES}
        payload = open_envelope(halt, keys).payload
        envelope = sign_lift(ref, payload, signer(name), PersonId(name), micros(self.at), "explained")
        self.repository.publish_halts(ref.name, [*self.repository.halts(ref.name), envelope], self.at)

    # the gateway ------------------------------------------------------------------------------------------------

    def client(self, name: str = "node", repository: Path | None = None) -> ReleaseClient:
        """A gateway's client with its own memory under `name`."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        fetcher = FolderFetcher(repository or self.folder / "repository")
        return ReleaseClient(fetcher, folder / "metadata", self.bootstrap, TimeFloor(folder / "time"))

    def state(self, name: str = "node") -> TrustedState:
        """Refresh, and mirror what the releases need."""
        state = self.client(name).refresh(self.at)
        sync(state, FolderFetcher(self.folder / "repository"), self.mirror)
        return state

    def admit(self, state: TrustedState | None = None) -> list[AdmittedModel]:
        """What the gateway would serve; what it refuses is in `refused`."""
        self.refused = []
        return admit(
            state or self.state(),
            self.node,
            self.mirror,
            self.halts,
            self.ring,
            self.mirror.sealed_blobs,
            self.refused.append,
        )

    def reason(self, state: TrustedState | None = None) -> Exception:
        """The one reason why nothing is served."""
        assert self.admit(state) == []
        assert self.refused, "nothing was served and nothing refused"
        return self.refused[0].error
