"""The main job, run as `make demo` runs it: every claim holds, every attempt is refused for its reason, twice over."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


@pytest.mark.slow  # two to three minutes, and better alone than beside others: CI runs it after the rest
@pytest.mark.timeout(600)
def test_the_demo_proves_what_it_claims(tmp_path: Path) -> None:
    paths = os.pathsep.join([str(PROJECT), str(PROJECT / "src")])
    done = subprocess.run(
        [sys.executable, "-m", "demo"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    summary = json.loads((tmp_path / "demo-room" / "summary.json").read_text())
    assert set(summary) == {"steps", "proven", "refused", "figures"}
    assert all(set(step) == {"name", "seconds"} for step in summary["steps"])
    assert len(summary["proven"]) >= 17
    assert [claim["what"] for claim in summary["proven"] if not claim["held"]] == []
    assert len(summary["refused"]) >= 15
    for attempt in summary["refused"]:
        assert ": " in attempt["reason"]
        assert attempt["entry"], attempt
    assert (tmp_path / "demo-room" / "report-pd-cards.html").read_text().startswith("<!doctype html>")
    commands = [
        line.strip() for line in done.stdout.splitlines() if line.startswith(("  export ", f"  {sys.executable}"))
    ]
    assert len(commands) == 6
    looked = subprocess.run(
        ["bash", "-e"], input="\n".join(commands), cwd=tmp_path, env={**os.environ, "PYTHONPATH": paths},
        capture_output=True, text=True,
    )  # fmt: skip
    assert looked.returncode == 0, looked.stdout[-3000:] + looked.stderr[-3000:]
    for said in ("cosigned by the witnesses", "pd-cards", "whole"):
        assert said in looked.stdout
