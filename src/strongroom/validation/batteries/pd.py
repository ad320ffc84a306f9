"""The battery for probabilities of default: from scores, outcomes and groups to results."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from strongroom.registry.contract import bound
from strongroom.validation.batteries.pd_tables import grade_rows
from strongroom.validation.batteries.scored import Scored
from strongroom.validation.catalogue import answer
from strongroom.validation.policy import ValidationPolicy
from strongroom.validation.results import GradeRow, NotEvaluable, TestResult
from strongroom.validation.statistics import calibration, discrimination
from strongroom.validation.statistics.critical import critical_distance, distance_p_value
from strongroom.validation.statistics.grading import GradeTable, Scale, grade_table
from strongroom.validation.statistics.resampling import SEED, few, redrawn

Details = list[tuple[str, float | int | str]]


def discrimination_tests(development: Scored, validation: Scored, level: float) -> list[TestResult]:
    """AUC, Gini, KS and the change since development."""
    basis = validation.basis
    now, then = (discrimination.auc(s.outcome, s.pd) for s in (validation, development))
    found = []
    if isinstance(now, NotEvaluable):
        found += [answer(rule, now, "", basis) for rule in ("discrimination.auc", "discrimination.gini")]
    else:
        interval, _, how = _sure(validation.outcome, validation.pd, now, None, level)
        gini = interval if isinstance(interval, NotEvaluable) else (2 * interval[0] - 1, 2 * interval[1] - 1)
        counts: Details = [("defaults", now.defaults), ("others", now.others)]
        sentence = (
            "Of a defaulter and another applicant drawn at random, the model ranks the defaulter as riskier "
            f"{now.auc:.1%} of the time."
        )
        details = [*_errors(now, counts), *how]
        found.append(answer("discrimination.auc", now.auc, sentence, basis, interval=interval, details=details))
        sentence = f"The model delivers {now.gini:.1%} of the separation that a perfect ranking would."
        found.append(answer("discrimination.gini", now.gini, sentence, basis, interval=gini))
    found.append(_distance_test(validation, level))
    if isinstance(now, NotEvaluable) or isinstance(then, NotEvaluable):
        missing = (
            now
            if isinstance(now, NotEvaluable)
            else NotEvaluable("the development sample holds only one outcome class")
        )
        return [*found, answer("discrimination.auc-change", missing, "", basis)]
    _, p, how = _sure(validation.outcome, validation.pd, now, then.auc, level)
    fall = then.auc - now.auc
    sentence = f"The AUC was {then.auc:.3f} on the development sample and is {now.auc:.3f} on the validation sample."
    details = [("development AUC", then.auc), *how]
    return [*found, answer("discrimination.auc-change", fall, sentence, basis, p_value=p, details=details)]


def grades_test(development: Scored, validation: Scored, scale: Scale, level: float) -> TestResult:
    """The AUC of the grades, which is what the ECB asks for, and what grading loses of that of the scores."""
    rule, basis = "discrimination.auc-grades", validation.basis
    before, grade = (scale.assign(sample.pd) for sample in (development, validation))
    now, rows = discrimination.auc(validation.outcome, grade), discrimination.auc(validation.outcome, validation.pd)
    if isinstance(now, NotEvaluable):
        return answer(rule, now, "", basis)
    if isinstance(rows, NotEvaluable):
        return answer(rule, rows, "", basis)
    then = discrimination.auc(development.outcome, before)
    start = None if isinstance(then, NotEvaluable) else then.auc
    interval, p, how = _sure(validation.outcome, grade.astype(np.float64), now, start, level)
    lost = rows.auc - now.auc
    sentence = (
        f"On {len(np.unique(grade))} filled grades of {len(scale.edges) + 1} the AUC is {now.auc:.4f}; grading loses "
        f"{lost:.4f} of the {rows.auc:.4f} by row."
    )
    details: Details = [
        *_errors(now, [("Somers' D", now.gini), ("AUC by row", rows.auc), ("lost by grading", lost)]),
        *(() if start is None else (("development AUC on grades", start),)),
        *(() if p is None else (("p-value of a fall since development", p),)), *how,
    ]  # fmt: skip
    return answer(rule, now.auc, sentence, basis, interval=interval, details=details)


def _distance_test(validation: Scored, level: float) -> TestResult:
    rule, basis = "discrimination.ks", validation.basis
    distance = discrimination.ks(validation.outcome, validation.pd)
    if isinstance(distance, NotEvaluable):
        return answer(rule, distance, "", basis)
    defaults = int(validation.outcome.sum())
    classes = defaults, int(validation.outcome.size) - defaults
    chance, p = critical_distance(*classes, level), distance_p_value(distance.distance, *classes)
    details: Details = [("at PD", distance.at)]
    sentence = (
        f"At a PD of {distance.at:.2%} the model separates best: the shares of defaulters and others above it "
        f"differ by {distance.distance:.1%}"
    )
    if isinstance(chance, NotEvaluable) or isinstance(p, NotEvaluable):
        return answer(rule, distance.distance, f"{sentence}.", basis, details=details)
    sentence = f"{sentence}; by chance they would by {chance:.1%} or more in {1.0 - level:.0%} of samples."
    details.append((f"critical D at {1.0 - level:.0%}", chance))
    return answer(rule, distance.distance, sentence, basis, p_value=p, details=details)


def _errors(area: discrimination.Auc, details: Details) -> Details:
    return details if area.variance is None else [*details, ("standard error", math.sqrt(area.variance))]


def _sure(
    outcome: npt.NDArray[np.int64], score: npt.NDArray[np.float64], area: discrimination.Auc, initial: float | None,
    level: float,
) -> tuple[tuple[float, float] | NotEvaluable, float | None, Details]:  # fmt: skip
    """Interval of an AUC, p-value of its fall, and how they were found: normal, or drawn again where rows are few."""
    if not few(area.defaults, area.others):
        change = NotEvaluable("") if initial is None else discrimination.auc_change(initial, area)
        return area.interval(level), None if isinstance(change, NotEvaluable) else change.p_value, []
    found = redrawn(outcome, score, level, initial=initial)
    if isinstance(found, NotEvaluable):
        return found, None, []
    return found.interval, found.p_value, [("interval by", "bootstrap-t"), ("draws", found.draws), ("seed", SEED)]


def calibration_tests(
    validation: Scored, scale: Scale, level: float, minimum: float
) -> tuple[list[TestResult], tuple[GradeRow, ...]]:
    """Tests of the PD's height, and the table of grades."""
    basis, y, p = validation.basis, validation.outcome, validation.pd
    table = grade_table(scale, y, p)
    if isinstance(table, NotEvaluable):
        rules = ("jeffreys-portfolio", "jeffreys-grades", "binomial", "hosmer-lemeshow", "inversions")
        return [answer(f"calibration.{rule}", table, "", basis) for rule in rules], ()
    jeffreys = calibration.jeffreys_scale(table.n, table.defaults, table.mean_pd)
    rows = grade_rows(scale, table, jeffreys, level)
    defaults, mean = int(y.sum()), float(p.mean())
    sentence = f"The model expected {mean * y.size:,.0f} defaults among {y.size:,} obligors, and {defaults:,} came."
    details = [("mean PD", mean), ("default rate", defaults / y.size)]
    found = [answer("calibration.jeffreys-portfolio", jeffreys.portfolio, sentence, basis, details=details)]
    filled = [(i + 1, q) for i, q in enumerate(jeffreys.grades) if not isinstance(q, NotEvaluable)]
    adjusted = calibration.holm([q for _, q in filled])
    worst = min(range(len(adjusted)), key=lambda i: (adjusted[i], i))
    raw = sum(q < 0.05 for _, q in filled)
    sentence = (
        f"Of {len(filled)} filled grades, {raw} would be called too low at 5% one by one; grade "
        f"{filled[worst][0]} is the worst."
    )
    found.append(
        answer(
            "calibration.jeffreys-grades",
            adjusted[worst],
            sentence,
            basis,
            details=[("grade", filled[worst][0]), ("unadjusted p", filled[worst][1])],
        )
    )
    tail = calibration.binomial(int(y.size), defaults, mean)
    sentence = "Chance of at least as many defaults if each obligor defaulted independently at the mean PD."
    found.append(answer("calibration.binomial", tail, sentence, basis))
    chi = calibration.hosmer_lemeshow(table.n, table.defaults, table.mean_pd, minimum=minimum)
    if isinstance(chi, NotEvaluable):
        found.append(answer("calibration.hosmer-lemeshow", chi, "", basis))
    else:
        sentence = "A small p-value says that default rates differ from the PDs, grade by grade, by more than chance."
        figures = [("chi-square", chi.statistic), ("degrees of freedom", chi.freedom)]
        found.append(answer("calibration.hosmer-lemeshow", chi.p_value, sentence, basis, details=figures))
    z = calibration.spiegelhalter(y, p)
    if isinstance(z, NotEvaluable):
        found.append(answer("calibration.spiegelhalter", z, "", basis))
    else:
        sentence = (
            f"The squared errors are {'larger' if z.z > 0 else 'smaller'} than these PDs would give by "
            "themselves; a small p-value says by more than chance."
        )
        found.append(answer("calibration.spiegelhalter", z.two_sided, sentence, basis, details=[("z", z.z)]))
    found += [_line(validation), _brier(validation, table)]
    sentence = (
        f"Default rates fall {_times(table.inversions)} where the grade gets worse."
        if table.inversions
        else "Default rates rise with every grade."
    )
    found.append(
        answer("calibration.inversions", table.inversions, sentence, basis, details=[("grades", len(table.n))])
    )
    return found, rows


