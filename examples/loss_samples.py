"""Samples of losses and exposures: two drawn from stated distributions, three read from public files.

Drawn: `drawn_lgd` and `drawn_ead` are functions of a number of rows and a seed, by NumPy's PCG64.

Read: `lendingclub` takes the table of 36-month consumer loans of April to August 2015 with its outcomes (fiddler-labs,
p2p-lending-data), `sba` the SBA case of small-business loans (Li, Mickel and Taylor 2018), `cards` the credit card
clients of one bank in Taiwan, April to September 2005 (UCI 350, Yeh and Lien 2009). Each names the columns that are
used; what is known only after the default is no feature, and for `cards` what is known only after the reference date.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

LGD_FEATURES = ("secured", "loan_to_value", "seniority", "amount")
EAD_FEATURES = ("utilisation", "limit", "months_on_book")
LENDING_FEATURES = ("amount", "int_rate", "sub_grade", "installment_share")
CARD_FEATURES = ("utilisation", "limit", "payment_status", "repaid")
HEADROOM = 0.2
"""Share of a card's limit that must be undrawn at the reference date for its conversion factor to say anything."""
LATE = 3
"""Months late from which a card counts as in default at the reference date already."""
SBA_FEATURES = ("gross", "guaranteed", "employees", "new_business", "urban", "revolving", "low_doc", "real_estate")


def drawn_lgd(rows: int, seed: int) -> pd.DataFrame:
    """Defaulted loans.

    Distributions, each row by itself:
        secured: 1 with probability 0.6. loan_to_value: uniform from 0.3 to 1.4 (0 where not secured).
        seniority: 0, 1, 2 with probabilities 0.7, 0.2, 0.1. amount: lognormal, log mean 10, log deviation 0.8.
        ead: amount times a uniform share from 0.5 to 1. downturn: 1 with probability 0.25.
        A loan cures with probability 0.25 (0.35 where secured): loss normal, mean 0.03, deviation 0.02. Others lose a
        beta with mean m and precision 4 plus costs, normal with mean 0.03 and deviation 0.05, where
        m = 0.15 + 0.45 max(0, loan_to_value - 0.5) if secured, else 0.62; + 0.06 seniority; + 0.05 in the downturn;
        cut to 0.02 and 0.95.
        So some losses lie below 0 and some above 1.
    """
    random = np.random.default_rng(seed)
    secured = (random.uniform(size=rows) < 0.6).astype(int)
    ratio = np.where(secured == 1, random.uniform(0.3, 1.4, rows), 0.0)
    seniority = random.choice(3, rows, p=[0.7, 0.2, 0.1])
    amount = np.exp(random.normal(10.0, 0.8, rows)).round(2)
    downturn = (random.uniform(size=rows) < 0.25).astype(int)
    mean = np.where(secured == 1, 0.15 + 0.45 * np.maximum(0.0, ratio - 0.5), 0.62)
    mean = np.clip(mean + 0.06 * seniority + 0.05 * downturn, 0.02, 0.95)
    severity = random.beta(4.0 * mean, 4.0 * (1.0 - mean)) + random.normal(0.03, 0.05, rows)
    cures = random.uniform(size=rows) < np.where(secured == 1, 0.35, 0.25)
    return pd.DataFrame(
        {
            "secured": secured,
            "loan_to_value": ratio.round(4),
            "seniority": seniority,
            "amount": amount,
            "ead": (amount * random.uniform(0.5, 1.0, rows)).round(2),
            "downturn": downturn,
            "lgd": np.where(cures, random.normal(0.03, 0.02, rows), severity).round(6),
        }
    )


def drawn_ead(rows: int, seed: int) -> pd.DataFrame:
    """Credit lines a year before their default.

    Distributions, each row by itself:
        limit: lognormal, log mean 8.5, log deviation 0.7. utilisation: beta(1.2, 1.5); 2 % of lines have a credit
        balance instead (uniform from -0.1 to 0), 3 % are drawn beyond the limit (uniform from 1 to 1.1).
        months_on_book: whole, uniform from 6 to 120.
        ccf: normal, mean 0.75 - 0.35 utilisation - 0.001 months_on_book, deviation 0.25, so some lie below 0 or above
        1. drawn: utilisation times limit.
    """
    random = np.random.default_rng(seed)
    limit = np.exp(random.normal(8.5, 0.7, rows)).round(2)
    used = random.beta(1.2, 1.5, rows)
    kind = random.uniform(size=rows)
    used = np.where(kind < 0.02, random.uniform(-0.1, 0.0, rows), used)
    used = np.where(kind > 0.97, random.uniform(1.0, 1.1, rows), used)
    months = random.integers(6, 121, rows)
    factor = random.normal(0.75 - 0.35 * used - 0.001 * months, 0.25)
    return pd.DataFrame(
        {
            "utilisation": used.round(6),
            "limit": limit,
            "months_on_book": months,
            "drawn": (used * limit).round(2),
            "ccf": factor.round(6),
        }
    )


