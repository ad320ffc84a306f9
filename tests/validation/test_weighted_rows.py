"""Weighted samples: a row of weight 3 gives the figures of three rows, and no more certainty than one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from strongroom.registry.contract import CutOff
from strongroom.validation import results as documents
from strongroom.validation.batteries import every_kind, fraud
from strongroom.validation.batteries.scored import Scored
from strongroom.validation.catalogue import Basis
from strongroom.validation.policy import ValidationPolicy
from strongroom.validation.results import NotEvaluable, evaluable
from strongroom.validation.statistics import detection, discrimination
from strongroom.validation.statistics.bins import count_bins, quantile_edges, weigh_bins
from strongroom.validation.statistics.weights import effective_number, levelled
from strongroom.vocabulary import digest_of
from tests.validation.worked import POLICY, contract

RULES = msgspec.structs.replace(ValidationPolicy.decode(POLICY.read_bytes()), psi_floor="0.001")
TERMS = msgspec.structs.replace(RULES.fraud, alarm_share="0.1", windows=3, least_frauds=2)
ABOUT = msgspec.structs.replace(
    contract(("a", "b"), "t", "t"), protected=(), cut_offs=(CutOff(decision="pass", below="0.5"), CutOff(decision="no"))
)
COUNTED = {"stability.time", "data.frauds", "data.time-order"}
"""p-values and counts of rows: repeated rows would have other ones."""


def drawn(seed: int, n: int, *, weights: int = 6) -> Scored:
    """Coarse scores, so that many are tied; whole weights; one feature with gaps."""
    random = np.random.default_rng(seed)
    outcome = (random.random(n) < 0.3).astype(np.int64)
    outcome[:4] = 0, 1, 0, 1
    score = np.clip(np.round(random.normal(0.4 + 0.25 * outcome, 0.2), 1), 0.0, 1.0).astype(np.float32)
    rows = np.column_stack([np.round(random.normal(size=n), 1), random.integers(0, 4, n)]).astype(np.float32)
    rows[random.random(n) < 0.1, 0] = np.nan
    columns = {
        "amount": np.round(random.exponential(50.0, n), 2),
        "time": np.sort(random.uniform(0.0, 9.0, n)),
        "weight": random.integers(1, weights + 1, n).astype(np.float64),
    }
    return Scored(Basis("validation", digest_of(b"x"), n), rows, score, outcome, columns)


def repeated(sample: Scored) -> Scored:
    """The same rows, each as often as its weight says, all of weight 1."""
    many = sample.at(np.repeat(np.arange(len(sample.rows)), sample.columns["weight"].astype(int)))
    return replace(many, columns={**many.columns, "weight": np.ones(len(many.rows))})


def scaled(sample: Scored, factor: float) -> Scored:
    return replace(sample, columns={**sample.columns, "weight": factor * sample.columns["weight"]})


def answers(old: Scored, new: Scored) -> dict[str, documents.TestResult]:
    found = [*fraud.discrimination_tests(new, TERMS, 0.95)[0], *fraud.cost_tests(old, new, ABOUT, TERMS)[0]]
    found += [*fraud.time_tests(new, ABOUT, TERMS, 0.95)[0], *fraud.data_tests(old, new)]
    found += every_kind.stability_tests(old, new, ABOUT, RULES)[0]
    found += [test for test in every_kind.data_tests(new, ABOUT) if test.rule == "data.contract"]
    return {test.rule: test for test in found}


def figures(tests: dict[str, documents.TestResult]) -> dict[str, float]:
    return {rule: float(test.figure) for rule, test in tests.items() if test.figure is not None}


@given(st.integers(0, 10_000), st.integers(40, 120))
@settings(max_examples=12, deadline=None)
def test_every_figure_is_that_of_repeated_rows(seed: int, n: int) -> None:
    old, new = drawn(seed, n), drawn(seed + 1, n)
    one, other = figures(answers(old, new)), figures(answers(repeated(old), repeated(new)))
    assert one.keys() - COUNTED == other.keys() - COUNTED
    assert len(one.keys() - COUNTED) == 9
    for rule in one.keys() - COUNTED:
        assert one[rule] == pytest.approx(other[rule], rel=1e-9, abs=1e-12), rule
    assert one["data.frauds"] <= new.outcome.sum() <= other["data.frauds"]


@given(st.integers(0, 10_000), st.floats(0.01, 500.0))
@example(478, 1.01)  # an edge that lies on a value: rounding must not move it
@settings(max_examples=8, deadline=None)
def test_weights_have_no_unit(seed: int, factor: float) -> None:
    old, new = drawn(seed, 80), drawn(seed + 1, 80)
    dear = answers(scaled(old, factor), scaled(new, factor))
    for rule, test in answers(old, new).items():
        if test.figure is None:
            assert dear[rule].figure is None
            continue
        assert float(dear[rule].figure or 0) == pytest.approx(float(test.figure), rel=1e-6, abs=1e-9), rule
        assert (dear[rule].interval is None) == (test.interval is None)
        for a, b in zip(dear[rule].interval or (), test.interval or (), strict=True):
            assert float(a) == pytest.approx(float(b), rel=1e-6), rule


def test_equal_weights_are_no_weights() -> None:
    sample = drawn(3, 200, weights=1)
    plain = replace(sample, columns={k: v for k, v in sample.columns.items() if k != "weight"})
    with_, without = answers(scaled(sample, 20.0), scaled(sample, 20.0)), answers(plain, plain)
    for rule, test in without.items():
        assert float(with_[rule].figure or 0) == pytest.approx(float(test.figure or 0), rel=1e-9), rule
        for a, b in zip(with_[rule].interval or (), test.interval or (), strict=True):
            assert float(a) == pytest.approx(float(b), rel=1e-9), rule


@given(st.integers(0, 10_000), st.integers(5, 90))
@settings(max_examples=15, deadline=None)
def test_bins_edges_and_windows_are_those_of_repeated_rows(seed: int, n: int) -> None:
    sample = drawn(seed, n)
    many, w = repeated(sample), sample.columns["weight"]
    values, copies = sample.rows[:, 0].astype(np.float64), many.rows[:, 0].astype(np.float64)
    edges = quantile_edges(values, 5, w)
    assert edges.tolist() == quantile_edges(copies, 5).tolist()
    (sums, gone), (counts, missing) = weigh_bins(values, edges, w), count_bins(copies, edges)
    assert (sums.tolist(), gone) == (counts.tolist(), missing)
    level = levelled(w)
    assert level.sum() == pytest.approx(effective_number(w))
    assert np.allclose(level / level.sum(), w / w.sum())
    args: Any = ([0.0, 3.0, 6.0, 9.0], 0.5)
    pairs = [
        detection.windows(s.columns["time"], s.outcome, s.estimate, *args, s.columns["weight"]) for s in (sample, many)
    ]
    for one, other in zip(*pairs, strict=True):
        assert (one.recall, one.alarms) == (pytest.approx(other.recall), pytest.approx(other.alarms))
        assert one.effective <= one.frauds + 1e-9
        assert one.frauds <= other.frauds


@given(st.integers(0, 10_000), st.integers(6, 120))
@settings(max_examples=20, deadline=None)
def test_the_weighted_area_is_that_of_repeated_rows_and_of_scikit_learn(seed: int, n: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    sample = drawn(seed, n)
    many, w = repeated(sample), sample.columns["weight"]
    one = evaluable(discrimination.auc(sample.outcome, sample.estimate, w))
    other = evaluable(discrimination.auc(many.outcome, many.estimate))
    assert one.auc == pytest.approx(other.auc)
    assert one.auc == pytest.approx(metrics.roc_auc_score(sample.outcome, sample.estimate, sample_weight=w))
    plain = evaluable(discrimination.auc(sample.outcome, sample.estimate))
    same = evaluable(discrimination.auc(sample.outcome, sample.estimate, np.full(n, 7.0)))
    assert (same.auc, same.variance) == (pytest.approx(plain.auc), pytest.approx(plain.variance))


def test_intervals_of_weighted_rows_are_as_wide_as_their_spread_over_samples() -> None:
    random, areas, errors, plain, held = np.random.default_rng(2), [], [], [], 0
    outcome = np.repeat([1, 0], [60, 400])
    big = np.repeat([1, 0], [20_000, 150_000])
    true = evaluable(detection.average_precision(big, random.normal(size=big.size) + 1.5 * big)).value
    for _ in range(200):
        score = random.normal(size=outcome.size) + 1.5 * outcome
        # rows that were drawn more often, by something that says nothing of the score
        weight = random.choice([1.0, 9.0], outcome.size)
        found = evaluable(discrimination.auc(outcome, score, weight))
        areas.append(found.auc)
        errors.append(found.variance or 0.0)
        plain.append(evaluable(discrimination.auc(outcome, score)).variance or 0.0)
        area = evaluable(detection.average_precision(outcome, score, weight))
        low, high = evaluable(area.interval(0.95))
        held += low <= true <= high
    assert np.sqrt(np.mean(errors)) == pytest.approx(np.std(areas), rel=0.15)
    assert 0.88 <= held / 200 <= 1.0
    assert np.mean(errors) > 1.2 * np.mean(plain), "rows that weigh more do not say more"


def test_the_number_of_rows_that_weights_leave() -> None:
    assert effective_number([2.0, 2.0, 2.0]) == 3.0
    assert effective_number([1.0, 1e12]) == pytest.approx(1.0)
    assert effective_number([]) == 0.0
    assert levelled([]).size == 0
    sure = evaluable(detection.average_precision([1, 1, 0], [0.9, 0.2, 0.5], [1.0, 3.0, 1.0]))
    assert sure.effective == pytest.approx(16 / 10)


@pytest.mark.parametrize("weight", [[1.0, 0.0, 1.0], [1.0, np.nan, 1.0], [1.0, 1.0]])
def test_weights_that_cannot_be_are_refused(weight: list[float]) -> None:
    with pytest.raises(ValueError):
        discrimination.auc([0, 1, 1], [0.1, 0.2, 0.3], weight)


def test_a_weighted_area_has_its_reasons() -> None:
    for outcome, score in (([0, 0], [0.1, 0.2]), ([], []), ([0, 1], [0.1, np.nan])):
        assert isinstance(discrimination.auc(outcome, score, np.ones(len(outcome))), NotEvaluable)
    assert evaluable(discrimination.auc([0, 1], [0.1, 0.2], [1.0, 2.0])).variance is None


def test_frauds_of_unequal_weight_are_no_hundred() -> None:
    sample = drawn(5, 400)
    weight = np.where((sample.outcome == 1) & (np.arange(400) < 20), 1e4, 1.0)
    heavy = replace(sample, columns={**sample.columns, "weight": weight})
    (test,) = (t for t in fraud.data_tests(sample, heavy) if t.rule == "data.frauds")
    assert int(test.figure or 0) < 20
    assert "unequal weights" in test.sentence
