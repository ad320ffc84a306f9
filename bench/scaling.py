"""Does the cost of an answer stay the same as the house grows? Models, policies, principals, ledger entries, and all.

Each size is a node of its own with every control on, asked by wrk from the other core; requests go round all
principals, and round as many models as the size says. A small node lives through the study and is asked in turn with
each size, so that a machine that slows down slows both; a size counts by the median of the pairs. The ledger of 50
million entries is simulated: its worker starts at that size over real tiles of the tree's right edge whose hashes are
made up. What an answer writes, hashes and signs is then what it would be; payloads of the past are absent.

    python -m bench.scaling --seconds 6            writes bench/scaling.json and docs/scaling.svg
    python -m bench.scaling --plot                 draws again from bench/scaling.json
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

from bench import workload
from bench.load import lua_string, wrk
from bench.node import PASSPHRASE, free_port
from bench.node import make as make_node
from bench.ours import Gateway, settle
from bench.processes import HERE, ROOT, NotStartedError, cpu_us, memory

RESULTS: Final = HERE / "scaling.json"
PLOT: Final = ROOT / "docs" / "scaling.svg"
BAR: Final = 0.9


@dataclass(frozen=True, slots=True)
class Size:
    """How large a node is.

    Attributes:
        models: released and loaded.
        policies: rules in force; 36 are those that ship.
        principals: with a grant and a credential; requests go round all of them.
        entries: in the ledger at the start.
        asked: models that requests go round. Rows of different models cannot share a call of a runtime, whatever the
            server: with as many models as connections each request is a call of its own.
    """

    models: int = 1
    policies: int = 36
    principals: int = 1000
    entries: int = 0
    asked: int = 1


SMALL: Final = Size()
SIZES: Final = (
    SMALL, Size(models=200), Size(models=200, asked=20), Size(models=200, asked=200), Size(policies=500),
    Size(policies=5000), Size(principals=10_000), Size(principals=100_000), Size(entries=1_000_192),
    Size(entries=50_000_128), Size(200, 5000, 100_000, 50_000_128),
)  # fmt: skip


def policies(shipped: bytes, count: int) -> bytes:
    """What ships, and more rules: of one model, of one caller, of one unit; a third of them has only conditions."""
    rules = []
    for n in range(count - shipped.count(b"@id(")):
        scope, when = (
            (f'principal, action == Action::"score", resource == Model::"m-{n:05d}"', 'principal.units.contains("u")'),
            (f'principal == Service::"branch-{n:05d}", action == Action::"score", resource is Model', "true"),
            ('principal is Service, action == Action::"score", resource is Model', f'principal.units.contains("u{n}")'),
        )[n % 3]
        rules.append(f'@id("more-{n}")\nforbid ({scope})\nwhen {{ {when} }};\n')
    return shipped + b"\n" + "".join(rules).encode()


def name_of(model: int) -> str:
    """The first is the bench's own."""
    return "pd-cards" if model == 0 else f"pd-cards-{model:03d}"


def make(folder: Path, model: bytes, port: int, size: Size) -> list[str]:
    """Make the node; the credentials. In a process of its own: test support that makes rooms changes constants."""
    from tests import simulator
    from tests.serving.house import engine_files
    from tests.web import nodes

    from strongroom.access import grants

    kept, rooms = engine_files(), []
    nodes.engine_files = lambda: (policies(kept[0], size.policies), kept[1])  # type: ignore[assignment]  # test support, enlarged
    bounds, names = grants.Bounds, tuple(name_of(n) for n in range(size.models))
    grants.Bounds = lambda **given: bounds(**{**given, "models": names[: size.asked]})  # type: ignore[assignment,misc]  # those that are asked
    made = nodes.make

    def making(*given: Any, **named: Any) -> Any:
        rooms.append(made(*given, **named))
        return rooms[0]

    nodes.make = making  # type: ignore[assignment]  # keeps the room that is made
    bearers = make_node(folder, model, port, size.principals)
    grants.Bounds = bounds  # type: ignore[misc]  # as it was
    room = rooms[0].room
    signers = [simulator.signer(name).public for name in ("abel", "bea", "cleo")]
    if size.models > 1:
        room.custodians_publish(models=dict.fromkeys(names, signers))
    for place, name in enumerate(names[1:], 2):
        with room._real() as like:
            # a version of its own: evidence is filed by what it is about
            version = room.version(place, model=name)
            fields = ("input", "output", "cut_offs", "jurisdictions", "purposes", "environments")
            room.release(version, **{field: getattr(like, field) for field in fields})
            room.point(champion=version.ref.manifest, model=name)
    if size.entries:
        grow(folder / "gateway", size.entries)
    return bearers


