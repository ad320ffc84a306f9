"""A hostile job behind the walls: nothing outside is read, written, reached, started or left behind."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.conftest import Server

DENIED = {"EPERM", "EACCES", "EROFS", "ENOENT", "ENOSYS", "PermissionError", "ESRCH"}


@pytest.fixture(scope="module")
def listener() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_what_a_job_sees(walled: Server) -> None:
    os.environ["STRONGROOM_TEST_SECRET"] = "x"
    seen = json.loads(
        walled.run("hostile.look", {"a": b"12345", "b": b"", "c/d": bytes(3_000_000)})["files"]["seen.json"]
    )
    assert seen["pid"] == 1
    assert seen["uid"] not in (0, os.getuid())
    assert seen["inputs"] == {"a": 5, "b": 0, "c/d": 3_000_000}
    assert "STRONGROOM_TEST_SECRET" not in seen["environment"]
    assert set(seen["environment"]) <= {
        "LANG",
        "LC_CTYPE",
        "PYTHONHASHSEED",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "ARROW_DEFAULT_MEMORY_POOL",
    }
    assert len(seen["descriptors"]) == 4  # three times /dev/null, and the pipe that takes the outcome


@pytest.mark.parametrize("attack", ["connect", "udp"])
def test_no_network(walled: Server, listener: int, attack: str) -> None:
    assert walled.attack(attack, port=listener)["outcome"] in DENIED


@pytest.mark.parametrize("attack", ["unix", "abstract", "pair"])
def test_no_unix_sockets(walled: Server, tmp_path: Path, attack: str) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        path = f"/tmp/sr-{os.getpid()}-{attack}.sock"
        server.bind("\0" + path if attack == "abstract" else path)
        server.listen()
        try:
            assert walled.attack(attack, path=path)["outcome"] in DENIED
        finally:
            if attack != "abstract":
                Path(path).unlink()


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "/etc/shadow",
        "/etc/hostname",
        "/proc/1/environ",
        "/proc/self/maps",
        "/proc/self/root/etc/passwd",
        "/dev/mem",
        "/dev/shm/x",
        "/output/../etc/passwd",
        "/sys/kernel/profiling",
        "/home/nobody/.bashrc",
    ],
)
def test_reads_nothing_outside(walled: Server, path: str) -> None:
    assert walled.attack("read", path=path)["outcome"] in DENIED


def test_reads_no_file_of_the_project(walled: Server, tmp_path: Path) -> None:
    secret = tmp_path / "model.onnx"
    secret.write_bytes(b"secret")
    for path in (secret, Path(__file__), Path(__file__).parents[2] / "pyproject.toml"):
        assert walled.attack("read", path=str(path))["outcome"] in DENIED
    assert walled.attack("listing", path=str(tmp_path))["outcome"] in DENIED


def test_writes_nothing_outside(walled: Server, tmp_path: Path) -> None:
    import strongroom

    package = Path(next(iter(strongroom.__path__)))
    targets = [
        tmp_path / "x",
        Path("/x"),
        Path("/tmp/x"),
        package / "errors.py",
        package / "x.py",
        Path(json.__file__),
        Path("/dev/shm/x"),
        Path("/proc/cpuinfo"),
        Path("/etc/ld.so.cache"),
    ]
    before = (package / "errors.py").read_bytes()
    for path in targets:
        assert walled.attack("write", path=str(path))["outcome"] in DENIED, path
    assert (package / "errors.py").read_bytes() == before
    assert not (package / "x.py").exists()


@pytest.mark.parametrize("attack", ["symlink", "hardlink", "fifo", "device", "folder"])
def test_output_takes_plain_files_only(walled: Server, attack: str) -> None:
    assert walled.attack(attack)["outcome"] in DENIED


@pytest.mark.parametrize("attack", ["fork", "vfork", "clone3", "execute", "spawn"])
def test_no_second_process(walled: Server, attack: str) -> None:
    assert walled.attack(attack)["outcome"] in DENIED


@pytest.mark.parametrize(
    "attack",
    [
        "ptrace",
        "mount",
        "remount",
        "chroot",
        "shared_memory",
        "system_v",
        "outlive",
        "become_root",
        "keyring",
        "io_uring",
        "bpf",
        "tty",
    ],
)
def test_no_such_call(walled: Server, attack: str) -> None:
    assert walled.attack(attack)["outcome"] in DENIED


@pytest.mark.parametrize(
    "flag", [0x20000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000, 0x80]
)
def test_no_new_namespaces(walled: Server, flag: int) -> None:
    assert walled.attack("namespaces", flags=flag)["outcome"] in DENIED


def test_reaches_no_process(walled: Server) -> None:
    assert walled.attack("kill_outside", pid=os.getpid())["outcome"] in DENIED
    assert walled.attack("peek", pid=os.getpid())["outcome"] in DENIED


def test_limits_are_not_raised(walled: Server) -> None:
    assert walled.attack("raise_limits")["outcome"] in DENIED | {"ValueError"}
