"""Risk weights of the internal ratings-based approach: CRE31.

All arrays have the shape [exposures]; PD and LGD are fractions and are taken as they come: floors are applied before
(`parameters`). No scaling factor of 1.06: the final framework dropped it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri

from strongroom.planning.classes import (
    MORTGAGE,
    RETAIL,
    REVOLVER,
    TRANSACTOR,
    VOLATILE_PROPERTY,
    Codes,
    Flags,
    Floats,
    is_retail,
)

CONFIDENCE: Final = 0.999
SME_FROM_M, SME_TO_M = 5.0, 50.0
"""Annual sales in EUR m between which the size adjustment runs (CRE31.8)."""
LARGE_FINANCIAL: Final = 1.25
MATURITY_STANDARD: Final = 2.5
MATURITY_RANGE: Final = (1.0, 5.0)
SLOPE_FROM_PD: Final = 1e-5
"""Below 0.0003% the formula of the adjustment passes through infinity and turns negative. Only sovereigns have no PD
floor: for them it is held at its value at 0.001%, well before that."""
_QUANTILE: Final = float(ndtri(CONFIDENCE))


class Weights(NamedTuple):
    """What one exposure comes to; arrays of the shape [exposures].

    Attributes:
        correlation: asset correlation R.
        maturity: the maturity adjustment, 1 for retail.
        capital: K, a fraction of EAD.
        weight: risk weight as a fraction, 12.5 K.
    """

    correlation: Floats
    maturity: Floats
    capital: Floats
    weight: Floats


def correlation(
    classes: Codes, pd: Floats, turnover_m: Floats, large_financial: Flags,
    sme: tuple[float, float] = (SME_FROM_M, SME_TO_M),
) -> Floats:  # fmt: skip
    """Asset correlation R.

    Args:
        classes: codes of `classes.CLASSES`.
        pd: fraction.
        turnover_m: annual sales in EUR m (in the currency of `sme`), NaN where not known; below 50 the corporate
            correlation falls by up to 0.04.
        large_financial: large or unregulated financial institutions, whose correlation is 1.25 times as high.

        sme: sales between which the adjustment runs.

    Source: CRE31.5 (sovereign, bank, corporate; specialised lending by PD like corporates), CRE31.7 (financial
    institutions), CRE31.8 (SME), CRE31.11 (high-volatility commercial real estate), CRE31.14
    (mortgages), CRE31.15 (QRRE), CRE31.16 (other retail).
    """
    decay = np.where(classes == RETAIL, 35.0, 50.0)
    low = np.where(classes == RETAIL, 0.03, 0.12)
    high = np.where(classes == RETAIL, 0.16, np.where(classes == VOLATILE_PROPERTY, 0.30, 0.24))
    # expm1 keeps the digits that 1 - exp would lose at small PD
    share = np.expm1(-decay * pd) / np.expm1(-decay)
    found = low * share + high * (1.0 - share)
    begin, end = sme
    size = np.clip(np.where(np.isnan(turnover_m), end, turnover_m), begin, end)
    smaller = 0.04 * (1.0 - (size - begin) / (end - begin))
    found -= np.where(classes == 2, smaller, 0.0)
    found *= np.where(large_financial & ~is_retail(classes), LARGE_FINANCIAL, 1.0)
    found[classes == MORTGAGE] = 0.15
    found[(classes == REVOLVER) | (classes == TRANSACTOR)] = 0.04
    return found


def maturity_adjustment(classes: Codes, pd: Floats, maturity_years: Floats) -> Floats:
    """How much more a long exposure needs than one of a year; 1 for retail.

    Args:
        classes: codes.
        pd: fraction above 0.
        maturity_years: effective maturity M; held between 1 and 5.

    Source: CRE31.5, CRE32.44 to CRE32.56.
    """
    years = np.clip(maturity_years, *MATURITY_RANGE)
    slope = np.square(0.11852 - 0.05478 * np.log(np.maximum(pd, SLOPE_FROM_PD)))
    adjusted = (1.0 + (years - MATURITY_STANDARD) * slope) / (1.0 - 1.5 * slope)
    return np.where(is_retail(classes), 1.0, adjusted)


def weigh(
    classes: Codes, pd: Floats, lgd: Floats, maturity_years: Floats, turnover_m: Floats, large_financial: Flags,
    sme: tuple[float, float] = (SME_FROM_M, SME_TO_M),
) -> Weights:  # fmt: skip
    """Capital requirement and risk weight of exposures that are not in default.

    Args:
        classes: codes.
        pd: fraction in [0, 1]; at 0 (sovereigns have no floor) and at 1 no capital is asked for.
        lgd: fraction.
        maturity_years: effective maturity, see `maturity_adjustment`.
        turnover_m: see `correlation`.
        large_financial: see `correlation`.
        sme: see `correlation`.

    Source: CRE31.4 to CRE31.16.
    """
    r = correlation(classes, pd, turnover_m, large_financial, sme)
    longer = maturity_adjustment(classes, pd, maturity_years)
    # at a PD of 0 and of 1 the quantile is infinite and the distribution function takes it back
    stressed = ndtr((ndtri(pd) + np.sqrt(r) * _QUANTILE) / np.sqrt(1.0 - r))
    capital = np.maximum(lgd * (stressed - pd) * longer, 0.0)
    return Weights(r, longer, capital, 12.5 * capital)


def weigh_defaulted(lgd: Floats, elbe: Floats) -> Weights:
    """Capital requirement of exposures in default: what LGD exceeds the best estimate of the expected loss by.

    Args:
        lgd: fraction, of the exposure in default.
        elbe: best estimate of expected loss, a fraction; equal to LGD under the foundation approach, so that K is 0.

    Source: CRE31.3, CRE35.3.
    """
    capital = np.maximum(0.0, lgd - elbe)
    return Weights(np.zeros_like(lgd), np.ones_like(lgd), capital, 12.5 * capital)
