"""A package is hardened, names the package it came from, and both models are measured on the same rows."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

import strongroom
from strongroom.adapters.packages.package_folder import read_folder
from strongroom.adapters.packages.package_hardening import harden_package
from strongroom.cli import app
from strongroom.errors import ConflictError, InvalidInputError, UnsafeArtifactError
from strongroom.registry.packages import read_package
from strongroom.validation.workshop.hardening import STUDY, HardeningOrder
from strongroom.vocabulary import Digest, ModelRef
from tests.adapters.test_hardening import CONTRACT, loans
from tests.validation.test_validate_verb import InProcess

pytest.importorskip("veritas")
pytest.importorskip("xgboost")

CODE = {"train.py": b"from clean import clean", "clean.py": b"def clean(rows): return rows"}
SMALL = msgspec.structs.replace(STUDY, rows=400, attacked=12, calls=200, answers=(100,))


STATED = CONTRACT | {"output": {key: text for key, text in CONTRACT["output"].items() if key != "tensor"}}


@cache
def _files() -> dict[str, bytes]:
    from tempfile import TemporaryDirectory

    from xgboost import XGBClassifier

    rows = loans()
    names = ["income", "debt", "spare"]
    model = XGBClassifier(n_estimators=40, max_depth=3, learning_rate=0.2, n_jobs=1, random_state=0)
    model.fit(rows[:1500][names].to_numpy("float32"), rows[:1500]["default"])
    with TemporaryDirectory() as folder:
        strongroom.package(
            model, Path(folder) / "p", contract=STATED, outcome="default", development=rows[:1500],
            reference=rows[1500:2300], runtime="xgboost", training=CODE,
        )  # fmt: skip
        return read_folder(Path(folder) / "p")


@pytest.fixture
def former(tmp_path: Path) -> Path:
    folder = tmp_path / "former"
    folder.mkdir()
    for path, data in _files().items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def run(*words: Any) -> Any:
    """The command, and what it prints; the jobs run here, without walls, but in the slow test."""
    done = CliRunner().invoke(app, ["harden", *map(str, words), "--json"])
    return done.exit_code, json.loads(done.stdout)


@pytest.fixture(autouse=True)
def quick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.get_closest_marker("slow") is None:
        monkeypatch.setattr("strongroom.adapters.sandbox.linux.LinuxSandbox", lambda **_: InProcess())


def lines(told: dict[str, Any]) -> dict[str, tuple[float, float]]:
    return {one["measure"]: (one["before"], one["after"]) for one in told["before_and_after"]}


def test_the_command_hardens_a_package_and_tells_both_models(former: Path, tmp_path: Path) -> None:
    code, told = run(
        former, tmp_path / "new", "--monotone", "--adversarial", "--rounds", 1, "--attacked", 30, "--band", 0.02
    )
    assert code == 0, told
    package = read_package(read_folder(tmp_path / "new"))
    assert told["manifest"] == package.ref.manifest
    assert told["from"] == read_package(_files()).ref.manifest == package.contract.hardening.package
    assert package.contract.engine == "xgboost"
    assert [cut.below for cut in package.contract.cut_offs] == ["0.18", "0.22", None]
    found = lines(told)
    assert found["Declared monotone features without proof"] == ("2", "0")
    before, after = map(float, found["Area under the ROC curve"])
    assert after > before - 0.03
    before, after = map(float, found["Applicants referred to a person (refer)"])
    assert before == 0 < after
    assert told["added_rows"] == int(package.contract.hardening.choices["added"]) > 0
    assert package.contract.training is msgspec.UNSET, "it came of other code now"
    # the former model stands in the package, byte for byte
    assert package.files["before/model.ubj"] == _files()["model.ubj"]
    assert package.files["before/model.toml"] == _files()["model.toml"]


@pytest.mark.slow
def test_the_same_inside_the_sandbox_with_its_progress(former: Path, tmp_path: Path) -> None:
    words = ["harden", former, tmp_path / "new", "--monotone", "--adversarial", "--rounds", 1, "--decimals", 3]
    done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exit_code == 0, done.output
    for text in ("before and after, on 800 rows", "Declared monotone features", "next: strongroom submit"):
        assert text in done.stdout
    read_package(read_folder(tmp_path / "new"))


def test_progress_is_shown_and_nothing_else() -> None:
    from strongroom.adapters.sandbox.progress_lines import ProgressLines

    shown: list[str] = []
    ProgressLines(shown.append).feed(
        b"hardening: adversarial training, round 1 of 3, applicant 50 of 300\nhardening: \x1b[2J\nlibrary: hello\n"
    )
    assert shown == ["hardening: adversarial training, round 1 of 3, applicant 50 of 300"]


def test_rounding_alone_trains_nothing_and_a_rounded_forest_is_attacked_as_its_former_is(
    former: Path, tmp_path: Path
) -> None:
    from strongroom.validation.batteries.artifact import open_model

    order = HardeningOrder(measures=("rounding",), decimals=2, study=SMALL)
    made = harden_package(former, tmp_path / "new", order, sandbox=InProcess())
    contract = made.package.contract
    assert contract.engine == "onnxruntime"
    predict, _, _ = open_model(contract, made.package.files["model.onnx"])
    rows = np.ascontiguousarray(loans()[["income", "debt", "spare"]].to_numpy(np.float32))
    old = open_model(made.former.contract, made.former.files["model.ubj"])[0](rows)
    assert np.abs(predict(rows) - np.round(old.astype(float), 2)).max() < 0.0101
    assert len(np.unique(predict(rows))) <= 101
    assert any("found by attack on both" in note for note in made.figures.notes)
    told = {one.title: one for one in made.figures.lines}
    assert told["Declared monotone features without proof"].after is None
    assert contract.lineage.parameters == made.former.contract.lineage.parameters


@pytest.mark.slow
def test_hardening_is_the_same_again(former: Path, tmp_path: Path) -> None:
    order = HardeningOrder(measures=("monotone",), study=SMALL)
    first, second = (
        harden_package(former, tmp_path / name, order, sandbox=InProcess()) for name in ("first", "second")
    )
    assert first.package.ref == second.package.ref
    assert first.figures == second.figures


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "one measure or more"),
        (("--band", "0.3"), "reaches beyond the scores"),
        (("--monotone", "--parameters", "p.toml"), "is not passed on"),
    ],
)
def test_what_cannot_be_done_is_refused_before_minutes_are_spent(
    words: tuple[str, ...], says: str, former: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.toml").write_text('device = "cuda"\n')
    code, told = run(former, tmp_path / "new", *words)
    assert (code, told["error"]) == (3, "invalid-input")
    assert says in told["message"]
    assert not (tmp_path / "new").exists()


def test_a_contract_that_declares_nothing_is_told_what_to_add(former: Path, tmp_path: Path) -> None:
    text = (former / "model.toml").read_text()
    (former / "model.toml").write_text(text[: text.index("[robustness]")] + text[text.index("[training]") :])
    for measure, says in (("--monotone", "add [robustness.monotone]"), ("--adversarial", "robustness.actions")):
        code, told = run(former, tmp_path / "new", measure)
        assert code == 3
        assert says in told["message"]


def test_a_folder_that_is_not_empty_is_left_alone(former: Path) -> None:
    with pytest.raises(ConflictError):
        harden_package(former, former, HardeningOrder(measures=("band",), band="0.02"), sandbox=None)  # type: ignore[arg-type]  # refused before


@cache
def hardened() -> dict[str, bytes]:
    """Files of a package with a band: nothing is trained, and no sandbox is needed to make them."""
    from strongroom.adapters.packages.model_toml import write_contract
    from strongroom.adapters.packages.package_hardening import _files as files_of
    from strongroom.adapters.packages.package_hardening import _stated
    from strongroom.validation.workshop.hardening import HardenedModel, Made, demand

    package = read_package(_files())
    order = HardeningOrder(measures=("band",), band="0.02")
    told = Made(v=1, runtime="xgboost", tensor="probability", column=0, added=0, tools={})
    made = HardenedModel(package.files["model.ubj"], package.files["predictions.parquet"], told)
    stated = _stated(order, demand(order, package.contract), package, made)
    return {**files_of(package, stated, made), "model.toml": write_contract(stated)}


def test_a_hardened_package_is_one() -> None:
    package = read_package(hardened())
    assert {entry.role for entry in package.manifest} >= {"model", "former-model", "former-contract"}
    assert not isinstance(package.contract.training, msgspec.UnsetType), "a band leaves the model as it was trained"
    assert {package.files[path] for path in package.contract.training.code} == set(CODE.values())


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("before/model.ubj", lambda data: data[:-1] + bytes([data[-1] ^ 1])),
        ("before/model.toml", lambda data: data.replace(b'title = "Small loans"', b'title = "Other loans"')),
        ("before/model.toml", lambda data: data.replace(b'below = "0.2"', b'below = "0.9"')),
        ("before/manifest.json", lambda data: data.replace(b'"sha256":"', b'"sha256":"0', 1)),
        ("development.parquet", lambda _: _files()["reference.parquet"]),
        ("model.toml", lambda data: data.replace(b'minimum = "0"\nmaximum = "9"', b'minimum = "0"\nmaximum = "8"')),
        ("model.toml", lambda data: data.replace(b'referred = "refer"', b'referred = "nobody"')),
    ],
)
def test_an_easier_former_model_is_refused(path: str, change: Any) -> None:
    files = {**hardened()}
    files[path] = change(files[path])
    assert files[path] != hardened()[path]
    with pytest.raises((InvalidInputError, UnsafeArtifactError)):
        read_package(files)


def test_the_scan_looks_at_the_former_model_by_its_own_contract() -> None:
    from strongroom.encoding import canonical
    from strongroom.validation.jobs import scan

    def findings(files: dict[str, bytes]) -> list[dict[str, Any]]:
        inputs = {f"file-{n}": files[path] for n, path in enumerate(files)} | {"contract.json": canonical(contract)}
        named = [[f"file-{n}", path, "x"] for n, path in enumerate(files)]
        return json.loads(scan.run(inputs, {"files": named})["scan.json"])["findings"]

    contract = read_package(hardened()).contract
    assert findings(hardened()) == []
    spoilt = {**hardened(), "before/model.ubj": b"{L" + b"\0" * 40}
    assert [one["file"] for one in findings(spoilt)] == ["before/model.ubj"]
    without = {path: data for path, data in hardened().items() if path != "before/model.toml"}
    assert {one["rule"] for one in findings(without)} == {"former", "package-missing"}


@cache
def examined() -> tuple[dict[str, bytes], Any, bytes]:
    """What the battery was given, what it found, and the numeric profile."""
    from strongroom.validation.jobs import pd_battery, profile
    from strongroom.validation.policy import ValidationPolicy
    from strongroom.validation.results import BatteryResults
    from strongroom.validation.validating import job_inputs
    from tests.validation.worked import POLICY

    package = read_package(hardened())
    policy = ValidationPolicy.decode(POLICY.read_bytes())
    policy = msgspec.structs.replace(policy, robustness=SMALL)
    rows = {"validation.parquet": package.files["reference.parquet"]}
    inputs = job_inputs(package.contract, package.files, rows, policy.encode())
    inputs["profile.json"] = profile.run(inputs, {"isa": "x86_64-avx2"})["profile.json"]
    found = BatteryResults.decode(pd_battery.run(inputs, {"manifest": "ab" * 32})["results.json"])
    proof = inputs.pop("profile.json")
    return inputs, found, proof


def test_parts_of_a_battery_that_ask_a_native_model_at_once_get_their_own_answers() -> None:
    from concurrent.futures import ThreadPoolExecutor

    from strongroom.validation.batteries.examination import Examination

    inputs, _, proof = examined()
    job = Examination.begin("pd", {**inputs, "profile.json": proof}, {"manifest": "ab" * 32})
    rows = np.ascontiguousarray(loans()[["income", "debt", "spare"]].to_numpy(np.float32))
    parts = [rows[start : start + 7 + start % 5] for start in range(0, 2400, 6)]
    alone = [job.predict(part).tobytes() for part in parts]
    with ThreadPoolExecutor(4) as pool:
        assert [told.tobytes() for told in pool.map(job.predict, parts)] == alone


def test_the_battery_measures_both_models_itself() -> None:
    from strongroom.validation.reporting.report import render

    inputs, found, _ = examined()
    assert {"former.json", "former.ubj"} <= set(inputs)
    (table,) = [one for one in found.tables if one.title == "Before and after hardening"]
    told = {row[0]: row[1:3] for row in table.rows}
    # the model is the same, and only the band differs
    assert told["Declared monotone features without proof"] == ("2", "2")
    assert len(set(told["Area under the ROC curve"])) == 1
    assert told["Applicants referred to a person (refer)"][0] == "0.00%"
    before, after = (float(text.removesuffix("%")) for text in told["Decisions turned by noise, no person between"])
    assert after < before
    hardening = read_package(hardened()).contract.hardening
    assert found.former.package == hardening.package
    assert hardening.package[:12] in table.caption
    assert "same 12 applicants" in table.caption
    page = render(found.encode()).decode()
    assert "Before and after hardening" in page
    assert table.caption in page.replace("&#39;", "'")


def test_the_authors_word_gives_way_to_the_former_model() -> None:
    from strongroom.validation.batteries.before_after import word_of_the_author

    contract = read_package(hardened()).contract
    wish = msgspec.structs.replace(contract.robustness, before={"robustness.monotone": "99"})
    stated = msgspec.structs.replace(contract, robustness=wish)
    assert word_of_the_author(stated, ()) == ()
    assert word_of_the_author(msgspec.structs.replace(stated, hardening=msgspec.UNSET), ()) != ()


def test_results_about_another_former_model_are_refused() -> None:
    from strongroom.errors import SandboxError
    from strongroom.validation import validating
    from strongroom.validation.results import BatteryResults

    inputs, found, _ = examined()
    contract = read_package(hardened()).contract
    ref = ModelRef(contract.name, Digest("ab" * 32))
    validating._check(ref, contract, inputs, found)
    assert isinstance(found, BatteryResults)
    for change in ({"artifact_sha256": "0" * 64}, {"contract_sha256": "0" * 64}):
        other = msgspec.structs.replace(found, former=msgspec.structs.replace(found.former, **change))
        with pytest.raises(SandboxError):
            validating._check(ref, contract, inputs, other)
    with pytest.raises(SandboxError):
        validating._check(ref, contract, inputs, msgspec.structs.replace(found, former=msgspec.UNSET))
