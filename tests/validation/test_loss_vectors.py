"""LGD, ELBE, CCF and EAD: every vector of tests/vectors/losses.json, second opinions, and defined edges."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

from strongroom.validation.results import NotEvaluable, evaluable
from strongroom.validation.statistics import losses, ordering

VECTORS = {
    v["id"]: v for v in json.loads((Path(__file__).parents[1] / "vectors" / "losses.json").read_text())["vectors"]
}


def t_test(i: dict[str, Any]) -> dict[str, Any]:
    found = evaluable(losses.t_test(i["realised"], i["estimated"]))
    return {
        "mean_diff": found.mean_difference, "s2": found.variance, "T": found.statistic,
        "p_one_sided": found.upper, "p_two_sided_ELBE": found.two_sided,
    }  # fmt: skip


def ccf(i: dict[str, Any]) -> dict[str, Any]:
    found = evaluable(losses.t_test(i["realised"], i["estimated"]))
    return {
        "mean_diff": found.mean_difference, "s2": found.variance, "T": found.statistic, "p": found.upper,
        # what the printed formula would give: a sum in place of the mean
        "T_with_printed_erratum": found.statistic * found.n,
    }  # fmt: skip


def gauc(i: dict[str, Any]) -> dict[str, Any]:
    found = evaluable(ordering.gauc_table(i["table_rows_realised_cols_estimated"]))
    return {"somers_d": found.somers_d, "gauc": found.value, "s": found.error}


def change(i: dict[str, Any]) -> dict[str, Any]:
    found = evaluable(ordering.gauc_change(i["gauc_init"], evaluable(ordering.gauc_table(i["table"]))))
    return {"S": found.statistic, "p": found.p_value}


def somers(i: dict[str, Any]) -> dict[str, Any]:
    return {"somers_d": evaluable(ordering.somers_d(i["realised"], i["predicted"]))}


def totals(i: dict[str, Any]) -> dict[str, Any]:
    given = i["ead"], i["realised"], i["estimated"]
    return {"loss_shortfall": losses.loss_shortfall(*given), "mad": losses.mean_absolute_deviation(*given)}


FUNCTIONS = {
    "lgd.t_test": t_test, "lgd.gauc": gauc, "lgd.gauc_change": change, "lgd.somersd_vurocs_example": somers,
    "lgd.loss_shortfall_mad": totals, "ccf.t_test": ccf,
}  # fmt: skip


def test_no_vector_is_left_out() -> None:
    assert set(FUNCTIONS) == set(VECTORS)


@pytest.mark.parametrize("name", sorted(VECTORS))
def test_vector(name: str) -> None:
    vector = VECTORS[name]
    assert FUNCTIONS[name](vector["input"]) == pytest.approx(vector["expected"], abs=vector["tolerance"], rel=0)


random = np.random.default_rng(5)
REALISED, ESTIMATED = random.beta(0.6, 0.4, 400) * 1.4 - 0.1, random.beta(2, 2, 400)


def test_scipy_agrees_on_the_t_test() -> None:
    found = evaluable(losses.t_test(REALISED, ESTIMATED, 0.9))
    one = stats.ttest_rel(REALISED, ESTIMATED, alternative="greater")
    two = stats.ttest_rel(REALISED, ESTIMATED)
    assert (found.statistic, found.upper, found.two_sided) == pytest.approx((one.statistic, one.pvalue, two.pvalue))
    around = two.confidence_interval(0.9)
    assert found.interval == pytest.approx((around.low, around.high))


@pytest.mark.parametrize("places", [1, 2, 6])
def test_scipy_agrees_on_somers_d_row_by_row(places: int) -> None:
    # scipy's takes time that grows with the fourth power of the number of different values
    rows = 60 if places == 6 else None
    came, told = REALISED[:rows].round(places), ESTIMATED[:rows].round(places)
    assert ordering.somers_d(came, told) == pytest.approx(stats.somersd(came, told).statistic, abs=1e-12)


def test_scipy_agrees_on_somers_d_of_a_table_and_its_half_is_the_generalised_auc() -> None:
    table = evaluable(ordering.segmented(REALISED, ESTIMATED))
    found = evaluable(ordering.gauc_table(table))
    kept = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    assert found.somers_d == pytest.approx(stats.somersd(kept).statistic, abs=1e-12)
    assert found.value == (found.somers_d + 1) / 2


def test_with_two_classes_the_generalised_auc_is_the_auc() -> None:
    from sklearn.metrics import roc_auc_score

    outcome = (REALISED > 0.5).astype(float)
    told = ESTIMATED.round(1)
    assert len(np.unique(told)) <= ordering.GRADES_LIMIT
    table = np.array([np.bincount((told[outcome == k] * 10).round().astype(int), minlength=11) for k in (0, 1)])
    assert evaluable(ordering.gauc_table(table)).value == pytest.approx(roc_auc_score(outcome, told), abs=1e-12)


def test_the_standard_error_is_that_of_a_bootstrap() -> None:
    draws = np.random.default_rng(1)
    found = evaluable(ordering.gauc(REALISED, ESTIMATED))
    values = []
    for _ in range(400):
        rows = draws.integers(0, REALISED.size, REALISED.size)
        values.append(evaluable(ordering.gauc(REALISED[rows], ESTIMATED[rows])).value)
    assert found.error == pytest.approx(np.std(values, ddof=1), rel=0.15)


def test_sklearn_agrees_on_r_squared_and_on_the_weighted_deviation() -> None:
    from sklearn.metrics import mean_absolute_error, r2_score

    weight = random.uniform(1, 100, 400)
    assert losses.r_squared(REALISED, ESTIMATED) == pytest.approx(r2_score(REALISED, ESTIMATED))
    expected = mean_absolute_error(REALISED, ESTIMATED, sample_weight=weight)
    assert losses.mean_absolute_deviation(weight, REALISED, ESTIMATED) == pytest.approx(expected)


def test_segments_are_closed_below_and_hold_what_is_outside() -> None:
    edges = [-3.0, 0.0, 0.0499, 0.05, 0.0999, 0.1, 0.999, 1.0, 7.0]
    many = np.linspace(0.0, 1.0, 21)  # more than 20 estimates: fixed segments
    came = np.concatenate([edges, np.full(many.size - len(edges), 0.5)])
    rows = evaluable(ordering.segmented(came, many)).sum(axis=1)
    assert rows[0] == 3
    assert (rows[1], rows[2], rows[10], rows[11]) == (2, 1, 1, 2)
    grades = evaluable(ordering.segmented([0.1, 0.34, 0.36, 2.0], [0.2, 0.2, 0.5, 0.5]))
    assert grades.tolist() == [[2, 0], [0, 2]]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (losses.t_test([], []), "empty"),
        (losses.t_test([0.1], [0.2]), "two rows"),
        (losses.t_test([0.3, 0.5, 0.7], [0.1, 0.3, 0.5]), "no variance"),
        (losses.t_test([0.0, 0.0], [0.0, 1e-200]), "too small"),
        (losses.loss_shortfall([1, 1], [5e-324, 0.0], [1.0, 1.0]), "too small"),
        (losses.r_squared([0.0, 1e-200], [0.1, 0.3]), "too little"),
        (losses.t_test([math.nan, 0.1], [0.1, 0.1]), "not finite"),
        (losses.t_test([0.1, 0.2], [0.1, math.inf]), "not finite"),
        (losses.loss_shortfall([1, 1], [0.0, 0.0], [0.1, 0.1]), "nothing was lost"),
        (losses.loss_shortfall([1, 1], [-0.2, 0.1], [0.1, 0.1]), "nothing was lost"),
        (losses.loss_shortfall([1, -1], [0.2, 0.1], [0.1, 0.1]), "exposure"),
        (losses.mean_absolute_deviation([0, 0], [0.2, 0.1], [0.1, 0.1]), "0 in total"),
        (losses.r_squared([0.2, 0.2], [0.1, 0.3]), "nothing to explain"),
        (losses.buckets([], [], [0.5]), "empty"),
        (losses.share_outside([]), "empty"),
        (losses.share_outside([math.nan]), "not finite"),
        (ordering.gauc([0.1, 0.9], [0.4, 0.4]), "estimates are equal"),
        (ordering.gauc([0.1, 0.1], [0.4, 0.5]), "one segment"),
        (ordering.gauc([], []), "empty"),
        (ordering.gauc([0.1, math.nan], [0.4, 0.5]), "not finite"),
        (ordering.gauc_table([[1]]), "two rows"),
        (ordering.somers_d([0.5, 0.5], [0.1, 0.2]), "outcomes are equal"),
        (ordering.somers_d([0.5], [0.1]), "two rows"),
        (ordering.somers_d([0.5, math.inf], [0.1, 0.2]), "not finite"),
        (evaluable(ordering.gauc_table([[3, 0], [0, 3]])).interval(0.95), "perfect"),
        (ordering.gauc_change(0.8, evaluable(ordering.gauc_table([[3, 0], [0, 3]]))), "perfect"),
    ],
)
def test_an_edge_has_its_reason(found: Any, words: str) -> None:
    assert isinstance(found, NotEvaluable)
    assert words in found.reason


def test_equal_estimates_put_nothing_in_order_row_by_row() -> None:
    assert ordering.somers_d([0.1, 0.5, 0.9], [0.4, 0.4, 0.4]) == 0.0


def test_losses_beyond_0_and_1_are_kept() -> None:
    found = evaluable(losses.t_test([-0.3, 1.6, 0.2], [0.1, 0.4, 0.2]))
    assert found.mean_difference == pytest.approx((-0.4 + 1.2 + 0.0) / 3)
    assert losses.share_outside([-0.1, 0.0, 1.0, 1.2]) == (0.25, 0.25)


def test_credit_balances_and_overdrawn_limits() -> None:
    found = losses.exposures([100, 100, 100, 0], [40, -20, 130, 0], [0.5] * 4, [0.25] * 4)
    assert found.undrawn.tolist() == [60, 100, 0, 0]
    assert found.realised.tolist() == [70, 50, 130, 0]
    assert found.estimated.tolist() == [55, 25, 130, 0]
    assert found.convertible.tolist() == [True, True, False, False]
    assert found.below_zero == 1


def test_buckets_hold_every_row_once() -> None:
    found = evaluable(losses.buckets(REALISED, ESTIMATED, [0.2, 0.5, 0.9999]))
    assert sum(bucket.n for bucket in found) == REALISED.size
    assert [bucket.upper for bucket in found] == [0.2, 0.5, 0.9999, None]
    assert found[3].n == 0
    assert found[3].realised is None
    assert isinstance(found[3].test, NotEvaluable)
    total = sum(bucket.n * (bucket.realised or 0) for bucket in found)
    assert total / REALISED.size == pytest.approx(REALISED.mean())


# a machine that stands still while rows are drawn is not what is tested
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.floats(-2, 3), st.floats(-2, 3)), min_size=2, max_size=20))
def test_never_a_nan_and_order_is_turned_with_the_estimates(rows: list[tuple[float, float]]) -> None:
    came, told = (np.array(side) for side in zip(*rows, strict=True))
    tested = losses.t_test(came, told)
    if not isinstance(tested, NotEvaluable):
        assert 0.0 <= tested.upper <= 1.0
        assert math.isfinite(tested.statistic)
        turned = evaluable(losses.t_test(told, came))
        assert turned.upper == pytest.approx(1.0 - tested.upper, abs=1e-9)
    ordered = ordering.somers_d(came, told)
    if not isinstance(ordered, NotEvaluable):
        assert -1.0 <= ordered <= 1.0
        assert ordering.somers_d(came, -told) == pytest.approx(-ordered, abs=1e-12)
    table = ordering.gauc(came, told)
    assert isinstance(table, NotEvaluable) or 0.0 <= table.value <= 1.0
