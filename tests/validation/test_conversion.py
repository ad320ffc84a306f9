"""Saved models become packages inside the sandbox, answer as before, and say what was done to them."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime as ort
import pytest

from strongroom.adapters.packages.package_folder import read_folder
from strongroom.adapters.packages.source_packaging import _wide, package_source, read_source
from strongroom.adapters.runtimes.onnx_runtime import OnnxRuntime
from strongroom.adapters.runtimes.xgboost_runtime import XGBoostRuntime
from strongroom.adapters.sandbox.linux import LinuxSandbox
from strongroom.approval.release import Bins
from strongroom.encoding import canonical
from strongroom.errors import ConflictError, InvalidInputError, UnavailableError, UnsafeArtifactError
from strongroom.registry.packages import Package, read_package
from strongroom.serving.ports import Runtime
from strongroom.serving.served import make_ready
from strongroom.validation.jobs import convert as convert_job
from strongroom.validation.jobs import scan
from strongroom.validation.jobs.source_graphs import convert
from strongroom.validation.ports import Sandbox
from strongroom.validation.workshop.conversion import ConversionOrder, read_statement
from strongroom.vocabulary import digest_of
from tests.journeys.small_house import Held
from tests.registry.models import contract
from tests.serving.house import House, admitted, release_of
from tests.validation.sources import DEVELOPMENT, NAMES, REFERENCE, SAVED, saved, write
from tests.web.gateways import gateway

pytest.importorskip("lightgbm")
pytest.importorskip("skops")


def made(source: Path, form: Any, folder: Path, sandbox: Sandbox | None = None, **more: Any) -> Any:
    stated = contract() | more.pop("contract", {})
    return package_source(
        source, form, folder, contract=stated, outcome="default", development=DEVELOPMENT,
        reference=more.pop("reference", REFERENCE), sandbox=sandbox or LinuxSandbox(), **more,
    )  # fmt: skip


def answered(package: Package, files: Mapping[str, bytes], rows: Any) -> Any:
    """What a gateway says of rows over HTTP, from the file that the package would have served."""
    stated = package.contract
    release = release_of(features=stated.input.features)
    release = msgspec.structs.replace(
        release, input=stated.input, output=stated.output, cut_offs=stated.decisions,
        monitors=msgspec.structs.replace(release.monitors, score=Bins(name="pd", edges=("0.5",), counts=(10, 10))),
    )  # fmt: skip
    native = stated.engine == "xgboost"
    runtime: Runtime = XGBoostRuntime() if native else OnnxRuntime()
    if native:
        machine = runtime.machine
        profile = msgspec.structs.replace(
            release.numeric_profile, runtime=machine.runtime, version=machine.version, provider=machine.provider
        )
        release = msgspec.structs.replace(release, numeric_profile=profile, artifact=stated.samples.model)
    house = House(make_ready(admitted(release, files[stated.samples.model]), runtime))
    asked = {
        "inputs": [
            {"name": "input", "shape": list(rows.shape), "datatype": "FP32", "data": rows.ravel().tolist()},
            {"name": "strongroom.subject", "shape": [len(rows)], "datatype": "BYTES", "data": ["anna"] * len(rows)},
        ],
        "parameters": {"purpose": "credit-decision", "jurisdiction": "EU"},
    }
    with gateway(house) as desk:
        status, answer = desk.ask(asked)
    assert status == 200, answer
    scores, decisions = (np.array(one["data"]) for one in answer["outputs"])
    assert np.array_equal(decisions, np.where(scores < 0.2, "grant", "refer"))
    return scores


WALLS = {"without walls": Held, "sandboxed": LinuxSandbox}
"""The jobs in this process, in a blink; and where they belong."""


@pytest.mark.parametrize(
    ("name", "walls"),
    [
        *((name, "without walls") for name in SAVED),
        ("joblib", "sandboxed"),
        *(pytest.param(name, "sandboxed", marks=pytest.mark.slow) for name in SAVED if name != "joblib"),
    ],
)
def test_every_format_is_converted_and_answers_as_its_source(tmp_path: Path, name: str, walls: str) -> None:
    source, form = write(name, tmp_path)
    package, found = made(source, form, tmp_path / "package", WALLS[walls]())
    files = read_folder(tmp_path / "package")
    assert read_package(files).ref == package.ref
    kept = read_source(source, form)
    assert {path: files[path] for path in kept} == kept
    # an opinion of our own: the source run here, against what a gateway answers with the file that it would serve
    told = opinion(name)
    rows = REFERENCE[NAMES].to_numpy("float32")
    assert np.abs(answered(package, files, rows[:100]) - told[:100]).max() < 1e-6
    assert found.figures.rows == len(REFERENCE)
    assert float(found.figures.largest) < 1e-6
    assert found.figures.beyond == found.figures.flips == 0
    digest, stated = read_statement(files["conversion.json"])
    assert digest == digest_of(files["model.onnx"])
    assert stated == found
    assert {one.path: one.sha256 for one in stated.source} == {p: digest_of(d) for p, d in kept.items()}
    assert stated.figures.tools["onnxruntime"] == ort.__version__

    if name == "mlflow":
        assert found.converted.kind == "Pipeline"
        assert "source/MLmodel" in {entry.path for entry in package.manifest}
    assert scanned(package, files) == set()
    if (name, walls) == ("joblib", "without walls"):
        for path, data in (
            ("model.onnx", files["model.onnx"] + b"\x00"),
            (f"source/{source.name}", b"another"),
            ("conversion.json", files["conversion.json"].replace(b"1e-05", b"1e-04")),
            ("conversion.json", b"{}"),
            ("conversion.json", files["conversion.json"].replace(b'"beyond":0', b'"beyond":1')),
        ):
            assert "conversion" in scanned(package, files | {path: data})
        assert "secret" in scanned(package, files | {f"source/{source.name}": b"AKIA" + b"A2" * 8})


def scanned(package: Any, files: dict[str, bytes]) -> set[str]:
    """Rules that refuse, as the scan's job finds them."""
    entries = list(package.manifest)
    inputs = {f"file-{i}": files[entry.path] for i, entry in enumerate(entries)}
    inputs["contract.json"] = canonical(package.contract)
    told = scan.run(inputs, {"files": [[f"file-{i}", entry.path, entry.role] for i, entry in enumerate(entries)]})
    return {one["rule"] for one in json.loads(told["scan.json"])["findings"] if one["severity"] == "refuse"}


