"""The page, the plot and the results say the same."""

from __future__ import annotations

import json
from typing import Any

from bench.processes import HERE
from bench.ratios import ratios
from lxml import etree
from rich.console import Console

from bench import report
from tests.bench.test_ratios import run


def document() -> dict[str, Any]:
    runs = [run("strongroom", 1000.0), run("bare", 900.0), run("fastapi", 100.0), run("bare_direct", 4000.0)]
    starts, memory = {"strongroom": [1.6]}, {"strongroom": {"worker_rss_mib": 120.0, "pss_mib": 150.0}}
    return {
        "machine": {"cpus": 2, "arch": "x86_64", "system": "6.1", "processor": "A <processor>"},
        "versions": {"granian": "2.8.7"}, "model_sha256": "0" * 64,
        "settings": {
            "seconds": 8, "rounds": 3, "batch_scheduling": True, "principals": 1000, "peers": {"bare": "no control"},
        },
        "runs": runs, "start_s": starts, "memory": memory, "missing": {"ray": "it does not install here"},
        "ratios": ratios(runs, starts, memory),
    }  # fmt: skip


def test_every_ratio_stands_beside_its_bar() -> None:
    rows = {row[-1]: row for row in report.ratio_rows(document())}
    assert rows["bare_1row_64conn_known"][1:4] == ["1.11", "at least 1", "met"]
    assert rows["bare_direct_1row_64conn_known"][1:4] == ["0.25", "at least 0.5", "not met"]
    assert rows["start_to_verified_s"][1:4] == ["1.60", "at most 1.5", "not met"]
    assert rows["best_framework_1row_64conn"][1:4] == ["", "at least 9", "not measured"]
    assert "ray_1row_64conn" not in rows


def test_the_tables_print() -> None:
    console = Console(width=160, record=True, file=None, quiet=False, force_terminal=False)
    with console.capture() as shown:
        console.print(report.server_table(document()))
        console.print(report.ratio_table(document()))
    said = shown.get()
    assert "FastAPI by hand" in said
    assert "1,000 (2.0)" in said


def test_the_generated_part_names_what_was_left_out_and_every_setting() -> None:
    text = report.generated(document(), None)
    assert "Where the time goes" not in text
    assert "- Ray Serve: it does not install here" in text
    assert "SCHED_BATCH for ours and the bare servers alike; 0 errors" in text
    assert "| Strongroom, all controls on |  | 1,000 (2.0) |  |  | 1.60 | 150 |" in text


def test_the_plot_is_a_picture_without_a_script_and_with_text() -> None:
    root = etree.fromstring(report.plot(document()).encode())
    names = {etree.QName(one).localname for one in root.iter()}
    assert names == {"svg", "title", "desc", "style", "rect", "text"}
    assert not [name for one in root.iter() for name in one.attrib if name.startswith("on")]
    lengths = {
        one.getnext().text: float(one.get("width")) for one in root.iter("{*}rect") if one.get("class") is not None
    }  # fmt: skip
    assert lengths["1,000"] / lengths["4,000"] == 0.25


def test_the_page_and_the_plot_are_those_of_the_results() -> None:
    found = json.loads((HERE / "results.json").read_text())
    text = report.PAGE.read_text()
    kept = text.partition(report.BEGIN)[2].partition(report.END)[0].strip()
    assert kept == report.page_part(found), "run python -m bench.report"
    assert report.PLOT.read_text() == report.plot(found), "run python -m bench.report"


def test_the_results_have_the_form_that_is_promised() -> None:
    found = json.loads((HERE / "results.json").read_text())
    assert {"machine", "versions", "runs", "ratios"} <= found.keys()
    for one in found["runs"]:
        assert one["server"] in report.NAMES
        assert one["subjects"] in ("known", "new")
        assert one["controls"] is (one["server"] == "strongroom")
        for name in ("rows", "connections", "errors"):
            assert isinstance(one[name], int)
        for name in ("requests_per_s", "p50_ms", "p99_ms"):
            assert one[name] >= 0
    assert found["ratios"] == ratios(found["runs"], found["start_s"], found["memory"])


def test_the_steps_stand_on_the_page_with_their_words() -> None:
    steps = {
        "connections": 64, "subjects": "known", "worker_cpu_us": 77.0,
        "steps_us": {"loop": 12.34, "sync": 3.0, "count": 0.01},
    }  # fmt: skip
    text = report.generated(document(), steps)
    assert "| loop | uvloop: polling, reading from sockets, calling back | 12.3 |" in text
    assert "| count |" not in text
    assert "| the worker as it is | not timed step by step | 77.0 |" in text
