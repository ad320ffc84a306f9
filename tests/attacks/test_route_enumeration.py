"""Auth bypass by route and verb enumeration (CWE-425, CWE-288): every route x every verb x no and low credentials.

The table that the router matches against is the table that is walked, so a route cannot be added without this test.
"""

from __future__ import annotations

import json

import pytest

from strongroom.errors import NotFoundError
from strongroom.web.routes import ROUTES, NotAllowedError, find
from tests.web.gateways import gateway, question
from tests.web.lines import read_all

VERBS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "MKCOL", "QUERY"]
MODEL, VERSION = "pd-cards", "ab" * 32
TARGETS = sorted({route.path.format(name=MODEL, version=VERSION) for route in ROUTES})
BODY = json.dumps(question()).encode()
OVERRIDES = (
    "X-HTTP-Method-Override: GET\r\nX-Original-URL: /v2/health/live\r\nX-Rewrite-URL: /v2/health/live\r\n"
    "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-User: admin\r\n"
)


@pytest.fixture(scope="module")
def desk():
    with gateway(doorkeeper_limit=100_000) as one:
        yield one


def ask(desk, verb, target, credential):
    """Status and body; a verb that HTTP itself refuses (CONNECT) closes with 400."""
    with desk.run.socket() as sock:
        head = f"{verb} {target} HTTP/1.1\r\nHost: h\r\n{OVERRIDES}Connection: close\r\nContent-Length: {len(BODY)}\r\n"
        sock.sendall(f"{head}{credential}\r\n".encode() + BODY)
        answer = read_all(sock)
    return int(answer.split(b" ", 2)[1]), answer.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("verb", VERBS)
def test_nothing_but_two_health_routes_answers_without_a_credential(desk, verb):
    size = desk.house.shard.size
    for target in TARGETS:
        for spelling in (target, target + "/", "/" + target, target.replace("/v2", "/./v2"), target + "?access=1"):
            status, body = ask(desk, verb, spelling, "")
            if verb == "GET" and any(route.open and route.path == spelling for route in ROUTES):
                assert status == 200, spelling
            else:
                assert status in (400, 401), (verb, spelling, status)
                assert b"pd-cards" not in body
                assert VERSION.encode() not in body
    assert desk.house.shard.size == size


@pytest.mark.parametrize("verb", VERBS)
def test_a_caller_without_a_grant_for_the_model_learns_nothing_of_it(desk, verb):
    low = f"Authorization: Bearer {desk.house.other_key}\r\n"
    for route in ROUTES:
        target = route.path.format(name=MODEL, version=VERSION)
        status, body = ask(desk, verb, target, low)
        if verb.encode() != route.method:
            assert status in (400, 405), (verb, target, status)
        elif "{name}" in route.path:
            assert status == 403, (verb, target, status)
        elif route.what == "index":
            # the body of an inference is no wish for an index; nothing but its rule is told
            assert status == 400
        else:
            assert status == 200, (verb, target, status)
        for secret in (b'"limit"', b'"ratio"', VERSION.encode()):
            assert secret not in body, (verb, target)


def test_every_route_is_found_by_its_own_verb_alone():
    for route in ROUTES:
        target = route.path.format(name=MODEL, version=VERSION).encode()
        place = find(route.method, target)
        assert place.what == route.what
        assert place.name == (MODEL if "{name}" in route.path else "")
        assert place.version == (VERSION if "{version}" in route.path else None)
        for verb in VERBS:
            if verb.encode() != route.method:
                with pytest.raises(NotAllowedError) as caught:
                    find(verb.encode(), target)
                assert caught.value.allow == route.method


@pytest.mark.parametrize(
    "target",
    ["/v2/models/{}/ready".format("a" * 64), "/v2/models/a/versions/{}".format("b" * 65), "/v2/models/a/versions//x",
     "/v2/models//infer", "/v2/models/a;b/infer", "/v2/models/a%2fb/infer", "/v2/models/{name}/infer",
     "/v2/models/a/versions/{version}/infer", "/v2/models/A/infer", "/v2/models/a/versions/1\xe9/infer", "v2", ""],
)  # fmt: skip
def test_a_target_that_no_route_spells_is_not_found(target):
    with pytest.raises(NotFoundError):
        find(b"POST", target.encode("latin-1"))


def test_loading_and_unloading_are_refused_and_recorded(desk):
    size = desk.house.shard.size
    for act in ("load", "unload"):
        status, _, body = desk.raw("POST", f"/v2/repository/models/pd-cards/{act}", b"")
        answer = json.loads(body)
        assert (status, answer["code"], answer["rule"]) == (403, "not-permitted", "read-only")
        assert len(answer["decision_id"]) == 32
    assert desk.house.shard.size == size + 2
