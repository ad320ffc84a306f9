"""Issuers of access tokens: which we trust, with keys that operators pinned or an address where the issuer keeps them.

What an address gave is a `KeySet`: it counts for a bounded time after it was fetched, and a key that is no longer in
the latest set counts for nothing. A pinned key is signed by operators and counts until the grants say otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from strongroom.errors import InvalidInputError

if TYPE_CHECKING:
    from joserfc.jwk import ECKey, OKPKey, RSAKey

Algorithm = Literal["ES256", "Ed25519", "RS256"]
"""ES256 and Ed25519 by choice, RS256 because RFC 9068, section 2.1, obliges issuers to offer it. Nothing symmetric."""

KINDS: Mapping[str, tuple[str, frozenset[str]]] = {
    "ES256": ("EC", frozenset({"kty", "crv", "x", "y"})),
    "Ed25519": ("OKP", frozenset({"kty", "crv", "x"})),
    "RS256": ("RSA", frozenset({"kty", "n", "e"})),
}
KID_LIMIT = 256
LIFETIME_LIMIT_S = 24 * 3600
_RSA_BITS = 2048
_URL = re.compile(r"(https?)://(\[[0-9a-f:]{2,39}\]|[a-z0-9.-]{1,253})(:[1-9][0-9]{0,4})?(/[A-Za-z0-9._~/%@+=-]*)?\Z")
_LOOPBACK = ("127.0.0.1", "[::1]", "localhost")


class IssuerKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One key: its name, the one algorithm it is for, and the public JWK (RFC 7517), nothing private in it."""

    kid: str
    alg: Algorithm
    jwk: dict[str, str]

    def __post_init__(self) -> None:
        kind, members = KINDS[self.alg]
        if self.jwk.get("kty") != kind or set(self.jwk) != members:
            raise InvalidInputError(
                f"key `{self.kid[:KID_LIMIT]}` for {self.alg} is a public JWK of type {kind} "
                f"with exactly {sorted(members)}",
                field="jwk",
                rule="jwk",
            )
        load_key(self)


class KeySource(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where an issuer keeps its keys, and how long what was fetched counts.

    Attributes:
        jwks_uri: address of the key set; absent: the issuer's discovery document names it.
        refresh_s: between looks, 5 seconds to a day.
        cooldown_s: at least between two looks out of turn, for a key that nobody knew; 1 second to an hour.
        outage_s: how long the last good set counts when no newer one can be had, more than `refresh_s`, a week at most.
    """

    jwks_uri: str | msgspec.UnsetType = msgspec.UNSET
    refresh_s: int = 300
    cooldown_s: int = 30
    outage_s: int = 3600

    def __post_init__(self) -> None:
        if self.jwks_uri is not msgspec.UNSET:
            demand_url(self.jwks_uri, "jwks_uri")
        for name, least, most in (
            ("refresh_s", 5, 86_400),
            ("cooldown_s", 1, 3600),
            ("outage_s", self.refresh_s + 1, 7 * 86_400),
        ):
            if not least <= getattr(self, name) <= most:
                raise InvalidInputError(
                    f"{name} of a key source is {least} to {most} seconds", field=name, rule="range"
                )


class Issuer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One issuer.

    Attributes:
        issuer: its identifier, compared byte by byte.
        audience: what its tokens must name for us.
        keys: pinned; none only beside a source.
        source: where it keeps its keys, or absent.
        lifetime_s: the longest life of a token of its, a minute to a day; absent: a day.
    """

    issuer: str
    audience: str
    keys: tuple[IssuerKey, ...]
    source: KeySource | msgspec.UnsetType = msgspec.UNSET
    lifetime_s: int | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        names = [key.kid for key in self.keys]
        sourced = self.source is not msgspec.UNSET
        if not (names or sourced) or len(set(names)) != len(names) or not self.issuer or not self.audience:
            raise InvalidInputError(
                "an issuer needs a name, an audience, and keys with a kid of their own or a source of keys",
                field="issuer",
            )
        if isinstance(self.source, KeySource) and self.source.jwks_uri is msgspec.UNSET:
            demand_url(self.issuer, "issuer")
        if isinstance(self.lifetime_s, int) and not 60 <= self.lifetime_s <= LIFETIME_LIMIT_S:
            raise InvalidInputError(
                f"tokens live 60 to {LIFETIME_LIMIT_S} seconds at most", field="lifetime_s", rule="range"
            )

    @property
    def discovery_url(self) -> str:
        """OpenID Connect Discovery 1.0, section 4."""
        return self.issuer.rstrip("/") + "/.well-known/openid-configuration"


class KeySet(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an issuer's address gave: keys, when (microseconds), and for which issuer and source that was.

    A set that was fetched under another source, or for another issuer, counts for nothing.
    """

    issuer: str
    source: KeySource
    fetched_us: int
    keys: tuple[IssuerKey, ...]


@dataclass(frozen=True, slots=True)
class KnownIssuer:
    """An issuer with every key of its that may count.

    Attributes:
        issuer: as granted.
        keys: by kid; a pinned one goes before a fetched one of the same name.
        fetched: those of `keys` that were fetched.
        until_us: when `fetched` count no more.
    """

    issuer: Issuer
    keys: Mapping[str, IssuerKey]
    fetched: frozenset[str] = frozenset()
    until_us: int = 0


def know(issuer: Issuer, found: KeySet | None, denied: frozenset[str] = frozenset()) -> KnownIssuer:
    """Put pinned and fetched keys together.

    Args:
        issuer: as granted.
        found: what was fetched last, or None.
        denied: names of keys that count no more, whoever offers them.
    """
    keys: dict[str, IssuerKey] = {}
    until_us = 0
    if found is not None and found.issuer == issuer.issuer and found.source == issuer.source:
        keys = {key.kid: key for key in found.keys}
        until_us = found.fetched_us + found.source.outage_s * 1_000_000
    fetched = frozenset(keys) - {key.kid for key in issuer.keys}
    keys |= {key.kid: key for key in issuer.keys}
    return KnownIssuer(issuer, {kid: key for kid, key in keys.items() if kid not in denied}, fetched, until_us)


def demand_url(url: str, field: str) -> None:
    """An address that may be fetched: https, or http to this machine itself, which a node must allow besides.

    Raises:
        InvalidInputError: another scheme, credentials, a query, a fragment, upper case or a host in an odd spelling.
    """
    found = _URL.match(url) if len(url) <= 2048 else None
    if found is None or (found[1] == "http" and found[2] not in _LOOPBACK):
        raise InvalidInputError(
            f"`{field}` is an https address in lower case without credentials, query or fragment",
            field=field,
            rule="address",
        )


def load_key(key: IssuerKey) -> ECKey | OKPKey | RSAKey:
    """The key, ready for use.

    Raises:
        InvalidInputError: not a valid public key for its algorithm, or RSA of fewer than 2,048 bits.
    """
    # with the first key: a gateway whose callers have no tokens never loads it
    from joserfc.errors import JoseError

    try:
        return _load(key.alg, tuple(sorted(key.jwk.items())))
    except (JoseError, ValueError, KeyError, TypeError) as error:
        raise InvalidInputError(
            f"key `{key.kid[:KID_LIMIT]}` is not a public key for {key.alg}", field="jwk", rule="jwk"
        ) from error


@lru_cache(maxsize=256)
def _load(alg: Algorithm, members: tuple[tuple[str, str], ...]) -> ECKey | OKPKey | RSAKey:
    from joserfc.jwk import ECKey, OKPKey, RSAKey

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
