"""Ten times more than it can answer: what others notice, what memory does, who is answered.

    python -m bench.overload --seconds 8

A greedy caller sends on a clock, whether or not it is answered (open loop), over many pipelined connections from the
load's core; a polite caller asks for one decision at a time. Twice: with no limit signed for the greedy one (the fair
queue and the bounds of the door alone), and with one (`concurrent` 16). Bounded in time and in requests.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final

from bench import workload
from bench.load import Request, write_script, wrk
from bench.node import free_port
from bench.processes import LOAD_CORE, SERVER_CORE, memory, process, wait_until, workers

HERE: Final = Path(__file__).parent
TARGET: Final = "/v2/models/pd-cards/infer"
CONNECTIONS: Final = 256
TICK_S: Final = 0.002
REQUESTS_LIMIT: Final = 5_000_000
PASSPHRASE: Final = b"a passphrase for the bench only"
CAPPED: Final = 16


def make(folder: Path, port: int) -> dict[str, str]:
    """A node with three callers: `greedy` without limits, `capped` with one, `polite`; their credentials."""
    from tests import simulator
    from tests.serving.house import feature, release_of
    from tests.web import nodes

    from strongroom.access.allowance import Allowance
    from strongroom.access.credentials import new_api_key
    from strongroom.access.grants import Bounds, CallingSystem, Grants, Secret
    from strongroom.approval.trust_policy import GRANTS_PATH
    from strongroom.vocabulary import PersonId

    nodes.PASSPHRASE = PASSPHRASE
    features = tuple(feature(name, minimum="-1000", maximum="1000") for name in workload.NAMES)
    like = release_of(features=features, mode="batch-invariant")
    made = nodes.make(folder, model=workload.model(), like=like, listen=f"127.0.0.1:{port}")
    bounds = Bounds(
        models=(simulator.MODEL,), environments=("production",), jurisdictions=("EU",), purposes=("credit-decision",)
    )
    keys = {name: new_api_key(os.urandom) for name in ("capped", "greedy", "polite")}
    systems = tuple(
        CallingSystem(
            id=PersonId(name), roles=("caller",), key_id=key.id, bounds=bounds,
            secrets=(Secret(digest=key.digest(nodes.PEPPER), from_us=0),),
            **({"limits": Allowance(concurrent=CAPPED)} if name == "capped" else {}),
        )
        for name, key in keys.items()
    )  # fmt: skip
    room = made.room
    room.repository.stage_operations({GRANTS_PATH: Grants(sequence=2, systems=systems).encode()}, room.at)
    room.sign("operations", "oscar")
    room.repository.publish("operations", room.at)
    return {name: f"Bearer {key}" for name, key in keys.items()}


def message(bearer: str, body: bytes) -> bytes:
    """One request as it goes over the line."""
    head = f"POST {TARGET} HTTP/1.1\r\nHost: h\r\nAuthorization: {bearer}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class _Line(asyncio.Protocol):
    """One connection of the greedy caller: sends what it is told while the kernel takes it, counts what comes back."""

    def __init__(self, seen: dict[str, int]) -> None:
        self.seen = seen
        self.open = False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.open = transport, True  # type: ignore[assignment]  # a write transport

    def connection_lost(self, _exc: Exception | None) -> None:
        self.open = False

    def pause_writing(self) -> None:
        self.open = False

    def resume_writing(self) -> None:
        self.open = True

    def data_received(self, data: bytes) -> None:
        for status in ("200", "429", "503"):
            self.seen[status] = self.seen.get(status, 0) + data.count(f"HTTP/1.1 {status} ".encode())


async def flood(port: int, bearer: str, rate: int, seconds: float) -> dict[str, Any]:
    """Send `rate` requests a second for so long; what a full line holds back is counted and not sent later."""
    seen: dict[str, int] = {}
    loop = asyncio.get_running_loop()
    lines: list[_Line] = []
    for _ in range(CONNECTIONS):
        _, line = await loop.create_connection(lambda: _Line(seen), "127.0.0.1", port)
        lines.append(line)
    made = [message(bearer, body) for body in workload.bodies()]
    begin, sent, held, due = time.monotonic(), 0, 0, 0
    while (passed := time.monotonic() - begin) < seconds and sent < REQUESTS_LIMIT:
        wanted = int(passed * rate)
        for number in range(due, wanted):
            line = lines[number % CONNECTIONS]
            if line.open and line.transport is not None:
                line.transport.write(made[number % len(made)])
                sent += 1
            else:
                held += 1
        due = wanted
        await asyncio.sleep(TICK_S)
    took = time.monotonic() - begin
    for line in lines:
        if line.transport is not None:
            line.transport.abort()
    return {"due": due, "sent": sent, "held_back_by_the_line": held, "seconds": round(took, 2), "answers": seen}


def polite(port: int, bearer: str, seconds: float) -> list[float]:
    """Latencies in milliseconds of one request after the other, some fifty a second."""
    found: list[float] = []
    made = [message(bearer, body) for body in workload.bodies()]
    begin = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
        while time.monotonic() - begin < seconds:
            start = time.monotonic()
            sock.sendall(made[len(found) % len(made)])
            data = b""
            while not data.endswith(b"}"):
                data += sock.recv(65536)
            if not data.startswith(b"HTTP/1.1 200 "):
                raise RuntimeError(f"the polite caller was told {data[:200]!r}")
            found.append((time.monotonic() - start) * 1000)
            time.sleep(0.02)
    return found


def quantiles(latencies: list[float]) -> dict[str, float | int]:
    """What the polite caller saw."""
    if len(latencies) < 2:
        return {"answers": len(latencies), "longest_ms": round(max(latencies, default=0.0), 2)}
    cuts = statistics.quantiles(latencies, n=100)
    return {
        "answers": len(latencies), "p50_ms": round(cuts[49], 2), "p99_ms": round(cuts[98], 2),
        "longest_ms": round(max(latencies), 2),
    }  # fmt: skip


def child(*arguments: str) -> subprocess.Popen[str]:
    """This program again, on the load's core."""
    command = ["taskset", "-c", str(LOAD_CORE), sys.executable, "-m", "bench.overload", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=HERE.parent)


