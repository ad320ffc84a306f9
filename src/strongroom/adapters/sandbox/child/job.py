"""The only process behind the walls: gives up the last rights, reads the inputs from the pipe, runs one module."""

# pathlib would add a tenth to the start of every job
# ruff: noqa: PTH112, PTH123

from __future__ import annotations

import importlib
import io
import json
import os
import resource
import select
import sys
from collections.abc import Sequence
from typing import Any

from . import kernel, landlock, seccomp

MESSAGE_LIMIT = 300
DOOR_IS_SHUT = b"+"


def main(order: dict[str, Any], status: int, alive: int, output: str) -> int:
    """Run the job.

    Args:
        order: as the parent sent it.
        status: descriptor of the pipe that takes the outcome.
        alive: read end of a pipe that the supervisor holds open.
        output: the writable folder.

    Returns:
        The exit status; the outcome is on the pipe.
    """
    try:
        _shut_the_door(order, alive, output)
    except kernel.LacksError as error:
        os.write(status, json.dumps({"lacks": str(error)}).encode())
        return 0
    # what is written after this line is the word of code that we do not trust
    os.write(status, DOOR_IS_SHUT)
    try:
        outcome = _work(order, output)
    except BaseException as error:  # a job may raise anything, SystemExit among it
        outcome = _failure(error)
    os.write(status, json.dumps(outcome).encode())
    return 0


def _shut_the_door(order: dict[str, Any], alive: int, output: str) -> None:
    kernel.prctl(kernel.PR_SET_PDEATHSIG, 9, what="parent death signal")
    watch = select.poll()
    watch.register(alive, 0)
    if watch.poll(0):  # the supervisor died before the signal was armed
        os._exit(1)
    os.close(alive)
    limits = order["limits"]
    for which, amount in (
        (resource.RLIMIT_CPU, limits["cpu_s"]),
        (resource.RLIMIT_AS, limits["memory_bytes"]),
        (resource.RLIMIT_NOFILE, limits["open_files"]),
        (resource.RLIMIT_NPROC, limits["processes"]),
        (resource.RLIMIT_FSIZE, limits["output_bytes"]),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ):
        hard = resource.getrlimit(which)[1]
        if which == resource.RLIMIT_NPROC and not order["isolate"]:
            continue  # outside a user namespace it would count all that this user runs
        amount = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
        resource.setrlimit(which, (amount, amount))
    if order["isolate"]:
        for source in order["sources"]:
            # started by root with a strict umask, the packages may be closed to the user that the job runs as
            if not os.access(source, os.R_OK | os.X_OK if os.path.isdir(source) else os.R_OK):
                raise kernel.LacksError(f"the right to read `{source}` as an unused user (chmod -R o+rX would give it)")
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0, what="not dumpable")
        kernel.drop_capabilities()
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1, what="no_new_privs")
        landlock.restrict(order["sources"], [p for p in order["path"] if os.path.isdir(p)], [output])
        seccomp.restrict()


def _work(order: dict[str, Any], output: str) -> dict[str, Any]:
    inputs = _inputs(order["inputs"])
    # from here on a read of standard input ends at once; /dev/null was opened before the root changed
    os.dup2(1, 0)
    sys.path[:] = order["path"]
    module = importlib.import_module(order["entry"])
    results = module.run(inputs, order["parameters"])
    if not isinstance(results, dict):
        raise TypeError("a job returns a dict of bytes by name")
    for name, data in results.items():
        if not isinstance(name, str) or "/" in name or not isinstance(data, bytes):
            raise TypeError("a job returns a dict of bytes by plain file name")
        descriptor = os.open(
            f"{output}/{name}", os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        with open(descriptor, "wb", buffering=0) as file:
            rest = memoryview(data)
            while rest:
                rest = rest[file.write(rest) :]
    return {"done": True}


def _inputs(listing: Sequence[tuple[str, int]]) -> dict[str, bytes]:
    """Read the inputs into memory, one copy each: they may be a plaintext model, which never becomes a file."""
    pipe = io.BufferedReader(io.FileIO(0, closefd=False))
    inputs = {}
    for name, size in listing:
        data = pipe.read(size)
        if len(data) != size:
            raise EOFError(f"input `{name}` ended early")
        inputs[name] = data
    return inputs


def _failure(error: BaseException) -> dict[str, Any]:
    text = "".join(c if c.isprintable() else " " for c in str(error))[:MESSAGE_LIMIT]
    return {
        "exception": type(error).__name__[:80],
        "message": text,
        "errno": error.errno if isinstance(error, OSError) else None,
    }
