"""Pictures of tables that a battery's results carry: the migration matrix, and reliability by segment."""

from __future__ import annotations

import re

from strongroom.validation.reporting.drawing import (
    BOTTOM,
    RIGHT,
    TOP,
    WIDTH,
    Canvas,
    Picture,
    figure_ticks,
    percent_ticks,
)
from strongroom.validation.results import Table

LEAST_TEXT = 0.004
"""Share of a row below which a cell of the matrix holds no figure: it would say 0%."""
DARKEST = 0.6
"""Opacity of a cell that holds all of its row: dark text stays readable on it."""
LONGEST = 26
"""Characters of a segment's condition that fit beside the plot."""
LEAST_NAME = 8
"""Characters of a feature's name that stay in any case."""
BOUNDS = re.compile(r"(?P<name>.+?)(?: above (?P<low>[-+.,e\d]+))?(?: up to (?P<high>[-+.,e\d]+))?")
"""One feature's condition, as `statistics.soundness` words it."""


def matrix(table: Table) -> Picture:
    """The migration matrix as shares of each row, darker where more went; the diagonal is framed.

    Args:
        table: counts, the first column heads the rows; as many rows as further columns.
    """
    counts = [[int(text or 0) for text in row[1:]] for row in table.rows]
    size = len(counts)
    words = (
        "Of the obligors of each grade a year before (rows), the share in each grade now (columns). Framed: no move; "
    )
    words += "right of it worse, left of it better."
    side = (WIDTH - 40 - RIGHT) / size
    height = int(TOP + BOTTOM + side * size * 0.72)
    canvas = Canvas("Migration of grades", words, (0, size), (0, size), height, left=40)
    for i, row in enumerate(counts):
        total = sum(row)
        for j, count in enumerate(row):
            share = count / total if total else 0.0
            x, y = canvas.px(j), canvas.py(size - i)
            wide, high = canvas.px(j + 1) - x, canvas.py(size - i - 1) - y
            kind = "cell same" if i == j else "cell"
            canvas.parts.append(
                f'<rect class="{kind}" fill-opacity="{DARKEST * share:.3f}" x="{x:.1f}" y="{y:.1f}" '
                f'width="{wide:.1f}" height="{high:.1f}"/>'
            )
            if share >= LEAST_TEXT:
                canvas.text(x + wide / 2, y + high / 2 + 4, f"{share:.0%}", "figure")
        canvas.text(30, canvas.py(size - i - 0.5) + 4, str(table.rows[i][0]), anchor="end")
        canvas.text(canvas.px(i + 0.5), height - BOTTOM + 16, table.columns[i + 1].name)
    canvas.labels("grade now (1 is the best)", "grade before")
    return canvas.done()


def segment_label(words: str) -> str:
    """A segment in the room beside a chart: bounds as signs, figures short; a long name is cut, a bound never.

    Args:
        words: of one feature, as the table has them: `limit above 50,000 up to 120,000`.
    """
    found = BOUNDS.fullmatch(words)
    name, low, high = found.group("name", "low", "high") if found else (words, None, None)
    before = f"{_short(low)} < " if low and high else ""
    after = f" ≤ {_short(high)}" if high else f" > {_short(low)}" if low else ""
    room = max(LONGEST - len(before) - len(after), LEAST_NAME)
    return before + (name if len(name) <= room else f"{name[: room - 1]}…") + after


def _short(figure: str) -> str:
    value = float(figure.replace(",", ""))
    return f"{value:,.0f}" if abs(value) >= 1000.0 else f"{value:.3g}"


def segments(table: Table) -> Picture | None:
    """What came and what was expected, segment by segment, the most striking first; None without a segment.

    Args:
        table: columns segment, rows, observed, expected, p-value.
    """
    rows = [row for row in table.rows if row[2] is not None and row[3] is not None]
    if not rows:
        return None
    pairs = [(float(row[2] or 0), float(row[3] or 0)) for row in rows]
    values = [value for pair in pairs for value in pair]
    room = 0.06 * (max(values) - min(values)) or 0.06 * max(abs(max(values)), 1.0)
    low, high = min(values) - room, max(values) + room
    words = "Observed (dot) and expected (diamond) in the segments where they part most, with their rows. "
    words += "The p-values of the table tell what chance explains."
    height = TOP + BOTTOM + 34 * len(rows)
    canvas = Canvas("Reliability by segment", words, (low, high), (0, len(rows)), height, left=205)
    shares = min(values) >= 0.0 and max(values) <= 1.0
    canvas.grid_x((percent_ticks if shares else figure_ticks)(low, high))
    for place, (row, (came, told)) in enumerate(zip(rows, pairs, strict=True)):
        y = len(rows) - place - 0.5
        canvas.line([(came, y), (told, y)], "whisker")
        canvas.dot(came, y, "rate")
        canvas.diamond(told, y, "pd")
        parts = [segment_label(part) for part in (row[0] or "").split(" and ")]
        parts[-1] += f" ({int(row[1] or 0):,})"
        for line, part in enumerate(parts[:2]):
            canvas.text(197, canvas.py(y) + (4 if len(parts) == 1 else 13 * line - 2), part, anchor="end")
    canvas.labels("observed and expected")
    return canvas.done()
