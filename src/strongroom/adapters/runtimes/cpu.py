"""The instruction-set class that a numeric profile names: which of its kernels will the runtime choose here?"""

from __future__ import annotations

import platform
from pathlib import Path

from strongroom.errors import UnavailableError

CPUINFO = Path("/proc/cpuinfo")


def isa_class(cpuinfo: str | None = None, machine: str | None = None) -> str:
    """The class of this machine, such as `x86_64-avx512`; machines of one class run the same float kernels.

    Args:
        cpuinfo: text of /proc/cpuinfo; read when None.
        machine: as `platform.machine()` names it; asked when None.

    Raises:
        UnavailableError: the processor cannot be told apart, so no profile can be proven or honoured here.
    """
    machine = machine or platform.machine()
    if cpuinfo is None:
        try:
            cpuinfo = CPUINFO.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise UnavailableError(f"the processor's features cannot be read from {CPUINFO}") from error
    lines = [line.partition(":") for line in cpuinfo.splitlines()]
    cores = [set(value.split()) for name, _, value in lines if name.strip() in ("flags", "Features")]
    if not cores:
        raise UnavailableError("the processor does not list its features, so no numeric profile holds here")
    # cores may differ: only what all of them have counts
    flags = set.intersection(*cores)
    if machine in ("x86_64", "AMD64"):
        if {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= flags:
            return "x86_64-avx512"
        return "x86_64-avx2" if {"avx2", "fma"} <= flags else "x86_64-base"
    if machine in ("aarch64", "arm64"):
        return "aarch64-sve" if "sve" in flags else "aarch64-neon"
    raise UnavailableError(f"no instruction-set class is known for the architecture `{machine}`")
