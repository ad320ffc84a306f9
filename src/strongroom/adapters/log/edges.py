"""The right edge of a published tree, kept beside the log: half of the hashes of an inclusion proof follow from it.

    <folder>/checkpoint.edge             of the published checkpoint
    <folder>/checkpoint.cosigned.edge    of the newest cosigned one

Only a convenience, so it is neither published nor synced: what is read counts only if it gives the root that the
checkpoint signs, and the tiles give the same otherwise.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from strongroom.adapters.files.disk import Disk
from strongroom.errors import InvalidInputError
from strongroom.ledger.checkpoint import Checkpoint
from strongroom.ledger.tree import Frontier


def keep_edge(disk: Disk, folder: Path, name: str, frontier: Frontier) -> None:
    """Keep the edge of the checkpoint that is published as `name`. Nothing depends on whether it succeeds."""
    with contextlib.suppress(OSError):
        file = disk.open(folder / f"{name}.edge", create=True)
        try:
            file.pwrite(frontier.encode(), 0)
        finally:
            file.close()


def read_edge(disk: Disk, folder: Path, name: str, head: Checkpoint) -> Frontier | None:
    """The edge of the checkpoint `head`, published as `name`; None where there is none of it."""
    try:
        frontier = Frontier.decode(disk.read(f"{folder}/{name}.edge"), head.size)
    except (OSError, InvalidInputError):
        return None
    return frontier if frontier.root() == head.root else None
