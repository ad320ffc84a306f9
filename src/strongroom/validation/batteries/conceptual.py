"""Data quality and conceptual soundness: from figures to results, for a model of any kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from strongroom.registry.contract import ModelContract, bound
from strongroom.registry.kinds import CONTRACTS
from strongroom.validation.batteries import traffic
from strongroom.validation.batteries.scored import Scored
from strongroom.validation.catalogue import Basis, answer
from strongroom.validation.results import (
    PURPOSES_TITLE,
    SEGMENTS_TITLE,
    Chart,
    Column,
    NotEvaluable,
    Series,
    Table,
    TestResult,
    decimal,
)
from strongroom.validation.statistics import data_quality, simple_estimate, soundness
from strongroom.validation.statistics.discrimination import paired
from strongroom.validation.statistics.soundness import Predict
from strongroom.validation.statistics.tables import Rows

SHOWN = 6
"""Features whose effects are drawn."""
LISTED = 10
"""Segments and features that a table lists."""
LEAST_ROWS = 100
"""Rows that a segment must have, or more where the policy hides larger groups."""
LEAST_FRAUDS = 30
"""Frauds that a segment must have: they are rare, and what is compared of them is a share."""
DEVIATIONS = 1.0
UNIT = "score"


@dataclass(frozen=True, slots=True)
class Found:
    """What goes into the results."""

    tests: list[TestResult]
    tables: tuple[Table, ...]
    charts: tuple[Chart, ...] = ()


def data_quality_tests(development: Scored, validation: Scored, contract: ModelContract) -> Found:
    """Leaks, gaps, repeats, representativeness, special categories."""
    features = contract.input.features
    names = [feature.name for feature in features]
    # weighted samples: what is told by class keeps every event; what is told of the whole is that of the traffic
    classes = validation.at(traffic.even_by_class(validation))
    basis, rows, outcome = classes.basis, classes.rows, classes.outcome
    before, now = (sample.at(traffic.even(sample)) for sample in (development, validation))
    found: list[TestResult] = []
    tables: list[Table] = []
    learnt = development.at(traffic.even_by_class(development))
    lone = data_quality.lone_strength(rows, outcome, names, (learnt.rows, learnt.outcome))
    if isinstance(lone, NotEvaluable):
        found.append(answer("data.lone-strength", lone, "", basis))
    else:
        sentence = (
            f"`{lone[0].name}` alone orders the outcome best, at {lone[0].figure:.2f} of a perfect order; a figure "
            "near 1 would mean that the answer stands among the questions."
        )
        how = "by bins and missing values" if lone[0].binned else "by its values"
        told: list[tuple[str, float | int | str]] = [("feature", lone[0].name), ("ordered", how)]
        found.append(answer("data.lone-strength", lone[0].figure, sentence, basis, details=told))
    gaps = data_quality.telling_gaps(rows, outcome, names)
    if isinstance(gaps, NotEvaluable):
        found.append(answer("data.telling-gaps", gaps, "", basis))
    else:
        first = gaps[0]
        sentence = (
            f"Where `{first.name}` is missing ({first.missing:,} rows), the mean outcome differs by "
            f"{first.difference:+.3f}; a small p-value says that the gap itself tells something."
        )
        found.append(answer("data.telling-gaps", first.p_value, sentence, basis, details=[("feature", first.name)]))
    basis = validation.basis
    share = data_quality.repeated(validation.rows, validation.outcome)
    found.append(answer("data.repeats", share, f"{share:.2%} of the rows repeat an earlier row of the sample.", basis))
    basis = now.basis
    change = data_quality.missing_change(before.rows, now.rows, names)
    if isinstance(change, NotEvaluable):
        found.append(answer("data.missing-change", change, "", basis))
    else:
        sentence = f"The share of missing values changed most for `{change.name}`: by {change.figure:.2%} of the rows."
        figure = change.figure
        found.append(answer("data.missing-change", figure, sentence, basis, details=[("feature", change.name)]))
    apart = data_quality.told_apart(before.rows, now.rows, names)
    if isinstance(apart, NotEvaluable):
        found.append(answer("data.told-apart", apart, "", basis))
    else:
        sentence = (
            f"`{apart[0].name}` tells development from validation rows best: the two distributions differ by up to "
            f"{apart[0].figure:.1%}."
        )
        found.append(answer("data.told-apart", apart[0].figure, sentence, basis, details=[("feature", apart[0].name)]))
    hints = data_quality.special(names, [f.purpose for f in features], [f.legal_basis for f in features])
    sentence = (
        "No feature sounds like a special category of personal data without a ground of GDPR Art. 9(2)."
        if not hints
        else f"{', '.join(f'`{n}`' for n in hints)} may hold a special category of personal data; name the ground."
    )
    found.append(answer("data.special-categories", len(hints), sentence, basis))
    tables.append(
        Table(
            section="data", title=PURPOSES_TITLE,
            caption="As the contract states them for each feature; the answer for the whole is the owner's.",
            columns=tuple(Column(name=n, unit="text") for n in ("feature", "unit", "purpose", "legal basis")),
            rows=tuple((f.name, f.unit, f.purpose, f.legal_basis) for f in features),
        )
    )  # fmt: skip
    return Found(found, tuple(tables))


def soundness_tests(
    development: Scored, validation: Scored, contract: ModelContract, predict: Predict, min_group: int
) -> Found:
    """What moves the score, where it is weak, whether it beats a scorecard, what stress does to it.

    Args:
        development, validation: samples.
        contract: of the model.
        predict: scores of rows, float32, shape [rows].
        min_group: rows below which the policy tells nothing of a group.
    """
    event = CONTRACTS[contract.kind].outcome == "event"
    asked = validation.at(traffic.even(validation))
    made = effect_tests(asked.rows, contract, predict, asked.basis)
    found, tables, charts = list(made.tests), list(made.tables), made.charts
    least = LEAST_FRAUDS if contract.kind == "fraud" else max(min_group, LEAST_ROWS)
    spots, listed = weak_spot_tests(validation, contract, least)
    found.append(spots)
    tables += listed
    if event:
        found.append(_benchmark(*(s.at(traffic.even_by_class(s)) for s in (development, validation))))
    else:
        found.append(simple_estimate_test(development, validation))
    return Found(found, tuple(tables), charts)


def effect_tests(
    rows: Rows, contract: ModelContract, predict: Predict, basis: Basis, *, unit: str = UNIT,
    left_out: Sequence[str] = (),
) -> Found:  # fmt: skip
    """What moves the score, and what a move of every feature at once does.

    Args:
        rows: that are asked about, shape [rows, features].
        contract: of the model.
        predict: scores of rows, float32, shape [rows].
        basis: the sample.
        unit: of the score.
        left_out: features that are no inputs but questions.
    """
    names = [feature.name for feature in contract.input.features]
    units = {feature.name: feature.unit for feature in contract.input.features}
    output = contract.output
    told = output.name if output.unit == output.name else f"{output.name} ({output.unit})"
    found: list[TestResult] = []
    tables: list[Table] = []
    charts: list[Chart] = []
    made = soundness.effects(predict, rows, names)
    if not isinstance(made, NotEvaluable):
        made = tuple(effect for effect in made if effect.name not in left_out)
        made = made or NotEvaluable("no feature has two values")
    if isinstance(made, NotEvaluable):
        found += [answer(rule, made, "", basis) for rule in ("sensitivity.effects", "sensitivity.stress")]
    else:
        sentence = f"`{made[0].name}` moves the score most: by {made[0].span:.4g} over its range, all else as it comes."
        found.append(answer("sensitivity.effects", made[0].span, sentence, basis, details=[("feature", made[0].name)]))
        moved = soundness.stressed(predict, rows, made, names, DEVIATIONS)
        sentence = ""
        if not isinstance(moved, NotEvaluable):
            sentence = (
                "With every feature one standard deviation towards a higher score, the mean score moves by "
                f"{moved:+.4g}."
            )
        details: list[tuple[str, float | int | str]] = [("standard deviations", DEVIATIONS)]
        found.append(answer("sensitivity.stress", moved, sentence, basis, details=details))
        tables.append(
            Table(
                section="sensitivity", title="What moves the score",
                caption="Widest accumulated local effects: highest less lowest mean score along the feature.",
                columns=(Column(name="feature", unit="text"), Column(name="span", unit=unit),
                         Column(name="at the lowest value", unit=unit), Column(name="at the highest value", unit=unit)),
                rows=tuple((e.name, decimal(e.span), decimal(e.effect[0]), decimal(e.effect[-1]))
                           for e in made[:LISTED]),
            )
        )  # fmt: skip
        for effect in made[:SHOWN]:
            points = tuple((decimal(x), decimal(y)) for x, y in zip(effect.edges, effect.effect, strict=True))
            charts.append(
                Chart(
                    section="sensitivity", title=f"Effect of {effect.name}",
                    words=f"How the mean score moves along {effect.name}, from {effect.effect[0]:.3g} at its lowest "
                    f"value to {effect.effect[-1]:.3g} at its highest.",
                    x=f"{effect.name} ({units[effect.name]})", y=f"change of {told}",
                    series=(Series(name="", form="line", style="curve", points=points),),
                )
            )  # fmt: skip
    return Found(found, tuple(tables), tuple(charts))


def weak_spot_tests(validation: Scored, contract: ModelContract, least: int) -> tuple[TestResult, tuple[Table, ...]]:
    """Segments where the model does worst.

    Of fraud models the share of frauds that is found is compared, since their scores need be no probabilities.

    Args:
        validation: the sample.
        contract: of the model.
        least: rows that a segment must have.
    """
    rule, basis = "sensitivity.weak-spots", validation.basis
    rows, came, expected = validation.rows, validation.outcome, validation.estimate
    words = ("outcomes part most from scores", "came", "was expected")
    caption = "Where outcomes part most from scores"
    if contract.kind == "pd":
        expected = validation.pd
    if contract.kind == "fraud":
        cut = bound(contract.cut_offs[0].below)
        if cut is None:
            reason = NotEvaluable("the contract has one decision only, so nothing is an alarm")
            return answer(rule, reason, "", basis), ()
        frauds = validation.at(validation.outcome == 1)
        frauds = frauds.at(traffic.even_by_class(frauds))
        basis, rows = frauds.basis, frauds.rows
        came = (frauds.estimate >= cut).astype(np.int64)
        expected = np.full(came.size, came.mean() if came.size else 0.0)
        words = ("the share of frauds found parts most from that of all", "is found there", "of all frauds")
        caption = "Where the share of frauds found parts most from that of all frauds"
    names = [feature.name for feature in contract.input.features]
    spots = soundness.weak_spots(rows, came, expected, names, least)
    if isinstance(spots, NotEvaluable):
        return answer(rule, spots, "", basis), ()
    worst = spots[0]
    # a share of defaults or of frauds found reads in percent, another outcome in its own unit
    unit, said = ("share", "{:.2%}".format) if contract.kind in ("pd", "fraud") else (UNIT, "{:.4g}".format)
    sentence = (
        f"Of {len(spots):,} segments, {words[0]} where {worst.words} ({worst.n:,} rows): {said(worst.observed)} "
        f"{words[1]} and {said(worst.expected)} {words[2]}."
    )
    table = Table(
        section="sensitivity", title=SEGMENTS_TITLE,
        caption=f"{caption}; p-values after Holm's adjustment for every segment.",
        columns=(Column(name="segment", unit="text"), Column(name="rows", unit="count"),
                 Column(name="observed", unit=unit), Column(name="expected", unit=unit),
                 Column(name="p-value", unit="p-value")),
        rows=tuple((s.words, str(s.n), decimal(s.observed), decimal(s.expected), decimal(s.p_value))
                   for s in spots[:LISTED]),
    )  # fmt: skip
    return answer(rule, worst.p_value, sentence, basis, details=[("rows", worst.n)]), (table,)


def simple_estimate_test(development: Scored, validation: Scored) -> TestResult:
    """The model beside a line through means of bins of its own features."""
    rule, basis = "sensitivity.simple-estimate", validation.basis
    made = simple_estimate.simple_estimate(development.rows, development.outcome)
    if isinstance(made, NotEvaluable):
        return answer(rule, made, "", basis)
    came, simple = validation.outcome, made.estimate(validation.rows)
    found = simple_estimate.gain(came, validation.estimate, simple)
    if isinstance(found, NotEvaluable):
        return answer(rule, found, "", basis)
    word = "smaller" if found.share > 0.0 else "larger"
    sentence = (
        f"A line through means of the same features, made without tuning, errs by {found.simple:.4g} (mean squared "
        f"error); the model's is {found.model:.4g}, {abs(found.share):.1%} {word}."
    )
    mean = float(((came - made.mean) ** 2).mean())
    details: list[tuple[str, float | int | str]] = [
        ("mean squared error of the model", found.model), ("of the simple estimate", found.simple),
        ("of the development mean for everybody", mean),
    ]  # fmt: skip
    return answer(rule, found.share, sentence, basis, p_value=found.p_value, details=details)


def _benchmark(development: Scored, validation: Scored) -> TestResult:
    """The model beside a scorecard of its own features."""
    basis = validation.basis
    card = soundness.scorecard(development.rows, development.outcome.astype(np.int64))
    if isinstance(card, NotEvaluable):
        return answer("sensitivity.benchmark", card, "", basis)
    simple = card.score(validation.rows)
    both = paired(validation.outcome, validation.scores.astype(np.float64), simple)
    if isinstance(both, NotEvaluable):
        return answer("sensitivity.benchmark", both, "", basis)
    sentence = (
        f"A scorecard of the same features, made without tuning, has an AUC of {both.second:.3f}; the model gains "
        f"{both.first - both.second:+.3f}."
    )
    return answer(
        "sensitivity.benchmark", both.first - both.second, sentence, basis, p_value=both.p_value,
        details=[("AUC of the scorecard", both.second)],
    )  # fmt: skip
