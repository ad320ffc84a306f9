"""Keys of people and services: ECDSA over P-256 with SHA-256, named by format 7.

One curve, one hash, one encoding: what OpenSSF model signing, TUF, hardware modules and passkeys all share. A key's
id is the SHA-256 of its SubjectPublicKeyInfo, so the same key has the same name in every document, and two names
can never stand for one key.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from strongroom.errors import InvalidInputError, TamperedError
from strongroom.vocabulary import KeyId, digest_of

SCHEME = "ecdsa-sha2-nistp256"
"""How TUF and the people register call what we sign with."""

SPKI_BYTES = 91
"""Length of a P-256 SubjectPublicKeyInfo with an uncompressed point (RFC 5480)."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A P-256 public key.

    Attributes:
        spki: SubjectPublicKeyInfo, DER, uncompressed point: the only encoding we accept, so that the id is unique.
    """

    spki: bytes
    _key: ec.EllipticCurvePublicKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        try:
            key = serialization.load_der_public_key(self.spki) if len(self.spki) == SPKI_BYTES else None
        except (ValueError, UnsupportedAlgorithm):
            key = None
        # A compressed point or explicit curve parameters would give the same key a second id.
        if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1" or _spki(key) != self.spki:
            raise InvalidInputError("a public key is a P-256 SubjectPublicKeyInfo in DER", rule="public-key")
        object.__setattr__(self, "_key", key)

    @classmethod
    def of(cls, key: ec.EllipticCurvePublicKey) -> PublicKey:
        """Wrap a key of the `cryptography` package.

        Raises:
            InvalidInputError: it is not on P-256.
        """
        return cls(_spki(key))

    @classmethod
    def from_pem(cls, pem: bytes) -> PublicKey:
        """Read `-----BEGIN PUBLIC KEY-----`.

        Raises:
            InvalidInputError: it is not one PEM block with a P-256 key.
        """
        try:
            key = serialization.load_pem_public_key(pem)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise InvalidInputError("a public key file is one PEM block `PUBLIC KEY`", rule="public-key") from error
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise InvalidInputError("a public key is on P-256", rule="public-key")
        return cls.of(key)

    @property
    def key_id(self) -> KeyId:
        """Format 7: SHA-256 of the SubjectPublicKeyInfo DER."""
        return KeyId(digest_of(self.spki))

    @property
    def pem(self) -> bytes:
        """SubjectPublicKeyInfo as PEM with 64-character lines and a final line feed, as OpenSSL writes it."""
        return self._key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def verify(self, signature: bytes, data: bytes) -> None:
        """Check an ECDSA signature in DER over `data`, hashed with SHA-256.

        Raises:
            TamperedError: the signature is not this key's over these bytes.
        """
        try:
            self._key.verify(signature, data, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature as error:
            raise TamperedError(f"the signature is not by key {self.key_id[:12]} over these bytes") from error


class Signer(Protocol):
    """Whoever can sign with one key: a home, a key ring, later a hardware module."""

    @property
    def public(self) -> PublicKey: ...

    def sign(self, data: bytes) -> bytes:
        """An ECDSA P-256 signature in DER over `data`, hashed with SHA-256."""


@dataclass(frozen=True, slots=True)
class EcSigner:
    """A signer whose private key is in this process."""

    private: ec.EllipticCurvePrivateKey = field(repr=False)
    public: PublicKey = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "public", PublicKey.of(self.private.public_key()))

    @classmethod
    def from_scalar(cls, scalar: int) -> EcSigner:
        """The key with private number `scalar`, 1 <= scalar < n."""
        return cls(ec.derive_private_key(scalar, ec.SECP256R1()))

    @classmethod
    def from_pkcs8(cls, der: bytes) -> EcSigner:
        """Read an unencrypted PKCS#8 key.

        Raises:
            InvalidInputError: it is not a P-256 key.
        """
        try:
            key = serialization.load_der_private_key(der, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise InvalidInputError("a private key is PKCS#8 in DER", rule="private-key") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise InvalidInputError("a private key is on P-256", rule="private-key")
        return cls(key)

    def pkcs8(self) -> bytes:
        """The private key as unencrypted PKCS#8 in DER; encrypt it before it goes anywhere."""
        return self.private.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def sign(self, data: bytes) -> bytes:
        """An ECDSA signature in DER over `data`, hashed with SHA-256."""
        return self.private.sign(data, ec.ECDSA(hashes.SHA256()))


def _spki(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
