"""What each exposure enters the formulas with: floors, supervisory LGD, conversion factors.

Source: CRE32.4, CRE32.58 (PD), CRE32.6 to CRE32.12 (supervisory LGD), CRE32.16, CRE32.17, CRE32.58, CRE32.59 (LGD
floors, blended over the part that is secured), CRE32.36, CRE32.64 (EAD not below the drawn amount and half of the
standardised conversion).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from strongroom.planning.classes import (
    CORPORATE,
    COVERED,
    DEVELOPMENT_BANK,
    INSTITUTION,
    PUBLIC,
    SOVEREIGN,
    Codes,
    Flags,
    Floats,
)
from strongroom.planning.rules import Rules

LARGE_CORPORATE_M: Final = 500.0
"""Annual sales in EUR m above which own estimates of LGD and EAD are not allowed (CRE30.34)."""
EAD_FLOOR_SHARE: Final = 0.5


class Floored(NamedTuple):
    """A parameter after its floor, and where the floor moved it. Arrays of the shape [exposures]."""

    value: Floats
    bound: Flags


def floored_pd(rules: Rules, classes: Codes, pd: Floats) -> Floored:
    """PD, not below the floor of its class. NaN stays NaN."""
    floor = rules.pd_floor[classes]
    return Floored(np.maximum(pd, floor), np.asarray(pd < floor))


def blended(table: Floats, classes: Codes, collateral: Codes, share: Floats) -> Floats:
    """Value of the unsecured part and of the secured part, by their shares.

    Args:
        table: shape [classes, collateral]; column 0 is unsecured.
        classes, collateral: codes. Shape [exposures].
        share: part of the exposure that collateral covers, after haircuts, a fraction. Shape [exposures].
    """
    unsecured = table[classes, 0]
    secured = table[classes, collateral]
    # a class without a value of its own for this collateral gets none for it: the unsecured one
    secured = np.where(np.isnan(secured) | (secured < 0.0), unsecured, secured)
    return np.asarray(share * secured + (1.0 - share) * unsecured)


def floored_lgd(rules: Rules, classes: Codes, lgd: Floats, collateral: Codes, share: Floats) -> Floored:
    """Own estimate of LGD, not below the floor of its class and collateral (CRE32.17). NaN stays NaN."""
    floor = blended(rules.lgd_floor, classes, collateral, share)
    return Floored(np.maximum(lgd, floor), np.asarray(lgd < floor))


def own_lgd_allowed(
    classes: Codes, turnover_m: Floats, large_financial: Flags, large_m: float = LARGE_CORPORATE_M
) -> Flags:
    """Where own estimates of LGD and EAD may be used: not for banks, financials and large corporates (CRE30.34).

    Nor, here, for public-sector entities: where the Basel text takes them as banks they may not, and where a regime
    allows it the floor of their LGD has not been collected.
    """
    with np.errstate(invalid="ignore"):
        large = (classes == CORPORATE) & (turnover_m > large_m)
    like_banks = np.isin(classes, (INSTITUTION, PUBLIC, DEVELOPMENT_BANK, COVERED))
    return np.asarray(~(like_banks | large | (large_financial & (classes == CORPORATE))))


def supervisory_lgd(
    rules: Rules, classes: Codes, collateral: Codes, share: Floats, subordinated: Flags, large_financial: Flags
) -> Floats:
    """LGD of the foundation approach; NaN for retail, which has none.

    A corporate that is a financial institution counts as one (45% instead of 40%).
    """
    as_class = np.where(large_financial & (classes == CORPORATE), INSTITUTION, classes).astype(np.int8)
    found = blended(rules.supervisory_lgd, as_class, collateral, share)
    return np.where(subordinated, rules.subordinated_lgd[as_class], found)


def converted_ead(rules: Rules, drawn: Floats, limit: Floats, commitments: Codes) -> Floats:
    """Drawn amount, and the undrawn part times the standardised conversion factor (CRE20.94 to CRE20.101)."""
    return drawn + rules.conversion[commitments] * np.maximum(limit - drawn, 0.0)


def floored_ead(
    rules: Rules, classes: Codes, ead: Floats, drawn: Floats, limit: Floats, commitments: Codes
) -> Floored:  # fmt: skip
    """Own estimate of EAD, not below the drawn amount and half of what conversion would add.

    Sovereigns have no floor (CRE32.36); all others have one (CRE32.36, CRE32.64).
    """
    floor = drawn + EAD_FLOOR_SHARE * (converted_ead(rules, drawn, limit, commitments) - drawn)
    floor = np.where(classes == SOVEREIGN, 0.0, floor)
    return Floored(np.maximum(ead, floor), np.asarray(ead < floor))
