"""Threat: a storage administrator finds a model in a temporary file, in shared memory or in the room's folder.

A control plane is watched with strace while it takes a package in, scans it in the sandbox, registers a sample, opens
the model and runs it. Every byte that any of its processes writes is searched for fragments of the model and the
samples: they may go through pipes (to the sandbox), never into a file, a memory file or a shared mapping.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.registry.room import package_files

HERE = Path(__file__).parent
CALLS = "openat,openat2,open,creat,memfd_create,write,pwrite64,writev,pwritev,pwritev2,sendfile,copy_file_range,mmap"
WRITE = re.compile(r"\b(write|pwrite64|writev|pwritev2?)\(\d+<((?:[^>\\]|\\.)*)>")


def fragments() -> list[bytes]:
    """Twenty-four bytes from eight places of each secret file; those that are mostly zero would prove nothing."""
    found = []
    for path, content in package_files().items():
        if path != "model.toml":
            step = len(content) // 9
            found += [content[at : at + 24] for at in range(step, 8 * step + 1, step)]
    return [part for part in found if len(set(part)) > 8]


def watch(folder: Path, leak: str) -> tuple[list[str], list[str]]:
    """What was written where it may not be, and the shared writable mappings of files."""
    if shutil.which("strace") is None:
        if os.environ.get("STRONGROOM_DEMAND_STRACE") == "1":
            pytest.fail("strace is not installed, and STRONGROOM_DEMAND_STRACE=1 says that it must be")
        pytest.skip("strace is not installed; test_plaintext_model_on_disk watches without it")
    folder.mkdir()
    trace = folder.parent / "trace"
    package = json.dumps({path: base64.b64encode(content).decode() for path, content in package_files().items()})
    result = subprocess.run(
        ["strace", "-f", "-y", "-xx", "-s", "4000000", "-e", f"trace={CALLS}", "-o", str(trace), sys.executable,
         "-m", "tests.attacks.plaintext_worker", str(folder), leak],
        input=package.encode(), capture_output=True, timeout=120, check=False,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": "src:.", "TMPDIR": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=HERE.parents[1],
    )  # fmt: skip
    assert result.returncode == 0, result.stderr.decode()[-2000:]
    wanted = ["".join(f"\\x{byte:02x}" for byte in part) for part in fragments()]
    assert len(wanted) > 20
    written, shared, through_pipes = [], [], 0
    with trace.open(errors="replace") as lines:
        for line in lines:
            call = WRITE.search(line)
            if call and any(part in line for part in wanted):
                target = plain(call[2])
                if target.startswith("pipe:["):
                    through_pipes += 1
                else:
                    written.append(target)
            if "mmap(" in line and "MAP_SHARED" in line and "PROT_WRITE" in line and "MAP_ANONYMOUS" not in line:
                shared.append(line)
    assert through_pipes, "the trace did not even see the package on its way to the sandbox"
    return written, shared


def plain(text: str) -> str:
    """A path as strace -xx writes it, in letters."""
    return re.sub(r"\\x([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), text)


def left_in(folder: Path) -> list[str]:
    """Files of the room, and of shared memory, that hold a fragment now."""
    places = [path for top in (folder, Path("/dev/shm")) for path in top.rglob("*") if path.is_file()]
    return [str(path) for path in places if any(part in path.read_bytes() for part in fragments())]


def test_no_plaintext_is_written(tmp_path: Path) -> None:
    written, shared = watch(tmp_path / "room", "--careful")
    assert written == []
    # SQLite's write-ahead index is the one shared mapping; what it holds is searched below.
    assert [line for line in shared if "room.db-shm" not in plain(line)] == []
    assert left_in(tmp_path / "room") == []
    assert any((tmp_path / "room" / "blobs").rglob("*"))


def test_positive_control_a_deleted_temporary_file_is_seen(tmp_path: Path) -> None:
    written, _ = watch(tmp_path / "room", "--leak")
    assert any(str(tmp_path / "room") in target for target in written)


def test_positive_control_a_file_that_stays_is_seen(tmp_path: Path) -> None:
    (tmp_path / "left.bin").write_bytes(b"before" + package_files()["model.onnx"])
    assert left_in(tmp_path) == [str(tmp_path / "left.bin")]
