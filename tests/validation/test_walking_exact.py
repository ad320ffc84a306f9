"""Training and test in the order of time, row by row: windows, delays, spans, origins, naive forecasts.

Light on purpose, since mutation testing runs it hundreds of times.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from strongroom.validation.statistics.walking import naive, rolling_origins, walk_forward

TIMES = [8, 0, 1, 2, 3, 4, 5, 6, 7, 2]


def folds(*more: Any, **named: Any) -> list[tuple[list[float], list[float]]]:
    return [
        ([TIMES[n] for n in fold.train], [TIMES[n] for n in fold.test]) for fold in walk_forward(TIMES, *more, **named)
    ]


def test_windows_are_of_equal_time_and_the_last_holds_its_end() -> None:
    assert folds(3) == [
        ([0, 1], [2, 3, 2]), ([0, 1, 2, 3, 2], [4, 5]), ([0, 1, 2, 3, 4, 5, 2], [8, 6, 7]),
    ]  # fmt: skip
    assert folds(1) == [([0, 1, 2, 3, 2], [8, 4, 5, 6, 7])]


def test_what_is_not_known_yet_and_what_is_too_old_is_not_learnt_from() -> None:
    assert folds(3, 1.0) == [
        ([0, 1], [2, 3, 2]), ([0, 1, 2, 3, 2], [4, 5]), ([0, 1, 2, 3, 4, 5, 2], [8, 6, 7]),
    ]  # fmt: skip
    assert folds(3, 1.5) == [([0], [2, 3, 2]), ([0, 1, 2, 2], [4, 5]), ([0, 1, 2, 3, 4, 2], [8, 6, 7])]
    assert folds(3, delay=2.0, span=2.0) == [([0], [2, 3, 2]), ([2, 2], [4, 5]), ([4], [8, 6, 7])]
    assert folds(3, delay=2.5, span=2.0) == []
    assert folds(3, span=2.0) == [([0, 1], [2, 3, 2]), ([2, 3, 2], [4, 5]), ([4, 5], [8, 6, 7])]
    # and what came just before the test is known, where nothing is said of a delay
    assert [fold.train.tolist() for fold in walk_forward([0, 0.9995, 1, 2], 1)] == [[0, 1]]
    # windows without a row to test are left out
    assert [fold.test.tolist() for fold in walk_forward([0, 1, 9], 4)] == [[2]]


def test_a_walk_needs_times_windows_and_spans() -> None:
    for time in ([], [[1.0, 2.0]], [1.0, math.nan], [1.0, math.inf]):
        with pytest.raises(ValueError, match="has a time"):
            walk_forward(time, 1)
    for count, delay, span in ((0, 0.0, None), (1001, 0.0, None), (1, -0.001, None), (1, 0.0, 0.0), (1, 0.0, -1.0)):
        with pytest.raises(ValueError, match="1 to 1000 windows"):
            walk_forward(TIMES, count, delay, span)
    assert len(walk_forward(np.arange(1002), 1000)) == 1000
    assert walk_forward(TIMES, 1, 0.0, 0.001) == ()


def origins(*given: int) -> list[tuple[int, tuple[int, ...]]]:
    return [(one.last, one.ahead) for one in rolling_origins(*given)]


def test_origins_roll_to_the_end_of_the_series() -> None:
    assert origins(6, 2, 2) == [(2, (3, 4)), (3, (4, 5)), (4, (5,))]
    assert origins(6, 0, 1, 2) == [(0, (1,)), (2, (3,)), (4, (5,))]
    assert origins(3, 2, 1) == []
    for first, horizon, step in ((-1, 1, 1), (0, 0, 1), (0, 1, 0)):
        with pytest.raises(ValueError, match="back-test"):
            origins(6, first, horizon, step)


@pytest.mark.parametrize(
    ("origin", "target", "season", "value"),
    [(4, 5, 1, 14), (4, 9, 1, 14), (4, 5, 3, 12), (4, 7, 3, 14), (4, 8, 3, 12), (4, 6, 4, 12), (4, 5, 5, 10),
     (4, 5, 6, math.nan), (5, 6, 1, 15), (6, 7, 1, math.nan)],
)  # fmt: skip
def test_the_naive_forecast_is_the_latest_of_the_same_season(
    origin: int, target: int, season: int, value: float
) -> None:
    assert naive(range(10, 16), origin, target, season) == pytest.approx(value, nan_ok=True)
    if season == 1:
        assert naive(range(10, 16), origin, target) == pytest.approx(value, nan_ok=True)


def test_a_naive_forecast_looks_ahead_only() -> None:
    for origin, target, season in ((4, 4, 1), (4, 3, 1), (4, 5, 0)):
        with pytest.raises(ValueError, match="after the origin"):
            naive(range(10), origin, target, season)
