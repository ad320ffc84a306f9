"""What customers will pay back, month by month: by contract, and as expected with prepayments and defaults.

An annuity pays the same each month, `linear` the same part of the principal, `bullet` all principal in the last
month. The rate is the effective rate, turned into a monthly one by the twelfth root.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from strongroom.planning.classes import Codes, Flags, Floats

ANNUITY: Final = 0
LINEAR: Final = 1
BULLET: Final = 2
KINDS: Final = ("annuity", "linear", "bullet")


class Month(NamedTuple):
    """Amounts of one month, from 1.

    Attributes:
        principal, interest: by contract.
        expected_principal, expected_interest: of those who neither defaulted nor prepaid before, and prepayments.
        prepaid: part of `expected_principal` that comes early.
        balance: by contract, at the end.
    """

    month: int
    principal: float
    interest: float
    expected_principal: float
    expected_interest: float
    prepaid: float
    balance: float


def monthly_rate(rate: Floats) -> Floats:
    """Of a year's effective rate. Shape [exposures]."""
    return np.expm1(np.log1p(rate) / 12.0)


def forecast(
    balance: Floats, rate: Floats, months: Floats, kinds: Codes, pd: Floats, defaulted: Flags, horizon: int,
    prepayment_rate: float,
) -> list[Month]:  # fmt: skip
    """Sums of the portfolio for each month. Exposures in default pay nothing: the timing of recoveries is not known.

    Args:
        balance: drawn amounts today. Shape [exposures], as the others.
        rate: effective rate a year, a fraction.
        months: until the last payment; at least 1.
        kinds: codes of `KINDS`.
        pd: of a year, a fraction; spread evenly over the months.
        defaulted: whether in default.
        horizon: how many months.
        prepayment_rate: share of the balance that is repaid early in a year, a fraction below 1.
    """
    left = np.where(defaulted, 0.0, balance)
    term = np.ceil(np.maximum(months, 1.0))
    per_month = monthly_rate(rate)
    part = left / term
    with np.errstate(invalid="ignore"):
        level = np.where(per_month > 0.0, left * per_month / -np.expm1(-term * np.log1p(per_month)), part)
    staying = (1.0 - pd) ** (1.0 / 12.0)
    keeping = (1.0 - prepayment_rate) ** (1.0 / 12.0)
    alive = np.ones_like(left)
    found = []
    for month in range(1, horizon + 1):
        interest = left * per_month
        last = term <= month
        principal = np.where(kinds == ANNUITY, level - interest, np.where(kinds == LINEAR, part, 0.0))
        principal = np.where(last, left, np.minimum(np.maximum(principal, 0.0), left))
        left = left - principal
        alive = alive * staying
        early = alive * left * (1.0 - keeping)
        found.append(
            Month(
                month, float(principal.sum()), float(interest.sum()),
                float((alive * principal).sum() + early.sum()), float((alive * interest).sum()), float(early.sum()),
                float(left.sum()),
            )
        )  # fmt: skip
        alive = alive * keeping
    return found


def balances(rate: Floats, months: Floats, kinds: Codes, years: int, prepayment_rate: float) -> list[Floats]:
    """Share of today's balance that is left at the beginning of each year, in closed form.

    Args:
        rate, months, kinds, prepayment_rate: as in `forecast`.
        years: how many.

    Returns:
        Arrays of the shape [exposures], one for each year; the first holds ones.
    """
    term = np.ceil(np.maximum(months, 1.0))
    per_month = monthly_rate(rate)
    growing = np.log1p(per_month)
    whole = -np.expm1(-term * growing)
    found = []
    for year in range(years):
        gone = np.minimum(12.0 * year, term)
        straight = 1.0 - gone / term
        with np.errstate(invalid="ignore", divide="ignore"):
            level = np.where(per_month > 0.0, -np.expm1(-(term - gone) * growing) / whole, straight)
        share = np.where(kinds == ANNUITY, level, np.where(kinds == LINEAR, straight, 1.0))
        found.append(np.where(gone < term, share, 0.0) * (1.0 - prepayment_rate) ** year)
    return found
