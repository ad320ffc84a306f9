"""The whole PD battery with its report, in the sandbox, beside a hand-written notebook script of the same tests.

    python -m bench.battery [--rows 30000] [--rounds 3] [--only ours|script]

Ours: profile job, battery job and report on a validation sample of so many rows, 23 features and 30,000 development and
reference rows, with reason codes, further columns and a protected attribute. The script (`bench.peers.battery_script`)
reads the same files and does the same tests with scikit-learn, fairlearn, scipy and, where it is installed, shap. Each
side runs in processes of its own, in turns; processor time and wall time are told, and their ratio. Of 30,000 and of
1,000,000 rows `bench/battery.json` and `bench/battery-million.json` keep the figures.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.battery_data import inputs
from bench.studies import keep
from strongroom.adapters.runtimes.cpu import isa_class
from strongroom.adapters.sandbox.linux import LinuxSandbox
from strongroom.encoding import parse_as
from strongroom.registry.contract import ModelContract
from strongroom.validation.reporting.report import render
from strongroom.validation.validating import examine
from strongroom.vocabulary import ModelRef, digest_of

USUAL, MILLION = 30_000, 1_000_000
POLICY = Path(__file__).parents[1] / "src" / "strongroom" / "policies" / "validation.json"


def ours(made: dict[str, bytes]) -> tuple[float, float]:
    """Processor and wall seconds of the jobs and the report, the sandbox's starts included."""
    contract = parse_as(made["contract.json"], ModelContract)
    lines: list[str] = []
    before, start = _used(), time.perf_counter()
    sandbox = LinuxSandbox(progress=lines.append)
    outcome = examine(ModelRef(contract.name, digest_of(b"bench")), contract, made, sandbox=sandbox, isa=isa_class())
    page = render(outcome.results)
    wall = time.perf_counter() - start
    assert len(outcome.found.tests) > 30, "the whole battery ran"
    assert len(page) > 20_000, "the report is whole"
    assert lines, "progress was told"
    return _used() - before, wall


def script(folder: Path) -> tuple[float, float]:
    """The same of the script, in a process of its own."""
    before, start = _used(), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "bench.peers.battery_script", str(folder)], check=True, capture_output=True, text=True
    )
    wall = time.perf_counter() - start
    assert json.loads(done.stdout)["auc"] > 0.5, "the script did its tests"
    return _used() - before, wall


def _used() -> float:
    return sum(
        used.ru_utime + used.ru_stime
        for used in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=USUAL)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("ours", "script"))
    args = parser.parse_args()
    made = inputs(args.rows, POLICY.read_bytes())
    sides: dict[str, list[tuple[float, float]]] = {"ours": [], "script": []}
    with tempfile.TemporaryDirectory() as folder:
        for name, data in made.items():
            (Path(folder) / name).write_bytes(data)
        for _ in range(args.rounds):
            if args.only != "script":
                sides["ours"].append(ours(made))
            if args.only != "ours":
                sides["script"].append(script(Path(folder)))
    found: dict[str, object] = {"rows": args.rows, "rounds": args.rounds}
    for name, figures in sides.items():
        if figures:
            cpu, wall = (statistics.median(column) for column in zip(*figures, strict=True))
            found[name] = {"processor_s": round(cpu, 2), "wall_s": round(wall, 2)}
            print(f"{name:7} {args.rows:>9,} rows: {cpu:7.2f} s of processor, {wall:7.2f} s by the clock")
    if all(sides.values()):
        cpus = [statistics.median(cpu for cpu, _ in sides[name]) for name in ("script", "ours")]
        found["ratio_processor"] = round(cpus[0] / cpus[1], 2)
        print(f"the script takes {cpus[0] / cpus[1]:.2f} times our processor time")
    name = {USUAL: "battery", MILLION: "battery-million"}.get(args.rows)
    if name is not None and sides["ours"] and (sides["script"] or args.rows == MILLION):
        keep(name, found)


if __name__ == "__main__":
    main()
