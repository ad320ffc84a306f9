"""`strongroom score --node`: a Parquet file at a node with real keeper and log; refusals, kills at every step."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from strongroom.adapters.keys.keyring import KeyFile
from strongroom.adapters.log.shard_reader import ShardReader
from strongroom.errors import (
    ConflictError,
    InvalidInputError,
    NotAuthenticatedError,
    NotFoundError,
    NotPermittedError,
    StrongroomError,
)
from strongroom.ledger.leaf import Leaf
from strongroom.ledger.note import LogKey
from strongroom.serving.bulk import ROWS_RULE
from strongroom.wiring.node import NodeLayout, make_shard
from strongroom.wiring.node_settings import BATCH_SLOT
from strongroom.wiring.records import NodeRecords
from strongroom.wiring.scoring import Job, score_file, wish_of
from tests import simulator
from tests.journeys.bank import each_key_derived_once
from tests.serving.house import GOOD
from tests.web import nodes

ROWS = 2500
"""Three chunks, with the small segments of these nodes."""


def add_batch_log(node: nodes.Node) -> None:
    """What `strongroom node open-batch` does with a room at hand."""
    layout = NodeLayout(node.folder)
    key = make_shard(layout, layout.read(), KeyFile.open(layout.keyring, nodes.PASSPHRASE), BATCH_SLOT)
    governance = LogKey(nodes.GOVERNANCE, b"g" * 32)
    layout.opening(BATCH_SLOT).write_bytes(nodes.disclosed_opening(governance, key))


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[nodes.Node]:
    """Served, so that no run starts a keeper of its own; a module for this alone would be slower, not better."""
    made = nodes.make(tmp_path_factory.mktemp("node"))
    with each_key_derived_once():
        add_batch_log(made)
        with made.serving():
            yield made


def frame(rows: int = ROWS, subjects: str = "s") -> pd.DataFrame:
    values = np.tile(np.array(GOOD), (rows, 1))
    values[:, 0] = np.arange(rows)
    made = pd.DataFrame(values, columns=["limit", "age", "status", "ratio"])
    return made.assign(client=[f"{subjects}-{n}" for n in range(rows)])


def job(node: nodes.Node, folder: Path, data: pd.DataFrame | None = None, **changes: Any) -> Job:
    file = folder / "rows.parquet"
    if not file.exists():
        (frame() if data is None else data).to_parquet(file)
    wish = wish_of(
        changes.pop("model", simulator.MODEL), "credit-decision", changes.pop("jurisdiction", "EU"), None, explain=False
    )
    return replace(Job(file, folder / "answers.parquet", str(node.key).encode(), wish, subject="client"), **changes)


def leaves(node: nodes.Node, start: int = 0) -> list[Leaf]:
    reader = ShardReader(NodeLayout(node.folder).ledger(BATCH_SLOT))
    found = [Leaf.decode(record.leaf) for record in reader.records(start)]
    reader.close()
    return found


def size(node: nodes.Node) -> int:
    return ShardReader(NodeLayout(node.folder).ledger(BATCH_SLOT)).size


def test_a_file_is_scored_with_a_record_for_each_row_and_a_proof(node: nodes.Node, tmp_path: Path) -> None:
    data = frame()
    data.loc[3, "age"] = 17.0
    data.loc[1500, "status"] = np.nan
    data.loc[2400, "client"] = ""
    wanted = job(node, tmp_path, data)
    told: list[tuple[int, int]] = []
    before = size(node)
    proof = score_file(node.folder, nodes.PASSPHRASE, wanted, lambda done, rows: told.append((done, rows)))
    answers, rejects = pd.read_parquet(wanted.output), pd.read_parquet(wanted.rejects)
    assert rejects.values.tolist() == [
        [3, "age", "range"], [1500, "status", "missing"], [2400, "subject", "required"]
    ]  # fmt: skip
    assert answers["row"].tolist() == [row for row in range(ROWS) if row not in (3, 1500, 2400)]
    assert answers["subject"].tolist() == [f"s-{row}" for row in answers["row"]]
    linear = 1e-6 * answers["row"] + 0.01 * 40 + 0.2 * 2 + 0.5 * 0.05 + 0.1
    assert np.allclose(answers["score"], 1 / (1 + np.exp(-linear)), atol=1e-6)
    assert set(answers["decision"]) == {"refer"}
    assert told[-1] == (ROWS, ROWS)
    # a record for each decision, one refusal for each chunk with bad rows
    logged = leaves(node, before)
    assert [leaf.decision_id for leaf in logged if leaf.type == "decision"] == answers["decision_id"].tolist()
    assert sum(leaf.type == "refusal" for leaf in logged) == 3
    assert proof["ranges"] == [[before, before + len(logged) - 1]]
    assert json.loads(wanted.proof.read_bytes()) == proof
    for part, path in (("input", wanted.file), ("output", wanted.output), ("rejects", wanted.rejects)):
        assert proof[part]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert path is wanted.file or path.stat().st_mode & 0o077 == 0
    assert not wanted.work.exists()
    # what the record says is what the file says, and so do the node's other commands
    with NodeRecords.open(node.folder, nodes.PASSPHRASE) as records:
        decision = records.decision(answers["decision_id"][7])
        assert decision.record.subject == answers["subject"][7]
        assert decision.answer.decision == answers["decision"][7]
        assert np.frombuffer(decision.answer.outputs[0].data, "<f4")[0] == np.float32(answers["score"][7])
        refusal = next(leaf for leaf in logged if leaf.type == "refusal")
        reason = records.decision(refusal.decision_id).answer.reasons[0]
        assert (reason.field, reason.rule) == ("1", ROWS_RULE)
        assert all(not findings for _, findings in records.fsck())


def test_a_node_that_is_not_served_scores_a_file_with_a_keeper_of_its_own(tmp_path: Path) -> None:
    made = nodes.make(tmp_path)
    wanted = job(made, tmp_path, frame(20))
    with pytest.raises(NotFoundError, match="open-batch"):
        score_file(made.folder, nodes.PASSPHRASE, wanted)
    with each_key_derived_once():
        add_batch_log(made)
        assert score_file(made.folder, nodes.PASSPHRASE, wanted)["answered"] == 20


@pytest.mark.parametrize(
    ("changes", "error", "field"),
    [
        ({"credential": b"sr_wrong"}, NotAuthenticatedError, None),
        ({"model": "other"}, NotPermittedError, "model"),
        ({"jurisdiction": "TW"}, NotPermittedError, None),
        ({"subject": "nobody"}, InvalidInputError, "nobody"),
    ],
)
def test_what_is_refused_is_recorded_and_leaves_nothing(
    node: nodes.Node, tmp_path: Path, changes: dict[str, Any], error: type[StrongroomError], field: str | None
) -> None:
    wanted = job(node, tmp_path, frame(5), **changes)
    before = size(node)
    with pytest.raises(error) as caught:
        score_file(node.folder, nodes.PASSPHRASE, wanted)
    assert field is None or caught.value.details["field"] == field
    assert [leaf.type for leaf in leaves(node, before)] == ["refusal"]
    assert not wanted.output.exists()
    assert not wanted.work.exists()


def test_a_column_of_the_model_that_is_missing_or_no_number_is_named(node: nodes.Node, tmp_path: Path) -> None:
    for place, data in enumerate((frame(5).drop(columns="age"), frame(5).assign(age="old"))):
        (tmp_path / str(place)).mkdir()
        with pytest.raises(InvalidInputError, match="`age`"):
            score_file(node.folder, nodes.PASSPHRASE, job(node, tmp_path / str(place), data))


def test_an_output_that_is_there_is_not_written_over(node: nodes.Node, tmp_path: Path) -> None:
    wanted = job(node, tmp_path, frame(5))
    wanted.output.write_bytes(b"mine")
    with pytest.raises(ConflictError, match="already"):
        score_file(node.folder, nodes.PASSPHRASE, wanted)
    assert wanted.output.read_bytes() == b"mine"


class KilledError(Exception):
    """Stands for the end of the process: everything after the step does not happen."""


STEPS = ("begun", "intent", "committed", "rejects", "answers", "output", "proof", "done")


class Stop:
    """Kills at a step, for the n-th time that it comes; whatever another thread would still do does not happen."""

    def __init__(self, word: str, time: int) -> None:
        self.word, self.left, self.dead, self.words = word, time, False, set[str]()

    def __call__(self, word: str) -> None:
        self.words.add(word)
        self.left -= word == self.word
        self.dead = self.dead or self.left <= 0
        if self.dead:
            raise KilledError


@pytest.mark.parametrize("word", STEPS)
def test_a_run_that_is_killed_goes_on_and_scores_nothing_twice(node: nodes.Node, tmp_path: Path, word: str) -> None:
    wanted = job(node, tmp_path, frame(2500, word).assign(age=[17.0, *[40.0] * 2499]))
    before = size(node)
    # stopped at the first such step, then at the second that comes, then not any more
    for time in (1, 2, 99):
        stop = Stop(word, time)
        try:
            score_file(node.folder, nodes.PASSPHRASE, wanted, step=stop)
        except KilledError:
            assert stop.dead
            continue
        except ConflictError:
            # all was there but the folder's end
            assert word == "done"
        break
    # what was finished before is not done again
    assert "intent" not in stop.words or word not in ("output", "proof", "done")
    answers = pd.read_parquet(wanted.output)
    logged = leaves(node, before)
    assert answers["row"].tolist() == list(range(1, 2500))
    assert [leaf.decision_id for leaf in logged if leaf.type == "decision"] == answers["decision_id"].tolist()
    assert sum(leaf.type == "refusal" for leaf in logged) == 1
    assert pd.read_parquet(wanted.rejects).values.tolist() == [[0, "age", "range"]]
    proof = json.loads(wanted.proof.read_bytes())
    assert proof["ranges"] == [[before, before + len(logged) - 1]]
    assert not wanted.work.exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from strongroom.wiring.scoring import Job, score_file, wish_of
node, file, output, key, model, passphrase = sys.argv[1:]
wish = wish_of(model, "credit-decision", "EU", None, explain=False)
job = Job(Path(file), Path(output), key.encode(), wish, "client")
kill = lambda word: word == "committed" and os.kill(os.getpid(), signal.SIGKILL)
score_file(Path(node), passphrase.encode(), job, step=kill)
"""


def test_a_process_that_is_killed_behind_the_commit_has_its_answers_read_back(node: nodes.Node, tmp_path: Path) -> None:
    wanted = job(node, tmp_path, frame(50, "sigkill"))
    before = size(node)
    words = (node.folder, wanted.file, wanted.output, node.key, simulator.MODEL, nodes.PASSPHRASE.decode())
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *map(str, words)], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not wanted.output.exists()
    score_file(node.folder, nodes.PASSPHRASE, wanted)
    logged = leaves(node, before)
    assert len(logged) == 50
    assert [leaf.decision_id for leaf in logged] == pd.read_parquet(wanted.output)["decision_id"].tolist()
