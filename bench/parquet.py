"""A Parquet file through the whole decision path, beside plain onnxruntime over the same file.

    python -m bench.parquet [--rows 200000] [--rounds 3] [--runtime onedal]

Writes `bench/parquet.json`, or `bench/parquet-onedal.json`.

300 trees of depth 6, 23 features. Ours: `wiring.scoring.score_file` at a node on disk: key file, admission, a keeper of
its own, contract, a record for each row under its subject's key, log synced, answers and proof. Plain: the same file in
the same batches through an onnxruntime session with one thread, scores written as Parquet; no control at all. Rounds
alternate. Processor time counts (of this process and the keeper), since others use the machine; wall time beside it.
`new`: every row is about somebody that the key store has not seen; `known`: everybody was seen in the round before.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq

from bench import workload
from bench.node import naming
from bench.studies import keep
from strongroom.adapters.keys.keyring import KeyFile
from strongroom.ledger.note import LogKey
from strongroom.wiring.node import NodeLayout, make_shard
from strongroom.wiring.node_settings import BATCH_SLOT
from strongroom.wiring.scoring import Job, score_file, wish_of

BATCH_ROWS = 8192


def used_s() -> float:
    """Processor time of this process and of its children that have ended."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(found.ru_utime + found.ru_stime for found in map(resource.getrusage, kinds))


def keeper_s() -> float:
    """Processor time of children that have ended: the keepers."""
    found = resource.getrusage(resource.RUSAGE_CHILDREN)
    return found.ru_utime + found.ru_stime


def timed(work: Callable[[], object]) -> tuple[float, float, float]:
    """Processor seconds, wall seconds, and the keeper's part of the former."""
    cpu, wall, keeper = used_s(), time.perf_counter(), keeper_s()
    work()
    return used_s() - cpu, time.perf_counter() - wall, keeper_s() - keeper


def plain(file: Path, output: Path, model: bytes) -> None:
    """What somebody writes who has no duties."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    schema = pa.schema([("subject", pa.string()), ("score", pa.float32())])
    with pq.ParquetWriter(output, schema) as writer:
        for batch in pq.ParquetFile(file).iter_batches(BATCH_ROWS, use_threads=False):
            matrix = np.column_stack([batch.column(name).to_numpy() for name in workload.NAMES])
            scores = session.run(["probabilities"], {"x": matrix})[0][:, 1]
            writer.write_batch(pa.record_batch([batch.column("subject"), pa.array(scores)], schema=schema))


def make(folder: Path, model: bytes, runtime: str) -> tuple[Path, bytes]:
    """A node with a log for files whose release names a runtime, and its caller's key."""
    from tests.serving.house import feature, release_of
    from tests.web import nodes

    features = tuple(feature(name, minimum="-1000", maximum="1000") for name in workload.NAMES)
    like = release_of(features=features, mode="batch-invariant", max_rows=BATCH_ROWS)
    made = nodes.make(folder, model=model, like=naming(like, runtime))
    layout = NodeLayout(made.folder)
    key = make_shard(layout, layout.read(), KeyFile.open(layout.keyring, nodes.PASSPHRASE), BATCH_SLOT)
    layout.opening(BATCH_SLOT).write_bytes(nodes.disclosed_opening(LogKey(nodes.GOVERNANCE, b"g" * 32), key))
    return made.folder, str(made.key).encode()


def main() -> None:
    from tests import simulator
    from tests.web.nodes import PASSPHRASE

    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runtime", choices=("onnxruntime", "onedal"), default="onnxruntime", help="of ours")
    given = parser.parse_args()
    model = workload.model()
    matrix = workload.cases(given.rows, 7)
    taken: dict[str, list[tuple[float, float, float]]] = {"plain": [], "new": [], "known": []}
    with tempfile.TemporaryDirectory(prefix="bench-parquet-") as name:
        folder = Path(name)
        node, key = make(folder, model, given.runtime)
        for number in range(given.rounds):
            columns = {one: matrix[:, place] for place, one in enumerate(workload.NAMES)}
            columns["subject"] = np.array([f"client-{number}-{row}" for row in range(given.rows)])
            file = folder / f"rows-{number}.parquet"
            pq.write_table(pa.table(columns), file)
            for kind in ("new", "plain", "known"):
                output = folder / f"{kind}-{number}.parquet"
                if kind == "plain":
                    taken[kind].append(timed(lambda file=file, output=output: plain(file, output, model)))  # type: ignore[misc]  # mypy cannot infer a lambda with a bound default
                    continue
                wish = wish_of(simulator.MODEL, "credit-decision", "EU", None, explain=False)
                job = Job(file, output, key, wish)
                taken[kind].append(timed(lambda job=job: score_file(node, PASSPHRASE, job)))  # type: ignore[misc]  # the same
            ours, theirs = (pq.read_table(folder / f"{kind}-{number}.parquet") for kind in ("known", "plain"))
            both = [table.column("score").to_numpy() for table in (ours, theirs)]
            # one runtime, one answer; another one sums in float64
            assert np.array_equal(*both) if given.runtime == "onnxruntime" else np.allclose(*both, atol=1e-6)
    print(f"{given.rows} rows, {workload.FEATURES} features, {workload.TREES} trees; best of {given.rounds} rounds")
    best = {kind: min(runs) for kind, runs in taken.items()}
    keep(
        "parquet" if given.runtime == "onnxruntime" else f"parquet-{given.runtime}",
        {"rows": given.rows, "rounds": given.rounds}
        | {
            kind: {
                "processor_us_a_row": round(cpu / given.rows * 1e6, 2),
                "wall_us_a_row": round(wall / given.rows * 1e6, 2),
                "of_it_keeper_us": round(keeper / given.rows * 1e6, 2),
                "of_plain": round(best["plain"][0] / cpu, 3),
            }
            for kind, (cpu, wall, keeper) in best.items()
        },
    )  # fmt: skip
    for kind, (cpu, wall, keeper) in best.items():
        print(
            f"{kind:6} {given.rows / cpu:9.0f} rows a second of processor, {cpu / given.rows * 1e6:6.2f} us a row "
            f"({keeper / given.rows * 1e6:.2f} of it the keeper), "
            f"{given.rows / wall:9.0f} rows/s on the wall; {best['plain'][0] / cpu:.2f} of plain"
        )


if __name__ == "__main__":
    main()
