"""The output floor: risk-weighted assets of internal models do not fall below a share of the standardised ones.

Source: RBC20.11; CRR Articles 92(3) and 465 for the European Union. Which share holds from when is data (`rules`).
"""

from __future__ import annotations

from typing import NamedTuple


class Floored(NamedTuple):
    """What the floor does; amounts in the currency of the portfolio.

    Attributes:
        rwa: the higher of the two, after the cap.
        added: what the floor adds to `before`.
        binding: whether it adds anything.
        capped: whether a transitional cap on the increase held it back.
    """

    before: float
    standardised: float
    percent: float
    rwa: float
    added: float
    binding: bool
    capped: bool


def apply_floor(before: float, standardised: float, percent: float, cap_percent: float | None = None) -> Floored:
    """The higher of `before` and the share of the standardised amount.

    Args:
        before: risk-weighted assets by the approaches that the bank uses.
        standardised: risk-weighted assets if everything were standardised.
        percent: share, 72.5 in the end.
        cap_percent: the floored amount may not exceed so many percent of `before` (CRR Article 465(2): 125); None
            where no cap is in force.
    """
    wanted = standardised * percent / 100.0
    capped = cap_percent is not None and wanted > before * cap_percent / 100.0
    if cap_percent is not None:
        wanted = min(wanted, before * cap_percent / 100.0)
    rwa = max(before, wanted)
    return Floored(before, standardised, percent, rwa, rwa - before, rwa > before, capped)
