"""Standardised risk weights: for what no model may or can weigh, and for the output floor. CRE20.

Amounts are net of specific provisions (CRE20.1). Not here, and said in every result: currency mismatch, commercial
real estate, specialised lending, multilateral banks, and supporting factors of single regimes.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from strongroom.planning.classes import CORPORATE, MORTGAGE, Codes, Flags, Floats
from strongroom.planning.rules import RATINGS, Rules

PROVIDED: Final = 0.2
"""Share of an exposure in default above which provisions lower its weight (CRE20.104)."""
_UNRATED: Final = RATINGS.index("unrated")
_UNRATED_SME: Final = RATINGS.index("unrated-sme")


def mortgage_weights(rules: Rules, ltv: Floats) -> Floats:
    """Weight of residential mortgages by loan to value, a fraction; the highest where it is not known.

    Source: CRE20.82 (whole loan), or CRE20.85 where the regime splits a loan.
    """
    known = np.where(np.isnan(ltv), np.inf, np.maximum(ltv, 0.0))
    if rules.split is None:
        return rules.ltv_weights[np.searchsorted(rules.ltv_bounds, known, side="left")]
    part = np.minimum(1.0, rules.split.to_ltv / np.maximum(known, 1e-12))
    return part * rules.split.secured + (1.0 - part) * rules.split.rest


def weights(
    rules: Rules, classes: Codes, ratings: Codes, turnover_m: Floats, ltv: Floats, defaulted: Flags,
    provided: Floats,
) -> Floats:  # fmt: skip
    """Standardised risk weight, a fraction. Shape [exposures].

    Args:
        rules: in force.
        classes: codes.
        ratings: codes of `rules.RATINGS`.
        turnover_m: annual sales in EUR m, NaN where not known; an unrated corporate of at most `sales.sme_to_m` is an
            SME.
        ltv: loan to value, a fraction, NaN where not known.
        defaulted: whether in default.
        provided: specific provisions as a share of the amount.
    """
    with np.errstate(invalid="ignore"):
        smaller = (classes == CORPORATE) & (ratings == _UNRATED) & (turnover_m <= rules.sales.sme_to_m)
    found = rules.weights[classes, np.where(smaller, _UNRATED_SME, ratings)]
    mortgages = classes == MORTGAGE
    found = np.where(mortgages, mortgage_weights(rules, ltv), found)
    little, enough, of_mortgages = rules.default_weights
    bad = np.where(mortgages, of_mortgages, np.where(provided >= PROVIDED, enough, little))
    return np.where(defaulted, bad, found)
