"""Edge cases have a typed answer, properties hold, and other libraries agree."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.errors import InvalidInputError
from strongroom.validation.batteries.equity_numbers import residual_gap
from strongroom.validation.results import NotEvaluable, decimal, evaluable
from strongroom.validation.statistics import (
    bins,
    calibration,
    discrimination,
    disparity,
    exposure,
    fairness,
    grading,
    lifetime,
    migration,
    parity,
    provisions,
    soundness,
    stability,
)

GRID = np.random.default_rng(0).random((400, 1)).astype(np.float32)
FLOOR = bins.Floor.parse("0.0001")
scores = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 12)), min_size=1, max_size=40)


@pytest.mark.parametrize(
    ("what", "answer"),
    [
        ("no rows", discrimination.auc([], [])),
        ("one class", discrimination.auc([1, 1], [0.1, 0.2])),
        ("not finite", discrimination.auc([0, 1], [0.1, math.nan])),
        ("one class ks", discrimination.ks([0, 0], [0.1, 0.2])),
        ("one class roc", discrimination.roc([0], [0.1])),
        ("alike", discrimination.paired([0, 0, 1, 1], [1, 2, 3, 4], [1, 2, 3, 4])),
        ("small", discrimination.paired([0, 1], [1, 2], [2, 1])),
        ("empty grade", calibration.jeffreys(0, 0, 0.1)),
        ("empty grade binomial", calibration.binomial(0, 0, 0.1)),
        ("empty interval", calibration.jeffreys_interval(0, 0, 0.95)),
        ("empty brier", calibration.brier([], [])),
        ("empty murphy", calibration.murphy([0], [0], [0.1])),
        ("pd of 0", calibration.hosmer_lemeshow([10], [0], [0.0])),
        ("few expected", calibration.hosmer_lemeshow([10], [0], [0.01], minimum=5)),
        ("no freedom", calibration.hosmer_lemeshow([10], [1], [0.1], fitted_here=True)),
        ("all one half", calibration.spiegelhalter([0, 1], [0.5, 0.5])),
        ("one class line", calibration.calibration_line([1, 1], [0.2, 0.4])),
        ("equal predictions", calibration.calibration_line([0, 1], [0.2, 0.2])),
        ("separated", calibration.calibration_line([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9])),
        ("four years", calibration.normal_test([0.1] * 4, [0.1] * 4)),
        ("same gap", calibration.normal_test([0.5] * 5, [0.25] * 5)),
        ("empty sample", stability.psi([1, 2], [0, 0], FLOOR)),
        ("one bin", stability.psi([3], [4], FLOOR)),
        ("empty group", fairness.adverse_impact(0, 0, 1, 2)),
        ("reference never", fairness.adverse_impact(1, 2, 0, 2)),
        ("one class in a group", fairness.equalised_odds([1, 1], [1, 0], ["a", "b"])),
        ("no strata", fairness.conditional_disparity([])),
        ("nobody refused", fairness.conditional_disparity([(0, 5, 0, 5)])),
        ("other length", parity.parity([0.1], [0.1, 0.2], 1e-6, [])),
        ("not finite parity", parity.parity([math.inf], [0.1], 1e-6, [])),
        ("no rows parity", parity.parity([], [], 1e-6, [])),
        ("no obligor", migration.weighted_bandwidth([[0, 0], [0, 0]])),
        ("even grades", migration.concentration([5, 5], [9, 1])),
        # equal numbers whose mean or difference rounding moves off by a last digit: 0 variance in words, not in float64
        ("one gap, rounded", calibration.normal_test([0.03, 0.04, 0.05, 0.06, 0.07], [0.02, 0.03, 0.04, 0.05, 0.06])),
        ("even exposure, rounded", migration.concentration([0.7] * 10, range(1, 11))),
        ("one score, rounded", disparity.mean_gap([0.3] * 10, [0.3] * 33)),
        ("one score each, rounded", disparity.mean_gap([0.1] * 30, [0.2] * 33)),
        ("one residual, rounded", residual_gap([0.1] * 33, [0.2, 0.3, 0.5], 0.95)),
        ("one shortfall, rounded", evaluable(provisions.backtest([0.1, 0.2, 0.7], [0.4, 0.5, 1.0], 0.95)).p_value),
        ("shortfalls too small", evaluable(provisions.backtest([1e-200, 2e-200], [1e-200, 3e-200], 0.95)).p_value),
        ("a PD that vanishes", lifetime.over_all_states(1e-20, 0.99)),
        ("a PD that vanishes at the mean", lifetime.nonlinearity(1e-8, 0.99, [-1.0, 1.0, 2.0], [0.2, 0.4, 0.4])),
        (
            "nothing to copy, rounded",
            exposure.copies(GRID, np.full(len(GRID), 0.3), [0.5], (30,), np.random.default_rng(1)),
        ),
        (
            "one distance, rounded",
            soundness.weak_spots(GRID, 0.1 + GRID[:, 0].astype(float), GRID[:, 0].astype(float), ["x"], 50),
        ),
        ("no rows graded", grading.grade_table(grading.Scale((0.1,)), [], [])),
    ],
)
def test_what_has_no_answer_says_why(what: str, answer: object) -> None:
    assert isinstance(answer, NotEvaluable), what
    assert answer.reason
    with pytest.raises(InvalidInputError):
        evaluable(answer)


def test_perfect_separation_has_an_area_but_no_interval() -> None:
    found = evaluable(discrimination.auc([0, 0, 1, 1], [1, 2, 3, 4]))
    assert (found.auc, found.gini, found.variance) == (1.0, 1.0, 0.0)
    assert isinstance(found.interval(0.95), NotEvaluable)
    assert isinstance(discrimination.auc_change(1.0, found), NotEvaluable)
    single = evaluable(discrimination.auc([0, 0, 1], [1, 2, 3]))
    assert single.variance is None
    assert isinstance(single.interval(0.95), NotEvaluable)


@given(scores)
@settings(max_examples=150, deadline=None)
def test_auc_is_the_count_over_all_pairs_and_does_not_see_the_order(rows: list[tuple[int, int]]) -> None:
    y, s = np.array([r[0] for r in rows]), np.array([r[1] for r in rows], dtype=float)
    found = discrimination.auc(y, s)
    bad, good = s[y == 1], s[y == 0]
    if not (bad.size and good.size):
        assert isinstance(found, NotEvaluable)
        return
    psi = (bad[:, None] > good[None, :]) + 0.5 * (bad[:, None] == good[None, :])
    area = evaluable(found)
    assert area.auc == pytest.approx(psi.mean(), abs=1e-12)
    if bad.size > 1 and good.size > 1:
        brute = psi.mean(axis=1).var(ddof=1) / bad.size + psi.mean(axis=0).var(ddof=1) / good.size
        assert area.variance == pytest.approx(brute, abs=1e-12)
    turned = evaluable(discrimination.auc(y[::-1], s[::-1]))
    assert turned.auc == pytest.approx(area.auc, abs=1e-15)
    mirrored = evaluable(discrimination.auc(1 - y, s))
    assert mirrored.auc == pytest.approx(1.0 - area.auc, abs=1e-12)


@given(scores)
@settings(max_examples=100, deadline=None)
def test_ks_is_the_largest_gap_and_lies_where_it_says(rows: list[tuple[int, int]]) -> None:
    from scipy.stats import ks_2samp

    y, s = np.array([r[0] for r in rows]), np.array([r[1] for r in rows], dtype=float)
    found = discrimination.ks(y, s)
    if isinstance(found, NotEvaluable):
        return
    assert found.distance == pytest.approx(ks_2samp(s[y == 1], s[y == 0]).statistic, abs=1e-12)
    gap = abs((s[y == 1] <= found.at).mean() - (s[y == 0] <= found.at).mean())
    assert gap == pytest.approx(found.distance, abs=1e-12)


@given(st.lists(st.integers(0, 50), min_size=2, max_size=8), st.data())
@settings(max_examples=100, deadline=None)
def test_psi_is_never_negative_and_zero_for_equal_counts(old: list[int], data: st.DataObject) -> None:
    new = data.draw(st.lists(st.integers(0, 50), min_size=len(old), max_size=len(old)))
    found = stability.psi(old, new, FLOOR)
    if not sum(old) or not sum(new):
        assert isinstance(found, NotEvaluable)
        return
    value = evaluable(found)
    assert value.value >= 0.0
    assert value.value == pytest.approx(sum(value.bins))
    assert evaluable(stability.psi(old, old, FLOOR)).value == 0.0


@given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=60), st.integers(2, 12))
@settings(max_examples=100, deadline=None)
def test_every_value_falls_in_one_bin_as_the_format_counts(values: list[float], number: int) -> None:
    edges = bins.quantile_edges(values, number)
    counts, missing = bins.count_bins([*values, math.nan], edges)
    assert (counts.sum(), missing) == (len(values), 1)
    by_format = np.bincount([sum(x > edge for edge in edges) for x in values], minlength=len(edges) + 1)
    assert counts.tolist() == by_format.tolist()
    assert counts.min() > 0  # an edge is a value that occurs, and something lies above the last
    assert [float(decimal(edge)) for edge in edges] == edges.tolist()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
@settings(deadline=None)
def test_holm_never_lowers_a_p_value_nor_changes_their_order(p: list[float]) -> None:
    adjusted = calibration.holm(p)
    assert all(a >= b for a, b in zip(adjusted, p, strict=True))
    assert sorted(range(len(p)), key=lambda i: p[i]) == sorted(range(len(p)), key=lambda i: (adjusted[i], p[i]))
    assert max(adjusted) <= 1.0


def test_every_grade_can_pass_while_the_portfolio_fails() -> None:
    n, d, pd = [500, 800, 1200, 900, 300], [0, 2, 9, 21, 24], [0.0008, 0.002, 0.006, 0.018, 0.06]
    found = calibration.jeffreys_scale(n, d, pd)
    assert min(evaluable(p) for p in found.grades) > 0.05 > evaluable(found.portfolio)


@pytest.mark.parametrize("text", ["0", "-1", "0.5", "nan", "inf", "none", ""])
def test_a_floor_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError):
        bins.Floor.parse(text)


def test_a_figure_in_a_document_is_finite() -> None:
    for value in (math.nan, math.inf):
        with pytest.raises(ValueError, match="finite"):
            decimal(value)


def test_other_libraries_agree() -> None:
    import statsmodels.api as sm
    from fairlearn.metrics import equalized_odds_difference
    from scipy.stats import norm
    from sklearn.metrics import brier_score_loss, roc_auc_score
    from statsmodels.stats.multitest import multipletests
    from statsmodels.stats.proportion import binom_test, proportions_ztest

    random = np.random.default_rng(3)
    p = random.beta(2, 6, 3000).round(2).clip(0.01, 0.99)
    y = (random.random(3000) < p**1.1).astype(int)
    area = evaluable(discrimination.auc(y, p))
    assert area.auc == pytest.approx(roc_auc_score(y, p), abs=1e-12)
    assert evaluable(calibration.brier(y, p)) == pytest.approx(brier_score_loss(y, p), abs=1e-12)

    line = evaluable(calibration.calibration_line(y, p))
    logit = np.log(p / (1 - p))
    fit = sm.Logit(y, sm.add_constant(logit)).fit(disp=0, tol=1e-12)
    assert [line.intercept, line.slope] == pytest.approx(list(fit.params), abs=1e-8)
    assert [line.intercept_se, line.slope_se] == pytest.approx(list(fit.bse), abs=1e-8)
    wald = fit.wald_test((np.eye(2), [0, 1]), scalar=True, use_f=False)
    assert line.joint_p == pytest.approx(float(wald.pvalue), rel=1e-6)
    offset = sm.GLM(y, np.ones(len(y)), family=sm.families.Binomial(), offset=logit).fit(tol=1e-12)
    assert line.offset == pytest.approx(float(offset.params[0]), abs=1e-8)

    impact = evaluable(fairness.adverse_impact(30, 100, 90, 200))
    z, z_p = proportions_ztest([30, 90], [100, 200])
    assert (impact.z, impact.z_p) == pytest.approx((z, z_p))
    group = np.where(random.random(3000) < 0.4, "a", "b")
    odds = evaluable(fairness.equalised_odds(y, p > 0.3, list(group)))
    assert odds.gap == pytest.approx(equalized_odds_difference(y, p > 0.3, sensitive_features=group))
    assert evaluable(calibration.binomial(50, 9, 0.1)) == pytest.approx(binom_test(9, 50, 0.1, alternative="larger"))

    many = [0.04, 0.001, 0.3, 0.02, 0.02]
    assert calibration.holm(many) == pytest.approx(multipletests(many, method="holm")[1])
    change = evaluable(discrimination.auc_change(0.9, area))
    assert change.p_value == pytest.approx(norm.sf((0.9 - area.auc) / math.sqrt(area.variance or 1)))


def test_riskvalidation_agrees() -> None:
    from riskvalidation.validation.discrimination import auc_with_variance

    random = np.random.default_rng(5)
    score = random.integers(0, 9, 400)
    y = (random.random(400) < 0.05 + score / 12).astype(int)
    ours = evaluable(discrimination.auc(y, score))
    theirs = auc_with_variance(score.tolist(), y.tolist())
    assert ours.auc == pytest.approx(theirs[0], abs=1e-12)
    assert ours.variance == pytest.approx(theirs[1], rel=1e-9)
