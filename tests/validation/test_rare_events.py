"""Statistics of rare events: other libraries agree, properties hold, a leak of time is seen."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.validation.results import NotEvaluable, evaluable
from strongroom.validation.statistics import detection, walking

rows = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 8), st.integers(0, 50), st.integers(1, 5)), min_size=2, max_size=40
).filter(lambda found: len({y for y, *_ in found}) == 2)
Rows = list[tuple[int, int, int, int]]


def columns(found: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    y, s, a, w = (np.array(column) for column in zip(*found, strict=True))
    return y, s, a, w


@given(rows)
@settings(max_examples=100, deadline=None)
def test_average_precision_is_that_of_scikit_learn_with_ties_and_weights(found: Rows) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    y, s, _, w = columns(found)
    mine = evaluable(detection.average_precision(y, s))
    assert mine.value == pytest.approx(metrics.average_precision_score(y, s), abs=1e-12)
    weighted = evaluable(detection.average_precision(y, s, w))
    assert weighted.value == pytest.approx(metrics.average_precision_score(y, s, sample_weight=w), abs=1e-12)
    repeated = evaluable(detection.average_precision(np.repeat(y, w), np.repeat(s, w)))
    assert weighted.value == pytest.approx(repeated.value, abs=1e-12)


@given(rows, st.integers(0, 30))
@settings(max_examples=100, deadline=None)
def test_the_least_cost_is_the_least_over_every_threshold(found: Rows, false_alarm: int) -> None:
    y, s, a, _ = columns(found)
    costs = detection.costs(evaluable(detection.steps(y, s, a)), false_alarm)

    def by_hand(threshold: float) -> float:
        alarm = s >= threshold
        return float(false_alarm * (alarm & (y == 0)).sum() + a[(y == 1) & ~alarm].sum())

    thresholds = [math.inf, *sorted(set(s.tolist()), reverse=True)]
    assert costs.least == min(by_hand(t) for t in thresholds)
    assert costs.best == max(t for t in thresholds if by_hand(t) == costs.least)
    for between in (-1.0, 0.5, 3.5, 9.0):
        assert costs.at(between) == by_hand(between)
    assert (costs.none, costs.all) == (by_hand(math.inf), by_hand(-1.0))


@given(rows, st.data())
@settings(max_examples=100, deadline=None)
def test_tied_rows_at_the_border_count_as_a_random_choice_would_on_average(found: Rows, data: st.DataObject) -> None:
    y, s, a, _ = columns(found)
    table = evaluable(detection.steps(y, s, a))
    k = data.draw(st.integers(1, len(y)))
    best = evaluable(detection.top(table, k))
    cut = np.sort(s)[::-1][k - 1]
    sure, tied = s > cut, s == cut
    share = (k - sure.sum()) / tied.sum()
    assert best.threshold == cut
    assert best.precision * k == pytest.approx((y * sure).sum() + share * (y * tied).sum())
    assert best.tied == (share < 1.0)
    if a[y == 1].sum():
        assert best.value == pytest.approx(((y * a * sure).sum() + share * (y * a * tied).sum()) / a[y == 1].sum())


def test_an_enriched_sample_read_by_weight_has_the_precision_of_the_traffic() -> None:
    draw = np.random.default_rng(4)
    y = (draw.random(200_000) < 0.01).astype(int)
    s = draw.normal(size=y.size) + 2.5 * y
    keep = (y == 1) | (draw.random(y.size) < 0.2)
    whole = evaluable(detection.average_precision(y, s)).value
    enriched = evaluable(detection.average_precision(y[keep], s[keep])).value
    weighted = evaluable(detection.average_precision(y[keep], s[keep], np.where(y[keep] == 1, 1.0, 5.0))).value
    assert enriched > whole + 0.1
    assert weighted == pytest.approx(whole, abs=0.025)


def test_the_interval_covers_about_as_often_as_it_says() -> None:
    draw, true, hits = np.random.default_rng(11), 0.0, 0
    y = np.repeat([1, 0], [60, 600])
    big = np.repeat([1, 0], [20_000, 200_000])
    true = evaluable(detection.average_precision(big, draw.normal(size=big.size) + 1.5 * big)).value
    for _ in range(300):
        found = evaluable(detection.average_precision(y, draw.normal(size=y.size) + 1.5 * y))
        low, high = evaluable(found.interval(0.95))
        hits += low <= true <= high
    assert 0.88 <= hits / 300 <= 1.0


@pytest.mark.parametrize(
    ("what", "answer"),
    [
        ("one class", detection.average_precision([0, 0], [0.1, 0.2])),
        ("no rows", detection.average_precision([], [])),
        ("not finite", detection.average_precision([0, 1], [0.1, math.nan])),
        ("perfect", evaluable(detection.average_precision([0, 1], [0.1, 0.2])).interval(0.95)),
        ("too many alarms", detection.top(evaluable(detection.steps([0, 1], [0.1, 0.2])), 3)),
        ("no cost", detection.calibrated_threshold(0.0, 0.0)),
        ("one window", detection.trend(detection.windows([0, 1], [0, 1], [0, 1], [0, 1], 0.5))),
        ("all found", detection.trend(detection.windows([0, 1, 2, 3], [1, 1, 1, 1], [1, 1, 1, 1], [0, 2, 3], 0.5))),
    ],
)
def test_what_has_no_answer_says_why(what: str, answer: object) -> None:
    assert isinstance(answer, NotEvaluable), what
    assert answer.reason


def test_no_fraud_with_an_amount_has_no_value_to_find() -> None:
    assert evaluable(detection.top(evaluable(detection.steps([0, 1], [0.1, 0.2])), 1)).value is None


@pytest.mark.parametrize(
    "call",
    [
        lambda: detection.steps([0, 2], [0, 1]),
        lambda: detection.steps([0, 1], [0, 1], [-1, 0]),
        lambda: detection.steps([0, 1], [0, 1], None, [0, 1]),
        lambda: detection.steps([0, 1], [0]),
        lambda: detection.costs(evaluable(detection.steps([0, 1], [0, 1])), -1.0),
        lambda: detection.top(evaluable(detection.steps([0, 1], [0, 1])), 0),
        lambda: detection.calibrated_threshold(-1.0, 1.0),
        lambda: detection.windows([0, 1], [0, 1], [0, 1], [1, 1], 0.5),
        lambda: detection.late([], [1]),
        lambda: detection.late([math.nan], [1]),
        lambda: walking.walk_forward([], 2),
        lambda: walking.walk_forward([1, 2], 0),
        lambda: walking.naive([1, 2], 1, 1),
    ],
)
def test_what_makes_no_sense_is_refused(call: object) -> None:
    with pytest.raises(ValueError):
        call()  # type: ignore[operator]  # a lambda of each row


def test_the_trend_is_the_linear_term_of_a_logistic_score_test() -> None:
    models = pytest.importorskip("statsmodels.stats.contingency_tables")
    time = np.repeat(np.arange(4), 40)
    score = np.concatenate([np.repeat([1.0, 0.0], [hit, 40 - hit]) for hit in (34, 30, 27, 20)])
    parts = detection.windows(time, np.ones(160, dtype=int), score, [0, 1, 2, 2.5, 3], 0.5)
    found = evaluable(detection.trend(parts))
    table = models.Table(np.array([[34, 6], [30, 10], [27, 13], [20, 20]]))
    other = table.test_ordinal_association(np.arange(4), np.array([1.0, 0.0]))
    # statsmodels divides by n - 1 where Cochran and Armitage divide by n
    assert found.z == pytest.approx(other.zscore * math.sqrt(160 / 159), rel=1e-9)
    assert found.z < 0
    assert found.p_value < 0.01


def test_a_leak_of_time_is_seen() -> None:
    assert detection.late([1, 2, 3], [4, 5]) == 0
    assert detection.late([1, 2, 4], [4, 5]) == 1
    assert detection.late([9, 2, 4.5], [4, 5]) == 2


times = st.lists(st.floats(0, 100, allow_nan=False), min_size=1, max_size=60)


@given(times, st.integers(1, 8), st.floats(0, 30), st.none() | st.floats(1, 80))
@settings(max_examples=150, deadline=None)
def test_a_walk_forward_never_learns_from_what_was_not_known(
    time: list[float], count: int, delay: float, span: float | None
) -> None:
    t = np.array(time)
    seen: set[int] = set()
    last = -math.inf
    for fold in walking.walk_forward(t, count, delay, span):
        first = float(t[fold.test].min())
        assert (t[fold.train] < first).all()
        assert (t[fold.train] + delay <= first).all()
        assert first >= last
        assert not seen & set(fold.test.tolist())
        seen |= set(fold.test.tolist())
        last = float(t[fold.test].max())


def test_a_walk_forward_shows_what_a_random_split_hides() -> None:
    """A feature that means the opposite after a change of regime: random folds look fine, folds in time do not."""
    draw = np.random.default_rng(8)
    time = np.arange(2000.0)
    y = (draw.random(2000) < 0.2).astype(int)
    sign = np.where(time < 1200, 1.0, -1.0)
    x = draw.normal(size=2000) + 2.0 * sign * (2 * y - 1)
    regime = (time >= 1200).astype(float)

    def score(train: np.ndarray, test: np.ndarray) -> float:
        def slope(part: np.ndarray) -> float:
            return float(np.cov(x[part], y[part])[0, 1]) if part.size > 9 else 0.0

        by = {r: slope(train[regime[train] == r]) for r in (0.0, 1.0)}
        fallback = slope(train)
        weights = np.array([by[r] or fallback for r in regime[test]])
        return evaluable(detection.average_precision(y[test], weights * x[test])).value

    mixed = draw.permutation(2000)
    leaked = score(mixed[:1000], mixed[1000:])
    honest = [score(fold.train, fold.test) for fold in walking.walk_forward(time, 4, delay=400.0)]
    assert leaked > 0.9
    assert min(honest) < 0.5
