"""Expected credit losses of IFRS 9: marginal PDs, discounted at the effective rate, over scenarios with weights.

Source: IFRS 9 5.5.17(a) (probability-weighted), 5.5.17(b) and B5.5.44 (discounting at the effective interest rate),
5.5.3 (lifetime) and 5.5.5 (12 months). A loss falls at the end of its year.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from strongroom.planning.classes import Floats


class Term(NamedTuple):
    """One exposure, year by year; the form in which the formula is usually printed.

    Attributes:
        marginal_pd: of each year, from today.
        cumulative_pd: over all years.
        ecl_12m: of the first year.
        ecl_lifetime: of all years.
    """

    marginal_pd: Floats
    cumulative_pd: float
    ecl_12m: float
    ecl_lifetime: float


def term_structure(hazard: Floats, lgd: Floats, ead: Floats, eir: float) -> Term:
    """`sum_t S_{t-1} h_t LGD_t EAD_t / (1 + EIR)^t` of a single exposure.

    Args:
        hazard: shape [years], probability of default in the year of those that reached it.
        lgd: shape [years], fractions.
        ead: shape [years], amounts at the beginning of each year.
        eir: effective interest rate a year, a fraction.
    """
    reached = np.concatenate([[1.0], np.cumprod(1.0 - hazard)[:-1]])
    marginal = reached * hazard
    losses = marginal * lgd * ead / (1.0 + eir) ** np.arange(1, len(hazard) + 1)
    return Term(marginal, float(marginal.sum()), float(losses[0]), float(losses.sum()))


class Book(NamedTuple):
    """What the losses of many exposures need; arrays of the shape [exposures].

    Attributes:
        lgd: fraction today.
        ead: amount today.
        eir: effective interest rate a year, a fraction.
        months: until the last payment, at least 1.
        balance: shape [years, exposures], share of today's balance that is left at the beginning of each year.
    """

    lgd: Floats
    ead: Floats
    eir: Floats
    months: Floats
    balance: Sequence[Floats]


class Path(Protocol):
    """How a scenario moves PD and LGD; see `scenario.Scenario`."""

    def hazard(self, year: int) -> Floats:
        """Probability of default in a year, from 1. Shape [exposures]."""

    def lgd(self, year: int, lgd: Floats) -> Floats:
        """LGD in a year. Shape [exposures]."""


class Losses(NamedTuple):
    """Amounts; arrays of the shape [exposures]."""

    first_year: Floats
    lifetime: Floats


def lifetime_losses(book: Book, path: Path) -> Losses:
    """12-month and lifetime losses of exposures that are not in default, under one scenario.

    The last year may be a part of a year: its hazard is then `1 - (1 - h)^part`, and its loss falls at its end.

    Args:
        book: the exposures.
        path: the scenario.
    """
    rows = len(book.ead)
    life = np.maximum(book.months, 1.0) / 12.0
    reached = np.ones(rows)
    first = np.zeros(rows)
    total = np.zeros(rows)
    years = min(len(book.balance), int(np.ceil(life.max(initial=0.0))))
    for year in range(1, years + 1):
        part = np.clip(life - (year - 1), 0.0, 1.0)
        hazard = path.hazard(year)
        partly = part < 1.0
        if partly.any():
            # a hazard of 1 has a logarithm of minus infinity, which comes back as 1 whatever the part
            with np.errstate(divide="ignore", invalid="ignore"):
                hazard = np.where(partly, -np.expm1(part * np.log1p(-hazard)), hazard)
        hazard = np.where(part > 0.0, hazard, 0.0)
        discount = (1.0 + book.eir) ** -(year - 1 + part)
        loss = reached * hazard * path.lgd(year, book.lgd) * book.ead * book.balance[year - 1] * discount
        if year == 1:
            first = loss.copy()
        total += loss
        reached *= 1.0 - hazard
    return Losses(first, total)
