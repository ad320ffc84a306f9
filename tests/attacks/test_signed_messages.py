"""Threat: a signed request is replayed, stripped, weakened or bent on its way; an answer is swapped for another.

Weakness classes: CWE-294 (replay), CWE-347 (signature not verified as it should be), CWE-113 (header injection), and
what RFC 9421, section 7, lists. Against a gateway that really listens, with the file of nonces that its workers share.
"""

from __future__ import annotations

import gzip
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from strongroom.access.authorisation import Authorisation, terms_of
from strongroom.access.content_digest import digest_field
from strongroom.access.signed_answers import ANSWER_TAG, verify_answer
from strongroom.access.signed_requests import sign_request
from strongroom.adapters.access.nonce_files import FileNonces
from strongroom.adapters.policies.cedar import CedarEngine
from strongroom.errors import TamperedError
from strongroom.web.messages import Messages
from tests.access.signing import EC_KEY, NODE, STRANGER, signing
from tests.serving.house import House, engine_files, now_us
from tests.web.gateways import Desk, gateway, question
from tests.web.lines import read_reply

TARGET = "/v2/models/pd-cards/infer"
PAST_S = int(time.time()) - 1000
PINNED = {NODE.public.id: NODE.public.verifier()}


def house(**terms: Any) -> House:
    made = House()
    systems = tuple(
        msgspec.structs.replace(one, signing=signing(EC_KEY, **terms)) if one.id == "loan-desk" else one
        for one in made.grants.systems
    )
    made.grants = msgspec.structs.replace(made.grants, systems=systems)
    return made


@contextmanager
def served(path: Path, made: House | None = None) -> Iterator[Desk]:
    nonces = FileNonces(path, PAST_S)
    with gateway(made or house(), messages=Messages(NODE, nonces, now_us)) as desk:
        yield desk
    nonces.close()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with served(tmp_path_factory.mktemp("door") / "nonces") as made:
        yield made


def request(desk: Desk, body: bytes | None = None, key: Any = EC_KEY, **fields: str) -> tuple[dict[str, str], bytes]:
    """Fields and body of a good signed request."""
    data = json.dumps(question()).encode() if body is None else body
    given = {"host": "h", "authorization": desk.bearer, "content-type": "application/json"} | fields
    as_bytes = {name.encode(): value.encode() for name, value in given.items()}
    added = sign_request(key, b"POST", TARGET.encode(), as_bytes, data, int(time.time()))
    return given | {name.decode(): value.decode() for name, value in added.items()}, data


def send(
    desk: Desk, headers: dict[str, str], body: bytes, target: str = TARGET, method: str = "POST"
) -> tuple[int, dict[bytes, bytes], bytes]:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with desk.run.socket() as sock:
        sock.sendall(f"{method} {target} HTTP/1.1\r\n{lines}content-length: {len(body)}\r\n\r\n".encode() + body)
        return read_reply(sock)


def refused(desk: Desk, headers: dict[str, str], body: bytes, rule: str, **more: Any) -> None:
    status, _, answer = send(desk, headers, body, **more)
    said = json.loads(answer)
    assert (status, said["rule"]) == (403, rule), said
    # every refusal of somebody known is in the log
    assert said["decision_id"]


def test_a_signed_request_is_answered_and_an_unsigned_one_is_not(desk: Desk) -> None:
    status, _, answer = send(desk, *request(desk))
    assert status == 200, answer
    headers, body = request(desk)
    bare = {name: value for name, value in headers.items() if not name.startswith("signature")}
    refused(desk, bare, body, "signature-missing")
    refused(desk, bare, b"", "signature-missing", target="/v2", method="GET")


def test_a_replay_is_refused_here_on_another_worker_and_after_a_restart(tmp_path: Path) -> None:
    path, made = tmp_path / "nonces", house()
    with served(path, made) as one, served(path, made) as two:
        headers, body = request(one)
        assert send(one, headers, body)[0] == 200
        refused(one, headers, body, "signature-nonce")
        refused(two, headers, body, "signature-nonce")
        assert send(two, *request(two))[0] == 200
    with served(path, made) as again:
        refused(again, headers, body, "signature-nonce")
        assert send(again, *request(again))[0] == 200


