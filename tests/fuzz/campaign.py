"""`make fuzz`: every parser under atheris (libFuzzer), for SECONDS each.

A crash ends with 1 and leaves its input in `fuzz-findings/`.
The product is instrumented once; each parser then runs in a child of its own, so that one that
hangs or eats memory ends alone.
Where no atheris is (it has wheels for Linux on x86-64), documents are spoiled blindly instead.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

try:
    import atheris
except ImportError:
    atheris = None

if atheris is not None:
    with atheris.instrument_imports(include=["strongroom"], enable_loader_override=False):
        from tests.fuzz import harnesses
else:
    from tests.fuzz import harnesses
from tests.fuzz.mutation import spoiled

FINDINGS = Path("fuzz-findings")
LONGEST, TIMEOUT_S, MEMORY_MB = 65_536, 10, 2048


def with_atheris(harness: harnesses.Harness, seconds: int) -> None:
    """Never returns: libFuzzer ends the process."""
    slug = harness.name.replace(" ", "-")
    with tempfile.TemporaryDirectory() as folder:
        for number, seed in enumerate(harness.seeds()):
            (Path(folder) / str(number)).write_bytes(seed)

        def one(data: bytes) -> None:
            harness.try_on(data)

        options = {
            "max_total_time": seconds, "max_len": LONGEST, "timeout": TIMEOUT_S, "rss_limit_mb": MEMORY_MB,
            "artifact_prefix": f"{FINDINGS}/{slug}-", "verbosity": 0, "print_final_stats": 0,
            # 0 lets libFuzzer choose; CI names one, so that a change and not chance decides whether it passes
            "seed": os.environ.get("FUZZ_SEED", "0"),
        }  # fmt: skip
        atheris.Setup([sys.argv[0], *(f"-{name}={value}" for name, value in options.items()), folder], one)
        atheris.Fuzz()


def blindly(harness: harnesses.Harness, seconds: int) -> None:
    """Spoil documents with chance until the time is over.

    Raises:
        SystemExit: 1, with the input kept, when the parser does what it does not document.
    """
    dice, seeds, until = (
        random.Random(int(os.environ.get("FUZZ_SEED", "0")) or None),
        harness.seeds(),
        time.monotonic() + seconds,
    )
    while time.monotonic() < until:
        data = spoiled(seeds, dice, longest=LONGEST)
        try:
            harness.try_on(data)
        except Exception:
            traceback.print_exc()
            place = FINDINGS / f"{harness.name.replace(' ', '-')}-{random.getrandbits(64):016x}"
            place.write_bytes(data)
            sys.exit(1)


def start(harness: harnesses.Harness, seconds: int, told: Path) -> int:
    """Begin in a child, its words in a file. Returns the child's process id."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    handle = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    code = 1
    try:
        (with_atheris if atheris is not None else blindly)(harness, seconds)
        code = 0
    except SystemExit as error:
        code = int(error.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def campaign(names: list[str], seconds: int, jobs: int) -> list[str]:
    """Run them, `jobs` at a time. Returns those that broke; says so and shows the end of what they said."""
    waiting, running, broken = list(names), dict[int, str](), []
    with tempfile.TemporaryDirectory() as folder:
        told = {name: Path(folder) / f"{number}.txt" for number, name in enumerate(names)}
        while waiting or running:
            while waiting and len(running) < jobs:
                name = waiting.pop(0)
                running[start(harnesses.HARNESSES[name], seconds, told[name])] = name
            child, status = os.wait()
            name, code = running.pop(child), os.waitstatus_to_exitcode(status)
            if code:
                broken.append(name)
                print("\n".join(told[name].read_text("utf-8", "replace").splitlines()[-40:]))
            print(f"{'held' if code == 0 else f'broke ({code})':12} {name}", flush=True)
    return broken


def main(arguments: list[str] | None = None) -> int:
    """Run the campaign."""
    asked: Any = argparse.ArgumentParser(description="fuzz every parser of strongroom")
    asked.add_argument("--seconds", type=int, default=60, help="for each parser")
    asked.add_argument("--only", nargs="*", choices=sorted(harnesses.HARNESSES), help="these parsers")
    asked.add_argument("--jobs", type=int, default=2, help="parsers at a time")
    options = asked.parse_args(arguments)
    FINDINGS.mkdir(exist_ok=True)
    names = options.only or list(harnesses.HARNESSES)
    broken = campaign(names, options.seconds, options.jobs)
    how = "atheris" if atheris is not None else "spoiling blindly (no atheris here)"
    print(f"{len(names)} parsers, {options.seconds} s each, {how}; {len(broken)} broke")
    if broken:
        print(
            f"the inputs lie in {FINDINGS}/; mend the parser and add the input to FOUND in tests/fuzz/test_parsers.py"
        )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
