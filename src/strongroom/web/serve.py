"""`strongroom serve`: one supervisor for a node. It owns the port, the key store's keeper and the refresh of releases;
its workers answer. A worker that ends is started again, and recovers its log first."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Final

from strongroom.adapters.keys.process_memory import swap_areas
from strongroom.adapters.keystore.keeper_client import KeeperProcess
from strongroom.errors import ConflictError, StrongroomError, UnavailableError
from strongroom.vocabulary import one_line
from strongroom.web.metrics import MetricsDoor
from strongroom.web.server import Server, listen
from strongroom.web.tls import tls_context, tls_files
from strongroom.wiring.issuer_keys import IssuerKeys
from strongroom.wiring.node import NodeLayout, now
from strongroom.wiring.node_settings import NodeSettings, parse_address
from strongroom.wiring.refreshing import Refresher, keeper

log = logging.getLogger(__name__)

START_S: Final = 60.0
STOP_S: Final = 30.0
KEEPER_LOOK_S: Final = 0.25
KEYS_LOOK_S: Final = 0.25
RESTART_S: Final = 1.0
ROLL_LOOK_S: Final = 0.1
RESTART_LIMIT_S: Final = 30.0
BEAT_LOOK_S: Final = 1.5
"""A worker's loop beats each second; a look that sees nothing counts for so long, however late this process looks."""


