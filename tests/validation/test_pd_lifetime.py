"""The IFRS 9 tests of the PD battery: drawn lives judged as they were drawn, and a reason where a column is missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pytest

from strongroom.errors import InvalidInputError
from strongroom.validation.batteries import pd_lifetime
from strongroom.validation.batteries.pd_portfolio import Columns
from strongroom.validation.catalogue import Basis
from strongroom.validation.policy import ValidationPolicy
from strongroom.validation.results import Chart, Table, evaluable
from strongroom.validation.results import TestResult as Answer
from strongroom.validation.statistics import lifetime
from strongroom.validation.study_terms import Scenario
from strongroom.vocabulary import digest_of
from tests.validation.worked import POLICY

SCENARIOS = (
    Scenario(state="1.0", weight="0.3"), Scenario(state="0.0", weight="0.5"), Scenario(state="-1.8", weight="0.2"),
)  # fmt: skip


@dataclass(frozen=True)
class Lives:
    basis: Basis
    outcome: np.ndarray[Any, Any]
    pd: np.ndarray[Any, Any]
    period: np.ndarray[Any, Any]
    cohort: np.ndarray[Any, Any]


def lives(told: dict[int, float], seed: int = 4, people: int = 1500) -> Lives:
    """Cohorts by number, with how much too low the model is for each: true hazard over the model's."""
    draw, found = np.random.default_rng(seed), []
    for cohort, factor in told.items():
        for _ in range(people):
            for period, hazard in enumerate((0.01, 0.02, 0.03), 1):
                default = draw.random() < hazard * factor
                found.append((int(default), hazard, period, cohort))
                if default or draw.random() < 0.05:
                    break
    y, h, t, c = (np.array(column) for column in zip(*found, strict=True))
    return Lives(Basis("validation", digest_of(b""), len(y)), y, h, t.astype(float), c.astype(float))


def policy(**changes: Any) -> ValidationPolicy:
    shipped = ValidationPolicy.decode(POLICY.read_bytes())
    return msgspec.structs.replace(shipped, **{"asset_correlation": "0.15", "scenarios": SCENARIOS, **changes})


def judged_by(
    sample: Lives, columns: dict[str, Any], judged: ValidationPolicy | None = None
) -> tuple[dict[str, Answer], list[Table], list[Chart]]:
    given = Columns("validation", {name: name for name in columns}, columns)
    tests, tables, charts = pd_lifetime.lifetime_tests(sample, given, judged or policy())  # type: ignore[arg-type]  # as the protocol says
    return {test.rule: test for test in tests}, tables, charts


def details(test: Answer) -> dict[str, str]:
    return {detail.name: detail.value for detail in test.details}


def test_the_cohort_for_which_the_model_is_too_low_is_named() -> None:
    sample = lives({2019: 1.0, 2020: 2.0, 2021: 1.0})
    tests, tables, charts = judged_by(sample, {"period": sample.period, "cohort": sample.cohort})
    found = tests["lifetime.cumulative"]
    assert float(found.figure or 1) < 1e-4
    assert details(found)["cohort"] == "2020"
    assert [row[0] for row in tables[0].rows] == ["2019", "2020", "2021"]
    assert [series.name for series in charts[0].series] == ["expected", "observed"]
    fair, _, _ = judged_by(same := lives({2019: 1.0, 2021: 1.0}), {"period": same.period, "cohort": same.cohort})
    assert float(fair["lifetime.cumulative"].figure or 0) > 0.05


