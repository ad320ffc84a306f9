"""Nobody is asked for a passphrase, and no work is done, before it is known that what was named is there."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import typer
from typer.testing import CliRunner

from strongroom.cli import app
from tests.journeys.test_command_form import ALL

ALSO: dict[tuple[str, ...], tuple[list[str], ...]] = {
    ("score",): (["--node", "{folder}", "--model", "m", "--output", "{folder}/out", "--purpose", "p"],),
    ("plan",): (["--node", "{folder}", "--pd", "m"],),
    ("fsck",): (["--node", "{folder}"], ["--node", "{folder}", "--repair"]),
    ("restore",): (["--node", "{folder}", "--backup-keys", "{folder}"], ["--checkpoint", "{file}"]),
    ("erase",): (["ann"], ["--pending"]),
    ("witness",): (["--create", "w.example/1"], []),
    ("halt",): (["--file", "{folder}/halt"],),
    ("findings", "add"): (["--severity", "low"],),
    ("grant", "certificate"): (["--dns", "w.example"],),
    ("grant", "deny"): (["--token", "t"],),
    ("grant", "issuer"): (["--audience", "a", "--discover"],),
    ("grant", "limit"): (["--end"],),
    ("people", "end"): (["--reason", "left"],),
    ("write",): (["--section", "data"],),
}


def words_of(command: Any, folder: Path, file: Path) -> list[str]:
    """Everything that the command demands: a folder that holds something else, a file that holds nothing."""
    words: list[str] = []
    for one in command.params:
        if not one.required:
            continue
        kind, told = one.type_descriptor.annotation, one.type_descriptor.parameter_info
        if kind is Path:
            value = str(file if told.exists and not told.dir_okay else folder)
        elif get_origin(kind) is Literal:
            value = str(get_args(kind)[0])
        else:
            value = "1" if kind is int else "x"
        words += [value] if one.param_type_name == "argument" else [one.opts[0], value]
    return words


@pytest.mark.parametrize("path", sorted(ALL), ids=" ".join)
def test_nobody_is_asked_for_the_passphrase_of_what_is_not_there(
    path: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, file = tmp_path / "other", tmp_path / "file"
    folder.mkdir()
    (folder / "key.pem").write_text("not ours")
    (folder / "witness.keyring").write_text("not ours")
    file.write_bytes(b"")
    asked: list[str] = []

    def prompt(what: str, **_: Any) -> str:
        asked.append(what)
        raise typer.Abort

    monkeypatch.setattr(typer, "prompt", prompt)
    for variable in (
        "STRONGROOM_ROOM_PASSPHRASE_FILE",
        "STRONGROOM_PASSPHRASE_FILE",
        "STRONGROOM_NODE_PASSPHRASE_FILE",
    ):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("strongroom.cli.context.sys", Terminal())
    for more in ALSO.get(path, ([],)):
        words = [*path, *words_of(ALL[path], folder, file), *(word.format(folder=folder, file=file) for word in more)]
        told = CliRunner().invoke(app, words)
        assert not asked, (words, told.output)
        assert told.exit_code != 0 or path == ("policy", "check"), words


class Terminal:
    """`sys` as a person at a terminal has it."""

    class stdin:  # noqa: N801 - as in sys
        @staticmethod
        def isatty() -> bool:
            return True

    def __getattr__(self, name: str) -> Any:
        return getattr(sys, name)
