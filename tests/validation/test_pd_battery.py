"""The battery and its report on real data: figures as expected, sabotage found, the same bytes every time."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Literal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from strongroom.encoding import canonical
from strongroom.errors import EvidenceError, InvalidInputError
from strongroom.validation import results as documents
from strongroom.validation.jobs import pd_battery, profile
from strongroom.validation.reporting.report import render
from strongroom.validation.results import BatteryResults, NotEvaluable
from tests.validation.worked import OUTCOME, package, parquet

MANIFEST = {"manifest": "ab" * 32}


@cache
def inputs(kind: Literal["xgboost", "logistic"] = "xgboost") -> dict[str, bytes]:
    made = dict(package(kind).inputs)
    return made | {"profile.json": profile.run(made, {"isa": "x86_64-avx2"})["profile.json"]}


def battery(changes: dict[str, bytes | None] | None = None, kind: Literal["xgboost", "logistic"] = "xgboost") -> Any:
    given = {name: data for name, data in {**inputs(kind), **(changes or {})}.items() if data is not None}
    return BatteryResults.decode(pd_battery.run(given, MANIFEST)["results.json"])


@cache
def sound(kind: Literal["xgboost", "logistic"] = "xgboost") -> BatteryResults:
    found: BatteryResults = battery(kind=kind)
    return found


def result(results: BatteryResults, name: str) -> documents.TestResult:
    return next(test for test in results.tests if test.id == name)


def columns(data: bytes) -> dict[str, np.ndarray[Any, Any]]:
    table = pq.read_table(pa.BufferReader(data))
    return {name: table.column(name).to_numpy() for name in table.column_names}


@pytest.mark.parametrize(("kind", "low", "high"), [("xgboost", 0.765, 0.79), ("logistic", 0.70, 0.735)])
def test_real_models_discriminate_as_known(kind: Any, low: float, high: float) -> None:
    area = result(sound(kind), "discrimination.auc")
    assert low < float(area.figure or 0) < high
    assert area.interval is not None
    assert float(area.interval[0]) < float(area.figure or 0) < float(area.interval[1])
    assert area.verdict == "pass"


def test_a_calibrated_model_passes_and_a_linear_one_is_caught() -> None:
    assert sound("xgboost").verdict in ("pass", "amber")
    # a straight line through bent risks: right on the whole, wrong grade by grade
    linear = sound("logistic")
    assert result(linear, "calibration.jeffreys-portfolio").verdict == "pass"
    assert result(linear, "calibration.jeffreys-grades").verdict == "fail"
    assert linear.verdict == "fail"


def test_results_and_report_are_the_same_bytes_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    first = pd_battery.run(inputs(), MANIFEST)["results.json"]
    # one part after the other, or side by side
    monkeypatch.setattr("strongroom.validation.batteries.examination.SIDE_BY_SIDE", 1)
    second = pd_battery.run(inputs(), MANIFEST)["results.json"]
    assert first == second == sound("xgboost").encode()
    assert render(first) == render(second)


def test_what_only_informs_raises_no_alarm_when_it_cannot_be_evaluated() -> None:
    page = render(sound("xgboost").encode()).decode()
    assert result(sound("xgboost"), "discrimination.champion").role == "information"
    row = page[page.index("Gain over the champion") :]
    assert '<span class="chip not-evaluable quiet">' in row[: row.index("</tr>")]
    assert '<span class="chip pass">' in page


def test_every_sample_is_named_by_its_digest() -> None:
    from strongroom.vocabulary import digest_of

    for sample in sound("xgboost").samples:
        assert sample.sha256 == digest_of(inputs()[f"{sample.role}.parquet"])
    assert {s.role for s in sound("xgboost").samples} >= {"development", "validation", "reference", "predictions"}


def test_all_figures_are_decimal_strings_and_finite() -> None:
    text = sound("xgboost").encode().decode()
    assert not re.search(r"\b(nan|inf|NaN|Infinity)\b", text)


def test_a_converter_that_lies_is_found() -> None:
    shifted = columns(inputs()["predictions.parquet"])["prediction"] + 0.01
    found = battery({"predictions.parquet": parquet({"prediction": shifted})})
    assert result(found, "implementation.parity").verdict == "fail"
    assert result(found, "implementation.flips").verdict == "fail"
    assert found.verdict == "fail"


def test_too_few_predictions_cannot_be_compared_and_fail() -> None:
    short = columns(inputs()["predictions.parquet"])["prediction"][:-1]
    found = battery({"predictions.parquet": parquet({"prediction": short})})
    assert result(found, "implementation.parity").verdict == "not-evaluable"
    assert found.verdict == "fail"


def test_a_sample_without_defaults_fails_with_reasons_not_nan() -> None:
    sample = columns(inputs()["validation.parquet"])
    sample[OUTCOME] = np.zeros_like(sample[OUTCOME])
    found = battery({"validation.parquet": parquet(sample)})
    area = result(found, "discrimination.auc")
    assert (area.figure, area.verdict) == (None, "not-evaluable")
    assert "one outcome class" in (area.reason or "")
    assert found.verdict == "fail"
    assert b"could not be evaluated" in render(found.encode())


def test_moved_people_are_seen() -> None:
    sample = columns(inputs()["validation.parquet"])
    sample["LIMIT_BAL"] = sample["LIMIT_BAL"] * 3
    found = battery({"validation.parquet": parquet(sample)})
    moved = result(found, "stability.psi-features")
    assert moved.verdict == "fail"
    assert "LIMIT_BAL" in moved.sentence


def test_rows_from_development_are_seen() -> None:
    found = battery({"validation.parquet": inputs()["development.parquet"], "validation-protected.parquet": None})
    known = {test.id: test for test in found.tests if test.rule == "data.overlap"}
    copied = known.pop("data.overlap/development and validation")
    assert (float(copied.figure or 0), copied.verdict) == (1.0, "amber")
    assert all(float(test.figure or 0) < 0.05 for test in known.values())
    assert len(known) == 2


def test_unfair_decisions_are_seen_and_missing_groups_fail() -> None:
    rows = columns(inputs()["validation.parquet"])
    group = np.where(rows["PAY_0"] > 0, "x", "y")
    found = battery({"validation-protected.parquet": parquet({"SEX": group})})
    assert result(found, "fairness.air/SEX").verdict == "fail"
    none = battery({"validation-protected.parquet": None, "protected.parquet": None})
    assert result(none, "fairness.air/SEX").verdict == "not-evaluable"
    assert none.verdict == "fail"


def test_refused_rows_and_broken_samples() -> None:
    sample = columns(inputs()["validation.parquet"])
    sample["PAY_0"] = np.where(np.arange(len(sample["PAY_0"])) % 10 == 0, 99, sample["PAY_0"])
    found = battery({"validation.parquet": parquet(sample)})
    assert float(result(found, "data.contract").figure or 0) == pytest.approx(0.1)
    assert found.verdict == "fail"
    for change in (
        {"validation.parquet": b"PAR1 no"},
        {"validation.parquet": parquet({**columns(inputs()["validation.parquet"]), "SEX": sample["PAY_0"]})},
        {"validation.parquet": parquet({k: v for k, v in sample.items() if k != "PAY_0"})},
        {"validation.parquet": parquet({**sample, OUTCOME: sample[OUTCOME] + 1})},
        {"validation-protected.parquet": parquet({"SEX": np.ones(3)})},
        {"model.onnx": b"\x08no"},
    ):
        with pytest.raises(InvalidInputError):
            battery(change)  # type: ignore[arg-type]  # a dict of bytes is one of bytes or None


def test_a_kind_or_tier_without_battery_is_refused() -> None:
    from strongroom.validation.policy import ValidationPolicy

    policy = ValidationPolicy.decode(inputs()["policy.json"])
    less = msgspec.structs.replace(policy, batteries=policy.batteries[1:])
    with pytest.raises(EvidenceError):
        battery({"policy.json": canonical(less)})


def test_nothing_but_the_manifest_is_a_parameter() -> None:
    for parameters in ({}, {**MANIFEST, "confidence": "0.5"}):
        with pytest.raises(InvalidInputError):
            pd_battery.run(inputs(), parameters)


def test_the_page_is_self_contained_and_inert() -> None:
    page = render(sound("xgboost").encode()).decode()
    assert page.startswith("<!doctype html>")
    assert "<script" not in page.lower()
    assert "style=" not in page
    assert not re.search(r"\son[a-z]+\s*=", page)
    assert not re.search(r"(src|href)=\"(?!#)", page)
    assert "default-src 'none'" in page
    for name in (
        "ROC curve",
        "Scores by outcome",
        "Calibration by grade",
        "Population stability",
        "Adverse impact ratio",
    ):
        assert f"<title>{name}</title>" in page
    for test in sound("xgboost").tests:
        assert test.title in page
    assert sound("xgboost").manifest in page
    assert sound("xgboost").policy_sha256 in page


def test_what_a_package_says_cannot_become_markup() -> None:
    evil = '<img src=x onerror="alert(1)">'
    rows = list(sound("xgboost").psi)
    results = msgspec.structs.replace(
        sound("xgboost"), title=evil, owner=evil, psi=(msgspec.structs.replace(rows[0], name=evil), *rows[1:])
    )
    page = render(results.encode()).decode()
    assert "<img" not in page
    assert "&lt;img" in page


def test_a_report_needs_real_results() -> None:
    with pytest.raises(InvalidInputError):
        render(b"{}")
    assert NotEvaluable("x").reason == "x"


def test_columns_beyond_the_outcome_are_used_where_they_are() -> None:
    from strongroom.encoding import parse_as
    from strongroom.registry.contract import ModelContract
    from strongroom.registry.kinds import OutcomeDefinition

    names = {"year": "observed", "previous_grade": "was", "champion": "old_pd", "exposure": "balance"}
    names |= {"booked_loss": "ecl_12m", "realised_loss": "lost_since", "cohort": "vintage"}
    outcome = OutcomeDefinition(meaning="90 days past due", window="12 months", **names)
    told = msgspec.structs.replace(parse_as(inputs()["contract.json"], ModelContract), outcome=outcome)
    sample = columns(inputs()["validation.parquet"])
    random, rows = np.random.default_rng(4), len(sample[OUTCOME])
    # the development sample has no exposure, so that test has no answer; the others have
    more = {
        "observed": random.integers(2015, 2022, rows), "was": random.integers(1, 11, rows),
        "old_pd": random.random(rows), "balance": random.random(rows), "ecl_12m": random.random(rows),
        "lost_since": random.random(rows), "vintage": random.integers(2020, 2023, rows),
    }  # fmt: skip
    found = battery({"contract.json": canonical(told), "validation.parquet": parquet({**sample, **more})})
    for name in ("calibration.normal-years", "stability.migration-z", "discrimination.champion", "lifetime.losses"):
        assert result(found, name).verdict == "information"
    reason = result(found, "stability.concentration-exposure").reason
    assert reason == "the development sample has no column `balance` with the exposure"
    assert found.verdict == sound("xgboost").verdict
    page = render(found.encode()).decode()
    assert "Migration matrix" in page
    assert "Expected losses booked, and losses that came" in page
    assert "cohort 2021" in page
    # the shipped policy names no scenarios, and non-linearity is evaluable all the same
    assert result(found, "lifetime.nonlinearity").verdict == "information"
    assert "Migration matrix" not in render(sound("xgboost").encode()).decode()
