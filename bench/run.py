"""`make bench`: one workload against our gateway with every control on, the bare limits, and what others build with.
Then our PD battery beside a notebook script of the same tests (peer `notebook`).

Server on one core, wrk on the other, medians of alternating runs. Sessions: ours, the bare servers and FastAPI run side
by side (one is asked at a time, the others idle); then each framework in turn, with bare granian and ours beside it.

    python -m bench.run                          everything, about 30 minutes
    python -m bench.run --peers bare fastapi --seconds 8 --rounds 3
    python -m bench.run --parts onedal --peers bare          only our gateway with oneDAL, beside bare granian
    python -m bench.run --quick                  one short run of each, to see that it works
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from bench import battery, environments, report, workload
from bench.environments import NoEnvironmentError
from bench.load import wrk
from bench.ours import Gateway, settle
from bench.processes import HERE, NotStartedError, cpu_us, family, memory
from bench.ratios import Run, ratios
from bench.servers import RECIPES, Peer
from bench.studies import keep
from strongroom.adapters.runtimes.by_name import machine_of

CORE: Final = ("bare", "bare_direct", "fastapi")
"""Run in one session with ours."""
WITH_ALL: Final = "all controls"
NOTEBOOK: Final = "notebook"
"""No server: the script that our PD battery is measured beside."""
PEERS: Final = (*RECIPES, NOTEBOOK)
PARTS: Final = ("core", "native", "onedal", "frameworks")
"""Ours beside the bare servers and FastAPI; ours with native XGBoost and with oneDAL; each framework."""
HALF_CONNECTIONS: Final = 256
WARM_S: Final = 2
TRIALS: Final = 4
QUICK_ROWS: Final = 3_000
RATE_TOLERANCE: Final = 0.07


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of request.

    Attributes:
        half: at half load instead of as fast as it goes.
    """

    rows: int
    connections: int
    new: bool = False
    binary: bool = False
    half: bool = False


@dataclass(slots=True)
class Running:
    """A server that is up.

    Attributes:
        runtime: that the model runs on; all but one of ours use onnxruntime.
    """

    name: str
    server: Gateway | Peer
    pid: int
    runtime: str = "onnxruntime"

    def write_script(self, path: Path, case: Case, think_ms: tuple[int, int] | None) -> None:
        """The requests of a case."""
        if isinstance(self.server, Gateway):
            self.server.write_script(
                path, case.rows, new_subjects=case.new, binary=case.binary, think_ms=think_ms
            )  # fmt: skip
        else:
            self.server.write_script(path, case.rows, think_ms)


