"""What the rules say of exposures that are more than a class and a rating: short claims, backers, property, slots.

Every figure is optional: a regime whose document has none for an exposure has no weight for it, and a portfolio with
such an exposure is refused by name (`standardised.demand_weights`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from strongroom.planning.classes import CLASSES, PROPERTIES, Flags, Floats

PHASES: Final = ("pre-operational", "operational", "high-quality")
"""Of project finance (CRE20.51, CRE20.52)."""
EQUITIES: Final = ("other", "speculative", "programme")
"""Holdings: unlisted ones that are speculative, and those under a public programme (CRE20.57 to CRE20.59)."""
SLOTS: Final = ("none", "strong", "good", "satisfactory", "weak", "default")
"""Supervisory categories of specialised lending (CRE33)."""
SHORT_YEARS: Final = 2.5
"""Slots of a shorter remaining maturity may have weights of their own (CRR Article 153(5))."""

Percent = Callable[[str, str, str], float]
"""The fraction of a row by table, class and place; NaN where there is none."""


@dataclass(frozen=True, slots=True)
class PropertyRule:
    """How what a property secures is weighed; fractions.

    Attributes:
        bounds: upper bounds of loan to value. Empty where the loan is split.
        ladder: shape [bounds + 1].
        split: loan to value up to which, and the weight of that part; the rest has the counterparty's.
    """

    bounds: Floats
    ladder: Floats
    split: tuple[float, float] | None


class Special(NamedTuple):
    """Fractions, NaN where the rules have none.

    Attributes:
        short: of claims that are short when made; shape [classes, ratings].
        backed: of unrated ones by the rating of who stands behind; shape [classes, ratings].
        issuer, covered: weight of the issuer, rising, and that of its unrated covered bond.
        subordinated: shape [classes].
        phases: of unrated project finance; shape [phases].
        equity: shape [kinds of holdings].
        local: of sovereigns in their own currency.
        listed: of development banks that the regime lists.
        properties: by code of `classes.PROPERTIES`.
        slots, losses: weight and expected loss; shape [classes, long or short, slots].
        by_pd: whether a PD may weigh a class, or only slots; shape [classes].
    """

    short: Floats
    backed: Floats
    issuer: Floats
    covered: Floats
    subordinated: Floats
    phases: Floats
    equity: Floats
    local: float
    listed: float
    properties: Mapping[int, PropertyRule]
    slots: Floats
    losses: Floats
    by_pd: Flags


def special_rules(percent: Percent, places: Iterable[tuple[str, str, str]], ratings: tuple[str, ...]) -> Special:
    """Read them from the rows that hold.

    Args:
        percent: of a row, as a fraction.
        places: table, class and place of the rows that hold.
        ratings: by code.
    """
    held = sorted(places)

    def by_rating(table: str) -> Floats:
        whole = np.array([[percent(table, name, rating) for rating in ratings] for name in CLASSES])
        of_any = np.array([[percent(table, name, "any")] for name in CLASSES])
        return np.where(np.isnan(whole), of_any, whole)

    def slotted(table: str) -> Floats:
        long = np.array([[np.nan, *(percent(table, name, slot) for slot in SLOTS[1:])] for name in CLASSES])
        short = np.array([[np.nan, *(percent(table, name, f"{slot}-short") for slot in SLOTS[1:])] for name in CLASSES])
        return np.stack([long, np.where(np.isnan(short), long, short)], axis=1)

    issuers = sorted(float(where) for table, _, where in held if table == "covered-unrated")
    return Special(
        short=by_rating("standardised-short"),
        backed=by_rating("standardised-backed"),
        issuer=np.array(issuers) / 100.0,
        covered=np.array([percent("covered-unrated", "covered-bond", f"{one:g}") for one in issuers]),
        subordinated=np.array([percent("standardised", name, "subordinated") for name in CLASSES]),
        phases=np.array([percent("standardised", "project-finance", phase) for phase in PHASES]),
        equity=np.array([percent("standardised", "equity", kind) for kind in EQUITIES]),
        local=percent("standardised", "sovereign", "local-currency"),
        listed=percent("standardised", "development-bank", "listed"),
        properties={
            code: rule for code, name in enumerate(PROPERTIES) if code > 1
            if (rule := _property(percent, held, name)) is not None
        },
        slots=slotted("slot"),
        losses=slotted("slot-loss"),
        by_pd=np.array([percent("irb", name, "pd") != 0.0 for name in CLASSES]),
    )  # fmt: skip


def _property(percent: Percent, held: list[tuple[str, str, str]], name: str) -> PropertyRule | None:
    steps = [where for table, of, where in held if (table, of) == ("mortgage-by-ltv", name)]
    if steps:
        bounds = sorted(float(where) for where in steps if where != "above")
        ladder = np.array([percent("mortgage-by-ltv", name, where) for where in (*map("{:g}".format, bounds), "above")])
        return PropertyRule(np.array(bounds) / 100.0, ladder, None)
    split = (percent("mortgage-split", name, "secured-to-ltv"), percent("mortgage-split", name, "secured"))
    return None if np.isnan(split).any() else PropertyRule(np.zeros(0), np.zeros(0), split)
