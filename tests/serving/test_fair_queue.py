"""Who travels next: a plain line while there is room, turns by principal otherwise, and nobody waits for ever."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import TooLargeError, TooManyRequestsError, UnavailableError
from strongroom.sealing.records import Labels
from strongroom.serving.asked import Asked
from strongroom.serving.fair_queue import CALM_COST, QUANTUM, REQUEST_COST, FairQueue, Room
from strongroom.vocabulary import Digest

LABELS = Labels(purpose="p", jurisdiction="EU", environment="production")
BATCH_ROWS = 8192
LARGEST = 600


class Nobody:
    def answered(self, answered):
        raise AssertionError

    def refused(self, error, decision_id):
        raise AssertionError


def asked(principal: str, weight: int = 1) -> Asked:
    made = Asked(Nobody(), principal, LABELS, Digest("0" * 64), None, None)
    made.weight = weight
    return made


def queue(requests: int = 100_000, rows: int = 1_000_000) -> FairQueue:
    return FairQueue(Room(requests, rows), BATCH_ROWS)


def fill(line: FairQueue, principal: str, times: int, weight: int = 1) -> None:
    for _ in range(times):
        line.push(asked(principal, weight))


def test_while_there_is_room_it_is_a_plain_line():
    line = queue()
    come = [asked(name) for name in ("a", "b", "a", "c")]
    for one in come:
        line.push(one)
    assert len(line) == 4
    assert line.take() == come
    assert len(line) == line.rows == 0


def test_one_caller_alone_fills_batches_as_before():
    line = queue()
    come = [asked("a") for _ in range(10_000)]
    for one in come:
        line.push(one)
    gone: list[Asked] = []
    while len(line):
        batch = line.take()
        assert len(batch) == min(BATCH_ROWS // (1 + REQUEST_COST), 10_000 - len(gone))
        gone += batch
    assert gone == come


def test_a_batch_takes_from_everybody_who_waits():
    line = queue()
    for _ in range(5000):
        line.push(asked("greedy"))
    for number in range(20):
        line.push(asked(f"polite-{number}"))
    names = {one.principal for one in line.take()}
    assert names == {"greedy", *(f"polite-{number}" for number in range(20))}


def test_shares_follow_the_weights():
    line = queue()
    line.weigh({"gold": 3})
    for _ in range(4000):
        line.push(asked("gold"))
        line.push(asked("base"))
    seen: Counter[str] = Counter()
    for _ in range(10):
        seen.update(one.principal for one in line.take())
    assert 2.5 < seen["gold"] / seen["base"] < 3.5


def test_the_room_is_bounded_and_says_whose_limit_it_is():
    line = queue(requests=1000)
    with pytest.raises(TooManyRequestsError) as own:
        fill(line, "greedy", 2000)
    assert own.value.details["rule"] == "queue-share"
    assert len(line) <= 600
    line.push(asked("polite"))
    for number in range(1000 - len(line)):
        line.push(asked(f"caller-{number}"))
    with pytest.raises(UnavailableError) as full:
        line.push(asked("late"))
    assert full.value.details["rule"] == "queue"
    assert len(line) == 1000
    with pytest.raises(TooLargeError):
        line.push(asked("polite", 1_000_001))


def test_rows_are_bounded_too():
    line = queue(rows=10_000)
    with pytest.raises(TooManyRequestsError):
        fill(line, "greedy", 100, 500)
    assert line.rows <= 5_500
    line.push(asked("polite", 500))


def test_nobody_is_owed_for_a_time_when_they_asked_nothing():
    line = queue()
    for _ in range(3000):
        line.push(asked("a"))
    for _ in range(2):
        line.take()
    for _ in range(3000):
        line.push(asked("b"))
    batch = Counter(one.principal for one in line.take())
    assert abs(batch["a"] - batch["b"]) <= QUANTUM


ARRIVALS = st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, LARGEST)), min_size=1, max_size=120)


@given(ARRIVALS, st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 5)), st.integers(0, 3))
def test_everybody_who_waits_is_served_within_a_bounded_amount_of_work(arrivals, weights, takes):
    """Between two turns of one line every other line sends at most its quantum and what one request is larger."""
    line = queue()
    line.weigh(weights)
    order: dict[str, list[Asked]] = {}
    pushed = 0
    for place, (name, weight) in enumerate(arrivals):
        one = asked(name, weight)
        line.push(one)
        order.setdefault(name, []).append(one)
        pushed += 1
        if place % 17 == takes:
            for gone in line.take():
                assert order[gone.principal].pop(0) is gone, "each principal's requests keep their order"
                pushed -= 1
    bound = sum(
        (QUANTUM * weights.get(name, 1) + LARGEST + REQUEST_COST)
        * (1 + (LARGEST + REQUEST_COST) // (QUANTUM * min(weights.values(), default=1)))
        for name in "abcdef"
    )
    work_since = dict.fromkeys([name for name, left in order.items() if left], 0)
    while len(line):
        batch = line.take()
        assert batch
        assert sum(one.weight for one in batch) <= max(BATCH_ROWS, batch[0].weight)
        for gone in batch:
            assert order[gone.principal].pop(0) is gone
            pushed -= 1
            work_since[gone.principal] = 0
            for name in work_since:
                if name != gone.principal and order[name]:
                    work_since[name] += gone.weight + REQUEST_COST
                    assert work_since[name] <= bound
    assert pushed == 0
    assert line.rows == 0


@given(ARRIVALS)
def test_what_is_cleared_is_everything(arrivals):
    line = queue()
    come = [asked(name, weight) for name, weight in arrivals]
    for one in come:
        line.push(one)
    left = line.clear()
    assert sorted(map(id, left)) == sorted(map(id, come))
    assert len(line) == line.rows == 0
    assert sum(one.weight + REQUEST_COST for one in come) <= CALM_COST or len(left) == len(come)
