"""The 'default of credit card clients' data (UCI 350, Yeh and Lien 2009, CC BY 4.0), read from a pip package.

The package `mercury-robust` carries the file; it is installed without its dependencies and never imported.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

SOURCE = "mercury/robust/tutorials/data/credit/UCI_Credit_card.csv"
OUTCOME = "default"
PROTECTED = ("SEX", "AGE_BAND", "MARRIAGE")
AGE_BANDS = (30, 45)
"""Lower bounds of the second and third age band."""

PAST_MONTHS = ("PAY_0", "PAY_2", "PAY_3", "PAY_4", "PAY_5", "PAY_6")
BILLS = tuple(f"BILL_AMT{month}" for month in range(1, 7))
PAYMENTS = tuple(f"PAY_AMT{month}" for month in range(1, 7))
CONTRACT_BASIS = "GDPR Art. 6(1)(b): steps before a credit contract"


@dataclass(frozen=True)
class Samples:
    """Disjoint parts of the 30,000 clients, drawn once with a fixed seed; protected attributes are columns too."""

    development: pd.DataFrame
    reference: pd.DataFrame
    validation: pd.DataFrame
    held_out: pd.DataFrame
    second_development: pd.DataFrame
    source: Path


def load() -> Samples:
    """Read and split: 50 % development (10 % more for version two), 10 % reference, 15 % validation, 15 % held out."""
    source = Path(str(distribution("mercury-robust").locate_file(SOURCE)))
    frame = pd.read_csv(source).rename(columns={"default.payment.next.month": OUTCOME})
    if frame.shape[0] != 30_000:
        raise SystemExit(f"expected 30,000 clients in {source.name}, found {frame.shape[0]}")
    frame["AGE_BAND"] = np.digitize(frame["AGE"], AGE_BANDS)
    frame = frame.drop(columns=["ID", "AGE"]).sample(frac=1.0, random_state=20_261_121).reset_index(drop=True)
    edges = np.cumsum([15_000, 3_000, 3_000, 4_500, 4_500])
    parts = np.split(np.arange(30_000), edges[:-1])
    development, extra, reference, validation, held_out = (frame.iloc[part].reset_index(drop=True) for part in parts)
    return Samples(
        development=development,
        reference=reference,
        validation=validation,
        held_out=held_out,
        second_development=pd.concat([development, extra], ignore_index=True),
        source=source,
    )


FEATURES = ("LIMIT_BAL", "EDUCATION", *PAST_MONTHS, *BILLS, *PAYMENTS)


def features() -> list[dict[str, Any]]:
    """The documented input contract: type, unit, range, missing rule, purpose and legal basis of each feature."""
    rows: list[dict[str, Any]] = [
        _feature("LIMIT_BAL", "NT dollar", "credit line granted, bounds the exposure", 10_000, 1_000_000),
        {
            "name": "EDUCATION",
            "type": "category",
            "unit": "code",
            "allowed": list(range(7)),
            "purpose": "stability of income, coded as in the source data",
            "legal_basis": CONTRACT_BASIS,
        },
    ]
    rows += [
        {**_feature(name, "months past due", "repayment behaviour of a past month", -2, 9), "type": "integer"}
        for name in PAST_MONTHS
    ]
    rows += [_feature(name, "NT dollar", "utilisation of a past month", -1_000_000, 5_000_000) for name in BILLS]
    rows += [_feature(name, "NT dollar", "amount repaid in a past month", 0, 5_000_000) for name in PAYMENTS]
    return rows


def stress() -> dict[str, Any]:
    """What bad times do to the features, in their units."""
    return {
        "payments-late": {
            "means": "each of the past months was paid one month later",
            "shocks": dict.fromkeys(PAST_MONTHS, "1"),
        },
        "squeeze": {
            "means": "a fifth more stands on the bills, and a third less is repaid",
            "shocks": {**dict.fromkeys(BILLS, "20%"), **dict.fromkeys(PAYMENTS, "-33%")},
        },
    }


def _feature(name: str, unit: str, purpose: str, low: int, high: int) -> dict[str, Any]:
    return {
        "name": name,
        "type": "float",
        "unit": unit,
        "minimum": str(low),
        "maximum": str(high),
        "missing": "refuse",
        "purpose": purpose,
        "legal_basis": CONTRACT_BASIS,
    }
