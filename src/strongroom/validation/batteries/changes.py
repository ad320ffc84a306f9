"""How little an applicant must change to turn a decision: proven where the model is a forest, attacked elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from strongroom.registry.robustness import Robustness
from strongroom.validation.batteries.bench import Subject, encoded
from strongroom.validation.catalogue import Basis, answer
from strongroom.validation.results import Chart, Column, NotEvaluable, Series, Table, TestResult, decimal
from strongroom.validation.statistics import boundary_attack
from strongroom.validation.trees.forests import Forest

Rows = npt.NDArray[np.float32]
Tables = tuple[Table, ...]
Charts = tuple[Chart, ...]
Details = list[tuple[str, float | int | str]]


@dataclass(frozen=True, slots=True)
class Found:
    """The smallest change of one applicant, in costs of its dearest feature.

    Attributes:
        low: nothing cheaper turns the decision (proven); 0 where nothing is proven.
        high: the cheapest that was found, or None.
        total: what that costs over all features.
        row: the changed row, float32.
    """

    low: float
    high: float | None
    total: float | None
    row: Rows | None


def changes(subject: Subject, forest: Forest | NotEvaluable) -> tuple[TestResult, Tables, Charts]:
    """The test `robustness.change`, with its table and its chart."""
    rule, basis, wish, study = "robustness.change", subject.validation.basis, subject.declared, subject.study
    if wish is None or not wish.actions:
        reason = NotEvaluable("the contract names no feature that an applicant can change")
        return answer(rule, reason, "", basis), (), ()
    if not subject.cuts:
        return answer(rule, NotEvaluable("the contract has one decision only, so none can turn"), "", basis), (), ()
    sound = subject.kept
    scores = sound.scores.astype(np.float64)
    refused = np.flatnonzero(scores >= subject.cuts[0])
    if not refused.size:
        return answer(rule, NotEvaluable("nobody in the sample is at or above a cut-off"), "", basis), (), ()
    random = subject.random(3)
    chosen = np.sort(random.permutation(refused)[: study.attacked])
    within = encoded(subject, forest)
    rows = sound.rows[chosen]
    cuts = [max(c for c in subject.cuts if c <= score) for score in scores[chosen]]
    found = searched(subject, within, rows, cuts, random)
    return _told(subject, wish, rows, found, proven=not isinstance(within, NotEvaluable))


def searched(
    subject: Subject, within: Any, rows: Rows, cuts: Sequence[float], random: np.random.Generator
) -> list[Found]:
    """The smallest change of each row that brings its score below its cut-off.

    Args:
        within: the encoded forest (`bench.encoded`), or why there is none: then an attack looks for changes.
        rows: shape [rows, features], each at or above its cut-off.
        cuts: one a row.
        random: of the attack.
    """
    wish, found = subject.declared, []
    if wish is None:
        return []
    for number, (row, cut) in enumerate(zip(rows, cuts, strict=True)):
        if number and number % 25 == 0:
            subject.job.say(f"smallest changes: {number} of {len(rows)} rows")
        found.append(_attacked(subject, within, row, cut, wish, random))
    return found


def _attacked(
    subject: Subject, within: Any, row: Rows, cut: float, wish: Robustness, random: np.random.Generator
) -> Found:
    if isinstance(within, NotEvaluable):
        reach = boundary_attack.Reach.of(row, subject.contract.input, wish.actions, wish.limit)
        won = boundary_attack.attack(subject.job.predict, reach, cut, subject.study.calls, random)
        return Found(0.0, None, None, None) if won is None else Found(0.0, *won)
    from strongroom.validation.trees import forest_bounds

    change = forest_bounds.smallest_change(within, row, cut, wish.actions, wish.limit, subject.study.steps)
    return Found(change.low, change.high, change.total, change.row)


_WHO = {"pd": "applicants", "fraud": "transactions"}


def _told(
    subject: Subject, wish: Robustness, rows: Rows, found: Sequence[Found], *, proven: bool
) -> tuple[TestResult, Tables, Charts]:
    basis = subject.validation.basis
    basis = Basis(basis.role, basis.sha256, len(found))
    turned = [one for one in found if one.high is not None]
    safe = sum(one.high is None and one.low >= wish.limit for one in found) if proven else 0
    unit, budget = str(wish.cost_unit), wish.limit
    share = 1 - safe / len(found) if proven else len(turned) / len(found)
    who = _WHO.get(subject.contract.kind, "rows")
    sentence = f"Of {len(found)} {who} at or above a cut-off, {len(turned)} come below it by changes of at most "
    sentence += f"{budget:g} {unit} for each feature"
    sentence += (
        f"; for {safe} it is proven that none does, {len(found) - safe - len(turned)} stayed open."
        if proven
        else " (found by attack: nothing is proven about the others)."
    )
    costs = sorted(one.high for one in turned if one.high is not None)
    totals = sorted(one.total for one in turned if one.total is not None)
    details: Details = [("turned", len(turned)), ("proven safe", safe), ("method", "proof" if proven else "attack")]
    if costs:
        details += [("median cost of the dearest feature", float(np.median(costs))),
                    ("median cost of all features", float(np.median(totals)))]  # fmt: skip
    proven_costs = sorted(one.low for one in found if one.low < budget) if proven else []
    return (
        answer("robustness.change", share, sentence, basis, details=details),
        (_actions(subject, wish, rows, found),),
        (_cost_curves(proven_costs, costs, len(found), unit, who),) if proven_costs or costs else (),
    )


def _cost_curves(proven: Sequence[float], found: Sequence[float], people: int, unit: str, who: str) -> Chart:
    # each sorted by itself and cut to a few digits: no point is a person
    series = []
    for name, style, costs in (("at most (proof)", "chance", proven), ("at least (found)", "curve", found)):
        steps = [(decimal(float(f"{cost:.4g}")), decimal((i + 1) / people)) for i, cost in enumerate(costs)][:2000]
        if steps:
            series.append(Series(name=name, form="line", style=style, points=tuple(steps)))  # type: ignore[arg-type]  # one of the styles
    return Chart(
        section="robustness",
        title="Cost of turning a decision",
        words=f"Share of {who} at or above a cut-off that come below it when no feature may cost more than this; the "
        "truth lies between the two lines.",
        x=f"cost of the dearest change ({unit})",
        y=f"share of {who}",
        percent="y",
        series=tuple(series),
    )


def _actions(subject: Subject, wish: Robustness, rows: Rows, found: Sequence[Found]) -> Table:
    features, made = subject.contract.input.features, []
    for action in wish.actions:
        place = next(i for i, feature in enumerate(features) if feature.name == action.feature)
        moves = [
            abs(float(one.row[place]) - float(row[place]))
            for one, row in zip(found, rows, strict=True)
            if one.row is not None and not math.isnan(row[place]) and one.row[place] != row[place]
        ]
        median = decimal(float(np.median(moves))) if moves else None
        made.append(
            (action.feature, action.direction, f"{action.cost} a {features[place].unit}", str(len(moves)), median)
        )
    return Table(
        section="robustness",
        title="What turns a decision",
        caption=f"Features that the contract calls actionable, with their costs in {wish.cost_unit}, and how often the "
        "cheapest changes that were found use them.",
        columns=(
            Column(name="Feature", unit="text"), Column(name="Direction", unit="text"),
            Column(name="Cost", unit="text"), Column(name="Used", unit="count"),
            Column(name="Median change", unit="number"),
        ),
        rows=tuple(made),
    )  # fmt: skip
