"""Threat: a caller with a credential extracts the model, or searches for the smallest change that turns a decision.

It is told: a record in the log with principal, model and pattern and no value, and where the node says so, the caller
has to wait while others go on.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

from strongroom.ledger.leaf import Leaf
from strongroom.serving.probing import ProbeLimits, ProbeWatch, Probing
from strongroom.serving.replay import read_decision
from tests.serving.house import GOOD, House, now_us
from tests.web.gateways import gateway, question


@pytest.mark.parametrize("throttle_s", [0, 30])
def test_a_sweep_is_recorded_and_slowed_down(throttle_s: int) -> None:
    house = House()
    told: list[Probing] = []
    with gateway(house) as desk:

        def tell(found: Probing) -> None:
            told.append(found)
            desk.run.loop.call_soon(desk.gateway.note_probing, found, throttle_s)

        desk.board._decider.predictor.probes = ProbeWatch(b"k" * 16, tell, now_us, ProbeLimits(least=20))
        statuses = []
        for limit in np.linspace(10_000, 90_000, 40):
            status, headers, body = desk.raw(
                "POST", "/v2/models/pd-cards/infer", json.dumps(question([float(limit), *GOOD[1:]])).encode()
            )
            statuses.append(status)
        assert len(told) == 1, "of one pattern one event"
        assert (told[0].principal, told[0].pattern) == ("loan-desk", "near-duplicates")
        if throttle_s:
            assert statuses[:20] == [200] * 20
            assert status == 429
            assert 0 < int(headers[b"retry-after"]) <= throttle_s
            assert b"0.0" not in body
        else:
            assert set(statuses) == {200}
    records = [house.shard.reader().get(place) for place in range(house.shard.size)]
    refusals = [one for one in records if Leaf.decode(one.leaf).type == "refusal"]
    found = []
    for one in refusals:
        key = house.keys.by_key_id(bytes.fromhex(str(json.loads(one.leaf)["key_id"])))
        found.append(read_decision(one, key))
    events = [one for one in found if one.answer.reasons[0].rule == "probing-near-duplicates"]
    assert [(one.record.principal, one.answer.reasons[0].field, one.answer.inputs) for one in events] == [
        ("loan-desk", "pd-cards", ())
    ]
