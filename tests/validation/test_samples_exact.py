"""What samples and small tables say, counted by hand: gaps, repeats, grades, bins, flips, noise, and what may be told.

Light on purpose, since mutation testing runs it hundreds of times.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from strongroom.errors import InvalidInputError
from strongroom.registry.contract import Feature, InputContract
from strongroom.registry.robustness import Action
from strongroom.validation.results import NotEvaluable
from strongroom.validation.statistics import data_quality, parity, stress
from strongroom.validation.statistics.bins import (
    Floor,
    contributions,
    count_bins,
    quantile_edges,
    weigh_bins,
)
from strongroom.validation.statistics.boundary_attack import Reach
from strongroom.validation.statistics.disclosure import Veil, rounded_down, rounded_up, veil, veil_crossing
from strongroom.validation.statistics.grading import GradeTable, Scale, grade_table

NAN, INF = float("nan"), float("inf")


def f32(*rows: Any) -> Any:
    return np.array(rows, np.float32)


# a sample before any model


def test_how_far_a_feature_alone_orders_the_outcome() -> None:
    rows = f32([1, 5, NAN, 7, 3], [2, 5, 1, 1, NAN], [3, 5, 2, 4, 1], [4, 5, NAN, 2, 2], [NAN, 5, 3, 3, INF])
    events = np.array([0, 0, 1, 1, 1])
    found = data_quality.lone_strength(rows, events, ["a", "b", "c", "d", "e"])
    assert isinstance(found, tuple)
    # a: both events above both others; c: of 1 against 2 and 3; d: 7, 1 against 4, 2, 3; e: 3 against 1 and 2
    assert [(one.name, one.figure) for one in found] == [
        ("a", pytest.approx(1.0)), ("c", pytest.approx(1.0)), ("e", pytest.approx(1.0)),
        ("d", pytest.approx(abs(2 * 3 / 6 - 1))),
    ]  # fmt: skip
    amounts = np.array([0.5, 0.1, 0.9, 0.7, 0.2])
    found = data_quality.lone_strength(rows, amounts, ["a", "b", "c", "d", "e"])
    assert isinstance(found, tuple)
    told = {one.name: one.figure for one in found}
    assert told["a"] == pytest.approx(abs(stats.spearmanr([1, 2, 3, 4], amounts[:4]).statistic))
    assert told["d"] == pytest.approx(abs(stats.spearmanr(rows[:, 3], amounts).statistic))
    assert [one.figure for one in found] == sorted(told.values(), reverse=True)
    assert set(told) == {"a", "c", "d", "e"}
    for outcome in (events[:2], np.zeros(5, int), np.zeros(5)):
        none = data_quality.lone_strength(rows[: len(outcome)], outcome, ["a", "b", "c", "d", "e"])
        assert isinstance(none, NotEvaluable)
    # two outcomes alike beside a gap, and three values are enough
    assert isinstance(data_quality.lone_strength(f32([1], [2], [3]), np.array([0, 1, 1]), ["a"]), tuple)
    assert isinstance(data_quality.lone_strength(f32([1], [2], [NAN]), np.array([0, 1, 1]), ["a"]), NotEvaluable)


def test_gaps_that_tell_and_gaps_that_do_not() -> None:
    rows = np.ones((12, 4), np.float32)
    rows[:4, 0], rows[[0, 6], 1], rows[:, 2] = NAN, NAN, NAN
    events = np.array([1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0])
    found = data_quality.telling_gaps(rows, events, ["a", "b", "c", "d"])
    assert isinstance(found, tuple)
    p = [stats.fisher_exact([[3, 1], [1, 7]]).pvalue, stats.fisher_exact([[1, 1], [3, 7]]).pvalue]
    assert [(one.name, one.missing) for one in found] == [("a", 4), ("b", 2)]
    assert [one.p_value for one in found] == pytest.approx([min(1, 2 * p[0]), max(2 * p[0], p[1])])
    assert [one.difference for one in found] == pytest.approx([3 / 4 - 1 / 8, 1 / 2 - 3 / 10])
    amounts = np.arange(12) ** 2 / 100
    (lone,) = data_quality.telling_gaps(rows[:, :1], amounts, ["a"])  # type: ignore[misc]
    assert lone.p_value == pytest.approx(stats.mannwhitneyu(amounts[:4], amounts[4:]).pvalue)
    assert lone.difference == pytest.approx(amounts[:4].mean() - amounts[4:].mean())
    assert isinstance(data_quality.telling_gaps(rows[:, 2:], events, ["c", "d"]), NotEvaluable)
    one_gap = np.ones((3, 1), np.float32)
    one_gap[0] = NAN
    assert isinstance(data_quality.telling_gaps(one_gap, np.array([1, 0, 0]), ["a"]), tuple)


def test_rows_that_repeat_and_samples_that_differ() -> None:
    rows = f32([0.0, NAN], [-0.0, NAN], [0.0, 1], [0.0, NAN])
    assert data_quality.repeated(rows, np.array([1, 1, 1, 1])) == 0.5
    assert data_quality.repeated(rows, np.array([1, 0, 1, 1])) == 0.25
    assert data_quality.repeated(rows[:0], np.array([])) == 0.0
    old, new = f32([1, NAN, NAN], [2, 1, NAN]), f32([NAN, 1, NAN], [NAN, 1, NAN], [1, 1, NAN], [9, 1, NAN])
    found = data_quality.missing_change(old, new, ["a", "b", "c"])
    assert (found.name, found.figure) == ("a", 0.5)  # type: ignore[union-attr]
    assert isinstance(data_quality.missing_change(old[:0], new, ["a", "b", "c"]), NotEvaluable)
    assert isinstance(data_quality.missing_change(old, new[:0], ["a", "b", "c"]), NotEvaluable)
    apart = data_quality.told_apart(f32([1, 1, 1], [2, 1, NAN], [3, 1, NAN]), new, ["a", "b", "c"])
    assert [(one.name, one.figure) for one in apart] == [("a", pytest.approx(0.5)), ("b", 0.0)]  # type: ignore[union-attr]
    assert isinstance(data_quality.told_apart(old[:, 2:], new[:, 2:], ["c"]), NotEvaluable)
    values = np.random.default_rng(1).integers(0, 9, (2, 30)).astype(float)
    assert data_quality._distance(values[0], values[1, :20]) == pytest.approx(
        stats.ks_2samp(values[0], values[1, :20]).statistic
    )


def test_words_that_sound_like_a_special_category() -> None:
    names, purposes = ["a", "union_member", "health", "x"], ["income", "t", "t", "Religious belief"]
    assert data_quality.special(names, purposes, ["6(1)", "6(1)", "Art. 9 (2) (a)", "9(1)"]) == ("union_member", "x")


# served against source


def test_distances_of_two_sets_of_answers() -> None:
    a, b = [0.1, 0.2, 0.3, 0.5, 0.75], [0.1, 0.2 + 2**-10, 0.25, 0.5 - 2**-12, 0.75]
    found = parity.parity(a, b, 2**-10, [0.5, 0.2])
    assert isinstance(found, parity.Parity)
    assert found.largest == pytest.approx(0.05)
    assert (found.beyond, found.flips, found.near, found.n) == (0.2, 1, 2, 5)
    near = parity.parity([0.5 - 2**-10, 0.5 + 2**-10, 0.5 + 2**-9], [0.5] * 3, 2**-10, [0.5])
    assert (near.near, near.flips, near.beyond) == (2, 1, pytest.approx(1 / 3))  # type: ignore[union-attr]
    for one, two in (([1.0], [1.0, 2.0]), ([[1.0]], [[1.0]]), ([], []), ([NAN], [1.0]), ([1.0], [INF])):
        assert isinstance(parity.parity(one, two, 0.1, [0.5]), NotEvaluable)


# grades and bins


def test_grades_and_their_tables() -> None:
    scale = Scale((0.1, 0.2))
    assert scale.assign([0.05, 0.1, 0.11, 0.2, 0.21]).tolist() == [1, 1, 2, 2, 3]
    for edges in ((0.2, 0.1), (0.1, 0.1)):
        with pytest.raises(ValueError, match="ascend"):
            Scale(edges)
    assert Scale.from_quantiles(np.arange(1, 9) / 10, 4).edges == (0.2, 0.4, 0.6)
    table = grade_table(Scale((0.1, 0.2, 0.3)), [1, 0, 1, 0], [0.05, 0.1, 0.15, 0.35])
    assert table == GradeTable((2, 1, 0, 1), (1, 1, 0, 0), (pytest.approx(0.075), 0.15, 0.0, 0.35))  # type: ignore[arg-type]
    assert table.inversions == 1
    assert GradeTable((1, 1, 0, 2), (0, 0, 0, 1), (0.0,) * 4).inversions == 0
    assert isinstance(grade_table(scale, [], []), NotEvaluable)


def test_what_an_empty_bin_counts_as() -> None:
    assert Floor.parse("half-count") == Floor(None)
    assert (Floor.parse("0.01"), Floor.parse("1e-9")) == (Floor(0.01), Floor(1e-9))
    for text in ("0", "0.010001", "-0.001", "x", "nan", ""):
        with pytest.raises(InvalidInputError):
            Floor.parse(text)
    assert Floor(None).shares(np.array([0.0, 3.0, 0.5])) == pytest.approx([0.125, 0.75, 0.125])
    assert Floor(None).shares(np.array([0.5, 3.0, 0.25])) == pytest.approx([2 / 15, 0.8, 1 / 15])
    assert Floor(0.01).shares(np.array([0.0, 3.0, 1.0])) == pytest.approx([0.01, 0.75, 0.25])
    found = contributions([2, 0, 2], [1, 1, 2], Floor(0.01))
    assert found == pytest.approx([-0.25 * math.log(0.5), 0.24 * math.log(25), 0.0])


def test_edges_are_values_that_occur_and_the_largest_is_none() -> None:
    assert quantile_edges([4, 1, 3, 2, NAN, INF], 4).tolist() == [1, 2, 3]
    assert quantile_edges([1, 1, 1, 2], 4).tolist() == [1]
    assert quantile_edges([5, 5], 3).tolist() == []
    assert quantile_edges([NAN], 3).size == 0
    assert quantile_edges([], 3, []).size == 0
    assert quantile_edges([1, 2, 3, 4], 2, [1, 1, 1, 5]).tolist() == []
    assert quantile_edges([4, 3, 2, 1], 2, [1, 1, 2, 0]).tolist() == [2]
    assert quantile_edges([1, 2, NAN, 3], 2, [3, 1, 100, 2]).tolist() == [1]
    # of ten equal weights the fifth is the half, whatever a tenth is in float64
    assert quantile_edges(np.arange(10), 2, np.full(10, 0.1)).tolist() == [4]


def test_rows_and_weights_per_bin() -> None:
    values, weight = [0.5, 1.0, 1.5, NAN, 2.5, NAN], [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    counts, missing = count_bins(values, [1.0, 2.0])
    assert (counts.tolist(), missing) == ([2, 1, 1], 2)
    sums, gone = weigh_bins(values, [1.0, 2.0], weight)
    assert (sums.tolist(), gone) == ([3, 4, 16], 40.0)
    assert count_bins([0.1], [1.0, 2.0])[0].tolist() == [1, 0, 0]
    assert weigh_bins([0.1], [1.0, 2.0], [0.5])[0].tolist() == [0.5, 0, 0]


# disturbed


def test_flips_and_what_lies_near() -> None:
    scores, after = np.array([0.1, 0.2, 0.3, 0.6]), np.array([0.2, 0.2, 0.7, 0.5])
    found = stress.flips(scores, after, [0.2, 0.5])
    assert isinstance(found, stress.Flips)
    assert (found.flipped, found.n, found.rate) == (2, 4, 0.5)
    assert found.max_abs_delta == pytest.approx(0.4)
    assert stress.flips(scores, np.nextafter(scores, 0), [0.2]).flipped == 1  # type: ignore[union-attr]
    for one, two, cuts in (([], [], [0.1]), ([0.1], [0.1], []), ([NAN], [0.1], [0.1]), ([0.1], [INF], [0.1])):
        assert isinstance(stress.flips(np.array(one), np.array(two), cuts), NotEvaluable)
    with pytest.raises(InvalidInputError):
        stress.flips(np.zeros(2), np.zeros(3), [0.1])
    assert stress.near(np.array([0.25, 0.5, 0.75, 1.0]), [0.5, 1.25], 0.25).tolist() == [True, True, True, True]
    assert stress.near(np.array([0.2, 0.5, 0.8]), [0.5], 0.25).tolist() == [False, True, False]


def test_spreads_are_those_of_a_normal_distribution() -> None:
    rows = f32([0, 0, 5, NAN], [1, 0, 5, NAN], [2, 0, 5, NAN], [3, 0, 5, NAN], [INF, 9, 5, NAN])
    found = stress.spreads(rows)
    assert found == pytest.approx([1.5 / (2 * stats.norm.ppf(0.75)), np.std([0, 0, 0, 0, 9]), 0, 0])
    assert pytest.approx(2 * stats.norm.ppf(0.75), rel=1e-15) == stress.IQR_OF_NORMAL


def contract() -> InputContract:
    def feature(name: str, **more: Any) -> Feature:
        return Feature(name=name, unit="u", purpose="test", legal_basis="none", **more)

    return InputContract(
        tensor="input",
        features=(
            feature("a", type="float", minimum="0.3", maximum="0.7"), feature("b", type="category", allowed=(1, 2)),
            feature("c", type="integer", minimum="-2", maximum="3"), feature("d", type="float", missing="nan"),
            feature("e", type="float", minimum="0.7", maximum="0.8"),
        ),
    )  # fmt: skip


def test_noise_is_normal_keeps_to_the_contract_and_leaves_categories() -> None:
    rows = np.tile(f32([0.5, 1, 1, 0, 0.75]), (40, 1))
    rows[0, 3] = NAN
    spread = np.array([4.0, 9.0, 6.0, 2.0, 5.0])
    made = stress.disturb(rows, contract(), spread, 0.5, np.random.default_rng(2))
    random = np.random.default_rng(2)
    noise = [random.standard_normal(40) * one * 0.5 for one in spread]
    assert made[:, 1].tolist() == [1.0] * 40
    assert np.isnan(made[0, 3])
    np.testing.assert_allclose(made[1:, 3], noise[3][1:], rtol=1e-6)
    np.testing.assert_array_equal(made[:, 2], np.clip(np.rint(1 + noise[2]), -2, 3))
    inside = np.clip(0.5 + noise[0], 0.3, 0.7)
    np.testing.assert_allclose(made[:, 0], inside, rtol=1e-6)
    # the ends are the nearest float32 that the contract allows
    up, down = np.nextafter(np.float32(0.7), np.float32(1)), np.nextafter(np.float32(0.8), np.float32(0))
    assert (made[:, 0].min(), made[:, 0].max()) == (np.float32(0.3), np.float32(0.7))
    assert made[:, 4].min() == up
    assert made[:, 4].max() == down
    assert made.dtype == np.float32
    assert rows[1, 0] == 0.5


def test_values_are_taken_away_where_they_may_be() -> None:
    rows = np.ones((50, 5), np.float32)
    found = stress.take_away(rows, contract(), 0.4, np.random.default_rng(2))
    gone = np.random.default_rng(2).random((50, 5)) < 0.4
    assert isinstance(found, np.ndarray)
    assert np.isnan(found[:, 3]).tolist() == gone[:, 3].tolist()
    assert not np.isnan(np.delete(found, 3, axis=1)).any()
    strict = InputContract(tensor="input", features=contract().features[:3])
    assert isinstance(stress.take_away(rows[:, :3], strict, 0.4, np.random.default_rng(2)), NotEvaluable)


def test_an_attack_goes_to_the_contracts_end_and_not_past_it_by_rounding() -> None:
    row = f32(0.5, 1, 1, 0, 0.75)
    for cost in ("1", "3", "0.7"):
        actions = tuple(Action(feature=name, direction="either", cost=cost) for name in "ae")
        reach = Reach.of(row, contract(), actions, 1e3)
        least, most = reach.rows(np.array([[-1e3, -1e3], [1e3, 1e3]])).astype(np.float64)
        assert (least[0] >= 0.3, most[0] <= 0.7, least[4] >= 0.7, most[4] <= 0.8) == (True,) * 4
        assert [least[0], most[0], least[4], most[4]] == pytest.approx([0.3, 0.7, 0.7, 0.8], abs=1e-7)


# what may be told


@pytest.mark.parametrize(
    ("sizes", "minimum", "silent", "states"),
    [
        ([10, 20, 30], 10, (), ["clear"] * 3),
        ([9, 20, 30], 10, (), ["small", "veiled", "clear"]),
        ([9, 30, 20], 10, (), ["small", "clear", "veiled"]),
        ([9, 20, 20], 10, (), ["small", "veiled", "clear"]),
        ([5, 5, 20], 10, (), ["small", "small", "clear"]),
        ([5, 4, 20], 10, (), ["small", "small", "veiled"]),
        ([0, 20, 30], 10, (), ["small", "clear", "clear"]),
        ([20, 20, 30], 10, (0,), ["small", "clear", "clear"]),
        ([1, 2, 3], 1, (1,), ["clear", "small", "clear"]),
        ([1, 10, 11, 12], 22, (), ["small", "small", "small", "small"]),
        ([1, 11, 12], 11, (), ["small", "veiled", "clear"]),
    ],
)
def test_no_small_group_follows_by_subtraction(sizes: Any, minimum: int, silent: Any, states: Any) -> None:
    found = veil(sizes, minimum, silent)
    assert list(found.states) == states
    assert found.large == tuple(n for n, state in enumerate(states) if state != "small")
    assert found.coarse is ("veiled" in states)


def crossed(counts: Any, minimum: int, first: Veil, second: Veil) -> Any:
    """Veil the smallest open cell of the first weak line, in plain loops; a sum that is known alone fixes its cell."""
    rows, columns = counts.shape
    cells = list(itertools.product(range(rows), range(columns)))
    state = {cell: "clear" if counts[cell] >= minimum else "small" for cell in cells}
    lines = [set(cells)]
    for axis, told in ((0, first), (1, second)):
        rest = {place for place, one in enumerate(told.states) if one != "clear"}
        kept = [{place} for place, one in enumerate(told.states) if one == "clear"] + ([rest] if rest else [])
        lines += [{cell for cell in cells if cell[axis] in places} for places in kept]
    while True:
        hidden = {cell for cell in cells if state[cell] != "clear"}
        weak = next(
            (line for line in lines if 0 < sum(counts[c] for c in line & hidden) < minimum and line - hidden), None
        )
        if weak is None:
            unknown = [cell for cell in cells if cell in hidden and counts[cell] > 0]
            sums = np.array([[cell in line for cell in unknown] for line in lines], float)
            for place, cell in enumerate(unknown):
                alone = np.eye(len(unknown))[place]
                if np.linalg.matrix_rank(np.vstack([sums, alone])) == np.linalg.matrix_rank(sums):
                    weak = {c for c in cells if c[0] == cell[0] or c[1] == cell[1]}
                    break
        if weak is None:
            break
        left = sorted((counts[c], c) for c in (weak - hidden or set(cells) - hidden))
        if not left:
            break
        state[left[0][1]] = "veiled"
    return [[state[row, column] for column in range(columns)] for row in range(rows)]


@pytest.mark.parametrize("seed", range(24))
def test_crossed_groups_are_veiled_as_loops_veil_them(seed: int) -> None:
    random = np.random.default_rng(seed)
    shape = (int(random.integers(2, 4)), int(random.integers(2, 5)))
    counts = random.choice([0, 0, 3, 5, 8, 10, 11, 15, 30], shape)
    first, second = (veil(counts.sum(axis=axis).tolist(), 10) for axis in (1, 0))
    found = veil_crossing(counts, 10, first, second)
    assert found.tolist() == crossed(counts, 10, first, second)


def test_veiled_figures_never_look_better() -> None:
    assert (rounded_down(0.129, True), rounded_up(0.121, True)) == (0.12, 0.13)
    assert (rounded_down(0.129, False), rounded_up(0.121, False)) == (0.129, 0.121)
    assert (rounded_down(0.29, True), rounded_up(0.29, True)) == (0.29, 0.29)
    assert (rounded_down(-0.001, True), rounded_up(-0.001, True)) == (-0.01, 0.0)
