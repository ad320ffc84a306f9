"""IFRS 9 losses and stressed figures of a part of the portfolio, over every scenario of a document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from strongroom.planning.classes import EQUITY, Flags, Floats
from strongroom.planning.ecl import Book, lifetime_losses
from strongroom.planning.expected_loss import expected_loss
from strongroom.planning.parameters import converted_ead, floored_lgd, floored_pd
from strongroom.planning.portfolio import Part
from strongroom.planning.repayments import balances
from strongroom.planning.rules import Rules
from strongroom.planning.scenario import Document, Scenario
from strongroom.planning.staging import stages
from strongroom.planning.weighing import IRB, Weighed, stressed_rwa

TERMS: Final = (12.0, 24.0, 36.0, 60.0, 84.0, 120.0, 180.0, 240.0, 360.0, np.inf)
"""Months by which exposures are taken together, so that short ones do not go through the years of the long."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """Arrays of the shape [exposures] unless said otherwise.

    Attributes:
        stage: 1, 2 or 3; says nothing where not in scope.
        in_scope: whether it can be impaired; equity cannot (IFRS 9 5.5.1).
        evaluable: whether it can be and there is a PD and an LGD (an LGD, in default).
        ead: of IFRS 9, without regulatory floors.
        ecl: by stage, weighted; 0 where not evaluable.
        ecl_12m, ecl_lifetime: weighted; both the same in default.
        by_scenario: ECL by stage under each. Shape [scenarios, exposures].
        at_mean: ECL by stage on the path at the mean state.
    """

    stage: NDArray[np.int8]
    in_scope: Flags
    evaluable: Flags
    ead: Floats
    ecl: Floats
    ecl_12m: Floats
    ecl_lifetime: Floats
    by_scenario: Floats
    at_mean: Floats


def losses_ahead(part: Part, weighed: Weighed, rules: Rules, document: Document) -> Outlook:
    """Stages and expected credit losses.

    Args:
        part: of the portfolio.
        weighed: the same, with supervisory LGDs where there is no own one.
        rules: for the conversion of undrawn amounts where no EAD is given.
        document: scenarios and cut-offs.
    """
    stage = stages(document.staging, part.pd, part.origination_pd, part.days_past_due, part.defaulted)
    lgd = np.where(np.isnan(part.lgd), weighed.lgd, part.lgd)
    ead = np.where(np.isnan(part.ead), converted_ead(rules, part.drawn, part.limit, part.commitments), part.ead)
    certain = stage == 3
    severity = np.where(certain & ~np.isnan(part.elbe), part.elbe, lgd)
    in_scope = np.asarray(part.classes != EQUITY)
    evaluable = in_scope & ~np.isnan(severity) & (certain | ~np.isnan(part.pd))
    names = [*document.scenarios, None]
    first = np.zeros((len(names), len(part)))
    life = np.zeros((len(names), len(part)))
    living = evaluable & ~certain
    shorter = -np.inf
    for longest in TERMS:
        rows = np.flatnonzero(living & (part.months > shorter) & (part.months <= longest))
        shorter = longest
        if not len(rows):
            continue
        months = np.maximum(part.months[rows], 1.0)
        years = int(np.ceil(months.max() / 12.0))
        left = balances(part.eir[rows], months, part.amortisation[rows], years, document.prepayment_rate)
        book = Book(lgd[rows], ead[rows], part.eir[rows], months, left)
        for place, name in enumerate(names):
            found = lifetime_losses(book, Scenario(document, name, part.pd[rows], part.classes[rows]))
            first[place, rows], life[place, rows] = found.first_year, found.lifetime
    dead = np.where(evaluable & certain, severity * ead, 0.0)
    by_stage = np.where(certain, dead, np.where(stage == 2, life, first))
    chances = np.array([path.weight for path in document.scenarios.values()])
    return Outlook(
        stage=stage,
        in_scope=in_scope,
        evaluable=evaluable,
        ead=ead,
        ecl=np.where(certain, dead, chances @ by_stage[:-1]),
        ecl_12m=np.where(certain, dead, chances @ first[:-1]),
        ecl_lifetime=np.where(certain, dead, chances @ life[:-1]),
        by_scenario=by_stage[:-1],
        at_mean=by_stage[-1],
    )


@dataclass(frozen=True, slots=True)
class StressSums:
    """A year of a scenario, summed over a part.

    Attributes:
        pd_ead, ead: for the mean PD of what is not in default.
        losses: of the year, of what is not in default.
        expected_loss: regulatory, of IRB exposures, with the PD of the year.
        irb_rwa: part of `rwa`.
    """

    pd_ead: float
    ead: float
    losses: float
    expected_loss: float
    rwa: float


def stress(part: Part, weighed: Weighed, outlook: Outlook, rules: Rules, document: Document) -> list[StressSums]:
    """Every year of every scenario, in the document's order, over a static balance sheet."""
    found = []
    living = outlook.evaluable & (outlook.stage < 3)
    lgd = np.nan_to_num(np.where(np.isnan(part.lgd), weighed.lgd, part.lgd))
    pd = np.nan_to_num(part.pd)
    for name in document.scenarios:
        path = Scenario(document, name, pd, part.classes)
        for year in range(1, document.years + 1):
            worse, severity = path.hazard(year), path.lgd(year, lgd)
            rwa = stressed_rwa(part, weighed, rules, worse, severity)
            floored = np.where(part.defaulted, 1.0, floored_pd(rules, part.classes, worse).value)
            own = floored_lgd(rules, part.classes, severity, part.collateral, part.collateral_share).value
            harsh = np.where(weighed.supervisory, weighed.lgd, own)
            loss = np.where(
                weighed.reason == IRB,
                expected_loss(floored, harsh, weighed.ead, weighed.elbe, part.defaulted)
                + np.where(weighed.dilution_rwa > 0.0, part.dilution * weighed.ead, 0.0),
                weighed.expected_loss,
            )
            weight = np.where(living, outlook.ead, 0.0)
            found.append(
                StressSums(
                    float((worse * weight).sum()), float(weight.sum()), float((worse * severity * weight).sum()),
                    float(loss.sum()), float(rwa.sum()),
                )
            )  # fmt: skip
    return found
