"""Rates, sizes and concurrency: exact, all or nothing, and without a word about others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.access.allowance import Allowance
from strongroom.access.principals import Principal
from strongroom.errors import TooLargeError, TooManyRequestsError, UnavailableError
from strongroom.serving.limiter import Bucket, Limiter, LimitTable
from strongroom.vocabulary import PersonId

S = 1_000_000
START = 1_700_000_000 * S


def who(name: str = "desk", *units: str, models: tuple[str, ...] = ("pd-cards",)) -> Principal:
    return Principal(PersonId(name), "Service", frozenset({"caller"}), frozenset(units), {"models": frozenset(models)})


def limiter(workers: int = 1, **tables: dict[str, Allowance]) -> Limiter:
    made = Limiter(workers)
    made.learn(LimitTable(**tables))
    return made


STEPS = st.lists(st.tuples(st.integers(0, 3 * S), st.integers(1, 40)), max_size=80)


@given(st.integers(1, 50), st.integers(1, 60), STEPS)
def test_a_bucket_never_lets_in_more_than_its_rate_and_one_burst(rate, burst, steps):
    """Over every span of time; a request larger than the burst counts once beside it."""
    bucket, now = Bucket(rate, burst), START
    let_in: list[tuple[int, int]] = []
    for pause, cost in steps:
        now += pause
        if bucket.wait_us(cost, now) == 0:
            bucket.charge(cost, now)
            let_in.append((now, cost))
    for first in range(len(let_in)):
        total = 0
        for at, cost in let_in[first:]:
            total += cost
            largest = max(c for _, c in let_in)
            assert total * S <= (at - let_in[first][0]) * rate + (burst + max(largest, burst)) * S


@given(st.integers(1, 1000), st.integers(1, 1000), st.integers(1, 3000), st.integers(0, 5 * S))
def test_whoever_waits_as_long_as_told_is_let_in_and_not_a_microsecond_earlier(rate, burst, cost, used_us):
    bucket = Bucket(rate, burst)
    bucket.charge(burst, START)
    now = START + used_us
    wait = bucket.wait_us(cost, now)
    assert bucket.wait_us(cost, now + wait) == 0
    if wait:
        assert bucket.wait_us(cost, now + wait - 1) > 0


def test_nobody_is_limited_who_is_not_named():
    house = limiter(systems={"other": Allowance(requests_per_s=1)})
    assert not Limiter().active
    for _ in range(100):
        house.board(house.enter(who(), 10**6, START), "pd-cards", who(), 10**6, START).charge_rows(10**6, START)


def test_requests_a_second_with_their_burst():
    house = limiter(systems={"desk": Allowance(requests_per_s=2, burst=4)})
    for _ in range(4):
        house.enter(who(), 0, START)
    with pytest.raises(TooManyRequestsError) as refused:
        house.enter(who(), 0, START)
    assert refused.value.details["retry_after_s"] == 1
    assert refused.value.details["field"] == "requests_per_s"
    house.enter(who(), 0, START + S // 2)
    with pytest.raises(TooManyRequestsError):
        house.enter(who(), 0, START + S // 2)
    house.enter(who("polite"), 0, START)


def test_requests_at_a_time_until_they_have_their_answer():
    house = limiter(systems={"desk": Allowance(concurrent=2)})
    tickets = [house.board(house.enter(who(), 0, START), "pd-cards", who(), 0, START) for _ in range(2)]
    with pytest.raises(TooManyRequestsError):
        house.enter(who(), 0, START)
    tickets[0].leave()
    tickets[0].leave()
    house.board(house.enter(who(), 0, START), "pd-cards", who(), 0, START)
    with pytest.raises(TooManyRequestsError):
        house.enter(who(), 0, START)


def test_a_refusal_by_one_account_takes_nothing_from_another():
    house = limiter(systems={"a": Allowance(requests_per_s=5)}, units={"retail": Allowance(requests_per_s=1)})
    house.enter(who("b", "retail"), 0, START)
    for _ in range(20):
        with pytest.raises(TooManyRequestsError):
            house.enter(who("a", "retail"), 0, START)
    for _ in range(5):
        house.enter(who("a"), 0, START)


def test_rows_and_sizes():
    house = limiter(systems={"desk": Allowance(rows=100, rows_per_s=50, body_bytes=1000, bytes_per_s=1500)})
    with pytest.raises(TooLargeError):
        house.enter(who(), 1001, START)
    ticket = house.board(house.enter(who(), 1000, START), "pd-cards", who(), 1000, START)
    with pytest.raises(TooManyRequestsError):
        house.enter(who(), 1000, START)
    with pytest.raises(TooLargeError):
        ticket.charge_rows(101, START)
    ticket.charge_rows(100, START)
    with pytest.raises(TooManyRequestsError) as refused:
        ticket.charge_rows(1, START)
    assert refused.value.details["retry_after_s"] == 2
    ticket.charge_rows(1, START + 1_020_000)


def test_a_models_limit_is_the_houses_and_hidden_from_those_who_may_not_use_it():
    house = limiter(models={"pd-cards": Allowance(concurrent=1)})
    ticket = house.board(house.enter(who(), 0, START), "pd-cards", who(), 0, START)
    with pytest.raises(UnavailableError) as refused:
        house.board((), "pd-cards", who("other"), 0, START)
    assert "desk" not in refused.value.message
    stranger = who("stranger", models=())
    house.board((), "pd-cards", stranger, 0, START)
    ticket.leave()
    house.board((), "pd-cards", who("other"), 0, START)


def test_workers_divide_a_limit_and_each_has_at_least_one():
    house = limiter(4, systems={"desk": Allowance(requests_per_s=1, burst=6, concurrent=2)})
    for _ in range(2):
        house.enter(who(), 0, START)
    with pytest.raises(TooManyRequestsError):
        house.enter(who(), 0, START)


def test_new_limits_forget_nothing_that_was_used():
    house = limiter(systems={"desk": Allowance(requests_per_s=10, concurrent=5)})
    tickets = [house.board(house.enter(who(), 0, START), "pd-cards", who(), 0, START) for _ in range(5)]
    house.learn(LimitTable(systems={"desk": Allowance(requests_per_s=10, concurrent=6)}))
    house.board(house.enter(who(), 0, START), "pd-cards", who(), 0, START)
    with pytest.raises(TooManyRequestsError):
        house.enter(who(), 0, START)
    for ticket in tickets:
        ticket.leave()
    for _ in range(4):
        house.enter(who(), 0, START)
    with pytest.raises(TooManyRequestsError) as refused:
        house.enter(who(), 0, START)
    assert refused.value.details["field"] == "requests_per_s"
    house.learn(None)
    assert not house.active


def test_slowing_down_ends_by_itself_and_is_bounded():
    house = Limiter()
    house.slow("desk", 10**9, START)
    assert house.active
    with pytest.raises(TooManyRequestsError) as refused:
        house.enter(who(), 0, START)
    assert refused.value.details["retry_after_s"] == 3600
    house.enter(who("other"), 0, START)
    house.enter(who(), 0, START + 3600 * S)
    for number in range(20_000):
        house.slow(f"n-{number}", 5, START)
    assert len(house._slow) <= 10_000


def test_the_shortest_wait_counts():
    house = limiter(systems={"desk": Allowance(wait_ms=50)}, models={"pd-cards": Allowance(wait_ms=20)})
    ticket = house.board(house.enter(who(), 0, START), "pd-cards", who(), 0, START)
    assert ticket.wait_us(0) == ticket.wait_us(90_000) == 20_000
    assert ticket.wait_us(10_000) == 10_000
