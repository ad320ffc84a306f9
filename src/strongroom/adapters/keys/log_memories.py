"""What a person's machine read of governance logs, in their home; not loaded by whoever only opens keys."""

from __future__ import annotations

from strongroom.adapters.files.safe_files import read_private, write_private
from strongroom.adapters.keys.homes import Home
from strongroom.approval.log_memory import LIMIT_BYTES, LogMemory
from strongroom.vocabulary import digest_of


def remember(home: Home, memory: LogMemory) -> None:
    """Keep what was read of a log, which was held against the head kept before."""
    write_private(home.folder / _name(memory.head.origin), memory.sign(home))
    home.remember(memory.head)


def recall(home: Home, origin: str) -> LogMemory | None:
    """What was read of a log; None where that is not known, or is not signed by this home's very key."""
    path = home.folder / _name(origin)
    memory = LogMemory.open(read_private(path, 2 * LIMIT_BYTES), home.public) if path.exists() else None
    return memory if memory is not None and memory.head.origin == origin else None


def _name(origin: str) -> str:
    return f"log-{digest_of(origin.encode())[:16]}.dsse"
