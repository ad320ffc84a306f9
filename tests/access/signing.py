"""Signed messages for tests: keys, a request, and a way to sign it."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from strongroom.access.grants import Signing
from strongroom.access.signed_requests import Terms, sign_request
from strongroom.access.signing_keys import MessageSigner

NOW_S = 1_790_000_000
NOW_US = NOW_S * 1_000_000
EC_KEY = MessageSigner.of(ec.derive_private_key(0x1234567890ABCDEF, ec.SECP256R1()))
ED_KEY = MessageSigner.of(ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
STRANGER = MessageSigner.of(ec.derive_private_key(0xFEDCBA0987654321, ec.SECP256R1()))
NODE = MessageSigner.of(ec.derive_private_key(0x1111111111111111, ec.SECP256R1()))
BODY = b'{"inputs":[]}'
TARGET = b"/v2/models/pd-cards/infer"
FIELDS = {
    b"host": b"gateway.example:8443",
    b"authorization": b"Bearer sr_abc_def",
    b"content-type": b"application/json",
    b"user-agent": b"tests",
}


def signing(*keys: MessageSigner, require: bool = True, answers: bool = False) -> Signing:
    listed = sorted((key.public for key in keys), key=lambda key: key.id)
    return Signing(keys=tuple(listed), require_signed=require, sign_answers=answers)


def terms(*keys: MessageSigner, require: bool = True, answers: bool = False) -> Terms:
    return Terms({key.public.id: key.public.verifier() for key in keys}, require, answers)


def signed(
    key: MessageSigner = EC_KEY,
    method: bytes = b"POST",
    target: bytes = TARGET,
    headers: dict[bytes, bytes] | None = None,
    body: bytes = BODY,
    created_s: int = NOW_S,
    nonce: str | None = None,
) -> dict[bytes, bytes]:
    """All fields of a request, signature included."""
    fields = dict(FIELDS if headers is None else headers)
    return fields | sign_request(key, method, target, fields, body, created_s, nonce)
