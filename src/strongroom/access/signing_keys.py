"""Keys that sign HTTP messages (RFC 9421): of calling systems for what they ask, of a node for what it answers.

A key brings its algorithm with it; a message can name another one and is refused for it. A key's id is its JWK
thumbprint (RFC 7638), so that one key has one name everywhere and no two keys share one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from strongroom.access.foreign_json import read_object
from strongroom.encoding import canonical
from strongroom.errors import InvalidInputError, TamperedError

MessageAlgorithm = Literal["ecdsa-p256-sha256", "ed25519"]
"""Names of RFC 9421, section 6.2.2. Nothing symmetric: what the bank can make itself proves nothing to it."""

SIGNATURE_BYTES = 64
"""Of both algorithms: r and s of 32 bytes each (RFC 9421, section 3.3.4), or an Ed25519 signature."""

_MEMBERS: Mapping[MessageAlgorithm, tuple[str, str, frozenset[str]]] = {
    "ecdsa-p256-sha256": ("EC", "P-256", frozenset({"kty", "crv", "x", "y"})),
    "ed25519": ("OKP", "Ed25519", frozenset({"kty", "crv", "x"})),
}
_ECDSA = ec.ECDSA(hashes.SHA256())
_PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
_PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


class MessageKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A public key, as a grant or a node publishes it.

    Attributes:
        id: RFC 7638 thumbprint of `jwk`, base64url.
        alg: the one algorithm that it is for.
        jwk: public members only (RFC 7517, RFC 8037).
    """

    id: str
    alg: MessageAlgorithm
    jwk: dict[str, str]

    def __post_init__(self) -> None:
        kind, curve, members = _MEMBERS[self.alg]
        if set(self.jwk) != members or self.jwk["kty"] != kind or self.jwk["crv"] != curve:
            raise InvalidInputError(
                f"a signing key for {self.alg} is a public JWK of type {kind}, curve {curve}, with exactly "
                f"{sorted(members)}",
                field="jwk",
                rule="jwk",
            )
        if self.id != thumbprint(self.jwk):
            raise InvalidInputError("the id of a signing key is the thumbprint of its JWK", field="id", rule="jwk")
        _load(self)

    @classmethod
    def of(cls, public: object) -> MessageKey:
        """From a key of the `cryptography` package.

        Raises:
            InvalidInputError: neither P-256 nor Ed25519.
        """
        if isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name == "secp256r1":
            numbers = public.public_numbers()
            x, y = (number.to_bytes(32, "big") for number in (numbers.x, numbers.y))
            jwk = {"kty": "EC", "crv": "P-256", "x": _text(x), "y": _text(y)}
            return cls(id=thumbprint(jwk), alg="ecdsa-p256-sha256", jwk=jwk)
        if isinstance(public, ed25519.Ed25519PublicKey):
            jwk = {"kty": "OKP", "crv": "Ed25519", "x": _text(public.public_bytes_raw())}
            return cls(id=thumbprint(jwk), alg="ed25519", jwk=jwk)
        raise InvalidInputError("a signing key is on P-256 or Ed25519", rule="public-key")

    @classmethod
    def from_pem(cls, pem: bytes) -> MessageKey:
        """Read `-----BEGIN PUBLIC KEY-----`.

        Raises:
            InvalidInputError: not one PEM block with a public key on P-256 or Ed25519.
        """
        try:
            return cls.of(serialization.load_pem_public_key(pem))
        except (ValueError, UnsupportedAlgorithm) as error:
            raise InvalidInputError(
                "a signing key is handed in as one PEM block `PUBLIC KEY`", rule="public-key"
            ) from error

    def verifier(self) -> MessageVerifier:
        """The same key, loaded, for many verifications."""
        return MessageVerifier(self.id, self.alg, _load(self))


@dataclass(frozen=True, slots=True)
class MessageVerifier:
    """A loaded public key."""

    id: str
    alg: MessageAlgorithm
    _key: _PublicKey = field(repr=False)

    def verify(self, signature: bytes, base: bytes) -> None:
        """Check a signature over a signature base.

        Raises:
            TamperedError: it is not this key's over these bytes.
        """
        try:
            if len(signature) != SIGNATURE_BYTES:
                raise InvalidSignature
            if isinstance(self._key, ed25519.Ed25519PublicKey):
                self._key.verify(signature, base)
            else:
                r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
                self._key.verify(encode_dss_signature(r, s), base, _ECDSA)
        except InvalidSignature as error:
            raise TamperedError("the signature is not by this key over this message", rule="signature") from error


