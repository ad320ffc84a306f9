"""How far groups are apart, counted by hand: what a wrong sign, bound or constant would change.

Light on purpose (numpy and scipy alone), since mutation testing runs it hundreds of times.
"""

from __future__ import annotations

import math

import pytest
from scipy import stats

from strongroom.validation.results import NotEvaluable, evaluable
from strongroom.validation.statistics import calibration, disparity, fairness


def reason(found: object) -> str:
    assert isinstance(found, NotEvaluable)
    return found.reason


def exact(a: int, n: int, c: int, m: int) -> float:
    """Fisher's two-sided p-value, from binomial coefficients."""
    total = a + c
    chances = {k: math.comb(n, k) * math.comb(m, total - k) for k in range(max(0, total - m), min(n, total) + 1)}
    return sum(chance for chance in chances.values() if chance <= chances[a]) / sum(chances.values())


def score_ends(hits: int, n: int, level: float) -> tuple[float, float]:
    """Wilson's interval as the roots of the quadratic that defines it."""
    z2 = stats.norm.ppf((1 + level) / 2) ** 2
    a, b, c = n + z2, -(2 * hits + z2), hits * hits / n
    root = math.sqrt(b * b - 4 * a * c)
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


def test_wilson_holds_the_quadratic() -> None:
    for hits, n, level in ((3, 10, 0.95), (1, 40, 0.8), (39, 40, 0.99), (5, 9, 0.5)):
        assert disparity.wilson(hits, n, level) == pytest.approx(score_ends(hits, n, level))
    # nobody and everybody: the ends are 0 and 1, and rounding does not carry them out of the range
    assert all(0.0 <= disparity.wilson(0, n, 0.9)[0] < 1e-12 for n in range(1, 60))
    assert all(1.0 - 1e-12 < disparity.wilson(n, n, 0.9)[1] <= 1.0 for n in range(1, 60))


def test_a_gap_of_two_rates() -> None:
    found = evaluable(disparity.rate_gap(12, 30, 5, 40, 0.9))
    (low, high), (other_low, other_high) = score_ends(12, 30, 0.9), score_ends(5, 40, 0.9)
    assert found.difference == pytest.approx(0.4 - 0.125)
    below = 0.275 - math.sqrt((0.4 - low) ** 2 + (other_high - 0.125) ** 2)
    above = 0.275 + math.sqrt((high - 0.4) ** 2 + (0.125 - other_low) ** 2)
    assert found.interval == pytest.approx((below, above))
    assert found.fisher_p == pytest.approx(exact(12, 30, 5, 40))
    usual = evaluable(disparity.rate_gap(12, 30, 5, 40))
    assert usual == disparity.rate_gap(12, 30, 5, 40, 0.95)
    most, least = (evaluable(disparity.rate_gap(*counts)) for counts in ((1, 1, 0, 1), (0, 1, 1, 1)))
    assert (most.difference, most.interval[1]) == (1.0, 1.0)
    assert (least.difference, least.interval[0]) == (-1.0, -1.0)
    assert most.interval[0] > -0.999
    for counts in ((0, 0, 1, 2), (1, 2, 0, 0)):
        assert reason(disparity.rate_gap(*counts)) == "a group is empty"
    for counts in ((3, 2, 1, 2), (-1, 2, 1, 2), (1, 2, 3, 2), (1, 2, -1, 2), (0, -1, 1, 2)):
        with pytest.raises(ValueError, match="0 to n hits"):
            disparity.rate_gap(*counts)
    assert evaluable(disparity.rate_gap(0, 1, 0, 1)).difference == 0.0


def test_a_gap_of_two_means() -> None:
    a, b = [1.0, 2.0, 6.0], [2.0, 4.0, 5.0, 9.0]
    found = evaluable(disparity.mean_gap(a, b, 0.8))
    both = ((4 + 1 + 9) / 2 + (9 + 1 + 0 + 16) / 3) / 2
    mean = 29 / 7
    total = sum((x - mean) ** 2 for x in (*a, *b)) / 6
    d = (3 - 5) / math.sqrt(both)
    half = stats.norm.ppf(0.9) * math.sqrt(7 / 12 + d * d / 14)
    assert (found.pooled, found.overall) == (pytest.approx(d), pytest.approx(-2 / math.sqrt(total)))
    assert found.interval == pytest.approx((d - half, d + half))
    assert disparity.mean_gap(a, b) == disparity.mean_gap(a, b, 0.95)
    two = evaluable(disparity.mean_gap([0.01, 0.02], [0.02, 0.03]))
    assert two.pooled == pytest.approx(-math.sqrt(2))
    # one group of equal scores beside one that varies: variances 0 and 2, whose mean is 1
    for flat in (([1.0, 1.0], [2.0, 4.0]), ([2.0, 4.0], [5.0, 5.0])):
        assert evaluable(disparity.mean_gap(*flat)).pooled == pytest.approx(-2.0)
    for few in (([1.0], b), (b, [1.0])):
        assert reason(disparity.mean_gap(*few)) == "each group needs two rows"
    for flat in (([1.0, 1.0], [2.0, 2.0]), ([1.0, 1.0], [1.0, 1.0])):
        assert reason(disparity.mean_gap(*flat)) == "all scores of each group are equal"


