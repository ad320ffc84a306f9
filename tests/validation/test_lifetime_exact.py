"""Default over the whole life, counted by hand: what a wrong sign, bound or constant would change.

Light on purpose (numpy and scipy alone), since mutation testing runs it hundreds of times.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
from scipy import integrate, stats

from strongroom.validation.results import NotEvaluable, evaluable
from strongroom.validation.statistics import lifetime


def reason(found: object) -> str:
    assert isinstance(found, NotEvaluable)
    return found.reason


def test_hazards_multiply() -> None:
    assert lifetime.cumulative([0.1, 0.2, 0.0, 1.0]).tolist() == pytest.approx([0.1, 0.28, 0.28, 1.0])
    for wrong in ([-0.0005], [1.0005], [math.nan], [[0.1]], 0.1):
        with pytest.raises(ValueError, match="a hazard lies between 0 and 1"):
            lifetime.cumulative(wrong)


def beta_below(x: float, a: float, b: float) -> float:
    """Distribution function of a beta variable, by integration after a substitution that takes the poles away."""
    density = integrate.quad(
        lambda t: 2 * math.sin(t) ** (2 * a - 1) * math.cos(t) ** (2 * b - 1), 0, math.asin(math.sqrt(x))
    )[0]
    return float(density * math.gamma(a + b) / (math.gamma(a) * math.gamma(b)))


def test_a_cohort_of_five_with_an_exit() -> None:
    # two of five default in the first period, one leaves; one of two in the second
    period, outcome = [1, 1, 1, 1, 1, 2, 2], [1, 0, 1, 0, 0, 0, 1]
    hazard = [0.2, 0.1, 0.3, 0.2, 0.2, 0.25, 0.35]
    first, second = evaluable(lifetime.curve(period, outcome, hazard))
    assert (first.period, first.at_risk, first.defaults) == (1, 5, 2)
    assert (second.period, second.at_risk, second.defaults) == (2, 2, 1)
    assert (first.observed, first.predicted) == (pytest.approx(0.4), pytest.approx(0.2))
    assert (second.observed, second.predicted) == (pytest.approx(0.7), pytest.approx(1 - 0.8 * 0.7))
    # in the first period everybody counts; then as many as have the Greenwood sum of both
    assert first.p_value == pytest.approx(beta_below(0.2, 2.5, 3.5))
    people = 0.44 / (0.56 * (0.2 / (5 * 0.8) + 0.3 / (2 * 0.7)))
    assert second.p_value == pytest.approx(beta_below(0.44, 0.7 * people + 0.5, 0.3 * people + 0.5))
    worst, p = evaluable(lifetime.judged([first, second]))
    assert worst == first
    assert p == pytest.approx(2 * first.p_value)


def test_hazards_at_the_ends_have_a_share_and_no_test() -> None:
    none, small, whole = (evaluable(lifetime.curve([1, 1], [0, 1], [h, h]))[0] for h in (0.0, 0.0005, 1.0))
    assert (none.predicted, none.p_value, whole.predicted, whole.p_value) == (0.0, None, 1.0, None)
    assert small.p_value == pytest.approx(beta_below(0.0005, 1.5, 1.5))
    close = evaluable(lifetime.curve([1, 1], [0, 1], [0.9999, 0.9999]))[0]
    assert close.p_value == pytest.approx(beta_below(0.9999, 1.5, 1.5))
    after = evaluable(lifetime.curve([1, 1, 2], [0, 1, 0], [1.0, 1.0, 0.5]))[1]
    assert (after.predicted, after.p_value) == (1.0, None)
    assert reason(lifetime.judged([none])) == "no horizon has a predicted share between 0 and 1"
    # many people: the Greenwood sum is far below 0.001
    many = evaluable(lifetime.curve([1] * 4000, [0] * 3999 + [1], [0.0005] * 4000))[0]
    assert many.p_value == pytest.approx(stats.beta.cdf(0.0005, 1.5, 3999.5))
    # the smallest p-value is judged, the earlier one among equals, after as many horizons as have one
    horizons = [lifetime.Horizon(i + 1, 9, 1, 0.1, 0.1, p) for i, p in enumerate([0.5, None, 0.02, 0.02])]
    assert lifetime.judged(horizons) == (horizons[2], pytest.approx(0.06))


def test_cohorts_that_make_no_sense() -> None:
    assert reason(lifetime.curve([], [], [])) == "the cohort is empty"
    assert reason(lifetime.curve([1, 3], [0, 1], [0.1, 0.1])) == "a period before the last has nobody at risk"
    one = "vectors of one length"
    both = "an outcome is 0 or 1, a hazard between 0 and 1"
    whole = "periods are whole numbers from 1 on"
    for period, outcome, hazard, why in (
        ([1, 2], [1], [0.1], one), ([1, 2], [0, 1], [0.1], one), ([1], [0, 1], [0.1, 0.1], one),
        ([[1]], [[0]], [[0.1]], one), ([1], [2], [0.1], both), ([1], [-1], [0.1], both), ([1], [0], [-0.0005], both),
        ([1], [0], [1.0005], both), ([1], [0], [math.nan], both), ([0], [0], [0.1], whole), ([1.5], [0], [0.1], whole),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=why):
            lifetime.curve(period, outcome, hazard)


def test_staging_from_four_counts() -> None:
    found = evaluable(lifetime.staging(6, 2, 14, 98))
    assert (found.hit_rate, found.jump_to_default) == (0.75, pytest.approx(2 / 100))
    assert (found.precision, found.false_alarm) == (pytest.approx(6 / 20), pytest.approx(14 / 112))
    even = evaluable(lifetime.staging(3, 3, 3, 3))
    assert [even.hit_rate, even.jump_to_default, even.precision, even.false_alarm] == [0.5] * 4
    assert reason(lifetime.staging(0, 0, 14, 98)).startswith("nobody defaulted")
    assert evaluable(lifetime.staging(1, 0, 0, 1)).jump_to_default == 0.0
    assert reason(evaluable(lifetime.staging(1, 0, 0, 0)).jump_to_default) == "stage 1 is empty"
    assert reason(evaluable(lifetime.staging(0, 1, 0, 0)).precision) == "stage 2 is empty"
    assert reason(evaluable(lifetime.staging(0, 1, 0, 0)).false_alarm) == "everybody defaulted"
    for place in range(4):
        counts = [1, 1, 1, 1]
        counts[place] = -1
        with pytest.raises(ValueError, match="counts are 0 or more"):
            lifetime.staging(*counts)


def test_scenarios_against_their_mean() -> None:
    found = evaluable(lifetime.nonlinearity(0.02, 0.16, [1.0, -1.0, -2.0], [0.5, 0.3, 0.2]))
    threshold = stats.norm.ppf(0.02)

    def conditional(state: float) -> float:
        return float(stats.norm.cdf((threshold - 0.4 * state) / math.sqrt(0.84)))

    states = [conditional(1.0), conditional(-1.0), conditional(-2.0)]
    assert found.by_scenario == pytest.approx(states)
    assert found.weighted == pytest.approx(0.5 * states[0] + 0.3 * states[1] + 0.2 * states[2])
    assert found.at_mean == pytest.approx(conditional(-0.2))
    assert found.ratio == pytest.approx(found.weighted / found.at_mean)


def test_scenarios_that_make_no_sense() -> None:
    good: tuple[Any, ...] = (0.02, 0.1, [0.0, 1.0], [0.5, 0.5])
    for pd in (0.0005, 0.9999):
        assert evaluable(lifetime.nonlinearity(pd, 0.0, [0.0, 1.0], [1.0, 0.0])).weighted == pytest.approx(pd)
    evaluable(lifetime.nonlinearity(0.02, 0.0005, [0.0, 1.0], [0.5, 0.5]))
    evaluable(lifetime.nonlinearity(0.4, 0.9999, [0.0, 1.0], [0.9995, 0.0005]))
    each = "each state has a weight of 0 or more, and the correlation is below 1"
    for place, value in (
        (1, -0.0005), (1, 1.0), (2, [0.0]), (2, [0.0, math.nan]), (3, [1.5, -0.5]), (3, [1.0005, -0.0005]),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=each):
            lifetime.nonlinearity(*good[:place], value, *good[place + 1 :])
    with pytest.raises(ValueError, match=each):
        lifetime.nonlinearity(0.02, 0.1, [[0.0, 1.0]], [[0.5, 0.5]])  # type: ignore[list-item]  # a table
    for weights in ([0.5, 0.5001], [0.5, 0.4999]):
        with pytest.raises(ValueError, match="sum to 1"):
            lifetime.nonlinearity(0.02, 0.1, [0.0, 1.0], weights)
    assert reason(lifetime.nonlinearity(0.02, 0.1, [0.0], [1.0])).startswith("one scenario alone")
    for pd in (0.0, 1.0):
        assert reason(lifetime.nonlinearity(pd, 0.1, [0.0, 1.0], [0.5, 0.5])).startswith("a PD of 0 or 1")


def test_over_all_states_the_mean_is_the_pd_itself() -> None:
    found = evaluable(lifetime.over_all_states(0.02, 0.15))
    assert (found.by_scenario, found.weighted) == ((), 0.02)
    # N(G(2%) / sqrt(0.85)) = N(-2.053749 / 0.921954) = N(-2.227602)
    assert found.at_mean == pytest.approx(0.012953485, abs=1e-8)
    assert evaluable(lifetime.over_all_states(0.02, 0.0)).ratio == pytest.approx(1.0)
    for correlation in (-0.001, 1.0):
        with pytest.raises(ValueError, match="correlation"):
            lifetime.over_all_states(0.02, correlation)
    for pd in (0.0, 1.0):
        assert reason(lifetime.over_all_states(pd, 0.1)).startswith("a PD")
    evaluable(lifetime.over_all_states(0.4, 0.9999))
    evaluable(lifetime.over_all_states(0.9999, 0.0005))
