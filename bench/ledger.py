"""The ledger alone: appending, checking, proving, and what a record costs on disk. Writes `bench/ledger.json`.

    python -m bench.ledger --records 200000

One process on one core. Appending waits for the disk: quote it with the `sync_us` beside it, which is this machine's.
The log of 50 million entries is a folder of real tiles on disk for the leaves that are proven; every other leaf's hash
is made up, so that the tree is a Merkle tree of that size with a root that the proofs must lead to, and what is read
and hashed for a proof is exactly what a full log would need.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "src"), str(HERE.parent)]

from bench.studies import keep  # noqa: E402  the paths above come first
from strongroom import verify  # noqa: E402  the paths above come first
from strongroom.adapters.files.disk import OsDisk  # noqa: E402
from strongroom.adapters.log.edges import keep_edge  # noqa: E402
from strongroom.adapters.log.shard_files import FileShard  # noqa: E402
from strongroom.adapters.log.shard_reader import CHECKPOINT, FolderView, ShardReader  # noqa: E402
from strongroom.ledger.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint  # noqa: E402
from strongroom.ledger.fsck import fsck  # noqa: E402
from strongroom.ledger.making import RecordMaker  # noqa: E402
from strongroom.ledger.note import LogKey  # noqa: E402
from strongroom.ledger.ports import Record  # noqa: E402
from strongroom.ledger.tiles import HEIGHT, WIDTH, TileTree, tile_path  # noqa: E402
from strongroom.ledger.tree import Frontier, verify_inclusion  # noqa: E402
from strongroom.vocabulary import Digest  # noqa: E402

KEY = LogKey("bank.example/credit/eu/n1/0/1", hashlib.sha256(b"bench").digest())
PAYLOAD_BYTES = 700
"""Of less than an answered row: one of 20 features has 1,169 (docs/spec/03-payload.md)."""

LARGE = 50_000_000
PROVEN = 500


def records(count: int, first: int = 0) -> Iterator[Record]:
    """Records as the decision path makes them."""
    maker = RecordMaker("decision", Digest("d" * 64), Digest("e" * 64), 2_000_000_000_000_000, 1_790_000_000_000_000)
    for number in range(first, first + count):
        name = hashlib.sha256(b"%d" % number).digest()
        payload = hashlib.shake_128(name).digest(PAYLOAD_BYTES)
        yield maker.make(name, name[:16], name[16:], payload)


def fastest(times: int, run: Callable[[], Any]) -> tuple[float, float]:
    """Seconds and processor seconds of the fastest of several runs: what others do on the machine only adds."""
    taken = []
    for _ in range(times):
        began, cpu = time.perf_counter(), time.process_time()
        run()
        taken.append((time.perf_counter() - began, time.process_time() - cpu))
    return min(wall for wall, _ in taken), min(cpu for _, cpu in taken)


def appending(folder: Path, count: int, batch: int) -> dict[str, Any]:
    """Records made before; each append is one write and one sync."""
    shard = FileShard.create(folder, KEY.name, KEY)
    made = list(records(count))
    cpu, began = time.process_time(), time.perf_counter()
    waits = []
    for at in range(0, count, batch):
        start = time.perf_counter()
        shard.append(made[at : at + batch])
        waits.append(time.perf_counter() - start)
    took, used = time.perf_counter() - began, time.process_time() - cpu
    began = time.perf_counter()
    shard.publish()
    published = time.perf_counter() - began
    shard.close()
    return {
        "batch": batch,
        "records_per_s": round(count / took),
        "records_per_cpu_s": round(count / used),
        "cpu_us_per_record": round(used / count * 1e6, 2),
        "append_ms_median": round(statistics.median(waits) * 1e3, 3),
        "append_ms_p99": round(sorted(waits)[int(len(waits) * 0.99)] * 1e3, 3),
        "publish_us_per_record": round(published / count * 1e6, 2),
    }


def sync_us(folder: Path) -> float:
    """The median write and sync of 64 KiB into space that was written before."""
    path = folder / "sync"
    path.write_bytes(bytes(1 << 20))
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
        taken = []
        for number in range(200):
            began = time.perf_counter()
            os.pwrite(descriptor, b"x" * 65536, number % 16 * 65536)
            os.fdatasync(descriptor)
            taken.append(time.perf_counter() - began)
    finally:
        os.close(descriptor)
    return round(statistics.median(taken) * 1e6, 1)


def storage(folder: Path, count: int) -> dict[str, float]:
    """Bytes a record: what was written, without the zeroes that are kept ready."""
    written = sum(len(path.read_bytes().rstrip(b"\0")) for path in (folder / "segments").glob("0*.seg"))
    tiles = sum(path.stat().st_size for path in (folder / "public" / "tile").rglob("*") if path.is_file())
    blocks = sum(path.stat().st_blocks * 512 for path in (folder / "public" / "tile").rglob("*") if path.is_file())
    return {
        "payload": PAYLOAD_BYTES,
        "segment": round(written / count, 1),
        "published": round(tiles / count, 1),
        "published_on_disk": round(blocks / count, 1),
        "total": round((written + tiles) / count, 1),
    }


def checking(folder: Path, count: int) -> dict[str, Any]:
    """`verify.py` and `fsck` over the same log."""
    policy = verify.read_policy(f"log {KEY.verifier}\nquorum none\n".encode())
    offline, cpu = fastest(5, lambda: verify.verify_log(folder / "public", policy.logs, policy))
    found: list[Any] = []
    jobs = os.cpu_count() or 1
    together, _ = fastest(3, lambda: verify.verify_log(folder / "public", policy.logs, policy, jobs))
    whole, _ = fastest(1, lambda: found.extend(fsck(FolderView(folder), KEY.verifier)))
    assert not found, found
    return {
        "leaves": count,
        "verify_leaves_per_s": round(count / offline),
        "verify_leaves_per_cpu_s": round(count / cpu),
        "verify_all_cores": {"processes": jobs, "leaves_per_s": round(count / together)},
        "fsck_records_per_s": round(count / whole),
    }


def large_log(folder: Path, leaves: list[int]) -> None:
    """A published log of 50 million entries with the tiles that lead to some of its leaves."""

    def made_up(level: int, index: int) -> bytes:
        return hashlib.sha256(b"%d %d" % (level, index)).digest()

    public = folder / "public"
    known: dict[tuple[int, int], bytes] = {}
    wanted = {leaf // WIDTH for leaf in leaves}
    level = 0
    while LARGE >> (HEIGHT * level):
        rows = LARGE >> (HEIGHT * level)
        # the right edge of each level is part of the root, and of the proofs of leaves beside it
        for index in wanted | {rows // WIDTH, max(rows // WIDTH - 1, 0)}:
            width = min(WIDTH, rows - index * WIDTH)
            if width <= 0:
                continue
            hashes = [known.get((level, index * WIDTH + n)) or made_up(level, index * WIDTH + n) for n in range(width)]
            path = public / tile_path(level, index, width)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"".join(hashes))
            if width == WIDTH:
                known[level + 1, index] = verify.root_of(hashes)
        wanted = {index // WIDTH for at, index in known if at == level + 1}
        level += 1
    frontier = Frontier.read(TileTree(LARGE, FolderView(folder).published), LARGE)
    (public / CHECKPOINT).write_bytes(sign_checkpoint(Checkpoint(KEY.name, LARGE, frontier.root()), KEY))
    keep_edge(OsDisk(), folder, CHECKPOINT, frontier)  # as publishing does


def figures(times: list[tuple[float, float]]) -> dict[str, float]:
    """Of wall and processor milliseconds, sorted by the former."""
    wall = [one for one, _ in times]
    return {
        "median": round(statistics.median(wall), 3),
        "fastest": round(wall[0], 3),
        "p99": round(wall[int(len(wall) * 0.99)], 3),
        "cpu_median": round(statistics.median(used for _, used in times), 3),
    }


def proving(folder: Path) -> dict[str, Any]:
    """First by a new reader for each proof, which has nothing from before; then by one reader, as an auditor's tool."""
    leaves = [int.from_bytes(hashlib.sha256(b"leaf %d" % n).digest()[:8], "big") % LARGE for n in range(PROVEN)]
    large_log(folder, leaves)
    files: list[int] = []

    def prove(reader: ShardReader, leaf: int) -> tuple[float, float]:
        reads: list[str] = []
        view, real = reader._view, FolderView(folder).published

        def watched(path: str) -> bytes | None:
            reads.append(path)
            return real(path)

        view.published = watched  # type: ignore[method-assign]  # a spy that counts reads
        cpu, began = time.process_time(), time.perf_counter()
        note, path = reader.prove(leaf)
        took, used = time.perf_counter() - began, time.process_time() - cpu
        files.append(len(reads))
        head, tiles = open_checkpoint(note, KEY.verifier), TileTree(LARGE, real)
        verify_inclusion(tiles.node(0, leaf), leaf, LARGE, path, head.root)
        return took * 1e3, used * 1e3

    cold = sorted(prove(ShardReader(folder, KEY.verifier), leaf) for leaf in leaves)
    cold_files, files = files, []
    kept = ShardReader(folder, KEY.verifier)
    prove(kept, leaves[0])
    warm = sorted(prove(kept, leaf) for leaf in leaves)
    return {
        "entries": LARGE,
        "proofs": PROVEN,
        "new_reader_ms": figures(cold),
        "new_reader_files_median": statistics.median(cold_files),
        "same_reader_ms": figures(warm),
        "same_reader_files_median": statistics.median(files),
        "built": "tiles on disk for the proven leaves; hashes of the other leaves made up",
    }


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--folder", type=Path, help="on the disk to measure; a temporary folder otherwise")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        count = options.records
        runs = [appending(folder / f"log-{batch}", min(count, batch * 400), batch) for batch in (64, 256, 1024, 4096)]
        last = folder / "log-1024"
        written = min(count, 1024 * 400)
        result = {
            "sync_us": sync_us(folder),
            "append": runs,
            "storage_bytes_per_record": storage(last, written),
            "check": checking(last, written),
            "prove": proving(folder / "large"),
        }
    keep("ledger", result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
