"""Contributions are the exact interventional Shapley values: by enumerating all sets, and by `shap` itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.errors import InvalidInputError
from strongroom.validation.batteries.artifact import open_session
from strongroom.validation.statistics.tables import feature_rows, read_table
from strongroom.validation.trees.attribution import Attribution
from strongroom.validation.trees.boosters import open_booster
from strongroom.validation.trees.forests import Forest, forest_of, read_forest
from strongroom.validation.trees.shapley import Shapley
from tests.validation.forest_oracle import by_definition, margin, random_rows, random_tree
from tests.validation.worked import package


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(0, 7), st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_random_forests_give_what_the_definition_gives(seed: int, width: int, depth: int, references: int) -> None:
    random = np.random.default_rng(seed)
    forest = Forest(tuple(random_tree(random, width, depth) for _ in range(4)), 0.25, "identity", width)
    reference, rows = random_rows(random, references, width), random_rows(random, 3, width)
    made = Shapley(forest, reference)
    found = made.values(rows)
    for row, values in zip(rows, found, strict=True):
        np.testing.assert_allclose(values, by_definition(forest, row, reference), atol=2e-6)
        assert made.base + values.sum() == pytest.approx(margin(forest, row), abs=5e-6)
    assert made.base == pytest.approx(np.mean([margin(forest, one) for one in reference]))


@pytest.mark.parametrize("kind", ["xgboost", "native"])
def test_a_trained_model_is_explained_up_to_rounding_of_what_is_served(kind: Any) -> None:
    made = package(kind)
    forest = forest_of(made.contract, made.inputs[made.contract.model_input])
    rows = feature_rows(read_table(made.inputs["reference.parquet"], "reference"), made.contract.input, "reference")
    explainer = Shapley(forest, rows[:32])
    values = explainer.values(rows[32:200])
    if kind == "native":
        served = open_booster(made.inputs["model.ubj"]).predict(rows[32:200])
    else:
        served = open_session(made.inputs["model.onnx"]).run(["probabilities"], {"input": rows[32:200]})[0][:, 1]
    assert np.abs(forest.scores(explainer.base + values.sum(axis=1)) - served).max() < 2e-6
    # thresholds themselves: a row on the boundary goes where the runtime sends it
    edges = rows[32:96].copy()
    for row, tree in zip(edges, forest.trees, strict=False):
        row[tree.feature[0]] = tree.threshold[0]
    if kind == "native":
        served = open_booster(made.inputs["model.ubj"]).predict(edges)
    else:
        served = open_session(made.inputs["model.onnx"]).run(["probabilities"], {"input": edges})[0][:, 1]
    assert np.abs(forest.scores(explainer.base + explainer.values(edges).sum(axis=1)) - served).max() < 2e-6


def test_the_same_trees_from_both_formats_have_the_same_values() -> None:
    one, two = package("xgboost"), package("native")
    rows = feature_rows(read_table(one.inputs["reference.parquet"], "reference"), one.contract.input, "reference")[:64]
    explained = [
        Shapley(forest_of(made.contract, made.inputs[made.contract.model_input]), rows[:8]).values(rows)
        for made in (one, two)
    ]
    np.testing.assert_allclose(explained[0], explained[1], atol=1e-6)


def test_values_hang_on_no_other_row_of_the_batch() -> None:
    made = package("native")
    rows = feature_rows(read_table(made.inputs["reference.parquet"], "reference"), made.contract.input, "reference")
    explainer = Shapley(forest_of(made.contract, made.inputs["model.ubj"]), rows[:16])
    whole = explainer.values(rows[:100])
    alone = np.concatenate([explainer.values(rows[n : n + 1]) for n in range(100)])
    assert whole.tobytes() == alone.tobytes()
    assert explainer.values(rows[:0]).shape == (0, rows.shape[1])


def test_a_random_forest_of_scikit_learn_is_explained() -> None:
    from skl2onnx import to_onnx
    from sklearn.ensemble import RandomForestClassifier

    random = np.random.default_rng(3)
    rows = random.normal(size=(500, 5)).astype(np.float32)
    model = RandomForestClassifier(12, max_depth=5, random_state=1, n_jobs=1).fit(rows, rows[:, 0] > rows[:, 1])
    onnx = to_onnx(model, rows[:1], options={"zipmap": False}, target_opset=15).SerializeToString()
    for column in (0, 1):
        forest = read_forest(onnx, "onnxruntime", "probabilities", column, 5)
        made = Shapley(forest, rows[:20])
        found = made.base + made.values(rows).sum(axis=1)
        np.testing.assert_allclose(
            found, open_session(onnx).run(["probabilities"], {"X": rows})[0][:, column], atol=2e-6
        )


def test_what_is_no_single_forest_is_refused() -> None:
    made = package("logistic")
    with pytest.raises(InvalidInputError, match="one TreeEnsembleClassifier or"):
        forest_of(made.contract, made.inputs["model.onnx"])
    for junk in (b"", b"\x08\x01", b"no model"):
        with pytest.raises(InvalidInputError):
            read_forest(junk, "onnxruntime", "probabilities", 1, 5)
    random = np.random.default_rng(1)
    deep = Forest(tuple(random_tree(random, 3, 11) for _ in range(3)), 0.0, "identity", 3)
    with pytest.raises(InvalidInputError, match="levels"):
        Shapley(deep, random_rows(random, 2, 3))
    flat = Forest((random_tree(random, 3, 2),), 0.0, "identity", 3)
    for rows in (random_rows(random, 0, 3), random_rows(random, 300, 3), random_rows(random, 2, 4)):
        with pytest.raises(InvalidInputError, match="reference rows"):
            Shapley(flat, rows)


SHAP = """
import json, sys
import numpy as np, shap, xgboost
booster = xgboost.Booster(); booster.load_model(sys.argv[1] + "/model.ubj")
rows = np.load(sys.argv[1] + "/rows.npy")
explainer = shap.TreeExplainer(booster, rows[:32], feature_perturbation="interventional", model_output="raw")
np.save(sys.argv[1] + "/shap.npy", explainer.shap_values(rows[32:], check_additivity=False))
along = shap.TreeExplainer(booster, feature_perturbation="tree_path_dependent", model_output="raw")
np.save(sys.argv[1] + "/along.npy", along.shap_values(rows[32:], check_additivity=False))
bases = [float(np.ravel(one.expected_value)[0]) for one in (explainer, along)]
print(json.dumps({"shap": shap.__version__, "base": bases[0], "along": bases[1]}))
"""


@pytest.mark.slow
@pytest.mark.study
def test_shap_itself_gives_the_same_values(tmp_path: Path) -> None:
    """In an environment of its own: shap pins other packages. STRONGROOM_SHAP names the Python of one that exists."""
    python = os.environ.get("STRONGROOM_SHAP")
    if python is None:
        venv.create(tmp_path / "env", with_pip=True)
        python = str(tmp_path / "env" / "bin" / "python")
        subprocess.run([python, "-m", "pip", "install", "-q", "shap==0.51.*", "xgboost-cpu==3.2.*"], check=True)
    made = package("native")
    rows = feature_rows(read_table(made.inputs["reference.parquet"], "reference"), made.contract.input, "reference")
    (tmp_path / "model.ubj").write_bytes(made.inputs["model.ubj"])
    np.save(tmp_path / "rows.npy", rows[:132])
    done = subprocess.run([python, "-c", SHAP, str(tmp_path)], check=True, capture_output=True, text=True)
    told = json.loads(done.stdout.splitlines()[-1])
    forest = forest_of(made.contract, made.inputs["model.ubj"])
    for explainer, file, base in (
        (Shapley(forest, rows[:32]), "shap.npy", told["base"]),
        (Attribution(forest, rows[:32]), "shap.npy", told["base"]),
        (Attribution(forest, None), "along.npy", told["along"]),
    ):
        np.testing.assert_allclose(explainer.values(rows[32:132]), np.load(tmp_path / file), atol=1e-5)
        assert explainer.base == pytest.approx(base, abs=1e-5)
    assert sys.version_info >= (3, 11)


@pytest.mark.parametrize(("kind", "method"), [("native", 1), ("native", 2), ("native", "along"), ("logistic", 2)])
def test_the_sandbox_refuses_a_version_whose_reason_codes_would_not_add_up(kind: Any, method: Any) -> None:
    import msgspec

    from strongroom.adapters.packages.model_toml import write_contract
    from strongroom.encoding import canonical
    from strongroom.registry.explanation import Explanation, ReasonGroup
    from strongroom.registry.toml import read_contract
    from strongroom.validation.jobs.profile import demand_additive

    made = package(kind)
    rows = feature_rows(read_table(made.inputs["reference.parquet"], "reference"), made.contract.input, "reference")
    names = [feature.name for feature in made.contract.input.features]
    wish = Explanation(
        v=2 if method == "along" else method, method="path-dependent" if method == "along" else "interventional",
        code_map="1", groups=tuple(ReasonGroup(code=f"R{n}", features=(name,)) for n, name in enumerate(names)),
        reference=() if method == "along" else tuple(tuple(repr(float(one)) for one in row) for row in rows[:5]),
    )  # fmt: skip
    stated = msgspec.structs.replace(made.contract, explanation=wish)
    assert read_contract(write_contract(stated)) == stated
    assert canonical(stated) != canonical(made.contract)
    model = made.inputs[stated.model_input]
    if kind == "logistic":
        with pytest.raises(InvalidInputError, match="one forest only"):
            demand_additive(stated, wish, model, rows, np.zeros(len(rows), np.float32))
        return
    scores = open_booster(model).predict(rows)
    demand_additive(stated, wish, model, rows, scores)
    with pytest.raises(InvalidInputError, match="tolerance"):
        demand_additive(stated, wish, model, rows, scores + np.float32(0.001))
