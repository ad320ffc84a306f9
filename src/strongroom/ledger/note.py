"""C2SP signed notes: text, signature lines, verifier keys and signing keys.

Two signature types are spoken: 0x01, plain Ed25519 over the text (logs), and 0x04, the timestamped Ed25519
cosignature of a witness. Lines of unknown keys are ignored; a line of a known key that fails is an alarm.

Source: c2sp.org/signed-note, c2sp.org/tlog-cosignature.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from strongroom.errors import InvalidInputError, TamperedError

ED25519 = 0x01
COSIGNATURE_V1 = 0x04
SIGNATURES_LIMIT = 64
NOTE_LIMIT = 64 * 1024
KEY_BYTES = 32
_DASH = "\u2014 ".encode()
_UNFIT = re.compile(r"[\s+\x00-\x1f\x7f]")
_CONTROL = bytes(byte for byte in range(0x20) if byte != 0x0A)


def check_key_name(name: str) -> str:
    """A key name is not empty and has no white space, no plus and no control character.

    Raises:
        InvalidInputError: it has.
    """
    if not name or _UNFIT.search(name):
        raise InvalidInputError("a key name is not empty and has no space, plus or control character", rule="key-name")
    return name


def _base64(text: bytes | str, what: str) -> bytes:
    """Strict base 64: one spelling for each value, or two notes could differ without meaning it."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInputError(f"{what} is not base 64", rule="base64") from error
    if base64.b64encode(raw) != (text.encode() if isinstance(text, str) else text):
        raise InvalidInputError(f"{what} is not canonical base 64", rule="base64")
    return raw


@dataclass(frozen=True)
class VerifierKey:
    """A public key with its name, in the C2SP vkey form `<name>+<8 hexadecimal digits>+<base 64>`.

    Attributes:
        name: of the log (its origin) or of the witness.
        public: 32 bytes of Ed25519.
        kind: `ED25519` or `COSIGNATURE_V1`.
    """

    name: str
    public: bytes
    kind: int = ED25519

    def __post_init__(self) -> None:
        check_key_name(self.name)
        if self.kind not in (ED25519, COSIGNATURE_V1):
            raise InvalidInputError(f"signature type {self.kind:#04x} is not supported", rule="vkey")
        if len(self.public) != KEY_BYTES:
            raise InvalidInputError(f"an Ed25519 public key has {KEY_BYTES} bytes", rule="vkey")

    @cached_property
    def key_id(self) -> bytes:
        """The four bytes that stand before each signature of this key."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:4]

    @cached_property
    def _key(self) -> Ed25519PublicKey:
        return Ed25519PublicKey.from_public_bytes(self.public)

    def __str__(self) -> str:
        material = base64.b64encode(bytes([self.kind]) + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{material}"

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Read a vkey.

        Raises:
            InvalidInputError: not a vkey, of an unsupported type, or its key id is not the one of its key.
        """
        parts = text.split("+", 2)
        if len(parts) != 3:
            raise InvalidInputError("a verifier key has the form name+id+key", rule="vkey")
        name, key_id, material = parts
        raw = _base64(material, "the verifier key")
        if len(raw) != 1 + KEY_BYTES:
            raise InvalidInputError("a verifier key holds a type and 32 bytes", rule="vkey")
        key = cls(name, raw[1:], raw[0])
        if key.key_id.hex() != key_id:
            raise InvalidInputError(f"the key id of verifier key `{name}` does not match its key", rule="vkey")
        return key

    def verify(self, text: bytes, signature: bytes) -> int | None:
        """Check one signature over a note's text.

        Returns:
            For a cosignature its time in seconds since 1970, else None.

        Raises:
            TamperedError: the signature is not of this key over this text.
        """
        failed = TamperedError(f"the signature of `{self.name}` does not fit the note")
        time_s: int | None = None
        if self.kind == COSIGNATURE_V1:
            if len(signature) != 8 + 64:
                raise failed
            time_s = struct.unpack(">Q", signature[:8])[0]
            if time_s >= 2**63:
                raise failed
            text, signature = cosigned_message(text, time_s), signature[8:]
        try:
            self._key.verify(signature, text)
        except InvalidSignature as error:
            raise failed from error
        return time_s


def cosigned_message(text: bytes, time_s: int) -> bytes:
    """What a witness signs: header, time, and the whole text of the checkpoint."""
    return b"cosignature/v1\ntime %d\n" % time_s + text


@dataclass(frozen=True)
class _Seed:
    """An Ed25519 key by its name. The seed never appears in `repr`."""

    name: str
    seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        check_key_name(self.name)
        if len(self.seed) != KEY_BYTES:
            raise InvalidInputError(f"an Ed25519 seed has {KEY_BYTES} bytes", rule="seed")

    @cached_property
    def _key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)


