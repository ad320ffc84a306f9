"""JWT access tokens (RFC 9068) from issuers that we know, with keys that were pinned or fetched beforehand.

The token says nothing about how it is to be verified. Its `iss` selects a granted issuer, its `kid` one of that
issuer's known keys, and the key itself says which algorithm holds; a token that brings a key, an address of keys or a
critical extension is refused before any of it is read.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from strongroom.access.foreign_json import read_object
from strongroom.access.issuers import KID_LIMIT, LIFETIME_LIMIT_S, KnownIssuer, load_key
from strongroom.errors import ExpiredError, InvalidInputError, NotAuthenticatedError, TooLargeError

TOKEN_LIMIT_BYTES = 8192
LEEWAY_S = 5
"""How far an issuer's clock may be ahead of ours, for `nbf` and `iat`; expiry gets no leeway."""

_HEADER = {"alg", "typ", "kid"}
_TYPES = ("at+jwt", "application/at+jwt")
_THUMBPRINT_BYTES = 32


class UnknownKeyError(NotAuthenticatedError):
    """The token names a key of an issuer with a source of keys, and the key is not known (any more, or yet)."""

    def __init__(self, issuer: str) -> None:
        super().__init__("the token's key is not one of its issuer's keys")
        self.issuer = issuer


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A token whose signature and claims hold: `verify_token` alone makes it.

    Attributes:
        issuer, subject, client, token_id: `iss`, `sub`, `client_id`, `jti`.
        issued_us: `iat`.
        expires_us: `exp`, or when the fetched key that signed it counts no more, whichever is first.
        ends_us: `exp`.
        thumbprint: SHA-256 of the certificate that it is bound to (RFC 8705), 32 bytes, or None. Whoever uses a token
            with one must hold it against the certificate on the line.
    """

    issuer: str
    subject: str
    client: str
    token_id: str
    issued_us: int
    expires_us: int
    ends_us: int
    thumbprint: bytes | None


def verify_token(token: str, issuers: Mapping[str, KnownIssuer], at_us: int) -> VerifiedToken:
    """Check a token.

    1. size and shape: three parts of base64url, JSON objects without repeated names
    2. header: `typ` at+jwt, `alg`, `kid`, and nothing else (no `jku`, `jwk`, `x5u`, `x5c`, `crit`, `b64`)
    3. `iss` is a known issuer, `kid` one of its keys, fetched lately enough if it was fetched, `alg` the key's own
    4. signature
    5. claims of RFC 9068, section 2.2: `iss`, `exp`, `aud`, `sub`, `client_id`, `iat`, `jti`; `nbf` where present
    6. `cnf`, where present: the certificate that it is bound to (RFC 8705, section 3.1), and no other confirmation

    Args:
        token: as it stood behind `Bearer`.
        issuers: with their keys, by identifier.
        at_us: now, in microseconds.

    Raises:
        TooLargeError: more than 8 KiB.
        InvalidInputError: not a token of this form.
        NotAuthenticatedError: issuer, key, algorithm, signature, audience or time do not hold.
        UnknownKeyError: its issuer may have such a key by now.
        ExpiredError: it was good once.
    """
    # with the first token: a gateway whose callers have none never loads it
    from joserfc import jws
    from joserfc.errors import JoseError

    # 1. size and shape
    if len(token) > TOKEN_LIMIT_BYTES:
        raise TooLargeError(f"a token is at most {TOKEN_LIMIT_BYTES} bytes long", rule="size")
    parts = token.split(".")
    if len(parts) != 3 or not token.isascii():
        raise InvalidInputError("a token has three parts", rule="token")
    header, claims = _object(parts[0]), _object(parts[1])
    # 2. header
    if set(header) != _HEADER or not all(isinstance(value, str) for value in header.values()):
        raise NotAuthenticatedError("a token's header has alg, typ and kid and nothing else")
    if header["typ"].lower() not in _TYPES:
        raise NotAuthenticatedError("the token is not an access token (typ at+jwt)")
    # 3. issuer, key, algorithm
    issuer = issuers.get(claims["iss"]) if isinstance(claims.get("iss"), str) else None
    if issuer is None:
        raise NotAuthenticatedError("the token's issuer is not granted")
    kid = header["kid"]
    key = issuer.keys.get(kid) if len(kid) <= KID_LIMIT else None
    if key is None:
        raise UnknownKeyError(issuer.issuer.issuer)
    if kid in issuer.fetched and at_us >= issuer.until_us:
        raise NotAuthenticatedError("the issuer's keys could not be fetched for too long, so they count no more")
    if header["alg"] != key.alg:
        raise NotAuthenticatedError(f"the token's algorithm is not its key's, {key.alg}")
    # 4. signature
    try:
        jws.deserialize_compact(token, load_key(key), algorithms=[key.alg])
    except (JoseError, ValueError) as error:
        raise NotAuthenticatedError("the token's signature does not hold") from error
    # 5. claims
    found = _check_claims(claims, issuer, at_us)
    return replace(found, expires_us=min(found.expires_us, issuer.until_us)) if kid in issuer.fetched else found


def _check_claims(claims: dict[str, Any], known: KnownIssuer, at_us: int) -> VerifiedToken:
    issuer = known.issuer
    for name in ("sub", "client_id", "jti"):
        if not isinstance(claims.get(name), str) or not claims[name]:
            raise NotAuthenticatedError(f"the token lacks the claim {name}")
    for name in ("exp", "iat"):
        if not _is_time(claims.get(name)):
            raise NotAuthenticatedError(f"the token lacks the claim {name}, in whole seconds")
    audience = claims.get("aud")
    named = [audience] if isinstance(audience, str) else audience
    if not isinstance(named, list) or issuer.audience not in named:
        raise NotAuthenticatedError("the token is for another audience")
    expires, issued, not_before = claims["exp"], claims["iat"], claims.get("nbf", claims["iat"])
    if not _is_time(not_before):
        raise NotAuthenticatedError("the token's claim nbf is not in whole seconds")
    latest_us = at_us + LEEWAY_S * 1_000_000
    if not_before * 1_000_000 > latest_us or issued * 1_000_000 > latest_us:
        raise NotAuthenticatedError("the token is not valid yet")
    longest_s = issuer.lifetime_s if isinstance(issuer.lifetime_s, int) else LIFETIME_LIMIT_S
    if not 0 < expires - issued <= longest_s:
        raise NotAuthenticatedError(f"a token of this issuer lives at most {longest_s} seconds")
    if expires * 1_000_000 <= at_us:
        raise ExpiredError("the token has expired")
    ends_us = expires * 1_000_000
    return VerifiedToken(
        issuer.issuer, claims["sub"], claims["client_id"], claims["jti"], issued * 1_000_000, ends_us, ends_us,
        _thumbprint(claims["cnf"]) if "cnf" in claims else None,
    )  # fmt: skip


def _thumbprint(confirmation: Any) -> bytes:
    """Step 6. A confirmation that we cannot check (`jkt`, `jwk`, ...) must not be taken for none."""
    if not isinstance(confirmation, dict) or set(confirmation) != {"x5t#S256"}:
        raise NotAuthenticatedError("the token is bound in a way that is not understood here")
    spelled = confirmation["x5t#S256"]
    if not isinstance(spelled, str):
        raise NotAuthenticatedError("the token's x5t#S256 is not text")
    digest = _base64url(spelled)
    if len(digest) != _THUMBPRINT_BYTES:
        raise NotAuthenticatedError("the token's x5t#S256 is not a SHA-256")
    return digest


def _is_time(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**40


def _object(part: str) -> dict[str, Any]:
    data = _base64url(part)
    try:
        return read_object(data)
    except ValueError as error:
        raise InvalidInputError("a token's header and claims are base64url of JSON objects", rule="token") from error


def _base64url(part: str) -> bytes:
    try:
        data = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInputError("a token's parts are base64url", rule="token") from error
    if base64.urlsafe_b64encode(data).decode().rstrip("=") != part:
        raise InvalidInputError("a token's parts are base64url in the shortest form", rule="token")
    return data
