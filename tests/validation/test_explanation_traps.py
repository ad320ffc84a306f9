"""Every known trap of reason codes, one named test each: what must hold so that a told reason is a true one."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from strongroom.encoding import canonical
from strongroom.errors import InvalidInputError
from strongroom.registry.explanation import Explanation, ReasonGroup
from strongroom.validation.batteries import reasons, reasons_shown
from strongroom.validation.batteries.artifact import open_model
from strongroom.validation.batteries.reason_ranking import Ranking, Words, agreement, jaccard
from strongroom.validation.catalogue import Basis
from strongroom.validation.jobs import pd_battery, profile
from strongroom.validation.reporting.report import render
from strongroom.validation.results import BatteryResults, NotEvaluable, evaluable
from strongroom.validation.statistics.tables import feature_rows, read_table
from strongroom.validation.trees.attribution import contributions
from strongroom.validation.trees.forests import Forest, Tree, forest_of
from strongroom.vocabulary import digest_of
from tests.validation.worked import package

VECTORS = {
    v["id"]: v
    for v in json.loads((Path(__file__).parents[1] / "vectors" / "validation.json").read_text())["vectors"]
    if v["id"].startswith("xai.")
}
LINEAR = VECTORS["xai.reason_codes_linear"]
WORST = 1.0


def stump(feature: int, threshold: float, low: float, high: float, *, missing_left: bool = True) -> Tree:
    """Below the threshold `low`, else `high`."""
    return Tree(
        left=np.array([1, -1, -1], np.int32), right=np.array([2, -1, -1], np.int32),
        feature=np.array([feature, 0, 0], np.int32), threshold=np.array([threshold, 0, 0], np.float32),
        missing_left=np.array([missing_left, False, False]), value=np.array([0.0, low, high]), cover=None,
    )  # fmt: skip


def wish(codes: dict[str, tuple[str, ...]], reference: tuple[tuple[str, ...], ...], **more: Any) -> Explanation:
    groups = tuple(ReasonGroup(code=code, features=features) for code, features in codes.items())
    return Explanation(v=2, method="interventional", code_map="1", groups=groups, reference=reference, **more)


def told(forest: Forest, asked: Explanation, names: tuple[str, ...], row: list[float]) -> list[str]:
    """Codes of one applicant."""
    ranking = Ranking.of(asked, names)
    values = contributions(asked, forest).values(np.array([row], np.float32))
    return [ranking.codes[n] for n in ranking.principal(ranking.weights(values))[0]]


@cache
def worked() -> tuple[Any, bytes, npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The contract of the card model with reason codes, its file, and rows with their scores."""
    made = package("xgboost")
    rows = feature_rows(read_table(made.inputs["validation.parquet"], "validation"), made.contract.input, "validation")
    predict, _, _ = open_model(made.contract, made.inputs[made.contract.model_input])
    scores = predict(rows)
    near = np.flatnonzero((scores < 0.3) & (scores > 0.25))[:16]
    names = [feature.name for feature in made.contract.input.features]
    groups: dict[str, list[str]] = {}
    for name in names:
        code = "late" if name.startswith("PAY_") and "AMT" not in name else name[:8]
        groups.setdefault(code, []).append(name)
    asked = wish(
        {code: tuple(found) for code, found in groups.items()},
        tuple(tuple(str(float(x)) for x in rows[n]) for n in near),
    )
    return msgspec.structs.replace(made.contract, explanation=asked), made.inputs["model.onnx"], rows, scores


@cache
def battery_tests(limit: int = 3000) -> tuple[dict[str, Any], Any]:
    contract, model, rows, scores = worked()
    predict, _, _ = open_model(contract, model)
    basis = Basis("validation", digest_of(b"rows"), limit)
    found = reasons.explanation_tests(contract, model, predict, rows[:limit], scores[:limit], basis)
    return {test.rule: test for test in found.tests}, found.charts


def test_vector_topk_jaccard() -> None:
    vector = VECTORS["xai.topk_jaccard"]
    found = jaccard(vector["input"]["a"], vector["input"]["b"])
    assert found == pytest.approx(vector["expected"]["jaccard"], abs=vector["tolerance"])
    assert jaccard([], []) == 1.0
    assert jaccard([1], []) == 0.0
    assert isinstance(agreement([], []), NotEvaluable)


