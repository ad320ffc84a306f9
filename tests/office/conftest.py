"""An office with real policies' shape but rules of its own, over either desk and either log."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from strongroom.access.principals import Principal
from strongroom.adapters.database.desk import SqlDesk, open_desk
from strongroom.adapters.log.governance import GovernanceKey, ShardGovernanceLog
from strongroom.errors import NotPermittedError
from strongroom.ledger.checkpoint import LogKey
from strongroom.office.acts import Act, Resource
from strongroom.office.door import Office
from strongroom.office.ports import Desk, GovernanceLog
from strongroom.vocabulary import Digest, PersonId
from tests.memory.office import MemoryDesk, MemoryLog
from tests.memory.shard import MemoryShard

AT = datetime(2026, 11, 22, 9, 0, 0, 250_000, tzinfo=UTC)
ORIGIN = "bank.example/credit/eu/control/governance/1"
ANN = Principal(PersonId("ann"), "Person", frozenset({"operator"}))


@dataclass
class Rules:
    """A policy that does what `say` says, and remembers the acts."""

    say: Callable[[Act], None] = lambda act: None
    asked: list[Act] = field(default_factory=list)

    def check(self, act: Act, /) -> None:
        self.asked.append(act)
        self.say(act)


def deny(act: Act) -> None:
    raise NotPermittedError(f"no policy lets `{act.who.id}` do `{act.verb}`", rule="default")


def counter() -> Callable[[int], bytes]:
    """Bytes that never repeat, the same in every run."""
    numbers = itertools.count(1)
    return lambda size: next(numbers).to_bytes(size, "big")


def an_act(verb: str = "timestamp", kind: str = "Room", name: str = "credit") -> Act:
    return Act(ANN, verb, Resource(kind, name), AT)


def shard_log() -> ShardGovernanceLog:
    shard = MemoryShard(ORIGIN, LogKey(ORIGIN, bytes(31) + b"\x07"))
    return ShardGovernanceLog(shard, GovernanceKey(bytes(31) + b"\x09"), counter(), Digest("ab" * 32))


@pytest.fixture(params=["memory", "sql"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MemoryDesk | SqlDesk]:
    if request.param == "memory":
        yield MemoryDesk()
        return
    made = open_desk(tmp_path / "room.db")
    yield made
    made.close()


@pytest.fixture(params=["memory", "shard"])
def log(request: pytest.FixtureRequest) -> GovernanceLog:
    return MemoryLog(ORIGIN) if request.param == "memory" else shard_log()


@pytest.fixture
def rules() -> Rules:
    return Rules()


@pytest.fixture
def office(desk: Desk, log: GovernanceLog, rules: Rules) -> Office:  # type: ignore[type-arg]  # either kind of books
    return Office(rules, desk, log, lambda: AT, counter())
