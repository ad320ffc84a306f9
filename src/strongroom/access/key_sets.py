"""What an issuer's address gave, as bytes from a stranger: a key set (RFC 7517) or a discovery document."""

from __future__ import annotations

from typing import Any

from strongroom.access.foreign_json import read_object
from strongroom.access.issuers import KID_LIMIT, KINDS, Algorithm, IssuerKey, demand_url
from strongroom.errors import InvalidInputError, TamperedError, TooLargeError

SIZE_LIMIT = 256 * 1024
KEYS_LIMIT = 100
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_CURVES: dict[tuple[str, str | None], Algorithm] = {
    ("EC", "P-256"): "ES256",
    ("OKP", "Ed25519"): "Ed25519",
    ("RSA", None): "RS256",
}
_ALIASES = {"EdDSA": "Ed25519"}
"""RFC 9864 gave the algorithm of this one curve a name of its own; sets of older providers have the old name."""


def read_key_set(data: bytes) -> tuple[IssuerKey, ...]:
    """The keys of a set that may sign tokens for us, sorted by kid.

    1. a JSON object without repeated names, with a list `keys` of at most 100 objects
    2. left out: keys for encryption, of other types or curves, without `kid`, weak or out of form
    3. a kid that stands twice makes the set ambiguous

    Raises:
        TooLargeError: more than 256 KiB or 100 keys.
        InvalidInputError: not a key set.
        TamperedError: a private or symmetric key was published, so nothing that such keys signed can be trusted.
    """
    # 1. form
    document = _object(data)
    listed = document.get("keys")
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise InvalidInputError("a key set has a list `keys` of objects", rule="jwks")
    if len(listed) > KEYS_LIMIT:
        raise TooLargeError(f"a key set has at most {KEYS_LIMIT} keys", rule="count")
    if any(_PRIVATE & set(one) for one in listed):
        raise TamperedError("the key set publishes a secret key; call the identity provider, and deny its keys")
    # 2. what can be used
    found: dict[str, IssuerKey] = {}
    for one in listed:
        key = _usable(one)
        if key is None:
            continue
        # 3. one meaning for each name
        if key.kid in found:
            raise InvalidInputError("a kid stands twice in the key set", rule="jwks")
        found[key.kid] = key
    return tuple(found[kid] for kid in sorted(found))


def read_discovery(data: bytes, issuer: str) -> str:
    """The address of the key set, from the issuer's discovery document.

    Raises:
        TooLargeError: more than 256 KiB.
        InvalidInputError: not a discovery document, or its `jwks_uri` is no address that may be fetched.
        TamperedError: it is another issuer's (mix-up: OpenID Connect Discovery 1.0, section 4.3).
    """
    document = _object(data)
    if document.get("issuer") != issuer:
        raise TamperedError("the discovery document is of another issuer than the one that was granted")
    address = document.get("jwks_uri")
    if not isinstance(address, str):
        raise InvalidInputError("the discovery document names no jwks_uri", rule="discovery")
    demand_url(address, "jwks_uri")
    return address


def _usable(one: dict[str, Any]) -> IssuerKey | None:
    kid, curve = one.get("kid"), one.get("crv")
    if not isinstance(kid, str) or not 0 < len(kid) <= KID_LIMIT or not isinstance(one.get("kty"), str):
        return None
    operations = one.get("key_ops", ["verify"])
    if one.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return None
    alg = _CURVES.get((one["kty"], curve if isinstance(curve, str) else None))
    named = one.get("alg", alg)
    if alg is None or not isinstance(named, str) or _ALIASES.get(named, named) != alg:
        return None
    members = {name: one.get(name) for name in KINDS[alg][1]}
    if not all(isinstance(value, str) for value in members.values()):
        return None
    try:
        return IssuerKey(kid=kid, alg=alg, jwk={name: str(value) for name, value in members.items()})
    except InvalidInputError:
        return None


def _object(data: bytes) -> dict[str, Any]:
    if len(data) > SIZE_LIMIT:
        raise TooLargeError(f"a key set or discovery document has at most {SIZE_LIMIT} bytes", rule="size")
    try:
        return read_object(data)
    except ValueError as error:
        raise InvalidInputError(
            "a key set or discovery document is a JSON object without repeated names", rule="json"
        ) from error
