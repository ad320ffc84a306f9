"""Figures of small samples, counted by hand: what a wrong sign, bound or constant would change.

Light on purpose (numpy and scipy alone), since mutation testing runs it hundreds of times.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from strongroom.validation.results import NotEvaluable, evaluable
from strongroom.validation.statistics import bins, discrimination, migration, stability

FLOOR = bins.Floor.parse("0.01")


def reason(found: object) -> str:
    assert isinstance(found, NotEvaluable)
    return found.reason


def test_bandwidth_weighs_by_distance() -> None:
    # three grades; reach of a start is 2, 1, 2; one moved 1 up, two moved 2 up, three moved 1 down
    found = evaluable(migration.weighted_bandwidth([[10, 1, 2], [3, 10, 0], [0, 0, 5]]))
    assert found.upper == pytest.approx((1 * 1 + 2 * 2) / (2 * 1 + 2 * 2))
    assert found.lower == pytest.approx(3 / 3)
    still = evaluable(migration.weighted_bandwidth([[4, 0], [0, 4]]))
    assert (still.upper, still.lower) == (0.0, 0.0)
    # distance, not sum, of the grades' places
    last = evaluable(migration.weighted_bandwidth([[0, 0, 0], [0, 0, 4], [0, 2, 0]]))
    assert (last.upper, last.lower) == (1.0, 0.5)
    one = evaluable(migration.weighted_bandwidth([[0, 1], [0, 0]]))
    assert (one.upper, one.lower) == (1.0, 0.0)


def test_no_obligor_has_no_bandwidth() -> None:
    assert reason(migration.weighted_bandwidth([[0, 0], [0, 0]])) == "no obligor is rated at both dates"
    for wrong in ([[1]], [[1, 2]], [[1, 2], [3]], [1, 2], [[1, 2, 3], [4, 5, 6]], [[1, 2], [3, 4], [5, 6]]):
        with pytest.raises(ValueError, match=r"square|inhomogeneous"):
            migration.weighted_bandwidth(wrong)


def test_migration_statistics_of_one_row() -> None:
    found = migration.migration_z([[6, 3, 1], [0, 0, 0], [0, 0, 4]])
    assert set(found) == {(1, 2), (1, 3), (2, 1), (2, 3), (3, 1), (3, 2)}
    z, p = evaluable(found[1, 2])
    assert z == pytest.approx((0.6 - 0.3) / math.sqrt((0.3 * 0.7 + 0.6 * 0.4 + 2 * 0.3 * 0.6) / 10))
    assert p == pytest.approx(stats.norm.cdf(z))
    z, p = evaluable(found[1, 3])
    assert z == pytest.approx((0.3 - 0.1) / math.sqrt((0.1 * 0.9 + 0.3 * 0.7 + 2 * 0.1 * 0.3) / 10))
    many = evaluable(migration.migration_z([[6000, 3000, 1000], [0, 0, 0], [0, 0, 4]])[1, 2])
    assert many[0] == pytest.approx(math.sqrt(1000) * evaluable(found[1, 2])[0])
    assert reason(found[2, 1]) == reason(found[2, 3]) == "no obligor started in this grade"
    # everybody stayed: the neighbour holds all, so the variance is 0; and further out nobody is
    assert reason(found[3, 2]) == "neither the cell nor its neighbour has a migration"
    assert reason(found[3, 1]) == "neither the cell nor its neighbour has a migration"
    down = migration.migration_z([[4, 0, 0], [0, 4, 0], [1, 3, 6]])
    z, p = evaluable(down[3, 2])
    assert z == pytest.approx((0.6 - 0.3) / math.sqrt((0.3 * 0.7 + 0.6 * 0.4 + 2 * 0.3 * 0.6) / 10))
    z, p = evaluable(down[3, 1])
    assert z == pytest.approx((0.3 - 0.1) / math.sqrt((0.1 * 0.9 + 0.3 * 0.7 + 2 * 0.1 * 0.3) / 10))


def test_concentration_by_hand() -> None:
    found = evaluable(migration.concentration([8, 2], [6, 4]))
    cv, cv0 = math.sqrt(2 * (0.3**2 + 0.3**2)), math.sqrt(2 * (0.1**2 + 0.1**2))
    assert (found.variation, found.initial_variation) == (pytest.approx(cv), pytest.approx(cv0))
    assert found.index == pytest.approx(1 + math.log((cv * cv + 1) / 2) / math.log(2))
    assert found.initial_index == pytest.approx(1 + math.log((cv0 * cv0 + 1) / 2) / math.log(2))
    s = math.sqrt(1) * (cv - cv0) / math.sqrt(cv * cv * (0.5 + cv * cv))
    assert (found.statistic, found.p_value) == (pytest.approx(s), pytest.approx(stats.norm.sf(s)))
    three = evaluable(migration.concentration([3, 0, 0], [1, 1, 1]))
    assert three.index == pytest.approx(1.0)
    assert three.statistic == pytest.approx(math.sqrt(2) * math.sqrt(2) / math.sqrt(2 * 2.5))


@pytest.mark.parametrize(
    ("now", "then", "why"),
    [
        ([5], [5], "two grades"), ([1, 2], [1, 2, 3], "two grades"), ([0, 0], [1, 2], "empty"),
        ([1, 2], [0, 0], "empty"), ([5, 5], [9, 1], "evenly"),
    ],
)  # fmt: skip
def test_concentration_says_why_it_has_no_answer(now: list[int], then: list[int], why: str) -> None:
    assert why in reason(migration.concentration(now, then))


def test_psi_by_hand() -> None:
    found = evaluable(stability.psi([50, 30, 20], [40, 30, 30], FLOOR))
    parts = [(0.4 - 0.5) * math.log(0.4 / 0.5), 0.0, (0.3 - 0.2) * math.log(0.3 / 0.2)]
    assert found.value == pytest.approx(sum(parts))
    assert list(found.bins) == pytest.approx(parts)
    assert found.sampling_point == pytest.approx(stats.chi2.ppf(0.95, 2) * (1 / 100 + 1 / 100))
    other = evaluable(stability.psi([10, 10], [5, 15], FLOOR, 0.5))
    assert other.sampling_point == pytest.approx(stats.chi2.ppf(0.5, 1) * (1 / 20 + 1 / 20))
    half = evaluable(stability.psi([10, 10], [5, 0], FLOOR))
    assert half.value == pytest.approx(0.5 * math.log(2) + (0.01 - 0.5) * math.log(0.01 / 0.5))


def test_psi_says_why_it_has_no_answer() -> None:
    assert reason(stability.psi([0, 0], [1, 1], FLOOR)) == "a sample is empty"
    assert reason(stability.psi([1, 1], [0, 0], FLOOR)) == "a sample is empty"
    assert reason(stability.psi([1], [1], FLOOR)) == "one bin alone cannot shift"
    for old, new in (([1, 2], [1]), ([[1, 2]], [[1, 2]])):
        with pytest.raises(ValueError, match="same bins"):
            stability.psi(old, new, FLOOR)


Y, SCORE = [0, 0, 1, 0, 1, 1], [1.0, 2.0, 2.0, 3.0, 4.0, 5.0]


def test_auc_by_counting_pairs() -> None:
    found = evaluable(discrimination.auc(Y, SCORE))
    # defaulters 2, 4, 5 against 1, 2, 3: (1 + 1/2 + 0) + 3 + 3 of 9
    assert found.auc == pytest.approx(7.5 / 9)
    v10, v01 = evaluable(discrimination.placements(Y, SCORE))
    assert v10.tolist() == pytest.approx([0.5, 1, 1])
    assert v01.tolist() == pytest.approx([1, 2.5 / 3, 2 / 3])
    assert found.variance == pytest.approx(np.var([0.5, 1, 1], ddof=1) / 3 + np.var([1, 2.5 / 3, 2 / 3], ddof=1) / 3)
    assert (found.defaults, found.others) == (3, 3)
    assert found.gini == pytest.approx(2 * 7.5 / 9 - 1)
    half = stats.norm.ppf(0.975) * math.sqrt(found.variance or 0)
    assert evaluable(found.interval(0.95)) == pytest.approx((found.auc - half, min(1.0, found.auc + half)))
    narrow = evaluable(found.interval(0.5))
    assert narrow == pytest.approx(
        (found.auc - stats.norm.ppf(0.75) * math.sqrt(found.variance or 0),
         min(1, found.auc + stats.norm.ppf(0.75) * math.sqrt(found.variance or 0)))
    )  # fmt: skip
    low = discrimination.Auc(0.1, 0.04, 3, 3)
    assert evaluable(low.interval(0.95))[0] == 0.0


def test_auc_needs_both_classes_and_finite_scores() -> None:
    assert reason(discrimination.auc([], [])) == "the sample is empty"
    assert reason(discrimination.auc([1, 1], [1, 2])) == "the sample holds only one outcome class"
    assert reason(discrimination.auc([0, 0], [1, 2])) == "the sample holds only one outcome class"
    assert reason(discrimination.auc([0, 1], [1, math.inf])) == "a score is not finite"
    assert evaluable(discrimination.auc([0, 0, 1], [1, 2, 3])).variance is None
    assert evaluable(discrimination.auc([0, 1, 1], [1, 2, 3])).variance is None
    for y, s in (([0, 2], [1, 2]), ([0, 1], [1]), ([[0, 1]], [[1, 2]])):
        with pytest.raises(ValueError, match=r"0 or 1|one length"):
            discrimination.auc(y, s)
    flat = evaluable(discrimination.auc([0, 0, 1, 1], [1, 1, 1, 1]))
    assert (flat.auc, flat.variance) == (0.5, 0.0)
    assert "variance" in reason(flat.interval(0.9))
    assert "two rows" in reason(evaluable(discrimination.auc([0, 0, 1], [1, 2, 3])).interval(0.9))


def test_a_fall_of_the_auc() -> None:
    now = discrimination.Auc(0.7, 0.0025, 50, 50)
    found = evaluable(discrimination.auc_change(0.8, now))
    assert (found.statistic, found.p_value) == (pytest.approx(2.0), pytest.approx(stats.norm.sf(2.0)))
    sure = discrimination.Auc(0.7, 1e-6, 50, 50)
    assert evaluable(discrimination.auc_change(0.701, sure)).statistic == pytest.approx(1.0)
    half = stats.norm.ppf(0.975) * 0.001
    assert evaluable(sure.interval(0.95)) == pytest.approx((0.7 - half, 0.7 + half), rel=1e-9)
    for variance in (None, 0.0):
        assert "variance" in reason(discrimination.auc_change(0.8, discrimination.Auc(0.7, variance, 1, 1)))


def test_two_scores_on_the_same_rows() -> None:
    other = [1.0, 3.0, 2.0, 2.5, 0.5, 5.0]
    found = evaluable(discrimination.paired(Y, SCORE, other))
    a, b = evaluable(discrimination.placements(Y, SCORE)), evaluable(discrimination.placements(Y, other))
    variance = sum(np.var(x - z, ddof=1) / 3 for x, z in zip(a, b, strict=True))
    assert found.variance == pytest.approx(variance)
    assert (found.first, found.second) == (pytest.approx(a[0].mean()), pytest.approx(b[0].mean()))
    assert found.z == pytest.approx((found.first - found.second) / math.sqrt(variance))
    assert found.p_value == pytest.approx(2 * stats.norm.sf(abs(found.z)))
    half = stats.norm.ppf(0.95) * math.sqrt(variance)
    gain = found.first - found.second
    assert found.interval(0.9) == pytest.approx((gain - half, gain + half))
    turned = evaluable(discrimination.paired(Y, other, SCORE))
    assert (turned.z, turned.p_value) == (pytest.approx(-found.z), pytest.approx(found.p_value))
    # two rows in each class are enough: placements [1/2, 1] and [1, 1/2] against perfect ones
    two = evaluable(discrimination.paired([0, 0, 1, 1], [1, 3, 2, 4], [1, 2, 3, 4]))
    assert (two.first, two.second, two.variance) == (0.75, 1.0, pytest.approx(2 * 0.125 / 2))
    # rows enough for a variance below a thousandth
    y = [0, 1] * 300
    some, others = ([math.sin(k * place) + 0.5 * (place % 2) for place in range(600)] for k in (7, 7.01))
    many, a, b = (
        evaluable(discrimination.paired(y, some, others)), evaluable(discrimination.auc(y, some)),
        evaluable(discrimination.auc(y, others)),
    )  # fmt: skip
    assert 0.0 < many.variance < 0.001
    assert many.z == pytest.approx((a.auc - b.auc) / math.sqrt(many.variance))
    assert "alike" in reason(discrimination.paired(Y, SCORE, [2 * s for s in SCORE]))
    assert "two rows" in reason(discrimination.paired([0, 0, 1], [1, 2, 3], [3, 2, 1]))
    assert "two rows" in reason(discrimination.paired([0, 1, 1], [1, 2, 3], [3, 2, 1]))
    assert "one outcome" in reason(discrimination.paired([1, 1], [1, 2], [2, 1]))
    assert "finite" in reason(discrimination.paired([0, 1], [1, 2], [2, math.nan]))


def test_hanley_mcneil_by_its_formula() -> None:
    a = 0.8
    q1, q2 = a / (2 - a), 2 * a * a / (1 + a)
    right = math.sqrt((a * (1 - a) + 9 * (q1 - a * a) + 19 * (q2 - a * a)) / (10 * 20))
    assert discrimination.hanley_mcneil(a, 10, 20) == pytest.approx(right)
    assert discrimination.hanley_mcneil(1.0, 1, 1) == 0.0
    for bad, good in ((0, 5), (5, 0)):
        assert "one outcome" in reason(discrimination.hanley_mcneil(a, bad, good))
    assert discrimination.hanley_mcneil(a, 1, 1) == pytest.approx(math.sqrt(a * (1 - a)))


def test_ks_names_the_lowest_score_of_the_largest_gap() -> None:
    found = evaluable(discrimination.ks([0, 0, 1, 0, 1, 1], [1, 2, 3, 4, 5, 6]))
    assert (found.distance, found.at) == (pytest.approx(2 / 3), 2.0)
    uneven = evaluable(discrimination.ks([0, 0, 0, 1, 0], [1, 2, 3, 4, 5]))
    assert (uneven.distance, uneven.at) == (0.75, 3.0)
    assert reason(discrimination.ks([], [])) == "the sample is empty"
    assert "one outcome" in reason(discrimination.ks([1, 1], [1, 2]))
    assert "one outcome" in reason(discrimination.ks([0, 0], [1, 2]))
    assert "finite" in reason(discrimination.ks([0, 1], [1, math.nan]))


def test_the_curve_goes_from_corner_to_corner_and_is_thinned() -> None:
    curve = evaluable(discrimination.roc(Y, SCORE))
    assert curve.tolist() == pytest.approx(np.array([
        [0, 0], [0, 1 / 3], [0, 2 / 3], [1 / 3, 2 / 3], [2 / 3, 1], [1, 1],
    ]))  # fmt: skip
    random = np.random.default_rng(0)
    many = evaluable(discrimination.roc(random.integers(0, 2, 900), random.random(900)))
    assert len(many) == 200
    assert (many[0].tolist(), many[-1].tolist()) == ([0, 0], [1, 1])
    few = evaluable(discrimination.roc([0, 1, 0], [1, 2, 3], points=3))
    assert len(few) == 3
    assert len(evaluable(discrimination.roc([0, 1, 0], [1, 2, 3], points=4))) == 4
    assert reason(discrimination.roc([], [])) == "the sample is empty"
    assert "one outcome" in reason(discrimination.roc([1], [1.0]))
    assert "one outcome" in reason(discrimination.roc([0], [1.0]))
