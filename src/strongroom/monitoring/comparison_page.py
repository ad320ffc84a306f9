"""The comparison as one self-contained page: no script, no outside resource; the same figures give the same bytes."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from strongroom.validation.reporting.drawing import Picture, chart
from strongroom.validation.reporting.templates import templates
from strongroom.validation.results import Chart, Series
from strongroom.vocabulary import instant, rfc3339

DASH = "–"  # noqa: RUF001  # an en dash for 'none' is what a reader expects


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
    style = templates().get_template("report.css").render()
    sides = [found["champion"], found["challenger"]]
    page = environment.get_template("comparison.html").render(
        c=found,
        sides=sides,
        style=style,
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        glance=list(_glance(found)),
        rows=list(_rows(sides)),
        swaps=sorted(found["swaps"], key=lambda one: (one["champion"] == one["challenger"], -one["rows"])),
        columns=_columns(sides),
        picture=_scores(found, sides),
        figure=_figure,
        psi=_psi,
        until=rfc3339(instant(found["until_us"])),
        **{"from": rfc3339(instant(found["from_us"]))},
    )
    return page.encode()


def _glance(found: dict[str, Any]) -> Iterable[tuple[str, str]]:
    """What changes for applicants and for the bank if the challenger answers, in sentences."""
    if found["pairs"]:
        yield "Decisions", f"{_rate(found['differing'])} of the rows that both scored would be decided otherwise"
    else:
        yield "Decisions", "not known: no row was scored by both"
    shift = found["score_shift"]
    if shift is None:
        yield "Scores", "there are too few rows for a difference of means"
    else:
        on = "on the same rows" if shift["paired"] else "on different subjects"
        yield "Scores", f"{_moved(shift['mean'])} on average ({_between(shift)}), {on}, {shift['rows']:,} rows"
    area = found["auc_difference"]
    if "value" in area:
        how = "DeLong on the same rows" if area["paired"] else "two samples"
        told = f"an AUC {_moved(area['value'])} ({_between(area)}), p-value {_p(area['p_value'])}"
        yield "Performance", f"{told}, {how}, {area['rows']:,} rows with an outcome"
    else:
        yield "Performance", f"not evaluable: {area['not_evaluable']}"
    if found["ks"]:
        known = found["ks"]
        told = f"{_figure(known['distance'])}; by chance below {_figure(known['by_chance'])} in 95 % of cases"
        yield "Distance of the scores", f"{told} (Kolmogorov-Smirnov)"
    alerts = [one["column"] for one in found["challenger"]["psi"] if one["verdict"] == "alert"]
    yield "Drift of the challenger", f"alert: {', '.join(alerts)}" if alerts else "no alert"


def _rows(sides: list[dict[str, Any]]) -> Iterable[tuple[str, str, str]]:
    def both(name: str, told: list[str]) -> tuple[str, str, str]:
        return name, told[0], told[1]

    for name, key in (("Rows asked", "rows"), ("Answered", "answered"), ("Scored in shadow", "shadowed")):
        yield both(name, [f"{side[key]:,}" for side in sides])
    yield both("Failures", [_rate(side["errors"]) for side in sides])
    waits = [side["latency_p99_s"] for side in sides]
    yield both("99 % answered within", ["not known" if wait is None else f"{wait} s" for wait in waits])
    yield both("AUC, where outcomes are known", [_area(side["auc"]) for side in sides])
    for decision in sorted({name for side in sides for name in side["decisions"]}):
        yield both(f"Decided “{decision}”", [f"{side['decisions'].get(decision, 0):,}" for side in sides])
    for quantile in dict.fromkeys(name for side in sides for name in side["quantiles"]):
        told = [_figure(side["quantiles"].get(quantile)) for side in sides]
        yield both(f"Score, {float(quantile):.0%} quantile", told)


def _figure(value: float | None) -> str:
    return DASH if value is None else f"{value:.4f}" if abs(value) < 10 else f"{value:,.4g}"


def _p(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def _moved(value: float) -> str:
    return f"{_figure(abs(value))} {'higher' if value >= 0 else 'lower'}"


def _between(found: dict[str, Any]) -> str:
    low, high = found["interval"]
    return f"{low:+.4f} to {high:+.4f}"


def _rate(found: dict[str, Any]) -> str:
    low, high = found["interval"]
    return f"{found['events']:,} of {found['rows']:,} ({found['share']:.2%}; {low:.2%} to {high:.2%})"


def _area(found: dict[str, Any]) -> str:
    if "value" not in found:
        return f"not evaluable: {found['not_evaluable']}"
    interval = found["interval"]
    between = "" if interval is None else f" ({interval[0]:.3f} to {interval[1]:.3f})"
    return f"{found['value']:.3f}{between}, {found['events']:,} events in {found['rows']:,} rows"


def _psi(side: dict[str, Any], column: str) -> dict[str, Any] | None:
    return next((one for one in side["psi"] if one["column"] == column), None)


def _columns(sides: list[dict[str, Any]]) -> list[str]:
    """All columns, those in which the challenger moved most first."""
    moved = {one["column"]: one["psi"] for one in sides[1]["psi"] if one["psi"] is not None}
    names = dict.fromkeys(one["column"] for side in sides for one in side["psi"])
    return sorted(names, key=lambda name: -moved.get(name, -1.0))


def _scores(found: dict[str, Any], sides: list[dict[str, Any]]) -> Picture:
    """Shares of each side's rows over the score."""
    edges = found["edges"]
    middles = [(low + high) / 2.0 for low, high in pairwise(edges)]
    series = []
    for side, name, style in zip(sides, ("champion", "challenger"), ("others", "defaults"), strict=True):
        rows = max(1, sum(side["histogram"]))
        points = tuple((repr(x), repr(count / rows)) for x, count in zip(middles, side["histogram"], strict=True))
        series.append(Series(name=name, form="bars", style=style, points=points))  # type: ignore[arg-type]  # two of them
    words = "Share of each version's rows by score; where the areas part, people would be scored otherwise."
    told = Chart(
        section="stability", title="Distribution of the scores", words=words, x="score", y="share of the rows",
        percent="y", series=tuple(series),
    )  # fmt: skip
    return chart(told)