class Supervisor:
    """A running node.

    Args:
        folder: of the node.
        passphrase: of its key file; handed to each worker, kept in memory for restarts.
        tell: gets one line for each thing worth telling.
        batch_scheduling: run the workers under SCHED_BATCH, whatever the settings say.
    """

    def __init__(
        self, folder: Path, passphrase: bytes, tell: Callable[[str], None] = print, *, batch_scheduling: bool = False
    ) -> None:
        self.layout = NodeLayout(folder)
        self.settings: NodeSettings = self.layout.read()
        self.port = 0
        self.metrics_port: int | None = None
        self._passphrase = passphrase
        self.passphrase_again: Callable[[], bytes] | None = None
        """Reads the passphrase anew, where it came from a file: it may have been changed since."""
        self._rolling: asyncio.Task[None] | None = None
        self._say = tell
        self._batch = batch_scheduling or self.settings.batch_scheduling
        self._stopping = asyncio.Event()
        self._workers: dict[int, asyncio.subprocess.Process] = {}
        self._keeper: KeeperProcess | None = None
        self._beats: set[asyncio.Task[None]] = set()

    def _tell(self, line: str) -> None:
        self._say(one_line(line))

    def stop(self) -> None:
        """Ask for a graceful stop."""
        self._stopping.set()

    def roll(self) -> None:
        """Start every worker again, one after the other, for example under a new passphrase. Nobody is refused."""
        if self._rolling is None or self._rolling.done():
            self._rolling = asyncio.create_task(self._roll())

    async def _roll(self) -> None:
        for slot, before in list(self._workers.items()):
            with contextlib.suppress(ProcessLookupError):
                before.terminate()
            # connections wait at the common socket meanwhile
            for _ in range(int((START_S + STOP_S) / ROLL_LOOK_S)):
                await asyncio.sleep(ROLL_LOOK_S)
                if self._workers[slot] is not before:
                    break
            else:
                self._tell(f"worker {slot} has not started again; the others go on as they are")
                return
        self._tell("every worker has started again")

    def _present_passphrase(self) -> bytes:
        if self.passphrase_again is not None:
            try:
                self._passphrase = self.passphrase_again()
            except StrongroomError as error:
                self._tell(f"the passphrase was not read again: {error.message}")
        return self._passphrase

    async def run(self, started: Callable[[], None] | None = None) -> int:
        """Serve until SIGTERM or `stop`. Returns 0, or 3 when a worker refuses to start at all.

        Raises:
            ConflictError: the node is served already, or the port is taken.
            UnavailableError: the keeper or a worker did not start.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(ValueError, RuntimeError):
                loop.add_signal_handler(number, self.stop)
        with contextlib.suppress(ValueError, RuntimeError):
            loop.add_signal_handler(signal.SIGHUP, self.roll)
        with _only_one(self.layout.lock), listen(*parse_address(self.settings.listen, "listen")) as sock:
            self.port = sock.getsockname()[1]
            for area in swap_areas():
                self._tell(
                    f"warning: `{area}` is swap, and keys in memory may be written there; turn it off or encrypt it"
                )
            os.set_inheritable(sock.fileno(), True)
            refresher = Refresher(self.layout, self.settings)
            issuer_keys = IssuerKeys(self.layout, self.settings, now)
            if self.settings.tls is not None:
                # refused here, once and in plain words, before anything is started
                tls_context(tls_files(self.layout.folder, self.settings.tls))
            keeping = keeper(self.layout, self.settings)
            children: list[asyncio.subprocess.Process] = []
            try:
                # these load and recover while the releases are refreshed; a worker admits nothing before its word to go
                keeping.launch()
                for slot in range(self.settings.workers):
                    children.append(await self._spawn(slot, sock))
                await self._first_refresh(refresher)
                keeping.wait()
                self._keeper = keeping
                tasks = [self._refresh(refresher), self._follow_keys(issuer_keys), self._guard(keeping)]
                await self._answer(sock, children, [asyncio.create_task(task) for task in tasks], started)
            finally:
                await _end(children)
                keeping.stop()
        return 0

    async def _answer(
        self,
        sock: socket.socket,
        children: list[asyncio.subprocess.Process],
        beside: list[asyncio.Task[None]],
        started: Callable[[], None] | None,
    ) -> None:
        """Let the workers go, keep them going until told to stop, and stop them."""
        metrics: Server | None = None
        try:
            metrics = await self._start_metrics()
            for slot, child in enumerate(children):
                await self._send_off(slot, child)
            beside += [asyncio.create_task(self._keep(slot, sock)) for slot in range(self.settings.workers)]
            self._tell(f"serving on port {self.port} with {self.settings.workers} worker(s)")
            if started is not None:
                started()
            await self._stopping.wait()
        finally:
            self._stopping.set()
            for task in beside:
                task.cancel()
            await self._stop_workers()
            if metrics is not None:
                await metrics.stop(1.0)

    async def _first_refresh(self, refresher: Refresher) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(None, refresher.refresh)
        except StrongroomError as error:
            if not self.layout.trusted_state.exists():
                raise UnavailableError(f"no releases can be had yet: {error.message}") from error
            # an earlier state is still here; workers hold it against its expiry
            self._tell(f"the release repository was not refreshed: {error.message}")
        self._warn_if_late(refresher)

    def _warn_if_late(self, refresher: Refresher) -> None:
        expires = refresher.late()
        if expires is not None:
            self._tell(
                "warning: the release repository has not been renewed; it expires at "
                f"{expires.isoformat(timespec='seconds')}; run strongroom timestamp"
            )

    async def _refresh(self, refresher: Refresher) -> None:
        loop = asyncio.get_running_loop()
        last = ""
        while True:
            await asyncio.sleep(self.settings.refresh_s)
            try:
                await loop.run_in_executor(None, refresher.refresh)
                last = ""
            except StrongroomError as error:
                if error.message != last:
                    self._tell(f"the release repository was not refreshed ({error.code}): {error.message}")
                last = error.message
            except Exception:
                log.exception("refreshing failed")
            self._warn_if_late(refresher)

    async def _follow_keys(self, issuer_keys: IssuerKeys) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                for line in await loop.run_in_executor(None, issuer_keys.follow):
                    self._tell(line)
            except Exception:
                log.exception("fetching the keys of issuers failed")
            await asyncio.sleep(KEYS_LOOK_S)

    async def _guard(self, keeping: KeeperProcess) -> None:
        """Start the keeper again whenever it is gone; meanwhile workers answer 503, and they reconnect by themselves.

        The start blocks this loop for a moment, which costs metrics and refreshes only: a keeper dies with the thread
        that started it, so it must not be one of a pool.
        """
        pause = KEEPER_LOOK_S
        while True:
            await asyncio.sleep(pause)
            if keeping.running:
                pause = KEEPER_LOOK_S
                continue
            self._tell("the keeper of the subject keys is gone; starting it again")
            keeping.stop()
            try:
                keeping.start()
            except (StrongroomError, OSError) as error:
                self._tell(str(error))
                pause = min(max(2 * pause, RESTART_S), RESTART_LIMIT_S)

    async def _start_metrics(self) -> Server | None:
        if not self.settings.metrics:
            return None
        sock = listen(*parse_address(self.settings.metrics, "metrics"))
        server = Server(MetricsDoor(self._snapshots))
        self.metrics_port = await server.start(sock)
        return server

    def _snapshots(self) -> Iterable[bytes]:
        for slot in range(self.settings.workers):
            with contextlib.suppress(OSError):
                yield self.layout.metrics(slot).read_bytes()

    async def _start(self, slot: int, sock: socket.socket) -> None:
        """Start one worker and wait for its first word.

        Raises:
            UnavailableError: it refused; the message is its own.
        """
        child = await self._spawn(slot, sock)
        try:
            await self._send_off(slot, child)
        except BaseException:
            # also when the node stops meanwhile: nobody else knows of it yet, and it would go on by itself
            await _end([child])
            raise

    async def _spawn(self, slot: int, sock: socket.socket) -> asyncio.subprocess.Process:
        """A worker that loads and recovers its log, and then waits for the word to go."""
        arguments = ["-m", "strongroom.web.worker", "--folder", str(self.layout.folder), "--slot", str(slot)]
        arguments += ["--listen-fd", str(sock.fileno())]
        if self._batch:
            arguments.append("--batch-scheduling")
        child = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            pass_fds=[sock.fileno()],
        )  # fmt: skip
        if child.stdin is None:
            raise UnavailableError("a worker has no pipes")
        child.stdin.write(self._present_passphrase() + b"\n")
        return child

    async def _send_off(self, slot: int, child: asyncio.subprocess.Process) -> None:
        """Let a worker admit what the node's mirror has now, and wait for its first word.

        Raises:
            UnavailableError: it refused; the message is its own.
        """
        if child.stdin is None or child.stdout is None:
            raise UnavailableError("a worker has no pipes")
        child.stdin.close()
        try:
            line = await asyncio.wait_for(child.stdout.readline(), START_S)
        except TimeoutError as error:
            child.kill()
            raise UnavailableError(f"worker {slot} did not become ready within {START_S:.0f} s") from error
        report = json.loads(line) if line else {"ready": False, "error": "it ended without a word"}
        if not report["ready"]:
            await child.wait()
            raise UnavailableError(f"worker {slot} did not start: {report['error']}")
        self._workers[slot] = child
        beats = asyncio.create_task(self._follow_beats(slot, child, child.stdout))
        self._beats.add(beats)
        beats.add_done_callback(self._beats.discard)

    async def _follow_beats(self, slot: int, child: asyncio.subprocess.Process, beats: asyncio.StreamReader) -> None:
        """Kill a worker whose loop stands still: it answers nobody and would not even end when told to."""
        limit_s, silent_s = self.settings.limits.stalled_s, 0.0
        while True:
            try:
                if not await asyncio.wait_for(beats.readline(), BEAT_LOOK_S):
                    return
                silent_s = 0.0
            except TimeoutError:
                silent_s += BEAT_LOOK_S
            if limit_s and silent_s >= limit_s and child.returncode is None:
                self._tell(f"worker {slot} has done nothing for {limit_s} s and is killed; its log is recovered")
                with contextlib.suppress(ProcessLookupError):
                    child.kill()
                return

    async def _keep(self, slot: int, sock: socket.socket) -> None:
        """Start a worker again whenever it ends, more slowly each time it fails at once."""
        pause = RESTART_S
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            status = await self._workers[slot].wait()
            if self._stopping.is_set():
                return
            self._tell(f"worker {slot} ended with status {status}; starting it again")
            pause = RESTART_S if loop.time() - began > RESTART_LIMIT_S else min(2 * pause, RESTART_LIMIT_S)
            while not self._stopping.is_set():
                await asyncio.sleep(pause)
                try:
                    await self._start(slot, sock)
                    break
                except StrongroomError as error:
                    self._tell(error.message)
                except OSError as error:
                    # no descriptor or process to be had just now: if this task ended here, no worker would ever come
                    self._tell(
                        f"worker {slot} could not be started ({error.strerror or type(error).__name__}); it is tried "
                        "again; see to the limits of open files and processes (LimitNOFILE=, TasksMax=) and to memory"
                    )
                pause = min(2 * pause, RESTART_LIMIT_S)

    async def _stop_workers(self) -> None:
        for child in self._workers.values():
            with contextlib.suppress(ProcessLookupError):
                child.terminate()
        for child in self._workers.values():
            try:
                await asyncio.wait_for(child.wait(), STOP_S)
            except TimeoutError:
                child.kill()
                await child.wait()
        for beats in list(self._beats):
            beats.cancel()


def serve(
    folder: Path,
    passphrase: bytes,
    tell: Callable[[str], None] = print,
    passphrase_again: Callable[[], bytes] | None = None,
) -> int:
    """Serve a node until SIGTERM; what the command line calls."""
    return asyncio.run(_serve(folder, passphrase, tell, passphrase_again))


async def _serve(
    folder: Path, passphrase: bytes, tell: Callable[[str], None], passphrase_again: Callable[[], bytes] | None
) -> int:
    supervisor = Supervisor(folder, passphrase, tell)
    supervisor.passphrase_again = passphrase_again
    return await supervisor.run()


async def _end(children: Iterable[asyncio.subprocess.Process]) -> None:
    """Whatever of these still runs: none, unless the start failed."""
    for child in children:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()


class _only_one:  # noqa: N801  # reads as a statement: with _only_one(...)
    """Holds a lock file while the node is served."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    def __enter__(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("ab")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise ConflictError(
                f"`{self._path.parent.parent}` is being served already; stop that server first"
            ) from error

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
