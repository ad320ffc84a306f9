"""Our gateway with every control on, beside a bare granian server of the same stack, alternating in one run.

Server on one core, wrk on the other. Quote the ratio, not the figures: the machine is shared.

    python bench/gateway.py --seconds 8 --rounds 3 --connections 64
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "src"), str(HERE.parent)]
TARGET = "/v2/models/pd-cards/infer"
SERVER_CORE, LOAD_CORE = 0, 1
PATHS = {"PYTHONPATH": f"{HERE.parent / 'src'}:{HERE.parent}"}


TICK_US = 1e6 / os.sysconf("SC_CLK_TCK")


def cpu_us(parent: int) -> float:
    """Processor time of a process and all below it so far. What others do on the machine disturbs it little."""
    children: dict[int, list[int]] = {}
    used: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        pid = int(stat.parent.name)
        children.setdefault(int(fields[1]), []).append(pid)
        used[pid] = int(fields[11]) + int(fields[12])
    total, look = 0, [parent]
    while look:
        pid = look.pop()
        total += used.get(pid, 0)
        look += children.get(pid, [])
    return total * TICK_US


def wrk(port: int, script: Path, connections: int, seconds: float, server: int) -> dict[str, Any]:
    """One run of the load generator against the process `server`."""
    before = cpu_us(server)
    command = ["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "--latency"]
    done = subprocess.run(
        [*command, "-s", str(script), f"http://127.0.0.1:{port}"], capture_output=True, text=True, check=True
    )
    found = re.search(r"RESULT (\{.*\})", done.stdout)
    if found is None:
        raise RuntimeError(done.stdout + done.stderr)
    result = json.loads(found.group(1))
    return {
        "requests_per_s": round(result["requests"] / result["seconds"], 1), "p50_ms": round(result["p50_ms"], 3),
        "p99_ms": round(result["p99_ms"], 3), "errors": result["errors"],
        "cpu_us_per_request": round((cpu_us(server) - before) / max(1, result["requests"]), 1),
        "load_average": round(os.getloadavg()[0], 2),
    }  # fmt: skip


def ask(port: int, body: bytes, bearer: str | None) -> float:
    """The score that a server gives for one request."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": bearer} if bearer else {})
    request = urllib.request.Request(f"http://127.0.0.1:{port}{TARGET}", body, headers)
    with urllib.request.urlopen(request, timeout=5) as answer:
        return float(json.loads(answer.read())["outputs"][0]["data"][0])


@contextmanager
def process(command: list[str], port: int, environment: dict[str, str]) -> Iterator[int]:
    """A server pinned to its core, until the block ends; its process id."""
    child = subprocess.Popen(
        ["taskset", "-c", str(SERVER_CORE), *command], env=os.environ | PATHS | environment, stdout=subprocess.DEVNULL
    )
    try:
        for _ in range(200):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/live", timeout=1)
                break
            except urllib.error.HTTPError:
                break
            except OSError:
                time.sleep(0.1)
        yield child.pid
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(20)


def main() -> int:
    """Measure and write the results."""
    from bench import workload

    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--batch-scheduling", action="store_true", help="SCHED_BATCH for both servers")
    parser.add_argument("--results", type=Path, default=HERE / "results.json")
    chosen = parser.parse_args()
    if shutil.which("wrk") is None:
        print("wrk is not installed; `apt-get install wrk`", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="strongroom-bench-") as name:
        folder = Path(name)
        (folder / "model.onnx").write_bytes(workload.model())
        bearer = subprocess.run(
            [sys.executable, str(HERE / "gateway_node.py"), "make", str(folder)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        ours, bare = folder / "ours.lua", folder / "bare.lua"
        workload.wrk_script(ours, bearer, TARGET)
        workload.wrk_script(bare, None, TARGET)
        flags = ["--batch-scheduling"] if chosen.batch_scheduling else []
        environment = {"BENCH_MODEL": str(folder / "model.onnx")} | ({"BENCH_BATCH": "1"} if flags else {})
        options = "--interface rsgi --host 127.0.0.1 --port 18081 --workers 1 --loop uvloop --no-ws --log-level error"
        granian = [str(Path(sys.executable).parent / "granian"), *options.split(), "bench.peers.bare.server:app"]
        node = [sys.executable, str(HERE / "gateway_node.py"), "serve", str(folder), *flags]
        runs: list[dict[str, Any]] = []
        with process(node, 18080, {}) as our_pid, process(granian, 18081, environment) as bare_pid:
            sample = workload.bodies()[:50]
            if [ask(18080, body, bearer) for body in sample] != [ask(18081, body, None) for body in sample]:
                raise RuntimeError("the servers disagree about the answers")
            for port, script, pid in ((18080, ours, our_pid), (18081, bare, bare_pid)):
                wrk(port, script, chosen.connections, 2, pid)
            for _ in range(chosen.rounds):
                for server, port, script, pid in (
                    ("strongroom", 18080, ours, our_pid), ("bare", 18081, bare, bare_pid),
                ):  # fmt: skip
                    result = wrk(port, script, chosen.connections, chosen.seconds, pid)
                    about = {"server": server, "controls": server == "strongroom", "subjects": "known", "rows": 1}
                    how = {"connections": chosen.connections, "batch_scheduling": bool(flags)}
                    runs.append({**about, **how, **result})
                    print(server, result, flush=True)
        medians, costs = (
            {
                server: statistics.median(run[figure] for run in runs if run["server"] == server)
                for server in ("strongroom", "bare")
            }
            for figure in ("requests_per_s", "cpu_us_per_request")
        )
        records = folder / "gateway" / "ledger" / "0"
        used = sum(path.stat().st_blocks * 512 for path in records.rglob("*") if path.is_file())
    document = {
        "machine": {"cpus": os.cpu_count(), "arch": platform.machine(), "system": platform.release()},
        "versions": {
            name: version(name) for name in ("granian", "msgspec", "numpy", "onnxruntime", "uvloop", "httptools")
        },
        "runs": runs,
        "medians": {"requests_per_s": medians, "cpu_us_per_request": costs},
        "ratios": {f"bare_1row_{chosen.connections}conn": round(medians["strongroom"] / medians["bare"], 3)},
        "ledger_bytes": used,
    }
    chosen.results.write_text(json.dumps(document, indent=1) + "\n")
    print(json.dumps(document["ratios"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
