"""The tutorial is done as it is written: every block, in order, in one folder."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from strongroom.cli import app
from tests.journeys.bank import SOURCE, each_key_derived_once

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorial" / "first-model.md"
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def free_port() -> int:
    """One that nobody uses, below those that the kernel hands out, so that nobody is given it meanwhile."""
    for port in random.SystemRandom().sample(range(20_000, 32_000), 100):
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


class Reader:
    """Somebody who types what the page says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: dict[str, Any] = {"__name__": "tutorial"}
        self.server: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        tools = folder / "bin"
        tools.mkdir()
        (tools / "strongroom").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m strongroom "$@"\n')
        (tools / "strongroom").chmod(0o755)
        self.environment = {"PATH": f"{tools}:{os.environ['PATH']}", "PYTHONPATH": str(SOURCE)}

    def do(self, kind: str, text: str) -> None:
        """One block."""
        if kind == "python":
            exec(compile(text, str(PAGE), "exec"), self.names)  # noqa: S102 - the page's own code is what is tested
            return
        for line in text.splitlines():
            assert line.startswith("$ "), line
            self.type(line[2:].replace("127.0.0.1:8080", f"127.0.0.1:{self.port}"))

    def type(self, line: str) -> None:
        """One command line."""
        if line.startswith("export "):
            self.environment.update(word.split("=", 1) for word in line.split()[1:])
        elif line.endswith(" &"):
            self.server = subprocess.Popen(["bash", "-c", f"exec {line[:-2]}"], env=self.environment)
            self.wait()
        elif line.startswith("strongroom ") and not set("|>;$") & set(line):
            done = CliRunner().invoke(app, shlex.split(line)[1:], env=self.environment)
            assert done.exit_code == 0, f"{line}\n{done.output}{done.exception!r}"
        else:
            subprocess.run(["bash", "-ec", line], env=self.environment, check=True, timeout=120)

    def wait(self) -> None:
        """Until the gateway listens."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    time.sleep(1.0)
                    return
            time.sleep(0.2)
        raise AssertionError("the gateway does not listen")


def test_the_tutorial_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    reader = Reader(tmp_path)
    try:
        with each_key_derived_once():
            for kind, text in BLOCK.findall(PAGE.read_text()):
                reader.do(kind, text)
    finally:
        if reader.server is not None:
            reader.server.terminate()
            reader.server.wait(30)
    assert (tmp_path / "report.html").stat().st_size > 10_000