def test_a_refused_request_cannot_be_sent_again_either(desk: Desk) -> None:
    headers, body = request(desk, json.dumps(question(purpose="marketing")).encode())
    assert send(desk, headers, body)[0] == 403
    refused(desk, headers, body, "signature-nonce")


def swapped(headers: dict[str, str], old: str, new: str) -> dict[str, str]:
    return headers | {"signature-input": headers["signature-input"].replace(old, new)}


@pytest.mark.parametrize(
    ("bend", "rule"),
    [
        (lambda headers: swapped(headers, '"content-digest" ', ""), "signature-components"),
        (lambda headers: headers | {"signature-input": re.sub(r"\(.*\)", "()", headers["signature-input"])},
         "signature-components"),
        (lambda headers: swapped(headers, ";tag", ';alg="hmac-sha256";tag'), "signature-algorithm"),
        (lambda headers: swapped(headers, ";tag", ';alg="rsa-v1_5-sha256";tag'), "signature-algorithm"),
        (lambda headers: headers | {"signature": "sr=:" + "A" * 86 + "==:"}, "signature-signature"),
        (lambda headers: headers | {"inference-header-content-length": "10"}, "signature-components"),
        (lambda headers: headers | {"content-digest": headers["content-digest"] + ", sha-512=:AA==:"},
         "signature-signature"),
    ],
)  # fmt: skip
def test_a_weakened_signature_is_refused(
    desk: Desk, bend: Callable[[dict[str, str]], dict[str, str]], rule: str
) -> None:
    headers, body = request(desk)
    refused(desk, bend(headers), body, rule)
    # and nobody's nonce was spent by it
    assert send(desk, headers, body)[0] == 200


def test_another_body_is_refused_even_with_a_digest_of_its_own(desk: Desk) -> None:
    headers, body = request(desk)
    other, other_body = request(desk, json.dumps(question(subject="s-2")).encode())
    refused(desk, headers, other_body, "signature-digest")
    refused(desk, headers | {"content-digest": other["content-digest"]}, other_body, "signature-signature")
    assert send(desk, headers, body)[0] == 200


def test_a_stolen_key_signs_nothing_and_a_strangers_signature_is_no_credential(desk: Desk) -> None:
    headers, body = request(desk, key=STRANGER)
    refused(desk, headers, body, "signature-key")
    # loan-desk's own signature under the credential of another system, which has no key
    mine, body = request(desk)
    other = mine | {"authorization": f"Bearer {desk.house.other_key}"}
    refused(desk, other, body, "signature-key")


def test_fields_that_are_sent_twice_make_no_second_signature(desk: Desk) -> None:
    headers, body = request(desk)
    bad, _ = request(desk, key=STRANGER)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    second = {name: bad[name].replace("sr=", "b=") for name in ("signature-input", "signature")}
    for extra in (
        f"Signature-Input: {headers['signature-input']}\r\nSignature: {headers['signature']}\r\n",
        f"Signature-Input: {second['signature-input']}\r\nSignature: {second['signature']}\r\n",
        "Signature-Input: x=()\r\n",
    ):
        with desk.run.socket() as sock:
            head = f"POST {TARGET} HTTP/1.1\r\n{lines}{extra}content-length: {len(body)}\r\n\r\n"
            sock.sendall(head.encode() + body)
            status, _, answer = read_reply(sock)
        assert (status, json.loads(answer)["rule"]) == (403, "signature-form")
    assert send(desk, headers, body)[0] == 200


