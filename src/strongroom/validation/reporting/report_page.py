"""A report as one self-contained HTML page: no script, no outside resource, the same bytes for the same blocks."""

from __future__ import annotations

import base64
import hashlib

import msgspec

from strongroom.validation.reporting.blocks import Report
from strongroom.validation.reporting.templates import templates


def page_of(report: Report) -> bytes:
    """The page, UTF-8."""
    environment = templates()
    style = environment.get_template("report.css").render() + environment.get_template("dossier.css").render()
    page = environment.get_template("dossier.html").render(
        r=msgspec.to_builtins(report),
        style=style,
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
    )
    return page.encode()
