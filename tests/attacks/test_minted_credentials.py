"""CWE-269, CWE-266, CWE-639: nobody makes themselves more than they are.

An operator grants no role of a person; a machine with an operator's role grants and rotates nothing; a caller's rights
come from the grants alone: no claim of its token, no header, no name in its certificate and no parameter adds one; and
grants that were replaced do not come back.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import msgspec
import pytest

from strongroom.access.authentication import UNIFORM, Authenticator
from strongroom.access.authorisation import Authorisation
from strongroom.access.certificates import CertificateName, Presented
from strongroom.access.credentials import new_api_key
from strongroom.access.grants import Grants, Secret
from strongroom.access.people import HUMAN_ROLES
from strongroom.access.principals import Principal
from strongroom.access.verbs import ROLES
from strongroom.adapters.policies.cedar import CedarEngine
from strongroom.errors import ConflictError, InvalidInputError, NotAuthenticatedError, NotPermittedError
from strongroom.office.acts import Act, Resource
from strongroom.vocabulary import PersonId
from tests.access.issuing import NOW, PEPPER, bearer, claims, grants, header, token
from tests.memory.office import MemoryGrants
from tests.serving.house import caller_key
from tests.web.gateways import Desk, gateway, question

AT = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
ME = PersonId("someone")


@pytest.fixture(scope="module")
def authorisation() -> Authorisation:
    policies = files("strongroom") / "policies"
    return Authorisation(
        CedarEngine((policies / "access.cedar").read_bytes(), (policies / "access.cedarschema").read_bytes())
    )


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    with gateway(doorkeeper_limit=100_000) as one:
        yield one


@pytest.mark.parametrize("role", sorted(HUMAN_ROLES | {"operator", "control-plane", "scanner", "root", "", "caller "}))
def test_no_grant_makes_a_calling_system_a_person_or_a_service_of_ours(role: str) -> None:
    _, system = caller_key("climber")
    for roles in ((role,), ("caller", role)):
        with pytest.raises(InvalidInputError):
            msgspec.structs.replace(system, roles=roles)
        document = json.loads(Grants(sequence=1, systems=(system,)).encode())
        document["systems"][0]["roles"] = list(roles)
        with pytest.raises(InvalidInputError):
            Grants.decode(json.dumps(document, sort_keys=True, separators=(",", ":")).encode())


@pytest.mark.parametrize("kind", ["Grant", "Room", "Node"])
@pytest.mark.parametrize("verb", ["add-grant", "rotate-key"])
def test_a_machine_grants_and_rotates_nothing_whatever_its_roles(
    authorisation: Authorisation, verb: str, kind: str
) -> None:
    person = Principal(ME, "Person", frozenset({"operator"}))
    if (verb, kind) in {("add-grant", "Grant"), ("rotate-key", "Grant"), ("rotate-key", "Room")}:
        authorisation.check(Act(person, verb, Resource(kind, "x"), AT))  # the control
    for roles in ({"operator"}, {"operator", "custodian"}, set(ROLES) - {"custodian"}, set(ROLES)):
        machine = Principal(ME, "Service", frozenset(roles))
        with pytest.raises(NotPermittedError):
            authorisation.check(Act(machine, verb, Resource(kind, "x"), AT))


@pytest.mark.parametrize("role", sorted(set(ROLES) - {"operator"}))
def test_only_operators_let_systems_in(authorisation: Authorisation, role: str) -> None:
    with pytest.raises(NotPermittedError):
        authorisation.check(Act(Principal(ME, "Person", frozenset({role})), "add-grant", Resource("Grant", "x"), AT))


@pytest.mark.parametrize("verb", ["people", "init", "approve", "review", "halt", "lift", "erase", "unseal"])
def test_an_operator_gives_nobody_rights_of_judgement_or_itself(authorisation: Authorisation, verb: str) -> None:
    """The register of people is the custodians'; the acts that it opens are not an operator's either."""
    operator = Principal(ME, "Person", frozenset({"operator"}))
    for kind in ("Room", "Model", "Case", "Subject", "Grant"):
        with pytest.raises(NotPermittedError):
            authorisation.check(Act(operator, verb, Resource(kind, "x", {}), AT))


CLAIMS: list[dict[str, Any]] = [
    {"roles": ["operator", "approver"]},
    {"role": "custodian"},
    {"groups": ["admins"]},
    {"scope": "score approve release admin *"},
    {"entitlements": ["release"]},
    {"units": ["corporate"]},
    {"models": ["everything"], "environments": ["*"], "jurisdictions": ["US"], "purposes": ["*"]},
    {"bounds": {"models": ["everything"]}},
    {"act": {"sub": "custodian-1"}},
    {"principal": "custodian-1", "id": "custodian-1", "kind": "Person"},
    {"authorization_details": [{"type": "everything", "actions": ["release"]}]},
]


@pytest.mark.parametrize("more", CLAIMS, ids=lambda claim: next(iter(claim)))
def test_no_claim_of_a_token_adds_a_right(more: dict[str, Any]) -> None:
    door = Authenticator(grants(), {1: PEPPER})
    plain = door.authenticate(bearer(token()), NOW)
    claimed = door.authenticate(bearer(token(header(), claims(**more))), NOW)
    assert claimed == plain
    assert dict(claimed.grants) == dict(plain.grants)
    assert claimed.proofs == plain.proofs


HEADERS = [
    "X-Forwarded-User", "X-Remote-User", "Remote-User", "X-Role", "X-Roles", "X-Auth-Request-Groups", "X-User",
    "X-Original-User", "X-Principal", "X-Forwarded-Client-Cert", "X-SSL-Client-Verify", "X-Client-Cert", "Client-Cert",
    "X-Amzn-Oidc-Data", "X-Internal", "X-Admin", "Forwarded", "Proxy-Authorization", "Cookie",
]  # fmt: skip


@pytest.mark.parametrize("name", HEADERS)
def test_no_header_but_the_credential_says_who_calls(desk: Desk, name: str) -> None:
    key = f"Bearer {desk.house.api_key}"
    for value in ("loan-desk", "operator", "By=spiffe://x;Subject=loan-desk", key):
        status, answer = desk.ask(question(), **{name: value, "Authorization": ""})
        assert status == 401, (name, value)
        status, answer = desk.ask(question(), **{name: value, "Authorization": f"Bearer {desk.house.other_key}"})
        assert (status, answer["code"]) == (403, "not-permitted"), (name, value)


@pytest.mark.parametrize(
    "more",
    [
        {"principal": "loan-desk"},
        {"roles": ["operator"]},
        {"caller": "loan-desk", "unit": "retail"},
        {"models": ["pd-cards"]},
        {"authorization": "operator"},
        {"environment": "production"},
        {"release": "ab" * 32},
        {"__proto__": {"roles": ["operator"]}},
        {"signed": True},
    ],
    ids=lambda more: next(iter(more)),
)
def test_no_parameter_of_a_request_adds_a_right(desk: Desk, more: dict[str, Any]) -> None:
    other = {"Authorization": f"Bearer {desk.house.other_key}"}
    document = question(**more)
    assert desk.ask(document, **other)[0] in (400, 403)
    document = question() | more
    assert desk.ask(document, **other)[0] in (400, 403)
    # nor for whoever may ask: what lies outside the grant stays outside
    outside = question(jurisdiction="US", **more)
    assert desk.ask(outside)[0] in (400, 403)


def test_only_what_the_grant_pins_of_a_certificate_counts() -> None:
    _, low = caller_key("low")
    _, high = caller_key("high")
    digest, spki = bytes.fromhex("11" * 32), "22" * 32
    low = msgspec.structs.replace(low, certificates=(CertificateName(by="spki", value=spki),))
    high = msgspec.structs.replace(high, certificates=(CertificateName(by="uri", value="spiffe://bank.example/high"),))
    door = Authenticator(Grants(sequence=1, systems=(high, low)), {1: PEPPER})
    mine = Presented(digest, spki, (), (), 0, NOW + 1)
    assert door.authenticate(None, NOW, mine).id == "low"
    both = Presented(bytes([1]) * 32, spki, ("spiffe://bank.example/high",), (), 0, NOW + 1)
    with pytest.raises(NotAuthenticatedError, match=UNIFORM):
        door.authenticate(None, NOW, both)
    for number, (uris, dns) in enumerate(
        (
            (("spiffe://bank.example/low", "spiffe://bank.example/high"), ("high",)),
            (("spiffe://bank.example/high/",), ("high", "spiffe")),
            ((), ("high", "operator", "bank.example")),
        ),
        2,
    ):
        # another certificate has another digest, which is what the door remembers it by
        found = door.authenticate(None, NOW, Presented(bytes([number]) * 32, spki, uris, dns, 0, NOW + 1))
        assert (found.id, found.roles) == ("low", {"caller"})
        with pytest.raises(NotAuthenticatedError):
            door.authenticate(None, NOW, Presented(bytes([number + 9]) * 32, "33" * 32, uris, dns, 0, NOW + 1))


def test_grants_that_were_replaced_do_not_come_back() -> None:
    shelf = MemoryGrants()
    key, system = caller_key("leaver")
    shelf.put(Grants(sequence=1, systems=(system,)))
    fresh = new_api_key(lambda size: bytes(range(size)), key.id)
    replaced = msgspec.structs.replace(system, secrets=(Secret(digest=fresh.digest(PEPPER), from_us=0),))
    shelf.put(shelf.current().with_system(replaced))
    shelf.put(shelf.current().without_system("leaver"))
    for sequence in (1, 2, 3, 5):
        with pytest.raises(ConflictError):
            shelf.put(Grants(sequence=sequence, systems=(system,)))
    assert shelf.current().systems == ()
