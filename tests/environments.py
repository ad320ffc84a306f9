"""Environments beside ours, for what brings pins of its own: made once for each set of pins."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def environment(name: str) -> Path:
    """The interpreter of an environment in the folder `.<name>`, with the pins of `requirements/<name>.txt`."""
    folder, pins = ROOT / f".{name}", ROOT / f"requirements/{name}.txt"
    ready, state = folder / "ready", hashlib.sha256(pins.read_bytes()).hexdigest()
    interpreter = folder / "bin/python"
    if not (ready.exists() and ready.read_text() == state):
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True, timeout=120)
        install = ["-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps", "-r", str(pins)]
        done = subprocess.run([str(interpreter), *install], capture_output=True, text=True, timeout=280)
        if done.returncode:
            pytest.skip(f"`{name}` cannot be installed here: {done.stderr.strip().splitlines()[-1][:200]}")
        ready.write_text(state)
    return interpreter
