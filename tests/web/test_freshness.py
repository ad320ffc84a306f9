"""A release repository that is not renewed: told in time, counted down in the metrics, named by the health route."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from strongroom.adapters.releases.trusted_state_files import read_state, write_state
from strongroom.errors import UnavailableError
from strongroom.monitoring.counters import Counters
from strongroom.serving.admission_ports import TrustedState
from strongroom.serving.rules import closed
from strongroom.vocabulary import instant
from strongroom.web.exposition import render
from strongroom.web.serve import Supervisor
from strongroom.web.snapshots import snapshot
from strongroom.wiring import refreshing
from strongroom.wiring.node import NodeLayout
from strongroom.wiring.refreshing import Refresher
from tests.serving.house import now_us
from tests.web.gateways import gateway
from tests.web.nodes import PASSPHRASE, make

GAUGE = b"strongroom_release_fresh_until_seconds"


def figures(slot: int, fresh_until_us: int) -> bytes:
    return snapshot(slot, True, 0, [], Counters(), [], fresh_until_us)


def test_the_gauge_tells_when_the_first_worker_falls_silent() -> None:
    text = render([figures(0, 1_800_000_000_500_000), figures(1, 1_700_000_000_000_000), figures(2, 0)])
    assert GAUGE + b" 1.7e+09\n" in text
    assert GAUGE not in render([figures(0, 0)])
    assert GAUGE not in render([])


@pytest.fixture(scope="module")
def desk():
    with gateway() as made:
        yield made


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"fresh_until_us": 1}, "the release metadata has expired and could not be refreshed"),
        ({"halted": {"pd-cards": "ann: odd scores"}}, "no model is released here that is not halted"),
        ({"models": {}}, "no model is released here that is not halted"),
        ({"trouble": "model `pd-cards` is wrong"}, "no release is in force"),
    ],
)
def test_the_health_route_says_why_it_is_not_ready_and_names_no_model(desk, change, reason) -> None:
    rules = desk.gateway.rules
    desk.run.call(desk.gateway.swap, replace(rules, catalogue=replace(rules.catalogue, **change)))
    try:
        status, headers, body = desk.raw("GET", "/v2/health/ready", headers={"Authorization": ""})
    finally:
        desk.run.call(desk.gateway.swap, rules)
    assert status == 503
    assert headers[b"retry-after"] == b"1"
    assert json.loads(body) == {"live": True, "ready": False, "reason": reason}
    status, _, body = desk.raw("GET", "/v2/health/ready", headers={"Authorization": ""})
    assert (status, json.loads(body)) == (200, {"live": True, "ready": True})


def test_without_rules_the_health_route_does_not_repeat_the_trouble(desk) -> None:
    rules = desk.gateway.rules
    desk.run.call(desk.gateway.swap, closed())
    try:
        body = desk.raw("GET", "/v2/health/ready", headers={"Authorization": ""})[2]
    finally:
        desk.run.call(desk.gateway.swap, rules)
    assert json.loads(body)["reason"] == "no release is in force"


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    return make(tmp_path_factory.mktemp("fresh"))


def test_the_alarm_is_raised_once_at_half_of_the_timestamps_life_and_again_after_a_renewal(node) -> None:
    layout = NodeLayout(node.folder)
    moment = [instant(now_us())]
    refresher = Refresher(layout, layout.read(), clock=lambda: moment[0])
    assert refresher.late() is None  # nothing was ever refreshed
    refresher.refresh()
    expires = read_state(layout.trusted_state).expires
    assert timedelta(minutes=59) < expires - moment[0] <= timedelta(hours=1)

    moment[0] = expires - timedelta(minutes=30)
    assert refresher.late() is None
    moment[0] += timedelta(seconds=1)
    assert refresher.late() == expires
    assert refresher.late() is None

    node.room.repository.renew(moment[0])
    refresher.refresh()
    assert refresher.late() is None
    renewed = read_state(layout.trusted_state).expires
    assert renewed > expires
    moment[0] = renewed - timedelta(minutes=1)
    # another supervisor that cannot reach the repository knows it from what it finds
    again = Refresher(layout, layout.read(), clock=lambda: moment[0])
    assert (refresher.late(), again.late()) == (renewed, renewed)


def test_a_repository_that_stands_still_is_written_down_once_a_minute(tmp_path, monkeypatch) -> None:
    node = make(tmp_path)  # its own: the others look at when theirs expires
    layout = NodeLayout(node.folder)
    moment = [instant(now_us())]
    refresher = Refresher(layout, layout.read(), clock=lambda: moment[0])
    written: list[datetime] = []

    def write(path: Path, state: TrustedState) -> None:
        if moment[0] in failing:
            raise UnavailableError("the disk is full")
        written.append(state.at)
        write_state(path, state)

    monkeypatch.setattr(refreshing, "write_state", write)
    start = moment[0]
    failing = {start + timedelta(seconds=90)}
    for seconds in (0, 1, 30, 60, 61, 62):
        moment[0] = start + timedelta(seconds=seconds)
        refresher.refresh()
    assert [at - start for at in written] == [timedelta(0), timedelta(seconds=61)]

    # what changes is handed on at once, and what could not be written is written by the next look
    node.room.repository.renew(start + timedelta(seconds=80))
    moment[0] = start + timedelta(seconds=90)
    with pytest.raises(UnavailableError):
        refresher.refresh()
    moment[0] += timedelta(seconds=1)
    refresher.refresh()
    assert [at - start for at in written][2:] == [timedelta(seconds=91)]
    moment[0] += timedelta(seconds=1)
    refresher.refresh()
    assert len(written) == 3


def test_the_supervisor_says_what_to_do(node) -> None:
    layout = NodeLayout(node.folder)
    told: list[str] = []
    # the node may not have looked at its releases yet, whichever test comes first
    Refresher(layout, layout.read()).refresh()

    async def look() -> None:
        supervisor = Supervisor(node.folder, PASSPHRASE, told.append)
        expires = read_state(layout.trusted_state).expires
        refresher = Refresher(layout, supervisor.settings, clock=lambda: expires - timedelta(minutes=20))
        await supervisor._first_refresh(refresher)
        supervisor._warn_if_late(refresher)

    asyncio.run(look())
    late = [line for line in told if "has not been renewed" in line]
    assert len(late) == 1
    assert "strongroom timestamp" in late[0]
    assert read_state(layout.trusted_state).expires.isoformat(timespec="seconds") in late[0]