def lendingclub(file: Path) -> pd.DataFrame:
    """Charged-off loans with what was lost on them.

    The amount lent is recovered from the instalment (a 36-month annuity, to the nearest 25 dollars). EAD is what of it
    was not repaid; LGD = 1 - (recoveries - collection fees) / EAD, undiscounted, as at the end of the file's
    observation. Features are those known at origination. `month` orders the rows in time, `observed` is its number.
    As an exposure the loan is a commitment of `amount` with nothing `drawn` on the day it is signed, so `ccf` is the
    share of the amount lent that is outstanding at charge-off: a figure of amortisation, not of drawing.
    """
    table = pd.read_csv(file)
    table = table[table["loan_status"] == "Charged Off"]
    rate = table["int_rate"] / 1200.0
    amount = (table["installment"] * (1.0 - (1.0 + rate) ** -36) / rate / 25.0).round() * 25.0
    exposure = amount - table["total_rec_prncp"]
    kept = exposure > 0.01 * amount
    regained = table["recoveries"] - table["collection_recovery_fee"]
    made = pd.DataFrame(
        {
            "amount": amount,
            "int_rate": table["int_rate"],
            "sub_grade": (table["grade"].map(ord) - ord("A")) * 5 + table["sub_grade"].str[1].astype(int),
            "installment_share": table["installment"] / amount,
            "ead": exposure,
            "lgd": 1.0 - regained / exposure,
            "drawn": 0.0,
            "ccf": exposure / amount,
            "subject": table["id"],
            "month": table["issue_d"],
            "observed": table["issue_d"].str[5:7].astype(float),
        }
    )
    return made[kept].reset_index(drop=True)


def sba(file: Path) -> pd.DataFrame:
    """Charged-off small-business loans: which share of what was disbursed was charged off.

    It stands for an LGD on the exposure as disbursed, before the guarantee pays and without later recoveries, which
    the file does not have. `Recession` marks the downturn. The term is left out: for loans that failed it tells when.
    """
    table = pd.read_csv(file)
    table = table[(table["MIS_Status"] == "CHGOFF") & (table["DisbursementGross"] > 0)]
    made = pd.DataFrame(
        {
            "gross": table["DisbursementGross"].astype(float),
            "guaranteed": table["SBA_Appv"] / table["GrAppv"],
            "employees": table["NoEmp"].clip(0, 500),
            "new_business": (table["NewExist"] == 2).astype(int),
            "urban": table["UrbanRural"],
            "revolving": (table["RevLineCr"] == "Y").astype(int),
            "low_doc": (table["LowDoc"] == "Y").astype(int),
            "real_estate": table["RealEstate"],
            "ead": table["DisbursementGross"].astype(float),
            "downturn": table["Recession"].fillna(0).astype(int),
            "lgd": table["ChgOffPrinGr"] / table["DisbursementGross"],
            "approved": table["ApprovalDate"],
        }
    )
    return made.reset_index(drop=True)


def cards(file: Path) -> pd.DataFrame:
    """Cards that defaulted in October 2005 with what was drawn on them meanwhile: one cohort, one fixed horizon.

    Reference date: the statement of April (`BILL_AMT6`), six months before the default; horizon: the statement of
    September (`BILL_AMT1`), the last before it. `ccf` is what was drawn in between over what was undrawn in April,
    not below 0 (what was paid back does not count: no exposure at default lies below what was drawn), not cut above.
    Left out are cards that were `LATE` months late in April, and those with less than `HEADROOM` of their limit
    undrawn: their factors are quotients of next to nothing. The limit is the one that the file has, as in October.
    `observed` and `outcome_known` are months of 2005.
    """
    table = pd.read_csv(file)
    table = table[table["default.payment.next.month"] == 1]
    limit, bill = table["LIMIT_BAL"].astype(float), table["BILL_AMT6"].astype(float)
    undrawn = limit - bill.clip(lower=0.0)
    kept = (table["PAY_6"] < LATE) & (undrawn >= HEADROOM * limit)
    made = pd.DataFrame(
        {
            "utilisation": bill / limit,
            "limit": limit,
            "payment_status": table["PAY_6"],
            "repaid": table["PAY_AMT6"] / limit,
            "drawn": bill,
            "ccf": ((table["BILL_AMT1"] - bill.clip(lower=0.0)) / undrawn.where(kept)).clip(lower=0.0),
            "observed": 4.0,
            "outcome_known": 10.0,
            "sex": table["SEX"],
            "subject": table["ID"],
        }
    )
    return made[kept].reset_index(drop=True)
