"""Alarms of rare events, counted by hand: what a wrong sign, bound or constant would change.

Light on purpose (numpy and scipy alone), since mutation testing runs it hundreds of times.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from strongroom.validation.results import NotEvaluable, evaluable
from strongroom.validation.statistics import detection

# scores 9, 7 (a fraud and another), 4 (two frauds), 1; amounts count for frauds alone
Y = [1, 0, 1, 1, 1, 0]
SCORE = [9.0, 7.0, 7.0, 4.0, 4.0, 1.0]
AMOUNT = [10.0, 99.0, 0.0, 5.0, 25.0, 50.0]
WEIGHT = [1.0, 4.0, 1.0, 2.0, 1.0, 8.0]


def reason(found: object) -> str:
    assert isinstance(found, NotEvaluable)
    return found.reason


def test_steps_of_six_rows() -> None:
    found = evaluable(detection.steps(Y, SCORE, AMOUNT, WEIGHT))
    assert found.threshold.tolist() == [math.inf, 9.0, 7.0, 4.0, 1.0]
    assert found.found.tolist() == [0.0, 1.0, 2.0, 5.0, 5.0]
    assert found.false.tolist() == [0.0, 0.0, 4.0, 4.0, 12.0]
    assert found.value.tolist() == [0.0, 10.0, 10.0, 45.0, 45.0]
    assert (found.frauds, found.others, found.amount) == (5.0, 12.0, 45.0)
    assert found.recall.tolist() == pytest.approx([0.0, 0.2, 0.4, 1.0, 1.0])
    assert found.precision.tolist() == pytest.approx([1.0, 1.0, 2 / 6, 5 / 9, 5 / 17])
    turned = [5, 3, 1, 0, 4, 2]
    again = evaluable(detection.steps(*(np.array(column)[turned] for column in (Y, SCORE, AMOUNT, WEIGHT))))
    assert [part.tolist() for part in (again.threshold, again.found, again.false, again.value)] == [
        part.tolist() for part in (found.threshold, found.found, found.false, found.value)
    ]
    plain = evaluable(detection.steps(Y, SCORE))
    assert (plain.found.tolist(), plain.false.tolist()) == ([0.0, 1.0, 2.0, 4.0, 4.0], [0.0, 0.0, 1.0, 1.0, 2.0])
    assert plain.value.tolist() == [0.0] * 5
    last = evaluable(detection.steps([1, 0, 1], [3.0, 2.0, 1.0], [1.0, 0.0, 2.0]))
    assert (last.frauds, last.others, last.amount) == (2.0, 1.0, 3.0)
    light = evaluable(detection.steps([0, 1], [1.0, 2.0], [0.0, 0.0005], [0.0002, 0.0003]))
    assert light.precision.tolist() == pytest.approx([1.0, 1.0, 0.6])
    assert light.value.tolist() == pytest.approx([0.0, 1.5e-7, 1.5e-7])


def test_samples_that_make_no_sense() -> None:
    good: list[Any] = [[0, 1], [1.0, 2.0], [1.0, 1.0], [1.0, 1.0]]
    for place in range(4):
        for wrong in ([1.0], [[1.0, 0.0]]):
            bad = [*good[:place], wrong, *good[place + 1 :]]
            with pytest.raises(ValueError, match="vectors of one length"):
                detection.steps(*bad)
    with pytest.raises(ValueError, match="vectors of one length"):
        detection.steps(*([[part] for part in good]))
    with pytest.raises(ValueError, match="an outcome is 0 or 1"):
        detection.steps([0, 2], [1.0, 2.0])
    for place, value in ((2, -0.0005), (2, math.nan), (2, math.inf), (3, 0.0), (3, -1.0), (3, math.nan), (3, math.inf)):
        bad = [*good[:place], [1.0, value], *good[place + 1 :]]
        with pytest.raises(ValueError, match="an amount is 0 or more, a weight above 0"):
            detection.steps(*bad)
    only = "the sample holds only one outcome class"
    assert reason(detection.steps([0, 0], [1.0, 2.0])) == reason(detection.steps([1, 1], [1.0, 2.0])) == only
    assert reason(detection.steps([], [])) == "the sample is empty"
    assert reason(detection.steps([0, 1], [1.0, math.inf])) == "a score is not finite"
    assert reason(detection.average_precision([0, 1], [1.0, math.nan])) == "a score is not finite"


def test_average_precision_as_a_step_function() -> None:
    found = evaluable(detection.average_precision(Y, SCORE, WEIGHT))
    assert found.value == pytest.approx(0.2 * 1 + 0.2 * 2 / 6 + 0.6 * 5 / 9)
    assert (found.rate, found.frauds, found.others) == (pytest.approx(5 / 17), 4, 2)
    # four frauds of weights 1, 1, 2 and 1 say as much as 25/7 alike
    assert found.effective == pytest.approx(25 / 7)
    assert evaluable(detection.average_precision([0, 1], [1.0, 2.0])).value == 1.0
    # ten steps of a tenth are a little more than 1 in float64
    many = evaluable(detection.average_precision([1] * 10 + [0], [float(-place) for place in range(11)]))
    assert many.value <= 1.0
    assert evaluable(detection.average_precision(Y, SCORE)).effective == 4.0
    assert evaluable(detection.average_precision(Y, SCORE)).value == pytest.approx(0.25 + 0.25 * 2 / 3 + 0.5 * 4 / 5)


def test_the_interval_is_symmetric_on_the_logit_scale() -> None:
    found = detection.AveragePrecision(0.3, 0.01, 90, 1000, 50.0)
    low, high = evaluable(found.interval(0.9))
    half = stats.norm.ppf(0.95) / math.sqrt(50 * 0.3 * 0.7)
    assert math.log(low / (1 - low)) == pytest.approx(math.log(0.3 / 0.7) - half)
    assert math.log(high / (1 - high)) == pytest.approx(math.log(0.3 / 0.7) + half)
    for value in (0.0005, 0.9999):
        low, high = evaluable(detection.AveragePrecision(value, 0.01, 50, 1000, 50.0).interval(0.9))
        assert low < value < high
    for value in (0.0, 1.0):
        assert "logit" in reason(detection.AveragePrecision(value, 0.01, 50, 1000, 50.0).interval(0.9))


def test_a_team_of_fixed_size() -> None:
    table = evaluable(detection.steps(Y, SCORE, AMOUNT, WEIGHT))
    part = evaluable(detection.top(table, 3.5))
    # one alarm at 9, then half of the five at 7: half a fraud of no amount
    assert (part.precision, part.recall) == (pytest.approx(1.5 / 3.5), pytest.approx(1.5 / 5))
    assert (part.value, part.threshold, part.tied) == (pytest.approx(10 / 45), 7.0, True)
    whole = evaluable(detection.top(table, 6.0))
    assert (whole.precision, whole.recall, whole.threshold, whole.tied) == (
        pytest.approx(2 / 6), pytest.approx(0.4), 7.0, False,
    )  # fmt: skip
    small = evaluable(detection.top(table, 0.0005))
    assert (small.precision, small.threshold, small.tied) == (pytest.approx(1.0), 9.0, True)
    most = evaluable(detection.top(table, 17.0))
    assert (most.recall, most.value, most.threshold) == (pytest.approx(1.0), pytest.approx(1.0), 1.0)
    assert reason(detection.top(table, 17.5)) == "the sample has fewer rows than alarms"
    assert reason(detection.top(table, 2.0**53)) == "the sample has fewer rows than alarms"
    for wrong in (0.0, -1.0, math.nan, 2.0**53 + 2):
        with pytest.raises(ValueError, match="more than 0 alarms"):
            detection.top(table, wrong)
    assert evaluable(detection.top(evaluable(detection.steps(Y, SCORE)), 2)).value is None
    cheap = evaluable(detection.steps([0, 1], [1.0, 2.0], [0.0, 0.0005]))
    assert evaluable(detection.top(cheap, 1)).value == 1.0


def test_costs_at_each_threshold() -> None:
    table = evaluable(detection.steps(Y, SCORE, AMOUNT, WEIGHT))
    found = detection.costs(table, 2.0)
    assert found.cost.tolist() == [45.0, 35.0, 43.0, 8.0, 24.0]
    assert (found.best, found.least, found.none, found.all) == (4.0, 8.0, 45.0, 24.0)
    assert [found.at(x) for x in (99.0, 9.0, 8.0, 7.0, 4.0, 3.0, 1.0, 0.0)] == [45, 35, 35, 43, 8, 8, 24, 24]
    assert detection.costs(table, 0.0).cost.tolist() == [45.0, 35.0, 35.0, 0.0, 0.0]
    assert detection.costs(table, 0.0).best == 4.0
    assert detection.costs(table, 0.0005).least == pytest.approx(0.002)
    for wrong in (-0.0005, math.inf, math.nan):
        with pytest.raises(ValueError, match="a false alarm costs 0 or more"):
            detection.costs(table, wrong)


def test_the_threshold_of_calibrated_scores() -> None:
    assert detection.calibrated_threshold(5.0, 15.0) == pytest.approx(0.25)
    assert detection.calibrated_threshold(0.0, 3.0) == 0.0
    assert detection.calibrated_threshold(3.0, 0.0) == 1.0
    assert detection.calibrated_threshold(2.0, 2.0) == 0.5
    assert detection.calibrated_threshold(0.0001, 0.0003) == pytest.approx(0.25)
    assert "without a cost" in reason(detection.calibrated_threshold(0.0, 0.0))
    for wrong in ((-0.0005, 1.0), (1.0, -0.0005)):
        with pytest.raises(ValueError, match="a cost is 0 or more"):
            detection.calibrated_threshold(*wrong)


def test_windows_take_their_beginning_and_the_last_its_end() -> None:
    time = [0.0, 1.0, 2.0, 2.0, 3.0, 4.0, 5.0, -1.0]
    outcome = [1, 0, 1, 1, 0, 1, 1, 1]
    score = [0.9, 0.5, 0.2, 0.5, 0.4, 0.6, 0.9, 0.9]
    first, second = detection.windows(time, outcome, score, [0.0, 2.0, 4.0], 0.5)
    assert (first.start, first.end, first.rows, first.frauds, first.recall, first.alarms) == (0.0, 2.0, 2, 1, 1.0, 2.0)
    assert (second.start, second.end, second.rows, second.frauds, second.alarms) == (2.0, 4.0, 4, 3, 2.0)
    assert (second.recall, second.effective, second.found) == (pytest.approx(2 / 3), 3.0, pytest.approx(2.0))
    assert evaluable(second.precision) == detection.average_precision([1, 1, 0, 1], [0.2, 0.5, 0.4, 0.6])
    weight = [1.0, 1.0, 2.0, 1.0, 3.0, 1.0, 1.0, 1.0]
    heavy = detection.windows(time, outcome, score, [2.0, 4.0], 0.5, weight)[0]
    assert evaluable(heavy.precision) == detection.average_precision(
        [1, 1, 0, 1], [0.2, 0.5, 0.4, 0.6], [2.0, 1.0, 3.0, 1.0]
    )
    # of frauds of weights 2, 1 and 1 the latter two are found
    assert (heavy.recall, heavy.alarms, heavy.effective) == (pytest.approx(0.5), 2.0, pytest.approx(16 / 6))
    assert heavy.found == pytest.approx(8 / 6)
    none = detection.windows(time, outcome, score, [1.0, 2.0], 0.5)[0]
    assert (none.frauds, none.recall) == (2, 0.5)
    calm = detection.windows(time, outcome, score, [2.5, 3.5], 0.5)[0]
    assert (calm.frauds, calm.recall, calm.effective, calm.found) == (0, None, 0.0, 0.0)
    assert reason(detection.windows(time, outcome, score, [5.0, 6.0], 0.5)[0].precision).startswith("the sample holds")
    for wrong in ([1.0], [], [1.0, 1.0], [2.0, 1.0], [0.0, 2.0, 2.0]):
        with pytest.raises(ValueError, match="edges of time windows ascend"):
            detection.windows(time, outcome, score, wrong, 0.5)


def window(frauds: float, found: float) -> detection.Window:
    share = found / frauds if frauds else None
    return detection.Window(0.0, 1.0, 50, round(frauds), share, 9.0, float(frauds), NotEvaluable("not asked"))


def test_the_trend_of_the_share_found() -> None:
    parts = [window(10, 9), window(0, 0), window(20, 12), window(10, 3)]
    found = evaluable(detection.trend(parts))
    n, hits, x = np.array([10, 20, 10]), np.array([9, 12, 3]), np.array([0, 2, 3])
    rate = 24 / 40
    middle = (n * x).sum() / 40
    z = ((x - middle) * (hits - n * rate)).sum() / math.sqrt(rate * (1 - rate) * (n * (x - middle) ** 2).sum())
    assert (found.z, found.p_value) == (pytest.approx(z), pytest.approx(2 * stats.norm.sf(abs(z))))
    assert found.z < 0
    few = evaluable(detection.trend([*parts, window(4, 0)], least=10))
    assert few.z == pytest.approx(z)
    assert evaluable(detection.trend([*parts, window(4, 0)], least=4)).z < z
    # rounding of weights takes no window away, and half a fraud is too few
    assert evaluable(detection.trend([*parts, window(4 * (1 - 1e-10), 0)], least=4)).z < z
    assert evaluable(detection.trend([*parts, window(3.999, 0)], least=4)).z == pytest.approx(z)
    # without a least number, one fraud is enough and none is not
    assert evaluable(detection.trend([window(1, 1), window(1, 0)], least=0)).z == pytest.approx(-math.sqrt(2))
    assert evaluable(detection.trend([window(1, 1), window(1, 0)])).z == pytest.approx(-math.sqrt(2))
    for one in ([window(5, 2)], [window(5, 2), window(0, 0)]):
        assert reason(detection.trend(one, least=0)) == "fewer than two windows hold enough frauds"
    for same in ([window(5, 5), window(6, 6)], [window(5, 0), window(6, 0)]):
        assert reason(detection.trend(same)).startswith("all frauds are found, or none")
    thousand = evaluable(detection.trend([window(1000, 1), window(1000, 1)]))
    assert (thousand.z, thousand.p_value) == (0.0, 1.0)
    assert evaluable(detection.trend([window(1000, 999), window(1000, 1000)])).z == pytest.approx(1.0002501, rel=1e-6)


def test_rows_that_are_not_older_leak() -> None:
    assert detection.late([1.0, 2.0, 3.0], [2.0, 5.0]) == 2
    assert detection.late([1.0], [2.0]) == 0
    for wrong in (([], [1.0]), ([1.0], []), ([math.nan], [1.0]), ([1.0], [math.inf])):
        with pytest.raises(ValueError, match="both samples have rows with a time"):
            detection.late(*wrong)
