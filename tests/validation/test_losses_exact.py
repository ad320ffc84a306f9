"""Losses and their order, counted by hand: what a wrong sign, bound or constant would change.

Light on purpose (numpy and scipy alone), since mutation testing runs it hundreds of times.
"""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from scipy import stats

from strongroom.validation.results import NotEvaluable, evaluable
from strongroom.validation.statistics import losses, ordering
from strongroom.validation.statistics.spread import alike


def reason(found: object) -> str:
    assert isinstance(found, NotEvaluable)
    return found.reason


def test_a_t_test_of_three_rows() -> None:
    found = evaluable(losses.t_test([0.5, 0.9, 0.4], [0.2, 0.5, 0.5], 0.8))
    mean = (0.3 + 0.4 - 0.1) / 3
    variance = ((0.3 - mean) ** 2 + (0.4 - mean) ** 2 + (-0.1 - mean) ** 2) / 2
    error = math.sqrt(variance / 3)
    assert (found.mean_difference, found.variance, found.n) == (pytest.approx(mean), pytest.approx(variance), 3)
    assert found.statistic == pytest.approx(mean / error)
    # Student's t of two degrees of freedom has a distribution function in closed form
    t = mean / error
    upper = 0.5 - t / (2 * math.sqrt(2 + t * t))
    assert (found.upper, found.two_sided) == (pytest.approx(upper), pytest.approx(2 * upper))
    reach = (1 - 2 * 0.1) * math.sqrt(2 / (4 * 0.1 * 0.9)) * error
    assert found.interval == pytest.approx((mean - reach, mean + reach))
    below = evaluable(losses.t_test([0.2, 0.5, 0.5], [0.5, 0.9, 0.4], 0.8))
    assert (below.statistic, below.two_sided) == (pytest.approx(-t), pytest.approx(2 * upper))


def test_two_rows_are_enough_and_the_usual_level_is_95_percent() -> None:
    # with one degree of freedom the t distribution is Cauchy's
    found = evaluable(losses.t_test([0.0004, 0.0002], [0.0, 0.0]))
    assert found.statistic == pytest.approx(3.0)
    assert found.upper == pytest.approx(0.5 - math.atan(3.0) / math.pi)
    reach = math.tan(math.pi * 0.475) * 0.0001
    assert found.interval == pytest.approx((0.0003 - reach, 0.0003 + reach))
    parts = evaluable(losses.buckets([0.0004, 0.0002], [0.0, 0.0], []))
    assert evaluable(parts[0].test).interval == found.interval


def test_values_are_alike_up_to_the_rounding_of_what_they_came_from() -> None:
    assert alike([0.5])
    assert alike([-2.0, -2.0, -2.0 * (1 - 1e-14)])
    assert not alike([1.0, 1.0 + 1e-11])
    assert not alike([1e-30, 2e-30])
    # a difference of two large amounts is told to their last digits and no further
    assert alike([1e-5, 2e-5], [1e8, 1e8], [1e8, -1e8])
    assert not alike([1e-3, 2e-3], [1e8, 1e8])


def test_what_a_t_test_cannot_say() -> None:
    assert reason(losses.t_test([0.3], [0.2])) == "a t-test needs two rows at least"
    for came, told in (
        ([0.0, 0.0], [0.0, 0.0]), ([1e9 + 0.1, 3e9 + 0.2], [1e9, 3e9 + 0.1]), ([5.0, 7.0], [1e14 + 5.0, 1e14 + 7.0]),
    ):  # fmt: skip
        assert reason(losses.t_test(came, told)) == "all differences are equal, so they have no variance"
    assert reason(losses.t_test([1e-200, 3e-200], [0.0, 0.0])).endswith("too small to have a variance in float64")


def test_shortfall_and_deviation_of_amounts() -> None:
    exposure, came, told = [100.0, 0.0, 50.0], [0.5, 9.0, 0.2], [0.4, 1.0, 0.1]
    assert losses.loss_shortfall(exposure, came, told) == pytest.approx(1 - 45 / 60)
    assert losses.mean_absolute_deviation(exposure, came, told) == pytest.approx(15 / 150)
    assert losses.loss_shortfall([0.0005], [1.0], [0.4]) == pytest.approx(0.6)
    assert losses.mean_absolute_deviation([0.0005], [1.0], [0.4]) == pytest.approx(0.6)
    assert losses.loss_shortfall([1.0, 1.0], [0.0004, 0.0], [0.0004, 0.0001]) == pytest.approx(-0.25)


