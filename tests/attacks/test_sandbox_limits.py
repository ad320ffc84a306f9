"""A hungry, endless, crashing or lying job ends with a reason, and takes nothing along."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from strongroom.adapters.sandbox import linux as sandbox_linux
from strongroom.adapters.sandbox.linux import LinuxSandbox
from strongroom.errors import UnavailableError
from strongroom.validation.ports import Job
from tests.attacks.conftest import Server
from tests.waiting import PATIENCE_S, until


def _reason(answer: dict[str, object]) -> object:
    assert answer["error"] == "SandboxError"
    return answer["reason"]


def test_memory_bomb(walled: Server) -> None:
    assert _reason(walled.attack("memory", bytes=2 * 1024**3)) == "memory"


def test_endless_loop_by_processor(walled: Server) -> None:
    # the clock would have told another reason
    assert _reason(walled.attack("spin", limits={"cpu_s": 1})) == "cpu"


def test_endless_wait_by_clock(walled: Server) -> None:
    started = time.monotonic()
    assert _reason(walled.attack("sleep", limits={"wall_s": 1})) == "wall"
    assert time.monotonic() - started < PATIENCE_S, "it would have slept for ten minutes"


def test_thread_bomb(walled: Server) -> None:
    assert walled.attack("threads", count=1000)["outcome"] == "RuntimeError"


@pytest.mark.parametrize("attack", ["flood", "many_files"])
def test_output_flood(walled: Server, attack: str) -> None:
    assert _reason(walled.attack(attack)) == "output"


@pytest.mark.parametrize("attack", ["crash", "quit_silently", "lie"])
def test_crash_and_lie(walled: Server, attack: str) -> None:
    answer = walled.run("hostile.attack", attack=attack)
    assert _reason(answer) in {"crash", "exception"}, answer


def test_failure_is_one_short_printable_line(walled: Server) -> None:
    answer = walled.attack("fail")
    assert _reason(answer) == "exception"
    assert "RuntimeError: the reason" in answer["message"]
    assert len(answer["message"]) < 450
    assert answer["message"].isprintable()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("model.pkl", "x"),
        ("bad.json", "{"),
        ("deep.json", "[" * 100_000),
        ("table.parquet", "PAR1"),
        ("UPPER.json", "{}"),
        ("code.svg", "<svg><script>alert(1)</script></svg>"),
        ("event.svg", "<svg onload='x()'></svg>"),
        ("plain.svg", "text"),
        ("xxe.svg", '<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/passwd">]><svg>&a;</svg>'),
        ("code.html", "<!doctype html><script>1</script>"),
        ("frame.html", "<!doctype html><iframe src=x>"),
        ("remote.html", "<!doctype html><img src='https://bank.example/x.png'>"),
        ("style.svg", "<svg><style>@import 'x.css'</style></svg>"),
        ("fill.svg", "<svg><rect fill='url(//x.example/p)'/></svg>"),
        (".json", "{}"),
        ("two words.json", "{}"),
    ],
)
def test_untyped_results(walled: Server, name: str, text: str) -> None:
    assert _reason(walled.run("hostile.attack", attack="leave", name=name, text=text)) == "output"


def test_module_outside_the_prefixes(walled: Server) -> None:
    for entry in ("os.path", "hostilex.attack", "strongroom.validation.jobs.scan"):
        assert walled.run(entry)["error"] == "NotPermittedError"
    assert walled.run("hostile.missing")["reason"] == "exception"


def test_bad_job_names_are_refused_before_anything_runs() -> None:
    from strongroom.errors import InvalidInputError
    from strongroom.validation.ports import Job, Limits

    for entry in ("hostile", "hostile..attack", "hostile.attack;x", "../x", "hostile.attack\n"):
        with pytest.raises(InvalidInputError):
            Job(entry=entry, inputs={})
    with pytest.raises(InvalidInputError):
        Limits(wall_s=0)


def test_death_of_the_parent_leaves_no_process() -> None:
    server = Server()
    try:
        json.dumps(server.attack("crash"))  # it works at all, or the test fails (or skips where that is allowed)
        server.send("hostile.attack", attack="sleep")
        family = _wait_for_family(server.process.pid)
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
        until(lambda: not any(_alive(pid) for pid in family))
    finally:
        server.close()


def test_death_of_the_supervisor_is_a_reason() -> None:
    server = Server()
    try:
        server.attack("crash")
        server.send("hostile.attack", attack="sleep")
        supervisor, job = _wait_for_family(server.process.pid)
        os.kill(supervisor, signal.SIGKILL)
        assert _reason(server.receive()) == "crash"
        until(lambda: not _alive(job))
    finally:
        server.close()


def _sandbox(**more: Any) -> LinuxSandbox:
    return LinuxSandbox(prefixes=("hostile.",), packages=[Path(__file__).parent / "hostile"], **more)


def test_progress_is_heard_and_a_flood_of_it_is_not_kept() -> None:
    heard: list[str] = []
    texts = ["fraud battery: half way\n", "\x1b[31mred\n", "nothing of ours\n"]
    job = Job(entry="hostile.attack", inputs={}, parameters={"attack": "speak", "texts": [*texts], "flood": 20})
    try:
        _sandbox(progress=heard.append).run(job)
    except UnavailableError as error:
        pytest.skip(str(error))
    assert heard == ["fraud battery: half way"]


def test_an_interrupted_job_leaves_no_process() -> None:
    """Ctrl-C at the person's desk: the sandbox is killed, and the one who pressed it lives on."""
    me, main = psutil.Process(), threading.get_ident()
    before = {child.pid for child in me.children(recursive=True)}
    family: set[int] = set()

    def interrupt() -> None:
        deadline = time.monotonic() + PATIENCE_S
        while len(family) < 2 and time.monotonic() < deadline:
            family.update({child.pid for child in me.children(recursive=True)} - before)
            time.sleep(0.02)
        signal.pthread_kill(main, signal.SIGINT)

    watcher = threading.Thread(target=interrupt)
    job = Job(entry="hostile.attack", inputs={}, parameters={"attack": "sleep"})
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        watcher.start()
        with pytest.raises((KeyboardInterrupt, UnavailableError)) as caught:
            _sandbox(progress=lambda line: None).run(job)
    finally:
        watcher.join()
        signal.signal(signal.SIGINT, handler)
    if caught.type is UnavailableError:
        pytest.skip(str(caught.value))
    assert len(family) >= 2
    until(lambda: not any(_alive(pid) for pid in family))


