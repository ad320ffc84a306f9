"""Gaps between groups, held against other libraries and against what symmetry demands."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from strongroom.validation.results import NotEvaluable, evaluable
from strongroom.validation.statistics import disparity

count = st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
stratum = st.tuples(count, count).map(lambda pair: (*pair[0], *pair[1]))


@given(count, count)
@settings(deadline=None)
def test_a_gap_of_rates_turns_its_sign_with_the_groups(one: tuple[int, int], two: tuple[int, int]) -> None:
    there, back = evaluable(disparity.rate_gap(*one, *two)), evaluable(disparity.rate_gap(*two, *one))
    assert there.difference == pytest.approx(-back.difference, abs=1e-12)
    assert there.interval == pytest.approx((-back.interval[1], -back.interval[0]), abs=1e-12)
    assert there.fisher_p == pytest.approx(back.fisher_p, rel=1e-9)
    assert there.interval[0] - 1e-12 <= there.difference <= there.interval[1] + 1e-12
    assert -1.0 <= there.interval[0] <= there.interval[1] <= 1.0


def test_statsmodels_agrees_on_gaps_and_common_odds() -> None:
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    for one, two in (((7, 40), (19, 55)), ((0, 30), (9, 30)), ((30, 30), (1, 25))):
        ours = evaluable(disparity.rate_gap(*one, *two))
        theirs = proportion.confint_proportions_2indep(*one, *two, method="newcomb", compare="diff")
        assert ours.interval == pytest.approx(theirs, abs=1e-9)
        assert disparity.wilson(*one, 0.95) == pytest.approx(proportion.proportion_confint(*one, method="wilson"))
    strata = [(60, 150, 90, 150), (60, 120, 170, 300), (40, 60, 330, 420)]
    cube = np.array([[[a, n - a], [c, m - c]] for a, n, c, m in strata], dtype=float).transpose(1, 2, 0)
    theirs = tables.StratifiedTable(cube)
    ours = evaluable(disparity.common_odds(strata))
    assert ours.ratio == pytest.approx(theirs.oddsratio_pooled, rel=1e-12)
    assert ours.interval == pytest.approx(theirs.oddsratio_pooled_confint(), rel=1e-9)
    assert ours.p_value == pytest.approx(theirs.test_null_odds(correction=False).pvalue, rel=1e-9)
    assert ours.strata == 3


@given(st.lists(stratum, min_size=1, max_size=5), st.randoms())
@settings(deadline=None)
def test_common_odds_invert_with_the_groups_and_do_not_see_the_order(
    strata: list[tuple[int, int, int, int]], random: object
) -> None:
    there = disparity.common_odds(strata)
    back = disparity.common_odds([(c, m, a, n) for a, n, c, m in strata])
    assume(not isinstance(there, NotEvaluable) and not isinstance(back, NotEvaluable))
    one, two = evaluable(there), evaluable(back)
    assert one.ratio * two.ratio == pytest.approx(1.0)
    assert one.p_value == pytest.approx(two.p_value, rel=1e-6, abs=1e-12)
    mixed = list(strata)
    random.shuffle(mixed)  # type: ignore[attr-defined]  # hypothesis' randoms have no public type
    assert evaluable(disparity.common_odds(mixed)).ratio == pytest.approx(one.ratio)


def test_strata_that_say_nothing_are_left_out() -> None:
    told = [(60, 150, 90, 150), (60, 120, 170, 300)]
    silent = [(0, 10, 0, 20), (10, 10, 5, 5), (0, 0, 3, 9)]
    one, two = evaluable(disparity.common_odds(told)), evaluable(disparity.common_odds([*told, *silent]))
    assert one == two


def test_simpson_is_caught() -> None:
    # each stratum favours the group, the whole table does not: most of the group applies where few are accepted
    strata = [(80, 400, 15, 100), (95, 100, 360, 400)]
    assert evaluable(disparity.common_odds(strata)).ratio > 1.2
    whole = evaluable(disparity.common_odds([tuple(map(sum, zip(*strata, strict=True)))]))  # type: ignore[list-item]  # four sums
    assert whole.ratio < 0.5


groups = st.lists(st.integers(-30, 30), min_size=2, max_size=30)


@given(groups, groups)
@settings(deadline=None)
def test_mean_gaps_turn_their_sign_and_ignore_scale_and_order(one: list[int], two: list[int]) -> None:
    there = disparity.mean_gap(one, two)
    assume(not isinstance(there, NotEvaluable))
    d = evaluable(there)
    back = evaluable(disparity.mean_gap(two[::-1], one[::-1]))
    assert (d.pooled, d.overall) == pytest.approx((-back.pooled, -back.overall), abs=1e-9)
    moved = evaluable(disparity.mean_gap([3 * v + 7 for v in one], [3 * v + 7 for v in two]))
    assert (moved.pooled, moved.overall) == pytest.approx((d.pooled, d.overall), rel=1e-9, abs=1e-12)
    assert d.interval[0] < d.pooled < d.interval[1]


def test_a_group_is_calibrated_or_off_on_either_side() -> None:
    random = np.random.default_rng(4)
    p = random.uniform(0.02, 0.4, 4000)
    y = (random.random(4000) < p).astype(int)
    good = evaluable(disparity.group_calibration(y, p))
    assert good.p_value > 0.01
    assert good.interval[0] < good.rate < good.interval[1]
    assert good.slope == pytest.approx(1.0, abs=0.2)
    for factor in (0.7, 1.4):  # too low misleads the bank, too high harms the group
        assert evaluable(disparity.group_calibration(y, p * factor)).p_value < 1e-6
    from scipy.stats import beta

    tail = beta.cdf(p.mean(), y.sum() + 0.5, 4000 - y.sum() + 0.5)
    assert good.p_value == pytest.approx(2 * min(tail, 1 - tail), rel=1e-9)


@pytest.mark.parametrize(
    ("what", "answer"),
    [
        ("empty", disparity.rate_gap(0, 0, 1, 2)),
        ("one row", disparity.mean_gap([1.0], [1.0, 2.0])),
        ("equal", disparity.mean_gap([1.0, 1.0], [2.0, 2.0])),
        ("no strata", disparity.common_odds([])),
        ("one group only", disparity.common_odds([(3, 9, 0, 0)])),
        ("nobody refused of the group", disparity.common_odds([(9, 9, 3, 9)])),
        ("no rows", disparity.group_calibration([], [])),
    ],
)
def test_what_has_no_answer_says_why(what: str, answer: object) -> None:
    assert isinstance(answer, NotEvaluable), what
    assert answer.reason


def test_nobody_favoured_of_the_group_has_a_ratio_and_a_test_but_no_interval() -> None:
    found = evaluable(disparity.common_odds([(0, 20, 10, 20)]))
    assert found.ratio == 0.0
    assert isinstance(found.interval, NotEvaluable)
    assert 0.0 < found.p_value < 0.01
    assert math.isfinite(found.p_value)


@pytest.mark.parametrize("bad", [(5, 4, 1, 2), (-1, 4, 1, 2)])
def test_counts_that_cannot_be_are_refused(bad: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="hits among n rows"):
        disparity.rate_gap(*bad)
    with pytest.raises(ValueError, match="favoured"):
        disparity.common_odds([bad])
