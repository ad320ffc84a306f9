"""Outcomes: posted through the door, joined by id; drift counted again from real records."""

from __future__ import annotations

import hashlib

import msgspec
import numpy as np
import pytest

from strongroom.access.principals import Principal
from strongroom.adapters.keystore.direct import memory_keys
from strongroom.adapters.log.decision_reader import LedgerDecisions
from strongroom.approval.release import Bins, Monitors, NumericProfile, Plan, Release
from strongroom.encoding import canonical
from strongroom.errors import ConflictError, InvalidInputError, NotFoundError, NotPermittedError, TamperedError
from strongroom.ledger.checkpoint import LogKey
from strongroom.ledger.leaf import Leaf, commitment
from strongroom.ledger.ports import Record
from strongroom.monitoring.actions import post_outcomes, raise_alerts, read_drift, read_outcomes
from strongroom.monitoring.outcomes import Decided, Outcome, OutcomeBatch, by_id, join
from strongroom.monitoring.performance import performance
from strongroom.office.entries import Entry
from strongroom.registry.contract import CutOff, Feature, InputContract, OutputContract
from strongroom.sealing.records import DecisionRecord, Labels, encode_record, seal_record
from strongroom.sealing.subjects import subject_tag
from strongroom.serving.answer import AnswerTemplate
from strongroom.validation.results import NotEvaluable
from strongroom.vocabulary import Digest, ModelRef, PersonId, digest_of
from tests.memory.shard import MemoryShard
from tests.monitoring.conftest import House

MODEL = "pd-cards"
REF = ModelRef(MODEL, Digest("ab" * 32))
OPERATOR = Principal(PersonId("otto"), "Person", frozenset({"operator"}))
CALLER = Principal(PersonId("app"), "Service", frozenset({"caller"}), grants={"models": frozenset({"other"})})
ALERTER = Principal(PersonId("watch"), "Service", frozenset({"alerter"}))
ORIGIN = "bank.example/credit/eu/node/0/1"

INPUT = InputContract(
    tensor="x",
    features=tuple(
        Feature(name=name, type="float", unit="euro", purpose="ability to pay", legal_basis="contract")
        for name in ("income", "debt")
    ),
)
OUTPUT = OutputContract(tensor="p", name="pd", unit="probability", minimum="0", maximum="1")
EVEN = ("0.25", "0.5", "0.75")


def _bins(name: str) -> Bins:
    return Bins(name=name, edges=EVEN, counts=(250, 250, 250, 250))


RELEASE = Release(
    v=1,
    model=MODEL,
    manifest=REF.manifest,
    evidence=(),
    kind="pd",
    tier=1,
    environments=("live",),
    jurisdictions=("EU",),
    purposes=("credit",),
    not_before_us=0,
    review_due_us=2**50,
    input=INPUT,
    output=OUTPUT,
    cut_offs=(CutOff(decision="accept", below="0.5"), CutOff(decision="refer")),
    policies={},
    monitors=Monitors(
        features=(_bins("income"), _bins("debt")), score=_bins("pd"), psi_alert="0.2", psi_floor="0.0001", min_rows=50
    ),
    numeric_profile=NumericProfile(
        runtime="onnxruntime",
        version="1",
        provider="CPUExecutionProvider",
        threads=1,
        isa="x",
        mode="by-row",
        max_batch=1,
    ),
    plan=Plan(stages=("live",), max_canary_percent=0, fallback=None),
    min_gateway="0",
    diagram=Digest("00" * 32),
    case="c",
    kek_id="k",
    artifact="model.onnx",
)
RELEASE_DIGEST = digest_of(canonical(RELEASE))