class LogKey(_Seed):
    """The private half of a log's key.

    Attributes:
        name: the log's origin.
        seed: 32 random bytes (the Ed25519 private key).
    """

    @cached_property
    def verifier(self) -> VerifierKey:
        return VerifierKey(self.name, self._key.public_key().public_bytes_raw(), ED25519)

    def sign(self, text: bytes) -> SignatureLine:
        """Sign the text of a note."""
        return SignatureLine(self.name, self.verifier.key_id, self._key.sign(text))


class CosignerKey(_Seed):
    """The private half of a witness's key.

    Attributes:
        name: of the witness.
        seed: 32 random bytes (the Ed25519 private key); used for nothing but cosignatures.
    """

    @cached_property
    def verifier(self) -> VerifierKey:
        return VerifierKey(self.name, self._key.public_key().public_bytes_raw(), COSIGNATURE_V1)

    def sign(self, text: bytes, time_s: int) -> SignatureLine:
        """Cosign the text of a checkpoint as of `time_s` seconds since 1970."""
        signature = self._key.sign(cosigned_message(text, time_s))
        return SignatureLine(self.name, self.verifier.key_id, struct.pack(">Q", time_s) + signature)


@dataclass(frozen=True, slots=True)
class SignatureLine:
    """One signature line: whose, by which key, and the signature (for cosignatures with its time in front)."""

    name: str
    key_id: bytes
    signature: bytes

    def encode(self) -> bytes:
        """The line with its newline."""
        return _DASH + self.name.encode() + b" " + base64.b64encode(self.key_id + self.signature) + b"\n"

    @classmethod
    def parse(cls, line: bytes) -> SignatureLine:
        """Read a line without its newline.

        Raises:
            InvalidInputError: not a signature line.
        """
        if not line.startswith(_DASH):
            raise InvalidInputError("a signature line starts with an em dash and a space", rule="note")
        name, space, encoded = line[len(_DASH) :].decode().partition(" ")
        if not space:
            raise InvalidInputError("a signature line has a name and a signature", rule="note")
        raw = _base64(encoded, f"the signature of `{check_key_name(name)}`")
        if len(raw) < 5:
            raise InvalidInputError("a signature is longer than its key id", rule="note")
        return cls(name, raw[:4], raw[4:])


@dataclass(frozen=True, slots=True)
class Note:
    """A text (with its final newline) and its signature lines, not yet verified."""

    text: bytes
    signatures: tuple[SignatureLine, ...]

    def encode(self) -> bytes:
        """The note's bytes."""
        return self.text + b"\n" + b"".join(line.encode() for line in self.signatures)

    @classmethod
    def parse(cls, data: bytes) -> Note:
        """Read a note.

        Raises:
            InvalidInputError: not a note, or too large.
        """
        if len(data) > NOTE_LIMIT:
            raise InvalidInputError(f"a note of {len(data)} bytes exceeds {NOTE_LIMIT}", rule="note")
        try:
            data.decode()
        except UnicodeDecodeError as error:
            raise InvalidInputError("a note is UTF-8", rule="note") from error
        if len(data.translate(None, _CONTROL)) != len(data):
            raise InvalidInputError("a note has no control characters", rule="note")
        text, blank, lines = data.rpartition(b"\n\n")
        if not blank or not lines.endswith(b"\n"):
            raise InvalidInputError("a note is a text, an empty line and signature lines", rule="note")
        signatures = lines[:-1].split(b"\n")
        if len(signatures) > SIGNATURES_LIMIT:
            raise InvalidInputError(f"a note has at most {SIGNATURES_LIMIT} signatures", rule="note")
        return cls(text + b"\n", tuple(SignatureLine.parse(line) for line in signatures))

    def signed_by(self, key: VerifierKey) -> int | None:
        """Demand a valid signature of `key`; every line of that key must verify.

        Returns:
            For a cosignature its latest time in seconds since 1970, else None.

        Raises:
            TamperedError: no line of this key, or one that does not verify.
        """
        found = False
        latest: int | None = None
        for line in self.signatures:
            if line.name == key.name and line.key_id == key.key_id:
                time_s = key.verify(self.text, line.signature)
                found = True
                if time_s is not None and (latest is None or time_s > latest):
                    latest = time_s
        if not found:
            raise TamperedError(f"the note has no signature of `{key.name}`")
        return latest

    def cosigned_by(self, witnesses: Sequence[VerifierKey]) -> dict[str, int]:
        """Which of these witnesses cosigned, and when (seconds since 1970).

        Raises:
            TamperedError: a line of one of them does not verify.
        """
        present = {(line.name, line.key_id) for line in self.signatures}
        times: dict[str, int] = {}
        for key in witnesses:
            if key.kind == COSIGNATURE_V1 and (key.name, key.key_id) in present:
                time_s = self.signed_by(key)
                if time_s is not None:
                    times[key.name] = time_s
        return times

    def with_lines(self, lines: Iterable[SignatureLine]) -> Note:
        """The same note with further signature lines; a line that is there already is not repeated."""
        merged = dict.fromkeys((*self.signatures, *lines))
        return Note(self.text, tuple(merged))
