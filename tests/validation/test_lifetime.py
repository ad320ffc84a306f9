"""IFRS 9 statistics: other libraries agree, what holds without exits holds with them, edges have a typed answer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from strongroom.validation.results import NotEvaluable, evaluable
from strongroom.validation.statistics import calibration, lifetime


def panel(
    people: int, hazard: list[float], seed: int, exits: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Person, period, default in it, true hazard: until default, exit or the end."""
    draw, found = np.random.default_rng(seed), []
    for person in range(people):
        for place, h in enumerate(hazard):
            default = draw.random() < h
            found.append((person, place + 1, int(default), h))
            if default or draw.random() < exits:
                break
    columns = [np.array(column) for column in zip(*found, strict=True)]
    return columns[0], columns[1], columns[2], columns[3]


def test_the_observed_curve_is_that_of_statsmodels_with_exits() -> None:
    survival = pytest.importorskip("statsmodels.duration.survfunc")
    who, period, y, h = panel(600, [0.02, 0.05, 0.04, 0.08, 0.03], 3, exits=0.1)
    last = {}
    for person, t, default in zip(who, period, y, strict=True):
        last[person] = (t, default)
    time, status = (np.array(column) for column in zip(*last.values(), strict=True))
    other = survival.SurvfuncRight(time, status)
    found = evaluable(lifetime.curve(period, y, h))
    at = {int(t): 1.0 - s for t, s in zip(other.surv_times, other.surv_prob, strict=True)}
    assert {x.period: x.observed for x in found if x.period in at} == pytest.approx(at, abs=1e-12)
    assert [x.predicted for x in found] == pytest.approx(lifetime.cumulative([0.02, 0.05, 0.04, 0.08, 0.03]))


@given(st.integers(20, 300), st.lists(st.floats(0.01, 0.3), min_size=1, max_size=5), st.integers(0, 9))
@settings(max_examples=30, deadline=None)
def test_without_exits_the_test_is_jeffreys_on_the_cohort(people: int, hazard: list[float], seed: int) -> None:
    _, period, y, h = panel(people, hazard, seed)
    for found in evaluable(lifetime.curve(period, y, h)):
        gone = int(y[period <= found.period].sum())
        assert found.observed == pytest.approx(gone / people)
        if found.period == 1:
            assert found.p_value == pytest.approx(evaluable(calibration.jeffreys(people, gone, hazard[0])))
        assert found.p_value is not None
        assert 0.0 <= found.p_value <= 1.0


def test_a_model_that_is_too_low_is_found_and_the_true_one_is_not() -> None:
    _, period, y, h = panel(4000, [0.01, 0.02, 0.03, 0.02], 7, exits=0.05)
    _, fair = evaluable(lifetime.judged(evaluable(lifetime.curve(period, y, h))))
    worst, low = evaluable(lifetime.judged(evaluable(lifetime.curve(period, y, 0.7 * h))))
    assert fair > 0.05
    assert low < 0.001
    assert worst.predicted < worst.observed


def test_the_mean_over_all_states_is_the_pd_through_the_cycle() -> None:
    grid = np.linspace(-6, 6, 4001)
    weights = stats.norm.pdf(grid) / stats.norm.pdf(grid).sum()
    found = evaluable(lifetime.nonlinearity(0.02, 0.15, grid.tolist(), weights.tolist()))
    assert found.weighted == pytest.approx(0.02, rel=1e-6)
    assert found.ratio > 1.0
    flat = evaluable(lifetime.nonlinearity(0.02, 0.0, [1.0, -1.0], [0.5, 0.5]))
    assert flat.ratio == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("what", "answer"),
    [
        ("empty", lifetime.curve([], [], [])),
        ("a gap", lifetime.curve([1, 3], [0, 1], [0.1, 0.1])),
        ("nobody defaulted", lifetime.staging(0, 0, 5, 9)),
        ("stage 1 empty", evaluable(lifetime.staging(3, 0, 5, 0)).jump_to_default),
        ("stage 2 empty", evaluable(lifetime.staging(0, 3, 0, 5)).precision),
        ("all defaulted", evaluable(lifetime.staging(3, 3, 0, 0)).false_alarm),
        ("one scenario", lifetime.nonlinearity(0.02, 0.1, [0.0], [1.0])),
        ("pd of 0", lifetime.nonlinearity(0.0, 0.1, [0.0, 1.0], [0.5, 0.5])),
        ("hazard of 0", lifetime.judged(evaluable(lifetime.curve([1, 1], [0, 1], [0.0, 0.0])))),
    ],
)
def test_what_has_no_answer_says_why(what: str, answer: object) -> None:
    assert isinstance(answer, NotEvaluable), what
    assert answer.reason


@pytest.mark.parametrize(
    "call",
    [
        lambda: lifetime.cumulative([1.1]),
        lambda: lifetime.curve([0], [1], [0.1]),
        lambda: lifetime.curve([1], [2], [0.1]),
        lambda: lifetime.curve([1], [1], [1.5]),
        lambda: lifetime.curve([1, 2], [1], [0.1]),
        lambda: lifetime.staging(-1, 0, 0, 0),
        lambda: lifetime.nonlinearity(0.02, 1.0, [0.0, 1.0], [0.5, 0.5]),
        lambda: lifetime.nonlinearity(0.02, 0.1, [0.0, 1.0], [0.5, 0.6]),
    ],
)
def test_what_makes_no_sense_is_refused(call: object) -> None:
    with pytest.raises(ValueError):
        call()  # type: ignore[operator]  # a lambda of each row
