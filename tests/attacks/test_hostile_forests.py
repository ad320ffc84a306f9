"""Trees that would hurt a compiled library: it sees none of them, since each is refused by the reader before.

The library's builder takes children, features and places as they are told and checks none of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from strongroom.adapters.runtimes.onedal_runtime import OneDalRuntime
from strongroom.errors import InvalidInputError, UnsafeArtifactError
from strongroom.validation.trees import onedal
from tests.validation.forests_by_hand import OUTPUT, TENSOR_IN, Lists, Split, lists, written

FEATURES = 3
TREE = Split(0, "LT", 0.5, False, Split(1, "LEQ", 0.25, True, 0.1, 0.2), Split(2, "LT", -1.0, False, 0.3, 0.4))


def told() -> Lists:
    return lists([TREE, TREE])


def put(name: str, place: int, value: Any) -> Callable[[Lists], None]:
    def spoil(made: Lists) -> None:
        getattr(made, name)[place] = value

    return spoil


def cut(name: str) -> Callable[[Lists], None]:
    def spoil(made: Lists) -> None:
        getattr(made, name).pop()

    return spoil


def all_of(*spoils: Callable[[Lists], None]) -> Callable[[Lists], None]:
    def spoil(made: Lists) -> None:
        for one in spoils:
            one(made)

    return spoil


HOSTILE: dict[str, Callable[[Lists], None]] = {
    "child beyond the tree": put("yes", 0, 99),
    "child below zero": put("no", 0, -1),
    "child of another size": put("yes", 0, 2**40 + 1),
    "child that is the root": put("yes", 1, 0),
    "child that is itself": put("yes", 1, 1),
    "ring of two": all_of(put("yes", 1, 2), put("yes", 2, 1)),
    "ring beside the tree": all_of(
        put("yes", 0, 3), put("no", 0, 4), put("yes", 1, 2), put("no", 1, 5), put("yes", 2, 1)
    ),
    "child of two": put("yes", 2, 3),
    "both branches to one child": put("no", 0, 1),
    "feature beyond the contract": put("features", 0, FEATURES),
    "feature below zero": put("features", 0, -1),
    "feature that is 0 in 32 bits": put("features", 0, 2**32),
    "threshold that is no number": put("values", 0, float("nan")),
    "threshold without end": put("values", 0, float("inf")),
    "threshold before everything": put("values", 0, float("-inf")),
    "leaf that is no number": put("weights", 0, float("nan")),
    "leaf without end": put("weights", 0, float("inf")),
    "node told twice": put("nodes", 2, 1),
    "weight told twice": put("leaf_nodes", 1, 3),
    "unknown comparison": put("modes", 0, "BRANCH_EQ"),
    "too few thresholds": cut("values"),
    "too few features": cut("features"),
    "too few modes": cut("modes"),
    "too few children": cut("yes"),
    "too few rules for missing values": cut("missing"),
    "too few weights": cut("weights"),
    "too few trees": cut("trees"),
    "no leaf": all_of(*(put("modes", place, "BRANCH_LT") for place in (3, 4, 5, 6))),
}


@pytest.mark.parametrize("kind", ["classifier", "regressor"])
@pytest.mark.parametrize("spoil", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_tree_never_meets_the_library(monkeypatch: pytest.MonkeyPatch, kind: Any, spoil: Any) -> None:
    def reached() -> Any:
        pytest.fail("the library was loaded for a hostile forest")

    monkeypatch.setattr(onedal, "library", reached)
    made = told()
    spoil(made)
    model = written(made, FEATURES, kind)
    with pytest.raises(InvalidInputError):
        onedal.open_forest(model, TENSOR_IN, OUTPUT[kind], FEATURES)
    with pytest.raises(UnsafeArtifactError):
        OneDalRuntime().load(model, TENSOR_IN, OUTPUT[kind], FEATURES)


MORE: dict[str, dict[str, Any]] = {
    "softmax": {"post_transform": "SOFTMAX"},
    "probit": {"post_transform": "PROBIT"},
    "three classes": {"class_ids": [0, 1, 2, 0] * 2, "classlabels_int64s": [0, 1, 2]},
    "class below zero": {"class_ids": [-1] * 8},
    "base of another class": {"class_ids": [1] * 8, "base_values": [0.5]},
    "two bases": {"base_values": [0.5, 0.5]},
    "base that is no number": {"base_values": [float("nan")]},
    "base without end": {"base_values": [float("inf")]},
    "no nodes": {"nodes_modes": None},
    "no weights": {"class_weights": None, "class_ids": None, "class_nodeids": None, "class_treeids": None},
}


@pytest.mark.parametrize("more", MORE.values(), ids=MORE.keys())
def test_what_is_no_forest_of_two_classes_is_refused(monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]) -> None:
    monkeypatch.setattr(onedal, "library", lambda: pytest.fail("the library was loaded"))
    model = written(told(), FEATURES, "classifier", **more)
    with pytest.raises(UnsafeArtifactError):
        OneDalRuntime().load(model, TENSOR_IN, OUTPUT["classifier"], FEATURES)


def test_any_damage_is_a_refusal_and_no_other_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes changed at random: read, or refused; never an error that a caller does not expect."""
    monkeypatch.setattr(onedal, "library", lambda: pytest.fail("the library was loaded"))
    good = bytearray(written(told(), FEATURES, "classifier"))
    random = np.random.default_rng(8)
    refused = 0
    for _ in range(1500):
        model = bytearray(good)
        for place in random.integers(0, len(good), random.integers(1, 4)):
            model[place] = random.integers(0, 256)
        try:
            onedal.read_model(bytes(model), TENSOR_IN, OUTPUT["classifier"], FEATURES)
        except InvalidInputError:
            refused += 1
    assert refused > 700


def test_the_forest_is_sound_where_nothing_is_spoilt() -> None:
    """Otherwise the refusals above would prove nothing."""
    read = onedal.read_model(
        written(replace(told()), FEATURES, "classifier"), TENSOR_IN, OUTPUT["classifier"], FEATURES
    )
    assert [len(tree.left) for tree in read.forest.trees] == [7, 7]
