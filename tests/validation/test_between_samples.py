"""What samples have in common: rows, people, distributions; and what the report says is proven of them."""

from __future__ import annotations

import io
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from strongroom.adapters.packages.model_toml import write_contract
from strongroom.encoding import canonical
from strongroom.errors import InvalidInputError
from strongroom.registry.samples import SampleStatement
from strongroom.registry.toml import read_contract
from strongroom.registry.training import Training
from strongroom.validation import results as documents
from strongroom.validation.batteries.between_samples import drift_tests, overlap_tests, subject_tests
from strongroom.validation.batteries.examination import NO_SUBJECT, Examination
from strongroom.validation.batteries.scored import Scored
from strongroom.validation.catalogue import Basis
from strongroom.validation.policy import ValidationPolicy
from strongroom.validation.reporting.blocks import Grid
from strongroom.validation.reporting.sample_chapter import proofs
from strongroom.validation.results import NotEvaluable
from strongroom.validation.statistics.tables import subject_column
from strongroom.validation.workshop.replication import Compared, ReplicationPredicate
from strongroom.vocabulary import Digest, PersonId, digest_of
from tests.validation.test_fraud_battery import as_bytes
from tests.validation.test_pd_battery import inputs, sound
from tests.validation.test_report import dossier
from tests.validation.worked import POLICY, contract, package

RULES = ValidationPolicy.decode(POLICY.read_bytes())
ABOUT = contract(("a", "b"), "t", "t")


