"""The profile job finds batch effects wherever they are, and never calls a model invariant that is not."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from strongroom.adapters.packages.model_toml import write_contract
from strongroom.approval.release import Monitors, NumericProfile
from strongroom.encoding import canonical, parse_as
from strongroom.errors import InvalidInputError, NumericProfileError
from strongroom.registry.guard import GuardTable, GuardWish
from strongroom.registry.toml import read_contract
from strongroom.serving.guard import GuardCheck
from strongroom.validation.jobs import profile
from strongroom.validation.results import MonitorBins, Profile, ProfileProof
from strongroom.validation.statistics.tables import feature_rows, read_table
from tests.validation.worked import package

ROWS = np.random.default_rng(1).random((64, 3)).astype(np.float32)
ISA = "x86_64-avx2"
ON = profile.Conditions("onnxruntime", "1.31.1", "CPUExecutionProvider", ISA)


def plain(rows: Any) -> Any:
    return np.ascontiguousarray(rows[:, 0] * np.float32(0.5))


def spoilt(when: Any) -> Any:
    """A model whose bits differ in the rows that `when(batch size)` names."""

    def predict(rows: Any) -> Any:
        answer = plain(rows)
        answer[when(len(rows))] += np.float32(1e-6)
        return answer

    return predict


def prove(predict: Any, max_batch: int = 200) -> ProfileProof:
    return profile.prove(predict, predict, ROWS, max_batch, ON)


NOTHING = slice(0, 0)


@pytest.mark.parametrize(
    ("when", "mode"),
    [
        (lambda n: NOTHING, "batch-invariant"),
        (lambda n: slice(None) if n == 1 else NOTHING, "padded"),
        (lambda n: slice(6, 7) if n == 7 else NOTHING, "by-row"),
        (lambda n: slice(n - 1, n) if n == 129 else NOTHING, "by-row"),
        (lambda n: slice(137, 138) if n == 200 else NOTHING, "by-row"),
        (lambda n: slice(0, 1) if n == 2 else NOTHING, "by-row"),
        (lambda n: slice(n - 1, n), "by-row"),
    ],
    ids=["invariant", "alone", "slot 6 of 7", "last of 129", "one slot of the maximum", "first of two", "last always"],
)
def test_batch_effects_are_found(when: Any, mode: str) -> None:
    found = prove(spoilt(when))
    assert found.profile.mode == mode
    assert found.profile.max_batch == (1 if mode == "by-row" else 200)
    assert found.comparisons > 0


def test_a_model_that_does_not_repeat_itself_is_refused() -> None:
    noise = np.random.default_rng(2)
    with pytest.raises(NumericProfileError):
        prove(lambda rows: plain(rows) + noise.random(len(rows), dtype=np.float32))


def test_one_row_contracts_run_by_row() -> None:
    assert prove(plain, 1).profile.mode == "by-row"


def test_sizes_hold_the_promised_ones() -> None:
    sizes = profile.batch_sizes(1000)
    assert {2, 7, 64, 130, 255, 256, 257, 512, 1000} <= set(sizes)
    assert max(sizes) == 1000
    assert profile.batch_sizes(2) == (2,)
    assert profile.batch_sizes(1) == ()


@pytest.mark.parametrize(("kind", "mode"), [("xgboost", "batch-invariant"), ("logistic", None)])
def test_real_models(kind: Any, mode: str | None) -> None:
    made = package(kind)
    out = profile.run(made.inputs, {"isa": ISA})
    assert out == profile.run(made.inputs, {"isa": ISA})
    proof = parse_as(out["profile.json"], ProfileProof)
    if mode is None:
        # which of the three a linear model gets depends on the machine's kernels; it must follow from the counts
        mode = "batch-invariant" if not proof.differ_alone else "padded" if not proof.differ_padded else "by-row"
    assert proof.profile.mode == mode
    assert proof.profile.isa == ISA
    monitors = parse_as(out["monitors.json"], MonitorBins)
    assert [b.name for b in monitors.features] == [f.name for f in made.contract.input.features]
    assert all(sum(b.counts) + b.missing == 6000 for b in (*monitors.features, monitors.score))
    assert all(len(b.counts) == len(b.edges) + 1 for b in (*monitors.features, monitors.score))


def test_shapes_are_those_of_format_6() -> None:
    for ours, theirs in ((Profile, NumericProfile), (MonitorBins, Monitors)):
        assert ours.__struct_fields__ == theirs.__struct_fields__
    out = profile.run(package("xgboost").inputs, {"isa": ISA})
    proof, bins = parse_as(out["profile.json"], ProfileProof), parse_as(out["monitors.json"], MonitorBins)
    msgspec.convert(msgspec.to_builtins(proof.profile), NumericProfile)
    msgspec.convert(msgspec.to_builtins(bins), Monitors)


def test_a_guard_is_made_where_the_contract_wishes_it_and_holds_on_rows_left_out() -> None:
    made = package("xgboost")
    wish = GuardWish(flag_above="0.99", refer_above="0.999")
    contract = msgspec.structs.replace(made.contract, guard=wish)
    assert read_contract(write_contract(contract)) == contract
    out = profile.run({**made.inputs, "contract.json": canonical(contract)}, {"isa": ISA})
    monitors = msgspec.convert(msgspec.json.decode(out["monitors.json"]), Monitors)
    assert isinstance(monitors.guard, GuardTable)
    assert (monitors.guard.rows, monitors.guard.levels[2]) == (6000, -1)
    rows = feature_rows(read_table(made.inputs["development.parquet"], "development"), contract.input, "development")
    found = GuardCheck(monitors.guard).surprise(rows)
    flagged, referred = ((found > level).mean() for level in monitors.guard.levels[:2])
    assert 0.005 < flagged < 0.02
    assert 0.0003 < referred < 0.004


def test_the_machine_is_told_not_guessed() -> None:
    with pytest.raises(InvalidInputError):
        profile.run(package("xgboost").inputs, {})


def test_scores_are_made_as_the_profile_prescribes() -> None:
    seen: list[int] = []

    def predict(rows: Any) -> Any:
        seen.append(len(rows))
        return plain(rows)

    def scored(mode: Any, max_batch: int) -> list[int]:
        seen.clear()
        made = Profile(
            runtime="onnxruntime", version="1", provider="CPUExecutionProvider", threads=1, isa=ISA, mode=mode,
            max_batch=max_batch,
        )  # fmt: skip
        assert profile.score(predict, ROWS[:5], made).tolist() == plain(ROWS[:5]).tolist()
        return seen.copy()

    assert scored("batch-invariant", 4) == [4, 1]
    assert scored("padded", 4) == [4, 2]
    assert scored("by-row", 1) == [1] * 5
