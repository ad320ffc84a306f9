"""What the gateway imports of this room is light: no scipy, no converters, no plots."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("scipy", "pandas", "sklearn", "xgboost", "matplotlib", "altair", "vl_convert", "statsmodels")


@pytest.mark.parametrize(
    "module", ["policy", "results", "statistics.bins", "batteries.artifact", "reporting.report", "validating", "ports"]
)
def test_modules_outside_the_jobs_import_nothing_heavy(module: str) -> None:
    code = f"import sys, strongroom.validation.{module}; print([m for m in {HEAVY!r} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert run.stdout.strip() == "[]"
