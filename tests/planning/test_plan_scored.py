"""A plan whose PDs come from a model at a node: each figure has its decision, bad rows fall back, a run goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from strongroom.adapters import portfolio_files
from strongroom.cli import app
from strongroom.errors import ConflictError, NotPermittedError, TamperedError
from strongroom.wiring.planning import Gateway, plan
from strongroom.wiring.records import NodeRecords
from tests import simulator
from tests.journeys.bank import each_key_derived_once
from tests.planning import house
from tests.planning.test_plan import job
from tests.web import nodes
from tests.web.test_score_file import add_batch_log, leaves

ROWS = 210


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[nodes.Node]:
    made = nodes.make(tmp_path_factory.mktemp("node"))
    with each_key_derived_once():
        add_batch_log(made)
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


def test_three_models_leave_three_decisions(node: nodes.Node, tmp_path: Path) -> None:
    # one model stands for all three kinds: what counts here is which figure comes from which answer
    models = dict.fromkeys(("pd", "lgd", "ead"), simulator.MODEL)
    made, where = plan(scored(node, tmp_path, models=models, columns={}))
    assert [one.kind for one in made.inputs.sources] == ["model"] * 3
    assert len({one.proof_sha256 for one in made.inputs.sources}) == 3
    rows = pd.read_parquet(where["exposures"])
    ids = rows[["pd_decision_id", "lgd_decision_id", "ead_decision_id"]]
    assert len(set(ids.to_numpy().ravel()) - {None, np.nan}) == 3 * (ROWS - 1)
    # the EAD's answer is a conversion factor of what is undrawn
    answers = pd.read_parquet(tmp_path / "plan" / "ead.answers.parquet").set_index("row")["score"].astype(float)
    given = house.columns(ROWS)
    row = next(n for n in range(ROWS) if given["class"][n] == "qrre-revolver" and given["drawn"][n] < 40_000 and n != 5)
    undrawn = min(given["limit"][row], 90_000.0) - given["drawn"][row]
    trade = 0.5 * 0.2
    assert rows["ead"][row] == pytest.approx(given["drawn"][row] + max(answers[row], trade) * undrawn)
