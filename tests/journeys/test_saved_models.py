"""From a file in the author's folder to a proven answer: a scikit-learn pickle, an MLflow folder, a hardened package.

The room's policy demands that training gives the model, and the pickle was trained on data that no package holds.
"""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from strongroom import verify
from strongroom.encoding import canonical
from strongroom.validation.policy import ValidationPolicy
from tests.journeys.bank import (
    FEATURES,
    MODEL,
    OUTCOME,
    Bank,
    applicants,
    contract,
    converted_output,
    each_key_derived_once,
    samples,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

TRAIN = """
from fitting import boosted

def train(data, features, outcome, parameters):
    return boosted().fit(data.select(features).to_pandas().to_numpy("float32"), data[outcome].to_numpy())
"""
FITTING = """
from sklearn.ensemble import GradientBoostingClassifier

def boosted():
    return GradientBoostingClassifier(
        n_estimators=30, max_depth=2, learning_rate=0.15, min_samples_leaf=20, random_state=7
    )
"""
MLMODEL = """\
flavors:
  python_function: {loader_module: mlflow.sklearn, model_path: model.pkl}
  sklearn: {code: null, pickled_model: model.pkl, serialization_format: pickle}
"""


PLACE = "GB"
"""Where training has to be repeated before anybody approves."""


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    """A bank that demands training done again for one place, with a pickle's model live and a gateway."""
    with each_key_derived_once():
        bank = Bank(tmp_path_factory.mktemp("saved"))
        bank.hire()
        bank.found()
        bank.delegate()
        demand_training(bank)
        try:
            bank.steps["first"] = let_a_pickle_in(bank)
            bank.run("omar", "release", MODEL)
            bank.grant()
            bank.make_node()
            bank.serve()
            bank.steps["scored"] = bank.score(applicants(20, "first"), "--receipts", bank.folder / "receipts")
            yield bank
        finally:
            assert bank.stop() == 0


def demand_training(bank: Bank) -> None:
    shipped = ValidationPolicy.decode((files("strongroom") / "policies" / "validation.json").read_bytes())
    told = json.loads(shipped.encode())
    told["local"] = [{"jurisdiction": PLACE, "kind": "pd", "tier": 2, "replication": "within-tolerance"}]
    folder = bank.folder / "policies"
    folder.mkdir()
    (folder / "validation.json").write_bytes(canonical(told))
    bank.run("cora", "policy", "propose", folder)
    for custodian in ("cyril", "celia"):
        bank.run(custodian, "people", "sign", "--yes")


def convert(bank: Bank, name: str, source: Path, form: str, *more: object, **contracted: Any) -> Path:
    """What `strongroom convert` makes of a saved model and the bank's samples."""
    work = bank.folder / "work" / name
    work.mkdir(parents=True, exist_ok=True)
    development, reference, _, _ = samples()
    development.to_parquet(work / "d.parquet")
    reference.to_parquet(work / "r.parquet")
    stated = {**contract(), "output": converted_output(), **contracted}
    del stated["explanation"]
    (work / "c.toml").write_text(tomli_w.dumps(stated))
    target = bank.folder / "packages" / name
    target.parent.mkdir(exist_ok=True)
    bank.steps[f"convert {name}"] = bank.run(
        "ann", "convert", target, "--source", source, "--format", form, "--contract", work / "c.toml",
        "--development", work / "d.parquet", "--reference", work / "r.parquet", "--outcome", OUTCOME, *more,
    )  # fmt: skip
    return target


def let_a_pickle_in(bank: Bank) -> str:
    """From the author's folder to two approvals, with what goes wrong on the way."""
    work = bank.folder / "work" / "pickle"
    (work / "code").mkdir(parents=True)
    (work / "code" / "train.py").write_text(TRAIN)
    (work / "code" / "fitting.py").write_text(FITTING)
    whole = samples()[0]
    known: dict[str, Any] = {}
    exec(FITTING, known)  # noqa: S102 - the author's machine, in this journey
    fitted = known["boosted"]().fit(whole[list(FEATURES)].to_numpy("float32"), whole[OUTCOME].to_numpy())
    (work / "m.pkl").write_bytes(pickle.dumps(fitted))
    whole.assign(branch="north").to_parquet(work / "all.parquet")
    package = convert(
        bank, "pickle", work / "m.pkl", "sklearn", "--training", work / "code",
        "--training-data", work / "all.parquet", jurisdictions=["TW", "EU", PLACE],
    )  # fmt: skip
    manifest = bank.put_forward(package)
    bank.steps["not repeated"] = bank.refused("paul", "approve", MODEL, "--yes")
    bank.steps["without data"] = bank.run("vera", "replicate", MODEL)
    bank.steps["not evaluable"] = bank.refused("paul", "approve", MODEL, "--yes")
    bank.steps["other data"] = bank.refused("vera", "replicate", MODEL, "--data", work / "d.parquet")
    bank.steps["repeated"] = bank.run("vera", "replicate", MODEL, "--data", work / "all.parquet")
    for approver in ("paul", "petra"):
        bank.steps["approved"] = bank.run(approver, "approve", MODEL, "--yes")
    return manifest


def proven(bank: Bank, answers: list[dict[str, Any]], receipts: Path) -> str:
    """What `verify.py` says of a receipt, alone: no package of ours, no site packages."""
    receipt = receipts / f"{answers[3]['decision_id']}.json"
    done = subprocess.run(
        [sys.executable, "-I", "-S", verify.__file__, "receipt", receipt, "--policy", bank.policy,
         "--openings", bank.openings],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_pickle_comes_as_far_as_a_receipt_that_anybody_can_check(bank: Bank) -> None:
    assert float(bank.steps["convert pickle"]["largest_difference"]) < 1e-6
    assert bank.steps["approved"]["state"] == "approved"
    answers = bank.steps["scored"]
    assert len(answers) == 20
    assert {one["decision"] for one in answers} <= {"accept", "refer", "decline"}
    said = proven(bank, answers, bank.folder / "receipts")
    assert f"decision {answers[3]['decision_id']}" in said
    assert ": verified" in said
    bill = json.loads(bank.try_("audrey", "show", f"{MODEL}@{bank.steps['first'][:16]}", "--bom").stdout)
    assert {"name": "strongroom:converted-from", "value": "sklearn"} in bill["metadata"]["component"]["properties"]
    assert {"scikit-learn", "skl2onnx"} <= {one["name"] for one in bill["components"]}


def test_nobody_approved_before_training_had_given_the_model(bank: Bank) -> None:
    for step, says in (
        ("not repeated", f"nobody has repeated it; `strongroom replicate {MODEL}@"),
        ("not evaluable", "--data ...` takes them"),
    ):
        assert bank.steps[step]["error"] == "evidence"
        assert says in bank.steps[step]["message"]
    assert bank.steps["without data"]["outcome"] == "not-evaluable"
    assert "give that file" in bank.steps["other data"]["message"]
    assert bank.steps["repeated"]["outcome"] == "same-bytes", bank.steps["repeated"]
    page = bank.folder / "pickle.html"
    bank.run("audrey", "report", f"{MODEL}@{bank.steps['first'][:16]}", "--html", page)
    assert "Training repeated: The same bytes came out." in page.read_text()
    assert "All code" in page.read_text()


def test_an_mlflow_folder_replaces_it(bank: Bank) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    whole, folder = samples()[0], bank.folder / "work" / "logged"
    folder.mkdir()
    fitted = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500)).fit(
        whole[list(FEATURES)].to_numpy("float32"), whole[OUTCOME]
    )
    (folder / "MLmodel").write_text(MLMODEL)
    (folder / "model.pkl").write_bytes(pickle.dumps(fitted))
    (folder / "requirements.txt").write_text("scikit-learn\n")
    first = bank.steps["first"]
    package = convert(
        bank, "mlflow", folder, "mlflow", lineage={"code_commit": "journey", "data": {}, "parent": first}
    )  # fmt: skip
    this = f"{MODEL}@{bank.let_in(package, f'{MODEL}@{first[:16]}')[:16]}"
    bank.run("omar", "release", this)
    live(bank, this, "logged")


