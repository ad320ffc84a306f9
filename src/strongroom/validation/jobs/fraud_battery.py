"""A sandbox job: the battery for a fraud model.

Inputs: as `pd_battery`; the samples also have the columns that `[outcome]` names: `amount`, `time`, and `weight` where
frauds were drawn more often than others.
Output: `results.json` (BatteryResults, canonical).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import UNSET

from strongroom.validation.batteries import (
    before_after,
    between_samples,
    conceptual,
    equity_battery,
    every_kind,
    fraud,
    reasons,
    robustness,
    stress_scenarios,
)
from strongroom.validation.batteries.examination import Examination


def run(inputs: Mapping[str, bytes], parameters: dict[str, Any]) -> dict[str, bytes]:
    """See the module's docstring, and `Examination.begin` for the parameters.

    Raises:
        InvalidInputError: a sample, the model or a document breaks its contract.
        EvidenceError: the policy has no battery for this kind and tier.
    """
    job = Examination.begin("fraud", inputs, parameters)
    contract, policy, level = job.contract, job.policy, job.level
    job.say("scoring development, validation and reference samples")
    development, validation, reference = (job.scored(role) for role in ("development", "validation", "reference"))
    source, terms = job.source(), fraud.terms_of(policy)
    with job.together() as begin:
        # the longest first
        hardness = begin(None, robustness.robustness_tests, job, development, validation)
        soundness = begin(
            "conceptual soundness", conceptual.soundness_tests,
            development, validation, contract, job.predict, policy.fairness.min_group,
        )  # fmt: skip
        shaken = begin(
            "stress scenarios", stress_scenarios.scenario_tests,
            validation, contract, policy, job.predict,
        )  # fmt: skip
        looked = begin("data quality", conceptual.data_quality_tests, development, validation, contract)
        explained = begin(
            "explanations" if contract.explanation is not UNSET else None, reasons.explanation_tests,
            contract, job.model, job.predict, validation.rows, validation.scores, validation.basis,
        )  # fmt: skip
        beside = begin(None, before_after.measured_by, job, (development, validation))
        job.say("detection and cost")
        tests, charts = fraud.discrimination_tests(validation, terms, level)
        found, curves = fraud.cost_tests(reference, validation, contract, terms)
        tests += found
        job.say("stability, implementation, data")
        found, tables, windows = fraud.time_tests(validation, contract, terms, level)
        tests += found
        found, shifts = every_kind.stability_tests(development, validation, contract, policy)
        tolerance = float(policy.parity_tolerance)
        tests += found + every_kind.implementation_tests(source, reference, validation, contract, tolerance)
        tests += every_kind.data_tests(validation, contract)
        between = between_samples.tests_between(job, development, reference, validation)
        tests += between.tests
        tests += fraud.data_tests(development, validation)
    found, stressed, pictures, tools = hardness.result()
    stressed += beside.result()
    tests += found
    quality, sense, shocks = looked.result(), soundness.result(), shaken.result()
    tests += [*quality.tests, *sense.tests, *shocks.tests]
    job.say("fairness")  # at the end: the model is asked nothing more once the protected sample is open
    fair = equity_battery.examine(job, reference, validation)
    told = explained.result().with_protected(contract, fair.known, fair.basis)
    tests += [*fair.tests, *told.tests]
    stressed += before_after.word_of_the_author(contract, tests)
    return job.conclude(
        tests, (development, validation, reference), psi=shifts, air=fair.air,
        tables=(*tables, *told.tables, *stressed, *between.tables, *quality.tables, *sense.tables,
                *shocks.tables, *fair.tables),
        charts=(*charts, *curves, *windows, *told.charts, *pictures, *sense.charts, *shocks.charts, *fair.charts),
        tools={**tools, **fair.tools},
    )  # fmt: skip
