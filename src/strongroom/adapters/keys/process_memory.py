"""Keys in memory stay there: no core file, no reading by other processes of the same user, a word about swap."""

from __future__ import annotations

import ctypes
import resource
import signal
from pathlib import Path
from typing import Final

# without the second tunable, glibc keeps small freed blocks in a cache of the thread and does not overwrite them
MEMORY: Final = {
    "PYTHONMALLOC": "malloc",
    "MALLOC_PERTURB_": "165",
    "GLIBC_TUNABLES": "glibc.malloc.perturb=165:glibc.malloc.tcache_count=0",
}
"""With these in its environment from the start, a process overwrites what it frees."""

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_SWAPS: Final = Path("/proc/swaps")


def harden(*, die_with_parent: bool, inspectable: bool) -> None:
    """No core dumps, no reading of this memory by processes of the same user, and no life after the parent if asked.

    Args:
        die_with_parent: the process that started it is its owner.
        inspectable: leave memory readable for processes of the same user; for tests that search it without being root.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    if not inspectable:
        libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    if die_with_parent:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def swap_areas(swaps: Path = _SWAPS) -> list[str]:
    """Where the kernel may write memory to a disk: a key that was destroyed could still lie there.

    Compressed memory (zram) is none. What is encrypted under a key of each start cannot be told from here.
    """
    try:
        lines = swaps.read_text().splitlines()[1:]
    except OSError:
        return []
    areas = [line.split()[0] for line in lines if line.strip()]
    return [area for area in areas if not Path(area).name.startswith("zram")]