def opinion(name: str) -> Any:
    form, _, data = saved()[name]
    rows = REFERENCE[NAMES].astype("float32")
    if form == "statsmodels":
        results = pickle.loads(data)  # noqa: S301 - made by this test
        return results.predict(np.column_stack([np.ones(len(rows)), rows.astype(float)]))
    if name == "lightgbm text":
        import lightgbm

        return lightgbm.Booster(model_str=data.decode()).predict(rows)
    if form == "xgboost":
        import xgboost

        booster = xgboost.Booster()
        booster.load_model(bytearray(data))
        return booster.predict(xgboost.DMatrix(rows))
    if name == "skops":
        import skops.io

        return skops.io.loads(data).predict_proba(rows)[:, 1]
    import io

    import joblib

    model = joblib.load(io.BytesIO(data))
    return model.predict_proba(rows if name != "pickle" else rows.to_numpy())[:, 1]


def test_xgboost_may_stay_as_it_is(tmp_path: Path) -> None:
    source, form = write("xgboost json", tmp_path)
    package, found = made(source, form, tmp_path / "package", Held(), runtime="xgboost")
    assert package.contract.engine == "xgboost"
    assert found.figures.largest == "0.0"
    scores = answered(package, read_folder(tmp_path / "package"), REFERENCE[NAMES].to_numpy("float32")[:100])
    assert np.array_equal(scores.astype("float32"), opinion("xgboost json")[:100])


@pytest.mark.slow
def test_what_float32_costs_is_told_apart_from_the_conversion(tmp_path: Path) -> None:
    source, form = write("statsmodels logit", tmp_path)
    wide = REFERENCE.assign(income=REFERENCE["income"] + 1 / 3)
    _, found = made(source, form, tmp_path / "package", reference=wide)
    assert 0.0 < float(found.figures.narrowing_largest) < 1e-6
    assert float(found.figures.largest) < 1e-6


