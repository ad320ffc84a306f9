"""The gateway's worker with its steps timed. `bench/profile.py` has the supervisor start this in place of the worker.

Functions are wrapped where they are used, from outside; the product knows nothing of it. One outermost call in `EVERY`
(in `EVERY_BATCH` where few calls carry many answers), by lot, is timed with all that it calls; the others pass through.
Inner calls read the wall clock, which is cheap; the outermost one reads the processor clock of its thread too, and its
inner times shrink in proportion, so that time taken away by other threads and processes does not count. Calls that wait
(the disk, the runtime) read the processor clock themselves. What the clocks and the wrapping cost is measured at the
start and taken off. On SIGUSR1 the figures so far are written to the file that `BENCH_STEPS` names.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

EVERY: Final = 8
EVERY_BATCH: Final = 2
BATCHES: Final = ("Board._depart", "Board._landed", "Decider.commit")

PLACES: Final[tuple[tuple[str, str], ...]] = (
    # step, where a function is looked up as it is called
    ("http", "strongroom.web.http:Connection.data_received"),
    ("http", "strongroom.web.exchange:Exchange.reply"),
    ("send", "strongroom.web.http:Connection.flush"),
    ("route", "strongroom.web.gateway:Gateway.__call__"),
    ("route", "strongroom.web.gateway:Gateway.answered"),
    ("authenticate", "strongroom.access.authentication:Authenticator.authenticate"),
    ("authorise", "strongroom.access.authorisation:Authorisation.check_score"),
    ("decode", "strongroom.web.gateway:decode"),
    ("batch", "strongroom.serving.batching:Board.board"),
    ("batch", "strongroom.serving.batching:Board._depart"),
    ("batch", "strongroom.serving.batching:Board._landed"),
    ("batch", "strongroom.web.committer:Committer.run"),
    ("check", "strongroom.serving.predicting:_stack"),
    ("check", "strongroom.serving.contract_check:InputCheck.check"),
    ("check", "strongroom.serving.contract_check:OutputCheck.scores"),
    ("check", "strongroom.serving.contract_check:OutputCheck.good"),
    ("check", "strongroom.serving.contract_check:OutputCheck.decide"),
    ("predict", "strongroom.adapters.runtimes.onnx_runtime:OnnxSession.run"),
    ("document", "strongroom.serving.predicting:Predictor.predict"),
    ("document", "strongroom.serving.answer:AnswerTemplate.answered"),
    ("keys", "strongroom.serving.decision:Decider._subject_keys"),
    ("records", "strongroom.serving.decision:Decider.commit"),
    ("seal", "strongroom.sealing.records:RecordTemplate.fill"),
    ("seal", "strongroom.serving.decision:Decider.seal"),
    ("seal", "strongroom.serving.decision:Decider._seal"),
    ("keys", "strongroom.serving.decision:Decider._keys_at_hand"),
    ("leaf", "strongroom.ledger.making:RecordMaker.make"),
    ("tree", "strongroom.adapters.log.shard_files:FileShard._frames"),
    ("tree", "strongroom.ledger.tree:Frontier.extend"),
    ("tree", "strongroom.ledger.tree:Frontier.root"),
    ("sign", "strongroom.adapters.log.shard_files:sign_checkpoint"),
    ("append", "strongroom.adapters.log.shard_files:FileShard.append"),
    ("write", "strongroom.adapters.files.disk:OsFile.pwrite"),
    ("sync", "strongroom.adapters.files.disk:OsFile.sync"),
    ("encode", "strongroom.web.v2:answer"),
    ("encode", "strongroom.serving.batching:answer_of"),
    ("count", "strongroom.web.metrics:WorkerCounters.fold"),
    ("count", "strongroom.serving.decision:Decider.watch"),
)


WAITING: Final = frozenset(("predict", "write", "sync", "keys"))
"""Steps whose functions give the interpreter away while they run; so does handing a batch to the other thread."""


class Cell:
    """What one wrapped function took, in its own frames and not in those of other wrapped functions.

    Attributes:
        timed: calls that were timed.
        calls: timed calls, each as often as it stands for.
        self_ns: processor time, likewise; with the clock's share still in.
        inner_calls: wrapped calls that it made, likewise.
    """

    __slots__ = ("calls", "inner_calls", "self_ns", "timed")

    def __init__(self) -> None:
        self.timed = self.calls = self.inner_calls = 0
        self.self_ns = 0.0


class Span:
    """One outermost call that is timed.

    Attributes:
        weight: how many calls it stands for.
        commits: on the committing thread.
        stack: for each call that it is in, nanoseconds and number of wrapped calls below.
        took: cell, own nanoseconds on the wall, and inner calls of each call that ended.
        waited_wall_ns, waited_cpu_ns: of calls that wait.
    """

    __slots__ = ("commits", "stack", "took", "waited_cpu_ns", "waited_wall_ns", "weight")

    def __init__(self, weight: int, commits: bool) -> None:
        self.commits = commits
        self.weight = weight
        self.stack: list[list[int]] = []
        self.took: list[tuple[Cell, int, int]] = []
        self.waited_wall_ns = self.waited_cpu_ns = 0

    def end(self, wall_ns: int, cpu_ns: int) -> None:
        """Book it: what ran without waiting gets its share of the processor time."""
        ran_ns = wall_ns - self.waited_wall_ns
        share = max(0, cpu_ns - self.waited_cpu_ns) / ran_ns if ran_ns > 0 else 0.0
        for cell, self_ns, inner in self.took:
            cell.timed += 1
            cell.calls += self.weight
            cell.self_ns += self_ns * min(1.0, share) * self.weight
            cell.inner_calls += inner * self.weight


class Thread(threading.local):
    """Of one thread: whether it is timed at all, and the span that it is in."""

    def __init__(self) -> None:
        here = threading.current_thread()
        self.commits = here.name == "commit"
        self.counts = here is threading.main_thread() or self.commits
        self.inside = 0
        self.span: Span | None = None


SEEN: dict[str, int] = {}
"""Outermost calls by function, timed or not."""
CELLS: dict[str, Cell] = {}
MISSING: list[str] = []
COMMIT: Final = " @commit"
"""Ends the name of a cell that counts calls on the committing thread."""
_thread = Thread()


def wrap(function: Callable[..., Any], name: str, every: int = EVERY, waits: bool = False) -> Callable[..., Any]:
    """The function, timed now and then."""
    cell, there = CELLS[name], CELLS[name + COMMIT] = Cell(), Cell()
    SEEN[name] = 0
    thread, wall, cpu, lot = _thread, time.perf_counter_ns, time.thread_time_ns, random.randrange

    def outermost(*args: Any, **kwargs: Any) -> Any:
        if thread.inside or not thread.counts:
            return function(*args, **kwargs)
        SEEN[name] += 1
        if lot(every):
            thread.inside = 1
            try:
                return function(*args, **kwargs)
            finally:
                thread.inside = 0
        span = thread.span = Span(every, thread.commits)
        cpu_begin = cpu()
        own = [0, 0]
        span.stack.append(own)
        begin = wall()
        try:
            return function(*args, **kwargs)
        finally:
            spent = wall() - begin
            cpu_spent = cpu() - cpu_begin
            span.took.append((there if span.commits else cell, spent - own[0], own[1]))
            thread.span = None
            span.end(spent, cpu_spent)

    def timed(*args: Any, **kwargs: Any) -> Any:
        span = thread.span
        if span is None:
            return outermost(*args, **kwargs)
        stack, own = span.stack, [0, 0]
        stack.append(own)
        begin = wall()
        try:
            return function(*args, **kwargs)
        finally:
            spent = wall() - begin
            stack.pop()
            span.took.append((there if span.commits else cell, spent - own[0], own[1]))
            above = stack[-1]
            above[0] += spent
            above[1] += 1

    def waiting(*args: Any, **kwargs: Any) -> Any:
        span = thread.span
        if span is None:
            return outermost(*args, **kwargs)
        own = [0, 0]
        span.stack.append(own)
        begin = wall()
        cpu_begin = cpu()
        try:
            return function(*args, **kwargs)
        finally:
            cpu_spent = cpu() - cpu_begin
            spent = wall() - begin
            span.stack.pop()
            own_cell = there if span.commits else cell
            own_cell.timed += 1
            own_cell.calls += span.weight
            own_cell.self_ns += cpu_spent * span.weight
            span.waited_wall_ns += spent
            span.waited_cpu_ns += cpu_spent
            above = span.stack[-1]
            above[0] += spent
            above[1] += 1

    return waiting if waits else timed


def install() -> None:
    """Wrap what is there; what is not (the product moves on) is named in the figures."""
    for step, place in PLACES:
        module, _, path = place.partition(":")
        try:
            holder: Any = importlib.import_module(module)
            *outer, last = path.split(".")
            for part in outer:
                holder = getattr(holder, part)
            function = vars(holder)[last]
        except (ImportError, AttributeError, KeyError):
            MISSING.append(place)
            continue
        every = EVERY_BATCH if path in BATCHES else EVERY
        name = f"{step}|{module.rpartition('.')[2]}.{path}"
        setattr(holder, last, wrap(function, name, every, waits=step in WAITING or path == "Committer.run"))


def calibrate() -> tuple[float, float, float]:
    """Nanoseconds that timing costs a call: in its own span, in its caller's, and passing through untimed."""

    def nothing() -> None: ...

    def caller(inner: Callable[[], None], times: int) -> None:
        for _ in range(times):
            inner()

    times = 2000
    samples: list[tuple[float, float, float]] = []
    for _ in range(15):
        begin = time.thread_time_ns()
        caller(nothing, times)
        bare = time.thread_time_ns() - begin
        inner = wrap(nothing, "calibration inner", 1)
        outer = wrap(caller, "calibration outer", 1)
        outer(inner, times)
        own, above = CELLS["calibration inner"].self_ns / times, (CELLS["calibration outer"].self_ns - bare) / times
        passing = wrap(nothing, "calibration inner", 1)
        _thread.inside = 1
        begin = time.thread_time_ns()
        caller(passing, times)
        samples.append((own, above, (time.thread_time_ns() - begin - bare) / times))
        _thread.inside = 0
    for name in ("calibration inner", "calibration outer"):
        del CELLS[name], CELLS[name + COMMIT], SEEN[name]
    first, second, third = (statistics.median(column) for column in zip(*samples, strict=True))
    return first, second, third


def report(costs: tuple[float, float, float], to: Path) -> None:
    """Write the figures so far."""
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    cpu: dict[str, int] = {}
    for task in Path("/proc/self/task").iterdir():
        spent_ns = int((task / "schedstat").read_text().split()[0])
        name = names.get(int(task.name), "native")
        cpu[name] = cpu.get(name, 0) + spent_ns
    document = {
        "costs_ns": costs, "missing": MISSING, "cpu_ns": cpu, "seen": dict(SEEN),
        "cells": {name: [cell.timed, cell.calls, cell.self_ns, cell.inner_calls] for name, cell in CELLS.items()},
    }  # fmt: skip
    beside = to.with_suffix(".part")
    beside.write_text(json.dumps(document))
    beside.replace(to)


def main() -> int:
    """Time and run the worker."""
    from strongroom.web import worker

    costs = calibrate()
    install()
    to = Path(os.environ["BENCH_STEPS"])
    signal.signal(signal.SIGUSR1, lambda _number, _frame: report(costs, to))
    return worker.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
