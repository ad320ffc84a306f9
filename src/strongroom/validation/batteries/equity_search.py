"""Fairness beyond one attribute: where attributes cross, what gives them away, and fairer ways to decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from strongroom.validation.batteries.protected_groups import Attribute, People
from strongroom.validation.catalogue import answer
from strongroom.validation.results import Chart, Column, NotEvaluable, Series, Table, TestResult, decimal
from strongroom.validation.statistics import alternatives, fairness, proxies
from strongroom.validation.statistics.alternatives import Alternative, Muted
from strongroom.validation.statistics.disclosure import rounded_down, rounded_up, veil_crossing

SHOWN = 8
"""Carriers that are named for each attribute."""
FRONTIER = 12
Figures = list[tuple[str, float | int | str]]


def crossing_tests(people: People) -> tuple[list[TestResult], tuple[Table, ...]]:
    """The lowest ratio where two attributes cross; with one attribute only, its own groups are the finest there are."""
    rule = "fairness.intersections"
    if not people.attributes:
        return [answer(rule, _nothing(people), "", people.basis)], ()
    if len(people.attributes) == 1:
        only = people.attributes[0]
        rate = [only.favoured[i] / only.sizes[i] for i in only.veil.large]
        if max(rate) <= 0.0:
            return [answer(rule, NotEvaluable("no one in the reference group was favoured"), "", people.basis)], ()
        ratio = rounded_down(min(rate) / max(rate), only.veil.coarse)
        sentence = f"One attribute can be judged, so nothing crosses: the lowest ratio is that of {only.name}."
        return [answer(rule, ratio, sentence, people.basis)], ()
    found, rows = [], []
    for first, second in combinations(people.attributes, 2):
        test, cells = _crossing(people, first, second)
        found.append(test)
        rows += cells
    if not rows:
        return found, ()
    heads = (
        ("Group", "text"), ("Rows", "count"), ("Favourable", "share"), ("Ratio", "ratio"), ("from", "ratio"),
        ("to", "ratio"), ("Fisher p", "p-value"),
    )  # fmt: skip
    caption = (
        "Small cells are left out. A line without rows and share is large enough to be judged, but would give a small "
        "one away; its ratio, and all of that crossing, stand in hundredths."
    )
    table = Table(
        section="fairness", title="Where attributes cross", caption=caption,
        columns=tuple(Column(name=name, unit=unit) for name, unit in heads), rows=tuple(rows),
    )  # fmt: skip
    return found, (table,)


def _crossing(people: People, first: Attribute, second: Attribute) -> tuple[TestResult, list[tuple[str | None, ...]]]:
    rule, suffix = "fairness.intersections", f"{first.name} x {second.name}"
    shape = (len(first.names), len(second.names))
    flat = first.codes * shape[1] + second.codes
    sizes = np.bincount(flat, minlength=shape[0] * shape[1]).reshape(shape)
    wins = np.bincount(flat[people.favoured], minlength=shape[0] * shape[1]).reshape(shape)
    states = veil_crossing(sizes, people.limits.min_group, first.veil, second.veil)
    large = [(int(i), int(j)) for i, j in np.argwhere(states != "small")]
    if len(large) < 2:
        reason = NotEvaluable(f"fewer than two crossings have {people.limits.min_group} rows or more")
        return answer(rule, reason, "", people.basis, suffix=suffix), []
    coarse = bool((states == "veiled").any())
    lead = max(large, key=lambda c: (wins[c] / sizes[c], sizes[c], -c[0], -c[1]))
    if wins[lead] == 0:
        reason = NotEvaluable("no one in the reference group was favoured")
        return answer(rule, reason, "", people.basis, suffix=suffix), []

    def name(cell: tuple[int, int]) -> str:
        return f"{first.called(cell[0])}, {second.called(cell[1])}"

    rows: list[tuple[str | None, ...]] = []
    measured = []
    for cell in large:
        counts = (str(int(sizes[cell])), decimal(wins[cell] / sizes[cell])) if states[cell] == "clear" else (None, None)
        if cell == lead:
            rows.append((f"{name(cell)} (reference)", *counts, None, None, None, None))
            continue
        impact = fairness.adverse_impact(
            int(wins[cell]), int(sizes[cell]), int(wins[lead]), int(sizes[lead]), people.level
        )
        if isinstance(impact, NotEvaluable):  # excluded above: all cells are filled, and the reference was favoured
            raise AssertionError(impact.reason)
        ends = impact.interval if isinstance(impact.interval, tuple) else None
        measured.append((impact, cell))
        rows.append(
            (
                name(cell), *counts, decimal(rounded_down(impact.ratio, coarse)),
                decimal(rounded_down(ends[0], coarse)) if ends else None,
                decimal(rounded_up(ends[1], coarse)) if ends else None,
                decimal(rounded_up(impact.fisher_p, coarse)),
            )
        )  # fmt: skip
    worst, cell = min(measured, key=lambda pair: (pair[0].ratio, pair[1]))
    ratio = rounded_down(worst.ratio, coarse)
    sentence = (
        f"Of {len(large)} crossings that are large enough, {name(cell)} gets “{people.decision}” least often, against "
        f"{name(lead)}: a ratio of {ratio:.2f}."
    )
    details: Figures = [
        ("group", name(cell)), ("reference group", name(lead)), ("Fisher p", rounded_up(worst.fisher_p, coarse)),
    ]  # fmt: skip
    between = worst.interval
    if isinstance(between, tuple):
        between = (rounded_down(between[0], coarse), rounded_up(between[1], coarse))
    test = answer(rule, ratio, sentence, people.basis, suffix=suffix, interval=between, details=details)
    return test, rows


def known_proxies(people: People) -> dict[str, proxies.Proxies | NotEvaluable]:
    """What the features know of each protected attribute, or why that is not known."""
    most = min(people.limits.most_searched, proxies.MOST_ROWS)
    found: dict[str, proxies.Proxies | NotEvaluable] = dict(people.missing)
    for attribute in people.attributes:
        found[attribute.name] = proxies.find_proxies(
            people.sample.rows, attribute.codes, attribute.veil.large, people.level, most
        )
    return found


def proxy_tests(
    people: People, names: Sequence[str], by_attribute: Mapping[str, proxies.Proxies | NotEvaluable]
) -> tuple[list[TestResult], tuple[Table, ...]]:
    """How well the features tell each attribute, and which of them carry it.

    Args:
        people: rows and groups.
        names: of the features, in the contract's order.
        by_attribute: of `known_proxies`.
    """
    rule = "fairness.proxies"
    found, rows = [], []
    for name, reason in people.missing.items():
        found.append(answer(rule, reason, "", people.basis, suffix=name))
    for attribute in people.attributes:
        known = by_attribute[attribute.name]
        if isinstance(known, NotEvaluable):
            found.append(answer(rule, known, "", people.basis, suffix=attribute.name))
            continue
        strongest = [c for c in known.carriers if c.lost > 0.0][:SHOWN]
        carried = ", ".join(names[c.feature] for c in strongest[:3]) or "no feature in particular"
        group = attribute.names[known.group]
        sentence = (
            f"From the features alone, a row of group {group} is told from another {known.auc:.1%} of the time (50% is "
            f"chance). What carries it most: {carried}."
        )
        details: Figures = [("group", group), ("rows", known.rows)]
        details += [(f"carrier {i + 1}", names[c.feature]) for i, c in enumerate(strongest[:3])]
        found.append(
            answer(
                rule, known.auc, sentence, people.basis,
                suffix=attribute.name, interval=known.interval, details=details,
            )
        )  # fmt: skip
        rows += [(f"{attribute.name}: {names[c.feature]}", decimal(c.alone), decimal(c.lost)) for c in strongest]
    if not rows:
        return found, ()
    table = Table(
        section="fairness",
        title="Features that carry a protected attribute",
        caption="Alone: how well this feature by itself tells the group that is told best. Lost: by how much the area "
        "of all features together falls when this one is shuffled.",
        columns=(
            Column(name="Feature", unit="text"),
            Column(name="Alone", unit="AUC"),
            Column(name="Lost", unit="AUC"),
        ),
        rows=tuple(rows),
    )
    return found, (table,)


def alternative_tests(
    people: People, muted: Muted, names: Sequence[str]
) -> tuple[list[TestResult], tuple[Table, ...], tuple[Chart, ...]]:
    """Is there a way to decide with this model that harms no group as much, at little loss?

    Args:
        people: rows and groups.
        muted: the model's answers with one feature silent, made before `people` was.
        names: of the features, in the contract's order.
    """
    rule = "fairness.alternatives"
    if not people.attributes:
        return [answer(rule, _nothing(people), "", people.basis)], (), ()
    area, profit = people.limits.accepted_losses
    groups = [alternatives.Grouping(a.codes, a.veil.large) for a in people.attributes]
    found = alternatives.search(
        people.sample.pd, people.sample.outcome, muted, groups, people.cut_off,
        loss_of_auc=area, loss_of_profit=profit,
    )  # fmt: skip
    if isinstance(found, NotEvaluable):
        return [answer(rule, found, "", people.basis)], (), ()
    now, best = found.present, found.best
    gain = round(_ratio(best) - _ratio(now), 3)
    sentence = (
        f"None of {found.tried} ways, alike for everybody, raises the lowest ratio of {_ratio(now):.3f} within the "
        "accepted losses."
        if best == now
        else f"To {_way(best, names)}, alike for everybody, would change this: the lowest ratio is {_ratio(best):.3f} "
        f"instead of {_ratio(now):.3f}, the AUC {best.auc:.3f} instead of {now.auc:.3f}, the profit "
        f"{best.profit:.4f} a row instead of {now.profit:.4f}."
    )
    details: Figures = [
        ("lowest ratio now", _ratio(now)), ("lowest ratio then", _ratio(best)),
        ("AUC lost", now.auc - best.auc), ("profit lost", now.profit - best.profit),
        ("cost of a default over gain of a good one", found.price), ("ways tried", found.tried),
    ]  # fmt: skip
    places = np.linspace(0, len(found.frontier) - 1, min(FRONTIER, len(found.frontier))).astype(int)
    shown = [("as it is", now), *((_way(found.frontier[i], names), found.frontier[i]) for i in places)]
    heads = (
        ("Way", "text"),
        ("Accepted", "share"),
        ("Lowest ratio", "ratio"),
        ("AUC", "AUC"),
        ("Profit a row", "score"),
    )
    table = Table(
        section="fairness",
        title="Less discriminatory alternatives",
        caption="Ways that no other beats on ratio, AUC and profit at once, measured on rows that did not choose "
        "them. Profit counts in what one good applicant earns; what a default costs follows from the present cut-off.",
        columns=tuple(Column(name=name, unit=unit) for name, unit in heads),
        rows=tuple(
            (name, decimal(w.accepted), decimal(_ratio(w)), decimal(w.auc), decimal(w.profit)) for name, w in shown
        ),
    )
    chart = Chart(
        section="fairness", title="Ratio and profit",
        words="Each dot is a way to decide, alike for everybody, that no other beats; the diamond is the model now.",
        x="profit a row", y="lowest ratio",
        series=(
            Series(
                name="frontier", form="points", style="rate",
                points=tuple((decimal(w.profit), decimal(_ratio(w))) for w in found.frontier),
            ),
            Series(name="as it is", form="points", style="pd", points=((decimal(now.profit), decimal(_ratio(now))),)),
        ),
    )  # fmt: skip
    return [answer(rule, gain, sentence, people.basis, details=details)], (table,), (chart,)


def _way(way: Alternative, names: Sequence[str]) -> str:
    cut = f"accept below {way.cut_off:.3g}"
    if way.feature is None:
        return cut
    if way.blend >= 1.0:
        return f"{cut}, without {names[way.feature]}"
    return f"{cut}, {names[way.feature]} with {1.0 - way.blend:.0%} of its weight"


def _ratio(way: Alternative) -> float:
    # in thousandths: a list of many exact ratios of one group would let its counts be found
    return round(way.ratio, 3)


def _nothing(people: People) -> NotEvaluable:
    return next(iter(people.missing.values()), NotEvaluable("no protected attribute can be judged"))
