"""A request of many rows through the decision path in this process, step by step, beside what a bare server does.

    python -m bench.many_rows [--rows 1000] [--rounds 60]

Microseconds of processor time a row, the least of all rounds, one thread, a log on disk. `known`: every subject's key
is at hand; `new`: no subject was ever seen (keys in memory here, the keeper's own work is in `bench.parquet`). HTTP is
in neither. `floor`: only the calls into libraries that one record cannot do without, over data that is ready.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import itertools
import os
import tempfile
import time
from binascii import b2a_base64, hexlify
from collections.abc import Callable
from pathlib import Path
from typing import Any

import google_crc32c
import msgspec
import numpy as np
import onnxruntime
import pybase64
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bench import workload
from bench.node import naming
from strongroom.adapters.log.shard_files import FileShard
from strongroom.adapters.runtimes.by_name import RUNTIMES
from strongroom.errors import StrongroomError
from strongroom.ledger.note import LogKey
from strongroom.sealing.records import Labels
from strongroom.serving.asked import Answered, Asked
from strongroom.serving.decision import answer_of
from strongroom.serving.decoding import decode
from strongroom.serving.served import make_ready
from strongroom.web import v2

Times = dict[str, float]


class Tensor(msgspec.Struct):
    """As `bench/peers/bare` reads it."""

    name: str
    shape: list[int]
    datatype: str
    data: list[float]


class Infer(msgspec.Struct):
    """As `bench/peers/bare` reads it."""

    inputs: list[Tensor]


class NoCaller:
    """Nobody waits."""

    def answered(self, answered: Answered) -> None: ...

    def refused(self, error: StrongroomError, decision_id: str | None) -> None: ...


def least(times: Times, step: str, work: Callable[[], Any]) -> Any:
    """Run one step, keep its least time."""
    begin = time.process_time_ns()
    result = work()
    taken = time.process_time_ns() - begin
    times[step] = min(times.get(step, float("inf")), taken)
    return result


def ours(rows: int, rounds: int, *, binary: bool, new: bool, folder: Path, runtime: str = "onnxruntime") -> Times:
    """Steps of our gateway between the body of the request and the body of the answer."""
    from tests.serving.house import ORIGIN, House, admitted, feature, release_of

    features = tuple(feature(name, minimum="-1000", maximum="1000") for name in workload.NAMES)
    release = release_of(features=features, mode="batch-invariant", max_rows=max(rows, 1000))
    release = naming(release, runtime)
    served = make_ready(admitted(release, workload.model()), RUNTIMES[runtime]())
    shard = FileShard.create(folder, ORIGIN, LogKey(ORIGIN, bytes(range(32))))
    house = House(served, shard=shard)
    decider = house.decider()
    labels = Labels(purpose="credit-decision", jurisdiction="EU", environment="production")
    times: Times = {}
    serial = itertools.count()
    for number in range(rounds):
        matrix, subjects = workload.batch(number * rows, rows)
        if new:
            subjects = [f"subject-{next(serial)}" for _ in range(rows)]
        body, head = workload.v2_binary(matrix, subjects) if binary else (workload.v2_json(matrix, subjects), None)
        question = least(times, "decode", lambda: decode(body, head, served.inputs, served.outputs))  # noqa: B023
        asked = Asked(NoCaller(), "loan-desk", labels, served.policy_digest, served, question)
        batch = least(times, "predict", lambda: decider.predict([asked]))  # noqa: B023
        now = time.time_ns() // 1000
        if new:
            commit = least(times, "keys, seal, append", lambda: decider.commit(batch.outcomes, now))  # noqa: B023
        else:
            sealed = least(times, "seal", lambda: decider.seal(batch.outcomes, now))  # noqa: B023
            if sealed is None:
                commit = decider.commit(batch.outcomes, now)
                del times["seal"]
            else:
                commit = least(times, "append", lambda: decider.commit(batch.outcomes, now, sealed))  # noqa: B023
        least(times, "answer", lambda: v2.answer(answer_of(batch.outcomes[0], commit)))  # noqa: B023
        shard.prepare()
        if number % 8 == 0:
            shard.publish()
    shard.close()
    return times


def bare(rows: int, rounds: int) -> Times:
    """What `bench/peers/bare` does between the two bodies."""

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(workload.model(), options, providers=["CPUExecutionProvider"])
    read, write = msgspec.json.Decoder(Infer).decode, msgspec.json.Encoder().encode
    times: Times = {}
    for number in range(rounds):
        body = workload.v2_json(workload.batch(number * rows, rows)[0], None)

        def decoded(body: bytes = body) -> Any:
            tensor = read(body).inputs[0]
            return np.array(tensor.data, np.float32).reshape(tensor.shape)

        matrix = least(times, "decode", decoded)
        scores = least(times, "predict", lambda: session.run(["probabilities"], {"x": matrix})[0][:, 1])  # noqa: B023
        outputs = [{"name": "pd", "datatype": "FP32", "shape": [rows], "data": scores.tolist()}]
        least(times, "answer", lambda: write({"model_name": "pd-cards", "outputs": outputs}))  # noqa: B023
    return times


def floor(rows: int, rounds: int) -> Times:
    """Library calls of one record, each in a bare loop, with the sizes that the workload gives."""
    documents = [os.urandom(700) for _ in range(rows)]
    block, padded = os.urandom(64), [os.urandom(764) for _ in range(rows)]
    salts = [os.urandom(32) for _ in range(rows)]
    plains = [os.urandom(1265) for _ in range(rows)]
    payloads = [os.urandom(1317) for _ in range(rows)]
    leaves = [os.urandom(560) for _ in range(rows)]
    nonces = [os.urandom(12) for _ in range(rows)]
    associated = os.urandom(105)
    keys = {f"subject-{n}": AESGCM(os.urandom(32)) for n in range(rows)}
    names = list(keys)
    sha256, encode64, join = hashlib.sha256, pybase64.b64encode, b"".join
    steps: dict[str, Callable[[], object]] = {
        "empty loop": lambda: [None for _ in documents],
        "key looked up": lambda: [keys[name] for name in names],
        "base64 of the answer": lambda: [encode64(one) for one in documents],
        "base64 of the salt": lambda: [b2a_base64(one) for one in salts],
        "plaintext joined": lambda: [join((b"{", one, one, b"}")) for one in documents],
        "AES-256-GCM": lambda: [
            key.encrypt(nonce, plain, associated)
            for key, nonce, plain in zip(keys.values(), nonces, plains, strict=True)
        ],
        "commitment (two hashes)": lambda: [sha256(block + sha256(one).digest()).digest() for one in padded],
        "SHA-256 of the payload": lambda: [sha256(one).digest() for one in payloads],
        "hex of four digests": lambda: [(hexlify(one), hexlify(one), hexlify(one), hexlify(one)) for one in salts],
        "leaf joined": lambda: [join((one, one, one, one, one, one, one, one, one)) for one in salts],
        "SHA-256 of the leaf": lambda: [sha256(b"\x00" + one).digest() for one in leaves],
        "a node of the tree": lambda: [sha256(b"\x01" + one + one).digest() for one in salts],
        "CRC32C of the frame": lambda: [google_crc32c.value(one) for one in payloads],
    }  # fmt: skip
    times: Times = {}
    for _ in range(rounds):
        for step, work in steps.items():
            least(times, step, work)
    return times


def show(title: str, times: Times, rows: int) -> float:
    """Print; returns the sum in microseconds a row."""
    total = sum(times.values()) / rows / 1e3
    print(f"{title}: {total:.2f} us a row")
    for step, taken in times.items():
        print(f"    {step:26} {taken / rows / 1e3:7.3f}")
    return total


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--runtime", choices=("onnxruntime", "onedal"), default="onnxruntime", help="of ours")
    parser.add_argument("--no-floor", action="store_true")
    given = parser.parse_args()
    # as a worker sets it (`web.worker`)
    gc.set_threshold(100_000, 20, 20)
    less = show("bare, JSON", bare(given.rows, given.rounds), given.rows)
    for binary, new in itertools.product((False, True), (False, True)):
        with tempfile.TemporaryDirectory() as name:
            times = ours(
                given.rows, given.rounds, binary=binary, new=new, folder=Path(name) / "log", runtime=given.runtime
            )  # fmt: skip
        title = f"ours on {given.runtime}, {'binary' if binary else 'JSON'}, {'new' if new else 'known'} subjects"
        print(f"    {less / show(title, times, given.rows):.2f} of bare JSON")
    if not given.no_floor:
        show("floor of a record", floor(given.rows, given.rounds), given.rows)


if __name__ == "__main__":
    main()