@pytest.mark.parametrize("name", LINEAR["input"]["references"])
def test_vector_reason_codes_of_a_linear_model(name: str) -> None:
    """The ranking, on the contributions of a linear model: coefficient times distance from the reference."""
    given, expected = LINEAR["input"], LINEAR["expected"]
    beta, x, against = (np.array(part) for part in (given["beta"], given["x"], given["references"][name]))
    values = beta * (x - against)
    assert values == pytest.approx(expected["phi"][name], abs=LINEAR["tolerance"])
    assert beta @ x - beta @ against == pytest.approx(expected["f_minus_base"][name], abs=LINEAR["tolerance"])
    names = tuple(given["names"])
    ranking = Ranking.of(wish({one: (one,) for one in names}, (tuple(map(str, against)),)), names)
    first = ranking.principal(ranking.weights(values[None, :]))[0]
    assert [ranking.codes[n] for n in first] == expected["top4"][name]


def test_reference_point() -> None:
    """The same applicant gets another first reason against another background, so the reference is approved."""
    forest = Forest((stump(0, 5, 0.0, 1.0), stump(1, 5, 0.0, 0.6)), 0.0, "identity", 2)
    names, codes = ("a", "b"), {"A": ("a",), "B": ("b",)}
    row = [9.0, 9.0]
    assert told(forest, wish(codes, (("1", "1"),)), names, row) == ["A", "B"]
    assert told(forest, wish(codes, (("9", "1"),)), names, row) == ["B"]
    one, other = (canonical(wish(codes, (line,))) for line in (("1", "1"), ("9", "1")))
    assert digest_of(one) != digest_of(other)


def test_correlation() -> None:
    """Two features that say one thing are summed in their group before anything is ranked."""
    forest = Forest((stump(0, 5, 0.0, 0.5), stump(1, 5, 0.0, 0.5), stump(2, 5, 0.0, 0.7)), 0.0, "identity", 3)
    names, against, row = ("util_1m", "util_3m", "late"), (("1", "1", "1"),), [9.0, 9.0, 9.0]
    apart = wish({"U1": ("util_1m",), "U3": ("util_3m",), "L": ("late",)}, against)
    together = wish({"U": ("util_1m", "util_3m"), "L": ("late",)}, against)
    assert told(forest, apart, names, row)[0] == "L"
    assert told(forest, together, names, row)[0] == "U"
    # and a copy of a feature that the model does not use gets nothing
    copied = Forest((stump(0, 5, 0.0, 1.0),), 0.0, "identity", 2)
    pair = wish({"A": ("a",), "B": ("b",)}, (("1", "1"), ("9", "9")))
    assert told(copied, pair, ("a", "b"), [9.0, 9.0]) == ["A"]


def test_ties() -> None:
    """Equal weights rank by code, whatever the order of groups and features; what speaks for him is no reason."""
    forest = Forest((stump(0, 5, 0.0, 0.5), stump(1, 5, 0.0, 0.5), stump(2, 5, 0.0, -0.9)), 0.0, "identity", 3)
    against = (("1", "1", "1"),)
    for codes in ({"B": ("x",), "A": ("y",), "C": ("z",)}, {"C": ("z",), "A": ("y",), "B": ("x",)}):
        assert told(forest, wish(codes, against), ("x", "y", "z"), [9.0, 9.0, 9.0]) == ["A", "B"]


def test_scale() -> None:
    """What is explained is the score that is cut: the contributions add up to it after the link function."""
    contract, model, rows, scores = worked()
    forest = forest_of(contract, model)
    made = contributions(contract.explanation, forest)
    values = made.values(rows[:300])
    assert reasons.additivity_gap(forest, made.base, values, scores[:300]) < 1e-6
    # the sum of leaves is not the score, and neither is a score of another calibration
    assert np.abs(made.base + values.sum(axis=1) - scores[:300]).max() > 0.1
    assert reasons.additivity_gap(forest, made.base, values, scores[:300] ** np.float32(0.9)) > 1e-3


