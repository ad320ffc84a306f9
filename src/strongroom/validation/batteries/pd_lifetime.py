"""IFRS 9 in the PD battery: lifetime curves by cohort, stages before default, scenarios. Each needs its column."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import UnsetType

from strongroom.registry.contract import bound
from strongroom.validation.batteries.pd_portfolio import Columns, Sample
from strongroom.validation.catalogue import answer
from strongroom.validation.policy import ValidationPolicy
from strongroom.validation.results import Chart, Column, NotEvaluable, Series, Table, TestResult, decimal
from strongroom.validation.statistics import calibration, lifetime

PERIODS = 1200
"""A hundred years of months: a later period is an error of the data."""


def lifetime_tests(
    validation: Sample, columns: Columns, policy: ValidationPolicy
) -> tuple[list[TestResult], list[Table], list[Chart]]:
    """The three tests, the table of cohorts and the curve of all of them together.

    Args:
        validation: for lifetime curves, one row for each person and period at risk.
        columns: further columns of it.
        policy: has the scenarios.
    """
    found, tables, charts = _curves(validation, columns)
    return [found, _stages(validation, columns), _scenarios(validation, policy)], tables, charts


def _curves(validation: Sample, columns: Columns) -> tuple[TestResult, list[Table], list[Chart]]:
    rule, basis = "lifetime.cumulative", validation.basis
    period = columns.complete("period", low=1, high=PERIODS, whole=True)
    if isinstance(period, NotEvaluable):
        return answer(rule, period, "", basis), [], []
    cohort = columns.complete("cohort", low=-1e9, high=1e9, whole=True) if "cohort" in columns.names else period * 0.0
    if isinstance(cohort, NotEvaluable):
        return answer(rule, cohort, "", basis), [], []
    by_cohort: list[tuple[int, tuple[lifetime.Horizon, ...]]] = []
    left_out = 0
    for name in np.unique(cohort):
        at = cohort == name
        curve = lifetime.curve(period[at], validation.outcome[at], validation.pd[at])
        if isinstance(curve, NotEvaluable):
            left_out += 1
        else:
            by_cohort.append((int(name), curve))
    told = [(name, h, h.p_value) for name, curve in by_cohort for h in curve if h.p_value is not None]
    if not told:
        return answer(rule, NotEvaluable("no cohort has a horizon that could be tested"), "", basis), [], []
    adjusted = calibration.holm([p for *_, p in told])
    worst = min(range(len(told)), key=lambda i: (adjusted[i], i))
    name, horizon, raw = told[worst]
    sentence = (
        f"Up to period {horizon.period}, {horizon.observed:.2%} of cohort {name} defaulted and {horizon.predicted:.2%} "
        f"were expected; it is the worst of {len(told)} horizons over {len(by_cohort)} cohorts."
    )
    details = [("cohort", name), ("period", horizon.period), ("unadjusted p", raw), ("cohorts left out", left_out)]
    result = answer(rule, adjusted[worst], sentence, basis, details=details)
    pooled = lifetime.curve(period, validation.outcome, validation.pd)
    return result, [_table(by_cohort)], [] if isinstance(pooled, NotEvaluable) else [_chart(pooled)]


def _stages(validation: Sample, columns: Columns) -> TestResult:
    rule, basis = "lifetime.sicr", validation.basis
    stage = columns.complete("stage", low=1, high=2, whole=True)
    if isinstance(stage, NotEvaluable):
        return answer(rule, stage, "", basis)
    two, bad = stage == 2.0, validation.outcome == 1
    counts = (int((bad & two).sum()), int((bad & ~two).sum()), int((~bad & two).sum()), int((~bad & ~two).sum()))
    found = lifetime.staging(*counts)
    if isinstance(found, NotEvaluable):
        return answer(rule, found, "", basis)
    shares = (
        ("share of stage 1 that defaulted", found.jump_to_default),
        ("share of stage 2 that defaulted", found.precision),
        ("share of others in stage 2", found.false_alarm),
    )
    details = [(name, share) for name, share in shares if not isinstance(share, NotEvaluable)]
    sentence = f"Of {counts[0] + counts[1]:,} defaults, {counts[0]:,} were in stage 2 before."
    return answer(rule, found.hit_rate, sentence, basis, details=details)


def _scenarios(validation: Sample, policy: ValidationPolicy) -> TestResult:
    rule, basis, correlation = "lifetime.nonlinearity", validation.basis, policy.correlation
    if isinstance(policy.scenarios, UnsetType):
        return answer(rule, NotEvaluable("the policy names no scenarios"), "", basis)
    if correlation is None:
        return answer(rule, NotEvaluable("the policy sets no asset correlation"), "", basis)
    states = [bound(scenario.state) or 0.0 for scenario in policy.scenarios]
    weights = [bound(scenario.weight) or 0.0 for scenario in policy.scenarios]
    found = lifetime.nonlinearity(float(validation.pd.mean()), correlation, states, weights)
    if isinstance(found, NotEvaluable):
        return answer(rule, found, "", basis)
    if found.at_mean == 0.0:
        return answer(rule, NotEvaluable("the PD of the mean scenario is 0"), "", basis)
    details = [(f"PD in state {state:g}", pd) for state, pd in zip(states, found.by_scenario, strict=True)]
    sentence = (
        f"Weighted over {len(states)} scenarios the mean PD is {found.weighted:.2%}; in the mean scenario alone it "
        f"would be {found.at_mean:.2%}."
    )
    return answer(
        rule, found.ratio, sentence, basis,
        details=[("weighted PD", found.weighted), ("PD in the mean state", found.at_mean), *details],
    )  # fmt: skip


def _table(by_cohort: Sequence[tuple[int, tuple[lifetime.Horizon, ...]]]) -> Table:
    heads = (
        ("Cohort", "text"), ("Periods", "count"), ("People", "count"), ("Defaults", "count"), ("Observed", "share"),
        ("Expected", "share"), ("Jeffreys p", "p-value"),
    )  # fmt: skip
    return Table(
        section="lifetime",
        title="Cohorts at the end of what was observed",
        caption="Observed is the product-limit estimate, with those who left at risk until then; p is not adjusted.",
        columns=tuple(Column(name=name, unit=unit) for name, unit in heads),
        rows=tuple(
            (
                str(name), str(curve[-1].period), str(curve[0].at_risk), str(sum(h.defaults for h in curve)),
                decimal(curve[-1].observed), decimal(curve[-1].predicted),
                None if curve[-1].p_value is None else decimal(curve[-1].p_value),
            )
            for name, curve in by_cohort
        ),
    )  # fmt: skip


def _chart(curve: Sequence[lifetime.Horizon]) -> Chart:
    def line(name: str) -> tuple[tuple[str, str], ...]:
        return tuple((decimal(h.period), decimal(getattr(h, name))) for h in curve)

    return Chart(
        section="lifetime",
        title="Cumulative default",
        words="Share defaulted up to each period of life over all cohorts: observed (points) and expected (line).",
        x="period of life", y="share defaulted", percent="y",
        series=(
            Series(name="expected", form="line", style="curve", points=line("predicted")),
            Series(name="observed", form="points", style="rate", points=line("observed")),
        ),
    )  # fmt: skip
