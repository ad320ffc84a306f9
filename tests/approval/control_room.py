"""The simulator's room behind the one door: real policies, real process, everything else in memory."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.resources import files
from typing import Any

from strongroom.access.authorisation import Authorisation
from strongroom.access.principals import Principal
from strongroom.adapters.log.governance import GovernanceKey, ShardGovernanceLog
from strongroom.adapters.policies.cedar import CedarEngine
from strongroom.adapters.process.spiff import SpiffEngine
from strongroom.approval import actions, standing
from strongroom.approval.actions import Means
from strongroom.approval.cases import Case
from strongroom.approval.draft import Terms
from strongroom.approval.log_memory import read_on
from strongroom.approval.release import Plan, Release
from strongroom.approval.resources import describe
from strongroom.approval.role_metadata import model_role
from strongroom.approval.signing import LogRead, SignedApproval, check_approval_papers, sign_approval
from strongroom.encoding import canonical
from strongroom.ledger.note import LogKey
from strongroom.office.acts import Act
from strongroom.office.door import Office
from strongroom.registry.contract import Lineage, ModelContract, Samples
from strongroom.registry.versions import Sample
from strongroom.registry.versions import Version as Registered
from strongroom.sealing.manifest import build_manifest
from strongroom.sealing.packages import Sealed
from strongroom.sealing.sealed import seal_package
from strongroom.vocabulary import Digest, PersonId, digest_of, micros
from tests.memory.blobs import MemoryBlobs
from tests.memory.office import MemoryBooks, MemoryDesk
from tests.memory.shard import MemoryShard
from tests.simulator import GOVERNANCE, MODEL, NAMED_POLICIES, POLICIES, TRUST, Room, Version, signer

PACKAGE = files("strongroom")
DIAGRAM = (PACKAGE / "process" / "lifecycle.bpmn").read_bytes()
SHIPPED = json.loads((PACKAGE / "policies" / "validation.json").read_bytes())
VALIDATION_POLICY = canonical(
    {**SHIPPED, "batteries": [{**battery, "sections": []} for battery in SHIPPED["batteries"]]}
)
"""As shipped, but for the words that reports must have: most tests here are not about them."""
IDS = itertools.count(1)
VERBS = {"scan": "scan", "validate": "validation"}


def governance_log() -> ShardGovernanceLog:
    """An empty one, as real as a log in memory can be."""
    numbers = itertools.count(1)
    shard = MemoryShard(GOVERNANCE.origin, LogKey(GOVERNANCE.origin, bytes(32)))
    return ShardGovernanceLog(shard, GovernanceKey(bytes(32)), lambda size: next(numbers).to_bytes(size, "big"))


@dataclass
class ControlRoom(Room):
    """A room whose verbs go through the door."""

    desk: MemoryDesk = field(default_factory=MemoryDesk)
    log: ShardGovernanceLog = field(default_factory=lambda: governance_log())
    blobs: MemoryBlobs = field(default_factory=MemoryBlobs)
    validation_policy: bytes = VALIDATION_POLICY

    def __post_init__(self) -> None:
        super().__post_init__()
        policies = [(PACKAGE / "policies" / f"access.{end}").read_bytes() for end in ("cedar", "cedarschema")]
        self.office: Office[MemoryBooks] = Office(
            Authorisation(CedarEngine(*policies)),
            self.desk,
            self.log,
            lambda: self.at,
            lambda size: next(IDS).to_bytes(size, "big"),
            describe,
        )

    @property
    def means(self) -> Means:
        return Means(
            people=self.people.encode(),
            trust=canonical(TRUST),
            validation=self.validation_policy,
            publisher=self.repository,
            shelf=self.shelf,
            blobs=self.blobs,
            engine=SpiffEngine(),
            governance=self.log,
        )

    def log_read(self) -> LogRead:
        """What an approver's machine reads in the governance log."""
        return read_on(self.log, None, None)[0]

    def who(self, name: str) -> Principal:
        return self.people.principal(name)

    def tick(self) -> None:
        """Time passes between acts."""
        self.at += timedelta(seconds=1)

    def submitted(self, number: int, sample_by: str = "val", model: str = MODEL) -> Version:
        """A version in the registry with its sample, and an open case."""
        made = self.version(number, model=model)
        manifest = build_manifest(made.files, {"model.onnx": "model", "reference.parquet": "reference-sample"})
        sealed = seal_package(made.files, manifest, ring=self.ring, blobs=self.blobs, data_key=bytes([number]) * 32)
        assert self.blobs.put(made.manifest) == made.ref.manifest
        release = self.document(made)
        contract = ModelContract(
            v=1,
            name=model,
            kind="pd",
            tier=1,
            title="Cards",
            owner="retail risk",
            product="cards",
            process="origination",
            purposes=release.purposes,
            jurisdictions=("DE", "EU"),
            environments=("production",),
            input=release.input,
            output=release.output,
            cut_offs=release.cut_offs,
            samples=Samples(
                model="model.onnx",
                development="reference.parquet",
                reference="reference.parquet",
                predictions="reference.parquet",
                outcome="y",
            ),
            lineage=Lineage(data={}, code_commit="unversioned", environment={}, parameters={}),
        )
        registered = Registered(
            ref=made.ref,
            author=PersonId("ann"),
            submitted_at=self.at,
            contract=contract,
            bundle=self.blobs.put(made.evidence["submission"]),
            sealed=sealed,
        )
        rows = Sealed(made.sample, digest_of(b"c"), digest_of(b"w"))
        sample = Sample(PersonId(sample_by), self.at, digest_of(b"statement"), rows)
        with self.office.open(Act(self.who("ann"), "submit", actions._model(made.ref), self.at)) as books:
            books.versions.add(registered.with_sample(sample))
        actions.open_case(
            self.office,
            self.who("ann"),
            self.at,
            case_id=f"c-{number}" if model == MODEL else f"c-{model}-{number}",
            ref=made.ref,
            diagram=DIAGRAM,
            means=self.means,
        )
        return made

    def machines(self, made: Version, kinds: Sequence[str] = ("scan", "validate")) -> None:
        """Scan and validation evidence arrives."""
        for verb in kinds:
            self.tick()
            name, state = VERBS[verb], {"scan": "scanned", "validate": "validated"}[verb]
            with self.office.open(Act(self.who("val"), verb, actions._model(made.ref), self.at)) as books:
                version = books.versions.get(made.ref)
                digest = self.blobs.put(made.evidence[name])
                books.versions.save(version.advanced(state, **{name: digest}))  # type: ignore[arg-type]  # two literals
            actions.follow(self.office, self.who("val"), self.at, ref=made.ref, kind=verb, means=self.means)  # type: ignore[arg-type]  # the same

    def reviewed(self, made: Version, by: str = "val") -> Case:
        self.tick()
        return actions.review(
            self.office, self.who(by), self.at, ref=made.ref, envelope=made.evidence["review"], means=self.means
        )

    def terms(self, fallback: Digest | None = None, **changes: Any) -> Terms:
        values: dict[str, Any] = {
            "not_before": self.at,
            "review_due": self.at + timedelta(days=300),
            "plan": Plan(stages=("shadow", "canary", "live"), max_canary_percent=20, fallback=fallback),
            "policies": {path: digest_of(POLICIES[path]) for path in NAMED_POLICIES},
            "min_gateway": "0.1.0",
            "kek_id": self.ring.current_kek,
            "jurisdictions": ("EU",),
        }
        return Terms(**{**values, **changes})

    def proposed(self, made: Version, fallback: Digest | None = None, **changes: Any) -> Release:
        self.tick()
        example = self.document(made)
        return actions.propose(
            self.office,
            self.who("oscar"),
            self.at,
            ref=made.ref,
            profile=example.numeric_profile,
            monitors=example.monitors,
            terms=self.terms(fallback, **changes),
            means=self.means,
        )

    def signed(self, made: Version, name: str) -> SignedApproval:
        """On the approver's side, from the papers alone."""
        sent = actions.papers(
            self.office,
            self.who(name),
            self.at,
            ref=made.ref,
            policies=POLICIES,
            published=self.repository.files.published_bytes(model_role(made.ref.name)),
            means=self.means,
        )
        checked = check_approval_papers(sent, self.log_read(), micros(self.at))
        return sign_approval(checked, signer(name), PersonId(name), micros(self.at), ["watch drift"])

    def approved(self, made: Version, *names: str) -> Case:
        case = None
        for name in names:
            self.tick()
            signed = self.signed(made, name)
            case = actions.approve(self.office, self.who(name), self.at, ref=made.ref, signed=signed, means=self.means)
        assert case is not None
        return case

    def released(self, made: Version) -> Case:
        self.tick()
        return actions.release(self.office, self.who("oscar"), self.at, ref=made.ref, means=self.means)

    def live(self, number: int, fallback: Digest | None = None) -> Version:
        """A version from submission to champion."""
        made = self.submitted(number)
        self.machines(made)
        self.reviewed(made)
        self.proposed(made, fallback)
        self.approved(made, "abel", "bea")
        self.released(made)
        self.pointed(made.ref.manifest)
        return made

    def pointed(
        self, champion: Digest | None, challenger: Digest | None = None, percent: int = 0, pepper: int = 1
    ) -> None:
        self.tick()
        pointer, draft = standing.draft_pointer(
            PersonId("oscar"),
            self.at,
            model=MODEL,
            champion=champion,
            challenger=challenger,
            canary_percent=percent,
            reason="as planned",
            means=self.means,
            pepper=pepper,
        )
        standing.point(
            self.office,
            self.who("oscar"),
            self.at,
            pointer=pointer,
            key_id=signer("oscar").public.key_id,
            signature=signer("oscar").sign(draft),
            means=self.means,
        )
