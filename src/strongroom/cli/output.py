"""How commands speak: tables for people, JSON for machines, one exit code per family of error."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, ParamSpec

import typer
from rich.console import Console
from rich.table import Table

from strongroom.errors import RefusedError, StrongroomError, TamperedError, UnavailableError

P = ParamSpec("P")

EXIT_CODES = {
    "done": 0,
    "unexpected": 1,
    "usage": 2,
    "refused": 3,
    "tampered": 4,
    "unavailable": 5,
}
"""Documented in docs/reference/cli.md; a test holds the page against this table."""

FAMILIES: tuple[tuple[type[StrongroomError], str], ...] = (
    (RefusedError, "refused"),
    (TamperedError, "tampered"),
    (UnavailableError, "unavailable"),
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]

console = Console(soft_wrap=False, highlight=False)
errors = Console(stderr=True, highlight=False)


def exit_code(error: StrongroomError) -> int:
    """The exit code of an error's family."""
    for family, name in FAMILIES:
        if isinstance(error, family):
            return EXIT_CODES[name]
    return EXIT_CODES["unexpected"]


def complaint(error: StrongroomError) -> dict[str, Any]:
    """What `--json` prints for an error."""
    entry = getattr(error, "entry", None)
    return {
        "error": error.code,
        "message": error.message,
        "details": dict(error.details),
        "entry": None if entry is None else str(entry),
    }


def command(function: Callable[P, None]) -> Callable[P, None]:
    """Turn our errors into one line (or one JSON document) and an exit code; everything else is a bug and shows."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except StrongroomError as error:
            if kwargs.get("as_json"):
                sys.stdout.write(json.dumps(complaint(error)) + "\n")
            else:
                errors.print(f"[bold red]{error.code}[/]: {error.message}", soft_wrap=True)
                entry = getattr(error, "entry", None)
                if entry is not None:
                    errors.print(f"  recorded as {entry}", style="dim", soft_wrap=True)
            raise typer.Exit(exit_code(error)) from None

    return wrapped


def tell(as_json: bool, document: Mapping[str, Any] | Sequence[Any], lines: Iterable[str] = ()) -> None:
    """Print a result: the document as JSON, or the lines for people."""
    if as_json:
        sys.stdout.write(json.dumps(document, sort_keys=True, default=str) + "\n")
        return
    for line in lines:
        console.print(line, soft_wrap=True)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table that fits the terminal: long cells wrap, none is cut."""
    drawn = Table(title=title, title_justify="left", show_edge=False, pad_edge=False)
    for column in columns:
        drawn.add_column(column, overflow="fold")
    for row in rows:
        drawn.add_row(*(str(cell) for cell in row))
    console.print(drawn)
