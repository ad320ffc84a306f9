"""Standardised risk weights: for what no model may or can weigh, and for the output floor. CRE20.

Amounts are net of specific provisions (CRE20.1). Not here, and said in every result: currency mismatch, junior liens,
and supporting factors of single regimes.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from strongroom.errors import InvalidInputError
from strongroom.planning.classes import (
    CLASSES,
    CORPORATE,
    COVERED,
    DEVELOPMENT_BANK,
    EQUITY,
    HOMES,
    INSTITUTION,
    MORTGAGE,
    PROJECT,
    PROPERTIES,
    SOVEREIGN,
    USUAL_PROPERTY,
    Codes,
    Flags,
    Floats,
)
from strongroom.planning.rules import RATINGS, Rules

PROVIDED: Final = 0.2
"""Share of an exposure in default above which provisions lower its weight (CRE20.104)."""
_UNRATED: Final = RATINGS.index("unrated")
_UNRATED_SME: Final = RATINGS.index("unrated-sme")
_TINY: Final = 1e-9


class Terms(NamedTuple):
    """What an exposure is beside its class and rating; arrays of the shape [exposures].

    Attributes:
        short: whether it was short when it was made: three months, or six for the movement of goods.
        local: whether a sovereign owes it in its own currency.
        listed: whether the regime lists the development bank.
        subordinated: whether it ranks behind ordinary claims.
        secured_by: codes of `classes.PROPERTIES`.
        phase: codes of `special_rules.PHASES`.
        holding: codes of `special_rules.EQUITIES`.
        backer: codes of `rules.RATINGS`: of the sovereign behind a public-sector entity, of the issuer of a covered
            bond.
    """

    short: Flags
    local: Flags
    listed: Flags
    subordinated: Flags
    secured_by: Codes
    phase: Codes
    holding: Codes
    backer: Codes


def plain(rows: int) -> Terms:
    """Terms of exposures that have none."""
    no, none = np.zeros(rows, np.bool_), np.zeros(rows, np.int8)
    return Terms(no, no, no, no, none, none, none, np.full(rows, _UNRATED, np.int8))


def mortgage_weights(rules: Rules, ltv: Floats, rest: Floats | None = None) -> Floats:
    """Weight of what homes secure by loan to value, a fraction; the highest where it is not known.

    Args:
        rules: in force.
        ltv: a fraction, NaN where not known.
        rest: weight of what a split leaves unsecured, where it is another than that of households.

    Source: CRE20.82 (whole loan), or CRE20.85 where the regime splits a loan.
    """
    known = np.where(np.isnan(ltv), np.inf, np.maximum(ltv, 0.0))
    if rules.split is None:
        return rules.ltv_weights[np.searchsorted(rules.ltv_bounds, known, side="left")]
    part = np.minimum(1.0, rules.split.to_ltv / np.maximum(known, 1e-12))
    return part * rules.split.secured + (1.0 - part) * (rules.split.rest if rest is None else rest)


def property_weights(rules: Rules, kind: int, ltv: Floats, counterparty: Floats) -> Floats:
    """Weight of what another property secures; NaN where the rules say nothing of it.

    Args:
        rules: in force.
        kind: code of `classes.PROPERTIES`.
        ltv: a fraction, NaN where not known: then the highest of a ladder, and nothing secured of a split.
        counterparty: weight without the property.

    Source: CRE20.84 (homes for income), CRE20.87 (commercial), CRE20.88 (commercial for income), CRE20.91
    (development).
    """
    rule = rules.special.properties.get(kind)
    if rule is None:
        return np.full(len(ltv), np.nan)
    known = np.where(np.isnan(ltv), np.inf, ltv)
    if rule.split is not None:
        part = np.minimum(1.0, rule.split[0] / np.maximum(known, 1e-12))
        return part * rule.split[1] + (1.0 - part) * counterparty
    found = rule.ladder[np.searchsorted(rule.bounds, known, side="left")]
    # a ladder for a company's own premises is not above the company's weight, and ends with it (CRE20.87)
    return np.fmin(found, counterparty) if PROPERTIES[kind] == "commercial" else found


def weights(
    rules: Rules, classes: Codes, ratings: Codes, turnover_m: Floats, ltv: Floats, defaulted: Flags,
    provided: Floats, terms: Terms | None = None,
) -> Floats:  # fmt: skip
    """Standardised risk weight, a fraction; NaN where the rules have none. Shape [exposures].

    Args:
        rules: in force.
        classes: codes.
        ratings: codes of `rules.RATINGS`.
        turnover_m: annual sales in EUR m, NaN where not known; an unrated corporate of at most `sales.sme_to_m` is an
            SME.
        ltv: loan to value, a fraction, NaN where not known.
        defaulted: whether in default.
        provided: specific provisions as a share of the amount.
        terms: what else they are; nothing where left out.
    """
    if terms is None:
        terms = plain(len(classes))
    with np.errstate(invalid="ignore"):
        smaller = (classes == CORPORATE) & (ratings == _UNRATED) & (turnover_m <= rules.sales.sme_to_m)
    counterparty = _by_counterparty(
        rules, classes, ratings, terms, rules.weights[classes, np.where(smaller, _UNRATED_SME, ratings)]
    )
    secured_by = np.where(terms.secured_by == 0, USUAL_PROPERTY[classes], terms.secured_by)
    found = counterparty
    for kind in np.unique(secured_by[secured_by > 0]).tolist():
        at = np.flatnonzero(secured_by == kind)
        if kind == HOMES:
            rest = counterparty[at]
            if rules.split is not None:
                rest = np.where(classes[at] == MORTGAGE, rules.split.rest, rest)
            weight = mortgage_weights(rules, ltv[at], rest)
        else:
            weight = property_weights(rules, kind, ltv[at], counterparty[at])
        found[at] = weight
    little, enough, of_mortgages = rules.default_weights
    bad = np.where(secured_by == HOMES, of_mortgages, np.where(provided >= PROVIDED, enough, little))
    return np.where(defaulted & (classes != EQUITY), bad, found)


def _by_counterparty(rules: Rules, classes: Codes, ratings: Codes, terms: Terms, found: Floats) -> Floats:
    """The weight of a claim without property, each rule after the one that it goes before. `found` is changed."""
    special = rules.special

    def put(at: Flags, weight: Floats | float) -> None:
        there = at & ~np.isnan(weight)
        np.copyto(found, weight, where=there)

    unrated = ratings == _UNRATED
    put(unrated, special.backed[classes, terms.backer])
    covered = (classes == COVERED) & unrated
    if covered.any() and len(special.issuer):
        issuer = rules.weights[INSTITUTION, terms.backer]
        place = np.minimum(np.searchsorted(special.issuer, issuer - _TINY), len(special.issuer) - 1)
        put(covered, special.covered[place])
    put(terms.short, special.short[classes, ratings])
    put((classes == PROJECT) & unrated, special.phases[terms.phase])
    put(classes == EQUITY, special.equity[terms.holding])
    put((classes == SOVEREIGN) & terms.local, special.local)
    put((classes == DEVELOPMENT_BANK) & terms.listed, special.listed)
    put(terms.subordinated, special.subordinated[classes])
    return found


def demand_weights(rules: Rules, classes: Codes, secured_by: Codes, found: Floats, first_row: int) -> None:
    """Refuse what the rules have no standardised weight for, before anything is scored.

    Raises:
        InvalidInputError: which class (and property) under which regime, first in which row.
    """
    missing = np.isnan(found)
    if missing.any():
        place = int(np.argmax(missing))
        kind = int(secured_by[place]) or int(USUAL_PROPERTY[classes[place]])
        what = f"class `{CLASSES[classes[place]]}`" + (f" secured by `{PROPERTIES[kind]}`" if kind else "")
        raise InvalidInputError(
            f"the rules of regime `{rules.regime}` on {rules.day} have no weight for {what}, first in row "
            f"{first_row + place}; leave such exposures out, or give a rule book with --rules",
            field="class", rule="weight", row=first_row + place,
        )  # fmt: skip
