"""A planted proxy is found and named; where there is none, nothing is."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from strongroom.validation.results import NotEvaluable, evaluable
from strongroom.validation.statistics import proxies

N = 1500


@cache
def planted() -> tuple[np.ndarray, np.ndarray]:
    """Feature 2 is the group behind noise, feature 0 knows it only together with feature 1, feature 3 is nothing."""
    random = np.random.default_rng(11)
    group = random.integers(0, 2, N)
    one = random.integers(0, 2, N)
    x = np.column_stack([one ^ group, one, group + random.normal(0, 0.9, N), random.normal(0, 1, N)])
    flip = random.random(N) < 0.35
    x[flip, 0] = random.integers(0, 2, int(flip.sum()))
    x[random.random(N) < 0.1, 3] = np.nan
    return x.astype(np.float32), group


def test_a_planted_proxy_is_found_alone_or_in_company() -> None:
    x, group = planted()
    found = evaluable(proxies.find_proxies(x, group, [0, 1]))
    assert found.auc > 0.85
    assert found.interval is not None
    assert found.interval[0] < found.auc < found.interval[1]
    named = {c.feature: c for c in found.carriers}
    assert [c.feature for c in found.carriers][-1] == 3
    assert named[2].alone > 0.7
    assert named[0].alone < 0.6  # says nothing by itself
    assert named[0].lost > 0.08  # and much beside feature 1
    assert abs(named[3].lost) < 0.02


def test_the_area_agrees_with_scikit_learn_on_the_strongest_feature_alone() -> None:
    from sklearn.metrics import roc_auc_score

    x, group = planted()
    named = {c.feature: c for c in evaluable(proxies.find_proxies(x, group, [0, 1])).carriers}
    assert named[2].alone == pytest.approx(roc_auc_score(group, x[:, 2]), abs=0.03)


def test_where_nothing_is_known_the_area_is_chance() -> None:
    x, _ = planted()
    group = np.random.default_rng(5).integers(0, 3, N)
    found = evaluable(proxies.find_proxies(x, group, [0, 1, 2]))
    assert 0.4 < found.auc < 0.6


def test_the_order_of_rows_moves_nothing() -> None:
    x, group = planted()
    order = np.random.default_rng(6).permutation(N)
    assert proxies.find_proxies(x, group, [0, 1]) == proxies.find_proxies(x[order], group[order], [0, 1])
    few = proxies.find_proxies(x, group, [0, 1], most_rows=400)
    assert few == proxies.find_proxies(x[order], group[order], [0, 1], most_rows=400)
    assert evaluable(few).rows == 400


def test_rows_of_small_groups_do_not_enter() -> None:
    x, group = planted()
    rare = group.copy()
    rare[:7] = 2
    found = evaluable(proxies.find_proxies(x, rare, [0, 1]))
    assert found.rows == N - 7
    assert found == evaluable(proxies.find_proxies(x[7:], group[7:], [0, 1]))


def test_too_few_rows_are_not_guessed_from() -> None:
    x, group = planted()
    assert isinstance(proxies.find_proxies(x, group, [0]), NotEvaluable)
    assert isinstance(proxies.find_proxies(x[:20], group[:20], [0, 1]), NotEvaluable)


def test_a_feature_that_tells_another_group_than_all_of_them_do_is_seen() -> None:
    random = np.random.default_rng(8)
    group = random.integers(0, 3, 450)
    one = random.integers(0, 2, 450)
    x = np.column_stack([one ^ (group == 0), one, (group == 2) + random.normal(0, 0.6, 450)]).astype(np.float32)
    found = evaluable(proxies.find_proxies(x, group, [0, 1, 2]))
    assert found.group == 0
    (third,) = (c for c in found.carriers if c.feature == 2)
    assert third.best > 0.8 > 0.7 > third.alone
    assert all(c.best >= c.alone for c in found.carriers)
