"""The index of the model repository extension, and what else a caller may learn about models."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from strongroom.adapters.client import Client
from strongroom.errors import InvalidInputError, NotPermittedError
from strongroom.ledger.leaf import Leaf
from strongroom.serving.catalogue import Catalogue
from tests.serving.house import FAR_US, GOOD, House, served
from tests.web.gateways import gateway

INDEX = "/v2/repository/index"


@pytest.fixture
def desk():
    with gateway() as one:
        yield one


def index(desk, body=b"", **headers):
    status, _, answer = desk.raw("POST", INDEX, body, headers)
    return status, json.loads(answer)


def test_the_index_names_versions_and_their_state(desk):
    ready = [{"name": "pd-cards", "version": "ab" * 32, "state": "READY", "reason": ""}]
    for body in (b"", b"{}", b'{"ready":true}', b'{"ready":false}'):
        assert index(desk, body) == (200, ready)
    size = desk.house.shard.size
    assert size == 0, "reading what one may read leaves no record"


@pytest.mark.parametrize(
    "body", [b"[]", b"null", b"1", b'{"ready":1}', b'{"ready":true,"x":1}', b"{", b"\xff", b"[" * 5000]
)
def test_another_body_is_refused_with_its_field(desk, body):
    status, answer = index(desk, body)
    assert (status, answer["code"], answer["field"]) == (400, "invalid-input", "ready")


def test_the_index_takes_post_and_no_query(desk):
    status, headers, _ = desk.raw("GET", INDEX)
    assert (status, headers[b"allow"]) == (405, b"POST")
    assert desk.raw("POST", INDEX + "?ready=true")[0] == 400
    assert desk.raw("POST", INDEX, headers={"Authorization": "Bearer x"})[0] == 401


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"halted": {"pd-cards": "odd scores"}}, "is halted; nothing"), ({"fresh_until_us": 1}, "metadata has expired")],
)
def test_what_does_not_answer_is_unavailable_with_the_reason(desk, change, reason):
    rules = desk.gateway.rules
    desk.run.call(desk.gateway.swap, replace(rules, catalogue=replace(rules.catalogue, **change)))
    status, found = index(desk)
    assert status == 200
    assert [(one["state"], reason in one["reason"]) for one in found] == [("UNAVAILABLE", True)]
    assert index(desk, b'{"ready":true}') == (200, [])


def two_models():
    """The desk may ask one of two models; the other desk the other."""
    return House(served(), served(name="something-else", manifest="cd" * 32))


def test_callers_see_only_the_models_that_they_were_granted():
    with gateway(two_models()) as desk:
        assert [one["name"] for one in index(desk)[1]] == ["pd-cards"]
        other = f"Bearer {desk.house.other_key}"
        assert [one["name"] for one in index(desk, Authorization=other)[1]] == ["something-else"]


def test_challengers_are_not_listed():
    model = served()
    house = House(model)
    house.catalogue = Catalogue.of([model, replace_role(served(manifest="ef" * 32))], {}, FAR_US)
    with gateway(house) as desk:
        assert [one["version"] for one in index(desk)[1]] == ["ab" * 32]


def replace_role(model):
    return replace(model, role="challenger")


def test_tritonclient_reads_the_index(desk):
    import tritonclient.http

    with tritonclient.http.InferenceServerClient(f"127.0.0.1:{desk.port}") as client:
        found = client.get_model_repository_index(headers={"Authorization": desk.bearer})
    assert found == [{"name": "pd-cards", "version": "ab" * 32, "state": "READY", "reason": ""}]


def test_our_client_finds_its_only_model_and_scores():
    with gateway(two_models()) as desk:
        client = Client(
            f"http://127.0.0.1:{desk.port}", str(desk.house.api_key), purpose="credit-decision", jurisdiction="EU"
        )
        assert [one["name"] for one in client.models()] == ["pd-cards"]
        frame = pd.DataFrame([GOOD, GOOD], columns=["limit", "age", "status", "ratio"]).assign(subject=["a", "b"])
        scored = client.score(frame)
        assert np.array_equal(scored["pd"], np.repeat(scored["pd"].iloc[0], 2))
        assert desk.house.shard.size == 2
        with pytest.raises(NotPermittedError):
            Client(
                f"http://127.0.0.1:{desk.port}", str(desk.house.other_key), purpose="credit-decision",
                jurisdiction="EU", model="pd-cards",
            ).score(frame)  # fmt: skip
    with gateway(two_models()) as desk:
        rules = desk.gateway.rules
        halted = replace(rules.catalogue, halted={"pd-cards": "stop"})
        desk.run.call(desk.gateway.swap, replace(rules, catalogue=halted))
        client = Client(f"http://127.0.0.1:{desk.port}", str(desk.house.api_key))
        with pytest.raises(InvalidInputError, match="may ask none"):
            client.score(frame)


@pytest.mark.parametrize("tail", ["", "/ready", "/versions/" + "ab" * 32])
def test_a_caller_refused_a_models_contract_leaves_a_record(desk, tail):
    other = {"Authorization": f"Bearer {desk.house.other_key}"}
    status, _, body = desk.raw("GET", "/v2/models/pd-cards" + tail, headers=other)
    answer = json.loads(body)
    assert (status, answer["code"]) == (403, "not-permitted")
    stored = desk.house.shard.reader().find(answer["decision_id"])
    assert Leaf.decode(stored.leaf).type == "refusal"
    assert desk.raw("GET", "/v2/models/pd-cards" + tail)[0] == 200
    assert desk.house.shard.size == 1
