"""Training done again: the same bytes, other bytes that answer alike, another model, a script that fails, no script."""

from __future__ import annotations

import importlib
import json
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest

from strongroom.adapters.packages.package_folder import read_code, read_folder
from strongroom.adapters.packages.packaging import package
from strongroom.adapters.sandbox.linux import LinuxSandbox
from strongroom.encoding import canonical
from strongroom.errors import (
    ConflictError,
    InvalidInputError,
    SandboxError,
    StrongroomError,
    TooLargeError,
    UnsafeArtifactError,
)
from strongroom.registry.packages import read_package
from strongroom.registry.training import CODE_FILES_LIMIT, SCRIPT_FILE, Training
from strongroom.sealing.dsse import open_envelope
from strongroom.sealing.statements import REPLICATION, read_statement
from strongroom.validation import replicating
from strongroom.validation.jobs import scan
from strongroom.validation.jobs.replicate import _loaded, _Source
from strongroom.validation.jobs.source_graphs import convert
from strongroom.validation.ports import Job, JobResult
from strongroom.validation.statistics.tables import read_table
from strongroom.validation.workshop.replication import Compared, ReplicationPredicate, replicate_training
from strongroom.vocabulary import digest_of, micros
from tests.registry.models import FEATURES, contract, frame
from tests.validation.test_scan_verb import ANN, AT, LATER, PEOPLE, SERVICE, house

SCRIPT = """
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def train(development, features, outcome, parameters):
    rows = np.column_stack([development[name].to_numpy() for name in features])
    return make_pipeline(StandardScaler(), LogisticRegression(C=float(parameters["C"]))).fit(
        rows, development[outcome].to_numpy()
    )
"""
NEARLY = SCRIPT.replace('C=float(parameters["C"])', "C=1.0001")
OTHER = SCRIPT.replace('C=float(parameters["C"])', "C=0.0001")
DEVELOPMENT, REFERENCE = frame(400, 1), frame(200, 2)


@cache
def trained() -> Any:
    """The model of SCRIPT, on the development sample as a package holds it."""
    from strongroom.adapters.packages.packaging import _sample

    held = _sample(DEVELOPMENT, FEATURES, "default", [], "development", event=True)
    fitted = _loaded(SCRIPT.encode(), {}).train(read_table(held, "x"), list(FEATURES), "default", {"C": "1.0"})
    return convert(fitted, list(FEATURES), "onnxruntime")


@cache
def files(script: str | None = SCRIPT, beside: tuple[tuple[str, str], ...] = (), **training: str) -> dict[str, bytes]:
    """A package whose model came of SCRIPT, and which gives this script, and further modules `beside` it."""
    made, stated = trained(), contract()
    stated["output"] |= {"tensor": made.tensor, "column": made.column}
    stated["lineage"] = {"code_commit": "test", "parameters": {"C": "1.0"}, "environment": {}}
    if training:
        stated["training"] = training
    with TemporaryDirectory() as folder:
        package(
            made.model, Path(folder) / "p", contract=stated, outcome="default", development=DEVELOPMENT,
            reference=REFERENCE, predictions=made.answer(REFERENCE[list(FEATURES)].to_numpy("float32")),
            training=None if script is None else {
                "train.py": script.encode(), **{path: text.encode() for path, text in beside}
            },
        )  # fmt: skip
        return read_folder(Path(folder) / "p")


