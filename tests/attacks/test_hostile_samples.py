"""Samples and contracts that try to break the battery or speak through the report: an answer, a reason or a refusal."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from onnx import TensorProto, helper, numpy_helper

from strongroom.encoding import canonical
from strongroom.errors import InvalidInputError
from strongroom.registry.contract import (
    CutOff,
    Feature,
    InputContract,
    Lineage,
    ModelContract,
    OutputContract,
    Samples,
)
from strongroom.registry.kinds import OutcomeDefinition
from strongroom.validation.jobs import ead_battery, lgd_battery, pd_battery, profile
from strongroom.validation.policy import ValidationPolicy
from strongroom.validation.reporting.report import render
from strongroom.validation.results import BatteryResults
from strongroom.validation.statistics.tables import labels
from tests.validation.worked import POLICY

Columns = Mapping[str, Any]
Change = Callable[[str, Columns], Columns]
Kind = Literal["pd", "lgd", "ead"]

JOBS: Final[Mapping[str, Any]] = {"pd": pd_battery, "lgd": lgd_battery, "ead": ead_battery}
OUTCOMES: Final = {
    "lgd": OutcomeDefinition(meaning="m", window="w", parameter="lgd", exposure="exposure"),
    "ead": OutcomeDefinition(meaning="m", window="w", parameter="ccf", limit="limit", drawn="drawn"),
}
UNITS: Final = {"pd": "probability", "lgd": "share of exposure", "ead": "credit conversion factor"}
MARKUP: Final = "</text></svg><script>alert(1)</script><img src=x onerror=a()> #panic(1) $x$ `\"'&#60;"


def model(weights: tuple[float, float] = (1.0, -0.5)) -> bytes:
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w", "b"], ["z"]), helper.make_node("Sigmoid", ["z"], ["p"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, ["n", 1])],
        [
            numpy_helper.from_array(np.array(weights, np.float32).reshape(2, 1), "w"),
            numpy_helper.from_array(np.array([-1.0], np.float32), "b"),
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(made.SerializeToString())


def contract(kind: Kind = "pd", names: tuple[str, str] = ("a", "b"), **changes: Any) -> ModelContract:
    values: dict[str, Any] = {
        "v": 1, "name": "m", "kind": kind, "tier": 1, "title": "T", "owner": "o", "product": "p", "process": "p",
        "purposes": ("credit-decision",), "jurisdictions": ("EU",), "environments": ("production",),
        "input": InputContract(
            tensor="x",
            features=tuple(
                Feature(name=name, type="float", unit="u", purpose="p", legal_basis="l", missing="nan")
                for name in names
            ),
        ),
        "output": OutputContract(tensor="p", name="out", unit=UNITS[kind], minimum="0", maximum="1", column=0),
        "cut_offs": (CutOff(decision="accept", below="0.3"), CutOff(decision="decline")) if kind == "pd" else (),
        "samples": Samples(
            model="model.onnx", development="d", reference="r", predictions="p", outcome="y",
            protected="g" if kind == "pd" else None,
        ),
        "lineage": Lineage(data={}, code_commit="u", environment={}, parameters={}),
        "protected": ("sex",) if kind == "pd" else (),
    }  # fmt: skip
    if kind != "pd":
        values["outcome"] = OUTCOMES[kind]
    return ModelContract(**{**values, **changes})


def parquet(columns: Columns) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({name: pa.array(values) for name, values in columns.items()}), sink)
    return bytes(sink.getvalue().to_pybytes())


def battery(
    about: ModelContract, change: Change = lambda _, columns: columns, groups: Callable[[int], list[str]] | None = None
) -> BatteryResults:
    """The battery of a small model on 250 drawn rows a sample, each as `change` makes it."""
    random = np.random.default_rng(5)
    policy = ValidationPolicy.decode(POLICY.read_bytes())
    fairness = msgspec.structs.replace(policy.fairness, search_rows=250, min_group=60)
    inputs = {
        "contract.json": canonical(about),
        "policy.json": msgspec.structs.replace(policy, fairness=fairness, robustness=msgspec.UNSET).encode(),
        "model.onnx": model(),
    }
    first, second = (feature.name for feature in about.input.features)
    for role in ("development", "reference", "validation"):
        rows = random.normal(size=(250, 2))
        p = 1.0 / (1.0 + np.exp(1.0 - rows[:, 0] + 0.5 * rows[:, 1]))
        columns: Columns = {
            first: rows[:, 0], second: rows[:, 1],
            "y": (random.random(250) < p).astype(float) if about.kind == "pd" else p + random.normal(0.0, 0.1, 250),
            "exposure": random.lognormal(8, 1, 250), "limit": random.lognormal(8, 1, 250),
        }  # fmt: skip
        columns = change(role, {**columns, "drawn": columns["limit"] * random.uniform(0.0, 1.1, 250)})
        inputs[f"{role}.parquet"] = parquet(columns)
    inputs["predictions.parquet"] = parquet({"prediction": np.full(len(columns["y"]), 0.5)})
    if about.protected:
        size = len(columns["y"])
        drawn = groups(size) if groups else [str(number) for number in random.integers(1, 3, size)]
        inputs["protected.parquet"] = inputs["validation-protected.parquet"] = parquet(
            dict.fromkeys(about.protected, drawn)
        )
    inputs["profile.json"] = profile.run(inputs, {"isa": "x86_64-avx2"})["profile.json"]
    found = JOBS[about.kind].run(inputs, {"manifest": "ab" * 32})["results.json"]
    return BatteryResults.decode(found)


def set_to(column: str, value: float, share: float, *roles: str) -> Change:
    def change(role: str, columns: Columns) -> Columns:
        if role not in roles:
            return columns
        values = np.array(columns[column], dtype=np.float64)
        values[: max(1, int(share * len(values)))] = value
        return {**columns, column: values}

    return change


@pytest.mark.parametrize("share", [0.01, 1.0])
def test_missing_values_that_the_model_cannot_bear_are_answered_with_reasons(share: float) -> None:
    """The contract lets values be missing and the model answers NaN: an answer or a reason, and never a pass."""
    found = battery(contract(), set_to("a", np.nan, share, "validation", "development"))
    assert found.verdict == "fail"
    assert b"nan" not in msgspec.json.encode([test.figure for test in found.tests]).lower()
    stress = next(test for test in found.tests if test.id == "sensitivity.stress")
    assert stress.verdict == "not-evaluable"


@pytest.mark.filterwarnings("error")
def test_numbers_beyond_float32_and_beyond_exact_integers_are_rows_out_of_contract() -> None:
    def change(role: str, columns: Columns) -> Columns:
        wide = np.full(len(columns["y"]), 2**62, dtype=np.int64)
        return {**columns, "a": wide, "b": set_to("b", 1e39, 0.1, role)(role, columns)["b"]}

    found = battery(contract(), lambda role, columns: change(role, columns) if role == "validation" else columns)
    refused = next(test for test in found.tests if test.id == "data.contract")
    assert float(refused.figure or 0) == pytest.approx(0.1)
    assert found.verdict == "fail"


@pytest.mark.parametrize(
    ("kind", "column"), [("lgd", "y"), ("lgd", "exposure"), ("ead", "limit"), ("ead", "drawn"), ("ead", "y")]
)
def test_amounts_whose_squares_overflow_are_refused(kind: Kind, column: str) -> None:
    with pytest.raises(InvalidInputError, match=r"validation sample"):
        battery(contract(kind), set_to(column, 1e300, 0.01, "validation"))


def test_markup_in_names_stays_text_on_page_and_print() -> None:
    names = (MARKUP[:120], "b<i>")
    found = battery(
        contract(names=names, protected=("q" + MARKUP[:100],), title=MARKUP, owner=MARKUP, purposes=(MARKUP,)),
        groups=lambda rows: [MARKUP[:60] if row % 2 else "#eval" for row in range(rows)],
    )
    page = render(found.encode()).decode()
    assert "&lt;script&gt;" in page
    assert not re.search(r"<(script|img|i)\b", page)


@pytest.mark.parametrize("name", ["\u202egnihton", "a\x00b", "\x1b[31m", "x" * 65, "\u2066turned"])
def test_groups_and_texts_that_turn_hide_or_drown_words_are_refused(name: str) -> None:
    table = pa.table({"sex": ["1", name]})
    with pytest.raises(InvalidInputError, match="give groups short plain names") as refused:
        labels(table, "sex", "protected")
    assert name not in str(refused.value)
    if len(name) < 65:
        for changes in ({"title": name}, {"purposes": (name,)}, {"protected": (name,)}):
            with pytest.raises(InvalidInputError, match="plain words only"):
                contract(**changes)
    assert labels(pa.table({"sex": ["1", None, "Ménage à 2\u00a0%"]}), "sex", "protected")[1] == "missing"
