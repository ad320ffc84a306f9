"""A person's home: the folder, outside every room, where their private key lives under their passphrase.

`key.pem` is standard encrypted PKCS#8 (PBES2: PBKDF2-HMAC-SHA256, AES-256-CBC), so that OpenSSL and
`model_signing --password` read it too; `home.json` says in the clear whose key it is. We write the container
ourselves because the iteration count of `cryptography` is fixed at 2,048.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, padding, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from strongroom.adapters.files.safe_files import read_private, write_private
from strongroom.approval.statements import GovernanceSeen
from strongroom.encoding import canonical, parse_as
from strongroom.errors import ConflictError, InvalidInputError, NotAuthenticatedError, NotFoundError, TamperedError
from strongroom.sealing.dsse import encode64
from strongroom.sealing.keys import EcSigner, PublicKey
from strongroom.vocabulary import PersonId, parse_name

PBKDF2_ITERATIONS = 600_000
"""OWASP Password Storage Cheat Sheet, for PBKDF2-HMAC-SHA256; NIST SP 800-132 asks for as many as users bear."""

PASSPHRASE_BYTES = 8
"""Shortest passphrase we take (NIST SP 800-63B, section 5.1.1.1: eight characters)."""


class _Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`home.json`: nothing secret."""

    v: Literal[1]
    person: str
    public_key: str


