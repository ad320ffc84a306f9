"""Calling systems: the document, rotation without a new id, and what it refuses."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.access.authentication import Authenticator
from strongroom.access.credentials import ApiKey, match_secret, new_api_key, parse_api_key
from strongroom.access.grants import SLICE, CallingSystem, Grants, Secret, TokenSubject, _Outer
from strongroom.access.issuers import Issuer, IssuerKey
from strongroom.encoding import parse_as
from strongroom.errors import ConflictError, InvalidInputError, NotAuthenticatedError, NotFoundError
from strongroom.vocabulary import PersonId
from tests.access.issuing import API_KEY, BOUNDS, EC, ISSUER, NOW, PEPPER, bearer, grants, public


def counter() -> Any:
    numbers = itertools.count(1)
    return lambda size: next(numbers).to_bytes(size, "big")


def test_the_document_is_read_as_it_was_written() -> None:
    data = grants().encode()
    assert Grants.decode(data) == grants()
    assert Grants.decode(data).encode() == data
    for wrong in (
        data + b"\n",
        data.replace(b'"sequence":1', b'"sequence":0'),
        data.replace(b'"v":1', b'"v":2'),
        b"{}",
    ):
        with pytest.raises(InvalidInputError):
            Grants.decode(wrong)


def read_at_once(data: bytes) -> Grants:
    """The document as format 1 and its schema have it, without parting it."""
    found = parse_as(data, Grants)
    if msgspec.json.encode(found, order="sorted") != data:
        raise InvalidInputError("a field is missing")
    return found


def told(read: Callable[[bytes], Grants], data: bytes) -> Grants | None:
    try:
        return read(data)
    except InvalidInputError:
        return None


def test_reading_system_by_system_judges_every_changed_byte_as_reading_at_once_does() -> None:
    (first,) = grants().systems
    data = grants().with_system(msgspec.structs.replace(first, id=PersonId("zoe"), key_id=None, secrets=(), tokens=()))
    whole, taken = data.encode(), 0
    assert read_at_once(whole) == Grants.decode(whole)
    for at in range(len(whole)):
        for put in (b"", b" ", b"}", b'"', b"0", bytes((whole[at] ^ 1,))):
            changed = whole[:at] + put + whole[at + 1 :]
            found = told(Grants.decode, changed)
            assert found == told(read_at_once, changed)
            taken += found is not None
    assert taken > 100


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"from":0', b'"from":9007199254740992'),
        (b'"from":0', b'"from":0.0'),
        (b'"roles":["caller"]', b'"roles":["caller"],"roles":["caller"]'),
        (b'"id":"', b'"id":"\\u0062'),
        (b'"systems":[', b'"systems":[null,'),
        (b'"systems":[', b'"systems":[' + b"[" * 40 + b"]" * 40 + b","),
        (b'"sequence":1,', b'"sequence":1,"sequence":1,'),
    ],
)
def test_no_other_spelling_of_a_system_is_read(old: bytes, new: bytes) -> None:
    data = grants().encode()
    assert old in data
    for read in (Grants.decode, read_at_once):
        with pytest.raises(InvalidInputError):
            read(data.replace(old, new, 1))


def test_what_stands_around_the_systems_has_the_fields_of_the_document() -> None:
    known, parted = ({one.name: one for one in msgspec.structs.fields(kind)} for kind in (Grants, _Outer))
    assert list(known) == list(parted)
    assert all(known[name].type == parted[name].type for name in known if name != "systems")


def test_a_long_document_is_read_in_slices_and_shares_what_is_alike() -> None:
    (first,) = grants().systems
    many = [
        msgspec.structs.replace(first, id=PersonId(f"s-{n:03d}"), key_id=None, secrets=(), tokens=())
        for n in range(2 * SLICE + 1)
    ]
    pauses: list[int] = []
    data = msgspec.structs.replace(grants(), systems=tuple(many)).encode()
    found = Grants.decode(data, lambda: pauses.append(1))
    assert (found.systems, len(pauses)) == (tuple(many), 3)
    assert found.encode() == data
    assert len({id(one.bounds) for one in found.systems}) == 1


def test_rotation_keeps_the_id_and_lets_both_secrets_in_for_a_while() -> None:
    fresh = new_api_key(counter(), API_KEY.id)
    (system,) = grants().systems
    later = grants().with_system(system.rotated(fresh.digest(PEPPER), NOW, overlap_us=100))
    assert later.sequence == 2
    door = Authenticator(later, {1: PEPPER})
    assert fresh.id == API_KEY.id
    assert fresh.secret != API_KEY.secret
    with pytest.raises(NotAuthenticatedError):
        door.authenticate(bearer(fresh), NOW - 1)
    for at in (NOW, NOW + 99):
        assert door.authenticate(bearer(fresh), at).id == "loans"
        assert door.authenticate(bearer(API_KEY), at).id == "loans"
    with pytest.raises(NotAuthenticatedError):
        door.authenticate(bearer(API_KEY), NOW + 100)
    assert door.authenticate(bearer(fresh), NOW + 100).id == "loans"


def test_rotation_drops_what_has_ended_and_does_not_pile_up() -> None:
    (system,) = grants().systems
    make = counter()
    for step in range(10):
        system = system.rotated(new_api_key(make, API_KEY.id).digest(PEPPER), NOW + step * 1000, overlap_us=100)
    assert len(system.secrets) == 2
    for _ in range(2):
        system = system.rotated(new_api_key(make, API_KEY.id).digest(PEPPER), NOW + 9000, overlap_us=10**6)
    with pytest.raises(ConflictError, match="wait"):
        system.rotated(new_api_key(make, API_KEY.id).digest(PEPPER), NOW + 9000, overlap_us=10**6)
    with pytest.raises(ConflictError, match="no API key"):
        CallingSystem(id=PersonId("x"), roles=("caller",), bounds=BOUNDS).rotated(API_KEY.digest(PEPPER), NOW, 1)


def test_new_keys_have_the_form_that_is_read() -> None:
    key = new_api_key(counter())
    assert parse_api_key(str(key)) == key
    # 80 bits find it and 256 prove it, in characters of five
    assert (len(key.id), len(key.secret)) == (16, 52)
    for size in (0, 31):
        with pytest.raises(ValueError, match="a pepper has at least 32 bytes"):
            key.digest(bytes(size))
    assert len(key.digest(bytes(32))) == 64
    with pytest.raises(ValueError, match="without a pepper"):
        match_secret(key, [], {}, NOW)


@given(st.text(max_size=120))
def test_a_key_is_read_as_it_was_written_or_not_at_all(text: str) -> None:
    try:
        key = parse_api_key(text)
    except InvalidInputError:
        return
    assert str(key) == text


def test_a_refusal_never_quotes_the_credential() -> None:
    with pytest.raises(InvalidInputError) as raised:
        parse_api_key("sr_abcdefgh2345_tooshortsecret")
    assert "tooshortsecret" not in str(raised.value) + repr(raised.value.details)


def test_all_stored_secrets_are_looked_at() -> None:
    first, second = ApiKey(API_KEY.id, "a" * 52), ApiKey(API_KEY.id, "b" * 52)
    stored = [
        Secret(digest=first.digest(PEPPER), from_us=0, until_us=NOW),
        Secret(digest=second.digest(PEPPER), from_us=0),
        Secret(digest=first.digest(PEPPER), from_us=NOW + 5),
    ]
    assert match_secret(first, stored, {1: PEPPER}, NOW - 1) is stored[0]
    assert match_secret(first, stored, {1: PEPPER}, NOW) is None
    assert match_secret(first, stored, {1: PEPPER}, NOW + 5) is stored[2]
    assert match_secret(second, stored, {1: PEPPER}, NOW) is stored[1]
    assert match_secret(second, [], {1: PEPPER}, NOW) is None


def system(**changes: Any) -> dict[str, Any]:
    return {"id": PersonId("x"), "roles": ("caller",), "bounds": BOUNDS, **changes}


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "X"},
        {"roles": ()},
        {"roles": ("approver",)},
        {"roles": ("custodian",)},
        {"roles": ("caller", "boss")},
        {"key_id": "abcdefgh2345"},
        {"key_id": "short", "secrets": (Secret(digest=API_KEY.digest(PEPPER), from_us=0),)},
        {"secrets": (Secret(digest=API_KEY.digest(PEPPER), from_us=0),)},
        {"key_id": "abcdefgh2345", "secrets": (Secret(digest=API_KEY.digest(PEPPER), from_us=0),) * 5},
    ],
)
def test_a_system_out_of_form_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        CallingSystem(**system(**changes))


def test_nothing_stands_twice() -> None:
    (one,) = grants().systems
    two = msgspec.structs.replace(one, id=PersonId("other"))
    with pytest.raises(InvalidInputError, match="twice"):
        Grants(sequence=1, systems=(one, two), issuers=grants().issuers)
    tokens = (TokenSubject(issuer="https://unknown.example", subject="a"),)
    with pytest.raises(InvalidInputError, match="pinned"):
        Grants(sequence=1, systems=(CallingSystem(**system(tokens=tokens)),))
    with pytest.raises(InvalidInputError, match="sorted"):
        Grants(sequence=1, systems=(CallingSystem(**system()), CallingSystem(**system())))


@pytest.mark.parametrize(
    ("alg", "jwk"),
    [
        ("ES256", {**public(EC), "d": "AAAA"}),
        ("ES256", {**public(EC), "alg": "ES256"}),
        ("ES256", {**public(EC), "crv": "P-384"}),
        ("ES256", {**public(EC), "x": public(EC)["y"]}),
        ("Ed25519", public(EC)),
        ("RS256", {"kty": "oct", "k": "AAAA"}),
        ("RS256", {"kty": "RSA", "n": "AQAB", "e": "AQAB"}),
    ],
)
def test_only_public_keys_of_their_kind_are_pinned(alg: Any, jwk: dict[str, str]) -> None:
    with pytest.raises(InvalidInputError):
        IssuerKey(kid="k", alg=alg, jwk=jwk)


def test_algorithms_of_shared_secrets_cannot_be_pinned() -> None:
    data = grants().encode()
    for other in (b"HS256", b"none", b"EdDSA"):
        with pytest.raises(InvalidInputError):
            Grants.decode(data.replace(b'"ES256"', b'"' + other + b'"'))
    with pytest.raises(InvalidInputError):
        Issuer(issuer=ISSUER, audience="", keys=(IssuerKey(kid="k", alg="ES256", jwk=public(EC)),))


def test_an_ended_grant_takes_key_and_tokens_along() -> None:
    ended = grants().without_system("loans")
    assert (ended.sequence, ended.systems) == (2, ())
    assert Grants.decode(ended.encode()) == ended
    with pytest.raises(NotAuthenticatedError):
        Authenticator(ended, {1: PEPPER}).authenticate(bearer(API_KEY), NOW)
    with pytest.raises(NotFoundError, match="grant list"):
        ended.without_system("loans")
