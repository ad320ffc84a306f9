"""The input guard: fitted to a reference, looked up in whole numbers, with three outcomes that a replay repeats."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.adapters.runtimes.onnx_runtime import OnnxRuntime
from strongroom.approval.release import Release
from strongroom.encoding import canonical, parse_as
from strongroom.errors import EvidenceError, InvalidInputError, TamperedError
from strongroom.registry.contract import InputContract
from strongroom.registry.guard import GuardTable, GuardWish
from strongroom.serving.decoding import SUBJECT_TENSOR
from strongroom.serving.guard import FLAG, REFER, REFUSE, GuardCheck
from strongroom.serving.replay import read_decision, replay
from strongroom.serving.served import ServedModel, make_ready
from strongroom.validation.batteries.guard_fit import fit_guard
from tests.serving.house import FEATURES, GOOD, House, admitted, release_of
from tests.web.gateways import gateway, question

CONTRACT = InputContract(tensor="x", features=FEATURES)
WISH = GuardWish(flag_above="0.99", refer_above="0.999", refuse_above="0.9999")
ROWS = 20_000


def sample(rows: int, seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Applicants of the house: limit and age hang together, some have no ratio."""
    random = np.random.default_rng(seed)
    age = np.clip(np.rint(random.normal(42, 11, rows)), 18, 90)
    limit = np.exp(random.normal(9.5, 0.5, rows) + 0.02 * (age - 42))
    status = random.choice([1, 3], rows, p=[0.7, 0.3])
    ratio = np.where(random.random(rows) < 0.1, np.nan, np.clip(random.normal(0, 0.03, rows), -1, 0.1))
    return np.column_stack([np.clip(limit, 0, 1e6), age, status, ratio]).astype(np.float32)


TABLE = fit_guard(sample(ROWS, 1), CONTRACT, WISH)
CHECK = GuardCheck(TABLE)


def plain_surprise(row: np.ndarray[Any, np.dtype[np.float32]], table: GuardTable) -> int:
    """As the page of the format has it."""
    bins = [
        0 if np.isnan(value) else 1 + sum(float(np.float32(edge)) < float(value) for edge in edges)
        for value, edges in zip(row, table.edges, strict=True)
    ]
    width = [len(edges) + 2 for edges in table.edges]
    return sum(
        table.surprise[place][bins[parent] * width[place] + bins[place]] for place, parent in enumerate(table.parents)
    )


@settings(max_examples=60)
@given(st.lists(st.lists(st.one_of(st.just(float("nan")), st.floats(-1e7, 1e7, width=32)), min_size=4, max_size=4),
                min_size=1, max_size=30))  # fmt: skip
def test_surprise_is_what_the_format_says_and_hangs_on_nothing_else(rows: list[list[float]]) -> None:
    matrix = np.array(rows, np.float32)
    together = CHECK.surprise(matrix).tolist()
    assert together == [plain_surprise(row, TABLE) for row in matrix]
    assert together == [int(CHECK.surprise(matrix[place : place + 1])[0]) for place in range(len(matrix))]
    assert together == CHECK.surprise(np.asfortranarray(matrix)).tolist()


def test_levels_hold_on_rows_that_the_table_has_not_seen() -> None:
    found = CHECK.surprise(sample(100_000, 2))
    flag, refer, refuse = ((found > level).mean() for level in TABLE.levels)
    assert 0.005 < flag < 0.02
    assert 0.0003 < refer < 0.003
    assert refuse < 0.0006


@pytest.mark.parametrize(
    ("row", "least"),
    [
        ([*GOOD[:2], 1.0, 0.05], 0),
        ([15_000.0, 40.0, 2.0, 0.0], FLAG),  # a code that the contract allows and nobody ever had
        ([900_000.0, 19.0, 1.0, 0.0], REFER),  # each value was seen, this limit never at that age
        ([1_000_000.0, 120.0, 2.0, -1.0], REFUSE),
    ],
)
def test_what_was_never_seen_surprises(row: list[float], least: int) -> None:
    marks = CHECK.marks(np.array([row], np.float32))
    mark = 0 if marks is None else int(marks[0])
    assert mark >= least if least else mark <= FLAG


def test_the_table_travels_and_refuses_what_it_cannot_be() -> None:
    assert parse_as(canonical(TABLE), GuardTable) == TABLE
    for bad in (
        {"levels": (-1, -1, -1)},
        {"levels": (500, 400, -1)},
        {"parents": (0, 0, 0, 9)},
        {"surprise": TABLE.surprise[:3]},
        {"edges": (("2", "1"), *TABLE.edges[1:])},
        {"refer_to": ""},
    ):
        with pytest.raises(InvalidInputError):
            msgspec.structs.replace(TABLE, **bad)
    for wish in ({}, {"flag_above": "0.4"}, {"flag_above": "1"}, {"flag_above": "0.99", "refer_above": "0.9"}):
        with pytest.raises(InvalidInputError):
            GuardWish(**wish)
    with pytest.raises(InvalidInputError, match="rows"):
        fit_guard(sample(500, 1), CONTRACT, WISH)


