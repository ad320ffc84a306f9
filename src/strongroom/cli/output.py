"""How commands speak: tables for people, JSON for machines, one exit code per family of error."""

from __future__ import annotations

import errno
import functools
import json
import os
import re
import secrets
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, ParamSpec

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from strongroom.cli.extras import lacking
from strongroom.errors import (
    ConflictError,
    InvalidInputError,
    RefusedError,
    StrongroomError,
    TamperedError,
    UnavailableError,
)
from strongroom.vocabulary import one_line

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

FIGURE = re.compile(r"[+-]?[\d,]{1,24}(\.\d{1,24})?(e[+-]\d+)?%?|-|–")  # noqa: RUF001  # a dash for 'none'
"""What stands right in a table."""

MOMENT = re.compile(r"\d{4}-\d\d-\d\d([T ][\d:.+Z]{5,24})?")

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS})
"""Errors of a disk, which come without a name of a file where the file was open already."""

FAMILIES: tuple[tuple[type[StrongroomError], str], ...] = (
    (RefusedError, "refused"),
    (TamperedError, "tampered"),
    (UnavailableError, "unavailable"),
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]

# No markup: names, reasons and findings come from other people, and `[...]` in them must show as written. What an
# approver reads is what they sign.
console = Console(soft_wrap=False, highlight=False, markup=False, emoji=False)
errors = Console(stderr=True, highlight=False, markup=False, emoji=False)


def printable(text: str) -> str:
    """Text of others for a cell of a table, where line breaks do no harm; the rest is as `one_line` has it."""
    return "\n".join(map(one_line, text.split("\n")))


def exit_code(error: StrongroomError) -> int:
    """The exit code of an error's family."""
    for family, name in FAMILIES:
        if isinstance(error, family):
            return EXIT_CODES[name]
    return EXIT_CODES["unexpected"]


def complaint(error: StrongroomError) -> dict[str, Any]:
    """What `--json` prints for an error."""
    return {
        "error": error.code,
        "message": error.message,
        "details": dict(error.details),
        "entry": None if error.entry is None else str(error.entry),
    }


def command(function: Callable[P, None]) -> Callable[P, None]:
    """Turn our errors into one line (or one JSON document) and an exit code; everything else is a bug and shows."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except StrongroomError as error:
            refuse(error, bool(kwargs.get("as_json")))
        except ModuleNotFoundError as error:
            if (missing := lacking(error.name or "")) is None:
                raise
            refuse(missing, bool(kwargs.get("as_json")))
        except BrokenPipeError:
            # whoever read our output went away (`| head`); nothing more can be said to them
            sys.stdout = None  # the interpreter must not flush it again at exit
            raise typer.Exit(EXIT_CODES["done"]) from None
        except OSError as error:
            if error.filename is None and error.errno not in DISK_FULL:
                raise
            where = f"`{error.filename}`" if error.filename is not None else "a file"
            why = UnavailableError(f"{where}: {(error.strerror or 'input or output failed').lower()}")
            refuse(why, bool(kwargs.get("as_json")))

    return wrapped


def refuse(error: StrongroomError, as_json: bool) -> NoReturn:
    """Print an error for people or machines, and end with the exit code of its family."""
    if as_json:
        sys.stdout.write(json.dumps(complaint(error)) + "\n")
    else:
        errors.print(Text.assemble((error.code, "bold red"), ": ", one_line(error.message)), soft_wrap=True)
        if error.entry is not None:
            errors.print(f"  recorded as {error.entry}", style="dim", soft_wrap=True)
    raise typer.Exit(exit_code(error)) from None


def demand_folder(path: Path | None) -> None:
    """Refuse a file of somebody's choice that has no folder to lie in, before something is done that stays.

    Raises:
        InvalidInputError: there is no such folder.
    """
    if path is not None and not path.parent.is_dir():
        raise InvalidInputError(
            f"there is no folder `{path.parent}` for `{path.name}`, so nothing was done; make the folder, or name "
            "another",
            field="path", rule="folder",
        )  # fmt: skip


def save(path: Path, content: bytes) -> None:
    """Write a file of somebody's choice whole or not at all: what stood there before stays until the new one is there.

    Raises:
        UnavailableError: it cannot be written; nothing is left behind.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(content)  # a pipe or a device, which nothing can take the place of
            return
        path = path.resolve()  # of a link, what it points to is written, and the link stays
        beside = path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}")
        try:
            with beside.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        why = (error.strerror or "input or output failed").lower()
        raise UnavailableError(f"`{path}` cannot be written: {why}") from error


def ask_to_sign(lines: Iterable[str], yes: bool, as_json: bool) -> None:
    """Show what is about to be signed and ask, unless `--yes` says that it was read.

    Raises:
        ConflictError: the person said no, or nobody can be asked.
    """
    if not as_json:
        tell(False, {}, lines)
    if yes:
        return
    if as_json or not sys.stdin.isatty():
        raise ConflictError("nothing was signed: nobody can be asked here; read what is to be signed, then add --yes")
    if not typer.confirm("sign this?"):
        raise ConflictError("nothing was signed")


def tell(as_json: bool, document: Mapping[str, Any] | Sequence[Any], lines: Iterable[str] = ()) -> None:
    """Print a result: the document as JSON, or the lines for people; a line break within one is spelled out."""
    if as_json:
        sys.stdout.write(json.dumps(document, sort_keys=True, default=str) + "\n")
        return
    for line in lines:
        console.print(one_line(line), soft_wrap=True)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table that fits the terminal: long cells wrap, none is cut. Columns of figures stand right and do not wrap, nor
    do moments; a table without rows says so."""
    drawn = Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False
    )
    shown = [[printable(str(cell)) for cell in row] for row in rows]
    if not shown:
        console.print(f"{one_line(title)}: none", soft_wrap=True)
        return
    for place, column in enumerate(columns):
        cells = [row[place] for row in shown if row[place]]
        figures = bool(cells) and all(FIGURE.fullmatch(cell) for cell in cells)
        whole = figures or (bool(cells) and all(MOMENT.fullmatch(cell) for cell in cells))
        drawn.add_column(column, overflow="fold", justify="right" if figures else "left", no_wrap=whole)
    for row in shown:
        drawn.add_row(*row)
    console.print(drawn)
