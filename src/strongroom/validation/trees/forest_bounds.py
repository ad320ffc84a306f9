"""What can be proven about a forest: its range over the contract's box, its monotony, the smallest change to turn it.

Forests are searched by Veritas, which bounds the output of a sum of trees over a box from both sides. Every claim that
is called proven holds for the sums of the leaves as real numbers and all rows that the contract allows, missing values
included; `Encoded.guard` covers the rounding of the runtime's float32 sums. Searches are bounded in steps, never in
time, so that the same inputs give the same answer; what is not settled by then is called open.

Source: Devos, Meert, Davis, Versatile verification of tree ensembles, ICML 2021 (package `dtai-veritas`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import veritas

from strongroom.errors import InvalidInputError
from strongroom.registry.contract import Feature, InputContract, bound
from strongroom.registry.robustness import Action, Slope
from strongroom.validation.trees.forests import NODES_LIMIT, Forest, Tree

Numbers = npt.NDArray[np.float64]
Rows = npt.NDArray[np.float32]
Span = tuple[float, float]
"""From a value, included, to another one, excluded."""

MEMORY_BYTES: Final = 512 * 1024 * 1024
ROUNDS: Final = 14
"""Halvings of the budget: a bracket is at most 1/16,000 of it wide, if no search stays open."""
WIDTH: Final = 0.01
"""A bracket narrower than this share of its upper end is good enough."""
RISE: Final = 1e-9
"""A rise against a declared direction smaller than this, in units of the sum, is rounding of the leaves."""


@dataclass(frozen=True, slots=True)
class Bracket:
    """The true value lies within: `low` is proven, `high` is attained."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Change:
    """The smallest change that turns one row's decision, by the dearest single feature.

    Attributes:
        low: no change cheaper than this turns it (proven); the budget, where none within it does.
        high: the cheapest that was found, or None.
        total: what the found change costs over all features.
        row: the changed row, float32.
    """

    low: float
    high: float | None = None
    total: float | None = None
    row: Rows | None = None


@dataclass(frozen=True, slots=True)
class Monotony:
    """One declared feature.

    Attributes:
        feature: its name.
        slope: as declared.
        verdict: `open` when the search ended before an answer.
        worst: largest move against the declaration that was found, in units of the sum; 0 if proven.
        at: the threshold at which it happens, or None.
    """

    feature: str
    slope: Slope
    verdict: Literal["proven", "violated", "open"]
    worst: float = 0.0
    at: float | None = None


@dataclass(frozen=True, slots=True)
class Encoded:
    """A forest over the contract's values, ready for the search.

    A whole number's thresholds are rounded up and a code's become ranks, so that no box is between two values. A
    feature that may be missing has a second one, behind all others: 0 where the value is there, 1 where it is missing.
    """

    forest: Forest
    contract: InputContract
    up: Any = field(repr=False)
    down: Any = field(repr=False)

    @classmethod
    def of(cls, forest: Forest, contract: InputContract) -> Encoded:
        """Raises InvalidInputError: with its missing values the forest is too large."""
        return cls(forest, contract, _sum(forest.trees, contract, 1.0), _sum(forest.trees, contract, -1.0))

    def guard(self, cut: float) -> float:
        """How far the runtime's sum can lie from the real one, and its score from the cut-off, in units of the sum."""
        unit = 2.0**-24
        largest = sum(float(np.abs(tree.value).max()) for tree in self.forest.trees) + abs(self.forest.base)
        rounded = unit * (len(self.forest.trees) + 1) * largest
        if self.forest.link == "identity":
            return rounded + 2 * unit * abs(cut)
        return rounded + 8 * unit / min(cut, 1 - cut)

    def target(self, cut: float) -> float:
        """The sum of the leaves at which the score is `cut`."""
        if self.forest.link == "logistic":
            cut = math.log(cut / (1 - cut))
        return cut - self.forest.base

    def box(self) -> list[Span]:
        """All that the contract allows, over the encoded features."""
        spans = [_allowed(feature) for feature in self.contract.features]
        return spans + [(0.0, 2.0 if feature.missing == "nan" else 1.0) for feature in self.contract.features]

    def point(self, row: Rows) -> Numbers:
        """A row as the search sees it."""
        values = []
        for value, feature in zip(row.astype(np.float64), self.contract.features, strict=True):
            if np.isnan(value):
                values.append(_allowed(feature)[0] if math.isfinite(_allowed(feature)[0]) else 0.0)
            else:
                values.append(float(sum(a < value for a in feature.allowed)) if feature.allowed else float(value))
        return np.array([*values, *np.isnan(row).astype(np.float64)])

    def sum_of(self, point: Numbers) -> float:
        """The sum of the leaves, without the base."""
        return float(np.ravel(self.up.eval(point[None, :]))[0])


