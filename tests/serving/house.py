"""A small house for tests of the data plane: a model, its release, callers, keys and a log; all real, in memory."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files

import numpy as np
from onnx import TensorProto, helper

from strongroom.access.authentication import Authenticator
from strongroom.access.authorisation import Authorisation, ReleaseTerms
from strongroom.access.credentials import ApiKey, new_api_key
from strongroom.access.grants import Bounds, CallingSystem, Grants, Secret
from strongroom.adapters.keystore.direct import memory_keys
from strongroom.adapters.policies.cedar import CedarEngine
from strongroom.adapters.runtimes.onnx_runtime import OnnxRuntime
from strongroom.approval.release import Bins, Monitors, NumericProfile, Plan, Release
from strongroom.encoding import canonical
from strongroom.ledger.note import LogKey
from strongroom.registry.contract import CutOff, Feature, InputContract, OutputContract
from strongroom.sealing.subjects import SubjectKeys
from strongroom.serving.admitted import AdmittedModel
from strongroom.serving.catalogue import Catalogue
from strongroom.serving.decision import Decider
from strongroom.serving.served import ServedModel, make_ready
from strongroom.vocabulary import Digest, ModelRef, PersonId, digest_of
from tests.memory.shard import MemoryShard

ORIGIN = "bank.example/credit/eu/node-1/0/1"
ENVIRONMENT = "production"
FAR_US = 4_000_000_000_000_000


def now_us() -> int:
    return time.time_ns() // 1000


def utc() -> datetime:
    return datetime.now(UTC)


def feature(name: str, kind: str = "float", **more: object) -> Feature:
    return Feature(name=name, type=kind, unit="count", purpose="risk", legal_basis="GDPR Art. 6(1)(b)", **more)  # type: ignore[arg-type]  # tests pass what the case needs


FEATURES = (
    feature("limit", minimum="0", maximum="1000000"),
    feature("age", "integer", minimum="18", maximum="120"),
    feature("status", "category", allowed=(1, 2, 3)),
    feature("ratio", minimum="-1", maximum="0.1", missing="nan"),
)
GOOD = [50000.0, 40.0, 2.0, 0.05]


def onnx_model(features: int = 4, bias: float = 0.0) -> bytes:
    """probabilities[:, 1] = sigmoid(W x + bias), missing values as zero."""
    weights = np.array([[1e-6], [0.01], [0.2], [0.5], *[[0.03]] * (features - 4)], np.float32)[:features]
    nodes = [
        helper.make_node("IsNaN", ["x"], ["nan"]),
        helper.make_node("Where", ["nan", "zero", "x"], ["clean"]),
        helper.make_node("MatMul", ["clean", "w"], ["product"]),
        helper.make_node("Add", ["product", "b"], ["sum"]),
        helper.make_node("Sigmoid", ["sum"], ["p1"]),
        helper.make_node("Sub", ["one", "p1"], ["p0"]),
        helper.make_node("Concat", ["p0", "p1"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, features])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2])],
        [
            helper.make_tensor("w", TensorProto.FLOAT, weights.shape, weights.ravel()),
            helper.make_tensor("b", TensorProto.FLOAT, [1], [bias]),
            helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0]),
            helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


def release_of(
    name: str = "pd-cards",
    manifest: str = "ab" * 32,
    mode: str = "padded",
    max_batch: int = 1024,
    features: tuple[Feature, ...] = FEATURES,
    maximum: str = "1",
    max_rows: int = 100,
) -> Release:
    machine = OnnxRuntime().machine
    return Release(
        v=1, model=name, manifest=Digest(manifest), evidence=(), kind="pd", tier=1, environments=(ENVIRONMENT,),
        jurisdictions=("EU", "DE"), purposes=("credit-decision",), not_before_us=0, review_due_us=FAR_US,
        input=InputContract(tensor="x", features=features, max_rows=max_rows),
        output=OutputContract(tensor="probabilities", name="pd", unit="probability", minimum="0", maximum=maximum),
        cut_offs=(
            CutOff(decision="accept", below="0.6"), CutOff(decision="refer", below="0.8"), CutOff(decision="reject"),
        ),
        policies={},
        monitors=Monitors(
            features=tuple(Bins(name=f.name, edges=("0.5",), counts=(10, 10)) for f in features),
            score=Bins(name="pd", edges=("0.5",), counts=(10, 10)), psi_alert="0.25", psi_floor="0.0001", min_rows=10,
        ),
        numeric_profile=NumericProfile(
            runtime="onnxruntime", version=machine.version, provider="CPUExecutionProvider", threads=1,
            isa=machine.isa, mode=mode, max_batch=max_batch,  # type: ignore[arg-type]  # a mode by name
        ),
        min_gateway="0.1.0", plan=Plan(stages=("live",), max_canary_percent=0, fallback=None),
        diagram=Digest("cd" * 32), case="c-1", kek_id="k", artifact="model.onnx",
    )  # fmt: skip


def admitted(
    release: Release, artifact: bytes | None = None, role: str = "champion", canary_percent: int = 0
) -> AdmittedModel:
    data = canonical(release)
    return AdmittedModel(
        ref=ModelRef(release.model, release.manifest),
        release=release,
        release_digest=digest_of(data),
        policy_digest=engine().digest,
        artifact=artifact or onnx_model(len(release.input.features)),
        role=role,
        canary_percent=canary_percent,
    )


def served(**more: object) -> ServedModel:
    return make_ready(admitted(release_of(**more)), OnnxRuntime())  # type: ignore[arg-type]  # as release_of takes them


def engine_files() -> tuple[bytes, bytes]:
    policies = files("strongroom") / "policies"
    return (policies / "access.cedar").read_bytes(), (policies / "access.cedarschema").read_bytes()


@cache
def engine() -> CedarEngine:
    return CedarEngine(*engine_files())


PEPPER = bytes(32)


def caller_key(name: str = "loan-desk", models: tuple[str, ...] = ("pd-cards",)) -> tuple[ApiKey, CallingSystem]:
    key = new_api_key(os.urandom)
    bounds = Bounds(
        models=models,
        environments=(ENVIRONMENT,),
        jurisdictions=("EU", "FR"),
        purposes=("credit-decision", "other"),
    )
    return key, CallingSystem(
        id=PersonId(name),
        roles=("caller",),
        bounds=bounds,
        key_id=key.id,
        secrets=(Secret(digest=key.digest(PEPPER), from_us=0),),
    )


class House:
    """Everything that a gateway needs, put together by hand."""

    def __init__(self, *models: ServedModel, shard: object = None, keys: SubjectKeys | None = None) -> None:
        self.log_key = LogKey(ORIGIN, bytes(range(32)))
        self.shard = shard or MemoryShard(ORIGIN, self.log_key)
        self.keys = memory_keys(utc) if keys is None else keys  # an empty cache is falsy
        self.index_key = bytes(32)
        self.models = models or (served(),)
        self.api_key, desk = caller_key()
        self.other_key, other = caller_key("other-desk", ("something-else",))
        self.grants = Grants(sequence=1, systems=tuple(sorted((desk, other), key=lambda one: one.id)))
        self.authorisation = Authorisation(engine())
        for model in self.models:
            release = model.release
            self.authorisation.learn(
                model.release_digest,
                ReleaseTerms(
                    release.model,
                    frozenset(release.environments),
                    frozenset(release.jurisdictions),
                    frozenset(release.purposes),
                ),
            )
        self.catalogue = Catalogue.of(self.models, {}, FAR_US, {1: bytes(32)})
        self.seen: list[tuple[ServedModel, int]] = []

    def authenticator(self) -> Authenticator:
        return Authenticator(self.grants, {1: PEPPER})

    def decider(self) -> Decider:
        return Decider(
            self.shard,
            self.keys,
            self.index_key,
            "EU",
            os.urandom,
            1000,
            lambda m, x, s: self.seen.append((m, len(x))),  # type: ignore[arg-type]  # a shard of the test's making
        )
