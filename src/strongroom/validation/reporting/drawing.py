"""The report's pictures: SVG made of the figures and nothing else, the same bytes for the same results.

Made by hand since five simple plots need no browser engine; text is text, so that it can be read aloud and searched.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise, zip_longest
from typing import NamedTuple

from markupsafe import Markup, escape

from strongroom.validation.results import AirRow, Chart, GradeRow, Histogram, PsiRow, Series

WIDTH, HEIGHT = 460, 300
MOST_TICKS = 12
"""Whole numbers on an axis that each get a tick; a figure of two digits takes about a thirtieth of the width."""
MOST_KEY = 110
"""Pixels of the height that a key may take from the marks."""
DIAMOND = "l5.5 5.5l-5.5 5.5l-5.5 -5.5z"
LEFT, RIGHT, TOP, BOTTOM = 58, 26, 16, 46


class Picture(NamedTuple):
    """A plot with its name and one sentence on how to read it; both stand in the SVG too, for those who cannot see."""

    name: str
    words: str
    svg: Markup


class Canvas:
    """Plot area with axes; x and y are given in data units."""

    def __init__(
        self,
        title: str,
        words: str,
        x: tuple[float, float],
        y: tuple[float, float],
        height: int = HEIGHT,
        left: int = LEFT,
    ) -> None:
        self.x, self.y, self.height, self.left = x, y, height, left
        self.title, self.words = title, words
        self.parts: list[str] = [
            f'<svg viewBox="0 0 {WIDTH} {height}" role="img" xmlns="http://www.w3.org/2000/svg">',
            f"<title>{escape(title)}</title><desc>{escape(words)}</desc>",
        ]

    def px(self, value: float) -> float:
        low, high = self.x
        return self.left + (value - low) / (high - low) * (WIDTH - self.left - RIGHT)

    def py(self, value: float) -> float:
        low, high = self.y
        return self.height - BOTTOM - (value - low) / (high - low) * (self.height - TOP - BOTTOM)

    def line(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        path = " ".join(f"{self.px(x):.1f},{self.py(y):.1f}" for x, y in points)
        self.parts.append(f'<polyline class="{kind}" points="{path}"/>')

    def area(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        path = " ".join(f"{self.px(x):.1f},{self.py(y):.1f}" for x, y in points)
        self.parts.append(f'<polygon class="{kind}" points="{path}"/>')

    def dot(self, x: float, y: float, kind: str) -> None:
        self.parts.append(f'<circle class="{kind}" cx="{self.px(x):.1f}" cy="{self.py(y):.1f}" r="4"/>')

    def diamond(self, x: float, y: float, kind: str) -> None:
        a, b = self.px(x), self.py(y)
        self.parts.append(f'<path class="{kind}" d="M{a:.1f} {b - 5.5:.1f}{DIAMOND}"/>')

    def text(self, x: float, y: float, words: str, kind: str = "tick", anchor: str = "middle") -> None:
        self.parts.append(f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>')

    def grid_x(self, ticks: Sequence[tuple[float, str]], *, lines: bool = True) -> None:
        for value, words in ticks:
            at = self.px(value)
            if lines:
                self.parts.append(
                    f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{self.height - BOTTOM}"/>'
                )
            self.text(at, self.height - BOTTOM + 16, words)

    def grid_y(self, ticks: Sequence[tuple[float, str]]) -> None:
        for value, words in ticks:
            at = self.py(value)
            self.parts.append(f'<line class="grid" x1="{self.left}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
            self.text(self.left - 7, at + 4, words, anchor="end")

    def labels(self, below: str, beside: str = "") -> None:
        self.text((self.left + WIDTH - RIGHT) / 2, self.height - 10, below, "axis")
        if beside:
            middle = (TOP + self.height - BOTTOM) / 2
            self.parts.append(
                f'<text class="axis" text-anchor="middle" transform="translate(15 {middle:.1f}) rotate(-90)">'
                f"{escape(beside)}</text>"
            )

    def key(self, entries: Sequence[tuple[str, str, str]], x: float, y: float) -> None:
        """What the marks mean: form (`line`, `points`, else an area), style and words of each, drawn as in the plot."""
        for place, (form, kind, words) in enumerate(entries):
            at = y + 18 * place
            middle = at - 4
            if form == "line":
                self.parts.append(f'<polyline class="{kind}" points="{x:.1f},{middle:.1f} {x + 16:.1f},{middle:.1f}"/>')
            elif form == "points" and kind.startswith("pd"):
                self.parts.append(f'<path class="{kind}" d="M{x + 8:.1f} {middle - 5.5:.1f}{DIAMOND}"/>')
            elif form == "points":
                self.parts.append(f'<circle class="{kind}" cx="{x + 8:.1f}" cy="{middle:.1f}" r="4"/>')
            else:
                self.parts.append(f'<rect class="{kind}" x="{x:.1f}" y="{at - 9:.1f}" width="16" height="10"/>')
            self.text(x + 22, at, words, anchor="start")

    def done(self) -> Picture:
        # all data in `parts` went through `escape` or a number format
        svg = Markup("".join([*self.parts, "</svg>"]))  # noqa: S704  # see the line above
        return Picture(self.title, self.words, svg)


def roc(points: Sequence[tuple[str, str]], area: str) -> Picture:
    """The ROC curve with the diagonal of chance."""
    curve = [(float(x), float(y)) for x, y in points]
    canvas = Canvas("ROC curve", f"Area under the curve {area}; 0.5 is chance, 1 is perfect.", (0, 1), (0, 1))
    ticks = percent_ticks(0.0, 1.0)
    canvas.grid_x(ticks)
    canvas.grid_y(ticks)
    canvas.line([(0, 0), (1, 1)], "chance")
    canvas.area([*curve, (1, 0)], "wash")
    canvas.line(curve, "curve")
    canvas.text(canvas.px(0.97), canvas.py(0.08), f"AUC {area}", "note", "end")
    canvas.labels("others ranked above the cut-off", "defaulters ranked above it")
    return canvas.done()


def distributions(scores: Histogram) -> Picture:
    """Shares of defaulters and of others over the score."""
    others, defaults = (_shares(counts) for counts in (scores.others, scores.defaults))
    top = max(*others, *defaults, 1e-9) * 1.08
    low, high = float(scores.low), float(scores.high)
    words = "Share of each outcome class per band of PD; the further apart, the better the model separates."
    canvas = Canvas("Scores by outcome", words, (low, high), (0, top))
    canvas.grid_x(percent_ticks(low, high))
    canvas.grid_y(percent_ticks(0.0, top))
    step = (high - low) / len(others)
    for shares, kind in ((others, "others"), (defaults, "defaults")):
        outline = [(low, 0.0)]
        for place, share in enumerate(shares):
            outline += [(low + place * step, share), (low + (place + 1) * step, share)]
        canvas.area([*outline, (high, 0.0)], kind)
    canvas.key([("area", "others", "others"), ("area", "defaults", "defaulters")], WIDTH - 130, TOP + 20)
    canvas.labels("PD (highest band holds all above)", "share of the class")
    return canvas.done()


def calibration(grades: Sequence[GradeRow], level: str) -> Picture:
    """Default rate with its interval and mean PD, grade by grade."""
    rows = [g for g in grades if g.interval and g.rate and g.mean_pd]
    top = (
        max([0.01, *(float(g.interval[1]) for g in rows if g.interval), *(float(g.mean_pd or 0) for g in rows)]) * 1.06
    )
    words = f"For each grade the default rate with its {level} Jeffreys interval, and the mean PD that the model gave: "
    words += "open where it lies inside, filled where it does not."
    canvas = Canvas("Calibration by grade", words, (0.4, len(grades) + 0.6), (0, top))
    canvas.grid_y(percent_ticks(0.0, top))
    canvas.grid_x([(g.grade, str(g.grade)) for g in grades], lines=False)
    for g in rows:
        low, high = (float(end) for end in g.interval or ("0", "0"))
        canvas.line([(g.grade, low), (g.grade, high)], "whisker")
        for end in (low, high):
            canvas.line([(g.grade - 0.12, end), (g.grade + 0.12, end)], "whisker")
        canvas.dot(g.grade, float(g.rate or 0), "rate")
        inside = low <= float(g.mean_pd or 0) <= high
        canvas.diamond(g.grade, float(g.mean_pd or 0), "pd" if inside else "pd off")
    canvas.key(
        [
            ("points", "rate", f"default rate, {level} interval"),
            ("points", "pd", "mean PD"),
            ("points", "pd off", "mean PD outside"),
        ],
        LEFT + 16,
        32,
    )
    canvas.labels("grade (1 is the best)", "default rate, PD")
    return canvas.done()


def chart(told: Chart, below: Sequence[tuple[float, str]] = ()) -> Picture:
    """A picture of any kind's battery, with axes that hold all of it.

    Args:
        told: what is drawn.
        below: places on the x-axis with their words, where round numbers would say nothing, as between two years.
    """
    points = [(float(x), float(y)) for series in told.series for x, y in series.points]
    ends = [float(text) for series in told.series for text in (*series.low, *series.high)]
    xs, ys = [x for x, _ in points], [y for _, y in points] + ends
    bars = any(series.form == "bars" for series in told.series)
    # a bar is 0.4 steps wide on either side of its point
    half = 0.4 * _step_of(told.series) if bars else 0.0
    x = _span([*xs, min(xs, default=0.0) - half, max(xs, default=0.0) + half] if bars else xs)
    y = _span([*ys, 0.0] if bars else ys)
    named = [(series.form, series.style, series.name) for series in told.series if series.name]
    # room above the marks for the key, 18 pixels a line
    if named:
        taken = min(18 * len(named) + 4, MOST_KEY)
        y = (y[0], y[1] + taken / (HEIGHT - TOP - BOTTOM - taken) * (y[1] - y[0]))
    beside = (percent_ticks if "y" in told.percent else figure_ticks)(*y)
    # the axis' name stands left of its figures, however long these are
    canvas = Canvas(told.title, told.words, x, y, left=max(LEFT, 36 + 6 * max(len(text) for _, text in beside)))
    whole = _whole(xs) if "x" not in told.percent else None
    canvas.grid_x(below or whole or (percent_ticks if "x" in told.percent else figure_ticks)(*x))
    canvas.grid_y(beside)
    for series in told.series:
        marks = [(float(a), float(b)) for a, b in series.points]
        if series.form == "line":
            canvas.line(marks, series.style)
        elif series.form == "band":
            lows, highs = (
                [(x, float(end)) for (x, _), end in zip(marks, ends, strict=False)]
                for ends in (series.low, series.high)
            )
            canvas.area([*lows, *reversed(highs)], series.style)
        elif series.form == "bars":
            for a, b in marks:
                canvas.area([(a - half, 0.0), (a - half, b), (a + half, b), (a + half, 0.0)], series.style)
        else:
            for (a, b), low, high in zip_longest(marks, series.low, series.high):
                if low is not None and high is not None:
                    canvas.line([(a, float(low)), (a, float(high))], "whisker")
                (canvas.diamond if series.style == "pd" else canvas.dot)(a, b, series.style)
    if named:
        canvas.key(named, canvas.left + 16, 32)
    canvas.labels(told.x, told.y)
    return canvas.done()


def _step_of(series: Sequence[Series]) -> float:
    """The smallest step in x of any bars; 1 for a single one."""
    steps = (float(b[0]) - float(a[0]) for one in series if one.form == "bars" for a, b in pairwise(one.points))
    return min(steps, default=1.0)


def _whole(values: Sequence[float]) -> list[tuple[float, str]] | None:
    """A tick for each of a few whole numbers, such as grades or buckets; None for anything else."""
    found = sorted(set(values))
    if len(found) > MOST_TICKS or any(value != int(value) for value in found):
        return None
    if not found or found[-1] - found[0] >= MOST_TICKS:
        return None
    return [(value, f"{int(value)}") for value in found]


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values, default=0.0), max(values, default=1.0)
    room = 0.05 * (high - low) or max(abs(high), 1.0) * 0.05
    return low - room, high + room


def stability(rows: Sequence[PsiRow], amber: str | None, fail: str | None) -> Picture:
    """One bar per feature, the largest first, with the policy's cut-offs and the band of chance."""
    ranked = sorted(rows, key=lambda r: (-float(r.psi), r.name))[:24]
    height = TOP + BOTTOM + 18 * len(ranked)
    cuts = [float(c) for c in (amber, fail) if c]
    top = max([float(r.psi) for r in ranked] + [c * 1.05 for c in cuts[:1]] + [1e-6])
    cuts = [c for c in cuts if c <= top]
    words = "Population stability index of the score and of each feature; the tick marks what chance alone would reach."
    if cuts:
        words += " The policy warns beyond the dotted line, where bars are orange."
    canvas = Canvas("Population stability", words, (0, top), (0, len(ranked)), height, left=170)
    canvas.grid_x(figure_ticks(0.0, top))
    for place, row in enumerate(ranked):
        y = len(ranked) - place - 0.5
        a, b = canvas.px(0), canvas.px(min(float(row.psi), top))
        kind = "bar" if not cuts or float(row.psi) <= cuts[0] else "bar off"
        canvas.parts.append(
            f'<rect class="{kind}" x="{a:.1f}" y="{canvas.py(y) - 6:.1f}" width="{b - a:.1f}" height="12"/>'
        )
        chance = float(row.sampling_point)
        if chance <= top:
            canvas.line([(chance, y - 0.42), (chance, y + 0.42)], "tickmark")
        canvas.text(162, canvas.py(y) + 4, row.name if len(row.name) <= 24 else row.name[:23] + "…", anchor="end")
    for cut in cuts:
        canvas.line([(cut, 0), (cut, len(ranked))], "cut")
    canvas.labels("PSI (tick: 95% point of chance)")
    return canvas.done()