def test_common_odds_of_two_strata() -> None:
    found = evaluable(disparity.common_odds([(3, 10, 8, 12), (4, 9, 11, 15)], 0.9))
    # favoured and refused of the group, favoured and refused of the reference group, all
    strata = [(3, 7, 8, 4, 22), (4, 5, 11, 4, 24)]
    r = [a * d / n for a, b, c, d, n in strata]
    s = [b * c / n for a, b, c, d, n in strata]
    p = [(a + d) / n for a, b, c, d, n in strata]
    q = [(b + c) / n for a, b, c, d, n in strata]
    assert found.ratio == pytest.approx(sum(r) / sum(s))
    parts = [
        sum(x * y for x, y in zip(p, r, strict=True)) / (2 * sum(r) ** 2),
        sum(x * z + w * y for x, w, y, z in zip(p, q, r, s, strict=True)) / (2 * sum(r) * sum(s)),
        sum(w * z for w, z in zip(q, s, strict=True)) / (2 * sum(s) ** 2),
    ]
    half = stats.norm.ppf(0.95) * math.sqrt(sum(parts))
    assert evaluable(found.interval) == pytest.approx((found.ratio * math.exp(-half), found.ratio * math.exp(half)))
    above = sum(a - (a + b) * (a + c) / n for a, b, c, d, n in strata)
    spread = sum((a + b) * (c + d) * (a + c) * (b + d) / (n * n * (n - 1)) for a, b, c, d, n in strata)
    assert found.p_value == pytest.approx(2 * stats.norm.sf(abs(above) / math.sqrt(spread)))
    assert found.strata == 2
    usual = disparity.common_odds([(3, 10, 8, 12), (4, 9, 11, 15)])
    assert usual == disparity.common_odds([(3, 10, 8, 12), (4, 9, 11, 15)], 0.95)


def test_strata_without_both_groups_or_both_decisions_say_nothing() -> None:
    good = (3, 10, 8, 12)
    alone = disparity.common_odds([good])
    for nothing in ((0, 0, 8, 12), (3, 10, 0, 0), (0, 10, 0, 12), (10, 10, 12, 12), (0, 0, 0, 0)):
        assert disparity.common_odds([nothing, good]) == alone
        assert reason(disparity.common_odds([nothing])) == "no stratum holds both groups and both decisions"
    for told in ((1, 1, 0, 1), (0, 1, 1, 1), (0, 1, 1, 2), (1, 2, 1, 1), (1, 2, 0, 1)):
        assert evaluable(disparity.common_odds([told, good])).strata == 2
    assert reason(disparity.common_odds([(5, 5, 1, 3)])).startswith("in no stratum was one of the group refused")
    none = evaluable(disparity.common_odds([(0, 20, 10, 20)]))
    assert (none.ratio, reason(none.interval)) == (0.0, "the common odds ratio is 0 and has no log")
    low = evaluable(disparity.common_odds([(1, 3001, 2000, 2001)]))
    assert low.ratio == pytest.approx(1 / (3000 * 2000))
    assert isinstance(low.interval, tuple)
    high = evaluable(disparity.common_odds([(2000, 2001, 1, 3001)]))
    assert high.ratio == pytest.approx(3000 * 2000)
    for wrong in ((-1, 5, 1, 2), (6, 5, 1, 2), (1, 5, -1, 2), (1, 5, 3, 2)):
        with pytest.raises(ValueError, match="0 to n favoured"):
            disparity.common_odds([good, wrong])


def test_calibration_of_one_group() -> None:
    y = [0, 0, 1, 0, 1, 0, 0, 1, 0, 0]
    p = [0.1, 0.2, 0.3, 0.2, 0.4, 0.1, 0.1, 0.2, 0.3, 0.1]
    found = evaluable(disparity.group_calibration(y, p, 0.8))
    assert (found.n, found.defaults, found.mean_pd, found.rate) == (10, 3, pytest.approx(0.2), pytest.approx(0.3))
    tail = stats.beta.cdf(0.2, 3.5, 7.5)
    assert found.p_value == pytest.approx(2 * tail)
    assert found.interval == pytest.approx((stats.beta.ppf(0.1, 3.5, 7.5), stats.beta.ppf(0.9, 3.5, 7.5)))
    line = evaluable(calibration.calibration_line(y, p))
    assert (found.slope, found.intercept) == (line.slope, line.intercept)
    assert disparity.group_calibration(y, p) == disparity.group_calibration(y, p, 0.95)
    high = evaluable(disparity.group_calibration(y, [0.6] * 10))
    assert high.p_value == pytest.approx(2 * stats.beta.sf(0.6, 3.5, 7.5))
    assert (high.slope, high.intercept) == (None, None)
    even = evaluable(disparity.group_calibration([0, 1], [0.5, 0.5]))
    assert even.p_value == pytest.approx(1.0)
    assert even.p_value <= 1.0
    one = evaluable(disparity.group_calibration([1], [0.5]))
    assert (one.n, one.rate) == (1, 1.0)
    assert reason(disparity.group_calibration([], [])) == "a group is empty"


