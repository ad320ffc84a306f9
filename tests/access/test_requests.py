"""People's signed requests: what is signed is what is asked, here, now, once."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from strongroom.access.people import PeopleRegister
from strongroom.access.requests import (
    WINDOW_US,
    PersonRequest,
    SignedRequest,
    Target,
    new_request,
    sign_request,
    verify_request,
)
from strongroom.encoding import canonical
from strongroom.errors import NotAuthenticatedError
from strongroom.vocabulary import KeyId, digest_of
from tests.access.test_people import person, private, spki
from tests.memory.office import MemoryNonces

ROOM, NOW, BODY = "bank.example/credit/eu/control/governance/1", 1_800_000_000_000_000, b"package"
REGISTER = PeopleRegister(1, (person("ann", 1, roles=("author",)), person("bob", 2)))
KEY = KeyId(digest_of(spki(1)))
numbers = itertools.count(1)


class Pen:
    def __init__(self, number: int) -> None:
        self.number = number

    def sign(self, data: bytes) -> bytes:
        return private(self.number).sign(data, ec.ECDSA(hashes.SHA256()))


def request(**changes: object) -> PersonRequest:
    made = new_request(
        ROOM, "submit", Target(kind="Model", id="pd-cards"), BODY, NOW, lambda size: next(numbers).to_bytes(size, "big")
    )
    return msgspec.structs.replace(made, **changes)


def signed(pen: int = 1, key: KeyId = KEY, **changes: object) -> SignedRequest:
    return sign_request(request(**changes), key, Pen(pen))


def check(sent: SignedRequest, body: bytes = BODY, room: str = ROOM, at: int = NOW, nonces: MemoryNonces | None = None):
    return verify_request(sent, body, room, REGISTER, nonces or MemoryNonces(), at)


def test_an_honest_request_names_its_person() -> None:
    sent = signed()
    principal, asked = check(sent)
    assert (principal.id, principal.kind, principal.roles) == ("ann", "Person", {"author"})
    assert (asked.verb, asked.on.id) == ("submit", "pd-cards")
    assert canonical(asked) == sent.document


def test_a_request_is_used_once() -> None:
    nonces, sent = MemoryNonces(), signed()
    check(sent, nonces=nonces)
    with pytest.raises(NotAuthenticatedError, match="used before"):
        check(sent, nonces=nonces)
    check(signed(), nonces=nonces)


@pytest.mark.parametrize("off", [-WINDOW_US - 1, WINDOW_US + 1])
def test_a_request_is_for_now(off: int) -> None:
    with pytest.raises(NotAuthenticatedError, match="five minutes"):
        check(signed(), at=NOW + off)
    check(signed(), at=NOW + (WINDOW_US if off > 0 else -WINDOW_US))


def test_a_refused_request_does_not_spend_its_nonce() -> None:
    nonces, sent = MemoryNonces(), signed()
    with pytest.raises(NotAuthenticatedError, match="body"):
        check(sent, body=b"other", nonces=nonces)
    check(sent, nonces=nonces)


def changed(sent: SignedRequest, **changes: object) -> SignedRequest:
    return msgspec.structs.replace(sent, **changes)


@pytest.mark.parametrize(
    ("sent", "what"),
    [
        (signed(pen=2), "signature"),
        (signed(key=KeyId(digest_of(spki(2)))), "signature"),
        (signed(pen=9, key=KeyId(digest_of(spki(9)))), "nowhere"),
        (changed(signed(), document=canonical(request(verb="approve"))), "signature"),
        (changed(signed(), signature=b""), "signature"),
        (signed(room="bank.example/other/eu/control/governance/1"), "another room"),
        (signed(body_sha256="0" * 64), "body"),
        (signed(nonce="1"), "nonce"),
        (signed(nonce="G" * 32), "nonce"),
        (signed(at_us=0), "five minutes"),
    ],
)
def test_anything_bent_is_refused(sent: SignedRequest, what: str) -> None:
    with pytest.raises(NotAuthenticatedError, match=what):
        check(sent)


def test_a_signature_for_another_purpose_is_no_request() -> None:
    """Without a prefix of its own, an approval that happens to look like a request could be sent as one."""
    document = canonical(request())
    with pytest.raises(NotAuthenticatedError, match="signature"):
        check(SignedRequest(document=document, key_id=KEY, signature=Pen(1).sign(document)))


@pytest.mark.parametrize("document", [b"", b"{}", b"[]", b"\xff", canonical(request()) + b"\n", b'{"v":1, "a":2}'])
def test_a_signed_document_of_another_form_is_refused(document: bytes) -> None:
    signature = Pen(1).sign(b"strongroom/person-request/v1\n" + document)
    with pytest.raises(NotAuthenticatedError):
        check(SignedRequest(document=document, key_id=KEY, signature=signature))