class Ledger:
    """A log with real leaves, records and keys."""

    def __init__(self, house: House) -> None:
        self.keys = memory_keys(house.clock, grace_s=0.01)
        self.shard = MemoryShard(ORIGIN, LogKey(ORIGIN, bytes(31) + b"\x05"))
        self.template = AnswerTemplate.make(REF, RELEASE_DIGEST, INPUT, OUTPUT, ["accept", "refer"])

    def decide(self, number: int, row: list[float], score: float, *, recorded_as: int | None = None) -> str:
        identity = hashlib.sha256(str(number).encode()).digest()[:16]
        inside = hashlib.sha256(str(recorded_as if recorded_as is not None else number).encode()).hexdigest()[:32]
        (key,) = self.keys.get_or_create([self.tag(number)])
        answer = self.template.answered(
            inside,
            np.array(row, "<f4").tobytes(),
            np.array([score], "<f4").tobytes(),
            "accept" if score < 0.5 else "refer",
        )
        salt = hashlib.sha256(identity).digest()
        record = DecisionRecord(
            outcome="answered",
            answer=answer,
            salt=salt,
            subject=f"s-{number}",
            principal="app",
            labels=Labels(purpose="credit", jurisdiction="EU", environment="live"),
            numeric_profile={},
        )
        nonce = identity[:12]
        payload = seal_record(
            encode_record(record), key.aead, key.key_id, nonce, identity, bytes.fromhex(RELEASE_DIGEST)
        )
        leaf = Leaf(
            commitment=commitment(salt, answer),
            decision_id=identity.hex(),
            key_id=key.key_id.hex(),
            payload_sha256=digest_of(payload),
            payload_size=len(payload),
            policy=None,
            release=RELEASE_DIGEST,
            retain_until_us=10,
            time_us=1000 + number,
            type="decision",
        )
        self.shard.append([Record(leaf.encode(), payload)])
        return identity.hex()

    @staticmethod
    def tag(number: int) -> bytes:
        return subject_tag(b"i" * 32, "EU", f"s-{number}")

    @property
    def reader(self) -> LedgerDecisions:
        return LedgerDecisions([self.shard.reader()], self.keys)


@pytest.fixture
def ledger(house: House) -> Ledger:
    return Ledger(house)


def _batch(*pairs: tuple[str, int]) -> OutcomeBatch:
    outcomes = tuple(Outcome(decision_id=name, outcome=event, observed_at_us=9000) for name, event in pairs)  # type: ignore[arg-type]  # 0 or 1
    return OutcomeBatch(v=1, model=MODEL, outcomes=outcomes)


def test_posted_outcomes_meet_their_decisions(house: House, ledger: Ledger) -> None:
    ids = [ledger.decide(n, [0.1, 0.1], score) for n, score in enumerate((0.1, 0.2, 0.6, 0.9))]
    entry = post_outcomes(
        house.office, OPERATOR, _batch((ids[0], 0), (ids[1], 1), (ids[2], 0), ("0" * 32, 1)), house.clock
    )
    assert entry.index == 0
    joined = read_outcomes(house.office, ledger.reader, OPERATOR, MODEL, house.clock)
    assert joined.scores.tolist() == [np.float32(0.1), np.float32(0.2), np.float32(0.6)]
    assert joined.outcomes.tolist() == [0, 1, 0]
    assert (joined.unknown, joined.waiting) == (1, 1)
    assert joined.rate() == (1, 3)
    figures = performance(joined)
    assert not isinstance(figures.auc, NotEvaluable)
    assert figures.auc.auc == 0.5
    assert figures.by_decision == {"accept": (1, 2), "refer": (0, 1)}
    assert [Entry.decode(e.entry).verb for e in house.log.entries()] == ["outcomes", "monitor"]


def test_an_outcome_stands(house: House) -> None:
    post_outcomes(house.office, OPERATOR, _batch(("a" * 32, 1)), house.clock)
    post_outcomes(house.office, OPERATOR, _batch(("a" * 32, 1), ("b" * 32, 0)), house.clock)
    with pytest.raises(ConflictError):
        post_outcomes(house.office, OPERATOR, _batch(("c" * 32, 0), ("a" * 32, 0)), house.clock)
    with house.desk.begin() as transaction:
        shelf = transaction.books.outcomes
        assert [one.decision_id[0] for one in shelf.of_model(MODEL)] == ["a", "b"]
        assert shelf.of_model("other") == []
        assert shelf.forget(["a" * 32, "d" * 32]) == 1
        assert [one.decision_id[0] for one in shelf.of_model(MODEL)] == ["b"]