def grow(folder: Path, entries: int) -> None:
    """Let the node's empty log be one of so many entries, none of which is there: only the tree's right edge is.

    Args:
        folder: of the node.
        entries: a multiple of 256, so that no unfinished bundle of entries is needed.
    """
    from strongroom.adapters.keys.keyring import KeyFile
    from strongroom.adapters.log.shard_reader import FolderView, segment_name
    from strongroom.ledger.checkpoint import Checkpoint, sign_checkpoint
    from strongroom.ledger.note import LogKey
    from strongroom.ledger.tiles import HEIGHT, WIDTH, TileTree, tile_path
    from strongroom.ledger.tree import Frontier
    from strongroom.wiring.node import NodeLayout

    layout = NodeLayout(folder)
    settings = layout.read()
    ring = KeyFile.open(layout.keyring, PASSPHRASE)
    key = LogKey(settings.origin(0), ring.get(settings.log_key_name(0)))
    log, below = layout.ledger(0), b""
    for level in range(8):
        rows = entries >> (HEIGHT * level)
        if not rows:
            break
        for index in {rows // WIDTH, max(rows // WIDTH - 1, 0)}:
            width = min(WIDTH, rows - index * WIDTH)
            if width <= 0:
                continue
            hashes = [hashlib.sha256(b"%d %d" % (level, index * WIDTH + n)).digest() for n in range(width)]
            if below and index == (rows - 1) // WIDTH:
                hashes[-1] = below
            path = log / "public" / tile_path(level, index, width)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"".join(hashes))
        below = b""
        last = rows // WIDTH - 1
        if last >= 0:
            full = log / "public" / tile_path(level, last, WIDTH)
            tile = full.read_bytes()
            frontier = Frontier()
            frontier.extend([tile[at : at + 32] for at in range(0, len(tile), 32)])
            below = frontier.root()
    root = Frontier.read(TileTree(entries, FolderView(log).published), entries).root()
    (log / "public" / "checkpoint").write_bytes(sign_checkpoint(Checkpoint(key.name, entries, root), key))
    first = log / "segments" / segment_name(0)
    first.rename(log / "segments" / segment_name(entries))


def write_script(path: Path, bearers: list[str], size: Size) -> None:
    """Requests that go round models, principals and subjects, each at its own pace; credentials stand beside in a file.

    A script of LuaJIT has at most 65,536 constants, and a hundred thousand strings would keep its collector busy: the
    file is one string, and a credential a piece of it.

    Raises:
        ValueError: credentials of several lengths.
    """
    (length,) = {len(bearer) for bearer in bearers}
    listed = path.with_suffix(".txt")
    listed.write_text("".join(bearers))
    bodies = []
    for n in range(workload.SUBJECTS):
        matrix, subjects = workload.batch(n, 1)
        bodies.append(workload.v2_json(matrix, subjects))
    head = "POST /v2/models/{} /infer HTTP/1.1".replace("{} ", "%s")
    path.write_text(
        "\n".join(
            [
                f"local bearers = io.open({lua_string(str(listed).encode())}):read('*a')",
                f"local length, count, n = {length}, {len(bearers)}, os.time() * 48271 % 2147483647",
                f"local models = {{{', '.join(lua_string(name_of(m).encode()) for m in range(size.asked))}}}",
                f"local bodies = {{{', '.join(lua_string(body) for body in bodies)}}}",
                "function request()",
                "  n = n + 1",
                "  local body = bodies[n % #bodies + 1]",
                "  local from = (n * 7919) % count * length",
                "  local bearer = bearers:sub(from + 1, from + length)",
                f"  return '{head}'".replace("%s", "' .. models[n % #models + 1] .. '")
                + " .. '\\r\\nHost: x\\r\\nContent-Type: application/json\\r\\nAuthorization: ' .. bearer"
                + " .. '\\r\\nContent-Length: ' .. #body .. '\\r\\n\\r\\n' .. body",
                "end",
                "function done(summary, latency)",
                "  local e = summary.errors",
                """  io.write(string.format('RESULT {"requests": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, '""",
                """    .. '"errors": %d}\\n',""",
                "    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3,",
                "    latency:percentile(99) / 1e3, e.connect + e.read + e.write + e.status + e.timeout))",
                "end",
            ]
        )
        + "\n"
    )


