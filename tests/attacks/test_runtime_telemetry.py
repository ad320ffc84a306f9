"""Threat: the model runtime tells its vendor of our models, as onnxruntime for Linux does unless told not to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

RUN = """
import time
{first}
import onnxruntime
time.sleep(0.5)
"""


def files_after(first: str, home: Path) -> list[str]:
    """What a process that runs the runtime leaves in its user's home."""
    home.mkdir()
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": "src", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", RUN.format(first=first)],
        env=env,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return [path.name for path in home.rglob("*") if path.is_file()]


def test_nothing_is_collected_once_strongroom_is_imported(tmp_path: Path) -> None:
    assert files_after("import strongroom", tmp_path / "home") == []
    assert files_after("import strongroom.validation.batteries.artifact", tmp_path / "other") == []


def test_the_vendors_own_switch_is_set_for_child_processes_too() -> None:
    import strongroom

    assert strongroom.__version__
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