def test_a_line_feed_in_a_covered_field_never_reaches_the_base(desk: Desk) -> None:
    headers, body = request(desk)
    for bad in ('application/json\n"@method": GET', 'application/json\r\n "@method": GET'):
        with desk.run.socket() as sock:
            lines = "".join(f"{name}: {value}\r\n" for name, value in (headers | {"content-type": bad}).items())
            sock.sendall(f"POST {TARGET} HTTP/1.1\r\n{lines}content-length: {len(body)}\r\n\r\n".encode() + body)
            assert read_reply(sock)[0] in (400, 403)


def test_a_nonce_of_the_caller_is_no_way_into_the_answers_head(desk: Desk) -> None:
    for nonce in ("a" * 20 + '\\"; x', "a" * 20 + "\u00e9"):
        headers, body = request(desk, **{"accept-signature": f'sr=();nonce="{nonce}"'})
        status, fields, _ = send(desk, headers, body)
        assert status == 400
        assert b"signature" not in fields


def asked(desk: Desk, **more: str) -> tuple[dict[str, str], bytes]:
    accept = f'sr=("@status" "content-digest" "@path";req);created;nonce="{"n" * 20}";tag="{ANSWER_TAG}"'
    return request(desk, **({"accept-signature": accept} | more))


def as_bytes(headers: dict[str, str]) -> dict[bytes, bytes]:
    return {name.encode(): value.encode() for name, value in headers.items()}


@pytest.mark.parametrize(
    "line",
    [
        b"Host: h\xff",
        "Host: \u0661".encode(),
        b"Content-Type: application/json;a=\xff",
        b"Content-Encoding: identity\xff",
        b"Inference-Header-Content-Length: \xff",
        b"Signature-Input: sr=\xff",
    ],
)
def test_an_answer_that_could_not_be_signed_is_not_made(tmp_path: Path, line: bytes) -> None:
    """It was recorded, never sent, and its caller waited for ever."""
    with served(tmp_path / "nonces", house(require=False)) as desk:
        body = json.dumps(question()).encode()
        host = b"" if line.startswith(b"Host") else b"Host: h\r\n"
        head = b"POST %b HTTP/1.1\r\n%b%b\r\nAuthorization: %b\r\nAccept-Signature: sr=()\r\nContent-Length: %d\r\n\r\n"
        with desk.run.socket() as sock:
            sock.sendall(head % (TARGET.encode(), host, line, desk.bearer.encode(), len(body)) + body)
            status, fields, answer = read_reply(sock)
            said = json.loads(answer)
            assert (status, said["field"], said["rule"]) == (400, line.partition(b":")[0].decode().lower(), "ascii")
            assert said["decision_id"], "a refusal of somebody known is in the log"
            assert b"signature" not in fields
            sock.sendall(b"GET /v2 HTTP/1.1\r\nHost: h\r\nAuthorization: %b\r\n\r\n" % desk.bearer.encode())
            assert read_reply(sock)[0] == 200, "the connection goes on"


def test_an_answer_is_bound_to_its_request_and_its_refusal_is_too(desk: Desk) -> None:
    headers, body = asked(desk)
    status, fields, answer = send(desk, headers, body)
    mine = (b"POST", TARGET.encode(), as_bytes(headers))
    verify_answer(PINNED, mine, status, fields, answer, int(time.time()), "n" * 20)
    other, other_body = asked(desk)
    status, other_fields, other_answer = send(desk, other, other_body)
    for swap in ((fields, other_answer), (other_fields, other_answer), (other_fields, answer)):
        with pytest.raises(TamperedError):
            verify_answer(PINNED, mine, 200, *swap, int(time.time()), "n" * 20)
    # the same request again: refused as a replay, and that refusal is signed
    status, fields, answer = send(desk, headers, body)
    assert status == 403
    verify_answer(PINNED, mine, status, fields, answer, int(time.time()), "n" * 20)
    with pytest.raises(TamperedError):
        verify_answer(PINNED, mine, 200, fields, answer, int(time.time()), "n" * 20)


