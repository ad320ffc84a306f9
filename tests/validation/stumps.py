"""Tiny models for tests of reason codes: sums of stumps as an ONNX regressor, with a contract around them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper

from strongroom.registry.contract import CutOff, Feature, InputContract, ModelContract, OutputContract
from strongroom.registry.explanation import Explanation, ReasonGroup
from strongroom.validation.batteries import reasons
from strongroom.validation.batteries.artifact import open_model
from strongroom.validation.battery_rules import judge
from strongroom.validation.catalogue import Basis
from strongroom.validation.policy import ValidationPolicy
from strongroom.validation.results import TestResult
from strongroom.vocabulary import digest_of
from tests.validation import worked

Rows = npt.NDArray[np.float32]
Stump = tuple[int, float, float]
"""Feature, threshold, and what is added from there on; a missing value counts as above."""


def stumps(parts: Sequence[Stump], width: int) -> bytes:
    """A model file: the sum of its parts."""
    trees = range(len(parts))
    node = helper.make_node(
        "TreeEnsembleRegressor", ["input"], ["answer"], domain="ai.onnx.ml", n_targets=1,
        nodes_treeids=[n for n in trees for _ in range(3)], nodes_nodeids=[0, 1, 2] * len(parts),
        nodes_featureids=[k for feature, _, _ in parts for k in (feature, 0, 0)],
        nodes_values=[v for _, threshold, _ in parts for v in (threshold, 0.0, 0.0)],
        nodes_modes=["BRANCH_LT", "LEAF", "LEAF"] * len(parts),
        nodes_truenodeids=[1, 0, 0] * len(parts), nodes_falsenodeids=[2, 0, 0] * len(parts),
        target_treeids=list(trees), target_nodeids=[2] * len(parts), target_ids=[0] * len(parts),
        target_weights=[worth for _, _, worth in parts],
    )  # fmt: skip
    graph = helper.make_graph(
        [node], "stumps",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, width])],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, [None, 1])],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15), helper.make_opsetid("ai.onnx.ml", 3)])
    made.ir_version = 8
    return bytes(made.SerializeToString())


def stated(
    codes: dict[str, tuple[str, ...]], reference: Sequence[Sequence[float]], kinds: dict[str, Any] | None = None,
    missing: dict[str, str] | None = None, **more: Any,
) -> ModelContract:  # fmt: skip
    """A PD contract over the features of the codes, between 0 and 10, refused from 0.5 on.

    Args:
        kinds: changes of features by name.
        missing: codes of missing values by code.
        more: of the explanation.
    """
    names = [name for features in codes.values() for name in features]
    plain = {"type": "float", "unit": "x", "purpose": "risk", "legal_basis": "x", "minimum": "0", "maximum": "10"}
    features = [
        msgspec.convert({"name": name, **plain, **(kinds or {}).get(name, {})}, Feature) for name in sorted(names)
    ]
    own = missing or {}
    groups = tuple(
        ReasonGroup(code=code, features=found, missing=own.get(code, msgspec.UNSET)) for code, found in codes.items()
    )
    told = tuple(tuple("nan" if value != value else repr(float(value)) for value in row) for row in reference)
    wish = Explanation(v=2, method="interventional", code_map="1", groups=groups, reference=told, **more)
    return msgspec.structs.replace(
        worked.contract(tuple(sorted(names)), "stumps", "stumps"),
        input=InputContract(tensor="input", features=tuple(features)),
        output=OutputContract(tensor="answer", name="pd", unit="probability", minimum="0", maximum="1", column=0),
        cut_offs=(CutOff(decision="accept", below="0.5"), CutOff(decision="decline")),
        explanation=wish,
    )


@dataclass(frozen=True)
class Told:
    """What the battery finds of the reason codes, judged by the shipped policy, by rule."""

    tests: dict[str, TestResult]
    found: reasons.Reasons

    def figure(self, rule: str) -> float:
        return float(self.tests[f"explanation.{rule}"].figure or "nan")

    def verdict(self, rule: str) -> str:
        return self.tests[f"explanation.{rule}"].verdict


def told(
    contract: ModelContract, model: bytes, rows: Rows, predict: Callable[[Rows], Rows] | None = None, **protected: Any
) -> Told:
    """Run the battery's part on rows. `predict`: what is served, where it is not the model; `protected`: what is known
    of protected attributes."""
    served, _, _ = open_model(contract, model)
    served = predict or served
    basis = Basis("validation", digest_of(b"rows"), len(rows))
    found = reasons.explanation_tests(contract, model, served, rows, served(rows), basis)
    found = found.with_protected(contract, protected, basis)
    rules = {
        rule.test: rule for rule in ValidationPolicy.decode(worked.POLICY.read_bytes()).battery(contract.kind, 1).rules
    }
    judged = [judge(test, rules.get(test.rule)) for test in found.tests]
    return Told({test.id: test for test in judged}, found)


def plain_rows(count: int, width: int, seed: int = 3) -> Rows:
    """Between 0 and 10, every row declined by a model of stumps at 5 whose first feature weighs 0.5 or more."""
    rows = np.random.default_rng(seed).uniform(0, 10, (count, width)).astype(np.float32)
    rows[:, 0] = 5 + rows[:, 0] / 2
    return rows
