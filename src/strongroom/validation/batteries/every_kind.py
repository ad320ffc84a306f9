"""Tests that a model of any kind has: has the population moved, is the artifact the model, does the sample fit?"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from strongroom.registry.contract import ModelContract, bound
from strongroom.registry.kinds import CONTRACTS
from strongroom.validation.batteries.scored import Scored
from strongroom.validation.catalogue import answer
from strongroom.validation.policy import ValidationPolicy
from strongroom.validation.results import NotEvaluable, PsiRow, TestResult, decimal
from strongroom.validation.statistics.bins import Floor, count_bins, quantile_edges, weigh_bins
from strongroom.validation.statistics.parity import parity
from strongroom.validation.statistics.stability import psi
from strongroom.validation.statistics.tables import outside
from strongroom.validation.statistics.weights import levelled


def stability_tests(
    development: Scored, validation: Scored, contract: ModelContract, policy: ValidationPolicy
) -> tuple[list[TestResult], tuple[PsiRow, ...]]:
    """Shift of the score and of each feature from development to validation."""
    floor, basis = Floor.parse(policy.psi_floor), validation.basis
    weights = development.columns.get("weight"), validation.columns.get("weight")
    rows: list[PsiRow] = []

    def shift(name: str, old: npt.NDArray[np.float64], new: npt.NDArray[np.float64]) -> float | NotEvaluable:
        expected, actual = binned(old, new, policy.psi_bins, weights)
        found = psi(expected, actual, floor)
        if isinstance(found, NotEvaluable):
            return found
        rows.append(
            PsiRow(
                name=name, psi=decimal(found.value), sampling_point=decimal(found.sampling_point), bins=len(expected)
            )
        )
        return found.value

    old, new = (s.pd if contract.kind == "pd" else s.estimate for s in (development, validation))
    score = shift(contract.output.name, old, new)
    floors: list[tuple[str, float | int | str]] = [("empty bins", policy.psi_floor), ("bins", policy.psi_bins)]
    sentence = "How far the distribution of scores moved from the development to the validation sample."
    found = [answer("stability.psi-score", score, sentence, basis, details=floors)]
    columns = {
        f.name: (development.rows[:, i].astype(np.float64), validation.rows[:, i].astype(np.float64))
        for i, f in enumerate(contract.input.features)
    }
    shifts = {
        name: value for name, pair in columns.items() if not isinstance(value := shift(name, *pair), NotEvaluable)
    }
    if not shifts:
        return [*found, answer("stability.psi-features", NotEvaluable("no feature has two bins"), "", basis)], tuple(
            rows
        )
    worst = max(shifts, key=lambda name: shifts[name])
    sentence = f"Of {len(shifts)} features, {worst} moved most."
    return [
        *found,
        answer("stability.psi-features", shifts[worst], sentence, basis, details=[("feature", worst), *floors]),
    ], tuple(rows)


def binned(
    old: npt.NDArray[np.float64], new: npt.NDArray[np.float64], bins: int,
    weights: tuple[npt.NDArray[np.float64] | None, npt.NDArray[np.float64] | None],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:  # fmt: skip
    """Two samples of a feature in quantile bins of the older one, by weight; missing values are a bin of their own."""
    edges = quantile_edges(old, bins, weights[0])
    (expected, gone), (actual, lost) = (
        count_bins(values, edges) if weight is None else weigh_bins(values, edges, levelled(weight))
        for values, weight in zip((old, new), weights, strict=True)
    )
    if gone or lost:
        expected, actual = np.append(expected, gone), np.append(actual, lost)
    return expected.astype(np.float64), actual.astype(np.float64)


def implementation_tests(
    source: npt.NDArray[np.float64], reference: Scored, validation: Scored, contract: ModelContract, tolerance: float
) -> list[TestResult]:
    """Parity with the source model, and answers outside the output contract."""
    cuts = [bound(c.below) or 0.0 for c in contract.cut_offs[:-1]]
    rules = ["parity", "flips"] if CONTRACTS[contract.kind].decides else ["parity"]
    basis = reference.basis
    same = parity(source, reference.scores, tolerance, cuts)
    found = []
    if isinstance(same, NotEvaluable):
        found = [answer(f"implementation.{name}", same, "", basis) for name in rules]
    else:
        sentence = (
            f"The ONNX file and the source model differ by at most {same.largest:.2e} on {same.n:,} rows; "
            f"{same.beyond:.2%} of them by more than {tolerance:g}."
        )
        details = [("share beyond tolerance", same.beyond), ("tolerance", tolerance)]
        found = [answer("implementation.parity", same.largest, sentence, basis, details=details)]
    if not isinstance(same, NotEvaluable) and "flips" in rules:
        sentence = (
            f"Conversion changed {same.flips} decisions out of {same.n:,}."
            if same.flips
            else f"Conversion changed none of {same.n:,} decisions."
        )
        near = [("rows within tolerance of a cut-off", same.near)]
        found.append(answer("implementation.flips", same.flips, sentence, basis, details=near))
    low, high = bound(contract.output.minimum), bound(contract.output.maximum)
    answers = validation.scores.astype(np.float64)
    least = -math.inf if low is None else low
    good = np.isfinite(answers) & (answers >= least) & (answers <= (math.inf if high is None else high))
    sentence = (
        "Every answer is finite and within the contract."
        if good.all()
        else f"{int((~good).sum()):,} answers would be refused by the gateway."
    )
    return [*found, answer("implementation.bounds", int((~good).sum()), sentence, validation.basis)]


def data_tests(validation: Scored, contract: ModelContract) -> list[TestResult]:
    """Does the sample fit the contract?"""
    basis = validation.basis
    refused = float(np.average(outside(validation.rows, contract.input), weights=validation.columns.get("weight")))
    sentence = f"The gateway would refuse {refused:.2%} of the validation sample."
    return [answer("data.contract", refused, sentence, basis)]
