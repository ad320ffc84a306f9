"""A forecast from data to report: `python -m examples.forecast OUT`.

The series is the monthly turnover of makers of electrical equipment in the euro area (Eurostat, public domain), as the
statsmodels wheel ships it: trend, season, a crash in 2009. It stands for the receipts of a firm.

One model answers every horizon and quantile, since both are features: boosted trees on the growth over the seasonal
naive forecast, with the quantile loss of each row's own quantile, rising in the quantile by constraint, so that
quantiles never cross. The ONNX file carries the way back from growth to turnover: base times exp(scale times trees).

The split is by time: outcomes up to the first origin of the back-test are known to the training, none after it. The
reference sample is the later part of the development sample, since the series is short. The model is fitted once; a
bank that fits anew each quarter releases a version each quarter and validates each.
"""

from __future__ import annotations

import csv
import sys
from dataclasses import dataclass
from importlib import metadata
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pandas as pd
import pyarrow as pa
from onnx import TensorProto, helper
from onnxmltools.convert import convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from xgboost import XGBRegressor

import strongroom
from examples.battery import examine, summary
from strongroom.validation.results import BatteryResults
from strongroom.validation.statistics.walking import naive, rolling_origins

SEASON = 12
HORIZONS = (1, 2, 3, 6)
QUANTILES = (50, 250, 500, 750, 950)
FEATURES = ("base", "growth", "growth_quarter", "growth_before", "momentum", "month", "horizon", "quantile")
FIRST_VALIDATION = 192
"""Origin of January 2011: sixteen years to learn from, the rest to be tested on."""
FIRST_REFERENCE = 156
Floats = npt.NDArray[np.float64]


def turnover() -> Floats:
    """The series, one value a month from January 1995 on, found in the installed package without importing it."""
    listed = metadata.files("statsmodels") or []
    path = next(file for file in listed if file.name == "elec_equip.csv").locate()
    with Path(str(path)).open(newline="") as lines:
        return np.array([float(row[1]) for row in list(csv.reader(lines))[1:]])


def rows_at(series: Floats, origin: int, targets: tuple[int, ...]) -> pd.DataFrame:
    """One row for each target and quantile, from what is known at `origin` alone.

    Args:
        series: of which nothing after `origin` enters a feature; the outcome is NaN where it is not known yet.
        origin: last known month, 25 or more.
        targets: months after it.
    """
    known = np.log(series[: origin + 1])
    year = known[SEASON:] - known[:-SEASON]
    found = []
    for target, quantile in product(targets, QUANTILES):
        base = naive(series, origin, target, SEASON)
        found.append(
            {
                "base": base, "growth": year[-1], "growth_quarter": year[-3:].mean(), "growth_before": year[-13],
                "momentum": year[-1] - year[-4], "month": target % SEASON + 1, "horizon": target - origin,
                "quantile": quantile, "origin": origin,
                "turnover": series[target] if target < len(series) else np.nan,
            }
        )  # fmt: skip
    return pd.DataFrame(found)


def sample(series: Floats, first: int, last: int) -> pd.DataFrame:
    """Rows of the origins from `first` up to and without `last`."""
    parts = []
    for origin in rolling_origins(len(series), first, max(HORIZONS)):
        if origin.last >= last:
            break
        ahead = tuple(target for target in origin.ahead if target - origin.last in HORIZONS)
        if len(ahead) == len(HORIZONS):
            parts.append(rows_at(series, origin.last, ahead))
    return pd.concat(parts, ignore_index=True)


@dataclass(frozen=True)
class Model:
    """Trees, and what turns their answer into turnover."""

    trees: XGBRegressor
    scale: float

    def predict(self, rows: pd.DataFrame) -> Floats:
        """Turnover, shape [rows]."""
        x = rows[list(FEATURES)].to_numpy(np.float32)
        growth = self.trees.predict(x).astype(np.float64) * self.scale
        return np.asarray(x[:, 0].astype(np.float64) * np.exp(growth))

    def onnx(self) -> bytes:
        """The same as one ONNX file: input [rows, features], output `turnover` [rows, 1]."""
        types = [("input", FloatTensorType([None, len(FEATURES)]))]
        made = convert_xgboost(self.trees, initial_types=types, target_opset=15)
        grown = made.graph.output[0].name
        constants = {
            "scale": helper.make_tensor("scale", TensorProto.FLOAT, [1], [self.scale]),
            "first": helper.make_tensor("first", TensorProto.INT64, [1], [0]),
        }
        made.graph.node.extend(
            [
                helper.make_node("Mul", [grown, "scale"], ["scaled"]),
                helper.make_node("Exp", ["scaled"], ["factor"]),
                helper.make_node("Gather", ["input", "first"], ["base"], axis=1),
                helper.make_node("Mul", ["base", "factor"], ["turnover"]),
            ]
        )
        made.graph.initializer.extend(constants.values())
        if not any(known.domain == "" for known in made.opset_import):
            made.opset_import.append(helper.make_opsetid("", 15))
        del made.graph.output[:]
        made.graph.output.append(helper.make_tensor_value_info("turnover", TensorProto.FLOAT, [None, 1]))
        onnx.checker.check_model(made)
        return bytes(made.SerializeToString())


