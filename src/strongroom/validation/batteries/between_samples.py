"""What the three samples have in common, and how far they lie apart: rows, people, distributions.

The reference sample sets thresholds, explains and is what live data is compared with; none of that is independent of
training where the development sample's rows stand in it. So every pair is looked at, and not only the validator's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
import numpy.typing as npt

from strongroom.registry.contract import ModelContract
from strongroom.validation.batteries.every_kind import binned
from strongroom.validation.batteries.examination import NO_SUBJECT, Examination
from strongroom.validation.batteries.scored import Scored
from strongroom.validation.catalogue import Basis, answer
from strongroom.validation.policy import ValidationPolicy
from strongroom.validation.results import Column, NotEvaluable, Table, TestResult, decimal
from strongroom.validation.statistics.bins import Floor
from strongroom.validation.statistics.stability import psi

LISTED: Final = 15
"""Features of the table, those that moved most."""


@dataclass(frozen=True, slots=True)
class Between:
    """Tests and tables of the report's section on data."""

    tests: list[TestResult]
    tables: tuple[Table, ...]


def tests_between(job: Examination, development: Scored, reference: Scored, validation: Scored) -> Between:
    """Overlap of rows and of people, and drift, for each pair of samples; the older one first."""
    samples = (development, reference, validation)
    subjects = {sample.basis.role: job.subjects(sample.basis.role) for sample in samples}
    tests = [*overlap_tests(*samples), *subject_tests(subjects, [sample.basis for sample in samples])]
    drifts, tables = drift_tests(*samples, job.contract, job.policy)
    return Between([*tests, *drifts], tables)


def overlap_tests(development: Scored, reference: Scored, validation: Scored) -> list[TestResult]:
    """Share of each later sample's rows that stand in an earlier one, features and outcome alike."""
    lines = {sample.basis.role: _lines(sample) for sample in (development, reference, validation)}
    found = []
    for old, new in combinations((development, reference, validation), 2):
        known = set(lines[old.basis.role])
        seen = sum(line in known for line in lines[new.basis.role]) / max(new.basis.rows, 1)
        sentence = f"{seen:.2%} of the {new.basis.role} rows stand in the {old.basis.role} sample too."
        found.append(answer("data.overlap", seen, sentence, new.basis, suffix=_pair(old.basis, new.basis)))
    return found


def subject_tests(subjects: Mapping[str, list[str | None] | NotEvaluable], order: list[Basis]) -> list[TestResult]:
    """Share of each later sample's rows that are about somebody whom an earlier one knows.

    Args:
        subjects: of each row, by the role of the sample; None where a row names nobody.
        order: the samples, oldest first.
    """
    rule = "data.subjects"
    if all(subjects[basis.role] is NO_SUBJECT for basis in order):
        return [answer(rule, NO_SUBJECT, "", order[-1])]
    found = []
    for old, new in combinations(order, 2):
        before, now = subjects[old.role], subjects[new.role]
        missing = next((one for one in (before, now) if isinstance(one, NotEvaluable)), None)
        if isinstance(before, NotEvaluable) or isinstance(now, NotEvaluable):
            found.append(answer(rule, missing or NO_SUBJECT, "", new, suffix=_pair(old, new)))
            continue
        known, named = set(before) - {None}, [one for one in now if one is not None]
        if not named or not known:
            who = new.role if not named else old.role
            found.append(
                answer(rule, NotEvaluable(f"no row of the {who} sample names anybody"), "", new, suffix=_pair(old, new))
            )
            continue
        seen = sum(one in known for one in named) / len(named)
        sentence = f"{seen:.2%} of the {new.role} rows are about somebody whom the {old.role} sample knows."
        details = [("rows that name nobody", len(now) - len(named))]
        found.append(answer(rule, seen, sentence, new, suffix=_pair(old, new), details=details))
    return found


def drift_tests(
    development: Scored, reference: Scored, validation: Scored, contract: ModelContract, policy: ValidationPolicy
) -> tuple[list[TestResult], tuple[Table, ...]]:
    """Population stability of score and features between development and reference, and reference and validation.

    From development to validation it is judged by `stability.psi-score` and `stability.psi-features`; the table shows
    all three.
    """
    samples, floor = (development, reference, validation), Floor.parse(policy.psi_floor)
    pairs = list(combinations(samples, 2))
    names = [contract.output.name, *(feature.name for feature in contract.input.features)]
    moved: dict[str, list[float | None]] = {}
    for place, name in enumerate(names):
        shifts = []
        for old, new in pairs:
            before, now = (_values(sample, place, contract) for sample in (old, new))
            weights = old.columns.get("weight"), new.columns.get("weight")
            shift = psi(*binned(before, now, policy.psi_bins, weights), floor)
            shifts.append(None if isinstance(shift, NotEvaluable) else shift.value)
        moved[name] = shifts
    tests = []
    for which, (old, new) in enumerate(pairs):
        if (old, new) == (development, validation):
            continue
        told = {name: value for name, shifts in moved.items() if (value := shifts[which]) is not None}
        suffix = _pair(old.basis, new.basis)
        if not told:
            reason = NotEvaluable("neither score nor feature has two bins")
            tests.append(answer("data.drift", reason, "", new.basis, suffix=suffix))
            continue
        worst = max(told, key=lambda name: told[name])
        sentence = f"From the {old.basis.role} to the {new.basis.role} sample {worst} moved most."
        details: list[tuple[str, float | int | str]] = [
            ("moved most", worst), ("empty bins", policy.psi_floor), ("bins", policy.psi_bins),
        ]  # fmt: skip
        tests.append(answer("data.drift", told[worst], sentence, new.basis, suffix=suffix, details=details))
    return tests, (_drift_table(moved, [_pair(old.basis, new.basis) for old, new in pairs]),)


def _drift_table(moved: Mapping[str, list[float | None]], pairs: list[str]) -> Table:
    score, *features = moved
    features.sort(key=lambda name: (-max((value or 0.0 for value in moved[name]), default=0.0), name))
    return Table(
        section="data", title="Drift between the samples",
        caption="Population stability index of the score, and of the features that moved most, in quantile bins of the "
        "earlier sample; missing values are a bin of their own.",
        columns=(Column(name="score or feature", unit="text"), *(Column(name=pair, unit="PSI") for pair in pairs)),
        rows=tuple(
            (name, *(None if value is None else decimal(value) for value in moved[name]))
            for name in (score, *features[:LISTED])
        ),
    )  # fmt: skip


def _values(sample: Scored, place: int, contract: ModelContract) -> npt.NDArray[np.float64]:
    if place == 0:
        return sample.pd if contract.kind == "pd" else sample.estimate
    return sample.rows[:, place - 1].astype(np.float64)


def _pair(old: Basis, new: Basis) -> str:
    return f"{old.role} and {new.role}"


def _lines(sample: Scored) -> list[bytes]:
    table = np.column_stack([sample.rows, sample.outcome.astype(np.float32)]) + np.float32(0.0)  # -0.0 becomes 0.0
    lines: list[bytes] = np.ascontiguousarray(table).view(f"V{table.itemsize * table.shape[1]}").ravel().tolist()
    return lines
