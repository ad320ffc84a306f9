"""What holds for every command: help with an example, --json, exit codes, completion, one line for an error."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from strongroom import errors
from strongroom.access.verbs import VERBS
from strongroom.cli import app, output
from strongroom.cli.output import EXIT_CODES, ask_to_sign, command, exit_code, printable, table, tell
from strongroom.wiring.settings import RoomSettings
from tests.journeys.bank import SOURCE

PROMISED = frozenset(
    [
        "init",
        "people",
        "package",
        "submit",
        "scan",
        "validate",
        "review",
        "approve",
        "reject",
        "release",
        "rollback",
        "halt",
        "lift",
        "serve",
        "witness",
        "score",
        "verify",
        "replay",
        "replicate",
        "erase",
        "outcomes",
        "monitor",
        "fsck",
        "unseal",
        "show",
        "history",
        "policy",
    ]
)
HEAVY = ("onnxruntime", "sqlalchemy", "pandas", "numpy", "pyarrow", "cryptography", "tuf", "SpiffWorkflow", "uvloop")


def commands(group: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with its words."""
    for name, one in sorted((group or typer.main.get_command(app)).commands.items()):
        if hasattr(one, "commands"):
            yield from commands(one, (*path, name))
        else:
            yield (*path, name), one


ALL = dict(commands())


def run(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """A process of its own, with a bare environment."""
    return subprocess.run(
        [sys.executable, "-m", "strongroom", *map(str, words)],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE), **environment},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_every_promised_command_is_there() -> None:
    assert {words[0] for words in ALL} >= PROMISED


def test_every_verb_of_people_has_a_command() -> None:
    by_verb = {
        "register-sample": ("sample",), "add-grant": ("grant", "add"), "rotate-key": ("grant", "rotate"),
        "open-shard": ("node", "create"), "close-shard": ("node", "close"), "policy-check": ("policy", "check"),
        "backup": ("node", "backup"), "restore": ("node", "restore"), "people": ("people", "enter"),
        "repair": ("fsck",), "alert": ("monitor",), "metadata": ("score",), "finding": ("findings", "add"),
    }  # fmt: skip
    assert {by_verb.get(str(verb), (str(verb),)) for verb in VERBS} <= set(ALL)


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_help_says_what_and_gives_an_example(words: tuple[str, ...]) -> None:
    text = ALL[words].help or ""
    assert len(text.splitlines()[0]) > 20
    example = re.search(r"Example: (strongroom .*)", text, re.DOTALL)
    assert example is not None, f"{words} has no example"
    asked = example.group(1).split()
    assert tuple(asked[1 : 1 + len(words)]) == words
    known = {name for parameter in ALL[words].params for name in parameter.opts}
    assert {word for word in asked if word.startswith("--")} <= known


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_command_speaks_json_and_explains_its_options(words: tuple[str, ...]) -> None:
    parameters = ALL[words].params
    assert any("--json" in parameter.opts for parameter in parameters)
    assert [parameter.name for parameter in parameters if not getattr(parameter, "help", None)] == []


# those with the widest tables: types of numbers, ranges and choices, several passphrase files
@pytest.mark.parametrize(
    "words", ["erase", "findings accept", "node create", "people end", "release", "run-rules", "harden"]
)
def test_help_cuts_nothing_on_a_narrow_terminal(words: str) -> None:
    done = CliRunner().invoke(app, [*words.split(), "--help"], env={"COLUMNS": "80"})
    assert done.exit_code == 0
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "\u2026" not in done.stdout