def test_adverse_impact_by_hand() -> None:
    found = evaluable(fairness.adverse_impact(12, 30, 30, 40, 0.8))
    assert (found.ratio, found.difference) == (pytest.approx(0.4 / 0.75), pytest.approx(-0.35))
    pooled = 42 / 70
    z = -0.35 / math.sqrt(pooled * (1 - pooled) * (1 / 30 + 1 / 40))
    assert (found.z, found.z_p) == (pytest.approx(z), pytest.approx(2 * stats.norm.sf(abs(z))))
    assert found.fisher_p == pytest.approx(exact(12, 30, 30, 40))
    half = stats.norm.ppf(0.9) * math.sqrt(1 / 12 - 1 / 30 + 1 / 30 - 1 / 40)
    assert evaluable(found.interval) == pytest.approx((found.ratio * math.exp(-half), found.ratio * math.exp(half)))
    other = evaluable(fairness.adverse_impact(12, 31, 30, 40))
    half = stats.norm.ppf(0.975) * math.sqrt(1 / 12 - 1 / 31 + 1 / 30 - 1 / 40)
    assert evaluable(other.interval) == pytest.approx((other.ratio * math.exp(-half), other.ratio * math.exp(half)))
    all_of = evaluable(fairness.adverse_impact(5, 5, 9, 9))
    assert (all_of.ratio, all_of.z, all_of.z_p, all_of.interval) == (1.0, None, None, (1.0, 1.0))
    none = evaluable(fairness.adverse_impact(0, 5, 1, 9))
    assert (none.ratio, reason(none.interval)) == (0.0, "no one in the group was favoured: the ratio has no log")
    assert none.z is not None
    one = evaluable(fairness.adverse_impact(1, 5, 1, 9))
    assert isinstance(one.interval, tuple)
    large = evaluable(fairness.adverse_impact(1000, 10**6, 1200, 10**6))
    assert large.z == pytest.approx(-200 / math.sqrt(2200 * (1 - 0.0011)))
    for counts in ((0, 0, 1, 2), (1, 2, 0, 0)):
        assert reason(fairness.adverse_impact(*counts)) == "a group is empty"
    assert reason(fairness.adverse_impact(1, 2, 0, 2)) == "no one in the reference group was favoured"
    assert evaluable(fairness.adverse_impact(1, 1, 1, 1)).ratio == 1.0


def test_error_rates_by_group() -> None:
    y = [1, 1, 0, 0, 0, 1, 0, 0]
    hit = [1, 0, 1, 0, 0, 1, 0, 1]
    found = evaluable(fairness.equalised_odds(y, hit, ["a"] * 5 + ["b"] * 3))
    assert found.true_rates == {"a": 0.5, "b": 1.0}
    assert found.false_rates == {"a": pytest.approx(1 / 3), "b": 0.5}
    assert (found.true_gap, found.false_gap, found.gap) == (0.5, pytest.approx(1 / 6), 0.5)
    turned = evaluable(fairness.equalised_odds([1 - x for x in y], hit, ["a"] * 5 + ["b"] * 3))
    assert (turned.true_gap, turned.gap) == (pytest.approx(1 / 6), 0.5)
    for group in (["a", "a"], ["b", "a"]):
        assert reason(fairness.equalised_odds([1, 1], [1, 0], group)) == "a group holds only one outcome class"
        assert reason(fairness.equalised_odds([0, 0], [1, 0], group)) == "a group holds only one outcome class"
    assert reason(fairness.equalised_odds([1, 0], [1, 0], ["a", "a"])) == "fewer than two groups"


def test_conditional_disparity_by_hand() -> None:
    mean, parts = evaluable(fairness.conditional_disparity([(6, 10, 4, 20), (3, 4, 3, 16)]))
    first, second = 6 / 10 - 4 / 20, 3 / 6 - 1 / 14
    assert parts == pytest.approx((first, second))
    assert mean == pytest.approx((30 * first + 20 * second) / 50)
    # a stratum with one decision says nothing of who is refused; the others still do
    for one in ((0, 4, 0, 16), (4, 4, 16, 16)):
        mean, parts = evaluable(fairness.conditional_disparity([(6, 10, 4, 20), one, (3, 4, 3, 16)]))
        assert parts == (pytest.approx(first), None, pytest.approx(second))
        assert mean == pytest.approx((30 * first + 20 * second) / 50)
        assert reason(fairness.conditional_disparity([one])) == "every stratum refuses no one or accepts no one"
    assert evaluable(fairness.conditional_disparity([(1, 1, 0, 1)]))[0] == 1.0
    assert reason(fairness.conditional_disparity([])) == "no strata"
