"""A plain installation, without extras: what it can do works, and what it cannot says which extra is missing."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from strongroom.cli.extras import MODULES, demand, lacking
from strongroom.errors import UnavailableError
from tests.journeys.bank import SOURCE

ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
BARE = """
import importlib, json, pkgutil, sys

absent = set(json.loads(sys.argv[1]))

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
"""
ROOMS = """
import strongroom.cli, strongroom.web, strongroom.wiring

for package in (strongroom.cli, strongroom.wiring, strongroom.web):
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
"""
COMMAND = """
from typer.testing import CliRunner
from strongroom.cli import app

for words in json.loads(sys.argv[2]):
    done = CliRunner().invoke(app, words)
    print(json.dumps([done.exit_code, done.output, repr(done.exception)]))
"""


def bare(code: str, *arguments: str) -> str:
    """Run code where no module of an extra can be imported."""
    absent = json.dumps([module for modules in MODULES.values() for module in modules])
    done = subprocess.run(
        [sys.executable, "-c", BARE + code, absent, *arguments],
        env={"PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_everything_is_imported_and_commands_that_need_an_extra_say_so(tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("decision_id,outcome\n")
    asked = [
        ["harden", "a", "b"],
        ["scan", "m", "--room", "r", "--home", "h"],
        ["validate", "m", "--room", "r", "--home", "h"],
        ["outcomes", "m", str(rows), "--room", "r", "--home", "h"],
    ]
    for words, line in zip(asked, bare(ROOMS + COMMAND, json.dumps(asked)).splitlines(), strict=True):
        code, said, raised = json.loads(line)
        assert code == 5, (words, said, raised)
        assert said.startswith("unavailable: `"), words
        assert "install strongroom[" in said, words


def test_what_no_extra_brings_is_a_defect_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lacking("nothing.of.this") is None
    assert "strongroom[package]" in str(lacking("pandas.core"))
    monkeypatch.setitem(MODULES, "none", ("nothing_of_this",))
    with pytest.raises(UnavailableError, match=r"strongroom\[none\]"):
        demand("none")


@functools.cache
def distributions() -> Mapping[str, list[str]]:
    """Which distributions bring a module."""
    return packages_distributions()


@pytest.mark.parametrize("extra", MODULES)
def test_each_module_comes_with_its_extra(extra: str) -> None:
    known = distributions()
    listed = {line.partition(">")[0].partition("[")[0].lower() for line in EXTRAS[extra]}
    for module in MODULES[extra]:
        assert {name.lower() for name in known[module]} & listed, module