def test_thresholds_between_two_float32_values_keep_their_side() -> None:
    """A value that float32 rounds up past LightGBM's float64 threshold changes sides where thresholds are rounded."""
    import lightgbm

    low = np.float32(0.1)
    high = np.nextafter(low, np.float32(1))
    rows = np.where(np.arange(600) % 2 == 0, float(low), float(high))
    frame = DEVELOPMENT.assign(income=rows, default=(rows == float(high)).astype(int))
    model = lightgbm.LGBMClassifier(n_estimators=3, min_data_in_bin=1, verbose=-1).fit(frame[NAMES], frame["default"])
    converted = convert(model, NAMES, "onnxruntime")
    given = frame[NAMES].to_numpy("float32")
    served = ort.InferenceSession(converted.model).run(["probabilities"], {"input": given})[0][:, 1]
    assert np.abs(served - model.predict_proba(frame[NAMES])[:, 1]).max() < 1e-6
    assert np.abs(served - converted.answer(given)).max() < 1e-6


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("hist", "HistGradientBoosting"),
        ("probit", "link probit is not converted"),
        ("formula", "is no feature of the contract"),
        ("columns", "other columns"),
        ("width", "takes 2 features"),
        ("classes", "more than two classes"),
        ("dict", "which is not converted"),
        ("multiclass", "objective"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_cannot_be_converted_is_refused_with_what_to_do(what: str, says: str) -> None:
    with pytest.raises(UnsafeArtifactError, match=says):
        convert(refused(what), NAMES, "onnxruntime")


def refused(what: str) -> Any:
    import lightgbm
    import statsmodels.api as sm
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression

    x, y = DEVELOPMENT[NAMES], DEVELOPMENT["default"]
    if what == "hist":
        return HistGradientBoostingClassifier(max_iter=2).fit(x, y)
    if what == "probit":
        return sm.Probit(y, sm.add_constant(x.astype(float))).fit(disp=0)
    if what == "formula":
        import statsmodels.formula.api as formula

        return formula.logit("default ~ np.log1p(income) + age + arrears", DEVELOPMENT).fit(disp=0)
    if what == "columns":
        return LogisticRegression().fit(x[NAMES[::-1]], y)
    if what == "width":
        return LogisticRegression().fit(x.to_numpy()[:, :2], y)
    if what == "classes":
        return LogisticRegression().fit(x.to_numpy(), DEVELOPMENT["arrears"] % 3)
    if what == "multiclass":
        return lightgbm.LGBMClassifier(n_estimators=2, verbose=-1).fit(x, DEVELOPMENT["arrears"] % 3)
    return {"model": "none"}


def test_a_model_of_another_library_than_its_format_is_refused() -> None:
    _, _, data = saved()["pickle"]
    inputs = {"reference.parquet": _wide(REFERENCE, tuple(NAMES)), "source-0": data}
    for form in ("lightgbm", "xgboost", "statsmodels"):
        order = ConversionOrder(
            format=form, runtime="onnxruntime", features=tuple(NAMES), cut_offs=(), tolerance="1e-05"
        )  # fmt: skip
        given = {**inputs, "contract.json": canonical(order)}
        with pytest.raises(InvalidInputError, match=r"holds a .*; convert it with `--format sklearn`"):
            convert_job.run(given, {"files": [["source-0", "source/m.pkl"]]})


def test_a_folder_that_is_not_empty_is_refused_before_anything_is_converted(tmp_path: Path) -> None:
    with pytest.raises(ConflictError, match="choose another"):
        made(tmp_path / "no such file", "sklearn", Path(__file__).parent)


@pytest.mark.slow
def test_a_source_that_cannot_be_matched_is_refused(tmp_path: Path) -> None:
    source, form = write("joblib", tmp_path)
    with pytest.raises(UnsafeArtifactError, match="does not answer as its source"):
        made(source, form, tmp_path / "package", tolerance="1e-12")


@pytest.mark.slow
def test_a_library_that_is_not_here_is_named(tmp_path: Path) -> None:
    module = type(sys)("bank_house_code")
    own = type("Own", (), {"__module__": "bank_house_code"})
    module.Own = own  # type: ignore[attr-defined]
    sys.modules["bank_house_code"] = module
    try:
        (tmp_path / "m.pkl").write_bytes(pickle.dumps(own()))
    finally:
        del sys.modules["bank_house_code"]
    with pytest.raises(UnavailableError, match="bank_house_code"):
        made(tmp_path / "m.pkl", "sklearn", tmp_path / "package")


@pytest.mark.parametrize("tolerance", ["0", "0.1", "nan", "x", "1e-5" + "0" * 40])
def test_tolerances_have_bounds(tmp_path: Path, tolerance: str) -> None:
    (tmp_path / "m").write_bytes(b"x")
    with pytest.raises(InvalidInputError):
        made(tmp_path / "m", "sklearn", tmp_path / "package", tolerance=tolerance)


def test_statements_that_are_none_are_refused(tmp_path: Path) -> None:
    for document in ({}, {"subject": []}, {"subject": [{"digest": {}}]}, {"predicate": {}, "subject": [1]}, []):
        with pytest.raises(InvalidInputError):
            read_statement(canonical(document))


def test_converters_are_imported_in_the_sandbox_alone() -> None:
    code = (
        "import sys, strongroom.adapters.packages.source_packaging;"
        "import strongroom.wiring.submitting, strongroom.wiring.gateway;"
        "print([m for m in ('lightgbm', 'skops', 'joblib', 'statsmodels', 'skl2onnx', 'onnxmltools', 'sklearn',"
        " 'yaml') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert json.loads(run.stdout.replace("'", '"')) == []
