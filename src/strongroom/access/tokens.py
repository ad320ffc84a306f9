"""JWT access tokens (RFC 9068) from issuers whose keys are pinned.

The token says nothing about how it is to be verified. Its `iss` selects a pinned issuer, its `kid` one of that issuer's
pinned keys, and the key itself says which algorithm holds; a token that brings a key, an address of keys or a critical
extension is refused before any of it is read.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from strongroom.errors import ExpiredError, InvalidInputError, NotAuthenticatedError, TooLargeError

TOKEN_LIMIT_BYTES = 8192
LIFETIME_LIMIT_S = 24 * 3600
LEEWAY_S = 5
"""How far an issuer's clock may be ahead of ours, for `nbf` and `iat`; expiry gets no leeway."""

Algorithm = Literal["ES256", "Ed25519", "RS256"]
"""ES256 and Ed25519 by choice, RS256 because RFC 9068, section 2.1, obliges issuers to offer it. Nothing symmetric."""

_HEADER = {"alg", "typ", "kid"}
_TYPES = ("at+jwt", "application/at+jwt")
_KINDS: Mapping[str, tuple[str, frozenset[str]]] = {
    "ES256": ("EC", frozenset({"kty", "crv", "x", "y"})),
    "Ed25519": ("OKP", frozenset({"kty", "crv", "x"})),
    "RS256": ("RSA", frozenset({"kty", "n", "e"})),
}
_RSA_BITS = 2048


class IssuerKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One pinned key: its name, the one algorithm it is for, and the public JWK (RFC 7517), nothing private in it."""

    kid: str
    alg: Algorithm
    jwk: dict[str, str]

    def __post_init__(self) -> None:
        kind, members = _KINDS[self.alg]
        if self.jwk.get("kty") != kind or set(self.jwk) != members:
            raise InvalidInputError(
                f"key `{self.kid}` for {self.alg} is a public JWK of type {kind} with exactly {sorted(members)}",
                field="jwk",
                rule="jwk",
            )
        load_key(self)


class Issuer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One issuer: its identifier, the audience that its tokens must name for us, its keys."""

    issuer: str
    audience: str
    keys: tuple[IssuerKey, ...]

    def __post_init__(self) -> None:
        names = [key.kid for key in self.keys]
        if not names or len(set(names)) != len(names) or not self.issuer or not self.audience:
            raise InvalidInputError(
                "an issuer needs a name, an audience and keys with a kid of their own", field="issuer"
            )


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A token whose signature and claims hold: `verify_token` alone makes it."""

    issuer: str
    subject: str
    client: str
    expires_us: int


def verify_token(token: str, issuers: Mapping[str, Issuer], at_us: int) -> VerifiedToken:
    """Check a token.

    1. size and shape: three parts of base64url, JSON objects without repeated names
    2. header: `typ` at+jwt, `alg`, `kid`, and nothing else (no `jku`, `jwk`, `x5u`, `x5c`, `crit`, `b64`)
    3. `iss` is a pinned issuer, `kid` one of its keys, `alg` that key's own algorithm
    4. signature
    5. claims of RFC 9068, section 2.2: `iss`, `exp`, `aud`, `sub`, `client_id`, `iat`, `jti`; `nbf` where present

    Args:
        token: as it stood behind `Bearer`.
        issuers: pinned, by identifier.
        at_us: now, in microseconds.

    Raises:
        TooLargeError: more than 8 KiB.
        InvalidInputError: not a token of this form.
        NotAuthenticatedError: issuer, key, algorithm, signature, audience or time do not hold.
        ExpiredError: it was good once.
    """
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
        raise NotAuthenticatedError("the token's issuer is not pinned")
    key = next((key for key in issuer.keys if key.kid == header["kid"]), None)
    if key is None:
        raise NotAuthenticatedError("the token's key is not one of its issuer's pinned keys")
    if header["alg"] != key.alg:
        raise NotAuthenticatedError(f"the token's algorithm is not its key's, {key.alg}")
    # 4. signature
    try:
        jws.deserialize_compact(token, load_key(key), algorithms=[key.alg])
    except (JoseError, ValueError) as error:
        raise NotAuthenticatedError("the token's signature does not hold") from error
    # 5. claims
    return _check_claims(claims, issuer, at_us)


def _check_claims(claims: dict[str, Any], issuer: Issuer, at_us: int) -> VerifiedToken:
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
    if not 0 < expires - issued <= LIFETIME_LIMIT_S:
        raise NotAuthenticatedError(f"a token lives at most {LIFETIME_LIMIT_S} seconds")
    if expires * 1_000_000 <= at_us:
        raise ExpiredError("the token has expired")
    return VerifiedToken(issuer.issuer, claims["sub"], claims["client_id"], expires * 1_000_000)


def load_key(key: IssuerKey) -> ECKey | OKPKey | RSAKey:
    """The key, ready for use.

    Raises:
        InvalidInputError: not a valid public key for its algorithm, or RSA of fewer than 2,048 bits.
    """
    try:
        return _load(key.alg, tuple(sorted(key.jwk.items())))
    except (JoseError, ValueError, KeyError, TypeError) as error:
        raise InvalidInputError(
            f"key `{key.kid}` is not a public key for {key.alg}", field="jwk", rule="jwk"
        ) from error


@lru_cache(maxsize=256)
def _load(alg: Algorithm, members: tuple[tuple[str, str], ...]) -> ECKey | OKPKey | RSAKey:
    material: dict[str, Any] = dict(members)
    if alg == "ES256":
        elliptic = ECKey.import_key(material)
        if elliptic.curve_name != "P-256":
            raise ValueError("another curve")
        elliptic.public_key.public_numbers()
        return elliptic
    if alg == "Ed25519":
        edwards = OKPKey.import_key(material)
        if edwards.curve_name != "Ed25519":
            raise ValueError("another curve")
        return edwards
    rsa = RSAKey.import_key(material)
    if rsa.public_key.key_size < _RSA_BITS:
        raise ValueError("a short modulus")
    return rsa


def _is_time(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**40


def _object(part: str) -> dict[str, Any]:
    try:
        data = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
        if base64.urlsafe_b64encode(data).decode().rstrip("=") != part:
            raise ValueError("not the shortest form")
        value = json.loads(data, object_pairs_hook=_once, parse_constant=_refuse)
    except (binascii.Error, ValueError, RecursionError) as error:
        raise InvalidInputError("a token's header and claims are base64url of JSON objects", rule="token") from error
    if not isinstance(value, dict):
        raise InvalidInputError("a token's header and claims are JSON objects", rule="token")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is repeated")
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
