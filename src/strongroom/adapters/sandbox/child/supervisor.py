"""Between the parent and the job: builds the walls, starts the job, waits, collects, answers on standard output.

The parent sends a length (8 bytes, big-endian), an order (JSON), then the inputs one after the other. The answer has
the same shape: length, JSON, files. Only the order is read here; the inputs stay in the pipe for the job.
"""

# pathlib would add a tenth to the start of every job
# ruff: noqa: PTH123

from __future__ import annotations

import errno
import json
import os
import signal
import stat
import sys
from typing import Any

from . import job, kernel, walls

_STATUS_LIMIT = 8192
_OUT_OF_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)


class OutputError(Exception):
    """The output folder holds something that is not a result."""


def main(parent: int) -> None:
    """Serve one order. `parent` is the process that must outlive us."""
    _die_with(parent)
    answer, results = _serve(parent)
    header = json.dumps(answer).encode()
    with open(1, "wb", closefd=False) as pipe:
        pipe.write(len(header).to_bytes(8, "big") + header)
        for data in results:
            pipe.write(data)
    # nothing of value is left to tidy up, and interpreter shutdown costs milliseconds
    os._exit(0)


def _serve(parent: int) -> tuple[dict[str, Any], list[bytes]]:
    order = json.loads(_read(int.from_bytes(_read(8), "big")))
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    output = walls.OUTPUT
    try:
        if order["isolate"]:
            walls.build(
                order["sources"], order["links"], order["limits"]["output_bytes"], order["limits"]["output_files"]
            )
            _die_with(parent)  # a change of credentials disarmed it
        else:
            import tempfile  # only where there are no walls: it costs milliseconds

            output = tempfile.mkdtemp(prefix="strongroom-job-")
        folder = os.open(output, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except kernel.LacksError as error:
        return {"lacks": str(error)}, []
    except OSError as error:
        return {"lacks": f"a root folder of its own ({error.strerror})"}, []
    try:
        return _run(order, output, folder, null)
    except kernel.LacksError as error:
        return {"lacks": str(error)}, []
    finally:
        if not order["isolate"]:
            import shutil

            shutil.rmtree(output, ignore_errors=True)


def _run(order: dict[str, Any], output: str, folder: int, null: int) -> tuple[dict[str, Any], list[bytes]]:
    alive, _held = os.pipe()
    status, report = os.pipe()
    try:
        child = os.fork()
    except OSError as error:
        return {"lacks": f"a process in the new namespaces ({error.strerror})"}, []
    if child == 0:
        os.dup2(null, 1)
        if not order["progress"]:
            os.dup2(null, 2)
        low = 3
        for kept in sorted((report, alive)):
            os.closerange(low, kept)
            low = kept + 1
        os.closerange(low, 65_536)
        os._exit(job.main(order, report, alive, output))
    os.close(report)
    if order["isolate"]:
        kernel.drop_capabilities()
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1, what="no_new_privs")
    _, code, usage = os.wait4(child, 0)
    cpu_us = int((usage.ru_utime + usage.ru_stime) * 1e6)
    text = os.read(status, _STATUS_LIMIT)
    answer: dict[str, Any] = {"cpu_us": cpu_us}
    failed = _why(text, code, cpu_us, order["limits"]["cpu_s"])
    if failed is not None:
        return answer | failed, []
    try:
        names, results = collect(folder, order["limits"]["output_bytes"], order["limits"]["output_files"])
    except OutputError as error:
        return answer | {"reason": "output", "message": str(error)}, []
    return answer | {"files": [[name, len(data)] for name, data in zip(names, results, strict=True)]}, results


def _why(text: bytes, code: int, cpu_us: int, cpu_s: int) -> dict[str, Any] | None:
    """Why the job failed, or None if it did not. What it wrote is its own word; what the kernel says of it is not."""
    if os.WIFSIGNALED(code):
        name = signal.Signals(os.WTERMSIG(code)).name
        # the limit is counted in whole ticks, which on a busy machine runs ahead of the usage that wait4 reports
        if name in ("SIGKILL", "SIGXCPU") and cpu_us >= cpu_s * 500_000:
            return {"reason": "cpu", "message": f"more than {cpu_s} s of processor time"}
        return {"reason": "crash", "message": f"the process died of {name}"}
    silent = {"reason": "crash", "message": "the process ended without a word"}
    trusted = not text.startswith(job.DOOR_IS_SHUT)
    try:
        outcome = json.loads(text.removeprefix(job.DOOR_IS_SHUT))
    except (ValueError, RecursionError):
        return silent
    if not isinstance(outcome, dict):
        return silent
    if trusted:
        return {"lacks": str(outcome.get("lacks"))}
    if outcome.get("done") is True:
        return None
    kind, message = str(outcome.get("exception"))[:80], str(outcome.get("message"))[: job.MESSAGE_LIMIT]
    if kind == "MemoryError" or "bad_alloc" in message:
        return {"reason": "memory", "message": "out of memory"}
    if outcome.get("errno") in _OUT_OF_ROOM:
        return {"reason": "output", "message": "the output folder is full"}
    return {"reason": "exception", "message": f"{kind}: {message}", "exception": kind}


def collect(folder: int, bytes_limit: int, files_limit: int) -> tuple[list[str], list[bytes]]:
    """Read every result out of the output folder, by handle, following nothing.

    Raises:
        OutputError: a link, folder, fifo, device or second name of a file, or too many or too large.
    """
    names = sorted(os.listdir(folder))
    if len(names) > files_limit:
        raise OutputError(f"{len(names)} results exceed the limit of {files_limit}")
    results: list[bytes] = []
    total = 0
    for name in names:
        shown = "".join(c if c.isprintable() else "?" for c in name)[:80]
        try:
            # O_NONBLOCK: a fifo would make us wait for ever
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        except OSError as error:
            raise OutputError(f"result `{shown}` is not a plain file ({error.strerror})") from error
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1:
            raise OutputError(f"result `{shown}` is not a plain file")
        with open(descriptor, "rb", buffering=0) as file:
            total += facts.st_size
            if total > bytes_limit:
                raise OutputError(f"the results exceed the limit of {bytes_limit} bytes")
            data = file.read(facts.st_size + 1)
            if len(data) != facts.st_size:
                raise OutputError(f"result `{shown}` changed while it was read")
        results.append(data)
    return names, results


def _die_with(parent: int) -> None:
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL, what="parent death signal")
    if os.getppid() != parent:
        os._exit(1)


def _read(size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = os.read(0, size - len(parts))
        if not part:
            sys.exit(1)
        parts += part
    return bytes(parts)
