"""Training scripts that attack the room: they run behind the walls, reach nothing, and end as an outcome."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from strongroom.adapters.sandbox.linux import LinuxSandbox
from strongroom.errors import UnavailableError
from strongroom.registry.packages import read_package
from strongroom.validation.ports import MIB, Limits
from strongroom.validation.workshop.replication import ReplicationPredicate, replicate_training
from tests.attacks.conftest import ALLOWED_TO_SKIP
from tests.validation.test_replication import files

SOURCE = Path(__file__).parents[2] / "src" / "strongroom"
TIGHT = Limits(cpu_s=4, wall_s=90, memory_bytes=3072 * MIB, output_bytes=4 * MIB, output_files=3)

GREEDY = """
import os, socket, subprocess, threading

def attempt(name, act):
    try:
        act()
        reached.append(name)
    except BaseException:
        pass

def fork():
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)

def train(development, features, outcome, parameters):
    attempt("network", lambda: socket.create_connection(("127.0.0.1", PORT), 2).close())
    attempt("datagram", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", PORT)))
    attempt("fork", fork)
    attempt("program", lambda: subprocess.run(["/bin/true"], check=True))
    attempt("write", lambda: open(MARK, "w").write("x"))
    attempt("read", lambda: open(SECRET).read())
    attempt("users", lambda: open("/etc/passwd").read())
    attempt("home", lambda: os.listdir(HOME))
    attempt("environment", lambda: os.environ["STRONGROOM_TEST_SECRET"])
    attempt("signal", lambda: os.kill(PARENT, 0))
    attempt("other's memory", lambda: open(f"/proc/{PARENT}/environ", "rb").read())
    raise RuntimeError("reached: " + ", ".join(reached) + ".")

reached = []
"""
ALL = {
    "network", "datagram", "fork", "program", "write", "read", "users", "home", "environment", "signal",
    "other's memory",
}  # fmt: skip


def attempt(script: str, limits: Limits = TIGHT) -> ReplicationPredicate:
    given = files(script)
    try:
        return replicate_training(read_package(given).contract, given, None, LinuxSandbox(), 7, limits)
    except UnavailableError as error:
        if ALLOWED_TO_SKIP:
            pytest.skip(error.message)
        pytest.fail(error.message)


def greedy(tmp_path: Path, port: int) -> str:
    secret = tmp_path / "secret"
    secret.write_text("of the room")
    places = {"PORT": port, "MARK": str(tmp_path / "mark"), "SECRET": str(secret), "HOME": str(tmp_path)}
    places["PARENT"] = os.getpid()
    return "\n".join(f"{name} = {value!r}" for name, value in places.items()) + GREEDY


def reached(text: str) -> set[str]:
    found = re.search(r"reached: ([^.]*)\.", text)
    assert found, text
    return set(found[1].split(", ")) - {""}


def test_a_script_reaches_no_network_no_process_no_file_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRONGROOM_TEST_SECRET", "of-the-parent")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0.05)
        script = greedy(tmp_path, listener.getsockname()[1])
        # the control: without walls the very same script reaches all of it
        plain = subprocess.run(
            [sys.executable, "-c", script + "\ntrain(None, [], '', {})"], capture_output=True, text=True, timeout=60
        )
        assert reached(plain.stderr) == ALL
        (tmp_path / "mark").unlink()
        listener.accept()[0].close()

        found = attempt(script)
        assert found.outcome == "failed"
        assert reached(found.reason) == set()
        assert not (tmp_path / "mark").exists()
        with pytest.raises(TimeoutError):
            listener.accept()
    assert "of-the-parent" not in found.reason


HOSTILE: dict[str, tuple[str, str]] = {
    "endless": ("def train(*_):\n    while True: pass", "cpu"),
    "all memory": ("def train(*_): return bytearray(2**40)", "memory"),
    "fork bomb": ("import os\ndef train(*_):\n    while True: os.fork()", "PermissionError"),
    "thread bomb": (
        "import threading, time\ndef train(*_):\n"
        "    while True: threading.Thread(target=time.sleep, args=(99,)).start()",
        "can't start new thread",
    ),
    "exit": ("import os\ndef train(*_): os._exit(0)", "crash"),
    "large model": ("def train(*_): return b'\\x08' * (8 * 1024**2)", "output"),
    "more results": (
        "def train(*_):\n    for n in range(99): open(f'/output/r{n}.json', 'w').write('{}')\n    return b'\\x08'",
        "output",
    ),
    "a result that is a link": (
        "import os\ndef train(*_):\n    os.symlink('/etc/passwd', '/output/x.json')\n    return b'\\x08'",
        "",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_bombs_end_as_an_outcome(name: str) -> None:
    script, says = HOSTILE[name]
    found = attempt(script)
    assert found.outcome == "failed"
    assert says in found.reason


def test_nothing_but_the_job_runs_a_script() -> None:
    """Outside the job nobody names the loader, and nobody imports the job. One other place loads by a file's place: an
    extension of an installed wheel, and nothing that is a script."""
    form: Any = re.compile(r"InspectLoader|exec_module|jobs\.replicate\b|jobs import .*replicate\b")
    found = {file.relative_to(SOURCE).as_posix() for file in SOURCE.rglob("*.py") if form.search(file.read_text())}
    wheel = "validation/trees/onedal.py"
    assert found == {"validation/jobs/replicate.py", "validation/workshop/replication.py", wheel}
    assert "isinstance(spec.loader, importlib.machinery.ExtensionFileLoader)" in (SOURCE / wheel).read_text()
    lines = (SOURCE / "validation" / "workshop" / "replication.py").read_text().splitlines()
    assert not [line for line in lines if form.search(line) and "import" in line], "it names the job as text"
