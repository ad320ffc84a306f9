"""Alarms on people who did nothing: whose transactions are stopped wrongly, and how much more often.

Where nearly all are let pass, the shares of those who are look alike whatever is done to a group; the shares of the
few who are not let pass do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from strongroom.validation.batteries.protected_groups import Attribute, People
from strongroom.validation.catalogue import answer
from strongroom.validation.results import NotEvaluable, TestResult
from strongroom.validation.statistics import fairness
from strongroom.validation.statistics.disclosure import rounded_down, rounded_up, veil

RULE = "fairness.false-alarms"


@dataclass(frozen=True, slots=True)
class Alarms:
    """False alarms of one group against those of all others together.

    Attributes:
        place: of the group.
        ratio: of the two shares.
        interval: of it, or why there is none.
        p_value: Fisher's.
    """

    place: int
    ratio: float
    interval: tuple[float, float] | NotEvaluable
    p_value: float


def alarm_tests(people: People) -> list[TestResult]:
    """Share of genuine transactions with an alarm, of each group over that of all other groups together.

    Args:
        people: rows that stand for the traffic within each class (`traffic.even_by_class`).
    """
    found = [answer(RULE, reason, "", people.basis, suffix=name) for name, reason in people.missing.items()]
    return found + [_attribute(people, attribute) for attribute in people.attributes]


def of_all_others(
    alarms: npt.NDArray[np.int64], n: npt.NDArray[np.int64], judged: Sequence[int], people: People
) -> list[Alarms] | NotEvaluable:
    """Each judged group's share of alarms over that of all other judged groups together.

    Args:
        alarms: genuine transactions with one, by group.
        n: genuine transactions, by group.
        judged: places of the groups that are looked at; each has transactions.
        people: says how sure intervals are, and what things are called.
    """
    if len(judged) < 2:
        return NotEvaluable(f"fewer than two groups have {people.limits.least_outcomes} {people.words.others} or more")
    total, rows = (int(part[list(judged)].sum()) for part in (alarms, n))
    if total == 0:
        return NotEvaluable(f"none of the {people.words.others} has an alarm, so no group has more of them")
    measured = []
    for place in judged:
        own, of, rest, rest_of = int(alarms[place]), int(n[place]), total - int(alarms[place]), rows - int(n[place])
        impact = fairness.adverse_impact(own, of, rest, rest_of, people.level)
        if isinstance(impact, fairness.AdverseImpact):
            measured.append(Alarms(place, impact.ratio, impact.interval, impact.fisher_p))
        else:
            # half an alarm more on either side: the group that has them all must not be the one that is left out
            ratio = (own + 0.5) / (of + 1.0) / (0.5 / (rest_of + 1.0))
            alone = fairness.adverse_impact(rest, rest_of, own, of, people.level)
            p = alone.fisher_p if isinstance(alone, fairness.AdverseImpact) else 1.0
            measured.append(Alarms(place, ratio, NotEvaluable("no other group has a false alarm"), p))
    return measured


def _attribute(people: People, attribute: Attribute) -> TestResult:
    basis, suffix, width = people.basis, attribute.name, len(attribute.names)
    genuine = people.sample.outcome == 0
    n = np.bincount(attribute.codes[genuine], minlength=width)
    alarms = np.bincount(attribute.codes[genuine & ~people.favoured], minlength=width)
    small = [place for place, state in enumerate(attribute.veil.states) if state == "small"]
    told = veil(n.tolist(), people.limits.least_outcomes, small)
    measured = of_all_others(alarms, n, told.large, people)
    if isinstance(measured, NotEvaluable):
        return answer(RULE, measured, "", basis, suffix=suffix)
    coarse = told.coarse or attribute.veil.coarse
    worst = max(measured, key=lambda one: (one.ratio, -one.place))
    size, name = rounded_up(worst.ratio, coarse), attribute.names[worst.place]
    sentence = (
        f"Among {people.words.others}, group {name} is not given “{people.decision}” {size:.2f} times as often as "
        "all other groups together; no group fares worse."
    )
    ends = worst.interval
    if isinstance(ends, tuple):
        ends = (rounded_down(ends[0], coarse), rounded_up(ends[1], coarse))
    pairs = len(measured) if len(measured) > 2 else 1
    return answer(
        RULE, size, sentence, basis, suffix=suffix, interval=ends,
        p_value=rounded_up(min(1.0, worst.p_value * pairs), coarse),
        details=[("group", name), ("groups compared", len(measured))],
    )  # fmt: skip
