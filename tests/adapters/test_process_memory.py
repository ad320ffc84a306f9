"""Core files off, and which swap counts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from strongroom.adapters.keys.process_memory import swap_areas


def test_a_hardened_process_dumps_nothing() -> None:
    code = (
        "import ctypes, resource\n"
        "from strongroom.adapters.keys.process_memory import harden\n"
        "harden(die_with_parent=False, inspectable=False)\n"
        "PR_GET_DUMPABLE = 3\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(PR_GET_DUMPABLE, 0, 0, 0, 0))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "(0, 0) 0"


def test_swap_on_a_disk_is_told_and_compressed_memory_is_not(tmp_path: Path) -> None:
    swaps = tmp_path / "swaps"
    swaps.write_text(
        "Filename\tType\n/dev/zram0 partition 1 0 100\n/dev/vda2 partition 1 0 -2\n/swapfile file 1 0 -3\n"
    )
    assert swap_areas(swaps) == ["/dev/vda2", "/swapfile"]
    swaps.write_text("Filename\tType\n")
    assert swap_areas(swaps) == []
    assert swap_areas(tmp_path / "none") == []
