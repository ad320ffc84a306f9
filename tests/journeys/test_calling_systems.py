"""Calling systems come and go: a grant for a model that exists, its list, and its end at a gateway's door."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from strongroom.access.authentication import Authenticator
from strongroom.access.grants import Grants
from strongroom.access.principals import Principal
from strongroom.access.signing_keys import MessageKey
from strongroom.approval.trust_policy import GRANTS_PATH
from strongroom.errors import NotAuthenticatedError, RefusedError, TooManyRequestsError
from strongroom.serving.limiter import Limiter, LimitTable
from strongroom.vocabulary import PersonId, micros
from strongroom.wiring.control import ControlPlane, now
from tests.journeys.bank import MODEL, Bank, each_key_derived_once
from tests.web.certificates import Authority

WORDS = ("--model", MODEL, "--jurisdiction", "TW", "--purpose", "credit-decision")


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    with each_key_derived_once():
        bank = Bank(tmp_path_factory.mktemp("calling"))
        bank.hire()
        bank.found()
        yield bank


def door(bank: Bank) -> Authenticator:
    """What a gateway makes of the grants that are published now."""
    with ControlPlane.open(bank.room, bank.secret("room").read_bytes()) as room:
        return Authenticator(Grants.decode(room.document(GRANTS_PATH)), {room.pepper_number: room.pepper})


def test_a_grant_names_models_that_exist_and_ends_at_the_door(bank: Bank) -> None:
    assert bank.run("omar", "grant", "list") == []
    said = bank.refused("omar", "grant", "add", "loan-desk", *WORDS)
    assert (said["error"], "strongroom show" in said["message"]) == ("not-found", True)
    assert said["entry"]
    assert bank.refused("omar", "grant", "end", "loan-desk")["error"] == "not-found"
    bank.delegate()
    bank.run("ann", "submit", bank.package("one", 5))
    headers = {}
    for system in ("batch-desk", "loan-desk"):
        key = bank.run("omar", "grant", "add", system, *WORDS)["api_key"]
        headers[system] = f"Bearer {key}".encode()
    listed = bank.run("omar", "grant", "list")
    assert [(one["system"], one["models"], one["secrets_until"]) for one in listed] == [
        ("batch-desk", [MODEL], [None]),
        ("loan-desk", [MODEL], [None]),
    ]
    assert headers["loan-desk"].decode().split("_")[-1] not in str(listed), "no secret is listed"
    assert "loan-desk" in bank.try_("omar", "grant", "list").stdout
    public = bank.folder / "loan-desk.pem"
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    public.write_bytes(key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
    said = bank.run("omar", "grant", "sign", "loan-desk", "--public-key", str(public), "--require", "--answers")
    assert said["keys"] == [MessageKey.of(key).id]
    (_, one) = bank.run("omar", "grant", "list")
    assert (one["signing_keys"], one["require_signed"], one["sign_answers"]) == (said["keys"], True, True)
    assert bank.refused("ann", "grant", "sign", "loan-desk")["error"] == "not-permitted"
    assert bank.refused("omar", "grant", "sign", "loan-desk", "--require")["error"] == "invalid-input"
    assert bank.refused("omar", "grant", "sign", "nobody", "--answers")["error"] == "not-found"
    bank.run("omar", "grant", "sign", "loan-desk")
    assert bank.run("omar", "grant", "list")[1]["signing_keys"] == []
    before = door(bank)
    assert before.authenticate(headers["loan-desk"], micros(now())).id == "loan-desk"
    assert bank.refused("ann", "grant", "end", "loan-desk")["error"] == "not-permitted"
    bank.run("omar", "grant", "end", "loan-desk")
    after = door(bank)
    with pytest.raises(NotAuthenticatedError):
        after.authenticate(headers["loan-desk"], micros(now()))
    assert after.authenticate(headers["batch-desk"], micros(now())).id == "batch-desk"
    assert [one["system"] for one in bank.run("omar", "grant", "list")] == ["batch-desk"]
    again = bank.run("omar", "grant", "add", "loan-desk", *WORDS)["api_key"]
    assert f"Bearer {again}".encode() != headers["loan-desk"], "a name may come back, its old key does not"
    with pytest.raises(NotAuthenticatedError):
        door(bank).authenticate(headers["loan-desk"], micros(now()))
    take_no_more_than_they_may(bank)
    prove_themselves_otherwise(bank)
    replace_what_is_shared(bank)


def take_no_more_than_they_may(bank: Bank) -> None:
    """Limits with a grant, later, for a unit and for a model; a gateway holds callers to what was signed."""
    rates = ("--requests-per-s", "1", "--burst", "2")
    bank.run("omar", "grant", "add", "web-shop", *WORDS, "--unit", "retail", *rates, "--concurrent", "5")
    table, at_us = limits(bank), micros(now())
    shop = Principal(PersonId("web-shop"), "Service", frozenset({"caller"}), frozenset({"retail"}))
    limiter = Limiter()
    limiter.learn(table)
    for _ in range(2):
        limiter.enter(shop, 10, at_us)
    with pytest.raises(TooManyRequestsError):
        limiter.enter(shop, 10, at_us)
    figures = (
        "--rows-per-s",
        "500",
        "--rows",
        "100",
        "--bytes-per-s",
        "70000",
        "--body-bytes",
        "9000",
        "--wait-ms",
        "50",
    )
    said = bank.run("omar", "grant", "limit", "web-shop", *figures, "--weight", "3")
    assert said["limits"] == {
        "rows_per_s": 500, "rows": 100, "bytes_per_s": 70_000, "body_bytes": 9000, "wait_ms": 50, "weight": 3,
    }  # fmt: skip
    assert bank.refused("omar", "grant", "limit", "retail", "--of", "unit", "--weight", "3")["error"] == "invalid-input"
    bank.run("omar", "grant", "limit", "retail", "--of", "unit", "--body-bytes", "100")
    bank.run("omar", "grant", "limit", MODEL, "--of", "model", "--concurrent", "50")
    assert {(one["of"], one["name"]): one["limits"] for one in bank.run("omar", "grant", "limits")} == {
        ("system", "web-shop"): said["limits"],
        ("unit", "retail"): {"body_bytes": 100},
        ("model", MODEL): {"concurrent": 50},
    }
    assert "body_bytes 100" in bank.try_("omar", "grant", "limits").stdout
    limiter.learn(limits(bank))
    limiter.enter(shop, 100, at_us)
    with pytest.raises(RefusedError) as refused:
        limiter.enter(shop, 101, at_us)
    assert refused.value.details["field"] == "body_bytes", "the unit's, which is less than its own"
    # what is wrong, is nobody's, or is not for everybody to say
    assert bank.refused("omar", "grant", "limit", "web-shop")["error"] == "invalid-input"
    assert bank.refused("omar", "grant", "limit", "web-shop", "--burst", "3")["error"] == "invalid-input"
    assert bank.refused("omar", "grant", "limit", "web-shop", "--rows", "3", "--end")["error"] == "invalid-input"
    assert bank.refused("omar", "grant", "limit", "nobody", "--rows", "3")["error"] == "not-found"
    assert bank.refused("omar", "grant", "limit", "no-model", "--of", "model", "--rows", "3")["error"] == "not-found"
    assert bank.refused("omar", "grant", "limit", "cards", "--of", "unit", "--end")["error"] == "not-found"
    assert bank.refused("ann", "grant", "limit", "web-shop", "--rows", "3")["error"] == "not-permitted"
    for of, name in (("system", "web-shop"), ("unit", "retail"), ("model", MODEL)):
        assert bank.run("omar", "grant", "limit", name, "--of", of, "--end")["limits"] == {}
    assert bank.run("omar", "grant", "limits") == []
    bank.run("omar", "grant", "end", "web-shop")


def limits(bank: Bank) -> LimitTable:
    """What a gateway makes of the limits that are published now."""
    with ControlPlane.open(bank.room, bank.secret("room").read_bytes()) as room:
        table = LimitTable.of(Grants.decode(room.document(GRANTS_PATH)))
    assert table is not None
    return table


def prove_themselves_otherwise(bank: Bank) -> None:
    """Tokens and certificates beside, or instead of, an API key; and what counts no more."""
    issuer, audience = "https://id.bank.example", "https://gateway.bank.example"
    assert bank.run("omar", "grant", "add", "night-run", *WORDS, "--no-key")["api_key"] is None
    to = ("--issuer", issuer, "--subject", "night")
    assert bank.refused("omar", "grant", "token", "night-run", *to)["error"] == "invalid-input"
    assert bank.refused("omar", "grant", "issuer", issuer, "--audience", audience)["error"] == "invalid-input"
    assert bank.refused("ann", "grant", "issuer", issuer, "--audience", audience, "--discover")["error"] == (
        "not-permitted"
    )
    said = bank.run("omar", "grant", "issuer", issuer, "--audience", audience, "--discover", "--lifetime-minutes", "10")
    assert said == {"issuer": issuer, "pinned": [], "fetched": True}
    bank.run("omar", "grant", "token", "night-run", *to, "--bound", "--one-time")
    authority = Authority(bank.folder)
    shown = authority.issue("night", uris=("spiffe://bank.example/night",))
    pem = bank.folder / "night.pem"
    said = bank.run("omar", "grant", "certificate", "night-run", "--file", pem, "--key-only", "--beside")
    assert (said["by"], said["value"], said["beside"]) == ("spki", shown.spki, True)
    bank.run("omar", "grant", "certificate", "night-run", "--file", pem)
    bank.run("omar", "grant", "certificate", "night-run", "--uri", "spiffe://bank.example/night", "--replace")
    assert bank.refused("omar", "grant", "certificate", "night-run", "--uri", "a", "--dns", "b")["error"] == (
        "invalid-input"
    )
    listed = {one["system"]: one for one in bank.run("omar", "grant", "list")}["night-run"]
    assert listed["tokens"] == [f"{issuer} night"]
    assert (listed["certificates"], listed["certificate_beside"]) == (["uri spiffe://bank.example/night"], False)
    at_us = micros(now())
    assert door(bank).authenticate(None, at_us, shown).id == "night-run"
    bank.run("omar", "grant", "deny", "--certificate", pem)
    with pytest.raises(NotAuthenticatedError):
        door(bank).authenticate(None, at_us, shown)
    for what, value in (("token", "t-1"), ("key", "k-1"), ("subject", "night")):
        denied = bank.run("omar", "grant", "deny", f"--{what}", value, "--issuer", issuer)["denied"]
        assert (denied["what"], denied["value"]) == (what, value)
    assert bank.refused("omar", "grant", "deny", "--key", "k", "--issuer", "https://x.example")["error"] == (
        "invalid-input"
    )
    assert bank.refused("omar", "grant", "issuer", issuer, "--end")["error"] == "conflict"
    bank.run("omar", "grant", "token", "night-run", *to, "--end")
    bank.run("omar", "grant", "certificate", "night-run", "--end")
    bank.run("omar", "grant", "issuer", issuer, "--end")
    listed = {one["system"]: one for one in bank.run("omar", "grant", "list")}["night-run"]
    assert (listed["tokens"], listed["certificates"]) == ([], [])


def replace_what_is_shared(bank: Bank) -> None:
    """An operator replaces the pepper and the key of models; Two systems have API keys."""
    bank.make_node()
    assert bank.refused("ann", "room", "rotate-pepper", "--begin")["error"] == "not-permitted"
    assert bank.run("omar", "room", "rotate-pepper")["phase"] == "done", "nothing is begun by the way"
    begun = bank.run("omar", "room", "rotate-pepper", "--begin")
    assert (begun["phase"], begun["key"], begun["gateways"]) == ("begun", 2, ["gw-1"])
    assert "take-keys" in bank.try_("omar", "room", "rotate-pepper").stdout
    kek = bank.run("omar", "room", "rotate-kek", "--begin")
    assert (kek["phase"], kek["gateways"]) == ("begun", ["gw-1"])
    assert bank.refused("ann", "node", "take-keys", bank.node)["error"] == "not-permitted"
    assert bank.run("omar", "node", "take-keys", bank.node)["added"] == ["pepper 2", f"kek {kek['key'][:12]}"]
    said = bank.run("omar", "room", "rotate-pepper")
    assert (said["phase"], said["systems"]) == ("in-use", ["batch-desk", "loan-desk"])
    assert "grant rotate batch-desk" in bank.try_("omar", "room", "rotate-pepper").stdout
    for system in said["systems"]:
        bank.run("omar", "grant", "rotate", system, "--at-once")
    assert bank.run("omar", "room", "rotate-pepper")["phase"] == "done"
    done = bank.run("omar", "room", "rotate-kek")
    assert (done["phase"], done["wrapped"]) == ("done", 1)
    taken = bank.run("omar", "node", "take-keys", bank.node)
    assert (len(taken["dropped"]), taken["kept"]) == (2, [])
    assert bank.run("omar", "fsck")
