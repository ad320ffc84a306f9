"""A small portfolio of every class, and a scenario document."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from strongroom.planning.classes import CLASSES
from strongroom.planning.scenario_signature import sign_scenario
from strongroom.vocabulary import PersonId
from tests import simulator
from tests.planning.exposures import part as part

NAN = float("nan")
SCENARIO = """
v = 1
name = "budget"
purpose = "tests"
author = "val"
effective_from = 2026-01-01
effective_until = 2028-01-01
prepayment_rate = 0.05
horizon_months = 24

[variables.unemployment]
unit = "percent"
mean = 5.0
sd = 2.0
weight = -1.0
source = "made up for tests"

[scenarios.good]
weight = 0.3
values = { unemployment = [3.0, 3.5] }

[scenarios.middle]
weight = 0.5
values = { unemployment = [5.0, 5.0] }

[scenarios.bad]
weight = 0.2
values = { unemployment = [8.6, 8.0] }

[link]
kind = "vasicek"
source = "made up for tests"
rho = { default = 0.15 }
lgd_slope = { default = 0.02 }

[own_funds]
cet1 = 90_000_000.0
"""


def columns(rows: int = 210, seed: int = 3) -> dict[str, Any]:
    """Columns of a portfolio, all of them, with nulls where there may be some."""
    random = np.random.default_rng(seed)
    classes = np.array([CLASSES[place % len(CLASSES)] for place in range(rows)])
    drawn = np.round(random.lognormal(11, 1, rows), 2)
    defaulted = random.random(rows) < 0.05
    mortgages, cards = classes == "residential-mortgage", np.char.startswith(classes, "qrre")
    pd = np.clip(random.lognormal(-4.5, 1.2, rows), 1e-6, 0.9)

    def sometimes(values: Any, there: Any) -> pa.Array:
        return pa.array(np.where(there, values, np.nan), from_pandas=True)

    return {
        "exposure": [f"e-{place}" for place in range(rows)],
        "subject": [f"s-{place}" for place in range(rows)],
        "class": classes,
        "drawn": drawn,
        "limit": np.where(cards, 2.5 * drawn, drawn),
        "remaining_months": random.integers(1, 300, rows),
        "commitment": np.where(cards, "cancellable", "commitment"),
        "approach": np.where(random.random(rows) < 0.1, "standardised", "irb"),
        "turnover_m": sometimes(random.lognormal(3, 1.5, rows), classes == "corporate"),
        "large_financial": (classes == "institution") & (random.random(rows) < 0.5),
        "maturity_years": random.uniform(0.5, 7, rows),
        "collateral": np.where(mortgages, "real-estate", "none"),
        "collateral_share": mortgages.astype(float),
        "subordinated": random.random(rows) < 0.03,
        "rating": random.choice(["AAA-AA", "BBB", "B", "unrated"], rows),
        "ltv": sometimes(random.uniform(0.1, 1.3, rows), mortgages & (random.random(rows) < 0.9)),
        "defaulted": defaulted,
        "days_past_due": np.where(random.random(rows) < 0.1, 40, 0),
        "elbe": sometimes(np.full(rows, 0.4), defaulted),
        "provisions": np.where(defaulted, 0.3 * drawn, 0.002 * drawn),
        "origination_pd": sometimes(np.clip(pd * random.lognormal(0, 0.7, rows), 1e-6, 0.9), random.random(rows) < 0.9),
        "eir": random.uniform(0.0, 0.1, rows),
        "amortisation": random.choice(["annuity", "linear", "bullet"], rows),
        "group": pa.array([None if place % 5 else f"g-{place % 3}" for place in range(rows)]),
        "segment": random.choice(["trade", "homes"], rows),
        "pd": pd,
        "lgd": np.clip(random.normal(0.4, 0.2, rows), 0.01, 1.2),
        "ead": drawn * 1.2,
    }  # fmt: skip


def write(path: Path, found: dict[str, Any]) -> Path:
    """A portfolio file."""
    pq.write_table(pa.table(found), path)
    return path


def scenario(folder: Path, text: str = SCENARIO) -> Path:
    """A scenario file with the signature of its author beside it."""
    path = folder / "scenario.toml"
    path.write_text(text)
    path.with_suffix(".dsse").write_bytes(signed(text))
    return path


@cache
def signed(text: str) -> bytes:
    """The author's envelope; kept, since each signature is another."""
    return sign_scenario(text.encode(), simulator.signer("val"), PersonId("val"))


def people(folder: Path) -> Path:
    """The register that says whose signatures count."""
    path = folder / "people.json"
    path.write_bytes(simulator.register().encode())
    return path
