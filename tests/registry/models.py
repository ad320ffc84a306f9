"""A small real model and its contract, for tests of the registry and what stands on it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

FEATURES = ("income", "age", "arrears")


def frame(rows: int, seed: int) -> pd.DataFrame:
    """Applicants who default the more arrears they have; deterministic."""
    random = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "income": random.uniform(0, 100_000, rows).round(0),
            "age": random.integers(18, 90, rows),
            "arrears": random.integers(0, 9, rows),
            "sex": random.choice(["f", "m"], rows),
        }
    )
    chance = 1 / (1 + np.exp(2.5 - 0.5 * table["arrears"]))
    table["default"] = (random.uniform(size=rows) < chance).astype(int)
    return table


def contract(name: str = "pd-small") -> dict[str, Any]:
    """What an author writes."""
    why = {"purpose": "ability to pay", "legal_basis": "GDPR Art. 6(1)(b)"}
    return {
        "name": name,
        "kind": "pd",
        "tier": 2,
        "title": "Small PD model",
        "owner": "retail-credit",
        "product": "consumer loans",
        "process": "loan origination",
        "purposes": ["loan-origination"],
        "jurisdictions": ["EU", "US-NY"],
        "environments": ["production"],
        "protected": ["sex"],
        "input": {
            "features": [
                {"name": "income", "type": "float", "unit": "EUR a year", "minimum": "0", **why},
                {"name": "age", "type": "integer", "unit": "years", "minimum": "18", "maximum": "120", **why},
                {"name": "arrears", "type": "integer", "unit": "months", "minimum": "0", "maximum": "12", **why},
            ]
        },
        "output": {"name": "pd", "unit": "probability of default in 12 months", "minimum": "0", "maximum": "1"},
        "cut_offs": [{"decision": "grant", "below": "0.2"}, {"decision": "refer"}],
        "lineage": {"data": {"source": "0" * 64}},
    }