def fit(development: pd.DataFrame) -> Model:
    """Boosted trees with each row's own quantile loss, on the growth over the seasonal naive forecast.

    Leaves are large, so that intervals hold about what they promise on the rows that were learnt: smaller leaves made
    them hold nearly everything there, and far too little later.
    """
    growth = np.log(development["turnover"] / development["base"]).to_numpy()
    scale, level = float(growth.std()), development["quantile"].to_numpy() / 1000.0

    def loss(actual: Floats, forecast: Floats) -> tuple[Floats, Floats]:
        return np.where(actual >= forecast, -level, 1.0 - level), np.ones(len(actual))

    trees = XGBRegressor(
        n_estimators=200, max_depth=3, learning_rate=0.1, min_child_weight=150, n_jobs=1, random_state=0,
        base_score=0.0, tree_method="hist", objective=loss,
        monotone_constraints=tuple(int(name == "quantile") for name in FEATURES),
    )  # fmt: skip
    trees.fit(development[list(FEATURES)].to_numpy(np.float32), growth / scale)
    trees.set_params(objective="reg:squarederror")
    return Model(trees, scale)


def contract() -> dict[str, Any]:
    """What `model.toml` says."""
    categories = {"month": tuple(range(1, SEASON + 1)), "horizon": HORIZONS, "quantile": QUANTILES}
    units = {
        "base": "index, 2010 = 100",
        "month": "month of the target",
        "horizon": "months",
        "quantile": "thousandths",
    }
    features: list[dict[str, Any]] = []
    for name in FEATURES:
        told = {"name": name, "unit": units.get(name, "log growth"), "purpose": "liquidity planning",
                "legal_basis": "no personal data"}  # fmt: skip
        kind = {"type": "category", "allowed": list(categories[name])} if name in categories else {"type": "float"}
        features.append({**told, **kind, **({"minimum": "1"} if name == "base" else {})})
    return {
        "name": "turnover-forecast", "kind": "forecast", "tier": 3, "title": "Turnover of electrical equipment",
        "owner": "treasury", "product": "receipts", "process": "liquidity", "purposes": ["liquidity-planning"],
        "jurisdictions": ["EU"], "environments": ["production"], "input": {"features": features},
        "output": {"name": "turnover", "unit": "index, 2010 = 100", "minimum": "0", "maximum": "1000",
                   "tensor": "turnover", "column": 0},
        "outcome": {"meaning": "working-day adjusted turnover of the month", "window": "one month", "minimum": "0",
                    "origin": "origin"},
        "series": {"frequency": "month", "season": SEASON, "horizon": "horizon", "quantile": "quantile"},
    }  # fmt: skip


def samples(series: Floats) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Development, reference and validation sample."""
    # the last outcome that training or reference may hold is that of the first origin of the back-test
    early = sample(series, 26, FIRST_REFERENCE - max(HORIZONS) + 1)
    reference = sample(series, FIRST_REFERENCE, FIRST_VALIDATION - max(HORIZONS) + 1)
    development = pd.concat([early, reference], ignore_index=True)
    return development, reference, sample(series, FIRST_VALIDATION, len(series))


def work(out: Path, series: Floats) -> BatteryResults:
    """Fit, package and examine; everything under `out`."""
    development, reference, validation = samples(series)
    model = fit(development)
    made = strongroom.package(
        model.onnx(), out / "package", contract=contract(), outcome="turnover", development=development,
        reference=reference, predictions=model.predict(reference),
    )  # fmt: skip
    kept = [*FEATURES, "turnover", "origin"]
    return examine(out, made.contract, pa.Table.from_pandas(validation[kept], preserve_index=False))


def main(arguments: list[str]) -> int:
    """Run it; 2 for wrong arguments."""
    if len(arguments) != 1:
        print("usage: python -m examples.forecast OUT", file=sys.stderr)
        return 2
    out = Path(arguments[0])
    out.mkdir(parents=True, exist_ok=True)
    print(summary(work(out, turnover())))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