def output_range(encoded: Encoded, steps: int) -> tuple[Bracket, Bracket]:
    """The lowest and the highest score over the contract's box.

    Returns:
        For the lowest, `low` is proven and `high` attained; for the highest, `low` is attained and `high` proven.
    """
    box = _intervals(encoded.box())
    most, reached, _ = _highest(encoded.up, box, steps)
    least, sunk, _ = _highest(encoded.down, box, steps)
    sums = np.array([-least, -sunk, reached, most]) + encoded.forest.base
    low, attained_low, attained_high, high = (float(score) for score in encoded.forest.scores(sums))
    return Bracket(low, attained_low), Bracket(attained_high, high)


def monotony(encoded: Encoded, name: str, slope: Slope, steps: int) -> Monotony:
    """Does the score ever move against the declared direction when this feature alone changes? Exact, by thresholds.

    The score changes only where the feature crosses a threshold of some tree, and there only by the trees that have
    that threshold; so it is enough to bound, for each threshold, the sum of those trees just below less just above it.
    """
    contract = encoded.contract
    place = next(i for i, feature in enumerate(contract.features) if feature.name == name)
    low, high = _allowed(contract.features[place])
    asked: dict[float, list[Tree]] = {}
    for tree in encoded.forest.trees:
        here = (tree.left >= 0) & (tree.feature == place)
        for at in sorted({_encoded(float(t), contract.features[place]) for t in tree.threshold[here]}):
            if low < at < high:
                asked.setdefault(at, []).append(tree)
    box, sign = encoded.box(), 1.0 if slope == "increasing" else -1.0
    intervals, open_at, worst, where = _intervals(box), False, 0.0, None
    for at, trees in asked.items():
        sums = veritas.AddTree(1, veritas.AddTreeType.REGR)
        for tree in trees:
            _add(sums, tree, contract, sign, _Fixed(place, at, below=True))
            _add(sums, tree, contract, -sign, _Fixed(place, at, below=False))
        most, found, _ = _highest(sums, intervals, steps)
        if found > max(RISE, worst):
            worst, where = found, at
        open_at |= most > RISE >= found
    if where is not None:
        return Monotony(name, slope, "violated", worst, where)
    return Monotony(name, slope, "open" if open_at else "proven")


