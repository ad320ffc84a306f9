"""CWE-770: one caller asks for more than its share. Its own answers get rarer, nobody else's."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

import msgspec

from strongroom.access.allowance import Allowance
from strongroom.access.grants import Grants
from strongroom.ledger.leaf import Leaf
from strongroom.serving.fair_queue import CALM_COST, REQUEST_COST
from strongroom.serving.limiter import LimitTable
from strongroom.serving.refusal_meter import RefusalMeter
from tests.serving.house import House, caller_key, now_us
from tests.waiting import PATIENCE_S
from tests.web.gateways import Desk, gateway, question
from tests.web.lines import read_reply
from tests.web.test_gateway import SlowShard

S = 1_000_000


class Bank(House):
    """Two callers of one model, each of a unit of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.api_key, greedy = caller_key("greedy")
        self.polite_key, polite = caller_key("polite")
        greedy = msgspec.structs.replace(greedy, units=("retail",))
        polite = msgspec.structs.replace(polite, units=("corporate",))
        self.grants = Grants(sequence=1, systems=(greedy, polite))


def polite(desk: Desk, document: object = None, **headers: str) -> tuple[int, dict[str, object]]:
    bearer = f"Bearer {desk.house.polite_key}"  # type: ignore[attr-defined]  # a Bank
    return desk.ask(document or question(), Authorization=bearer, **headers)


def stopped() -> Callable[[], int]:
    """A clock that stands, so that nothing is earned back while the test is slow."""
    at = now_us()
    return lambda: at


def test_a_rate_is_the_callers_own():
    table = LimitTable(systems={"greedy": Allowance(requests_per_s=1, burst=3)})
    with gateway(Bank(), table=table, clock_us=stopped()) as desk:
        answers = [desk.raw("POST", "/v2/models/pd-cards/infer", json.dumps(question()).encode()) for _ in range(8)]
        assert [status for status, _, _ in answers][:3] == [200] * 3
        refused = [(headers, json.loads(body)) for status, headers, body in answers if status == 429]
        assert len(refused) == 5
        assert all(int(headers[b"retry-after"]) >= 1 for headers, _ in refused)
        assert all(body["rule"] == "limit" and body["field"] == "requests_per_s" for _, body in refused)
        assert all(polite(desk)[0] == 200 for _ in range(8))
        assert desk.raw("GET", "/v2")[0] == 429, "other routes draw on the same account"
        # what was refused for a limit left no record of its own
        assert desk.house.shard.size == 11


def test_a_unit_at_its_limit_does_not_touch_another_and_is_not_named_to_it():
    table = LimitTable(units={"retail": Allowance(requests_per_s=1, burst=1)})
    with gateway(Bank(), table=table, clock_us=stopped()) as desk:
        assert desk.ask(question())[0] == 200
        status, body = desk.ask(question())
        assert (status, body["field"]) == (429, "requests_per_s")
        for _ in range(5):
            status, body = polite(desk)
            assert status == 200
            assert "retail" not in json.dumps(body)


def test_whoever_shares_a_model_learns_only_that_it_is_busy():
    house = Bank()
    house.shard = SlowShard(house.shard)
    table = LimitTable(models={"pd-cards": Allowance(concurrent=1)})
    with gateway(house, table=table) as desk:
        house.shard.gate.clear()
        first = threading.Thread(target=desk.ask, args=(question(subject="somebody"),))
        first.start()
        assert house.shard.entered.wait(PATIENCE_S)
        status, body = polite(desk)
        house.shard.gate.set()
        first.join(PATIENCE_S)
        assert status == 503
        said = json.dumps(body)
        for secret in ("greedy", "retail", "somebody", "1"):
            assert secret not in said
        assert polite(desk)[0] == 200


def test_a_greedy_crowd_does_not_delay_a_polite_caller_beyond_one_small_batch():
    house = Bank()
    house.shard = SlowShard(house.shard)
    crowd, each = 40, 16
    with gateway(house) as desk:
        house.shard.gate.clear()
        body = json.dumps(question()).encode()
        head = f"POST /v2/models/pd-cards/infer HTTP/1.1\r\nHost: h\r\nAuthorization: {desk.bearer}\r\n"
        message = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        socks = [desk.run.socket() for _ in range(crowd + 1)]
        socks[0].sendall(message)
        assert house.shard.entered.wait(PATIENCE_S)
        for sock in socks[1:]:
            sock.sendall(message * each)
        desk.run.until(lambda: desk.board.waiting >= crowd * each)
        assert desk.run.call(lambda: desk.board.waiting) == crowd * each
        found: list[object] = []
        waiter = threading.Thread(target=lambda: found.append(polite(desk, question())))
        waiter.start()
        desk.run.until(lambda: "polite" in desk.board._waiting._lines)
        house.shard.gate.set()
        waiter.join(PATIENCE_S)
        for sock in socks:
            sock.close()
        status, answer = found[0]  # type: ignore[misc]  # a pair
        assert status == 200
        leaves = [Leaf.decode(stored.leaf).decision_id for stored in house.shard.reader()]
        index = leaves.index(answer["parameters"]["decision_id"])
        small = CALM_COST // (1 + REQUEST_COST)
        assert index <= 1 + small < crowd * each


def test_refusals_cannot_fill_the_disk_and_a_reason_leaves_a_record():
    now = [1_700_000_000 * S]
    meter = RefusalMeter(3, 10 * S)
    with gateway(Bank(), meter=meter, clock_us=lambda: now[0]) as desk:
        wrong = question(jurisdiction="FR")
        answers = [desk.ask(wrong) for _ in range(10)]
        assert [status for status, _ in answers] == [403] * 3 + [429] * 7
        assert all("FR" not in body["error"] and "decision_id" not in body for _, body in answers[3:])
        bad = [desk.ask(question(row=[1.0, 5.0, 2.0, 0.0])) for _ in range(3)]
        assert [status for status, _ in bad] == [429] * 3, "found in the batch, counted like those found at the door"
        assert desk.house.shard.size == 3
        assert polite(desk, wrong)[0] == 403
        assert desk.ask(question())[0] == 200
        now[0] += 11 * S
        desk.run.call(desk.gateway.note_refusals)
        desk.ask(question())
        leaves = [Leaf.decode(stored.leaf) for stored in desk.house.shard.reader()]
        assert [leaf.type for leaf in leaves] == ["refusal"] * 4 + ["decision", "refusal", "decision"]


def test_slowing_down_is_for_one_caller():
    with gateway(Bank(), clock_us=stopped()) as desk:
        assert desk.ask(question())[0] == 200
        desk.run.call(desk.gateway.slow, "greedy", 30)
        status, headers, _ = desk.raw("POST", "/v2/models/pd-cards/infer", json.dumps(question()).encode())
        assert status == 429
        assert 25 <= int(headers[b"retry-after"]) <= 30
        assert polite(desk)[0] == 200


def test_an_answer_that_nobody_fetches_gives_its_place_back():
    table = LimitTable(systems={"greedy": Allowance(concurrent=2)})
    with gateway(Bank(), table=table) as desk:
        body = json.dumps(question()).encode()
        head = f"POST /v2/models/pd-cards/infer HTTP/1.1\r\nHost: h\r\nAuthorization: {desk.bearer}\r\n"
        for _ in range(6):
            with desk.run.socket() as sock:
                sock.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        # each was decided or refused, and is forgotten
        desk.run.until(lambda: desk.house.shard.size + sum(desk.tally.codes.values()) == 6)
        desk.run.until_connected(0)
        assert desk.ask(question())[0] == 200
        with desk.run.socket() as sock:
            sock.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            assert read_reply(sock)[0] == 200
