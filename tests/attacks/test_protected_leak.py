"""Threat: protected attributes leave their enclave, by the model, a profile, the monitors, the results or the report.

What the model and the profile are given holds none of them; what the battery tells does not hang on who is who among
equals, and no label of a small group, nor anything by row, stands in it.
"""

from __future__ import annotations

import io
import re
from functools import cache
from typing import Any

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest

from strongroom.encoding import canonical, parse_as
from strongroom.errors import InvalidInputError
from strongroom.registry.contract import ModelContract
from strongroom.validation import validating
from strongroom.validation.batteries import examination
from strongroom.validation.jobs import pd_battery, profile
from strongroom.validation.policy import ValidationPolicy
from strongroom.validation.ports import Job, JobResult
from strongroom.validation.reporting.report import render
from strongroom.validation.results import BatteryResults
from strongroom.vocabulary import ModelRef, parse_digest
from tests.validation.worked import POLICY, package, parquet

MANIFEST = {"manifest": "ab" * 32}
ROWS = 2000
ISA = "x86_64-avx2"


@cache
def sample() -> dict[str, bytes]:
    """The real model, on part of the rows, with a second attribute in which seven people bear a name of their own."""
    made = dict(package("xgboost").inputs)
    contract = parse_as(made["contract.json"], ModelContract)
    made["contract.json"] = canonical(
        msgspec.structs.replace(contract, protected=("SEX", "NATION"), conditions=("LIMIT_BAL",))
    )
    table = pq.read_table(io.BytesIO(made["validation.parquet"])).slice(0, ROWS)
    made["validation.parquet"] = parquet({name: table.column(name).to_numpy() for name in table.column_names})
    made["validation-protected.parquet"] = protected()
    del made["protected.parquet"]
    return made


def protected(seed: int = 0) -> bytes:
    random = np.random.default_rng(seed)
    nation = np.array(["aa", "bb", "cc"])[random.integers(0, 3, ROWS)].astype("<U20")
    nation[random.choice(ROWS, 7, replace=False)] = [f"canary-{i}-ziel" for i in range(7)]
    return parquet({"SEX": random.integers(1, 3, ROWS), "NATION": nation})


def given(**changes: bytes) -> dict[str, bytes]:
    inputs = {**sample(), **{name.replace("_", "-") + ".parquet": data for name, data in changes.items()}}
    return inputs | {"profile.json": profiled()["profile.json"]}


@cache
def profiled() -> dict[str, bytes]:
    return profile.run(sample(), {"isa": ISA})


@cache
def results(seed: int = 0) -> bytes:
    return pd_battery.run(given(validation_protected=protected(seed)), MANIFEST)["results.json"]


def test_neither_results_nor_report_name_a_small_group_or_a_row() -> None:
    found = BatteryResults.decode(results())
    for text in (results().decode(), render(results()).decode()):
        assert "canary" not in text
        assert "ziel" not in text
    # nothing is as long as the sample: neither labels nor anything else by row
    assert max(len(row) for table in found.tables or () for row in table.rows) < 20
    assert sum(len(table.rows) for table in found.tables or ()) < 100
    assert sum(len(series.points) for chart in found.charts or () for series in chart.series) < 2000


def test_every_count_by_group_is_of_a_large_group() -> None:
    found = BatteryResults.decode(results())
    least = ValidationPolicy.decode(POLICY.read_bytes()).fairness.min_group
    assert all(row.n == 0 or row.n >= least for row in found.air)
    counts = [
        int(row[place] or least)
        for table in found.tables or ()
        for place, column in enumerate(table.columns)
        if table.section == "fairness" and column.unit == "count"
        for row in table.rows
    ]
    assert counts
    assert min(counts) >= least
    # the seven are not the rest of a sum either
    shown = sum(row.n for row in found.air if row.attribute == "NATION")
    assert ROWS - shown >= least


def test_other_people_in_the_groups_change_nothing_outside_the_section_of_fairness() -> None:
    one, two = (BatteryResults.decode(results(seed)) for seed in (0, 1))
    assert one.air != two.air
    for field in ("grades", "psi", "plots", "numeric", "tools", "model"):
        assert getattr(one, field) == getattr(two, field)
    others = [[t for t in r.tests if t.section != "fairness"] for r in (one, two)]
    assert others[0] == others[1]


def test_the_job_that_makes_profile_monitors_and_guard_is_given_no_protected_attribute() -> None:
    class Recorder:
        def __init__(self) -> None:
            self.jobs: list[Job] = []

        def run(self, job: Job) -> JobResult:
            self.jobs.append(job)
            made = profile.run(job.inputs, dict(job.parameters)) if len(self.jobs) == 1 else {"results.json": results()}
            return JobResult(files=made, cpu_s=0.0, wall_s=0.0)

    sandbox = Recorder()
    inputs = sample()
    contract = parse_as(inputs["contract.json"], ModelContract)
    ref = ModelRef(contract.name, parse_digest(MANIFEST["manifest"]))
    outcome = validating.examine(ref, contract, inputs, sandbox=sandbox, isa=ISA)
    first = sandbox.jobs[0]
    assert set(first.inputs) == {contract.model_input, "contract.json", "policy.json", "reference.parquet"}
    columns = set(pq.read_table(io.BytesIO(first.inputs["reference.parquet"])).column_names)
    assert not columns & set(contract.protected)
    told = canonical(outcome.monitors).decode() + profiled()["profile.json"].decode()
    assert not re.search(r"SEX|NATION|canary", told)


def test_the_model_has_said_all_before_the_protected_sample_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    read, score = examination.read_table, examination.score

    def reading(data: bytes, what: str) -> Any:
        events.append(what)
        return read(data, what)

    def scoring(predict: Any, rows: Any, by: Any) -> Any:
        events.append("model")
        assert rows.dtype == np.float32
        assert rows.shape[1] == len(parse_as(sample()["contract.json"], ModelContract).input.features)
        return score(predict, rows, by)

    monkeypatch.setattr(examination, "read_table", reading)
    monkeypatch.setattr(examination, "score", scoring)
    pd_battery.run(given(), MANIFEST)
    assert "protected" in events
    assert "model" not in events[events.index("protected") :]


@pytest.mark.parametrize("role", ["development", "reference", "validation"])
def test_a_sample_that_smuggles_a_protected_column_is_refused(role: str) -> None:
    table = pq.read_table(io.BytesIO(sample()[f"{role}.parquet"]))
    columns = {name: table.column(name).to_numpy() for name in table.column_names}
    smuggled = parquet({**columns, "NATION": np.ones(table.num_rows)})
    with pytest.raises(InvalidInputError, match="NATION"):
        pd_battery.run(given(**{role: smuggled}), MANIFEST)


def test_a_protected_attribute_is_no_feature() -> None:
    contract = parse_as(sample()["contract.json"], ModelContract)
    with pytest.raises(InvalidInputError):
        msgspec.structs.replace(contract, protected=("LIMIT_BAL",))
    for wrong in ((), ("SEX",), ("LIMIT_BAL", "LIMIT_BAL"), ("PAY_0", "PAY_2", "PAY_3", "PAY_4")):
        with pytest.raises(InvalidInputError, match="conditions"):
            msgspec.structs.replace(contract, conditions=wrong)