def test_a_grant_has_all_answers_signed_and_nobody_else_pays(tmp_path: Path) -> None:
    made = house(require=False, answers=True)
    with served(tmp_path / "nonces", made) as desk:
        status, fields, answer = desk.raw("POST", TARGET, json.dumps(question()).encode())
        assert status == 200
        assert {b"signature", b"content-digest"} < fields.keys()
        headers = {b"host": b"h", b"content-type": b"application/json"}
        verify_answer(PINNED, (b"POST", TARGET.encode(), headers), status, fields, answer, int(time.time()))
        other = {"Authorization": f"Bearer {made.other_key}"}
        status, fields, _ = desk.raw("POST", TARGET, json.dumps(question()).encode(), other)
        assert b"signature" not in fields
        assert b"content-digest" not in fields
        # a stranger makes the gateway sign nothing
        nobody = {"Authorization": "Bearer sr_x", "Accept-Signature": "sr=()"}
        status, fields, _ = desk.raw("POST", TARGET, b"{}", nobody)
        assert status == 401
        assert b"signature" not in fields


def test_the_key_is_published_to_those_who_are_known(desk: Desk) -> None:
    target = "/.well-known/http-message-signatures-directory"
    headers = {"host": "h", "authorization": desk.bearer}
    fields = as_bytes(headers)
    added = sign_request(EC_KEY, b"GET", target.encode(), fields, b"", int(time.time()))
    status, _, body = send(
        desk, headers | {k.decode(): v.decode() for k, v in added.items()}, b"", target=target, method="GET"
    )
    assert status == 200
    assert json.loads(body)["keys"][0]["kid"] == NODE.public.id
    assert desk.raw("GET", target, b"", {"Authorization": ""})[0] == 401


def test_a_gateway_without_a_memory_lets_nothing_signed_through() -> None:
    with gateway(house()) as desk:
        status, _, answer = send(desk, *request(desk))
        assert status == 503, answer


def test_a_policy_may_demand_signatures_for_a_purpose(tmp_path: Path) -> None:
    policies, schema = engine_files()
    rule = b"""
@id("credit-decisions-are-asked-for-with-a-signature")
forbid (principal in Role::"caller", action == Action::"score", resource is Model)
when { context has purpose && context.purpose == "credit-decision" }
unless { context has signed && context.signed };
"""
    made = house(require=False)
    strict = Authorisation(CedarEngine(policies + rule, schema))
    for model in made.models:
        terms = model.release
        labels = {name: getattr(terms, name) for name in ("environments", "jurisdictions", "purposes")}
        strict.learn(model.release_digest, terms_of(terms.model, labels))
    made.authorisation = strict
    with served(tmp_path / "nonces", made) as desk:
        for _ in range(2):  # remembered apart: the one decision is no answer to the other
            assert send(desk, *request(desk))[0] == 200
            status, _, answer = desk.raw("POST", TARGET, json.dumps(question()).encode())
            assert status == 403
            assert b"credit-decisions-are-asked-for-with-a-signature" in answer


@pytest.mark.parametrize("padding", [0, 100_000])
def test_a_packed_request_is_signed_as_it_travels_and_its_packed_answer_too(desk: Desk, padding: int) -> None:
    # RFC 9530: a content digest is of the content with its coding
    packed = gzip.compress(json.dumps(question()).encode() + b" " * padding)
    wish = {"content-encoding": "gzip", "accept-encoding": "identity;q=0, gzip", "want-content-digest": "sha-256=1"}
    status, fields, answer = send(desk, *request(desk, packed, **wish))
    assert (status, fields[b"content-encoding"]) == (200, b"gzip")
    assert fields[b"content-digest"] == digest_field(answer, "sha-256")
    assert json.loads(gzip.decompress(answer))["model_name"] == "pd-cards"
    headers, _ = request(desk, packed, **wish)
    other = gzip.compress(json.dumps(question(subject="s-2")).encode())
    status, _, answer = send(desk, headers, other)
    assert status in (400, 403), answer
    assert "digest" in json.loads(answer)["rule"]
