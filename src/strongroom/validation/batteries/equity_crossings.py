"""Where two attributes cross, for what is no adverse impact ratio: false alarms, and residuals of estimates.

A model can be right for women and for the old, and wrong for old women. Cells below the policy's size are neither
judged nor named. What is told of crossings is rounded to hundredths where an exact figure could tell of a small cell:
always for alarms, whose counts are those of one outcome class, and for residuals beside a veiled cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from strongroom.validation.batteries.equity_alarms import RULE as FALSE_ALARMS
from strongroom.validation.batteries.equity_alarms import Alarms, of_all_others
from strongroom.validation.batteries.equity_numbers import ResidualGap, residual_gap
from strongroom.validation.batteries.protected_groups import Attribute, Codes, People
from strongroom.validation.catalogue import answer
from strongroom.validation.results import Column, NotEvaluable, Table, TestResult, decimal
from strongroom.validation.statistics.calibration import holm
from strongroom.validation.statistics.disclosure import rounded_down, rounded_up, veil_crossing

RESIDUAL = "fairness.residual"
Row = tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Crossing:
    """The cells of two attributes.

    Attributes:
        suffix: names the pair.
        names: of each cell, in order.
        codes: cell of each row, shape [rows].
        states: `clear`, `veiled` or `small`, one a cell.
    """

    suffix: str
    names: tuple[str, ...]
    codes: Codes
    states: tuple[str, ...]

    @property
    def large(self) -> tuple[int, ...]:
        """Cells that are judged."""
        return tuple(place for place, state in enumerate(self.states) if state != "small")


def crossings(people: People) -> list[Crossing]:
    """Every pair of attributes that can be judged; none where there are fewer than two."""
    return [_crossing(people, first, second) for first, second in combinations(people.attributes, 2)]


def crossed_alarms(people: People) -> tuple[list[TestResult], tuple[Table, ...]]:
    """Share of genuine transactions with an alarm, of each cell over that of all other judged cells together.

    Args:
        people: rows that stand for the traffic within each class (`traffic.even_by_class`).
    """
    found, rows = [], []
    genuine = people.sample.outcome == 0
    for pair in crossings(people):
        width = len(pair.names)
        n = np.bincount(pair.codes[genuine], minlength=width)
        alarms = np.bincount(pair.codes[genuine & ~people.favoured], minlength=width)
        judged = [place for place in pair.large if n[place] >= people.limits.least_outcomes]
        measured = of_all_others(alarms, n, judged, people)
        if isinstance(measured, NotEvaluable):
            found.append(answer(FALSE_ALARMS, measured, "", people.basis, suffix=pair.suffix))
            continue
        found.append(_worst_alarms(people, pair, measured))
        rows += [_alarm_row(pair, one) for one in measured]
    return found, (_alarm_table(rows),) if rows else ()


def crossed_residuals(people: People, unit: str) -> tuple[list[TestResult], tuple[Table, ...]]:
    """Mean residual of each cell against that of all other judged cells together, and the table of cells.

    Args:
        people: rows and groups; nothing of them is decided.
        unit: of the output.
    """
    found, rows = [], []
    residual = people.sample.outcome.astype(np.float64) - people.scores
    for pair in crossings(people):
        test, cells = _residuals(people, pair, residual)
        found.append(test)
        rows += cells
    return found, (_residual_table(rows, unit),) if rows else ()


def _crossing(people: People, first: Attribute, second: Attribute) -> Crossing:
    shape = (len(first.names), len(second.names))
    codes = first.codes * shape[1] + second.codes
    sizes = np.bincount(codes, minlength=shape[0] * shape[1]).reshape(shape)
    states = veil_crossing(sizes, people.limits.min_group, first.veil, second.veil)
    names = tuple(f"{first.called(i)}, {second.called(j)}" for i in range(shape[0]) for j in range(shape[1]))
    return Crossing(f"{first.name} x {second.name}", names, codes, tuple(str(state) for state in states.ravel()))


def _worst_alarms(people: People, pair: Crossing, measured: Sequence[Alarms]) -> TestResult:
    worst = max(measured, key=lambda one: (one.ratio, -one.place))
    size, ends = rounded_up(worst.ratio, True), worst.interval
    if isinstance(ends, tuple):
        ends = (rounded_down(ends[0], True), rounded_up(ends[1], True))
    sentence = (
        f"Among {people.words.others}, {pair.names[worst.place]} is not given “{people.decision}” {size:.2f} times as "
        f"often as all other crossings together; none of {len(measured)} that are large enough fares worse."
    )
    pairs = len(measured) if len(measured) > 2 else 1
    return answer(
        FALSE_ALARMS, size, sentence, people.basis, suffix=pair.suffix, interval=ends,
        p_value=rounded_up(min(1.0, worst.p_value * pairs), True),
        details=[("group", pair.names[worst.place]), ("groups compared", len(measured))],
    )  # fmt: skip


def _alarm_row(pair: Crossing, one: Alarms) -> Row:
    ends = one.interval if isinstance(one.interval, tuple) else None
    return (
        pair.names[one.place], decimal(rounded_up(one.ratio, True)),
        decimal(rounded_down(ends[0], True)) if ends else None, decimal(rounded_up(ends[1], True)) if ends else None,
        decimal(rounded_up(one.p_value, True)),
    )  # fmt: skip


def _alarm_table(rows: Sequence[Row]) -> Table:
    heads = (("Group", "text"), ("Ratio", "ratio"), ("from", "ratio"), ("to", "ratio"), ("Fisher p", "p-value"))
    return Table(
        section="fairness", title="False alarms where attributes cross",
        caption="Share of genuine transactions with an alarm, over that of all other crossings together, in "
        "hundredths. Small crossings are left out.",
        columns=tuple(Column(name=name, unit=unit) for name, unit in heads), rows=tuple(rows),
    )  # fmt: skip


def _residuals(people: People, pair: Crossing, residual: npt.NDArray[np.float64]) -> tuple[TestResult, list[Row]]:
    if len(pair.large) < 2:
        reason = NotEvaluable(f"fewer than two crossings have {people.limits.min_group} rows or more")
        return answer(RESIDUAL, reason, "", people.basis, suffix=pair.suffix), []
    judged = np.isin(pair.codes, pair.large)
    found: list[tuple[ResidualGap, int]] = []
    rows: list[Row] = []
    for place in pair.large:
        member = pair.codes == place
        gap = residual_gap(residual[member], residual[judged & ~member], people.level)
        if isinstance(gap, NotEvaluable):
            return answer(RESIDUAL, gap, "", people.basis, suffix=pair.suffix), []
        found.append((gap, place))
        if pair.states[place] == "clear":
            rows.append(
                (
                    pair.names[place], str(int(member.sum())), decimal(gap.mean), decimal(gap.interval[0]),
                    decimal(gap.interval[1]),
                )
            )  # fmt: skip
    adjusted = [gap.p_value for gap, _ in found]
    if len(found) > 2:  # of two, one comparison is seen from both sides
        adjusted = list(holm(adjusted))
    worst = max(range(len(found)), key=lambda k: (abs(found[k][0].apart), -k))
    gap, place = found[worst]
    coarse = "veiled" in pair.states
    size = rounded_up(abs(gap.apart), coarse)
    ends = gap.apart_interval if gap.apart >= 0 else (-gap.apart_interval[1], -gap.apart_interval[0])
    sentence = (
        f"Realised less estimated is {size:.3g} {'higher' if gap.apart >= 0 else 'lower'} on average for "
        f"{pair.names[place]} than for all other crossings together: its estimates are too "
        f"{'low' if gap.apart >= 0 else 'high'} beside theirs. No other of {len(found)} is further off."
    )
    details: list[tuple[str, Any]] = [("group", pair.names[place]), ("groups compared", len(found))]
    test = answer(
        RESIDUAL, size, sentence, people.basis, suffix=pair.suffix,
        interval=(rounded_down(ends[0], coarse), rounded_up(ends[1], coarse)),
        p_value=rounded_up(adjusted[worst], coarse), details=details,
    )  # fmt: skip
    return test, rows


def _residual_table(rows: Sequence[Row], unit: str) -> Table:
    heads = (("Group", "text"), ("Rows", "count"), ("Mean residual", unit), ("from", unit), ("to", unit))
    return Table(
        section="fairness", title="Residuals where attributes cross",
        caption="Residual: realised less estimated, with its interval. Crossings that are small, or beside which a "
        "small one could be reckoned, are left out; the tests judge every crossing that is large enough.",
        columns=tuple(Column(name=name, unit=of) for name, of in heads), rows=tuple(rows),
    )  # fmt: skip
