"""A real gateway with its workers, whose logs were opened by a real control plane with people at their desks."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from strongroom.adapters.files.safe_files import replace_atomically
from strongroom.adapters.keys.keyring import PROFILES, SCRYPT_RFC7914_INTERACTIVE, KeyFile
from strongroom.wiring.generations import log_of
from strongroom.wiring.node import NodeLayout
from strongroom.wiring.nodes import open_log
from tests.compliance.house import House, make_house
from tests.web.gateways import question
from tests.web.nodes import PASSPHRASE, Node, make


@dataclass
class Rotating:
    """The two sides."""

    node: Node
    house: House

    @property
    def layout(self) -> NodeLayout:
        return NodeLayout(self.node.folder)


@dataclass
class Load:
    """What callers saw."""

    answered: list[dict[str, Any]] = field(default_factory=list)
    failed: list[object] = field(default_factory=list)


def make_rotating(folder: Path, monkeypatch: Any, workers: int = 1) -> Rotating:
    """Node and room; the node trusts the room's governance log."""
    monkeypatch.setitem(PROFILES, "default", SCRYPT_RFC7914_INTERACTIVE)
    node = make(folder, workers=workers, opened=False)
    (folder / "house").mkdir()
    house = make_house(folder / "house", monkeypatch, witnessed=False)
    layout = NodeLayout(node.folder)
    with house.at("omar") as desk:
        replace_atomically(layout.trust / "log-policy", desk.room.layout.trust_policy.read_bytes(), 0o644)
        ring = KeyFile.open(layout.keyring, PASSPHRASE)
        settings = layout.read()
        for slot in range(workers):
            open_log(desk, layout, slot, log_of(layout, settings, slot, 1).verifier(ring))
    return Rotating(node, house)


@contextmanager
def load(node: Node, callers: int = 2, subjects: int = 40) -> Iterator[Load]:
    """Callers who ask without a pause until the block ends."""
    seen, stop = Load(), threading.Event()

    def ask(caller: int) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            subject = f"subject-{caller}-{number % subjects}"
            try:
                status, answer = node.ask(question(subject=subject))
            except OSError as error:
                seen.failed.append(error)
                continue
            if status == 200:
                seen.answered.append({**answer, "subject": subject})
            else:
                seen.failed.append((status, answer))

    threads = [threading.Thread(target=ask, args=(caller,)) for caller in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def workers_of() -> list[psutil.Process]:
    """The worker processes of the nodes that this process serves."""
    found = []
    for child in psutil.Process(os.getpid()).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "strongroom.web.worker" in child.cmdline():
                found.append(child)
    return found
