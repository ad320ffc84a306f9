"""Answers of several values a row become one list a row, so that explained answers are a table too."""

from __future__ import annotations

from strongroom.adapters.client import _by_row


def test_reason_codes_are_a_list_a_row_without_their_padding() -> None:
    codes = {"name": "reason_codes", "datatype": "BYTES", "shape": [2, 3], "data": ["R1", "R2", "", "", "", ""]}
    assert _by_row(codes, 2) == [["R1", "R2"], []]
    one = {"name": "reason_codes", "datatype": "BYTES", "shape": [2, 1], "data": ["R1", ""]}
    assert _by_row(one, 2) == [["R1"], []]


def test_contributions_keep_every_number_and_scores_stay_plain() -> None:
    values = {"name": "contributions", "datatype": "FP64", "shape": [2, 2], "data": [0.0, 1.0, -1.0, 0.5]}
    assert _by_row(values, 2) == [[0.0, 1.0], [-1.0, 0.5]]
    for shape in ([2], [2, 1]):
        assert _by_row({"name": "pd", "datatype": "FP32", "shape": shape, "data": [0.1, 0.2]}, 2) == [0.1, 0.2]
