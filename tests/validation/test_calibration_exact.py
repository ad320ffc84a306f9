"""Calibration of small samples, by hand or by a formula of one line: what a wrong sign, bound or constant would change.

Light on purpose (numpy and scipy alone), since mutation testing runs it hundreds of times.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import integrate, optimize, special, stats

from strongroom.validation.results import NotEvaluable, evaluable
from strongroom.validation.statistics import calibration


def reason(found: object) -> str:
    assert isinstance(found, NotEvaluable)
    return found.reason


def test_jeffreys_is_the_beta_posterior() -> None:
    for n, d in ((1, 0), (1, 1), (5, 0), (5, 2), (5, 5)):
        assert calibration.jeffreys(n, d, 0.3) == pytest.approx(stats.beta.cdf(0.3, d + 0.5, n - d + 0.5))
        low, high = evaluable(calibration.jeffreys_interval(n, d, 0.9))
        assert low == (0.0 if d == 0 else pytest.approx(stats.beta.ppf(0.05, d + 0.5, n - d + 0.5)))
        assert high == (1.0 if d == n else pytest.approx(stats.beta.ppf(0.95, d + 0.5, n - d + 0.5)))


COUNTED: list[Callable[[int, int], Any]] = [
    lambda n, d: calibration.jeffreys(n, d, 0.1),
    lambda n, d: calibration.jeffreys_interval(n, d, 0.9),
    lambda n, d: calibration.binomial(n, d, 0.1),
    lambda n, d: calibration.binomial_correlated(n, d, 0.1, 0.2),
]


@pytest.mark.parametrize("function", COUNTED)
def test_defaults_are_among_the_obligors(function: Callable[[int, int], Any]) -> None:
    assert reason(function(0, 0)) == "the grade is empty"
    for n, d in ((5, -1), (5, 6), (1, 2)):
        with pytest.raises(ValueError, match="defaults are 0 to n"):
            function(n, d)
    for n, d in ((5, 0), (5, 5), (1, 0), (1, 1)):
        evaluable(function(n, d))


def test_a_scale_is_its_grades_and_their_sum() -> None:
    found = calibration.jeffreys_scale([100, 0, 1], [1, 0, 1], [0.01, 0.05, 0.2])
    assert found.grades[0] == calibration.jeffreys(100, 1, 0.01)
    assert reason(found.grades[1]) == "the grade is empty"
    assert found.portfolio_pd == pytest.approx(1.2 / 101)
    assert found.portfolio == calibration.jeffreys(101, 2, 1.2 / 101)
    one = calibration.jeffreys_scale([1], [0], [0.1])
    assert one.portfolio == one.grades[0] == calibration.jeffreys(1, 0, 0.1)
    none = calibration.jeffreys_scale([0, 0], [0, 0], [0.1, 0.2])
    assert [reason(p) for p in none.grades] == ["the grade is empty"] * 2
    assert reason(none.portfolio) == reason(none.portfolio_pd) == "the portfolio is empty"
    for n, d, pd in (([1, 2], [0, 0], [0.1]), ([1, 2], [0], [0.1, 0.2]), ([1], [0], [0.1, 0.2])):
        with pytest.raises(ValueError, match="zip"):
            calibration.jeffreys_scale(n, d, pd)


def test_holm_by_hand() -> None:
    assert calibration.holm([0.02, 0.01, 0.5, 0.02]) == pytest.approx((0.06, 0.04, 0.5, 0.06))
    assert calibration.holm([0.9, 0.8]) == (1.0, 1.0)
    assert calibration.holm([]) == ()
    assert calibration.holm([0.0001]) == (0.0001,)


def test_the_upper_tail_counts_the_figure_itself() -> None:
    # of two coins: none or more, one or more, two
    assert [calibration.binomial(2, d, 0.5) for d in (0, 1, 2)] == pytest.approx([1.0, 0.75, 0.25])


def test_a_common_factor_fattens_the_tail() -> None:
    def tail(z: float) -> float:
        rate = stats.norm.cdf((stats.norm.ppf(0.1) - math.sqrt(0.2) * z) / math.sqrt(0.8))
        return float((1 - (1 - rate) ** 3 - 3 * rate * (1 - rate) ** 2) * stats.norm.pdf(z))

    assert calibration.binomial_correlated(3, 2, 0.1, 0.2) == pytest.approx(integrate.quad(tail, -9, 9)[0], abs=1e-10)
    assert calibration.binomial_correlated(3, 0, 0.1, 0.2) == pytest.approx(1.0, abs=1e-10)


def test_without_correlation_or_doubt_it_is_the_binomial_figure_to_the_last_digit() -> None:
    for n, d, pd, correlation in ((40, 3, 0.07, 0.0), (7, 2, 0.3, 0.0), (5, 1, 0.0, 0.3), (5, 5, 1.0, 0.3)):
        assert calibration.binomial_correlated(n, d, pd, correlation) == calibration.binomial(n, d, pd)
    for wrong in (-0.1, 1.0, 1.5):
        with pytest.raises(ValueError, match="a correlation is 0 to below 1"):
            calibration.binomial_correlated(5, 1, 0.1, wrong)


def test_critical_defaults_is_the_first_that_a_walk_from_zero_meets() -> None:
    def walked(n: int, pd: float, confidence: float) -> int:
        d = 0
        while d <= n and stats.binom.sf(d - 1, n, pd) > 1.0 - confidence:
            d += 1
        return d

    for n in (1, 2, 7, 20):
        for pd in (0.01, 0.2, 0.5, 0.95):
            for confidence in (0.0, 0.5, 0.9, 0.999):
                assert calibration.critical_defaults(n, pd, confidence) == walked(n, pd, confidence)
    # the tail of one default of one obligor is 1/2, which is at most 1 - 1/2
    assert calibration.critical_defaults(1, 0.5, 0.5) == 1
    assert calibration.critical_defaults(1, 0.5, 0.95) == 2
    assert calibration.critical_defaults(3, 0.2, 0.0) == 0
    assert reason(calibration.critical_defaults(0, 0.5, 0.9)) == "the grade is empty"
    free, bound = (evaluable(calibration.critical_defaults(200, 0.05, 0.99, c)) for c in (0.0, 0.2))
    assert free < bound
    for d, beyond in ((bound, True), (bound - 1, False)):
        assert (evaluable(calibration.binomial_correlated(200, d, 0.05, 0.2)) <= 0.01) is beyond


def test_brier_by_hand() -> None:
    assert calibration.brier([0, 1], [0.2, 0.6]) == pytest.approx((0.04 + 0.16) / 2)
    assert calibration.brier([1], [0.5]) == 0.25
    assert calibration.brier([0, 1], [0.0, 1.0]) == 0.0
    assert reason(calibration.brier([], [])) == "the sample is empty"


def test_outcomes_and_probabilities_are_what_they_are_called() -> None:
    for y, p, words in (
        ([0, 1], [0.1], "one length"), ([[0, 1]], [[0.1, 0.2]], "one length"), ([0, 2], [0.1, 0.2], "is 0 or 1"),
        ([0, 1], [-0.1, 0.2], "is 0 to 1"),
        ([0, 1], [0.1, 1.0005], "is 0 to 1"), ([0, 1], [0.1, math.nan], "is 0 to 1"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            calibration.brier(y, p)


def test_murphy_by_hand() -> None:
    # 1 of 4, 3 of 5, nobody, 1 of 1; the empty grade has no PD
    n, d, pd = [4, 5, 0, 1], [1, 3, 0, 1], [0.2, 0.5, math.nan, 0.9]
    found = evaluable(calibration.murphy(n, d, pd))
    assert found.reliability == pytest.approx((4 * 0.05**2 + 5 * 0.1**2 + 0.1**2) / 10)
    assert found.resolution == pytest.approx((4 * 0.25**2 + 5 * 0.1**2 + 0.5**2) / 10)
    assert found.uncertainty == 0.25
    score = (1 * 0.8**2 + 3 * 0.2**2 + 3 * 0.5**2 + 2 * 0.5**2 + 0.1**2) / 10
    assert found.brier == pytest.approx(score)
    assert found.skill == pytest.approx(1 - score / 0.25)
    assert calibration.calibration_error(n, d, pd) == pytest.approx((0.2 + 0.5 + 0.1) / 10)
    assert calibration.calibration_error([1], [1], [0.7]) == pytest.approx(0.3)
    rare = evaluable(calibration.murphy([10_000], [1], [0.0001]))
    assert rare.skill == pytest.approx(0.0, abs=1e-9)
    for bad in ([0, 0], [2, 3]):
        assert reason(evaluable(calibration.murphy([2, 3], bad, [0.1, 0.2])).skill) == (
            "the sample holds only one outcome class"
        )
    assert reason(calibration.murphy([0, 0], [0, 0], [0.1, 0.2])) == "the sample is empty"
    assert reason(calibration.calibration_error([0, 0], [0, 0], [0.1, 0.2])) == "the sample is empty"


def test_a_line_through_two_predictions_is_solved_by_their_rates() -> None:
    # 4 of 10 where 0.2 was said, 6 of 8 where 0.6 was: as many coefficients as groups
    y = np.repeat([1, 0, 1, 0], [4, 6, 6, 2])
    found = evaluable(calibration.calibration_line(y, np.repeat([0.2, 0.6], [10, 8])))
    x1, x2 = special.logit(0.2), special.logit(0.6)
    l1, l2 = special.logit(0.4), special.logit(0.75)
    v1, v2 = 1 / (10 * 0.4 * 0.6), 1 / (8 * 0.75 * 0.25)
    assert found.slope == pytest.approx((l2 - l1) / (x2 - x1))
    assert found.intercept == pytest.approx((l1 * x2 - l2 * x1) / (x2 - x1))
    assert found.slope_se == pytest.approx(math.sqrt(v1 + v2) / (x2 - x1))
    assert found.intercept_se == pytest.approx(math.sqrt(v1 * x2**2 + v2 * x1**2) / (x2 - x1))
    assert found.intercept_p == pytest.approx(2 * stats.norm.sf(abs(found.intercept) / found.intercept_se))
    assert found.slope_p == pytest.approx(2 * stats.norm.sf(abs(found.slope - 1) / found.slope_se))
    # both at once: the distance of either rate from what was said, each in its own deviation
    assert found.joint_p == pytest.approx(stats.chi2.sf((l1 - x1) ** 2 / v1 + (l2 - x2) ** 2 / v2, 2))

    def missing(offset: float) -> float:
        return float(10 * special.expit(offset + x1) + 8 * special.expit(offset + x2) - 10)

    offset = optimize.brentq(missing, -5, 5, xtol=1e-14)
    assert found.offset == pytest.approx(offset)
    m1, m2 = special.expit(offset + x1), special.expit(offset + x2)
    assert found.offset_se == pytest.approx(1 / math.sqrt(10 * m1 * (1 - m1) + 8 * m2 * (1 - m2)))
    assert found.clipped == 0


def test_a_line_says_how_many_predictions_it_moved() -> None:
    y, p = [0, 1, 1, 0, 0, 1], [0.0, 0.0, 1.0, 1.0, 0.4, 0.4]
    found = evaluable(calibration.calibration_line(y, p, clip=0.1))
    assert found.clipped == 4
    again = evaluable(calibration.calibration_line(y, np.clip(p, 0.1, 0.9)))
    assert (again.slope, again.clipped) == (found.slope, 0)
    # one of six and one of seven on the wrong side: no leap over the maximum, however extreme what was said
    y, p = [0, 1] * 6 + [1], [0.0, 1.0] * 5 + [1.0, 0.0, 1.0]
    wild = evaluable(calibration.calibration_line(y, p, clip=1e-6))
    assert wild.slope == pytest.approx((special.logit(6 / 7) - special.logit(1 / 6)) / (2 * special.logit(1 - 1e-6)))
    assert wild.clipped == 13


@pytest.mark.parametrize(
    ("y", "p", "why"),
    [
        ([], [], "the sample is empty"), ([0], [0.5], "one outcome class"), ([0, 0], [0.1, 0.2], "one outcome class"),
        ([1, 1], [0.1, 0.2], "one outcome class"), ([0, 1], [0.3, 0.3], "all predictions are equal"),
        ([0, 1], [0.2, 0.8], "separate the classes"), ([1, 0], [1e-12, 1 - 1e-12], "separate the classes"),
    ],
)  # fmt: skip
def test_a_line_says_why_it_has_no_answer(y: list[int], p: list[float], why: str) -> None:
    assert why in reason(calibration.calibration_line(y, p))


def small(power: float) -> list[float]:
    return [math.exp(-power), math.exp(-power - 10.0)] * 2


@pytest.mark.parametrize("power", [560.0, 713.0])
def test_predictions_beyond_reach_have_a_slope_and_no_level_and_are_not_called_separated(power: float) -> None:
    # half of what was said to happen once in e^560 happened: no hundred steps of 5 bring that up to 1
    found = calibration.calibration_line([0, 0, 1, 1], small(power), clip=1e-320)
    assert reason(found) == "the intercept at slope 1 cannot be found: predictions lie too near 0 or 1"


def test_a_level_within_reach_is_found_however_far() -> None:
    found = evaluable(calibration.calibration_line([0, 0, 1, 1], small(400.0), clip=1e-320))
    assert (found.slope, found.intercept) == (pytest.approx(0.0, abs=1e-6), pytest.approx(0.0, abs=1e-6))
    # between the two groups, where one is all above and the other all below
    assert found.offset == pytest.approx(405.0, abs=1e-6)


def test_hosmer_lemeshow_by_hand() -> None:
    n, d, pd = [10, 20, 0, 50], [3, 2, 0, 12], [0.2, 0.1, 0.5, 0.2]
    found = evaluable(calibration.hosmer_lemeshow(n, d, pd))
    assert found.statistic == pytest.approx(1 / 1.6 + 0 + 4 / 8)
    assert (found.freedom, found.p_value) == (3, pytest.approx(stats.chi2.sf(found.statistic, 3)))
    inside = evaluable(calibration.hosmer_lemeshow(n, d, pd, fitted_here=True))
    assert (inside.freedom, inside.p_value) == (1, pytest.approx(stats.chi2.sf(found.statistic, 1)))
    one = evaluable(calibration.hosmer_lemeshow([1], [1], [0.5]))
    assert (one.statistic, one.freedom) == (1.0, 1)
    few = evaluable(calibration.hosmer_lemeshow([1], [0], [0.0005]))
    assert few.statistic == pytest.approx(0.0005 / 0.9995)
    # ten of twenty expected, both ways
    assert evaluable(calibration.hosmer_lemeshow([20], [10], [0.5], minimum=10)).statistic == 0.0


@pytest.mark.parametrize(
    ("n", "pd", "how", "why"),
    [
        ([], [], {}, "the sample is empty"), ([0], [0.1], {}, "the sample is empty"),
        ([10, 10], [0.0, 0.1], {}, "PD of 0 or 1"), ([10, 10], [0.1, 1.0], {}, "PD of 0 or 1"),
        ([20, 20], [0.5, 0.4], {"minimum": 9}, "fewer than 9"), ([20], [0.6005], {"minimum": 8}, "fewer than 8"),
        ([20, 20], [0.5, 0.6], {"minimum": 9}, "fewer than 9"),
        ([10, 10], [0.2, 0.1], {"fitted_here": True}, "too few grades"), ([9], [0.2], {"fitted_here": True}, "too few"),
    ],
)  # fmt: skip
def test_hosmer_lemeshow_says_why_it_has_no_answer(
    n: list[int], pd: list[float], how: dict[str, Any], why: str
) -> None:
    assert why in reason(calibration.hosmer_lemeshow(n, [0] * len(n), pd, **how))


def test_spiegelhalter_by_hand() -> None:
    found = evaluable(calibration.spiegelhalter([1, 0, 1], [0.2, 0.7, 0.5]))
    z = (0.8 * 0.6 + 0.7 * 0.4) / math.sqrt(0.36 * 0.16 + 0.16 * 0.21)
    assert (found.z, found.upper) == (pytest.approx(z), pytest.approx(stats.norm.sf(z)))
    assert found.two_sided == pytest.approx(2 * stats.norm.sf(z))
    other = evaluable(calibration.spiegelhalter([0, 1], [0.2, 0.7]))
    assert other.z < 0
    assert (other.two_sided, other.upper) == (
        pytest.approx(2 * stats.norm.sf(-other.z)), pytest.approx(stats.norm.sf(other.z))
    )  # fmt: skip
    half = evaluable(calibration.spiegelhalter([1], [0.49]))
    assert half.z == pytest.approx(0.51 * 0.02 / math.sqrt(0.02**2 * 0.49 * 0.51))
    assert reason(calibration.spiegelhalter([], [])) == "the sample is empty"
    assert "no variance" in reason(calibration.spiegelhalter([0, 1, 1], [0.0, 0.5, 1.0]))


def test_the_normal_test_by_hand() -> None:
    rates, pd = [0.02, 0.04, 0.03, 0.05, 0.01], [0.02, 0.02, 0.02, 0.02, 0.02]
    found = evaluable(calibration.normal_test(rates, pd))
    gap = np.subtract(rates, pd)
    z = gap.sum() / math.sqrt(5 * ((gap - gap.mean()) ** 2).sum() / 4)
    assert (found.z, found.upper) == (pytest.approx(z), pytest.approx(stats.norm.sf(z)))
    assert found.two_sided == pytest.approx(2 * stats.norm.sf(abs(z)))
    below = evaluable(calibration.normal_test(pd, rates))
    assert (below.z, below.two_sided, below.upper) == (
        pytest.approx(-z), pytest.approx(found.two_sided), pytest.approx(1 - found.upper)
    )  # fmt: skip
    assert "at least 5 years, there are 4" in reason(calibration.normal_test(rates[:4], pd[:4]))
    assert evaluable(calibration.normal_test(rates[:3], pd[:3], minimum_years=3)).z > 0
    assert "same in every year" in reason(calibration.normal_test([0.5] * 5, [0.25] * 5))
