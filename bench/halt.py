"""How long a halt takes from its publication to the first refusal: `python -m bench.halt [repeats]`.

Two ways, each with a caller asking all the time, on a node of two workers: the release repository that a gateway can
reach (looked at every second, as by default), and a signed file dropped into the gateway's `halt/` folder. The time
ends with the last answer to the caller, so that it is what the bank would see. Prints JSON and keeps
it in `bench/halt.json`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from tests import simulator
from tests.web.gateways import question
from tests.web.nodes import Node, make

from bench.studies import keep
from strongroom.wiring.node import NodeLayout

REFRESH_S = 1.0
QUIET_S = 2.0


def once(folder: Path, by_file: bool) -> float:
    """Seconds from the halt to the last answer."""
    node = make(folder, workers=2)
    layout = NodeLayout(node.folder)
    text = layout.settings.read_text()
    layout.settings.write_text(text.replace("refresh_s = 0.2", f"refresh_s = {REFRESH_S}"))
    with node.serving():
        if not _answered(node):
            raise RuntimeError("the gateway does not answer")
        time.sleep(0.3 + time.time() % 0.7)
        pointer = node.room.repository.pointer(simulator.MODEL)
        assert pointer is not None
        assert pointer.champion is not None
        ref = simulator.ModelRef(simulator.MODEL, pointer.champion)
        began = time.monotonic()
        if by_file:
            envelope = simulator.sign_halt(
                ref, simulator.signer("hal"), simulator.PersonId("hal"), simulator.micros(node.room.at), "bench"
            )
            (layout.halt / "bench.json").write_bytes(envelope)
        else:
            node.room.halt(ref)
        last = began
        while time.monotonic() - last < QUIET_S:
            asked = time.monotonic()
            if _answered(node):
                last = time.monotonic()
            elif asked - last > QUIET_S:
                break
        return last - began


def _answered(node: Node) -> bool:
    status, _ = node.ask(question(subject="s-1"))
    return status == 200


def main() -> None:
    """Measure both ways and print."""
    parser = argparse.ArgumentParser(prog="bench.halt", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("repeats", type=int, nargs="?", default=5, help="of each way; 5 without it")
    repeats = parser.parse_args().repeats
    found: dict[str, list[float]] = {"repository": [], "file": []}
    for way, times in found.items():
        for _ in range(repeats):
            with tempfile.TemporaryDirectory() as folder:
                times.append(round(once(Path(folder), way == "file"), 3))
    figures = {
        way: {"median_s": statistics.median(times), "max_s": max(times), "all_s": times} for way, times in found.items()
    }
    keep("halt", figures)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
