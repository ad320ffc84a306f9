"""Is there a less discriminatory way to decide with this very model? Searched over what the bank may turn by itself.

Two things are turned, for everybody alike: the cut-off, and the score (blended with what the model answers when a
feature is held at its median, which takes that feature's say away). A stretching of the score that keeps its order is
no third one: it accepts the same people as some other cut-off does. No adjustment looks at a group: a cut-off or a
score by group would be disparate treatment, and the gateway never knows the group. The protected sample is used here,
before release, to measure what each adjustment does, and what is told of the best one was not measured on the rows that
chose it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from strongroom.validation.results import NotEvaluable
from strongroom.validation.statistics import discrimination

Rows = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
BLENDS = (0.5, 1.0)
STEPS = 20
"""Cut-offs at this many quantiles of the score on each half, beside the contract's own."""
MOST_ANSWERS = 250_000
MOST_ROWS = 20_000
SEED = 0


@dataclass(frozen=True, slots=True)
class Muted:
    """The model's answers when one feature at a time says nothing; made before any protected attribute is read.

    Attributes:
        places: rows of the sample that were asked, ascending.
        scores: by place of the feature in the contract; shape [places] each.
    """

    places: Codes
    scores: Mapping[int, Floats]


@dataclass(frozen=True, slots=True)
class Grouping:
    """One protected attribute: the group of each row, and the places of the groups that are judged."""

    codes: Codes
    judged: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Alternative:
    """One way to decide, as measured.

    Attributes:
        feature: the one whose say is taken away, or None.
        blend: how much of its say.
        cut_off: favourable below it.
        accepted: share of rows that it favours.
        ratio: the lowest adverse impact ratio over all attributes.
        auc: of the adjusted score, larger is better.
        profit: of the accepted, per row, in units of what a good one earns.
    """

    feature: int | None
    blend: float
    cut_off: float
    accepted: float
    ratio: float
    auc: float
    profit: float


@dataclass(frozen=True, slots=True)
class Search:
    """What was found. All figures are of the second half of the rows; choices were made on the first.

    Attributes:
        present: the model as it is.
        best: the way with the highest ratio whose losses are within the limits on the first half; `present` when there
            is none better.
        frontier: ways that no other beats on ratio, area and profit at once, by rising ratio; `present` among all.
        tried: how many ways.
        price: what an accepted defaulter costs, in units of what a good one earns.
    """

    present: Alternative
    best: Alternative
    frontier: tuple[Alternative, ...]
    tried: int
    price: float


