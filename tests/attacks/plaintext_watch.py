"""Looks for fragments of a secret in everything that a process tree writes, without a tracer.

Three nets: an audit hook inside the watched Python process (it sees every file that Python opens for writing, and reads
a file again just before Python removes it), a watcher outside that reads, many times a second, every writable file,
memory file and shared mapping that any process of the tree holds open (native code too), and a search of folders at
the end. A file that native code makes, writes and closes between two looks escapes the second net, unless it stays.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import stat
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

WINDOW = 32
PLACES = 24
WRITE_FLAGS = os.O_WRONLY | os.O_RDWR
TMPFS = (Path("/dev/shm"), Path("/run"))
_SHARED = re.compile(r"([0-9a-f]+)-([0-9a-f]+) .w.s \S+ \S+ \S+\s*(.*)")


class Needles:
    """Windows of a secret, as they are and in base64 at each of its three alignments."""

    def __init__(self, secret: bytes) -> None:
        windows = [secret[at : at + WINDOW] for at in range(0, len(secret) - WINDOW, WINDOW // 2)]
        # numbers, not names: a window that repeats itself or is mostly text might be found anywhere
        telling = [one for one in windows if len(set(one)) > 8 and sum(32 <= byte < 127 for byte in one) < WINDOW // 2]
        step = max(1, len(telling) // PLACES)
        self.plain = telling[::step][:PLACES]
        coded = [base64.b64encode(bytes(pad) + window)[4:-4] for window in self.plain for pad in range(3)]
        self._all = [*self.plain, *coded]

    def __len__(self) -> int:
        return len(self.plain)

    def within(self, data: bytes) -> bool:
        data = data.rstrip(b"\0")
        return any(needle in data for needle in self._all)


def search(needles: Needles, tops: Iterable[Path], leave_out: Iterable[Path] = ()) -> list[str]:
    """Files below these folders that hold a fragment now."""
    left_out = tuple(leave_out)
    found = []
    for top in tops:
        for folder, _, names in os.walk(top):
            for name in names:
                path = Path(folder, name)
                if any(path.is_relative_to(one) for one in left_out):
                    continue
                with contextlib.suppress(OSError):
                    if stat.S_ISREG(path.lstat().st_mode) and needles.within(path.read_bytes()):
                        found.append(str(path))
    return found


def hook(needles: Needles, found: list[str], opened: set[str]) -> None:
    """Install the audit hook in this process, for good."""
    inside = threading.local()

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        if getattr(inside, "busy", False):
            return
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & WRITE_FLAGS and not isinstance(path, int):
                if flags & os.O_TMPFILE == os.O_TMPFILE:
                    found.append(f"an unnamed temporary file in {os.fsdecode(path)}")
                else:
                    opened.add(str(Path(os.fsdecode(path)).absolute()))
        elif event in ("os.remove", "os.rename", "os.truncate"):
            inside.busy = True
            try:
                with contextlib.suppress(OSError, TypeError, ValueError):
                    if needles.within(Path(os.fsdecode(arguments[0])).read_bytes()):
                        found.append(f"{os.fsdecode(arguments[0])} ({event})")
            finally:
                inside.busy = False

    sys.addaudithook(look)


class Watcher:
    """Reads what the processes below one process hold open, until the block ends."""

    def __init__(self, needles: Needles, pid: int, leave_out: Iterable[Path] = (), every_s: float = 0.03) -> None:
        self.found: set[str] = set()
        self.processes: set[int] = set()
        self.looks = 0
        self._needles, self._pid, self._every_s = needles, pid, every_s
        self._leave_out = tuple(str(path) for path in leave_out)
        self._seen: dict[tuple[int, int], tuple[int, int]] = {}
        self._stop = threading.Event()

    @contextlib.contextmanager
    def watching(self) -> Iterator[Watcher]:
        thread = threading.Thread(target=self._work)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()

    def _work(self) -> None:
        while not self._stop.is_set():
            for pid in self._tree():
                with contextlib.suppress(OSError):
                    self._look(pid)
            self.looks += 1
            time.sleep(self._every_s)

    def _tree(self) -> list[int]:
        parents: dict[int, int] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        tree, wanted = [], {self._pid}
        while wanted:
            tree += wanted
            wanted = {pid for pid, parent in parents.items() if parent in wanted}
        self.processes |= set(tree)
        return tree

    def _look(self, pid: int) -> None:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError, ValueError):
                self._look_at(link)
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            shared = _SHARED.fullmatch(line)
            if shared is not None and shared[3].startswith(("/dev/zero", "/memfd", "/SYSV", "/dev/shm")):
                with contextlib.suppress(OSError):
                    self._look_into(pid, int(shared[1], 16), int(shared[2], 16), shared[3])

    def _look_at(self, link: Path) -> None:
        target = str(link.readlink())
        if not target.startswith("/") or target.startswith(self._leave_out):
            return
        about = link.stat()
        told = (link.parents[1] / "fdinfo" / link.name).read_text()
        flags = next(int(line.split()[1], 8) for line in told.splitlines() if line.startswith("flags:"))
        if not stat.S_ISREG(about.st_mode) or not flags & WRITE_FLAGS:
            return
        state = about.st_size, about.st_mtime_ns
        if self._seen.get((about.st_dev, about.st_ino)) == state:
            return
        self._seen[about.st_dev, about.st_ino] = state
        if self._needles.within(link.read_bytes()):
            self.found.add(target)

    def _look_into(self, pid: int, begin: int, end: int, name: str) -> None:
        with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
            memory.seek(begin)
            if self._needles.within(memory.read(min(end - begin, 64 * 1024 * 1024))):
                self.found.add(f"shared memory {name}")