@contextmanager
def serving(size: Size) -> Iterator[tuple[Path, int, int]]:
    """A node of that size at work: the script of its load, its port, its worker.

    Raises:
        NotStartedError: it could not be made or started.
    """
    with tempfile.TemporaryDirectory(prefix="strongroom-scaling-") as name:
        folder = Path(name)
        (folder / "model.onnx").write_bytes(workload.model())
        (folder / "ours").mkdir()
        port = free_port()
        command = [sys.executable, "-m", "bench.scaling", "--make", str(folder), "--port", str(port)]
        made = subprocess.run(
            [*command, "--size", json.dumps(asdict(size))], capture_output=True, text=True, check=False
        )
        if made.returncode != 0:
            raise NotStartedError(made.stderr.strip()[-900:])
        gateway = Gateway(folder / "ours", port, json.loads(made.stdout), False)
        script = folder / "load.lua"
        write_script(script, gateway.bearers, size)
        with gateway.serving() as child:
            settle(2.0)
            yield script, port, gateway.worker(child.pid)


def measure(size: Size, small: tuple[Path, int, int], chosen: argparse.Namespace) -> dict[str, Any]:
    """Requests a second and microseconds of the worker's processor for each, beside a small node's in turn.

    Before it is timed nearly each caller has been there, as in a house that has been open for a while: each run of wrk
    begins somewhere else among them.

    Raises:
        NotStartedError: it could not be made or started, or did not answer everything.
    """
    with serving(size) as large:
        rest = memory([large[2]])
        left = 3.0 * size.principals
        while left > 0:
            left -= ask(large, chosen.connections, 3)[0] * 3
        ask(small, chosen.connections, 1)
        found = [
            [ask(node, chosen.connections, chosen.seconds) for node in (small, large)] for _ in range(chosen.rounds)
        ]
        busy = memory([large[2]])
    rates, costs = ([[one[place] for one in pair] for pair in found] for place in (0, 1))
    return {
        **asdict(size), "requests_per_s": round(statistics.median(rate for _, rate in rates), 1),
        "worker_cpu_us": round(statistics.median(cost for _, cost in costs), 2),
        "share": round(statistics.median(rate / base for base, rate in rates), 3),
        "share_by_cpu": round(statistics.median(base / cost for base, cost in costs), 3),
        "worker_pss_mib_at_rest": rest.pss_mib, "worker_pss_mib": busy.pss_mib,
        "load_average": round(os.getloadavg()[0], 2),
    }  # fmt: skip


def ask(node: tuple[Path, int, int], connections: int, seconds: float) -> tuple[float, float]:
    """Requests a second of one run, and microseconds of the worker's processor for each."""
    script, port, worker = node
    before = cpu_us(worker)
    result = wrk(port, script, connections, seconds)
    if result.errors:
        raise NotStartedError(f"{result.errors} of {result.requests} requests failed")
    return result.requests_per_s, (cpu_us(worker) - before) / result.requests


