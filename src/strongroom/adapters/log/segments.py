"""Full segments of a log folder, one after the other, as retention judges and drops them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from strongroom.adapters.files.disk import Disk, OsDisk
from strongroom.adapters.log.shard_reader import FolderView, segment_name
from strongroom.compliance.retention import RetentionProof, Segment
from strongroom.errors import InvalidInputError, NotDurableError, TamperedError
from strongroom.ledger.frames import ENTRY, Scan, walk
from strongroom.ledger.leaf import Leaf
from strongroom.ledger.tiles import TileTree
from strongroom.ledger.tree import leaf_hash
from strongroom.vocabulary import digest_of


def full_segments(folder: Path, tree: TileTree) -> Iterator[Segment]:
    """Every segment but the last, oldest first, each held against the published tree before it is given out.

    Args:
        folder: of the log; may be written meanwhile.
        tree: of a checkpoint that was verified, over the same folder.

    Raises:
        TamperedError: a leaf in a segment is not the published one: evidence, which must not be dropped.
    """
    segments = FolderView(folder).segments()
    for segment, after in pairwise(segments):
        data = segment.load()
        leaves: list[Leaf] = []
        for found in walk(data):
            if isinstance(found, Scan):
                break
            if found.kind != ENTRY:
                continue
            place = segment.first + len(leaves)
            try:
                leaf, _ = found.record()
                decoded = Leaf.decode(leaf)
            except InvalidInputError as error:
                raise TamperedError(f"entry {place} of segment {segment.first} is not one") from error
            if found.number != place or (place < tree.size and tree.node(0, place) != leaf_hash(leaf)):
                raise TamperedError(f"entry {place} in the segments is not the published one; run `strongroom fsck`")
            leaves.append(decoded)
        end = segment.first + len(leaves)
        if end != after.first:
            raise TamperedError(f"segment {segment.first} ends at {end}, the next begins at {after.first}")
        yield Segment(segment.first, end, len(data), digest_of(data), leaves)


def drop_segments(folder: Path, proof: RetentionProof, disk: Disk | None = None) -> None:
    """Delete what a proof names. Harmless to repeat.

    Raises:
        NotDurableError: a file could not be deleted; ask again.
    """
    disk = disk or OsDisk()
    segments = folder / "segments"
    try:
        # from the oldest on: a crash in between leaves one piece
        for segment in proof.segments:
            path = segments / segment_name(segment.first)
            if disk.exists(path):
                disk.remove(path)
                disk.sync_folder(segments)
    except OSError as error:
        raise NotDurableError(f"a segment could not be deleted: {error.strerror}; run the command again") from error
