"""A proof that a leaf is in a log, as text that stands alone.

Source: c2sp.org/tlog-proof.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass

from strongroom.errors import InvalidInputError, TamperedError
from strongroom.ledger.checkpoint import Checkpoint, open_checkpoint
from strongroom.ledger.note import VerifierKey
from strongroom.ledger.tree import HASH_BYTES, leaf_hash, verify_inclusion

_HEADER = "c2sp.org/tlog-proof@v1"
_NUMBER = re.compile(r"(?:0|[1-9][0-9]{0,18})")
PATH_LIMIT = 63


@dataclass(frozen=True, slots=True)
class LogProof:
    """Where a leaf stands and how to get from it to a signed root.

    Attributes:
        index: zero-based.
        path: sibling hashes from the leaf to the root, 32 bytes each.
        checkpoint: the signed note, verbatim.
    """

    index: int
    path: tuple[bytes, ...]
    checkpoint: bytes

    def encode(self) -> str:
        """The text form. We never write the optional `extra` line: it is not authenticated."""
        lines = [_HEADER, f"index {self.index}", *(base64.b64encode(node).decode() for node in self.path)]
        return "\n".join(lines) + "\n\n" + self.checkpoint.decode()

    @classmethod
    def parse(cls, text: str) -> LogProof:
        """Read the text form; an `extra` line is accepted and dropped.

        Raises:
            InvalidInputError: malformed.
        """
        head, blank, note = text.partition("\n\n")
        lines = head.split("\n")
        if not blank or lines.pop(0) != _HEADER:
            raise InvalidInputError(f"a proof starts with `{_HEADER}` and ends with a checkpoint", rule="proof")
        if lines and lines[0].startswith("extra "):
            strict_base64(lines.pop(0)[6:])
        if not lines or not lines[0].startswith("index ") or not _NUMBER.fullmatch(lines[0][6:]):
            raise InvalidInputError("a proof names the index of its leaf", rule="proof")
        index = int(lines.pop(0)[6:])
        path = tuple(strict_base64(line) for line in lines)
        if len(path) > PATH_LIMIT or any(len(node) != HASH_BYTES for node in path):
            raise InvalidInputError(f"a proof has at most {PATH_LIMIT} hashes of {HASH_BYTES} bytes", rule="proof")
        return cls(index, path, note.encode())


def verify_proof(text: str, leaf: bytes, log: VerifierKey) -> tuple[int, Checkpoint]:
    """Demand that `leaf` is in the log of this key.

    Returns:
        Its index, and the checkpoint that covers it.

    Raises:
        TamperedError: it is not, or the proof is malformed.
    """
    try:
        proof = LogProof.parse(text)
    except InvalidInputError as error:
        raise TamperedError(f"the proof cannot be read: {error.message}") from error
    checkpoint = open_checkpoint(proof.checkpoint, log)
    verify_inclusion(leaf_hash(leaf), proof.index, checkpoint.size, proof.path, checkpoint.root)
    return proof.index, checkpoint


def make_proof(index: int, path: Sequence[bytes], checkpoint: bytes) -> str:
    """The text of a proof."""
    return LogProof(index, tuple(path), checkpoint).encode()


def strict_base64(text: str) -> bytes:
    """Base 64 in its one spelling.

    Raises:
        InvalidInputError: anything else.
    """
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInputError("a line of the proof is not base 64", rule="proof") from error
    if base64.b64encode(raw).decode() != text:
        raise InvalidInputError("a line of the proof is not canonical base 64", rule="proof")
    return raw