def shares(document: dict[str, Any]) -> list[tuple[str, float, float]]:
    """Each size in words, with its throughput and its processor cost against the small node's in the same minute."""
    return [
        (words(Size(**{field.name: one[field.name] for field in fields(Size)})), one["share"], one["share_by_cpu"])
        for one in document["points"]
    ]


def words(size: Size) -> str:
    """What is larger than in a small node."""
    if size == SMALL:
        return "small"
    changed = [
        f"{getattr(size, name):,} {name}" for name in ("models", "policies", "principals", "entries")
        if getattr(size, name) != getattr(SMALL, name)
    ]  # fmt: skip
    asked = "" if size.asked == 1 else ", all asked" if size.asked == size.models else f", {size.asked} asked"
    return changed[0] + asked if len(changed) == 1 else "all of the largest"


def plot(document: dict[str, Any]) -> str:
    """Throughput of each size as a share of a small node's, with the bar; text stays text, no script."""
    from bench.report import LEFT, RIGHT, STEP, STYLE, TOP, WIDTH

    found = shares(document)
    height = TOP + STEP * len(found) + 56
    scale = (WIDTH - LEFT - RIGHT) / max(1.1, *(rate for _, rate, _ in found))
    told = "; ".join(f"{name} {rate:.2f}" for name, rate, _ in found)
    at = LEFT + BAR * scale
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>Throughput as the house grows</title><desc>{escape(told)}</desc>",
        f'<style>{STYLE}</style><rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        '<text class="title" x="20" y="30">Throughput as the house grows, as a share of a small node\'s</text>',
        '<text class="small" x="20" y="50">Small: 1 model, 36 policies, 1,000 principals, an empty ledger.</text>',
    ]
    bottom, labels = TOP + STEP * len(found), []
    for place, (name, rate, cost) in enumerate(found):
        y, end = TOP + STEP * place, LEFT + rate * scale
        parts.append(f'<text x="{LEFT - 10}" y="{y + 17}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect class="ours" x="{LEFT}" y="{y}" width="{rate * scale:.1f}" height="24" rx="3"/>')
        # over the line of the bar, on a ground of its own
        labels.append(f'<rect x="{end + 5:.1f}" y="{y + 4}" width="82" height="17" fill="#fff"/>')
        labels.append(f'<text x="{end + 8:.1f}" y="{y + 17}">{rate:.2f} ({cost:.2f})</text>')
    parts.append(f'<line x1="{at:.1f}" y1="{TOP - 6}" x2="{at:.1f}" y2="{bottom}" stroke="#b45309" stroke-width="2"/>')
    parts += labels
    parts.append(
        f'<text class="small" x="20" y="{bottom + 22}">line: the bar, {BAR}; in brackets the same by processor time of '
        "the worker, which others on the machine disturb less</text>"
        f'<text class="small" x="20" y="{bottom + 40}">ledger entries are simulated: a log of that size by its right '
        "edge, without the payloads of the past</text></svg>"
    )
    return "\n".join(parts) + "\n"


def main() -> int:
    """Make one node, draw, or measure all sizes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--only", type=int, nargs="*", help="places in the list of sizes")
    parser.add_argument("--plot", action="store_true")
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--size", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.make is not None:
        model = (chosen.make / "model.onnx").read_bytes()
        print(json.dumps(make(chosen.make / "ours", model, chosen.port, Size(**json.loads(chosen.size)))))
        return 0
    if not chosen.plot:
        document: dict[str, Any] = {
            "connections": chosen.connections, "seconds": chosen.seconds, "rounds": chosen.rounds,
            "cpus": os.cpu_count(), "ledger": "simulated", "points": [],
        }  # fmt: skip
        sizes = [size for n, size in enumerate(SIZES) if chosen.only is None or n in chosen.only]
        with serving(SMALL) as small:
            for size in sizes:
                point = measure(size, small, chosen)
                print(json.dumps(point), flush=True)
                document["points"].append(point)
        RESULTS.write_text(json.dumps(document, indent=1) + "\n")
    PLOT.write_text(plot(json.loads(RESULTS.read_text())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
