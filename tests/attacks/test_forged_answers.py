"""Somebody who can write to a plan's folder leaves answers, with a proof that fits, for a plan to go on from.

Nobody signs a file of answers. So a plan that goes on holds each of them against the log: whatever is put in, taken
out or changed places is refused before a figure is planned with.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from strongroom.errors import ConflictError, TamperedError
from strongroom.wiring.planning import plan
from tests import simulator
from tests.planning.test_plan_scored import ROWS, node, scored
from tests.web import nodes

__all__ = ["node"]
ANSWERS, PROOF = "pd.answers.parquet", "pd.answers.parquet.proof.json"


@pytest.fixture(scope="module")
def done(node: nodes.Node, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plan's folder with everything but the plan: as a stopped run leaves it."""
    folder = tmp_path_factory.mktemp("done")
    plan(scored(node, folder))
    (folder / "plan" / "plan.json").unlink()
    return folder


def again(done: Path, folder: Path) -> Path:
    shutil.copytree(done, folder, dirs_exist_ok=True)
    return folder / "plan"


def forge(output: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Other answers, and a proof that names their digest: all that a reader of the folder could compare."""
    file = output / ANSWERS
    schema = pq.read_schema(file)
    table = pa.Table.from_pandas(change(pd.read_parquet(file)), schema, preserve_index=False)
    pq.write_table(table, file)
    proof = json.loads((output / PROOF).read_bytes())
    proof["output"] = {"rows": len(table), "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    proof["answered"], proof["rejected"] = len(table), ROWS - len(table)
    (output / PROOF).write_text(json.dumps(proof))


def test_honest_answers_are_taken_up(node: nodes.Node, done: Path, tmp_path: Path) -> None:
    again(done, tmp_path)
    found, _ = plan(scored(node, tmp_path))
    assert found.inputs.sources[0].answered == ROWS - 1
    assert len(found.inputs.sources[0].versions) == 1


def other_score(table: pd.DataFrame) -> pd.DataFrame:
    table.loc[7, "score"] /= 2
    return table


def no_score(table: pd.DataFrame) -> pd.DataFrame:
    table.loc[7, "score"] = None
    return table


def changed_places(table: pd.DataFrame) -> pd.DataFrame:
    """Two genuine decisions, each for the other's exposure."""
    columns = ["subject", "decision_id", "score", "decision"]
    table.loc[[7, 8], columns] = table.loc[[8, 7], columns].to_numpy()
    return table


def other_subject(table: pd.DataFrame) -> pd.DataFrame:
    table.loc[7, "subject"] = "s-9"
    return table


def other_version(table: pd.DataFrame) -> pd.DataFrame:
    table["model_version"] = "0" * 64
    return table


def unknown_decision(table: pd.DataFrame) -> pd.DataFrame:
    table.loc[7, "decision_id"] = "f" * 32
    return table


def twice(table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table, table.iloc[-1:]])


def one_for_all(table: pd.DataFrame) -> pd.DataFrame:
    for column in ("decision_id", "score"):
        table[column] = table[column][0]
    return table


@pytest.mark.parametrize(
    "change",
    [other_score, no_score, changed_places, other_subject, other_version, unknown_decision, twice, one_for_all],
    ids=lambda change: change.__name__,
)
def test_answers_that_the_log_does_not_give_are_refused(
    node: nodes.Node, done: Path, tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame]
) -> None:
    output = again(done, tmp_path)
    forge(output, change)
    with pytest.raises(TamperedError, match="see what happened to it"):
        plan(scored(node, tmp_path))
    assert not (output / "plan.json").exists()


def test_answers_that_were_taken_out_are_asked_for_again(node: nodes.Node, done: Path, tmp_path: Path) -> None:
    """Whoever takes a bad exposure's answer out would give it the standardised weight, and no provision."""
    forge(again(done, tmp_path), lambda table: table.drop(index=7))
    with pytest.raises(ConflictError, match="no answer for row 8, which the model would take; remove it"):
        plan(scored(node, tmp_path))


def test_no_answers_at_all_are_asked_for_again(node: nodes.Node, done: Path, tmp_path: Path) -> None:
    forge(again(done, tmp_path), lambda table: table.iloc[:0])
    with pytest.raises(ConflictError, match="has no answer; remove it"):
        plan(scored(node, tmp_path))


def test_genuine_answers_for_another_use_are_refused(node: nodes.Node, done: Path, tmp_path: Path) -> None:
    """The proof's options are made to say what is asked; the records say what was."""
    output = again(done, tmp_path)
    proof = json.loads((output / PROOF).read_bytes())
    proof["options"]["model"] = "lgd-cards"
    (output / PROOF).write_text(json.dumps(proof))
    for name in (ANSWERS, PROOF):
        (output / name).rename(output / name.replace("pd.", "lgd.", 1))
    wanted = scored(node, tmp_path, models={"pd": simulator.MODEL, "lgd": "lgd-cards"}, columns={})
    with pytest.raises(TamperedError, match="what was not decided"):
        plan(wanted)


@pytest.mark.parametrize("ranges", [[], [[0, 0]], "x", [[10**9, 10**9]]], ids=["none", "one", "text", "beyond"])
def test_a_proof_that_hides_the_records_is_refused(
    node: nodes.Node, done: Path, tmp_path: Path, ranges: object
) -> None:
    output = again(done, tmp_path)
    proof = json.loads((output / PROOF).read_bytes())
    (output / PROOF).write_text(json.dumps({**proof, "ranges": ranges}))
    with pytest.raises((TamperedError, ConflictError)):
        plan(scored(node, tmp_path))
    (output / PROOF).write_text(json.dumps({**proof, "origin": "example.org/another"}))
    with pytest.raises(TamperedError, match="a log that this node does not have"):
        plan(scored(node, tmp_path))


def test_parts_of_a_run_that_was_stopped_are_held_against_the_log_too(
    node: nodes.Node, done: Path, tmp_path: Path
) -> None:
    """A work folder that says that all is done, with one answer better than it was."""
    output = again(done, tmp_path)
    table = pq.read_table(output / ANSWERS)
    proof = json.loads((output / PROOF).read_bytes())
    work = output / f"{ANSWERS}.work"
    work.mkdir(mode=0o700)
    run = {
        "input_sha256": proof["input"]["sha256"], "options": proof["options"], "origin": proof["origin"],
        "chunk_rows": ROWS, "v": 1,
    }  # fmt: skip
    (work / "run.json").write_text(json.dumps(run))
    scores = table.column("score").to_pylist()
    scores[7] /= 2
    begin, end = proof["ranges"][0]
    about = {"first": str(begin), "records": str(end - begin + 1)}
    place = table.schema.get_field_index("score")
    better = table.set_column(place, "score", pa.array(scores, pa.float32())).replace_schema_metadata(about)
    rejects = pq.read_table(output / "pd.answers.rejects.parquet")
    for kind, part in (("answers", better), ("rejects", rejects)):
        with pa.OSFile(str(work / f"{0:012d}.{kind}"), "wb") as sink, pa.ipc.new_file(sink, part.schema) as writer:
            writer.write_table(part)
    (output / ANSWERS).unlink()
    with pytest.raises(TamperedError, match="of row 8 what was not decided"):
        plan(scored(node, tmp_path))
