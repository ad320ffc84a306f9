"""AUCs of few defaults and of grades, and the distance that chance would bring: figures by other means, and limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from strongroom.validation.batteries import pd
from strongroom.validation.batteries.scored import Scored
from strongroom.validation.battery_rules import judge
from strongroom.validation.catalogue import Basis
from strongroom.validation.default_rules import RULES
from strongroom.validation.results import NotEvaluable
from strongroom.validation.results import TestResult as Result
from strongroom.validation.statistics import discrimination
from strongroom.validation.statistics.critical import critical_distance, distance_p_value
from strongroom.validation.statistics.grading import Scale
from strongroom.validation.statistics.resampling import FEW, Redrawn, few, redrawn
from strongroom.vocabulary import digest_of

SCALE = Scale((0.02, 0.05, 0.1, 0.2))


def classes(defaults: int, others: int, seed: int, apart: float = 1.0) -> tuple[Any, Any]:
    random = np.random.default_rng(seed)
    outcome = np.repeat([1, 0], [defaults, others])
    return outcome, random.normal(apart * outcome, 1.0).round(1)


def scored(role: str, outcome: npt.NDArray[np.int64], score: npt.NDArray[np.float64]) -> Scored:
    n = outcome.size
    rows = np.zeros((n, 1), np.float32)
    return Scored(Basis(role, digest_of(role.encode()), n), rows, score.astype(np.float32), outcome)


def drawn(role: str, rows: int, seed: int, lift: float = 1.0) -> Scored:
    random = np.random.default_rng(seed)
    chance = random.beta(1.2, 12, rows)
    outcome = (random.random(rows) < chance).astype(np.int64)
    return scored(role, outcome, np.clip(lift * chance + (1.0 - lift) * random.beta(1.2, 12, rows), 0.0, 1.0))


def battery(validation: Scored, scale: Scale = SCALE) -> dict[str, Result]:
    development = drawn("development", 4000, 1)
    tests = [*pd.discrimination_tests(development, validation, 0.95)]
    return {test.rule: test for test in [*tests, pd.grades_test(development, validation, scale, 0.95)]}


def details(test: Result) -> dict[str, str]:
    return {detail.name: detail.value for detail in test.details}


def by_rows(outcome: Any, score: Any, level: float, initial: float, draws: int) -> tuple[float, float, float]:
    """The same bootstrap, row by row."""
    random = np.random.default_rng(3)
    bad, good = score[outcome == 1], score[outcome == 0]
    answers = np.repeat([1, 0], [bad.size, good.size])

    def scale(drawn: Any) -> tuple[float, float]:
        found = discrimination.auc(answers, drawn)
        assert isinstance(found, discrimination.Auc)
        odds = found.auc / (1.0 - found.auc)
        return np.log(odds), np.sqrt(found.variance or 0.0) / (found.auc * (1.0 - found.auc))

    centre, error = scale(np.concatenate([bad, good]))
    steps = []
    for _ in range(draws):
        again, its = scale(np.concatenate([random.choice(bad, bad.size), random.choice(good, good.size)]))
        steps.append((again - centre) / its)
    high, low = np.quantile(steps, ((1 - level) / 2, (1 + level) / 2))
    ends = (1.0 / (1.0 + np.exp(-(centre - step * error))) for step in (low, high))
    p = np.mean(np.array(steps) <= (centre - np.log(initial / (1 - initial))) / error)
    return *ends, float(p)


@pytest.mark.parametrize(("defaults", "others"), [(15, 60), (60, 15)])
def test_drawing_counts_is_drawing_rows(defaults: int, others: int) -> None:
    outcome, score = classes(defaults, others, 5)
    found = redrawn(outcome, score, 0.9, initial=0.85)
    assert isinstance(found, Redrawn)
    low, high, p = by_rows(outcome, score, 0.9, 0.85, 500)
    assert found.interval == pytest.approx((low, high), abs=0.03)
    assert found.p_value == pytest.approx(p, abs=0.05)
    area = roc_auc_score(outcome, score)
    assert found.interval[0] < area < found.interval[1]


def test_with_many_rows_the_bootstrap_is_the_normal_interval() -> None:
    outcome, score = classes(400, 3000, 6)
    found, normal = redrawn(outcome, score, 0.95, initial=0.77), discrimination.auc(outcome, score)
    assert isinstance(found, Redrawn)
    assert isinstance(normal, discrimination.Auc)
    assert found.interval == pytest.approx(normal.interval(0.95), abs=0.003)
    change = discrimination.auc_change(0.77, normal)
    assert not isinstance(change, NotEvaluable)
    assert found.p_value == pytest.approx(change.p_value, abs=0.03)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 25), st.integers(0, 25))
def test_the_order_of_rows_moves_nothing_and_no_figure_is_nan(seed: int, defaults: int, others: int) -> None:
    random = np.random.default_rng(seed)
    outcome = np.repeat([1, 0], [defaults, others])
    score = random.integers(0, 4, outcome.size) + outcome * random.integers(0, 2)
    found = redrawn(outcome, score, 0.95, initial=0.7, draws=200)
    order = random.permutation(outcome.size)
    assert redrawn(outcome[order], score[order], 0.95, initial=0.7, draws=200) == found
    if isinstance(found, Redrawn):
        assert 0.0 <= found.interval[0] <= found.interval[1] <= 1.0
        assert found.p_value is not None
        assert 0.0 < found.p_value <= 1.0


@pytest.mark.parametrize(
    ("bad", "good", "why"),
    [
        ([1.0], [0.0, 2.0], "two rows"), ([3.0, 4.0], [1.0, 2.0], "perfectly"), ([1.0, 1.0], [1.0, 1.0], "alike"),
        ([1.5, 3.0, 3.0, 3.0], [2.0, *[0.0] * 29], "too few"), ([1.0, np.nan], [0.0, 2.0], "finite"),
    ],
)  # fmt: skip
def test_what_the_bootstrap_cannot_tell_is_said(bad: list[float], good: list[float], why: str) -> None:
    found = redrawn([1] * len(bad) + [0] * len(good), [*bad, *good], 0.95)
    assert isinstance(found, NotEvaluable)
    assert why in found.reason


def test_only_few_rows_are_drawn_again_and_the_result_says_how() -> None:
    assert not few(FEW, FEW)
    assert few(FEW - 1, 10**6)
    assert few(10**6, FEW - 1)
    many, rare = drawn("validation", 4000, 2), drawn("validation", 250, 2)
    assert int(rare.outcome.sum()) < FEW
    normal, again = battery(many), battery(rare)
    for rule in ("discrimination.auc", "discrimination.auc-grades"):
        assert "interval by" not in details(normal[rule])
        assert details(again[rule])["interval by"] == "bootstrap-t"
        assert again[rule].interval is not None
    assert details(again["discrimination.auc-change"])["interval by"] == "bootstrap-t"
    drawn_p = redrawn(
        rare.outcome, rare.pd, 0.95, initial=float(details(again["discrimination.auc-change"])["development AUC"])
    )
    assert isinstance(drawn_p, Redrawn)
    assert float(again["discrimination.auc-change"].p_value or 0) == drawn_p.p_value


def test_the_auc_of_grades_is_somers_d_and_its_loss_is_told() -> None:
    validation = drawn("validation", 4000, 2)
    test = battery(validation)["discrimination.auc-grades"]
    grade, told = SCALE.assign(validation.pd), details(test)
    assert float(told["Somers' D"]) == pytest.approx(stats.somersd(validation.outcome, grade).statistic, abs=1e-12)
    assert float(test.figure or 0) == pytest.approx(roc_auc_score(validation.outcome, grade), abs=1e-12)
    lost = roc_auc_score(validation.outcome, validation.pd) - roc_auc_score(validation.outcome, grade)
    assert float(told["lost by grading"]) == pytest.approx(lost, abs=1e-12)
    assert lost > 0.0
    assert float(told["p-value of a fall since development"]) > 0.001
    # a scale that puts everybody into one grade separates nobody, and is judged so
    coarse = battery(validation, Scale((0.999,)))["discrimination.auc-grades"]
    rule = next(line[0] for line in RULES["pd"] if line[0] is not None and line[0].test == "discrimination.auc-grades")
    assert (coarse.figure, judge(coarse, rule).verdict, judge(test, rule).verdict) == ("0.5", "amber", "pass")


def test_the_distance_stands_beside_that_of_chance() -> None:
    validation = drawn("validation", 4000, 2)
    test = battery(validation)["discrimination.ks"]
    bad = validation.outcome == 1
    other = stats.ks_2samp(validation.pd[bad], validation.pd[~bad], method="asymp")
    assert float(test.figure or 0) == pytest.approx(other.statistic, abs=1e-12)
    assert float(test.p_value or 0) == pytest.approx(other.pvalue, rel=1e-9)
    classic = 1.3581 * np.sqrt(1.0 / bad.sum() + 1.0 / (~bad).sum())
    assert float(details(test)["critical D at 5%"]) == pytest.approx(classic, rel=0.02)
    assert "by chance" in test.sentence
    noise = battery(drawn("validation", 4000, 2, lift=0.0))["discrimination.ks"]
    assert float(noise.figure or 0) < float(details(noise)["critical D at 5%"]) < float(test.figure or 0)


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 10**6), st.integers(1, 10**6), st.floats(0.6, 0.999))
def test_the_critical_distance_is_where_the_p_value_is_the_level(defaults: int, others: int, level: float) -> None:
    found = critical_distance(defaults, others, level)
    assert not isinstance(found, NotEvaluable)
    assert 0.0 < found <= 1.0
    assert distance_p_value(found, defaults, others) == pytest.approx(1.0 - level, rel=1e-3)
    assert isinstance(critical_distance(0, others, level), NotEvaluable)
    assert isinstance(distance_p_value(found, defaults, 0), NotEvaluable)


def test_the_smallest_classes_are_compared_as_one_row_is() -> None:
    assert critical_distance(1, 1, 0.95) == pytest.approx(stats.kstwo.isf(0.05, 1))
    assert distance_p_value(0.9, 1, 1) == pytest.approx(stats.kstwo.sf(0.9, 1))


@pytest.mark.slow
@pytest.mark.parametrize("area", [0.7, 0.8, 0.9])
def test_the_bootstrap_holds_its_level_where_the_normal_interval_does_not(area: float) -> None:
    random = np.random.default_rng(1)
    apart, outcome, runs = np.sqrt(2.0) * stats.norm.ppf(area), np.repeat([1, 0], [10, 1000]), 400
    held = {"normal": 0, "drawn": 0}
    for _ in range(runs):
        score = random.normal(apart * outcome, 1.0)
        normal, again = discrimination.auc(outcome, score), redrawn(outcome, score, 0.95, draws=1000)
        assert isinstance(normal, discrimination.Auc)
        ends = normal.interval(0.95)
        held["normal"] += not isinstance(ends, NotEvaluable) and ends[0] <= area <= ends[1]
        held["drawn"] += isinstance(again, Redrawn) and again.interval[0] <= area <= again.interval[1]
    assert held["normal"] / runs <= 0.925
    assert held["drawn"] / runs > 0.895
    assert held["drawn"] > held["normal"]
