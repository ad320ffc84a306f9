"""What is asked: bodies that our gateway reads, and the same numbers for everybody."""

from __future__ import annotations

import json

import numpy as np

from bench import servers, workload
from strongroom.registry.contract import InputContract
from strongroom.serving.contract_check import InputCheck
from strongroom.serving.decoding import decode
from tests.serving.house import feature

CHECK = InputCheck(
    InputContract(tensor="x", features=tuple(feature(n, minimum="-1000", maximum="1000") for n in workload.NAMES))
)


def test_rows_are_the_same_every_time_and_within_the_contract() -> None:
    matrix = workload.cases(100, 1)
    assert np.array_equal(matrix, workload.cases(100, 1))
    assert matrix.dtype == np.float32
    assert abs(matrix).max() < 1000


def test_json_and_binary_ask_the_same_of_our_gateway() -> None:
    for rows in (1, 32):
        matrix, subjects = workload.batch(990, rows)
        assert len(set(subjects)) == rows
        text = decode(workload.v2_json(matrix, subjects), None, CHECK, ("pd", "decision"))
        body, length = workload.v2_binary(matrix, subjects)
        binary = decode(body, length, CHECK, ("pd", "decision"))
        assert list(text.subjects) == list(binary.subjects) == subjects
        for question in (text, binary):
            assert np.array_equal(np.asarray(question.values, np.float32).reshape(rows, -1), matrix)


def test_every_server_is_asked_for_the_same_numbers() -> None:
    matrix, _ = workload.batch(0, 3)
    for name, recipe in servers.RECIPES.items():
        asked = json.loads(recipe.ask(matrix))
        values = (
            asked["inputs"][0]["data"] if isinstance(asked.get("inputs", [0])[0], dict) else next(iter(asked.values()))
        )
        assert np.array_equal(np.asarray(values, np.float32).reshape(3, -1), matrix), name


def test_scores_are_read_from_each_kind_of_answer() -> None:
    answers = {
        "mlflow": {"predictions": {"probabilities": [[0.75, 0.25], [0.5, 0.5]]}}, "bentoml": [0.25, 0.5],
        "fastapi": {"scores": [0.25, 0.5]}, "litserve": {"scores": [0.25, 0.5]}, "ray": {"scores": [0.25, 0.5]},
        **{name: {"outputs": [{"data": [0.25, 0.5]}]} for name in ("bare", "bare_direct", "mlserver", "kserve")},
    }  # fmt: skip
    assert answers.keys() == servers.RECIPES.keys()
    for name, answer in answers.items():
        assert servers.RECIPES[name].scores(answer) == [0.25, 0.5], name
