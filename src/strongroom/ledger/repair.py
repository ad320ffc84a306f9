"""What of a log folder can be made again from the rest of it, byte for byte, and what is lost.

Nothing is believed that does not lead to a root that the log's key signed. Nothing is signed here, no leaf is made up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from strongroom.errors import InvalidInputError, NotFoundError, TamperedError
from strongroom.ledger.checkpoint import Checkpoint, VerifierKey, open_checkpoint
from strongroom.ledger.fsck import Finding, LogFolder
from strongroom.ledger.note import Note
from strongroom.ledger.recovery import recover
from strongroom.ledger.tiles import (
    WIDTH,
    TileEdge,
    decode_bundle,
    entries_path,
    subtree,
    tile_path,
)
from strongroom.ledger.tree import EMPTY_ROOT, HASH_BYTES, Frontier, leaf_hash

PUBLISHED, COSIGNED = "checkpoint", "checkpoint.cosigned"


@dataclass(slots=True)
class Repair:
    """What would be written to `public/`, in order, and what nobody can make again.

    Attributes:
        files: path below `public/`, and content.
        drop: files that are in the way and of which nothing can be kept.
        lost: what stays broken, and why.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    drop: list[str] = field(default_factory=list)
    lost: list[Finding] = field(default_factory=list)


@dataclass(slots=True)
class _Source:
    """Leaves and leaf hashes, as far as they can be known. A leaf that is lost is None; its hash is not."""

    leaves: list[bytes | None] = field(default_factory=list)
    hashes: list[bytes] = field(default_factory=list)


def plan_repair(folder: LogFolder, verifier: VerifierKey) -> Repair:
    """Judge a folder and say how to mend it. Nothing is written here.

    1. The segments are the truth for the leaves that they hold, if every frame, root and signature in them does.
    2. Leaves before the first segment, or of broken segments, are in the entry bundles; a bundle and the tile above it
       can stand in for one another only as far as hashes go, and a third, the tile above both, says which is right.
    3. A checkpoint that cannot be read is replaced by one that the log's key did sign: the one that witnesses cosigned,
       or the newest in the segments, whichever is larger.
    4. All this counts only if it gives the root of that checkpoint, and of the cosigned one.

    Args:
        folder: of a log that nobody writes to meanwhile.
        verifier: the log's key.
    """
    repair = Repair()
    notes = {path: _checkpoint(folder, path, verifier) for path in (PUBLISHED, COSIGNED)}
    known = [checkpoint for checkpoint in notes.values() if checkpoint is not None]
    floor = max(known, key=lambda one: one.size) if known else Checkpoint(verifier.name, 0, EMPTY_ROOT)
    source, signed = _leaves(folder, verifier, floor, repair)
    head_note = folder.published(PUBLISHED) if notes[PUBLISHED] is not None else None
    if notes[PUBLISHED] is None:
        kept = notes[COSIGNED]
        newest = next(((size, note) for size, note in reversed(list(signed.items())) if size >= floor.size), None)
        if newest is not None and (kept is None or newest[0] > kept.size):
            head_note = newest[1]
        elif kept is not None:
            head_note = folder.published(COSIGNED)
    if head_note is None:
        repair.lost.append(Finding("checkpoint", PUBLISHED, "no checkpoint of this log is left that its key signed"))
        return Repair(lost=repair.lost)
    head = open_checkpoint(head_note, verifier)
    roots = [one for one in (head, notes[COSIGNED]) if one is not None]
    expected = _expected(source, head.size, roots[-1].size)
    if expected is None or any(_root(source, one.size) != one.root for one in roots):
        text = f"what is left does not give the root of size {head.size} that was signed: nothing is rebuilt"
        return Repair(lost=[*repair.lost, Finding("root", PUBLISHED, text)])
    for path, content in expected.items():
        if folder.published(path) != content:
            repair.files[path] = content
    if notes[COSIGNED] is None and folder.published(COSIGNED) is not None:
        # the published checkpoint has the witnesses' lines too, if it is the one that they cosigned last
        if len(Note.parse(head_note).signatures) > 1 and notes[PUBLISHED] is not None:
            repair.files[COSIGNED] = head_note
        else:
            repair.drop.append(COSIGNED)
            text = "the cosignatures cannot be read and were taken away; the witnesses will be asked again"
            repair.lost.append(Finding("checkpoint", COSIGNED, text))
    if folder.published(PUBLISHED) != head_note:
        repair.files[PUBLISHED] = head_note
    return repair


def _checkpoint(folder: LogFolder, path: str, verifier: VerifierKey) -> Checkpoint | None:
    note = folder.published(path)
    try:
        return None if note is None else open_checkpoint(note, verifier)
    except (TamperedError, InvalidInputError):
        return None


