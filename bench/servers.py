"""The servers beside ours: how each is started, asked and read; each in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import environments, workload
from bench.load import Request, write_script
from bench.node import free_port
from bench.processes import SERVER_CORE, NotStartedError, process, wait_until

Matrix = NDArray[np.float32]
JSON = {"Content-Type": "application/json"}


def v2(matrix: Matrix) -> bytes:
    """A V2 request, no data subject."""
    return workload.v2_json(matrix, None)


def v2_scores(answer: Any) -> list[float]:
    """Of a V2 answer."""
    return list(answer["outputs"][0]["data"])


@dataclass(frozen=True, slots=True)
class Recipe:
    """One server that is not ours.

    Attributes:
        title: for tables.
        command: from the environment's `bin`, the port and a scratch folder to a command line.
        target: where it is asked.
        ask: a body for some rows.
        scores: of a decoded answer.
        package: whose version is told.
        environment: beside `BENCH_MODEL` and the scheduling.
        settings: files that it wants in its folder.
        prepare: done once before it starts, outside of every clock.
        how: settings in words.
        tuned: runs under SCHED_BATCH when ours does.
    """

    title: str
    command: Callable[[Path, int, Path], list[str]]
    target: str
    ask: Callable[[Matrix], bytes]
    scores: Callable[[Any], list[float]]
    package: str
    how: str
    environment: Mapping[str, str] = field(default_factory=dict)
    settings: Callable[[int], dict[str, Any]] | None = None
    prepare: Callable[[Path, Path, Path], None] | None = None
    tuned: bool = False


def here(name: str, file: str = "server.py") -> str:
    """A file of a peer's folder."""
    return str(environments.PEERS / name / file)


def prepare_mlflow(programs: Path, model: Path, scratch: Path) -> None:
    """Log the model."""
    done = subprocess.run(
        [str(programs / "python"), here("mlflow", "make.py"), str(model), str(scratch / "model")],
        capture_output=True, text=True, check=False, cwd=scratch,
    )  # fmt: skip
    if done.returncode != 0:
        raise NotStartedError(f"the model could not be logged: {(done.stderr.strip().splitlines() or ['?'])[-1][:300]}")


def mlserver_settings(port: int) -> dict[str, Any]:
    """settings.json and model-settings.json."""
    return {
        "settings.json": {
            "http_port": port, "grpc_port": free_port(), "metrics_port": free_port(), "host": "127.0.0.1",
            "parallel_workers": 0, "debug": False, "metrics_endpoint": None, "access_log_enabled": False,
        },
        "model-settings.json": {"name": "pd-cards", "implementation": "server.OnnxModel"},
    }  # fmt: skip


