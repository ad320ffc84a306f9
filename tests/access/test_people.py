"""Format 8: what a register may be, and whose key counts when. Vectors: tests/vectors/people.json."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.access.people import PeopleRegister, Person, PersonKey, person_key
from strongroom.access.verbs import ROLES
from strongroom.encoding import canonical
from strongroom.errors import InvalidInputError, NotAuthenticatedError, NotFoundError, StrongroomError, TamperedError
from strongroom.vocabulary import KeyId, PersonId, digest_of

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "people.json").read_text())


def private(number: int) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(number, ec.SECP256R1())


def spki(number: int) -> bytes:
    return (
        private(number)
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def person(name: str, *numbers: int, roles: tuple[str, ...] = ("author",)) -> Person:
    return Person(
        person_id=PersonId(name), kind="Person", keys=tuple(person_key(spki(n), 100) for n in numbers), roles=roles
    )


def ended(number: int, reason: str, until: int | None = 200) -> PersonKey:
    return msgspec.structs.replace(person_key(spki(number), 100), until_us=until, reason=reason)  # type: ignore[arg-type]


@pytest.mark.parametrize("vector", VECTORS["accept"], ids=lambda vector: vector["name"])
def test_accepted(vector: dict[str, str]) -> None:
    data = base64.b64decode(vector["bytes"])
    register = PeopleRegister.decode(data)
    assert register.encode() == data
    assert register.digest == digest_of(data)


@pytest.mark.parametrize("vector", VECTORS["reject"], ids=lambda vector: vector["name"])
def test_rejected(vector: dict[str, str]) -> None:
    with pytest.raises(InvalidInputError):
        PeopleRegister.decode(base64.b64decode(vector["bytes"]))


def test_the_owner_of_a_key_is_found_while_it_counts() -> None:
    register = PeopleRegister(1, (person("ann", 1, 2), person("bob", 3)))
    key = KeyId(digest_of(spki(2)))
    assert register.key_owner(key, 100).person_id == "ann"
    for at in (99, 0):
        with pytest.raises(NotAuthenticatedError, match="not valid yet"):
            register.key_owner(key, at)
    with pytest.raises(NotAuthenticatedError, match="nowhere"):
        register.key_owner(KeyId(digest_of(spki(9))), 100)
    with pytest.raises(NotFoundError):
        register.person("cid")


@pytest.mark.parametrize(
    ("reason", "before"), [("planned", True), ("left", True), ("rotated", True), ("compromised", False)]
)
def test_an_ended_key_counts_before_its_end_unless_it_is_compromised(reason: str, before: bool) -> None:
    who = Person(person_id=PersonId("ann"), kind="Person", keys=(ended(1, reason),), roles=("author",))
    register = PeopleRegister(1, (who,))
    key = who.keys[0].id
    with pytest.raises(NotAuthenticatedError):
        register.key_owner(key, 200)
    if before:
        assert register.key_owner(key, 199) == who
    else:
        with pytest.raises(NotAuthenticatedError, match="compromised"):
            register.key_owner(key, 150)


def test_a_signature_is_checked_with_the_registered_key() -> None:
    key = person_key(spki(1), 0)
    signature = private(1).sign(b"words", ec.ECDSA(hashes.SHA256()))
    key.verify(signature, b"words")
    for wrong, data in (
        (signature, b"other"),
        (b"", b"words"),
        (private(2).sign(b"words", ec.ECDSA(hashes.SHA256())), b"words"),
    ):
        with pytest.raises(TamperedError):
            key.verify(wrong, data)


def test_the_next_register_has_the_next_version() -> None:
    register = PeopleRegister(1, (person("bob", 3),))
    later = register.with_person(person("ann", 1))
    assert (later.version, [who.person_id for who in later.people]) == (2, ["ann", "bob"])
    with pytest.raises(InvalidInputError, match="twice"):
        later.with_person(person("cid", 3))


@pytest.mark.parametrize("role", ROLES)
def test_judgement_is_for_persons_and_machinery_for_machines(role: str) -> None:
    human = role in {"approver", "author", "auditor", "custodian", "dpo", "halter", "risk", "validator"}
    machine = role in {"caller", "control-plane", "gateway", "scanner", "validation-service"}
    for kind, allowed in (("Person", not machine), ("Service", not human)):
        make = {"person_id": "x", "kind": kind, "keys": (person_key(spki(1), 0),), "roles": (role,)}
        if allowed:
            assert Person(**make).roles == (role,)  # type: ignore[arg-type]
        else:
            with pytest.raises(InvalidInputError):
                Person(**make)  # type: ignore[arg-type]


GOOD = PeopleRegister(3, (person("ann", 1, roles=("approver", "author")), person("bob", 2))).encode()


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_read_as_something_else(place: int, change: int) -> None:
    data = bytearray(GOOD)
    data[place] ^= change
    try:
        register = PeopleRegister.decode(bytes(data))
    except StrongroomError:
        return
    assert register.encode() == bytes(data) != GOOD


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInputError):
        PeopleRegister.decode(data)


def test_the_generator_makes_the_vectors_again() -> None:
    from tests.vectors.make_people import make

    assert json.loads(json.dumps(make())) == VECTORS
    assert canonical({"a": 1}) == b'{"a":1}'
