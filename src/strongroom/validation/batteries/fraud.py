"""The battery for fraud: what the alarms find, what they cost, and whether that lasts."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from msgspec import UnsetType

from strongroom.registry.contract import ModelContract, bound
from strongroom.validation.batteries import fraud_pages
from strongroom.validation.batteries.scored import Scored
from strongroom.validation.catalogue import answer
from strongroom.validation.policy import ValidationPolicy
from strongroom.validation.results import Chart, NotEvaluable, Table, TestResult
from strongroom.validation.statistics import detection, discrimination
from strongroom.validation.statistics.weights import effective_number
from strongroom.validation.study_terms import FraudTerms


def terms_of(policy: ValidationPolicy) -> FraudTerms | NotEvaluable:
    """What the policy says about costs."""
    if isinstance(policy.fraud, UnsetType):
        return NotEvaluable("the policy has no terms for fraud; it needs costs and the share of alarms")
    return policy.fraud


def threshold_of(contract: ModelContract) -> float | NotEvaluable:
    """From which score on somebody acts: the lowest cut-off."""
    first = bound(contract.cut_offs[0].below)
    return NotEvaluable("the contract has one decision only, so nothing is an alarm") if first is None else first


def steps_of(sample: Scored) -> detection.Steps | NotEvaluable:
    """Alarms of a sample at every threshold, by weight and amount."""
    return detection.steps(sample.outcome, sample.estimate, sample.columns["amount"], sample.columns.get("weight"))


def discrimination_tests(
    validation: Scored, terms: FraudTerms | NotEvaluable, level: float
) -> tuple[list[TestResult], list[Chart]]:
    """Average precision, AUC, and what is found among the alarms that people can look at."""
    basis, table = validation.basis, steps_of(validation)
    area = detection.average_precision(validation.outcome, validation.estimate, validation.columns.get("weight"))
    found, charts = [], []
    rule = "discrimination.average-precision"
    if isinstance(area, NotEvaluable) or isinstance(table, NotEvaluable):
        missing = area if isinstance(area, NotEvaluable) else NotEvaluable("the sample holds one outcome class")
        rules = (rule, "discrimination.auc", "discrimination.precision-at-k", "discrimination.value-at-k")
        return [answer(name, missing, "", basis) for name in rules], []
    sentence = (
        f"Down the list of alarms, {area.value:.1%} are frauds on average over all frauds; a random order would give "
        f"{area.rate:.2%}."
    )
    details = [("frauds", area.frauds), ("others", area.others), ("rate by weight", area.rate)]
    found.append(answer(rule, area.value, sentence, basis, interval=area.interval(level), details=details))
    charts.append(fraud_pages.precision_recall(table, area))
    ranks = discrimination.auc(validation.outcome, validation.estimate, validation.columns.get("weight"))
    if isinstance(ranks, NotEvaluable):
        found.append(answer("discrimination.auc", ranks, "", basis))
    else:
        sentence = f"A fraud scores above a genuine transaction {ranks.auc:.1%} of the time, which rare events flatter."
        found.append(answer("discrimination.auc", ranks.auc, sentence, basis, interval=ranks.interval(level)))
        charts.append(fraud_pages.roc(table, ranks.auc))
    charts.append(fraud_pages.histogram(validation))
    return found + _at_k(validation, table, terms), charts


def cost_tests(
    reference: Scored, validation: Scored, contract: ModelContract, terms: FraudTerms | NotEvaluable
) -> tuple[list[TestResult], list[Chart]]:
    """Cost at the contract's threshold, against none and against the one of least cost on the reference sample."""
    basis, rules = validation.basis, ("cost.saving", "cost.threshold")
    threshold, before, after = threshold_of(contract), steps_of(reference), steps_of(validation)
    if isinstance(terms, NotEvaluable) or isinstance(threshold, NotEvaluable):
        return [answer(rule, _first(terms, threshold), "", basis) for rule in rules], []
    if isinstance(before, NotEvaluable) or isinstance(after, NotEvaluable):
        return [answer(rule, _first(after, before), "", basis) for rule in rules], []
    price = bound(terms.false_alarm) or 0.0
    chosen, now = detection.costs(before, price), detection.costs(after, price)
    without = min(now.none, now.all)
    if without <= 0.0:
        return [answer(rule, NotEvaluable("without a model nothing is lost"), "", basis) for rule in rules], []
    cost, cheapest = now.at(threshold), now.at(chosen.best)
    details: list[tuple[str, float | int | str]] = [
        ("cost of a false alarm", terms.false_alarm), ("cost", cost), ("cost without alarms", now.none),
        ("cost with an alarm on every row", now.all), ("threshold", threshold),
    ]  # fmt: skip
    sentence = (
        f"At the contract's threshold of {threshold:g}, false alarms and missed frauds cost {cost:,.0f}; without the "
        f"model they would cost {without:,.0f}."
    )
    found = [answer("cost.saving", 1.0 - cost / without, sentence, basis, details=details)]
    where = f"{chosen.best:.4g}" if math.isfinite(chosen.best) else "none at all (no alarm)"
    sentence = (
        f"On the reference sample the threshold of least cost is {where}; here it would cost {cheapest:,.0f}, and "
        f"the best of all thresholds {now.least:,.0f}."
    )
    details = [("cost at the chosen threshold", cheapest), ("least cost in hindsight", now.least)]
    found.append(answer("cost.threshold", (cost - cheapest) / without, sentence, basis, details=details))
    return found, [fraud_pages.cost_curve(now, threshold, chosen.best, without)]