def test_noise() -> None:
    """The method has none: the same bits whatever the batch. What noise in the data does is measured."""
    contract, model, rows, _ = worked()
    made = contributions(contract.explanation, forest_of(contract, model))
    whole = made.values(rows[:64])
    assert all((made.values(rows[n : n + 1]) == whole[n]).all() for n in range(64))
    moved = reasons.noised(rows[:200], contract, 1)
    assert (moved == reasons.noised(rows[:200], contract, 1)).all()
    counts = [n for n, feature in enumerate(contract.input.features) if feature.type != "float"]
    assert (moved[:, counts] == rows[:200, counts]).all()
    assert (moved != rows[:200]).any()
    tests, _ = battery_tests()
    assert float(tests["explanation.repeat"].figure) == 1.0
    assert 0.5 < float(tests["explanation.noise"].figure) <= 1.0
    assert 0.2 < float(tests["explanation.background"].figure) <= 1.0


def test_policy_rules() -> None:
    """Who is refused by a rule gets the rule as the reason, before any model: no codes are made for him or recorded."""
    from strongroom.serving.replay import read_decision
    from tests.serving import test_explaining as serving

    model = serving.ready()
    house = serving.House(model)
    asked = serving.ask(model, [5e5, -300.0, 1.0, 0.5], ["one"])
    predicted = house.decider().predict([asked])
    outcome = predicted.outcomes[0]
    committed = house.decider().commit(predicted.outcomes, 1_700_000_000_000_000)
    assert committed
    assert isinstance(asked.error, InvalidInputError)
    assert outcome.explained is None
    leaf = next(iter(house.shard.reader()))
    answer = read_decision(leaf, serving.key_of(house, "one")).answer
    assert answer.status == "refused"
    assert [reason.rule for reason in answer.reasons] == ["range"]
    assert answer.explanation is msgspec.UNSET


def test_missing_values() -> None:
    """A group whose weightiest feature is missing may have a code of its own, and it is no other group's code."""
    with pytest.raises(InvalidInputError, match="codes of missing values are others"):
        Explanation(
            v=2, method="interventional", code_map="1", reference=(("1", "1"),),
            groups=(ReasonGroup(code="A", features=("a",), missing="B"), ReasonGroup(code="B", features=("b",))),
        )  # fmt: skip
    forest = Forest((stump(0, 5, 0.0, 1.0, missing_left=False),), 0.0, "identity", 1)
    asked = wish({"A": ("a",)}, (("1",),))
    made = contributions(asked, forest)
    assert made.values(np.array([[np.nan]], np.float32))[0, 0] == pytest.approx(WORST)
    # noise leaves a missing value missing
    contract, _, rows, _ = worked()
    gaps = rows[:5].copy()
    gaps[0] = np.nan
    assert np.isnan(reasons.noised(gaps, contract, 0)[0]).all()


def test_mapping() -> None:
    """Every feature maps to one code, none is left out, and a protected attribute cannot be a feature at all."""
    contract, *_ = worked()
    names = tuple(feature.name for feature in contract.input.features)
    asked = contract.explanation
    with pytest.raises(InvalidInputError, match="exactly one group"):
        msgspec.structs.replace(asked, groups=asked.groups[1:]).demand_features(names)
    twice = (*asked.groups, ReasonGroup(code="again", features=(names[0],)))
    with pytest.raises(InvalidInputError, match="exactly one group"):
        msgspec.structs.replace(asked, groups=twice).demand_features(names)
    with pytest.raises(InvalidInputError, match="protected"):
        msgspec.structs.replace(contract, protected=(names[0],))


