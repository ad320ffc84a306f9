"""The sandbox of Linux: a child process behind namespaces, Landlock, seccomp and limits; standard library only.

The parent's half: which folders the child sees, the pipes, the wall clock, the verdict. `child` is the other.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import strongroom
from strongroom.adapters.sandbox.progress_lines import ProgressLines
from strongroom.errors import NotPermittedError, SandboxError, TooLargeError, UnavailableError
from strongroom.validation.job_files import check_result
from strongroom.validation.ports import JOB_PREFIXES, Job, JobResult

_HEADER_LIMIT = 1024 * 1024
_CHUNK = 1024 * 1024
# -P, -s: no current folder, no user site; -S: no site, so no .pth file runs; -B: writes no bytecode. Not -I, which
# would ignore the seed of hashes too: of variables there are none but those below
_PYTHON = ("-P", "-s", "-S", "-B", "-c")
# the child is a package of its own there, so that the rest of strongroom is first imported behind the walls
_START = (
    "import sys; sys.path.insert(0, sys.argv[1]); from child import supervisor; "
    "sys.path.pop(0); supervisor.main(int(sys.argv[2]))"
)
# One thread a library: the same bits everywhere, and no pool reserves address space. One seed of hashes: converters
# write some nodes in the order of a set, and the same model should come out as the same bytes.
_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "LANG": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}
# onnxruntime reads them to choose its kernels: without them it may choose others than the gateway does
_PROCESSOR = ("/proc/cpuinfo", "/sys/devices/system/cpu")


class LinuxSandbox:
    """Implements `validation.ports.Sandbox`.

    Args:
        prefixes: modules under these may run; each ends with a dot.
        packages: folders of further packages that the child may import (tests bring hostile jobs).
        dangerously_run_without_isolation: where this machine cannot isolate, run all the same, with limits only;
            the results then say so.
        progress: is given what a job says of its progress (`ProgressLines`); None shows nothing, and nothing is read.
    """

    def __init__(
        self,
        *,
        prefixes: Sequence[str] = JOB_PREFIXES,
        packages: Sequence[Path] = (),
        dangerously_run_without_isolation: bool = False,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        self._progress = progress
        self._prefixes = tuple(prefixes)
        self._dangerously_run_without_isolation = dangerously_run_without_isolation
        roots = [Path(folder).resolve() for folder in strongroom.__path__] + [folder.resolve() for folder in packages]
        self._sources = _outermost([*_interpreter(), *(str(root) for root in roots)])
        self._links = _loader_links(self._sources)
        seen = [entry for entry in sys.path if entry and any(_within(entry, source) for source in self._sources)]
        self._path = list(dict.fromkeys([*seen, *(str(root.parent) for root in roots)]))

    def run(self, job: Job) -> JobResult:
        """See `validation.ports.Sandbox.run`."""
        if not any(job.entry.startswith(prefix) for prefix in self._prefixes):
            raise NotPermittedError(f"`{job.entry}` is not a job that the sandbox runs")
        size = sum(len(data) for data in job.inputs.values())
        if size > job.limits.input_bytes:
            raise TooLargeError(
                f"the inputs of {size} bytes exceed the limit of {job.limits.input_bytes}", field="inputs", rule="size"
            )
        try:
            return self._once(job, isolate=True)
        except UnavailableError:
            if not self._dangerously_run_without_isolation:
                raise
            return self._once(job, isolate=False)

    def _once(self, job: Job, *, isolate: bool) -> JobResult:
        started = time.monotonic()
        if isolate and sys.platform != "linux":
            raise UnavailableError("the sandbox needs Linux; here it cannot isolate")
        limits = {name: getattr(job.limits, name) for name in job.limits.__slots__}
        order = json.dumps(
            {
                "entry": job.entry,
                "parameters": dict(job.parameters),
                "inputs": [[name, len(data)] for name, data in job.inputs.items()],
                "limits": limits,
                "isolate": isolate,
                "sources": self._sources,
                "links": self._links,
                "path": self._path,
                "progress": self._progress is not None,
            }
        ).encode()
        here = str(Path(__file__).resolve().parent)
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and our own program, no shell
            [sys.executable, *_PYTHON, _START, here, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if self._progress is None else subprocess.PIPE,
            env=_ENVIRONMENT,
            cwd="/",
            start_new_session=True,
        )
        try:
            prologue = len(order).to_bytes(8, "big") + order
            lines = None if self._progress is None else ProgressLines(self._progress)
            end = started + job.limits.wall_s
            parts = _talk(process, [prologue, *job.inputs.values()], end, _answer_limit(job), lines)
        finally:
            _end(process)
        if parts is None:
            raise SandboxError(f"job `{job.entry}` took more than {job.limits.wall_s} s by the clock", reason="wall")
        answer, body = _split(parts, job)
        if "lacks" in answer:
            raise UnavailableError(
                f"this machine cannot isolate jobs, it lacks: {answer['lacks']}; run on a Linux that allows it"
            )
        if "reason" in answer:
            details = {"exception": str(answer["exception"])} if "exception" in answer else {}
            raise SandboxError(
                f"job `{job.entry}` failed ({answer['reason']}): {answer['message']}",
                reason=str(answer["reason"]),
                **details,
            )
        return JobResult(
            files=dict(_files(answer["files"], body)),
            cpu_s=answer["cpu_us"] / 1e6,
            wall_s=time.monotonic() - started,
            isolation="linux-namespaces" if isolate else "none",
        )


def _talk(
    process: subprocess.Popen[bytes], send: Sequence[bytes], end: float, limit: int, lines: ProgressLines | None
) -> bytes | None:
    """Write and read at once, until the child closes its side; None when the time is over."""
    assert process.stdin is not None  # noqa: S101 - for the type checker: both are pipes
    assert process.stdout is not None  # noqa: S101
    outgoing, incoming = process.stdin.fileno(), process.stdout.fileno()
    os.set_blocking(outgoing, False)
    queue = [memoryview(data) for data in send if data]
    received = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(outgoing, selectors.EVENT_WRITE)
        selector.register(incoming, selectors.EVENT_READ)
        if process.stderr is not None:
            selector.register(process.stderr, selectors.EVENT_READ)
        while selector.get_map():
            rest = end - time.monotonic()
            if rest <= 0:
                return None
            for key, _ in selector.select(rest):
                if key.fd == incoming:
                    part = os.read(incoming, _CHUNK)
                    if not part:
                        return bytes(received)
                    received += part
                    if len(received) > limit:
                        raise SandboxError(f"the answer exceeds the limit of {limit} bytes", reason="output")
                    continue
                if key.fileobj is process.stderr:
                    part = os.read(key.fd, _CHUNK)
                    if not part:
                        selector.unregister(key.fileobj)
                    elif lines is not None:
                        lines.feed(part)
                    continue
                try:
                    while queue:
                        written = os.write(outgoing, queue[0][:_CHUNK])
                        queue[0] = queue[0][written:]
                        if not queue[0]:
                            queue.pop(0)
                except BlockingIOError:
                    continue
                except BrokenPipeError:
                    queue.clear()  # it needs no more; its answer says why
                if not queue:
                    selector.unregister(outgoing)
                    process.stdin.close()
    return bytes(received)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Leave no process: the group dies, and with the first process of the pid namespace everything in it."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        process.kill()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None and not pipe.closed:
            try:
                pipe.close()
            except BrokenPipeError:  # input that the child did not want
                continue
    process.wait()


def _answer_limit(job: Job) -> int:
    return 8 + _HEADER_LIMIT + job.limits.output_bytes


def _split(parts: bytes, job: Job) -> tuple[Mapping[str, Any], bytes]:
    size = int.from_bytes(parts[:8], "big")
    if len(parts) < 8 or size > _HEADER_LIMIT or len(parts) < 8 + size:
        raise SandboxError(f"job `{job.entry}` failed (crash): the sandbox ended without an answer", reason="crash")
    answer: Mapping[str, Any] = json.loads(parts[8 : 8 + size])
    return answer, parts[8 + size :]


def _files(listing: Sequence[tuple[str, int]], body: bytes) -> Iterator[tuple[str, bytes]]:
    start = 0
    for name, size in listing:
        data = body[start : start + size]
        start += size
        if len(data) != size:
            raise SandboxError(f"result `{name}` ended early", reason="crash")
        check_result(name, data)
        yield name, data


def _interpreter() -> list[str]:
    """What Python needs to import: standard library, site-packages, shared libraries, facts about the processor."""
    paths = sysconfig.get_paths()
    wanted = [paths["stdlib"], paths["platstdlib"], paths["purelib"], paths["platlib"]]
    wanted += [entry for entry in sys.path if entry.endswith(("site-packages", "dist-packages", "lib-dynload"))]
    # shared libraries that wheels put beside the packages (oneDAL does) and that an extension names by its own place
    wanted += [f"{prefix}/lib" for prefix in (sys.base_prefix, paths["data"]) if Path(prefix) != Path("/usr")]
    multiarch = sysconfig.get_config_var("MULTIARCH")
    for folder in ("/lib", "/usr/lib"):
        narrow = Path(folder) / multiarch if multiarch else Path(folder)
        wanted.append(str(narrow if narrow.is_dir() else Path(folder)))
    wanted += ["/lib64", "/usr/lib64", "/etc/ld.so.cache", *_PROCESSOR]
    real = []
    for entry in wanted:
        # a link among the parents would be followed by the kernel inside the new root, where it does not exist
        linked = any(parent.is_symlink() for parent in (Path(entry), *Path(entry).parents))
        if Path(entry).exists():
            real += [str(Path(entry).resolve())]
            if linked and not entry.startswith(("/lib", "/usr/lib")):
                real.append(entry)
    return real


def _loader_links(sources: Sequence[str]) -> list[tuple[str, str]]:
    """Links that programs have burnt in: on a merged system `/lib64` points to `usr/lib64`."""
    links = []
    for path in ("/lib", "/lib64", "/usr/lib64"):
        if Path(path).is_symlink() and any(_within(source, str(Path(path).resolve())) for source in sources):
            links.append((path, str(Path(path).readlink())))
    return links


def _outermost(paths: Sequence[str]) -> list[str]:
    """Drop what lies within another: a read-only mount takes no mount point."""
    kept: list[str] = []
    for path in sorted(set(paths)):
        if not any(_within(path, other) for other in kept):
            kept.append(path)
    return kept


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