def test_what_totals_cannot_say() -> None:
    nothing = "nothing was lost in total, so there is nothing to fall short of"
    assert reason(losses.loss_shortfall([1.0], [0.0], [0.4])) == nothing
    assert reason(losses.loss_shortfall([1.0, 1.0], [0.1, -0.2], [0.4, 0.4])) == nothing
    assert reason(losses.loss_shortfall([1.0], [1e-300], [1e300])) == "the realised total is too small to divide by"
    assert reason(losses.mean_absolute_deviation([0.0], [1.0], [0.4])) == "the exposures are 0 in total"
    for figure in (losses.loss_shortfall, losses.mean_absolute_deviation):
        for weight in ([-0.0005, 1.0], [math.nan, 1.0], [math.inf, 1.0]):
            assert reason(figure(weight, [1.0, 1.0], [1.0, 1.0])) == "an exposure is below 0 or not finite"
        with pytest.raises(ValueError, match="each row has an exposure"):
            figure([1.0], [1.0, 1.0], [1.0, 1.0])
        assert reason(figure([], [], [])) == "the sample is empty"


def test_r_squared_by_hand() -> None:
    assert losses.r_squared([0.1, 0.2, 0.6], [0.2, 0.2, 0.3]) == pytest.approx(1 - 0.10 / 0.14)
    assert losses.r_squared([0.01, 0.02], [0.01, 0.03]) == pytest.approx(1 - 1e-4 / 5e-5)
    for flat in ([0.0, 0.0], [1e9, 1e9 + 2e-7]):
        assert (
            reason(losses.r_squared(flat, [1.0, 2.0]))
            == "all realised values are equal, so there is nothing to explain"
        )
    little = "the outcomes vary too little for float64"
    assert reason(losses.r_squared([1e-200, 3e-200], [0.0, 0.0])) == little
    assert reason(losses.r_squared([1e-160, 3e-160], [1e10, 0.0])) == little
    assert reason(losses.r_squared([], [])) == "the sample is empty"


@pytest.mark.parametrize(
    "figure",
    [losses.t_test, losses.r_squared, ordering.segmented, ordering.somers_d, lambda a, b: losses.buckets(a, b, [0.5])],
)
def test_pairs_of_numbers_and_nothing_else(figure: object) -> None:
    assert callable(figure)
    for came, told in (([[1.0, 2.0]], [[1.0, 2.0]]), ([1.0, 2.0], [1.0]), (1.0, 1.0)):
        with pytest.raises(ValueError, match="two vectors of one length"):
            figure(came, told)
    for came, told in (([1.0, math.nan], [1.0, 2.0]), ([1.0, 2.0], [math.inf, 2.0])):
        assert reason(figure(came, told)) == "a realised value or an estimate is not finite"
    assert reason(figure([], [])) in ("the sample is empty", "there are no two rows to compare")


def test_buckets_are_closed_above() -> None:
    came, told = [0.3, 0.5, 0.9, 0.7], [0.1, 0.2, 0.3, 0.3]
    low, middle, high = evaluable(losses.buckets(came, told, [0.2, 0.25], 0.5))
    assert (low.upper, low.n, low.estimated, low.realised) == (0.2, 2, pytest.approx(0.15), pytest.approx(0.4))
    assert evaluable(low.test) == losses.t_test([0.3, 0.5], [0.1, 0.2], 0.5)
    assert (middle.upper, middle.n, middle.estimated, middle.realised) == (0.25, 0, None, None)
    assert reason(middle.test) == "the sample is empty"
    assert (high.upper, high.n, high.estimated, high.realised) == (None, 2, pytest.approx(0.3), pytest.approx(0.8))
    turned = evaluable(losses.buckets(came, told, [0.5], by=[1.0, 0.5, 0.5, 0.5]))
    assert [part.n for part in turned] == [3, 1]


def test_exposures_by_hand() -> None:
    found = losses.exposures([100.0, 50.0, 30.0, 10.0, 10.0005], [40.0, 80.0, -5.0, 0.0, 10.0], [0.5] * 5, [1.0] * 5)
    assert found.undrawn == pytest.approx([60.0, 0.0, 30.0, 10.0, 0.0005], rel=1e-9, abs=0)
    assert found.realised == pytest.approx([70.0, 80.0, 15.0, 5.0, 10.00025])
    assert found.estimated == pytest.approx([100.0, 80.0, 30.0, 10.0, 10.0005])
    assert found.convertible.tolist() == [True, False, True, True, True]
    assert found.below_zero == 1


def test_shares_outside_leave_out_the_ends() -> None:
    assert losses.share_outside([-0.2, 0.0, 0.0005, 1.0]) == (0.25, 0.0)
    assert losses.share_outside([0.0, 1.0, 1.0005, 3.0, 0.5]) == (0.0, 0.4)
    assert losses.share_outside([2.0, 5.0], 2.0, 4.0) == (0.0, 0.5)
    assert losses.share_outside([2.0]) == (0.0, 1.0)
    assert reason(losses.share_outside([])) == "the sample is empty"
    assert reason(losses.share_outside([1.0, math.nan])) == "a value is not finite"


