"""A sandbox job: train the model of a package again, so that it is harder to push about.

Inputs: `contract.json` (ModelContract of the former package), `model.onnx` or `model.ubj`, `order.json`
(HardeningOrder), `development.parquet`, `reference.parquet`.
Outputs: `model.onnx` or `model.ubj`; `predictions.parquet`, the trained model's own answers on the reference sample;
`hardened.json` (Made).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from strongroom.encoding import canonical, parse_as
from strongroom.registry.contract import MODEL_SUFFIX, ModelContract, RuntimeName
from strongroom.validation.batteries.artifact import open_model, open_session, predictor
from strongroom.validation.jobs.source_graphs import convert
from strongroom.validation.statistics.tables import feature_rows, outcomes, read_table
from strongroom.validation.trees import boosters
from strongroom.validation.trees.forests import Forest, read_forest
from strongroom.validation.workshop import measures
from strongroom.validation.workshop.hardening import MADE, PREDICTIONS, HardeningOrder, Made
from strongroom.validation.workshop.measures import Rows

TOOLS: Final = ("dtai-veritas", "numpy", "onnx", "onnxmltools", "onnxruntime", "xgboost", "xgboost-cpu")


def run(inputs: Mapping[str, bytes], parameters: dict[str, Any]) -> dict[str, bytes]:  # noqa: ARG001  # every job's form
    """See the module's docstring.

    Raises:
        InvalidInputError: a measure has nothing to stand on, or the model cannot be run.
        UnavailableError, ImportError: a library is not installed.
    """
    contract = parse_as(inputs["contract.json"], ModelContract)
    order = parse_as(inputs["order.json"], HardeningOrder)
    reference = feature_rows(read_table(inputs["reference.parquet"], "reference"), contract.input, "reference")
    names = [feature.name for feature in contract.input.features]
    runtime: RuntimeName = order.runtime or contract.engine
    added = 0
    if order.trains:
        table = read_table(inputs["development.parquet"], "development")
        rows = feature_rows(table, contract.input, "development")
        model, added = _trained(order, contract, rows, outcomes(table, contract.samples.outcome, "development"))
        made = convert(model, names, runtime)
        artifact, tensor, column, answers = made.model, made.tensor, made.column, made.answer(reference)
    else:
        artifact, tensor, column = inputs[contract.model_input], contract.output.tensor, contract.output.column
        if contract.engine == "xgboost" and runtime != "xgboost":
            made = convert(_loaded(artifact), names, runtime)
            artifact, tensor, column = made.model, made.tensor, made.column
        predict, _, _ = open_model(contract, inputs[contract.model_input])
        answers = predict(reference).astype(np.float64)
    if "rounding" in order.measures:
        _say("rounding the scores")
        output = contract.output
        shape = type(output)(**{**_plain(output), "tensor": tensor, "column": column})
        exact = predictor(open_session(artifact), _input(contract, order), shape)(reference)
        artifact = measures.rounded(artifact, tensor, order.decimals)
        answers = measures.round_off(exact, order.decimals).astype(np.float64)
    told = Made(
        v=1, runtime=runtime, tensor=tensor, column=column, added=added,
        tools={name: found for name in TOOLS if (found := _installed(name))},
    )  # fmt: skip
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"prediction": pa.array(answers)}), sink, compression="zstd", store_schema=False)
    return {
        "model" + MODEL_SUFFIX[runtime]: artifact,
        PREDICTIONS: bytes(sink.getvalue()),
        MADE: canonical(told),
    }


def _trained(order: HardeningOrder, contract: ModelContract, rows: Rows, outcome: Any) -> tuple[Any, int]:
    settings = order.settings()
    if "monotone" in order.measures:
        settings = measures.constrained(contract, settings)
    if "adversarial" not in order.measures:
        _say("training with constraints")
        return measures.train(settings, rows, outcome), 0

    def forest_of(model: Any) -> Forest:
        raw = bytes(model.get_booster().save_raw("ubj"))
        return read_forest(raw, "xgboost", boosters.OUTPUT, 0, len(contract.input.features))

    return measures.adversarial(
        contract, settings, rows, outcome, forest_of, rounds=order.rounds, attacked=order.attacked,
        steps=order.study.steps, seed=order.study.seed, say=lambda text: _say(f"adversarial training, {text}"),
    )  # fmt: skip


def _loaded(artifact: bytes) -> Any:
    import xgboost

    booster = xgboost.Booster()
    booster.load_model(bytearray(artifact))
    return booster


def _input(contract: ModelContract, order: HardeningOrder) -> Any:
    """The input as the file at hand names its tensor: the former's own, or the converter's."""
    from msgspec.structs import replace

    kept = not order.trains and contract.engine != "xgboost"
    return contract.input if kept else replace(contract.input, tensor=boosters.INPUT)


def _plain(output: Any) -> dict[str, Any]:
    from msgspec.structs import asdict

    return asdict(output)


def _say(what: str) -> None:
    print(f"hardening: {what}", file=sys.stderr, flush=True)


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
