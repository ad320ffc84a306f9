"""What travels together: bounded by what one write of the log can take."""

from __future__ import annotations

import numpy as np

from strongroom.sealing.records import Labels
from strongroom.serving.asked import Asked
from strongroom.serving.batching import ROWS_A_BATCH, Board
from strongroom.serving.question import Question
from tests.serving.house import House, feature, now_us, served


class Caller:
    def __init__(self) -> None:
        self.told: list[object] = []

    def answered(self, answered):
        self.told.append(answered)

    def refused(self, error, decision_id):
        self.told.append(error)


def test_wide_rows_travel_in_smaller_batches():
    width = 1024
    model = served(features=tuple(feature(f"f{n}") for n in range(width)), max_rows=2000)
    house = House(model)
    sizes: list[int] = []
    jobs: list[tuple] = []

    class Later:
        def run(self, work, done):
            jobs.append((work, done))

    soon: list = []
    board = Board(house.decider(), Later(), soon.append, now_us, lambda error: None, sizes.append)
    caller = Caller()
    labels = Labels(purpose="credit-decision", jurisdiction="EU", environment="production")
    rows = 300
    for number in range(6):
        values = np.zeros((rows, width))
        subjects = tuple(f"s-{number}-{row}" for row in range(rows))
        question = Question(rows, values, subjects, "credit-decision", "EU", None)
        board.board(Asked(caller, "loan-desk", labels, model.policy_digest, model, question))
    soon.pop()()
    while jobs:
        work, done = jobs.pop()
        committed = work()
        assert committed.appended is not None
        done(committed, None)
    assert len(caller.told) == 6
    assert house.shard.size == 6 * rows
    # nine units a row: three requests are within the limit, four are not
    assert rows * 9 * 3 <= ROWS_A_BATCH < rows * 9 * 4
    assert sizes == [3, 3]
    largest = max(len(stored.payload or b"") for stored in house.shard.reader())
    assert largest < 9 * 2048, "a unit of weight stands for at most 2 KiB"
