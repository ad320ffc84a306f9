"""Statistics of forecasts: other libraries agree, no forecast looks ahead, edge cases have a typed answer."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from strongroom.validation.results import NotEvaluable, evaluable
from strongroom.validation.statistics import forecasting, walking

values = st.lists(st.floats(-1e6, 1e6, allow_nan=False), min_size=1, max_size=30)


@given(st.integers(2, 60), st.integers(0, 40), st.integers(1, 12), st.integers(1, 5), st.integers(1, 12))
@settings(max_examples=200, deadline=None)
def test_no_origin_and_no_naive_forecast_looks_ahead(
    length: int, first: int, horizon: int, step: int, season: int
) -> None:
    series = np.arange(length, dtype=np.float64)
    for origin in walking.rolling_origins(length, first, horizon, step):
        assert origin.last >= first
        assert all(origin.last < ahead < length and ahead <= origin.last + horizon for ahead in origin.ahead)
        assert origin.ahead
        hidden = np.where(series <= origin.last, series, 1e9)
        for ahead in origin.ahead:
            told, blind = (walking.naive(s, origin.last, ahead, season) for s in (series, hidden))
            assert told == blind or (math.isnan(told) and math.isnan(blind))
            if not math.isnan(told):
                assert told <= origin.last
                assert (ahead - told) % season == 0
                assert told + season > origin.last


@given(values, st.sampled_from([0.05, 0.1, 0.5, 0.9]), st.data())
@settings(max_examples=80, deadline=None)
def test_pinball_is_that_of_scikit_learn(actual: list[float], level: float, data: st.DataObject) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    forecast = data.draw(st.lists(st.floats(-1e6, 1e6), min_size=len(actual), max_size=len(actual)))
    mine = evaluable(forecasting.pinball(actual, forecast, level))
    assert mine == pytest.approx(metrics.mean_pinball_loss(actual, forecast, alpha=level), rel=1e-12, abs=1e-9)
    assert mine >= 0.0


def test_the_interval_score_is_the_sum_of_two_quantile_losses() -> None:
    draw = np.random.default_rng(3)
    y, low = draw.normal(size=500), draw.normal(-1.3, 0.1, 500)
    high = low + draw.uniform(1, 4, 500)
    parts = (evaluable(forecasting.pinball(y, q, a)) for q, a in ((low, 0.1), (high, 0.9)))
    assert evaluable(forecasting.winkler(y, low, high, 0.8)) == pytest.approx(sum(parts) * 2 / 0.2)


@given(st.integers(1, 400), st.data(), st.sampled_from([0.01, 0.05, 0.1, 0.5, 0.9]))
@settings(max_examples=150, deadline=None)
def test_kupiec_is_the_likelihood_ratio_of_two_binomials(rows: int, data: st.DataObject, promised: float) -> None:
    count = data.draw(st.integers(0, rows))
    found = evaluable(forecasting.kupiec(rows, count, promised))
    free = stats.binom.logpmf(count, rows, count / rows)
    assert found.statistic == pytest.approx(2 * (free - stats.binom.logpmf(count, rows, promised)), abs=1e-6)
    assert 0.0 <= found.p_value <= 1.0
    if count / rows == promised:
        assert found.p_value == pytest.approx(1.0, abs=1e-6)


def test_kupiec_at_its_edges() -> None:
    assert evaluable(forecasting.kupiec(250, 0, 0.01)).statistic == pytest.approx(-2 * 250 * math.log(0.99))
    assert evaluable(forecasting.kupiec(20, 20, 0.05)).statistic == pytest.approx(-2 * 20 * math.log(0.05))
    assert isinstance(forecasting.kupiec(0, 0, 0.05), NotEvaluable)
    for bad in ((10, 11, 0.1), (10, -1, 0.1), (10, 1, 0.0), (10, 1, 1.0)):
        with pytest.raises(ValueError):
            forecasting.kupiec(*bad)


def test_diebold_mariano_one_step_ahead_is_a_t_test_of_the_losses() -> None:
    draw = np.random.default_rng(5)
    y, one, two = draw.normal(size=(3, 40))
    found = evaluable(forecasting.diebold_mariano(y, one, two, 1))
    other = stats.ttest_1samp((y - one) ** 2 - (y - two) ** 2, 0.0)
    assert (found.statistic, found.p_value) == pytest.approx((other.statistic, other.pvalue), rel=1e-10)
    back = evaluable(forecasting.diebold_mariano(y, two, one, 1))
    assert (back.statistic, back.p_value) == pytest.approx((-found.statistic, found.p_value))


def test_diebold_mariano_further_ahead_has_the_long_run_variance_of_statsmodels() -> None:
    sandwich = pytest.importorskip("statsmodels.stats.sandwich_covariance")
    linear = pytest.importorskip("statsmodels.regression.linear_model")
    draw = np.random.default_rng(6)
    y, one, two = draw.normal(size=(3, 60))
    d = np.abs(y - one) - np.abs(y - two)
    fit = linear.OLS(d, np.ones(60)).fit()
    cov = sandwich.cov_hac(fit, nlags=2, weights_func=lambda lags: np.ones(lags + 1), use_correction=False)
    n, h = 60, 3
    factor = math.sqrt((n + 1 - 2 * h + h * (h - 1) / n) / n)
    found = evaluable(forecasting.diebold_mariano(y, one, two, h, "absolute"))
    assert found.statistic == pytest.approx(factor * d.mean() / math.sqrt(float(cov.item())), rel=1e-9)
    assert found.p_value == pytest.approx(2 * stats.t.sf(abs(found.statistic), n - 1))


@pytest.mark.parametrize(
    ("what", "answer"),
    [
        ("negative variance", forecasting.diebold_mariano([0] * 6, [1, 3, 1, 3, 1, 3], [0] * 6, 2, "absolute")),
        ("alike", forecasting.diebold_mariano([1, 2, 3, 4], [1, 2, 3, 5], [1, 2, 3, 5], 1)),
        ("always one better", forecasting.diebold_mariano([0] * 4, [1] * 4, [2] * 4, 1)),
        ("few", forecasting.diebold_mariano([1, 2], [1, 2], [2, 1], 1)),
        ("far", forecasting.diebold_mariano([1, 2, 3], [1, 2, 4], [2, 1, 0], 3)),
        ("flat series", forecasting.scaled_error([1.0], [2.0], [5.0, 5.0, 5.0])),
        ("short series", forecasting.scaled_error([1.0], [2.0], [5.0] * 12, 12)),
        ("none", forecasting.scaled_error([], [], [1.0, 2.0])),
        ("none wape", forecasting.weighted_error([], [])),
        ("all zero", forecasting.weighted_error([0.0], [1.0])),
        ("all zero bias", forecasting.bias([0.0], [1.0])),
        ("none pinball", forecasting.pinball([], [], 0.5)),
        ("crossed", forecasting.winkler([1.0], [2.0], [1.0], 0.8)),
    ],
)
def test_what_has_no_answer_says_why(what: str, answer: object) -> None:
    assert isinstance(answer, NotEvaluable), what
    assert answer.reason


def test_the_scale_leaves_out_periods_that_are_not_known() -> None:
    known = [1.0, math.nan, 4.0, 6.0, 5.0]
    assert evaluable(forecasting.scaled_error([10.0], [13.0], known)) == pytest.approx(3.0 / 1.5)
    with pytest.raises(ValueError):
        forecasting.scaled_error([math.nan], [1.0], known)
