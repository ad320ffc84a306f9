"""The comparison as one self-contained page: no script, no outside resource; the same figures give the same bytes."""

from __future__ import annotations

import base64
import hashlib
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from strongroom.vocabulary import instant, rfc3339

WIDTH: Final = 640
HEIGHT: Final = 200


def render(found: dict[str, Any]) -> bytes:
    """The page, UTF-8.

    Args:
        found: `monitoring.comparison.facts`.
    """
    environment = Environment(
        loader=PackageLoader("strongroom.monitoring", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    style = environment.get_template("comparison.css").render()
    sides = [found["champion"], found["challenger"]]
    page = environment.get_template("comparison.html").render(
        c=found,
        sides=sides,
        style=style,
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        quantiles=list(dict.fromkeys(name for side in sides for name in side["quantiles"])),
        decisions=sorted({name for side in sides for name in side["decisions"]}),
        columns=list(dict.fromkeys(one["column"] for side in sides for one in side["psi"])),
        bars=_bars(sides),
        number=_number,
        rate=_rate,
        area=_area,
        psi=_psi,
        until=rfc3339(instant(found["until_us"])),
        **{"from": rfc3339(instant(found["from_us"]))},
    )
    return page.encode()


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"


def _rate(found: dict[str, Any]) -> str:
    low, high = found["interval"]
    return f"{found['events']} of {found['rows']} ({found['share']:.2%}; {low:.2%} to {high:.2%})"


def _area(found: dict[str, Any]) -> str:
    if "value" not in found:
        return f"not evaluable: {found['not_evaluable']}"
    interval = found["interval"]
    between = "" if interval is None else f" ({interval[0]:.3f} to {interval[1]:.3f})"
    return f"{found['value']:.3f}{between}, {found['events']} events in {found['rows']} rows"


def _psi(side: dict[str, Any], column: str) -> dict[str, Any] | None:
    return next((one for one in side["psi"] if one["column"] == column), None)


def _bars(sides: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Two bars for each bin, as shares of their side's rows."""
    shares = [[count / max(1, sum(side["histogram"])) for count in side["histogram"]] for side in sides]
    highest = max((share for one in shares for share in one), default=0.0) or 1.0
    step = WIDTH / max(1, len(shares[0]))
    bars = []
    for place, (name, one) in enumerate(zip(("champion", "challenger"), shares, strict=True)):
        for at, share in enumerate(one):
            height = share / highest * (HEIGHT - 10)
            bars.append(
                {
                    "x": f"{at * step + place * step * 0.45:.1f}",
                    "y": f"{HEIGHT - height:.1f}",
                    "width": f"{step * 0.42:.1f}",
                    "height": f"{height:.1f}",
                    "side": name,
                }
            )
    return bars