def mute(
    answer: Callable[[Rows], Rows], rows: Rows, most_rows: int = MOST_ROWS, most_answers: int = MOST_ANSWERS
) -> Muted:
    """Ask the model once per feature, with that feature at its median in every row.

    Args:
        answer: rows to scores, as the numeric profile prescribes.
        rows: of the sample, float32, shape [rows, features].
        most_rows: of the sample; rows beyond it are left out evenly.
        most_answers: rows times features that are asked at most, likewise.
    """
    width = rows.shape[1]
    count = max(1, min(len(rows), most_rows, most_answers // max(1, width)))
    places = np.linspace(0, len(rows) - 1, count).astype(np.int64)
    kept, scores = rows[places], {}
    for feature in range(width):
        values = np.sort(kept[:, feature][np.isfinite(kept[:, feature])])
        if not values.size or values[0] == values[-1]:
            continue
        silent = kept.copy()
        silent[:, feature] = values[(values.size - 1) // 2]  # a value that occurs, so that whole numbers stay whole
        scores[feature] = answer(silent).astype(np.float64)
    return Muted(places, scores)


def search(
    scores: npt.ArrayLike,
    outcome: npt.ArrayLike,
    muted: Muted,
    attributes: Sequence[Grouping],
    cut_off: float,
    *,
    loss_of_auc: float,
    loss_of_profit: float,
) -> Search | NotEvaluable:
    """Look for a way with a higher ratio at little loss.

    Args:
        scores: probabilities of default, shape [rows].
        outcome: 1 default, 0 none, shape [rows].
        muted: of the same rows.
        attributes: those with two or more judged groups.
        cut_off: of the contract; favourable below it. It also says what the bank holds a default to cost: at the
            cut-off gain and loss of one more applicant are equal, so a default costs (1 - c) / c of what a good one
            earns.
        loss_of_auc: accepted fall of the area.
        loss_of_profit: accepted fall of the profit, as a share of the present one's size.

    Source:
        12 CFR 1002 (Regulation B), comment 6(a)-2; Gillis, Meursault and Ustun 2024 on the search; Elkan 2001 for the
        price at the cut-off.
    """
    if not attributes:
        return NotEvaluable("no protected attribute has two groups that are large enough")
    if not 0.0 < cut_off < 1.0:
        return NotEvaluable("the lowest cut-off is no probability between 0 and 1, so errors have no price")
    p = np.asarray(scores, dtype=np.float64)[muted.places]
    y = np.asarray(outcome, dtype=np.int64)[muted.places]
    price = (1.0 - cut_off) / cut_off
    groups = [Grouping(a.codes[muted.places], a.judged) for a in attributes]
    # sorted by content, so that the halves do not hang on the order of delivery; then shuffled, since every second of
    # the sorted rows may be of one group
    order = np.random.default_rng(SEED).permutation(np.lexsort([*(g.codes for g in groups), y, p]))
    halves = []
    for start in (0, 1):
        part = order[start::2]
        halves.append(_Half(p[part], y[part], [Grouping(g.codes[part], g.judged) for g in groups], part, price))
    ways: list[tuple[int | None, float, Floats]] = [(None, 0.0, p)]
    for muted_feature, silent in muted.scores.items():
        ways += [(muted_feature, blend, (1.0 - blend) * p + blend * silent) for blend in BLENDS]
    found: list[tuple[Alternative, Alternative]] = []
    for feature, blend, adjusted in ways:
        areas = [_area(half.outcome, adjusted[half.places]) for half in halves]
        level = float(np.mean(p < cut_off))
        cuts = {float(c) for c in np.quantile(adjusted[halves[0].places], np.arange(1, STEPS) / STEPS)}
        own = cut_off if feature is None else float(np.quantile(adjusted[halves[0].places], min(max(level, 0.0), 1.0)))
        for cut in [own, *sorted(cuts - {own})]:
            pair = [half.measure(feature, blend, cut, adjusted, area) for half, area in zip(halves, areas, strict=True)]
            if pair[0] is not None and pair[1] is not None:
                found.append((pair[0], pair[1]))
    if not found or (found[0][0].feature, found[0][0].cut_off) != (None, cut_off):
        return NotEvaluable("on half of the rows some group is empty, or no one of the best group is favoured")
    present = found[0]
    allowed = [
        pair
        for pair in found
        if present[0].auc - pair[0].auc <= loss_of_auc
        and present[0].profit - pair[0].profit <= loss_of_profit * abs(present[0].profit)
    ]
    best = max(allowed, key=lambda pair: (pair[0].ratio, pair[0].profit, pair[0].auc, -pair[0].cut_off))
    if best[0].ratio <= present[0].ratio:
        best = present
    return Search(present[1], best[1], _frontier([pair[1] for pair in found]), len(found), price)


@dataclass(frozen=True, slots=True)
class _Half:
    scores: Floats
    outcome: Codes
    groups: list[Grouping]
    places: Codes
    price: float

    def measure(
        self, feature: int | None, blend: float, cut: float, adjusted: Floats, area: float | None
    ) -> Alternative | None:
        favoured = adjusted[self.places] < cut
        ratios = [_lowest_ratio(favoured, group) for group in self.groups]
        if area is None or any(ratio is None for ratio in ratios):
            return None
        gain = float((favoured & (self.outcome == 0)).sum()) - self.price * float(
            (favoured & (self.outcome == 1)).sum()
        )
        lowest = min(ratio for ratio in ratios if ratio is not None)
        return Alternative(feature, blend, cut, float(favoured.mean()), lowest, area, gain / favoured.size)


def _lowest_ratio(favoured: Bools, group: Grouping) -> float | None:
    top = int(max(group.judged)) + 1
    sizes = np.bincount(group.codes, minlength=top)[list(group.judged)]
    wins = np.bincount(group.codes, weights=favoured, minlength=top)[list(group.judged)]
    if (sizes == 0).any() or wins.max() == 0:
        return None
    rates = wins / sizes
    return float(rates.min() / rates.max())


def _area(outcome: Codes, scores: Floats) -> float | None:
    area = discrimination.auc(outcome, scores)
    return None if isinstance(area, NotEvaluable) else area.auc


def _frontier(ways: Sequence[Alternative]) -> tuple[Alternative, ...]:
    values = np.array([(w.ratio, w.auc, w.profit) for w in ways])
    kept = []
    for place, way in enumerate(ways):
        at_least = (values >= values[place]).all(axis=1)
        better = (values > values[place]).any(axis=1)
        if not (at_least & better).any():
            kept.append(way)
    kept.sort(key=lambda w: (w.ratio, w.profit, w.auc, w.cut_off))
    return tuple(kept)
