"""CWE-502, CWE-409, CWE-22: saved models that attack whoever converts them.

A saved model is loaded in the sandbox and nowhere else. What its code does there reaches nothing: each attack of these
tests would leave a mark outside, or use the machine up, and neither happens.
"""

from __future__ import annotations

import builtins
import io
import os
import pickle
import re
import socket
import subprocess
import sys
import timeit
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from strongroom.adapters.packages.source_packaging import read_source
from strongroom.adapters.sandbox.linux import LinuxSandbox
from strongroom.errors import (
    InvalidInputError,
    SandboxError,
    StrongroomError,
    TooLargeError,
    UnavailableError,
    UnsafeArtifactError,
)
from strongroom.validation.ports import MIB, Job, JobResult, Limits
from strongroom.validation.workshop.conversion import ConversionOrder, convert_source
from tests.attacks.conftest import ALLOWED_TO_SKIP
from tests.validation.sources import MLMODEL, mlflow_folder

SOURCE = Path(__file__).parents[2] / "src" / "strongroom"
TIGHT = Limits(cpu_s=10, wall_s=60, memory_bytes=3072 * MIB, output_bytes=4 * MIB, output_files=4)


class Reduced:
    """A pickle that calls `call(*arguments)` when it is loaded."""

    def __init__(self, call: Callable[..., Any], *arguments: Any) -> None:
        self.reduced = call, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.reduced


def order(form: Any) -> ConversionOrder:
    return ConversionOrder(
        format=form, runtime="onnxruntime", features=("income", "age"), cut_offs=("0.2",), tolerance="1e-05"
    )


def reference() -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"income": [1.0, 2.0], "age": [20.0, 30.0]}), sink)
    return bytes(sink.getvalue())


def attempt(form: Any, data: bytes, name: str = "source/m") -> StrongroomError:
    """What comes of a conversion; it must not come to a model."""
    return attempt_files(form, {name: data})


def attempt_files(form: Any, files: dict[str, bytes]) -> StrongroomError:
    with pytest.raises(StrongroomError) as caught:
        convert_source(order(form), files, reference(), LinuxSandbox(), TIGHT)
    error = caught.value
    if isinstance(error, UnavailableError) and "cannot isolate" in error.message:
        if ALLOWED_TO_SKIP:
            pytest.skip(error.message)
        pytest.fail(error.message)
    assert len(error.message) < 500
    return error


def attack(what: str, mark: Path, port: int) -> Any:
    code = f"import socket; socket.create_connection(('127.0.0.1', {port}), 2)"
    return {
        "os.system": Reduced(os.system, f"touch {mark}"),
        "os.mkdir": Reduced(os.mkdir, str(mark)),
        "open": Reduced(open, str(mark), "w"),
        "exec": Reduced(builtins.exec, f"open({str(mark)!r}, 'w').write('x')"),
        "eval": Reduced(builtins.eval, f"__import__('os').system('touch {mark}')"),
        "timeit": Reduced(timeit.timeit, f"open({str(mark)!r}, 'w')", "pass", timeit.default_timer, 1),
        "subprocess": Reduced(subprocess.check_call, ["/usr/bin/touch", str(mark)]),
        "network": Reduced(builtins.exec, code),
        "fork": Reduced(os.fork),
        "exit": Reduced(os._exit, 0),
        "environment": Reduced(builtins.exec, "import os; raise KeyError(os.environ['STRONGROOM_TEST_SECRET'])"),
    }[what]


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.settimeout(0.05)
        yield server


FAST = ("os.system", "network")
SLOWER = ("timeit", "os.mkdir", "open", "exec", "eval", "subprocess", "fork", "exit", "environment")


