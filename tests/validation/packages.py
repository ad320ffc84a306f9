"""Small packages for the scan's tests: a sound one, and the means to spoil it."""

from __future__ import annotations

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
from onnx import TensorProto, helper, numpy_helper

from strongroom.registry.contract import (
    CutOff,
    Feature,
    InputContract,
    Lineage,
    ModelContract,
    OutputContract,
    Samples,
)

FEATURES = ("limit", "age", "late")
ROWS = 40


def contract(*, protected: tuple[str, ...] = ("sex",)) -> ModelContract:
    return ModelContract(
        v=1,
        name="cards",
        kind="pd",
        tier=2,
        title="Cards",
        owner="ann",
        product="cards",
        process="granting",
        purposes=("credit-decision",),
        jurisdictions=("EU",),
        environments=("production",),
        input=InputContract(
            tensor="x",
            features=tuple(
                Feature(name=name, type="float", unit="count", purpose="risk", legal_basis="GDPR Art. 6(1)(b)")
                for name in FEATURES
            ),
        ),
        output=OutputContract(
            tensor="probabilities", name="pd", unit="probability", minimum="0", maximum="1", column=1
        ),
        cut_offs=(CutOff(decision="accept"),),
        samples=Samples(
            model="model.onnx",
            development="development.parquet",
            reference="reference.parquet",
            predictions="predictions.parquet",
            outcome="default",
            protected="protected.parquet" if protected else None,
        ),
        lineage=Lineage(data={}, code_commit="unversioned", environment={}, parameters={}),
        protected=protected,
    )


def nodes() -> list[onnx.NodeProto]:
    return [
        helper.make_node("Gemm", ["x", "w", "b"], ["z"]),
        helper.make_node("Softmax", ["z"], ["probabilities"], axis=1),
    ]


def model(
    *,
    body: list[onnx.NodeProto] | None = None,
    features: int = 3,
    input_type: int = TensorProto.FLOAT,
    output: str = "probabilities",
    output_type: int = TensorProto.FLOAT,
    rows: str | int = "n",
    opset: int = 17,
    ir: int = 9,
    extra_opsets: tuple[tuple[str, int], ...] = (),
) -> onnx.ModelProto:
    weights = [
        numpy_helper.from_array(np.full((features, 2), 0.25, np.float32), "w"),
        numpy_helper.from_array(np.zeros(2, np.float32), "b"),
    ]
    graph = helper.make_graph(
        body if body is not None else nodes(),
        "g",
        [helper.make_tensor_value_info("x", input_type, [rows, features])],
        [helper.make_tensor_value_info(output, output_type, [rows, 2])],
        weights,
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(*entry) for entry in extra_opsets)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir)


def parquet(**columns: np.ndarray) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue().to_pybytes()


def files(model_bytes: bytes | None = None) -> dict[str, bytes]:
    random = np.random.default_rng(1)
    sample = {name: random.normal(size=ROWS) for name in FEATURES} | {"default": random.integers(0, 2, ROWS)}
    return {
        "model.toml": b"v = 1\n",
        "model.onnx": model().SerializeToString() if model_bytes is None else model_bytes,
        "development.parquet": parquet(**sample),
        "reference.parquet": parquet(**sample),
        "predictions.parquet": parquet(prediction=random.uniform(size=ROWS)),
        "protected.parquet": parquet(sex=random.integers(1, 3, ROWS)),
    }
