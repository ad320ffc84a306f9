"""The same bits alone, in company and later; and what happens when a bit was changed."""

from __future__ import annotations

import hashlib
import os

import msgspec
import numpy as np
import pytest

from strongroom.adapters.runtimes.by_name import runtime_of
from strongroom.adapters.runtimes.onnx_runtime import OnnxRuntime
from strongroom.adapters.runtimes.xgboost_runtime import XGBoostRuntime
from strongroom.encoding import canonical
from strongroom.errors import ErasedError, InvalidInputError, NumericProfileError, TamperedError
from strongroom.ledger.leaf import Leaf, commitment
from strongroom.ledger.ports import StoredRecord
from strongroom.sealing.records import Labels, decode_record, encode_record, open_record, read_header, seal_record
from strongroom.sealing.subjects import subject_tag
from strongroom.serving.asked import Asked
from strongroom.serving.decision import answer_of
from strongroom.serving.question import Question
from strongroom.serving.receipt import verify_receipt
from strongroom.serving.replay import read_decision, replay
from strongroom.serving.served import make_ready
from tests.serving.house import GOOD, House, admitted, engine, release_of, served

LABELS = Labels(purpose="credit-decision", jurisdiction="EU", environment="production")


class Kept:
    def __init__(self):
        self.answer = self.error = None

    def answered(self, answered):
        self.answer = answered

    def refused(self, error, decision_id):
        self.error = error


def asked(model, values, subjects, receipt=False):
    rows = 1 if isinstance(values, list) else len(values)
    question = Question(rows, values, tuple(subjects), "credit-decision", "EU", None, receipt)
    return Asked(Kept(), "loan-desk", LABELS, engine().digest, model, question)


def decide(house, batch):
    decider = house.decider()
    predicted = decider.predict(batch)
    committed = decider.commit(predicted.outcomes, 1_700_000_000_000_000)
    return [answer_of(o, committed) if o.asked.error is None else o.asked.error for o in predicted.outcomes]


def stored(house, decision_id):
    return house.shard.reader().find(decision_id)


def key_of(house, subject):
    return house.keys.find(subject_tag(house.index_key, "EU", subject))


ROWS = np.random.default_rng(7).random((40, 4)) * [1e6, 0, 0, 1.1] + [0, 50, 2, -1]


@pytest.mark.parametrize("mode", ["batch-invariant", "padded", "by-row"])
def test_replays_bit_for_bit_alone_and_in_any_company(mode):
    model = served(mode=mode, max_batch=16)
    house = House(model)
    batch = [asked(model, row.tolist(), [f"s-{n}"]) for n, row in enumerate(ROWS[:9])]
    batch.append(asked(model, ROWS[9:], [f"m-{n}" for n in range(31)]))
    answers = decide(house, batch)
    fresh = make_ready(admitted(model.release), OnnxRuntime())
    for answer in answers:
        for decision_id, subject, score in zip(
            answer.decision_ids, answer.question.subjects, answer.scores, strict=True
        ):
            decision = read_decision(stored(house, decision_id), key_of(house, subject))
            for rows in (2, 7) if mode == "batch-invariant" else (1, 2, 7, 33):
                assert np.float32(replay(decision, fresh, rows).score).tobytes() == score.tobytes()


def test_a_release_of_native_xgboost_answers_and_replays():
    from xgboost import XGBClassifier

    rows = np.nan_to_num(ROWS.astype(np.float32))
    model = XGBClassifier(n_estimators=20, max_depth=3, n_jobs=1, random_state=1).fit(rows, np.arange(len(rows)) % 2)
    release, machine = release_of(), XGBoostRuntime().machine
    release = msgspec.structs.replace(
        release,
        input=msgspec.structs.replace(release.input, tensor="input"),
        output=msgspec.structs.replace(release.output, tensor="probability", column=0),
        numeric_profile=msgspec.structs.replace(
            release.numeric_profile, runtime="xgboost", version=machine.version, provider="cpu", mode="batch-invariant"
        ),
        artifact="model.ubj",
    )
    artifact = bytes(model.get_booster().save_raw("ubj"))
    ready = make_ready(admitted(release, artifact), runtime_of(release.numeric_profile))
    (answer,) = decide(House(ready), [asked(ready, ROWS, [f"s-{n}" for n in range(len(ROWS))])])
    assert (answer.scores == model.predict_proba(ROWS.astype(np.float32))[:, 1]).all()
    house = House(ready)
    (answer,) = decide(house, [asked(ready, ROWS[0].tolist(), ["s-1"])])
    decision = read_decision(stored(house, answer.decision_ids[0]), key_of(house, "s-1"))
    assert decision.record.numeric_profile["runtime"] == "xgboost"
    fresh = make_ready(admitted(release, artifact), XGBoostRuntime())
    for company in (1, 2, 65):
        assert np.float32(replay(decision, fresh, company).score) == answer.scores[0]
    with pytest.raises(NumericProfileError):
        make_ready(admitted(release, artifact), OnnxRuntime())


