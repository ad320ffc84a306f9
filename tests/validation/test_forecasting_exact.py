"""Statistics of forecasts, counted by hand: what a wrong sign, bound or constant would change.

Light on purpose (numpy and scipy alone), since mutation testing runs it hundreds of times.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from strongroom.validation.results import NotEvaluable, evaluable
from strongroom.validation.statistics import forecasting

ACTUAL, FORECAST = [10.0, -20.0, 4.0], [12.0, -25.0, 4.0]


def reason(found: object) -> str:
    assert isinstance(found, NotEvaluable)
    return found.reason


def test_errors_scaled_by_those_of_the_naive_forecast() -> None:
    known = [1.0, 2.0, 4.0, 3.5]
    assert forecasting.scaled_error(ACTUAL, FORECAST, known) == pytest.approx((7 / 3) / (3.5 / 3))
    assert forecasting.scaled_error(ACTUAL, FORECAST, known, 2) == pytest.approx((7 / 3) / (4.5 / 2))
    assert forecasting.scaled_error(ACTUAL, FORECAST, [1.0, 9.0, 1.0002], 2) == pytest.approx((7 / 3) / 0.0002)
    squares = (29 / 3) / ((1 + 4 + 0.25) / 3)
    assert forecasting.scaled_root_error(ACTUAL, FORECAST, known) == pytest.approx(math.sqrt(squares))
    assert forecasting.scaled_root_error(ACTUAL, FORECAST, known, 3) == pytest.approx(math.sqrt((29 / 3) / 6.25))
    assert forecasting.scaled_error(ACTUAL, FORECAST, [1.0, math.nan, 2.0, 5.0]) == pytest.approx((7 / 3) / 3)


def test_shares_of_the_absolute_values() -> None:
    assert forecasting.weighted_error(ACTUAL, FORECAST) == pytest.approx(7 / 34)
    assert forecasting.bias(ACTUAL, FORECAST) == pytest.approx(-3 / 34)
    assert forecasting.weighted_error([0.0005], [0.001]) == pytest.approx(1.0)
    assert forecasting.bias([0.0005], [0.001]) == pytest.approx(1.0)


def test_quantile_and_interval_scores() -> None:
    assert forecasting.pinball([3.0, 1.0, 2.0], [1.0, 2.5, 2.0], 0.9) == pytest.approx((0.9 * 2 + 0.1 * 1.5) / 3)
    y, low, high = [1.0, 5.0, -2.0, 3.0], [0.0, 2.0, -1.0, 3.0], [2.0, 4.5, 1.0, 3.0]
    assert forecasting.winkler(y, low, high, 0.8) == pytest.approx((2 + 2.5 + 2 + 0 + 10 * (0.5 + 1)) / 4)
    assert forecasting.inside(y, low, high) == 2
    assert forecasting.inside([1.0, 1.0, 1.0, 1.0], [1.0, 0.0, 2.0, 0.0], [2.0, 1.0, 3.0, 0.5]) == 2
    assert reason(forecasting.winkler([1.0], [2.0], [1.9999], 0.8)).startswith("an interval's lower end")


def test_levels_lie_between_0_and_1() -> None:
    for level in (0.0005, 0.9999):
        assert forecasting.pinball([1.0], [0.0], level) == pytest.approx(level)
        assert forecasting.winkler([1.0], [0.0], [2.0], level) == 2.0
        evaluable(forecasting.kupiec(10, 1, level))
    calls: tuple[Any, ...] = (
        lambda level: forecasting.pinball([1.0], [0.0], level),
        lambda level: forecasting.winkler([1.0], [0.0], [2.0], level),
        lambda level: forecasting.kupiec(10, 1, level),
    )
    for call in calls:
        for level in (0.0, 1.0):
            with pytest.raises(ValueError, match="between 0 and 1"):
                call(level)


@pytest.mark.parametrize(("rows", "hits", "promised"), [(250, 9, 0.01), (10, 0, 0.3), (7, 7, 0.9), (1, 0, 0.05)])
def test_kupiec_from_the_likelihoods(rows: int, hits: int, promised: float) -> None:
    found = evaluable(forecasting.kupiec(rows, hits, promised))
    share = hits / rows
    likelihood = share**hits * (1 - share) ** (rows - hits) / (promised**hits * (1 - promised) ** (rows - hits))
    assert found.rate == share
    assert found.statistic == pytest.approx(2 * math.log(likelihood))
    # a chi-square of one degree of freedom is the square of a normal
    assert found.p_value == pytest.approx(2 * stats.norm.sf(math.sqrt(found.statistic)))


def test_kupiec_where_the_share_is_the_promised_one() -> None:
    found = evaluable(forecasting.kupiec(4, 2, 0.5))
    assert (found.statistic, found.p_value) == (pytest.approx(0.0, abs=1e-12), pytest.approx(1.0, abs=1e-5))
    # rounding alone would make it negative here
    assert min(evaluable(forecasting.kupiec(n, n // 10, 0.1)).statistic for n in range(10, 500, 10)) == 0.0
    assert reason(forecasting.kupiec(0, 0, 0.1)) == "there are no forecasts"
    for wrong in (-1, 11):
        with pytest.raises(ValueError, match="exceedances"):
            forecasting.kupiec(10, wrong, 0.1)


@pytest.mark.parametrize("loss", ["squared", "absolute"])
@pytest.mark.parametrize(("horizon", "n"), [(1, 3), (1, 8), (2, 3), (2, 9), (3, 7)])
def test_diebold_mariano_by_its_formula(horizon: int, n: int, loss: forecasting.Loss) -> None:
    draw = np.random.default_rng(28)
    y, one, two = draw.normal(size=(3, n))
    power = 2 if loss == "squared" else 1
    d = [abs(a - b) ** power - abs(a - c) ** power for a, b, c in zip(y, one, two, strict=True)]
    mean = sum(d) / n
    lagged = [sum((d[t] - mean) * (d[t - k] - mean) for t in range(k, n)) / n for k in range(horizon)]
    variance = (lagged[0] + 2 * sum(lagged[1:])) / n
    found = forecasting.diebold_mariano(y, one, two, horizon, loss)
    if variance <= 0:
        assert reason(found) == "the variance of the difference over time is not positive"
        return
    told = evaluable(found)
    small = (n + 1 - 2 * horizon + horizon * (horizon - 1) / n) / n
    assert told.statistic == pytest.approx(mean / math.sqrt(variance) * math.sqrt(small))
    assert told.p_value == pytest.approx(2 * stats.t.cdf(-abs(told.statistic), n - 1))
    assert told.n == n


def test_what_a_comparison_of_forecasts_cannot_say() -> None:
    few = "too few errors for this horizon"
    assert reason(forecasting.diebold_mariano([1.0, 2.0], [1.0, 3.0], [0.0, 2.0], 1)) == few
    assert reason(forecasting.diebold_mariano([0.0] * 4, [1.0, 2.0, 0.5, 3.0], [2.0, 1.0, 3.0, 1.0], 4)) == few
    same = "the two forecasts lose the same, or differ by the same, in every period"
    y = np.array([0.1, 0.23, 0.37, 0.41])
    assert reason(forecasting.diebold_mariano(y, y, y, 1)) == same
    assert reason(forecasting.diebold_mariano(y, y + 1e9, y + 3e9, 1, "absolute")) == same
    assert reason(forecasting.diebold_mariano(y, y + 3e9, y + 1e9, 1, "absolute")) == same
    cancels = forecasting.diebold_mariano([0.0] * 3, [2.0, 0.0, 1.0], [1.0] * 3, 2, "absolute")
    assert reason(cancels) == "the variance of the difference over time is not positive"
    # by default squares are compared
    assert evaluable(forecasting.diebold_mariano([0.0] * 3, [2.0, 0.0, 1.0], [1.0] * 3, 1)).statistic == pytest.approx(
        math.sqrt(2 / 3) * (2 / 3) / math.sqrt(((7 / 3) ** 2 + (5 / 3) ** 2 + (2 / 3) ** 2) / 9)
    )
    small = evaluable(forecasting.diebold_mariano([0.0] * 3, [0.02, 0.0, 0.01], [0.01] * 3, 1, "absolute"))
    assert small.statistic == 0.0
    with pytest.raises(ValueError, match="a horizon is 1 or more"):
        forecasting.diebold_mariano([0.0] * 3, [2.0, 0.0, 1.0], [1.0] * 3, 0)


def test_what_has_no_forecast_or_no_size_has_no_answer() -> None:
    none = "there are no forecasts"
    for found in (
        forecasting.scaled_error([], [], [1.0, 2.0]), forecasting.scaled_root_error([], [], [1.0, 2.0]),
        forecasting.weighted_error([], []), forecasting.bias([], []), forecasting.pinball([], [], 0.5),
        forecasting.winkler([], [], [], 0.5),
    ):  # fmt: skip
        assert reason(found) == none
    assert reason(forecasting.weighted_error([0.0], [1.0])).startswith("every actual value is 0, so an error")
    assert reason(forecasting.bias([0.0], [1.0])).startswith("every actual value is 0, so a bias")
    for scaled in (forecasting.scaled_error, forecasting.scaled_root_error):
        assert reason(scaled([1.0], [2.0], [5.0, 5.0])).startswith("the naive forecast has no error")
        assert reason(scaled([1.0], [2.0], [5.0, 6.0], 2)).startswith("the known series is not longer")
        with pytest.raises(ValueError, match="a season has 1 period or more"):
            scaled([1.0], [2.0], [5.0, 6.0], 0)


def test_vectors_of_one_length_and_finite() -> None:
    calls: tuple[Any, ...] = (
        forecasting.weighted_error, forecasting.bias,
        lambda y, f: forecasting.winkler(y, f, f, 0.5), lambda y, f: forecasting.inside(y, f, f),
        lambda y, f: forecasting.diebold_mariano(y, f, f, 1),
    )  # fmt: skip
    for call in calls:
        for y, f in (([1.0, 2.0], [1.0]), ([[1.0, 2.0]], [[1.0, 2.0]]), (1.0, 1.0)):
            with pytest.raises(ValueError, match="two vectors of one length"):
                call(y, f)
        for y, f in (([1.0, math.nan], [1.0, 2.0]), ([1.0, 2.0], [math.inf, 2.0])):
            with pytest.raises(ValueError, match="are finite"):
                call(y, f)
