"""The one door: what gets in, what is written, what is left when something goes wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from strongroom.access.grants import Grants
from strongroom.encoding import parse
from strongroom.errors import (
    ConflictError,
    InvalidInputError,
    NotDurableError,
    NotFoundError,
    NotPermittedError,
    RefusedError,
    TamperedError,
    TooLargeError,
    UnavailableError,
)
from strongroom.ledger.actions import open_shard
from strongroom.ledger.checkpoint import LogKey
from strongroom.office.acts import EntryRef
from strongroom.office.door import Office
from strongroom.office.entries import Entry
from strongroom.vocabulary import micros
from tests.office.conftest import ANN, AT, ORIGIN, Rules, an_act, deny


def grants_of(desk):
    with desk.begin() as transaction:
        try:
            return transaction.books.grants.current().sequence
        except NotFoundError:
            return 0


def entries_of(log):
    return [Entry.decode(logged.entry) for logged in log.entries()]


def test_an_act_changes_state_and_leaves_an_entry(office, desk, log):
    with office.open(an_act()) as books:
        books.grants.put(Grants(sequence=1))
        books.note(systems=0, digest="ab" * 32, first=True)
    assert books.receipt == EntryRef(ORIGIN, 0)
    assert grants_of(desk) == 1
    (entry,) = entries_of(log)
    assert parse(entry.encode()) == {
        "v": 1,
        "type": "act",
        "act_id": entry.act_id,
        "who": "ann",
        "verb": "timestamp",
        "on": {"kind": "Room", "id": "credit"},
        "at_us": micros(AT),
        "outcome": "done",
        "code": "",
        "reason": "",
        "facts": {"systems": 0, "digest": "ab" * 32, "first": True},
    }
    assert desk.pending() == []
    assert office.fsck() == []


def test_there_is_no_receipt_inside_the_block(office):
    with office.open(an_act()) as books, pytest.raises(RuntimeError):
        _ = books.receipt


def test_a_denied_act_never_gets_the_books_and_is_recorded(office, desk, log, rules):
    rules.say = deny
    with pytest.raises(NotPermittedError) as raised, office.open(an_act()):
        pytest.fail("the books were handed out")
    assert raised.value.entry == EntryRef(ORIGIN, 0)
    (entry,) = entries_of(log)
    assert (entry.type, entry.outcome, entry.code) == ("refusal", "refused", "not-permitted")
    assert entry.reason == "no policy lets `ann` do `timestamp`"
    assert entry.facts == {"rule": "default"}
    assert office.fsck() == []


def test_what_is_prepared_leaves_nothing_but_its_refusal(office, desk, log, rules):
    office.reconcile()
    with office.prepare(an_act()) as books:
        books.note(looked=True)
    assert (list(desk.rows()), list(log.entries())) == ([], [])
    with pytest.raises(ConflictError) as refused, office.prepare(an_act()):
        raise ConflictError("somebody does it already")
    rules.say = deny
    with pytest.raises(NotPermittedError) as denied, office.prepare(an_act()):
        pytest.fail("the books were handed out")
    entries = [Entry.decode(one.entry) for one in log.entries()]
    assert [(one.outcome, one.code) for one in entries] == [("refused", "conflict"), ("refused", "not-permitted")]
    assert [refused.value.entry, denied.value.entry] == [one.ref for one in log.entries()]
    assert office.fsck() == []


@pytest.mark.parametrize("failure", [ZeroDivisionError("x"), KeyError("secret value"), UnavailableError("engine down")])
def test_a_policy_that_breaks_is_a_no(office, log, rules, failure):
    def say(act):
        raise failure

    rules.say = say
    with pytest.raises(NotPermittedError), office.open(an_act()):
        pytest.fail("the books were handed out")
    (entry,) = entries_of(log)
    assert entry.code == "not-permitted"
    assert b"secret value" not in entry.encode()


@pytest.mark.parametrize(
    "error",
    [
        ConflictError("case `c-7` is rejected", case="c-7"),
        TamperedError("a byte changed", place=7),
        UnavailableError("the blob store is away"),
    ],
)
def test_a_refusal_in_the_body_rolls_back_and_is_recorded(office, desk, log, error):
    with pytest.raises(type(error)) as raised, office.open(an_act()) as books:  # noqa: PT012  # the act is the block
        books.grants.put(Grants(sequence=1))
        raise error
    assert raised.value is error
    assert error.entry == EntryRef(ORIGIN, 0)
    assert grants_of(desk) == 0
    (entry,) = entries_of(log)
    assert (entry.type, entry.code, entry.reason) == ("refusal", error.code, error.message)
    assert entry.facts == error.details


def test_an_unexpected_error_is_recorded_without_its_text(office, desk, log):
    with pytest.raises(ZeroDivisionError), office.open(an_act()) as books:  # noqa: PT012  # the act is the block
        books.grants.put(Grants(sequence=1))
        raise ZeroDivisionError("the applicant's income is 12,000")
    assert grants_of(desk) == 0
    (entry,) = entries_of(log)
    assert entry.code == "error"
    assert b"12,000" not in entry.encode()


def test_what_the_log_could_not_take_is_refused_while_it_can_be_undone(office, desk, log):
    with pytest.raises(TooLargeError), office.open(an_act()) as books:  # noqa: PT012  # the act is the block
        books.grants.put(Grants(sequence=1))
        books.note(much="x" * 70_000)
    with pytest.raises(InvalidInputError), office.open(an_act("open-shard", "Log", "x")) as books:  # noqa: PT012  # the act is the block
        books.grants.put(Grants(sequence=1))
        books.note(origin="not an origin")
    with pytest.raises(InvalidInputError), office.open(an_act()) as books:  # noqa: PT012  # the act is the block
        books.grants.put(Grants(sequence=1))
        books.note(huge=2**60)
    with pytest.raises(TypeError), office.open(an_act()) as books:  # noqa: PT012  # the act is the block
        books.grants.put(Grants(sequence=1))
        books.note(score=0.5)
    assert grants_of(desk) == 0
    assert [entry.outcome for entry in entries_of(log)] == ["refused"] * 4
    assert office.fsck() == []


def test_a_refusal_with_monstrous_details_is_still_recorded(office, log):
    with pytest.raises(RefusedError), office.open(an_act()):
        raise RefusedError("x" * 100_000, huge=2**80, long="y" * 100_000, **{f"n{i}": i for i in range(500)})
    (entry,) = entries_of(log)
    assert len(entry.reason) == 2_000
    assert entry.facts["huge"] == str(2**80)


def test_a_fact_cannot_be_noted_twice_with_another_value(office):
    with pytest.raises(TypeError), office.open(an_act()) as books:  # noqa: PT012  # the act is the block
        books.note(digest="a")
        books.note(digest="a")
        books.note(digest="b")


def test_an_unknown_verb_is_refused_even_by_a_policy_that_allows_all(office, log):
    with pytest.raises(ValueError, match="dance"), office.open(an_act("dance")):
        pass
    (entry,) = entries_of(log)
    assert (entry.verb, entry.code) == ("dance", "error")


def test_the_books_outrank_what_the_act_says_of_a_resource(desk, log):
    rules = Rules()
    office = Office(rules, desk, log, lambda: AT, lambda size: bytes(size), lambda books, on: {"author": "ann"})
    act = an_act("approve", "Case")
    with office.open(replace(act, on=replace(act.on, attributes={"author": "someone-else"}))):
        pass
    assert rules.asked[0].on.attributes == {"author": "ann"}


def test_kinds_of_entries_follow_the_verb(office, log):
    opening = open_shard(LogKey("bank.example/credit/eu/n1/0/1", bytes(32)).verifier, 5)
    with office.open(an_act("open-shard", "Log", opening.origin)) as books:
        books.note(generation=opening.generation, opened_us=5, origin=opening.origin, vkey=opening.vkey)
    with office.open(an_act("erase", "Subject")) as books:
        books.note(tag="ab")
    with office.open(an_act("alert", "Model")) as books:
        pass
    assert [logged.document.type for logged in log.entries()] == ["open", "erasure", "alert"]
    assert office.fsck() == []


def test_a_log_that_cannot_be_written_stops_acts_and_says_what_took_place(desk, rules):
    class Broken:
        down = True

        def __init__(self, inner):
            self.inner = inner

        def append(self, *args):
            if self.down:
                raise NotDurableError("the disk is full")
            return self.inner.append(*args)

        def __getattr__(self, name):
            return getattr(self.inner, name)

    from tests.memory.office import MemoryLog

    log = Broken(MemoryLog(ORIGIN))
    numbers = iter(range(1, 100))
    office = Office(rules, desk, log, lambda: AT, lambda size: next(numbers).to_bytes(size, "big"))
    with pytest.raises(NotDurableError, match="took place"), office.open(an_act()) as books:
        books.grants.put(Grants(sequence=1))
    assert grants_of(desk) == 1
    assert [finding.what for finding in office.fsck()] == ["the outbox has a row without an entry in the log"]
    # the next act may not overtake the entry that waits
    with pytest.raises(NotDurableError), office.open(an_act()):
        pytest.fail("the books were handed out")
    log.down = False
    with office.open(an_act("backup")) as books:
        pass
    assert books.receipt == EntryRef(ORIGIN, 1)
    assert [entry.verb for entry in entries_of(log)] == ["timestamp", "backup"]
    assert office.fsck() == []


def test_a_refusal_that_cannot_be_recorded_is_no_refusal_but_an_outage(desk, rules):
    from tests.memory.office import MemoryLog

    class Down(MemoryLog):
        def append(self, *args):
            raise NotDurableError("the disk is full")

    office = Office(rules, desk, Down(ORIGIN), lambda: AT, lambda size: bytes(size))
    rules.say = deny
    with pytest.raises(NotDurableError), office.open(an_act()):
        pass
    with pytest.raises(NotDurableError), office.open(an_act()):
        pass


def test_fsck_finds_what_stands_alone(office, desk, log):
    with office.open(an_act()):
        pass
    stray = Entry.decode(next(iter(log.entries())).entry)
    other = Entry(**{**{name: getattr(stray, name) for name in stray.__struct_fields__}, "act_id": "f" * 32})
    log.append("f" * 32, "act", other.encode(), 5)
    (finding,) = office.fsck()
    assert (finding.what, finding.act_id) == ("the log has an entry that the outbox does not know", "f" * 32)
    assert finding.entry == EntryRef(ORIGIN, 1)


def test_who_is_named_by_id_alone(office, log):
    with office.open(an_act()):
        pass
    (entry,) = entries_of(log)
    assert entry.who == ANN.id