class _Heads(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`heads.json`: what was seen of governance logs. Nothing secret; losing it loses the comparison alone."""

    v: Literal[1]
    heads: tuple[GovernanceSeen, ...]


HEADS = "heads.json"


@dataclass(frozen=True, slots=True)
class Home:
    """An opened home. It is a `Signer`."""

    folder: Path
    person: PersonId
    _signer: EcSigner = field(repr=False)

    @property
    def public(self) -> PublicKey:
        return self._signer.public

    def sign(self, data: bytes) -> bytes:
        """An ECDSA P-256 signature in DER over `data`, hashed with SHA-256."""
        return self._signer.sign(data)

    @property
    def heads(self) -> Mapping[str, GovernanceSeen]:
        """The newest head that this person's machine saw of each governance log, by origin.

        Raises:
            TamperedError: `heads.json` does not read.
        """
        path = self.folder / HEADS
        if not path.exists():
            return {}
        try:
            heads = parse_as(read_private(path), _Heads, 1024 * 1024).heads
        except InvalidInputError as error:
            raise TamperedError(f"{HEADS} of `{self.folder.name}` does not read: {error.message}") from error
        return {head.origin: head for head in heads}

    def remember(self, head: GovernanceSeen) -> None:
        """Keep a head, whose log was held against the one kept before."""
        known = dict(self.heads)
        if known.get(head.origin) != head:
            known[head.origin] = head
            write_private(
                self.folder / HEADS, canonical(_Heads(v=1, heads=tuple(known[name] for name in sorted(known))))
            )

    @classmethod
    def create(cls, folder: Path, person_id: str, passphrase: bytes) -> PublicKey:
        """Make a key and the folder that holds it (mode 700, files 600).

        Raises:
            InvalidInputError: the folder lies in a room, or the passphrase is shorter than eight bytes.
            ConflictError: there is a key already.
        """
        person = PersonId(parse_name(person_id, "person id"))
        check_passphrase(passphrase)
        cls.demand_free(folder)
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        signer = EcSigner(ec.generate_private_key(ec.SECP256R1()))
        card = _Card(v=1, person=person, public_key=signer.public.pem.decode("ascii"))
        write_private(folder / "home.json", canonical(card))
        write_private(folder / "key.pem", encrypt_pkcs8(signer.pkcs8(), passphrase))
        return signer.public

    @staticmethod
    def demand_free(folder: Path) -> None:
        """Whether a home may be made there.

        Raises:
            InvalidInputError: the folder lies in a room.
            ConflictError: there is a key already.
        """
        refuse_inside_room(folder)
        if (folder / "key.pem").exists():
            raise ConflictError(f"home `{folder.name}` holds a key already; keys are added, not replaced")

    @classmethod
    def open(cls, folder: Path, passphrase: bytes) -> Home:
        """Decrypt the key.

        Raises:
            NotFoundError: no home is there.
            InvalidInputError: the folder lies in a room, or others may read the key.
            NotAuthenticatedError: the passphrase is not the key's.
            TamperedError: the key is not the one that `home.json` names.
        """
        refuse_inside_room(folder)
        person, public = cls.look(folder)
        try:
            key = serialization.load_pem_private_key(read_private(folder / "key.pem"), passphrase)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise NotAuthenticatedError(f"the passphrase does not open home `{folder.name}`") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or EcSigner(key).public != public:
            raise TamperedError(f"home `{folder.name}` holds another key than its home.json names")
        return cls(folder, person, EcSigner(key))

    @classmethod
    def look(cls, folder: Path) -> tuple[PersonId, PublicKey]:
        """Whose home it is and the public key, without the passphrase.

        Raises:
            NotFoundError: no home is there.
            TamperedError: `home.json` does not read.
        """
        try:
            card = parse_as(read_private(folder / "home.json"), _Card, 64 * 1024)
            return PersonId(parse_name(card.person, "person id")), PublicKey.from_pem(card.public_key.encode())
        except NotFoundError as error:
            raise NotFoundError(f"no home in folder `{folder.name}`; make one with `strongroom people new`") from error
        except InvalidInputError as error:
            raise TamperedError(f"home.json of `{folder.name}` does not read: {error.message}") from error


def check_passphrase(passphrase: bytes) -> None:
    """Raises InvalidInputError for a passphrase that is too short to protect anything."""
    if len(passphrase) < PASSPHRASE_BYTES:
        raise InvalidInputError(
            f"a passphrase has at least {PASSPHRASE_BYTES} bytes", field="passphrase", rule="length"
        )


def refuse_inside_room(folder: Path) -> None:
    """Keys of people never lie where the control plane can read them (promise 2).

    Raises:
        InvalidInputError: `room.toml` stands in the folder or in one above it, links resolved.
    """
    place = Path(os.path.realpath(folder))
    for above in (place, *place.parents):
        if (above / "room.toml").exists():
            raise InvalidInputError(
                f"a home may not lie inside room `{above.name}`; choose a folder outside it",
                field="home",
                rule="outside",
            )


def encrypt_pkcs8(der: bytes, passphrase: bytes) -> bytes:
    """Encrypted PKCS#8 as PEM (RFC 8018: PBES2 with PBKDF2-HMAC-SHA256 and AES-256-CBC; RFC 5958)."""
    salt, iv = secrets.token_bytes(16), secrets.token_bytes(16)
    key = PBKDF2HMAC(hashes.SHA256(), 32, salt, PBKDF2_ITERATIONS).derive(passphrase)
    pad = padding.PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES256(key), modes.CBC(iv)).encryptor()
    ciphertext = encryptor.update(pad.update(der) + pad.finalize()) + encryptor.finalize()
    prf = _sequence(_oid("2a864886f70d0209"), b"\x05\x00")  # hmacWithSHA256, NULL
    rounds = PBKDF2_ITERATIONS.to_bytes(PBKDF2_ITERATIONS.bit_length() // 8 + 1, "big")
    kdf = _sequence(_oid("2a864886f70d01050c"), _sequence(_der(4, salt), _der(2, rounds), prf))  # PBKDF2
    cipher = _sequence(_oid("60864801650304012a"), _der(4, iv))  # aes256-CBC
    scheme = _sequence(_oid("2a864886f70d01050d"), _sequence(kdf, cipher))  # PBES2
    text = encode64(_sequence(scheme, _der(4, ciphertext)))
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    frame = "ENCRYPTED PRIVATE KEY"
    return "\n".join([f"-----BEGIN {frame}-----", *lines, f"-----END {frame}-----", ""]).encode("ascii")


def _der(tag: int, body: bytes) -> bytes:
    size = len(body)
    length = (
        bytes([size])
        if size < 128
        else bytes([0x80 | (size.bit_length() + 7) // 8]) + size.to_bytes((size.bit_length() + 7) // 8, "big")
    )
    return bytes([tag]) + length + body


def _sequence(*parts: bytes) -> bytes:
    return _der(0x30, b"".join(parts))


def _oid(body_hex: str) -> bytes:
    return _der(6, bytes.fromhex(body_hex))
