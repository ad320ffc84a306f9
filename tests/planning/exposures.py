"""Exposures in memory: loans of one kind, with what a test names changed."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from strongroom.planning.classes import RETAIL
from strongroom.planning.portfolio import Part
from strongroom.planning.repayments import ANNUITY
from strongroom.planning.standardised import Terms

NAN = float("nan")


def part(**columns: Any) -> Part:
    """Loans of other retail at 2% PD, 45% LGD and 1000 for three years; what is named is changed."""
    rows = max((len(values) for values in columns.values()), default=1)
    usual: dict[str, Any] = {
        "classes": RETAIL, "drawn": 1000.0, "limit": 1000.0, "commitments": 1, "standardised": False, "turnover_m": NAN,
        "large_financial": False, "maturity_years": 2.5, "collateral": 0, "collateral_share": 0.0,
        "subordinated": False, "ratings": 6, "ltv": NAN, "defaulted": False, "days_past_due": 0.0, "elbe": NAN,
        "provisions": 0.0, "origination_pd": NAN, "eir": 0.06, "months": 36.0, "amortisation": ANNUITY, "pd": 0.02,
        "lgd": 0.45, "ead": NAN, "slots": 0, "dilution": 0.0, "short": False, "local": False, "listed": False,
        "secured_by": 0, "phase": 0, "holding": 0, "backer": 6,
    }  # fmt: skip
    codes = {
        "classes", "commitments", "collateral", "ratings", "amortisation", "slots", "secured_by", "phase", "holding",
        "backer",
    }  # fmt: skip
    flags = {"standardised", "large_financial", "subordinated", "defaulted", "short", "local", "listed"}
    found: dict[str, Any] = {}
    for name, value in {**usual, **columns}.items():
        kind = np.int8 if name in codes else bool if name in flags else np.float64
        found[name] = np.broadcast_to(np.asarray(value, kind), (rows,)).copy()
    found["terms"] = Terms(**{name: found.pop(name) for name in Terms._fields})
    assert {"first_row", *found} == {field.name for field in fields(Part)}
    return Part(first_row=0, **found)