def test_faithfulness() -> None:
    """Setting the told reasons to the reference moves the score; setting as many others moves it less."""
    tests, charts = battery_tests()
    assert float(tests["explanation.additivity"].figure) < 1e-6
    assert float(tests["explanation.faithfulness"].figure) > 0.9
    titles = [chart.title for chart in charts]
    assert titles[:2] == ["Weight of the groups", "How often a code is told"]
    assert titles[-1] == "Deletion curve"
    assert all(title.startswith("What ") for title in titles[2:-1])
    assert len(titles) == 6
    contract, model, rows, scores = worked()
    predict, _, _ = open_model(contract, model)
    chosen = rows[np.argsort(-scores)[:60]]
    ranking = Ranking.of(contract.explanation, [feature.name for feature in contract.input.features])
    weights = ranking.weights(contributions(contract.explanation, forest_of(contract, model)).values(chosen))
    reference = np.array(contract.explanation.rows()[:4], np.float32)
    true = evaluable(reasons.faithfulness(predict, chosen, reference, ranking, ranking.principal(weights)))
    # reasons that a liar turns round are found out
    lies = [tuple(np.argsort(line, kind="stable")[:4].tolist()) for line in weights]
    false = evaluable(reasons.faithfulness(predict, chosen, reference, ranking, lies))
    assert true.share > 0.9 > 0.2 > false.share
    assert list(true.principal) == sorted(true.principal)
    assert true.principal[-1] > true.others[-1]


@pytest.mark.parametrize(("adverse", "told"), [("high", [False, True, True, True]), ("low", [True, True, True, False])])
def test_whoever_is_not_favoured_is_looked_at(adverse: Any, told: list[bool]) -> None:
    contract, *_ = worked()
    asked = msgspec.structs.replace(contract.explanation, adverse=adverse)
    scores = np.array([0.1, 0.3, 0.4, 0.6], np.float64)
    assert reasons._unfavoured(contract, asked, scores).tolist() == told


def test_the_battery_and_its_report_tell_them() -> None:
    contract, _, _, _ = worked()
    made = dict(package("xgboost").inputs) | {"contract.json": canonical(contract)}
    made["profile.json"] = profile.run(made, {"isa": "x86_64-avx2"})["profile.json"]
    first = pd_battery.run(made, {"manifest": "ab" * 32})["results.json"]
    results = BatteryResults.decode(first)
    assert {test.rule for test in results.tests if test.section == "explanation"} == set(reasons.RULES)
    page = render(first).decode()
    assert "Explanations" in page
    assert "<title>Deletion curve</title>" in page
    assert "<title>Weight of the groups</title>" in page
    assert "Groups behind the codes" in page


def test_what_the_codes_say_of_a_whole_sample_is_counted_by_hand() -> None:
    contract, _, _, _ = worked()
    weights = np.array([[2.0, -1.0, 0.5], [1.0, 3.0, -0.5], [4.0, -2.0, 0.0]])
    principal = [(0, 2), (1, 0), (0,)]
    words = Words.of(contract, contract.explanation)
    table = reasons_shown.groups_told(contract, ("a", "b", "c"), weights, principal, words)
    assert [row[0] for row in table.rows] == ["a", "b", "c"]
    assert [float(text or "nan") for text in table.rows[1][2:]] == pytest.approx([2.0, 0.0, 1 / 3, 1 / 3])
    assert [float(text or "nan") for text in table.rows[0][4:]] == pytest.approx([2 / 3, 1.0])
    chart = reasons_shown.told_chart(("a", "b", "c"), principal, 3, words)
    assert [float(y) for _, y in chart.series[0].points] == pytest.approx([1.0, 1 / 3, 1 / 3])
    assert chart.words.endswith("a, b, c.")


def test_a_course_is_a_mean_over_people_and_small_parts_are_not_told() -> None:
    contract, _, _, _ = worked()
    width = len(contract.input.features)
    rows = np.zeros((200, width), np.float32)
    rows[:, 0] = np.repeat(np.arange(20), 10)
    rows[195:, 0] = 1000.0
    rows[:5, 0] = np.nan
    values = np.zeros((200, width))
    values[:, 0] = -2.0 * np.nan_to_num(rows[:, 0])
    (chart,) = reasons_shown.courses(contract, rows, values, Words.of(contract, contract.explanation), -1.0)
    points = [(float(x), float(y)) for x, y in chart.series[0].points]
    assert all(y == pytest.approx(2 * x, rel=1e-3) for x, y in points)
    assert len(points) <= reasons_shown.PARTS
    assert points == sorted(points)
    few = reasons_shown._course(np.arange(9.0), np.arange(9.0))
    assert few == ()
    assert reasons_shown._course(np.full(3, np.nan), np.zeros(3)) == ()
