"""Judge a log folder: frames, tree, tiles, entry bundles, checkpoint, and published against durable."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

from strongroom.errors import NotFoundError, TamperedError
from strongroom.ledger.checkpoint import Checkpoint, VerifierKey, open_checkpoint
from strongroom.ledger.recovery import SegmentRef, recover
from strongroom.ledger.tiles import WIDTH, TileEdge, TileTree, tile_frontier
from strongroom.ledger.tree import EMPTY_ROOT, Frontier, leaf_hash

FindingKind = Literal["checkpoint", "segments", "tile", "entries", "root", "retained-out", "unpublished"]
_HARMLESS: frozenset[FindingKind] = frozenset({"retained-out", "unpublished"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that fsck has to say.

    Attributes:
        kind: which check; `retained-out` (payloads deleted by retention) and `unpublished` (durable records not
            in a published checkpoint yet) are no damage.
        where: path below the log folder, or a range of leaves.
        message: what and which.
        first_kept: of `retained-out`, the first leaf whose payload is there.
    """

    kind: FindingKind
    where: str
    message: str
    first_kept: int = 0

    @property
    def damage(self) -> bool:
        """Is this a call to security?"""
        return self.kind not in _HARMLESS


class LogFolder(Protocol):
    """A log folder, read only."""

    def segments(self) -> list[SegmentRef]:
        """In order of their first leaf."""

    def published(self, path: str) -> bytes | None:
        """A published file, None if there is none."""


def fsck(folder: LogFolder, verifier: VerifierKey) -> list[Finding]:
    """Check everything in a log folder; nothing is changed. A log that is being written may be checked.

    1. The published checkpoint is signed by the log's key.
    2. Every tile and entry bundle that its size demands is there and holds what the leaves give, byte for byte.
    3. The leaves give its root, and that of the checkpoint that witnesses cosigned last.
    4. Every frame, leaf, payload digest, root and signature in the segments holds, and their leaves are the
       published ones.

    Returns:
        Findings, empty for a log that is whole, all payloads present, all published.
    """
    findings: list[Finding] = []
    try:
        published = open_checkpoint(folder.published("checkpoint") or b"", verifier)
    except TamperedError as error:
        findings.append(Finding("checkpoint", "checkpoint", error.message))
        published = Checkpoint(verifier.name, 0, EMPTY_ROOT)
    tree = TileTree(published.size, folder.published)
    cosigned, found = _check_cosigned(folder, tree, verifier)
    findings += [*_check_tiles(folder, tree, published, cosigned), *found]
    findings += _check_segments(folder, tree, published, verifier)
    return findings


def _check_tiles(folder: LogFolder, tree: TileTree, published: Checkpoint, cosigned: int) -> list[Finding]:
    findings: list[Finding] = []
    edge, frontier = TileEdge(), Frontier()
    for index in range(-(-published.size // WIDTH)):
        try:
            leaves = tree.bundle(index)
        except (NotFoundError, TamperedError) as error:
            # without these leaves nothing behind them can be computed
            return [*findings, Finding("entries", f"bundle {index}", error.message)]
        hashes = [leaf_hash(leaf) for leaf in leaves]
        frontier.extend(hashes)
        if 0 < cosigned - index * WIDTH < len(leaves):
            # proofs under the checkpoint that witnesses cosigned need the partial files of its size
            partial, width = edge.copy(), cosigned - index * WIDTH
            partial.add(leaves[:width], hashes[:width])
            findings += _compare(folder, partial.partials().items())
        # partial files on the way were replaced by full ones; those of the last size are compared below
        full = ((path, content) for path, content in edge.add(leaves, hashes).items() if ".p/" not in path)
        findings += _compare(folder, full)
    findings += _compare(folder, edge.partials().items())
    if frontier.root() != published.root:
        findings.append(Finding("root", "checkpoint", f"the leaves do not give the root of size {published.size}"))
    return findings


def _check_cosigned(folder: LogFolder, tree: TileTree, verifier: VerifierKey) -> tuple[int, list[Finding]]:
    note = folder.published("checkpoint.cosigned")
    if note is None:
        return 0, []
    try:
        cosigned = open_checkpoint(note, verifier)
        # a running log may have moved on since its checkpoint was read
        if cosigned.size <= tree.size and tile_frontier(tree, cosigned.size).root() != cosigned.root:
            raise TamperedError(f"the leaves do not give the root that was cosigned at size {cosigned.size}")
    except TamperedError as error:
        return 0, [Finding("checkpoint", "checkpoint.cosigned", error.message)]
    return cosigned.size, []


def _compare(folder: LogFolder, expected: Iterable[tuple[str, bytes]]) -> list[Finding]:
    findings: list[Finding] = []
    for path, content in expected:
        stored = folder.published(path)
        if stored is None and ".p/" in path:
            # a log that grows while it is checked may have put the full file there
            whole = folder.published(path.partition(".p/")[0])
            stored = None if whole is None else whole[: len(content)]
        if stored != content:
            what = "is missing" if stored is None else "does not hold what the leaves give"
            findings.append(Finding("tile", path, f"`{path}` {what}"))
    return findings


def _check_segments(folder: LogFolder, tree: TileTree, published: Checkpoint, verifier: VerifierKey) -> list[Finding]:
    findings: list[Finding] = []
    segments = folder.segments()
    first = segments[0].first if segments else 0
    durable = 0

    def compare(start: int, leaves: list[bytes], hashes: list[bytes]) -> None:
        nonlocal durable
        durable = start + len(leaves)
        for index, hash_ in enumerate(hashes, start):
            if index < published.size and tree.node(0, index) != hash_:
                raise TamperedError(f"leaf {index} in the segments is not the published one")

    try:
        start = tile_frontier(tree, first) if first <= published.size else None
        if start is None:
            raise TamperedError(f"the segments begin at leaf {first}, behind the published {published.size}")
        recover(segments, verifier, start, published, compare, every_signature=True)
    except (TamperedError, NotFoundError) as error:
        findings.append(Finding("segments", "segments", error.message))
    except KeyError:
        findings.append(Finding("segments", "segments", f"no tiles lead to the first segment at leaf {first}"))
    if first:
        findings.append(Finding("retained-out", f"leaves 0 to {first - 1}", f"{first} payloads were deleted", first))
    if durable > published.size:
        text = f"{durable - published.size} durable records are not published yet"
        findings.append(Finding("unpublished", f"leaves {published.size} to {durable - 1}", text))
    return findings
