"""The robustness tests: stress, proofs about forests, attacks, and what answers give away.

How each scales: stress in rows times features; proofs in the thresholds of each declared feature, each a search of at
most the policy's steps; smallest changes in applicants times rounds times steps; attacks in applicants times calls;
extraction in the thief's largest sample times features; membership in n log n.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from strongroom.errors import InvalidInputError
from strongroom.registry.contract import ModelContract, bound
from strongroom.registry.robustness import Robustness
from strongroom.validation import boundary_attack, calibration, exposure, stress, traffic
from strongroom.validation.catalogue import Basis, answer
from strongroom.validation.examination import Examination
from strongroom.validation.forests import Forest, forest_of
from strongroom.validation.policy import RobustnessStudy
from strongroom.validation.results import Chart, Column, NotEvaluable, Series, Table, TestResult, decimal
from strongroom.validation.scored import Scored
from strongroom.validation.tables import outside

Rows = npt.NDArray[np.float32]
Tables = tuple[Table, ...]
Charts = tuple[Chart, ...]
Details = list[tuple[str, float | int | str]]

_MODULES = {"dtai-veritas": "veritas", "scikit-learn": "sklearn"}
NO_PROVER = "the prover `dtai-veritas` is not installed here"


class Bench(Protocol):
    """A model that can be asked: an examination in the sandbox, or the author's own, before there is a package."""

    @property
    def contract(self) -> ModelContract: ...
    @property
    def model(self) -> bytes: ...
    @property
    def level(self) -> float: ...
    def predict(self, rows: Rows, /) -> Rows: ...
    def say(self, what: str, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Subject:
    """What is put under stress: a model under a policy that says how large the tests are, and two samples."""

    job: Bench
    study: RobustnessStudy
    development: Scored
    validation: Scored

    @property
    def contract(self) -> ModelContract:
        return self.job.contract

    @property
    def kept(self) -> Scored:
        """The validation rows that the gateway would answer, with finite scores."""
        whole = self.validation
        good = ~outside(whole.rows, self.contract.input) & np.isfinite(whole.scores)
        return Scored(whole.basis, whole.rows[good], whole.scores[good], whole.outcome[good])

    @property
    def cuts(self) -> list[float]:
        return [bound(cut.below) or 0.0 for cut in self.contract.cut_offs[:-1]]

    @property
    def declared(self) -> Robustness | None:
        wish = self.contract.robustness
        return None if isinstance(wish, msgspec.UnsetType) else wish

    def random(self, which: int) -> np.random.Generator:
        """A stream of its own for each test, so that one more test changes no other figure."""
        return np.random.default_rng([self.study.seed, which])


def robustness_tests(
    job: Examination, development: Scored, validation: Scored
) -> tuple[list[TestResult], Tables, Charts, dict[str, str]]:
    """All robustness tests, with tables, charts and tools as `Examination.conclude` takes them.

    A policy without sizes for them has none, and answers none of them. Of weighted samples, rows that stand for the
    traffic are looked at.
    """
    study = job.policy.robustness
    if isinstance(study, msgspec.UnsetType):
        return [], (), (), {}
    seen = (sample.at(traffic.even(sample)) for sample in (development, validation))
    found, tables, charts = measured(Subject(job, study, *seen))
    used = {name: metadata.version(name) for name, module in _MODULES.items() if importlib.util.find_spec(module)}
    return found, tables, charts, used


def measured(subject: Subject) -> tuple[list[TestResult], Tables, Charts]:
    """The tests themselves, with the tables and charts that stand beside them."""
    job = subject.job
    job.say("robustness: noise and missing values")
    found = _stress(subject)
    forest = _forest(subject)
    job.say(
        "robustness: proofs" if isinstance(forest, Forest) else "robustness: no proof, since the model is no forest"
    )
    found += [_range(subject, forest), _monotony(subject, forest)]
    job.say("robustness: smallest changes of applicants")
    changes, tables, charts = _changes(subject, forest)
    found.append(changes)
    job.say("robustness: copies of the model, traces of its development sample")
    stolen, curves = _extraction(subject)
    found += [stolen, _membership(subject)]
    return found, tables, charts + curves


def before_and_after(contract: ModelContract, tests: Sequence[TestResult]) -> Tables:
    """What the author says of the model before it was hardened, beside what these tests found; none where nothing is
    said."""
    wish = contract.robustness
    if isinstance(wish, msgspec.UnsetType) or isinstance(wish.before, msgspec.UnsetType):
        return ()
    found = {test.rule: test for test in tests}
    rows = [
        (found[rule].title if rule in found else rule, figure, found[rule].figure if rule in found else None,
         found[rule].better if rule in found else None)
        for rule, figure in sorted(wish.before.items())
    ]  # fmt: skip
    table = Table(
        section="robustness",
        title="Before and after hardening",
        caption="Before: the author's figures on the author's own sample, in the contract. After: as this battery "
        "found them on the validation sample.",
        columns=(
            Column(name="Test", unit="text"), Column(name="Before", unit="number"), Column(name="After", unit="number"),
            Column(name="Better", unit="text"),
        ),
        rows=tuple(rows),
    )  # fmt: skip
    return (table,)


def _stress(subject: Subject) -> list[TestResult]:
    study, contract, basis = subject.study, subject.contract, subject.validation.basis
    random = subject.random(1)
    sound = subject.kept
    if not len(sound.rows):
        reason = NotEvaluable("no row of the sample is within the contract with a finite score")
        return [
            answer(rule, reason, "", basis) for rule in ("robustness.noise", "robustness.near", "robustness.missing")
        ]
    kept = np.sort(random.permutation(len(sound.rows))[: study.rows])
    rows, cuts = sound.rows[kept], subject.cuts
    scores = sound.scores[kept].astype(np.float64)
    spread = stress.spreads(subject.development.rows)
    noisy = stress.disturb(rows, contract.input, spread, float(study.noise), random)
    disturbed = subject.job.predict(noisy).astype(np.float64)
    sample = Basis(basis.role, basis.sha256, len(rows))
    words = f"noise of {float(study.noise):.0%} of each feature's spread"
    found = [_flips("robustness.noise", stress.flips(scores, disturbed, cuts), sample, subject.job.level, words)]
    close = stress.near(scores, cuts, float(study.near))
    flipped: stress.Flips | NotEvaluable = NotEvaluable(f"no row is within {study.near} of a cut-off")
    if close.any():
        flipped = stress.flips(scores[close], disturbed[close], cuts)
    sample = Basis(basis.role, basis.sha256, int(close.sum()))
    found.append(
        _flips(
            "robustness.near",
            flipped,
            sample,
            subject.job.level,
            f"{words}, among rows within {study.near} of a cut-off",
        )
    )
    sample = Basis(basis.role, basis.sha256, len(rows))
    blank = stress.take_away(rows, contract.input, float(study.missing), subject.random(2))
    if isinstance(blank, NotEvaluable):
        sentence = "The contract lets no feature be missing: the gateway refuses such rows, so no decision can turn."
        return [*found, answer("robustness.missing", 0.0, sentence, sample)]
    turned = stress.flips(scores, subject.job.predict(blank).astype(np.float64), cuts)
    words = f"{float(study.missing):.0%} of the values missing where the contract allows it"
    return [*found, _flips("robustness.missing", turned, sample, subject.job.level, words)]


def _flips(rule: str, found: stress.Flips | NotEvaluable, basis: Basis, level: float, words: str) -> TestResult:
    if isinstance(found, NotEvaluable):
        return answer(rule, found, "", basis)
    around = calibration.jeffreys_interval(found.n, found.flipped, level)
    sentence = f"With {words}, {found.flipped:,} of {found.n:,} decisions turn; no score moves by more than "
    sentence += f"{found.max_abs_delta:.3g}."
    details: Details = [("largest move of a score", found.max_abs_delta), ("decisions turned", found.flipped)]
    return answer(rule, found.rate, sentence, basis, interval=around, details=details)


def _forest(subject: Subject) -> Forest | NotEvaluable:
    """The forest, or why nothing can be proven."""
    try:
        forest = forest_of(subject.contract, subject.job.model)
    except InvalidInputError as error:
        reason = str(error).rpartition("the model is not ")[2]
        return NotEvaluable(f"only forests can be proven, and the model is not {reason}")
    return forest if importlib.util.find_spec("veritas") is not None else NotEvaluable(NO_PROVER)


def _encoded(subject: Subject, forest: Forest | NotEvaluable) -> Any:
    if isinstance(forest, NotEvaluable):
        return forest
    from strongroom.validation import forest_bounds

    try:
        return forest_bounds.Encoded.of(forest, subject.contract.input)
    except InvalidInputError as error:
        return NotEvaluable(str(error))


def _range(subject: Subject, forest: Forest | NotEvaluable) -> TestResult:
    rule, basis, output = "robustness.range", subject.validation.basis, subject.contract.output
    encoded = _encoded(subject, forest)
    if isinstance(encoded, NotEvaluable):
        return answer(rule, encoded, "", basis)
    from strongroom.validation import forest_bounds

    low, high = forest_bounds.output_range(encoded, subject.study.steps)
    seen = subject.kept.scores.astype(np.float64)
    # a search that ended early attained less than the sample does
    lowest, highest = float(seen.min(initial=low.high)), float(seen.max(initial=high.low))
    floor, ceiling = bound(output.minimum) or 0.0, bound(output.maximum) or 0.0
    beyond = max(0.0, floor - low.low, high.high - ceiling)
    sentence = f"For every row that the contract allows, the score lies between {low.low:.4g} and {high.high:.4g} "
    sentence += f"(proven); {lowest:.4g} and {highest:.4g} are attained."
    details: Details = [
        ("proven lowest", low.low), ("attained lowest", lowest),
        ("attained highest", highest), ("proven highest", high.high),
    ]  # fmt: skip
    return answer(rule, beyond, sentence, basis, details=details)


def _monotony(subject: Subject, forest: Forest | NotEvaluable) -> TestResult:
    rule, basis, wish = "robustness.monotone", subject.validation.basis, subject.declared
    if wish is None or not wish.monotone:
        return answer(rule, 0, "The contract declares no monotone feature, so none is violated.", basis)
    encoded = _encoded(subject, forest)
    if isinstance(encoded, NotEvaluable):
        return answer(rule, encoded, "", basis)
    from strongroom.validation import forest_bounds

    found = [
        forest_bounds.monotony(encoded, name, slope, subject.study.steps)
        for name, slope in sorted(wish.monotone.items())
    ]
    doubtful = [one for one in found if one.verdict != "proven"]
    sentence = f"Proven for all {len(found)} declared features and every row that the contract allows."
    if doubtful:
        worst = max(doubtful, key=lambda one: (one.worst, one.feature))
        sentence = f"{len(found) - len(doubtful)} of {len(found)} declared features are proven. "
        sentence += (
            f"{worst.feature} is declared {worst.slope} and moves the other way by {worst.worst:.3g} "
            f"{'in log-odds' if forest.link == 'logistic' else 'in the score'} at {worst.at:g}."  # type: ignore[union-attr]  # encoded: a forest
            if worst.verdict == "violated"
            else f"{worst.feature} stayed open within {subject.study.steps:,} steps."
        )
    details: Details = [(one.feature, f"{one.slope}: {one.verdict}") for one in found]
    return answer(rule, len(doubtful), sentence, basis, details=details)


@dataclass(frozen=True, slots=True)
class _Found:
    low: float
    high: float | None
    total: float | None
    row: Rows | None


def _changes(subject: Subject, forest: Forest | NotEvaluable) -> tuple[TestResult, Tables, Charts]:
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
    encoded = _encoded(subject, forest)
    rows, found = sound.rows[chosen], []
    for number, (row, score) in enumerate(zip(rows, scores[chosen], strict=True)):
        if number and number % 25 == 0:
            subject.job.say(f"smallest changes: {number} of {len(rows)} rows")
        cut = max(c for c in subject.cuts if c <= score)
        found.append(_attacked(subject, encoded, row, cut, wish, random))
    return _told(subject, wish, rows, found, proven=not isinstance(encoded, NotEvaluable))


def _attacked(
    subject: Subject, encoded: Any, row: Rows, cut: float, wish: Robustness, random: np.random.Generator
) -> _Found:
    if isinstance(encoded, NotEvaluable):
        reach = boundary_attack.Reach.of(row, subject.contract.input, wish.actions, wish.limit)
        won = boundary_attack.attack(subject.job.predict, reach, cut, subject.study.calls, random)
        return _Found(0.0, None, None, None) if won is None else _Found(0.0, *won)
    from strongroom.validation import forest_bounds

    change = forest_bounds.smallest_change(encoded, row, cut, wish.actions, wish.limit, subject.study.steps)
    return _Found(change.low, change.high, change.total, change.row)


_WHO = {"pd": "applicants", "fraud": "transactions"}


def _told(
    subject: Subject, wish: Robustness, rows: Rows, found: Sequence[_Found], *, proven: bool
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


def _actions(subject: Subject, wish: Robustness, rows: Rows, found: Sequence[_Found]) -> Table:
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


def _extraction(subject: Subject) -> tuple[TestResult, Charts]:
    rule, basis = "robustness.extraction", subject.validation.basis
    sound = subject.kept
    scores = sound.scores.astype(np.float64)
    most = subject.study.answers[-1] * 3 // 2 + 1
    random = subject.random(4)
    kept = np.sort(random.permutation(len(scores))[: max(most, 30)])
    made = exposure.copies(sound.rows[kept], scores[kept], subject.cuts, subject.study.answers, random)
    if isinstance(made, NotEvaluable):
        return answer(rule, made, "", basis), ()
    last = made[-1]
    sentence = f"A copy made of {last.answers:,} answers explains {last.r_squared:.1%} of the scores' variance and "
    sentence += f"decides {last.agreement:.1%} of other rows as the model does."
    details: Details = [("answers", last.answers), ("same decision", last.agreement)]
    curve = Chart(
        section="robustness",
        title="A copy made of answers",
        words="How well boosted trees that were trained on so many answers imitate the model on other rows.",
        x="answers",
        y="share",
        percent="y",
        series=(
            Series(name="variance explained", form="line", style="curve",
                   points=tuple((decimal(one.answers), decimal(one.r_squared)) for one in made)),
            Series(name="same decision", form="points", style="rate",
                   points=tuple((decimal(one.answers), decimal(one.agreement)) for one in made)),
        ),
    )  # fmt: skip
    told = answer(rule, last.r_squared, sentence, Basis(basis.role, basis.sha256, last.n), details=details)
    return told, (curve,)


def _membership(subject: Subject) -> TestResult:
    rule, inside, outside = "robustness.membership", subject.development, subject.validation
    output = subject.contract.output
    if (bound(output.minimum) or 0.0) < 0.0 or (bound(output.maximum) or 0.0) > 1.0:
        reason = NotEvaluable("the score does not lie between 0 and 1, so it has no log loss")
        return answer(rule, reason, "", outside.basis)
    made = exposure.membership((inside.outcome, inside.pd), (outside.outcome, outside.pd))
    basis = outside.basis
    if isinstance(made, NotEvaluable):
        return answer(rule, made, "", basis)
    sentence = (
        f"By the model's error alone, a row of the development sample is told from another {made.auc:.1%} of the "
    )
    sentence += "time; a guess is right half of the time."
    details: Details = [("development rows", inside.basis.rows), ("validation rows", outside.basis.rows)]
    return answer(rule, made.auc, sentence, basis, interval=made.interval(subject.job.level), details=details)