def parquet(columns: dict[str, pa.Array]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return bytes(sink.getvalue())


PAIRS = ("development and reference", "development and validation", "reference and validation")


def scored(role: str, rows: Any, outcome: Any) -> Scored:
    table = np.asarray(rows, dtype=np.float32)
    return Scored(Basis(role, digest_of(role.encode()), len(table)), table, table[:, 0].copy(), np.asarray(outcome))


def three(seed: int = 0, n: int = 400) -> list[Scored]:
    random = np.random.default_rng(seed)
    return [
        scored(role, random.uniform(0, 1, (n, 2)), random.integers(0, 2, n))
        for role in ("development", "reference", "validation")
    ]


def by_pair(tests: list[documents.TestResult]) -> dict[str, documents.TestResult]:
    return {test.id.partition("/")[2]: test for test in tests}


@pytest.mark.parametrize(("old", "new"), [(0, 1), (0, 2), (1, 2)])
def test_rows_of_an_earlier_sample_are_found_in_each_pair_and_in_no_other(old: int, new: int) -> None:
    samples = three()
    rows, outcome = samples[new].rows.copy(), samples[new].outcome.copy()
    rows[:30], outcome[:30] = samples[old].rows[50:80], samples[old].outcome[50:80]
    rows[0, 0], samples[old].rows[50, 0] = -0.0, 0.0
    outcome[29] = 1 - outcome[29]  # another outcome: not the same row
    samples[new] = scored(samples[new].basis.role, rows, outcome)
    found = by_pair(overlap_tests(*samples))
    assert tuple(found) == PAIRS
    hit = f"{samples[old].basis.role} and {samples[new].basis.role}"
    assert float(found.pop(hit).figure or 0) == 29 / 400
    assert {test.figure for test in found.values()} == {"0.0"}


def test_people_who_stand_in_two_samples_are_found() -> None:
    order = [sample_.basis for sample_ in three(n=4)]
    people = {
        "development": ["a", "b", None, "c"],
        "reference": ["x", "b", "b", None],
        "validation": ["a", "y", "z", "w"],
    }
    found = by_pair(subject_tests(people, order))
    assert [float(found[pair].figure or 0) for pair in PAIRS] == [2 / 3, 1 / 4, 0.0]
    assert found[PAIRS[0]].details[0].value == "1"
    missing = by_pair(subject_tests({**people, "validation": NotEvaluable("no column")}, order))
    assert [test.figure is None for test in missing.values()] == [False, True, True]
    nobody = by_pair(subject_tests({**people, "reference": [None] * 4}, order))
    assert "no row of the reference sample" in (nobody[PAIRS[0]].reason or "")
    (unnamed,) = subject_tests(dict.fromkeys(people, NO_SUBJECT), order)
    assert "samples.subject" in (unnamed.reason or "")


@pytest.mark.parametrize("values", [[7, 8, None], ["7", "8", None]])
def test_whole_numbers_and_texts_name_the_same_people(values: list[Any]) -> None:
    column = pd.array(values, dtype="Int64" if isinstance(values[0], int) else "string")
    data = as_bytes(pd.DataFrame({"who": column, "x": [0.0, 1.0, 2.0]}))
    assert subject_column(data, "who", "reference") == ["7", "8", None]
    assert "no column" in getattr(subject_column(data, "whom", "reference"), "reason", "")
    assert "neither" in getattr(subject_column(data, "x", "reference"), "reason", "")
    bytes_ = pa.array([b"\xff\xfe"]).view(pa.string())
    assert "UTF-8" in getattr(subject_column(parquet({"who": bytes_}), "who", "reference"), "reason", "")


def test_a_reference_sample_that_lies_apart_is_seen_although_development_and_validation_agree() -> None:
    old, aside, new = three(n=2000)
    aside = scored("reference", aside.rows * np.array([1.0, 0.5], dtype=np.float32), aside.outcome)
    tests, (table,) = drift_tests(old, aside, new, ABOUT, RULES)
    found = by_pair(tests)
    assert set(found) == {PAIRS[0], PAIRS[2]}, "development and validation are judged by the tests of stability"
    assert all(float(test.figure or 0) > 0.5 and "b moved most" in test.sentence for test in tests)
    assert [row[0] for row in table.rows] == ["pd", "b", "a"]
    assert float(table.rows[1][2] or 9) < 0.05
    (calm, _) = drift_tests(*three(n=2000), ABOUT, RULES)
    assert all(float(test.figure or 9) < 0.05 for test in calm)
    same = [scored(s.basis.role, np.zeros((5, 2)), s.outcome[:5]) for s in three()]
    assert all("two bins" in (test.reason or "") for test in drift_tests(*same, ABOUT, RULES)[0])


def test_the_battery_reads_people_by_the_contract_and_judges_all_pairs() -> None:
    stated = package("xgboost").contract
    named = msgspec.structs.replace(stated, samples=msgspec.structs.replace(stated.samples, subject="card"))
    given = {**inputs(), "contract.json": canonical(named)}
    for role, make in (("development", int), ("reference", str)):
        frame = pd.read_parquet(io.BytesIO(given[f"{role}.parquet"]))
        given[f"{role}.parquet"] = as_bytes(frame.assign(card=[make(i) for i in range(len(frame))]))
    job = Examination.begin("pd", given, {"manifest": "ab" * 32})
    roles = ("development", "reference", "validation")
    found = by_pair(subject_tests({r: job.subjects(r) for r in roles}, [Basis(r, digest_of(b"x"), 1) for r in roles]))
    assert found[PAIRS[0]].figure == "1.0", "7 and `7` are one card"
    assert "the validation sample has no column `card`" in (found[PAIRS[1]].reason or "")
    told = {test.id: test for test in sound("xgboost").tests}
    assert {f"data.overlap/{pair}" for pair in PAIRS} <= told.keys()
    assert (told["data.subjects"].verdict, told["data.subjects"].role) == ("not-evaluable", "information")
    assert {test.verdict for test in told.values() if test.rule == "data.drift"} == {"pass"}


@pytest.mark.parametrize("column", ["LIMIT_BAL", "default.payment.next.month", "SEX"])
def test_a_column_that_has_another_use_tells_nobody(column: str) -> None:
    stated = package("logistic").contract
    named = msgspec.structs.replace(stated, samples=msgspec.structs.replace(stated.samples, subject=column))
    with pytest.raises(InvalidInputError, match="whom a row is about"):
        read_contract(write_contract(named))
    sound = msgspec.structs.replace(stated, samples=msgspec.structs.replace(stated.samples, subject="customer"))
    assert read_contract(write_contract(sound)) == sound
    assert b"subject" not in canonical(stated), "documents from before keep their bytes"


def test_a_package_keeps_the_column_of_people(tmp_path: Any) -> None:
    from sklearn.linear_model import LogisticRegression

    import strongroom

    random = np.random.default_rng(1)
    frame = pd.DataFrame({"a": random.uniform(0, 1, 80), "customer": [f"c{i}" for i in range(80)], "note": "secret"})
    frame["default"] = (frame["a"] > 0.5).astype(int)
    about = {**msgspec.to_builtins(ABOUT), "protected": []}
    feature = {**about["input"]["features"][0], "minimum": "0", "maximum": "1"}
    stated = {k: v for k, v in about.items() if k not in ("v", "lineage", "samples", "input", "output")}
    made = strongroom.package(
        LogisticRegression().fit(frame[["a"]].to_numpy("float32"), frame["default"]), tmp_path / "p",
        contract={
            **stated, "samples": {"subject": "customer"}, "input": {"features": [feature]},
            "output": {"name": "pd", "unit": "probability", "minimum": "0", "maximum": "1"},
        },
        outcome="default", development=frame.iloc[:40], reference=frame.iloc[40:],
    )  # fmt: skip
    assert made.contract.samples.subject == "customer"
    kept = pd.read_parquet(tmp_path / "p" / "development.parquet")
    assert set(kept.columns) == {"a", "default", "customer"}
    data = (tmp_path / "p" / "reference.parquet").read_bytes()
    assert subject_column(data, "customer", "reference") == [f"c{i}" for i in range(40, 80)]


class Scan:
    """What the chapter reads of a scan: its files."""

    def __init__(self, **files: Digest) -> None:
        self.files = [type("File", (), {"path": path, "sha256": sha256}) for path, sha256 in files.items()]


def told(**changes: Any) -> dict[str, tuple[str, ...]]:
    (grid,) = proofs(dossier(**changes))
    assert isinstance(grid, Grid)
    return {row[0]: row[1:] for row in grid.rows}


def replicated(outcome: Any, data: Digest, artifact: Digest) -> ReplicationPredicate:
    more: dict[str, Any] = {"replica": artifact}
    if outcome in ("within-tolerance", "differs"):
        beyond = 3 if outcome == "differs" else 0
        more = {"replica": digest_of(b"r"), "compared": Compared(rows=9, largest="0.1", beyond=beyond, flips=0)}
    if outcome == "failed":
        more = {"reason": "it failed"}
    return ReplicationPredicate(
        v=1, outcome=outcome, artifact=artifact, at_us=7, script=digest_of(b"s"), data=data, tolerance="1e-06",
        **{"reason": "", **more},
    )  # fmt: skip


def test_what_is_only_said_of_the_development_sample_is_called_so_until_training_shows_it() -> None:
    results = dossier().results
    assert results is not None
    shas = {sample_.role: sample_.sha256 for sample_ in results.samples}
    mine, artifact = shas["development"], results.artifact_sha256
    proven, said = told()["development"]
    assert (proven, said) == (
        "–",  # noqa: RUF001  # as the report writes none
        "That the model was trained on it: training was not repeated from these bytes.",
    )
    bound = told(scan=Scan(**{"development.parquet": mine, "reference.parquet": digest_of(b"other")}))
    assert "those that ann signed and submitted" in bound["development"][0]
    assert "are not those that ann submitted" in bound["reference"][0]
    assert "% of its rows stand in the development sample" in bound["reference"][0]
    same = told(replication=replicated("same-bytes", mine, artifact))["development"]
    assert "from these very bytes gave the served model, bit for bit" in same[0]
    assert "brings no model along" in same[1]
    near = told(replication=replicated("within-tolerance", mine, artifact))["development"]
    assert "answers alike" in near[0]
    far = told(replication=replicated("differs", mine, artifact))["development"]
    assert "gave another model" in far[0]
    assert "trained on it all the same" in far[1]
    for other in (
        replicated("same-bytes", digest_of(b"other data"), artifact),
        replicated("same-bytes", mine, digest_of(b"another model")),
        replicated("failed", mine, artifact),
    ):
        assert told(replication=other)["development"][1].startswith("That the model was trained on it")


def test_training_on_another_file_proves_nothing_of_the_development_sample() -> None:
    results, elsewhere = dossier().results, digest_of(b"elsewhere")
    assert results is not None
    training = Training(script="training/train.py", data=elsewhere)
    about = msgspec.structs.replace(dossier().contract, training=training)
    proven, said = told(contract=about)["development"]
    assert "not repeated from that file" in said
    done = replicated("same-bytes", elsewhere, results.artifact_sha256)
    proven, said = told(contract=about, replication=done)["development"]
    assert f"training repeated from the file {elsewhere[:12]} gave the served model" in proven.lower()
    assert said.startswith(f"That the sample is like the file {elsewhere[:12]}")


def test_the_validators_sample_is_bound_to_whoever_chose_it() -> None:
    manifest = digest_of(b"sample")
    chosen = SampleStatement(manifest=manifest, rows=9, source="held out", person=PersonId("val"), at_us=1)
    validation = type("Validation", (), {"sample": manifest, "monitors": None})
    rows = told(sample=chosen, validation=validation)
    assert "val chose and signed" in rows["validation"][0]
    assert rows["validation"][1] == "That its rows are what val says of them."
    other = type("Validation", (), {"sample": digest_of(b"x"), "monitors": None})
    assert "chose" not in told(sample=chosen, validation=other)["validation"][0]
    assert list(proofs(dossier(results=None))) == []
