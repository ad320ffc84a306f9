"""What the write-ahead segments hold after any end of the process, and what may be cut.

A batch is written with one call into zeroes that were synced before, and is acknowledged only after its sync. So a
crash can leave one batch behind the last durable checkpoint in which any disk sectors are still zero (sectors reach
the disk in any order), or which ends early. That, and nothing else, is cut. Whatever a crash cannot explain is
`TamperedError`: a frame that is broken without a lost sector, two batches behind a broken frame, a root or signature
that does not fit, a hole between segments, less than what was published.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from strongroom.errors import InvalidInputError, TamperedError
from strongroom.ledger.checkpoint import Checkpoint, VerifierKey, open_checkpoint
from strongroom.ledger.frames import ENTRY, HEADER_BYTES, Frame, Scan, resync, walk
from strongroom.ledger.leaf import check_record
from strongroom.ledger.tree import Frontier, leaf_hash

SECTOR_BYTES = 512
"""The smallest unit that a disk writes whole or not at all."""

BATCH_LIMIT = 1 << 20
"""More records than any batch has: bounds the search for frames of the batch in flight."""

_ZEROES_BYTES = 1 << 16
_ZEROES = bytes(_ZEROES_BYTES)


class SegmentRef(NamedTuple):
    """A segment: index of its first leaf, and how to read it whole."""

    first: int
    load: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Recovered:
    """What is durable.

    Attributes:
        frontier: of the durable tree.
        note: the newest durable checkpoint, None if the segments hold none.
        batch_at: offset in the last segment where its last batch begins.
        end: offset in the last segment where the next batch goes.
        clear_to: up to here the last segment must be zeroed before anything is written at `end`.
        last_batch: the bytes from `batch_at` to `end`.
    """

    frontier: Frontier
    note: bytes | None
    batch_at: int
    end: int
    clear_to: int
    last_batch: bytes


def recover(
    segments: Sequence[SegmentRef],
    verifier: VerifierKey,
    start: Frontier,
    published: Checkpoint,
    on_batch: Callable[[int, list[bytes], list[bytes]], None],
    every_signature: bool = False,
) -> Recovered:
    """Verify segments and find their durable end.

    1. Each segment begins at the leaf where the one before it ended.
    2. Each frame has its CRC and the next index; each leaf is of format 2 and names its payload.
    3. Each checkpoint is exactly the tree at its place; its signature is verified from the published size on
       (below it, the published signature covers the same root, unless `every_signature`).
    4. A segment that is not the last ends with a checkpoint and zeroes; the last may end with one torn batch.
    5. The published checkpoint is one of those passed, or of the start.

    Args:
        segments: in order; at least one.
        verifier: of the log.
        start: frontier at the first leaf of the first segment.
        published: the newest published checkpoint, verified.
        on_batch: called with the first index, leaves and leaf hashes of every durable batch.
        every_signature: also verify signatures below the published size.

    Raises:
        TamperedError: one of the five does not hold.
    """
    if not segments:
        raise TamperedError(f"the log `{verifier.name}` has no segments")
    frontier = start
    met_published = published.size <= start.size
    if published.size == start.size and published.root != start.root():
        raise TamperedError(f"the published checkpoint of size {published.size} has another root")
    note: bytes | None = None
    batch_at = end = clear_to = 0
    data = b""
    for number, segment in enumerate(segments):
        where = f"segment {segment.first}"
        if segment.first != frontier.size:
            raise TamperedError(f"{where} should begin at leaf {frontier.size}: a segment is missing or renamed")
        data = segment.load()
        leaves: list[bytes] = []
        hashes: list[bytes] = []
        batch_at = end = 0
        for found in walk(data):
            if isinstance(found, Scan):
                if number == len(segments) - 1:
                    clear_to = _judge_tail(data, end, found.stopped_at, frontier.size, len(leaves), verifier, where)
                elif leaves or any(data[end:].lstrip(b"\x00")[:1]):
                    raise TamperedError(f"{where} is broken at byte {found.stopped_at}: {found.why.value}")
                break
            if found.kind == ENTRY:
                leaf = _entry(found, frontier.size + len(leaves), where)
                leaves.append(leaf)
                hashes.append(leaf_hash(leaf))
                continue
            if not leaves:
                raise TamperedError(f"{where} has a checkpoint without entries at byte {found.offset}")
            frontier.extend(hashes)
            root = frontier.root()
            text = Checkpoint(verifier.name, frontier.size, root).text()
            if found.number != frontier.size or not found.body.startswith(text + b"\n"):
                raise TamperedError(f"{where} has at byte {found.offset} a checkpoint that is not of its entries")
            if every_signature or frontier.size >= published.size:
                open_checkpoint(found.body, verifier)
            if frontier.size == published.size:
                if root != published.root:
                    raise TamperedError(f"the published checkpoint of size {published.size} has another root")
                met_published = True
            on_batch(frontier.size - len(leaves), leaves, hashes)
            leaves, hashes = [], []
            note, batch_at, end = found.body, end, found.end
    if not met_published:
        raise TamperedError(
            f"a checkpoint of size {published.size} was published, but the segments of `{verifier.name}` end at "
            f"{frontier.size} or never had it: records are gone"
        )
    return Recovered(frontier, note, batch_at, end, clear_to, data[batch_at:end])


def written_end(data: bytes) -> int:
    """Where the zeroes that end a segment begin; `len(data.rstrip(zero))`, which looks at a byte at a time."""
    end = len(data)
    while end >= _ZEROES_BYTES and data[end - _ZEROES_BYTES : end] == _ZEROES:
        end -= _ZEROES_BYTES
    begin = max(0, end - _ZEROES_BYTES)
    return begin + len(data[begin:end].rstrip(b"\x00"))


def _entry(found: Frame, index: int, where: str) -> bytes:
    if found.number != index:
        raise TamperedError(f"{where} has entry {found.number} at byte {found.offset} where {index} belongs")
    try:
        leaf, payload = found.record()
        check_record(leaf, payload)
    except InvalidInputError as error:
        raise TamperedError(f"{where}, entry {index}: {error.message}") from error
    return leaf


def _judge_tail(
    data: bytes, start: int, stopped_at: int, size: int, whole: int, verifier: VerifierKey, where: str
) -> int:
    """Demand that what follows the last durable checkpoint is at most one torn batch; returns where its bytes end.

    Args:
        data: the last segment.
        start: offset behind its last durable checkpoint.
        stopped_at: offset of the first thing behind it that is not a frame.
        size: of the durable tree.
        whole: entries of the unfinished batch that were read before `stopped_at`.
        verifier: of the log.
        where: names the segment.

    Raises:
        TamperedError: a crash cannot leave this.
    """
    end = written_end(data)
    if end <= stopped_at:
        return end
    tampered = TamperedError(f"{where} is broken at byte {stopped_at}, and not as a crash breaks it")
    later = list(resync(data, stopped_at + 1, end, size + whole, size + BATCH_LIMIT))
    # Behind the broken frame at most the rest of one batch: rising entries, then its checkpoint, then nothing.
    last = size + whole - 1
    for place, found in enumerate(later):
        if found.kind == ENTRY:
            if found.number <= last:
                raise tampered
            last = found.number
        elif place != len(later) - 1 or found.end != end or found.number <= last:
            raise tampered
    # Every gap needs a sector that never reached the disk.
    gaps_from = [stopped_at, *(found.end for found in later)]
    gaps_to = [*(found.offset for found in later), end]
    for gap, (low, high) in enumerate(zip(gaps_from, gaps_to, strict=True)):
        if low == high or _lost_sector(data, low, high, start, broken=gap == 0):
            continue
        if high == end and _ends_early(data, low, end) and not _has_checkpoint(data, low, end, verifier):
            continue
        raise tampered
    return end


def _lost_sector(data: bytes, low: int, high: int, start: int, broken: bool) -> bool:
    """Is there a zero sector that explains why the frame at `low` cannot be read?"""
    reach = high
    if broken and any(data[low : low + HEADER_BYTES]):
        first = _next_sector(low)
        if first >= low + HEADER_BYTES:  # the header is in one written sector, so its length can be believed
            reach = min(high, low + HEADER_BYTES + int.from_bytes(data[low : low + 4], "big"))
    if low == start and low % SECTOR_BYTES and not any(data[low : _next_sector(low)]):
        return True  # the sector that the last checkpoint ends in was not written again
    return any(not any(data[s : s + SECTOR_BYTES]) for s in range(_next_sector(low), reach, SECTOR_BYTES))


def _next_sector(offset: int) -> int:
    return -(-offset // SECTOR_BYTES) * SECTOR_BYTES


def _ends_early(data: bytes, low: int, end: int) -> bool:
    """Does the frame at `low` promise more bytes than were written?"""
    if end < low + HEADER_BYTES:
        return True
    length = int.from_bytes(data[low : low + 4], "big")
    return length > 0 and low + HEADER_BYTES + length > end


def _has_checkpoint(data: bytes, low: int, end: int, verifier: VerifierKey) -> bool:
    """A whole signed checkpoint in a frame whose header is broken: then it was not cut short, but changed."""
    at = data.rfind(verifier.name.encode() + b"\n", low, end)
    if at < 0:
        return False
    try:
        open_checkpoint(data[at:end], verifier)
    except TamperedError:
        return False
    return True
