"""The quick tables give Shapley's values: by enumerating all sets, and by what XGBoost itself contributes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.errors import InvalidInputError
from strongroom.registry.explanation import Explanation, ReasonGroup
from strongroom.validation.batteries.artifact import open_session
from strongroom.validation.statistics.tables import feature_rows, read_table
from strongroom.validation.trees.attribution import Attribution, contributions
from strongroom.validation.trees.boosters import open_booster
from strongroom.validation.trees.branches import BITS, SLOTS, Branches, Nodes
from strongroom.validation.trees.forests import Forest, Tree, forest_of
from strongroom.validation.trees.shapley import Shapley
from tests.validation.forest_oracle import by_definition, expected, margin, path_dependent, random_rows, random_tree
from tests.validation.worked import package

SEEDS = st.integers(0, 2**32 - 1)


def forest_from(seed: int, width: int, depth: int) -> tuple[np.random.Generator, Forest]:
    random = np.random.default_rng(seed)
    return random, Forest(tuple(random_tree(random, width, depth) for _ in range(4)), 0.25, "identity", width)


@given(SEEDS, st.integers(1, 5), st.integers(0, 7), st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_values_against_reference_rows_are_what_the_definition_gives(
    seed: int, width: int, depth: int, references: int
) -> None:
    random, forest = forest_from(seed, width, depth)
    reference, rows = random_rows(random, references, width), random_rows(random, 3, width)
    made = Attribution(forest, reference)
    for row, values in zip(rows, made.values(rows), strict=True):
        np.testing.assert_allclose(values, by_definition(forest, row, reference), atol=2e-6)
        assert made.base + values.sum() == pytest.approx(margin(forest, row), abs=5e-6)
    assert made.base == pytest.approx(np.mean([margin(forest, one) for one in reference]))


@given(SEEDS, st.integers(1, 5), st.integers(0, 7))
@settings(max_examples=25, deadline=None)
def test_values_along_the_training_weights_are_what_the_definition_gives(seed: int, width: int, depth: int) -> None:
    random, forest = forest_from(seed, width, depth)
    rows = random_rows(random, 3, width)
    made = Attribution(forest, None)
    for row, values in zip(rows, made.values(rows), strict=True):
        np.testing.assert_allclose(values, path_dependent(forest, row), atol=2e-6)
        assert made.base + values.sum() == pytest.approx(margin(forest, row), abs=5e-6)
    nothing = [expected(tree, rows[0], frozenset()) for tree in forest.trees]
    assert made.base == pytest.approx(forest.base + sum(nothing))


@given(SEEDS, st.integers(1, 40), st.integers(0, 8))
@settings(max_examples=25, deadline=None)
def test_wide_and_deep_forests_give_what_the_first_tables_give(seed: int, width: int, depth: int) -> None:
    random, forest = forest_from(seed, width, min(depth, 7))
    reference, rows = random_rows(random, 7, width), random_rows(random, 40, width)
    np.testing.assert_allclose(
        Attribution(forest, reference).values(rows), Shapley(forest, reference).values(rows), atol=1e-5
    )
    if depth == 8:
        _, deep = forest_from(seed, width, 8)
        made = Attribution(deep, reference)
        sums = [margin(deep, row) for row in rows]
        np.testing.assert_allclose(made.base + made.values(rows).sum(axis=1), sums, atol=1e-5)


@given(SEEDS, st.integers(1, 12), st.integers(0, 8))
@settings(max_examples=25, deadline=None)
def test_every_leaf_is_in_one_group_and_no_group_outgrows_its_table(seed: int, width: int, depth: int) -> None:
    _, forest = forest_from(seed, width, depth)
    nodes = Nodes.of(forest.trees)
    paths = nodes.paths()
    made = Branches.of(nodes, paths)
    assert sorted(paths.leaf.tolist()) == np.flatnonzero(nodes.left < 0).tolist()
    assert set(made.group.tolist()) == set(range(len(made.bits)))
    assert made.bits.max() <= BITS
    assert (np.diff(made.bits) <= 0).all()
    for group in range(len(made.bits)):
        named = made.named[made.group == group]
        assert len(set(named[named >= 0].tolist())) <= SLOTS
        assert not (made.mask[made.group == group].astype(int) >> made.bits[group]).any()
    assert not (made.want & ~made.mask).any()


@pytest.fixture(scope="module")
def native() -> tuple[Forest, npt.NDArray[np.float32], Any]:
    made = package("native")
    rows = feature_rows(read_table(made.inputs["reference.parquet"], "reference"), made.contract.input, "reference")
    return forest_of(made.contract, made.inputs["model.ubj"]), rows, open_booster(made.inputs["model.ubj"])


def test_xgboost_itself_contributes_the_same(native: Any) -> None:
    xgboost = pytest.importorskip("xgboost")
    forest, rows, _ = native
    booster = xgboost.Booster()
    booster.load_model(bytearray(package("native").inputs["model.ubj"]))
    gaps = rows[:300].copy()
    gaps[::3, :4] = np.nan
    told = booster.predict(xgboost.DMatrix(gaps), pred_contribs=True)
    made = Attribution(forest, None)
    np.testing.assert_allclose(made.values(gaps), told[:, :-1], atol=1e-5)
    np.testing.assert_allclose(told[:, -1], made.base, atol=1e-5)


@pytest.mark.parametrize("against", [32, 1, None])
def test_a_row_has_the_same_bits_alone_and_in_any_batch_however_they_are_added(native: Any, against: Any) -> None:
    forest, rows, booster = native
    made = Attribution(forest, None if against is None else rows[:against])
    rows = rows[32:132].copy()
    rows[::5, ::3] = np.nan
    whole = made.values(rows)
    assert whole.tobytes() == np.concatenate([made.values(rows[n : n + 1]) for n in range(100)]).tobytes()
    assert whole.tobytes() == made.values(rows[::-1])[::-1].tobytes()
    assert made.values(rows[:0]).shape == (0, rows.shape[1])
    assert np.abs(forest.scores(made.base + whole.sum(axis=1)) - booster.predict(rows)).max() < 2e-6


def test_the_order_of_the_trees_changes_no_bit(native: Any) -> None:
    forest, rows, _ = native
    turned = replace(forest, trees=forest.trees[::-1])
    for reference in (rows[:8], None):
        one, two = Attribution(forest, reference), Attribution(turned, reference)
        assert one.values(rows[:50]).tobytes() == two.values(rows[:50]).tobytes()
        assert one.base == two.base


def test_a_row_on_a_bound_goes_where_the_runtime_sends_it() -> None:
    made = package("xgboost")
    forest = forest_of(made.contract, made.inputs["model.onnx"])
    rows = feature_rows(read_table(made.inputs["reference.parquet"], "reference"), made.contract.input, "reference")
    edges = rows[32:96].copy()
    for row, tree in zip(edges, forest.trees, strict=False):
        row[tree.feature[0]] = tree.threshold[0]
    served = open_session(made.inputs["model.onnx"]).run(["probabilities"], {"input": edges})[0][:, 1]
    explainer = Attribution(forest, rows[:32])
    assert np.abs(forest.scores(explainer.base + explainer.values(edges).sum(axis=1)) - served).max() < 2e-6


def test_what_a_forest_cannot_give_is_refused() -> None:
    random = np.random.default_rng(1)
    deep = Forest(tuple(random_tree(random, 3, 11) for _ in range(3)), 0.0, "identity", 3)
    with pytest.raises(InvalidInputError, match="levels"):
        Attribution(deep, random_rows(random, 2, 3))
    flat = Forest((random_tree(random, 3, 2),), 0.0, "identity", 3)
    for rows in (random_rows(random, 0, 3), random_rows(random, 300, 3), random_rows(random, 2, 4)):
        with pytest.raises(InvalidInputError, match="reference rows"):
            Attribution(flat, rows)
    with pytest.raises(InvalidInputError, match="which this model file does not hold"):
        Attribution(replace(flat, trees=(replace(flat.trees[0], cover=None),)), None)
    split = Tree(
        np.array([1, -1, -1], np.int32), np.array([2, -1, -1], np.int32), np.zeros(3, np.int32),
        np.zeros(3, np.float32), np.zeros(3, np.bool_), np.array([0.0, 1.0, 2.0]), np.zeros(3),
    )  # fmt: skip
    with pytest.raises(InvalidInputError, match="no training weight"):
        Attribution(Forest((split,), 0.0, "identity", 1), None)
    loop = replace(split, left=np.array([0, -1, -1], np.int32), right=np.array([0, -1, -1], np.int32))
    with pytest.raises(InvalidInputError, match="levels"):
        Attribution(Forest((loop,), 0.0, "identity", 1), np.zeros((1, 1), np.float32))


def test_bounds_that_are_no_numbers_send_every_value_to_the_right() -> None:
    bounds = np.array([np.nan, 0, 0], np.float32)
    tree = Tree(
        np.array([1, -1, -1], np.int32), np.array([2, -1, -1], np.int32), np.zeros(3, np.int32),
        bounds, np.array([True, False, False]), np.array([0.0, 1.0, 2.0]), np.array([2.0, 1.0, 1.0]),
    )  # fmt: skip
    forest = Forest((tree,), 0.0, "identity", 1)
    made = Attribution(forest, np.array([[5.0]], np.float32))
    rows = np.array([[1.0], [np.nan]], np.float32)
    assert (made.base + made.values(rows)[:, 0]).tolist() == [2.0, 1.0]


def test_the_release_says_which_tables_answer() -> None:
    random, forest = forest_from(3, 2, 3)
    given = {
        "code_map": "1", "groups": (ReasonGroup(code="A", features=("a",)), ReasonGroup(code="B", features=("b",))),
    }  # fmt: skip
    rows = (("0", "nan"), ("1", "2"))
    first = contributions(Explanation(v=1, method="interventional", reference=rows, **given), forest)
    second = contributions(Explanation(v=2, method="interventional", reference=rows, **given), forest)
    third = contributions(Explanation(v=2, method="path-dependent", **given), forest)
    asked = random_rows(random, 5, 2)
    assert isinstance(first, Shapley)
    np.testing.assert_allclose(first.values(asked), second.values(asked), atol=1e-6)
    np.testing.assert_allclose(third.values(asked), [path_dependent(forest, row) for row in asked], atol=1e-6)
    for wrong in (
        {"v": 1, "method": "path-dependent"}, {"v": 2, "method": "path-dependent", "reference": rows},
        {"v": 2, "method": "interventional"}, {"v": 1, "method": "interventional"},
    ):  # fmt: skip
        with pytest.raises(InvalidInputError):
            Explanation(**wrong, **given)  # type: ignore[arg-type]