class Here:
    """The jobs in this process: what the outcomes are is not a matter of walls."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def run(self, job: Job) -> JobResult:
        self.ran.append(job.entry.rpartition(".")[2])
        assert ("train.py" in job.inputs) == (self.ran[-1] == "replicate"), "the comparison never meets the script"
        finders = list(sys.meta_path)
        try:
            made = importlib.import_module(job.entry).run(job.inputs, dict(job.parameters))
        except StrongroomError as error:
            raise SandboxError(error.message, reason="exception") from error
        except Exception as error:
            raise SandboxError(f"{type(error).__name__}: {error}", reason="exception") from error
        finally:  # in the sandbox the process ends
            sys.meta_path[:] = finders
            for name in [n for n, one in sys.modules.items() if isinstance(getattr(one, "__loader__", None), _Source)]:
                del sys.modules[name]
        return JobResult(files=made, cpu_s=0.0, wall_s=0.0)


def outcome(given: dict[str, bytes], sandbox: Any = None) -> ReplicationPredicate:
    return replicate_training(read_package(given).contract, given, None, sandbox or Here(), 7)


@pytest.mark.parametrize("sandbox", [Here(), pytest.param(LinuxSandbox(), marks=pytest.mark.slow)], ids=["", "walls"])
def test_the_same_script_gives_the_same_bytes(sandbox: Any) -> None:
    found = outcome(files(), sandbox)
    assert (found.outcome, found.reason, found.isolation) == ("same-bytes", "", "linux-namespaces")
    assert found.replica == found.artifact == digest_of(files()["model.onnx"])
    assert found.script == digest_of(SCRIPT.encode())
    assert found.data == digest_of(files()["development.parquet"])
    assert isinstance(found.tools, dict)
    assert "scikit-learn" in found.tools


@pytest.mark.parametrize(
    ("script", "tolerance", "said"), [(NEARLY, "0.001", "within-tolerance"), (OTHER, "0.001", "differs")]
)
def test_other_bytes_are_judged_by_what_they_answer(script: str, tolerance: str, said: str) -> None:
    here = Here()
    found = outcome(files(script, tolerance=tolerance), here)
    assert (found.outcome, here.ran) == (said, ["replicate", "replication_check"])
    assert not isinstance(found.compared, msgspec.UnsetType)
    assert found.compared.rows == len(REFERENCE)
    assert found.sample == digest_of(files()["reference.parquet"])
    assert (float(found.compared.largest) > 0.001) == (said == "differs")
    assert (found.compared.beyond > 0) == (said == "differs")


PARTED = """
from prepare import clean
from fitting import fit

def train(development, features, outcome, parameters):
    import prepare.late
    return fit(clean.matrix(development, features), development[outcome].to_numpy(), parameters)
