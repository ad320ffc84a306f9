"""Fairness tests for each protected attribute: decisions, errors, calibration, scores, and people who are alike.

For every kind whose models decide. A figure of an attribute that has a veiled group is told in hundredths.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from strongroom.validation.batteries.protected_groups import Attribute, People
from strongroom.validation.catalogue import answer
from strongroom.validation.results import AirRow, Column, NotEvaluable, Table, TestResult, decimal
from strongroom.validation.statistics import disparity, fairness
from strongroom.validation.statistics.bins import quantile_edges
from strongroom.validation.statistics.calibration import holm
from strongroom.validation.statistics.disclosure import rounded_down, rounded_up, veil

RULES = (
    "fairness.air",
    "fairness.odds",
    "fairness.calibration",
    "fairness.smd",
    "fairness.cdd",
    "fairness.common-odds",
)
STRATA = 4
SMALL = "groups too small to be shown"

Figures = list[tuple[str, float | int | str]]


def group_tests(
    people: People, by_class: People | None = None
) -> tuple[list[TestResult], tuple[AirRow, ...], tuple[Table, ...]]:
    """All tests of single attributes, the table of ratios, and the table of groups.

    Args:
        people: rows as the traffic brings them.
        by_class: rows that are so within events and within others, for what is asked of one of them at a time; left
            out: the same.
    """
    tests, air, rows = [], [], []
    classes = people if by_class is None else by_class
    parted = {attribute.name: attribute for attribute in classes.attributes}
    for name, reason in people.missing.items():
        tests += [answer(rule, reason, "", people.basis, suffix=name) for rule in RULES]
    for attribute in people.attributes:
        found, table = air_test(people, attribute)
        tests.append(found)
        air += table
        errors, rates = _errors(classes, parted.get(attribute.name, attribute))
        fits, fitted = _calibration(people, attribute)
        scores, gaps = scores_test(people, attribute)
        tests += [errors, fits, scores, *_alike(people, attribute)]
        rows += [
            (attribute.called(i), *fitted[i], *rates.get(attribute.names[i], (None, None)), gaps[i])
            for i in attribute.veil.large
            if attribute.veil.states[i] == "clear"
        ]
    return tests, tuple(air), (_table(rows, people),) if rows else ()


def air_test(people: People, attribute: Attribute) -> tuple[TestResult, list[AirRow]]:
    """Adverse impact ratio of each group against the one with the highest share of favourable decisions."""
    lead, told, coarse = attribute.lead, attribute.veil, attribute.veil.coarse
    rows, measured = [], []
    for i in told.large:
        impact = None
        if i != lead:
            found = fairness.adverse_impact(
                attribute.favoured[i], attribute.sizes[i], attribute.favoured[lead], attribute.sizes[lead], people.level
            )
            if isinstance(found, fairness.AdverseImpact):
                impact = found
                measured.append((found, i))
        rows.append(_air_row(attribute, i, impact))
    if any(state == "small" for state in told.states):
        rows.append(
            AirRow(
                attribute=attribute.name, group=SMALL, n=0, rate=None, ratio=None, interval=None, p_value=None,
                reference=False, suppressed=True,
            )
        )  # fmt: skip
    if not measured:
        reason = NotEvaluable("no one in the reference group was favoured")
        return answer("fairness.air", reason, "", people.basis, suffix=attribute.name), rows
    impact, i = min(measured, key=lambda pair: (pair[0].ratio, pair[1]))
    names = attribute.names
    ratio = rounded_down(impact.ratio, coarse)
    sentence = (
        f"Group {names[i]} gets “{people.decision}” less often than group {names[lead]}: a ratio of {ratio:.2f}."
        if coarse
        else f"Group {names[i]} gets “{people.decision}” {attribute.favoured[i] / attribute.sizes[i]:.1%} of the time, "
        f"group {names[lead]} {attribute.favoured[lead] / attribute.sizes[lead]:.1%}: a ratio of {ratio:.3f}."
    )
    details: Figures = [
        ("group", names[i]), ("reference group", names[lead]), ("Fisher p", rounded_up(impact.fisher_p, coarse)),
    ]  # fmt: skip
    if hidden := told.states.count("small"):
        details.append(("suppressed groups", hidden))
    p = impact.z_p if impact.z_p is not None else impact.fisher_p
    between = _widened(impact.interval, coarse) if isinstance(impact.interval, tuple) else impact.interval
    return (
        answer(
            "fairness.air", ratio, sentence, people.basis,
            suffix=attribute.name, interval=between, p_value=rounded_up(p, coarse), details=details,
        ),
        rows,
    )  # fmt: skip


def _air_row(attribute: Attribute, place: int, impact: fairness.AdverseImpact | None) -> AirRow:
    coarse, clear = attribute.veil.coarse, attribute.veil.states[place] == "clear"
    between = impact.interval if impact else None
    ends = _widened(between, coarse) if isinstance(between, tuple) else None
    return AirRow(
        attribute=attribute.name,
        group=attribute.names[place],
        n=attribute.sizes[place] if clear else 0,
        rate=decimal(attribute.favoured[place] / attribute.sizes[place]) if clear else None,
        ratio=decimal(rounded_down(impact.ratio, coarse)) if impact else None,
        interval=(decimal(ends[0]), decimal(ends[1])) if ends else None,
        p_value=decimal(rounded_up(impact.fisher_p, coarse)) if impact else None,
        reference=place == attribute.lead,
        suppressed=False,
    )


def _errors(people: People, attribute: Attribute) -> tuple[TestResult, dict[str, tuple[str | None, str | None]]]:
    """True and false positive rate by group; who is not favoured is flagged."""
    rule, y = "fairness.odds", people.sample.outcome.astype(np.bool_)
    told: dict[int, list[str | None]] = {i: [] for i in attribute.veil.large}
    small = [i for i, state in enumerate(attribute.veil.states) if state == "small"]
    gaps: list[tuple[disparity.RateGap, str, int, int, bool, int]] = []
    reasons = []
    for what, members in ((people.words.events, y), (people.words.others, ~y)):
        width = len(attribute.names)
        n = np.bincount(attribute.codes[members], minlength=width)
        hits = np.bincount(attribute.codes[members & ~people.favoured], minlength=width)
        shown = veil(n.tolist(), people.limits.least_outcomes, small)
        for i in attribute.veil.large:
            told[i].append(decimal(hits[i] / n[i]) if shown.states[i] == "clear" else None)
        if len(shown.large) < 2:
            reasons.append(f"fewer than two groups have {people.limits.least_outcomes} {what} or more")
            continue
        high = max(shown.large, key=lambda i: (hits[i] / n[i], i))
        low = min(shown.large, key=lambda i: (hits[i] / n[i], i))
        gap = disparity.rate_gap(int(hits[high]), int(n[high]), int(hits[low]), int(n[low]), people.level)
        if isinstance(gap, disparity.RateGap):
            pairs = len(shown.large) * (len(shown.large) - 1)  # both kinds of rate, each pair once
            gaps.append((gap, what, high, low, shown.coarse or attribute.veil.coarse, pairs))
    rates = {attribute.names[i]: (pair[0], pair[1]) for i, pair in told.items()}
    if len(gaps) < 2:
        return answer(rule, NotEvaluable(reasons[0]), "", people.basis, suffix=attribute.name), rates
    gap, what, high, low, coarse, pairs = max(gaps, key=lambda found: found[0].difference)
    size = rounded_up(gap.difference, coarse)
    sentence = (
        f"Among {what}, group {attribute.names[high]} is not given “{people.decision}” {size * 100:.1f} percentage "
        f"points more often than group {attribute.names[low]}: the largest gap of error rates."
    )
    details: Figures = [(f"gap among {found[1]}", rounded_up(found[0].difference, found[4])) for found in gaps] + [
        ("group", attribute.names[high]),
        ("other group", attribute.names[low]),
    ]
    p = min(1.0, gap.fisher_p * pairs)
    return (
        answer(
            rule, size, sentence, people.basis, suffix=attribute.name,
            interval=_widened(gap.interval, coarse), p_value=rounded_up(p, coarse), details=details,
        ),
        rates,
    )  # fmt: skip


def _calibration(people: People, attribute: Attribute) -> tuple[TestResult, dict[int, tuple[str | None, ...]]]:
    rule, coarse = "fairness.calibration", attribute.veil.coarse
    y, p = people.sample.outcome, people.scores
    told: dict[int, tuple[str | None, ...]] = {}
    if not people.probable:
        reason = NotEvaluable("the output is a score and no probability, so no number of events is expected of it")
        nothing: tuple[str | None, ...] = (None,) * 7
        return answer(rule, reason, "", people.basis, suffix=attribute.name), dict.fromkeys(
            attribute.veil.large, nothing
        )
    found = []
    for i in attribute.veil.large:
        member = attribute.codes == i
        fit = disparity.group_calibration(y[member], p[member], people.level)
        if isinstance(fit, NotEvaluable):
            return answer(rule, fit, "", people.basis, suffix=attribute.name), dict.fromkeys(
                attribute.veil.large, (None,) * 7
            )
        found.append((fit, i))
        told[i] = (
            str(fit.n), decimal(fit.mean_pd), decimal(fit.rate), decimal(fit.interval[0]), decimal(fit.interval[1]),
            decimal(fit.p_value), None if fit.slope is None else decimal(fit.slope),
        )  # fmt: skip
    adjusted = holm([fit.p_value for fit, _ in found])
    worst = min(range(len(found)), key=lambda k: (adjusted[k], k))
    fit, i = found[worst]
    times = fit.rate / fit.mean_pd if fit.mean_pd > 0.0 else 0.0
    side = "too high" if fit.rate < fit.mean_pd else "too low"
    sentence = (
        f"For group {attribute.names[i]} the {people.words.scores} are {side}: {times:.2f} times as many "
        f"{people.words.came} came as were expected. No other group is further off."
    )
    details: Figures = [("group", attribute.names[i]), ("came over expected", rounded_down(times, True))]
    return (
        answer(
            rule, rounded_up(adjusted[worst], coarse), sentence, people.basis, suffix=attribute.name, details=details
        ),
        told,
    )


def scores_test(people: People, attribute: Attribute) -> tuple[TestResult, dict[int, str | None]]:
    """Standardised mean difference of each group's answers from the reference group's, and it by place of the group."""
    rule, coarse, p = "fairness.smd", attribute.veil.coarse, people.scores
    told: dict[int, str | None] = dict.fromkeys(attribute.veil.large)
    reference = p[attribute.codes == attribute.lead]
    found = []
    for i in attribute.veil.large:
        if i == attribute.lead:
            continue
        gap = disparity.mean_gap(p[attribute.codes == i], reference, people.level)
        if isinstance(gap, NotEvaluable):
            return answer(rule, gap, "", people.basis, suffix=attribute.name), told
        # against a veiled reference a difference would tell of it
        told[i] = None if attribute.veil.states[attribute.lead] == "veiled" else decimal(gap.pooled)
        found.append((gap, i))
    gap, i = max(found, key=lambda pair: (abs(pair[0].pooled), -pair[1]))
    size = rounded_up(abs(gap.pooled), coarse)
    ends = gap.interval if gap.pooled >= 0 else (-gap.interval[1], -gap.interval[0])
    sentence = (
        f"The mean {people.words.scores[:-1]} of group {attribute.names[i]} lies {size:.2f} standard deviations "
        f"{'above' if gap.pooled >= 0 else 'below'} that of group {attribute.names[attribute.lead]}, over the root of "
        "the mean of both variances."
    )
    details: Figures = [
        ("group", attribute.names[i]), ("reference group", attribute.names[attribute.lead]),
        ("over the deviation of all rows of both", rounded_up(abs(gap.overall), coarse)),
    ]  # fmt: skip
    return (
        answer(
            rule, size, sentence, people.basis, suffix=attribute.name, interval=_widened(ends, coarse), details=details
        ),
        told,
    )


def _alike(people: People, attribute: Attribute) -> list[TestResult]:
    """Conditional disparity and common odds within strata of the features that may explain a difference."""
    rules = ("fairness.cdd", "fairness.common-odds")
    if not people.conditions:
        reason = NotEvaluable("the contract names no feature under `conditions` that may explain a difference")
        return [answer(rule, reason, "", people.basis, suffix=attribute.name) for rule in rules]
    strata, coarse = _strata(people), attribute.veil.coarse
    disparities: list[tuple[float, int, int, int]] = []
    odds: list[tuple[disparity.CommonOdds, int]] = []
    reasons: dict[str, NotEvaluable] = {}
    for i in attribute.veil.large:
        if i == attribute.lead:
            continue
        tables = _by_stratum(people, attribute, i, strata)
        refused = [(n - a, n, m - c, m) for a, n, c, m in tables]
        parts = fairness.conditional_disparity(refused)
        if isinstance(parts, NotEvaluable):
            reasons.setdefault(rules[0], parts)
        else:
            disparities.append((parts[0], i, len(parts[1]), parts[1].count(None)))
        common = disparity.common_odds(tables, people.level)
        if isinstance(common, NotEvaluable):
            reasons.setdefault(rules[1], common)
        else:
            odds.append((common, i))
    lead = attribute.names[attribute.lead]
    found = []
    if disparities:
        size, i, count, silent = max(disparities, key=lambda found: (found[0], -found[1]))
        size = rounded_up(size, coarse)
        sentence = (
            f"Among people alike in the conditions, group {attribute.names[i]} has a share of the refused that lies "
            f"{size * 100:.1f} percentage points {'above' if size >= 0 else 'under'} its share of the accepted."
        )
        sentence = sentence.replace(f"{size * 100:.1f}", f"{abs(size) * 100:.1f}")
        named: Figures = [("group", attribute.names[i]), ("reference group", lead), ("strata", count - silent)]
        if silent:
            named.append(("strata with one decision only, left out", silent))
        found.append(answer(rules[0], size, sentence, people.basis, suffix=attribute.name, details=named))
    else:
        found.append(answer(rules[0], reasons[rules[0]], "", people.basis, suffix=attribute.name))
    if odds:
        common, i = min(odds, key=lambda pair: (pair[0].ratio, pair[1]))
        ratio = rounded_down(common.ratio, coarse)
        sentence = (
            f"Among people alike in the conditions, the odds of group {attribute.names[i]} to get “{people.decision}” "
            f"are {ratio:.2f} times those of group {lead}."
        )
        between = _widened(common.interval, coarse) if isinstance(common.interval, tuple) else common.interval
        named = [("group", attribute.names[i]), ("reference group", lead), ("strata", common.strata)]
        found.append(
            answer(
                rules[1], ratio, sentence, people.basis, suffix=attribute.name, interval=between,
                p_value=rounded_up(common.p_value, coarse), details=named,
            )
        )  # fmt: skip
    else:
        found.append(answer(rules[1], reasons[rules[1]], "", people.basis, suffix=attribute.name))
    return found


def _strata(people: People) -> list[npt.NDArray[np.bool_]]:
    """Rows that share the quarter of every condition; where a condition is missing is a quarter of its own."""
    columns = []
    for place in people.conditions:
        values = people.sample.rows[:, place].astype(np.float64)
        edges = quantile_edges(values, STRATA)
        columns.append(np.where(np.isnan(values), STRATA, np.searchsorted(edges, values, side="left")))
    cells = np.zeros(len(people.favoured), dtype=np.int64)
    for column in columns:
        cells = cells * (STRATA + 1) + column
    return [cells == cell for cell in np.unique(cells)]


def _by_stratum(
    people: People, attribute: Attribute, place: int, strata: Sequence[npt.NDArray[np.bool_]]
) -> list[tuple[int, int, int, int]]:
    own, lead = attribute.codes == place, attribute.codes == attribute.lead
    tables = []
    for stratum in strata:
        a, n = int((stratum & own & people.favoured).sum()), int((stratum & own).sum())
        c, m = int((stratum & lead & people.favoured).sum()), int((stratum & lead).sum())
        if n + m:
            tables.append((a, n, c, m))
    return tables


def _widened(ends: tuple[float, float], coarse: bool) -> tuple[float, float]:
    return rounded_down(ends[0], coarse), rounded_up(ends[1], coarse)


def _table(rows: Sequence[tuple[str | None, ...]], people: People) -> Table:
    words = people.words
    heads = (
        ("Group", "text"), ("Rows", "count"), (f"Mean {words.scores[:-1]}", "share"), ("Event rate", "share"),
        ("from", "share"),
        ("to", "share"), ("Two-sided p", "p-value"), ("Slope", "slope"), (f"Flagged of {words.events}", "share"),
        (f"Flagged of {words.others}", "share"), ("Mean difference", "standard deviations"),
    )  # fmt: skip
    return Table(
        section="fairness",
        title="Calibration, errors and scores by group",
        caption="Flagged: not given the favourable decision. Groups that are small, or beside which a small one could "
        "be reckoned, are left out; the tests judge every group that is large enough.",
        columns=tuple(Column(name=name, unit=unit) for name, unit in heads),
        rows=tuple(rows),
    )
