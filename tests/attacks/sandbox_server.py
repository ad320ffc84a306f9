"""Runs jobs for the tests in a process of its own, on request as a user without rights.

Reads one JSON order a line, writes one JSON answer a line. Started as root with `--as-nobody`, it first makes the
interpreter reachable (a home folder of root is closed to others) in a mount namespace of its own, then becomes an
unused user for good.
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
import struct
import sys
from pathlib import Path

UNUSED = 54_321
_NEWNS, _BIND, _REC, _PRIVATE = 0x20000, 4096, 16384, 1 << 18
HOSTILE = Path(__file__).parent / "hostile"


def become_nobody() -> None:
    libc = ctypes.CDLL(None, use_errno=True)

    def check(result: int) -> None:
        if result != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    check(libc.unshare(_NEWNS))
    check(libc.mount(b"none", b"/", None, ctypes.c_ulong(_REC | _PRIVATE), None))
    for folder in {Path(sys.base_prefix), Path(sys.prefix), Path(__file__).parents[2]}:
        closed = [p for p in reversed(folder.parents) if not p.stat().st_mode & 1]
        if closed:
            handle = os.open(folder, os.O_PATH)
            check(libc.mount(b"none", bytes(closed[0]), b"tmpfs", ctypes.c_ulong(0), b"mode=755"))
            folder.mkdir(parents=True, exist_ok=True)
            check(
                libc.mount(f"/proc/self/fd/{handle}".encode(), bytes(folder), None, ctypes.c_ulong(_BIND | _REC), None)
            )
            os.close(handle)
    os.setgroups([])
    os.setresgid(UNUSED, UNUSED, UNUSED)
    os.setresuid(UNUSED, UNUSED, UNUSED)
    libc.prctl(4, 1, 0, 0, 0)


def forbid_namespaces() -> None:
    """As on a machine that is hardened against them: a namespace of users in which no further one may be made."""
    user = os.geteuid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x10000000) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/sys/user/max_user_namespaces").write_text("0")


def forbid_call(number: int) -> None:
    """As on a kernel without this call: a filter of our own answers ENOSYS, here and in every child."""
    libc = ctypes.CDLL(None, use_errno=True)
    lines = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x50000 | 38), (0x06, 0, 0, 0x7FFF0000)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in lines))
    program = struct.pack("@HQ", len(lines), ctypes.addressof(code))
    if libc.prctl(38, 1, 0, 0, 0) != 0 or libc.prctl(22, 2, ctypes.c_char_p(program), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")


def main() -> None:
    for argument in sys.argv:
        if argument.startswith("--without-call="):
            forbid_call(int(argument.partition("=")[2]))
    if "--without-namespaces" in sys.argv:
        forbid_namespaces()
    if "--as-nobody" in sys.argv:
        become_nobody()
    from strongroom.adapters.sandbox.linux import LinuxSandbox
    from strongroom.errors import StrongroomError
    from strongroom.validation.ports import Job, Limits

    sandbox = LinuxSandbox(
        prefixes=("hostile.",), packages=(HOSTILE,), dangerously_run_without_isolation="--dangerously" in sys.argv
    )
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        job = Job(
            entry=order["entry"],
            inputs={name: base64.b64decode(data) for name, data in order["inputs"].items()},
            parameters=order["parameters"],
            limits=Limits(**order["limits"]),
        )
        try:
            result = sandbox.run(job)
        except StrongroomError as error:
            answer = {"error": type(error).__name__, "message": error.message, "reason": error.details.get("reason")}
        else:
            answer = {"files": {name: data.decode() for name, data in result.files.items()}, "cpu_s": result.cpu_s}
            answer["isolation"] = result.isolation
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
