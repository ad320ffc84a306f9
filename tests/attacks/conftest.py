"""Fixtures of the attack tests: the sandbox, as this user and as one without rights."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ALLOWED_TO_SKIP = os.environ.get("STRONGROOM_ALLOW_NO_SANDBOX") == "1"
SMALL = {
    "cpu_s": 10,
    "wall_s": 200,
    "memory_bytes": 1024**3,
    "open_files": 64,
    "processes": 8,
    "output_bytes": 4 * 1024 * 1024,
    "output_files": 8,
}


class Server:
    """A process that runs hostile jobs and tells what came of them."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "sandbox_server.py"), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
            start_new_session=True,
            env={"PYTHONPATH": str(HERE.parents[1] / "src")},
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n", "the test's own server did not start"

    def send(self, entry: str, inputs: Mapping[str, bytes] | None = None, **rest: Any) -> None:
        order = {
            "entry": entry,
            "inputs": {name: base64.b64encode(data).decode() for name, data in (inputs or {}).items()},
            "limits": SMALL | rest.pop("limits", {}),
            "parameters": rest,
        }
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the parent of the sandbox died"
        answer: dict[str, Any] = json.loads(line)
        if answer.get("error") == "UnavailableError":
            if ALLOWED_TO_SKIP:
                pytest.skip(answer["message"])
            pytest.fail(answer["message"] + " (STRONGROOM_ALLOW_NO_SANDBOX=1 allows to skip)")
        return answer

    def run(self, entry: str, inputs: Mapping[str, bytes] | None = None, **rest: Any) -> dict[str, Any]:
        self.send(entry, inputs, **rest)
        return self.receive()

    def attack(self, name: str, **rest: Any) -> dict[str, Any]:
        """`{"outcome": "EPERM"}` when the job lived to tell, else the error."""
        answer = self.run("hostile.attack", attack=name, **rest)
        if "files" in answer and "outcome.json" in answer["files"]:
            return {"outcome": json.loads(answer["files"]["outcome.json"])}
        return answer

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="session", params=["this user", "a user without rights"])
def walled(request: pytest.FixtureRequest) -> Iterator[Server]:
    """The sandbox started by root (or whoever runs the tests) and by a user without rights."""
    if request.param == "a user without rights":
        if os.geteuid() != 0:
            pytest.skip("these tests run as a user without rights already")
        server = Server("--as-nobody")
    else:
        server = Server()
    yield server
    server.close()
