"""What machines meet at the edges: wrong use with `--json`, and a model that nobody knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from strongroom.cli import app
from strongroom.cli.output import EXIT_CODES
from strongroom.cli.usage import UsageError, wants_json
from tests.journeys.bank import Bank, each_key_derived_once
from tests.journeys.test_command_form import ALL, run

ROOM = ("--room", "r", "--home", "h")


def usage(text: str) -> dict[str, Any]:
    """The one document of a usage error."""
    assert text.count("\n") == 1
    found: dict[str, Any] = json.loads(text)
    assert found.keys() == {"error", "message", "details", "entry"}  # as for every other error
    assert found["error"] == "usage"
    assert found["message"]
    return found


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("nonsense", "--json"), "No such command 'nonsense'"),
        (("people", "nonsense", "--json"), "No such command 'nonsense'"),
        (("show", "--json"), "--room"),
        (("--nonsense", "show", "--json"), "No such option"),
        (("show", "--json", "--nonsense", *ROOM), "No such option"),
        (("history", "--json", *ROOM), "Missing argument 'model'"),
        (("release", "m", *ROOM, "--percent", "101", "--json"), "--percent"),
        (("release", "m", *ROOM, "--percent", "a\nb", "--json"), "--percent"),
        (("people", "end", "p", "--reason", "bored", *ROOM, "--json"), "compromised"),
        (("verify", "no-receipt", "--policy", "no-policy", "--json"), "does not exist"),
        (("show", "--room", "--json"), "--"),
    ],
)
def test_wrong_use_is_one_json_document(words: tuple[str, ...], says: str) -> None:
    done = CliRunner().invoke(app, words, prog_name="strongroom")
    assert done.exit_code == EXIT_CODES["usage"] == 2, done.output
    assert says in usage(done.stdout)["message"]
    assert done.stderr == ""


def test_a_process_answers_the_same() -> None:
    done = run("show", "--json")
    assert done.returncode == 2
    assert "--room" in usage(done.stdout)["message"]
    assert done.stderr == ""


@pytest.mark.parametrize("words", [words for words in ALL if ALL[words].params], ids=" ".join)
def test_no_command_is_an_exception(words: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, [*words, "--no-such-option", "--json"])
    assert done.exit_code == 2
    assert "--no-such-option" in usage(done.stdout)["message"]


def test_people_still_read_text() -> None:
    done = CliRunner().invoke(app, ["show"], env={"COLUMNS": "160"})
    assert done.exit_code == 2
    assert done.stdout == ""
    assert "Usage:" in done.stderr
    assert "--room" in done.stderr
    # what stands behind `--` is a value
    done = CliRunner().invoke(app, ["policy", "check", "--", "--json", "too-many"], env={"COLUMNS": "160"})
    assert done.exit_code == 2
    assert done.stdout == ""


def test_help_and_version_are_not_wrong_use() -> None:
    for words in (["show", "--help", "--json"], ["--version"]):
        assert CliRunner().invoke(app, words).exit_code == 0
    assert wants_json(["a", "--json"])
    assert not wants_json(["a", "--", "--json"])
    assert not wants_json([])
    assert UsageError.__name__ == "UsageError"


def test_the_history_of_a_model_that_nobody_knows_is_not_found(tmp_path: Path) -> None:
    bank = Bank(tmp_path)
    with each_key_derived_once():
        bank.hire()
        bank.found()
        for words in (
            ("history", "pd-nothing"),
            ("history", "pd-nothing", "--at", "2026-11-21"),
            ("show", "pd-nothing"),
        ):
            assert bank.refused("audrey", *words, code=3)["error"] == "not-found"
        said = bank.refused("audrey", "history", "pd-nothing@50fe21")
        assert "`pd-nothing`" in said["message"]
        assert "strongroom show" in said["message"]
        assert said["entry"], "the refusal is on the record"
        done = bank.try_("audrey", "history", "pd-nothing")
        assert done.exit_code == 3
        assert "not-found: no version of a model `pd-nothing`" in done.stderr
