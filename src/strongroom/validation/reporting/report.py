"""The validation report: one self-contained page, drawn from the signed results and from nothing else.

No script, no outside resource, a content security policy that allows exactly the page's own style sheet; the same
results give the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec
from msgspec import UnsetType

from strongroom.validation.kinds import KINDS
from strongroom.validation.reporting import drawing, table_drawing
from strongroom.validation.reporting.blocks import VerdictColumn, VerdictLine, Verdicts
from strongroom.validation.reporting.templates import templates
from strongroom.validation.results import (
    MATRIX_TITLE,
    SEGMENTS_TITLE,
    BatteryResults,
    Chart,
    Section,
    Table,
    TestResult,
)
from strongroom.vocabulary import digest_of

SECTIONS: dict[Section, str] = {
    "discrimination": "Discrimination",
    "calibration": "Calibration",
    "lifetime": "Lifetime and stages (IFRS 9)",
    "accuracy": "Accuracy",
    "coverage": "Coverage",
    "cost": "Cost",
    "stability": "Stability",
    "fairness": "Fairness",
    "explanation": "Explanations",
    "implementation": "Implementation",
    "data": "Data",
    "robustness": "Robustness",
    "sensitivity": "Sensitivity and soundness",
}
BANNERS = {
    "pass": ("Passed", "Every gate of the policy is passed, without a warning."),
    "amber": (
        "Passed with warnings",
        "Every gate of the policy is passed; the warnings below ask for a human judgement.",
    ),
    "fail": (
        "Not passed",
        "At least one gate of the policy is not passed. The model cannot be released on this evidence.",
    ),
}
VERDICTS = {
    "pass": "pass",
    "amber": "warning",
    "fail": "fail",
    "not-evaluable": "not evaluable",
    "information": "for information",
}
MODES = {
    "batch-invariant": "A row has the same bits alone and in any batch: the gateway may batch freely.",
    "padded": "A row alone would have other bits than in a batch: the gateway pads a single row to two.",
    "by-row": "A row's bits hang on its batch: the gateway runs each row alone.",
}


SMALL = ("share of exposure", "credit conversion factor")
"""Units of outputs: a distance between two models is far below what a figure of theirs is written in."""


UNITS = {"D": "Somers' D", "MWB": "bandwidth", "R2": "R²", "R-squared": "R²", "strength": "1 is perfect"}
"""Units in a reader's words where the catalogue's are a formula's."""
FIGURE = re.compile(r"[+-]?[\d,]{1,24}(\.\d{1,24})?(e[+-]\d+)?%?")
PLAIN = ("count", "share")
"""Units that a figure shows by itself."""


class Line(NamedTuple):
    """A test as the verdict table shows it."""

    test: TestResult
    figure: str
    unit: str
    interval: str
    p_value: str
    asked: str
    verdict: str


def render(data: bytes) -> bytes:
    """The page, UTF-8.

    Args:
        data: `results.json` as signed.

    Raises:
        InvalidInputError: the bytes are not a battery's results.
    """
    results = BatteryResults.decode(data)
    level = f"{float(results.confidence):.0%}"
    tables = () if isinstance(results.tables, UnsetType) else results.tables
    pictures = pictures_of(results)
    environment = templates()
    style = environment.get_template("report.css").render()
    kind = KINDS.get(results.kind)
    answered = [test.section for test in results.tests]
    sections = [
        (
            key,
            name,
            [line_of(test) for test in found],
            verdicts_of(name, found, level) if found else None,
            pictures.get(key, []),
            [sheet_of(table) for table in tables if table.section == key],
        )
        for key, name in SECTIONS.items()
        for found in [[test for test in results.tests if test.section == key]]
        if key in answered or (kind and key in kind.sections)
    ]
    counts = {name: sum(test.verdict == name for test in results.tests) for name in VERDICTS}
    page = environment.get_template("report.html").render(
        r=results,
        events=events_of(results),
        kind=kind.contract.title if kind else results.kind,
        style=style,
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        banner=BANNERS[results.verdict],
        sections=sections,
        counts=counts,
        verdicts=VERDICTS,
        level=level,
        missing=[test for test in results.tests if test.verdict == "not-evaluable"],
        mode=MODES[results.numeric.profile.mode],
        results_sha256=digest_of(data),
        percent=percent,
        p_text=p_text,
        number=number,
    )
    return page.encode()