def smallest_change(
    encoded: Encoded, row: Rows, cut: float, actions: Sequence[Action], budget: float, steps: int
) -> Change:
    """The cheapest change that brings the score below a cut-off, if no single feature may cost more than the budget.

    Args:
        encoded: the forest.
        row: float32, shape [features]; within the contract, its score at or above the cut-off.
        cut: cut-off, in score units.
        actions: what can be changed, in which direction, at what cost a unit. A missing value stays missing.
        budget: in units of the cost.
        steps: of each search.
    """
    point, guard, target = encoded.point(row), encoded.guard(cut), encoded.target(cut)
    costs = {p: a for p, a in _places(encoded.contract, actions).items() if not np.isnan(row[p])}
    low, best = 0.0, Change(0.0)
    spent = budget
    for _ in range(ROUNDS):
        box = _intervals(_reach(encoded, point, costs, spent))
        most, found, solution = _highest(encoded.down, box, steps, -target - guard)
        if most < -target - guard:
            low = spent
        elif found > -target + guard:
            nearest = _nearest(point, solution, encoded.contract)
            nearest = _spare(encoded, point, nearest, costs, target - guard)
            best = _cheaper(row, point, nearest, costs, best)
        else:
            break  # within rounding of the cut-off, or the search ended before an answer
        high = budget if best.high is None else best.high
        if best.high is None or high - low <= WIDTH * high:
            break
        spent = (low + high) / 2
    return Change(min(low, budget if best.high is None else best.high), best.high, best.total, best.row)


def _cheaper(row: Rows, point: Numbers, nearest: Numbers, costs: Mapping[int, Action], best: Change) -> Change:
    spent = [abs(nearest[p] - point[p]) * action.cost_per_unit for p, action in costs.items()]
    most = max(spent)
    if best.high is not None and most >= best.high:
        return best
    changed = row.copy()
    for place in costs:
        changed[place] = np.float32(nearest[place])
    return Change(0.0, most, sum(spent), changed)


def _spare(encoded: Encoded, point: Numbers, nearest: Numbers, costs: Mapping[int, Action], below: float) -> Numbers:
    """Take back each change that is not needed, the dearest first."""
    kept = nearest.copy()
    for place in sorted(costs, key=lambda p: -abs(nearest[p] - point[p]) * costs[p].cost_per_unit):
        tried = kept.copy()
        tried[place] = point[place]
        if tried[place] != kept[place] and encoded.sum_of(tried) < below:
            kept = tried
    return kept


def _reach(encoded: Encoded, point: Numbers, costs: Mapping[int, Action], spent: float) -> list[Span]:
    """The row itself, and around it what can be reached for so much a feature, within the contract."""
    box = [(float(value), float(np.nextafter(value, np.inf))) for value in point]
    for place, action in costs.items():
        start, step = float(point[place]), spent / action.cost_per_unit
        low, high = _allowed(encoded.contract.features[place])
        down = start - step if action.direction != "increase" else start
        up = start + step if action.direction != "decrease" else start
        if encoded.contract.features[place].type == "integer":
            down, up = math.ceil(down), math.floor(up)
        box[place] = (min(max(low, down), start), max(min(high, float(np.nextafter(up, np.inf))), start))
        if box[place][1] <= start:
            box[place] = (box[place][0], float(np.nextafter(start, np.inf)))
    return box


def _nearest(point: Numbers, solution: Mapping[int, Any], contract: InputContract) -> Numbers:
    """The value of a box that lies nearest to the row. A box's ends beside the row's own are thresholds, so float32.

    Whether a value is missing is held by the box that was searched, so that nothing beyond the features moves.
    """
    made = point.copy()
    for place, span in solution.items():
        if made[place] < span.lo:
            made[place] = span.lo
        elif made[place] >= span.hi:
            whole = contract.features[place].type != "float"
            made[place] = span.hi - 1 if whole else float(np.nextafter(np.float32(span.hi), np.float32(-np.inf)))
    return made


def _highest(sums: Any, box: list[Any], steps: int, least: float = -math.inf) -> tuple[float, float, Mapping[int, Any]]:
    """A proven upper bound of the sum over the box, the highest sum that was attained, and the box of rows that do.

    Args:
        sums: trees.
        box: of intervals.
        steps: of the search.
        least: sums below this are of no interest; the bound may then be anything below it.
    """
    config = veritas.Config(veritas.HeuristicType.MAX_OUTPUT)
    config.stop_when_optimal = True
    config.max_memory = MEMORY_BYTES
    if math.isfinite(least):
        config.ignore_state_when_worse_than = least
    search = config.get_search(sums, box)
    search.steps(steps)
    most = float(search.current_bounds().best)
    if not search.num_solutions():
        return most, -math.inf, {}
    solution = search.get_solution(0)
    return max(most, solution.output), float(solution.output), dict(solution.box())


