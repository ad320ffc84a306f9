"""Write tests/vectors/source.json: `python -m tests.vectors.make_source`. Documents of page 22, taken and refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

PAGE = Path(__file__).with_name("source.json")
MODEL, SAVED = "a served model", "a saved model"
FILES = {"model.onnx": MODEL, "source/m.joblib": SAVED}


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def figures(**changes: Any) -> dict[str, Any]:
    values = {
        "beyond": 0, "flips": 0, "largest": "2.98e-08", "narrowing_flips": 0, "narrowing_largest": "1e-07", "near": 0,
        "rows": 300, "tools": {"onnx": "1.20.0", "scikit-learn": "1.8.0"},
    }  # fmt: skip
    return {**values, **changes}


def order(**changes: Any) -> dict[str, Any]:
    values = {
        "cut_offs": ["0.3"], "features": ["income", "age"], "format": "sklearn", "runtime": "onnxruntime",
        "tolerance": "1e-05",
    }  # fmt: skip
    return {**values, **changes}


def predicate(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "converted": {
            "column": 1, "kind": "Pipeline", "notes": [], "parameters": {"C": "1.0"}, "saved_as": "pickle",
            "tensor": "probabilities", "v": 1,
        },
        "figures": figures(),
        "isolation": "linux-namespaces",
        "order": order(),
        "predictions": digest("predictions"),
        "reference": digest("reference"),
        "source": [{"path": "source/m.joblib", "sha256": digest(SAVED)}],
        "v": 1,
    }  # fmt: skip
    return {**values, **changes}


def statement(said: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    values = {
        "_type": "https://in-toto.io/Statement/v1",
        "predicate": predicate() if said is None else said,
        "predicateType": "urn:strongroom:predicate:conversion:v1",
        "subject": [{"digest": {"sha256": digest(MODEL)}, "name": "model.onnx"}],
    }
    return {**values, **changes}


def source(form: str = "sklearn", files: Any = ("source/m.joblib",), **more: Any) -> str:
    lines = [f"format = {json.dumps(form)}", f"files = {json.dumps(list(files))}"]
    lines += [f"{name} = {json.dumps(value)}" for name, value in more.items()]
    return "\n".join(["[source]", *lines, ""])


def training(script: str = "training/train.py", **more: Any) -> str:
    lines = [f"{name} = {json.dumps(value)}" for name, value in {"script": script, **more}.items()]
    return "\n".join(["[training]", *lines, ""])


TRAININGS = {
    "accept": [
        ("a script", training(), None),
        ("of a file below a folder", training("training/deep/fit.py"), None),
        ("the data by digest", training(data=digest("data")), None),
        ("the widest tolerance", training(tolerance="0.01"), None),
        ("a module beside it", training(modules=["training/clean.py"]), None),
        (
            "modules in folders",
            training(modules=["training/a/__init__.py", "training/a/b/c.py", "training/_d.py"]),
            None,
        ),
        ("32 files of code", training(modules=[f"training/m{n}.py" for n in range(31)]), None),
    ],
    "reject": [
        ("no script", "[training]\n", "schema"),
        ("outside the folder", training("train.py"), "folder"),
        ("up and out", training("training/../train.py"), "path-segments"),
        ("another kind of file", training("training/train.sh"), "folder"),
        ("data by name", training(data="development.parquet"), "digest"),
        ("no tolerance at all", training(tolerance="0"), "range"),
        ("half of everything will do", training(tolerance="0.5"), "range"),
        ("a tolerance that is no number", training(tolerance="small"), "range"),
        ("an unknown key", training(packages=["evil"]), "schema"),
        ("no module, in so many words", training(modules=[]), "count"),
        ("33 files of code", training(modules=[f"training/m{n}.py" for n in range(32)]), "count"),
        ("a module twice", training(modules=["training/m.py", "training/m.py"]), "unique"),
        ("the script as a module", training(modules=["training/train.py"]), "unique"),
        ("a module outside the folder", training(modules=["m.py"]), "module"),
        ("a module up and out", training(modules=["training/../m.py"]), "module"),
        ("a module that nobody can import", training(modules=["training/my-module.py"]), "module"),
        ("a module that is a library", training(modules=["training/m.so"]), "module"),
        ("a module and a folder of one name", training(modules=["training/m.py", "training/m/n.py"]), "folder"),
    ],
}


def replication(outcome: str = "same-bytes", **changes: Any) -> dict[str, Any]:
    """A predicate; a change to None takes the field away."""
    values = {
        "artifact": digest(MODEL), "at_us": 1_764_000_000_000_000, "data": digest("data"),
        "isolation": "linux-namespaces", "outcome": outcome, "reason": "", "replica": digest(MODEL),
        "script": digest("script"), "tolerance": "1e-06", "tools": {"scikit-learn": "1.8.0"}, "v": 1, **changes,
    }  # fmt: skip
    return {name: value for name, value in values.items() if value is not None}


def compared(**changes: Any) -> dict[str, Any]:
    return {"beyond": 0, "flips": 0, "largest": "2e-07", "rows": 300, **changes}


def replications() -> dict[str, list[tuple[str, dict[str, Any]]]]:
    other = {"replica": digest("another"), "sample": digest("rows")}
    bare = dict.fromkeys(("data", "isolation", "replica", "script", "tolerance", "tools"))
    none = dict.fromkeys(("isolation", "replica", "tools"))
    return {
        "accept": [
            ("the same bytes", replication()),
            ("the same bytes, of several files of code", replication(code=digest("code"))),
            ("other bytes that answer alike", replication("within-tolerance", **other, compared=compared())),
            ("another model", replication("differs", **other, compared=compared(beyond=3, flips=1))),
            ("no script", replication("not-evaluable", reason="no script", **bare)),
            (
                "a script that fails",
                replication("failed", reason="it raised", **none),
            ),
        ],
        "reject": [
            ("the same bytes that are others", replication(replica=digest("another"))),
            ("alike without figures", replication("within-tolerance", **other)),
            ("alike, and rows beyond", replication("within-tolerance", **other, compared=compared(beyond=1))),
            ("another model, and no row beyond", replication("differs", **other, compared=compared())),
            ("more rows beyond than there are", replication("differs", **other, compared=compared(beyond=301))),
            ("a distance that is no number", replication("differs", **other, compared=compared(beyond=1, largest="x"))),
            ("failed without a reason", replication("failed", replica=None)),
            ("the same bytes, with a reason", replication(reason="because")),
            ("not evaluable, and yet a model", replication("not-evaluable", reason="no script")),
            ("no such outcome", replication("passed")),
            ("a digest that is none", replication(script="abc")),
            ("a digest of code that is none", replication(code="abc")),
            ("an unknown field", replication(note="trust me")),
            ("another version", replication(v=2)),
        ],
    }


def vectors() -> dict[str, Any]:
    """The document, the same every time."""
    folder = ("source/MLmodel", "source/model.pkl")
    good = [
        ("one file", source(), "1e-05"),
        ("text of LightGBM", source("lightgbm", ["source/m.txt"]), "1e-05"),
        ("an MLflow folder", source("mlflow", folder), "1e-05"),
        ("a tolerance", source(tolerance="1e-07"), "1e-07"),
        ("the widest tolerance", source(tolerance="0.001"), "0.001"),
        ("a tolerance as a number", source() + "tolerance = 1e-6\n", "1e-06"),
        ("a folder below the folder", source(files=["source/deep/m.pkl"]), "1e-05"),
    ]
    bad = [
        ("no such format", source("keras"), "schema"),
        ("no file", source(files=[]), "count"),
        ("two files of one format", source(files=["source/a", "source/b"]), "count"),
        ("eleven files", source("mlflow", ["source/MLmodel", *(f"source/{n}" for n in range(10))]), "count"),
        ("a file twice", source("mlflow", ["source/MLmodel", "source/MLmodel"]), "unique"),
        ("outside the folder", source(files=["m.joblib"]), "folder"),
        ("a folder of nearly the name", source(files=["sources/m.joblib"]), "folder"),
        ("up and out", source(files=["source/../m.joblib"]), "path-segments"),
        ("an MLflow folder without MLmodel", source("mlflow", ["source/model.pkl"]), "mlmodel"),
        ("no tolerance at all", source(tolerance="0"), "range"),
        ("any difference will do", source(tolerance="1"), "range"),
        ("a tolerance below nothing", source(tolerance="-1e-6"), "range"),
        ("a tolerance that is no number", source(tolerance="small"), "range"),
        ("not a number", source(tolerance="nan"), "range"),
        ("an unknown key", source(loader="evil"), "schema"),
    ]
    taken = [
        ("as written", statement(), FILES),
        ("without walls, which it says", statement(predicate(isolation="none")), FILES),
    ]
    two = [{"path": "source/m.joblib", "sha256": digest(SAVED)}, {"path": "source/n", "sha256": digest("n")}]
    refused = [
        ("another model", statement(), {**FILES, "model.onnx": "another"}),
        ("another source", statement(), {**FILES, "source/m.joblib": "another"}),
        ("a file that is not there", statement(predicate(source=two)), FILES),
        ("no source", statement(predicate(source=[])), FILES),
        ("another format", statement(predicate(order=order(format="xgboost"))), FILES),
        ("another tolerance", statement(predicate(order=order(tolerance="1e-04"))), FILES),
        ("rows that differ", statement(predicate(figures=figures(beyond=1))), FILES),
        ("more rows differ than there are", statement(predicate(figures=figures(beyond=301))), FILES),
        ("fewer than no rows", statement(predicate(figures=figures(beyond=-1))), FILES),
        ("nothing was measured", statement(predicate(figures=figures(rows=0))), FILES),
        ("a figure that is no number", statement(predicate(figures=figures(largest="tiny"))), FILES),
        ("a figure that is not finite", statement(predicate(figures=figures(narrowing_largest="inf"))), FILES),
        ("a distance below nothing", statement(predicate(figures=figures(largest="-1"))), FILES),
        ("a figure as a number", statement(predicate(figures=figures(rows="300"))), FILES),
        ("a digest that is none", statement(predicate(reference="abc")), FILES),
        ("an unknown field", statement(predicate(note="trust me")), FILES),
        ("another version", statement(predicate(v=2)), FILES),
        ("another predicate", statement(predicateType="urn:strongroom:predicate:scan:v1"), FILES),
        ("another statement type", statement(_type="https://in-toto.io/Statement/v0.1"), FILES),
        ("two subjects", statement(subject=statement()["subject"] * 2), FILES),
        ("no subject", statement(subject=[]), FILES),
    ]
    return {
        "training": {
            what: [{"name": name, "toml": text, **({"rule": rule} if rule else {})} for name, text, rule in listed]
            for what, listed in TRAININGS.items()
        },
        "replication": {
            what: [{"name": name, "predicate": said} for name, said in listed]
            for what, listed in replications().items()
        },
        "model.toml": {
            "accept": [{"name": name, "toml": text, "tolerance": read} for name, text, read in good],
            "reject": [{"name": name, "rule": rule, "toml": text} for name, text, rule in bad],
        },
        "conversion.json": {
            what: [{"files": files, "name": name, "statement": said} for name, said, files in listed]
            for what, listed in (("accept", taken), ("reject", refused))
        },
    }


if __name__ == "__main__":
    PAGE.write_text(json.dumps(vectors(), indent=1, sort_keys=True) + "\n")
