"""A sandbox job: the battery for a forecast.

Inputs: as `pd_battery`, without protected attributes; the samples also have the column `origin`, the number of the last
period that was known. The validation sample has one row for each origin, horizon and quantile.
Output: `results.json` (BatteryResults, canonical).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from strongroom.validation.batteries import (
    between_samples,
    conceptual,
    every_kind,
    forecast,
    forecast_pages,
    forecast_soundness,
)
from strongroom.validation.batteries.examination import Examination


def run(inputs: Mapping[str, bytes], parameters: dict[str, Any]) -> dict[str, bytes]:
    """See the module's docstring, and `Examination.begin` for the parameters.

    Raises:
        InvalidInputError: a sample, the model or a document breaks its contract.
        EvidenceError: the policy has no battery for this kind and tier.
    """
    job = Examination.begin("forecast", inputs, parameters)
    contract, policy = job.contract, job.policy
    job.say("scoring development, validation and reference samples")
    development, validation, reference = (job.scored(role) for role in ("development", "validation", "reference"))
    source = job.source()
    job.say("back-test over rolling origins")
    known = forecast.known_series(
        {"development": development, "reference": reference, "validation": validation}, contract
    )
    found = forecast.backtest(validation, known, contract)
    tests = forecast.accuracy_tests(found, known, contract)
    tests += forecast.coverage_tests(found)
    job.say("stability, implementation, data")
    moved, shifts = every_kind.stability_tests(development, validation, contract, policy)
    tests += moved
    tests += forecast.implementation_tests(source, reference, validation, contract, float(policy.parity_tolerance))
    tests += every_kind.data_tests(validation, contract)
    between = between_samples.tests_between(job, development, reference, validation)
    tests += between.tests
    tests += forecast.data_tests(development, found, contract)
    quality = conceptual.data_quality_tests(development, validation, contract)
    job.say("conceptual soundness")
    sense = forecast_soundness.soundness_tests(found, known, validation, contract, job.predict)
    # a level follows the series in every sound forecast, so no feature is suspected for ordering the outcome
    tests += [test for test in quality.tests if test.rule != "data.lone-strength"]
    tests += sense.tests
    return job.conclude(
        tests,
        (development, validation, reference),
        psi=shifts,
        tables=(forecast_pages.by_horizon(found, contract), *between.tables, *quality.tables, *sense.tables),
        charts=(*forecast_pages.charts(found, known, contract), *sense.charts),
    )
