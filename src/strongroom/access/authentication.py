"""Who is calling? For the gateway: an `Authorization` header and a client certificate in, a principal out.

Whatever is wrong with a credential, the caller reads one and the same sentence; the cause goes along for our own logs.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Iterable, Mapping

from strongroom.access.certificates import Presented
from strongroom.access.credentials import match_secret, parse_api_key
from strongroom.access.grants import CallingSystem, Grants, TokenSubject
from strongroom.access.issuers import KeySet, know
from strongroom.access.ports import UsedTokens
from strongroom.access.principals import Principal
from strongroom.access.tokens import TOKEN_LIMIT_BYTES, UnknownKeyError, VerifiedToken, verify_token
from strongroom.errors import NotAuthenticatedError, RefusedError

UNIFORM = "the credential is missing, unknown, expired or not valid here"
CACHE_LIMIT = 16_384
CACHE_TIME_US = 300 * 1_000_000
HEADER_LIMIT = TOKEN_LIMIT_BYTES + 16
_SCHEME = b"bearer "
_TOKEN_CONTEXT = b"strongroom/one-time-token/v1\n"

API_KEY, TOKEN, CERTIFICATE = frozenset({"api-key"}), frozenset({"token"}), frozenset({"certificate"})
BOUND_TOKEN, ONE_TIME = frozenset({"bound-token"}), frozenset({"one-time"})
"""What `Principal.proofs` may hold."""


class Authenticator:
    """The credentials in force, and the ones that held lately.

    One instance belongs to one version of the grants and of the issuers' keys: a new version makes a new instance, so
    that a withdrawn credential is not remembered. What held is remembered under the SHA-256 of everything that
    identified the caller (the whole credential, and the whole certificate where there is one), for five minutes at most
    and never beyond its own end. What did not hold is not remembered, or outsiders could push the others out; nor is a
    token that counts once.

    Args:
        grants: the signed document.
        peppers: of the API keys by number, 32 bytes each, from the node's key ring.
        cache_limit: how many credentials are remembered; None: two of each calling system, and `CACHE_LIMIT` at least,
            so that callers who take turns do not push each other out.
        key_sets: what the addresses of issuers' keys gave last.
        used: where tokens that count once are spent; None: this node takes none.
    """

    def __init__(
        self,
        grants: Grants,
        peppers: Mapping[int, bytes],
        cache_limit: int | None = None,
        key_sets: Iterable[KeySet] = (),
        used: UsedTokens | None = None,
    ) -> None:
        self._peppers = dict(peppers)
        self._limit = max(CACHE_LIMIT, 2 * len(grants.systems)) if cache_limit is None else cache_limit
        self._used = used
        self._by_key = {system.key_id: system for system in grants.systems if system.key_id is not None}
        self._by_name: dict[tuple[str, str], CallingSystem] = {
            (one.by, one.value): system for system in grants.systems for one in system.certificate_names
        }
        self._by_subject: dict[tuple[str, str], tuple[CallingSystem, TokenSubject]] = {
            (token.issuer, token.subject): (system, token) for system in grants.systems for token in system.tokens
        }
        self._denied_certificates = {bytes.fromhex(one.value) for one in grants.denials if one.what == "certificate"}
        self._denied_tokens = {(one.issuer, one.value) for one in grants.denials if one.what == "token"}
        self._denied_subjects = {
            (one.issuer, one.value): one.before_us for one in grants.denials if one.what == "subject"
        }
        found = {one.issuer: one for one in key_sets}
        self._issuers = {
            issuer.issuer: know(
                issuer,
                found.get(issuer.issuer),
                frozenset(one.value for one in grants.denials if one.what == "key" and one.issuer == issuer.issuer),
            )
            for issuer in grants.issuers
        }
        self._sourced = frozenset(one.issuer for one in grants.issuers if one.source)
        self._wanted: set[str] = set()
        self._held: OrderedDict[bytes, tuple[Principal, int]] = OrderedDict()

    def authenticate(self, authorization: bytes | None, at_us: int, presented: Presented | None = None) -> Principal:
        """Who sends this.

        Args:
            authorization: value of the header, or None; `Bearer sr_...` or `Bearer <access token>`.
            at_us: now, in microseconds.
            presented: the certificate that TLS accepted on this connection, or None.

        Returns:
            The principal; the same object while the credential is remembered.

        Raises:
            NotAuthenticatedError: always with the same words; `__cause__` says what was wrong.
            UnavailableError: a token that counts once cannot be marked as used just now.
        """
        if presented is None:
            if not authorization or len(authorization) > HEADER_LIMIT:
                raise NotAuthenticatedError(UNIFORM)
            digest = hashlib.sha256(authorization).digest()
        else:
            if authorization is not None and len(authorization) > HEADER_LIMIT:
                raise NotAuthenticatedError(UNIFORM)
            # 64 bytes, so it can never be the key of a credential without a certificate
            digest = presented.digest + hashlib.sha256(authorization or b"").digest()
        held = self._held.get(digest)
        if held is not None and at_us < held[1]:
            return held[0]
        try:
            principal = self._verify(authorization, at_us, presented)
        except UnknownKeyError as error:
            if error.issuer in self._sourced:
                self._wanted.add(error.issuer)
            raise NotAuthenticatedError(UNIFORM) from error
        except (RefusedError, UnicodeDecodeError) as error:
            raise NotAuthenticatedError(UNIFORM) from error
        if principal.proofs >= ONE_TIME:
            return principal
        ends = at_us + CACHE_TIME_US
        if principal.token_expires_us is not None:
            ends = min(ends, principal.token_expires_us)
        if len(self._held) >= self._limit:
            self._held.popitem(last=False)
        self._held[digest] = (principal, ends)
        return principal

    def take_wanted(self) -> frozenset[str]:
        """Issuers whose tokens named a key that is not known here, since this was last asked."""
        if not self._wanted:
            return frozenset()
        wanted, self._wanted = frozenset(self._wanted), set()
        return wanted

    def _verify(self, authorization: bytes | None, at_us: int, presented: Presented | None) -> Principal:
        certified = self._by_certificate(presented, at_us) if presented is not None else None
        ends_us = presented.until_us if presented is not None else None
        if not authorization:
            if certified is None or certified.beside is True:
                raise NotAuthenticatedError("no grant lets a caller in by this certificate alone")
            return certified.principal(ends_us, CERTIFICATE)
        if authorization[: len(_SCHEME)].lower() != _SCHEME:
            raise NotAuthenticatedError("the scheme is not Bearer")
        credential = authorization[len(_SCHEME) :].decode("ascii")
        token: VerifiedToken | None = None
        if credential.startswith("sr_"):
            system, expires_us, proofs = self._by_api_key(credential, at_us)
        else:
            token = verify_token(credential, self._issuers, at_us)
            system, expires_us, proofs = self._by_token(token, presented)
        if certified is None:
            if system.beside is True:
                raise NotAuthenticatedError("this system needs a certificate of its own beside its credential")
        elif certified.id != system.id:
            raise NotAuthenticatedError("the certificate is of another system than the credential")
        else:
            proofs |= CERTIFICATE
        if token is not None and proofs >= ONE_TIME:
            # last: what is refused for another reason is not used up
            self._spend(token, at_us)
        ends = [one for one in (expires_us, ends_us) if one is not None]
        return system.principal(min(ends) if ends else None, proofs)

    def _by_certificate(self, presented: Presented, at_us: int) -> CallingSystem | None:
        """The system whose certificate this is; None when no grant names it.

        Raises:
            NotAuthenticatedError: denied, outside its dates by now, or named by the grants of two systems.
        """
        if presented.digest in self._denied_certificates:
            raise NotAuthenticatedError("the certificate is denied")
        if not presented.from_us <= at_us < presented.until_us:
            raise NotAuthenticatedError("the certificate is not valid now")
        if not self._by_name:
            return None
        found = {system.id: system for name in presented.names() if (system := self._by_name.get(name)) is not None}
        if len(found) > 1:
            raise NotAuthenticatedError("the certificate has names of more than one system")
        return next(iter(found.values()), None)

    def _by_api_key(self, credential: str, at_us: int) -> tuple[CallingSystem, int | None, frozenset[str]]:
        key = parse_api_key(credential)
        system = self._by_key.get(key.id)
        secret = match_secret(key, system.secrets if system else (), self._peppers, at_us)
        if system is None or secret is None:
            raise NotAuthenticatedError("no such API key, or its secret does not count now")
        return system, secret.until_us, API_KEY

    def _by_token(
        self, token: VerifiedToken, presented: Presented | None
    ) -> tuple[CallingSystem, int | None, frozenset[str]]:
        found = self._by_subject.get((token.issuer, token.subject))
        if found is None:
            raise NotAuthenticatedError("no calling system stands for this token's subject")
        system, granted = found
        before_us = self._denied_subjects.get((token.issuer, token.subject))
        if (token.issuer, token.token_id) in self._denied_tokens or (
            isinstance(before_us, int) and token.issued_us < before_us
        ):
            raise NotAuthenticatedError("the token is denied")
        proofs = TOKEN
        if token.thumbprint is not None:
            # RFC 8705, section 3: a bound token without its certificate is stolen
            if presented is None or not hmac.compare_digest(token.thumbprint, presented.digest):
                raise NotAuthenticatedError("the token is bound to another certificate than the one on the line")
            proofs |= BOUND_TOKEN
        elif granted.bound is True:
            raise NotAuthenticatedError("this system's tokens are bound to a certificate, and this one is not")
        if granted.one_time is True:
            proofs |= ONE_TIME
        return system, token.expires_us, proofs

    def _spend(self, token: VerifiedToken, at_us: int) -> None:
        if self._used is None:
            raise NotAuthenticatedError("this node keeps no register of used tokens, so it takes none that count once")
        parts = tuple(part.encode("utf-8", "surrogatepass") for part in (token.issuer, token.token_id))
        digest = hashlib.sha256(_TOKEN_CONTEXT + b"".join(len(p).to_bytes(4, "big") + p for p in parts)).digest()
        self._used.spend(digest, token.issued_us, token.ends_us, at_us)
