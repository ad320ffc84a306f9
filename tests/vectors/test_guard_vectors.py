"""The guard's part of `release.json`: surprises and marks computed by hand from a small table."""

from __future__ import annotations

import json

import msgspec
import numpy as np

from strongroom.registry.guard import GuardTable
from strongroom.serving.guard import GuardCheck, names_of
from tests.vectors.make_release import FILE

VECTORS = json.loads(FILE.read_text())["guard"]
CHECK = GuardCheck(msgspec.convert(VECTORS["table"], GuardTable))
ROWS = np.array([one["values"] for one in VECTORS["rows"]], np.float32)  # null becomes NaN
MARKS = [one["mark"] for one in VECTORS["rows"]]


def test_surprises_are_those_computed_by_hand_alone_and_together() -> None:
    wanted = [one["surprise"] for one in VECTORS["rows"]]
    assert CHECK.surprise(ROWS).tolist() == wanted
    assert [int(CHECK.surprise(ROWS[place : place + 1])[0]) for place in range(len(ROWS))] == wanted


def test_marks_are_those_of_the_highest_level_that_a_row_is_above() -> None:
    marks = CHECK.marks(ROWS)
    assert marks is not None
    assert names_of(marks) == MARKS
    assert set(MARKS) == {"", "flag", "refer", "refuse"}
    for place, mark in enumerate(MARKS):
        alone = CHECK.marks(ROWS[place : place + 1])
        assert (names_of(alone)[0] if alone is not None else "") == mark
