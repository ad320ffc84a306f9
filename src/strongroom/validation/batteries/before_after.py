"""Two models side by side, before and after hardening: the same tests on the same rows, with the same random draws.

Noise, missing values and attacks meet the same applicants for both models. Where one of them is no forest, both are
attacked, since a proof and an attack do not compare. A change counts that leads to the favourable decision of each
model's own cut-offs, so that a band which is referred to a person counts as what it is: a wider way to go.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from strongroom.registry.contract import ModelContract
from strongroom.registry.hardening import Hardening
from strongroom.validation.batteries import traffic
from strongroom.validation.batteries.bench import Bench, Floats, Subject, encoded, noisy, provable
from strongroom.validation.batteries.changes import Found, searched
from strongroom.validation.batteries.examination import Examination
from strongroom.validation.batteries.robustness import measured
from strongroom.validation.batteries.scored import Scored
from strongroom.validation.batteries.side_by_side import ABOVE, Line
from strongroom.validation.results import Column, NotEvaluable, Table, TestResult, decimal
from strongroom.validation.statistics import calibration, discrimination
from strongroom.validation.statistics.tables import outside
from strongroom.validation.study_terms import RobustnessStudy

COPIED: Final = (
    "robustness.noise", "robustness.near", "robustness.missing", "robustness.monotone", "robustness.range",
    "robustness.extraction", "robustness.membership",
)  # fmt: skip
"""Tests whose figures are those of the battery itself; the smallest changes are sought anew, for the same people."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """All measures, and what a reader must know of them.

    Attributes:
        lines: in the order in which they are shown.
        notes: sentences.
        rows: of the validation sample that both models answered.
    """

    lines: tuple[Line, ...]
    notes: tuple[str, ...]
    rows: int


def compare(
    before: Bench,
    after: Bench,
    study: RobustnessStudy,
    development: tuple[Scored, Scored],
    validation: tuple[Scored, Scored],
) -> Comparison:
    """Measure both models.

    Args:
        before, after: the models; both contracts have the same features, and declare the same monotone and actionable
            ones.
        study: how large the tests are.
        development, validation: the samples with the answers of the model before and of the one after.
    """
    first, second = validation
    sound = ~outside(first.rows, after.contract.input) & np.isfinite(first.scores) & np.isfinite(second.scores)
    if not sound.any():
        return Comparison((), ("No row of the sample is answered by both models.",), 0)
    subjects = [
        Subject(job, study, old, _only(new, sound))
        for job, old, new in zip((before, after), development, validation, strict=True)
    ]
    one, two = subjects
    notes: list[str] = []
    lines = _ranking(one, two, notes)
    figures = [{test.rule: test for test in _copied(subject)} for subject in subjects]
    for rule in COPIED:
        old, new = figures[0][rule], figures[1][rule]
        lines.append(Line(new.title, new.unit, old.figure, new.figure, new.better))
        reasons = {test.reason for test in (old, new) if test.reason is not None}
        notes += [f"{new.title}: {reason}." for reason in sorted(reasons)]
    lines += _changed(one, two, notes)
    lines += _referred(one, two)
    return Comparison(tuple(lines), tuple(notes), int(sound.sum()))


def measured_by(job: Examination, samples: tuple[Scored, Scored]) -> tuple[Table, ...]:
    """The two columns of a hardened model, development and validation sample as the job scored them; nothing for a
    model that was not hardened, or by a policy without robustness tests."""
    told, study, former = job.contract.hardening, job.policy.robustness, job.former()
    if former is None or isinstance(told, msgspec.UnsetType) or isinstance(study, msgspec.UnsetType):
        return ()
    job.say("robustness: the model before it was hardened")
    seen = [sample.at(traffic.even(sample)) for sample in samples]
    development, validation = (
        (Scored(one.basis, one.rows, former.predict(one.rows), one.outcome), one) for one in seen
    )
    return (table_of(compare(former, job, study, development, validation), told),)


def table_of(found: Comparison, told: Hardening) -> Table:
    """The two columns, as the report shows them."""
    choices = ", ".join(f"{name} {text}" for name, text in sorted(told.choices.items()))
    caption = (
        f"Before: the model of package {told.package[:12]}, whose file stands in this one. Hardened by "
        f"{', '.join(told.measures)}{f' ({choices})' if choices else ''}. This battery measured both on the same "
        f"{found.rows:,} rows of the validation sample. "
    )
    return Table(
        section="robustness",
        title="Before and after hardening",
        caption=caption + " ".join(found.notes),
        columns=tuple(Column(name=name, unit="text") for name in ("Measure", "Before", "After", "Better")),
        rows=tuple((line.title, *line.shown, line.better) for line in found.lines),
    )


def word_of_the_author(contract: ModelContract, tests: Sequence[TestResult]) -> tuple[Table, ...]:
    """What the author says of the model before it was hardened, beside what these tests found; none where nothing is
    said, or where the former model is at hand and measured."""
    wish = contract.robustness
    if isinstance(wish, msgspec.UnsetType) or isinstance(wish.before, msgspec.UnsetType):
        return ()
    if not isinstance(contract.hardening, msgspec.UnsetType):
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


def _only(sample: Scored, sound: npt.NDArray[np.bool_]) -> Scored:
    return Scored(sample.basis, sample.rows[sound], sample.scores[sound], sample.outcome[sound])


def _ranking(one: Subject, two: Subject, notes: list[str]) -> list[Line]:
    outcome = two.validation.outcome
    scores = [subject.validation.pd for subject in (one, two)]
    found = [discrimination.auc(outcome, score) for score in scores]
    areas = [_told(None if isinstance(area, NotEvaluable) else area.auc) for area in found]
    means = [calibration.brier(outcome, score) for score in scores]
    errors = [_told(None if isinstance(mean, NotEvaluable) else mean) for mean in means]
    pair = discrimination.paired(outcome, *scores)
    if not isinstance(pair, NotEvaluable):
        notes.append(
            f"The area under the ROC curve changes by {pair.second - pair.first:+.4f} (DeLong p {pair.p_value:.3g})."
        )
    return [
        Line("Area under the ROC curve", "AUC", areas[0], areas[1], "higher"),
        Line("Brier score", "score", errors[0], errors[1], "lower"),
    ]


def _copied(subject: Subject) -> list[TestResult]:
    found, _, _ = measured(subject, with_changes=False)
    return found


def _changed(one: Subject, two: Subject, notes: list[str]) -> list[Line]:
    wish = two.declared
    if wish is None or not wish.actions or not one.cuts or not two.cuts:
        notes.append("No smallest change was sought: the contract names no feature that an applicant can change.")
        return []
    scores = [subject.validation.scores.astype(np.float64) for subject in (one, two)]
    refused = np.flatnonzero((scores[0] >= one.cuts[0]) & (scores[1] >= two.cuts[0]))
    if not refused.size:
        notes.append("No smallest change was sought: no applicant is at or above a cut-off of both models.")
        return []
    chosen = np.sort(one.random(3).permutation(refused)[: one.study.attacked])
    within = [encoded(subject, provable(subject)) for subject in (one, two)]
    lacking = next((one for one in within if isinstance(one, NotEvaluable)), None)
    shares, costs = [], []
    for subject, own in zip((one, two), within, strict=True):
        rows = subject.validation.rows[chosen]
        found = searched(subject, own if lacking is None else lacking, rows, [subject.cuts[0]] * len(rows),
                         subject.random(5))  # fmt: skip
        shares.append(_share(found, wish.limit, proven=lacking is None))
        costs.append(_median(found, wish.limit))
    people = f"{len(chosen):,} applicants whom neither model gives the favourable decision"
    notes.append(
        f"Smallest changes: for the same {people}, up to {wish.limit:g} {wish.cost_unit} for each feature; "
        + ("proven." if lacking is None else f"found by attack on both models, since {lacking.reason}.")
    )
    return [
        Line("Applicants who can reach the favourable decision", "share", shares[0], shares[1], "lower"),
        Line("Median cost of reaching it", str(wish.cost_unit), costs[0], costs[1], "higher"),
    ]


def _share(found: Sequence[Found], limit: float, *, proven: bool) -> str | None:
    safe = sum(one.high is None and (one.low >= limit or not proven) for one in found)
    return _told(1 - safe / len(found))


def _median(found: Sequence[Found], limit: float) -> str | None:
    costs = sorted(math.inf if one.high is None else one.high for one in found)
    middle = costs[len(costs) // 2]
    return f"{ABOVE} {limit:g}" if math.isinf(middle) else _told(middle)


def _referred(one: Subject, two: Subject) -> list[Line]:
    """What a band costs, and what it buys: decisions of the machine alone that noise turns."""
    told = two.contract.hardening
    if isinstance(told, msgspec.UnsetType) or not isinstance(told.referred, str):
        return []
    shares, turned = [], []
    for subject in (one, two):
        zones = [n for n, cut in enumerate(subject.contract.cut_offs) if cut.decision == told.referred]
        edges = np.asarray(subject.cuts, np.float64)
        now = np.searchsorted(edges, subject.validation.scores.astype(np.float64), side="right")
        shares.append(_told(float(np.isin(now, zones).mean())))
        turned.append(_told(_alone(subject, edges, zones)))
    return [
        Line("Decisions turned by noise, no person between", "share", turned[0], turned[1], "lower"),
        Line(f"Applicants referred to a person ({told.referred})", "share", shares[0], shares[1], "lower"),
    ]


def _alone(subject: Subject, edges: Floats, zones: Sequence[int]) -> float:
    noise = noisy(subject)
    before, after = (np.searchsorted(edges, scores, side="right") for scores in (noise.scores, noise.disturbed))
    return float(((before != after) & ~np.isin(before, zones) & ~np.isin(after, zones)).mean())


def _told(figure: float | None) -> str | None:
    return None if figure is None or not math.isfinite(figure) else decimal(figure)
