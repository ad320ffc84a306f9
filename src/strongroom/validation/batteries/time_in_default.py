"""Do estimates for loans in default hold at every age of the default? ELBE and LGD in default, by months in default.

What comes back depends on how long a loan has been in default: most of what does comes early. An estimate that is
right on the whole and too low for old defaults is missed by a test over all rows, so each age has a test of its own.
The ages are house policy; the ECB asks for the tests at the dates of reference that a bank uses.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from strongroom.registry.contract import ModelContract
from strongroom.validation.batteries.estimates import NAMES, p_value_of, parameter_of
from strongroom.validation.batteries.scored import Scored
from strongroom.validation.catalogue import answer
from strongroom.validation.results import Column, NotEvaluable, Table, TestResult, decimal
from strongroom.validation.statistics import losses
from strongroom.validation.statistics.calibration import holm

RULE: Final = "calibration.time-in-default"
AGES_MONTHS: Final = (0.0, 12.0, 24.0, 36.0, 60.0)
"""Upper edges of the ages, the edge included; the last age has none. The first holds the day of default itself."""
IN_DEFAULT: Final = ("elbe", "lgd-in-default")


def time_tests(validation: Scored, contract: ModelContract, level: float) -> tuple[list[TestResult], tuple[Table, ...]]:
    """The worst age after Holm's adjustment, and a table of all.

    Args:
        validation: scores, outcomes, and months in default by row; rows without are left out and counted.
        contract: which parameter is estimated.
        level: of the intervals.

    Source: ECB 2019, sections 2.7.2.1 (ELBE) and 2.8.2.1 (LGD in default); Holm 1979.
    """
    parameter, basis = parameter_of(contract), validation.basis
    if parameter not in IN_DEFAULT:
        words = "only ELBE and LGD in default depend on the time in default"
        return [answer(RULE, NotEvaluable(words), "", basis)], ()
    months = validation.columns.get("months_in_default")
    if months is None:
        words = "the contract names no column of months in default, or the validation sample lacks it"
        return [answer(RULE, NotEvaluable(words), "", basis)], ()
    known = np.isfinite(months)
    if (months[known] < 0.0).any():
        return [answer(RULE, NotEvaluable("a row has been in default for less than no time"), "", basis)], ()
    came, told = validation.outcome[known], validation.estimate[known]
    parts = losses.buckets(came, told, AGES_MONTHS, level, by=months[known])
    if isinstance(parts, NotEvaluable):
        return [answer(RULE, parts, "", basis)], ()
    table = _table(parts, parameter, level)
    tested = [(place, part.test) for place, part in enumerate(parts) if isinstance(part.test, losses.TTest)]
    if not tested:
        return [answer(RULE, NotEvaluable("no age of default has two rows that differ"), "", basis)], (table,)
    adjusted = holm([p_value_of(test, parameter) for _, test in tested])
    worst = min(range(len(adjusted)), key=lambda place: (adjusted[place], place))
    place, test = tested[worst]
    sentence = (
        f"Of {len(tested)} ages of default with a test, {_age(place)} is the worst: realised {NAMES[parameter]} lies "
        f"{test.mean_difference:+.3f} from the estimate there."
    )
    details: list[tuple[str, float | int | str]] = [
        ("age", _age(place)), ("unadjusted p", p_value_of(test, parameter)), ("rows of that age", test.n),
        ("rows without months in default", int((~known).sum())),
    ]  # fmt: skip
    return [answer(RULE, adjusted[worst], sentence, basis, details=details)], (table,)


def _age(place: int) -> str:
    if place == 0:
        return "the day of default"
    low = AGES_MONTHS[place - 1]
    return f"over {low:g} to {AGES_MONTHS[place]:g} months" if place < len(AGES_MONTHS) else f"over {low:g} months"


def _table(parts: tuple[losses.Bucket, ...], parameter: str, level: float) -> Table:
    rows = []
    for place, part in enumerate(parts):
        test = part.test if isinstance(part.test, losses.TTest) else None
        ends = (None, None) if test is None or part.estimated is None else test.interval
        rows.append(
            (
                _age(place),
                decimal(part.n),
                None if part.estimated is None else decimal(part.estimated),
                None if part.realised is None else decimal(part.realised),
                *(None if end is None else decimal(end + (part.estimated or 0.0)) for end in ends),
                None if test is None else decimal(p_value_of(test, parameter)),
            )
        )
    heads = (
        ("In default for", "text"), ("Rows", "count"), (f"Mean estimated {NAMES[parameter]}", "share"),
        (f"Mean realised {NAMES[parameter]}", "share"), (f"{level:.0%} from", "share"), ("to", "share"),
        ("p-value", "p-value"),
    )  # fmt: skip
    return Table(
        section="calibration",
        title="Time in default on the validation sample",
        caption="Intervals are of the realised mean; p not adjusted.",
        columns=tuple(Column(name=head, unit=unit) for head, unit in heads),
        rows=tuple(rows),
    )
