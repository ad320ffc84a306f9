"""Leaks of time in samples of loans: inputs and outcomes in the wrong order, a development sample that is not older.

The columns are optional: many samples were drawn before anybody asked. Where they are not there, the tests say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from strongroom.registry.contract import ModelContract
from strongroom.validation.batteries.scored import Scored
from strongroom.validation.catalogue import answer
from strongroom.validation.results import NotEvaluable, TestResult
from strongroom.validation.statistics import detection, moments

ORDER: Final = "data.time-order"
LEAKS: Final = "data.time-leaks"
WORDS: Final = {
    "time": "time of observation", "outcome_time": "time of the outcome", "inputs_time": "time of the newest input"
}  # fmt: skip


def time_tests(development: Scored, reference: Scored, validation: Scored, contract: ModelContract) -> list[TestResult]:
    """Is the development sample older than the validation sample, and did any row know its outcome?

    Args:
        development, reference, validation: with the columns `time`, `outcome_time` and `inputs_time`, or without.
        contract: names the columns.
    """
    return [
        _order_test(development, validation, contract),
        *_leak_tests((development, reference, validation), contract),
    ]


def _order_test(development: Scored, validation: Scored, contract: ModelContract) -> TestResult:
    basis = validation.basis
    both = [_column(sample, "time", contract) for sample in (development, validation)]
    for sample, times in zip((development, validation), both, strict=True):
        if isinstance(times, NotEvaluable):
            return answer(ORDER, times, "", basis)
        if gaps := int((~np.isfinite(times)).sum()):
            words = f"the {sample.basis.role} sample has no {WORDS['time']} in {gaps:,} rows"
            return answer(ORDER, NotEvaluable(words), "", basis)
    old, new = (times for times in both if not isinstance(times, NotEvaluable))
    late = detection.late(old, new)
    sentence = (
        f"{late:,} of {old.size:,} development rows were observed at or after the first validation row: the validation "
        "sample is not out of time."
        if late
        else "Every development row was observed before every validation row."
    )
    return answer(ORDER, late, sentence, basis)


def _leak_tests(samples: Sequence[Scored], contract: ModelContract) -> list[TestResult]:
    named = contract.sample_columns
    basis = samples[-1].basis
    if "time" not in named:
        return [answer(LEAKS, _unnamed("time"), "", basis)]
    if not {"outcome_time", "inputs_time"} & set(named):
        return [answer(LEAKS, _unnamed("outcome_time"), "", basis)]
    return [_leak_test(sample, contract) for sample in samples]


def _leak_test(sample: Scored, contract: ModelContract) -> TestResult:
    basis, role = sample.basis, sample.basis.role
    observed = _column(sample, "time", contract)
    if isinstance(observed, NotEvaluable):
        return answer(LEAKS, observed, "", basis, suffix=role)
    missing = np.full(basis.rows, np.nan)
    came, known = (sample.columns.get(name, missing) for name in ("outcome_time", "inputs_time"))
    found = moments.leaks(observed, came, known)
    if not found.compared:
        words = f"no row of the {role} sample has a {WORDS['time']} beside that of its outcome or newest input"
        return answer(LEAKS, NotEvaluable(words), "", basis, suffix=role)
    sentence = (
        f"{found.outcomes:,} rows of the {role} sample have an outcome that came by the time of observation, and "
        f"{found.inputs:,} an input that is newer than it."
        if found.either
        else f"In {found.compared:,} rows of the {role} sample, inputs, observation and outcome came in this order."
    )
    details: list[tuple[str, float | int | str]] = [
        ("outcomes that came too early", found.outcomes), ("inputs that are too new", found.inputs),
        ("rows compared", found.compared), ("rows without a time to compare", basis.rows - found.compared),
    ]  # fmt: skip
    if contract.kind == "pd" and "outcome_time" in sample.columns:
        undated = int(((sample.outcome == 1) & ~np.isfinite(came)).sum())
        details.append(("defaults without a time", undated))
    return answer(LEAKS, found.either, sentence, basis, suffix=role, details=details)


def _column(sample: Scored, what: str, contract: ModelContract) -> npt.NDArray[np.float64] | NotEvaluable:
    if what not in contract.sample_columns:
        return _unnamed(what)
    found = sample.columns.get(what)
    name = contract.sample_columns[what]
    words = f"the {sample.basis.role} sample has no column `{name}` with the {WORDS[what]}"
    return NotEvaluable(words) if found is None else found


def _unnamed(what: str) -> NotEvaluable:
    return NotEvaluable(f"the contract names no column with the {WORDS[what]}; name it as `{what}` in [outcome]")
