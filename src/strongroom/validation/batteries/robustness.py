"""The robustness tests: stress, proofs about forests, attacks, and what answers give away.

How each scales: stress in rows times features; proofs in the thresholds of each declared feature, each a search of at
most the policy's steps; smallest changes in applicants times rounds times steps; attacks in applicants times calls;
extraction in the thief's largest sample times features; membership in n log n.
"""

from __future__ import annotations

import importlib.util
from importlib import metadata

import msgspec
import numpy as np

from strongroom.registry.contract import bound
from strongroom.validation.batteries import traffic
from strongroom.validation.batteries.bench import Subject, encoded, noisy, provable
from strongroom.validation.batteries.changes import Charts, Details, Tables, changes
from strongroom.validation.batteries.examination import Examination
from strongroom.validation.batteries.scored import Scored
from strongroom.validation.catalogue import Basis, answer
from strongroom.validation.results import Chart, NotEvaluable, Series, TestResult, decimal
from strongroom.validation.statistics import calibration, exposure, stress
from strongroom.validation.trees.forests import Forest

FEWEST = 10
"""Rows near a cut-off from which their share of turned decisions says anything."""
_MODULES = {"dtai-veritas": "veritas", "scikit-learn": "sklearn"}


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


def measured(subject: Subject, *, with_changes: bool = True) -> tuple[list[TestResult], Tables, Charts]:
    """The tests themselves, with the tables and charts that stand beside them; without `robustness.change`, which
    takes longest, where its caller seeks the changes itself."""
    job = subject.job
    job.say("robustness: noise and missing values")
    found = _stress(subject)
    forest = provable(subject)
    job.say(
        "robustness: proofs" if isinstance(forest, Forest) else "robustness: no proof, since the model is no forest"
    )
    found += [_range(subject, forest), _monotony(subject, forest)]
    tables: Tables = ()
    charts: Charts = ()
    if with_changes:
        job.say("robustness: smallest changes of applicants")
        turned, tables, charts = changes(subject, forest)
        found.append(turned)
    job.say("robustness: copies of the model, traces of its development sample")
    stolen, curves = _extraction(subject)
    found += [stolen, _membership(subject)]
    return found, tables, charts + curves


def _stress(subject: Subject) -> list[TestResult]:
    study, contract, basis = subject.study, subject.contract, subject.validation.basis
    if not len(subject.kept.rows):
        reason = NotEvaluable("no row of the sample is within the contract with a finite score")
        return [
            answer(rule, reason, "", basis) for rule in ("robustness.noise", "robustness.near", "robustness.missing")
        ]
    cuts, noise = subject.cuts, noisy(subject)
    rows, scores, disturbed = noise.rows, noise.scores, noise.disturbed
    sample = Basis(basis.role, basis.sha256, len(rows))
    words = f"noise of {float(study.noise):.0%} of each feature's spread"
    found = [_flips("robustness.noise", stress.flips(scores, disturbed, cuts), sample, subject.job.level, words)]
    close = stress.near(scores, cuts, float(study.near))
    few = int(close.sum())
    flipped: stress.Flips | NotEvaluable = NotEvaluable(
        f"no row is within {study.near} of a cut-off" if few == 0
        else f"{few} row{'s lie' if few > 1 else ' lies'} within {study.near} of a cut-off; a share needs {FEWEST}"
    )  # fmt: skip
    if few >= FEWEST:
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


def _range(subject: Subject, forest: Forest | NotEvaluable) -> TestResult:
    rule, basis, output = "robustness.range", subject.validation.basis, subject.contract.output
    within = encoded(subject, forest)
    if isinstance(within, NotEvaluable):
        return answer(rule, within, "", basis)
    from strongroom.validation.trees import forest_bounds

    low, high = forest_bounds.output_range(within, subject.study.steps)
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
    within = encoded(subject, forest)
    if isinstance(within, NotEvaluable):
        return answer(rule, within, "", basis)
    from strongroom.validation.trees import forest_bounds

    found = [
        forest_bounds.monotony(within, name, slope, subject.study.steps)
        for name, slope in sorted(wish.monotone.items())
    ]
    doubtful = [one for one in found if one.verdict != "proven"]
    sentence = f"Proven for all {len(found)} declared features and every row that the contract allows."
    if doubtful:
        worst = max(doubtful, key=lambda one: (one.worst, one.feature))
        sentence = f"{len(found) - len(doubtful)} of {len(found)} declared features are proven. "
        sentence += (
            f"{worst.feature} is declared {worst.slope} and moves the other way by {worst.worst:.3g} "
            f"{'in log-odds' if forest.link == 'logistic' else 'in the score'} at {worst.at:g}."  # type: ignore[union-attr]  # within: a forest
            if worst.verdict == "violated"
            else f"{worst.feature} stayed open within {subject.study.steps:,} steps."
        )
    details: Details = [(one.feature, f"{one.slope}: {one.verdict}") for one in found]
    return answer(rule, len(doubtful), sentence, basis, details=details)


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
    return told, (curve,) if len(made) > 1 else ()


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
