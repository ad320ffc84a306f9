"""Mending a log folder that nobody writes to: published files, `shard.json` and the segment kept ready."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from strongroom.adapters.files.disk import Disk, OsDisk, write_files
from strongroom.adapters.log.shard_files import LOCKED
from strongroom.adapters.log.shard_reader import FolderView, ShardFile, read_shard_file
from strongroom.encoding import canonical
from strongroom.errors import ConflictError, TamperedError, UnavailableError
from strongroom.ledger.checkpoint import VerifierKey
from strongroom.ledger.fsck import Finding
from strongroom.ledger.repair import plan_repair


@dataclass(frozen=True, slots=True)
class Mended:
    """What was done.

    Attributes:
        rebuilt: paths below the log folder that were written.
        removed: paths that were in the way; the log's writer makes them again.
        lost: what is broken still.
    """

    rebuilt: tuple[str, ...]
    removed: tuple[str, ...]
    lost: tuple[Finding, ...]


def mend(folder: Path, verifier: VerifierKey, disk: Disk | None = None) -> Mended:
    """See `ledger.repair.plan_repair`. Harmless to repeat; a crash in between leaves less to mend.

    Args:
        folder: of the log.
        verifier: its key, from the node's or room's own key file, never from the folder.

    Raises:
        ConflictError: somebody writes to the log; stop the gateway first.
        UnavailableError: a file could not be written.
    """
    disk = disk or OsDisk()
    try:
        lock = disk.lock(folder / "lock")
    except BlockingIOError as error:
        raise ConflictError(
            f"log `{folder.name}` is being written; stop the gateway, then repair it", rule=LOCKED
        ) from error
    try:
        plan = plan_repair(FolderView(folder, disk), verifier)
        if not disk.exists(folder / "public"):
            disk.make_folder(folder / "public")
        # the checkpoint is last: what it speaks of is there before it
        files = sorted(plan.files.items(), key=lambda one: (one[0].startswith("checkpoint"), one[0]))
        write_files(disk, folder / "public", files)
        removed = [f"public/{path}" for path in plan.drop]
        removed += [f"segments/{name}" for name in ("next.seg.tmp", "next.seg") if _unready(disk, folder, name)]
        for name in removed:
            disk.remove(folder.joinpath(*name.split("/")))
        about = canonical(ShardFile(origin=verifier.name, v=1, vkey=str(verifier)))
        own = [] if _is_whole(disk, folder) else [("shard.json", about)]
        if not plan.lost or plan.files:
            write_files(disk, folder, own)
    except OSError as error:
        raise UnavailableError(f"log `{folder.name}` could not be repaired: {error.strerror}") from error
    finally:
        lock.close()
    rebuilt = [*(f"public/{path}" for path, _ in files), *(name for name, _ in own)]
    return Mended(tuple(rebuilt), tuple(removed), tuple(plan.lost))


def _is_whole(disk: Disk, folder: Path) -> bool:
    try:
        read_shard_file(disk.read(folder / "shard.json"))
    except (TamperedError, OSError):
        return False
    return True


def _unready(disk: Disk, folder: Path, name: str) -> bool:
    """Is there a segment kept ready that is none?"""
    path = folder / "segments" / name
    if not disk.exists(path):
        return False
    content = disk.read(path)
    return name.endswith(".tmp") or not content or content.count(0) != len(content)