RECIPES: dict[str, Recipe] = {
    "bare": Recipe(
        "bare limit: granian RSGI, msgspec, onnxruntime",
        lambda programs, port, _: [
            str(programs / "granian"), "--interface", "rsgi", "--host", "127.0.0.1", "--port", str(port), "--workers",
            "1", "--loop", "uvloop", "--no-ws", "--log-level", "error", "--working-dir",
            str(environments.PEERS / "bare"), "server:app",
        ],
        "/v2/models/pd-cards/infer", v2, v2_scores, "granian", "one worker, uvloop, no control", tuned=True,
    ),
    "bare_direct": Recipe(
        "bare limit 2: uvloop protocol, httptools, one call a loop turn",
        lambda programs, port, _: [str(programs / "python"), here("bare_direct"), str(port)],
        "/v2/models/pd-cards/infer", v2, v2_scores, "uvloop", "all requests of a loop turn in one call, no control",
        tuned=True,
    ),
    "fastapi": Recipe(
        "FastAPI, uvicorn, pydantic, onnxruntime, by hand",
        lambda programs, port, _: [
            str(programs / "uvicorn"), "--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--loop",
            "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning", "--app-dir",
            str(environments.PEERS / "fastapi"), "server:app",
        ],
        "/predict", lambda matrix: workload.rows_json(matrix, "rows"), lambda answer: list(answer["scores"]), "fastapi",
        "uvloop, httptools, async endpoint, no access log, answer straight to bytes",
    ),
    "mlserver": Recipe(
        "MLServer",
        lambda programs, _port, scratch: [str(programs / "mlserver"), "start", str(scratch)],
        "/v2/models/pd-cards/infer", v2, v2_scores, "mlserver",
        "parallel_workers 0 (no worker processes), no access log, no metrics endpoint",
        environment={"PYTHONPATH": str(environments.PEERS / "mlserver")}, settings=mlserver_settings,
    ),
    "kserve": Recipe(
        "KServe Python model server",
        lambda programs, port, _: [str(programs / "python"), here("kserve"), str(port)],
        "/v2/models/pd-cards/infer", v2, v2_scores, "kserve", "one worker, async predict, no gRPC, no latency log",
    ),
    "bentoml": Recipe(
        "BentoML",
        lambda programs, port, _: [
            str(programs / "bentoml"), "serve", "service:Pd", "--host", "127.0.0.1", "--port", str(port),
            "--working-dir", str(environments.PEERS / "bentoml"),
        ],
        "/predict", lambda matrix: workload.rows_json(matrix, "rows"), list, "bentoml",
        "one worker, metrics off, no adaptive batching",
        environment={
            "BENTOML_DO_NOT_TRACK": "True", "BENTOML_CONFIG_OPTIONS": "api_server.logging.access.enabled=false",
        },
    ),
    "mlflow": Recipe(
        "MLflow scoring server",
        lambda programs, port, scratch: [
            str(programs / "mlflow"), "models", "serve", "-m", str(scratch / "model"), "--env-manager", "local",
            "-w", "1", "-h", "127.0.0.1", "-p", str(port),
        ],
        "/invocations", lambda matrix: workload.rows_json(matrix, "inputs"),
        lambda answer: [row[1] for row in answer["predictions"]["probabilities"]], "mlflow",
        "ONNX flavour with a tensor signature, one worker", environment={"MLFLOW_DISABLE_TELEMETRY": "true"},
        prepare=prepare_mlflow,
    ),
    "litserve": Recipe(
        "LitServe",
        lambda programs, port, _: [str(programs / "python"), here("litserve"), str(port)],
        "/predict", lambda matrix: workload.rows_json(matrix, "rows"), lambda answer: list(answer["scores"]),
        "litserve", "one worker, one API server, fast queue",
    ),
    "ray": Recipe(
        "Ray Serve",
        lambda programs, port, _: [str(programs / "python"), here("ray"), str(port)],
        "/predict", lambda matrix: workload.rows_json(matrix, "rows"), lambda answer: list(answer["scores"]), "ray",
        "one replica, one proxy, no dashboard, no access log",
        environment={"RAY_USAGE_STATS_ENABLED": "0"},
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Peer:
    """A server that may be started.

    Attributes:
        name: in `RECIPES`.
        folder: scratch.
        model: the ONNX file.
        batch_scheduling: what ours gets, the bare ones get too.
    """

    name: str
    folder: Path
    model: Path
    batch_scheduling: bool
    port: int

    @classmethod
    def make(cls, name: str, folder: Path, model: Path, *, batch_scheduling: bool) -> Peer:
        """Its environment and its files.

        Raises:
            NoEnvironmentError: it cannot be installed.
            NotStartedError: its model cannot be made ready.
        """
        recipe = RECIPES[name]
        programs = environments.make(name)
        folder.mkdir(parents=True)
        port = free_port()
        for file, content in (recipe.settings(port) if recipe.settings else {}).items():
            (folder / file).write_text(json.dumps(content))
        if recipe.prepare is not None:
            recipe.prepare(programs, model, folder)
        return cls(name, folder, model, batch_scheduling and recipe.tuned, port)

    @property
    def recipe(self) -> Recipe:
        return RECIPES[self.name]

    @contextmanager
    def serving(self) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
        """Started, and answering; the seconds from the start of its process to its first right answer."""
        recipe, programs = self.recipe, environments.bin_of(self.name)
        environment = {
            "BENCH_MODEL": str(self.model), "BENCH_SCRATCH": str(self.folder / "s"), "OMP_NUM_THREADS": "1",
            "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": "", "HOME": str(self.folder),
            **recipe.environment,
        }  # fmt: skip
        if self.batch_scheduling:
            environment["BENCH_BATCH"] = "1"
        said = self.folder / "said.log"
        matrix = workload.batch(0, 1)[0]
        body, right = recipe.ask(matrix), workload.expected(matrix)
        begin = time.perf_counter()
        command = recipe.command(programs, self.port, self.folder)
        with process(command, environment, SERVER_CORE, said, self.folder) as child:
            wait_until(lambda: self._right(body, right), child, said)
            yield child, time.perf_counter() - begin

    def _right(self, body: bytes, right: list[float]) -> bool:
        try:
            return bool(np.allclose(self.ask(body), right, atol=1e-6))
        except (OSError, urllib.error.URLError, ValueError, KeyError, TypeError):
            return False

    def ask(self, body: bytes) -> list[float]:
        """The scores that it gives."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{self.recipe.target}", body, JSON)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return self.recipe.scores(json.loads(answer.read()))

    def check(self) -> None:
        """Its answers are those of onnxruntime in this process.

        Raises:
            NotStartedError: they are not.
        """
        for rows in (1, 1, 1, 32, 1000):
            matrix = workload.batch(17 * rows, rows)[0]
            if not np.allclose(self.ask(self.recipe.ask(matrix)), workload.expected(matrix), atol=1e-6):
                raise NotStartedError(f"its answers to {rows} row(s) are not those of the model")

    def write_script(self, path: Path, rows: int, think_ms: tuple[int, int] | None = None) -> None:
        """Requests for wrk, see `bench.load.write_script`."""
        count = {1: workload.SUBJECTS, 32: 64}.get(rows, 8)
        requests = [Request(self.recipe.ask(workload.batch(n * rows, rows)[0]), JSON) for n in range(count)]
        write_script(path, self.recipe.target, requests, think_ms)
