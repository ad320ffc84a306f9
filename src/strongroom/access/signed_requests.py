"""Requests that calling systems sign: which components, which key, how old, and each only once.

A signature makes a stolen API key useless on its own, and shows later that it was this system that asked.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from strongroom.access.content_digest import check_digest, digest_field
from strongroom.access.grants import CallingSystem
from strongroom.access.ports import Nonces
from strongroom.access.signature_fields import (
    LABEL,
    NONCE_CHARACTERS,
    read_signature,
    request_lines,
    signature_base,
    signed_value,
    write_signature,
)
from strongroom.access.signing_keys import MessageSigner, MessageVerifier
from strongroom.errors import InvalidInputError, NotPermittedError, TamperedError
from strongroom.vocabulary import PersonId

REQUEST_TAG: Final = "strongroom-request"
WINDOW_S: Final = 60
AHEAD_S: Final = 5
"""How far a caller's clock may be ahead of ours."""

BODY_METHODS: Final = frozenset((b"POST", b"PUT", b"PATCH"))


@dataclass(frozen=True, slots=True)
class Terms:
    """What a grant says of one system's messages, with its keys loaded."""

    keys: Mapping[str, MessageVerifier]
    require_signed: bool
    sign_answers: bool


def terms_of_systems(systems: Iterable[CallingSystem]) -> dict[PersonId, Terms]:
    """Of every system whose grant speaks of signatures."""
    return {
        system.id: Terms(
            {key.id: key.verifier() for key in system.signing.keys},
            system.signing.require_signed,
            system.signing.sign_answers,
        )
        for system in systems
        if system.signing
    }


def check_request(
    principal: PersonId,
    terms: Terms | None,
    method: bytes,
    target: bytes,
    headers: Mapping[bytes, bytes],
    body: bytes,
    nonces: Nonces,
    at_us: int,
    window_s: int = WINDOW_S,
) -> bool:
    """Verify the signature of a request whose credential has held.

    1. none at all is refused where the grant demands one, else the answer is False
    2. form: one label, known parameters, `created`, `nonce`, `keyid` and our `tag` among them
    3. the components are exactly those that `request_lines` names for this message
    4. `created` lies within the window, and `expires`, where given, ahead
    5. `keyid` is a key of this very system, and the algorithm is that key's
    6. the signature is the key's over the components of this message
    7. `Content-Digest` is the body's
    8. the nonce is new; it is spent only now, so that nobody spends another's

    Args:
        principal: whom the credential says this is.
        terms: of its grant; None where that speaks of no signatures.
        headers: by name in lower case, repeated ones joined.
        at_us: now, in microseconds.
        window_s: how old a signature may be, in seconds.

    Returns:
        True: signed. False: not signed, and not demanded.

    Raises:
        NotPermittedError: one of the above does not hold.
        TooManyRequestsError: more signed requests within the window than are remembered.
        UnavailableError: the memory of nonces cannot be asked.

    Source: RFC 9421, sections 3.2 and 7.
    """
    # 1.
    if b"signature-input" not in headers and b"signature" not in headers:
        if terms is not None and terms.require_signed:
            raise _no(f"`{principal}` signs its requests; this one has no signature", "missing")
        if b"content-digest" in headers:
            check_digest(headers[b"content-digest"], body)
        return False
    if terms is None or not terms.keys:
        raise _no(f"no signing key is registered for `{principal}`; have an operator add it to the grant", "key")
    # 2.
    try:
        fields = read_signature(headers.get(b"signature-input"), headers.get(b"signature"))
    except InvalidInputError as error:
        raise _no(error.message, "form") from error
    given = fields.parameters
    if fields.label != LABEL or given.get("tag") != REQUEST_TAG:
        raise _no(f'a request is signed under the label `{LABEL}` with tag="{REQUEST_TAG}"', "label")
    nonce = str(given.get("nonce", ""))
    if "created" not in given or "keyid" not in given or len(nonce) not in NONCE_CHARACTERS:
        raise _no("a signature has created, keyid and a nonce of 16 to 128 characters", "form")
    # 3.
    lines = request_lines(method, target, headers)
    if b"host" not in headers:
        raise _no("a signed request has the field host", "components")
    if method in BODY_METHODS or body:
        for name in ("content-digest", "content-type"):
            if f'"{name}"' not in lines:
                raise _no(f"a signed request with a body has the field {name}", "components")
    if len(fields.components) != len(lines) or set(fields.components) != lines.keys():
        wanted = " ".join(sorted(lines))
        raise _no(f"the signature of this request covers exactly {wanted}", "components")
    # 4.
    now_s = at_us // 1_000_000
    created_s = fields.created_s
    if not now_s - window_s <= created_s <= now_s + AHEAD_S:
        raise _no(f"a signature is at most {window_s} s old, by the clock of this gateway", "time")
    expires_s = given.get("expires")
    if expires_s is not None and not (created_s <= int(expires_s) and now_s < int(expires_s)):
        raise _no("the signature has expired", "time")
    # 5.
    key = terms.keys.get(str(given["keyid"]))
    if key is None:
        raise _no(f"the grant of `{principal}` has no signing key with this keyid", "key")
    if given.get("alg", key.alg) != key.alg:
        raise _no("the algorithm is the key's own and cannot be chosen", "algorithm")
    # 6.
    try:
        base = signature_base([(name, lines[name]) for name in fields.components], fields.signed_value)
        key.verify(fields.signature, base)
    except (InvalidInputError, TamperedError) as error:
        raise _no("the signature is not by this key over this request", "signature") from error
    # 7.
    if b"content-digest" in headers:
        try:
            check_digest(headers[b"content-digest"], body)
        except InvalidInputError as error:
            raise _no(error.message, "digest") from error
    # 8.
    nonces.spend(principal, nonce, created_s, now_s)
    return True


def sign_request(
    signer: MessageSigner,
    method: bytes,
    target: bytes,
    headers: Mapping[bytes, bytes],
    body: bytes,
    created_s: int,
    nonce: str | None = None,
) -> dict[bytes, bytes]:
    """The fields that a caller adds: `content-digest` where there is a body, `signature-input`, `signature`.

    Args:
        signer: of the calling system.
        target: path of the request, as it will be sent.
        headers: by name in lower case; `host` among them, and all that `MEANING` lists, as they will be sent.
        body: as it will be sent.
        created_s: now, in seconds since 1970.
        nonce: 16 to 128 characters that no other request has; random when None.
    """
    added: dict[bytes, bytes] = {}
    if (method in BODY_METHODS or body) and b"content-digest" not in headers:
        added[b"content-digest"] = digest_field(body)
    lines = request_lines(method, target, {**headers, **added})
    value = signed_value(
        tuple(lines),
        {
            "created": created_s,
            "keyid": signer.public.id,
            "nonce": nonce or secrets.token_urlsafe(16),
            "tag": REQUEST_TAG,
        },
    )
    signature = signer.sign(signature_base(list(lines.items()), value))
    added[b"signature-input"], added[b"signature"] = write_signature(LABEL, value, signature)
    return added


def _no(message: str, rule: str) -> NotPermittedError:
    return NotPermittedError(message, field="signature", rule=f"signature-{rule}")
