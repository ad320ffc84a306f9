"""The verbs of the ledger: open and close a log in the governance log's words, and check a folder."""

from __future__ import annotations

from strongroom.ledger.checkpoint import Checkpoint, VerifierKey, open_checkpoint
from strongroom.ledger.entries import CloseEntry, OpenEntry
from strongroom.ledger.fsck import Finding, fsck
from strongroom.ledger.origin import Origin
from strongroom.vocabulary import Digest

__all__ = ["Finding", "close_shard", "fsck", "open_shard"]


def open_shard(verifier: VerifierKey, at_us: int) -> OpenEntry:
    """The entry that must be in the governance log before a shard gives its first answer.

    Args:
        verifier: the shard's key; its name is the shard's origin.
        at_us: now, microseconds since 1970.

    Raises:
        InvalidInputError: the key's name is not an origin.
    """
    origin = Origin.parse(verifier.name)
    return OpenEntry(
        generation=origin.generation, opened_us=at_us, origin=str(origin), type="open", v=1, vkey=str(verifier)
    )


def close_shard(checkpoint: bytes, verifier: VerifierKey, at_us: int) -> CloseEntry:
    """The entry that says where a shard ended.

    Args:
        checkpoint: the shard's last signed checkpoint.
        verifier: the shard's key, from its opening entry.
        at_us: now, microseconds since 1970.

    Raises:
        TamperedError: the checkpoint is not signed by that key.
    """
    last: Checkpoint = open_checkpoint(checkpoint, verifier)
    return CloseEntry(
        closed_us=at_us, origin=last.origin, root=Digest(last.root.hex()), size=last.size, type="close", v=1
    )
