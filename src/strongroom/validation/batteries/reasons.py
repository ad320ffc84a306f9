"""Do the reason codes of a model hold? Additive, the same again, steady against noise and background, and faithful.

The method is exact, so nothing of it is random. The seeds below choose which reference rows are left out, which noise
is added and which other groups a reason is compared with; each is fixed, so that the same inputs give the same figures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from strongroom.registry.contract import ModelContract, bound
from strongroom.registry.explanation import Explanation
from strongroom.registry.kinds import CONTRACTS
from strongroom.validation.batteries import reason_traps, reasons_shown
from strongroom.validation.batteries.reason_ranking import Floats, Places, Ranking, Rows, Words, agreement
from strongroom.validation.catalogue import Basis, answer
from strongroom.validation.results import Chart, NotEvaluable, Series, Table, TestResult, decimal
from strongroom.validation.statistics.proxies import Proxies
from strongroom.validation.statistics.tables import outside
from strongroom.validation.trees.attribution import contributions
from strongroom.validation.trees.forests import Forest, forest_of

RULES: Final = (
    "explanation.additivity", "explanation.repeat", "explanation.reference", "explanation.background",
    "explanation.noise", "explanation.margin", "explanation.correlation", "explanation.missing",
    "explanation.faithfulness", "explanation.proxies",
)  # fmt: skip
ADDED: Final = 2000
"""Rows whose contributions are added up."""
ROWS: Final = 500
"""Rows looked at: enough for two digits of a share, few enough for a minute with the largest forests."""
SEEDS: Final = 5
NOISE: Final = 0.01
"""Standard deviation of the noise on a measured feature, as a share of that feature's own on the sample."""


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
    sign = ranking.sign
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


@dataclass(frozen=True, slots=True)
class Reasons:
    """What was found of a model's reason codes.

    Attributes:
        tests: not yet judged.
        tables, charts: of the report's section.
        ranking: None where the contract tells no reasons.
        sizes: mean size of each feature's contribution, shape [features]; of nobody looked at: ones.
    """

    tests: tuple[TestResult, ...] = ()
    tables: tuple[Table, ...] = ()
    charts: tuple[Chart, ...] = ()
    ranking: Ranking | None = None
    sizes: Floats | None = None

    def with_protected(
        self, contract: ModelContract, known: Mapping[str, Proxies | NotEvaluable], basis: Basis
    ) -> Reasons:
        """This, and whether a reason stands for a protected attribute; known once the protected sample is open."""
        if self.ranking is None or self.sizes is None:
            return self
        found, tables = reason_traps.stand_in_tests(contract, self.ranking, self.sizes, known, basis)
        return replace(self, tests=(*self.tests, *found), tables=(*self.tables, *tables))


def explanation_tests(
    contract: ModelContract, model: bytes, predict: Callable[[Rows], Rows], rows: Rows, scores: Rows, basis: Basis
) -> Reasons:
    """All tests of the reason codes but the one that needs protected attributes, on rows whose decision is not the
    favourable one, or on all of a kind that decides nothing; nothing where the contract tells no reasons.

    Args:
        model: bytes of the model file.
        predict: from rows to scores, as served.
        rows, scores: of the validation sample.
    """
    wish = contract.explanation
    if isinstance(wish, msgspec.UnsetType):
        return Reasons()
    names = [feature.name for feature in contract.input.features]
    forest, ranking, words = forest_of(contract, model), Ranking.of(wish, names), Words.of(contract, wish)
    # whom a rule of the contract refuses, the rule tells why; no model is asked about him
    scored = ~outside(rows, contract.input) & np.isfinite(scores)
    made = contributions(wish, forest)
    every = _some(np.flatnonzero(scored), ADDED)
    gap = additivity_gap(forest, made.base, made.values(rows[every]), scores[every])
    refused = int((~scored).sum())
    added = answer(
        "explanation.additivity", NotEvaluable("the contract takes no row of the sample") if not len(every) else gap,
        f"Base and contributions add up to the score within {gap:.1e}.", basis,
        details=[("rows added up", len(every)), ("tolerance of the contract", wish.tolerance),
                 ("refused by a rule before the model", refused)],
    )  # fmt: skip
    places = _some(np.flatnonzero(_unfavoured(contract, wish, scores) & scored), ROWS)
    if not len(places):
        nobody = NotEvaluable(f"none of the {words.many} has a reason to be told")
        others = [rule for rule in rules_of(contract) if rule not in (added.rule, "explanation.proxies")]
        tests = (added, *(answer(rule, nobody, "", basis) for rule in others))
        return Reasons(tests, ranking=ranking, sizes=np.ones(len(names)))
    chosen = rows[places]
    values = made.values(chosen)
    weights = ranking.weights(values)
    principal = ranking.principal(weights)
    sizes = np.abs(values).mean(axis=0)
    disturbed = [ranking.weights(made.values(noised(chosen, contract, seed))) for seed in range(SEEDS)]
    found = [added, _repeated(wish, forest, names, chosen, principal, words, basis)]
    if "explanation.reference" in rules_of(contract):
        told = float(forest.scores(np.array([made.base]))[0])
        found.append(
            reason_traps.reference_test(
                ranking,
                values,
                told,
                _favoured(contract, wish, predict),
                words,
                basis,
                decided=len(contract.cut_offs) > 1,
            )
        )
    found += [
        _background(wish, forest, ranking, chosen, principal, basis),
        _noise(contract, ranking, disturbed, principal, basis),
    ]
    margin, sure = reason_traps.margin_test(ranking, weights, disturbed, words, basis)
    together, pairs = reason_traps.correlation_test(contract, ranking, rows[scored], sizes, basis)
    absent = reason_traps.missing_test(contract, ranking, chosen, values, principal, words, basis)
    test, charts = _faithful(predict, chosen, ranking, principal, words, basis)
    shown = (
        _weights(ranking, weights),
        reasons_shown.told_chart(ranking.codes, principal, len(chosen), words),
        *reasons_shown.courses(contract, chosen, values, words, ranking.sign),
    )
    tables = (reasons_shown.groups_told(contract, ranking.codes, weights, principal, words), *sure, *pairs)
    return Reasons((*found, margin, together, absent, test), tables, (*shown, *charts), ranking, sizes)