def scenario(port: int, bearers: dict[str, str], greedy: str | None, rate: int, seconds: float, pid: int) -> Any:
    """One run; memory of the worker is looked at four times a second."""
    begun = [child("flood", str(port), bearers[greedy], str(rate), str(seconds + 2))] if greedy else []
    time.sleep(1.0 if greedy else 0.0)
    asking = child("polite", str(port), bearers["polite"], str(seconds))
    rss = []
    while asking.poll() is None:
        rss.append(memory([pid]).rss_mib)
        time.sleep(0.25)
    result: dict[str, Any] = {"polite": quantiles(json.loads(asking.communicate()[0]))}
    for process_ in begun:
        result["greedy"] = json.loads(process_.communicate()[0])
    result["worker_rss_mib"] = {"first": rss[0], "largest": max(rss)}
    return result


def main(arguments: list[str]) -> int:
    """Measure and write `bench/overload.json`; or play one of the parts."""
    if arguments[:1] == ["flood"]:
        port, bearer, rate, seconds = arguments[1:]
        print(json.dumps(asyncio.run(flood(int(port), bearer, int(rate), float(seconds)))))
        return 0
    if arguments[:1] == ["polite"]:
        port, bearer, seconds = arguments[1:]
        print(json.dumps(polite(int(port), bearer, float(seconds))))
        return 0
    if arguments[:1] == ["make"]:
        print(json.dumps(make(Path(arguments[1]), int(arguments[2]))))
        return 0
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--results", type=Path, default=HERE / "overload.json")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="strongroom-overload-") as name:
        folder, port = Path(name), free_port()
        made = subprocess.run(
            [sys.executable, "-m", "bench.overload", "make", name, str(port)],
            capture_output=True, text=True, check=True, cwd=HERE.parent,
        )  # fmt: skip
        bearers = json.loads(made.stdout)
        said = folder / "gateway.log"
        command = [sys.executable, "-m", "bench.node", "serve", name]
        with process(command, {}, SERVER_CORE, said) as node:
            wait_until(lambda: _ready(port), node, said)
            pid = workers(node.pid, "strongroom.web.worker")[0]
            # what it can answer, in a closed loop once the node is warm: ten times that is the overload
            script = folder / "greedy.lua"
            headers = {"Authorization": bearers["greedy"], "Content-Type": "application/json"}
            write_script(script, TARGET, [Request(body, headers) for body in workload.bodies()])
            wrk(port, script, 64, 2)
            capacity = max(100, round(wrk(port, script, 64, 4).requests_per_s))
            rate = 10 * capacity
            runs = {
                "polite alone": scenario(port, bearers, None, 0, chosen.seconds, pid),
                "beside a greedy caller without a limit": scenario(port, bearers, "greedy", rate, chosen.seconds, pid),
                f"beside a greedy caller with concurrent={CAPPED}": scenario(
                    port, bearers, "capped", rate, chosen.seconds, pid
                ),
                "polite alone again": scenario(port, bearers, None, 0, chosen.seconds, pid),
            }
    document = {
        "capacity_per_s": capacity, "offered_per_s": rate, "connections": CONNECTIONS,
        "load_average": round(os.getloadavg()[0], 1), "runs": runs,
    }  # fmt: skip
    chosen.results.write_text(json.dumps(document, indent=1) + "\n")
    print(json.dumps(document, indent=1))
    return 0


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=1) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
