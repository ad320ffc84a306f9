"""A plan whose PDs, LGDs and conversion factors come from models at a node: each figure leads to its decision and its
receipt, bad rows fall back, a run goes on."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from typer.testing import CliRunner

from strongroom import verify
from strongroom.access.grants import Grants
from strongroom.adapters.tables import portfolio_files
from strongroom.cli import app
from strongroom.encoding import canonical
from strongroom.errors import ConflictError, InvalidInputError, NotPermittedError, TamperedError
from strongroom.planning import results
from strongroom.registry.contract import CutOff, OutputContract
from strongroom.registry.kinds import UNDECIDED
from strongroom.serving.answer import read_answer
from strongroom.serving.receipt import make_receipt
from strongroom.wiring.node import NodeLayout
from strongroom.wiring.planning import Gateway, plan
from strongroom.wiring.records import NodeRecords
from tests import simulator
from tests.journeys.bank import each_key_derived_once
from tests.planning import house
from tests.planning.test_plan import job
from tests.web import nodes
from tests.web.test_score_file import add_batch_log, leaves

ROWS = 210
OTHERS = {"lgd-cards": ("lgd", "share of exposure"), "ccf-cards": ("ead", "credit conversion factor")}
ALL = {"pd": simulator.MODEL, "lgd": "lgd-cards", "ead": "ccf-cards"}


def to_all_three(grants: Grants) -> Grants:
    (desk,) = grants.systems
    bounds = msgspec.structs.replace(desk.bounds, models=(*OTHERS, simulator.MODEL))
    return msgspec.structs.replace(grants, systems=(msgspec.structs.replace(desk, bounds=bounds),))


def publish(room: nodes.LiveRoom) -> None:
    """Beside the PD a model of the LGD and one of the conversion factor, each approved, released and pointed at."""
    keys = [simulator.signer(name).public for name in ("abel", "bea", "cleo")]
    room.custodians_publish(models=dict.fromkeys((*OTHERS, simulator.MODEL), keys))
    for number, (name, (kind, unit)) in enumerate(OTHERS.items(), 2):
        version = room.version(number, model=name)
        output = OutputContract(tensor="probabilities", name=kind, unit=unit, minimum="0", maximum="1")
        room.live(version, kind=kind, output=output, cut_offs=(CutOff(decision=UNDECIDED),))


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[nodes.Node]:
    made = nodes.make(tmp_path_factory.mktemp("node"), granting=to_all_three)
    with each_key_derived_once():
        add_batch_log(made)
        publish(made.room)
        with made.serving():
            yield made


def portfolio() -> dict[str, Any]:
    """The house's, with the model's features beside; `limit` is one of them and a column of the portfolio too."""
    found = {**house.columns(ROWS), "age": np.full(ROWS, 40.0), "status": np.full(ROWS, 2.0)}
    found |= {"ratio": np.full(ROWS, 0.05), "limit": np.minimum(found["limit"], 90_000.0)}
    found |= {"defaulted": np.zeros(ROWS, bool), "approach": np.full(ROWS, "irb"), "commitment": np.full(ROWS, "trade")}
    found["age"][5] = 3.0
    del found["pd"]
    return found


def gateway(node: nodes.Node, **changes: Any) -> Gateway:
    made = Gateway(node.folder, nodes.PASSPHRASE, str(node.key).encode(), "credit-decision", "EU", "subject")
    return replace(made, **changes)


def scored(node: nodes.Node, folder: Path, **changes: Any) -> Any:
    settings = {"models": {"pd": simulator.MODEL}, "columns": {"lgd": "lgd"}, "gateway": gateway(node), **changes}
    return job(folder, portfolio(), **settings)


def test_each_figure_has_its_decision(node: nodes.Node, tmp_path: Path) -> None:
    made, where = plan(scored(node, tmp_path))
    rows = pd.read_parquet(where["exposures"])
    (source, lgd, ead) = made.inputs.sources
    assert (source.kind, source.name, source.answered, source.refused) == ("model", simulator.MODEL, ROWS - 1, 1)
    assert (lgd.kind, ead.kind) == ("column", "rule")
    assert len(source.versions) == 1
    answers = pd.read_parquet(tmp_path / "plan" / "pd.answers.parquet").set_index("row")
    for row in (0, 4, 6, ROWS - 1):
        assert rows["pd_decision_id"][row] == answers["decision_id"][row]
        floor = 0.0 if rows["class"][row] == "sovereign" else 0.0005
        assert rows["pd"][row] >= max(float(answers["score"][row]) - 1e-12, floor)
    # who broke the contract has no decision, and no model's weight
    assert rows["pd_decision_id"].isna().tolist() == [row == 5 for row in range(ROWS)]
    assert rows["treatment"][5] == "standardised: no PD"
    assert made.ifrs9.not_evaluable == 1
    # the decisions are in the log, and can be looked up like any other
    logged = {leaf.decision_id for leaf in leaves(node) if leaf.type == "decision"}
    assert set(rows["pd_decision_id"].dropna()) <= logged
    with NodeRecords.open(node.folder, nodes.PASSPHRASE) as records:
        answer = records.decision(rows["pd_decision_id"][0]).answer
    assert answer.decision_id == rows["pd_decision_id"][0]
    proof = json.loads((tmp_path / "plan" / "pd.answers.parquet.proof.json").read_bytes())
    assert source.origin == proof["origin"]
    assert source.versions[0] == proof["versions"][0]["model_version"]


def test_a_stopped_plan_goes_on_without_asking_again(
    node: nodes.Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = scored(node, tmp_path)

    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("strongroom.wiring.planning.write_parquet", stop)
        with pytest.raises(KeyboardInterrupt):
            plan(wanted)
    before = len(leaves(node))
    made, _ = plan(wanted)
    assert len(leaves(node)) == before
    assert made.inputs.sources[0].answered == ROWS - 1


def test_answers_of_another_plan_are_refused(node: nodes.Node, tmp_path: Path) -> None:
    wanted = scored(node, tmp_path)
    plan(wanted)
    (tmp_path / "plan" / "plan.json").unlink()
    with pytest.raises(ConflictError, match="other options"):
        plan(replace(wanted, gateway=gateway(node, jurisdiction="DE")))
    answers = tmp_path / "plan" / "pd.answers.parquet"
    answers.write_bytes(answers.read_bytes()[:-1] + b"x")
    with pytest.raises(TamperedError, match="not the file"):
        plan(wanted)
    (tmp_path / "plan" / "pd.answers.parquet.proof.json").write_bytes(b"{}")
    with pytest.raises(TamperedError, match="cannot be read"):
        plan(wanted)


def test_answers_outside_the_portfolio_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "answers.parquet"
    pd.DataFrame({"row": [7], "score": [0.1], "decision_id": ["a"]}).to_parquet(file)
    digest = portfolio_files.hashlib.sha256(file.read_bytes()).hexdigest()
    assert portfolio_files.read_answers(file, digest, 8).score[7] == 0.1
    with pytest.raises(TamperedError, match="rows that the portfolio does not have"):
        portfolio_files.read_answers(file, digest, 7)


def test_who_may_not_score_may_not_plan(node: nodes.Node, tmp_path: Path) -> None:
    with pytest.raises(NotPermittedError):
        plan(scored(node, tmp_path, gateway=gateway(node, purpose="curiosity")))
    assert not (tmp_path / "plan" / "plan.json").exists()


def test_the_command_plans(node: nodes.Node, tmp_path: Path) -> None:
    file = house.write(tmp_path / "book.parquet", portfolio())
    secret, token = tmp_path / "passphrase", tmp_path / "token"
    secret.write_bytes(nodes.PASSPHRASE)
    token.write_text(str(node.key))
    for private in (secret, token):
        private.chmod(0o600)
    words = [
        "plan", str(file), "--pd", simulator.MODEL, "--lgd-column", "lgd", "--scenario", str(house.scenario(tmp_path)),
        "--node", str(node.folder), "--purpose", "credit-decision", "--as-of", "2026-12-31",
        "--node-passphrase-file", str(secret), "--token-file", str(token),
    ]  # fmt: skip
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 0, found.output
    for part in (f"pd: model {simulator.MODEL}, 209 decisions, 1 rows refused", "output floor 55%", "stages (IFRS 9)"):
        assert part in found.output
    assert (tmp_path / "book.plan" / "plan.json").exists()
    again = CliRunner().invoke(app, [*words, "--json"])
    assert again.exit_code == 3
    assert json.loads(again.stdout)["error"] == "conflict"
    wrong = CliRunner().invoke(app, [*words, "--output", str(tmp_path / "b"), "--as-of", "31.12.2026", "--json"])
    assert json.loads(wrong.stdout)["details"]["field"] == "as-of"
    done = CliRunner().invoke(app, [*words, "--output", str(tmp_path / "c"), "--json"])
    told = json.loads(done.stdout)
    assert told["plan"]["inputs"]["exposures"] == ROWS
    assert Path(told["files"]["exposures"]).exists()


def receipt(node: nodes.Node, decision_id: str) -> bytes:
    """What `strongroom receipt` writes, without a room."""
    with NodeRecords.open(node.folder, nodes.PASSPHRASE) as records:
        decision = records.decision(decision_id)
        stored, note, path = records.receipt_parts(decision_id)
        return make_receipt(stored.leaf, decision.record.salt, decision.record.answer, stored.place, path, note)


def verified(node: nodes.Node, file: Path) -> int:
    """The exit code of `verify.py`: no key of the bank, only what it publishes."""
    trust = NodeLayout(node.folder).trust
    return verify.main(
        ["receipt", str(file), "--policy", str(trust / "log-policy"), "--openings", str(trust / "openings")]
    )


def test_every_figure_of_a_plan_leads_to_decisions_whose_receipts_verify(node: nodes.Node, tmp_path: Path) -> None:
    """PD, LGD and EAD from three releases: from the sum in the document down to three receipts, and back up."""
    given = portfolio()
    file = house.write(tmp_path / "book.parquet", given)
    secret, token = tmp_path / "passphrase", tmp_path / "token"
    secret.write_bytes(nodes.PASSPHRASE)
    token.write_text(str(node.key))
    for private in (secret, token):
        private.chmod(0o600)
    words = [
        "plan", str(file), *(word for name, model in ALL.items() for word in (f"--{name}", model)),
        "--scenario", str(house.scenario(tmp_path)), "--node", str(node.folder), "--purpose", "credit-decision",
        "--as-of", "2026-12-31", "--node-passphrase-file", str(secret), "--token-file", str(token), "--json",
    ]  # fmt: skip
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, repr(done.exception) + done.output
    told = json.loads(done.stdout)
    document = results.read(Path(told["files"]["plan"]).read_bytes())
    assert json.loads(results.write(document)) == told["plan"]
    exposures = Path(told["files"]["exposures"])
    assert hashlib.sha256(exposures.read_bytes()).hexdigest() == document.exposures_sha256
    rows = pd.read_parquet(exposures)
    # the sums are those of the rows
    for figure in ("ead", "rwa", "expected_loss"):
        assert rows[figure].sum() == pytest.approx(float(getattr(document.total, figure)), abs=0.02)
    # a row's weight is the formula's at the row's figures
    small = pd.Series(given["drawn"]) < 40_000
    place = int(np.flatnonzero((rows["class"] == "qrre-revolver") & (rows["treatment"] == "by IRB") & small)[0])
    row = rows.iloc[place]
    k = row["lgd"] * (norm.cdf((norm.ppf(row["pd"]) + 0.04**0.5 * norm.ppf(0.999)) / 0.96**0.5) - row["pd"])
    assert row["rwa"] == pytest.approx(12.5 * k * row["ead"], rel=1e-9)
    # and each of the three figures is what a decision says, under a receipt that anybody verifies
    scores = {}
    for source, figure in zip(document.inputs.sources, ("pd", "lgd", "ead"), strict=True):
        assert (source.kind, source.figure, source.name) == ("model", figure, ALL[figure])
        found = tmp_path / f"{figure}.receipt"
        found.write_bytes(receipt(node, row[f"{figure}_decision_id"]))
        assert verified(node, found) == 0
        data = json.loads(found.read_bytes())
        said = read_answer(base64.b64decode(data["document"]))
        assert said.decision_id == row[f"{figure}_decision_id"]
        assert (said.model, said.manifest) == (ALL[figure], source.versions[0])
        ((tensor,), held) = said.outputs, base64.b64decode(data["document"])
        scores[figure] = float(np.frombuffer(tensor.data, np.float32)[0])
        # another score under the same decision is no longer what was committed to
        other = np.float32(scores[figure] / 2).tobytes()
        forged = held.replace(base64.b64encode(tensor.data), base64.b64encode(other))
        assert forged != held
        data["document"] = base64.b64encode(forged).decode()
        found.write_bytes(canonical(data))
        assert verified(node, found) != 0
    assert row["pd"] == max(scores["pd"], 0.001)
    assert row["lgd"] == max(scores["lgd"], 0.5)
    drawn, limit = given["drawn"][place], given["limit"][place]
    assert row["ead"] == pytest.approx(drawn + max(scores["ead"], 0.5 * 0.2) * (limit - drawn))
    ids = rows[["pd_decision_id", "lgd_decision_id", "ead_decision_id"]].to_numpy().ravel()
    assert len(set(ids) - {None, np.nan}) == 3 * (ROWS - 1)


def test_a_model_of_another_kind_is_asked_nothing(node: nodes.Node, tmp_path: Path) -> None:
    before = len(leaves(node))
    for figure, model, kind in (("pd", "lgd-cards", "lgd"), ("ead", simulator.MODEL, "pd")):
        models = {"pd": simulator.MODEL, figure: model}
        with pytest.raises(InvalidInputError, match=f"`{model}` is a model of kind `{kind}`, and --{figure} names"):
            plan(scored(node, tmp_path, models=models, columns={}))
    assert len(leaves(node)) == before
