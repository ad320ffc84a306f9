"""The governance log over a shard: sealed entries, plain openings, and what happens when bytes change."""

from __future__ import annotations

import json

import pytest

from strongroom.adapters.log.governance import GovernanceKey, ShardGovernanceLog
from strongroom.errors import ConflictError, InvalidInputError, NotFoundError, TamperedError
from strongroom.ledger.actions import open_shard
from strongroom.ledger.checkpoint import LogKey, open_checkpoint
from strongroom.ledger.entries import OpenEntry
from strongroom.ledger.leaf import Leaf
from strongroom.ledger.ports import Record
from strongroom.office.acts import Act, EntryRef, Resource
from strongroom.office.entries import Entry, done
from strongroom.sealing.records import open_plain
from strongroom.vocabulary import Digest, micros
from tests.memory.shard import MemoryShard
from tests.office.conftest import ANN, AT, ORIGIN, counter

KEY = GovernanceKey(bytes(31) + b"\x09")
LOG_KEY = LogKey(ORIGIN, bytes(31) + b"\x07")
OPENING = open_shard(LogKey("bank.example/credit/eu/n1/0/1", bytes(32)).verifier, 5)


def act_id(number: int) -> str:
    return f"{number:032x}"


def entry(number: int, verb: str = "timestamp", **facts: str | int) -> Entry:
    return done(act_id(number), Act(ANN, verb, Resource("Room", "credit"), AT), facts)


def opening(number: int) -> Entry:
    facts = {"generation": 1, "opened_us": 5, "origin": OPENING.origin, "vkey": OPENING.vkey}
    return done(act_id(number), Act(ANN, "open-shard", Resource("Log", OPENING.origin), AT), facts)


@pytest.fixture
def shard() -> MemoryShard:
    return MemoryShard(ORIGIN, LOG_KEY)


@pytest.fixture
def log(shard: MemoryShard) -> ShardGovernanceLog:
    return ShardGovernanceLog(shard, KEY, counter(), Digest("ab" * 32))


def append(log: ShardGovernanceLog, written: Entry) -> EntryRef:
    return log.append(written.act_id, written.type, written.encode(), micros(AT))


def test_an_entry_is_sealed_and_read_back(log: ShardGovernanceLog, shard: MemoryShard) -> None:
    written = entry(1, systems=3)
    ref = append(log, written)
    assert ref == EntryRef(ORIGIN, 0) == log.find(act_id(1))
    record = shard.reader().get(0)
    assert record.payload is not None
    assert b"ann" not in record.payload + record.leaf
    leaf = Leaf.decode(record.leaf)
    assert (leaf.type, leaf.release, leaf.policy, leaf.decision_id) == ("act", None, "ab" * 32, act_id(1))
    assert log.entry(ref).entry == written.encode()
    assert log.find(act_id(2)) is None


def test_appending_again_returns_the_same_place(log: ShardGovernanceLog, shard: MemoryShard) -> None:
    for _ in range(3):
        assert append(log, entry(1)).index == 0
        assert append(log, opening(2)).index == 1
    assert shard.size == 3
    with pytest.raises(ConflictError):
        append(log, entry(1, other=1))
    again = ShardGovernanceLog(shard, KEY, counter())
    assert append(again, opening(2)).index == 1
    assert [logged.ref.index for logged in again.entries()] == [0, 1]


def test_an_opening_is_plain_for_all_and_sealed_for_who(log: ShardGovernanceLog, shard: MemoryShard) -> None:
    append(log, entry(1))
    ref = append(log, opening(2))
    append(log, entry(3))
    record = shard.reader().get(ref.index)
    leaf = Leaf.decode(record.leaf)
    assert record.payload is not None
    assert (leaf.type, leaf.key_id) == ("open", "none")
    assert OpenEntry.decode(open_plain(record.payload, leaf.payload_sha256)) == OPENING
    assert b"ann" not in record.payload
    assert [(one.document.type, one.ref.index) for one in log.entries()] == [("act", 0), ("open", 1), ("act", 3)]
    assert Entry.decode(log.entry(ref).entry).who == "ann"


