"""Our gateway as the bench runs it: every control on, in a folder of its own, a witness beside it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import workload
from bench.load import FRESH, Request, write_script
from bench.node import free_port
from bench.processes import LOAD_CORE, SERVER_CORE, NotStartedError, process, wait_until, workers

TARGET = "/v2/models/pd-cards/infer"


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that may be started.

    Attributes:
        folder: room, node and witness.
        bearers: the credential of each principal.
        batch_scheduling: its workers run under SCHED_BATCH.
    """

    folder: Path
    port: int
    bearers: list[str]
    batch_scheduling: bool

    @classmethod
    def make(cls, folder: Path, model: Path, *, batch_scheduling: bool) -> Gateway:
        """Found the room, release the model, grant the principals. Takes some seconds."""
        folder.mkdir(parents=True)
        port = free_port()
        # in a process of its own, because test support that makes rooms changes its own module's constants
        made = subprocess.run(
            [sys.executable, "-m", "bench.node", "make", str(folder), str(model), str(port)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if made.returncode != 0:
            raise NotStartedError(made.stderr.strip()[-600:])
        return cls(folder, port, json.loads(made.stdout), batch_scheduling)

    @contextmanager
    def serving(self, *, stepped: bool = False) -> Iterator[subprocess.Popen[bytes]]:
        """Witness on the load's core, everything else of the node on the server's core.

        Args:
            stepped: the worker times its steps, see `bench.stepped_worker`.
        """
        said = self.folder / "witness.log"
        command = [sys.executable, "-m", "bench.node", "witness", str(self.folder)]
        with process(command, {}, LOAD_CORE, said) as beside:
            wait_until(lambda: bool(said.read_text()), beside, said)
            flags = ["--batch-scheduling"] if self.batch_scheduling else []
            flags += ["--stepped"] if stepped else []
            command = [sys.executable, "-m", "bench.node", "serve", str(self.folder), *flags]
            heard = self.folder / "gateway.log"
            with process(command, {}, SERVER_CORE, heard) as child:
                wait_until(self.ready, child, heard)
                yield child

    def ready(self) -> bool:
        """Whether it would answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v2/health/ready", timeout=1) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def worker(self, parent: int) -> int:
        """The process that answers."""
        found = workers(parent, "strongroom.web.worker") or workers(parent, "bench.stepped_worker")
        return found[0]

    def write_script(self, path: Path, *, new_subjects: bool = False) -> None:
        """Requests of one row from many principals, about known subjects or each about a new one."""
        requests = [
            Request(
                body.replace(f'"subject-{n}"'.encode(), f'"new-{FRESH}"'.encode()) if new_subjects else body,
                {"Authorization": self.bearers[n % len(self.bearers)], "Content-Type": "application/json"},
            )
            for n, body in enumerate(workload.bodies())
        ]
        write_script(path, TARGET, requests)


def settle(seconds: float = 0.5) -> None:
    """Let what a start left behind come to its end."""
    time.sleep(seconds)
