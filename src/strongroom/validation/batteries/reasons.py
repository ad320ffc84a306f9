"""Do the reason codes of a model hold? Additive, the same again, steady against noise and background, and faithful.

The method is exact, so nothing of it is random. The seeds below choose which reference rows are left out, which noise
is added and which other groups a reason is compared with; each is fixed, so that the same inputs give the same figures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from strongroom.registry.contract import ModelContract, bound
from strongroom.registry.explanation import Explanation
from strongroom.validation.batteries import reasons_shown
from strongroom.validation.catalogue import Basis, answer
from strongroom.validation.results import Chart, NotEvaluable, Series, Table, TestResult, decimal
from strongroom.validation.trees.attribution import contributions
from strongroom.validation.trees.forests import Forest, forest_of

Rows = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]

RULES: Final = (
    "explanation.additivity", "explanation.repeat", "explanation.background", "explanation.noise",
    "explanation.faithfulness",
)  # fmt: skip
ROWS: Final = 500
"""Applicants looked at: enough for two digits of a share, few enough for a minute with the largest forests."""
SEEDS: Final = 5
NOISE: Final = 0.01
"""Standard deviation of the noise on a measured feature, as a share of that feature's own on the sample."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """From contributions to principal reasons, as the gateway ranks them.

    Attributes:
        wish: of the contract.
        order: places of the features, group by group, groups in the order of their codes.
        begins: where in `order` each group begins.
        codes: of the groups, in that order.
    """

    wish: Explanation
    order: Places
    begins: Places
    codes: tuple[str, ...]

    @classmethod
    def of(cls, wish: Explanation, names: Sequence[str]) -> Ranking:
        """Of an explanation over features in this order."""
        groups = sorted(wish.groups, key=lambda group: group.code)
        place = {name: n for n, name in enumerate(names)}
        order = [place[name] for group in groups for name in group.features]
        begins = np.cumsum([0, *(len(group.features) for group in groups)])[:-1]
        return cls(wish, np.array(order, np.int64), begins, tuple(group.code for group in groups))

    def weights(self, values: Floats) -> Floats:
        """How much each group speaks against the applicant, shape [rows, groups]; negative speaks for him."""
        sign = 1.0 if self.wish.adverse == "high" else -1.0
        found: Floats = sign * np.add.reduceat(values.take(self.order, axis=1), self.begins, axis=1)
        return found

    def principal(self, weights: Floats) -> list[tuple[int, ...]]:
        """Places of the principal groups of each row, weightiest first; equal weights by code."""
        ranked = np.argsort(-weights, axis=1, kind="stable")[:, : self.wish.max_codes]
        adverse = np.count_nonzero(weights > 0, axis=1)
        return [tuple(line[:n].tolist()) for line, n in zip(ranked, adverse, strict=True)]

    def members(self, group: int) -> Places:
        """Places of a group's features."""
        ends = np.append(self.begins, len(self.order))
        return self.order[ends[group] : ends[group + 1]]


@dataclass(frozen=True, slots=True)
class Faithful:
    """What setting the principal reasons to the reference does to the score.

    Attributes:
        share: of rows in which it moves the score further towards the applicant than as many other groups do.
        principal, others: mean move after 0, 1, 2 ... groups, in units of the score; positive is for the applicant.
    """

    share: float
    principal: tuple[float, ...]
    others: tuple[float, ...]


def jaccard(first: Iterable[object], second: Iterable[object]) -> float:
    """Size of the intersection over size of the union, 1 for two empty lists; the order does not count."""
    a, b = set(first), set(second)
    return len(a & b) / len(a | b) if a | b else 1.0


def agreement(first: Sequence[Sequence[int]], second: Sequence[Sequence[int]]) -> float | NotEvaluable:
    """Mean Jaccard index of two lists of reasons, row by row."""
    if not first:
        return NotEvaluable("no row has a reason")
    return float(np.mean([jaccard(a, b) for a, b in zip(first, second, strict=True)]))


def additivity_gap(forest: Forest, base: float, values: Floats, scores: Rows) -> float:
    """Largest distance between the score that contributions add up to and the served one."""
    told = forest.scores(base + values.sum(axis=1))
    return float(np.abs(told - scores.astype(np.float64)).max(initial=0.0))


def noised(rows: Rows, contract: ModelContract, seed: int) -> Rows:
    """The rows with noise on measured features; codes and counts stay, missing stays missing, bounds hold."""
    random, moved = np.random.default_rng(seed), rows.copy()
    for place, feature in enumerate(contract.input.features):
        if feature.type == "float":
            column = rows[:, place].astype(np.float64)
            spread = float(np.nanstd(column)) if np.isfinite(column).any() else 0.0
            low, high = bound(feature.minimum), bound(feature.maximum)
            shifted = column + random.normal(0.0, NOISE * spread, len(column)) if spread > 0 else column
            moved[:, place] = np.clip(shifted, -np.inf if low is None else low, np.inf if high is None else high)
    return moved


