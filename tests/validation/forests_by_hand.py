"""Forests written out by hand: as ONNX, and walked in Python with sums that do not round."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper

TENSOR_IN = "input"
OUTPUT = {"classifier": "probabilities", "regressor": "answer"}


@dataclass(frozen=True)
class Split:
    """A branch; its value goes to `yes` where the comparison holds."""

    feature: int
    mode: Literal["LT", "LEQ"]
    threshold: float
    missing_yes: bool
    yes: Split | float
    no: Split | float

    def holds(self, value: float) -> bool:
        if math.isnan(value):
            return self.missing_yes
        bound = float(np.float32(self.threshold))
        return value < bound if self.mode == "LT" else value <= bound


@dataclass
class Lists:
    """The attributes of an ensemble, node by node; may be damaged before they are written."""

    trees: list[int] = field(default_factory=list)
    nodes: list[int] = field(default_factory=list)
    features: list[int] = field(default_factory=list)
    modes: list[str] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    yes: list[int] = field(default_factory=list)
    no: list[int] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    leaf_trees: list[int] = field(default_factory=list)
    leaf_nodes: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)

    def add(self, number: int, tree: Split | float) -> None:
        """A tree, its nodes numbered from 0, the root first."""
        rest: list[tuple[Split | float, int]] = [(tree, 0)]
        count = 1
        while rest:
            one, identity = rest.pop(0)
            self.trees.append(number)
            self.nodes.append(identity)
            split = isinstance(one, Split)
            self.features.append(one.feature if isinstance(one, Split) else 0)
            self.modes.append(f"BRANCH_{one.mode}" if isinstance(one, Split) else "LEAF")
            self.values.append(one.threshold if isinstance(one, Split) else 0.0)
            self.missing.append(int(isinstance(one, Split) and one.missing_yes))
            self.yes.append(count if split else 0)
            self.no.append(count + 1 if split else 0)
            if isinstance(one, Split):
                rest += [(one.yes, count), (one.no, count + 1)]
                count += 2
            else:
                self.leaf_trees.append(number)
                self.leaf_nodes.append(identity)
                self.weights.append(one)


def lists(trees: Sequence[Split | float]) -> Lists:
    made = Lists()
    for number, tree in enumerate(trees):
        made.add(number, tree)
    return made


def written(
    told: Lists, features: int, kind: Literal["classifier", "regressor"], base: float | None = None, **more: Any
) -> bytes:
    """The ONNX file; `more` goes to the node, None takes an attribute away."""
    given: dict[str, Any] = {
        "nodes_treeids": told.trees, "nodes_nodeids": told.nodes, "nodes_featureids": told.features,
        "nodes_modes": told.modes, "nodes_values": told.values, "nodes_truenodeids": told.yes,
        "nodes_falsenodeids": told.no, "nodes_missing_value_tracks_true": told.missing,
    }  # fmt: skip
    if base is not None:
        given["base_values"] = [base]
    if kind == "classifier":
        outputs = ["label", OUTPUT[kind]]
        given |= {
            "class_treeids": told.leaf_trees, "class_nodeids": told.leaf_nodes, "class_weights": told.weights,
            "class_ids": [0] * len(told.weights), "classlabels_int64s": [0, 1], "post_transform": "LOGISTIC",
        }  # fmt: skip
    else:
        outputs = [OUTPUT[kind]]
        given |= {
            "target_treeids": told.leaf_trees, "target_nodeids": told.leaf_nodes, "target_weights": told.weights,
            "target_ids": [0] * len(told.weights), "n_targets": 1,
        }  # fmt: skip
    given = {key: value for key, value in (given | more).items() if value is not None}
    name = "TreeEnsembleClassifier" if kind == "classifier" else "TreeEnsembleRegressor"
    node = helper.make_node(name, [TENSOR_IN], outputs, domain="ai.onnx.ml", **given)
    width = 2 if kind == "classifier" else 1
    infos = [helper.make_tensor_value_info(OUTPUT[kind], TensorProto.FLOAT, [None, width])]
    if kind == "classifier":
        infos.insert(0, helper.make_tensor_value_info("label", TensorProto.INT64, [None]))
    taken = helper.make_tensor_value_info(TENSOR_IN, TensorProto.FLOAT, [None, features])
    graph = helper.make_graph([node], "forest", [taken], infos)
    opsets = [helper.make_opsetid("", 15), helper.make_opsetid("ai.onnx.ml", 3)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def margins(trees: Sequence[Split | float], rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Exact sums of leaves, rounded once to float64."""
    found = []
    for row in rows.astype(np.float64).tolist():
        reached = []
        for tree in trees:
            at = tree
            while isinstance(at, Split):
                at = at.yes if at.holds(row[at.feature]) else at.no
            reached.append(float(np.float32(at)))
        found.append(math.fsum(reached))
    return np.array(found)


def grown(random: np.random.Generator, depth: int, features: int, thresholds: Sequence[float]) -> Split | float:
    """A tree of at most this depth; a branch may end early."""
    if depth == 0 or random.random() < 0.2:
        # multiples of 2^-20, so that any sum of a few thousand is exact
        return float(np.float32(random.integers(-(2**19), 2**19) / 2**20))
    return Split(
        int(random.integers(features)), "LT" if random.random() < 0.5 else "LEQ",
        float(random.choice(np.array(thresholds))), bool(random.random() < 0.5),
        grown(random, depth - 1, features, thresholds), grown(random, depth - 1, features, thresholds),
    )  # fmt: skip


def chain(depth: int) -> Split:
    """One level after the other, each with one leaf; grown from below, since Python's own stack is small."""
    below: Split | float = 1.0
    for level in range(depth, 0, -1):
        below = Split(0, "LT", float(level), False, level / 1024, below)
    assert isinstance(below, Split)
    return below