def test_rows_of_one_request_have_consecutive_ids_and_records_of_their_own():
    model = served()
    house = House(model)
    (answer,) = decide(house, [asked(model, ROWS[:3], ["a", "b", "c"], receipt=True)])
    base = int(answer.decision_ids[0], 16)
    assert [int(one, 16) for one in answer.decision_ids] == [(base + n) % 2**128 for n in range(3)]
    for receipt, decision_id in zip(answer.receipts, answer.decision_ids, strict=True):
        proven, leaf, checkpoint = verify_receipt(receipt, house.log_key.verifier)
        assert proven.decision_id == leaf.decision_id == decision_id
        assert checkpoint.size == 3
    with pytest.raises(TamperedError):
        verify_receipt(answer.receipts[0].replace(b'"v":1', b'"v":2'), house.log_key.verifier)
    swapped = msgspec.json.decode(answer.receipts[0]) | {
        "document": msgspec.json.decode(answer.receipts[1])["document"]
    }
    with pytest.raises(TamperedError, match="commits to another"):
        verify_receipt(canonical(swapped), house.log_key.verifier)


def reseal(house, record, change):
    """The record with its answer document changed, sealed and committed to again, as an insider with all keys could."""
    leaf = Leaf.decode(record.leaf)
    key = key_of(house, "s-1")
    decision_id, release = bytes.fromhex(leaf.decision_id), bytes.fromhex(leaf.release)
    plain = decode_record(open_record(record.payload, key.aead, decision_id, release))
    document = change(msgspec.json.decode(plain.answer))
    plain = msgspec.structs.replace(plain, answer=canonical(document))
    payload = seal_record(
        encode_record(plain), key.aead, read_header(record.payload).key_id, os.urandom(12), decision_id, release
    )
    leaf = msgspec.structs.replace(
        leaf,
        payload_sha256=hashlib.sha256(payload).hexdigest(),
        payload_size=len(payload),
        commitment=commitment(plain.salt, plain.answer),
    )
    return StoredRecord(0, leaf.encode(), payload)


def flip(side, place=0, bit=1):
    def change(document):
        data = bytearray(msgspec.json.decode(msgspec.json.encode(document[side][0]["data"]), type=bytes))
        data[place] ^= bit
        document[side][0]["data"] = msgspec.json.decode(msgspec.json.encode(bytes(data)))
        return document

    return change


@pytest.mark.parametrize("change", [flip("outputs"), flip("inputs", 2, 0x40), lambda d: d | {"decision": "reject"}])
def test_a_changed_bit_in_a_re_encrypted_record_fails_replay(change):
    model = served()
    house = House(model)
    (answer,) = decide(house, [asked(model, GOOD, ["s-1"])])
    record = stored(house, answer.decision_ids[0])
    replay(read_decision(reseal(house, record, lambda d: d), key_of(house, "s-1")), model)
    with pytest.raises(TamperedError):
        replay(read_decision(reseal(house, record, change), key_of(house, "s-1")), model)


def test_an_erased_subject_cannot_be_replayed():
    model = served()
    house = House(model)
    (answer,) = decide(house, [asked(model, GOOD, ["s-1"])])
    record = stored(house, answer.decision_ids[0])
    house.keys.forget(subject_tag(house.index_key, "EU", "s-1"))
    with pytest.raises(ErasedError):
        key_of(house, "s-1")
    with pytest.raises(ErasedError):
        read_decision(record, None)


def test_a_refusal_is_recorded_without_values_and_has_nothing_to_replay():
    model = served()
    house = House(model)
    (error,) = decide(house, [asked(model, [5.0, 777.0, 2.0, 0.0], ["s-1"])])
    assert isinstance(error, InvalidInputError)
    assert error.details == {"field": "age", "rule": "range"}
    record = house.shard.reader().get(0)
    decision = read_decision(record, key_of(house, "s-1"))
    assert decision.leaf.type == "refusal"
    assert decision.record.outcome == "refused"
    assert b"777" not in encode_record(decision.record)
    assert decision.answer.reasons[0].field == "age"
    with pytest.raises(InvalidInputError, match="refused"):
        replay(decision, model)


def test_one_bad_request_costs_its_neighbours_nothing():
    model = served()
    house = House(model)
    good, bad = asked(model, GOOD, ["s-1"]), asked(model, [5.0, 777.0, 2.0, 0.0], ["s-2"])
    alone = decide(House(model), [asked(model, GOOD, ["s-1"])])[0]
    first, second, third = decide(house, [good, bad, asked(model, GOOD, ["s-3"])])
    assert isinstance(second, InvalidInputError)
    assert first.scores.tobytes() == third.scores.tobytes() == alone.scores.tobytes()


def test_a_score_outside_the_output_contract_is_no_answer():
    model = served(maximum="0.0001")
    house = House(model)
    (error,) = decide(house, [asked(model, GOOD, ["s-1"])])
    assert error.code == "unavailable"
    assert error.details["rule"] == "output-contract"
    assert house.shard.size == 1


def test_another_release_or_profile_refuses_to_replay():
    model = served()
    house = House(model)
    (answer,) = decide(house, [asked(model, GOOD, ["s-1"])])
    decision = read_decision(stored(house, answer.decision_ids[0]), key_of(house, "s-1"))
    with pytest.raises(TamperedError, match="another release"):
        replay(decision, served(mode="by-row"))


@pytest.mark.parametrize(
    "change", [{"version": "0.1"}, {"isa": "x86_64-mmx"}, {"max_batch": 0}, {"mode": "padded", "max_batch": 1}]
)
def test_a_profile_that_cannot_be_honoured_does_not_load(change):
    release = release_of()
    profile = msgspec.structs.replace(release.numeric_profile, **change)
    with pytest.raises(NumericProfileError):
        make_ready(admitted(msgspec.structs.replace(release, numeric_profile=profile)), OnnxRuntime())
