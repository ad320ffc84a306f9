"""Every command that a message prints is one that runs: the real parser takes it, on the version that is meant."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from strongroom.cli import app

SOURCE = Path(__file__).parents[2] / "src" / "strongroom"
PRINTED = re.compile(r"`strongroom ([^`]+)`|(?:next|then)[^:`]*: strongroom ([^,;(`]+)")
ROOT: Any = typer.main.get_command(app)
EVERYWHERE = {"room", "home"}
"""Where a reader is at work already; most have them in variables."""
WHOLE_MODEL = {"halt"}
"""Commands that mean a model and not one version of it."""


def templates(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Texts of a module but for docstrings, with what is filled in between braces."""
    apart = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            apart |= {id(line.value) for line in node.body if isinstance(line, ast.Expr)}
        elif isinstance(node, ast.JoinedStr):
            apart |= {id(part) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield (
                node.lineno,
                "".join(
                    str(part.value)
                    if isinstance(part, ast.Constant)
                    else "{" + ast.unparse(part.value).replace(" ", "") + "}"  # type: ignore[attr-defined]  # a FormattedValue
                    for part in node.values
                ),
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in apart:
            yield node.lineno, node.value


def printed() -> dict[str, tuple[str, str]]:
    """Commands with arguments, and the file that prints them, by place; a command's bare name is but its name."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        source = path.read_text()
        if "`strongroom " not in source and ": strongroom " not in source:
            continue
        for line, text in templates(ast.parse(source)):
            for match in PRINTED.finditer(text):
                name = path.relative_to(SOURCE).as_posix()
                words = (match[1] or match[2]).strip()
                found[f"{name}:{line} {words}"] = (name, words)
    return found


def wrong(words: str, file: str = "") -> str:
    """Why a command would not run, or on another version, once it is filled in; empty if it would."""
    command, path, given = ROOT, [], shlex.split(words.replace("'", ""))
    while given and hasattr(command, "commands"):
        path.append(given.pop(0))
        if path[-1] not in command.commands:
            return f"there is no command `{' '.join(path)}`"
        command = command.commands[path[-1]]
    if not given:
        return ""
    context = command.make_context("x", [], resilient_parsing=True)
    context.resilient_parsing = False
    try:
        parsed, left, _ = command.make_parser(context).parse_args([re.sub(r"\{[^}]*\}", "x", word) for word in given])
    except Exception as error:  # whatever the parser makes of it
        return str(getattr(error, "message", error)) + str(getattr(error, "option_name", ""))
    if left:
        return f"nothing takes {left}"
    for one in command.params:
        if one.required and one.name not in EVERYWHERE and parsed.get(one.name) is None:
            return f"it needs {one.opts[0]}"
    if (
        any(one.name == "model" for one in command.params)
        and path[0] not in WHOLE_MODEL
        and not file.startswith("cli/")
    ):
        model = next(word for word in given if not word.startswith("-"))
        if "@" not in model and not re.fullmatch(r"\{([\w.]+\.)?ref\}", model):
            return f"`{model}` is no version"
    return ""


def test_printed_commands_run() -> None:
    found = printed()
    assert len(found) > 70
    assert {place: why for place, (file, words) in found.items() if (why := wrong(words, file))} == {}


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("scna {ref}", "no command `scna`"),
        ("findings", ""),
        ("findings accept {ref} f-1", "needs --days"),
        ("findings accept {ref} f-1 --days ... --reason ...", ""),
        ("findings accept {ref} f-1 more --days ... --reason ...", "nothing takes"),
        ("scan {ref.name}", "no version"),
        ("scan {model}", "no version"),
        ("scan {one.ref}", ""),
        ("scan {name}@{manifest[:12]}", ""),
        ("scan {ref} --hard", "--hard"),
        ("replicate {ref} --data", "--data"),
        ("halt {ref.name} --reason ...", ""),
    ],
)
def test_what_would_not_run_is_told_apart(words: str, why: str) -> None:
    found = wrong(words)
    assert why in found if why else found == ""
