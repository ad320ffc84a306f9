"""The benchmark of losses: another library's regression, models that lose to it, and nothing that is NaN."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from strongroom.validation.batteries.conceptual import simple_estimate_test
from strongroom.validation.batteries.scored import Scored
from strongroom.validation.battery_rules import judge
from strongroom.validation.catalogue import Basis
from strongroom.validation.default_rules import RULES
from strongroom.validation.results import NotEvaluable
from strongroom.validation.statistics.simple_estimate import Gain, SimpleEstimate, gain, simple_estimate
from strongroom.vocabulary import digest_of

RULE = next(line[0] for line in RULES["lgd"] if line[0] is not None and line[0].test == "sensitivity.simple-estimate")


def sample(seed: int, n: int = 2000) -> tuple[Any, Any, Any]:
    """Rows with gaps, outcomes, and the true mean, which bends in the first feature and rises in the second."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=(n, 3)).astype(np.float32)
    rows[::9, 2] = np.nan
    mean = 0.3 + 0.15 * np.abs(rows[:, 0]) * (rows[:, 1] > 0) + 0.1 * rows[:, 1]
    return rows, random.normal(mean, 0.1), mean.astype(np.float64)


def scored(role: str, rows: Any, outcome: Any, scores: Any) -> Scored:
    basis = Basis(role, digest_of(role.encode()), len(rows))
    return Scored(basis, rows, np.asarray(scores, np.float32), outcome)


def test_the_benchmark_is_a_ridge_regression_on_means_of_bins() -> None:
    rows, outcome, _ = sample(1)
    made = simple_estimate(rows, outcome)
    assert isinstance(made, SimpleEstimate)
    columns = []
    for place in range(3):
        values = rows[:, place].astype(np.float64)
        cuts = np.quantile(values[np.isfinite(values)], [0.2, 0.4, 0.6, 0.8], method="inverted_cdf")
        group = np.where(np.isnan(values), 5, (values[:, None] > cuts).sum(axis=1))
        sums = {g: (outcome[group == g] - outcome.mean()).sum() / ((group == g).sum() + 1) for g in range(6)}
        columns.append([sums[g] for g in group])
    other = Ridge(alpha=1.0).fit(StandardScaler().fit_transform(np.transpose(columns)), outcome)
    assert made.slopes == pytest.approx(other.coef_, abs=1e-9)
    told = other.predict(StandardScaler().fit_transform(np.transpose(columns)))
    assert made.estimate(rows) == pytest.approx(told, abs=1e-9)


def test_means_of_bins_are_taken_with_one_more_row_and_a_gap_that_was_never_seen_has_the_mean_of_all() -> None:
    rows, outcome = np.float32([[0.0], [0.0], [1.0], [np.nan]]), np.array([0.0, 1.0, 2.0, 5.0])
    made = simple_estimate(rows, outcome, bins=2)
    assert isinstance(made, SimpleEstimate)
    by_row = np.array([-1.0, -1.0, 0.0, 1.5])
    assert made.values[0] == pytest.approx((np.array([-1.0, 0.0, 1.5]) - by_row.mean()) / by_row.std())
    tiny = simple_estimate(rows, 1e-6 * outcome, bins=2)
    assert isinstance(tiny, SimpleEstimate)
    assert tiny.slopes == pytest.approx(1e-6 * made.slopes)
    whole = simple_estimate(rows[:3], outcome[:3], bins=2)
    assert isinstance(whole, SimpleEstimate)
    sums = np.array([(-1.0 + 0.0) / 3, 1.0 / 2, 0.0])
    by_row = sums[[0, 0, 1]]
    assert whole.values[0] == pytest.approx((sums - by_row.mean()) / by_row.std())
    assert np.isfinite(whole.estimate(rows)).all()