def test_stages_are_counted_as_the_vector_counts_them() -> None:
    counts = ((1, 2, 42), (1, 1, 18), (0, 2, 260), (0, 1, 4680))
    y, stage = (np.repeat([pair[i] for pair in counts], [pair[2] for pair in counts]) for i in (0, 1))
    sample = Lives(Basis("validation", digest_of(b""), len(y)), y, np.full(len(y), 0.02), y, y)
    tests, _, _ = judged_by(sample, {"stage": stage.astype(float)})
    found = tests["lifetime.sicr"]
    assert float(found.figure or 0) == pytest.approx(0.7)
    assert float(details(found)["share of stage 1 that defaulted"]) == pytest.approx(18 / 4698)
    assert float(details(tests["lifetime.nonlinearity"])["weighted PD"]) == pytest.approx(0.021809294817309446)
    assert float(details(tests["lifetime.nonlinearity"])["PD in the mean state"]) == pytest.approx(0.01381858885296863)


def test_without_scenarios_every_state_counts_by_its_chance() -> None:
    four = np.array([0, 1, 0, 1])
    sample = Lives(Basis("validation", digest_of(b""), 4), four, np.full(4, 0.02), four, four)
    tests, _, _ = judged_by(sample, {}, policy(scenarios=msgspec.UNSET))
    found = tests["lifetime.nonlinearity"]
    # 2% over N(G(2%) / sqrt(0.85)) = N(-2.22761) = 1.2954%
    assert float(details(found)["weighted PD"]) == pytest.approx(0.02)
    assert float(details(found)["PD in the mean state"]) == pytest.approx(0.012954, abs=1e-6)
    assert float(found.figure or 0) == pytest.approx(0.02 / 0.012954, rel=1e-4)
    assert found.sentence.startswith(
        "The policy names no scenarios, so every state of the economy counts by its chance"
    )
    # many states with the weights of a normal come to the same
    states = np.linspace(-6, 6, 241)
    density = np.exp(-states * states / 2)
    named = lifetime.nonlinearity(0.02, 0.15, states.tolist(), (density / density.sum()).tolist())
    assert evaluable(named).ratio == pytest.approx(float(found.figure or 0), rel=1e-6)


def booked(harsher: dict[tuple[int, int], float]) -> tuple[Lives, dict[str, Any]]:
    """800 loans a stage and cohort; how many times more came of each group than was booked."""
    draw = np.random.default_rng(8)
    groups = [key for key in harsher for _ in range(800)]
    stage, cohort = (np.array([key[place] for key in groups], float) for place in (0, 1))
    pd = np.where(stage == 2, 0.2, 0.04)
    loss = 4000.0 * draw.uniform(0.5, 1.5, len(pd))
    bad = draw.random(len(pd)) < pd * np.array([harsher[key] for key in groups])
    sample = Lives(Basis("validation", digest_of(b""), len(pd)), bad.astype(int), pd, cohort, cohort)
    return sample, {
        "stage": stage, "cohort": cohort, "booked_loss": pd * 4000.0, "realised_loss": np.where(bad, loss, 0.0)
    }  # fmt: skip


def test_the_group_for_which_too_little_was_booked_is_named() -> None:
    sample, columns = booked({(1, 2020): 1.0, (1, 2021): 2.5, (2, 2020): 1.0, (2, 2021): 1.0})
    tests, tables, _ = judged_by(sample, columns)
    found, table = tests["lifetime.losses"], tables[-1]
    assert details(found)["group with the smallest p"] == "stage 1, cohort 2021"
    assert float(found.p_value or 1) < 1e-4
    assert found.interval is not None
    assert float(found.figure or 0) == pytest.approx(
        columns["realised_loss"].sum() / columns["booked_loss"].sum(), rel=1e-9
    )
    assert [row[0] for row in table.rows] == [f"stage {s}, cohort {c}" for s in (1, 2) for c in (2020, 2021)]
    assert float(table.rows[1][5] or 0) == pytest.approx(2.5, abs=0.6)
    assert float(table.rows[1][8] or 1) < 1e-4
    assert all(float(row[8] or 0) > 0.01 for place, row in enumerate(table.rows) if place != 1)
    # sums of the groups are those of the whole
    for column, name in ((3, "booked_loss"), (4, "realised_loss")):
        assert sum(float(row[column] or 0) for row in table.rows) == pytest.approx(columns[name].sum())
    fair, same = booked({(1, 2020): 1.0, (2, 2020): 1.0})
    tests, _, _ = judged_by(fair, same)
    assert float(tests["lifetime.losses"].p_value or 0) > 0.05


