"""Publishing a log to stores that others read: immutable objects, and a checkpoint that only ever moves forward.

What was answered is durable in the log's own segments before any of this: a store that is slow or away delays the
publication and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from strongroom.errors import ConflictError, TamperedError
from strongroom.ledger.checkpoint import Checkpoint, VerifierKey, open_checkpoint
from strongroom.ledger.note import Note
from strongroom.ledger.tiles import HEIGHT, WIDTH, TileTree, encode_bundle, entries_path, tile_frontier, tile_path

CHECKPOINT: Final = "checkpoint"


class TileStore(Protocol):
    """Where the published form of one log lies. Paths are those of `ledger.tiles`, and `checkpoint`.

    Everything is durable on return, and may be called from several processes. Each call raises UnavailableError when
    the store cannot be reached.
    """

    def get(self, path: str) -> bytes | None:
        """The object's bytes, None if there is none."""

    def exists(self, path: str) -> bool:
        """Whether there is an object."""

    def put(self, path: str, content: bytes) -> None:
        """Make an object that never changes. The same bytes again change nothing.

        Raises:
            ConflictError: other bytes are there.
        """

    def replace(self, path: str, content: bytes, expected: bytes | None) -> None:
        """Put `content` in the place of exactly `expected` (None: of nothing), in one step.

        Raises:
            ConflictError: something else is there.
        """


def push(read: Callable[[str], bytes | None], verifier: VerifierKey, store: TileStore) -> int:
    """Bring a store up to the log's published checkpoint; returns its size. Harmless to repeat after any end.

    1. The store's checkpoint, if any, is signed by the log, not newer than ours, and of the same history.
    2. Every tile and entry bundle between the two is put there.
    3. Only then the checkpoint is replaced, on condition that nobody else did so meanwhile.

    Args:
        read: the log's own published files.
        verifier: the log's key.
        store: of this log.

    Raises:
        TamperedError: the store shows another history of this log.
        ConflictError: another writer was faster, or the store is ahead of this log; ask again.
        UnavailableError: the store cannot be reached.
    """
    note = read(CHECKPOINT) or b""
    ours = open_checkpoint(note, verifier)
    tree = TileTree(ours.size, read)
    there = store.get(CHECKPOINT)
    before = Checkpoint(verifier.name, 0, tile_frontier(tree, 0).root())
    if there is not None:
        before = open_checkpoint(there, verifier)
        if before.size > ours.size:
            raise ConflictError(f"the store is ahead of `{verifier.name}`: {before.size} entries against {ours.size}")
        if tile_frontier(tree, before.size).root() != before.root:
            raise TamperedError(f"the store shows another history of `{verifier.name}`; call security")
        if before.size == ours.size and set(Note.parse(note).signatures) <= set(Note.parse(there).signatures):
            return ours.size
    _objects(tree, before.size, store)
    store.replace(CHECKPOINT, note, there)
    return ours.size


def _objects(tree: TileTree, since: int, store: TileStore) -> None:
    for index in range(since // WIDTH, -(-tree.size // WIDTH)):
        leaves = tree.bundle(index)
        store.put(entries_path(index, len(leaves)), encode_bundle(leaves))
    level = 0
    while tree.size >> (HEIGHT * level):
        rows = tree.size >> (HEIGHT * level)
        for index in range((since >> (HEIGHT * level)) // WIDTH, -(-rows // WIDTH)):
            store.put(tile_path(level, index, min(WIDTH, rows - index * WIDTH)), tree.tile(level, index))
        level += 1
