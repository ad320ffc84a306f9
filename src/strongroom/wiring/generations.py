"""The generations of a worker's log: one is written at a time, those before it stay for reading, side by side.

The first generation lies in `ledger/<slot>`, where every node has it; each later one in `ledger/<slot>.<generation>`.
The newest one whose opening has arrived is the one that is written: there is no other switch, so a crash leaves the
node on one side of it or on the other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from strongroom.adapters.keys.keyring import KeyFile
from strongroom.adapters.log.shard_files import FileShard
from strongroom.ledger.note import LogKey, VerifierKey
from strongroom.wiring.node import NodeLayout
from strongroom.wiring.node_settings import NodeSettings

PUBLIC: Final = "-public"
_LATER: Final = re.compile(r"([0-9]+)\.([1-9][0-9]{0,8})")


@dataclass(frozen=True, slots=True)
class NodeLog:
    """One generation of one slot's log.

    Attributes:
        slot, generation: which.
        first: whether it is the generation that the node was made with.
        origin: its name.
        key_name: under which the key file keeps its seed until it is closed, and its public half under `-public` after.
    """

    layout: NodeLayout
    slot: int
    generation: int
    first: bool
    origin: str
    key_name: str

    @property
    def name(self) -> str:
        """Of its folder and its other files."""
        return str(self.slot) if self.first else f"{self.slot}.{self.generation}"

    @property
    def folder(self) -> Path:
        return self.layout.ledger(self.slot) if self.first else self.layout.folder / "ledger" / self.name

    @property
    def opening(self) -> Path:
        """The disclosed entry of the governance log, without which nothing is answered from this log."""
        return self.layout.trust / "openings" / f"{self.name}.json"

    @property
    def fork(self) -> Path:
        """Left when a witness refused this log's history."""
        return self.layout.state / f"fork-{self.name}"

    @property
    def restored(self) -> Path:
        """Left when this log came back from a backup: others may have seen more of it, so it is never written again."""
        return self.layout.state / f"restored-{self.name}"

    @property
    def made(self) -> bool:
        """Whether its folder is a log."""
        return (self.folder / "shard.json").exists()

    def key(self, ring: KeyFile) -> LogKey:
        """Raises NotFoundError once the log is closed: its seed is destroyed."""
        return LogKey(self.origin, ring.get(self.key_name))

    def verifier(self, ring: KeyFile) -> VerifierKey:
        """Its public key, also after the seed is gone.

        Raises:
            NotFoundError: the key file never held it.
        """
        public = self.key_name + PUBLIC
        return VerifierKey.parse(ring.get(public).decode()) if public in ring.names else self.key(ring).verifier


def log_of(layout: NodeLayout, settings: NodeSettings, slot: int, generation: int) -> NodeLog:
    """One generation, whether or not it is there."""
    return NodeLog(
        layout,
        slot,
        generation,
        generation == settings.generation,
        settings.origin(slot, generation),
        settings.log_key_name(slot, generation),
    )


def generations(layout: NodeLayout, settings: NodeSettings, slot: int) -> list[NodeLog]:
    """The logs of a slot that were opened, oldest first; the last one is written. The first one always counts."""
    found = {settings.generation}
    for path in (layout.folder / "ledger").glob(f"{slot}.*"):
        match = _LATER.fullmatch(path.name)
        if match is not None and int(match[1]) == slot and int(match[2]) > settings.generation:
            one = log_of(layout, settings, slot, int(match[2]))
            if one.made and one.opening.exists():
                found.add(one.generation)
    return [log_of(layout, settings, slot, generation) for generation in sorted(found)]


def every_log(layout: NodeLayout, settings: NodeSettings) -> list[NodeLog]:
    """All logs of a node, by slot and generation."""
    return [one for slot in layout.slots(settings) for one in generations(layout, settings, slot)]


def successor(layout: NodeLayout, settings: NodeSettings, log: NodeLog) -> NodeLog | None:
    """The next generation, once it may be written. Cheap: one stat while there is none."""
    following = log_of(layout, settings, log.slot, log.generation + 1)
    return following if following.opening.exists() and following.made else None


def make_successor(log: NodeLog, settings: NodeSettings, ring: KeyFile) -> tuple[NodeLog, VerifierKey]:
    """Make key and empty log of the next generation; what a crash left half made is completed.

    Raises:
        ConflictError: another process has changed the key file, or holds the new log.
    """
    following = log_of(log.layout, settings, log.slot, log.generation + 1)
    if following.key_name not in ring.names:
        ring.new_secret(following.key_name)
    key = following.key(ring)
    if not following.made:
        FileShard.create(following.folder, key.name, key, segment_bytes=settings.segment_bytes).close()
    return following, key.verifier


def drop_seed(log: NodeLog, ring: KeyFile) -> None:
    """After a log was closed: nobody can sign for it any more; its public key stays. Harmless to repeat.

    Raises:
        ConflictError: another process has changed the key file.
    """
    if log.key_name + PUBLIC not in ring.names:
        ring.put(log.key_name + PUBLIC, str(log.key(ring).verifier).encode())
    if log.key_name in ring.names:
        ring.forget(log.key_name)
