"""Retention: what is past its term goes, whole segments at a time, with a proof; nothing else ever does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom import verify
from strongroom.adapters.log.shard_reader import FolderView, ShardReader
from strongroom.compliance.retention import FOREVER_US, Hold, Segment, droppable, open_proof, read_holds
from strongroom.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    NotPermittedError,
    TamperedError,
)
from strongroom.ledger.fsck import fsck
from strongroom.ledger.note import VerifierKey
from strongroom.office.entries import Entry
from strongroom.serving.replay import read_decision
from strongroom.vocabulary import Digest, digest_of, micros
from strongroom.wiring import checking, upkeep
from strongroom.wiring.records import NodeRecords
from tests.compliance.house import PASSPHRASE, House, leaves, make_house

PAST_US, FUTURE_US = 1_790_000_000_000_000 - 1, 2_500_000_000_000_000
OLD_US = 1_700_000_000_000_000


def segment(first: int, count: int, **changes: Any) -> Segment:
    return Segment(first, first + count, 1000, digest_of(b"%d" % first), leaves(count, first, **changes))


numbers = st.integers(0, 9)


@given(
    terms=st.lists(st.lists(numbers, min_size=1, max_size=4), max_size=6),
    now=numbers,
    below=st.integers(0, 24),
    held=st.lists(st.tuples(numbers, numbers, st.sampled_from((None, "a", "b"))), max_size=3),
)
def test_what_goes_is_the_longest_run_in_which_every_record_may(
    terms: list[list[int]], now: int, below: int, held: list[tuple[int, int, str | None]]
) -> None:
    """Against the rule said in the simplest words, record by record."""
    known = {Digest("a" * 64): "a", Digest("b" * 64): "b"}
    releases = [Digest("a" * 64), Digest("b" * 64), Digest("c" * 64), None]
    segments, at = [], 0
    for row in terms:
        made = [
            leaves(1, at + n, retain_until_us=term, time_us=term, release=releases[term % 4])[0]
            for n, term in enumerate(row)
        ]
        segments.append(Segment(at, at + len(row), 1, digest_of(b""), made))
        at += len(row)
    holds = [
        Hold(name=f"h{n}", since_us=min(a, b), until_us=max(a, b), model=model, reason="r")
        for n, (a, b, model) in enumerate(held)
    ]

    def may(one: Segment) -> bool:
        for leaf in one.leaves:
            model = known.get(leaf.release) if leaf.release else None
            if leaf.retain_until_us > now:
                return False
            if any(h.since_us <= leaf.time_us <= h.until_us and h.model in (None, model) for h in holds):
                return False
            if any(h.since_us <= leaf.time_us <= h.until_us for h in holds) and model is None:
                return False
        return one.end <= below

    count = next((n for n, one in enumerate(segments) if not may(one)), len(segments))
    found = droppable(segments, below, now, holds, known)
    assert found.segments == tuple(segments[:count])
    assert bool(found.stopped_by) == (count < len(segments))


def test_a_hold_is_read_from_the_log_until_it_is_lifted() -> None:
    facts = {"name": "case-1", "since_us": 5, "until_us": 9, "reason": "court", "request": "e" * 64}
    other = {"name": "case-2", "since_us": 0, "until_us": FOREVER_US, "model": "pd-cards", "reason": "court"}
    acts = [("release", {"name": "x"}), ("hold", facts), ("hold", other), ("lift-hold", {"name": "case-1"})]
    assert list(read_holds(acts)) == ["case-2"]
    assert list(read_holds(acts[:3])) == ["case-1", "case-2"]
    for wrong in ({**facts, "since_us": "5"}, {**facts, "until_us": 1}, {"name": "case-3"}):
        with pytest.raises(TamperedError):
            read_holds([("hold", wrong)])
    for bad in ({"since_us": 9, "until_us": 5}, {"reason": " "}, {"name": "Case 1"}, {"reason": "a\nb"}):
        with pytest.raises(InvalidInputError):
            Hold(**{"name": "n", "since_us": 0, "until_us": 9, "model": None, "reason": "r", **bad})  # type: ignore[arg-type]


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    return make_house(tmp_path, monkeypatch)


def refused(house: House, person: str, error: type[Exception], match: str) -> None:
    before = sorted(path.name for path in (house.layout.ledger(0) / "segments").iterdir())
    with house.at(person) as desk, pytest.raises(error, match=match):
        upkeep.retain(desk, house.node, 0, "ten years are over")
    assert sorted(path.name for path in (house.layout.ledger(0) / "segments").iterdir()) == before


def test_what_is_past_its_term_goes_with_a_proof_and_the_log_stays_whole(house: House) -> None:
    log = house.layout.ledger(0)
    old, young = leaves(60, retain_until_us=OLD_US), leaves(60, 60, retain_until_us=FUTURE_US)
    house.write([*old, *young])
    key = VerifierKey.parse((log / "shard.json").read_bytes().split(b'"vkey":"')[1].split(b'"')[0].decode())
    proofs_before = [ShardReader(log, key).prove(n) for n in range(0, 120, 7)]
    segments = {path.name: path.read_bytes() for path in (log / "segments").glob("0*.seg")}
    # who may not
    refused(house, "ann", NotPermittedError, "no policy lets")
    refused(house, "audrey", NotPermittedError, "no policy lets")
    # a hold on a time that one of them is of
    with house.at("audrey") as desk:
        moment = old[3].time_us
        upkeep.place_hold(desk, Hold(name="case-1", since_us=moment, until_us=moment, model=None, reason="court"))
        with pytest.raises(ConflictError, match="entered before"):
            upkeep.place_hold(desk, Hold(name="case-1", since_us=0, until_us=1, model=None, reason="court"))
    refused(house, "omar", ConflictError, "under hold `case-1`")
    with house.at("audrey") as desk, pytest.raises(NotPermittedError):
        upkeep.lift_hold(desk, "case-1")
    with house.at("dora") as desk:
        upkeep.lift_hold(desk, "case-1")
        with pytest.raises(NotFoundError):
            upkeep.lift_hold(desk, "case-1")
        dropped = upkeep.retain(desk, house.node, 0, "ten years are over")
    proof = dropped.proof
    left = sorted(path.name for path in (log / "segments").glob("0*.seg"))
    assert 0 < proof.end <= 60
    assert left[0] == f"{proof.end:020d}.seg"
    assert {f"{one.first:020d}.seg": one.sha256 for one in proof.segments} == {
        name: digest_of(data) for name, data in segments.items() if name not in left
    }
    # the proof is signed by the room, and its digest is in the governance log
    with house.at("omar") as desk:
        keys = {desk.room.keys.signer("control-plane").public.key_id: desk.room.keys.signer("control-plane").public}
        envelope = dropped.file.read_bytes()
        assert open_proof(envelope, keys) == proof
        facts = Entry.decode(desk.room.log.entry(dropped.entry).entry).facts
        assert (facts["proof"], facts["end"]) == (digest_of(envelope), proof.end)
        with pytest.raises(TamperedError):
            open_proof(envelope.replace(b"a", b"b", 1), keys)
    # every proof stands, every leaf is there, and what is gone is called retention
    reader = ShardReader(log, key)
    assert [reader.prove(n) for n in range(0, 120, 7)] == proofs_before
    assert [stored.payload is None for stored in reader] == [n < proof.end for n in range(120)]
    with pytest.raises(NotFoundError, match="past its term") as gone:
        read_decision(reader.get(0), None)
    assert gone.value.details["rule"] == "retention"
    assert [one.kind for one in fsck(FolderView(log), key)] == ["retained-out"]
    # and the rest is not yet due
    refused(house, "dora", ConflictError, "has not reached its term")
    with house.writer() as shard:
        assert shard.size == 120
    with house.at("audrey") as desk, NodeRecords.open(house.node, PASSPHRASE) as records:
        checked = checking.check_room(desk, [records])
    assert [one for one in checked if one.findings] == []
    assert "retained-out" in checked[-1].notes[0]


def test_payloads_that_went_without_an_act_are_a_finding(house: House) -> None:
    house.write(leaves(120, retain_until_us=OLD_US))
    with house.at("dora") as desk:
        end = upkeep.retain(desk, house.node, 0, "ten years are over").proof.end
    house.write(leaves(120, retain_until_us=OLD_US))
    segments = sorted((house.layout.ledger(0) / "segments").glob("0*.seg"))
    segments[0].unlink()
    with house.at("audrey") as desk, NodeRecords.open(house.node, PASSPHRASE) as records:
        found = [one for one in checking.check_room(desk, [records]) if one.findings]
    assert int(segments[1].name[:20]) > end
    assert ["no act of retention says so" in one.findings[0] for one in found] == [True]


def test_what_no_witness_has_fixed_stays(house: House) -> None:
    house.write(leaves(60, retain_until_us=OLD_US), cosign=False)
    refused(house, "omar", ConflictError, "no witness has cosigned")
    house.write(leaves(60, 60, retain_until_us=OLD_US), 60)
    with house.at("omar") as desk:
        assert upkeep.retain(desk, house.node, 0, "over").proof.end > 0
    note = house.layout.ledger(0) / "public" / "checkpoint.cosigned"
    data = note.read_bytes()
    note.write_bytes(data.rsplit("— ".encode(), 1)[0])
    refused(house, "omar", TamperedError, "cosignatures")


def test_evidence_of_tampering_is_not_dropped(house: House) -> None:
    house.write(leaves(120, retain_until_us=OLD_US))
    tile = house.layout.ledger(0) / "public" / "tile" / "0" / "000.p" / "120"
    data = bytearray(tile.read_bytes())
    data[32 * 5] ^= 1
    tile.write_bytes(data)
    refused(house, "omar", TamperedError, "not the published one")


def test_an_interrupted_dropping_is_finished_by_the_next(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recorded, but nothing deleted yet: the command says what it does once more, and does it."""
    house.write(leaves(120, retain_until_us=OLD_US))
    with house.at("omar") as desk, monkeypatch.context() as broken:
        broken.setattr(upkeep, "drop_segments", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            upkeep.retain(desk, house.node, 0, "over")
    assert FolderView(house.layout.ledger(0)).segments()[0].first == 0
    with house.at("omar") as desk:
        proof = upkeep.retain(desk, house.node, 0, "over").proof
    assert FolderView(house.layout.ledger(0)).segments()[0].first == proof.end


def test_an_export_verifies_alone(
    house: House, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from strongroom.adapters.log.export import write_folder, write_tar

    house.write(leaves(300, retain_until_us=OLD_US))
    with house.at("dora") as desk:
        upkeep.retain(desk, house.node, 0, "over")
    for up_to, size in ((None, 300), (41, 50), (300, 300)):
        with house.at("audrey") as desk:
            files, commands = upkeep.export(desk, [house.node], up_to)
        target = tmp_path / f"export-{up_to}"
        write_folder(target, files)
        assert any(path.startswith("retention/") for path in files)
        if up_to == 41:
            # segments of the first entries are gone, and with them their checkpoints: the next that is left
            assert size <= _size(target)
            size = _size(target)
        monkeypatch.chdir(target)
        for line in commands:
            assert verify.main(line.split()[1:]) == 0, capsys.readouterr().err
        assert f"{size} entries" in capsys.readouterr().out
    with (tmp_path / "a.tar").open("xb") as first, (tmp_path / "b.tar").open("xb") as second:
        write_tar(first, files)
        write_tar(second, files)
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    assert not any(path.endswith(".seg") for path in files)
    with house.at("ann") as desk, pytest.raises(NotPermittedError):
        upkeep.export(desk, [house.node])
    with house.at("audrey") as desk, pytest.raises(InvalidInputError, match="300 published"):
        upkeep.export(desk, [house.node], 301)


def _size(target: Path) -> int:
    (folder,) = (target / "shards").iterdir()
    return int((folder / "checkpoint").read_text().split("\n")[1])


def test_a_stopped_gateway_and_the_governance_log_are_mended(house: House) -> None:
    house.write(leaves(300, retain_until_us=OLD_US))
    log = house.layout.ledger(0)
    before = {path: path.read_bytes() for path in log.glob("public/**/*") if path.is_file()}
    governance = house.folder / "ledger" / "governance" / "public"
    (log / "public" / "tile" / "0" / "000").unlink()
    (log / "public" / "checkpoint").write_bytes(b"gone")
    (governance / "checkpoint").unlink()
    with pytest.raises(TamperedError), house.at("omar"):
        pass
    done = upkeep.mend_governance(house.folder, PASSPHRASE)
    assert "public/checkpoint" in done.rebuilt
    with house.at("omar") as desk:
        upkeep.record_governance_repair(desk, done)
        ((origin, mended),) = upkeep.repair_node(desk, house.node, PASSPHRASE)
    assert origin == "bank/credit/eu/gw/0/1"
    assert set(mended.rebuilt) == {"public/tile/0/000", "public/checkpoint"}
    assert {path: path.read_bytes() for path in before} == before
    with house.at("audrey") as desk, pytest.raises(NotPermittedError):
        upkeep.repair_node(desk, house.node, PASSPHRASE)
    with house.writer(), house.at("omar") as desk, pytest.raises(ConflictError, match="stop the gateway"):
        upkeep.repair_node(desk, house.node, PASSPHRASE)


def test_micros_are_what_terms_are_in() -> None:
    from strongroom.wiring.control import now

    assert OLD_US < micros(now()) < FUTURE_US