def test_fitting_is_repeatable_and_takes_columns_of_nothing() -> None:
    assert fit_guard(sample(ROWS, 1), CONTRACT, WISH) == TABLE
    empty = sample(2_000, 3)
    empty[:, 3] = np.nan
    empty[:, 2] = 1
    table = fit_guard(empty, CONTRACT, GuardWish(flag_above="0.99"))
    assert table.levels[1:] == (-1, -1)
    marks = GuardCheck(table).marks(np.array([[15_000, 40, 1, 0.01], [15_000, 40, 1, np.nan]], np.float32))
    assert marks is not None
    assert marks.tolist() == [FLAG, 0]


def guarded(**changes: Any) -> Release:
    release = release_of()
    monitors = msgspec.structs.replace(release.monitors, guard=msgspec.structs.replace(TABLE, **changes))
    return msgspec.structs.replace(release, monitors=monitors)


def served(**changes: Any) -> ServedModel:
    return make_ready(admitted(guarded(**changes)), OnnxRuntime())


USUAL = [15_000.0, 40.0, 1.0, 0.0]
STRANGE = [900_000.0, 19.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("levels", "mark", "decision"),
    [((0, -1, -1), "flag", None), ((0, 1, -1), "refer", "refer"), ((100_000, -1, -1), None, None)],
)
def test_an_answer_and_its_record_say_what_the_guard_said(
    levels: tuple[int, int, int], mark: str | None, decision: str | None
) -> None:
    house = House(served(levels=levels))
    with gateway(house) as desk:
        status, answer = desk.ask(question(USUAL))
        assert status == 200, answer
        assert answer["parameters"].get("guard") == mark
        plain = house.models[0].output.decide(np.array(answer["outputs"][0]["data"], np.float32))
        assert answer["outputs"][1]["data"] == ([decision] if decision else plain)
        stored = house.shard.reader().get(house.shard.size - 1)
        key = house.keys.by_key_id(bytes.fromhex(str(msgspec.json.decode(stored.leaf)["key_id"])))
        found = read_decision(stored, key)
        assert [(one.code, one.rule) for one in found.answer.reasons] == ([("guard", mark)] if mark else [])
        for rows in (1, 3):
            replay(found, house.models[0], rows)
        other = served(levels=(100_000, -1, -1) if mark else (0, 1, -1))
        object.__setattr__(other, "release_digest", house.models[0].release_digest)
        with pytest.raises(TamperedError, match="guard"):
            replay(found, other)


def test_of_many_rows_each_has_its_own_mark_and_one_refused_refuses_all() -> None:
    with gateway(House(served(levels=(TABLE.levels[0], TABLE.levels[1], -1)))) as desk:
        rows = {"name": "x", "shape": [3, 4], "datatype": "FP32", "data": USUAL + STRANGE + USUAL}
        subjects = {"name": SUBJECT_TENSOR, "shape": [3], "datatype": "BYTES", "data": ["a", "b", "c"]}
        many = {"inputs": [rows, subjects], "parameters": {"purpose": "credit-decision", "jurisdiction": "EU"}}
        status, answer = desk.ask(many)
        assert status == 200, answer
        assert answer["parameters"]["guard"] == '["","refer",""]'
        assert answer["outputs"][1]["data"][1] == "refer"
    with gateway(House(served(levels=(-1, -1, TABLE.levels[1])))) as desk:
        status, answer = desk.ask(many)
        assert (status, answer["rule"]) == (403, "guard")
        assert answer["decision_id"], "a refusal is recorded"
        assert desk.ask(question(USUAL))[0] == 200


def test_a_guard_of_other_features_is_not_served() -> None:
    narrow = fit_guard(
        sample(2_000, 4)[:, :3], InputContract(tensor="x", features=FEATURES[:3]), GuardWish(flag_above="0.9")
    )
    release = release_of()
    monitors = msgspec.structs.replace(release.monitors, guard=narrow)
    with pytest.raises(EvidenceError, match="guard"):
        make_ready(admitted(msgspec.structs.replace(release, monitors=monitors)), OnnxRuntime())


def test_a_release_without_a_guard_keeps_its_bytes() -> None:
    assert b"guard" not in canonical(release_of())
    assert make_ready(admitted(release_of()), OnnxRuntime()).guard is None
