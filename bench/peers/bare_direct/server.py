"""The second bare limit: a uvloop protocol over httptools, msgspec and onnxruntime, no control at all.

All requests that one turn of the loop reads are scored in one call of the model.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

import httptools
import msgspec
import numpy as np
import onnxruntime as ort
import uvloop


class Tensor(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: list[float]


class Infer(msgspec.Struct):
    inputs: list[Tensor]


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"


class Scorer:
    """Collects the requests of a turn and answers them at its end."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = ort.InferenceSession(os.environ["BENCH_MODEL"], options, providers=["CPUExecutionProvider"])
        self.decode = msgspec.json.Decoder(Infer).decode
        self.encode = msgspec.json.Encoder().encode
        self.loop = loop
        self.waiting: list[tuple[Connection, Tensor]] = []

    def take(self, connection: Connection, body: bytes) -> None:
        """Take one request along."""
        tensor = self.decode(body).inputs[0]
        if not self.waiting:
            self.loop.call_soon(self.answer)
        self.waiting.append((connection, tensor))

    def answer(self) -> None:
        """Score everything that waits."""
        waiting, self.waiting = self.waiting, []
        values: list[float] = []
        for _, tensor in waiting:
            values += tensor.data
        matrix = np.array(values, np.float32).reshape(-1, waiting[0][1].shape[1])
        scores = self.session.run(["probabilities"], {"x": matrix})[0][:, 1].tolist()
        row = 0
        for connection, tensor in waiting:
            rows = tensor.shape[0]
            outputs = [{"name": "pd", "datatype": "FP32", "shape": [rows], "data": scores[row : row + rows]}]
            row += rows
            body = self.encode({"model_name": "pd-cards", "outputs": outputs})
            if connection.transport is not None:
                connection.transport.write(HEAD % (len(body), body))


class Connection(asyncio.Protocol):
    """One client."""

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer
        self.parser = httptools.HttpRequestParser(self)
        self.transport: Any = None
        self.body: list[bytes] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def connection_lost(self, _exc: Exception | None) -> None:
        self.transport = None

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self.body.append(body)

    def on_message_complete(self) -> None:
        body = self.body[0] if len(self.body) == 1 else b"".join(self.body)
        self.body = []
        self.scorer.take(self, body)


async def main(port: int) -> None:
    """Serve until SIGTERM."""
    if os.environ.get("BENCH_BATCH"):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    loop = asyncio.get_running_loop()
    scorer = Scorer(loop)
    await loop.create_server(lambda: Connection(scorer), "127.0.0.1", port, backlog=1024)
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[1])))
