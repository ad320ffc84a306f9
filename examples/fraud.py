"""A fraud model from data to report: `python -m examples.fraud OUT [card_fraud_ulb_1722.csv]`.

Without a file the payments are drawn: 60 days, three in a thousand fraudulent, of which the sample keeps every fraud
and one genuine payment in twenty. Frauds are larger, at night, far from home, soon after the payment before; from one
day on some of them hide their distance, so that detection falls a little with time.

The split is by time: development, then reference, then validation. The threshold is chosen by cost on the reference
sample, which the training did not see; the validation sample judges it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from xgboost import XGBClassifier

import strongroom
from examples.battery import examine, summary
from strongroom.validation.results import BatteryResults, evaluable
from strongroom.validation.statistics import detection

FALSE_ALARM = 10.0
GENUINE_SHARE = 0.05
ULB_GENUINE = 284_315
"""Genuine payments in the whole ULB set; the file keeps 1,230 of them."""


@dataclass(frozen=True)
class Payments:
    """A table with columns `amount`, `time`, `weight`, `fraud` and the features, in order of time."""

    name: str
    features: tuple[str, ...]
    table: pd.DataFrame
    unit: str


def drawn(seed: int = 1, count: int = 240_000, days: int = 60, rate: float = 0.003) -> Payments:
    """Payments out of a random generator, with every fraud and one genuine payment in twenty."""
    draw = np.random.default_rng(seed)
    fraud = draw.random(count) < rate
    time = np.sort(draw.uniform(0.0, 24.0 * days, count))
    hidden = fraud & (time > 24.0 * 0.75 * days) & (draw.random(count) < 0.25)
    amount = np.exp(draw.normal(3.3, 1.0, count) + fraud * draw.normal(1.2, 0.5, count))
    hour = np.where(
        fraud & (draw.random(count) < 0.5), draw.normal(3.0, 2.0, count) % 24, draw.normal(15.0, 4.0, count) % 24
    )
    distance = np.exp(draw.normal(1.5, 1.2, count) + 2.2 * (fraud & ~hidden))
    minutes = np.exp(draw.normal(6.0, 1.3, count) - 1.8 * fraud)
    abroad = (draw.random(count) < np.where(fraud & ~hidden, 0.4, 0.06)).astype(int)
    table = pd.DataFrame(
        {
            "log_amount": np.log(amount), "hour": hour, "distance": distance, "minutes_since": minutes,
            "abroad": abroad, "amount": amount.round(2), "time": time, "fraud": fraud.astype(int),
            "weight": np.where(fraud, 1.0, 1.0 / GENUINE_SHARE),
        }
    )  # fmt: skip
    keep = fraud | (draw.random(count) < GENUINE_SHARE)
    names = ("log_amount", "hour", "distance", "minutes_since", "abroad")
    return Payments("card-fraud-drawn", names, table[keep].reset_index(drop=True), "hours")


def ulb(path: Path) -> Payments:
    """The ULB card data: principal components without names, seconds of two days, amounts in euro."""
    table = pd.read_csv(path, index_col=0).sort_values("Time", kind="stable").reset_index(drop=True)
    names = tuple(f"V{i}" for i in range(1, 29))
    genuine = table["Class"] == 0
    table = table.assign(
        log_amount=np.log1p(table["Amount"]), amount=table["Amount"], time=table["Time"], fraud=table["Class"],
        weight=np.where(genuine, ULB_GENUINE / genuine.sum(), 1.0),
    )  # fmt: skip
    return Payments("card-fraud-ulb", (*names, "log_amount"), table, "seconds")


def split(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Half to learn from, a fifth as reference, the rest to validate, in order of time; equal times stay together."""
    time = table["time"].to_numpy()
    first, second = np.quantile(time, [0.5, 0.7])
    return table[time < first], table[(time >= first) & (time < second)], table[time >= second]


def contract(payments: Payments, threshold: float) -> dict[str, Any]:
    """What `model.toml` says."""
    features = [
        {"name": name, "type": "float", "unit": "derived", "purpose": "fraud prevention",
         "legal_basis": "GDPR Art. 6(1)(f)"}
        for name in payments.features
    ]  # fmt: skip
    return {
        "name": payments.name, "kind": "fraud", "tier": 2, "title": "Card fraud", "owner": "fraud team",
        "product": "cards", "process": "payments", "purposes": ["fraud-prevention"], "jurisdictions": ["EU"],
        "environments": ["production"], "input": {"features": features},
        "output": {"name": "score", "unit": "score", "minimum": "0", "maximum": "1", "tensor": "probabilities"},
        "cut_offs": [{"decision": "pass", "below": repr(threshold)}, {"decision": "alarm"}],
        "outcome": {"meaning": "the payment was reported as fraud", "window": "90 days", "amount": "amount",
                    "time": "time", "weight": "weight"},
    }  # fmt: skip


def work(out: Path, payments: Payments) -> BatteryResults:
    """Train, package and examine; everything under `out`."""
    development, reference, validation = split(payments.table)
    names = list(payments.features)
    model = XGBClassifier(
        n_estimators=150, max_depth=3, learning_rate=0.08, subsample=0.8, n_jobs=1, random_state=0, tree_method="hist"
    )
    model.fit(development[names].astype(np.float32), development["fraud"])
    scores = model.predict_proba(reference[names].astype(np.float32))[:, 1]
    table = detection.steps(reference["fraud"], scores, reference["amount"], reference["weight"])
    threshold = detection.costs(evaluable(table), FALSE_ALARM).best
    stated = contract(payments, round(float(threshold), 6))
    made = strongroom.package(
        model, out / "package", contract=stated, outcome="fraud", development=development, reference=reference
    )
    kept = [*names, "fraud", "amount", "time", "weight"]
    return examine(out, made.contract, pa.Table.from_pandas(validation[kept], preserve_index=False))


def main(arguments: list[str]) -> int:
    """Run it; 2 for wrong arguments."""
    if not 1 <= len(arguments) <= 2:
        print("usage: python -m examples.fraud OUT [card_fraud_ulb_1722.csv]", file=sys.stderr)
        return 2
    out = Path(arguments[0])
    out.mkdir(parents=True, exist_ok=True)
    if len(arguments) == 2 and not Path(arguments[1]).is_file():
        print(f"{arguments[1]} is not there; skipped", file=sys.stderr)
        return 0
    print(summary(work(out, ulb(Path(arguments[1])) if len(arguments) == 2 else drawn())))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