def pictures_of(results: BatteryResults) -> dict[str, list[drawing.Picture]]:
    """The pictures of a battery's results, by the section in which they stand."""
    by_rule = {test.rule: test for test in results.tests}
    level = f"{float(results.confidence):.0%}"
    area = by_rule.get("discrimination.auc")
    shifts, ratios = _cuts(by_rule.get("stability.psi-features")), _cuts(by_rule.get("fairness.air"))
    plots = None if isinstance(results.plots, UnsetType) else results.plots
    charts = () if isinstance(results.charts, UnsetType) else results.charts
    pictures: dict[str, list[drawing.Picture]] = {
        "discrimination": [drawing.roc(plots.roc, shown(area)), drawing.distributions(plots.scores)]
        if plots and plots.roc and area
        else [],
        "calibration": [drawing.calibration(results.grades, level)] if results.grades else [],
        "stability": [drawing.stability(results.psi, *shifts)] if results.psi else [],
        "fairness": [drawing.impact(results.air, *ratios)] if results.air else [],
    }
    for chart in charts:
        names = _ranked(chart)
        named = msgspec.structs.replace(chart, x="the largest first") if names else chart
        pictures.setdefault(chart.section, []).append(drawing.chart(named, names))
    for table in () if isinstance(results.tables, UnsetType) else results.tables:
        drawn = None
        if table.title == MATRIX_TITLE and table.rows:
            drawn = table_drawing.matrix(table)
        elif table.title == SEGMENTS_TITLE:
            drawn = table_drawing.segments(table)
        if drawn is not None:
            pictures.setdefault(table.section, []).insert(0, drawn)
    return pictures


def _ranked(chart: Chart) -> list[tuple[float, str]]:
    """Ticks of a chart by rank whose words name the ranks in their order; none otherwise."""
    _, told, names = chart.words.partition("by rank: ")
    listed = names.rstrip(".").split(", ") if told else []
    points = {point[0] for series in chart.series for point in series.points}
    if chart.x != "rank" or len(listed) != len(points) or len(listed) > drawing.MOST_TICKS:
        return []
    return [(float(place), name) for place, name in enumerate(listed, 1)]


def events_of(results: BatteryResults) -> tuple[str, str] | None:
    """Heads of the columns that count events in a sample, where the kind has events."""
    if all(sample.defaults is None for sample in results.samples):
        return None
    return ("Defaults", "Default rate") if results.kind == "pd" else ("Events", "Event rate")


class Sheet(NamedTuple):
    """A table as it is shown; columns of figures stand right."""

    title: str
    caption: str
    heads: tuple[tuple[str, bool], ...]
    rows: tuple[tuple[str, ...], ...]


def sheet_of(table: Table) -> Sheet:
    """A table of the results as it is shown; the ends of an interval stand in one column."""
    names = [column.name for column in table.columns]
    starts = {
        place for place, (name, then) in enumerate(pairwise(names))
        if name.lower().endswith("from") and then.lower() == "to"
    }  # fmt: skip
    kept = [place for place in range(len(names)) if place - 1 not in starts]
    heads = tuple(
        (f"{names[place][:-4]}interval" if place in starts else names[place], _right(table, place)) for place in kept
    )
    rows = []
    for row in table.rows:
        cells = [_cell(text, column.unit) for text, column in zip(row, table.columns, strict=True)]
        for place in starts:
            if row[place] is not None:
                cells[place] = f"{cells[place]} to {cells[place + 1]}"
        rows.append(tuple(cells[place] for place in kept))
    return Sheet(table.title, table.caption, heads, tuple(rows))


def _right(table: Table, place: int) -> bool:
    """Whether a column holds figures: by its unit, or, behind the first, by what stands in it."""
    if table.columns[place].unit != "text":
        return True
    cells = [row[place] for row in table.rows if row[place]]
    return place > 0 and bool(cells) and all(FIGURE.fullmatch(cell or "") for cell in cells)


def _cell(text: str | None, unit: str) -> str:
    if text is None:
        return "–"  # noqa: RUF001  # an en dash for 'none' is what a reader expects
    return text if unit == "text" else _by_unit(text, unit)


