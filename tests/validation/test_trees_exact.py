"""Reason codes to the last place: small forests by the definition, the limits at their edges, and the bits of sums."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from strongroom.errors import InvalidInputError
from strongroom.registry.explanation import Explanation, ReasonGroup
from strongroom.validation.trees import attribution, shapley
from strongroom.validation.trees.attribution import Attribution, contributions
from strongroom.validation.trees.forests import Forest, Tree
from strongroom.validation.trees.shapley import Shapley
from tests.validation.forest_oracle import by_definition, expected, margin, path_dependent, random_rows, random_tree

BOTH = [Shapley, Attribution]


def forest_from(seed: int, width: int, depth: int, trees: int = 3) -> tuple[np.random.Generator, Forest]:
    random = np.random.default_rng(seed)
    return random, Forest(tuple(random_tree(random, width, depth) for _ in range(trees)), 0.25, "identity", width)


def chain(depth: int, width: int = 1) -> Tree:
    """One step after the other, each leaf on the left; the last leaf holds `depth`."""
    count = 2 * depth + 1
    inner = np.arange(count) < depth
    places = np.arange(count)
    return Tree(
        left=np.where(inner, places + depth + 1, -1).astype(np.int32),
        right=np.where(inner, places + 1, -1).astype(np.int32),
        feature=np.where(inner, places % width, 0).astype(np.int32),
        threshold=np.where(inner, places, 0).astype(np.float32),
        missing_left=np.zeros(count, np.bool_),
        value=np.where(inner, 0.0, np.where(places == depth, float(depth), places - depth - 1.0)),
        cover=np.concatenate([np.arange(depth, -1, -1) + 1.0, np.ones(depth)]),
    )


@pytest.mark.parametrize(
    ("seed", "width", "depth"), [(1, 1, 0), (2, 1, 3), (3, 3, 1), (4, 2, 2), (5, 3, 3), (6, 4, 4), (7, 2, 6), (8, 5, 5)]
)
def test_small_forests_give_what_the_definition_gives(seed: int, width: int, depth: int) -> None:
    random, forest = forest_from(seed, width, depth)
    reference, rows = random_rows(random, 3, width), random_rows(random, 4, width)
    wanted = [by_definition(forest, row, reference) for row in rows]
    for kind in BOTH:
        made = kind(forest, reference)
        found = made.values(rows)
        assert found.shape == rows.shape
        np.testing.assert_allclose(found, wanted, atol=5e-7)
        assert made.base == pytest.approx(np.mean([margin(forest, one) for one in reference]), abs=1e-12)
    along = Attribution(forest, None)
    np.testing.assert_allclose(along.values(rows), [path_dependent(forest, row) for row in rows], atol=5e-7)
    nothing = sum(expected(tree, rows[0], frozenset()) for tree in forest.trees)
    assert along.base == pytest.approx(forest.base + nothing, abs=1e-12)


@pytest.mark.parametrize(("seed", "width", "depth"), [(12, 9, 7), (13, 3, 7), (14, 40, 8)])
def test_wide_and_deep_forests_add_up_and_both_tables_agree(seed: int, width: int, depth: int) -> None:
    random, forest = forest_from(seed, width, depth, 2)
    reference, rows = random_rows(random, 5, width), random_rows(random, 35, width)
    sums = [margin(forest, row) for row in rows]
    found = []
    for made in (Attribution(forest, reference), Attribution(forest, None), Shapley(forest, reference)):
        found.append(made.values(rows))
        np.testing.assert_allclose(made.base + found[-1].sum(axis=1), sums, atol=2e-6)
        alone = np.concatenate([made.values(rows[n : n + 1]) for n in (0, 15, 16, 31, 32, 34)])
        assert alone.tobytes() == found[-1][[0, 15, 16, 31, 32, 34]].tobytes()
    np.testing.assert_allclose(found[0], found[2], atol=1e-6)


def test_trees_of_several_depths_stand_in_one_forest() -> None:
    random = np.random.default_rng(21)
    forest = Forest(tuple(random_tree(random, 3, depth) for depth in (0, 5, 1, 3, 2, 0, 4, 3)), -1.5, "identity", 3)
    reference, rows = random_rows(random, 4, 3), random_rows(random, 4, 3)
    wanted = [by_definition(forest, row, reference) for row in rows]
    for kind in BOTH:
        np.testing.assert_allclose(kind(forest, reference).values(rows), wanted, atol=5e-7)


def test_a_feature_that_no_tree_asks_for_and_a_forest_of_leaves_give_nothing() -> None:
    leaf = Tree(*(np.array([one]) for one in (-1, -1, 0)), np.zeros(1, np.float32), np.zeros(1, np.bool_),
                np.array([2.5]), np.ones(1))  # fmt: skip
    rows = np.array([[1.0, np.nan], [-1.0, 4.0]], np.float32)
    for kind in BOTH:
        made = kind(Forest((leaf, leaf), 0.5, "identity", 2), rows)
        assert made.base == 5.5
        assert made.values(rows).tolist() == [[0.0, 0.0], [0.0, 0.0]]
        lone = kind(Forest((chain(2),), 0.0, "identity", 2), rows)
        assert not lone.values(rows)[:, 1].any()
        assert lone.values(rows)[:, 0].any()


@pytest.mark.parametrize("kind", BOTH)
def test_limits_hold_at_their_edges(kind: Any) -> None:
    forest = Forest((chain(2, 2),), 0.0, "identity", 2)
    assert kind(forest, np.ones((256, 2), np.float32)).width == 2
    for shape in ((257, 2), (0, 2), (3, 1), (3, 3)):
        with pytest.raises(InvalidInputError, match="1 to 256 reference rows"):
            kind(forest, np.ones(shape, np.float32))
    rows = np.array([[1.5], [7.5], [9.0]], np.float32)
    made = kind(Forest((chain(8),), 0.0, "identity", 1), rows)
    assert (made.base + made.values(rows)[:, 0]).tolist() == pytest.approx([2.0, 8.0, 8.0])
    with pytest.raises(InvalidInputError, match="at most 8 levels"):
        kind(Forest((chain(9),), 0.0, "identity", 1), rows)
    for left in ([0, -1, -1], [1, 0, -1]):
        loop = Tree(np.array(left, np.int32), np.array([2, 2, -1], np.int32), *(np.zeros(3, np.int32),) * 2,
                    np.zeros(3, np.bool_), np.zeros(3), np.ones(3))  # type: ignore[arg-type]  # fmt: skip
        with pytest.raises(InvalidInputError, match="at most 8 levels"):
            kind(Forest((loop,), 0.0, "identity", 1), rows)


def test_nodes_that_have_two_parents_make_no_more_leaves_than_nodes() -> None:
    """Few nodes and ever more ways to them: what hangs on every way must not grow with them."""
    shared = np.array([1, 2, 3, 4, -1], np.int32)
    many = replace(chain(2), left=shared, right=shared, feature=np.zeros(5, np.int32))
    with pytest.raises(InvalidInputError, match="levels"):
        Attribution(Forest((many,), 0.0, "identity", 1), np.zeros((1, 1), np.float32))


def test_a_leaf_counts_whatever_its_worth() -> None:
    for low, high in ((-1.0, 2.0), (0.0, 1.0), (2.0, -1.0)):
        stump = replace(chain(1), value=np.array([0.0, low, high]))
        for kind in BOTH:
            made = kind(Forest((stump, stump), 0.0, "identity", 1), np.array([[-1.0]], np.float32))
            assert made.base == 2 * high
            assert made.values(np.array([[1.0]], np.float32)).tolist() == [[2 * (low - high)]]


@pytest.mark.parametrize(
    ("depth", "first", "second"), [(0, 256, 32), (1, 256, 64), (2, 256, 128), (3, 1024, 256), (7, 262144, 4096)]
)
def test_tables_are_as_large_as_said_and_no_larger_than_allowed(depth: int, first: int, second: int) -> None:
    assert shapley.TABLE_BYTES == attribution.TABLE_BYTES == 100_663_296
    tree, rows = chain(depth, 3), np.ones((1, 3), np.float32)
    forest = Forest((tree,), 0.0, "identity", 3)
    for module, kind, size in ((shapley, Shapley, first), (attribution, Attribution, second)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "TABLE_BYTES", size)
            kind(forest, rows)
            patch.setattr(module, "TABLE_BYTES", size - 1)
            with pytest.raises(InvalidInputError, match=f"take {size} bytes, more than {size - 1}"):
                kind(forest, rows)


def test_the_tables_of_all_trees_count_together() -> None:
    random = np.random.default_rng(4)
    forest = Forest((chain(8), chain(2), chain(3), chain(8)), 0.0, "identity", 1)
    for module, kind, size in ((shapley, Shapley, 2 * 2_097_152 + 256 + 1024), (attribution, Attribution, 0)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "TABLE_BYTES", size - 1)
            with pytest.raises(InvalidInputError, match=f"take {size or ''}"):
                kind(forest, random_rows(random, 1, 1))


def test_training_weights_are_asked_for_where_they_are_needed() -> None:
    forest = Forest((chain(2),), 0.0, "identity", 1)
    rows = np.ones((1, 1), np.float32)
    bare = replace(forest, trees=(chain(2), replace(chain(2), cover=None)))
    with pytest.raises(InvalidInputError, match="does not hold"):
        Attribution(bare, None)
    Attribution(bare, rows)
    for cover in ([0, 0, 0, 0, 0], [3, -1, 1, 2, 1], [np.nan, 1, 1, 1, 1], [3, 2, -1, 1, 3]):
        with pytest.raises(InvalidInputError, match="no training weight"):
            Attribution(replace(forest, trees=(replace(chain(2), cover=np.array(cover, float)),)), None)
    # a leaf that no training row reached has a share of nothing, which is a number
    made = Attribution(replace(forest, trees=(replace(chain(2), cover=np.array([3.0, 2, 2, 1, 0])),)), None)
    assert made.base == pytest.approx(2 * 2 / 3)


def test_the_release_says_what_explains_its_answers() -> None:
    random, forest = forest_from(3, 2, 3)
    given: dict[str, Any] = {
        "code_map": "1", "groups": (ReasonGroup(code="A", features=("a",)), ReasonGroup(code="B", features=("b",))),
    }  # fmt: skip
    told = (("0", "nan"), ("1", "2"))
    rows, asked = np.array([[0, np.nan], [1, 2]], np.float32), random_rows(random, 5, 2)
    for version, method, kind, reference in (
        (1, "interventional", Shapley, rows), (2, "interventional", Attribution, rows),
        (2, "path-dependent", Attribution, None),
    ):  # fmt: skip
        more = {} if reference is None else {"reference": told}
        made = contributions(Explanation(v=version, method=method, **more, **given), forest)  # type: ignore[arg-type]
        assert type(made) is kind
        assert made.values(asked).tobytes() == kind(forest, reference).values(asked).tobytes()


def test_no_sum_of_a_table_needs_more_than_the_bits_of_a_float() -> None:
    random = np.random.default_rng(6)
    named = np.array([[0, 2, -1], [2, -1, -1], [1, 0, 2]])
    first = np.array([0, 4, 6])
    for scale in (1e-9, 1.0, 3e5):
        table = random.normal(size=(14, 3)) * scale
        told = table.copy()
        step = attribution._round(table, first, named, 3)
        assert (table == np.rint(told / step)).all()
        largest = [np.abs(part).max(axis=0) for part in np.split(table, [4, 6])]
        sums = [sum(top[at] for top, names in zip(largest, named, strict=True) for at in range(3) if names[at] == f)
                for f in range(3)]  # fmt: skip
        assert 2**51 < max(sums) <= 2**52 + 3
    assert attribution._round(np.zeros((14, 3)), first, named, 3) == 1.0
