"""A sandbox job: the battery for a PD model.

Inputs: `model.onnx` or `model.ubj`, `contract.json`, `policy.json`, `profile.json` (of the profile job),
`development.parquet`, `reference.parquet`, `predictions.parquet`, `validation.parquet`; where the contract names
protected attributes also `protected.parquet` (of the reference sample) or `validation-protected.parquet` (of the
validation sample, preferred), row for row; of a hardened model `former.json`, and `former.onnx` or `former.ubj`.
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
    pd,
    pd_lifetime,
    pd_portfolio,
    pd_tables,
    reasons,
    robustness,
    stress_scenarios,
    time_order,
)
from strongroom.validation.batteries.examination import Examination


def run(inputs: Mapping[str, bytes], parameters: dict[str, Any]) -> dict[str, bytes]:
    """See the module's docstring, and `Examination.begin` for the parameters.

    Raises:
        InvalidInputError: a sample, the model or a document breaks its contract.
        EvidenceError: the policy has no battery for this kind and tier.
    """
    job = Examination.begin("pd", inputs, parameters)
    contract, policy, level = job.contract, job.policy, job.level
    job.say("scoring development, validation and reference samples")
    development, validation, reference = (job.scored(role) for role in ("development", "validation", "reference"))
    source = job.source()
    names = contract.sample_columns
    first, now = (pd_portfolio.Columns(s.basis.role, names, s.columns) for s in (development, validation))
    scale = pd.scale_of(policy, development)
    with job.together() as begin:
        # the longest first
        soundness = begin(
            "conceptual soundness", conceptual.soundness_tests,
            development, validation, contract, job.predict, policy.fairness.min_group,
        )  # fmt: skip
        shaken = begin(
            "stress scenarios", stress_scenarios.scenario_tests,
            validation, contract, policy, job.predict, scale.edges,
        )  # fmt: skip
        looked = begin("data quality", conceptual.data_quality_tests, development, validation, contract)
        hardness = begin(None, robustness.robustness_tests, job, development, validation)
        beside = begin(None, before_after.measured_by, job, (development, validation))
        explained = begin(
            "explanations" if contract.explanation is not UNSET else None, reasons.explanation_tests,
            contract, job.model, job.predict, validation.rows, validation.scores, validation.basis,
        )  # fmt: skip
        job.say("discrimination and calibration")
        tests = pd.discrimination_tests(development, validation, level)
        tests.append(pd.grades_test(development, validation, scale, level))
        found, grades = pd.calibration_tests(validation, scale, level, float(policy.hosmer_lemeshow_minimum))
        tests += found
        job.say("years, migration, concentration, champion")
        found, tables = pd_portfolio.portfolio_tests(
            development, validation, scale, (first, now), level=level, correlation=policy.correlation
        )
        tests += found
        found, sheets, curves = pd_lifetime.lifetime_tests(validation, now, policy)
        tests += found
        job.say("stability, implementation, data")
        found, shifts = every_kind.stability_tests(development, validation, contract, policy)
        tests += found
        tolerance = float(policy.parity_tolerance)
        tests += every_kind.implementation_tests(source, reference, validation, contract, tolerance)
        tests += every_kind.data_tests(validation, contract)
        between = between_samples.tests_between(job, development, reference, validation)
        tests += between.tests + time_order.time_tests(development, reference, validation, contract)
        tests.append(pd.defaults_test(validation))
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
        tests, (development, validation, reference),
        grades=grades, psi=shifts, air=fair.air, plots=pd_tables.plots(validation),
        tables=(*(tables or ()), *sheets, *told.tables, *stressed, *between.tables, *quality.tables, *sense.tables,
                *shocks.tables, *fair.tables),
        charts=(*curves, *told.charts, *pictures, *sense.charts, *shocks.charts, *fair.charts),
        tools={**tools, **fair.tools},
    )  # fmt: skip