def test_losses_without_stage_and_cohort_are_one_group_and_a_group_without_booking_is_shown() -> None:
    sample, columns = booked({(1, 2020): 1.0, (2, 2020): 1.0})
    alone = {name: columns[name] for name in ("booked_loss", "realised_loss")}
    tests, tables, _ = judged_by(sample, alone)
    assert [row[0] for row in tables[-1].rows] == ["all"]
    assert float(tests["lifetime.losses"].p_value or 0) == pytest.approx(float(tables[-1].rows[0][8] or 1))
    forgotten = {**columns, "booked_loss": np.where(columns["stage"] == 1, 0.0, columns["booked_loss"])}
    tests, tables, _ = judged_by(sample, forgotten)
    rows = {row[0]: row for row in tables[-1].rows}
    assert rows["stage 1, cohort 2020"][5:] == (None,) * 4
    assert float(rows["stage 1, cohort 2020"][4] or 0) > 0.0
    assert details(tests["lifetime.losses"])["groups tested"] == "1"


@pytest.mark.parametrize(
    ("rule", "columns", "changes", "reason"),
    [
        ("lifetime.cumulative", {}, {}, "names no column with the period"),
        ("lifetime.cumulative", {"period": [0.0] * 4}, {}, "whole numbers from 1"),
        ("lifetime.cumulative", {"period": [1.0] * 4, "cohort": [0.5] * 4}, {}, "whole numbers"),
        ("lifetime.cumulative", {"period": [1.0, 3.0] * 2}, {}, "no cohort has a horizon"),
        ("lifetime.sicr", {}, {}, "names no column with the stage"),
        ("lifetime.sicr", {"stage": [3.0] * 4}, {}, "from 1 to 2"),
        ("lifetime.nonlinearity", {}, {"asset_correlation": msgspec.UNSET}, "no asset correlation"),
        ("lifetime.losses", {}, {}, "names no column with the expected loss that was booked; name it as `booked_loss`"),
        ("lifetime.losses", {"booked_loss": [1.0] * 4}, {}, "names no column with the loss that came"),
        ("lifetime.losses", {"booked_loss": [-1.0] * 4, "realised_loss": [1.0] * 4}, {}, "numbers from 0"),
        ("lifetime.losses", {"booked_loss": [1.0] * 4, "realised_loss": [np.nan] * 4}, {}, "in 4 rows"),
        ("lifetime.losses", {"booked_loss": [0.0] * 4, "realised_loss": [1.0] * 4}, {}, "no expected loss was booked"),
        (
            "lifetime.losses",
            {"booked_loss": [1.0] * 4, "realised_loss": [1.0] * 4, "stage": [0.0] * 4},
            {},
            "whole numbers from 1 to 2",
        ),
    ],
)
def test_what_is_missing_is_said(rule: str, columns: Any, changes: Any, reason: str) -> None:
    four = np.array([0, 1, 0, 1])
    sample = Lives(Basis("validation", digest_of(b""), 4), four, np.full(4, 0.1), four, four)
    tests, tables, charts = judged_by(sample, {k: np.array(v) for k, v in columns.items()}, policy(**changes))
    assert tests[rule].figure is None
    assert reason in (tests[rule].reason or "")
    assert not tables
    assert not charts


@pytest.mark.parametrize(
    "scenarios", [(), SCENARIOS[:1], SCENARIOS[:2], (Scenario(state="0", weight="-1"), Scenario(state="0", weight="2"))]
)
def test_scenarios_that_do_not_weigh_one_are_refused(scenarios: Any) -> None:
    with pytest.raises(InvalidInputError):
        policy(scenarios=scenarios)
