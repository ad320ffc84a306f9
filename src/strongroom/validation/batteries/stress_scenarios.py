"""Named stress scenarios of the contract, at the policy's severities: what the model then says, and of whom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from strongroom.registry.contract import ModelContract, bound
from strongroom.validation.batteries import traffic
from strongroom.validation.batteries.conceptual import SHOWN, Found
from strongroom.validation.batteries.scored import Scored
from strongroom.validation.catalogue import Basis, answer
from strongroom.validation.policy import ValidationPolicy
from strongroom.validation.results import Chart, Column, NotEvaluable, Series, Table, TestResult, decimal
from strongroom.validation.statistics.shocks import Step, falls, shocked, steps
from strongroom.validation.statistics.soundness import Predict, some

RULE: Final = "sensitivity.scenarios"
ORDER: Final = "sensitivity.scenario-order"
ROWS: Final = 5000
"""Rows that are asked about at most: a share of them is right to 0.7 points."""
CLASSES: Final = {"pd": "worse grade", "lgd": "higher bucket", "ead": "higher bucket"}

SHARES: Final = ("pd", "lgd", "ead")
"""Kinds whose output reads in percent."""


def scenario_tests(
    validation: Scored, contract: ModelContract, policy: ValidationPolicy, predict: Predict,
    classes: Sequence[float] = (),
) -> Found:  # fmt: skip
    """Each scenario at each severity, a table and a picture of all, and whether worse is answered by more.

    Args:
        validation: the sample.
        contract: names and sizes the shocks.
        policy: has the severities, and the names that a contract must size.
        predict: scores of rows, float32, shape [rows].
        classes: inner edges of the rating grades, or of the buckets of estimates.
    """
    asked, terms, named = validation.at(traffic.even(validation)), policy.stress_terms, contract.stress_scenarios
    rows = some(asked.rows, ROWS)
    basis = Basis(asked.basis.role, asked.basis.sha256, len(rows))
    lacking = [name for name in terms.asked if name not in named]
    tests = [
        answer(RULE, NotEvaluable("the policy asks for this scenario, and the contract does not size it in [stress]"),
               "", basis, suffix=name)
        for name in lacking
    ]  # fmt: skip
    if not named:
        missing = NotEvaluable("the contract names no stress scenarios; name and size them in [stress]")
        return Found([*(tests or [answer(RULE, missing, "", basis)]), answer(ORDER, missing, "", basis)], ())
    cuts = [cut for cut in (bound(one.below) for one in contract.cut_offs) if cut is not None]
    # a score equal to a cut-off is not below it, so the line lies just under the cut-off
    lines = {"higher decision": [float(np.nextafter(cut, -np.inf)) for cut in cuts]} if cuts else {}
    if len(classes) and contract.kind in CLASSES:
        lines[CLASSES[contract.kind]] = list(classes)
    severities = [0.0, *terms.levels]
    now = predict(rows).astype(np.float64)
    made: dict[str, tuple[Step, ...]] = {}
    for name, scenario in named.items():
        moved = [shocked(rows, contract.input, scenario.shocks, severity) for severity in terms.levels]
        answers = [now, *(predict(part).astype(np.float64) for part, _ in moved)]
        found = steps(answers, severities, [0.0, *(held for _, held in moved)], list(lines.values()))
        if isinstance(found, NotEvaluable):
            tests.append(answer(RULE, found, "", basis, suffix=name))
            continue
        made[name] = found
        tests.append(_scenario(name, found, tuple(lines), contract, basis))
    if not made:
        reason = NotEvaluable("no scenario has an answer")
        return Found([*tests, answer(ORDER, reason, "", basis)], ())
    charts = tuple(_chart(name, found, contract) for name, found in list(made.items())[:SHOWN])
    return Found([*tests, _order(made, basis)], (_table(made, tuple(lines), contract),), charts)


def _scenario(
    name: str, made: tuple[Step, ...], lines: tuple[str, ...], contract: ModelContract, basis: Basis
) -> TestResult:
    now, then = made[0], next(step for step in made if step.severity == 1.0)
    scenario = contract.stress_scenarios[name]
    units = {feature.name: feature.unit for feature in contract.input.features}
    crossed = [f"{share:.1%} of the rows get a {what}" for what, share in zip(lines, then.crossed, strict=True)]
    sentence = (
        f"{scenario.means.strip().rstrip('.')}: the mean moves from {now.mean:.4g} to {then.mean:.4g}"
        f"{''.join(f', {words}' for words in crossed)}."
    )
    details: list[tuple[str, float | int | str]] = [
        *((feature, size if size.endswith("%") else f"{size} {units[feature]}")
          for feature, size in scenario.shocks.items()),
        ("mean now", now.mean), ("mean then", then.mean),
        *((f"share with a {what}", share) for what, share in zip(lines, then.crossed, strict=True)),
        ("share of values that a bound held", then.held),
    ]  # fmt: skip
    return answer(RULE, then.mean - now.mean, sentence, basis, suffix=name, details=details)


def _order(made: dict[str, tuple[Step, ...]], basis: Basis) -> TestResult:
    found = {name: falls(found) for name, found in made.items()}
    count, worst = sum(found.values()), max(found, key=lambda name: found[name])
    rows = max(step.fell for found in made.values() for step in found)
    sentence = (
        f"In {count} steps the mean falls although the scenario gets worse, first of all in `{worst}`."
        if count
        else f"In each of {len(made)} scenarios the mean never falls as the scenario gets worse."
    )
    details = [("largest share of rows whose own score falls", rows)]
    return answer(ORDER, count, sentence, basis, details=details)


def _table(made: dict[str, tuple[Step, ...]], lines: tuple[str, ...], contract: ModelContract) -> Table:
    unit = "share" if contract.kind in SHARES else "score"
    heads = (
        ("scenario", "text"), ("severity", "text"), ("mean", unit), ("change", unit),
        *((f"with a {what}", "share") for what in lines), ("held by a bound", "share"),
    )  # fmt: skip
    rows = tuple(
        (name, f"{step.severity:g}", decimal(step.mean), decimal(step.mean - found[0].mean),
         *map(decimal, step.crossed), decimal(step.held))
        for name, found in made.items() for step in found
    )  # fmt: skip
    return Table(
        section="sensitivity", title="Stress scenarios",
        caption="The shocks that the contract names, at multiples of their sizes; severity 0 is the sample as it is.",
        columns=tuple(Column(name=head, unit=of) for head, of in heads), rows=rows,
    )  # fmt: skip


def _chart(name: str, made: tuple[Step, ...], contract: ModelContract) -> Chart:
    now, last = made[0], made[-1]
    points = tuple((decimal(step.severity), decimal(step.mean)) for step in made)
    level = tuple((decimal(step.severity), decimal(now.mean)) for step in (now, last))
    means = contract.stress_scenarios[name].means.strip().rstrip(".")
    return Chart(
        section="sensitivity", title=f"Stress: {name}",
        words=f"{means}: the mean goes from {now.mean:.3g} to {last.mean:.3g} at {last.severity:g} times the sizes.",
        x="severity (1: as the contract sizes it)", y=f"mean {contract.output.name}",
        percent="y" if contract.kind in SHARES else "",
        series=(
            Series(name="under stress", form="line", style="curve", points=points),
            Series(name="as it is", form="line", style="chance", points=level),
        ),
    )  # fmt: skip
