"""Input and output contracts, in batches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import InvalidInputError, UnavailableError
from strongroom.registry.contract import CutOff, InputContract, OutputContract
from strongroom.serving.contract_check import InputCheck, OutputCheck
from tests.serving.house import FEATURES, GOOD, feature

CHECK = InputCheck(InputContract(tensor="x", features=FEATURES))
CUTS = (CutOff(decision="a", below="0.1"), CutOff(decision="b", below="0.5"), CutOff(decision="c"))


@pytest.mark.parametrize(
    ("place", "value", "rule"),
    [
        (0, -1.0, "range"), (0, 1e6 + 1, "range"), (0, float("nan"), "missing"), (0, float("inf"), "finite"),
        (0, 1e39, "finite"), (1, 40.5, "whole-number"), (1, 17, "range"), (1, 1e300, "finite"), (2, 4, "allowed"),
        (2, 2.5, "whole-number"), (2, -1e18, "allowed"), (3, 0.2, "range"), (3, -float("inf"), "finite"),
    ],
)  # fmt: skip
def test_names_the_field_and_the_rule(place, value, rule):
    rows = np.array([GOOD, GOOD, GOOD])
    rows[1, place] = value
    _, faults = CHECK.check(rows)
    assert [(fault.row, fault.field, fault.rule) for fault in faults] == [(1, FEATURES[place].name, rule)]
    assert str(value) not in faults[0].message


def test_a_value_equal_to_its_bound_passes_in_either_width():
    row = [*GOOD[:3], 0.1]
    assert CHECK.check(np.array([row]))[1] == []
    assert CHECK.check(np.array([row], np.float32))[1] == []


def test_missing_passes_only_where_the_contract_says_nan():
    matrix, faults = CHECK.check(np.array([[*GOOD[:3], float("nan")]]))
    assert faults == []
    assert np.isnan(matrix[0, 3])


def test_codes_far_apart_are_checked_too():
    check = InputCheck(InputContract(tensor="x", features=(feature("code", "category", allowed=(1, 100_000)),)))
    assert [fault.row for fault in check.check(np.array([[1.0], [100_000], [2], [float("nan")]]))[1]] == [2, 3]


@given(st.lists(st.lists(st.floats(width=32), min_size=4, max_size=4), min_size=1, max_size=5))
def test_agrees_with_a_slow_reading_of_the_contract(rows):
    faults = {fault.row for fault in CHECK.check(np.array(rows, np.float32))[1]}
    for place, row in enumerate(rows):
        limit, age, status, ratio = row
        good = (
            0 <= limit <= 1e6 and 18 <= age <= 120 and age == int(age) and status in (1, 2, 3)
            and (np.isnan(ratio) or -1 <= ratio <= np.float32(0.1))
        )  # fmt: skip
        assert (place not in faults) == good


OUTPUT = OutputCheck(OutputContract(tensor="p", name="pd", unit="1", minimum="0", maximum="1"), CUTS)


def test_scores_are_taken_from_the_contracts_column():
    assert OUTPUT.scores(np.array([[0.1, 0.9]], np.float32), 1).tolist() == [np.float32(0.9)]


@pytest.mark.parametrize(
    "output", [np.zeros((2, 2), np.float32), np.zeros((1, 1), np.float32), np.zeros((1, 2)), np.zeros(1, np.float32)]
)
def test_an_output_of_another_shape_or_type_is_no_answer(output):
    with pytest.raises(UnavailableError, match="type or shape"):
        OUTPUT.scores(output, 1)


def test_scores_outside_the_contract_are_not_good():
    scores = np.array([0.5, np.nan, np.inf, -0.1, 1.0, 1.0001], np.float32)
    assert OUTPUT.good(scores).tolist() == [True, False, False, False, True, False]


def test_a_decision_is_taken_below_its_cut_off():
    assert OUTPUT.decide(np.array([0.0, 0.09, 0.2, 0.5, 1.0], np.float32)) == ["a", "a", "b", "c", "c"]


def test_a_kind_that_decides_nothing_is_served_with_one_word_and_its_own_range():
    output = OutputContract(
        tensor="variable", name="lgd", unit="share of exposure", minimum="-0.5", maximum="1.5", column=0
    )
    check = OutputCheck(output, (CutOff(decision="estimate"),))
    scores = np.array([-0.5, 0.2, 1.5, -0.51, 1.51, np.nan], np.float32)
    assert check.good(scores).tolist() == [True, True, True, False, False, False]
    assert check.decide(scores[:3]) == ["estimate"] * 3


@pytest.mark.parametrize(
    "cuts",
    [
        (),
        (CutOff(decision="accept", below="0.2"),),
        (CutOff(decision="refuse"), CutOff(decision="accept", below="0.2")),
        (CutOff(decision="a", below="0.3"), CutOff(decision="b", below="0.2"), CutOff(decision="c")),
        (CutOff(decision="a", below="0.2"), CutOff(decision="b", below="0.2"), CutOff(decision="c")),
    ],
)
def test_cut_offs_that_leave_a_score_without_a_decision_are_not_made_ready(cuts: tuple[CutOff, ...]) -> None:
    output = OutputContract(tensor="p", name="pd", unit="1", minimum="0", maximum="1")
    with pytest.raises(InvalidInputError, match="no decision to some scores"):
        OutputCheck(output, cuts)
