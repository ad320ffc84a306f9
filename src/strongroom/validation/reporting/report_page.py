"""A report as one self-contained HTML page: no script, no outside resource, the same bytes for the same blocks."""

from __future__ import annotations

import base64
import hashlib

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from strongroom.validation.reporting.blocks import Report


def page_of(report: Report) -> bytes:
    """The page, UTF-8."""
    environment = Environment(
        loader=PackageLoader("strongroom.validation.reporting", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["ticked"] = ticked
    style = environment.get_template("report.css").render() + environment.get_template("dossier.css").render()
    page = environment.get_template("dossier.html").render(
        r=msgspec.to_builtins(report),
        style=style,
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
    )
    return page.encode()


def ticked(text: str) -> Markup:
    """Words of the house with what stands between backticks set as code; everything else as it is, made safe."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else escape(part) for place, part in enumerate(parts)
    )
