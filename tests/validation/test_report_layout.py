"""What a reader meets in a report: no empty columns, units at figures, one line for one reason, nothing cut apart."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest

from strongroom.validation.reporting import report
from strongroom.validation.reporting.battery_blocks import attention
from strongroom.validation.reporting.drawing import HEIGHT, WIDTH, chart
from strongroom.validation.reporting.table_drawing import segment_label
from strongroom.validation.reporting.templates import templates, ticked, whole
from strongroom.validation.results import Chart, Column, Series, Table
from strongroom.validation.results import TestResult as Answer
from strongroom.vocabulary import digest_of

DIGEST = digest_of(b"sample")


def answer(name: str, **changes: Any) -> Answer:
    values: dict[str, Any] = {
        "id": name, "rule": name, "title": name, "section": "data", "sentence": "It is so.", "figure": "0.25",
        "unit": "share", "better": "lower", "source": "house rule", "sample": "validation", "sample_sha256": DIGEST,
        "n": 900,
    }  # fmt: skip
    return Answer(**{**values, **changes})


def mute(name: str, role: str = "advisory", reason: str = "nobody is named") -> Answer:
    return answer(name, figure=None, role=role, verdict="not-evaluable", reason=reason, amber="0.1", fail="0.2")


def page_of(*tests: Answer) -> str:
    template = templates().from_string('{% from "verdicts.html" import verdict_table %}{{ verdict_table(b) }}')
    return template.render(b=report.verdicts_of("Data", tests, "95%"))


def test_a_verdict_table_has_no_column_of_dashes_alone() -> None:
    bare = report.verdicts_of("Data", [answer("a"), answer("b")], "95%")
    assert bare.shows == ("figure",)
    full = answer("c", interval=("0.1", "0.4"), p_value="0.03", amber="0.3", fail="0.3")
    assert report.verdicts_of("Data", [answer("a"), full], "95%").shows == ("figure", "interval", "p_value", "asked")
    assert ("Interval" in page_of(answer("a")), "Interval" in page_of(full)) == (False, True)
    assert report.verdicts_of("Data", [mute("d")], "95%").shows == ("asked",)
    # on a narrow screen, where there are no heads, a cell says its own and a dash is left out
    assert re.search(r'class="n none" data-head="Interval">–<', page_of(answer("a"), full))  # noqa: RUF001


def test_levels_are_named_where_there_are_intervals_and_the_sample_once() -> None:
    other = answer("b", sample="reference", n=1200)
    said = report.verdicts_of("Data", [answer("a"), answer("c"), other], "95%")
    assert said.caption == "Validation sample, n = 900 where nothing else is said."
    assert [line.source for line in said.lines] == [
        "house rule",
        "house rule",
        "house rule · reference sample, n = 1,200",
    ]
    interval = report.verdicts_of("Data", [answer("a", interval=("0.1", "0.4"))], "95%", "1 test without an answer.")
    assert interval.caption == "Validation sample, n = 900. Intervals at 95%. 1 test without an answer."


@pytest.mark.parametrize(
    ("unit", "figure", "told"),
    [("p-value", "0.25", "p-value"), ("share", "0.25", ""), ("count", "3", ""), ("MWB", "0.25", "bandwidth"),
     ("AUC", None, "")],
)  # fmt: skip
def test_a_figure_stands_with_its_unit_unless_it_shows_it_itself(unit: str, figure: str | None, told: str) -> None:
    assert report.line_of(answer("a", unit=unit, figure=figure)).unit == told
    assert (f'<span class="unit">{told}</span>' in page_of(answer("a", unit=unit, figure=figure))) == bool(told)


def test_what_lacks_one_thing_is_one_point_and_a_gate_leads() -> None:
    tests = (
        answer("weak", verdict="amber", role="advisory", amber="0.1", fail="0.2"), mute("first"), mute("second"),
        mute("other", reason="no year"), mute("blocks", role="gate"),
        answer("bad", verdict="fail", role="gate", amber="0.1", fail="0.2"),
    )  # fmt: skip
    points = attention(SimpleNamespace(tests=tests, reasons=()))  # type: ignore[arg-type]  # all that it reads
    assert points is not None
    assert [point.head for point in points.rows] == ["bad", "blocks", "first; second", "other", "weak"]
    assert points.rows[2].text == "Nobody is named."
    assert points.rows[-1].word == "warning"


def test_the_ends_of_an_interval_stand_in_one_column() -> None:
    heads = (("group", "text"), ("95% from", "share"), ("To", "share"), ("from", "ratio"), ("to", "ratio"))
    table = Table(
        section="fairness", title="t", caption="", columns=tuple(Column(name=n, unit=u) for n, u in heads),
        rows=(("a", "0.1", "0.2", "0.8", "1.1"), ("b", None, None, "0.5", "0.6")),
    )  # fmt: skip
    sheet = report.sheet_of(table)
    assert sheet.heads == (("group", False), ("95% interval", True), ("interval", True))
    assert sheet.rows == (("a", "10.00% to 20.00%", "0.800 to 1.100"), ("b", "–", "0.500 to 0.600"))  # noqa: RUF001
    since = Table(
        section="stability", title="t", caption="", rows=(("1", "5"),),
        columns=(Column(name="From", unit="number"), Column(name="Rows", unit="count")),
    )  # fmt: skip
    assert [head for head, _ in report.sheet_of(since).heads] == ["From", "Rows"]


def test_words_that_are_figures_stand_right_but_not_in_front() -> None:
    columns = tuple(Column(name=name, unit="text") for name in ("grade", "before", "better"))
    rows = (("1", "8.89%", "lower"), ("2", None, "higher"))
    table = Table(section="robustness", title="t", caption="", columns=columns, rows=rows)
    assert report.sheet_of(table).heads == (("grade", False), ("before", True), ("better", False))


def test_no_option_and_no_figure_is_parted_at_its_hyphen() -> None:
    assert whole("above 1e-05") == 'above <span class="w">1e-05</span>'
    assert ticked("ask `show x --bom`") == 'ask <code>show x <span class="w">--bom</span></code>'
    assert whole("a-<b>") == '<span class="w">a-&lt;b&gt;</span>'
    assert whole("-" * 41) == "-" * 41, "longer than a narrow screen"


def test_the_key_shows_the_marks_of_the_plot_and_stands_above_them() -> None:
    points = tuple((str(x), "1.0") for x in range(3))
    series = (
        Series(name="line", form="line", style="chance", points=points),
        Series(name="dots", form="points", style="rate", points=points),
        Series(name="diamonds", form="points", style="pd", points=points),
        Series(name="area", form="bars", style="bar", points=points),
    )
    told = Chart(section="data", title="t", words="w", x="x", y="y", series=series)
    svg = str(chart(told).svg)
    key = svg[svg.rindex('<polyline class="chance"') :]
    assert re.findall(r'<(polyline|circle|path|rect) class="(\w+)"', key) == [
        ("polyline", "chance"), ("circle", "rate"), ("path", "pd"), ("rect", "bar")
    ]  # fmt: skip
    lowest = max(
        float(y) for y in re.findall(r'text-anchor="start">|<text[^>]* y="([\d.]+)" text-anchor="start"', key) if y
    )
    marks = [float(y) for y in re.findall(r'<circle class="rate" cx="[\d.]+" cy="([\d.]+)"', svg.replace(key, ""))]
    assert min(marks) > lowest
    assert f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img"' in svg
    assert "<title>t</title><desc>w</desc>" in svg


@pytest.mark.parametrize(
    ("words", "label"),
    [
        ("limit above 50,000 up to 120,000", "50,000 < limit ≤ 120,000"),
        ("repaid above 0.0109875 up to 0.025", "0.011 < repaid ≤ 0.025"),
        ("payment_status above -1 up to 0", "-1 < payment_status ≤ 0"),
        ("utilisation up to 1.5e-05", "utilisation ≤ 1.5e-05"),
        ("a_feature_with_a_long_name above 2,000,000", "a_feature_wit… > 2,000,000"),
        ("a_long_name above 1,000,000 up to 2,000,000", "1,000,000 < a_long_… ≤ 2,000,000"),
        ("income missing", "income missing"),
        ("a_feature_with_a_long_name missing", "a_feature_with_a_long_nam…"),
    ],
)
def test_the_bounds_of_a_segment_are_read_beside_its_marks_and_never_cut(words: str, label: str) -> None:
    assert segment_label(words) == label
