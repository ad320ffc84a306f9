"""The key file: named secrets and key-encryption keys in one file under a passphrase.

The file is canonical JSON: a header in the clear (profile, derivation and its parameters, nonce) and one AES-256-GCM
ciphertext over everything else, with the header as associated data. Parameters are checked against bounds before any
work is done on their behalf, so that a hostile file costs nothing; the same bounds keep a weakened file out.

Profiles:
    `default`: scrypt, N = 2**17, r = 8, p = 1 (RFC 7914; cost from the OWASP Password Storage Cheat Sheet).
    `fips`: PBKDF2-HMAC-SHA256, 600,000 iterations (RFC 8018, NIST SP 800-132; count from the same sheet).
        Approved algorithms only; we do not claim a validated module.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from strongroom.adapters.files.safe_files import locked, read_private, write_private
from strongroom.adapters.keys.homes import check_passphrase
from strongroom.encoding import canonical, parse_as
from strongroom.errors import (
    ConflictError,
    InvalidInputError,
    NotAuthenticatedError,
    NotFoundError,
    StrongroomError,
    TamperedError,
    UnavailableError,
)
from strongroom.sealing.dsse import decode64, encode64
from strongroom.sealing.keys import EcSigner, PublicKey
from strongroom.sealing.ports import WrappedKey
from strongroom.vocabulary import parse_name

Profile = Literal["default", "fips"]
FILE_LIMIT = 8 * 1024 * 1024
NONCE_BYTES = 12
TAG_BYTES = 16


class ScryptParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="name", tag="scrypt"):
    """scrypt (RFC 7914). Memory is 128 * n * r bytes: 128 MiB by default."""

    n: int
    r: int
    p: int

    def check(self) -> None:
        """Raises InvalidInputError outside 2**14 <= n <= 2**20 (a power of two), r = 8, 1 <= p <= 4."""
        if not (2**14 <= self.n <= 2**20 and self.n.bit_count() == 1 and self.r == 8 and 1 <= self.p <= 4):
            raise InvalidInputError("the scrypt parameters are outside the accepted bounds", rule="kdf-bounds")

    def derive(self, passphrase: bytes, salt: bytes) -> bytes:
        return Scrypt(salt=salt, length=32, n=self.n, r=self.r, p=self.p).derive(passphrase)


class Pbkdf2Parameters(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="name", tag="pbkdf2-hmac-sha256"
):
    """PBKDF2 with HMAC-SHA-256 (RFC 8018, section 5.2)."""

    iterations: int

    def check(self) -> None:
        """Raises InvalidInputError outside 600,000 to 10,000,000 iterations."""
        if not 600_000 <= self.iterations <= 10_000_000:
            raise InvalidInputError("the PBKDF2 iterations are outside the accepted bounds", rule="kdf-bounds")

    def derive(self, passphrase: bytes, salt: bytes) -> bytes:
        return PBKDF2HMAC(hashes.SHA256(), 32, salt, self.iterations).derive(passphrase)


Kdf = ScryptParameters | Pbkdf2Parameters
SCRYPT_RFC7914_INTERACTIVE: Final = ScryptParameters(n=2**14, r=8, p=1)
"""The smallest we accept: for tests and small machines."""

PROFILES: Final[dict[str, Kdf]] = {
    "default": ScryptParameters(n=2**17, r=8, p=1),
    "fips": Pbkdf2Parameters(iterations=600_000),
}
_KIND: Final[dict[str, type[Kdf]]] = {"default": ScryptParameters, "fips": Pbkdf2Parameters}


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    v: Literal[1]
    profile: Profile
    kdf: Kdf
    salt: str
    nonce: str


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    header: _Header
    ciphertext: str


class _Content(msgspec.Struct, forbid_unknown_fields=True):
    current_kek: str
    keks: dict[str, str]
    secrets: dict[str, str]


class KeyFile:
    """An opened key file: a `KeyRing`, and a drawer of named secrets.

    Any number of processes may hold it open; a change by one makes the changes of those that opened it before a
    `ConflictError`, never a loss.
    """

    def __init__(self, path: Path, header: _Header, key: bytes, content: _Content, seen: bytes) -> None:
        self._path = path
        self._seen = seen
        self._header = header
        self._key = key
        self._content = content

    def __repr__(self) -> str:
        return f"KeyFile({self._path.name}, {len(self._content.keks)} keks, {len(self._content.secrets)} secrets)"

    @classmethod
    def create(cls, path: Path, passphrase: bytes, profile: Profile = "default", *, kdf: Kdf | None = None) -> KeyFile:
        """Make a key file with one KEK and no secrets (mode 600).

        Args:
            path: where; nothing may be there.
            passphrase: at least eight bytes.
            profile: `default` or `fips`.
            kdf: other cost parameters of the profile's function, within its bounds.

        Raises:
            ConflictError: the file exists.
            InvalidInputError: passphrase too short, or parameters outside the bounds or not the profile's.
        """
        check_passphrase(passphrase)
        if path.exists():
            raise ConflictError(f"key file `{path.name}` exists already")
        parameters = kdf or PROFILES[profile]
        _check_kdf(profile, parameters)
        salt = secrets.token_bytes(32)
        header = _Header(1, profile, parameters, encode64(salt), "")
        file = cls(path, header, parameters.derive(passphrase, salt), _Content("", {}, {}), b"")
        file.new_kek()
        return file

    @classmethod
    def open(cls, path: Path, passphrase: bytes) -> KeyFile:
        """Decrypt a key file.

        Raises:
            NotFoundError: there is none.
            InvalidInputError: others may read it, or its parameters are outside the bounds (no work was done).
            TamperedError: it is not a key file.
            NotAuthenticatedError: the passphrase is not its own, or the file was changed.
        """
        data = read_private(path, FILE_LIMIT)
        (header, key), content = _decrypt(data, path.name, lambda header, salt: header.kdf.derive(passphrase, salt))
        return cls(path, header, key, content, data)

    def reload(self) -> bool:
        """See what another process has put in or taken out since; needs no passphrase while that is the same.

        Returns:
            Whether anything had changed.

        Raises:
            NotAuthenticatedError: the file is under another passphrase by now; open it again with that.
            NotFoundError, UnavailableError, TamperedError: as for `open`; what was known stays.
        """
        data = read_private(self._path, FILE_LIMIT)
        if data == self._seen:
            return False
        mine = self._header

        def key_of(header: _Header, _salt: bytes) -> bytes:
            if (header.profile, header.kdf, header.salt) != (mine.profile, mine.kdf, mine.salt):
                raise NotAuthenticatedError(f"`{self._path.name}` is under another passphrase now; open it again")
            return self._key

        (self._header, _), self._content = _decrypt(data, self._path.name, key_of)
        self._seen = data
        return True

    # -- named secrets ------------------------------------------------------------------------------------------

    @property
    def names(self) -> tuple[str, ...]:
        """Of all secrets, ascending."""
        return tuple(sorted(self._content.secrets))

    def get(self, name: str) -> bytes:
        """A secret.

        Raises:
            NotFoundError: no secret has that name.
        """
        try:
            return decode64(self._content.secrets[name])
        except KeyError as error:
            raise NotFoundError(f"the key file holds no secret `{name}`") from error

    def put(self, name: str, secret: bytes) -> None:
        """Keep a secret that was made elsewhere; durable on return. Names are not reused.

        Raises:
            ConflictError: the name is taken.
        """
        parse_name(name, "secret name")
        if name in self._content.secrets:
            raise ConflictError(f"the key file holds a secret `{name}` already")
        self._save(msgspec.structs.replace(self._content, secrets={**self._content.secrets, name: encode64(secret)}))

    def new_secret(self, name: str, size_bytes: int = 32) -> bytes:
        """Make, keep and return random bytes."""
        secret = secrets.token_bytes(size_bytes)
        self.put(name, secret)
        return secret

    def new_signing_key(self, name: str) -> PublicKey:
        """Make and keep an ECDSA P-256 key for a service; `signer(name)` signs with it."""
        signer = EcSigner(ec.generate_private_key(ec.SECP256R1()))
        self.put(name, signer.pkcs8())
        return signer.public

    def signer(self, name: str) -> EcSigner:
        """The service key called `name`.

        Raises:
            NotFoundError: no secret has that name.
            InvalidInputError: the secret is not a signing key.
        """
        return EcSigner.from_pkcs8(self.get(name))

    def forget(self, name: str) -> None:
        """Remove a secret; durable on return.

        Raises:
            NotFoundError: no secret has that name.
        """
        self.get(name)
        kept = {other: value for other, value in self._content.secrets.items() if other != name}
        self._save(msgspec.structs.replace(self._content, secrets=kept))

    # -- key-encryption keys ------------------------------------------------------------------------------------

    @property
    def current_kek(self) -> str:
        return self._content.current_kek

    @property
    def keks(self) -> tuple[str, ...]:
        """Ids of all KEKs, ascending."""
        return tuple(sorted(self._content.keks))

    def new_kek(self) -> str:
        """Make a KEK and use it from now on; older ones still unwrap. Returns its id."""
        return self.import_kek(secrets.token_bytes(32))

    def import_kek(self, kek: bytes) -> str:
        """Take a KEK that another key file exported, and make it the current one. Returns its id."""
        if len(kek) != 32:
            raise InvalidInputError("a KEK has 32 bytes", field="kek", rule="length")
        kek_id = kek_id_of(kek)
        self._save(
            msgspec.structs.replace(
                self._content, current_kek=kek_id, keks={**self._content.keks, kek_id: encode64(kek)}
            )
        )
        return kek_id

    def export_kek(self, kek_id: str) -> bytes:
        """A KEK in the clear, to hand it to a gateway's key file.

        Raises:
            UnavailableError: this file does not hold it.
        """
        try:
            return decode64(self._content.keks[kek_id])
        except KeyError as error:
            raise UnavailableError(f"the key file does not hold KEK {kek_id[:12]}") from error

    def drop_kek(self, kek_id: str) -> None:
        """Destroy a KEK after its keys were wrapped anew: what is still wrapped under it is lost.

        Raises:
            ConflictError: it is the current one.
            UnavailableError: this file does not hold it.
        """
        self.export_kek(kek_id)
        if kek_id == self.current_kek:
            raise ConflictError("the current KEK cannot be dropped; make a new one and wrap the keys anew first")
        kept = {other: value for other, value in self._content.keks.items() if other != kek_id}
        self._save(msgspec.structs.replace(self._content, keks=kept))

    def wrap(self, key: bytes, context: bytes) -> WrappedKey:
        """Encrypt `key` with AES-256-GCM under the current KEK; `context` is the associated data."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        kek_id = self.current_kek
        return WrappedKey(kek_id, nonce + AESGCM(self.export_kek(kek_id)).encrypt(nonce, key, context))

    def unwrap(self, wrapped: WrappedKey, context: bytes) -> bytes:
        """Get the key back.

        Raises:
            UnavailableError: this file does not hold that KEK.
            TamperedError: the blob or the context differ from what was wrapped.
        """
        kek = self.export_kek(wrapped.kek_id)
        if len(wrapped.blob) < NONCE_BYTES + TAG_BYTES:
            raise TamperedError("a wrapped key is cut short")
        try:
            return AESGCM(kek).decrypt(wrapped.blob[:NONCE_BYTES], wrapped.blob[NONCE_BYTES:], context)
        except InvalidTag as error:
            raise TamperedError(f"a key wrapped under KEK {wrapped.kek_id[:12]} was changed") from error

    def change_passphrase(self, passphrase: bytes) -> None:
        """Encrypt the file under another passphrase, with a new salt."""
        check_passphrase(passphrase)
        salt = secrets.token_bytes(32)
        before = self._header, self._key
        self._header = msgspec.structs.replace(self._header, salt=encode64(salt))
        self._key = self._header.kdf.derive(passphrase, salt)
        try:
            self._save(self._content)
        except StrongroomError:
            self._header, self._key = before
            raise

    def _save(self, content: _Content) -> None:
        # The nonce is random: a key file is saved far fewer than 2**32 times under one salt (NIST SP 800-38D, 8.3).
        nonce = secrets.token_bytes(NONCE_BYTES)
        header = msgspec.structs.replace(self._header, nonce=encode64(nonce))
        ciphertext = AESGCM(self._key).encrypt(nonce, canonical(content), canonical(header))
        data = canonical(_File(header, encode64(ciphertext)))
        with locked(self._path.parent):
            # Writing over what another process added since would lose its keys for good.
            if self._seen != (read_private(self._path, FILE_LIMIT) if self._path.exists() else b""):
                raise ConflictError(f"`{self._path.name}` was changed by another process; open it again")
            write_private(self._path, data)
        self._header, self._content, self._seen = header, content, data


