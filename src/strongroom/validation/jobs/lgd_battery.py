"""A sandbox job: the battery for a model of losses given default (LGD, ELBE, LGD in default).

Inputs and output as in `pd_battery`; the samples have the columns that `[outcome]` of the contract names, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import UNSET

from strongroom.validation.batteries import (
    between_samples,
    conceptual,
    equity_battery,
    estimates,
    every_kind,
    reasons,
    stress_scenarios,
    time_in_default,
    time_order,
)
from strongroom.validation.batteries.examination import Examination


def run(inputs: Mapping[str, bytes], parameters: dict[str, Any]) -> dict[str, bytes]:
    """See the module's docstring, and `Examination.begin` for the parameters.

    Raises:
        InvalidInputError: a sample, the model or a document breaks its contract.
        EvidenceError: the policy has no battery for this kind and tier.
    """
    job = Examination.begin("lgd", inputs, parameters)
    contract, policy, level = job.contract, job.policy, job.level
    job.say("scoring development, validation and reference samples")
    development, validation, reference = (job.scored(role) for role in ("development", "validation", "reference"))
    with job.together() as begin:
        soundness = begin(
            "conceptual soundness", conceptual.soundness_tests,
            development, validation, contract, job.predict, policy.fairness.min_group,
        )  # fmt: skip
        shaken = begin(
            "stress scenarios", stress_scenarios.scenario_tests,
            validation, contract, policy, job.predict, estimates.bucket_edges(development.estimate),
        )  # fmt: skip
        looked = begin("data quality", conceptual.data_quality_tests, development, validation, contract)
        explained = begin(
            "explanations" if contract.explanation is not UNSET else None, reasons.explanation_tests,
            contract, job.model, job.predict, validation.rows, validation.scores, validation.basis,
        )  # fmt: skip
        job.say("order and height of the estimates")
        tests = estimates.order_tests(development, validation, level)
        found, tables, charts = estimates.height_tests(development, validation, contract, level)
        aged, ages = time_in_default.time_tests(validation, contract, level)
        outcome, estimate, exposure = validation.outcome, validation.estimate, validation.columns["exposure"]
        tests += found + aged + estimates.amount_tests(outcome, estimate, exposure, validation.basis)
        job.say("stability, implementation, data")
        found, shifts = every_kind.stability_tests(development, validation, contract, policy)
        tolerance = float(policy.parity_tolerance)
        tests += found + every_kind.implementation_tests(job.source(), reference, validation, contract, tolerance)
        tests += every_kind.data_tests(validation, contract) + estimates.bounds_tests(validation)
        between = between_samples.tests_between(job, development, reference, validation)
        tests += between.tests + time_order.time_tests(development, reference, validation, contract)
    quality, sense, shocks = looked.result(), soundness.result(), shaken.result()
    tests += [*quality.tests, *sense.tests, *shocks.tests]
    job.say("fairness")  # at the end: the model is asked nothing more once the protected sample is open
    fair = equity_battery.examine_estimates(job, reference, validation)
    told = explained.result().with_protected(contract, fair.known, fair.basis)
    tests += [*fair.tests, *told.tests]
    return job.conclude(
        tests, (development, validation, reference), psi=shifts,
        tables=(*tables, *ages, *told.tables, *between.tables, *quality.tables, *sense.tables,
                *shocks.tables, *fair.tables),
        charts=(*charts, *told.charts, *sense.charts, *shocks.charts), tools=dict(fair.tools),
    )  # fmt: skip
