"""The scan of an XGBoost file, inside the sandbox only: loaded by the library, written out again, and read as data.

What is approved is loaded at the gateway by the same version of the same library, outside any sandbox. So the file must
be byte for byte what the library writes (nothing hides beside the trees), and every index in it stays in its bounds.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

from strongroom.errors import InvalidInputError
from strongroom.registry.contract import InputContract, OutputContract
from strongroom.validation.scans.scan import BoosterFacts, BoosterRules, plain
from strongroom.validation.trees.boosters import OBJECTIVES, demand_contract, library_version, open_booster

Refuse = Callable[[str, str], None]
"""Takes a rule and a message."""


def scan_booster(
    data: bytes, inputs: InputContract, output: OutputContract, rules: BoosterRules, refuse: Refuse
) -> BoosterFacts | None:
    """Look at a model file.

    Args:
        data: the file.
        inputs: the features that the model must take.
        output: the tensor that it must give.
        rules: limits.
        refuse: called for every rule that is broken.

    Returns:
        Facts about the model, or None if it is not one.
    """
    if len(data) > rules.model_bytes:
        refuse("model-size", f"the model has {len(data)} bytes, more than {rules.model_bytes}")
        return None
    try:
        booster = open_booster(data)
        same, document = booster.saved("ubj") == data, json.loads(booster.saved("json"))
        found = read_forest(document, rules, inputs, refuse)
    except InvalidInputError as error:
        refuse("xgboost-load", plain(error.message))
        return None
    except (KeyError, TypeError, ValueError, IndexError) as error:
        refuse("xgboost-form", f"the model does not have the form of a gradient boosted forest: {type(error).__name__}")
        return None
    if not same:
        refuse(
            "xgboost-bytes", f"the file is not what XGBoost {library_version()} writes; save the model with it again"
        )
    try:
        demand_contract(booster, inputs, output)
    except InvalidInputError as error:
        refuse("xgboost-contract", plain(error.message))
    return found


def read_forest(document: Any, rules: BoosterRules, inputs: InputContract, refuse: Refuse) -> BoosterFacts:
    """The facts of a model in XGBoost's JSON form, every index checked.

    Raises:
        ValueError, KeyError, TypeError, IndexError: it has not the form; a refusal may say more.
    """
    learner = document["learner"]
    objective, booster = str(learner["objective"]["name"]), learner["gradient_booster"]
    if booster["name"] != "gbtree":
        refuse("xgboost-booster", f"the booster `{plain(booster['name'])}` is not `gbtree`")
        raise ValueError
    if objective not in OBJECTIVES:
        refuse("xgboost-objective", f"the objective `{plain(objective)}` is not one of {', '.join(OBJECTIVES)}")
    shape = learner["learner_model_param"]
    if int(shape["num_class"]) not in (0, 1) or int(shape["num_target"]) != 1:
        refuse("xgboost-classes", "the model answers more than one value a row")
    names = [feature.name for feature in inputs.features]
    if learner["feature_names"] and learner["feature_names"] != names:
        refuse("xgboost-features", "the model's feature names are not those of the contract, in its order")
    if learner["attributes"]:
        refuse("xgboost-attributes", "the model carries attributes of its own; remove them before packaging")
    # dropout: XGBoost 3.4 writes such a model as `gbtree` too, with a weight for each tree
    if any(weight != 1 for weight in booster["model"].get("weight_drop", ())):
        refuse("xgboost-booster", "the model weighs its trees (dropout); train it without")
    trees = booster["model"]["trees"]
    if not 0 < len(trees) <= rules.trees or any(int(tree["id"]) != i for i, tree in enumerate(trees)):
        refuse("xgboost-trees", f"a model has 1 to {rules.trees} trees, in order")
        raise ValueError
    if any(booster["model"]["tree_info"]):
        refuse("xgboost-classes", "the model answers more than one value a row")
    nodes = sum(len(tree["left_children"]) for tree in trees)
    if nodes > rules.nodes:
        refuse("xgboost-nodes", f"the model has more than {rules.nodes} nodes")
        raise ValueError
    depth = 0
    for place, tree in enumerate(trees):
        depth = max(depth, _depth(tree, place, len(names), rules, refuse))
    return BoosterFacts(
        rules=rules,
        xgboost=library_version(),
        objective=plain(objective),
        features=int(shape["num_feature"]),
        trees=len(trees),
        nodes=nodes,
        depth=depth,
    )


def _depth(tree: Any, place: int, features: int, rules: BoosterRules, refuse: Refuse) -> int:
    """The depth of a tree whose every index was checked; ValueError after a refusal."""

    def no(what: str) -> ValueError:
        refuse("xgboost-tree", f"tree {place} {what}")
        return ValueError(what)

    left, right = tree["left_children"], tree["right_children"]
    splits, bounds, missing = tree["split_indices"], tree["split_conditions"], tree["default_left"]
    columns: tuple[Sequence[Any], ...] = (left, right, splits, bounds, missing, tree["split_type"], tree["parents"])
    count = len(left)
    if not count or any(len(column) != count for column in columns) or int(tree["tree_param"]["num_nodes"]) != count:
        raise no("lists its nodes in columns of different lengths")
    if int(tree["tree_param"]["size_leaf_vector"]) != 1 or any(tree["split_type"]) or tree["categories"]:
        raise no("splits by categories or answers vectors; use numeric codes and one output")
    seen = 0
    todo = [(0, 0)]
    reached = set()
    deepest = 0
    while todo:
        node, depth = todo.pop()
        if node in reached or not 0 <= node < count:
            raise no("has a node outside its bounds or reached twice")
        reached.add(node)
        seen += 1
        deepest = max(deepest, depth)
        if depth > rules.depth:
            raise no(f"is deeper than {rules.depth}")
        if not math.isfinite(bounds[node]):
            raise no("holds a number that is not finite")
        if left[node] == -1 and right[node] == -1:
            continue
        if not 0 <= splits[node] < features:
            raise no("splits on a feature that the contract does not have")
        todo += [(left[node], depth + 1), (right[node], depth + 1)]
    if seen != count:
        raise no("holds nodes that nothing reaches")
    return deepest
