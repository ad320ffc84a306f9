"""The templates of the pages, and how words of the house are set in them."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

LONGEST_WHOLE = 40
"""Characters of a word that is not parted at a hyphen: options and figures are shorter, and fit a narrow screen."""


def templates() -> Environment:
    """The environment of all pages: every word is made safe, and a name that is missing is an error."""
    environment = Environment(
        loader=PackageLoader("strongroom.validation.reporting", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["ticked"] = ticked
    environment.filters["whole"] = whole
    return environment


def ticked(text: str) -> Markup:
    """Words of the house with what stands between backticks set as code; everything else as it is, made safe."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    return Markup("").join(
        Markup("<code>{}</code>").format(whole(part)) if place % 2 else escape(part) for place, part in enumerate(parts)
    )


def whole(text: str) -> Markup:
    """Words that a line's end does not part at their hyphens: `--pdf` and `1e-05` are read in one piece."""
    words = text.split(" ")
    return Markup(" ").join(
        Markup('<span class="w">{}</span>').format(word) if "-" in word and len(word) <= LONGEST_WHOLE else escape(word)
        for word in words
    )
