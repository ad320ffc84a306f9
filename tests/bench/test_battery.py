"""The PD battery beside a notebook script: they do the same tests, and the page says which they do not."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
from bench.battery import NOT_DONE, SCRIPT, alike, beside, measured
from bench.studies import HELD, keep

from bench import report
from strongroom.validation import results
from strongroom.validation.catalogue import Basis, answer
from strongroom.validation.default_rules import RULES
from strongroom.validation.results import NotEvaluable
from strongroom.vocabulary import digest_of

BASIS = Basis("validation", digest_of(b"sample"), 100)


def result(rule: str, figure: float | NotEvaluable, suffix: str = "") -> results.TestResult:
    return answer(rule, figure, "as found", BASIS, suffix=suffix)


def test_every_test_of_a_pd_is_done_by_the_script_or_named_as_not_done() -> None:
    ours = {rule.test for line in RULES["pd"] for rule in line if rule is not None}
    sections = "|".join(sorted({name.partition(".")[0] for name in ours}))
    words = {node.value for node in ast.walk(ast.parse(SCRIPT.read_text())) if isinstance(node, ast.Constant)}
    done = {
        found[1] for word in words
        if isinstance(word, str) and (found := re.fullmatch(rf"((?:{sections})\.[a-z-]+)(/.*)?", word))
    }  # fmt: skip
    assert done == ours - NOT_DONE.keys()
    assert ours > NOT_DONE.keys()


def test_the_script_names_what_it_does_not_do() -> None:
    header = ast.get_docstring(ast.parse(SCRIPT.read_text())) or ""
    assert set(re.findall(r"`([a-z]+\.[a-z-]+)`", header)) == NOT_DONE.keys()


def test_the_script_uses_the_libraries_that_the_issue_names_from_its_own_environment() -> None:
    tree = ast.parse(SCRIPT.read_text())
    used = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)} | {
        alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }  # fmt: skip
    tops = {str(name).partition(".")[0] for name in used}
    assert {"sklearn", "shap", "fairlearn"} <= tops
    assert not tops & {"bench", "strongroom", "tests"}
    wanted = (SCRIPT.parent / "requirements.in").read_text().split()
    assert {"scikit-learn", "shap", "fairlearn"} <= set(wanted)


def test_figures_are_held_against_ours_by_test() -> None:
    tests = (
        result("discrimination.auc", 0.75), result("fairness.air", 0.9, "group"), result("robustness.monotone", 0),
        result("calibration.line", 2e-9),
    )  # fmt: skip
    found = beside(tests, {"discrimination.auc": 0.7500001, "fairness.air/group": 0.91, "calibration.line": 1e-9})
    assert found["not_done"].keys() == {"robustness.monotone"}
    assert (found["ours"], found["script"], found["same_figure"]) == (4, 3, 2)
    assert found["other_figure"] == ["fairness.air/group"]
    with pytest.raises(RuntimeError, match=r"not do the same tests: calibration\.line"):
        beside(tests, {"discrimination.auc": 0.75, "fairness.air/group": 0.9})
    with pytest.raises(RuntimeError, match=r"not do the same tests: discrimination\.ks"):
        beside(tests[:1], {"discrimination.auc": 0.75, "discrimination.ks": 0.1})
    assert not alike(None, 0.0)


def document() -> dict[str, Any]:
    return {
        "rows": 30_000, "rounds": 3, "ours": {"processor_s": 12.0, "wall_s": 10.0},
        "script": {"processor_s": 18.0, "wall_s": 15.0}, "ratio_processor": 1.5, "ratio_wall": 1.5,
        "libraries": {"shap": "0.51.0"},
        "tests": {
            "ours": 80, "script": 78, "same_figure": 70, "other_figure": ["robustness.noise"],
            "not_done": dict(NOT_DONE),
        },
    }  # fmt: skip


def test_the_page_shows_both_sides_and_what_is_not_done() -> None:
    text = "\n".join(report.battery_part(document()))
    assert "| our battery, in the sandbox, with its report | 10.00 | 12.00 |" in text
    assert "| the script over ours | 1.50 | 1.50 |" in text
    assert "Of our 80 answers the script gives 78; 70 of its figures are ours" in text
    assert "shap 0.51.0" in text
    for name, why in NOT_DONE.items():
        assert f"- `{name}`: {why}" in text


def test_what_lies_in_bench_has_the_form_of_what_is_shown() -> None:
    file = report.HERE / "battery.json"
    if not file.exists():
        pytest.skip("the battery was not measured")
    found = json.loads(file.read_text())
    assert document().keys() <= found.keys()
    assert document()["tests"].keys() == found["tests"].keys()
    assert found["tests"]["not_done"].keys() == NOT_DONE.keys()
    assert {"sklearn", "shap", "fairlearn"} <= {name.replace("scikit-learn", "sklearn") for name in found["libraries"]}


def test_figures_that_the_page_could_not_read_are_not_kept(tmp_path: Path) -> None:
    keep("battery", document(), tmp_path)
    for study in sorted({held.study for held in HELD}):
        with pytest.raises(KeyError):
            keep(study, {"rows": 1}, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["battery.json"]


@pytest.mark.slow
@pytest.mark.study
def test_the_script_gives_the_same_figures_where_nothing_is_drawn_by_lot() -> None:
    found = measured(3000, 1)
    other = {name.partition("/")[0] for name in found["tests"]["other_figure"]}
    assert other <= {
        "explanation.additivity", "explanation.noise", "explanation.background", "robustness.noise", "robustness.near",
        "robustness.missing", "robustness.change", "robustness.extraction", "sensitivity.benchmark",
        "fairness.proxies", "fairness.alternatives", "explanation.margin", "explanation.proxies",
    }  # fmt: skip