def _decrypt(
    data: bytes, name: str, key_of: Callable[[_Header, bytes], bytes]
) -> tuple[tuple[_Header, bytes], _Content]:
    """Header and key, and what they protect; `key_of` is given a header within bounds and its salt."""
    try:
        file = parse_as(data, _File, FILE_LIMIT)
        header = file.header
        salt, nonce, ciphertext = decode64(header.salt), decode64(header.nonce), decode64(file.ciphertext)
    except InvalidInputError as error:
        raise TamperedError(f"`{name}` is not a key file: {error.message}") from error
    if len(salt) != 32 or len(nonce) != NONCE_BYTES:
        raise TamperedError(f"`{name}` is not a key file: salt or nonce has a wrong length")
    _check_kdf(header.profile, header.kdf)
    key = key_of(header, salt)
    try:
        plain = AESGCM(key).decrypt(nonce, ciphertext, canonical(header))
    except InvalidTag as error:
        # GCM cannot tell a wrong passphrase from a changed file; the message says both.
        raise NotAuthenticatedError(f"the passphrase does not open `{name}`, or the file was changed") from error
    return (header, key), parse_as(plain, _Content, FILE_LIMIT)


def kek_id_of(kek: bytes) -> str:
    """The public name of a KEK (format 5)."""
    # One-way and labelled: the id of a 256-bit random key gives nothing away.
    return hashlib.sha256(b"strongroom/kek-id/v1\n" + kek).hexdigest()


def _check_kdf(profile: str, kdf: Kdf) -> None:
    if not isinstance(kdf, _KIND[profile]):
        raise InvalidInputError(f"profile `{profile}` does not use this key derivation", field="kdf", rule="profile")
    kdf.check()
