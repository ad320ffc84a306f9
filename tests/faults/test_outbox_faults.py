"""A crash at every call that the door makes outside: afterwards the log has each committed act exactly once.

A crash is an exception that no code of ours may catch, raised before or after the real call; then a new office starts
over what is left on disk, reconciles, and `fsck` must find nothing.
"""

from __future__ import annotations

import itertools
from contextlib import contextmanager

import pytest

from strongroom.access.grants import Grants
from strongroom.adapters.database.desk import SqlTransaction, open_desk
from strongroom.adapters.log.governance import GovernanceKey, ShardGovernanceLog
from strongroom.adapters.log.shard_files import FileShard
from strongroom.errors import NotFoundError
from strongroom.ledger.checkpoint import LogKey
from strongroom.office.door import Office
from strongroom.office.entries import Entry
from tests.office.conftest import AT, ORIGIN, Rules, an_act, deny

KEY = LogKey(ORIGIN, bytes(31) + b"\x07")
CALLS = ("pending", "begin", "put_outbox", "commit", "append", "mark_logged")


class Crash(BaseException):
    """The process is gone."""


class Fuse:
    """Counts calls and blows at one of them, before or after it took effect."""

    def __init__(self, at: int = -1, after: bool = False) -> None:
        self.at, self.after = at, after
        self.seen: list[str] = []

    def call(self, name, function, *args):
        number = len(self.seen)
        self.seen.append(name)
        if number == self.at and not self.after:
            raise Crash(name)
        result = function(*args)
        if number == self.at:
            raise Crash(name)
        return result


class FusedDesk:
    def __init__(self, desk, fuse):
        self._desk, self._fuse = desk, fuse

    @contextmanager
    def begin(self):
        self._fuse.call("begin", lambda: None)
        with self._desk.begin() as transaction:
            yield FusedTransaction(transaction, self._fuse)

    def pending(self):
        return self._fuse.call("pending", self._desk.pending)

    def mark_logged(self, act_id, ref):
        return self._fuse.call("mark_logged", self._desk.mark_logged, act_id, ref)

    def rows(self):
        return self._desk.rows()


class FusedTransaction:
    def __init__(self, transaction: SqlTransaction, fuse: Fuse) -> None:
        self._transaction, self._fuse = transaction, fuse
        self.books = transaction.books

    def put_outbox(self, row):
        self._fuse.call("put_outbox", self._transaction.put_outbox, row)

    def commit(self):
        self._fuse.call("commit", self._transaction.commit)


class FusedLog:
    def __init__(self, log, fuse):
        self._log, self._fuse = log, fuse

    def append(self, *args):
        return self._fuse.call("append", self._log.append, *args)

    def find(self, act_id):
        return self._log.find(act_id)

    def entries(self):
        return self._log.entries()


class House:
    """Database and log on disk, opened and closed like a process would."""

    numbers = itertools.count(1)

    def __init__(self, folder):
        self.folder = folder
        self.rules = Rules()

    @contextmanager
    def office(self, fuse=None):
        fuse = fuse or Fuse()
        desk = open_desk(self.folder / "room.db")
        where = self.folder / "log"
        shard = (
            FileShard.open(where, KEY) if where.exists() else FileShard.create(where, ORIGIN, KEY, segment_bytes=65536)
        )
        random = lambda size: next(self.numbers).to_bytes(size, "big")  # noqa: E731  # a counter, not a function
        log = ShardGovernanceLog(shard, GovernanceKey(bytes(32)), random)
        try:
            yield Office(self.rules, FusedDesk(desk, fuse), FusedLog(log, fuse), lambda: AT, random), desk, log
        finally:
            desk.close()
            shard.close()

    def state(self, desk):
        with desk.begin() as transaction:
            try:
                return transaction.books.grants.current().sequence
            except NotFoundError:
                return 0


def one_act(office, refused):
    if refused:
        with pytest.raises(Exception, match="no policy"), office.open(an_act()):
            pytest.fail("the books were handed out")
        return
    with office.open(an_act()) as books:
        books.grants.put(Grants(sequence=1))


def count_calls(tmp_path, refused):
    house = House(tmp_path / "counting")
    house.folder.mkdir()
    house.rules.say = deny if refused else house.rules.say
    fuse = Fuse()
    with house.office(fuse) as (office, _desk, _log):
        one_act(office, refused)
    return fuse.seen


@pytest.mark.parametrize("refused", [False, True], ids=["act", "refusal"])
def test_every_call_is_covered(tmp_path, refused):
    assert set(count_calls(tmp_path, refused)) == set(CALLS)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("refused", [False, True], ids=["act", "refusal"])
def test_a_crash_at_any_call_leaves_state_and_log_together(tmp_path, refused, after):
    names = count_calls(tmp_path, refused)
    for place, name in enumerate(names):
        house = House(tmp_path / f"{place}-{name}")
        house.folder.mkdir()
        house.rules.say = deny if refused else house.rules.say
        with house.office(Fuse(place, after)) as (office, _desk, _log), pytest.raises(Crash):
            one_act(office, refused)
        with house.office() as (office, desk, log):
            office.reconcile()
            assert office.reconcile() == 0
            assert office.fsck() == [], (place, name)
            entries = [Entry.decode(logged.entry) for logged in log.entries()]
            committed = names.index("commit") + (0 if after else 1) <= place
            assert len(entries) == int(committed), (place, name)
            assert house.state(desk) == int(committed and not refused), (place, name)
            # and the house goes on
            house.rules.say = Rules().say
            with office.open(an_act("backup")) as books:
                pass
            assert books.receipt.index == len(entries)
            assert office.fsck() == []


def test_a_crash_while_reconciling_is_reconciled(tmp_path):
    house = House(tmp_path)
    with house.office(Fuse(4)) as (office, _desk, _log), pytest.raises(Crash):
        one_act(office, False)
    for place, after in itertools.product(range(3), (False, True)):
        with house.office(Fuse(place, after)) as (office, _desk, _log):
            try:
                office.reconcile()
            except Crash:
                continue
    with house.office() as (office, desk, log):
        office.reconcile()
        assert office.fsck() == []
        assert len(list(log.entries())) == 1
        assert house.state(desk) == 1


def test_two_processes_may_both_drain_one_row(tmp_path):
    house = House(tmp_path)
    with house.office(Fuse(4)) as (office, _desk, _log), pytest.raises(Crash):
        one_act(office, False)
    with house.office() as (office, desk, log):
        row = desk.pending()[0]
        first = log.append(row.act_id, "act", row.entry, 1)
        assert log.append(row.act_id, "act", row.entry, 2) == first
        assert office.reconcile() == 1
        assert office.fsck() == []
