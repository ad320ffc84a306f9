"""One environment for each server that is measured, made on first use from its lock file: `bench/peers/<name>`.

python -m bench.environments make fastapi mlserver
python -m bench.environments lock            resolves all lock files anew; needs `uv`
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.processes import HERE, ROOT

PEERS = HERE / "peers"
ENVIRONMENTS = HERE / ".envs"
SHARED = ("onnxruntime",)
"""Packages whose version is ours in every environment: the model must cost the same everywhere."""
PIN = re.compile(r"^([A-Za-z0-9_.-]+)(?:\[[^]]*\])?==([^ ;\\]+)", re.MULTILINE)


class NoEnvironmentError(Exception):
    """It could not be installed; with pip's last words."""


def pins(lock: Path) -> dict[str, str]:
    """Versions in a lock file by package."""
    return dict(PIN.findall(lock.read_text()))


def bin_of(name: str) -> Path:
    """Where the programs of an environment lie, made or not."""
    return ENVIRONMENTS / name / "bin"


def make(name: str) -> Path:
    """The environment's `bin`, made if it is not there or its lock has changed since.

    Raises:
        NoEnvironmentError: the venv or an installation failed.
    """
    lock = PEERS / name / "requirements.txt"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    folder, mark = ENVIRONMENTS / name, ENVIRONMENTS / name / ".made"
    if mark.exists() and mark.read_text() == digest:
        return folder / "bin"
    ENVIRONMENTS.mkdir(exist_ok=True)
    _run([sys.executable, "-m", "venv", "--clear", str(folder)], name)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    _run([*pip, "--require-hashes", "--no-deps", "-r", str(lock)], name)
    mark.write_text(digest)
    return folder / "bin"


def installed(name: str) -> dict[str, str]:
    """Versions that are installed, by package; the lock's where nothing is."""
    python = bin_of(name) / "python"
    if not python.exists():
        return {}
    listed = subprocess.run(
        [str(python), "-m", "pip", "--disable-pip-version-check", "list", "--format", "json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return {one["name"]: one["version"] for one in json.loads(listed.stdout or "[]")}


def lock_all() -> None:
    """Resolve every lock file. No registry address enters them."""
    ours = pins(ROOT / "requirements" / "test.txt")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
        constraints.write("".join(f"{name}=={ours[name]}\n" for name in SHARED))
        constraints.flush()
        for wanted in sorted(PEERS.glob("*/requirements.in")):
            _run(
                [
                    str(Path(sys.executable).parent / "uv"), "pip", "compile", wanted.name, "--universal",
                    "--python-version", "3.11", "--generate-hashes", "--no-emit-index-url", "--no-header",
                    "--no-annotate", "--quiet", "-c", constraints.name, "-o", "requirements.txt",
                ],
                wanted.parent.name,
                wanted.parent,
            )  # fmt: skip


def _run(command: list[str], name: str, folder: Path | None = None) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
        raise NoEnvironmentError(f"the environment of `{name}` could not be made: {said[-1][:300]}")


def main(arguments: list[str]) -> int:
    """Make or lock."""
    names = sorted(path.name for path in PEERS.iterdir())
    parser = argparse.ArgumentParser(prog="bench.environments", description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make", help="make environments from their lock files")
    making.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}; without a name all of them")
    commands.add_parser("lock", help="resolve all lock files anew; needs uv")
    chosen = parser.parse_args(arguments)
    if chosen.command == "lock":
        lock_all()
        return 0
    if unknown := sorted(set(chosen.names) - set(names)):
        making.error(f"there is no server {', '.join(unknown)}; there are {', '.join(names)}")
    failed = 0
    for name in chosen.names or names:
        try:
            print(f"{name}: {make(name).parent.relative_to(ROOT)}", flush=True)
        except NoEnvironmentError as error:
            print(error, flush=True)
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
