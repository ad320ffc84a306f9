"""How a person asks the control plane: a small document, signed with their own key.

The control plane never sees the key. The document names the verb, the thing, the digest of the body, the time and a
number used once, so a captured request can neither be changed nor sent again, here or to another room.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import msgspec

from strongroom.access.people import PeopleRegister, principal_of
from strongroom.access.principals import Principal
from strongroom.encoding import canonical, parse_as
from strongroom.errors import ConflictError, NotAuthenticatedError, RefusedError, TamperedError
from strongroom.vocabulary import Digest, KeyId, digest_of

LIMIT_BYTES = 4096
WINDOW_US = 300 * 1_000_000
"""How far the asker's clock may be off, either way."""

NONCE_BYTES = 16
_CONTEXT = b"strongroom/person-request/v1\n"


class Target(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be acted upon."""

    kind: str
    id: str


class PersonRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The document, version 1.

    Attributes:
        room: which room is asked: the origin of its governance log.
        verb: of `access.verbs`.
        on: the resource.
        body_sha256: of the bytes that go along (a package, a signature, parameters), of b"" when there are none.
        at_us: when it was signed.
        nonce: 32 hexadecimal digits, random, used once.
    """

    v: Literal[1] = 1
    room: str
    verb: str
    on: Target
    body_sha256: Digest
    at_us: int
    nonce: str


class SignedRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Document, key and signature, as they travel."""

    document: bytes
    key_id: KeyId
    signature: bytes

    def encode(self) -> bytes:
        """As it is kept: canonical, `document` and `signature` in base64."""
        return canonical(self)


class Signing(Protocol):
    """Whoever signs with one key: a home (`sealing.keys.Signer`)."""

    def sign(self, data: bytes) -> bytes: ...


class Nonces(Protocol):
    """Numbers that were used. Its own storage: what is spent stays spent when the act is refused."""

    def spend(self, key_id: KeyId, nonce: str, until_us: int) -> None:
        """Durable on return; may forget it after `until_us`. Raises ConflictError when it was spent before."""


def sign_request(request: PersonRequest, key_id: KeyId, signer: Signing) -> SignedRequest:
    """On the person's side."""
    document = canonical(request)
    return SignedRequest(document=document, key_id=key_id, signature=signer.sign(_CONTEXT + document))


def new_request(
    room: str, verb: str, on: Target, body: bytes, at_us: int, random: Callable[[int], bytes]
) -> PersonRequest:
    """A request over `body`, not signed yet."""
    return PersonRequest(
        room=room, verb=verb, on=on, body_sha256=digest_of(body), at_us=at_us, nonce=random(NONCE_BYTES).hex()
    )


def verify_request(
    signed: SignedRequest, body: bytes, room: str, register: PeopleRegister, nonces: Nonces, at_us: int
) -> tuple[Principal, PersonRequest]:
    """Who asks, and for what.

    1. the key stands in the register and counts now
    2. the signature is that key's over these bytes
    3. the document is canonical, for this room, and within five minutes of now
    4. the body is the one that was signed
    5. the nonce was not used before

    Args:
        signed: as it came.
        body: the bytes that came along.
        room: this room.
        register: the people register in force.
        nonces: numbers that were used.
        at_us: now.

    Raises:
        NotAuthenticatedError: any of these does not hold; `__cause__` or the message says which.
    """
    try:
        key = register.key(signed.key_id, at_us)
        key.verify(signed.signature, _CONTEXT + signed.document)
        request = parse_as(signed.document, PersonRequest, LIMIT_BYTES)
    except (RefusedError, TamperedError) as error:
        raise NotAuthenticatedError(f"the request is not signed by a key that counts here: {error.message}") from error
    if canonical(request) != signed.document:
        raise NotAuthenticatedError("the request lacks a field")
    if request.room != room:
        raise NotAuthenticatedError("the request was signed for another room")
    if abs(at_us - request.at_us) > WINDOW_US:
        raise NotAuthenticatedError(
            "the request was signed more than five minutes from now; check the clock and sign again"
        )
    if digest_of(body) != request.body_sha256:
        raise NotAuthenticatedError("the body is not the one that was signed")
    if len(request.nonce) != 2 * NONCE_BYTES or not set(request.nonce) <= set("0123456789abcdef"):
        raise NotAuthenticatedError("the request's nonce is not 32 hexadecimal digits")
    try:
        nonces.spend(signed.key_id, request.nonce, request.at_us + 2 * WINDOW_US)
    except ConflictError as error:
        raise NotAuthenticatedError("the request was used before; sign a new one") from error
    return principal_of(register.key_owner(signed.key_id, at_us)), request


def check_kept(
    kept: bytes, room: str, register: PeopleRegister, *, who: str, verb: str, on: Target, at_us: int
) -> PersonRequest:
    """That an act of the past was asked for by a person's signature, from the request that was kept.

    Whether the nonce was fresh was judged then. One request may stand behind several entries of the same verb on the
    same thing, such as a submission and the opening of its case. A key that ended or was compromised later still
    shows who asked.

    Args:
        kept: `SignedRequest.encode`.
        room: as in the request.
        register: the people register, of then or any later one.
        who, verb, on, at_us: as the act's entry has them.

    Raises:
        NotFoundError: nobody of that id.
        TamperedError: the request is not that person's, not for this act, or was changed.
    """
    try:
        signed = parse_as(kept, SignedRequest, 4 * LIMIT_BYTES)
        request = parse_as(signed.document, PersonRequest, LIMIT_BYTES)
    except RefusedError as error:
        raise TamperedError(f"the kept request does not read: {error.message}") from error
    keys = {key.id: key for key in register.person(who).keys}
    key = keys.get(signed.key_id)
    if key is None:
        raise TamperedError(f"the kept request is signed by key {signed.key_id[:12]}, which is none of `{who}`")
    key.verify(signed.signature, _CONTEXT + signed.document)
    if request.at_us < key.from_us - WINDOW_US or (key.until_us is not None and request.at_us >= key.until_us):
        raise TamperedError(f"the kept request was signed when key {signed.key_id[:12]} did not count")
    if (request.room, request.verb, request.on) != (room, verb, on) or request.at_us > at_us + WINDOW_US:
        raise TamperedError(f"the kept request asks for `{request.verb}` on `{request.on.id}`, not for this act")
    return request
