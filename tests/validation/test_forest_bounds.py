"""Proofs about forests, held against all cells of small ones: bounds contain the truth, planted faults are found."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.registry.contract import Feature, InputContract
from strongroom.registry.robustness import Action
from strongroom.validation.trees.forests import Forest, Tree

bounds: Any = pytest.importorskip(
    "strongroom.validation.trees.forest_bounds", reason="needs dtai-veritas", exc_type=ImportError
)

STEPS = 4000


def feature(name: str, **more: Any) -> Feature:
    given = {"type": "float", "minimum": "-4", "maximum": "4", **more}
    return Feature(name=name, unit="units", purpose="test", legal_basis="none", **given)


CONTRACT = InputContract(
    tensor="input",
    features=(
        feature("a"), feature("b", type="integer"), feature("c", missing="nan"),
        feature("d", type="category", minimum=None, maximum=None, allowed=(1, 3, 7)),
    ),
)  # fmt: skip
ACTIONS = (
    Action(feature="a", direction="either", cost="2"),
    Action(feature="b", direction="decrease", cost="0.5"),
    Action(feature="c", direction="increase", cost="1"),
)


def tree(random: np.random.Generator, depth: int, width: int = 4) -> Tree:
    """A full tree with round thresholds, so that many coincide."""
    count = 2 ** (depth + 1) - 1
    inner = np.arange(count) < 2**depth - 1
    places = np.arange(count)
    return Tree(
        left=np.where(inner, 2 * places + 1, -1).astype(np.int32),
        right=np.where(inner, 2 * places + 2, -1).astype(np.int32),
        feature=random.integers(0, width, count).astype(np.int32),
        threshold=(random.integers(-8, 14, count) / 2).astype(np.float32),
        missing_left=random.random(count) < 0.5,
        value=np.where(inner, 0.0, random.normal(size=count).astype(np.float32)).astype(np.float64),
    )


def forest(seed: int, link: Any = "logistic", trees: int = 3, depth: int = 2) -> Forest:
    random = np.random.default_rng(seed)
    return Forest(tuple(tree(random, depth) for _ in range(trees)), 0.1, link, 4)


def margin(made: Forest, row: Any) -> float:
    """By walking down every tree: the oracle shares no code with what it judges."""
    total = made.base
    for one in made.trees:
        node = 0
        while one.left[node] >= 0:
            value = row[one.feature[node]]
            left = bool(one.missing_left[node]) if math.isnan(value) else value < one.threshold[node]
            node = int(one.left[node] if left else one.right[node])
        total += float(one.value[node])
    return total


def values(made: Forest, place: int, *also: float) -> list[float]:
    """One value, or more, of every cell: at each threshold, just below it, and the ends of the box."""
    if place == 3:
        return [1.0, 3.0, 7.0]
    if place == 1:
        return [float(v) for v in range(-4, 5)]
    cuts = {float(t) for one in made.trees for t, f, left in zip(one.threshold, one.feature, one.left, strict=True)
            if f == place and left >= 0}  # fmt: skip
    found = {-4.0, 4.0, *also, *cuts, *(float(np.nextafter(np.float32(c), np.float32(-np.inf))) for c in cuts)}
    return sorted(v for v in found if -4 <= v <= 4) + ([math.nan] if place == 2 else [])


def score(made: Forest, total: float) -> float:
    return 1 / (1 + math.exp(-total)) if made.link == "logistic" else total


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["logistic", "identity"]))
def test_the_range_contains_every_score_and_is_attained(seed: int, link: Any) -> None:
    made = forest(seed, link)
    low, high = bounds.output_range(bounds.Encoded.of(made, CONTRACT), STEPS)
    scores = [score(made, margin(made, row)) for row in itertools.product(*(values(made, i) for i in range(4)))]
    assert low.low - 1e-12 <= min(scores) == pytest.approx(low.high, abs=1e-12)
    assert high.high + 1e-12 >= max(scores) == pytest.approx(high.low, abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["a", "b", "c"]), st.sampled_from(["increasing", "decreasing"]))
def test_monotony_is_what_all_pairs_of_cells_say(seed: int, name: str, slope: Any) -> None:
    made, place = forest(seed, trees=2), "abc".index(name)
    found = bounds.monotony(bounds.Encoded.of(made, CONTRACT), name, slope, STEPS)
    others = [values(made, i) if i != place else [0.0] for i in range(4)]
    way = [v for v in values(made, place) if not math.isnan(v)]
    against = 0.0
    for rest in itertools.product(*others):
        line = [margin(made, [*rest[:place], v, *rest[place + 1 :]]) for v in way]
        moves = np.diff(line) if slope == "increasing" else -np.diff(line)
        against = max(against, float(-moves.min()))
    assert found.verdict == ("violated" if against > 1e-9 else "proven")
    assert found.worst == pytest.approx(against, abs=1e-9)


def oracle(made: Forest, row: Any, target: float, budget: float) -> float:
    """The cheapest change over all cells; infinite where there is none within the budget."""
    ways = []
    for place in range(4):
        if place == 3 or math.isnan(row[place]):
            ways.append([float(row[place])])
            continue
        spare = {"either": lambda d: True, "increase": lambda d: d >= 0, "decrease": lambda d: d <= 0}
        action = ACTIONS[place]
        ways.append([
            v for v in values(made, place, float(row[place]))
            if not math.isnan(v) and spare[action.direction](v - row[place])
            and abs(v - row[place]) * float(action.cost) <= budget
        ])  # fmt: skip
    costs = [
        max(abs(v - row[i]) * float(ACTIONS[i].cost) for i, v in enumerate(way[:3]) if not math.isnan(row[i]))
        for way in itertools.product(*ways)
        if margin(made, way) < target
    ]
    return min(costs, default=math.inf)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.5, 6))
def test_the_smallest_change_lies_within_its_bracket(seed: int, budget: float) -> None:
    made = forest(seed)
    random = np.random.default_rng(seed + 1)
    row = np.array(
        [random.uniform(-4, 4), random.integers(-4, 5), np.nan if random.random() < 0.3 else random.uniform(-4, 4),
         random.choice([1, 3, 7])], np.float32,
    )  # fmt: skip
    cut = score(made, margin(made, row.astype(float)) - 0.3)
    found = bounds.smallest_change(bounds.Encoded.of(made, CONTRACT), row, cut, ACTIONS, budget, STEPS)
    truth = oracle(made, row.astype(float), math.log(cut / (1 - cut)), budget)
    if math.isinf(truth):
        assert found.high is None
        assert found.low == pytest.approx(budget)
        return
    assert found.low <= truth + 1e-9
    assert found.high is not None
    assert truth <= found.high * (1 + 1e-9) + 1e-9
    assert found.high - found.low <= 0.02 * found.high + budget / 1000
    changed = found.row.astype(float)
    assert margin(made, changed) < math.log(cut / (1 - cut))
    spent = [abs(changed[i] - float(row[i])) * float(ACTIONS[i].cost) for i in range(3) if not math.isnan(row[i])]
    assert max(spent) == pytest.approx(found.high, rel=1e-6)
    assert sum(spent) == pytest.approx(found.total, rel=1e-6)
    assert changed[3] == row[3]
    assert changed[1] == round(changed[1])


def test_a_search_that_ends_early_leaves_a_bracket_open_and_never_a_wrong_one() -> None:
    made = forest(3, trees=12, depth=4)
    row = np.array([0.5, 1, 0.5, 3], np.float32)
    cut = score(made, margin(made, row.astype(float)) - 0.4)
    encoded = bounds.Encoded.of(made, CONTRACT)
    rough = bounds.smallest_change(encoded, row, cut, ACTIONS, 4.0, 10)
    fine = bounds.smallest_change(encoded, row, cut, ACTIONS, 4.0, 50_000)
    assert rough.low <= (fine.high or 4.0) + 1e-9
    assert rough.high is None or rough.high >= fine.low - 1e-9


def test_a_planted_fall_is_found_in_a_model_that_was_trained_to_rise() -> None:
    xgboost = pytest.importorskip("xgboost")
    from strongroom.validation.trees.forests import read_forest

    random = np.random.default_rng(5)
    x = random.uniform(-4, 4, (2000, 3)).astype(np.float32)
    y = (x[:, 0] + np.abs(x[:, 1]) + random.normal(size=2000) > 1).astype(int)
    names = InputContract(tensor="input", features=tuple(feature(n) for n in "xyz"))

    def trained(constraint: str) -> Any:
        model = xgboost.XGBClassifier(
            n_estimators=30, max_depth=3, monotone_constraints=constraint, n_jobs=1, random_state=0
        ).fit(x, y)
        data = bytes(model.get_booster().save_raw("ubj"))
        return bounds.Encoded.of(read_forest(data, "xgboost", "probability", 0, 3), names)

    assert bounds.monotony(trained("(1,0,0)"), "x", "increasing", STEPS).verdict == "proven"
    found = bounds.monotony(trained("(1,0,0)"), "y", "increasing", STEPS)
    assert found.verdict == "violated"
    assert found.worst > 0.1


def test_the_served_model_keeps_to_what_is_proven_about_it() -> None:
    """A real forest of 120 trees: every sampled score lies in the range, every found change turns the served score."""
    from strongroom.validation.batteries.artifact import open_model
    from strongroom.validation.jobs.profile import probe_rows
    from strongroom.validation.statistics.tables import feature_rows, read_table
    from strongroom.validation.trees.forests import forest_of
    from tests.validation.worked import package

    made = package("xgboost")
    contract, model = made.contract, made.inputs["model.onnx"]
    predict, _, _ = open_model(contract, model)
    encoded = bounds.Encoded.of(forest_of(contract, model), contract.input)
    rows = feature_rows(read_table(made.inputs["validation.parquet"], "validation"), contract.input, "validation")
    low, high = bounds.output_range(encoded, 2000)
    scores = predict(probe_rows(rows, contract.input))
    assert low.low <= scores.min()
    assert scores.max() <= high.high
    actions = (
        Action(feature="LIMIT_BAL", direction="increase", cost="0.00001"),
        Action(feature="PAY_AMT1", direction="increase", cost="0.001"),
    )
    refused = rows[predict(rows) >= 0.5][:6]
    turned = 0
    for row in refused:
        found = bounds.smallest_change(encoded, row, 0.5, actions, 5.0, 2000)
        if found.row is not None:
            turned += 1
            assert predict(found.row[None, :])[0] < 0.5
    assert turned
