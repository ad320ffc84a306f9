"""The load: scripts for wrk, its runs, and what it reports."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.processes import LOAD_CORE

FRESH = "@@@@@@@@@@@@"
"""Stands in a body for twelve digits that are new in each request: the subject of a request that nobody has seen."""

RESULT = re.compile(r"^RESULT (\{.*\})$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Result:
    """One run of the load generator.

    Attributes:
        errors: connections, reads and writes that failed, time-outs and answers with another status than 2xx or 3xx.
    """

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    errors: int

    @property
    def requests_per_s(self) -> float:
        return self.requests / self.seconds


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a script.

    Attributes:
        body: JSON text or binary tensors; `FRESH` in it is replaced each time.
        headers: beside `content-length` and `host`.
    """

    body: bytes
    headers: dict[str, str]


def lua_string(data: bytes) -> str:
    """A Lua string literal of any bytes."""
    return '"' + "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\{b:03d}" for b in data) + '"'


def write_script(path: Path, target: str, requests: Sequence[Request], think_ms: tuple[int, int] | None = None) -> None:
    """A script for wrk that sends the requests in turn, made once; only a fresh subject is put in as they go.

    Args:
        path: of the script.
        target: of every request.
        requests: at least one.
        think_ms: each connection waits so long, by lot, before it sends again. With many connections and waits much
            longer than an answer takes, requests come at a rate that hardly depends on the answers.
    """
    lines = [
        'wrk.method = "POST"',
        "local made, heads, tails, n, serial = {}, {}, {}, 0, 0",
        "local given = {",
        *(
            f"{{{lua_string(request.body)}, {{"
            + ", ".join(f"[{lua_string(k.encode())}] = {lua_string(v.encode())}" for k, v in request.headers.items())
            + "}},"
            for request in requests
        ),
        "}",
        "function init()",
        "  math.randomseed(os.time())",
        "  serial = math.random(1, 99999) * 1000000",
        "  for i = 1, #given do",
        f"    local whole = wrk.format('POST', {lua_string(target.encode())}, given[i][2], given[i][1])",
        f"    local from, to = string.find(whole, {lua_string(FRESH.encode())}, 1, true)",
        "    made[i] = whole",
        "    if from then heads[i], tails[i] = string.sub(whole, 1, from - 1), string.sub(whole, to + 1) end",
        "  end",
        "end",
        "function request()",
        "  n = n % #made + 1",
        "  if not heads[n] then return made[n] end",
        "  serial = serial + 1",
        "  return heads[n] .. string.format('%012d', serial) .. tails[n]",
        "end",
        *(["function delay()", f"  return math.random({think_ms[0]}, {think_ms[1]})", "end"] if think_ms else []),
        "function done(summary, latency)",
        "  local e = summary.errors",
        """  io.write(string.format('RESULT {"requests": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, '""",
        """    .. '"errors": %d}\\n',""",
        "    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,",
        "    e.connect + e.read + e.write + e.status + e.timeout))",
        "end",
    ]
    path.write_text("\n".join(lines) + "\n")


def parse(said: str) -> Result:
    """What a script of ours wrote at its end.

    Raises:
        ValueError: there is no result in it.
    """
    found = RESULT.search(said)
    if found is None:
        raise ValueError(f"wrk gave no result: {said.strip()[-300:]}")
    return Result(**json.loads(found.group(1)))


def wrk(port: int, script: Path, connections: int, seconds: float) -> Result:
    """One run on the core of the load."""
    command = ["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s"]
    done = subprocess.run(
        [*command, "--timeout", "20s", "-s", str(script), f"http://127.0.0.1:{port}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return parse(done.stdout + done.stderr)
