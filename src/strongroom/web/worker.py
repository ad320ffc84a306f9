"""One worker process: its own log, the inherited listening socket, admission from the mirror, answers.

Started by `web.serve`; the passphrase of the key file comes as one line on standard input. The end of that input is
the word to go: while the supervisor still refreshes the releases, a worker loads and recovers its log. Ends with status
0 when asked to (SIGTERM), 3 when it refuses to start, 4 when its log can take no more records, 5 when a model is stuck.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import gc
import json
import logging
import os
import signal
import socket
import ssl
import stat
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import uvloop

from strongroom.adapters.files.safe_files import replace_atomically
from strongroom.adapters.keys.process_memory import harden
from strongroom.adapters.releases.time_floor import read_floor
from strongroom.errors import StrongroomError, TamperedError
from strongroom.serving.asked import Outcome
from strongroom.serving.batching import ROWS_A_BATCH, Board
from strongroom.serving.catalogue import Catalogue
from strongroom.serving.decision import Committed
from strongroom.serving.fair_queue import FairQueue, Room
from strongroom.serving.limiter import Limiter
from strongroom.serving.probing import ProbeLimits, ProbeWatch, Probing
from strongroom.serving.refusal_meter import RefusalMeter
from strongroom.serving.rules import Rules, closed
from strongroom.serving.steady_clock import SteadyClock
from strongroom.vocabulary import micros
from strongroom.web.committer import Committer
from strongroom.web.doorkeeper import Doorkeeper
from strongroom.web.gateway import Gateway
from strongroom.web.messages import Messages
from strongroom.web.metrics import WorkerCounters
from strongroom.web.requests import Limits
from strongroom.web.server import Server, room_for
from strongroom.web.shadowing import Shadowing
from strongroom.web.snapshots import DriftFigure, drift_figures, snapshot
from strongroom.web.tls import TlsFiles, follow_revocations, tls_context, tls_files
from strongroom.wiring.gateway import WorkerParts
from strongroom.wiring.generations import NodeLog
from strongroom.wiring.log_lines import log_to
from strongroom.wiring.node_settings import ProbingSettings

log = logging.getLogger(__name__)

POLL_S: Final = 0.25
READMIT_S: Final = 90.0
"""How long rules stay when nothing says that anything changed; longer than `KEEP_ALIVE`, which says it."""
WANT_S: Final = 1.0
SNAPSHOT_S: Final = 1.0
DRIFT_S: Final = 5.0
"""Between looks at the drift counters, which take some milliseconds from the loop."""
GRACE_S: Final = 20.0
GC_OBJECTS: Final = 50_000
"""Containers made and not yet freed before the collector looks; a batch in flight holds some thousands."""
EXIT_REFUSED: Final = 3
EXIT_BROKEN: Final = 4
EXIT_STUCK: Final = 5
STUCK_S: Final = 10.0
"""How long a model's call that was left behind may stay away before the worker ends, to end it."""
BEAT_S: Final = 1.0


def wall_us() -> int:
    """Microseconds since 1970, as the machine's clock has it."""
    return time.time_ns() // 1000


