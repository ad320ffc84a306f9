"""A sandbox job: the battery for a model of credit conversion factors, and of the exposures that follow from them.

Inputs and output as in `pd_battery`; the samples have the columns that `[outcome]` of the contract names, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from msgspec import UNSET

from strongroom.validation.batteries import (
    between_samples,
    conceptual,
    equity_battery,
    estimates,
    every_kind,
    reasons,
    stress_scenarios,
    time_order,
)
from strongroom.validation.batteries.examination import Examination
from strongroom.validation.batteries.scored import Scored
from strongroom.validation.catalogue import answer
from strongroom.validation.results import NotEvaluable, TestResult
from strongroom.validation.statistics import losses


def run(inputs: Mapping[str, bytes], parameters: dict[str, Any]) -> dict[str, bytes]:
    """See the module's docstring, and `Examination.begin` for the parameters.

    Raises:
        InvalidInputError: a sample, the model or a document breaks its contract.
        EvidenceError: the policy has no battery for this kind and tier.
    """
    job = Examination.begin("ead", inputs, parameters)
    contract, policy, level = job.contract, job.policy, job.level
    job.say("scoring development, validation and reference samples")
    development, validation, reference = (job.scored(role) for role in ("development", "validation", "reference"))
    convertible = [_convertible(sample) for sample in (development, validation)]
    with job.together() as begin:
        soundness = begin(
            "conceptual soundness", conceptual.soundness_tests,
            convertible[0], convertible[1], contract, job.predict, policy.fairness.min_group,
        )  # fmt: skip
        shaken = begin(
            "stress scenarios", stress_scenarios.scenario_tests,
            convertible[1], contract, policy, job.predict, estimates.bucket_edges(convertible[0].estimate),
        )  # fmt: skip
        looked = begin("data quality", conceptual.data_quality_tests, convertible[0], convertible[1], contract)
        explained = begin(
            "explanations" if contract.explanation is not UNSET else None, reasons.explanation_tests,
            contract, job.model, job.predict, convertible[1].rows, convertible[1].scores, convertible[1].basis,
        )  # fmt: skip
        job.say("order and height of factors and amounts")
        tests = estimates.order_tests(convertible[0], convertible[1], level)
        found, tables, charts = estimates.height_tests(convertible[0], convertible[1], contract, level)
        tests += found + _amounts(validation)
        amounts = [(sample.basis.role, _exposures(sample)) for sample in (development, validation)]
        means = estimates.means_table(
            "Exposures at default in development and now",
            [(role, made.realised, made.estimated, None) for role, made in amounts], "exposure", "amount",
        )  # fmt: skip
        job.say("stability, implementation, data")
        found, shifts = every_kind.stability_tests(development, validation, contract, policy)
        tolerance = float(policy.parity_tolerance)
        tests += found + every_kind.implementation_tests(job.source(), reference, validation, contract, tolerance)
        tests += every_kind.data_tests(validation, contract) + estimates.bounds_tests(convertible[1])
        between = between_samples.tests_between(job, development, reference, validation)
        tests += between.tests + time_order.time_tests(development, reference, validation, contract)
    quality, sense, shocks = looked.result(), soundness.result(), shaken.result()
    tests += [*quality.tests, *sense.tests, *shocks.tests]
    job.say("fairness")  # at the end: the model is asked nothing more once the protected sample is open
    fair = equity_battery.examine_estimates(job, reference, validation, lambda sample: _exposures(sample).convertible)
    told = explained.result().with_protected(contract, fair.known, fair.basis)
    tests += [*fair.tests, *told.tests]
    return job.conclude(
        tests, (development, validation, reference), psi=shifts,
        tables=(*tables, means, *told.tables, *between.tables, *quality.tables, *sense.tables,
                *shocks.tables, *fair.tables),
        charts=(*charts, *told.charts, *sense.charts, *shocks.charts), tools=dict(fair.tools),
    )  # fmt: skip


def _convertible(sample: Scored) -> Scored:
    """The rows with anything undrawn: only these have a conversion factor."""
    return sample.at(_exposures(sample).convertible)


def _amounts(validation: Scored) -> list[TestResult]:
    basis, amounts, rows = validation.basis, _exposures(validation), validation.basis.rows
    test = losses.t_test(amounts.realised, amounts.estimated)
    if isinstance(test, NotEvaluable):
        found = [answer("calibration.ead-t-test", test, "", basis)]
    else:
        sentence = (
            f"Exposures at default were {float(amounts.realised.mean()):,.0f} on average and estimated "
            f"{float(amounts.estimated.mean()):,.0f}."
        )
        details = [("mean difference", test.mean_difference), ("T", test.statistic)]
        found = [answer("calibration.ead-t-test", test.upper, sentence, basis, details=details)]
    ones = np.ones_like(amounts.realised)
    short, _ = estimates.amount_tests(amounts.realised, amounts.estimated, ones, basis)
    away = losses.mean_absolute_deviation(ones, amounts.realised, amounts.estimated)
    total = float(amounts.realised.mean())
    if not isinstance(away, NotEvaluable):
        away = away / total if total > 0.0 else NotEvaluable("nothing was drawn at default in total")
    sentence = "Distance of estimated and realised exposures, over the realised total."
    found += [short, answer("calibration.mad", away, sentence, basis)]
    full, credit = float((~amounts.convertible).mean()), amounts.below_zero / rows
    sentence = f"{full:.2%} of the facilities have nothing undrawn; they count in amounts only."
    found.append(answer("data.undrawn", full, sentence, basis))
    sentence = f"{credit:.2%} of the facilities have a credit balance, which counts as nothing drawn."
    return [*found, answer("data.drawn-below-zero", credit, sentence, basis)]


def _exposures(sample: Scored) -> losses.Exposures:
    columns = sample.columns
    return losses.exposures(columns["limit"], columns["drawn"], sample.outcome, sample.estimate)
