"""What goes into wrk and what comes out of it."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from pathlib import Path

import pytest
from bench.load import FRESH, Request, Result, lua_string, parse, write_script


def test_the_result_of_a_run_is_read() -> None:
    figures = '{"requests": 10, "seconds": 2.5, "p50_ms": 1.5, "p99_ms": 9.25, "errors": 1}'
    said = f"Running 8s test\n  64 connections\nRESULT {figures}\n"
    result = parse(said)
    assert result == Result(10, 2.5, 1.5, 9.25, 1)
    assert result.requests_per_s == 4.0


def test_a_run_without_a_result_says_what_wrk_said() -> None:
    with pytest.raises(ValueError, match="unable to connect"):
        parse("unable to connect to 127.0.0.1:1 Connection refused\n")


def test_any_bytes_become_a_lua_string() -> None:
    assert lua_string(b'a"\\\n\xff1') == '"a\\034\\092\\010\\2551"'


@pytest.mark.skipif(shutil.which("luajit") is None and shutil.which("wrk") is None, reason="needs wrk")
def test_the_script_is_one_that_wrk_runs_and_fresh_subjects_differ(tmp_path: Path) -> None:
    import socket
    import threading

    seen: list[bytes] = []
    listening = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        # wrk looks first whether anybody is there, then connects again
        listening.accept()[0].close()
        connection, _ = listening.accept()
        with connection, contextlib.suppress(OSError):
            data = b""
            while chunk := connection.recv(65536):
                data += chunk
                while b"\r\n\r\n" in data:
                    head, _, rest = data.partition(b"\r\n\r\n")
                    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                    if len(rest) < length:
                        break
                    seen.append(rest[:length])
                    data = rest[length:]
                    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    script = tmp_path / "s.lua"
    write_script(script, "/x", [Request(b'{"s":"' + FRESH.encode() + b'"}', {"A": "b"}), Request(b"\x00\xff", {})])
    port = listening.getsockname()[1]
    done = subprocess.run(
        ["wrk", "-t1", "-c1", "-d1s", "-s", str(script), f"http://127.0.0.1:{port}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    listening.close()
    result = parse(done.stdout)
    assert result.errors == 0
    assert result.requests > 10
    fresh = [body for body in seen if body.startswith(b'{"s":"')]
    assert len(fresh) == len(set(fresh)) > 3
    assert {len(body) for body in fresh} == {20}
    assert b"\x00\xff" in seen
