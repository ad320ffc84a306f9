"""Which counts by group may be told, so that no small group can be read, or reckoned by subtraction.

A group is clear (all of it is told), veiled (large enough to be judged, but its counts and rates are not told, because
the small ones would follow by subtraction) or small (nothing is told, not even its name). A veil hides figures and
never a verdict: otherwise a tiny group would be a way to hide the worst one.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

State = Literal["clear", "veiled", "small"]
Counts = npt.NDArray[np.int64]
COARSE = 100
"""Figures of a table with a veil are told in hundredths."""


@dataclass(frozen=True, slots=True)
class Veil:
    """What of each group may be told, in the order of the groups.

    Attributes:
        states: one a group.
    """

    states: tuple[State, ...]

    @property
    def large(self) -> tuple[int, ...]:
        """Places of the groups that are judged."""
        return tuple(place for place, state in enumerate(self.states) if state != "small")

    @property
    def coarse(self) -> bool:
        """Whether figures of this table are rounded."""
        return "veiled" in self.states


def veil(sizes: Sequence[int], minimum: int, silent: Collection[int] = ()) -> Veil:
    """The states of groups that add up to a total which is known.

    The rows left when all clear groups are taken from the total are no small group themselves, unless everything is
    veiled.

    Args:
        sizes: rows of each group.
        minimum: fewer rows make a group small; at least 1.
        silent: places of groups of which nothing is told, whatever their size here.

    Source:
        Hundepool et al., Statistical Disclosure Control (2012), chapter 4 (secondary suppression).
    """
    states: list[State] = [
        "clear" if size >= minimum and place not in silent else "small" for place, size in enumerate(sizes)
    ]
    left = sum(size for size, state in zip(sizes, states, strict=True) if state == "small")
    order = sorted((i for i, state in enumerate(states) if state == "clear"), key=lambda i: (sizes[i], i))
    for place in order:
        if left == 0 or left >= minimum:
            break
        states[place] = "veiled"
        left += sizes[place]
    return Veil(tuple(states))


def veil_crossing(sizes: npt.ArrayLike, minimum: int, first: Veil, second: Veil) -> npt.NDArray[np.str_]:
    """The states of the cells where two attributes cross, whose own tables are told too.

    Cells are veiled, the smallest first, until in each row, each column and the whole the cells that are not told hold
    at least the minimum together, and no such cell is fixed by the sums that are known.

    Args:
        sizes: rows of each cell, shape [groups of the first, groups of the second].
        minimum: fewer rows make a cell small.
        first, second: what the two attributes' own tables tell; sums of groups that are not clear are known together.

    Returns:
        States, of the shape of `sizes`. A cell without rows is small: that nobody is there is told by silence as well.
    """
    counts = np.asarray(sizes, dtype=np.int64)
    states = np.where(counts >= minimum, "clear", "small").astype("<U6")
    lines = _lines(counts.shape[0], first, counts.shape[1], second)
    while True:
        hidden = states != "clear"
        weak = _weak_line(counts, hidden, lines, minimum)
        if weak is None:
            # a cell without rows is no unknown: that it is empty is taken to be known
            weak = _fixed(hidden & (counts > 0), lines)
        if weak is None:
            return states
        open_cells = np.argwhere(weak & ~hidden)
        if not len(open_cells):
            # the line is told by its sum already, as a group of an attribute: veil what else stands beside it
            open_cells = np.argwhere(~hidden)
            if not len(open_cells):
                return states
        row, column = min((tuple(cell) for cell in open_cells), key=lambda cell: (int(counts[cell]), cell))
        states[row, column] = "veiled"


def rounded_down(value: float, coarse: bool) -> float:
    """The figure, or the hundredth below it, so that a veiled figure never looks better where more is better."""
    return math.floor(value * COARSE + 1e-9) / COARSE if coarse else value


def rounded_up(value: float, coarse: bool) -> float:
    """The figure, or the hundredth above it, where less is better."""
    return math.ceil(value * COARSE - 1e-9) / COARSE if coarse else value


def _lines(rows: int, first: Veil, columns: int, second: Veil) -> list[npt.NDArray[np.bool_]]:
    lines = [np.ones((rows, columns), dtype=np.bool_)]
    for axis, told in ((0, first), (1, second)):
        clear = [place for place, state in enumerate(told.states) if state == "clear"]
        rest = [place for place, state in enumerate(told.states) if state != "clear"]
        for places in [[place] for place in clear] + ([rest] if rest else []):
            mask = np.zeros((rows, columns), dtype=np.bool_)
            if axis == 0:
                mask[places, :] = True
            else:
                mask[:, places] = True
            lines.append(mask)
    return lines


def _weak_line(
    counts: Counts, hidden: npt.NDArray[np.bool_], lines: list[npt.NDArray[np.bool_]], minimum: int
) -> npt.NDArray[np.bool_] | None:
    for mask in lines:
        left = int(counts[mask & hidden].sum())
        # where nothing of a line is told, its sum says no more than the attribute's own table
        if 0 < left < minimum and (mask & ~hidden).any():
            return mask
    return None


def _fixed(hidden: npt.NDArray[np.bool_], lines: list[npt.NDArray[np.bool_]]) -> npt.NDArray[np.bool_] | None:
    """The lines through a hidden cell that the known sums fix, or None when all are free."""
    places = np.argwhere(hidden)
    if not len(places):
        return None
    sums = np.array([mask[hidden] for mask in lines], dtype=np.float64)
    _, strengths, directions = np.linalg.svd(sums, full_matrices=True)
    rank = int((strengths > 1e-9 * max(1.0, float(strengths.max(initial=0.0)))).sum())
    free = directions[rank:]
    for place, cell in enumerate(places):
        if free.size == 0 or float(np.abs(free[:, place]).max()) < 1e-9:
            row, column = int(cell[0]), int(cell[1])
            through = np.zeros_like(hidden)
            through[row, :] = True
            through[:, column] = True
            return through
    return None