def test_options_of_judgement_are_in_the_help() -> None:
    done = CliRunner().invoke(app, ["review", "--help"], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    for option in ("--opinion", "--finding", "--room", "--home", "--passphrase-file", "fit or unfit"):
        assert option in done.stdout
    assert "--reason" in CliRunner().invoke(app, ["halt", "--help"], env={"COLUMNS": "200"}).stdout


def test_help_is_light() -> None:
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom strongroom.cli import app\n"
        "done = CliRunner().invoke(app, ['--help'])\nassert done.exit_code == 0, done.output\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_version_and_name() -> None:
    done = run("--version")
    assert done.stdout.startswith("strongroom ")
    assert "Usage: strongroom" in run("--help").stdout


# exit codes ----------------------------------------------------------------------------------------------------------


def test_every_error_has_the_exit_code_of_its_family() -> None:
    found = {
        one: exit_code(one("x"))
        for one in vars(errors).values()
        if isinstance(one, type) and issubclass(one, errors.StrongroomError)
    }
    for one, code in found.items():
        if issubclass(one, errors.RefusedError):
            assert code == EXIT_CODES["refused"] == 3
        elif issubclass(one, errors.TamperedError):
            assert code == EXIT_CODES["tampered"] == 4
        elif issubclass(one, errors.UnavailableError):
            assert code == EXIT_CODES["unavailable"] == 5
    assert len(found) > 15


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ((), 2, "Usage: strongroom"),
        (("nonsense",), 2, "No such command"),
        (("show", "pd-cards"), 2, "--room"),
        (("submit", "nowhere", "--room", "r"), 2, "--home"),
        (("show", "pd-cards", "--room", "nowhere", "--home", "h"), 3, "`nowhere` is not a room"),
        (("timestamp", "--room", "room"), 3, "--room-passphrase-file"),
        (("timestamp", "--room", "room", "--room-passphrase-file", "missing"), 3, "missing"),
        (("verify", "no-receipt", "--policy", "no-policy"), 2, "does not exist"),
        (("score", "no-rows.csv", "--url", "http://x", "--purpose", "p", "--jurisdiction", "j"), 2, "does not exist"),
        (("serve", "nowhere"), 3, "`nowhere` is not a gateway's folder"),
        (("release", "m", "--room", "r", "--home", "h", "--percent", "101"), 2, "--percent"),
        (("people", "end", "p", "--reason", "bored", "--room", "r", "--home", "h"), 2, "compromised"),
    ],
)
def test_wrong_use_says_what_to_do(words: tuple[str, ...], code: int, says: str, tmp_path: Path) -> None:
    (tmp_path / "room").mkdir()
    settings = RoomSettings(v=1, org="first-bank", room="credit", region="eu", profile="default", witness_vkeys=())
    (tmp_path / "room" / "room.toml").write_bytes(settings.encode())
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE), "COLUMNS": "160"}
    done = subprocess.run(
        [sys.executable, "-m", "strongroom", *words], cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    assert says in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [("validate", "m", "--report", "nowhere/r.html"), ("erase", "s", "--node", "n", "--certificate", "nowhere/c")],
)
def test_a_file_without_a_folder_is_refused_before_anything_is_done(words: tuple[str, ...], tmp_path: Path) -> None:
    room = ("--room", "nowhere", "--home", "nobody")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        done = CliRunner().invoke(app, [*words, *room], prog_name="strongroom")
    assert done.exit_code == EXIT_CODES["refused"]
    assert "there is no folder `nowhere`" in done.stderr


def test_a_folder_that_is_no_room_is_named(tmp_path: Path) -> None:
    secret = tmp_path / "pass"
    secret.write_text("long enough to be taken")
    secret.chmod(0o600)
    done = run("timestamp", "--room", tmp_path, "--room-passphrase-file", secret, "--json")
    assert done.returncode == EXIT_CODES["refused"]
    said = json.loads(done.stdout)
    assert said["error"] == "not-found"
    assert "strongroom init" in said["message"]


@pytest.mark.parametrize("content", ["", "not = [toml", "[[people]]\nperson_id = 1\n", "[[people]]\nunknown = 1\n"])
def test_a_people_file_that_is_none_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "people.toml").write_text(content)
    secret = tmp_path / "pass"
    secret.write_text("long enough to be taken")
    secret.chmod(0o600)
    done = CliRunner().invoke(
        app, ["init", str(tmp_path / "room"), "--org", "bank", "--name", "credit", "--people",
              str(tmp_path / "people.toml"), "--room-passphrase-file", str(secret), "--json"],
    )  # fmt: skip
    assert done.exit_code == EXIT_CODES["refused"], done.output
    assert json.loads(done.stdout)["error"] in ("invalid-input", "four-eyes")
    assert not (tmp_path / "room").exists()


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_a_file_that_is_no_table_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"\x00\xff\xfe" * 10)
    (tmp_path / "token").write_text("sr_x")
    (tmp_path / "token").chmod(0o600)
    words = ["score", tmp_path / name, "--url", "http://127.0.0.1:9", "--purpose", "p", "--jurisdiction", "EU"]
    done = CliRunner().invoke(
        app, [*map(str, words), "--token-file", str(tmp_path / "token"), "--model", "m", "--json"]
    )
    assert done.exit_code in (EXIT_CODES["refused"], EXIT_CODES["unavailable"]), done.output
    assert not isinstance(done.exception, Exception) or isinstance(done.exception, SystemExit)


# output --------------------------------------------------------------------------------------------------------------


def test_words_of_others_are_shown_as_they_are_written(capsys: pytest.CaptureFixture[str]) -> None:
    tell(False, {}, ["[conceal]hidden[/] :smile: \x1b[8mgone \u202eesrever"])
    table("t", ["c"], [("[red]x[/red]",)])
    shown = capsys.readouterr().out
    assert "[conceal]hidden[/] :smile: \\x1b[8mgone \\u202eesrever" in shown
    assert "[red]x[/red]" in shown
    assert "\x1b" not in shown
    assert printable("two\nlines") == "two\nlines"