def test_a_disclosed_opening_is_accepted_by_the_offline_verifier(log: ShardGovernanceLog, shard: MemoryShard) -> None:
    from strongroom import verify

    append(log, entry(1))
    ref = append(log, opening(2))
    for number in range(3, 9):
        append(log, entry(number))
    policy = verify.read_policy(f"log {shard.verifier}\nquorum none\n".encode())
    shown = verify.read_disclosed(log.disclose(ref), policy)
    assert shown.index == 1
    assert shown.document["vkey"] == OPENING.vkey
    assert verify.shard_key(shown).name == OPENING.origin
    with pytest.raises(InvalidInputError):
        log.disclose(EntryRef(ORIGIN, 0))
    with pytest.raises(NotFoundError):
        log.disclose(EntryRef(ORIGIN, 99))
    with pytest.raises(NotFoundError):
        log.disclose(EntryRef("other", 1))
    broken = json.loads(log.disclose(ref))
    broken["payload"] = broken["payload"].replace("A", "B", 1)
    with pytest.raises(verify.TamperedError):
        verify.read_disclosed(json.dumps(broken, sort_keys=True, separators=(",", ":")).encode(), policy)


def test_seen_is_the_newest_checkpoint(log: ShardGovernanceLog, shard: MemoryShard) -> None:
    append(log, entry(1))
    seen = log.seen()
    checkpoint = open_checkpoint(shard.checkpoint, shard.verifier)
    assert (seen.origin, seen.size, seen.root) == (ORIGIN, 1, checkpoint.root.hex())


def test_an_entry_of_another_act_or_kind_is_refused(log: ShardGovernanceLog, shard: MemoryShard) -> None:
    written = entry(1)
    with pytest.raises(InvalidInputError):
        log.append(act_id(2), "act", written.encode(), 1)
    with pytest.raises(InvalidInputError):
        log.append(act_id(1), "refusal", written.encode(), 1)
    with pytest.raises(InvalidInputError):
        log.append(act_id(1), "act", b"{}", 1)
    assert shard.size == 0


def rewritten(shard: MemoryShard, change: dict[int, Record], drop: tuple[int, ...] = ()) -> ShardGovernanceLog:
    """The same log with records replaced, signed again: only the office's own checks can tell."""
    other = MemoryShard(ORIGIN, LOG_KEY)
    for stored in shard.reader():
        if stored.place not in drop:
            assert stored.payload is not None
            other.append([change.get(stored.place, Record(stored.leaf, stored.payload))])
    return ShardGovernanceLog(other, KEY, counter())


def test_what_was_changed_by_the_log_operator_is_found(log: ShardGovernanceLog, shard: MemoryShard) -> None:
    append(log, entry(1))
    append(log, opening(2))
    append(log, entry(3))
    records = [Record(stored.leaf, stored.payload or b"") for stored in shard.reader()]
    another = ShardGovernanceLog(MemoryShard(ORIGIN, LOG_KEY), GovernanceKey(bytes(32)), counter())
    append(another, entry(1))
    (foreign,) = another._shard.reader()
    attacks = [
        rewritten(shard, {}, drop=(1,)),
        rewritten(shard, {}, drop=(2,)),
        rewritten(shard, {}, drop=(2, 3)),
        rewritten(shard, {2: records[3]}),
        rewritten(shard, {0: Record(foreign.leaf, foreign.payload or b"")}),
        rewritten(shard, {0: Record(records[0].leaf.replace(b'"act"', b'"refusal"'), records[0].payload)}),
        rewritten(
            shard, {0: Record(records[0].leaf.replace(act_id(1).encode(), act_id(9).encode()), records[0].payload)}
        ),
    ]
    for attacked in attacks:
        with pytest.raises(TamperedError):
            list(attacked.entries())
    assert len(list(rewritten(shard, {}).entries())) == 3


def test_older_keys_still_open_older_entries(shard: MemoryShard, log: ShardGovernanceLog) -> None:
    append(log, entry(1))
    new = GovernanceKey(bytes(32))
    rotated = ShardGovernanceLog(shard, new, counter(), older_keys=(KEY,))
    append(rotated, entry(2))
    assert [one.document.act_id for one in rotated.entries()] == [act_id(1), act_id(2)]
    with pytest.raises(TamperedError, match="does not have"):
        list(ShardGovernanceLog(shard, new, counter()).entries())
    assert "secret" not in repr(new)
    with pytest.raises(InvalidInputError):
        GovernanceKey(b"short")