def test_a_model_that_knows_more_gains_and_one_that_knows_less_is_warned_about() -> None:
    (rows, outcome, _), (later, came, mean) = sample(1), sample(2)
    development = scored("development", rows, outcome, outcome * 0)
    good = simple_estimate_test(development, scored("validation", later, came, mean))
    noise = mean + np.random.default_rng(3).normal(0, 0.2, len(mean))
    bad = simple_estimate_test(development, scored("validation", later, came, noise))
    assert judge(good, RULE).verdict == "pass"
    assert float(good.figure or 0) > 0.05
    assert float(good.p_value or 1) < 0.01
    assert judge(bad, RULE).verdict == "amber"
    assert "larger" in bad.sentence
    made = simple_estimate(rows, outcome)
    assert isinstance(made, SimpleEstimate)
    errors = [(came - side) ** 2 for side in (made.estimate(later), mean.astype(np.float32).astype(float))]
    assert float(good.figure or 0) == pytest.approx(1 - errors[1].mean() / errors[0].mean())
    assert float(good.p_value or 0) == pytest.approx(stats.ttest_rel(*errors).pvalue)
    told = {detail.name: float(detail.value) for detail in good.details}
    assert told["of the development mean for everybody"] == pytest.approx(((came - outcome.mean()) ** 2).mean())
    # the same as the benchmark: no gain, no p-value, no warning
    level = scored("validation", later, made.estimate(later.astype(np.float32)), made.estimate(later))
    assert judge(simple_estimate_test(development, level), RULE).verdict in ("pass", "not-evaluable")


def test_what_cannot_be_compared_says_why() -> None:
    rows, outcome, _ = sample(1, 50)
    for few in (simple_estimate(rows[:1], outcome[:1]), simple_estimate(rows, np.full(50, np.inf))):
        assert isinstance(few, NotEvaluable)
    for sides in (([1.0, 2.0], [1.0, np.nan], [1.0, 3.0]), ([1.0, np.inf], [1.0, 2.0], [1.0, 3.0])):
        assert "not finite" in str(gain(*sides))
    assert gain([1.0], [2.0], [3.0]) == Gain(0.75, None, 1.0, 4.0)
    small = gain([1e-4, 2e-4], [1e-4, 3e-4], [2e-4, 4e-4])
    assert isinstance(small, Gain)
    assert small.share == pytest.approx(0.8)
    assert isinstance(gain([], [], []), NotEvaluable)
    assert "no error" in str(gain([1.0, 2.0], [1.0, 3.0], [1.0, 2.0]))
    same = gain([1.0, 2.0], [1.5, 2.5], [1.5, 2.5])
    assert same == Gain(0.0, None, 0.25, 0.25)
    with pytest.raises(ValueError, match="one length"):
        gain([1.0], [1.0, 2.0], [1.0])
    blind = scored("development", rows, outcome, outcome)
    lost = simple_estimate_test(blind, scored("validation", rows, outcome, outcome * np.nan))
    assert judge(lost, RULE).verdict == "not-evaluable"


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 30), st.floats(-100, 100), st.floats(0.01, 100))
def test_the_gain_knows_no_unit_and_no_order_and_is_never_nan(seed: int, n: int, shift: float, scale: float) -> None:
    random = np.random.default_rng(seed)
    rows = random.choice(np.float32([0.0, 1.0, np.nan, 3.5]), size=(n, 3))
    outcome, told = random.integers(0, 4, n).astype(float), random.normal(size=n)
    made, moved = simple_estimate(rows, outcome), simple_estimate(rows, scale * outcome + shift)
    assert isinstance(made, SimpleEstimate)
    assert isinstance(moved, SimpleEstimate)
    assert np.isfinite(made.estimate(rows)).all()
    assert moved.estimate(rows) == pytest.approx(scale * made.estimate(rows) + shift, rel=1e-6, abs=1e-6)
    order = random.permutation(n)
    found = gain(outcome, told, made.estimate(rows))
    again = gain(outcome[order], told[order], made.estimate(rows)[order])
    if isinstance(found, Gain):
        assert isinstance(again, Gain)
        assert again.share == pytest.approx(found.share)
        assert found.share <= 1.0
        assert found.p_value is None or 0.0 <= found.p_value <= 1.0
