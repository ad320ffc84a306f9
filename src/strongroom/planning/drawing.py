"""A plan's pictures, drawn from its document alone: the same bytes for the same plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Final, Literal

from markupsafe import Markup

from strongroom.planning.money import Money
from strongroom.planning.results import Plan
from strongroom.validation.reporting.drawing import Picture, chart
from strongroom.validation.results import Chart, Series

Style = Literal["curve", "cut", "chance", "rate", "pd"]
WORST: Final[Style] = "cut"
STYLES: Final[tuple[Style, ...]] = ("rate", "curve", "chance", "pd")
YEARS_NAMED: Final = 10
LOOK: Final = Markup(
    "<style>svg{font-family:sans-serif}.grid{stroke:#e6eaef}.tick{fill:#5a6675;font-size:11px}"
    ".axis{fill:#1c2430;font-size:12px}.chance,.cut,.curve,.rate,.pd{fill:none;stroke-width:2}"
    ".chance{stroke:#8a94a1;stroke-dasharray:5 4}.cut{stroke:#a3201d}.curve{stroke:#1f5fa8}.rate{stroke:#1d6b3c}"
    ".pd{stroke:#1c2430;stroke-dasharray:2 3}.bar{fill:#6f9bcb}</style>"
)
"""In each picture, so that it can be looked at by itself."""


def pictures(plan: Plan) -> tuple[Picture, ...]:
    """All pictures that this plan has figures for."""
    money = Money(plan)
    found = [_floor(plan, money), _repayments(plan, money), _losses(plan, money), _rwa(plan, money)]
    if plan.ratios is not None:
        found.append(_ratio(plan))
    if plan.largest:
        found.append(_largest(plan))
    return tuple(_styled(picture) for picture in found)


def _styled(picture: Picture) -> Picture:
    place = picture.svg.index(">") + 1
    return picture._replace(svg=Markup(picture.svg[:place]) + LOOK + Markup(picture.svg[place:]))  # noqa: S704 - ours


def _line(name: str, style: Style, points: Sequence[tuple[float | int, str]]) -> Series:
    return Series(name=name, form="line", style=style, points=tuple((str(x), y) for x, y in points))


def _chart(
    title: str, words: str, x: str, y: str, series: Sequence[Series], percent: str = "",
    below: Sequence[tuple[float, str]] = (),
) -> Picture:  # fmt: skip
    told = Chart(
        section="calibration", title=title, words=words, x=x, y=y, percent="y" if percent else "", series=tuple(series)
    )
    return chart(told, below)


def _floor(plan: Plan, money: Money) -> Picture:
    years = [(int(row.day[:4]), row) for row in plan.output_floor]
    floors = [
        (year, money.scaled(repr(float(row.standardised) * float(row.percent) / 100.0)))
        for year, row in years
        if row.percent
    ]
    series = [_line("by the approaches used", "curve", [(year, money.scaled(row.before)) for year, row in years])]
    if floors:
        series.append(_line("share of the standardised", "cut", floors))
    words = "Risk-weighted assets and the output floor as it rises, for the portfolio as it is today."
    return _chart("Output floor", words, "year", f"RWA, {money.unit}", series)


def _repayments(plan: Plan, money: Money) -> Picture:
    contract = [(row.month, money.scaled(repr(float(row.principal) + float(row.interest)))) for row in plan.repayments]
    expected = [
        (row.month, money.scaled(repr(float(row.expected_principal) + float(row.expected_interest))))
        for row in plan.repayments
    ]
    series = [_line("by contract", "chance", contract), _line("expected", "curve", expected)]
    words = "Principal and interest of each month, by contract and with prepayments and defaults."
    return _chart("Repayments", words, "month", money.unit, series)


def _losses(plan: Plan, money: Money) -> Picture:
    bars = Series(
        name="", form="bars", style="bar",
        points=tuple((str(place + 1), money.scaled(row.ecl)) for place, row in enumerate(plan.ifrs9.scenarios)),
    )  # fmt: skip
    width = (
        ("0.5", money.scaled(plan.ifrs9.ecl)),
        (str(len(plan.ifrs9.scenarios) + 0.5), money.scaled(plan.ifrs9.ecl)),
    )
    weighted = Series(name="weighted", form="line", style="cut", points=width)
    # ten names of fourteen characters stand beside each other; longer ones are cut, and whole in the table beside
    names = [(place + 1.0, row.name[:14]) for place, row in enumerate(plan.ifrs9.scenarios)]
    words = "Expected credit losses if one scenario were certain, and weighted over all."
    y = money.unit
    return _chart("Expected credit losses", words, "scenario", y, [bars, weighted], below=names)


def _by_scenario(plan: Plan, figure: str, scaled: Callable[[str], str] = str) -> list[Series]:
    """A line for each scenario; the one with the largest losses in the colour of what is bad."""
    found: list[Series] = []
    scenarios, others = plan.ifrs9.scenarios, cycle(STYLES)
    worst = max(scenarios, key=lambda one: float(one.ecl)) if len(scenarios) > 1 else None
    for one in scenarios:
        points = [
            (row.year, scaled(text))
            for row in plan.stress
            if row.scenario == one.name and (text := getattr(row, figure)) is not None
        ]
        if points:
            found.append(_line(one.name, WORST if one is worst else next(others), points))
    return found


def _years(plan: Plan) -> list[tuple[float, str]]:
    years = sorted({row.year for row in plan.stress})
    every = -(-len(years) // YEARS_NAMED)
    return [(float(year), str(year)) for year in years[::every]]


def _rwa(plan: Plan, money: Money) -> Picture:
    words = "Risk-weighted assets after the output floor, year by year of each scenario, over a static balance sheet."
    y = f"RWA, {money.unit}"
    series = _by_scenario(plan, "rwa", money.scaled)
    return _chart("RWA under stress", words, "year of the scenario", y, series, below=_years(plan))


def _ratio(plan: Plan) -> Picture:
    words = "CET1 after losses and shortfall over floored risk-weighted assets; no income, no tax."
    series = _by_scenario(plan, "cet1_ratio")
    return _chart("CET1 ratio under stress", words, "year of the scenario", "CET1 ratio", series, "y", _years(plan))


def _largest(plan: Plan) -> Picture:
    bars = Series(
        name="", form="bars", style="bar", points=tuple((str(row.rank), row.share) for row in plan.largest),
    )  # fmt: skip
    words = "Share of EAD of the largest groups of connected clients, by rank."
    return _chart("Largest names", words, "rank", "share of EAD", [bars], "y")
