"""A plan in print, by Typst: from data in memory, without a file, a fetch or a clock. The extra `report` brings it.

Fonts are those that come with Typst, so that one version gives the same bytes everywhere.
"""

from __future__ import annotations

from importlib.resources import files
from importlib.util import find_spec

import msgspec

from strongroom.errors import UnavailableError
from strongroom.planning.committee import Paper


def can_print() -> bool:
    """Whether Typst is installed."""
    return find_spec("typst") is not None


def print_paper(paper: Paper) -> bytes:
    """The paper as PDF.

    Raises:
        UnavailableError: Typst is not installed, or cannot set the paper.
    """
    try:
        import typst
    except ImportError as error:
        raise UnavailableError("a PDF needs Typst; install `strongroom[report]`", rule="extra") from error
    template = files("strongroom").joinpath("planning", "pages", "committee.typ").read_bytes()
    inputs = {"plan": msgspec.json.encode(paper).decode()}
    try:
        printed: bytes = typst.compile(template, format="pdf", ignore_system_fonts=True, sys_inputs=inputs)
    except typst.TypstError as error:
        raise UnavailableError(f"typst could not set the paper: {str(error)[:200]}") from error
    return printed
