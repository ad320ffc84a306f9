"""A witness: it cosigns a checkpoint only if the log's past is as it saw it before.

Source: c2sp.org/tlog-witness, c2sp.org/tlog-cosignature (Ed25519).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from strongroom.errors import ConflictError, InvalidInputError, NotFoundError, NotPermittedError, TamperedError
from strongroom.ledger.checkpoint import Checkpoint, open_checkpoint
from strongroom.ledger.note import CosignerKey, Note, VerifierKey
from strongroom.ledger.proof import PATH_LIMIT, strict_base64
from strongroom.ledger.tree import verify_consistency

REQUEST_LIMIT = 128 * 1024


class ForkError(TamperedError):
    """The log shows two histories: proof that its operator misbehaves."""

    code = "fork"


class Memory(Protocol):
    """What a witness remembers of each log: its latest cosigned checkpoint."""

    def latest(self, origin: str) -> Checkpoint | None: ...

    def remember(self, checkpoint: Checkpoint, old_size: int) -> None:
        """Durable on return, and atomic with the check that the latest size is still `old_size`.

        Raises:
            ConflictError: it is not.
        """


@dataclass(frozen=True, slots=True)
class Submission:
    """The body of `add-checkpoint`."""

    old_size: int
    proof: tuple[bytes, ...]
    note: bytes

    def encode(self) -> bytes:
        """The bytes of the request."""
        lines = [f"old {self.old_size}", *(base64.b64encode(node).decode() for node in self.proof)]
        return ("\n".join(lines) + "\n\n").encode() + self.note

    @classmethod
    def parse(cls, data: bytes) -> Submission:
        """Read a request.

        Raises:
            InvalidInputError: malformed or too large.
        """
        if len(data) > REQUEST_LIMIT:
            raise InvalidInputError(f"a submission of {len(data)} bytes exceeds {REQUEST_LIMIT}", rule="size")
        head, blank, note = data.partition(b"\n\n")
        try:
            lines = head.decode("ascii").split("\n")
        except UnicodeDecodeError as error:
            raise InvalidInputError("the lines before the checkpoint are ASCII", rule="submission") from error
        if not blank or not re.fullmatch(r"old (?:0|[1-9][0-9]{0,18})", lines[0]):
            raise InvalidInputError("a submission starts with `old` and a size", rule="submission")
        proof = tuple(strict_base64(line) for line in lines[1:])
        if len(proof) > PATH_LIMIT or any(len(node) != 32 for node in proof):
            raise InvalidInputError(f"a consistency proof has at most {PATH_LIMIT} hashes", rule="submission")
        return cls(int(lines[0][4:]), proof, note)


def cosign(data: bytes, logs: Mapping[str, VerifierKey], memory: Memory, key: CosignerKey, time_s: int) -> bytes:
    """Consider one submission.

    1. The origin is a log that this witness knows.
    2. The log's key signed the checkpoint.
    3. The old size is not above the new one, and is the size that this witness saw last.
    4. Same size: same root. Larger: the consistency proof leads from the old root to the new one.
    5. The new checkpoint is remembered, durably, before anything is signed.

    Args:
        time_s: seconds since 1970, as the witness's own clock has it.

    Returns:
        The cosignature line.

    Raises:
        InvalidInputError: malformed, or old size above new size.
        NotFoundError: unknown log.
        NotPermittedError: no signature of the log's key.
        ConflictError: the old size is not the one seen last (`details["size"]` is), or a fork at the same size.
        ForkError: the proof does not verify.
    """
    submission = Submission.parse(data)
    note = Note.parse(submission.note)
    claimed = Checkpoint.parse(note.text)
    log = logs.get(claimed.origin)
    if log is None:
        raise NotFoundError("this witness does not know the log; its operator adds logs by their verifier key")
    try:
        checkpoint = open_checkpoint(submission.note, log)
    except TamperedError as error:
        raise NotPermittedError("the log's key did not sign this checkpoint") from error
    if submission.old_size > checkpoint.size:
        raise InvalidInputError("the old size is above the new one", rule="old-size")
    latest = memory.latest(checkpoint.origin)
    latest_size = 0 if latest is None else latest.size
    if submission.old_size != latest_size:
        raise ConflictError(f"the latest checkpoint seen has size {latest_size}", size=latest_size)
    if latest is not None and latest.size == checkpoint.size and latest.root != checkpoint.root:
        raise ConflictError(f"a fork: another root was cosigned at size {latest_size}", size=latest_size)
    if latest is None or latest.size == 0:
        if submission.proof:
            raise ForkError("a proof from the empty tree is empty")
    else:
        try:
            verify_consistency(latest.size, checkpoint.size, latest.root, checkpoint.root, submission.proof)
        except TamperedError as error:
            raise ForkError("the checkpoint does not extend the one seen before") from error
    memory.remember(checkpoint, latest_size)
    return key.sign(note.text, time_s).encode()