def rules_of(contract: ModelContract) -> tuple[str, ...]:
    """Rules that a contract with reason codes has an answer to. Where nothing is decided, no reference is better."""
    decides = CONTRACTS[contract.kind].decides
    return tuple(rule for rule in RULES if decides or rule != "explanation.reference")


def _some(places: Places, most: int) -> Places:
    """At most so many, evenly taken."""
    if not len(places):
        return places
    return places[np.unique(np.linspace(0, len(places) - 1, most).round().astype(np.int64))]


def _favoured(contract: ModelContract, wish: Explanation, predict: Callable[[Rows], Rows]) -> float | None:
    """Share of the reference rows whose own decision is the favourable one; None where there is no such row."""
    reference = np.array(wish.rows(), np.float32)
    if not len(reference):
        return None
    return float((~_unfavoured(contract, wish, predict(reference))).mean())


def _unfavoured(contract: ModelContract, wish: Explanation, scores: Rows) -> npt.NDArray[np.bool_]:
    """Rows whose decision is not the favourable one: the first where a high score is adverse, else the last."""
    cuts = [cut for one in contract.cut_offs if (cut := bound(one.below)) is not None]
    if not cuts:
        return np.ones(len(scores), np.bool_)
    exact = scores.astype(np.float64)
    found: npt.NDArray[np.bool_] = exact >= cuts[0] if wish.adverse == "high" else exact < cuts[-1]
    return found


def _repeated(
    wish: Explanation, forest: Forest, names: Sequence[str], rows: Rows, principal: Sequence[Sequence[int]],
    words: Words, basis: Basis,
) -> TestResult:  # fmt: skip
    """Order of the rows, of the reference and of the groups must not matter, not even where weights are equal."""
    turns, shares = np.random.default_rng(0), []
    for _ in range(2):
        turn, other, mixed = (turns.permutation(len(one)) for one in (rows, wish.reference, wish.groups))
        again = msgspec.structs.replace(
            wish, reference=tuple(wish.reference[n] for n in other), groups=tuple(wish.groups[n] for n in mixed)
        )
        ranking = Ranking.of(again, names)
        told = ranking.principal(ranking.weights(contributions(again, forest).values(rows[turn])))
        shares.append(float(np.mean([told[at] == principal[n] for at, n in enumerate(turn)])))
    same = min(shares)
    sentence = f"With rows, reference and groups in another order, {same:.2%} of {words.many} have the same reasons."
    return answer("explanation.repeat", same, sentence, basis, details=[("times", len(shares))])


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
    contract: ModelContract, ranking: Ranking, disturbed: Sequence[Floats], principal: Sequence[Sequence[int]],
    basis: Basis,
) -> TestResult:  # fmt: skip
    if not any(feature.type == "float" for feature in contract.input.features):
        return answer(
            "explanation.noise", NotEvaluable("no feature is measured: noise changes no code or count"), "", basis
        )
    found = [agreement(principal, ranking.principal(weights)) for weights in disturbed]
    return _mean("explanation.noise", found, f"with noise of {NOISE:.0%} of its spread on each measured feature", basis)


def _mean(rule: str, found: Sequence[float | NotEvaluable], how: str, basis: Basis) -> TestResult:
    figures = [one for one in found if not isinstance(one, NotEvaluable)]
    if not figures:
        return answer(rule, NotEvaluable("no row has a reason"), "", basis)
    mean = float(np.mean(figures))
    sentence = f"Principal reasons {how} agree with those told to {mean:.1%} (Jaccard, mean of {len(figures)} seeds)."
    return answer(rule, mean, sentence, basis, details=[("least of the seeds", min(figures))])


def _faithful(
    predict: Callable[[Rows], Rows], rows: Rows, ranking: Ranking, principal: Sequence[Sequence[int]], words: Words,
    basis: Basis,
) -> tuple[TestResult, tuple[Chart, ...]]:  # fmt: skip
    rule = "explanation.faithfulness"
    reference = np.array(ranking.wish.rows()[:8], np.float32)
    if not len(reference):
        return answer(rule, NotEvaluable("path-dependent values have no reference to set a reason to"), "", basis), ()
    found = faithfulness(predict, rows, reference, ranking, principal)
    if isinstance(found, NotEvaluable):
        return answer(rule, found, "", basis), ()
    sentence = (
        f"Setting the principal reasons to the reference moves the score by {found.principal[-1]:.3f} "
        f"{words.favour}, setting as many other groups by {found.others[-1]:.3f}."
    )
    curves = [("principal reasons", "curve", found.principal), ("as many others", "pd", found.others)]
    chart = Chart(
        section="explanation", title="Deletion curve",
        words=f"Mean move of the score {words.favour} when so many groups are set to the reference.",
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