def faithfulness(
    predict: Callable[[Rows], Rows], rows: Rows, reference: Rows, ranking: Ranking,
    principal: Sequence[Sequence[int]], seed: int = 0,
) -> Faithful | NotEvaluable:  # fmt: skip
    """Delete reasons: set their features to a reference row's, and see how far the score moves.

    Each row is set against `len(reference)` rows in turn and the moves are averaged, as the method's own game is. As
    many groups, drawn among the others, are deleted for comparison; rows without a reason, or without as many other
    groups, are left out.
    """
    groups, random = len(ranking.codes), np.random.default_rng(seed)
    kept = [n for n, reasons in enumerate(principal) if 0 < len(reasons) <= groups - len(reasons)]
    if not kept:
        return NotEvaluable("no row has a reason and as many other groups beside it")
    sign = 1.0 if ranking.wish.adverse == "high" else -1.0
    most = max(len(principal[n]) for n in kept)
    told = predict(rows[kept]).astype(np.float64)
    members = [ranking.members(group) for group in range(groups)]

    def moves(chosen: Sequence[Sequence[int]]) -> Floats:
        found = np.zeros((len(kept), most + 1))
        for against in reference:
            current = rows[kept].copy()
            for step in range(most):
                for line, picked in enumerate(chosen):
                    if step < len(picked):
                        places = members[picked[step]]
                        current[line, places] = against[places]
                found[:, step + 1] += sign * (told - predict(current).astype(np.float64))
        return found / len(reference)

    first = [list(principal[n]) for n in kept]
    rest = [
        random.choice([g for g in range(groups) if g not in reasons], len(reasons), replace=False).tolist()
        for reasons in first
    ]
    by_reasons, by_others = moves(first), moves(rest)
    share = float((by_reasons[:, -1] > by_others[:, -1]).mean())
    a, b = (tuple(float(x) for x in curve.mean(axis=0)) for curve in (by_reasons, by_others))
    return Faithful(share, a, b)


def explanation_tests(
    contract: ModelContract, model: bytes, predict: Callable[[Rows], Rows], rows: Rows, scores: Rows, basis: Basis
) -> tuple[list[TestResult], tuple[Table, ...], tuple[Chart, ...]]:
    """All tests of the reason codes, with the tables and charts beside them, on rows whose decision is not the
    favourable one; nothing where none are asked.

    Args:
        model: bytes of the model file.
        predict: from rows to scores, as served.
        rows, scores: of the validation sample.
    """
    wish = contract.explanation
    if isinstance(wish, msgspec.UnsetType):
        return [], (), ()
    names = [feature.name for feature in contract.input.features]
    forest, ranking = forest_of(contract, model), Ranking.of(wish, names)
    places = np.flatnonzero(_unfavoured(contract, wish, scores) & np.isfinite(scores))
    if not len(places):
        return [answer(rule, NotEvaluable("no applicant has a reason to be told"), "", basis) for rule in RULES], (), ()
    places = places[np.unique(np.linspace(0, len(places) - 1, ROWS).round().astype(np.int64))]
    chosen = rows[places]
    made = contributions(wish, forest)
    values = made.values(chosen)
    weights = ranking.weights(values)
    principal = ranking.principal(weights)
    looked: list[tuple[str, float | int | str]] = [("applicants looked at", len(places))]
    gap = additivity_gap(forest, made.base, values, scores[places])
    found = [
        answer(
            "explanation.additivity", gap, f"Base and contributions add up to the score within {gap:.1e}.", basis,
            details=[*looked, ("tolerance of the contract", wish.tolerance)],
        ),
        _repeated(wish, forest, ranking, chosen, principal, basis),
    ]  # fmt: skip
    found += [
        _background(wish, forest, ranking, chosen, principal, basis),
        _noise(contract, made.values, ranking, chosen, principal, basis),
    ]
    test, charts = _faithful(predict, chosen, ranking, principal, basis)
    shown = (
        _weights(ranking, weights),
        reasons_shown.told_chart(ranking.codes, principal, len(chosen)),
        *reasons_shown.courses(contract, chosen, values, wish.adverse),
    )
    tables = (reasons_shown.groups_told(contract, ranking.codes, weights, principal),)
    return [*found, test], tables, (*shown, *charts)


def _unfavoured(contract: ModelContract, wish: Explanation, scores: Rows) -> npt.NDArray[np.bool_]:
    """Rows whose decision is not the favourable one: the first where a high score is adverse, else the last."""
    cuts = [cut for one in contract.cut_offs if (cut := bound(one.below)) is not None]
    if not cuts:
        return np.ones(len(scores), np.bool_)
    exact = scores.astype(np.float64)
    found: npt.NDArray[np.bool_] = exact >= cuts[0] if wish.adverse == "high" else exact < cuts[-1]
    return found


