"""A log as others can check it alone: its public files up to one signed checkpoint, as a folder or as a tar archive."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from strongroom.adapters.log.shard_reader import COSIGNED, FolderView
from strongroom.errors import InvalidInputError, NotFoundError, TamperedError
from strongroom.ledger.checkpoint import Checkpoint, VerifierKey, open_checkpoint
from strongroom.ledger.frames import CHECKPOINT, Scan, walk
from strongroom.ledger.tiles import WIDTH, TileEdge, TileTree, tile_frontier
from strongroom.ledger.tree import leaf_hash


def export_log(folder: Path, verifier: VerifierKey, up_to: int | None = None) -> tuple[Checkpoint, dict[str, bytes]]:
    """The public files of a log, verified on the way. It may be written meanwhile.

    Args:
        folder: of the log.
        verifier: its key.
        up_to: at least so many entries, and no more than to the next signed checkpoint; all published ones when None.
            A range begins with the first entry: only a whole tree has a root that somebody signed.

    Returns:
        The checkpoint, and path to content.

    Raises:
        NotFoundError: nothing is published, or no signed checkpoint of such a size is left.
        TamperedError: the published files are not the log's.
    """
    view = FolderView(folder)
    cosigned = view.published(COSIGNED)  # first: the log may move on meanwhile, and what is cosigned was published
    note = view.published("checkpoint")
    if note is None:
        raise NotFoundError(f"log `{verifier.name}` has published nothing")
    whole = open_checkpoint(note, verifier)
    if up_to is not None:
        if not 0 < up_to <= whole.size:
            raise InvalidInputError(f"the log has {whole.size} published entries", field="up_to", rule="range")
        note = _note_at(view, verifier, up_to, note)
    head = open_checkpoint(note, verifier)
    tree, edge = TileTree(whole.size, view.published), TileEdge()
    if tile_frontier(tree, head.size).root() != head.root:
        raise TamperedError(f"the tiles of `{verifier.name}` do not give the root of size {head.size}")
    files: dict[str, bytes] = {}
    for at in range(0, head.size, WIDTH):
        leaves = tree.bundle(at // WIDTH)[: head.size - at]
        made = edge.add(leaves, [leaf_hash(leaf) for leaf in leaves])
        files.update({path: content for path, content in made.items() if ".p/" not in path})
    files |= edge.partials()
    if cosigned is not None and open_checkpoint(cosigned, verifier).size <= head.size:
        files[COSIGNED] = cosigned
    files["checkpoint"] = note
    return head, files


def _note_at(view: FolderView, verifier: VerifierKey, up_to: int, newest: bytes) -> bytes:
    """The smallest signed checkpoint of at least this size: each batch in the segments ends with one."""
    candidates = [newest, *filter(None, [view.published(COSIGNED)])]
    for segment in reversed(view.segments()):
        for found in walk(segment.load()):
            if not isinstance(found, Scan) and found.kind == CHECKPOINT and found.number >= up_to:
                candidates.append(found.body)
                break
        if segment.first < up_to:
            break
    sized = [(open_checkpoint(note, verifier).size, note) for note in candidates]
    return min((one for one in sized if one[0] >= up_to), key=lambda one: one[0])[1]


def write_folder(target: Path, files: Mapping[str, bytes]) -> None:
    """Write files below a new folder.

    Raises:
        InvalidInputError: something is there.
    """
    if target.exists():
        raise InvalidInputError(f"`{target.name}` exists already; an export goes to a new place", field="to")
    for path, content in files.items():
        place = target.joinpath(*path.split("/"))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


def write_tar(target: BinaryIO, files: Mapping[str, bytes]) -> None:
    """The same files as a tar archive; the same files give the same bytes."""
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, content in sorted(files.items()):
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
