"""Who is calling? For the gateway: an `Authorization` header in, a principal out.

Whatever is wrong with a credential, the caller reads one and the same sentence; the cause goes along for our own logs.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from strongroom.access.credentials import match_secret, parse_api_key
from strongroom.access.grants import CallingSystem, Grants
from strongroom.access.principals import Principal
from strongroom.access.tokens import TOKEN_LIMIT_BYTES, verify_token
from strongroom.errors import NotAuthenticatedError, RefusedError

UNIFORM = "the credential is missing, unknown, expired or not valid here"
CACHE_LIMIT = 16_384
CACHE_TIME_US = 60 * 1_000_000
HEADER_LIMIT = TOKEN_LIMIT_BYTES + 16
_SCHEME = b"bearer "


class Authenticator:
    """The credentials in force, and the ones that held lately.

    One instance belongs to one version of the grants: a new version makes a new instance, so that a withdrawn
    credential is not remembered. What held is remembered under the SHA-256 of the whole credential, for a minute at
    most and never beyond its own end. What did not hold is not remembered, or outsiders could push the others out.

    Args:
        grants: the signed document.
        pepper: of the API keys, 32 bytes from the node's key ring.
        cache_limit: how many credentials are remembered.
    """

    def __init__(self, grants: Grants, pepper: bytes, cache_limit: int = CACHE_LIMIT) -> None:
        self._pepper = pepper
        self._limit = cache_limit
        self._by_key = {system.key_id: system for system in grants.systems if system.key_id is not None}
        self._issuers = {issuer.issuer: issuer for issuer in grants.issuers}
        self._by_subject: dict[tuple[str, str], CallingSystem] = {
            (token.issuer, token.subject): system for system in grants.systems for token in system.tokens
        }
        self._held: OrderedDict[bytes, tuple[Principal, int]] = OrderedDict()

    def authenticate(self, authorization: bytes | None, at_us: int) -> Principal:
        """Who sends this header.

        Args:
            authorization: value of the header, or None; `Bearer sr_...` or `Bearer <access token>`.
            at_us: now, in microseconds.

        Returns:
            The principal; the same object while the credential is remembered.

        Raises:
            NotAuthenticatedError: always with the same words; `__cause__` says what was wrong.
        """
        if not authorization or len(authorization) > HEADER_LIMIT:
            raise NotAuthenticatedError(UNIFORM)
        digest = hashlib.sha256(authorization).digest()
        held = self._held.get(digest)
        if held is not None and at_us < held[1]:
            return held[0]
        try:
            principal = self._verify(authorization, at_us)
        except (RefusedError, UnicodeDecodeError) as error:
            raise NotAuthenticatedError(UNIFORM) from error
        ends = at_us + CACHE_TIME_US
        if principal.token_expires_us is not None:
            ends = min(ends, principal.token_expires_us)
        if len(self._held) >= self._limit:
            self._held.popitem(last=False)
        self._held[digest] = (principal, ends)
        return principal

    def _verify(self, authorization: bytes, at_us: int) -> Principal:
        if authorization[: len(_SCHEME)].lower() != _SCHEME:
            raise NotAuthenticatedError("the scheme is not Bearer")
        credential = authorization[len(_SCHEME) :].decode("ascii")
        if credential.startswith("sr_"):
            return self._by_api_key(credential, at_us)
        token = verify_token(credential, self._issuers, at_us)
        system = self._by_subject.get((token.issuer, token.subject))
        if system is None:
            raise NotAuthenticatedError("no calling system stands for this token's subject")
        return system.principal(token.expires_us)

    def _by_api_key(self, credential: str, at_us: int) -> Principal:
        key = parse_api_key(credential)
        system = self._by_key.get(key.id)
        secret = match_secret(key, system.secrets if system else (), self._pepper, at_us)
        if system is None or secret is None:
            raise NotAuthenticatedError("no such API key, or its secret does not count now")
        return system.principal(secret.until_us)
