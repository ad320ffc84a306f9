"""The clock is set forward, and back again: expired metadata stops the answers, and nothing revives it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.adapters.keys.keyring import KeyFile
from strongroom.adapters.releases.trusted_state_files import read_state
from strongroom.errors import ExpiredError
from strongroom.ledger.leaf import Leaf
from strongroom.serving.steady_clock import SteadyClock
from strongroom.wiring.admitting import Admission
from strongroom.wiring.node import NodeLayout
from strongroom.wiring.refreshing import Refresher
from tests.serving.house import now_us
from tests.web.gateways import gateway, question
from tests.web.nodes import PASSPHRASE, make

HOUR_US = 3_600_000_000


@given(st.lists(st.integers(0, 1000)), st.integers(0, 500))
def test_a_steady_clock_never_runs_back(walls: list[int], floor: int) -> None:
    told = iter(walls)
    clock = SteadyClock(lambda: next(told), floor)
    seen = [clock() for _ in walls]
    assert seen == [max([floor, *walls[: place + 1]]) for place in range(len(walls))]


def test_metadata_that_expired_stays_expired_when_the_clock_is_set_back() -> None:
    begun = now_us()
    wall = [begun]
    with gateway(clock_us=SteadyClock(lambda: wall[0])) as desk:
        rules = desk.gateway.rules
        catalogue = replace(rules.catalogue, fresh_until_us=begun + HOUR_US)
        desk.run.call(desk.gateway.swap, replace(rules, catalogue=catalogue))
        assert desk.ask(question())[0] == 200
        size = desk.house.shard.size
        for moment in (begun + HOUR_US, begun + 1000 * HOUR_US, begun, begun - 1000 * HOUR_US, 0):
            wall[0] = moment
            status, answer = desk.ask(question())
            assert (status, answer["rule"]) == (503, "expired")
            assert "expired" in answer["error"]
            assert desk.raw("GET", "/v2/health/ready", headers={"Authorization": ""})[0] == 503
        assert desk.house.shard.size == size
        # fresh metadata is answered again, and its records do not claim an earlier time
        desk.run.call(desk.gateway.swap, rules)
        assert desk.ask(question())[0] == 200
        stored = desk.house.shard.reader().get(size)
        assert Leaf.decode(stored.leaf).time_us >= begun + 1000 * HOUR_US


def test_a_small_step_back_disturbs_nobody() -> None:
    wall = [now_us()]
    with gateway(clock_us=SteadyClock(lambda: wall[0])) as desk:
        assert desk.ask(question())[0] == 200
        wall[0] -= 5_000_000
        status, _, body = desk.raw("POST", "/v2/models/pd-cards/infer", json.dumps(question()).encode())
        assert status == 200, body


def test_a_node_that_starts_with_its_clock_set_back_admits_nothing_that_had_expired(tmp_path: Path) -> None:
    node = make(tmp_path)
    layout = NodeLayout(node.folder)
    settings = layout.read()
    ring = KeyFile.open(layout.keyring, PASSPHRASE)
    before = datetime.now(UTC)
    Refresher(layout, settings).refresh()
    expires = read_state(layout.trusted_state).expires
    assert Admission(layout, settings, ring).admit().catalogue.models
    # the repository is frozen; the refresher lives to see its metadata expire, and then the clock is set back
    with pytest.raises(ExpiredError):
        Refresher(layout, settings, clock=lambda: expires + timedelta(minutes=1)).refresh()
    with pytest.raises(ExpiredError):
        Admission(layout, settings, ring, clock=lambda: before).admit()
    with pytest.raises(ExpiredError):
        Refresher(layout, settings, clock=lambda: before).refresh()
