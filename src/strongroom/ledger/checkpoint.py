"""C2SP checkpoints: what a log's key commits to. Origin, size and root, signed as a note.

Source: c2sp.org/tlog-checkpoint.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from strongroom.errors import InvalidInputError, TamperedError
from strongroom.ledger.note import CosignerKey, LogKey, Note, SignatureLine, VerifierKey, check_key_name
from strongroom.ledger.tree import EMPTY_ROOT, HASH_BYTES

__all__ = [
    "Checkpoint",
    "CosignerKey",
    "LogKey",
    "Note",
    "SignatureLine",
    "VerifierKey",
    "open_checkpoint",
    "sign_checkpoint",
]

_SIZE = re.compile(r"(?:0|[1-9][0-9]{0,18})")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree head.

    Attributes:
        origin: which log.
        size: number of leaves.
        root: 32 bytes.
    """

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        check_key_name(self.origin)
        if len(self.root) != HASH_BYTES:
            raise InvalidInputError(f"a root hash has {HASH_BYTES} bytes", rule="checkpoint")
        if not 0 <= self.size < 2**63:
            raise InvalidInputError("a tree size lies between 0 and 2**63", rule="checkpoint")
        if self.size == 0 and self.root != EMPTY_ROOT:
            raise InvalidInputError("the root of an empty tree is the hash of nothing", rule="checkpoint")

    def text(self) -> bytes:
        """The text of the note, three lines. Extension lines are neither written nor accepted: nobody audits them."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n".encode()

    @classmethod
    def parse(cls, text: bytes) -> Checkpoint:
        """Read the text of a note. The signatures are not looked at: see `open_checkpoint`.

        Raises:
            InvalidInputError: not exactly origin, size and root, each in its one spelling.
        """
        try:
            lines = text.decode().split("\n")
        except UnicodeDecodeError as error:
            raise InvalidInputError("a checkpoint is UTF-8", rule="checkpoint") from error
        if len(lines) != 4 or lines[3]:
            raise InvalidInputError("a checkpoint has three lines: origin, size and root", rule="checkpoint")
        origin, size, root = lines[:3]
        if not _SIZE.fullmatch(size):
            raise InvalidInputError("a tree size is a decimal number without leading zeroes", rule="checkpoint")
        try:
            raw = base64.b64decode(root, validate=True)
        except ValueError as error:
            raise InvalidInputError("the root hash is not base 64", rule="checkpoint") from error
        checkpoint = cls(origin, int(size), raw)
        if checkpoint.text() != text:
            raise InvalidInputError("the checkpoint is not in canonical form", rule="checkpoint")
        return checkpoint


def sign_checkpoint(checkpoint: Checkpoint, key: LogKey) -> bytes:
    """The signed note of a checkpoint.

    Raises:
        InvalidInputError: the key is of another log.
    """
    if key.name != checkpoint.origin:
        raise InvalidInputError(f"the key of `{key.name}` does not sign for `{checkpoint.origin}`", rule="origin")
    text = checkpoint.text()
    return text + b"\n" + key.sign(text).encode()


def open_checkpoint(note: bytes, vkey: VerifierKey) -> Checkpoint:
    """Verify the log's signature and return what it signed. Other lines (cosignatures) may be present.

    1. The bytes are a note.
    2. The log's key signed its text.
    3. The text is a checkpoint of that log.

    Raises:
        TamperedError: one of the three does not hold.
    """
    try:
        parsed = Note.parse(note)
        parsed.signed_by(vkey)
        checkpoint = Checkpoint.parse(parsed.text)
    except InvalidInputError as error:
        raise TamperedError(f"the checkpoint of `{vkey.name}` cannot be read: {error.message}") from error
    if checkpoint.origin != vkey.name:
        raise TamperedError(f"the checkpoint is of `{checkpoint.origin}`, not of `{vkey.name}`")
    return checkpoint