def impact(rows: Sequence[AirRow], amber: str | None, fail: str | None) -> Picture:
    """Adverse impact ratios with intervals, one line per group, against the policy's cut-offs."""
    shown = [r for r in rows if r.ratio is not None]
    height = TOP + BOTTOM + 26 * max(1, len(shown))
    ends = [float(end) for r in shown for end in r.interval or ()] + [0.75, 1.05]
    low, high = max(0.0, min(ends) - 0.02), max(ends) + 0.02
    words = (
        "Ratio of favourable decisions of each group to the group with most of them, with its interval; 1 (dashed) is "
        "parity, dotted lines are the policy's cut-offs."
    )
    canvas = Canvas("Adverse impact ratio", words, (low, high), (0, max(1, len(shown))), height, left=150)
    canvas.grid_x(figure_ticks(low, high))
    canvas.line([(1, 0), (1, max(1, len(shown)))], "chance")
    for cut in (c for c in (amber, fail) if c):
        canvas.line([(float(cut), 0), (float(cut), max(1, len(shown)))], "cut")
    for place, row in enumerate(shown):
        y = len(shown) - place - 0.5
        if row.interval:
            canvas.line([(float(row.interval[0]), y), (float(row.interval[1]), y)], "whisker")
        canvas.dot(float(row.ratio or 0), y, "rate")
        canvas.text(142, canvas.py(y) + 4, f"{row.attribute}: {row.group}"[:24], anchor="end")
    canvas.labels("ratio of favourable decisions (1 is parity)")
    return canvas.done()


def _shares(counts: Sequence[int]) -> list[float]:
    total = sum(counts) or 1
    return [count / total for count in counts]


def _step(span: float) -> float:
    """The round step (1, 2 or 5 times a power of ten) that cuts a span into three to six parts."""
    power = 10.0 ** math.floor(math.log10(span))
    return next(power * part for part in (0.1, 0.2, 0.5, 1.0, 2.0) if span / (power * part) <= 6.0)


def _round_ticks(low: float, high: float) -> list[float]:
    step = _step(high - low)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def figure_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Round figures of an axis, with their text."""
    places = max(0, -math.floor(math.log10(_step(high - low)) + 1e-9))
    return [(value, f"{value:,.{places}f}") for value in _round_ticks(low, high)]


def percent_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Round shares of an axis, written in percent."""
    places = max(0, -math.floor(math.log10(_step(high - low)) + 1e-9) - 2)
    return [(value, f"{value * 100:.{places}f}%") for value in _round_ticks(low, high)]