def test_events_are_no_outcomes_of_a_loss_and_the_refusal_is_recorded(house: House) -> None:
    with pytest.raises(ConflictError, match="numbers"):
        post_outcomes(house.office, OPERATOR, _batch(("a" * 32, 1)), house.clock, "number")
    with house.desk.begin() as transaction:
        assert transaction.books.outcomes.of_model(MODEL) == []
    assert [Entry.decode(e.entry).outcome for e in house.log.entries()] == ["refused"]


def test_a_caller_posts_for_its_own_models_only(house: House) -> None:
    with pytest.raises(NotPermittedError):
        post_outcomes(house.office, CALLER, _batch(("a" * 32, 1)), house.clock)


def test_bad_batches_are_refused() -> None:
    one = {"decision_id": "a" * 32, "outcome": 1, "observed_at_us": 1}
    for batch in (
        {"v": 1, "model": "m", "outcomes": []},
        {"v": 1, "model": "m", "outcomes": [one, one]},
        {"v": 2, "model": "m", "outcomes": [one]},
        {"v": 1, "model": "m", "outcomes": [{**one, "outcome": 2}]},
        {"v": 1, "model": "m", "outcomes": [{**one, "decision_id": "A" * 32}]},
        {"v": 1, "model": "m", "outcomes": [{**one, "observed_at_us": -1}]},
        {"v": 1, "model": "m", "outcomes": [{**one, "name": "x"}]},
    ):
        with pytest.raises(InvalidInputError):
            OutcomeBatch.decode(canonical(batch))
    good = canonical({"v": 1, "model": "m", "outcomes": [one]})
    assert canonical(OutcomeBatch.decode(good)) == good


def test_an_outcome_before_its_decision_is_a_mistake() -> None:
    decided = Decided("a" * 32, 100, MODEL, REF.manifest, RELEASE_DIGEST, np.zeros(2, np.float32), 0.5, "accept")
    with pytest.raises(ConflictError):
        join([decided], by_id([Outcome(decision_id="a" * 32, outcome=1, observed_at_us=99)]))


def test_drift_is_rebuilt_from_the_ledger_and_raises_alerts(house: House, ledger: Ledger) -> None:
    for number in range(80):
        ledger.decide(number, [0.1, (number % 4) / 4 + 0.1], (number % 4) / 4 + 0.05)
    report = read_drift(house.office, ledger.reader, OPERATOR, RELEASE, RELEASE_DIGEST, house.clock)
    assert report.rows == 80
    assert report.window_us == (1000, 1079)
    assert [(drift.name, drift.verdict) for drift in report.drifts] == [
        ("income", "alert"),
        ("debt", "stable"),
        ("pd", "stable"),
    ]
    ((alert, entry),) = raise_alerts(house.office, ALERTER, report, house.clock)
    logged = list(house.log.entries())[entry.index]
    document = Entry.decode(logged.entry)
    assert (document.type, document.verb, document.facts["column"]) == ("alert", "alert", "income")
    assert document.facts["value"] == alert.value
    with pytest.raises(NotPermittedError):
        raise_alerts(house.office, CALLER, report, house.clock)


def test_erased_decisions_leave_the_projection(house: House, ledger: Ledger) -> None:
    for number in range(5):
        ledger.decide(number, [0.1, 0.1], 0.1)
    ledger.keys.forget(ledger.tag(2))
    assert [one.time_us for one in ledger.reader.decided(MODEL)] == [1000, 1001, 1003, 1004]
    assert list(ledger.reader.decided("other")) == []
    assert list(ledger.reader.decided(MODEL, Digest("00" * 32))) == []
    with pytest.raises(NotFoundError):
        read_drift(house.office, ledger.reader, OPERATOR, RELEASE, RELEASE_DIGEST, house.clock, since_us=2000)


def test_a_record_of_another_decision_is_found_out(ledger: Ledger) -> None:
    ledger.decide(1, [0.1, 0.1], 0.1, recorded_as=2)
    with pytest.raises(TamperedError, match="another decision"):
        list(ledger.reader.decided(MODEL))


def test_the_release_is_a_release() -> None:
    assert msgspec.convert(msgspec.to_builtins(RELEASE), Release) == RELEASE