class Worker:
    """The parts of one worker on its loop."""

    def __init__(self, parts: WorkerParts, loop: asyncio.AbstractEventLoop) -> None:
        settings = parts.settings
        self.parts = parts
        self.broken: StrongroomError | None = None
        self.stuck = False
        self._loop = loop
        self._ended = asyncio.Event()
        self._clock = clock_us = SteadyClock(wall_us)
        self._counters = WorkerCounters(clock_us)
        self._committer = Committer(loop)
        limits = settings.limits
        room = FairQueue(Room(limits.waiting_requests, limits.waiting_rows), ROWS_A_BATCH)
        window_us = int(settings.unauthenticated_window_s * 1e6)
        meter = RefusalMeter(limits.refusals_a_window, window_us, lambda: parts.short)
        self._limiter = Limiter(settings.workers)
        self._shadowing = Shadowing(
            loop, self._committer, parts.shadow_records, parts.admission.shadow_process, self._counters, clock_us,
            self._on_broken,
        )  # fmt: skip
        self._board = Board(
            parts.decider, self._committer, loop.call_soon, clock_us, self._on_broken, self._counters.batch,
            room, meter, self._counters.waited,
            on_told=self._told,
        )  # fmt: skip
        self._admitted_at = 0.0
        self._no_successor = ""
        self._drift: list[DriftFigure] = []
        self._drift_at = 0.0
        # until something is admitted nothing can be answered and nobody is known, but the worker lives and says why
        try:
            self._raise_clock()
            rules = parts.admission.admit()
        except StrongroomError as error:
            log.error("the release repository is refused: %s", error.message)
            rules = closed()
        doorkeeper = Doorkeeper(loop.time, window_s=settings.unauthenticated_window_s)
        messages = Messages(parts.signer, parts.nonces, clock_us, settings.signature_window_s)
        self.gateway = Gateway(
            rules, self._board, settings.environment, clock_us, doorkeeper, self._counters,
            settings.body_bytes, messages, self._limiter, meter, limits.wait_ms * 1000,
        )  # fmt: skip
        if settings.probing is not None:
            parts.decider.predictor.probes = self._probe_watch(settings.probing)
        self._shadowing.point(rules.catalogue.shadows)
        bounds = Limits(
            body_bytes=settings.body_bytes, connections=room_for(limits.connections),
            connections_per_address=limits.connections_per_address, held_bytes=limits.held_bytes,
        )  # fmt: skip
        self.server = Server(self.gateway, bounds, self._counters.http_refused)
        self.server.make_room(rules.callers)

    def _probe_watch(self, chosen: ProbingSettings) -> ProbeWatch:
        limits = ProbeLimits(
            window_us=chosen.window_s * 1_000_000, least=chosen.least_rows, share=float(chosen.share),
            subjects=chosen.subjects, variations=chosen.variations,
        )  # fmt: skip

        def tell(found: Probing) -> None:
            log.warning(
                "security: `%s` seems to probe model `%s`: %s, %d of %d rows",
                found.principal, found.model, found.pattern, found.rows, found.seen,
            )  # fmt: skip
            self._counters.probing(found.pattern)
            # not in the middle of a batch: the record of it boards like any other
            self._loop.call_soon(self.gateway.note_probing, found, chosen.throttle_s)

        return ProbeWatch(os.urandom(16), tell, self._clock, limits)

    async def run(self, sock: socket.socket, files: TlsFiles | None = None, tls: ssl.SSLContext | None = None) -> int:
        """Serve until told to stop; returns the exit status."""
        tasks: list[asyncio.Task[None]] = []
        if tls is not None and files is not None and files.client_crl is not None:
            tasks.append(asyncio.create_task(follow_revocations(tls, files.client_crl)))
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._ended.set)
        self.parts.start_publishing(self._on_fork)
        await self.server.start(sock, tls)
        # what was made so far lives as long as the process: the collector need not look at it again; and what a request
        # makes goes by its count of references, so that looking for circles every few requests finds none
        gc.freeze()
        gc.set_threshold(GC_OBJECTS, 20, 20)
        tasks += [asyncio.create_task(self._watch_rules()), asyncio.create_task(self._leave_figures())]
        _say(ready=True, slot=self.parts.slot, port=sock.getsockname()[1], pid=os.getpid())
        beating = asyncio.create_task(_beat())
        await self._ended.wait()
        self.gateway.stop()
        for task in tasks:
            task.cancel()
        with contextlib.suppress(StrongroomError):
            self.gateway.note_refusals(closing=True)
        await self.server.stop(GRACE_S)
        idle = asyncio.Event()
        self._board.when_idle(idle.set)
        await idle.wait()
        self._shadowing.close()
        self._committer.close()
        self._write_figures()
        beating.cancel()
        if self.broken is not None:
            return EXIT_BROKEN
        return EXIT_STUCK if self.stuck else 0

    def _end_if_stuck(self) -> None:
        """Nothing but the end of the process ends a call that does not come back; its core and memory with it."""
        calls = self.parts.admission.calls
        if calls is None or self.stuck or calls.stuck_s() < STUCK_S:
            return
        log.critical("a model has not come back for %.0f s; this worker ends, and another takes its place", STUCK_S)
        self.stuck = True
        calls.leave_marks()
        self._ended.set()

    def _told(self, outcomes: Sequence[Outcome], committed: Committed) -> None:
        """After a batch is durable and its callers told."""
        self._counters.fold()
        self._shadowing.take(outcomes, committed)

    def _on_broken(self, error: StrongroomError) -> None:
        # the log does not know what is on its disk: only a fresh start, which recovers it, may write again
        log.critical("this worker ends: %s", error.message)
        self.broken = error
        self._ended.set()

    def _on_fork(self, error: TamperedError) -> None:
        # on the thread that asks witnesses; a closed loop means that nothing is answered any more
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._on_broken, error)

    async def _watch_rules(self) -> None:
        """Swap in new releases, pointers, grants and halts as they reach the mirror, without dropping a request."""
        admission = self.parts.admission
        wanted: frozenset[str] = frozenset()
        wanted_at = 0.0
        said = ""
        supervisor = os.getppid()
        while True:
            await asyncio.sleep(POLL_S)
            if os.getppid() != supervisor:
                # nobody refreshes releases any more, and whoever is started next needs this log
                log.critical("the supervisor is gone; this worker finishes what it has begun and ends")
                os.kill(os.getpid(), signal.SIGTERM)
                return
            self._end_if_stuck()
            try:
                with contextlib.suppress(StrongroomError):
                    self.gateway.note_refusals()
                wanted |= self.gateway.rules.authenticator.take_wanted()
                if wanted and self._loop.time() - wanted_at >= WANT_S:
                    wanted_at = self._loop.time()
                    await self._loop.run_in_executor(None, self.parts.want_keys, wanted)
                    wanted = frozenset()
                if (following := self.parts.successor()) is not None:
                    await self._change_log(following)
                if not admission.changed() and self._loop.time() - self._admitted_at < READMIT_S:
                    continue
            except (StrongroomError, OSError) as error:
                # no descriptor, no space: if this task ended here, no halt would ever reach this worker again
                if str(error) != said:
                    said = str(error)
                    log.error("looking for new releases failed and is tried again: %s", said)
                continue
            await self.readmit()

    async def _change_log(self, following: NodeLog) -> None:
        """Go over to the next generation of the log between two batches; requests wait no longer than for a batch."""
        parts, done = self.parts, asyncio.Event()
        try:
            shard = await self._loop.run_in_executor(None, parts.open_successor, following)
        except (StrongroomError, OSError) as error:
            if str(error) != self._no_successor:
                self._no_successor = str(error)
                log.error("the log `%s` cannot be written yet: %s", following.origin, error)
            return
        self._committer.run(lambda: parts.change_over(shard), lambda _result, _error: done.set())
        await done.wait()
        await self._loop.run_in_executor(None, parts.retire, following, shard)
        log.warning("records go to `%s` now", following.origin)

    async def readmit(self) -> None:
        """Judge again, off the loop, and swap. What is refused as a whole leaves the old rules until they expire."""
        self._admitted_at = self._loop.time()
        try:
            self._raise_clock()
            rules = await self._loop.run_in_executor(None, self.parts.admission.admit)
        except StrongroomError as error:
            log.error("the release repository is refused: %s", error.message)
            return
        except Exception:
            log.exception("admission failed")
            return
        self.gateway.swap(rules)
        self.server.make_room(rules.callers)
        self._shadowing.point(rules.catalogue.shadows)

    def _raise_clock(self) -> None:
        """A worker that starts after the clock was set back still knows what time it was."""
        floor = read_floor(self.parts.layout.time_floor)
        if floor is not None:
            self._clock.raise_to(micros(floor))

    async def _leave_figures(self) -> None:
        while True:
            await asyncio.sleep(SNAPSHOT_S)
            if self._loop.time() - self._drift_at >= DRIFT_S:
                self._drift_at = self._loop.time()
                self._drift = drift_figures(self.parts.drift)
            await self._loop.run_in_executor(None, self._put, self._figures())

    def _write_figures(self) -> None:
        self._drift = drift_figures(self.parts.drift)
        self._put(self._figures())

    def _figures(self) -> bytes:
        rules: Rules = self.gateway.rules
        self._counters.limited(self._limiter.counts)
        catalogue: Catalogue = rules.catalogue
        models = [(one.ref.name, one.version, one.role) for many in catalogue.models.values() for one in many]
        return snapshot(
            self.parts.slot,
            self.gateway.ready(),
            self.parts.shard.size,
            models,
            self._counters.counters,
            self._drift,
            catalogue.fresh_until_us,
            self._board.waiting,
        )

    def _put(self, data: bytes) -> None:
        with contextlib.suppress(StrongroomError):
            replace_atomically(self.parts.layout.metrics(self.parts.slot), data, 0o600, durable=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one worker."""
    parser = argparse.ArgumentParser(prog="strongroom-worker", description="one worker of a gateway")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--slot", type=int, required=True)
    parser.add_argument("--listen-fd", type=int, required=True)
    parser.add_argument("--batch-scheduling", action="store_true", help="run under SCHED_BATCH")
    parser.add_argument("--allow-memory-inspection", action="store_true", help="for tests that are not root")
    chosen = parser.parse_args(arguments)
    # before there is a secret in this process
    harden(die_with_parent=False, inspectable=chosen.allow_memory_inspection)
    log_to(None, "%(asctime)s worker %(levelname)s %(name)s: %(message)s")
    passphrase = sys.stdin.buffer.readline().rstrip(b"\n")
    if chosen.batch_scheduling:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    try:
        parts = WorkerParts.open(chosen.folder, chosen.slot, passphrase)
    except StrongroomError as error:
        _say(ready=False, slot=chosen.slot, error=error.message)
        return EXIT_REFUSED
    except OSError as error:
        _say(ready=False, slot=chosen.slot, error=unusable(chosen.folder, error))
        return EXIT_REFUSED
    sys.stdin.buffer.read(1)
    sock = socket.socket(fileno=chosen.listen_fd)

    async def run() -> int:
        # before the worker has threads: a refusal must end the process
        files = tls_files(chosen.folder, parts.settings.tls) if parts.settings.tls is not None else None
        tls = tls_context(files) if files is not None else None
        return await Worker(parts, asyncio.get_running_loop()).run(sock, files, tls)

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            status = runner.run(run())
    except StrongroomError as error:
        _say(ready=False, slot=chosen.slot, error=error.message)
        status = EXIT_REFUSED
    finally:
        parts.close()
    calls = parts.admission.calls
    if calls is not None and calls.stuck_s():
        # the interpreter would take apart what a thread of the model's runtime still uses
        logging.shutdown()
        os._exit(status)
    return status


def unusable(folder: Path, error: OSError) -> str:
    """What a disk that refuses means, and what to do."""
    said = f"the folder of this gateway cannot be used ({error.strerror or type(error).__name__})"
    if error.errno == errno.EROFS:
        return (
            f"{said}: stop the gateway, have the file system of `{folder}` checked and mounted writable, and start "
            "again; every answer that was given is in the log"
        )
    return f"{said}: see to the disk of `{folder}`; the start is tried again"


async def _beat() -> None:
    """Show the supervisor once a second that this loop turns, whatever the disk does."""
    out = sys.stdout.fileno()
    kind = os.fstat(out).st_mode
    if not (stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind)):
        # started by hand: nobody counts, and a terminal is not ours to change
        return
    os.set_blocking(out, False)
    while True:
        # a supervisor that does not read, or is gone, is not this worker's concern
        with contextlib.suppress(OSError):
            os.write(out, b"\n")
        await asyncio.sleep(BEAT_S)


def _say(**report: object) -> None:
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    sys.exit(main())