def test_the_text_of_a_lightgbm_model_replaces_it_and_answers_as_lightgbm_does(bank: Bank) -> None:
    import lightgbm

    whole = samples()[0]
    fitted = lightgbm.LGBMClassifier(n_estimators=20, num_leaves=4, min_child_samples=60, random_state=7, n_jobs=1).fit(
        whole[list(FEATURES)].to_numpy("float32"), whole[OUTCOME]
    )
    source = bank.folder / "work" / "m.txt"
    source.write_text(fitted.booster_.model_to_string())
    first = bank.steps["first"]
    package = convert(
        bank, "lightgbm", source, "lightgbm", lineage={"code_commit": "journey", "data": {}, "parent": first}
    )  # fmt: skip
    this = f"{MODEL}@{bank.let_in(package, f'{MODEL}@{first[:16]}')[:16]}"
    bank.run("omar", "release", this)
    answers = live(bank, this, "text")
    rows = applicants(20, "text")[list(FEATURES)].to_numpy("float32")
    told = lightgbm.Booster(model_str=source.read_text()).predict(rows)
    assert [one["pd"] for one in answers] == pytest.approx(list(told), abs=1e-6)


def test_a_hardened_package_replaces_it_and_the_report_shows_before_and_after(bank: Bank) -> None:
    package = bank.package("soft", 30, parent=bank.steps["first"])
    told = (package / "model.toml").read_text()
    hard = bank.folder / "packages" / "hard"
    assert bank.refused(None, "harden", package, hard)["error"] == "invalid-input"
    asked = bank.refused(None, "harden", package, hard, "--monotone")
    assert "declares no monotone feature" in asked["message"]
    assert bank.refused(None, "harden", package, package, "--band", "0.02")["error"] == "conflict"
    assert (package / "model.toml").read_text() == told
    (bank.folder / "work" / "hard").mkdir()
    made = bank.run(None, "harden", package, hard, "--band", "0.02")
    assert made["measures"] == ["band"]
    assert made["before_and_after"]
    before = f"{MODEL}@{bank.steps['first'][:16]}"
    this = f"{MODEL}@{bank.let_in(hard, before)[:16]}"
    page = bank.folder / "hard.html"
    bank.run("audrey", "report", this, "--html", page)
    assert "Before and after hardening" in page.read_text()
    bank.run("omar", "release", this)
    answers = live(bank, this, "hardened")
    for one in answers:
        near = min(abs(one["pd"] - cut) for cut in (0.3, 0.5))
        assert near >= 0.02 or one["decision"] == "refer", "a band on both sides of each cut-off goes to a person"


def live(bank: Bank, this: str, prefix: str) -> list[dict[str, Any]]:
    """Answers of a version once the gateway has it, one of them proven."""
    receipts = bank.folder / f"receipts-{prefix}"
    bank.wait_for(lambda: bank.score(applicants(1, prefix))[0]["model_version"].startswith(this.partition("@")[2]))
    answers: list[dict[str, Any]] = bank.score(applicants(20, prefix), "--receipts", receipts)
    assert {one["model_version"][:16] for one in answers} == {this.partition("@")[2]}
    assert ": verified" in proven(bank, answers, receipts)
    return answers
