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


def turn(soon: list) -> None:
    """One turn of the loop: what it adds runs in the next one."""
    calls = list(soon)
    soon.clear()
    for call in calls:
        call()


def test_who_asks_again_in_the_turn_after_an_answer_travels_with_those_who_waited():
    model = served()
    house = House(model)
    sizes: list[int] = []
    jobs: list[tuple] = []
    soon: list = []

    class Later:
        def run(self, work, done):
            jobs.append((work, done))

    board = Board(house.decider(), Later(), soon.append, now_us, lambda error: None, sizes.append)
    caller = Caller()
    labels = Labels(purpose="credit-decision", jurisdiction="EU", environment="production")
    width = len(model.inputs.names)

    def ask(number: int) -> None:
        question = Question(1, np.zeros((1, width)), (f"s-{number}",), "credit-decision", "EU", None)
        board.board(Asked(caller, "loan-desk", labels, model.policy_digest, model, question))

    ask(0)
    turn(soon)
    assert sizes == [1]
    ask(1)
    work, done = jobs.pop()
    done(work(), None)
    assert len(caller.told) == 1
    assert not jobs, "the sockets are read once before the next batch departs"
    turn(soon)
    ask(2)
    turn(soon)
    assert sizes == [1, 2]
    work, done = jobs.pop()
    done(work(), None)
    assert len(caller.told) == 3
    turn(soon)
    turn(soon)
    idle: list[int] = []
    board.when_idle(lambda: idle.append(1))
    assert idle


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
    turn(soon)
    while jobs:
        work, done = jobs.pop()
        committed = work()
        assert committed.appended is not None
        done(committed, None)
        turn(soon)
        turn(soon)
    assert len(caller.told) == 6
    assert house.shard.size == 6 * rows
    # nine units a row: three requests are within the limit, four are not
    assert rows * 9 * 3 <= ROWS_A_BATCH < rows * 9 * 4
    assert sizes == [3, 3]
    largest = max(len(stored.payload or b"") for stored in house.shard.reader())
    assert largest < 9 * 2048, "a unit of weight stands for at most 2 KiB"
