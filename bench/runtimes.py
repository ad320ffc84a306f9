"""Runtimes for one forest (300 trees, depth 6, 23 features), in microseconds of processor time, one thread.

    python -m bench.runtimes [--seconds 1.0]

onnxruntime, native XGBoost and oneDAL are ours, measured through `serving.ports.Session`. treelite's GTIL and trees
compiled by tl2cgen are measured where they are installed (`pip install treelite tl2cgen`, and a C compiler): they are
no runtimes of ours, and the figures say why. One value in twenty is missing; `--whole` leaves none out. Rounds of the
runtimes alternate, processor time is measured and the quickest round counts, since others use the machine. Rates of two
runs are not comparable; ratios within one are.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from strongroom.adapters.runtimes.by_name import machine_of
from strongroom.adapters.runtimes.onedal_runtime import OneDalRuntime
from strongroom.adapters.runtimes.onnx_runtime import OnnxRuntime
from strongroom.adapters.runtimes.xgboost_runtime import XGBoostRuntime

FEATURES, TREES, DEPTH = 23, 300, 6
SIZES = (1, 8, 32, 128, 1000, 8192)
ROUNDS = 7


def train() -> tuple[Any, Any]:
    """A classifier and rows like those it was trained on, some values missing."""
    from xgboost import XGBClassifier

    random = np.random.default_rng(20261125)
    rows = random.normal(size=(20_000, FEATURES)).astype(np.float32)
    truth = rows[:, 0] + rows[:, 1] * rows[:, 2] + random.normal(size=len(rows)) > 0
    rows[random.random(rows.shape) < 0.05] = np.nan
    model = XGBClassifier(n_estimators=TREES, max_depth=DEPTH, learning_rate=0.1, n_jobs=os.cpu_count())
    return model.fit(rows, truth.astype(int)), rows


def runtimes(model: Any, folder: Path) -> dict[str, Callable[[Any], Any]]:
    """A function from rows to answers for each runtime that is here."""
    import onnxmltools
    from onnxmltools.convert.common.data_types import FloatTensorType

    onnx = onnxmltools.convert_xgboost(
        model, initial_types=[("input", FloatTensorType([None, FEATURES]))], target_opset=15
    ).SerializeToString()
    native = bytes(model.get_booster().save_raw("ubj"))
    found: dict[str, Callable[[Any], Any]] = {
        "onnxruntime": OnnxRuntime().load(onnx, "input", "probabilities", FEATURES).run,
        "xgboost": XGBoostRuntime().load(native, "input", "probability", FEATURES).run,
    }
    if machine_of("onedal") is not None:
        found["onedal"] = OneDalRuntime().load(onnx, "input", "probabilities", FEATURES).run
    if importlib.util.find_spec("treelite") is not None:
        import treelite

        forest = treelite.frontend.from_xgboost(model.get_booster())
        found["treelite GTIL"] = lambda rows: treelite.gtil.predict(forest, rows, nthread=1)
        compiler = shutil.which("gcc") or shutil.which("cc")
        if compiler and importlib.util.find_spec("tl2cgen") is not None:
            import tl2cgen

            library = folder / "forest.so"
            tl2cgen.export_lib(forest, toolchain="gcc", libpath=str(library), params={"parallel_comp": 8})
            compiled = tl2cgen.Predictor(str(library), nthread=1)
            found["compiled (tl2cgen)"] = lambda rows: compiled.predict(tl2cgen.DMatrix(rows, dtype="float32"))
            print(f"the compiled forest has {library.stat().st_size / 1e6:.1f} MB of machine code", file=sys.stderr)
    return found


def measure(found: dict[str, Callable[[Any], Any]], rows: Any, seconds: float) -> list[dict[str, Any]]:
    """Quickest round for each runtime and size."""
    runs = []
    for size in SIZES:
        # other rows in each call: a processor learns the branches of rows that it sees again and again
        parts = [np.ascontiguousarray(rows[at : at + size]) for at in range(0, len(rows) - size + 1, size)]
        best = dict.fromkeys(found, float("inf"))
        for _ in range(ROUNDS):
            for name, run in found.items():
                run(parts[-1])
                calls, begin = 0, time.thread_time()
                while time.thread_time() - begin < seconds / ROUNDS or calls < 2:
                    run(parts[calls % len(parts)])
                    calls += 1
                best[name] = min(best[name], (time.thread_time() - begin) / calls)
        for name, taken in best.items():
            runs.append(
                {
                    "runtime": name,
                    "rows": size,
                    "us_a_call": round(taken * 1e6, 1),
                    "us_a_row": round(taken * 1e6 / size, 3),
                }
            )
    return runs


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=1.0, help="of measuring, for each runtime and size")
    parser.add_argument("--whole", action="store_true", help="rows without missing values")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    model, rows = train()
    rows = np.nan_to_num(rows) if given.whole else rows
    with tempfile.TemporaryDirectory() as folder:
        found = runtimes(model, Path(folder))
        runs = measure(found, rows, given.seconds)
        other = np.ravel(found["xgboost"](rows[:4096]))
        answers = np.ascontiguousarray(found["onnxruntime"](rows[:4096])[:, 1])
    differ = int((answers.view(np.uint32) != other.view(np.uint32)).sum())
    if given.json:
        print(
            json.dumps({"machine": platform.processor() or platform.machine(), "runs": runs, "differ_of_4096": differ})
        )
        return
    print("| rows | " + " | ".join(found) + " |\n|---|" + "---|" * len(found))
    for size in SIZES:
        cells = [f"{one['us_a_call']:.0f} ({one['us_a_row']:.2f})" for one in runs if one["rows"] == size]
        print(f"| {size} | " + " | ".join(cells) + " |")
    print(f"\nmicroseconds a call (a row); onnxruntime and XGBoost differ in a bit in {differ} of 4096 rows")


if __name__ == "__main__":
    main()
