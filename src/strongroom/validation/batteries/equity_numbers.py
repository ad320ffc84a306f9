"""Fairness of estimates that are numbers and decide nothing: are they as right for one group as for the others?

A loss estimated too high for a group is a price or a limit that the group pays for; too low is a loss that nobody
priced. Whether estimates differ between groups is asked too, and judged less: losses may differ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from strongroom.validation.batteries.equity import scores_test
from strongroom.validation.batteries.protected_groups import Attribute, People
from strongroom.validation.catalogue import answer
from strongroom.validation.results import Column, NotEvaluable, Table, TestResult, decimal
from strongroom.validation.statistics.calibration import holm
from strongroom.validation.statistics.disclosure import rounded_down, rounded_up
from strongroom.validation.statistics.spread import alike

RULES = ("fairness.residual", "fairness.smd")


@dataclass(frozen=True, slots=True)
class ResidualGap:
    """Mean residual of a group, and how far it lies from that of all others.

    Attributes:
        mean: realised less estimated, of the group.
        interval: of that mean, by Student's t.
        apart: the group's mean less that of the others.
        apart_interval: by Welch's approximation.
        p_value: two-sided, of Welch's test that the two means are one.
    """

    mean: float
    interval: tuple[float, float]
    apart: float
    apart_interval: tuple[float, float]
    p_value: float


def residual_gap(own: np.typing.ArrayLike, others: np.typing.ArrayLike, level: float) -> ResidualGap | NotEvaluable:
    """Compare a group's residuals with those of all others.

    Args:
        own, others: realised less estimated, shape [rows of each].
        level: of the intervals.

    Source:
        Student 1908; Welch 1947; Calders et al. 2013 on balanced residuals.
    """
    a, b = np.asarray(own, dtype=np.float64), np.asarray(others, dtype=np.float64)
    if a.size < 2 or b.size < 2:
        return NotEvaluable("each group needs two rows")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return NotEvaluable("an estimate is not finite")
    spread_a, spread_b = float(a.var(ddof=1)) / a.size, float(b.var(ddof=1)) / b.size
    both = spread_a + spread_b
    if alike(a):
        return NotEvaluable("all residuals of a group are equal")
    freedom = both**2 / (spread_a**2 / (a.size - 1) + spread_b**2 / (b.size - 1))
    mean, apart = float(a.mean()), float(a.mean() - b.mean())
    half = float(stats.t.ppf(0.5 + level / 2.0, a.size - 1)) * spread_a**0.5
    wide = float(stats.t.ppf(0.5 + level / 2.0, freedom)) * both**0.5
    p = float(2.0 * stats.t.sf(abs(apart) / both**0.5, freedom))
    return ResidualGap(mean, (mean - half, mean + half), apart, (apart - wide, apart + wide), p)


def number_tests(people: People, unit: str) -> tuple[list[TestResult], tuple[Table, ...]]:
    """Residuals and estimates by group, and the table of groups.

    Args:
        people: rows and groups; nothing of them is decided.
        unit: of the output.
    """
    tests: list[TestResult] = []
    rows: list[tuple[str | None, ...]] = []
    for name, reason in people.missing.items():
        tests += [answer(rule, reason, "", people.basis, suffix=name) for rule in RULES]
    for attribute in people.attributes:
        test, told = _residuals(people, attribute)
        apart, gaps = scores_test(people, attribute)
        tests += [test, apart]
        rows += [
            (*told[place], gaps[place])
            for place in attribute.veil.large
            if attribute.veil.states[place] == "clear" and place in told
        ]
    return tests, (_table(rows, unit),) if rows else ()


def _residuals(people: People, attribute: Attribute) -> tuple[TestResult, dict[int, tuple[str | None, ...]]]:
    rule, coarse = "fairness.residual", attribute.veil.coarse
    came, told = people.sample.outcome.astype(np.float64), people.scores
    residual = came - told
    judged = np.isin(attribute.codes, attribute.veil.large)
    found: list[tuple[ResidualGap, int]] = []
    rows: dict[int, tuple[str | None, ...]] = {}
    for place in attribute.veil.large:
        member = attribute.codes == place
        gap = residual_gap(residual[member], residual[judged & ~member], people.level)
        if isinstance(gap, NotEvaluable):
            return answer(rule, gap, "", people.basis, suffix=attribute.name), {}
        found.append((gap, place))
        rows[place] = (
            attribute.called(place), str(int(member.sum())), decimal(float(came[member].mean())),
            decimal(float(told[member].mean())), decimal(gap.mean), decimal(gap.interval[0]), decimal(gap.interval[1]),
        )  # fmt: skip
    adjusted = holm([gap.p_value for gap, _ in found])
    if len(found) == 2:
        adjusted = tuple(gap.p_value for gap, _ in found)  # one comparison, seen from both sides
    worst = max(range(len(found)), key=lambda k: (abs(found[k][0].apart), -k))
    gap, place = found[worst]
    size = rounded_up(abs(gap.apart), coarse)
    ends = gap.apart_interval if gap.apart >= 0 else (-gap.apart_interval[1], -gap.apart_interval[0])
    sentence = (
        f"Realised less estimated is {size:.3g} {'higher' if gap.apart >= 0 else 'lower'} on average for group "
        f"{attribute.names[place]} than for all other groups together: its estimates are too "
        f"{'low' if gap.apart >= 0 else 'high'} beside theirs. No other group is further off."
    )
    test = answer(
        rule, size, sentence, people.basis, suffix=attribute.name,
        interval=(rounded_down(ends[0], coarse), rounded_up(ends[1], coarse)),
        p_value=rounded_up(adjusted[worst], coarse),
        details=[("group", attribute.names[place]), ("groups compared", len(found))],
    )  # fmt: skip
    return test, rows


def _table(rows: list[tuple[str | None, ...]], unit: str) -> Table:
    heads = (
        ("Group", "text"), ("Rows", "count"), ("Mean realised", unit), ("Mean estimated", unit),
        ("Mean residual", unit), ("from", unit), ("to", unit), ("Mean difference", "standard deviations"),
    )  # fmt: skip
    return Table(
        section="fairness",
        title="Residuals and estimates by group",
        caption="Residual: realised less estimated, with its interval. Groups that are small, or beside which a small "
        "one could be reckoned, are left out; the tests judge every group that is large enough.",
        columns=tuple(Column(name=name, unit=of) for name, of in heads),
        rows=tuple(rows),
    )
