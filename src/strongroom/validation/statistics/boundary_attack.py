"""The attack of whom only decisions are known, for models about which nothing can be proven.

HopSkipJump, written here after its paper: the packaged one (adversarial-robustness-toolbox) brings a deep-learning
toolbox's weight and knows no costs, directions or bounds. What it finds is real; what it does not find proves nothing.

Source: Chen, Jordan, Wainwright, HopSkipJumpAttack: a query-efficient decision-based attack, 2020, for the largest-
change norm.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from strongroom.registry.contract import InputContract, bound
from strongroom.registry.robustness import Action
from strongroom.validation.statistics.stress import within

Numbers = npt.NDArray[np.float64]
Rows = npt.NDArray[np.float32]
Score = Callable[[Rows], Rows]

STARTS = 64
"""Places from which the attack may begin."""
HALVINGS = 12


@dataclass(frozen=True, slots=True)
class Reach:
    """Where a row can go, in units of the cost of each action.

    Attributes:
        row: where it stands, float32, shape [features].
        places: of the actions' features.
        costs: per unit.
        low, high: how far each can go, in units of the cost; at most the budget.
        whole: which are whole numbers.
    """

    row: Rows
    places: npt.NDArray[np.int64]
    costs: Numbers
    low: Numbers
    high: Numbers
    whole: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, row: Rows, contract: InputContract, actions: tuple[Action, ...], budget: float) -> Reach:
        """What the contract, the directions and the budget leave. A missing value stays missing."""
        names = [feature.name for feature in contract.features]
        kept = [action for action in actions if not np.isnan(row[names.index(action.feature)])]
        places = np.array([names.index(action.feature) for action in kept], np.int64)
        costs = np.array([action.cost_per_unit for action in kept], np.float64)
        low, high, whole = [], [], []
        for action, place, cost in zip(kept, places, costs, strict=True):
            feature, start = contract.features[place], float(row[place])
            floor, ceiling = bound(feature.minimum), bound(feature.maximum)
            # to the last float32 inside a bound: what the row is rounded to must not lie past it
            down, up = within(np.array([-math.inf, math.inf]), floor, ceiling)
            down, up = max(0.0, (start - down) * cost), max(0.0, (up - start) * cost)
            low.append(0.0 if action.direction == "increase" else -min(budget, down))
            high.append(0.0 if action.direction == "decrease" else min(budget, up))
            whole.append(feature.type == "integer")
        return cls(row, places, costs, np.array(low), np.array(high), np.array(whole, np.bool_))

    def rows(self, moves: Numbers) -> Rows:
        """Rows of moves, shape [moves, features]; whole numbers are cut towards the row: none gets dearer."""
        made = np.repeat(self.row[None, :], len(moves), axis=0)
        steps = np.clip(moves, self.low, self.high) / self.costs
        steps = np.where(self.whole, np.trunc(steps), steps)
        made[:, self.places] = (made[:, self.places].astype(np.float64) + steps).astype(np.float32)
        return made

    def spent(self, row: Rows) -> Numbers:
        """Cost of each action."""
        return np.abs(row[self.places].astype(np.float64) - self.row[self.places].astype(np.float64)) * self.costs


def attack(
    score: Score, reach: Reach, cut: float, calls: int, random: np.random.Generator
) -> tuple[float, float, Rows] | None:
    """The cheapest way below a cut-off that was found.

    Args:
        score: the model.
        reach: where the row can go.
        cut: in score units.
        calls: scores that may be asked for.
        random: where directions come from.

    Returns:
        Cost of the dearest action, of all together, and the changed row; None when no way was found.
    """
    width = len(reach.places)
    if not width or not (reach.high - reach.low).any():
        return None
    left = calls

    def turned(moves: Numbers) -> npt.NDArray[np.bool_]:
        nonlocal left
        left -= len(moves)
        return np.asarray(score(reach.rows(moves)).astype(np.float64) < cut)

    corners = np.where(random.random((STARTS // 2, width)) < 0.5, reach.low, reach.high)
    inner = random.uniform(reach.low, reach.high, (STARTS // 2, width))
    # one way at a time first: cheap answers are often one feature's
    alone = np.vstack([np.diag(reach.low), np.diag(reach.high)])
    starts = np.vstack([alone, corners, inner])[: max(1, calls // 2)]
    good = turned(starts)
    if not good.any():
        return None
    here = min((_nearer(turned, start) for start in starts[good][:4]), key=lambda move: float(np.abs(move).max()))
    step = 0
    while left > 4 * HALVINGS:
        step += 1
        size = float(np.abs(here).max())
        probes = min(int(10 * math.sqrt(step)) + 10, left // 2)
        directions = random.uniform(-1.0, 1.0, (probes, width))
        answers = turned(np.clip(here + size / width * directions, reach.low, reach.high)) * 2.0 - 1.0
        weights = answers - answers.mean() if np.abs(answers.mean()) < 1 else answers
        slope = np.sign((weights[:, None] * directions).mean(axis=0))
        length = size / math.sqrt(step)
        for _ in range(HALVINGS):
            moved = np.clip(here + length * slope, reach.low, reach.high)
            if left <= 0 or turned(moved[None, :])[0]:
                break
            length /= 2
        else:
            continue
        if left <= HALVINGS:
            break
        nearer = _nearer(turned, moved)
        if float(np.abs(nearer).max()) < size:
            here = nearer
    row = reach.rows(here[None, :])[0]
    if not float(score(row[None, :])[0]) < cut:
        return None
    spent = reach.spent(row)
    return float(spent.max()), float(spent.sum()), row


def _nearer(turned: Callable[[Numbers], npt.NDArray[np.bool_]], move: Numbers) -> Numbers:
    """The smallest largest change along the way from the row to a move that still turns the decision."""
    low, high = 0.0, float(np.abs(move).max())
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if turned(np.clip(move, -middle, middle)[None, :])[0]:
            high = middle
        else:
            low = middle
    return np.clip(move, -high, high)
