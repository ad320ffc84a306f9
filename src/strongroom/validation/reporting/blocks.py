"""What a report consists of, before it is a page or a print: sections of blocks, plain data for two renderers."""

from __future__ import annotations

from typing import Literal

import msgspec

from strongroom.validation.sections import SectionKey


class _Block(msgspec.Struct, frozen=True, tag_field="type"):
    """One piece of a section; its tag says which."""


class Words(_Block, frozen=True, tag="words"):
    """What a person wrote and signed; always shown as such.

    Attributes:
        by: who, in which role.
        at: when.
        proof: digest of the signed statement.
        paragraphs: the text.
    """

    by: str
    at: str
    proof: str
    paragraphs: tuple[str, ...]


class Note(_Block, frozen=True, tag="note"):
    """A sentence or two of the house's own. Here and in tables, names and commands stand between backticks."""

    text: str


class Fact(msgspec.Struct, frozen=True):
    """One line of a list of facts; `code` is set in a fixed width: digests, names, commands."""

    name: str
    value: str
    code: bool = False


class Facts(_Block, frozen=True, tag="facts"):
    """Names and values."""

    rows: tuple[Fact, ...]


class Grid(_Block, frozen=True, tag="grid"):
    """A table. `right` says which columns stand right; `chip` colours the last column by its word."""

    title: str
    caption: str
    heads: tuple[str, ...]
    right: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]


VerdictColumn = Literal["figure", "interval", "p_value", "asked"]
"""Columns of a verdict table between the test and its verdict."""


class VerdictLine(msgspec.Struct, frozen=True):
    """A test as the verdict table shows it.

    Attributes:
        unit: of the figure; empty where the figure says it by itself, as 12.5% does.
        verdict, word: how the chip looks, and what it says.
    """

    title: str
    sentence: str
    source: str
    figure: str
    unit: str
    interval: str
    p_value: str
    asked: str
    verdict: str
    word: str


class Verdicts(_Block, frozen=True, tag="verdicts"):
    """Tests with figure, interval, what the policy asks, verdict and source.

    Attributes:
        title, caption: above it.
        lines: a test each.
        shows: the columns that any line has something in; the others would hold dashes alone.
    """

    title: str
    caption: str
    lines: tuple[VerdictLine, ...]
    shows: tuple[VerdictColumn, ...]


class Plot(msgspec.Struct, frozen=True):
    """A picture: name, how to read it, SVG."""

    name: str
    words: str
    svg: str


class Plots(_Block, frozen=True, tag="plots"):
    """Pictures beside each other."""

    pictures: tuple[Plot, ...]


class Item(msgspec.Struct, frozen=True):
    """One point of a list; `mark` is a verdict or severity, with its word, and `head` what it is about."""

    mark: str
    word: str
    text: str
    head: str = ""


class Items(_Block, frozen=True, tag="items"):
    """Points that ask for attention."""

    rows: tuple[Item, ...]


Block = Words | Note | Facts | Grid | Verdicts | Plots | Items


class ReportSection(msgspec.Struct, frozen=True):
    """One of the twenty sections.

    Attributes:
        number: from 1.
        key, title: of `validation.sections`.
        blocks: none: the section is empty.
        lacks: what the policy demands of it and does not find, in words with the verb that helps.
    """

    number: int
    key: SectionKey
    title: str
    blocks: tuple[Block, ...]
    lacks: tuple[str, ...] = ()


class Report(msgspec.Struct, frozen=True):
    """The whole report.

    Attributes:
        title: of the model.
        kicker: kind, tier, policy, on one line.
        model, manifest, owner: identity.
        state: `pass`, `amber`, `fail` or `open`, which colours the banner; `headline` and `summary` say it in words.
        tally: counts of verdicts.
        glance: what a reader of the first page alone must know: who has judged, what warns, what is open.
        as_of: the moment that it speaks of.
        sections: all twenty.
    """

    title: str
    kicker: str
    model: str
    manifest: str
    owner: str
    state: str
    headline: str
    summary: str
    tally: tuple[tuple[str, str], ...]
    glance: tuple[Fact, ...]
    as_of: str
    sections: tuple[ReportSection, ...]
