"""Pictures whose marks stay inside: bars at the edge, long figures beside the axis, ranks by their names."""

from __future__ import annotations

import re

from strongroom.validation.reporting.drawing import WIDTH, chart
from strongroom.validation.reporting.report import _ranked
from strongroom.validation.results import Chart, Series


def drawn(x: str, words: str, points: tuple[tuple[str, str], ...], form: str = "bars") -> Chart:
    series = (Series(name="", form=form, style="bar", points=points),)  # type: ignore[arg-type]  # one of the four
    return Chart(section="explanation", title="t", words=words, x=x, y="y", series=series)


def test_bars_at_the_edge_leave_the_figures_beside_the_axis_readable() -> None:
    svg = str(chart(drawn("rank", "", (("1", "0.5"), ("2", "0.1")))).svg)
    xs = [float(x) for polygon in re.findall(r'<polygon class="bar" points="([^"]*)"', svg)
          for x in re.findall(r"([\d.]+),", polygon)]  # fmt: skip
    figures = [float(x) for x in re.findall(r'<text class="tick" x="([\d.]+)" y="[\d.]+" text-anchor="end"', svg)]
    assert min(xs) > max(figures), "no bar stands on a figure"
    assert max(xs) <= WIDTH


def test_the_name_of_an_axis_stands_left_of_its_longest_figure() -> None:
    svg = str(chart(drawn("x", "", (("0", "1000000"), ("1", "9000000")), "points")).svg)
    ends = [(float(x), len(words)) for x, words in
            re.findall(r'<text class="tick" x="([\d.]+)" y="[\d.]+" text-anchor="end">([^<]*)<', svg)]  # fmt: skip
    assert any(words >= len("8,000,000") for _, words in ends)
    assert min(x - 6 * words for x, words in ends) > 15 + 6, "the name is turned and stands at 15"


def test_ranks_are_called_by_their_names_where_the_words_tell_them() -> None:
    points = (("1", "0.5"), ("2", "0.1"))
    assert _ranked(drawn("rank", "Mean size, by rank: R02, R01.", points)) == [(1.0, "R02"), (2.0, "R01")]
    assert _ranked(drawn("rank", "Mean size, by rank: R02.", points)) == []
    assert _ranked(drawn("horizon", "Mean size, by rank: R02, R01.", points)) == []
    told = drawn("rank", "Mean size, by rank: R02, <b>.", points)
    assert "&lt;b&gt;</text>" in chart(told, _ranked(told)).svg
