"""Our gateway as the bench runs it: every control on, in a folder of its own, a witness beside it."""

from __future__ import annotations

import compileall
import contextlib
import io
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
from typing import Any

import numpy as np

import strongroom
from bench import workload
from bench.load import FRESH, Request, write_script
from bench.node import free_port
from bench.processes import LOAD_CORE, SERVER_CORE, NotStartedError, process, wait_until, workers

SOURCE = Path(strongroom.__file__).parent
TARGET = "/v2/models/pd-cards/infer"


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that may be started.

    Attributes:
        folder: room, node and witness.
        bearers: the credential of each principal.
        batch_scheduling: its workers run under SCHED_BATCH.
        tensor: what its contract calls the input.
    """

    folder: Path
    port: int
    bearers: list[str]
    batch_scheduling: bool
    tensor: str = "x"

    @classmethod
    def make(cls, folder: Path, model: Path, *, batch_scheduling: bool, runtime: str = "onnxruntime") -> Gateway:
        """Found the room, release the model, grant the principals. Takes some seconds."""
        folder.mkdir(parents=True)
        port = free_port()
        # as pip does with what it installs: a start is not the time to compile
        compileall.compile_dir(SOURCE, quiet=1)
        # in a process of its own, because test support that makes rooms changes its own module's constants
        made = subprocess.run(
            [sys.executable, "-m", "bench.node", "make", str(folder), str(model), str(port), runtime],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if made.returncode != 0:
            raise NotStartedError(made.stderr.strip()[-600:])
        tensor = "input" if runtime == "xgboost" else "x"
        return cls(folder, port, json.loads(made.stdout), batch_scheduling, tensor)

    def command(self, *, stepped: bool = False) -> list[str]:
        """What starts the node."""
        flags = ["--batch-scheduling"] if self.batch_scheduling else []
        flags += ["--stepped"] if stepped else []
        return [sys.executable, "-m", "bench.node", "serve", str(self.folder), *flags]

    @contextmanager
    def witness(self) -> Iterator[None]:
        """The witness, on the load's core."""
        said = self.folder / "witness.log"
        with process([sys.executable, "-m", "bench.node", "witness", str(self.folder)], {}, LOAD_CORE, said) as beside:
            wait_until(lambda: bool(said.read_text()), beside, said)
            yield

    @contextmanager
    def serving(self, *, stepped: bool = False) -> Iterator[subprocess.Popen[bytes]]:
        """Witness on the load's core, everything else of the node on the server's core.

        Args:
            stepped: the worker times its steps, see `bench.stepped_worker`.
        """
        heard = self.folder / "gateway.log"
        with self.witness(), process(self.command(stepped=stepped), {}, SERVER_CORE, heard) as child:
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

    def headers(self, place: int) -> dict[str, str]:
        """Of a JSON request of one of the principals."""
        return {"Authorization": self.bearers[place % len(self.bearers)], "Content-Type": "application/json"}

    def write_script(
        self, path: Path, rows: int = 1, *, new_subjects: bool = False, binary: bool = False,
        think_ms: tuple[int, int] | None = None,
    ) -> None:  # fmt: skip
        """Requests from many principals for wrk.

        Args:
            path: of the script.
            rows: in each request.
            new_subjects: each request is about a subject that nobody has seen; one row only.
            binary: V2 binary tensors instead of JSON, in the answer too.
            think_ms: see `bench.load.write_script`.
        """
        count = {1: workload.SUBJECTS, 32: 64}.get(rows, 8)
        requests = []
        for n in range(count):
            matrix, subjects = workload.batch(n * rows, rows)
            if new_subjects:
                subjects = [f"new-{FRESH}"]
            headers = self.headers(n)
            if binary:
                body, length = workload.v2_binary(matrix, subjects, self.tensor)
                headers |= {
                    "Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(length),
                }  # fmt: skip
            else:
                body = workload.v2_json(matrix, subjects, self.tensor)
            requests.append(Request(body, headers))
        write_script(path, TARGET, requests, think_ms)

    def ask(self, body: bytes, place: int = 0) -> dict[str, Any]:
        """The answer to one JSON request."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{TARGET}", body, self.headers(place))
        with urllib.request.urlopen(request, timeout=20) as answer:
            answered: dict[str, Any] = json.loads(answer.read())
            return answered

    def check(self) -> None:
        """Its answers are those of onnxruntime in this process.

        Raises:
            NotStartedError: they are not.
        """
        for rows in (1, 1, 1, 32, 1000):
            matrix, subjects = workload.batch(17 * rows, rows)
            scores = self.ask(workload.v2_json(matrix, subjects, self.tensor), rows)["outputs"][0]["data"]
            if not np.allclose(scores, workload.expected(matrix), atol=1e-6):
                raise NotStartedError(f"its answers to {rows} row(s) are not those of the model")

    def first_verified(self) -> float:
        """Seconds from the start of the node's process to the first answer whose receipt has been verified.

        Raises:
            NotStartedError: an answer came whose receipt does not hold.
        """
        with self.witness():
            matrix, subjects = workload.batch(0, 1)
            asked = json.loads(workload.v2_json(matrix, subjects))
            asked["parameters"]["receipt"] = True
            body = json.dumps(asked).encode()
            heard = self.folder / "gateway.log"
            answers: list[dict[str, Any]] = []

            def answered() -> bool:
                try:
                    answers.append(self.ask(body))
                except (OSError, urllib.error.URLError):
                    return False
                return True

            begin = time.perf_counter()
            with process(self.command(), {}, SERVER_CORE, heard) as child:
                wait_until(answered, child, heard)
                self.verify(body, answers[0])
                return time.perf_counter() - begin

    def verify(self, body: bytes, answer: dict[str, Any]) -> None:
        """Hold an answer's receipt against the node's trust policy, with the verifier that strangers use.

        Raises:
            NotStartedError: it does not hold.
        """
        from strongroom import verify

        trust = self.folder / "gateway" / "trust"
        files = {"request": body, "answer": json.dumps(answer).encode()}
        files["receipt"] = answer["parameters"]["receipt"].encode()
        for name, data in files.items():
            (self.folder / f"{name}.json").write_bytes(data)
        arguments = ["receipt", str(self.folder / "receipt.json")]
        for name, path in (
            ("policy", trust / "log-policy"), ("openings", trust / "openings"),
            ("request", self.folder / "request.json"), ("answer", self.folder / "answer.json"),
        ):  # fmt: skip
            arguments += [f"--{name}", str(path)]
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            status = verify.main(arguments)
        if status != 0:
            raise NotStartedError(f"the receipt does not hold: {said.getvalue().strip()}")


def settle(seconds: float = 0.5) -> None:
    """Let what a start left behind come to its end."""
    time.sleep(seconds)
