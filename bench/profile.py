"""Where the time of an answer goes: microseconds of processor by step, of the gateway as it runs under load.

The gateway has every control on and one core; wrk has the other. In turn:
1. runs of the gateway as it is: what an answer costs the worker in processor time;
2. runs with the steps timed (`bench.stepped_worker`), some calls by lot, what the timing costs taken off;
3. with `--lines`: py-spy reads the stacks of whatever thread holds the interpreter, from the other core and without
   stopping the worker, for the dearest functions and lines.

    python -m bench.profile --seconds 8 --connections 64
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from bench import workload
from bench.load import wrk
from bench.ours import Gateway, settle
from bench.processes import HERE, LOAD_CORE, cpu_us
from bench.stepped_worker import COMMIT

STEPS: Final = (
    "loop", "http", "route", "authenticate", "authorise", "decode", "batch", "check", "predict", "document", "keys",
    "records", "seal", "leaf", "tree", "sign", "append", "write", "sync", "hand over", "encode", "send", "count",
    "background",
)  # fmt: skip
"""In the order in which an answer passes them. `loop`: uvloop itself, polling, reading from sockets, calling back, and
whatever of the main thread is in no wrapped function. `hand over`: the same of the committing thread. `background`:
other threads (publishing tiles, asking witnesses, the runtime's own)."""
FRAME: Final = re.compile(r"^(?P<function>.*) \((?P<file>[^()]*?)(?::(?P<line>\d+))?\)$")
Stack = list[tuple[str, str, int]]


def between(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The figures of the time between two reports of a stepped worker."""

    def less(name: str) -> dict[str, int]:
        return {key: value - before[name].get(key, 0) for key, value in after[name].items()}

    cells = {
        name: [late - early for late, early in zip(cell, before["cells"].get(name, [0, 0, 0, 0]), strict=True)]
        for name, cell in after["cells"].items()
    }
    return after | {name: less(name) for name in ("cpu_ns", "seen")} | {"cells": cells}


def divide(figures: dict[str, Any], answers: int) -> dict[str, Any]:
    """Microseconds an answer by step and by function.

    Args:
        figures: see `between`.
        answers: in that time.
    """
    inside, outside, passing = figures["costs_ns"]
    functions: dict[str, float] = {}
    calls: dict[str, float] = {}
    for name, (_, count, self_ns, inner) in figures["cells"].items():
        if count:
            functions[name] = max(0.0, (self_ns - count * inside - inner * outside) / answers / 1e3)
            calls[name] = round(count / answers, 3)
    steps = dict.fromkeys(STEPS, 0.0)
    for name, us in functions.items():
        steps[name.partition("|")[0]] += us
    # what timing cost each thread: calls that were timed, and calls that passed through
    cost_ns = {"MainThread": 0.0, "commit": 0.0}
    for name, (timed, count, _, _) in figures["cells"].items():
        thread = "commit" if name.endswith(COMMIT) else "MainThread"
        cost_ns[thread] += timed * (inside + outside) + (count - timed) * passing
    spent = {name: ns / answers / 1e3 for name, ns in figures["cpu_ns"].items()}
    timing = {name: ns / answers / 1e3 for name, ns in cost_ns.items()}
    committing = sum(us for name, us in functions.items() if name.endswith(COMMIT))
    steps["hand over"] = max(0.0, spent.get("commit", 0.0) - timing["commit"] - committing)
    known = sum(us for name, us in functions.items() if not name.endswith(COMMIT))
    steps["loop"] = max(0.0, spent.get("MainThread", 0.0) - timing["MainThread"] - known)
    steps["background"] = sum(us for name, us in spent.items() if name not in cost_ns)
    return {
        "steps_us": {step: round(us, 2) for step, us in steps.items() if us},
        "functions_us": dict(sorted(((n, round(us, 2)) for n, us in functions.items()), key=lambda one: -one[1])),
        "calls_an_answer": calls, "timing_us": round(sum(timing.values()), 2), "missing": figures["missing"],
    }  # fmt: skip


def read_stacks(lines: Iterable[str]) -> list[tuple[Stack, int]]:
    """py-spy's raw format: `frame;frame;frame count`, outermost first."""
    stacks = []
    for line in lines:
        stack, _, count = line.strip().rpartition(" ")
        frames = []
        for text in stack.split(";"):
            found = FRAME.match(text)
            if found is not None:
                frames.append((found["file"], found["function"], int(found["line"] or 0)))
        if frames:
            stacks.append((frames, int(count)))
    return stacks


def dearest(stacks: list[tuple[Stack, int]], top: int) -> dict[str, Any]:
    """Shares of the time in which a thread held the interpreter, by function and by line of our own code."""
    total = sum(count for _, count in stacks) or 1
    functions: Counter[str] = Counter()
    lines: Counter[str] = Counter()
    for frames, count in stacks:
        file, function, line = next((one for one in reversed(frames) if "strongroom/" in one[0]), frames[-1])
        file = file.rpartition("strongroom/")[2]
        functions[f"{file}:{function}"] += count
        lines[f"{file}:{line} {function}"] += count
    return {
        "samples": total,
        "functions_share": {name: round(count / total, 4) for name, count in functions.most_common(top)},
        "lines_share": {name: round(count / total, 4) for name, count in lines.most_common(top)},
    }


def load(gateway: Gateway, script: Path, chosen: argparse.Namespace, seconds: float) -> Any:
    """One run; every request must be answered."""
    result = wrk(gateway.port, script, chosen.connections, seconds)
    if result.errors:
        raise RuntimeError(f"{result.errors} of {result.requests} requests failed")
    return result


def plain(gateway: Gateway, script: Path, chosen: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The gateway as it is."""
    document: dict[str, Any] = {}
    with gateway.serving() as child:
        worker = gateway.worker(child.pid)
        load(gateway, script, chosen, 3)
        settle()
        costs, rates, others = [], [], []
        for _ in range(chosen.rounds):
            before, all_before = cpu_us(worker), cpu_us(child.pid)
            result = load(gateway, script, chosen, chosen.seconds)
            spent = cpu_us(worker) - before
            costs.append(spent / result.requests)
            others.append((cpu_us(child.pid) - all_before - spent) / result.requests)
            rates.append(result.requests_per_s)
        document = {
            "requests_per_s": round(statistics.median(rates), 1), "worker_cpu_us": round(statistics.median(costs), 2),
            "keeper_and_supervisor_cpu_us": round(statistics.median(others), 2),
        }  # fmt: skip
        if chosen.lines:
            if not (Path(sys.executable).parent / "py-spy").exists():
                raise RuntimeError("py-spy is not installed here; `pip install py-spy`, or leave out --lines")
            raw = folder / "stacks.txt"
            sampler = subprocess.Popen(
                [
                    "taskset", "-c", str(LOAD_CORE), str(Path(sys.executable).parent / "py-spy"), "record", "--gil",
                    "--pid", str(worker), "--rate", "400", "--duration", str(round(chosen.seconds)), "--format", "raw",
                    "--full-filenames", "--nonblocking", "--output", str(raw),
                ],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )  # fmt: skip
            load(gateway, script, chosen, chosen.seconds + 1)
            said, _ = sampler.communicate(timeout=60)
            if not raw.exists():
                raise RuntimeError(f"py-spy gave nothing: {said.strip()[-400:]}")
            document["held"] = dearest(read_stacks(raw.read_text().splitlines()), chosen.top)
            if chosen.raw is not None:
                shutil.copy(raw, chosen.raw)
    return document


def snapshot(worker: int, path: Path) -> dict[str, Any]:
    """A stepped worker's figures so far."""
    path.unlink(missing_ok=True)
    os.kill(worker, signal.SIGUSR1)
    for _ in range(250):
        if path.exists():
            figures: dict[str, Any] = json.loads(path.read_text())
            return figures
        time.sleep(0.02)
    raise RuntimeError("the stepped worker gave no figures")


def stepped(gateway: Gateway, script: Path, chosen: argparse.Namespace) -> dict[str, Any]:
    """The gateway with its steps timed."""
    path = gateway.folder / "steps.json"
    with gateway.serving(stepped=True) as child:
        worker = gateway.worker(child.pid)
        load(gateway, script, chosen, 3)
        settle()
        before = snapshot(worker, path)
        result = load(gateway, script, chosen, chosen.seconds * chosen.rounds)
        figures = between(before, snapshot(worker, path))
    return divide(figures, result.requests) | {"requests_per_s_while_timed": round(result.requests_per_s, 1)}


def table(document: dict[str, Any], top: int) -> Table:
    """Steps, then the dearest functions."""
    title = f"{document['connections']} connections, one row, {document['subjects']} subjects"
    shown = Table("step, function", "us an answer", "calls an answer", title=title)
    for name, us in document["steps_us"].items():
        shown.add_row(name, f"{us:.1f}", "")
    total = sum(document["steps_us"].values())
    shown.add_row("[bold]all of these[/bold]", f"[bold]{total:.1f}[/bold]", "")
    shown.add_row("[bold]worker, not timed[/bold]", f"[bold]{document['worker_cpu_us']:.1f}[/bold]", "")
    shown.add_section()
    for name, us in list(document["functions_us"].items())[:top]:
        shown.add_row(name.replace("|", ": "), f"{us:.2f}", f"{document['calls_an_answer'][name]:.2f}")
    for kind in ("functions_share", "lines_share"):
        if "held" in document:
            shown.add_section()
            for name, share in list(document["held"][kind].items())[:top]:
                shown.add_row(f"{name} (held)", f"{100 * share:.1f} %", "")
    return shown


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--subjects", choices=("known", "new"), default="known")
    parser.add_argument("--top", type=int, default=40)
    parser.add_argument("--lines", action="store_true", help="sample the stacks with py-spy too")
    parser.add_argument("--batch-scheduling", action="store_true")
    parser.add_argument("--raw", type=Path, help="keep the sampled stacks here, for example for a flame graph")
    parser.add_argument("--results", type=Path, default=HERE / "profile.json")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="strongroom-bench-") as name:
        folder = Path(name)
        (folder / "model.onnx").write_bytes(workload.model())
        gateway = Gateway.make(folder / "ours", folder / "model.onnx", batch_scheduling=chosen.batch_scheduling)
        script = folder / "ours.lua"
        gateway.write_script(script, new_subjects=chosen.subjects == "new")
        document = {
            "connections": chosen.connections, "subjects": chosen.subjects, "rows": 1,
            "batch_scheduling": chosen.batch_scheduling,
            **plain(gateway, script, chosen, folder), **stepped(gateway, script, chosen),
        }  # fmt: skip
    chosen.results.write_text(json.dumps(document, indent=1) + "\n")
    Console(width=110).print(table(document, chosen.top))
    print(
        f"{document['requests_per_s']} requests/s ({document['requests_per_s_while_timed']} while timed, which cost "
        f"{document['timing_us']} us an answer); keeper and supervisor {document['keeper_and_supervisor_cpu_us']} us"
    )
    if document["missing"]:
        print(f"not there to be timed: {', '.join(document['missing'])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