@dataclass(slots=True)
class Bench:
    """All runs so far, and how they are made."""

    folder: Path
    seconds: float
    rounds: int
    batch_scheduling: bool
    console: Console
    runs: list[Run] = field(default_factory=list)
    starts: dict[str, list[float]] = field(default_factory=dict)
    memory: dict[str, dict[str, float]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def model(self) -> Path:
        return self.folder / "model.onnx"

    def once(
        self, session: str, running: Running, case: Case, seconds: float, think_ms: tuple[int, int] | None = None,
        keep: bool = True,
    ) -> Run:  # fmt: skip
        """One run of wrk."""
        said = "-".join(map(str, (running.name, running.runtime, case.rows, case.new, case.binary, think_ms)))
        script = self.folder / f"{said}.lua"
        if not script.exists():
            running.write_script(script, case, think_ms)
        connections = HALF_CONNECTIONS if case.half else case.connections
        before = cpu_us(running.pid)
        result = wrk(running.server.port, script, connections, seconds)
        spent = cpu_us(running.pid) - before
        ours = running.name == "strongroom"
        run: Run = {
            "server": running.name, "controls": ours, "subjects": "new" if case.new else "known", "rows": case.rows,
            "connections": connections, "requests_per_s": round(result.requests_per_s, 1),
            "p50_ms": round(result.p50_ms, 3), "p99_ms": round(result.p99_ms, 3), "errors": result.errors,
            "session": session, "encoding": "binary" if case.binary else "json",
            "load": "half" if case.half else "full", "runtime": running.runtime,
            "batch_scheduling": self.batch_scheduling and running.name in ("strongroom", "bare", "bare_direct"),
            "cpu_us_per_request": round(spent / max(1, result.requests), 1),
            "load_average": round(os.getloadavg()[0], 2),
        }  # fmt: skip
        if keep:
            self.runs.append(run)
            self.console.print(
                f"{session:>11} {running.name:>11} {case.rows:>5} rows {connections:>4} conns "
                f"{'new ' if case.new else ''}{'binary ' if case.binary else ''}{'half load ' if case.half else ''}"
                f"[bold]{run['requests_per_s']:>9,.0f}[/bold]/s  p50 {run['p50_ms']:.1f}  p99 {run['p99_ms']:.1f} ms"
                + (f"  [red]{run['errors']} errors[/red]" if run["errors"] else ""),
            )
        return run

    def alternate(self, session: str, servers: Sequence[Running], cases: Sequence[Case], rounds: int) -> None:
        """Each case `rounds` times: A B C A B C ...; ours alone gets what only ours understands."""
        for case in cases:
            base = Case(case.rows, case.connections)
            for running in servers:
                self.once(session, running, base, WARM_S, keep=False)
            for _ in range(rounds):
                for running in servers:
                    own = case if running.name == "strongroom" else base
                    self.once(session, running, own, self.seconds)

    def half_load(self, ours: Running, bare: Running) -> None:
        """p99 of both at half of what the slower of the two can do."""
        full = [
            statistics.median(run["requests_per_s"] for run in found)
            for name in ("strongroom", "bare")
            if (found := [r for r in self.runs if r["server"] == name and (r["rows"], r["connections"]) == (1, 64)])
        ]
        wanted = min(full) / 2
        case = Case(1, HALF_CONNECTIONS, half=True)
        for _ in range(self.rounds):
            for running in (ours, bare):
                think = self.settle_rate(running, case, wanted)
                self.once("core", running, case, self.seconds, (think // 2, 3 * think // 2))

    def settle_rate(self, running: Running, case: Case, wanted: float) -> int:
        """Mean wait of a connection in ms at which a server is asked about `wanted` times a second; by trial."""
        cycle = 1000 * HALF_CONNECTIONS / wanted
        think = cycle
        for _ in range(TRIALS):
            wait = max(2, round(think))
            trial = self.once("core", running, case, WARM_S, (wait // 2, 3 * wait // 2), keep=False)
            if abs(trial["requests_per_s"] / wanted - 1) < RATE_TOLERANCE:
                break
            # what the answers themselves took comes off the wait; at most to a half or double, since a trial is short
            took = 1000 * HALF_CONNECTIONS / max(1.0, trial["requests_per_s"]) - wait
            think = min(2 * cycle, max(cycle / 2, cycle - took))
        return max(2, round(think))

    @contextmanager
    def up(self, peer: Peer) -> Iterator[Running]:
        """A peer that answers rightly; its start and memory are noted."""
        with peer.serving() as (child, start_s):
            peer.check()
            self.starts.setdefault(peer.name, []).append(round(start_s, 3))
            settle()
            held = memory(family(child.pid))
            self.memory[peer.name] = {"rss_mib": held.rss_mib, "pss_mib": held.pss_mib}
            yield Running(peer.name, peer, child.pid)

    def peer(self, name: str) -> Peer | None:
        """Made ready to start, or noted as missing."""
        try:
            self.console.print(f"{name}: environment (made on first use) ...", style="dim")
            return Peer.make(name, self.folder / name, self.model, batch_scheduling=self.batch_scheduling)
        except (NoEnvironmentError, NotStartedError) as error:
            self.note_missing(name, str(error))
            return None

    def note_missing(self, name: str, why: str) -> None:
        """It does not run here; the others go on."""
        self.missing[name] = why
        self.console.print(f"[red]{name} is left out:[/red] {why}")

    def start_ours(self, gateway: Gateway, times: int) -> None:
        """Start to first verified answer, a few times."""
        for _ in range(times):
            seconds = gateway.first_verified()
            self.starts.setdefault("strongroom", []).append(round(seconds, 3))
            self.console.print(f"{'start':>11} {'strongroom':>11} first verified answer after {seconds:.2f} s")

    def weigh_ours(self, gateway: Gateway, pid: int) -> None:
        """Memory at rest: after the checks, before the load."""
        worker, all_ = memory([gateway.worker(pid)]), memory(family(pid))
        self.memory["strongroom"] = {
            "rss_mib": all_.rss_mib, "pss_mib": all_.pss_mib, "worker_rss_mib": worker.rss_mib,
            "worker_pss_mib": worker.pss_mib,
        }  # fmt: skip


def core(bench: Bench, gateway: Gateway, wanted: Sequence[str]) -> None:
    """Ours, the bare servers and FastAPI, side by side."""
    peers = [peer for name in CORE if name in wanted and (peer := bench.peer(name)) is not None]
    with ExitStack() as stack:
        child = stack.enter_context(gateway.serving())
        gateway.check()
        settle()
        bench.weigh_ours(gateway, child.pid)
        ours = Running("strongroom", gateway, child.pid)
        running = {"strongroom": ours}
        for peer in peers:
            try:
                running[peer.name] = stack.enter_context(bench.up(peer))
            except NotStartedError as error:
                bench.note_missing(peer.name, str(error))
        everyone, rounds = list(running.values()), bench.rounds
        bench.alternate("core", everyone, [Case(1, 64), Case(1, 8)], rounds)
        plain = [one for name, one in running.items() if name != "bare_direct"]
        limits = [one for name, one in running.items() if name in ("strongroom", "bare")]
        bench.alternate("core new", limits, [Case(1, 64, new=True)], rounds)
        bench.alternate("core", plain, [Case(32, 32), Case(1000, 8)], rounds)
        bench.alternate("core binary", limits, [Case(1000, 8, binary=True)], rounds)
        if "bare" in running:
            bench.half_load(ours, running["bare"])


@dataclass(frozen=True, slots=True)
class Variant:
    """Ours with another runtime in its release, beside bare granian with onnxruntime.

    Attributes:
        runtime: that the release names.
        form: of the model, see `workload.model`.
        sessions: cases by the name of their session.
    """

    runtime: str
    form: str
    sessions: dict[str, tuple[Case, ...]]


NATIVE: Final = Variant(
    "xgboost", "ubj", {"native": (Case(1000, 8),), "native binary": (Case(1000, 8, binary=True),)}
)  # fmt: skip
ONEDAL: Final = Variant(
    "onedal",
    "onnx",
    {
        "onedal": (Case(1, 64), Case(32, 32), Case(1000, 8)),
        "onedal new": (Case(1, 64, new=True),),
        "onedal binary": (Case(1, 64, binary=True), Case(32, 32, binary=True), Case(1000, 8, binary=True)),
    },
)


def varied(bench: Bench, variant: Variant) -> None:
    """Runs of a variant; one whose library is not here is noted as missing."""
    name = variant.runtime
    if machine_of(name) is None:
        bench.note_missing(name, f"no wheel of it is installed; install strongroom[{name}]")
        return
    model = bench.folder / f"{name}.{variant.form}"
    model.write_bytes(workload.model(variant.form))
    gateway = Gateway.make(bench.folder / name, model, batch_scheduling=bench.batch_scheduling, runtime=name)
    bare = Peer.make(
        "bare", bench.folder / f"bare-{name}", bench.model, batch_scheduling=bench.batch_scheduling
    )  # fmt: skip
    with ExitStack() as stack:
        child = stack.enter_context(gateway.serving())
        gateway.check()
        ours = Running("strongroom", gateway, child.pid, runtime=name)
        try:
            limit = stack.enter_context(bench.up(bare))
        except NotStartedError as error:
            bench.note_missing("bare", str(error))
            return
        for session, cases in variant.sessions.items():
            bench.alternate(session, [ours, limit], cases, bench.rounds)


def framework(bench: Bench, gateway: Gateway, name: str) -> None:
    """One framework, with bare granian and ours before and after each of its runs."""
    peer, bare = bench.peer(name), Peer.make(
        "bare", bench.folder / f"bare-{name}", bench.model, batch_scheduling=bench.batch_scheduling
    )  # fmt: skip
    if peer is None:
        return
    with ExitStack() as stack:
        child = stack.enter_context(gateway.serving())
        first = stack.enter_context(bench.up(bare))
        ours = Running("strongroom", gateway, child.pid)
        try:
            running = stack.enter_context(bench.up(peer))
        except NotStartedError as error:
            bench.note_missing(name, str(error))
            return
        bench.alternate(name, [first, ours, running], [Case(1, 64)], bench.rounds)
        bench.alternate(name, [first, running], [Case(1, 8), Case(32, 32), Case(1000, 8)], 1)


def versions(names: Sequence[str]) -> dict[str, str]:
    """Of what was measured; the runtimes' are the same everywhere."""
    found = {"python": platform.python_version()}
    for package in ("granian", "httptools", "msgspec", "numpy", "onnxruntime", "uvloop", "xgboost-cpu"):
        found[package] = version(package)
    if (machine := machine_of("onedal")) is not None:
        found["daal"] = machine.version
    for name in names:
        package = RECIPES[name].package
        locked = environments.pins(environments.PEERS / name / "requirements.txt")
        found[package] = locked.get(package, "?")
    return found


def measure(chosen: argparse.Namespace, console: Console) -> dict[str, Any]:
    """The whole bench."""
    with tempfile.TemporaryDirectory(prefix="strongroom-bench-", ignore_cleanup_errors=True) as name:
        bench = Bench(Path(name), chosen.seconds, chosen.rounds, chosen.batch_scheduling, console)
        model = workload.model()
        bench.model.write_bytes(model)
        gateway = Gateway.make(bench.folder / "ours", bench.model, batch_scheduling=chosen.batch_scheduling)
        if "core" in chosen.parts:
            bench.start_ours(gateway, 1 if chosen.quick else 3)
            core(bench, gateway, chosen.peers)
        for part, variant in (("native", NATIVE), ("onedal", ONEDAL)):
            if part in chosen.parts and "bare" in chosen.peers and "bare" not in bench.missing:
                varied(bench, variant)
        for peer in chosen.peers:
            if peer in CORE or peer == NOTEBOOK or "frameworks" not in chosen.parts:
                continue
            try:
                framework(bench, gateway, peer)
            except Exception as error:  # a peer's trouble is told and costs nobody else a run
                traceback.print_exc()
                bench.note_missing(peer, f"{type(error).__name__}: {str(error)[:300]}")
    ran = sorted({run["server"] for run in bench.runs} - {"strongroom"})
    return {
        "machine": {
            "cpus": os.cpu_count(), "arch": platform.machine(), "system": platform.release(), "processor": processor(),
        },
        "versions": versions(ran),
        "model_sha256": hashlib.sha256(model).hexdigest(),
        "settings": {
            "seconds": chosen.seconds, "rounds": chosen.rounds, "batch_scheduling": chosen.batch_scheduling,
            "principals": len(gateway.bearers), "peers": {name: RECIPES[name].how for name in ran},
        },
        "runs": bench.runs,
        "start_s": bench.starts,
        "memory": bench.memory,
        "missing": bench.missing,
        "ratios": ratios(bench.runs, bench.starts, bench.memory),
    }  # fmt: skip


def beside_notebook(document: dict[str, Any], rows: int, rounds: int, folder: Path) -> None:
    """Our PD battery and the notebook script, by themselves: each uses two cores. Kept as `battery.json`."""
    try:
        keep("battery", battery.measured(rows, rounds), folder)
    except Exception as error:  # as with a server: its trouble is told and costs nobody else a run
        traceback.print_exc()
        document["missing"][NOTEBOOK] = f"{type(error).__name__}: {str(error)[:300]}"


def processor() -> str:
    """As the kernel names it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS), metavar="PEER")
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS), metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one run of a second each, to see that it works")
    parser.add_argument(
        "--no-batch-scheduling", dest="batch_scheduling", action="store_false",
        help="leave ours and the bare servers in the usual scheduling class",
    )  # fmt: skip
    parser.add_argument("--results", type=Path, help="bench/results.json, or bench/.cache for a part of the whole")
    parser.add_argument("--page", action="store_true", help="write the table and the plot into docs/ too")
    chosen = parser.parse_args(arguments)
    whole = not chosen.quick and set(chosen.peers) == set(PEERS) and set(chosen.parts) == set(PARTS)
    results = chosen.results or (HERE if whole else workload.CACHE) / "results.json"
    if chosen.quick:
        chosen.seconds, chosen.rounds = 1, 1
    console = Console(width=120)
    if shutil.which("wrk") is None or shutil.which("taskset") is None:
        print("the bench needs wrk and taskset; `apt-get install wrk util-linux`", file=sys.stderr)
        return 2
    if (os.cpu_count() or 1) < 2:
        print("the bench needs two cores: one for the server, one for the load", file=sys.stderr)
        return 2
    results.parent.mkdir(exist_ok=True)
    document = measure(chosen, console)
    results.write_text(json.dumps(document, indent=1) + "\n")
    if NOTEBOOK in chosen.peers:
        beside_notebook(document, QUICK_ROWS if chosen.quick else battery.USUAL, chosen.rounds, results.parent)
        results.write_text(json.dumps(document, indent=1) + "\n")
    console.print(report.server_table(document))
    console.print(report.ratio_table(document))
    if chosen.page:
        report.write_page(document)
    return 0


if __name__ == "__main__":
    sys.exit(main())