def test_columns_of_figures_stand_right_and_words_left(capsys: pytest.CaptureFixture[str]) -> None:
    table("t", ["name", "rows", "share"], [("a", 1200, "3.5%"), ("b", 7, "-"), ("12", "", "100.0%")])
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()[3:]] == [
        "a     1200    3.5%",
        "b        7       -",
        "12          100.0%",
    ]
    table("0 version(s)", ["model"], [])
    assert capsys.readouterr().out == "0 version(s): none\n"


def test_the_log_of_a_room_takes_one_line_an_entry_in_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output.console, "width", 80)
    row = ("1117", "2026-11-26 04:48:41", "audrey", "register-sample", "lgd-lendingclub", "done")
    table("t", ["#", "at", "who", "verb", "on", "outcome"], [row])
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_an_error_with_brackets_does_not_break_the_message(capsys: pytest.CaptureFixture[str]) -> None:
    @command
    def fails() -> None:
        raise errors.TamperedError("shape [/rows, 23] is wrong")

    with pytest.raises(typer.Exit) as stopped:
        fails()
    assert stopped.value.exit_code == EXIT_CODES["tampered"]
    assert "tampered: shape [/rows, 23] is wrong" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    @command
    def writes(as_json: bool) -> None:
        (tmp_path / "nowhere" / "x").write_text(str(as_json))

    with pytest.raises(typer.Exit) as stopped:
        writes(as_json=True)
    assert stopped.value.exit_code == EXIT_CODES["unavailable"]
    assert "nowhere" in json.loads(capsys.readouterr().out)["message"]


def test_a_defect_of_ours_shows() -> None:
    @command
    def broken() -> None:
        raise KeyError("a defect")

    with pytest.raises(KeyError):
        broken()


def test_asking_to_sign_refuses_where_nobody_can_answer(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(errors.ConflictError, match="--yes"):
        ask_to_sign(["terms"], yes=False, as_json=True)
    with pytest.raises(errors.ConflictError, match="--yes"):
        ask_to_sign(["terms"], yes=False, as_json=False)
    ask_to_sign(["terms"], yes=True, as_json=False)
    assert "terms" in capsys.readouterr().out


# completion ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_completion_script(shell: str) -> None:
    done = run(_STRONGROOM_COMPLETE=f"source_{shell}")
    assert done.returncode == 0, done.stderr
    assert "_STRONGROOM_COMPLETE" in done.stdout


def test_words_are_completed() -> None:
    done = run(_STRONGROOM_COMPLETE="complete_bash", COMP_WORDS="strongroom re", COMP_CWORD="1")
    assert set(done.stdout.split()) == {
        "receipt",
        "reject",
        "release",
        "replay",
        "replicate",
        "report",
        "restore",
        "retain",
        "review",
    }
    done = run(_STRONGROOM_COMPLETE="complete_bash", COMP_WORDS="strongroom people ", COMP_CWORD="2")
    assert {"new", "list", "sign", "delegate", "enter", "end"} <= set(done.stdout.split())


@pytest.mark.parametrize(("said", "signs"), [(True, True), (False, False)])
def test_a_person_at_a_terminal_is_asked(said: bool, signs: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(typer, "confirm", lambda _: said)
    if signs:
        ask_to_sign(["terms"], yes=False, as_json=False)
        return
    with pytest.raises(errors.ConflictError, match="nothing was signed"):
        ask_to_sign(["terms"], yes=False, as_json=False)


# policies ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "code", "says"),
    [
        (None, 2, "does not exist"),
        ((), 3, "none of the policies"),
        (("readme.md",), 3, "none of the policies"),
        (("trust.json", "acces.cedar"), 3, "acces.cedar"),
        (("trust.json",), 0, "trust.json: holds"),
    ],
)
def test_policies_that_would_count_for_nothing_are_told(
    names: tuple[str, ...] | None, code: int, says: str, tmp_path: Path
) -> None:
    folder = tmp_path / "ours"
    if names is not None:
        folder.mkdir()
        for name in names:
            shipped = SOURCE / "strongroom" / "policies" / name
            (folder / name).write_bytes(shipped.read_bytes() if shipped.exists() else b"permit();")
    done = CliRunner().invoke(app, ["policy", "check", str(folder)], env={"COLUMNS": "200"})
    assert done.exit_code == code, done.output
    assert says in done.output
    if code == 0:
        assert {line.endswith(", as shipped") for line in done.stdout.splitlines() if "trust" not in line} == {True}
        assert "as shipped" not in next(line for line in done.stdout.splitlines() if line.startswith("trust"))
