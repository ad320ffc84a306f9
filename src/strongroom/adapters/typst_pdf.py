"""Reports and plans in print, by typst. They go in as data, so no words of anybody are read as typst's markup.

The same report gives the same bytes under one version of typst: no date, no fonts but those that typst brings.
"""

from __future__ import annotations

import re
import tempfile
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import msgspec

from strongroom.errors import UnavailableError
from strongroom.planning.committee import Paper
from strongroom.validation.reporting.blocks import Plot, Plots, Report

PAGES = files("strongroom") / "validation" / "reporting" / "pages"
FONT = "text{font-family:'Libertinus Serif'}"
LARGER = 2
"""Pixels that a picture's words gain in print: its face is narrower than a screen's, and two pictures share a page."""


def print_report(report: Report) -> bytes:
    """The report as PDF.

    Raises:
        UnavailableError: typst is not installed, or cannot set the report.
    """
    return _set((PAGES / "dossier.typ").read_bytes(), "report", msgspec.json.encode(_with_styles(report)))


def print_paper(paper: Paper) -> bytes:
    """A capital plan for the committee, as PDF.

    Raises:
        UnavailableError: typst is not installed, or cannot set the paper.
    """
    template = files("strongroom") / "planning" / "pages" / "committee.typ"
    sections = tuple(
        msgspec.structs.replace(
            section,
            pictures=tuple(msgspec.structs.replace(one, svg=_larger(one.svg)) for one in section.pictures),
        )
        for section in paper.sections
    )
    paper = msgspec.structs.replace(paper, sections=sections)
    return _set(template.read_bytes(), "plan", msgspec.json.encode(paper))


def can_print() -> bool:
    """Whether typst is installed."""
    return find_spec("typst") is not None


def _set(template: bytes, name: str, data: bytes) -> bytes:
    """A template with data under a name."""
    try:
        import typst
    except ImportError as error:
        raise UnavailableError("PDF needs typst; install `strongroom[report]`, or write HTML") from error
    with tempfile.TemporaryDirectory(prefix="strongroom-print-") as nothing:
        try:
            # a root that holds the template alone: it can read no other file
            page = Path(nothing) / "report.typ"
            page.write_bytes(template)
            printed: bytes = typst.compile(
                page, root=page.parent, ignore_system_fonts=True, sys_inputs={name: data.decode()}
            )
        except typst.TypstError as error:
            raise UnavailableError(f"typst could not set the {name}: {str(error)[:200]}") from error
    return printed


def _larger(style: str) -> str:
    return re.sub(r"font-size:(\d+)px", lambda found: f"font-size:{int(found[1]) + LARGER}px", style)


def _with_styles(report: Report) -> Report:
    """Pictures that bring their style along: what the page's style sheet says of them, since each stands alone."""
    lines = (PAGES / "report.css").read_text().splitlines()
    rules = "".join(line.removeprefix("svg ") for line in lines if line.startswith("svg ."))
    style = f"<style>{FONT}{_larger(rules)}</style><title>"

    def styled(picture: Plot) -> Plot:
        return msgspec.structs.replace(picture, svg=picture.svg.replace("<title>", style, 1))

    sections = []
    for section in report.sections:
        blocks = tuple(
            Plots(tuple(map(styled, block.pictures))) if isinstance(block, Plots) else block for block in section.blocks
        )
        sections.append(msgspec.structs.replace(section, blocks=blocks))
    return msgspec.structs.replace(report, sections=tuple(sections))