"""
MODULES = (
    ("fitting.py", "from prepare.scale import standard\n\ndef fit(rows, outcomes, parameters):\n"
     "    return standard(float(parameters['C'])).fit(rows, outcomes)\n"),
    ("prepare/clean.py", "import numpy as np\n\ndef matrix(development, features):\n"
     "    return np.column_stack([development[name].to_numpy() for name in features])\n"),
    ("prepare/late.py", ""),
    ("prepare/scale.py", "from sklearn.linear_model import LogisticRegression\n"
     "from sklearn.pipeline import make_pipeline\nfrom sklearn.preprocessing import StandardScaler\n\n"
     "def standard(strength):\n    return make_pipeline(StandardScaler(), LogisticRegression(C=strength))\n"),
)  # fmt: skip


@pytest.mark.parametrize("sandbox", [Here(), pytest.param(LinuxSandbox(), marks=pytest.mark.slow)], ids=["", "walls"])
def test_a_script_imports_the_modules_beside_it(sandbox: Any) -> None:
    given = files(PARTED, MODULES)
    assert findings(given) == set()
    found = outcome(given, sandbox)
    assert (found.outcome, found.reason) == ("same-bytes", "")
    assert found.script == digest_of(PARTED.encode())
    changed = files(PARTED, (*MODULES[:2], ("prepare/late.py", "# as before"), MODULES[3]))
    assert outcome(changed).code not in (found.code, msgspec.UNSET), "it covers every file"
    moved = files(PARTED, (*MODULES[:2], ("prepare/later.py", ""), MODULES[3]))
    assert "No module named 'prepare.late'" in outcome(moved).reason
    assert outcome(files()).code is msgspec.UNSET, "one file of code is the script, as it always was"


def test_what_the_scan_does_not_know_as_code_is_refused() -> None:
    given = files(PARTED, MODULES)
    assert findings(given | {"training/prepare/late.py": b"key = 'AKIA" + b"A2" * 8 + b"'"}) >= {"secret"}
    assert findings(given | {"training/more.py": b"x = 1"}, of=given) == {"foreign-file"}
    assert findings({path: data for path, data in given.items() if path != "training/fitting.py"}, of=given) == {
        "package-missing"
    }


def test_data_that_the_package_does_not_hold_are_given_by_whoever_has_them() -> None:
    whole = files()["development.parquet"]
    given = files(SCRIPT, data=digest_of(whole)) | {"development.parquet": files()["reference.parquet"]}
    about = read_package(given).contract
    missing = replicate_training(about, given, None, Here(), 7)
    assert (missing.outcome, digest_of(whole)[:12] in missing.reason) == ("not-evaluable", True)
    here = Here()
    with pytest.raises(InvalidInputError, match="not those that the model was trained on"):
        replicate_training(about, given, None, here, 7, data=given["reference.parquet"])
    assert here.ran == []
    found = replicate_training(about, given, None, here, 7, data=whole)
    assert (found.outcome, found.data) == ("same-bytes", digest_of(whole))


def test_a_folder_of_code_is_read_without_what_python_leaves(tmp_path: Path) -> None:
    code = tmp_path / "code"
    for path, text in (("train.py", PARTED), *MODULES, ("__pycache__/train.cpython-311.pyc", "\x00")):
        (code / path).parent.mkdir(parents=True, exist_ok=True)
        (code / path).write_text(text)
    assert {path for path, _ in MODULES} | {"train.py"} == read_code(code).keys()
    assert read_code(code / "fitting.py").keys() == {"train.py"}
    (code / "notes.md").write_text("none")
    with pytest.raises(InvalidInputError, match=r"`notes.md` in `code` is no .py file"):
        read_code(code)
    (code / "notes.md").rename(tmp_path / "notes.md")
    (code / "link.py").symlink_to(tmp_path / "notes.md")
    with pytest.raises(UnsafeArtifactError, match="no links"):
        read_code(code)
    (code / "link.py").unlink()
    for number in range(CODE_FILES_LIMIT - len(MODULES)):
        (code / f"m{number}.py").write_text("")
    with pytest.raises(TooLargeError, match=f"at most {CODE_FILES_LIMIT}"):
        read_code(code)
    (code / "train.py").unlink()
    with pytest.raises(InvalidInputError, match=r"no `train.py`"):
        read_code(code)


def test_the_validators_sample_is_asked_where_there_is_one() -> None:
    given = files(NEARLY, tolerance="0.001")
    rows = given["development.parquet"]
    found = replicate_training(read_package(given).contract, given, rows, Here(), 7)
    assert found.sample == digest_of(rows)
    assert not isinstance(found.compared, msgspec.UnsetType)
    assert found.compared.rows == len(DEVELOPMENT)


def test_without_script_or_data_nothing_runs_and_the_reason_is_told() -> None:
    here = Here()
    found = outcome(files(None), here)
    assert (found.outcome, found.reason) == ("not-evaluable", "the package gives no training script")
    found = outcome(files(SCRIPT, data="ab" * 32), here)
    assert found.outcome == "not-evaluable"
    assert "does not hold the data" in found.reason
    assert here.ran == []
    right = digest_of(files()["development.parquet"])
    assert outcome(files(SCRIPT, data=right), here).outcome == "same-bytes"


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("raise KeyError('C')", "KeyError"),
        ("import no_such_module", "ModuleNotFoundError"),
        ("x = (", "SyntaxError"),
        ("x = 1", "defines no function `train`"),
        ("def train(*_): return None", "returned nothing"),
        ("def train(*_): return {}", "is not converted"),
        ("def train(*_): return b'\\x08 no model'", "cannot be compared"),
        ("def train(*_): raise SystemError('\\x1b[31m' + 'x' * 9000)", "SystemError"),
    ],
)
def test_a_script_that_fails_is_an_outcome_with_its_reason(script: str, says: str) -> None:
    found = outcome(files(script))
    assert found.outcome == "failed"
    assert says in found.reason
    assert found.reason.isprintable()
    assert len(found.reason) < 600


def test_an_outcome_follows_from_its_figures() -> None:
    good = outcome(files(NEARLY, tolerance="0.001"))
    assert not isinstance(good.compared, msgspec.UnsetType)
    worse = Compared(rows=9, largest="0.5", beyond=2, flips=0)
    wrong: list[dict[str, Any]] = [
        {"outcome": "same-bytes"},
        {"outcome": "differs"},
        {"compared": worse},
        {"compared": msgspec.UNSET},
        {"outcome": "failed"},
        {"reason": "because"},
        {"outcome": "not-evaluable", "reason": "none"},
        {"artifact": "abc"},
    ]
    for change in wrong:
        with pytest.raises(InvalidInputError):
            msgspec.structs.replace(good, **change)
    for figures in ({"rows": 0}, {"beyond": 10}, {"flips": -1}, {"largest": "-1"}, {"largest": "inf"}):
        with pytest.raises(InvalidInputError):
            msgspec.structs.replace(worse, **figures)


@pytest.mark.parametrize(
    "change",
    [
        {"script": "train.py"}, {"script": "training/train.sh"}, {"data": "abc"}, {"tolerance": "0"},
        {"tolerance": "0.5"}, {"tolerance": "x"},
    ],
)  # fmt: skip
def test_a_training_that_makes_no_sense_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        Training(**{"script": SCRIPT_FILE, **change})


def findings(given: dict[str, bytes], of: dict[str, bytes] | None = None) -> set[str]:
    about = read_package(of or (given if "training/fitting.py" in given else files())).contract
    inputs = {f"file-{n}": data for n, data in enumerate(given.values())} | {"contract.json": canonical(about)}
    told = scan.run(inputs, {"files": [[f"file-{n}", path, "x"] for n, path in enumerate(given)]})
    return {one["rule"] for one in json.loads(told["scan.json"])["findings"] if one["severity"] == "refuse"}


def test_the_scan_takes_one_script_and_reads_it_as_text() -> None:
    given = files()
    assert findings(given) == set()
    assert findings(given | {SCRIPT_FILE: b"key = 'AKIA" + b"A2" * 8 + b"'"}) == {"secret"}
    assert findings(given | {SCRIPT_FILE: b"\x80\x04 a pickle"}) == {"foreign-file"}
    assert findings(given | {SCRIPT_FILE: b"\xff\xfe"}) == {"foreign-file"}
    assert findings(given | {"training/other.py": b"x = 1"}) == {"foreign-file"}
    assert findings({path: data for path, data in given.items() if path != SCRIPT_FILE}) == {"package-missing"}
    with pytest.raises(UnsafeArtifactError):
        read_package(given | {"training/other.py": b"x = 1"})


def test_the_verb_signs_the_outcome_and_puts_it_on_the_shelf() -> None:
    home = house("logistic")

    def again() -> Any:
        prepared = replicating.prepare(home.door, ANN, AT, ref=home.ref, people=PEOPLE, vault=home.vault)
        found = replicating.work(prepared, Here(), AT)
        return replicating.enter(home.door, ANN, LATER, ref=home.ref, predicate=found, vault=home.vault, signer=SERVICE)

    with pytest.raises(ConflictError, match="strongroom scan"):
        again()
    version = home.desk.books.versions.get(home.ref)
    home.desk.books.versions.save(version.advanced("scanned", scan=version.bundle))
    done = again()
    after = home.desk.books.versions.get(home.ref)
    assert (after.state, after.papers_of("replication")) == ("scanned", (done.statement,))
    opened = open_envelope(home.vault.blobs.get(done.statement), {SERVICE.public.key_id: SERVICE.public})
    ref, said = read_statement(opened.payload, REPLICATION, ReplicationPredicate)
    assert (ref, said) == (home.ref, done.predicate)
    assert (said.outcome, said.at_us) == ("not-evaluable", micros(LATER))
    home.desk.books.versions.save(after.advanced("rejected"))
    with pytest.raises(ConflictError, match="rejected"):
        again()
