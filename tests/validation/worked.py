"""A real PD package for tests: the credit card clients' data, an XGBoost model and a logistic regression, as ONNX."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from strongroom.encoding import canonical
from strongroom.registry.contract import (
    CutOff,
    Feature,
    InputContract,
    Lineage,
    ModelContract,
    OutputContract,
    Samples,
)  # fmt: skip
from strongroom.validation.batteries import examination
from strongroom.validation.policy import ValidationPolicy

OUTCOME = "default.payment.next.month"
PROTECTED = ("SEX",)
SEARCH_ROWS = 600
LEFT_OUT = ("ID", "SEX", "MARRIAGE", "EDUCATION", "AGE")
POLICY = Path(__file__).parents[2] / "src" / "strongroom" / "policies" / "validation.json"


@dataclass(frozen=True)
class Package:
    contract: ModelContract
    inputs: dict[str, bytes]


@cache
def clients() -> tuple[tuple[str, ...], npt.NDArray[np.float64]]:
    """The 30,000 x 25 table, found in the installed package without importing it."""
    files = metadata.files("mercury-robust") or []
    path = next(file for file in files if file.name == "UCI_Credit_card.csv").locate()
    with Path(str(path)).open(newline="") as lines:
        reader = csv.reader(lines)
        head = tuple(next(reader))
        return head, np.array([[float(cell) for cell in row] for row in reader])


class Order:
    """In which order a battery reads samples and asks the model."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events: list[str] = []
        read, score = examination.read_table, examination.score

        def reading(data: bytes, what: str) -> Any:
            self.events.append(what)
            return read(data, what)

        def scoring(*asked: Any) -> Any:
            self.events.append("model")
            return score(*asked)

        monkeypatch.setattr(examination, "read_table", reading)
        monkeypatch.setattr(examination, "score", scoring)

    @property
    def silent(self) -> bool:
        """Whether the protected sample was opened, and the model was asked nothing from then on."""
        opened = "protected" in self.events
        return opened and "model" not in self.events[self.events.index("protected") :]


def parquet(columns: dict[str, npt.ArrayLike]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({name: pa.array(np.asarray(values)) for name, values in columns.items()}), sink)
    return sink.getvalue().to_pybytes()


def contract(
    names: tuple[str, ...], title: str, name: str, tier: Literal[1, 2, 3] = 1, max_rows: int = 1000
) -> ModelContract:
    def feature(column: str) -> Feature:
        status = column.startswith("PAY_") and not column.startswith("PAY_AMT")
        return Feature(
            name=column, type="integer" if status else "float", unit="months late" if status else "NT dollar",
            purpose="credit risk", legal_basis="GDPR Art. 6(1)(b)",
            minimum="-2" if status else "-2000000", maximum="12" if status else "3000000",
        )  # fmt: skip

    return ModelContract(
        v=1, name=name, kind="pd", tier=tier, title=title, owner="retail credit risk", product="credit card",
        process="origination", purposes=("credit-decision",), jurisdictions=("EU",), environments=("production",),
        input=InputContract(tensor="input", features=tuple(feature(n) for n in names), max_rows=max_rows),
        output=OutputContract(tensor="probabilities", name="pd", unit="probability", minimum="0", maximum="1"),
        cut_offs=(
            CutOff(decision="accept", below="0.3"), CutOff(decision="refer", below="0.5"), CutOff(decision="decline"),
        ),
        samples=Samples(
            model="model.onnx", development="development.parquet", reference="reference.parquet",
            predictions="predictions.parquet", outcome=OUTCOME, protected="protected.parquet",
        ),
        lineage=Lineage(data={}, code_commit="unversioned", environment={}, parameters={}),
        protected=PROTECTED,
    )  # fmt: skip


@cache
def package(kind: Literal["xgboost", "logistic", "native", "onedal"]) -> Package:
    """12,000 development, 6,000 reference and 12,000 validation rows; the model never sees the protected columns."""
    if kind == "onedal":
        same = package("xgboost")
        about = msgspec.structs.replace(same.contract, name="card-pd-onedal", runtime="onedal")
        return Package(about, {**same.inputs, "contract.json": canonical(about)})
    head, table = clients()
    order = np.random.default_rng(7).permutation(len(table))
    parts = {"development": order[:12000], "reference": order[12000:18000], "validation": order[18000:]}
    names = tuple(column for column in head if column not in LEFT_OUT and column != OUTCOME)
    x = table[:, [head.index(n) for n in names]].astype(np.float32)
    y = table[:, head.index(OUTCOME)].astype(np.int64)
    train = {"xgboost": _boosted, "logistic": _logistic, "native": _native}[kind]
    model, source = train(x[parts["development"]], y[parts["development"]])
    about = contract(names, "Default of credit card clients", f"card-pd-{kind}")
    if kind == "native":
        about = msgspec.structs.replace(
            about, runtime="xgboost", samples=msgspec.structs.replace(about.samples, model="model.ubj"),
            output=msgspec.structs.replace(about.output, tensor="probability", column=0),
        )  # fmt: skip
    policy = ValidationPolicy.decode(POLICY.read_bytes())
    # the shipped policy with a shorter search, which is most of a battery's time
    fairness = msgspec.structs.replace(policy.fairness, search_rows=SEARCH_ROWS)
    policy = msgspec.structs.replace(policy, fairness=fairness)
    inputs = {
        role + ".parquet": parquet({**{n: x[rows, i] for i, n in enumerate(names)}, OUTCOME: y[rows]})
        for role, rows in parts.items()
    }
    sex = table[:, head.index("SEX")].astype(int)
    inputs["validation-protected.parquet"] = parquet({"SEX": sex[parts["validation"]]})
    inputs["protected.parquet"] = parquet({"SEX": sex[parts["reference"]]})
    inputs["predictions.parquet"] = parquet({"prediction": source(x[parts["reference"]]).astype(np.float64)})
    inputs |= {about.model_input: model, "contract.json": canonical(about), "policy.json": policy.encode()}
    return Package(about, inputs)


def _fit(x, y):  # type: ignore[no-untyped-def]  # the libraries have no types
    from xgboost import XGBClassifier

    return XGBClassifier(
        n_estimators=120, max_depth=3, learning_rate=0.08, subsample=0.8, n_jobs=1, random_state=0, tree_method="hist"
    ).fit(x, y)


def _native(x, y):  # type: ignore[no-untyped-def]  # the libraries have no types
    model = _fit(x, y)
    return bytes(model.get_booster().save_raw("ubj")), lambda rows: model.predict_proba(rows)[:, 1]


def _boosted(x, y):  # type: ignore[no-untyped-def]  # the libraries have no types
    from onnxmltools.convert import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    model = _fit(x, y)
    onnx = convert_xgboost(model, initial_types=[("input", FloatTensorType([None, x.shape[1]]))], target_opset=15)
    return onnx.SerializeToString(), lambda rows: model.predict_proba(rows)[:, 1]


def _logistic(x, y):  # type: ignore[no-untyped-def]  # the libraries have no types
    from skl2onnx import to_onnx
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(x, y)
    onnx = to_onnx(model, x[:1], options={"zipmap": False}, target_opset=15)
    for node in onnx.graph.input:
        assert node.name == "X"
    text = onnx
    for node in text.graph.node:
        node.input[:] = ["input" if name == "X" else name for name in node.input]
    text.graph.input[0].name = "input"
    return text.SerializeToString(), lambda rows: model.predict_proba(rows)[:, 1]
