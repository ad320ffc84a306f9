"""A file system in memory that keeps apart what was synced and what was not, and can lose the latter.

It is meaner than most disks: of what was not synced, any subset of sectors survives a crash, in no order; names
survive per folder up to any point; and the process may be killed before or after every call.
"""

from __future__ import annotations

import errno
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

SECTOR = 512
SyncMode = Literal["honest", "ignored", "late"]


class Killed(BaseException):
    """The process is dead: nothing may catch this and go on."""


@dataclass(eq=False)
class Inode:
    live: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    dirty: dict[int, None] = field(default_factory=dict)
    writes: list[tuple[int, bytes]] = field(default_factory=list)

    def write(self, data: bytes, offset: int) -> None:
        if len(self.live) < offset + len(data):
            self.live.extend(bytes(offset + len(data) - len(self.live)))
        self.live[offset : offset + len(data)] = data
        for sector in range(offset // SECTOR, -(-(offset + len(data)) // SECTOR)):
            self.dirty[sector] = None
        self.writes.append((offset, data))

    def sync(self) -> None:
        self.durable = bytearray(self.live)
        self.dirty.clear()
        self.writes.clear()

    def _keep(self, low: int, data: bytes) -> None:
        if len(self.durable) < low + len(data):
            self.durable.extend(bytes(low + len(data) - len(self.durable)))
        self.durable[low : low + len(data)] = data

    def crash(self, chance: random.Random) -> None:
        how = chance.choice(("nothing", "everything", "sectors", "pages", "prefix", "most"))
        if how == "everything":
            self.durable = bytearray(self.live)
        elif how == "prefix":
            # calls reach the disk in order, and the last of them up to any byte
            for offset, data in self.writes[: chance.randint(0, len(self.writes))]:
                self._keep(offset, data)
            if self.writes:
                offset, data = chance.choice(self.writes)
                self._keep(offset, data[: chance.randint(0, len(data))])
        elif how != "nothing":
            unit = 8 if how == "pages" else 1
            odds = 0.9 if how == "most" else 0.5
            fate: dict[int, bool] = {}
            for sector in self.dirty:
                if fate.setdefault(sector // unit, chance.random() < odds):
                    low = sector * SECTOR
                    self._keep(low, bytes(self.live[low : low + SECTOR]))
        self.live = bytearray(self.durable)
        self.dirty.clear()
        self.writes.clear()


@dataclass(eq=False)
class Folder:
    live: dict[str, Inode | Folder] = field(default_factory=dict)
    durable: dict[str, Inode | Folder] = field(default_factory=dict)
    pending: list[dict[str, Inode | Folder | None]] = field(default_factory=list)

    def change(self, changes: dict[str, Inode | Folder | None]) -> None:
        _apply(self.live, changes)
        self.pending.append(changes)

    def sync(self) -> None:
        self.durable = dict(self.live)
        self.pending.clear()

    def crash(self, chance: random.Random) -> None:
        for changes in self.pending[: chance.randint(0, len(self.pending))]:
            _apply(self.durable, changes)
        self.pending.clear()
        self.live = dict(self.durable)
        for inner in self.live.values():
            inner.crash(chance)


def _apply(names: dict[str, Inode | Folder], changes: dict[str, Inode | Folder | None]) -> None:
    for name, what in changes.items():
        if what is None:
            names.pop(name, None)
        else:
            names[name] = what


class LossyFile:
    def __init__(self, disk: LossyDisk, inode: Inode) -> None:
        self._disk = disk
        self._inode = inode

    def pwrite(self, data: bytes, offset: int) -> None:
        with self._disk.call("pwrite"):
            self._inode.write(data, offset)

    def pread(self, size: int, offset: int) -> bytes:
        return bytes(self._inode.live[offset : offset + size])

    def allocate(self, size: int) -> None:
        with self._disk.call("allocate"):
            if size > self._disk.free_bytes:
                raise OSError(errno.ENOSPC, "No space left on device")
            self._disk.free_bytes -= size
            self._inode.live.extend(bytes(max(0, size - len(self._inode.live))))

    def sync(self) -> None:
        with self._disk.call("sync"):
            if self._disk.sync_mode == "honest":
                self._inode.sync()
            elif self._disk.sync_mode == "late":
                # as if the answer left before the sync: it happens only when something else is done later
                self._disk.late.append(self._inode)

    def size(self) -> int:
        return len(self._inode.live)

    def uncache(self) -> None:
        """Memory is no part of this model."""

    def close(self) -> None:
        if isinstance(self._inode, LockInode):
            self._inode.held = False


class LockInode(Inode):
    held = False

    def crash(self, chance: random.Random) -> None:
        self.held = False


class _Call:
    def __init__(self, disk: LossyDisk, kill_after: bool) -> None:
        self._disk, self._kill_after = disk, kill_after

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        if self._kill_after:
            self._disk.dead = True
            raise Killed


class LossyDisk:
    """See the module. `kill_in` counts down over changing calls; `failures` maps the name of a call to an error."""

    def __init__(self, chance: random.Random, sync_mode: SyncMode = "honest") -> None:
        self.chance = chance
        self.sync_mode: SyncMode = "honest"
        self.later_mode: SyncMode = sync_mode
        self.root = Folder()
        self.kill_in: int | None = None
        self.dead = False
        self.free_bytes = 1 << 40
        self.failures: dict[str, OSError] = {}
        self.late: list[Inode] = []
        self.calls: list[str] = []

    def call(self, name: str) -> _Call:
        if self.dead:
            raise Killed
        self.calls.append(name)
        kill_after = False
        if self.kill_in is not None:
            self.kill_in -= 1
            if self.kill_in <= 0:
                if self.chance.random() < 0.5:
                    self.dead = True
                    raise Killed
                kill_after = True
        if name != "sync" and self.late:
            for inode in self.late:
                inode.sync()
            self.late.clear()
        if name in self.failures:
            raise self.failures[name]
        return _Call(self, kill_after)

    def crash(self) -> None:
        """Cut the power and start again."""
        self.late.clear()
        self.root.crash(self.chance)
        self.kill_in = None
        self.dead = False

    def files(self) -> dict[Path, Inode]:
        """All files, for tests that change them behind the shard's back."""
        found: dict[Path, Inode] = {}
        folders = [(Path("/"), self.root)]
        while folders:
            at, folder = folders.pop()
            for name, what in sorted(folder.live.items()):
                if isinstance(what, Folder):
                    folders.append((at / name, what))
                else:
                    found[at / name] = what
        return found

    def _find(self, path: Path) -> Inode | Folder:
        here: Inode | Folder = self.root
        for part in path.parts[1:]:
            if not isinstance(here, Folder) or part not in here.live:
                raise FileNotFoundError(errno.ENOENT, "No such file", str(path))
            here = here.live[part]
        return here

    def _folder(self, path: Path) -> Folder:
        found = self._find(path)
        if not isinstance(found, Folder):
            raise NotADirectoryError(errno.ENOTDIR, "Not a directory", str(path))
        return found

    def _inode(self, path: Path) -> Inode:
        found = self._find(path)
        if not isinstance(found, Inode):
            raise IsADirectoryError(errno.EISDIR, "Is a directory", str(path))
        return found

    def open(self, path: Path, *, create: bool = False, write: bool = False) -> LossyFile:
        if not create:
            return LossyFile(self, self._inode(path))
        with self.call("create"):
            inode = Inode()
            self._folder(path.parent).change({path.name: inode})
        return LossyFile(self, inode)

    def read(self, path: Path | str) -> bytes:
        return bytes(self._inode(Path(path)).live)

    def names(self, folder: Path) -> list[str]:
        return sorted(self._folder(folder).live)

    def exists(self, path: Path) -> bool:
        try:
            self._find(path)
        except FileNotFoundError:
            return False
        return True

    def make_folder(self, path: Path) -> None:
        with self.call("make_folder"):
            if self.exists(path):
                raise FileExistsError(errno.EEXIST, "File exists", str(path))
            self._folder(path.parent).change({path.name: Folder()})

    def rename(self, source: Path, target: Path) -> None:
        if source.parent != target.parent:
            raise NotImplementedError("no shard renames across folders")
        with self.call("rename"):
            inode = self._inode(source)
            self._folder(source.parent).change({source.name: None, target.name: inode})

    def remove(self, path: Path) -> None:
        with self.call("remove"):
            self._inode(path)
            self._folder(path.parent).change({path.name: None})

    def sync_folder(self, path: Path) -> None:
        with self.call("sync_folder"):
            self._folder(path).sync()

    def lock(self, path: Path) -> LossyFile:
        folder = self._folder(path.parent)
        inode = folder.live.get(path.name)
        if not isinstance(inode, LockInode):
            inode = LockInode()
            folder.change({path.name: inode})
        if inode.held:
            raise BlockingIOError(errno.EWOULDBLOCK, "locked")
        inode.held = True
        return LossyFile(self, inode)
