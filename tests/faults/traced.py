"""The system calls of a real process, replayed on a disk in memory that loses what was not synced.

`strace` gives every call that changes a file, in order. Replaying the first k of them and then cutting the power gives
a state that a real disk may be left in when the process is killed, and the power goes, at call k. It is meaner than
most disks: of the calls on a file since its last sync any subset survives, in no order, each torn at any sector or
byte; names survive by folder, in order, up to any point.

Source: Pillai et al., All File Systems Are Not Created Equal, OSDI 2014 (enumerating crash states from a trace).
"""

from __future__ import annotations

import copy
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.faults.lossy_disk import SECTOR, Folder

CHANGING = (
    "open,openat,creat,close,dup,dup2,dup3,write,pwrite64,writev,pwritev,pwritev2,lseek,ftruncate,truncate,fallocate,"
    "fsync,fdatasync,sync,syncfs,sync_file_range,msync,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,"
    "mkdirat,rmdir,copy_file_range,sendfile"
)
"""Every call by which a process changes files; one among them that the replay does not know is an error."""

_CALL = re.compile(r"^(\w+)\((.*)\)\s+= (-?\d+)(?: .*)?$")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


def why_not() -> str:
    """Why nothing can be traced here; empty if it can."""
    strace = shutil.which("strace")
    if strace is None:
        return "no strace; install the package of that name"
    done = subprocess.run([strace, "-o", os.devnull, "true"], capture_output=True, check=False)
    return "" if done.returncode == 0 else "strace may not trace here"


@dataclass(frozen=True, slots=True)
class Call:
    """One system call that went well."""

    name: str
    texts: tuple[bytes, ...]
    words: tuple[str, ...]
    result: int


