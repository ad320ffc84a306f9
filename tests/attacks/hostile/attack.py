"""One attack a run, named by the parameter `attack`. What did not raise has escaped; the answer says which."""

# the attacks call what an attacker would call
# ruff: noqa: PTH102, PTH123, PTH208, PTH211, S606

from __future__ import annotations

import ctypes
import errno
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _call(number: int, *arguments: Any) -> int:
    result = _libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(result)


def connect(p: dict[str, Any]) -> None:
    socket.create_connection(("127.0.0.1", p["port"]), timeout=2)


def udp(p: dict[str, Any]) -> None:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", p["port"]))


def unix(p: dict[str, Any]) -> None:
    socket.socket(socket.AF_UNIX).connect(p["path"])


def abstract(p: dict[str, Any]) -> None:
    socket.socket(socket.AF_UNIX).connect("\0" + p["path"])


def pair(p: dict[str, Any]) -> None:
    socket.socketpair()


def read(p: dict[str, Any]) -> None:
    with open(p["path"], "rb") as file:
        file.read(1)


def listing(p: dict[str, Any]) -> None:
    os.listdir(p["path"])


def write(p: dict[str, Any]) -> None:
    with open(p["path"], "wb") as file:
        file.write(b"x")


def folder(p: dict[str, Any]) -> None:
    os.mkdir("/output/folder")


def symlink(p: dict[str, Any]) -> None:
    os.symlink("/etc/passwd", "/output/link.json")


def hardlink(p: dict[str, Any]) -> None:
    with open("/output/a.json", "wb") as file:
        file.write(b"{}")
    os.link("/output/a.json", "/output/b.json")


def fifo(p: dict[str, Any]) -> None:
    os.mkfifo("/output/pipe.json")


def device(p: dict[str, Any]) -> None:
    os.mknod("/output/null.json", 0o20666, os.makedev(1, 3))


def fork(p: dict[str, Any]) -> None:
    if os.fork() == 0:
        os._exit(0)


def vfork(p: dict[str, Any]) -> None:
    _call(58)


def clone3(p: dict[str, Any]) -> None:
    _call(435, ctypes.create_string_buffer(88), 88)


def threads(p: dict[str, Any]) -> None:
    for _ in range(p["count"]):
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()


def execute(p: dict[str, Any]) -> None:
    os.execv(sys.executable, [sys.executable, "-c", "pass"])


def spawn(p: dict[str, Any]) -> None:
    subprocess.run(["/bin/true"], check=True)


def ptrace(p: dict[str, Any]) -> None:
    _call(101, 0, 0, 0, 0)


def peek(p: dict[str, Any]) -> None:
    _call(310, p["pid"], None, 0, None, 0, 0)


def kill_outside(p: dict[str, Any]) -> None:
    os.kill(p["pid"], 0)


def namespaces(p: dict[str, Any]) -> None:
    _call(272, p["flags"])


def mount(p: dict[str, Any]) -> None:
    _call(165, b"none", b"/output", b"tmpfs", 0, None)


def remount(p: dict[str, Any]) -> None:
    attributes = (ctypes.c_uint64 * 4)(0, 1, 0, 0)
    _call(442, -100, ctypes.c_char_p(b"/"), 0x8000, ctypes.byref(attributes), 32)


def chroot(p: dict[str, Any]) -> None:
    os.chroot("/output")


def shared_memory(p: dict[str, Any]) -> None:
    os.memfd_create("x")


def system_v(p: dict[str, Any]) -> None:
    _call(29, 0, 4096, 0o1600)


def outlive(p: dict[str, Any]) -> None:
    _call(157, 1, 0, 0, 0, 0)


def raise_limits(p: dict[str, Any]) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def become_root(p: dict[str, Any]) -> None:
    os.setuid(0)


def keyring(p: dict[str, Any]) -> None:
    _call(250, 0, -3, 0, 0, 0)


def io_uring(p: dict[str, Any]) -> None:
    _call(425, 1, ctypes.create_string_buffer(120))


def bpf(p: dict[str, Any]) -> None:
    _call(321, 0, None, 0)


def tty(p: dict[str, Any]) -> None:
    _call(16, 0, 0x5412, ctypes.c_char_p(b"x"))  # TIOCSTI: types into the terminal of whoever started us


def memory(p: dict[str, Any]) -> None:
    bytearray(p["bytes"])


def spin(p: dict[str, Any]) -> None:
    import signal

    signal.signal(signal.SIGXCPU, signal.SIG_IGN)
    while True:
        pass


def speak(p: dict[str, Any]) -> None:
    import sys

    for text in p["texts"]:
        sys.stderr.write(text)
        sys.stderr.flush()
    for _ in range(p.get("flood", 0)):
        os.write(2, b"x" * 1_000_000)


def sleep(p: dict[str, Any]) -> None:
    time.sleep(600)


def flood(p: dict[str, Any]) -> None:
    block = b"x" * 1_000_000
    with open("/output/flood.json", "wb", buffering=0) as file:
        while file.write(block):
            pass


def many_files(p: dict[str, Any]) -> None:
    for i in range(100_000):
        with open(f"/output/f{i}.json", "wb") as file:
            file.write(b"{}")


def crash(p: dict[str, Any]) -> None:
    ctypes.string_at(8)


def quit_silently(p: dict[str, Any]) -> None:
    os._exit(0)


def lie(p: dict[str, Any]) -> None:
    """Say what only the supervisor may say, on every descriptor there is."""
    for descriptor in range(64):
        try:
            os.write(descriptor, b'{"lacks": "everything"}')
        except OSError:
            continue
    os._exit(0)


def leave(p: dict[str, Any]) -> None:
    """Leave a result of one's own."""
    with open("/output/" + p["name"], "wb") as file:
        file.write(p["text"].encode())


def fail(p: dict[str, Any]) -> None:
    raise RuntimeError("the reason\n\x1b[31m" + "x" * 10_000)


def run(inputs: dict[str, bytes], parameters: dict[str, Any]) -> dict[str, bytes]:
    name = parameters["attack"]
    attack: Callable[[dict[str, Any]], None] = globals()[name]
    if name in {"memory", "flood", "many_files", "fail"}:
        attack(parameters)  # these must end the job
        return {}
    try:
        attack(parameters)
    except OSError as error:
        outcome = errno.errorcode.get(error.errno or 0, str(error))
    except BaseException as error:
        outcome = type(error).__name__
    else:
        outcome = "escaped"
    return {"outcome.json": json.dumps(outcome).encode()}