def shown(test: TestResult | None) -> str:
    """A figure as people write it, by its unit; the full figure stands in results.json."""
    if test is None or test.figure is None:
        return "–"  # noqa: RUF001  # an en dash for 'none' is what a reader expects
    if test.section == "implementation" and 0.0 < abs(float(test.figure)) < 0.0005:
        return f"{float(test.figure):.1e}"
    return _by_unit(test.figure, test.unit)


def percent(text: str | None) -> str:
    """A share as a percentage."""
    return "–" if text is None else f"{float(text) * 100:.2f}%"  # noqa: RUF001  # as above


def p_text(text: str | None) -> str:
    """A p-value; very small ones by their bound."""
    if text is None:
        return "–"  # noqa: RUF001  # as above
    value = float(text)
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def number(count: int) -> str:
    """A count in groups of three."""
    return f"{count:,}"


def _cuts(test: TestResult | None) -> tuple[str | None, str | None]:
    return (test.amber, test.fail) if test else (None, None)


def line_of(test: TestResult) -> Line:
    """A test in the words of the verdict table."""
    interval = "–"  # noqa: RUF001  # as above
    if test.interval:
        interval = f"{_by_unit(test.interval[0], test.unit)} to {_by_unit(test.interval[1], test.unit)}"
    word = "at least" if test.better == "higher" else "at most"
    asked = "–"  # noqa: RUF001  # as above
    if test.amber is not None:
        asked = f"{word} {_limit(test.amber, test.unit)}"
        if test.role == "advisory":
            asked += ", else a warning"
        elif test.fail is not None and test.fail != test.amber:
            asked += f"; fails {'below' if test.better == 'higher' else 'above'} {_limit(test.fail, test.unit)}"
    unit = "" if test.figure is None or test.unit in PLAIN else UNITS.get(test.unit, test.unit)
    return Line(test, shown(test), unit, interval, p_text(test.p_value), asked, VERDICTS[test.verdict])


def verdicts_of(title: str, tests: Sequence[TestResult], level: str, silent: str = "") -> Verdicts:
    """A table of tests; what holds for most of them is said once, above it."""
    shows = columns_of([line_of(test) for test in tests])
    (common, times) = Counter(map(_drawn_from, tests)).most_common(1)[0]
    told = [f"{common[:1].upper()}{common[1:]}{' where nothing else is said' if times < len(tests) else ''}."]
    if "interval" in shows:
        told.append(f"Intervals at {level}.")
    caption = " ".join([*told, silent]).strip()
    return Verdicts(title, caption, tuple(verdict_line(test, common) for test in tests), shows)


def _drawn_from(test: TestResult) -> str:
    return f"{test.sample} sample, n = {number(test.n)}"


def verdict_line(test: TestResult, common: str = "") -> VerdictLine:
    """A test in the words of the verdict table.

    Args:
        test: the test.
        common: sample and rows that the table names once for most of its tests.
    """
    line = line_of(test)
    drawn_from = _drawn_from(test)
    return VerdictLine(
        title=test.title,
        sentence=test.sentence,
        source=test.source if drawn_from == common else f"{test.source} · {drawn_from}",
        figure=line.figure,
        unit=line.unit,
        interval=line.interval,
        p_value=line.p_value,
        asked=line.asked,
        # nobody asked for what only informs, so it raises no alarm where it has no answer
        verdict=f"{test.verdict} quiet" if test.role == "information" and test.figure is None else test.verdict,
        word=line.verdict,
    )


def columns_of(lines: Sequence[Line]) -> tuple[VerdictColumn, ...]:
    """The columns of a verdict table in which anything stands."""
    names: tuple[VerdictColumn, ...] = ("figure", "interval", "p_value", "asked")
    return tuple(name for name in names if any(getattr(line, name) != "–" for line in lines))  # noqa: RUF001  # as above


def _by_unit(text: str, unit: str) -> str:
    value = float(text)
    if unit == "count":
        return number(int(value))
    if unit == "share":
        return percent(text)
    if unit == "p-value":
        return p_text(text)
    if unit == "probability":
        return f"{value:.1e}"
    if unit == "number":
        return f"{value:,.6g}"
    if unit == "amount":
        return f"{value:,.0f}"
    if 0.0 < abs(value) < 0.0005 and unit in SMALL:
        return f"{value:.1e}"
    return f"{value:.4f}" if unit in ("PSI", "score") else f"{value:.3f}"


def _limit(text: str, unit: str) -> str:
    return f"{float(text) * 100:g}%" if unit == "share" else text