@dataclass(frozen=True, slots=True)
class MessageSigner:
    """A private key in this process."""

    public: MessageKey
    _key: _PrivateKey = field(repr=False)

    @classmethod
    def of(cls, private: object) -> MessageSigner:
        """From a key of the `cryptography` package.

        Raises:
            InvalidInputError: neither P-256 nor Ed25519.
        """
        if not isinstance(private, (ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey)):
            raise InvalidInputError("a signing key is on P-256 or Ed25519", rule="private-key")
        return cls(MessageKey.of(private.public_key()), private)

    @classmethod
    def from_pkcs8(cls, der: bytes) -> MessageSigner:
        """Read an unencrypted PKCS#8 key in DER.

        Raises:
            InvalidInputError: it is none, or on another curve.
        """
        try:
            return cls.of(serialization.load_der_private_key(der, password=None))
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise InvalidInputError("a private key is PKCS#8 in DER", rule="private-key") from error

    @classmethod
    def from_pem(cls, pem: bytes, password: bytes | None = None) -> MessageSigner:
        """Read a PEM private key, encrypted or not.

        Raises:
            InvalidInputError: it is none, the password is not its own, or it is on another curve.
        """
        try:
            return cls.of(serialization.load_pem_private_key(pem, password=password))
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise InvalidInputError(
                "a private key is one PEM block, with the password that it was encrypted with", rule="private-key"
            ) from error

    def sign(self, base: bytes) -> bytes:
        """64 bytes over a signature base."""
        if isinstance(self._key, ed25519.Ed25519PrivateKey):
            return self._key.sign(base)
        r, s = decode_dss_signature(self._key.sign(base, _ECDSA))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def key_directory(*keys: MessageKey) -> bytes:
    """A JWK Set, as a node publishes the keys that it signs answers with."""
    return canonical({"keys": [{**key.jwk, "kid": key.id, "use": "sig"} for key in keys]})


def read_directory(data: bytes) -> dict[str, MessageVerifier]:
    """The keys of a JWK Set that a node published, by id.

    Raises:
        InvalidInputError: not one, or empty.
    """
    try:
        listed = msgspec.convert(read_object(data), _Directory).keys
        jwks = [{name: value for name, value in jwk.items() if name not in ("kid", "use")} for jwk in listed]
        kinds: dict[str, MessageAlgorithm] = {kind: alg for alg, (kind, _, _) in _MEMBERS.items()}
        keys = [
            MessageKey(id=str(jwk.get("kid")), alg=kinds[bare["kty"]], jwk=bare)
            for jwk, bare in zip(listed, jwks, strict=True)
        ]
    except (msgspec.ValidationError, KeyError, ValueError) as error:
        raise InvalidInputError("this is no set of keys that a gateway signs answers with", rule="jwks") from error
    if not keys:
        raise InvalidInputError("this gateway publishes no key to sign answers with", rule="jwks")
    return {key.id: key.verifier() for key in keys}


class _Directory(msgspec.Struct, frozen=True):
    keys: list[dict[str, str]]


def thumbprint(jwk: Mapping[str, str]) -> str:
    """RFC 7638: SHA-256 over the required members in canonical JSON, base64url without padding."""
    return _text(hashlib.sha256(canonical(dict(jwk))).digest())


def _load(key: MessageKey) -> _PublicKey:
    try:
        x = _bytes(key.jwk["x"])
        if key.alg == "ed25519":
            return ed25519.Ed25519PublicKey.from_public_bytes(x)
        y = _bytes(key.jwk["y"])
        numbers = ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), ec.SECP256R1())
        return numbers.public_key()
    except ValueError as error:
        raise InvalidInputError("a signing key is not a point of its curve", field="jwk", rule="jwk") from error


def _bytes(text: str) -> bytes:
    """32 bytes of base64url without padding, in its one spelling."""
    try:
        data = base64.urlsafe_b64decode(text + "=")
    except (binascii.Error, ValueError):
        data = b""
    if len(data) != 32 or _text(data) != text:
        raise InvalidInputError("a coordinate is 32 bytes in base64url without padding", field="jwk", rule="jwk")
    return data


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