def defaults_test(validation: Scored) -> TestResult:
    """Are there defaults enough for the other tests to be able to fail?"""
    defaults, rows = int(validation.outcome.sum()), validation.basis.rows
    sentence = f"The validation sample holds {defaults:,} defaults among {rows:,} rows."
    return answer("data.defaults", defaults, sentence, validation.basis)


def scale_of(policy: ValidationPolicy, development: Scored) -> Scale:
    """The policy's rating scale; quantiles are those of the development sample, never of the one that is tested."""
    if policy.grades.edges is not None:
        return Scale(tuple(bound(edge) or 0.0 for edge in policy.grades.edges))
    return Scale.from_quantiles(development.pd, policy.grades.quantiles or 2)


def _line(validation: Scored) -> TestResult:
    line = calibration.calibration_line(validation.outcome, validation.pd)
    if isinstance(line, NotEvaluable):
        return answer("calibration.line", line, "", validation.basis)
    lean = "spread too far apart" if line.slope < 1 else "too close together"
    doubt = "no further off than chance would bring" if line.joint_p >= 0.05 else f"beyond chance, the PDs are {lean}"
    sentence = f"Slope {line.slope:.3f} (1 is perfect), intercept {line.intercept:.3f} (0 is perfect): {doubt}."
    details: list[tuple[str, float | int | str]] = [
        ("slope", line.slope), ("standard error of slope", line.slope_se), ("intercept", line.intercept),
        ("standard error of intercept", line.intercept_se), ("intercept at slope 1", line.offset),
        ("clipped rows", line.clipped),
    ]  # fmt: skip
    return answer("calibration.line", line.joint_p, sentence, validation.basis, details=details)


def _brier(validation: Scored, table: GradeTable) -> TestResult:
    score = calibration.brier(validation.outcome, validation.pd)
    parts = calibration.murphy(table.n, table.defaults, table.mean_pd)
    details: list[tuple[str, float | int | str]] = []
    sentence = "Mean squared error of the PDs."
    if not isinstance(parts, NotEvaluable):
        details = [
            ("reliability by grade", parts.reliability),
            ("resolution by grade", parts.resolution),
            ("uncertainty", parts.uncertainty),
        ]
        if not isinstance(parts.skill, NotEvaluable):
            details.append(("skill by grade", parts.skill))
            sentence = (
                f"Mean squared error of the PDs; the grades explain {parts.skill:.1%} of what there was to explain."
            )
    return answer("calibration.brier", score, sentence, validation.basis, details=details)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