def _wait_for_family(parent: int) -> list[int]:
    """The supervisor and the job: the job is there, and asleep."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        supervisors = _children(parent)
        jobs = [pid for supervisor in supervisors for pid in _children(supervisor)]
        if jobs:
            time.sleep(0.2)
            return [*supervisors, *jobs]
        time.sleep(0.02)
    raise AssertionError("the job did not start")


def _children(pid: int) -> list[int]:
    try:
        return [child.pid for child in psutil.Process(pid).children()]
    except psutil.NoSuchProcess:
        return []


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_without_user_namespaces_it_refuses_and_says_what_lacks() -> None:
    server = Server("--without-namespaces")
    try:
        server.send("hostile.look")
        answer = json.loads(server.process.stdout.readline())  # type: ignore[union-attr]  # a pipe
        assert answer["error"] == "UnavailableError"
        assert "namespaces" in answer["message"]
    finally:
        server.close()


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64; the code is the same elsewhere")
@pytest.mark.parametrize(
    ("number", "lacks"),
    [
        (444, "Landlock"),
        (446, "Landlock"),
        (442, "mount_setattr"),
        (155, "pivot_root"),
        (272, "namespaces"),
        (126, "capabilities"),
    ],
)
def test_without_one_wall_it_refuses_and_names_it(number: int, lacks: str) -> None:
    server = Server(f"--without-call={number}")
    try:
        server.send("hostile.look")
        answer = json.loads(server.process.stdout.readline())  # type: ignore[union-attr]  # a pipe
        assert answer["error"] == "UnavailableError"
        assert lacks in answer["message"]
    finally:
        server.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user's jobs run as that user")
def test_packages_that_only_root_may_read_are_named(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(UnavailableError, match="closed"):
        LinuxSandbox(prefixes=("closed.",), packages=(closed,)).run(Job(entry="closed.x", inputs={}))


def test_the_dangerous_setting_runs_it_with_limits_only_and_says_so() -> None:
    server = Server("--without-namespaces", "--dangerously")
    try:
        answer = server.run("hostile.look")
        assert answer["isolation"] == "none"
        assert server.attack("spin", limits={"cpu_s": 1})["reason"] == "cpu"
        assert server.attack("memory", bytes=2 * 1024**3)["reason"] == "memory"
    finally:
        server.close()


def test_the_dangerous_setting_changes_nothing_where_walls_can_be_built(walled: Server) -> None:
    server = Server("--dangerously")
    try:
        assert server.run("hostile.look")["isolation"] == "linux-namespaces"
        assert server.attack("read", path="/etc/passwd")["outcome"] == "ENOENT"
    finally:
        server.close()


def test_the_collector_follows_nothing(tmp_path: Path) -> None:
    """Were a link or a fifo ever made there, the supervisor still would not read it."""
    from strongroom.adapters.sandbox.child.supervisor import OutputError, collect

    def attempt(make: Callable[[Path], object], **limits: int) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        make(folder)
        handle = os.open(folder, os.O_RDONLY)
        try:
            with pytest.raises(OutputError) as error:
                collect(handle, limits.get("bytes_limit", 100), limits.get("files_limit", 2))
        finally:
            os.close(handle)
        return str(error.value)

    outside = tmp_path / "outside"
    outside.write_text("{}")
    assert "not a plain file" in attempt(lambda f: (f / "a.json").symlink_to(outside))
    assert "not a plain file" in attempt(lambda f: os.mkfifo(f / "a.json"))
    assert "not a plain file" in attempt(lambda f: (f / "a.json").mkdir())
    assert "not a plain file" in attempt(lambda f: (f / "a.json").hardlink_to(outside))
    assert "exceed" in attempt(lambda f: (f / "a.json").write_bytes(bytes(101)))
    assert "exceed" in attempt(lambda f: [(f / f"{i}.json").write_bytes(b"1") for i in range(3)])


def test_the_attacks_do_succeed_where_nothing_stops_them(tmp_path: Path) -> None:
    """Positive control: an attack that fails everywhere proves nothing."""
    sys.path.insert(0, str(Path(__file__).parent))
    try:
        from hostile import attack  # type: ignore[import-not-found]
    finally:
        sys.path.pop(0)
    for parameters in (
        {"attack": "pair"},
        {"attack": "read", "path": "/etc/passwd"},
        {"attack": "shared_memory"},
        {"attack": "write", "path": str(tmp_path / "x")},
        {"attack": "kill_outside", "pid": os.getpid()},
        {"attack": "spawn"},
        {"attack": "listing", "path": str(tmp_path)},
    ):
        assert json.loads(attack.run({}, parameters)["outcome.json"]) == "escaped", parameters


def test_the_child_starts_with_our_variables_alone_and_one_seed_of_hashes() -> None:
    """What converters write in the order of a set is the same each time; nothing else of the caller's gets in."""
    told = "import os, sys; print(hash('a set'), sorted(os.environ), [*sys.flags], sys.path)"
    words = [sys.executable, *sandbox_linux._PYTHON, told]
    once, again = (
        subprocess.run(
            words, env=sandbox_linux._ENVIRONMENT, cwd="/", capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    )
    assert once == again
    assert not [name for name in sandbox_linux._ENVIRONMENT if name.startswith("PYTHON") and name != "PYTHONHASHSEED"]
    assert {"-P", "-s", "-S"} <= set(sandbox_linux._PYTHON)
    assert "site-packages" not in once
