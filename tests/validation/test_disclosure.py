"""No small group can be read from what is told, nor reckoned from it by subtraction."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from strongroom.validation.statistics.disclosure import rounded_down, rounded_up, veil, veil_crossing

sizes = st.lists(st.integers(0, 40), min_size=1, max_size=6)
crossings = st.tuples(st.integers(2, 4), st.integers(2, 4)).flatmap(
    lambda shape: st.lists(
        st.lists(st.integers(0, 40), min_size=shape[1], max_size=shape[1]), min_size=shape[0], max_size=shape[0]
    )
)


def test_two_large_groups_are_told_whole() -> None:
    assert veil([60, 40], 10).states == ("clear", "clear")
    assert not veil([60, 40], 10).coarse


def test_beside_one_small_group_the_smallest_large_one_is_veiled_and_still_judged() -> None:
    told = veil([60, 40, 3], 10)
    assert told.states == ("clear", "veiled", "small")
    assert told.large == (0, 1)
    assert told.coarse


def test_small_groups_that_are_many_together_veil_no_other() -> None:
    assert veil([60, 40, 7, 6], 10).states == ("clear", "clear", "small", "small")


@given(sizes, st.integers(1, 20))
def test_what_is_left_of_the_total_is_no_small_group(counts: list[int], minimum: int) -> None:
    told = veil(counts, minimum)
    left = sum(n for n, state in zip(counts, told.states, strict=True) if state != "clear")
    assert left == 0 or left >= minimum or "clear" not in told.states
    for n, state in zip(counts, told.states, strict=True):
        assert (state == "small") == (n < minimum)  # a veil never takes a large group from the judgement


@given(sizes, st.integers(1, 20), st.randoms())
def test_the_order_of_groups_does_not_move_a_veil(counts: list[int], minimum: int, random: object) -> None:
    order = list(range(len(counts)))
    random.shuffle(order)  # type: ignore[attr-defined]  # hypothesis' randoms have no public type
    one, two = veil(counts, minimum).states, veil([counts[i] for i in order], minimum).states
    # equal sizes are taken by place, so states are compared as a set of pairs
    assert sorted(zip(counts, one, strict=True)) == sorted(zip([counts[i] for i in order], two, strict=True))


def _known(cells: npt.NDArray[np.int64], first: object, second: object) -> list[npt.NDArray[np.bool_]]:
    """The sums that a reader has: each clear group of both attributes, and the whole."""
    masks = [np.ones(cells.shape, dtype=bool)]
    for axis, told in ((0, first), (1, second)):
        for place, state in enumerate(told.states):  # type: ignore[attr-defined]  # a Veil
            if state == "clear":
                mask = np.zeros(cells.shape, dtype=bool)
                mask[(place, slice(None)) if axis == 0 else (slice(None), place)] = True
                masks.append(mask)
    return masks


@given(crossings, st.integers(2, 15))
@settings(max_examples=60, deadline=None)
def test_an_attacker_with_a_linear_program_fixes_no_small_cell(table: list[list[int]], minimum: int) -> None:
    cells = np.array(table)
    first, second = veil(cells.sum(axis=1).tolist(), minimum), veil(cells.sum(axis=0).tolist(), minimum)
    states = veil_crossing(cells, minimum, first, second)
    assert ((cells < minimum) == (states == "small")).all()
    hidden = states != "clear"
    if not (~hidden).any():
        return
    small = np.argwhere((states == "small") & (cells > 0))
    unknown = [tuple(c) for c in np.argwhere(hidden & (cells > 0))]
    masks = _known(cells, first, second)
    sums = np.array([[float(mask[cell]) for cell in unknown] for mask in masks]).reshape(len(masks), len(unknown))
    totals = [float(cells[mask & hidden].sum()) for mask in masks]
    for cell in small:
        goal = np.array([float(other == tuple(cell)) for other in unknown])
        ends = []
        for sign in (1.0, -1.0):
            # group totals apart, a reader who knew no bound at all cannot pin the cell
            found = linprog(sign * goal, A_eq=sums, b_eq=totals, bounds=[(None, None)] * len(unknown), method="highs")
            ends.append(found.status)
        assert ends == [3, 3], (table, states.tolist())  # 3: unbounded


@given(crossings, st.integers(2, 15))
@settings(max_examples=60, deadline=None)
def test_rows_and_columns_leave_no_small_rest(table: list[list[int]], minimum: int) -> None:
    cells = np.array(table)
    first, second = veil(cells.sum(axis=1).tolist(), minimum), veil(cells.sum(axis=0).tolist(), minimum)
    states = veil_crossing(cells, minimum, first, second)
    for mask in _known(cells, first, second):
        told = mask & (states == "clear")
        left = int(cells[mask & (states != "clear")].sum())
        assert not told.any() or left == 0 or left >= minimum


@pytest.mark.parametrize("value", [0.7999, 0.8, 0.80001, 0.0, 1.0, 0.29])
def test_rounding_never_moves_a_figure_to_the_better_side(value: float) -> None:
    assert rounded_down(value, True) <= value + 1e-9
    assert rounded_up(value, True) >= value - 1e-9
    assert (rounded_down(value, True) >= 0.8) == (value >= 0.8)
    assert rounded_down(value, False) == rounded_up(value, False) == value


def test_rounding_keeps_order() -> None:
    ladder = [i / 997 for i in range(997)]
    assert all(rounded_down(a, True) <= rounded_down(b, True) for a, b in pairwise(ladder))
