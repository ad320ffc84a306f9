"""Write docs/reference/cli.md from the commands: `python -m tools.make_reference`. A test fails when it is stale."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import typer

from strongroom.cli import app
from strongroom.cli.output import EXIT_CODES

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "cli.md"

MEANINGS = {
    "done": "it happened, or it was shown",
    "unexpected": "a defect of ours; the traceback says where",
    "usage": "the command was not understood: a word or option is wrong or missing, a file is not there",
    "refused": "the answer is no, for a reason that you can act upon; `entry` says where it is recorded",
    "tampered": "bytes are not what was signed or logged; call security",
    "unavailable": "something is not there just now; nothing was lost, try again",
}

HEAD = """\
# The command line

This page is made from the commands (`python -m tools.make_reference`); a test fails when it is stale.

Every command takes `--json` and then prints one JSON document, for an error too:
`{"error", "message", "details", "entry"}`. Passphrases and tokens are never arguments: they come from files that only
you may read, or are asked for on a terminal. `strongroom --install-completion` teaches your shell the words.

Set these once, and the options of the same meaning can be left out:

"""


def reference() -> str:
    """The page."""
    root = typer.main.get_command(app)
    found = sorted(walk(root), key=lambda pair: pair[0])
    variables: dict[str, str] = {}
    for _, command in found:
        for parameter in command.params:
            for name in _variables(parameter):
                variables.setdefault(name, f"`{parameter.opts[0]}`: {parameter.help}")
    lines = [HEAD + "| variable | instead of |", "|---|---|"]
    lines += [f"| `{name}` | {what} |" for name, what in sorted(variables.items())]
    lines += ["", "## Exit codes", "", "| code | name | meaning |", "|---|---|---|"]
    lines += [f"| {code} | {name} | {MEANINGS[name]} |" for name, code in EXIT_CODES.items()]
    lines += ["", "## Commands", ""]
    lines += [f"- [`strongroom {' '.join(words)}`](#strongroom-{'-'.join(words)})" for words, _ in found]
    for words, command in found:
        lines += section(words, command)
    return "\n".join(lines) + "\n"


def walk(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with its words."""
    for name, one in group.commands.items():
        if hasattr(one, "commands"):
            yield from walk(one, (*path, name))
        else:
            yield (*path, name), one


def section(words: tuple[str, ...], command: Any) -> list[str]:
    """One command."""
    text, _, example = command.help.partition("Example: ")
    lines = ["", f"### strongroom {' '.join(words)}", "", *text.strip().splitlines(), ""]
    lines += ["```console", "$ " + " ".join(example.split()), "```", ""]
    lines += ["| argument or option | | |", "|---|---|---|"]
    return lines + [row(parameter) for parameter in command.params if parameter.name != "help"]


def row(parameter: Any) -> str:
    """One argument or option."""
    argument = not parameter.opts[0].startswith("-")
    name = f"`{parameter.name.upper()}`" if argument else ", ".join(f"`{one}`" for one in parameter.opts)
    notes = [
        "required" if parameter.required else "",
        "repeatable" if parameter.multiple or parameter.nargs == -1 else "",
    ]
    default = parameter.default
    if not parameter.required and default not in (None, False, [], ()) and not callable(default):
        notes.append(f"default `{default}`")
    kind = parameter.type_descriptor.annotation
    if isinstance(kind, type) and issubclass(kind, Enum):
        notes.append("one of " + ", ".join(f"`{one.value}`" for one in kind))
    return f"| {name} | {re.sub(r'[|]', '/', parameter.help or '')} | {', '.join(note for note in notes if note)} |"


def _variables(parameter: Any) -> list[str]:
    found = getattr(parameter, "envvar", None)
    return [found] if isinstance(found, str) else list(found or [])


if __name__ == "__main__":
    PAGE.write_text(reference())
