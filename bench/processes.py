"""Processes that are measured: started on one core, waited for, weighed, ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
SERVER_CORE, LOAD_CORE = 0, 1
PATHS = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
TICK_US = 1e6 / os.sysconf("SC_CLK_TCK")
START_S = 90.0
STOP_S = 30.0


@dataclass(frozen=True, slots=True)
class Memory:
    """Of a process and everything below it, in MiB.

    Attributes:
        rss_mib: resident, what is shared counted once for each process.
        pss_mib: resident, what is shared divided among those that share it.
    """

    rss_mib: float
    pss_mib: float


def family(parent: int) -> list[int]:
    """A process and all below it."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            children.setdefault(int(stat.read_text().rpartition(")")[2].split()[1]), []).append(int(stat.parent.name))
    found, look = [], [parent]
    while look:
        pid = look.pop()
        found.append(pid)
        look += children.get(pid, [])
    return found


def cpu_us(parent: int) -> float:
    """Processor time of a process and all below it so far. What others do on the machine disturbs it little."""
    total = 0
    for pid in family(parent):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total * TICK_US


def memory(pids: Sequence[int]) -> Memory:
    """What these processes hold."""
    kib = {"Rss": 0, "Pss": 0}
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                name = line.partition(":")[0]
                if name in kib:
                    kib[name] += int(line.split()[1])
    return Memory(round(kib["Rss"] / 1024, 1), round(kib["Pss"] / 1024, 1))


def workers(parent: int, word: str) -> list[int]:
    """Those below `parent` whose command line has this word."""
    found = []
    for pid in family(parent):
        with contextlib.suppress(OSError):
            if word.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                found.append(pid)
    return found


class NotStartedError(Exception):
    """A server ended, or did not answer in time; with the end of what it said."""


@contextmanager
def process(
    command: Sequence[str], environment: Mapping[str, str], core: int, said: Path, folder: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process pinned to a core until the block ends, with its whole group.

    Args:
        command: without `taskset`.
        environment: beside the one that there is.
        core: where it and its children run.
        said: file for what it prints.
        folder: to run in.
    """
    with said.open("wb") as out:
        child = subprocess.Popen(
            ["taskset", "-c", str(core), *command],
            env=os.environ | PATHS | dict(environment), stdout=out, stderr=subprocess.STDOUT, cwd=folder,
            start_new_session=True,
        )  # fmt: skip
    try:
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        # what it started and did not end; the group is ours, made by start_new_session
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)


def wait_until(ready: Callable[[], bool], child: subprocess.Popen[bytes], said: Path, limit_s: float = START_S) -> None:
    """Wait until a server is ready.

    Raises:
        NotStartedError: it ended, or the time is over.
    """
    begin = time.monotonic()
    while time.monotonic() - begin < limit_s:
        if child.poll() is not None:
            raise NotStartedError(f"it ended with status {child.returncode}: {last_words(said)}")
        if ready():
            return
        time.sleep(0.02)
    raise NotStartedError(f"it gave no answer within {limit_s:.0f} s: {last_words(said)}")


def last_words(said: Path) -> str:
    """The last line of what a process said, short."""
    lines = said.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
    return lines[-1].strip()[:300]