@pytest.mark.parametrize("what", [*FAST, *(pytest.param(one, marks=pytest.mark.slow) for one in SLOWER)])
def test_what_a_pickle_calls_reaches_nothing(
    tmp_path: Path, listener: socket.socket, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setenv("STRONGROOM_TEST_SECRET", "of-the-parent")
    mark = tmp_path / "mark"
    error = attempt("sklearn", pickle.dumps(attack(what, mark, listener.getsockname()[1])))
    assert isinstance(error, (UnsafeArtifactError, SandboxError))
    assert not mark.exists()
    assert "of-the-parent" not in error.message
    with pytest.raises(TimeoutError):
        listener.accept()


@pytest.mark.parametrize("what", ["os.system", "timeit", "exec"])
def test_the_control_each_mark_would_be_made(tmp_path: Path, what: str) -> None:
    mark = tmp_path / "mark"
    pickle.loads(pickle.dumps(attack(what, mark, 1)))  # noqa: S301 - this is the attack
    assert mark.exists()


@pytest.mark.slow
def test_a_pickle_that_never_ends_is_killed() -> None:
    error = attempt("sklearn", pickle.dumps(Reduced(builtins.exec, "while True: pass")))
    assert isinstance(error, SandboxError)
    assert error.details["reason"] in ("cpu", "wall")


@pytest.mark.slow
def test_a_pickle_that_takes_all_memory_is_refused() -> None:
    error = attempt("sklearn", pickle.dumps(Reduced(builtins.bytearray, 2**40)))
    assert isinstance(error, (SandboxError, UnsafeArtifactError))


def bombs() -> dict[str, tuple[str, bytes]]:
    import joblib

    zeros = io.BytesIO()
    np.savez_compressed(zeros, w=np.zeros(30_000_000))
    packed = io.BytesIO()
    joblib.dump({"w": np.zeros(600_000_000 // 8)}, packed, compress=("zlib", 9))
    inner = zlib.compress(zlib.compress(bytes(300_000_000), 9), 9)
    tree = "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nmax_feature_idx=1\nobjective=binary sigmoid:1\n"
    tree += "feature_names=income age\nfeature_infos=none none\n"
    return {
        "npz": ("sklearn", zeros.getvalue()),
        "joblib": ("sklearn", packed.getvalue()),
        "zlib in zlib": ("sklearn", inner),
        "lightgbm, a billion leaves": (
            "lightgbm",
            (tree + "tree_sizes=99\n\nTree=0\nnum_leaves=1000000000\n").encode(),
        ),
        "lightgbm, sizes that lie": ("lightgbm", (tree + "tree_sizes=99999999999\n\nTree=0\nnum_leaves=2\n").encode()),
        "xgboost, nested": ("xgboost", b'{"learner":' + b"[" * 2_000_000),
        "xgboost, a billion trees": (
            "xgboost",
            b'{"learner":{"gradient_booster":{"model":{"gbtree_model_param":{"num_trees":"1000000000"},"trees":[]}}}}',
        ),
        "xgboost, ubj of 2**62 entries": (
            "xgboost",
            b"{L\x00\x00\x00\x00\x00\x00\x00\x07learner[$d#L\x3f" + b"\xff" * 7,
        ),
    }


BOMBS = (
    "npz", "joblib", "zlib in zlib", "lightgbm, a billion leaves", "lightgbm, sizes that lie", "xgboost, nested",
    "xgboost, a billion trees", "xgboost, ubj of 2**62 entries",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_bombs_end_in_the_sandbox(name: str) -> None:
    form, data = bombs()[name]
    assert isinstance(attempt(form, data), (UnsafeArtifactError, SandboxError))


def mlflow(mlmodel: str, **more: bytes) -> dict[str, bytes]:
    return {"source/MLmodel": mlmodel.encode(), "source/model.pkl": b"x", **more}


def flavour(**told: str) -> str:
    lines = "".join(f"    {key}: {value}\n" for key, value in told.items())
    return "flavors:\n  sklearn:\n" + lines


HOSTILE_FOLDERS = {
    "path outside": (flavour(pickled_model="../../etc/passwd"), "path is relative"),
    "absolute path": (flavour(pickled_model="/etc/passwd"), "path is relative"),
    "a file that is not there": (flavour(pickled_model="other.pkl"), "not in the folder"),
    "code": (flavour(pickled_model="model.pkl", code="code"), "code of its own"),
    "code_paths": (flavour(pickled_model="model.pkl", code_paths="[src]"), "code of its own"),
    "pyfunc alone": ("flavors:\n  python_function:\n    loader_module: evil\n", "is code"),
    "a YAML tag": ("flavors: !!python/object/apply:os.system ['true']\n", "raised ConstructorError"),
    "aliases": ("a: &a [x, x]\nb: &b [*a, *a]\nflavors: {sklearn: {pickled_model: *b}}\n", "aliases"),
    "no mapping": ("[1, 2]\n", "no flavors"),
    "large": ("#" * 70_000 + "\nflavors: {}\n", "more than 65536 bytes"),
}


@pytest.mark.parametrize("name", HOSTILE_FOLDERS)
def test_mlmodel_is_data(name: str) -> None:
    """The job's reader, in this process: it gets no further than the text of MLmodel."""
    from strongroom.validation.jobs.source_loading import load_source

    mlmodel, says = HOSTILE_FOLDERS[name]
    with pytest.raises(Exception) as caught:
        load_source("mlflow", mlflow(mlmodel))
    told = (
        f"raised {type(caught.value).__name__}" if not isinstance(caught.value, StrongroomError) else str(caught.value)
    )
    assert says in told


def test_no_environment_of_a_folder_is_installed(tmp_path: Path) -> None:
    """conda.yaml, requirements.txt and python_env.yaml name packages; nobody reads them."""
    from strongroom.validation.jobs.source_loading import load_source

    wanted = b"dependencies: [{pip: ['git+http://127.0.0.1:9/evil']}]\n"
    given = mlflow(MLMODEL, **{"source/conda.yaml": wanted, "source/requirements.txt": b"evil @ http://127.0.0.1:9/"})
    given["source/model.pkl"] = pickle.dumps({"a": 1})
    assert load_source("mlflow", given) == ({"a": 1}, "pickle")


def test_folders_with_links_and_code_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"x")
    linked = mlflow_folder(tmp_path / "linked", b"x")
    (linked / "model2.pkl").symlink_to(secret)
    with pytest.raises(UnsafeArtifactError):
        read_source(linked, "mlflow")
    coded = mlflow_folder(tmp_path / "coded", b"x")
    (coded / "code").mkdir()
    (coded / "code" / "evil.py").write_text("raise SystemExit")
    with pytest.raises(UnsafeArtifactError, match="code"):
        read_source(coded, "mlflow")
    many = mlflow_folder(tmp_path / "many", b"x")
    for n in range(9):
        (many / f"{n}.txt").write_text("x")
    with pytest.raises(TooLargeError):
        read_source(many, "mlflow")
    (tmp_path / "one.pkl").symlink_to(secret)
    with pytest.raises((OSError, StrongroomError)):
        read_source(tmp_path / "one.pkl", "sklearn")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnsafeArtifactError):
        read_source(tmp_path / "pipe", "sklearn")
    with pytest.raises(InvalidInputError):
        read_source(linked, "sklearn")


class Liar:
    """A sandbox in which the saved model said what it liked: the model does not answer as the predictions claim."""

    def __init__(self, **files: bytes) -> None:
        self.files, self.real, self.entries = files, LinuxSandbox(), list[str]()

    def run(self, job: Job) -> JobResult:
        self.entries.append(job.entry)
        if job.entry.endswith(".convert"):
            assert any(name.startswith("source-") for name in job.inputs)
            return JobResult(
                files={name.replace("_", "."): data for name, data in self.files.items()}, cpu_s=0, wall_s=0
            )
        assert not any(name.startswith("source-") for name in job.inputs), "the check never meets the source"
        return self.real.run(job)


def test_what_a_saved_model_says_of_itself_is_measured_by_a_job_that_never_meets_it() -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from sklearn.linear_model import LogisticRegression

    from strongroom.encoding import canonical
    from strongroom.validation.jobs.source_graphs import convert

    honest = convert(
        LogisticRegression().fit(np.array([[1.0, 20.0], [2.0, 30.0]]), [0, 1]), ["income", "age"], "onnxruntime"
    )
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"prediction": [0.5, 0.9], "wide": [0.5, 0.9]}), sink)
    told = {
        "v": 1,
        "saved_as": "pickle",
        "kind": "x",
        "tensor": "probabilities",
        "column": 1,
        "notes": [],
        "parameters": {},
    }
    liar = Liar(model_onnx=honest.model, predictions_parquet=bytes(sink.getvalue()), converted_json=canonical(told))
    with pytest.raises(UnsafeArtifactError, match="does not answer as its source"):
        convert_source(order("sklearn"), {"source/m": b""}, reference(), liar)
    assert [entry.rpartition(".")[2] for entry in liar.entries] == ["convert", "conversion_check"]


