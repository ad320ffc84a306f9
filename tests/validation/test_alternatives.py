"""The search finds the way that is there, at no price where there is none, and never by group."""

from __future__ import annotations

import inspect
from functools import cache

import numpy as np
import pytest

from strongroom.validation.results import NotEvaluable, evaluable
from strongroom.validation.statistics import alternatives
from strongroom.validation.statistics.alternatives import Grouping, mute, search

N = 4000
LIMITS = {"loss_of_auc": 0.01, "loss_of_profit": 0.05}


@cache
def world() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Feature 0 drives the risk; feature 1 is a proxy of the group, used in vain; feature 2 is constant."""
    random = np.random.default_rng(3)
    group = random.integers(0, 2, N)
    x = np.column_stack([random.normal(0, 1, N), group + random.normal(0, 0.3, N), np.ones(N)]).astype(np.float32)
    y = (random.random(N) < 1 / (1 + np.exp(1.6 - 1.4 * x[:, 0]))).astype(int)
    return x, y, group


def model(rows: np.ndarray) -> np.ndarray:
    return (1 / (1 + np.exp(2.1 - 1.4 * rows[:, 0] - 0.9 * rows[:, 1]))).astype(np.float32)


def found(order: np.ndarray | None = None, **limits: float) -> alternatives.Search:
    x, y, group = world()
    if order is not None:
        x, y, group = x[order], y[order], group[order]
    return evaluable(
        search(model(x), y, mute(model, x), [Grouping(group, (0, 1))], 0.3, **{**LIMITS, **limits})  # type: ignore[arg-type]  # two floats
    )


def test_a_feature_that_harms_a_group_and_tells_nothing_is_found() -> None:
    result = found()
    assert result.present.ratio < 0.8
    assert result.best.feature == 1
    assert result.best.ratio > result.present.ratio + 0.1
    assert result.best.auc > result.present.auc - 0.02
    assert result.price == pytest.approx(0.7 / 0.3)


def test_all_on_the_frontier_are_unbeaten_and_the_present_way_is_measured_alike() -> None:
    result = found()
    assert result.tried > 50
    points = [(w.ratio, w.auc, w.profit) for w in result.frontier]
    for one in points:
        assert not any(all(a >= b for a, b in zip(other, one, strict=True)) and other != one for other in points)
    assert [w.ratio for w in result.frontier] == sorted(w.ratio for w in result.frontier)
    assert (result.present.feature, result.present.cut_off) == (None, 0.3)


def test_without_leave_to_lose_nothing_is_given_up_on_the_choosing_half() -> None:
    strict = found(loss_of_auc=0.0, loss_of_profit=0.0)
    free = found(loss_of_auc=1.0, loss_of_profit=100.0)
    assert strict.best.ratio <= free.best.ratio + 0.05
    assert free.best.ratio > 0.95  # accept everybody, if money is no matter


def test_where_no_group_is_harmed_the_present_way_stays_about_as_good() -> None:
    x, y, _ = world()
    group = np.random.default_rng(9).integers(0, 2, N)
    result = evaluable(search(model(x), y, mute(model, x), [Grouping(group, (0, 1))], 0.3, **LIMITS))
    assert result.best.ratio - result.present.ratio < 0.05


def test_the_order_of_rows_moves_nothing() -> None:
    order = np.random.default_rng(1).permutation(N)
    one, two = found(), found(order)
    assert one.present == two.present
    assert one.best.ratio == pytest.approx(two.best.ratio)
    assert len(one.frontier) == len(two.frontier)


def test_the_model_is_asked_with_features_only_and_never_by_group() -> None:
    assert list(inspect.signature(mute).parameters) == ["answer", "rows", "most_rows", "most_answers"]
    x, _, _ = world()
    seen: list[np.ndarray] = []

    def watched(rows: np.ndarray) -> np.ndarray:
        seen.append(rows)
        return model(rows)

    muted = mute(watched, x, most_answers=300)
    assert set(muted.scores) == {0, 1}  # a constant feature has no say to take away
    assert all(rows.shape == (100, 3) for rows in seen)
    for feature, rows in enumerate(seen):
        assert len(np.unique(rows[:, feature])) == 1
        assert rows[0, feature] in x[:, feature]


def test_every_way_treats_two_people_with_equal_features_alike() -> None:
    x, y, group = world()
    twins = np.concatenate([x, x])
    both = np.concatenate([group, 1 - group])
    result = evaluable(
        search(model(twins), np.concatenate([y, y]), mute(model, twins), [Grouping(both, (0, 1))], 0.3, **LIMITS)
    )
    # every person stands in either group once, so whatever is done, both fare alike but for the split in halves
    assert all(way.ratio > 0.9 for way in result.frontier)


def test_what_has_no_answer_says_why() -> None:
    x, y, group = world()
    muted = mute(model, x)
    for answer in (
        search(model(x), y, muted, [], 0.3, **LIMITS),
        search(model(x), y, muted, [Grouping(group, (0, 1))], 1.5, **LIMITS),
        search(model(x), np.zeros(N), muted, [Grouping(group, (0, 1))], 0.3, **LIMITS),
        search(model(x), y, muted, [Grouping(group, (0, 1))], 1e-9, **LIMITS),
        search(model(x), y, muted, [Grouping(np.zeros(N, dtype=np.int64), (0, 1))], 0.3, **LIMITS),
    ):
        assert isinstance(answer, NotEvaluable)
        assert answer.reason