def time_tests(
    validation: Scored, contract: ModelContract, terms: FraudTerms | NotEvaluable, level: float
) -> tuple[list[TestResult], list[Table], list[Chart]]:
    """Is the same share of frauds found in every stretch of time?"""
    basis, rule, time = validation.basis, "stability.time", validation.columns["time"]
    threshold = threshold_of(contract)
    if isinstance(terms, NotEvaluable) or isinstance(threshold, NotEvaluable):
        return [answer(rule, _first(terms, threshold), "", basis)], [], []
    if not time.max() > time.min():
        return [answer(rule, NotEvaluable("every row of the sample has the same time"), "", basis)], [], []
    if not np.isfinite(validation.estimate).all():
        return [answer(rule, NotEvaluable("a score is not finite"), "", basis)], [], []
    edges = [float(edge) for edge in np.linspace(float(time.min()), float(time.max()), terms.windows + 1)]
    if any(b <= a for a, b in pairwise(edges)):
        return [answer(rule, NotEvaluable("the sample's times lie too close for so many windows"), "", basis)], [], []
    parts = detection.windows(
        time, validation.outcome, validation.estimate, edges, threshold, validation.columns.get("weight")
    )
    trend = detection.trend(parts, terms.least_frauds)
    if isinstance(trend, NotEvaluable):
        found = answer(rule, trend, "", basis)
    else:
        way = "falls" if trend.z < 0 else "rises"
        sentence = f"The share of frauds found {way} with time; a small p-value says by more than chance."
        found = answer(rule, trend.p_value, sentence, basis, details=[("z", trend.z), ("windows", terms.windows)])
    return [found], [fraud_pages.window_table(parts)], [fraud_pages.window_chart(parts, terms.least_frauds, level)]


def data_tests(development: Scored, validation: Scored) -> list[TestResult]:
    """Does the sample lie after what the model learnt from, and does it hold enough frauds?"""
    basis, bad = validation.basis, validation.outcome == 1
    frauds, weight = int(bad.sum()), validation.columns.get("weight")
    # unequal weights say less than so many frauds would; what rounding takes away is given back
    sure = frauds if weight is None else math.floor(effective_number(weight[bad]) * (1.0 + 1e-9))
    told = f"The validation sample holds {frauds:,} frauds"
    told += "." if sure == frauds else f"; by their unequal weights they say no more than {sure:,} would."
    late = detection.late(development.columns["time"], validation.columns["time"])
    sentence = (
        f"{late:,} development rows lie at or after the first validation row: the model may have learnt the future."
        if late
        else "Every development row is older than every validation row."
    )
    return [
        answer("data.time-order", late, sentence, basis),
        answer("data.frauds", sure, told, basis),
    ]


def _first(*values: object) -> NotEvaluable:
    return next(value for value in values if isinstance(value, NotEvaluable))


def _at_k(validation: Scored, table: detection.Steps, terms: FraudTerms | NotEvaluable) -> list[TestResult]:
    basis, rules = validation.basis, ("discrimination.precision-at-k", "discrimination.value-at-k")
    if isinstance(terms, NotEvaluable):
        return [answer(rule, terms, "", basis) for rule in rules]
    alarms = (bound(terms.alarm_share) or 0.0) * (table.frauds + table.others)
    best = detection.top(table, alarms)
    if isinstance(best, NotEvaluable):
        return [answer(rule, best, "", basis) for rule in rules]
    details: list[tuple[str, float | int | str]] = [
        ("alarms by weight", alarms), ("share of transactions", terms.alarm_share),
        ("threshold", best.threshold), ("share of frauds found", best.recall), ("tied at the border", int(best.tied)),
    ]  # fmt: skip
    sentence = f"Of the alarms that people can look at, {best.precision:.1%} are frauds."
    found = [answer(rules[0], best.precision, sentence, basis, details=details)]
    value = NotEvaluable("no fraud has an amount above 0") if best.value is None else best.value
    sentence = f"Among them is {best.value or 0.0:.1%} of the frauds' amount, and {best.recall:.1%} of the frauds."
    return [*found, answer(rules[1], value, sentence, basis, details=details)]