def test_nothing_but_the_job_imports_what_loads() -> None:
    form = re.compile(r"source_loading|jobs\.convert\b|jobs import .*convert")
    found = {file.name for file in SOURCE.rglob("*.py") if form.search(file.read_text())}
    assert found == {"convert.py", "conversion.py", "source.py", "source_graphs.py"}
    for name in ("validation/workshop/conversion.py", "registry/source.py"):  # they name it
        lines = (SOURCE / name).read_text().splitlines()
        assert not [line for line in lines if form.search(line) and "import" in line]
    code = (
        "import sys, strongroom.adapters.packages.source_packaging, strongroom.wiring.submitting;"
        "print([m for m in sys.modules if m.endswith(('source_loading', 'source_graphs', 'jobs.convert'))])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert run.stdout.strip() == "[]"


def scanned(source: bytes) -> list[Any]:
    """What the scan's job, behind the walls, finds in a package with this source."""
    import msgspec

    from strongroom.encoding import canonical, parse_as
    from strongroom.registry.source import Source
    from strongroom.validation.scanning import ENTRY, LIMITS
    from strongroom.validation.scans.scan import ScanResult
    from tests.validation import packages

    contract = msgspec.structs.replace(packages.contract(), source=Source(format="sklearn", files=("source/m.joblib",)))
    files = packages.files() | {"source/m.joblib": source}
    inputs = {f"file-{n}": data for n, data in enumerate(files.values())} | {"contract.json": canonical(contract)}
    listing: Any = [[f"file-{n}", path, "x"] for n, path in enumerate(files)]
    ran = LinuxSandbox().run(Job(entry=ENTRY, inputs=inputs, parameters={"files": listing}, limits=LIMITS))
    result = parse_as(ran.files["scan.json"], ScanResult)
    assert not isinstance(result.unpacked, msgspec.UnsetType)
    assert result.unpacked.unpacked_bytes <= result.unpacked.rules.unpacked_bytes + MIB
    return [(one.rule, one.severity) for one in result.findings if one.file == "source/m.joblib"]


@pytest.mark.slow
def test_a_secret_behind_a_bomb_is_not_reached_and_the_bomb_is_refused() -> None:
    """More than a gigabyte of nothing out of a megabyte, and a key at the end: no memory is spent, nothing passes."""
    machine, block = zlib.compressobj(9), bytes(64 * MIB)
    packed = b"".join(machine.compress(block) for _ in range(18))
    packed += machine.compress(b"AKIA" + b"A2" * 8) + machine.flush()
    assert scanned(packed) == [("unpacked-size", "refuse")]


@pytest.mark.slow
def test_a_compressed_secret_refuses_the_package_and_a_clean_part_does_not() -> None:
    assert scanned(zlib.compress(b"AKIA" + b"A2" * 8)) == [("secret", "refuse")]
    assert scanned(zlib.compress(b"nothing of note")) == []
