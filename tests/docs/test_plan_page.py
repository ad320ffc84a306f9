"""The page on capital plans is done as it is written, and its reference is that of the code."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from tools.make_columns import PAGE, page
from typer.testing import CliRunner

from strongroom.access.people import Person, person_key
from strongroom.adapters.keys.homes import Home
from strongroom.cli import app
from strongroom.planning import results
from strongroom.vocabulary import PersonId
from tests import simulator

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "plan-capital.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = BLOCK.findall(HOW_TO.read_text())
    (python,) = [text for kind, text in blocks if kind == "python"]
    (toml,) = [text for kind, text in blocks if kind == "toml"]
    sign, given, scored = [text for kind, text in blocks if kind == "console"]
    exec(compile(python, str(HOW_TO), "exec"), {})  # noqa: S102 - the page's own code is what is tested
    Path("scenario.toml").write_text(toml)
    secret = Path("secret")
    secret.write_bytes(b"correct horse battery")
    secret.chmod(0o600)
    public = Home.create(Path("rita-home"), "rita", secret.read_bytes())
    rita = Person(person_id=PersonId("rita"), kind="Person", keys=(person_key(public.spki, 0),), roles=("risk",))
    Path("people.json").write_bytes(simulator.register({"rita": rita}).encode())
    signed = CliRunner().invoke(app, [*shlex.split(sign)[2:], "--passphrase-file", "secret"])
    assert signed.exit_code == 0, signed.output
    done = CliRunner().invoke(app, shlex.split(given)[2:])
    assert done.exit_code == 0, done.output
    assert "CET1 ratio" in done.output
    assert "signed by rita, counts from 2026-12-01" in done.output
    assert results.read(Path("december/plan.json").read_bytes()).inputs.exposures == 600
    # the other one needs a gateway: it is refused for that and for nothing else
    refused = CliRunner().invoke(app, [*shlex.split(scored)[2:], "--output", "b"])
    assert refused.exit_code == 3
    assert "`gw-1` is not a gateway's folder" in refused.output


def test_the_reference_of_columns_is_fresh() -> None:
    assert PAGE.read_text() == page(), "run `python -m tools.make_columns`"