def trace(words: Sequence[object], to: Path) -> list[Call]:
    """Run a Python module and hand back its changing calls, those of its first thread: it may have no other."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    here = Path(__file__).parents[2]
    environment["PYTHONPATH"] = f"{here / 'src'}{os.pathsep}{here}"
    known = ",".join("?" + name for name in CHANGING.split(","))
    command = ["strace", "-qq", "-xx", "-s", "1000000", "-e", f"trace={known}", "-e", "signal=none", "-o", str(to)]
    done = subprocess.run(
        [*command, sys.executable, "-m", *map(str, words)], env=environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return read(to.read_text("ascii"))


def read(text: str) -> list[Call]:
    """Calls from the output of strace; failed ones change nothing and are left out."""
    calls = []
    for line in text.splitlines():
        found = _CALL.match(line)
        assert found is not None, f"strace wrote a line that is not understood: {line[:200]}"
        name, arguments, result = found[1], found[2], int(found[3])
        if result < 0:
            continue
        texts = tuple(bytes.fromhex(one.replace("\\x", "")) for one in _TEXT.findall(arguments))
        words = tuple(word.strip() for word in _TEXT.sub("text", arguments).split(","))
        calls.append(Call(name, texts, words, result))
    return calls


Change = tuple[int, bytes] | int
"""Bytes at an offset, or a new size."""


@dataclass(eq=False)
class TracedInode:
    live: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    changes: list[Change] = field(default_factory=list)

    def apply(self, change: Change) -> None:
        _change(self.live, change)
        self.changes.append(change)

    def sync(self) -> None:
        self.durable = bytearray(self.live)
        self.changes.clear()

    def crash(self, chance: random.Random) -> None:
        how = chance.choice(("nothing", "everything", "prefix", "any", "sectors"))
        if how == "everything":
            self.durable = bytearray(self.live)
        elif how == "prefix":
            count = chance.randint(0, len(self.changes))
            for change in self.changes[:count]:
                _change(self.durable, change)
            if count < len(self.changes):
                _change(self.durable, _torn(self.changes[count], chance))
        elif how != "nothing":
            for change in self.changes:
                if isinstance(change, int) or how == "any":
                    if chance.random() < 0.6:
                        _change(self.durable, change)
                    continue
                offset, data = change
                # a disk writes whole sectors, wherever the bytes begin
                edges = [
                    offset,
                    *range((offset // SECTOR + 1) * SECTOR, offset + len(data), SECTOR),
                    offset + len(data),
                ]
                for low, high in pairwise(edges):
                    if chance.random() < 0.6:
                        _change(self.durable, (low, data[low - offset : high - offset]))
        self.live = bytearray(self.durable)
        self.changes.clear()


def _change(content: bytearray, change: Change) -> None:
    if isinstance(change, int):
        del content[change:]
        content.extend(bytes(change - len(content)))
        return
    offset, data = change
    content.extend(bytes(max(0, offset + len(data) - len(content))))
    content[offset : offset + len(data)] = data


def _torn(change: Change, chance: random.Random) -> Change:
    if isinstance(change, int):
        return change
    return change[0], change[1][: chance.randint(0, len(change[1]))]


@dataclass
class Opened:
    what: TracedInode | Folder
    at: int = 0


class TracedDisk:
    """A folder as it was before the process began, and what the calls do to it.

    Attributes:
        said: what the process wrote to its standard output so far, JSON documents.
        touched: whether the last call changed a file or made it durable, or said something.
    """

    def __init__(self, top: Path) -> None:
        self.top = top
        self.root = _load(top)
        self.open: dict[int, Opened] = {}
        self.said: list[dict[str, Any]] = []

    def replay(self, call: Call) -> bool:
        """Do it; False for a call that has nothing to do with the folder."""
        match call.name:
            case "open" | "openat":
                return self._open(call)
            case "close":
                self.open.pop(int(call.words[0]), None)
                return False
            case "mkdir" | "mkdirat":
                return self._name(call.texts[0], Folder())
            case "unlink" | "unlinkat" | "rmdir":
                return self._name(call.texts[0], None)
            case "rename" | "renameat" | "renameat2":
                return self._rename(*call.texts)
            case "write" if int(call.words[0]) == 1:
                self.said.append(json.loads(call.texts[0]))
                return True
        if call.words[0] == "text" or not call.words[0].isdigit():
            raise NotImplementedError(call.name)
        opened = self.open.get(int(call.words[0]))
        if opened is None:
            return False
        if call.name in ("fsync", "fdatasync"):
            opened.what.sync()
            return True
        assert isinstance(opened.what, TracedInode)
        match call.name:
            case "write":
                opened.what.apply((opened.at, call.texts[0][: call.result]))
                opened.at += call.result
            case "pwrite64":
                opened.what.apply((int(call.words[-1]), call.texts[0][: call.result]))
            case "lseek":
                opened.at = call.result
                return False
            case "ftruncate":
                opened.what.apply(int(call.words[1]))
            case "fallocate" if call.words[1] == "0":
                opened.what.apply(max(len(opened.what.live), int(call.words[2]) + int(call.words[3])))
            case _:
                raise NotImplementedError(call.name)
        return True

    def crashed(self, chance: random.Random, to: Path) -> None:
        """Cut the power now, and lay out what is left in a new folder. This disk goes on as if nothing happened."""
        # descriptors are not needed, and names in the past of a folder share inodes with the present
        root = copy.deepcopy(self.root)
        root.crash(chance)
        _store(root, to)

    def _parts(self, path: bytes) -> tuple[str, ...] | None:
        text = os.path.normpath(os.fsdecode(path))
        if not text.startswith(f"{self.top}{os.sep}") and text != str(self.top):
            return None
        return Path(text).relative_to(self.top).parts

    def _find(self, parts: Sequence[str]) -> Any:
        here: Any = self.root
        for part in parts:
            here = here.live[part]
        return here

    def _open(self, call: Call) -> bool:
        parts = self._parts(call.texts[0])
        if parts is None:
            return False
        flags = next(word for word in call.words if word.startswith("O_")).split("|")
        assert "O_APPEND" not in flags
        made = False
        folder = self._find(parts[:-1])
        if "O_CREAT" in flags and parts[-1] not in folder.live:
            made = self._name(call.texts[0], TracedInode())
        what = self._find(parts)
        if "O_TRUNC" in flags and len(what.live):
            what.apply(0)
            made = True
        self.open[call.result] = Opened(what)
        return made

    def _name(self, path: bytes, what: Any) -> bool:
        parts = self._parts(path)
        if parts is None:
            return False
        self._find(parts[:-1]).change({parts[-1]: what})
        return True

    def _rename(self, source: bytes, target: bytes) -> bool:
        old, new = self._parts(source), self._parts(target)
        if old is None or new is None:
            assert old is new
            return False
        assert old[:-1] == new[:-1], "nothing on the commit path is renamed across folders"
        self._find(old[:-1]).change({old[-1]: None, new[-1]: self._find(old)})
        return True


def _load(folder: Path) -> Folder:
    names: dict[str, Any] = {}
    for path in folder.iterdir():
        if path.is_dir():
            names[path.name] = _load(path)
        else:
            data = path.read_bytes()
            names[path.name] = TracedInode(bytearray(data), bytearray(data))
    return Folder(names, dict(names))


def _store(folder: Folder, to: Path) -> None:
    to.mkdir()
    for name, what in folder.live.items():
        if isinstance(what, Folder):
            _store(what, to / name)
        else:
            path = to / name
            path.write_bytes(what.live)
            path.chmod(0o600)
