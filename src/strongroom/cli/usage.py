"""Wrong use of a command that was asked for JSON: one JSON document too, with the same exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import typer
from typer.core import TyperGroup

from strongroom.cli.output import EXIT_CODES

UsageError: Final[type[Exception]] = typer.BadParameter.__bases__[0]
"""The parent of all that parsing can raise; typer has no public name for it."""


class Commands(TyperGroup):
    """The root of the command line. Typer prints usage errors as a box; machines that said `--json` get JSON."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Parse the words before the command."""
        wanted = wants_json(args)
        if "--help" in args:
            from typer import rich_utils

            # a range beside the type makes that column so wide that names of options are cut at 80 columns
            rich_utils.RANGE_STRING = "\n[{}]"
        with _as_json(wanted):
            context = super().make_context(info_name, args, parent, **extra)
        context.meta[__name__] = wanted
        return context

    def invoke(self, ctx: Any) -> Any:
        """Find the command, parse its words and run it."""
        with _as_json(ctx.meta.get(__name__, False)):
            return super().invoke(ctx)


def wants_json(words: list[str]) -> bool:
    """Whether `--json` stands among the words, before a `--` that ends the options."""
    return "--json" in (words[: words.index("--")] if "--" in words else words)


@contextmanager
def _as_json(wanted: bool) -> Iterator[None]:
    try:
        yield
    except UsageError as error:
        if not wanted:
            raise
        said: Any = error
        document = {"error": "usage", "message": said.format_message(), "details": {}, "entry": None}
        sys.stdout.write(json.dumps(document) + "\n")
        raise typer.Exit(EXIT_CODES["usage"]) from None
