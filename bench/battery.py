"""The whole PD battery with its report, in the sandbox, beside a notebook script of the same tests.

    python -m bench.battery [--rows 30000] [--rounds 3] [--only ours|script]

Ours: profile job, battery job and report on a validation sample of so many rows, 23 features and up to 30,000
development and reference rows, with all that the battery of a PD model can answer. The script
(`bench/peers/notebook/script.py`) reads the same files and does the same tests with scikit-learn, shap, fairlearn and
their like, in an environment of its own, made on first use. Each side runs in processes of its own, in turns; processor
time and wall time are told, their ratio, and which figures of both are the same. `bench/battery.json` and
`bench/battery-million.json` keep what was found with 30,000 and with 1,000,000 rows.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from bench import environments
from bench.battery_data import inputs, native_model
from bench.studies import keep
from strongroom.adapters.runtimes.cpu import isa_class
from strongroom.adapters.sandbox.linux import LinuxSandbox
from strongroom.encoding import parse_as
from strongroom.registry.contract import ModelContract
from strongroom.validation.reporting.report import render
from strongroom.validation.results import TestResult
from strongroom.validation.validating import examine
from strongroom.vocabulary import ModelRef, digest_of

USUAL, MILLION = 30_000, 1_000_000
POLICY = Path(__file__).parents[1] / "src" / "strongroom" / "policies" / "validation.json"
SCRIPT: Final = environments.PEERS / "notebook" / "script.py"
NOT_DONE: Final[Mapping[str, str]] = {
    "robustness.monotone": "no public library proves that the score of boosted trees never falls with a feature",
}
"""Tests of our battery that the script does not do, and why."""
ALIKE: Final = 1e-6
"""Figures count as the same when they are no further apart than this share of the larger one, or than its thousandth:
sums of two programs differ in their last digits, and p-values near 0 more."""
# threads of OpenMP that wait for work spin by default, which is counted as work, the more so on a busy machine
WAITING: Final = {"OMP_WAIT_POLICY": "PASSIVE"}

Figures = dict[str, float]


def ours(made: dict[str, bytes]) -> tuple[float, float, tuple[TestResult, ...]]:
    """Processor and wall seconds of the jobs and the report, the sandbox's starts included, and the tests."""
    contract = parse_as(made["contract.json"], ModelContract)
    lines: list[str] = []
    before, start = _used(), time.perf_counter()
    sandbox = LinuxSandbox(progress=lines.append)
    outcome = examine(ModelRef(contract.name, digest_of(b"bench")), contract, made, sandbox=sandbox, isa=isa_class())
    page = render(outcome.results)
    wall = time.perf_counter() - start
    assert len(page) > 20_000, "the report is whole"
    assert lines, "progress was told"
    return _used() - before, wall, outcome.found.tests


def script(folder: Path) -> tuple[float, float, Figures]:
    """The same of the script, in a process of its own, and its figures by test."""
    python = environments.make("notebook") / "python"
    before, start = _used(), time.perf_counter()
    done = subprocess.run(
        [str(python), "-W", "ignore", str(SCRIPT), str(folder)],
        check=True, capture_output=True, text=True, env=os.environ | WAITING,
    )  # fmt: skip
    wall = time.perf_counter() - start
    figures: Figures = json.loads(done.stdout)
    return _used() - before, wall, figures


def beside(tests: tuple[TestResult, ...], figures: Figures) -> dict[str, Any]:
    """Which of our tests the script has done, and which of its figures are ours.

    Raises:
        RuntimeError: one is neither done by the script nor named as not done.
    """
    known = {test.id: test for test in tests}
    missing = [test.id for test in tests if test.id not in figures and test.rule not in NOT_DONE]
    if missing or not figures.keys() <= known.keys():
        wrong = missing or sorted(figures.keys() - known.keys())
        raise RuntimeError(f"our battery and the script do not do the same tests: {', '.join(wrong)}")
    differ = [name for name, figure in figures.items() if not alike(known[name].figure, figure)]
    return {
        "ours": len(known), "script": len(figures), "same_figure": len(figures) - len(differ), "other_figure": differ,
        "not_done": {test.id: NOT_DONE[test.rule] for test in tests if test.id not in figures},
    }  # fmt: skip


def alike(ours: str | None, theirs: float) -> bool:
    """Whether two figures are the same but for the last digits."""
    return ours is not None and abs(float(ours) - theirs) <= ALIKE * max(abs(float(ours)), abs(theirs), 1e-3)


def libraries() -> dict[str, str]:
    """Versions of what the script's environment was made for."""
    wanted = (SCRIPT.parent / "requirements.in").read_text().split()
    there = environments.installed("notebook")
    return {name: there[name] for name in wanted}


def measured(rows: int, rounds: int, sides: tuple[str, ...] = ("ours", "script")) -> dict[str, Any]:
    """Both sides in turns, so many rounds; medians, as `bench/battery.json` has them."""
    made = inputs(rows, POLICY.read_bytes())
    taken: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
    tests: tuple[TestResult, ...] = ()
    figures: Figures = {}
    with tempfile.TemporaryDirectory(prefix="bench-battery-") as name:
        folder = Path(name)
        for file, data in made.items():
            (folder / file).write_bytes(data)
        (folder / "model.ubj").write_bytes(native_model())
        if "script" in sides:
            environments.make("notebook")
        for _ in range(rounds):
            if "ours" in sides:
                *times, tests = ours(made)
                taken["ours"].append((times[0], times[1]))
            if "script" in sides:
                *times, figures = script(folder)
                taken["script"].append((times[0], times[1]))
    found: dict[str, Any] = {"rows": rows, "rounds": rounds}
    for side, runs in taken.items():
        cpu, wall = (statistics.median(column) for column in zip(*runs, strict=True))
        found[side] = {"processor_s": round(cpu, 2), "wall_s": round(wall, 2)}
        print(f"{side:7} {rows:>9,} rows: {cpu:7.2f} s of processor, {wall:7.2f} s by the clock", flush=True)
    if len(sides) == 2:
        found["ratio_processor"] = round(found["script"]["processor_s"] / found["ours"]["processor_s"], 2)
        found["ratio_wall"] = round(found["script"]["wall_s"] / found["ours"]["wall_s"], 2)
        found["tests"] = beside(tests, figures)
        found["libraries"] = libraries()
        print(f"the script takes {found['ratio_processor']:.2f} times our processor time")
    return found


def _used() -> float:
    return sum(
        used.ru_utime + used.ru_stime
        for used in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


def main() -> None:
    """Measure, print, and keep what is of use to the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=USUAL)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("ours", "script"))
    args = parser.parse_args()
    found = measured(args.rows, args.rounds, (args.only,) if args.only else ("ours", "script"))
    if args.rows == USUAL and not args.only:
        keep("battery", found)
    elif args.rows == MILLION and args.only != "script":
        keep("battery-million", found)


if __name__ == "__main__":
    main()
