"""Expected loss against provisions: what is missing comes off CET1, what is over counts as Tier 2 up to a limit.

Source: CRE35.2 to CRE35.4, CAP10.19 (excess, 0.6% of IRB risk-weighted assets), CAP30.13 (shortfall).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from strongroom.planning.classes import Flags, Floats

TIER_2_LIMIT: Final = 0.006


class Provisioning(NamedTuple):
    """Amounts in the currency of the portfolio."""

    expected_loss: float
    provisions: float
    cet1_deduction: float
    tier2_addback: float


def expected_loss(pd: Floats, lgd: Floats, ead: Floats, elbe: Floats, defaulted: Flags) -> Floats:
    """Regulatory expected loss of each exposure, an amount: PD LGD EAD, and ELBE EAD in default (CRE35.3).

    Args:
        pd, lgd: fractions after floors.
        ead: amounts.
        elbe: fractions, read only in default.
        defaulted: whether in default.
    """
    return np.where(defaulted, elbe, pd * lgd) * ead


def against_provisions(loss: float, provisions: float, irb_rwa: float) -> Provisioning:
    """Shortfall or excess of the whole of the IRB portfolio.

    Args:
        loss: sum of expected losses.
        provisions: eligible provisions for the same exposures.
        irb_rwa: credit risk-weighted assets of the same exposures, which bound the excess.
    """
    missing = loss - provisions
    return Provisioning(loss, provisions, max(0.0, missing), min(max(0.0, -missing), TIER_2_LIMIT * irb_rwa))
