"""An office with the real policies, over either desk."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import strongroom
from strongroom.access.authorisation import Authorisation
from strongroom.adapters.database.desk import open_desk
from strongroom.adapters.policies.cedar import CedarEngine
from strongroom.office.door import Office
from tests.memory.office import MemoryDesk, MemoryLog


class Ticking:
    """A clock that moves one second with each look."""

    def __init__(self) -> None:
        self._seconds = itertools.count()

    def __call__(self) -> datetime:
        return datetime(2026, 11, 21, 12, tzinfo=UTC) + timedelta(seconds=next(self._seconds))


@dataclass
class House:
    office: Office[Any]
    desk: Any
    log: MemoryLog
    clock: Ticking


def random_of() -> Callable[[int], bytes]:
    numbers = itertools.count(1)
    return lambda size: next(numbers).to_bytes(size, "big")


@pytest.fixture(params=["memory", "sql"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    folder = Path(strongroom.__file__).parent / "policies"
    engine = CedarEngine((folder / "access.cedar").read_bytes(), (folder / "access.cedarschema").read_bytes())
    desk = MemoryDesk() if request.param == "memory" else open_desk(tmp_path / "room.db")
    log, clock = MemoryLog(), Ticking()
    yield House(Office(Authorisation(engine), desk, log, clock, random_of()), desk, log, clock)
    if request.param == "sql":
        desk.close()
