"""A person's machine reads each entry of the governance log once: what it kept spares time and believes nobody."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import msgspec
import pytest

from strongroom.adapters.log.governance import ShardGovernanceLog
from strongroom.approval.inheritance import Known
from strongroom.approval.log_memory import MEMORY_TYPE, LogMemory, Proven, read_on
from strongroom.approval.statements import GovernanceSeen
from strongroom.encoding import canonical
from strongroom.errors import InvalidInputError, TamperedError
from strongroom.ledger.tree import Frontier
from strongroom.office.acts import Act, Resource
from strongroom.office.entries import done
from strongroom.sealing.dsse import sign_envelope
from strongroom.vocabulary import Digest, ModelRef, digest_of, micros
from tests.approval.control_room import governance_log
from tests.office.conftest import ANN, AT
from tests.simulator import signer


class Counting:
    """The log, and how many records of it were opened."""

    def __init__(self, log: ShardGovernanceLog) -> None:
        self.log = log
        self.opened = 0

    def proven(
        self, verbs: Collection[str], since: Sequence[GovernanceSeen] = (), edge: Frontier | None = None
    ) -> Proven:
        walk = self.log._walk

        def counted(records: Any) -> Iterator[Any]:
            for record in records:
                self.opened += 1
                yield record

        self.opened = 0
        self.log._walk = lambda records: walk(counted(records))  # type: ignore[method-assign]  # to count
        try:
            return self.log.proven(verbs, since, edge)
        finally:
            self.log._walk = walk  # type: ignore[method-assign]  # as it was


def say(log: ShardGovernanceLog, verb: str, model: str, **facts: str) -> None:
    number = log.seen().size
    entry = done(f"{number:032x}", Act(ANN, verb, Resource("Model", model), AT), facts)
    log.append(entry.act_id, entry.type, entry.encode(), micros(AT))


def submitted(log: ShardGovernanceLog, model: str) -> Known:
    manifest = digest_of(model.encode())
    say(log, "submit", model, manifest=manifest)
    return Known(ModelRef(model, manifest), ANN.id)


def stepped(log: ShardGovernanceLog, known: Known, step: bytes) -> Known:
    say(log, "finding", known.ref.name, manifest=known.ref.manifest, statement=digest_of(step))
    return Known(known.ref, known.author, (*known.steps, digest_of(step)), known.review)


def test_what_was_read_is_not_read_again_and_nothing_is_missed() -> None:
    log = Counting(governance_log())
    cards = submitted(log.log, "cards")
    for _ in range(5):
        say(log.log, "timestamp", "cards")
    read, memory = read_on(log, None, None)
    assert (read.versions, log.opened) == ((cards,), 6)
    memory = LogMemory.open(memory.sign(signer("abel")), signer("abel").public) or pytest.fail("its own")
    read, again = read_on(log, read.seen, memory)
    assert (read.versions, log.opened, again) == ((cards,), 0, memory)
    cards, loans = stepped(log.log, cards, b"1"), submitted(log.log, "loans")
    say(log.log, "review", "cards", manifest=cards.ref.manifest, evidence=digest_of(b"r"))
    read, memory = read_on(log, read.seen, memory)
    cards = Known(cards.ref, cards.author, cards.steps, digest_of(b"r"))
    assert (read.versions, log.opened) == ((cards, loans), 3)
    assert read_on(log, read.seen, None) == (read, memory)
    assert log.opened == 9


def test_another_history_is_refused_however_much_is_remembered() -> None:
    log, fork = governance_log(), governance_log()
    for one in (log, fork):
        submitted(one, "cards")
    stepped(log, Known(ModelRef("cards", digest_of(b"cards")), ANN.id), b"1")
    say(fork, "timestamp", "cards")
    read, memory = read_on(log, None, None)
    with pytest.raises(TamperedError, match="cut or replaced"):
        read_on(fork, read.seen, memory)
    for _ in range(3):
        say(fork, "timestamp", "cards")
        with pytest.raises(TamperedError, match="cut or replaced"):
            read_on(fork, read.seen, memory)
    with pytest.raises(TamperedError, match="cut or replaced"):
        read_on(governance_log(), read.seen, memory)


def test_a_new_entry_that_is_not_its_leaf_s_is_found_behind_what_is_remembered() -> None:
    log = governance_log()
    submitted(log, "cards")
    read, memory = read_on(log, None, None)
    stepped(log, read.versions[0], b"1")
    records = log._shard._records  # type: ignore[attr-defined]  # what its operator can reach
    first, last = records[0], records[-1]
    for wrong in (last._replace(payload=first.payload), first, last._replace(leaf=first.leaf)):
        records[-1] = wrong
        with pytest.raises(TamperedError):
            read_on(log, read.seen, memory)
    records[-1] = last
    assert len(read_on(log, read.seen, memory)[0].versions[0].steps) == 1


def test_a_memory_that_does_not_fit_is_not_used() -> None:
    log = Counting(governance_log())
    submitted(log.log, "cards")
    before = log.log.seen()
    submitted(log.log, "loans")
    read, memory = read_on(log, None, None)
    # nothing was seen, or less than is kept: a home that was set back, or that somebody wrote into
    for seen in (None, before):
        assert read_on(log, seen, memory)[0] == read
        assert log.opened == 2
    elsewhere = msgspec.structs.replace(memory, head=msgspec.structs.replace(memory.head, origin="a/b/c/d/e/1"))
    assert read_on(log, read.seen, elsewhere)[0] == read
    assert log.opened == 2


def test_a_memory_is_whole_and_by_the_key_that_is_asked_or_none() -> None:
    log = governance_log()
    submitted(log, "cards")
    _, memory = read_on(log, None, None)
    key = signer("abel")
    assert LogMemory.open(memory.sign(key), key.public) == memory
    assert LogMemory.open(memory.sign(signer("bea")), key.public) is None
    assert LogMemory.open(sign_envelope(canonical(memory), key), key.public) is None, "signed as something else"
    plain = msgspec.to_builtins(memory)
    longer = {"head": plain["head"] | {"size": 3}}
    for change in ({"edge": "00" * 32}, {"edge": "x"}, {"edge": ""}, longer, {"more": 1}):
        wrong = sign_envelope(canonical(plain | change), key, payload_type=MEMORY_TYPE)
        assert LogMemory.open(wrong, key.public) is None
    with pytest.raises(InvalidInputError):
        msgspec.structs.replace(memory, head=GovernanceSeen(origin=memory.head.origin, size=1, root=Digest("0" * 64)))
