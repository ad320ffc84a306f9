"""What the validation room needs from outside: a place where untrusted files may be opened."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from strongroom.errors import InvalidInputError

MIB = 1024 * 1024
JOB_PREFIXES = ("strongroom.validation.jobs.",)
"""Only modules under these prefixes run as jobs; a package never names code of its own."""

Parameter = str | int | bool | None | list["Parameter"] | dict[str, "Parameter"]
"""What a job is told besides its inputs: JSON without floats."""

Isolation = Literal["linux-namespaces", "none"]

_ENTRY = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)+\Z")
_INPUT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/ -]{0,255}\Z")
INPUTS_LIMIT = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a job may take before it is killed.

    Attributes:
        cpu_s: processor seconds.
        wall_s: seconds by the clock, start-up included.
        memory_bytes: address space, of which libraries reserve much more than they use (onnxruntime about 1 GiB).
        open_files: file descriptors.
        processes: threads, since a second process is never allowed.
        output_bytes: of all results together; also the size of the writable folder.
        output_files: number of results.
        input_bytes: of all inputs together.
    """

    cpu_s: int = 120
    wall_s: int = 300
    memory_bytes: int = 4096 * MIB
    open_files: int = 256
    processes: int = 64
    output_bytes: int = 64 * MIB
    output_files: int = 64
    input_bytes: int = 1024 * MIB

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) <= 0:
                raise InvalidInputError(f"the sandbox limit `{name}` is positive", field=name, rule="positive")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One piece of work on untrusted bytes.

    Attributes:
        entry: a module with `run(inputs: Mapping[str, bytes], parameters: dict) -> dict[str, bytes]`.
        inputs: by name; piped into memory, never written to a file.
        parameters: JSON without floats.
        limits: of this run.
    """

    entry: str
    inputs: Mapping[str, bytes]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not _ENTRY.match(self.entry):
            raise InvalidInputError("a job's entry is a dotted module name", field="entry", rule="module")
        if len(self.inputs) > INPUTS_LIMIT or not all(_INPUT_NAME.match(name) for name in self.inputs):
            raise InvalidInputError(
                f"a job has at most {INPUTS_LIMIT} inputs with plain ASCII names", field="inputs", rule="names"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResult:
    """What a job left behind; every file has passed `job_files.check_result`.

    Attributes:
        files: .json, .parquet, .svg or .html by name.
        cpu_s: processor seconds used.
        wall_s: seconds by the clock, start-up included.
        isolation: `none` only where a setting with a frightening name allows it.
    """

    files: Mapping[str, bytes]
    cpu_s: float
    wall_s: float
    isolation: Isolation = "linux-namespaces"


class Sandbox(Protocol):
    """Runs jobs on untrusted bytes where they can reach nothing else. Blocking; safe to call from several threads."""

    def run(self, job: Job) -> JobResult:
        """Run `job` to its end.

        Raises:
            NotPermittedError: the entry is not under an allowed prefix.
            SandboxError: the job raised, broke a limit, or left results that are not allowed; `details["reason"]` is
                one of cpu, wall, memory, crash, exception, output.
            UnavailableError: this machine cannot isolate; the message names what it lacks.
        """
