"""Figures of the studies beside their bars."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bench.studies import HELD, Held, keep, kept

from bench import report


def point(share: float, asked: int = 1, **grown: int) -> dict[str, Any]:
    return {"models": 1, "policies": 36, "principals": 1000, "entries": 0, "asked": asked, "share": share} | grown


def named(name: str) -> Held:
    (found,) = [one for one in HELD if one.bar.name == name]
    return found


def test_what_is_kept_says_on_what_it_was_measured(tmp_path: Path) -> None:
    keep("halt", {"repository": {"max_s": 1.5}, "file": {"max_s": 2.5}}, tmp_path)
    found = json.loads((tmp_path / "halt.json").read_text())
    assert {"machine", "python", "load_average", "repository"} <= found.keys()
    assert [(held.bar.name, held.bar.met(value)) for held, value in kept(tmp_path)] == [
        ("repository_s", True), ("file_s", False),
    ]  # fmt: skip


LEFT: dict[str, tuple[dict[str, Any], list[tuple[str, bool | None]]]] = {
    "plan": ({"exposures": 1_000_000, "processor_s": 41.0, "peak_mib": 2000}, [("plan_s", True)]),
    "parquet": ({"known": {"of_plain": 0.4}, "new": {"of_plain": 0.3}}, [("known", False), ("new", None)]),
    "battery-million": ({"rows": 1_000_000, "ours": {"processor_s": 50.0, "wall_s": 301.0}}, [("million_s", False)]),
}
"""What some studies leave, as far as the page reads it, and what it says of it."""


@pytest.mark.parametrize("study", LEFT)
def test_a_study_that_is_kept_stands_on_the_page_with_its_bar(
    study: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures, verdicts = LEFT[study]
    keep(study, figures, tmp_path)
    assert [(held.bar.name, held.bar.met(value)) for held, value in kept(tmp_path)] == verdicts
    monkeypatch.setattr(report, "kept", lambda: kept(tmp_path))
    words = {True: "met", False: "not met", None: ""}
    assert [row[3:] for row in report.study_rows()] == [[words[met], f"`bench/{study}.json`"] for _, met in verdicts]


def test_a_study_that_was_not_run_has_no_figure(tmp_path: Path) -> None:
    assert kept(tmp_path) == []


def test_growth_of_one_thing_and_of_all_are_told_apart() -> None:
    points = [
        point(1.03), point(0.91, policies=5000), point(0.97, models=200), point(0.3, asked=200, models=200),
        point(0.77, models=200, policies=5000, principals=100_000, entries=50_000_128),
    ]  # fmt: skip
    assert named("alone").of({"points": points}) == 0.91
    assert named("all").of({"points": points}) == 0.77


@pytest.mark.parametrize("held", HELD, ids=lambda held: held.bar.name)
def test_every_file_in_bench_has_the_figure_that_is_looked_for(held: Held) -> None:
    file = report.HERE / f"{held.study}.json"
    if not file.exists():
        pytest.skip(f"{held.study} was not run")
    assert held.of(json.loads(file.read_text())) > 0


def test_every_step_of_the_profile_has_words() -> None:
    from bench.profile import STEPS

    assert report.STEPS.keys() == set(STEPS)
