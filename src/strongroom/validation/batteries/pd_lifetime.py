"""IFRS 9 in the PD battery: lifetime curves by cohort, stages before default, losses booked and come, scenarios.

Each needs its column.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from msgspec import UnsetType

from strongroom.registry.contract import bound
from strongroom.validation.batteries.pd_portfolio import Columns, Floats, Sample
from strongroom.validation.catalogue import answer
from strongroom.validation.policy import ValidationPolicy
from strongroom.validation.results import Chart, Column, NotEvaluable, Series, Table, TestResult, decimal
from strongroom.validation.statistics import calibration, lifetime, provisions

PERIODS = 1200
"""A hundred years of months: a later period is an error of the data."""
AMOUNT = 1e15
"""Amounts outside are an error of the data."""
Flags = npt.NDArray[np.bool_]


def lifetime_tests(
    validation: Sample, columns: Columns, policy: ValidationPolicy
) -> tuple[list[TestResult], list[Table], list[Chart]]:
    """The four tests, the tables of cohorts and of losses, and the curve of all cohorts together.

    Args:
        validation: for lifetime curves, one row for each person and period at risk.
        columns: further columns of it.
        policy: has the scenarios.
    """
    found, tables, charts = _curves(validation, columns)
    losses, groups = _losses(validation, columns, bound(policy.confidence) or 0.0)
    return [found, _stages(validation, columns), losses, _scenarios(validation, policy)], [*tables, *groups], charts


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
    if correlation is None:
        return answer(rule, NotEvaluable("the policy sets no asset correlation"), "", basis)
    if isinstance(policy.scenarios, UnsetType):
        return _every_state(validation, correlation)
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


def _every_state(validation: Sample, correlation: float) -> TestResult:
    """Without scenarios of the policy: nobody has chosen any, so every state counts by its chance."""
    rule, basis = "lifetime.nonlinearity", validation.basis
    found = lifetime.over_all_states(float(validation.pd.mean()), correlation)
    if isinstance(found, NotEvaluable):
        return answer(rule, found, "", basis)
    if found.at_mean == 0.0:
        return answer(rule, NotEvaluable("the PD of the middling state is 0"), "", basis)
    sentence = (
        f"The policy names no scenarios, so every state of the economy counts by its chance: over all of them the mean "
        f"PD is {found.weighted:.2%}; in the middling state alone it would be {found.at_mean:.2%}."
    )
    return answer(
        rule, found.ratio, sentence, basis,
        details=[
            ("weighted PD", found.weighted), ("PD in the mean state", found.at_mean),
            ("asset correlation", correlation), ("states", "all, standard normal"),
        ],
    )  # fmt: skip


def _losses(validation: Sample, columns: Columns, level: float) -> tuple[TestResult, list[Table]]:
    rule, basis = "lifetime.losses", validation.basis
    booked = columns.complete("booked_loss", low=0.0, high=AMOUNT, whole=False)
    if isinstance(booked, NotEvaluable):
        return answer(rule, booked, "", basis), []
    realised = columns.complete("realised_loss", low=-AMOUNT, high=AMOUNT, whole=False)
    if isinstance(realised, NotEvaluable):
        return answer(rule, realised, "", basis), []
    whole = provisions.backtest(booked, realised, level)
    if isinstance(whole, NotEvaluable):
        return answer(rule, whole, "", basis), []
    groups = _groups(columns, len(booked))
    if isinstance(groups, NotEvaluable):
        return answer(rule, groups, "", basis), []
    found = [(name, provisions.backtest(booked[at], realised[at], level), at) for name, at in groups]
    told = [(name, one.p_value) for name, one, _ in found if isinstance(one, provisions.Backtest)]
    tests = [(name, p) for name, p in told if not isinstance(p, NotEvaluable)]
    details: list[tuple[str, float | int | str]] = [
        ("booked", whole.booked), ("realised", whole.realised), ("exposures", whole.exposures),
        ("exposures with a loss", whole.lost),
    ]  # fmt: skip
    smallest, worst = None, ""
    if tests:
        adjusted = calibration.holm([p for _, p in tests])
        place = min(range(len(tests)), key=lambda i: (adjusted[i], i))
        smallest = adjusted[place]
        details += [("group with the smallest p", tests[place][0]), ("groups tested", len(tests))]
        worst = f"; too little is likeliest for {tests[place][0]}" if len(tests) > 1 else ""
    sentence = (
        f"Of each 1.00 of expected loss that was booked, {whole.ratio:.2f} came, from {whole.lost:,} of "
        f"{whole.exposures:,} exposures{worst}."
    )
    result = answer(rule, whole.ratio, sentence, basis, interval=whole.interval, p_value=smallest, details=details)
    return result, [_loss_table(found, realised)]


def _groups(columns: Columns, rows: int) -> list[tuple[str, Flags]] | NotEvaluable:
    """Rows by stage and cohort, as far as the contract names them; all as one where it names neither."""
    keys: list[tuple[str, Floats]] = []
    for what, low, high in (("stage", 1.0, 2.0), ("cohort", -1e9, 1e9)):
        if what in columns.names:
            found = columns.complete(what, low=low, high=high, whole=True)
            if isinstance(found, NotEvaluable):
                return found
            keys.append((what, found))
    if not keys:
        return [("all", np.ones(rows, np.bool_))]
    levels, cells = [], np.zeros(rows, dtype=np.int64)
    for _, values in keys:
        level, place = np.unique(values, return_inverse=True)
        cells = cells * len(level) + place
        levels.append(level)
    groups = []
    for cell in np.unique(cells):
        at = np.unravel_index(cell, [len(level) for level in levels])
        told = zip(keys, levels, at, strict=True)
        groups.append((", ".join(f"{what} {int(level[n])}" for (what, _), level, n in told), cells == cell))
    return groups


def _loss_table(found: Sequence[tuple[str, provisions.Backtest | NotEvaluable, Flags]], realised: Floats) -> Table:
    heads = (
        ("Group", "text"), ("Exposures", "count"), ("With a loss", "count"), ("Booked", "amount"),
        ("Realised", "amount"), ("Ratio", "ratio"), ("Lower", "ratio"), ("Upper", "ratio"), ("p", "p-value"),
    )  # fmt: skip

    def row(name: str, one: provisions.Backtest | NotEvaluable, at: Flags) -> tuple[str | None, ...]:
        if isinstance(one, NotEvaluable):
            lost = int((realised[at] != 0.0).sum())
            return name, str(lost), str(lost), decimal(0.0), decimal(float(realised[at].sum())), None, None, None, None
        low, high = (None, None) if isinstance(one.interval, NotEvaluable) else map(decimal, one.interval)
        p = None if isinstance(one.p_value, NotEvaluable) else decimal(one.p_value)
        return (
            name, str(one.exposures), str(one.lost), decimal(one.booked), decimal(one.realised), decimal(one.ratio),
            low, high, p,
        )  # fmt: skip

    return Table(
        section="lifetime",
        title="Expected losses booked, and losses that came",
        caption="Realised over booked, with Fieller's interval; p is one-sided, small where too little was booked, and "
        "not adjusted.",
        columns=tuple(Column(name=name, unit=unit) for name, unit in heads),
        rows=tuple(row(*one) for one in found),
    )


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