@dataclass(frozen=True, slots=True)
class _Fixed:
    """One feature held just below a threshold, or at it."""

    place: int
    at: float
    below: bool

    def left(self, threshold: float) -> bool:
        return self.at <= threshold if self.below else self.at < threshold


def _sum(trees: Sequence[Tree], contract: InputContract, sign: float) -> Any:
    sums, size = veritas.AddTree(1, veritas.AddTreeType.REGR), 0
    for tree in trees:
        size += _add(sums, tree, contract, sign, None)
        if size > NODES_LIMIT:
            raise InvalidInputError(
                f"with its missing values the forest has more than {NODES_LIMIT} nodes", rule="size"
            )
    return sums


def _add(sums: Any, tree: Tree, contract: InputContract, sign: float, fixed: _Fixed | None) -> int:
    """Add a tree; returns its nodes."""
    width, made, size = len(contract.features), sums.add_tree(), 0
    waiting: list[tuple[int, int, dict[int, bool]]] = [(made.root(), 0, {})]
    while waiting:
        at, node, missing = waiting.pop()
        size += 1
        if size > NODES_LIMIT:
            break
        # go down for as long as the way is known
        while tree.left[node] >= 0:
            place = int(tree.feature[node])
            threshold = _encoded(float(tree.threshold[node]), contract.features[place])
            if fixed is not None and place == fixed.place:
                left = fixed.left(threshold)
            elif missing.get(place):
                left = bool(tree.missing_left[node])
            elif math.isinf(threshold) and (place in missing or contract.features[place].missing == "refuse"):
                left = threshold > 0
            else:
                break
            node = int(tree.left[node] if left else tree.right[node])
        if tree.left[node] < 0:
            made.set_leaf_value(at, 0, sign * float(tree.value[node]))
        elif contract.features[place].missing == "nan" and place not in missing:
            made.split(at, width + place, 1.0)
            waiting += [
                (made.left(at), node, {**missing, place: False}), (made.right(at), node, {**missing, place: True})
            ]  # fmt: skip
        else:
            made.split(at, place, threshold)
            waiting += [
                (made.left(at), int(tree.left[node]), missing), (made.right(at), int(tree.right[node]), missing)
            ]  # fmt: skip
    return size


def _encoded(threshold: float, feature: Feature) -> float:
    if feature.allowed is not None:
        return float(sum(code < threshold for code in feature.allowed))
    return float(math.ceil(threshold)) if feature.type == "integer" and math.isfinite(threshold) else threshold


def _allowed(feature: Feature) -> Span:
    if feature.allowed is not None:
        return 0.0, float(len(feature.allowed))
    low, high = bound(feature.minimum), bound(feature.maximum)
    if feature.type == "integer":
        # whole numbers beyond float32's are refused at the gateway
        return float(math.ceil(-(2**24) if low is None else low)), float(
            math.floor(2**24 if high is None else high) + 1
        )
    return -math.inf if low is None else _inside(low, 1), math.inf if high is None else _above(_inside(high, -1))


def _inside(value: float, way: Literal[1, -1]) -> float:
    """The nearest float32 that is not beyond a bound."""
    near = np.float32(value)
    if (float(near) - value) * way < 0:
        near = np.nextafter(near, np.float32(way * math.inf))
    return float(near)


def _above(value: float) -> float:
    return float(np.nextafter(np.float32(value), np.float32(math.inf)))


def _intervals(box: Sequence[Span]) -> list[Any]:
    return [veritas.Interval(low, high) for low, high in box]


def _places(contract: InputContract, actions: Sequence[Action]) -> dict[int, Action]:
    names = [feature.name for feature in contract.features]
    return {names.index(action.feature): action for action in actions}