def _repeated(
    wish: Explanation, forest: Forest, ranking: Ranking, rows: Rows, principal: Sequence[Sequence[int]], basis: Basis
) -> TestResult:
    """Seeds, order of the rows and order of the reference must not matter."""
    turns, shares = np.random.default_rng(0), []
    for _ in range(2):
        turn, other = turns.permutation(len(rows)), turns.permutation(len(wish.reference))
        again = msgspec.structs.replace(wish, reference=tuple(wish.reference[n] for n in other))
        told = ranking.principal(ranking.weights(contributions(again, forest).values(rows[turn])))
        shares.append(float(np.mean([told[at] == principal[n] for at, n in enumerate(turn)])))
    sentence = f"With rows and reference in another order, {min(shares):.2%} of applicants get the same reasons."
    return answer("explanation.repeat", min(shares), sentence, basis, details=[("times", len(shares))])


def _background(
    wish: Explanation, forest: Forest, ranking: Ranking, rows: Rows, principal: Sequence[Sequence[int]], basis: Basis
) -> TestResult:
    rule = "explanation.background"
    if len(wish.reference) < 4:
        reason = "path-dependent values have no reference rows" if wish.method == "path-dependent" else (
            "fewer than four reference rows cannot be halved"
        )  # fmt: skip
        return answer(rule, NotEvaluable(reason), "", basis)
    found = []
    for seed in range(SEEDS):
        half = np.random.default_rng(seed).permutation(len(wish.reference))[: len(wish.reference) // 2]
        other = msgspec.structs.replace(wish, reference=tuple(wish.reference[n] for n in np.sort(half)))
        told = ranking.principal(ranking.weights(contributions(other, forest).values(rows)))
        found.append(agreement(principal, told))
    return _mean(rule, found, "against half of the reference rows", basis)


def _noise(
    contract: ModelContract, values: Callable[[Rows], Floats], ranking: Ranking, rows: Rows,
    principal: Sequence[Sequence[int]], basis: Basis,
) -> TestResult:  # fmt: skip
    if not any(feature.type == "float" for feature in contract.input.features):
        return answer(
            "explanation.noise", NotEvaluable("no feature is measured: noise changes no code or count"), "", basis
        )
    found = [
        agreement(principal, ranking.principal(ranking.weights(values(noised(rows, contract, seed)))))
        for seed in range(SEEDS)
    ]
    return _mean("explanation.noise", found, f"with noise of {NOISE:.0%} of its spread on each measured feature", basis)


def _mean(rule: str, found: Sequence[float | NotEvaluable], how: str, basis: Basis) -> TestResult:
    figures = [one for one in found if not isinstance(one, NotEvaluable)]
    if not figures:
        return answer(rule, NotEvaluable("no row has a reason"), "", basis)
    mean = float(np.mean(figures))
    sentence = f"Principal reasons {how} agree with those told to {mean:.1%} (Jaccard, mean of {len(figures)} seeds)."
    return answer(rule, mean, sentence, basis, details=[("least of the seeds", min(figures))])


def _faithful(
    predict: Callable[[Rows], Rows], rows: Rows, ranking: Ranking, principal: Sequence[Sequence[int]], basis: Basis
) -> tuple[TestResult, tuple[Chart, ...]]:
    rule = "explanation.faithfulness"
    reference = np.array(ranking.wish.rows()[:8], np.float32)
    if not len(reference):
        return answer(rule, NotEvaluable("path-dependent values have no reference to set a reason to"), "", basis), ()
    found = faithfulness(predict, rows, reference, ranking, principal)
    if isinstance(found, NotEvaluable):
        return answer(rule, found, "", basis), ()
    sentence = (
        f"Setting the principal reasons to the reference moves the score by {found.principal[-1]:.3f} in the "
        f"applicant's favour, setting as many other groups by {found.others[-1]:.3f}."
    )
    curves = [("principal reasons", "curve", found.principal), ("as many others", "pd", found.others)]
    chart = Chart(
        section="explanation", title="Deletion curve",
        words="Mean move of the score in the applicant's favour when so many groups are set to the reference.",
        x="groups set to the reference", y="move of the score",
        series=tuple(
            Series(name=name, form="line", style="curve" if style == "curve" else "pd",
                   points=tuple((str(n), decimal(y)) for n, y in enumerate(curve)))
            for name, style, curve in curves
        ),
    )  # fmt: skip
    return answer(rule, found.share, sentence, basis, details=[("move", found.principal[-1])]), (chart,)


def _weights(ranking: Ranking, weights: Floats) -> Chart:
    """Mean weight of each group against and for the applicant, largest first."""
    size = np.abs(weights).mean(axis=0)
    order = np.argsort(-size, kind="stable")[:20]
    return Chart(
        section="explanation", title="Weight of the groups",
        words="Mean size of each group's contribution, by rank: " + ", ".join(ranking.codes[n] for n in order) + ".",
        x="rank", y="mean size",
        series=(Series(name="", form="bars", style="bar",
                       points=tuple((str(k + 1), decimal(float(size[n]))) for k, n in enumerate(order))),),
    )  # fmt: skip
