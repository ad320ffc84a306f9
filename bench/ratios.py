"""From runs to ratios, each beside its bar. Pure: the same runs give the same ratios."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

Run = dict[str, Any]
FRAMEWORKS: Final = ("mlserver", "kserve", "bentoml", "mlflow")
"""Those of which the best counts."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One figure and what it must come to.

    Attributes:
        name: key in `results.json`.
        words: for people.
        at_least: lower bound, None where there is an upper one or none at all.
        at_most: upper bound.
    """

    name: str
    words: str
    at_least: float | None = None
    at_most: float | None = None

    def met(self, value: float) -> bool | None:
        """Whether it is; None without a bar."""
        if self.at_least is not None:
            return value >= self.at_least
        return None if self.at_most is None else value <= self.at_most


BARS: Final = (
    Bar("bare_1row_64conn_known", "requests/s of bare granian, known subjects", at_least=1.0),
    Bar("bare_direct_1row_64conn_known", "requests/s of bare_direct, known subjects", at_least=0.5),
    Bar("bare_1row_64conn_new", "requests/s of bare granian, a new subject in every request", at_least=0.8),
    Bar("fastapi_1row_64conn", "requests/s of FastAPI", at_least=4.0),
    Bar("best_framework_1row_64conn", "requests/s of the best of MLServer, KServe, BentoML, MLflow", at_least=9.0),
    Bar("fastapi_1row_8conn", "requests/s of FastAPI at 8 connections", at_least=1.2),
    Bar("half_load_p99_minus_bare_ms", "p99 at half load less bare granian's at the same rate, ms", at_most=3.0),
    Bar("bare_json_1000row", "requests/s of bare granian, 1,000 rows as JSON", at_least=0.8),
    Bar("binary_vs_bare_json_1000row", "requests/s, 1,000 rows as binary tensors, of bare's JSON", at_least=0.9),
    Bar("native_vs_bare_json_1000row", "requests/s, 1,000 binary rows, native XGBoost, of bare's JSON", 1.3),
    Bar("start_to_verified_s", "seconds from start to the first verified answer", at_most=1.5),
    Bar("worker_memory_mib", "memory of a worker at rest, MiB (RSS)", at_most=200.0),
    Bar("native_json_1000row", "requests/s of bare granian, 1,000 rows as JSON, native XGBoost"),
    Bar("onedal_1row_64conn_known", "requests/s of bare granian, known subjects, oneDAL"),
    Bar("onedal_1row_64conn_new", "requests/s of bare granian, a new subject in every request, oneDAL"),
    Bar("onedal_binary_vs_bare_json_1row", "requests/s, 1 binary row, oneDAL, of bare's JSON"),
    Bar("onedal_json_32row_32conn", "requests/s of bare granian, 32 rows as JSON, oneDAL"),
    Bar("onedal_binary_vs_bare_json_32row", "requests/s, 32 binary rows, oneDAL, of bare's JSON"),
    Bar("onedal_json_1000row", "requests/s of bare granian, 1,000 rows as JSON, oneDAL"),
    Bar("onedal_binary_vs_bare_json_1000row", "requests/s, 1,000 binary rows, oneDAL, of bare's JSON"),
    Bar("bare_1row_8conn", "requests/s of bare granian at 8 connections"),
    Bar("bare_32row_32conn", "requests/s of bare granian, 32 rows at 32 connections"),
    Bar("litserve_1row_64conn", "requests/s of LitServe"),
    Bar("ray_1row_64conn", "requests/s of Ray Serve"),
    Bar("mlserver_1row_64conn", "requests/s of MLServer"),
    Bar("kserve_1row_64conn", "requests/s of KServe"),
    Bar("bentoml_1row_64conn", "requests/s of BentoML"),
    Bar("mlflow_1row_64conn", "requests/s of MLflow"),
)  # fmt: skip


def pick(runs: Iterable[Run], **wanted: object) -> list[Run]:
    """Runs with these fields; a field that a run does not have counts as its usual value."""
    usual = {"encoding": "json", "subjects": "known", "load": "full", "session": "", "runtime": "onnxruntime"}
    return [run for run in runs if all(run.get(name, usual.get(name)) == value for name, value in wanted.items())]


def median(runs: Sequence[Run], figure: str = "requests_per_s") -> float | None:
    """Of one figure; None without runs."""
    return statistics.median(run[figure] for run in runs) if runs else None


def beside(
    runs: Sequence[Run],
    server: str,
    rows: int,
    connections: int,
    subjects: str = "known",
    encoding: str = "json",
    runtime: str = "onnxruntime",
) -> float | None:
    """Ours over `server`, medians of runs that alternated in one session; None where there is no such session.

    Where several sessions had both, the median of their ratios counts.
    """
    ratios = []
    same = {"rows": rows, "connections": connections, "load": "full"}
    for session in dict.fromkeys(run.get("session", "") for run in runs):
        here = pick(runs, session=session, **same)
        ours = median(pick(here, server="strongroom", subjects=subjects, encoding=encoding, runtime=runtime))
        theirs = median(pick(here, server=server))
        if ours is not None and theirs:
            ratios.append(ours / theirs)
    return statistics.median(ratios) if ratios else None


def half_load(runs: Sequence[Run]) -> float | None:
    """p99 of ours less that of bare granian at half load."""
    half = pick(runs, load="half", rows=1)
    ours = median(pick(half, server="strongroom"), "p99_ms")
    bare = median(pick(half, server="bare"), "p99_ms")
    return None if ours is None or bare is None else ours - bare


def ratios(
    runs: Sequence[Run], starts: dict[str, list[float]], memory: dict[str, dict[str, float]]
) -> dict[str, float]:
    """Every figure of `BARS` that these runs allow."""

    def with_onedal(rows: int, connections: int, subjects: str = "known", encoding: str = "json") -> float | None:
        return beside(runs, "bare", rows, connections, subjects, encoding, "onedal")

    frameworks = [ratio for name in FRAMEWORKS if (ratio := beside(runs, name, 1, 64)) is not None]
    figures: dict[str, Callable[[], float | None]] = {
        "bare_1row_64conn_known": lambda: beside(runs, "bare", 1, 64),
        "bare_direct_1row_64conn_known": lambda: beside(runs, "bare_direct", 1, 64),
        "bare_1row_64conn_new": lambda: beside(runs, "bare", 1, 64, "new"),
        # the best framework is the one that ours is the fewest times as fast as
        "best_framework_1row_64conn": lambda: min(frameworks, default=None),
        "fastapi_1row_8conn": lambda: beside(runs, "fastapi", 1, 8),
        "half_load_p99_minus_bare_ms": lambda: half_load(runs),
        "bare_json_1000row": lambda: beside(runs, "bare", 1000, 8),
        "binary_vs_bare_json_1000row": lambda: beside(runs, "bare", 1000, 8, encoding="binary"),
        "native_json_1000row": lambda: beside(runs, "bare", 1000, 8, runtime="xgboost"),
        "native_vs_bare_json_1000row": lambda: beside(runs, "bare", 1000, 8, encoding="binary", runtime="xgboost"),
        "onedal_1row_64conn_known": lambda: with_onedal(1, 64),
        "onedal_1row_64conn_new": lambda: with_onedal(1, 64, subjects="new"),
        "onedal_binary_vs_bare_json_1row": lambda: with_onedal(1, 64, encoding="binary"),
        "onedal_json_32row_32conn": lambda: with_onedal(32, 32),
        "onedal_binary_vs_bare_json_32row": lambda: with_onedal(32, 32, encoding="binary"),
        "onedal_json_1000row": lambda: with_onedal(1000, 8),
        "onedal_binary_vs_bare_json_1000row": lambda: with_onedal(1000, 8, encoding="binary"),
        "start_to_verified_s": lambda: statistics.median(starts["strongroom"]) if starts.get("strongroom") else None,
        "worker_memory_mib": lambda: memory.get("strongroom", {}).get("worker_rss_mib"),
        "bare_1row_8conn": lambda: beside(runs, "bare", 1, 8),
        "bare_32row_32conn": lambda: beside(runs, "bare", 32, 32),
    }
    found: dict[str, float] = {}
    for bar in BARS:
        server = bar.name.partition("_")[0]
        figure = figures.get(bar.name) or (lambda server=server: beside(runs, server, 1, 64))
        value = figure()
        if value is not None:
            found[bar.name] = round(value, 3)
    return found