def _leaves(
    folder: LogFolder, verifier: VerifierKey, floor: Checkpoint, repair: Repair
) -> tuple[_Source, dict[int, bytes]]:
    """Leaves from the segments, and before them from what is published; and the notes of the segments by their size."""
    segments = folder.segments()
    first = segments[0].first if segments else floor.size
    before = _published(folder, min(first, floor.size), floor.size, repair)
    source, signed = _Source(list(before.leaves), list(before.hashes)), {}

    def keep(_: int, leaves: list[bytes], hashes: list[bytes]) -> None:
        source.leaves += leaves
        source.hashes += hashes

    if segments and len(before.hashes) == first:
        start = Frontier()
        start.extend(before.hashes)
        try:
            # nothing that was published is demanded here: a broken checkpoint is what we may have come for
            found = recover(segments, verifier, start, Checkpoint(verifier.name, first, start.root()), keep, True)
        except (TamperedError, NotFoundError) as error:
            repair.lost.append(Finding("segments", "segments", f"{error.message}; segments cannot be rebuilt"))
            source = _published(folder, floor.size, floor.size, repair)
        else:
            if found.note is not None:
                signed[found.frontier.size] = found.note
            if found.frontier.size < floor.size:
                text = f"the segments end at {found.frontier.size}, though {floor.size} entries were published"
                repair.lost.append(Finding("segments", "segments", text))
                source = _published(folder, floor.size, floor.size, repair)
    elif segments:
        text = f"nothing leads to the first segment at leaf {first}"
        repair.lost.append(Finding("segments", "segments", text))
    return source, signed


def _published(folder: LogFolder, size: int, tree_size: int, repair: Repair) -> _Source:
    """The first `size` leaves from bundles and tiles of a tree of `tree_size`."""
    source = _Source()
    for index in range(-(-size // WIDTH)):
        width = min(WIDTH, tree_size - index * WIDTH)
        leaves, by_leaves = _bundle(folder, index, width)
        by_tile = _row(folder, 0, index, width)
        hashes = by_leaves or by_tile
        if by_leaves and by_tile and by_leaves != by_tile:
            # neither is believed for its own sake; the tile above says which one it was made from
            wide = min(WIDTH, tree_size // WIDTH - index // WIDTH * WIDTH)
            above = _row(folder, 1, index // WIDTH, wide) if width == WIDTH else None
            if above is not None and above[index % WIDTH] == subtree(by_tile):
                hashes = by_tile
        if hashes is None:
            repair.lost.append(Finding("entries", f"bundle {index}", "neither its leaves nor their hashes are left"))
            return source
        if hashes is not by_leaves:
            text = f"the leaves of bundle {index} are gone; only their hashes are left"
            repair.lost.append(Finding("entries", entries_path(index, width), text))
        source.leaves += leaves if hashes is by_leaves and leaves else [None] * width
        source.hashes += hashes
    return _Source(source.leaves[:size], source.hashes[:size])


def _wide(folder: LogFolder, narrow: str, whole: str) -> Iterator[bytes]:
    for path in dict.fromkeys((narrow, whole)):
        found = folder.published(path)
        if found is not None:
            yield found


def _bundle(folder: LogFolder, index: int, width: int) -> tuple[list[bytes], list[bytes] | None]:
    for data in _wide(folder, entries_path(index, width), entries_path(index)):
        try:
            leaves = decode_bundle(data)
        except InvalidInputError:
            continue
        if len(leaves) in (width, WIDTH):
            return leaves[:width], [leaf_hash(leaf) for leaf in leaves[:width]]
    return [], None


def _row(folder: LogFolder, level: int, index: int, width: int) -> list[bytes] | None:
    """At least `width` hashes of a tile, cut to that."""
    for data in _wide(folder, tile_path(level, index, width), tile_path(level, index)):
        if len(data) in (width * HASH_BYTES, WIDTH * HASH_BYTES):
            return [data[at : at + HASH_BYTES] for at in range(0, width * HASH_BYTES, HASH_BYTES)]
    return None


def _expected(source: _Source, size: int, cosigned: int) -> dict[str, bytes] | None:
    """Every published file of the tree of `size`, and the partial ones of the size that witnesses cosigned.

    None if the leaves do not reach that far.
    """
    if len(source.hashes) < max(size, cosigned):
        return None
    edge = TileEdge()
    files: dict[str, bytes] = {}
    partials: dict[str, bytes] = {}

    def add(edge: TileEdge, at: int, end: int) -> dict[str, bytes]:
        leaves = source.leaves[at:end]
        made = edge.add([leaf or b"" for leaf in leaves], source.hashes[at:end]) | edge.partials()
        if None in leaves:
            made.pop(entries_path(at // WIDTH, end - at), None)
        return made

    for at in range(0, size, WIDTH):
        if at <= cosigned < at + WIDTH and cosigned < size:
            partials.update(add(edge.copy(), at, cosigned))
        made = add(edge, at, min(at + WIDTH, size))
        # partial files on the way were replaced by full ones
        files.update({path: content for path, content in made.items() if ".p/" not in path or at + WIDTH > size})
    files.update(edge.partials() if size % WIDTH == 0 else {})
    return files | {path: data for path, data in partials.items() if path.partition(".p/")[0] not in files}


def _root(source: _Source, size: int) -> bytes:
    frontier = Frontier()
    frontier.extend(source.hashes[:size])
    return frontier.root()
