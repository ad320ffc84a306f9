"""Expected losses booked against losses that came: scipy agrees, the interval is the test turned round."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from strongroom.validation.results import NotEvaluable, evaluable
from strongroom.validation.statistics.provisions import backtest


def loans(rows: int, seed: int, harsher: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Booked PD LGD EAD, and losses drawn from the same, or from a PD that is higher than was booked."""
    draw = np.random.default_rng(seed)
    pd, lgd, ead = draw.uniform(0.01, 0.1, rows), 0.45, draw.lognormal(9, 0.6, rows)
    lost = draw.random(rows) < np.minimum(pd * harsher, 1.0)
    return pd * lgd * ead, np.where(lost, ead * draw.uniform(0.2, 0.7, rows), 0.0)


def test_the_figures_by_hand() -> None:
    found = evaluable(backtest([10.0, 30.0, 0.0, 20.0], [0.0, 90.0, 0.0, 0.0], 0.95))
    assert (found.exposures, found.lost, found.booked, found.realised, found.ratio) == (3, 1, 60.0, 90.0, 1.5)
    # differences -10, 60, -20: mean 10, standard deviation 43.589, so t = 10 / (43.589 / sqrt 3) = 0.39736
    assert evaluable(found.p_value) == pytest.approx(float(stats.t.sf(0.3973597, 2)), rel=1e-6)
    assert isinstance(found.interval, NotEvaluable)


@given(st.integers(0, 99), st.integers(50, 400), st.sampled_from([0.8, 0.9, 0.95]))
@settings(max_examples=25, deadline=None)
def test_the_interval_is_where_scipys_paired_test_turns(seed: int, rows: int, level: float) -> None:
    booked, realised = loans(rows, seed)
    found = evaluable(backtest(booked, realised, level))
    assert found.p_value == pytest.approx(stats.ttest_rel(realised, booked, alternative="greater").pvalue)
    low, high = evaluable(found.interval)
    assert low <= found.ratio <= high
    for edge in (low, high):
        p = stats.ttest_rel(realised, edge * booked).pvalue if realised.any() else 1.0 - level
        assert p == pytest.approx(1.0 - level, rel=1e-6)


def test_the_unit_of_money_does_not_matter() -> None:
    booked, realised = loans(300, 5)
    one, other = (evaluable(backtest(booked * k, realised * k, 0.95)) for k in (1.0, 1000.0))
    assert other.ratio == pytest.approx(one.ratio)
    assert other.p_value == pytest.approx(one.p_value)
    assert evaluable(other.interval) == pytest.approx(evaluable(one.interval))


def test_two_exposures_are_enough_and_any_level_and_unit_of_money_is() -> None:
    # differences 1 and 3: mean 2, standard deviation sqrt 2, t = 2 / (sqrt 2 / sqrt 2) = 2 with one degree of freedom
    found = evaluable(backtest([10.0, 11.0], [11.0, 14.0], 0.5))
    assert evaluable(found.p_value) == pytest.approx(0.5 - np.arctan(2.0) / np.pi)
    low, high = evaluable(found.interval)
    assert low < 25.0 / 21.0 < high
    tiny = evaluable(backtest([1e-5, 1.1e-5], [1.1e-5, 1.4e-5], 0.5))
    assert evaluable(tiny.interval) == pytest.approx((low, high))
    narrow = evaluable(backtest([10.0, 11.0], [11.0, 14.0], 0.0005))
    assert evaluable(narrow.interval) == pytest.approx((25.0 / 21.0, 25.0 / 21.0), abs=1e-3)


def test_too_little_is_found_and_enough_is_not() -> None:
    fair = evaluable(backtest(*loans(4000, 3), 0.95))
    low, high = evaluable(fair.interval)
    assert low < 1.0 < high
    assert evaluable(fair.p_value) > 0.05
    bad = evaluable(backtest(*loans(4000, 3, harsher=2.0), 0.95))
    assert evaluable(bad.interval)[0] > 1.5
    assert evaluable(bad.p_value) < 1e-6


@pytest.mark.slow
def test_a_right_booking_is_refused_about_as_often_as_it_says() -> None:
    p = np.array([evaluable(evaluable(backtest(*loans(800, seed), 0.95)).p_value) for seed in range(2000)])
    # skewed losses: rather too seldom than too often
    assert 0.02 < (p < 0.05).mean() < 0.06


@pytest.mark.parametrize(
    ("booked", "realised", "reason"),
    [([], [], "no expected loss"), ([0.0, 0.0], [0.0, 5.0], "no expected loss")],
)
def test_nothing_booked_has_no_ratio(booked: list[float], realised: list[float], reason: str) -> None:
    found = backtest(booked, realised, 0.95)
    assert isinstance(found, NotEvaluable)
    assert reason in found.reason


def test_one_exposure_or_all_alike_have_a_ratio_and_no_test() -> None:
    one = evaluable(backtest([10.0], [5.0], 0.95))
    assert (one.ratio, type(one.interval), type(one.p_value)) == (0.5, NotEvaluable, NotEvaluable)
    same = evaluable(backtest([10.0, 20.0], [11.0, 21.0], 0.95))
    assert isinstance(same.p_value, NotEvaluable)
    # a gain is a loss below 0, and nothing lost is a ratio of 0
    assert evaluable(backtest([10.0, 10.0], [-5.0, 0.0], 0.95)).ratio == -0.25
    nothing = evaluable(backtest([10.0, 12.0, 9.0], [0.0, 0.0, 0.0], 0.95))
    assert (nothing.ratio, nothing.lost, evaluable(nothing.interval)) == (0.0, 0, (0.0, 0.0))


@pytest.mark.parametrize(
    ("booked", "realised", "level"),
    [
        ([1.0], [1.0, 2.0], 0.95), ([-1.0], [0.0], 0.95), ([np.nan], [0.0], 0.95), ([1.0], [np.inf], 0.95),
        ([1.0], [1.0], 1.0), ([1.0], [1.0], 0.0),
    ],
)  # fmt: skip
def test_what_is_no_amount_is_an_error(booked: list[float], realised: list[float], level: float) -> None:
    with pytest.raises(ValueError, match=r"amounts|level"):
        backtest(booked, realised, level)
