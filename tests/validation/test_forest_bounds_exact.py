"""Proofs about forests to the last place: what a contract allows, where a threshold lies, what is proven and what open.

Light on purpose, since mutation testing runs it hundreds of times.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from strongroom.errors import InvalidInputError
from strongroom.registry.contract import InputContract
from strongroom.registry.robustness import Action
from strongroom.validation.trees.forests import Forest, Tree
from tests.validation.test_forest_bounds import ACTIONS, CONTRACT, bounds, feature, forest, margin, oracle, values

INF = math.inf
STEPS = 2000


def stump(place: int, threshold: float, left: float, right: float, missing_left: bool = False) -> Tree:
    return Tree(
        left=np.array([1, -1, -1], np.int32), right=np.array([2, -1, -1], np.int32),
        feature=np.array([place, 0, 0], np.int32), threshold=np.array([threshold, 0, 0], np.float32),
        missing_left=np.array([missing_left, False, False]), value=np.array([0.0, left, right]),
    )  # fmt: skip


def made_of(*trees: Tree, base: float = 0.0, link: Any = "identity") -> Any:
    return bounds.Encoded.of(Forest(trees, base, link, 4), CONTRACT)


def beside(value: float, way: float) -> float:
    return float(np.nextafter(np.float32(value), np.float32(way)))


@pytest.mark.parametrize(
    ("more", "span"),
    [
        ({}, (-4.0, beside(4, INF))),
        ({"minimum": "0.3", "maximum": "0.7"}, (float(np.float32(0.3)), beside(0.7, INF))),
        ({"minimum": "0.7", "maximum": "0.8"}, (beside(0.7, INF), float(np.float32(0.8)))),
        ({"minimum": None, "maximum": None}, (-INF, INF)),
        ({"type": "integer", "minimum": "-2", "maximum": "3"}, (-2.0, 4.0)),
        ({"type": "integer", "minimum": None, "maximum": None}, (-(2.0**24), 2.0**24 + 1)),
        ({"type": "category", "minimum": None, "maximum": None, "allowed": (1, 3, 7)}, (0.0, 3.0)),
    ],
)
def test_the_box_holds_every_value_that_the_contract_allows_and_no_other(more: Any, span: Any) -> None:
    for missing, end in (("refuse", 1.0), ("nan", 2.0)):
        contract = InputContract(tensor="input", features=(feature("x", missing=missing, **more),))
        found = bounds.Encoded.of(Forest((), 0.0, "identity", 1), contract).box()
        assert found == [span, (0.0, end)]


@pytest.mark.parametrize(
    ("place", "thresholds"),
    [
        (0, {1.5: 1.5, -INF: -INF, INF: INF}),
        (1, {1.5: 2.0, 2.0: 2.0, -1.5: -1.0, INF: INF, -INF: -INF}),
        (3, {0.0: 0.0, 1.0: 0.0, 1.5: 1.0, 3.0: 1.0, 7.0: 2.0, 8.0: 3.0, INF: 3.0, -INF: 0.0}),
    ],
)
def test_thresholds_lie_where_values_are(place: int, thresholds: dict[float, float]) -> None:
    for given, wanted in thresholds.items():
        assert bounds._encoded(given, CONTRACT.features[place]) == wanted


def test_a_row_is_seen_with_its_missing_values_beside_it() -> None:
    encoded = made_of(stump(0, 0, 1, 2))
    row = np.array([1.5, -3, np.nan, 7], np.float32)
    assert encoded.point(row).tolist() == [1.5, -3.0, -4.0, 2.0, 0.0, 0.0, 1.0, 0.0]
    assert encoded.point(np.array([1, 1, 1, 1], np.float32)).tolist() == [1, 1, 1, 0, 0, 0, 0, 0]
    for low, high, stands in ((None, None, 0.0), (None, "4", 0.0), ("-3", None, -3.0)):
        open_ended = InputContract(tensor="input", features=(feature("x", missing="nan", minimum=low, maximum=high),))
        lone = bounds.Encoded.of(Forest((), 0.0, "identity", 1), open_ended)
        assert lone.point(np.array([np.nan], np.float32)).tolist() == [stands, 1.0]


def test_how_far_rounding_goes_and_where_the_cut_off_lies() -> None:
    trees = (stump(0, 0, -3.0, 1.0), stump(1, 0, 0.25, 0.5))
    unit = 2.0**-24
    plain, logistic = made_of(*trees, base=-0.5), made_of(*trees, base=-0.5, link="logistic")
    assert plain.guard(-0.25) == pytest.approx(unit * 3 * 4.0 + 2 * unit * 0.25, rel=1e-12)
    assert logistic.guard(0.2) == pytest.approx(unit * 3 * 4.0 + 8 * unit / 0.2, rel=1e-12)
    assert logistic.guard(0.9) == pytest.approx(unit * 3 * 4.0 + 8 * unit / 0.1, rel=1e-12)
    assert plain.target(0.2) == pytest.approx(0.7)
    assert logistic.target(0.2) == pytest.approx(math.log(0.25) + 0.5)
    assert made_of(base=2.0).guard(0.0) == pytest.approx(unit * 2.0)
    assert made_of(stump(0, 0, 1e-4, -2e-4)).guard(0.0) == pytest.approx(unit * 2 * 2e-4, rel=1e-6)


def odd(seed: int) -> Forest:
    """A forest some of whose thresholds are infinite."""
    made, random = forest(seed, "identity", trees=3, depth=3), np.random.default_rng(seed)
    for tree in made.trees:
        tree.threshold[random.random(len(tree.threshold)) < 0.3] = random.choice([-INF, INF])
    return made


@pytest.mark.parametrize("seed", range(6))
def test_the_search_sees_the_same_sums_as_a_walk_down_each_tree(seed: int) -> None:
    made = odd(seed) if seed % 2 else forest(seed, "identity", trees=2, depth=3)
    encoded = bounds.Encoded.of(made, CONTRACT)
    random = np.random.default_rng(seed)
    for _ in range(25):
        row = [random.choice(values(made, place)) for place in range(4)]
        point = encoded.point(np.array(row, np.float32))
        assert made.base + encoded.sum_of(point) == pytest.approx(margin(made, row), abs=1e-6)
        down = float(np.ravel(encoded.down.eval(point[None, :]))[0])
        assert down == pytest.approx(-encoded.sum_of(point), abs=1e-12)


@pytest.mark.parametrize(("seed", "link"), [(1, "identity"), (2, "logistic"), (3, "identity"), (5, "odd"), (7, "odd")])
def test_the_range_is_that_of_all_rows(seed: int, link: Any) -> None:
    made = odd(seed) if link == "odd" else replace(forest(seed, link, trees=2), base=-0.7)
    low, high = bounds.output_range(bounds.Encoded.of(made, CONTRACT), STEPS)
    sums = [margin(made, row) for row in itertools.product(*(values(made, place) for place in range(4)))]
    wanted = made.scores(np.array([min(sums), max(sums)]))
    assert [low.low, low.high] == pytest.approx([wanted[0]] * 2, abs=1e-7)
    assert [high.low, high.high] == pytest.approx([wanted[1]] * 2, abs=1e-7)


def against(made: Forest, place: int, slope: str) -> tuple[float, float | None]:
    """The worst move against a declaration over all rows, and the threshold where it happens."""
    cuts = sorted({
        float(t) for tree in made.trees for t, f, left in zip(tree.threshold, tree.feature, tree.left, strict=True)
        if f == place and left >= 0 and -4 < t <= 4
    })  # fmt: skip
    worst, where = 0.0, None
    others = [values(made, i) if i != place else [0.0] for i in range(4)]
    for at in cuts:
        ends = (math.ceil(at) - 1.0, math.ceil(at)) if place == 1 else (beside(at, -INF), at)
        for rest in itertools.product(*others):
            below, above = (margin(made, [*rest[:place], v, *rest[place + 1 :]]) for v in ends)
            fall = below - above if slope == "increasing" else above - below
            if fall > worst + 1e-9:
                worst, where = fall, math.ceil(at) if place == 1 else at
    return worst, where


@pytest.mark.parametrize(
    ("seed", "place", "slope"),
    [(1, 0, "increasing"), (2, 1, "increasing"), (3, 2, "increasing"), (4, 0, "decreasing"), (6, 1, "decreasing")],
)
def test_the_worst_move_against_a_declaration_is_found_with_its_threshold(seed: int, place: int, slope: Any) -> None:
    made = forest(seed, trees=2)
    found = bounds.monotony(bounds.Encoded.of(made, CONTRACT), "abc"[place], slope, STEPS)
    worst, where = against(made, place, slope)
    assert (found.feature, found.slope) == ("abc"[place], slope)
    assert found.worst == pytest.approx(worst, abs=1e-7)
    assert found.at == where
    assert found.verdict == ("violated" if where is not None else "proven")


def test_a_move_is_counted_inside_the_contract_only_and_above_rounding_only() -> None:
    for threshold, verdict in (
        (-4.0, "proven"), (beside(-4, INF), "violated"), (4.0, "violated"), (beside(4, INF), "proven"),
    ):  # fmt: skip
        found = bounds.monotony(made_of(stump(0, threshold, 1.0, 0.0)), "a", "increasing", STEPS)
        assert (found.verdict, found.worst) == (verdict, 1.0 if verdict == "violated" else 0.0)
    # leaves are float32: from 0 on, so small a fall is told from none
    for fall, verdict in ((1.1e-9, "violated"), (0.9e-9, "proven")):
        assert bounds.monotony(made_of(stump(0, 0.0, fall, 0.0)), "a", "increasing", STEPS).verdict == verdict
    # two trees with one threshold count together, and one alone with another does not hide the worst
    trees = (stump(0, 1.0, 0.5, 0.0), stump(0, 1.0, 0.25, 0.0), stump(0, 2.0, 0.5, 0.0), stump(1, 1.0, 9.0, 0.0))
    found = bounds.monotony(made_of(*trees), "a", "increasing", STEPS)
    assert (found.worst, found.at) == (0.75, 1.0)
    assert bounds.monotony(made_of(*trees), "a", "decreasing", STEPS).verdict == "proven"
    # of two that are alike the first is named
    alike = (stump(0, 2.0, 0.5, 0.0), stump(0, 1.0, 0.5, 0.0))
    assert bounds.monotony(made_of(*alike), "a", "increasing", STEPS).at == 2.0
    # a value that is missing is no end of a move
    assert bounds.monotony(made_of(stump(2, 1.0, 0.0, 1.0, True)), "c", "increasing", STEPS).verdict == "proven"
    assert bounds.monotony(made_of(stump(2, 1.0, 0.0, 1.0, False)), "c", "increasing", STEPS).verdict == "proven"


def test_a_search_that_ends_early_says_open() -> None:
    made = forest(3, trees=12, depth=4)
    found = bounds.monotony(bounds.Encoded.of(made, CONTRACT), "a", "increasing", 0)
    assert (found.verdict, found.worst, found.at) == ("open", 0.0, None)


ONE = InputContract(
    tensor="input", features=(feature("a"), feature("b", type="integer"), feature("c"), feature("d", missing="nan"))
)
EITHER = tuple(Action(feature=name, direction="either", cost=cost) for name, cost in zip("abc", "214", strict=True))


@pytest.mark.parametrize(
    ("trees", "row", "high", "total", "changed"),
    [
        ([stump(0, 0, -1, 1)], [1, 0, 0, 0], 2.0, 2.0, [beside(0, -INF), 0, 0, 0]),
        ([stump(0, 2, 1, -1)], [1, 0, 0, 0], 2.0, 2.0, [2, 0, 0, 0]),
        ([stump(1, 0.5, -1, 1)], [0, 2, 0, 0], 2.0, 2.0, [0, 0, 0, 0]),
        ([stump(1, 2.5, 1, -1)], [0, 0, 0, 0], 3.0, 3.0, [0, 3, 0, 0]),
        ([stump(2, -0.5, -1, 1)], [0, 0, 0.25, 0], 3.0, 3.0, [0, 0, beside(-0.5, -INF), 0]),
        ([stump(0, 1, 1, -0.9), stump(1, 2.5, 1, -0.5)], [0, 0, 0, 0], 3.0, 5.0, [1, 3, 0, 0]),
        ([stump(1, 2, -1, 1)], [0, 2, 0, 0], 1.0, 1.0, [0, 1, 0, 0]),
        ([stump(0, 1, 1, -1), stump(1, 0.5, 0.25, 0.5), stump(2, 0.5, 0.25, 0.5)], [0, 0, 0, 0], 2.0, 2.0, None),
    ],
)
def test_the_smallest_change_is_the_nearest_value_beyond_the_threshold(
    trees: list[Tree], row: list[float], high: float, total: float, changed: list[float] | None
) -> None:
    encoded = bounds.Encoded.of(Forest(tuple(trees), 0.0, "identity", 4), ONE)
    given = np.array(row, np.float32)
    found = bounds.smallest_change(encoded, given, 0.6 if changed is None else 0.0, EITHER, 8.0, STEPS)
    assert found.high == pytest.approx(high, rel=1e-6)
    assert found.total == pytest.approx(total, rel=1e-6)
    # the reach was halved until the bracket was narrower than a hundredth
    assert found.low == pytest.approx(high * (1 - 2**-7), rel=1e-6)
    if changed is not None:
        assert found.row.tolist() == [float(np.float32(one)) for one in changed]
    assert found.row.dtype == np.float32
    assert given.tolist() == row
    # and not within a budget that is too small: proven up to the whole of it
    none = bounds.smallest_change(encoded, given, 0.6 if changed is None else 0.0, EITHER, high * 0.99, STEPS)
    assert (none.low, none.high, none.total, none.row) == (high * 0.99, None, None, None)


def test_a_change_surely_turns_the_decision_however_near_it_comes() -> None:
    # one of the two changes alone would bring the sum to the cut-off itself, and not below it
    two = bounds.Encoded.of(Forest((stump(0, 1, 1, -1), stump(1, 1, 1, -1)), 0.0, "identity", 4), ONE)
    found = bounds.smallest_change(two, np.zeros(4, np.float32), 0.0, EITHER, 8.0, STEPS)
    assert (found.low, found.high, found.total, found.row.tolist()) == (0.0, 2.0, 3.0, [1, 1, 0, 0])
    # a row on a threshold has to step below it
    one = bounds.Encoded.of(Forest((stump(0, 1, -1, 1),), 0.0, "identity", 4), ONE)
    found = bounds.smallest_change(one, np.array([1, 0, 0, 0], np.float32), 0.0, EITHER, 8.0, STEPS)
    assert (found.high, found.row.tolist()) == (2 * (1 - beside(1, -INF)), [beside(1, -INF), 0, 0, 0])


def test_a_change_keeps_to_its_direction_to_the_contract_and_to_what_is_there() -> None:
    up, down = (
        tuple(Action(feature=name, direction=way, cost="1") for name in "abd") for way in ("increase", "decrease")
    )
    for tree, row, forbidden, allowed in (
        (stump(0, 0, -1, 1), [1, 0, 0, 0], up, down), (stump(0, 2, 1, -1), [1, 0, 0, 0], down, up),
        (stump(1, 0, -1, 1), [0, 1, 0, 0], up, down), (stump(1, 2, 1, -1), [0, 1, 0, 0], down, up),
        (stump(3, 2, 1, -1), [0, 0, 0, 1], down, up),
    ):  # fmt: skip
        encoded = bounds.Encoded.of(Forest((tree,), 0.0, "identity", 4), ONE)
        given = np.array(row, np.float32)
        refused = bounds.smallest_change(encoded, given, 0.0, forbidden, 5.0, STEPS)
        assert (refused.low, refused.high) == (5.0, None)
        assert bounds.smallest_change(encoded, given, 0.0, allowed, 5.0, STEPS).high is not None
    # the way out lies beyond the contract, or the value is missing
    for tree, row in ((stump(0, beside(4, INF), 1, -1), [1, 0, 0, 0]), (stump(3, 2, 1, -1, True), [0, 0, 0, math.nan])):
        encoded = bounds.Encoded.of(Forest((tree,), 0.0, "identity", 4), ONE)
        found = bounds.smallest_change(encoded, np.array(row, np.float32), 0.0, up, 9.0, STEPS)
        assert (found.low, found.high) == (9.0, None)
    # the contract's own end is still inside
    encoded = bounds.Encoded.of(Forest((stump(0, 4, 1, -1),), 0.0, "identity", 4), ONE)
    assert bounds.smallest_change(encoded, np.zeros(4, np.float32), 0.0, up, 9.0, STEPS).high == 4.0


@pytest.mark.parametrize("way", [-1, 1])
def test_what_lies_within_rounding_of_the_cut_off_stays_open(way: int) -> None:
    """The served sum is one of float32: a change that leaves it as near as this turns nothing for sure."""
    made = Forest((stump(0, 1, 1, -1),), 0.0, "identity", 4)
    encoded = bounds.Encoded.of(made, ONE)
    cut = -1.0 + way * 0.5 * encoded.guard(-1.0)
    found = bounds.smallest_change(encoded, np.zeros(4, np.float32), cut, EITHER, 8.0, STEPS)
    assert (found.low, found.high, found.row) == (0.0, None, None)
    sure = bounds.smallest_change(encoded, np.zeros(4, np.float32), -1.0 + 1.5 * encoded.guard(-1.0), EITHER, 8, STEPS)
    assert sure.high == 2.0
    never = bounds.smallest_change(encoded, np.zeros(4, np.float32), -1.0 - 1.5 * encoded.guard(-1.0), EITHER, 8, STEPS)
    assert (never.low, never.high) == (8.0, None)


@pytest.mark.parametrize("seed", range(8))
def test_the_bracket_holds_the_cheapest_of_all_changes(seed: int) -> None:
    made, random = forest(seed), np.random.default_rng(seed + 1)
    row = np.array([random.uniform(-4, 4), random.integers(-4, 5), np.nan if seed % 3 == 0 else 1.25, 3], np.float32)
    cut = made.scores(np.array([margin(made, row.astype(float)) - 0.3]))[0]
    found = bounds.smallest_change(bounds.Encoded.of(made, CONTRACT), row, cut, ACTIONS, 4.0, STEPS)
    truth = oracle(made, row.astype(float), math.log(cut / (1 - cut)), 4.0)
    if math.isinf(truth):
        assert (found.low, found.high) == (4.0, None)
    else:
        assert found.low <= truth * (1 + 1e-9)
        assert truth <= found.high * (1 + 1e-6)
        assert found.high - found.low <= 0.01 * found.high + 4.0 / 2**13


def test_changes_that_are_not_needed_are_taken_back_the_dearest_first() -> None:
    trees = (stump(0, 1, 1, -1), stump(1, 1, 1, -1), stump(2, 1, 1, -1))
    encoded = bounds.Encoded.of(Forest(trees, 0.0, "identity", 4), ONE)
    point = encoded.point(np.zeros(4, np.float32))
    nearest = point.copy()
    nearest[:3] = 1
    costs = bounds._places(ONE, EITHER)
    assert {place: action.feature for place, action in costs.items()} == {0: "a", 1: "b", 2: "c"}
    # two of three are enough to come below 0: the one that costs 4 goes
    assert bounds._spare(encoded, point, nearest, costs, 0.0)[:3].tolist() == [1, 1, 0]
    assert bounds._spare(encoded, point, nearest, costs, -2.0)[:3].tolist() == [1, 1, 1]
    assert bounds._spare(encoded, point, nearest, costs, -1.0)[:3].tolist() == [1, 1, 1], "at it is not below it"
    assert bounds._spare(encoded, point, nearest, costs, 4.0)[:3].tolist() == [0, 0, 0]
    assert nearest[:3].tolist() == [1, 1, 1]


def test_the_dearest_is_what_moves_furthest_and_not_what_lies_furthest() -> None:
    trees = (stump(0, 3, 1, -1), stump(1, 0, 1, -1))
    encoded = bounds.Encoded.of(Forest(trees, 0.0, "identity", 4), ONE)
    point = encoded.point(np.array([2.5, -3, 0, 0], np.float32))
    nearest = point.copy()
    nearest[:2] = 3, 0
    # a moves by half a unit at 2, b by three at 1
    assert bounds._spare(encoded, point, nearest, bounds._places(ONE, EITHER), 0.5)[:2].tolist() == [3, -3]


def test_a_dearer_change_replaces_none_that_is_known() -> None:
    row = np.zeros(4, np.float32)
    point = np.zeros(8)
    costs = bounds._places(ONE, EITHER)
    first = bounds._cheaper(row, point, np.array([1.0, 0, 0.25, 0, 0, 0, 0, 0]), costs, bounds.Change(0.0))
    assert (first.low, first.high, first.total, first.row.tolist()) == (0.0, 2.0, 3.0, [1, 0, 0.25, 0])
    dearer = bounds._cheaper(row, point, np.array([0, 0, 0.75, 0, 0, 0, 0, 0.0]), costs, first)
    alike = bounds._cheaper(row, point, np.array([0, 2.0, 0, 0, 0, 0, 0, 0]), costs, first)
    cheaper = bounds._cheaper(row, point, np.array([0, -1.0, 0, 0, 0, 0, 0, 0]), costs, first)
    assert (dearer, alike) == (first, first)
    assert (cheaper.high, cheaper.total, cheaper.row.tolist()) == (1.0, 1.0, [0, -1, 0, 0])
    assert row.tolist() == [0, 0, 0, 0]


def test_what_can_be_reached_lies_around_the_row_and_within_the_contract() -> None:
    encoded = bounds.Encoded.of(Forest((), 0.0, "identity", 4), ONE)
    point = encoded.point(np.array([1, 2, -3.5, 0], np.float32))

    def after(value: float) -> float:
        return float(np.nextafter(value, INF))

    box = bounds._reach(encoded, point, bounds._places(ONE, EITHER), 3.0)
    assert box == [
        (-0.5, after(2.5)), (-1.0, 5.0), (-4.0, after(-2.75)), (0.0, after(0)),
        *[(0.0, after(0))] * 4,
    ]  # fmt: skip
    one = {"a": "increase", "b": "decrease", "c": "increase"}
    costs = bounds._places(ONE, tuple(Action(feature=name, direction=way, cost="2") for name, way in one.items()))
    box = bounds._reach(encoded, point, costs, 3.0)
    assert box[:3] == [(1.0, after(2.5)), (1.0, after(2.0)), (-3.5, after(-2.0))]
    box = bounds._reach(encoded, point, costs, 100.0)
    assert box[:3] == [(1.0, beside(4, INF)), (-4.0, after(2.0)), (-3.5, beside(4, INF))]
    # a row beyond the contract is in its own box
    beyond = encoded.point(np.array([6, 0, 0, 0], np.float32))
    assert bounds._reach(encoded, beyond, bounds._places(ONE, EITHER), 3.0)[0] == (4.5, after(6.0))
    # a value at the contract's end stays in its own box
    edge = encoded.point(np.array([4, 4, 4, 4], np.float32))
    assert bounds._reach(encoded, edge, costs, 1.0)[:2] == [(4.0, beside(4, INF)), (4.0, after(4.0))]


def test_a_forest_that_its_missing_values_make_too_large_is_refused() -> None:
    trees = (stump(2, 0, 1, 2), stump(0, 0, 1, 2))
    # a split, one more for the value that may be missing, and three leaves; then a split and two leaves
    for limit, fits in ((8, True), (7, False), (4, False)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(bounds, "NODES_LIMIT", limit)
            if fits:
                made_of(*trees)
            else:
                with pytest.raises(InvalidInputError, match=f"more than {limit} nodes"):
                    made_of(*trees)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounds, "NODES_LIMIT", 5)
        whole = made_of(trees[0])
        rows = ([0, 0, -1, 1], [0, 0, 1, 1], [0, 0, math.nan, 1])
        assert [whole.sum_of(whole.point(np.array(row, np.float32))) for row in rows] == [1, 2, 2]
