"""A real writer process on a real disk, killed with SIGKILL; another process reads meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from strongroom.adapters.log.shard_files import FileShard
from strongroom.adapters.log.shard_reader import FolderView, ShardReader
from strongroom.errors import ConflictError, NotFoundError
from strongroom.ledger.actions import fsck
from strongroom.ledger.ports import Record
from tests.ledger.samples import log_key, record

ROOT = Path(__file__).parents[2]
WRITER = """
import itertools, sys, threading, time
from pathlib import Path
from strongroom.adapters.log.shard_files import FileShard
from tests.ledger.samples import log_key, records
shard = FileShard.open(Path(sys.argv[1]), log_key(), segment_bytes=256 * 1024)
def publish():
    while True:
        shard.publish()
        shard.prepare()
        time.sleep(0.05)
threading.Thread(target=publish, daemon=True).start()
number = shard.size
for turn in itertools.count():
    count = 1 + turn % 13
    shard.append(records(number, count))
    number += count
    print(number, flush=True)
    time.sleep(0.003)
"""


def start(folder: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    return subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, env=environment)


def acknowledged(writer: subprocess.Popen[bytes], heard: bytes) -> int:
    assert writer.stdout is not None
    lines = (heard + writer.stdout.read()).split(b"\n")
    return int(lines[-2])  # the last may be cut off


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    FileShard.create(folder, log_key().name, log_key(), segment_bytes=256 * 1024).close()
    for life in range(3):
        writer = start(folder)
        assert writer.stdout is not None
        # it has the lock, and has written some times
        heard = [writer.stdout.readline() for _ in range(50 + 17 * life)][-1]
        with pytest.raises(ConflictError):
            FileShard.open(folder, log_key())
        reader = ShardReader(folder, log_key().verifier)  # while it is written
        seen = reader.size
        assert [Record(*stored[1:]) for stored in list(reader)[:seen]] == [record(number) for number in range(seen)]
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        told = acknowledged(writer, heard)
        shard = FileShard.open(folder, log_key(), segment_bytes=256 * 1024)
        assert shard.size >= told > 0
        assert shard.size - told <= 13
        shard.publish()
        shard.close()
        assert [tuple(stored[1:]) for stored in reader] == [tuple(record(n)) for n in range(reader.size)]
        with pytest.raises(NotFoundError):
            reader.get(reader.size)
        reader.close()
        assert fsck(FolderView(folder), log_key().verifier) == []
