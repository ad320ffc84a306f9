"""Leaks of time in samples of loans: planted ones are found, sound samples are quiet, silence is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.registry.contract import ModelContract
from strongroom.registry.kinds import OutcomeDefinition
from strongroom.validation.batteries.scored import Scored
from strongroom.validation.batteries.time_order import time_tests
from strongroom.validation.battery_rules import judge
from strongroom.validation.catalogue import Basis
from strongroom.validation.default_rules import RULES
from strongroom.validation.results import TestResult as Result
from strongroom.validation.statistics.moments import Leaks, leaks
from strongroom.vocabulary import digest_of
from tests.validation.worked import contract

NAMES = {"time": "seen", "outcome_time": "defaulted", "inputs_time": "fed"}
ROLES = ("development", "reference", "validation")
ROWS = 200


def about(names: Mapping[str, str] = NAMES) -> ModelContract:
    outcome = OutcomeDefinition(meaning="default", window="12 months", **names)  # type: ignore[arg-type]
    return msgspec.structs.replace(contract(("a",), "Cards", "cards"), outcome=outcome)


def samples(**changes: Any) -> tuple[Scored, ...]:
    """Observed one after the other, defaults within the year, inputs up to a month old; `changes` by role."""
    found = []
    for place, role in enumerate(ROLES):
        random = np.random.default_rng(place)
        seen = 1000.0 * place + random.integers(0, 900, ROWS)
        outcome = (np.arange(ROWS) % 5 == 0).astype(np.int64)
        columns = {
            "time": seen,
            "outcome_time": np.where(outcome == 1, seen + random.integers(1, 366, ROWS), np.nan),
            "inputs_time": seen - random.integers(0, 31, ROWS),
        }
        columns = {**columns, **changes.get(role, dict)(columns)} if role in changes else columns
        columns = {name: values for name, values in columns.items() if values is not None}
        basis = Basis(role, digest_of(role.encode()), ROWS)
        found.append(Scored(basis, np.zeros((ROWS, 1), np.float32), np.zeros(ROWS, np.float32), outcome, columns))
    return tuple(found)


def found(model: ModelContract | None = None, **changes: Any) -> dict[str, Result]:
    return {test.id: test for test in time_tests(*samples(**changes), model or about())}


def put(name: str, values: Any, rows: int) -> Any:
    def change(columns: Mapping[str, Any]) -> dict[str, Any]:
        made = columns[name].copy()
        made[:rows] = values(columns)[:rows] if callable(values) else values
        return {name: made}

    return change


def test_a_sound_sample_is_quiet() -> None:
    tests = found()
    assert set(tests) == {"data.time-order", *(f"data.time-leaks/{role}" for role in ROLES)}
    assert {test.figure for test in tests.values()} == {"0"}
    assert ("defaults without a time", "0") in [(d.name, d.value) for d in tests["data.time-leaks/validation"].details]


@pytest.mark.parametrize("role", ROLES)
def test_an_outcome_that_was_there_already_is_found_and_judged(role: str) -> None:
    test = found(**{role: put("outcome_time", lambda columns: columns["time"], 11)})[f"data.time-leaks/{role}"]
    assert test.figure == "11", "the ten others did not default, and had a default before"
    assert test.sample == role
    for kind in ("pd", "lgd", "ead"):
        rules = [one for line in RULES[kind] for one in line if one is not None and one.test == test.rule]  # type: ignore[index]
        assert [judge(test, rule).verdict for rule in rules] == ["amber"] * 3


def test_an_input_from_after_the_observation_is_found() -> None:
    tests = found(validation=put("inputs_time", lambda columns: columns["time"] + 1.0, 7))
    assert tests["data.time-leaks/validation"].figure == "7"
    assert "7 an input that is newer" in tests["data.time-leaks/validation"].sentence
    assert tests["data.time-leaks/development"].figure == "0"


def test_development_rows_after_the_validation_sample_are_found() -> None:
    tests = found(development=put("time", 5000.0, 3))
    assert tests["data.time-order"].figure == "3"
    assert "not out of time" in tests["data.time-order"].sentence


@pytest.mark.parametrize(
    ("names", "order", "leak"),
    [
        ({}, "`time` in [outcome]", "`time` in [outcome]"),
        ({"time": "seen"}, None, "`outcome_time` in [outcome]"),
        ({"outcome_time": "defaulted"}, "`time` in [outcome]", "`time` in [outcome]"),
    ],
)
def test_a_contract_that_names_no_columns_is_told_which(names: dict[str, str], order: str | None, leak: str) -> None:
    tests = found(about(names))
    assert set(tests) == {"data.time-order", "data.time-leaks"}
    assert (tests["data.time-order"].reason is None) if order is None else order in str(tests["data.time-order"].reason)
    assert leak in str(tests["data.time-leaks"].reason)
    # a model that says nothing of its outcome says nothing of times
    silent = time_tests(*samples(), msgspec.structs.replace(about(), outcome=msgspec.UNSET))
    assert all(test.figure is None for test in silent)


def test_a_sample_without_the_column_or_without_times_says_so() -> None:
    tests = found(development=lambda _: {"time": None}, reference=lambda _: {"outcome_time": None, "inputs_time": None})
    assert "development sample has no column `seen`" in str(tests["data.time-order"].reason)
    assert "development sample has no column `seen`" in str(tests["data.time-leaks/development"].reason)
    assert "no row of the reference sample" in str(tests["data.time-leaks/reference"].reason)
    assert tests["data.time-leaks/validation"].figure == "0"
    gaps = found(validation=put("time", np.nan, 2))
    assert "in 2 rows" in str(gaps["data.time-order"].reason)
    assert gaps["data.time-leaks/validation"].figure == "0"
    undated = found(validation=put("outcome_time", np.nan, 100))["data.time-leaks/validation"]
    assert ("defaults without a time", "20") in [(d.name, d.value) for d in undated.details]


MOMENT = st.one_of(st.just(float("nan")), st.integers(-3, 3).map(float))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(MOMENT, MOMENT, MOMENT), max_size=12), st.integers(1, 5), st.integers(-9, 9))
def test_leaks_are_those_counted_by_hand_and_know_no_unit(rows: list[Any], scale: int, shift: int) -> None:
    by_hand = Leaks(
        sum(came <= at for at, came, _ in rows), sum(known > at for at, _, known in rows),
        sum(came <= at or known > at for at, came, known in rows),
        sum(at == at and (came == came or known == known) for at, came, known in rows),
    )  # fmt: skip
    columns = np.array(rows, dtype=np.float64).reshape(-1, 3).T
    assert leaks(*columns) == by_hand
    assert leaks(*(scale * columns + shift)) == by_hand


def test_columns_of_other_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="one length"):
        leaks([1.0], [1.0, 2.0], [1.0])