def counted(table: np.ndarray) -> tuple[float, float]:
    """Somers' D and the standard error of the generalised AUC, cell against cell."""
    cells = list(product(range(table.shape[0]), range(table.shape[1])))
    total = table.sum()
    apart = total * total - sum(table[i].sum() ** 2 for i in range(table.shape[0]))
    gap = {(i, j): sum(float(table[k, m]) * np.sign(k - i) * np.sign(m - j) for k, m in cells) for i, j in cells}
    difference = sum(table[cell] * gap[cell] for cell in cells)
    spread = sum(table[i, j] * (apart * gap[i, j] - difference * (total - table[i].sum())) ** 2 for i, j in cells)
    return difference / apart, math.sqrt(spread) / apart**2


@pytest.mark.parametrize(
    "table",
    [
        [[5, 2, 0], [1, 7, 3], [2, 0, 4], [0, 1, 6]], [[1, 0], [0, 1]], [[2.0, 0.0], [0.0001, 0.0]], [[0, 3], [4, 0]],
        [[3, 1, 2]] * 2,
    ],
)  # fmt: skip
def test_the_generalised_auc_cell_against_cell(table: list[list[float]]) -> None:
    counts = np.array(table, float)
    somers, error = counted(counts)
    found = evaluable(ordering.gauc_table(table))
    assert (found.somers_d, found.value) == (pytest.approx(somers), pytest.approx((somers + 1) / 2))
    assert found.error == pytest.approx(error, abs=1e-12)
    assert found.n == int(counts.sum())


def test_what_a_table_cannot_say() -> None:
    assert reason(ordering.gauc_table([[1, 0], [0, 0]])) == "there are no two rows to compare"
    assert reason(ordering.gauc_table([[2, 5], [0, 0]])).startswith("all outcomes lie in one segment")
    for wrong in ([1, 2], [[1, -1], [0, 1]], [[1, math.nan], [0, 1]], [[math.inf, 1], [0, 1]]):
        with pytest.raises(ValueError, match="a contingency table has counts"):
            ordering.gauc_table(wrong)


def test_the_interval_of_a_generalised_auc_is_cut() -> None:
    middle = ordering.GeneralisedAuc(0.0, 0.5, 0.0005, 9)
    reach = stats.norm.ppf(0.95) * 0.0005
    assert evaluable(middle.interval(0.9)) == pytest.approx((0.5 - reach, 0.5 + reach), rel=1e-9)
    assert evaluable(ordering.GeneralisedAuc(0.0, 0.5, 0.4, 9).interval(0.95)) == (0.0, 1.0)
    assert reason(ordering.GeneralisedAuc(1.0, 1.0, 0.0, 9).interval(0.9)).startswith("the order is perfect")
    change = evaluable(ordering.gauc_change(0.5008, middle))
    assert (change.statistic, change.p_value) == (pytest.approx(1.6), pytest.approx(stats.norm.sf(1.6)))
    assert reason(ordering.gauc_change(0.5, ordering.GeneralisedAuc(1.0, 1.0, 0.0, 9))).startswith(
        "the order is perfect"
    )


def test_up_to_twenty_estimates_are_grades_and_more_are_cut_at_fixed_ends() -> None:
    grades = np.arange(20) / 20
    table = evaluable(ordering.segmented(grades + 0.0249, grades))
    assert table.tolist() == np.eye(20, dtype=int).tolist()
    assert evaluable(ordering.segmented(grades + 0.0251, grades))[1, 0] == 1
    ends = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    many = np.array([-1.0, *ends, *np.linspace(0.01, 0.02, 9)])
    table = evaluable(ordering.segmented(np.r_[many[:12], np.full(9, 2.0)], many))
    assert table.shape == (12, 12)
    assert table.diagonal().tolist() == [1] * 12
    assert table[11, 0] == 9
    assert table.sum() == 21
    assert evaluable(ordering.gauc(many, many)).value == 1.0
    two = evaluable(ordering.segmented([0.1, 0.2], [0.3, 0.5]))
    assert two.tolist() == [[1, 1], [0, 0]]
    same = "all estimates are equal, so they put nothing in order"
    assert reason(ordering.segmented([0.1, 0.2], [0.3, 0.3])) == reason(ordering.gauc([0.1, 0.2], [0.3, 0.3])) == same


def test_somers_d_pair_against_pair() -> None:
    came, told = [1.0, 2.0, 2.0, 3.0, 5.0, 5.0, 5.0], [0.1, 0.3, 0.3, 0.2, 0.2, 0.9, 0.9]
    pairs = [(i, j) for i in range(7) for j in range(i) if came[i] != came[j]]
    concordant = sum(np.sign(came[i] - came[j]) * np.sign(told[i] - told[j]) for i, j in pairs)
    assert ordering.somers_d(came, told) == pytest.approx(concordant / len(pairs))
    assert ordering.somers_d([1.0, 2.0], [2.0, 1.0]) == -1.0
    assert ordering.somers_d([1.0, 2.0], [2.0, 2.0]) == 0.0
    assert reason(ordering.somers_d([1.0], [2.0])) == "there are no two rows to compare"
    assert reason(ordering.somers_d([1.0, 1.0], [2.0, 3.0])).startswith("all outcomes are equal")
