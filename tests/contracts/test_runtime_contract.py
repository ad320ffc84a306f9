"""One suite for every runtime behind `serving.ports.Runtime`: the bits repeat, and what is no model of the contract is
refused."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from strongroom.adapters.runtimes.by_name import RUNTIMES, machine_of, runtime_of
from strongroom.adapters.runtimes.onedal_runtime import OneDalRuntime
from strongroom.adapters.runtimes.onnx_runtime import OnnxRuntime
from strongroom.adapters.runtimes.timed_runtime import Calls, TimedRuntime
from strongroom.adapters.runtimes.xgboost_runtime import XGBoostRuntime
from strongroom.errors import NumericProfileError, UnsafeArtifactError
from strongroom.registry.contract import ModelContract
from strongroom.serving.contract_check import OutputCheck
from strongroom.serving.ports import Runtime, Session
from strongroom.validation.statistics.tables import feature_rows, read_table
from tests.simulator import PROFILE
from tests.validation.worked import package

WHEELS = sys.platform == "linux" and platform.machine() == "x86_64"
"""Whether oneDAL has any for this machine."""


@dataclass(frozen=True)
class Case:
    runtime: Runtime
    contract: ModelContract
    model: bytes
    rows: npt.NDArray[np.float32]

    def load(self, model: bytes | None = None, **other: object) -> Session:
        names = {
            "input_name": self.contract.input.tensor,
            "output_name": self.contract.output.tensor,
            "features": len(self.contract.input.features),
        }
        return self.runtime.load(self.model if model is None else model, **{**names, **other})  # type: ignore[arg-type]

    def bits(self, session: Session, rows: npt.NDArray[np.float32]) -> list[int]:
        output = OutputCheck(self.contract.output, self.contract.cut_offs)
        return output.scores(session.run(rows), len(rows)).view(np.uint32).tolist()


def _case(runtime: Runtime, kind: str) -> Case:
    made = package(kind)  # type: ignore[arg-type]  # one of its literals
    rows = feature_rows(read_table(made.inputs["reference.parquet"], "reference"), made.contract.input, "reference")
    return Case(runtime, made.contract, made.inputs[made.contract.model_input], np.ascontiguousarray(rows[:256]))


RUNTIMES_AND_TIMED = [*(name for name in RUNTIMES), *(f"timed-{name}" for name in RUNTIMES)]


@pytest.fixture(params=RUNTIMES_AND_TIMED)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    name = request.param.removeprefix("timed-")
    made = _of(name)
    if name == request.param:
        yield made
        return
    calls = Calls(60.0, tmp_path / "stuck", time.monotonic, time.time)
    yield replace(made, runtime=TimedRuntime(made.runtime, calls))
    calls.close()


def _of(name: str) -> Case:
    if machine_of(name) is None:
        pytest.skip(f"{name} has no wheel for this machine")
    return _case(RUNTIMES[name](), {"onnxruntime": "xgboost", "xgboost": "native"}.get(name, name))


def test_every_runtime_is_in_the_suite_and_here_unless_it_has_no_wheel() -> None:
    assert set(RUNTIMES) == {"onnxruntime", "xgboost", "onedal"}
    here = {name for name in RUNTIMES if (machine := machine_of(name)) is not None and machine.runtime == name}
    assert here == set(RUNTIMES) - (set() if WHEELS else {"onedal"})
    assert machine_of("treelite") is None


@pytest.mark.parametrize("name", ["onnxruntime", "xgboost"])
def test_what_no_release_names_is_not_loaded(name: str) -> None:
    """To say what this machine computes with, by one runtime, nothing of another is touched."""
    asked = (
        "import sys\n"
        "from strongroom.adapters.runtimes.by_name import machine_of\n"
        f"assert machine_of({name!r}) is not None\n"
        "maps = open('/proc/self/maps').read()\n"
        f"others = {{'xgboost', 'onedal'}} - {{{name!r}}}\n"
        "assert not [one for one in others if f'lib{one}' in maps], others\n"
        "assert 'strongroom.validation.trees.onedal' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", asked], check=True, timeout=120)


def test_the_release_chooses_and_nobody_else() -> None:
    assert isinstance(runtime_of(PROFILE), OnnxRuntime)
    assert isinstance(runtime_of(_profile("xgboost")), XGBoostRuntime)
    assert isinstance(runtime_of(_profile("onedal")), OneDalRuntime)
    with pytest.raises(NumericProfileError):
        runtime_of(_profile("treelite"))


def _profile(name: str):  # type: ignore[no-untyped-def]
    import msgspec

    return msgspec.structs.replace(PROFILE, runtime=name)  # type: ignore[arg-type]


def test_machine_says_what_a_profile_compares(case: Case) -> None:
    machine = case.runtime.machine
    assert machine.runtime in RUNTIMES
    assert all(part.isdigit() for part in machine.version.split("."))
    assert machine.provider
    assert machine.isa


def test_bits_are_the_same_alone_in_batches_and_in_a_fresh_session(case: Case) -> None:
    session, other = case.load(), case.load()
    whole = case.bits(session, case.rows)
    assert [case.bits(other, case.rows[i : i + 1])[0] for i in range(len(case.rows))] == whole
    for size in (2, 7, 64, 100):
        parts = [case.bits(session, case.rows[i : i + size]) for i in range(0, len(case.rows), size)]
        assert [bit for part in parts for bit in part] == whole
    assert case.bits(session, np.asfortranarray(case.rows)) == whole


def test_an_answer_stays_as_it_is_when_the_next_is_made(case: Case) -> None:
    session = case.load()
    first = session.run(case.rows[:8])
    kept = first.copy()
    session.run(case.rows[8:16])
    assert first.tobytes() == kept.tobytes()


def test_answers_are_those_of_the_source_model(case: Case) -> None:
    made = package("native")
    source = read_table(made.inputs["predictions.parquet"], "predictions")["prediction"].to_numpy()[: len(case.rows)]
    output = OutputCheck(case.contract.output, case.contract.cut_offs)
    np.testing.assert_allclose(output.scores(case.load().run(case.rows), len(case.rows)), source, atol=2e-6)


def test_missing_values_take_the_default_branch(case: Case) -> None:
    """A missing value is NaN; the two runtimes agree on where it goes, since both were made of one model."""
    rows = case.rows.copy()
    rows[::3, ::2] = np.nan
    session = case.load()
    found = np.array(case.bits(session, rows), np.uint32).view(np.float32)
    assert np.isfinite(found).all()
    assert (found != np.array(case.bits(session, case.rows), np.uint32).view(np.float32)).any()
    native = _case(XGBoostRuntime(), "native")
    other = np.array(native.bits(native.load(), rows), np.uint32).view(np.float32)
    np.testing.assert_allclose(found, other, atol=2e-6)


def _threads() -> set[str]:
    """Those of this process; by number, since one of an earlier test may end at any moment."""
    return {path.name for path in Path("/proc/self/task").iterdir()}


def test_no_thread_is_started(case: Case) -> None:
    session = case.load()
    before = _threads()
    for size in (1, 64, 256):
        session.run(case.rows[:size])
    # with a deadline all models of a worker are called on one thread, which can be left behind
    beside = isinstance(case.runtime, TimedRuntime)
    assert len(_threads() - before) == beside


@pytest.mark.parametrize(
    "other",
    [{"input_name": "other"}, {"output_name": "other"}, {"features": 2}, {"features": 4000}],
    ids=["input", "output", "narrow", "wide"],
)
def test_a_model_of_another_contract_is_refused(case: Case, other: dict[str, object]) -> None:
    with pytest.raises(UnsafeArtifactError):
        case.load(**other)


@pytest.mark.parametrize(
    "model",
    [
        b"",
        b"\x00",
        b"no model",
        b"{",
        b"{L",
        b"{}",
        b"\x80\x04K\x01.",
        b"PK\x03\x04",
        b"\x08" * 64,
        b"{L" + b"\xff" * 64,
    ],
    ids=lambda model: repr(model[:6]),
)
def test_hostile_bytes_are_refused(case: Case, model: bytes) -> None:
    with pytest.raises(UnsafeArtifactError):
        case.load(model)


def test_a_model_cut_short_is_refused(case: Case) -> None:
    for end in (len(case.model) // 3, len(case.model) // 2, len(case.model) - 1):
        with pytest.raises(UnsafeArtifactError):
            case.load(case.model[:end])


def test_rows_of_another_width_are_not_answered(case: Case) -> None:
    with pytest.raises(Exception):  # noqa: B017 - the runtimes have errors of their own kind; the decision path maps them
        case.load().run(case.rows[:, :3].copy())


def test_native_bits_are_those_of_xgboosts_own_python_package() -> None:
    from xgboost import Booster

    native = _case(XGBoostRuntime(), "native")
    source = Booster({"nthread": 1})
    source.load_model(bytearray(native.model))
    rows = native.rows.copy()
    rows[::5, 3] = np.nan
    assert native.bits(native.load(), rows) == source.inplace_predict(rows).view(np.uint32).tolist()


def test_an_author_cannot_bring_threads_along() -> None:
    """The number of threads is a parameter of training that XGBoost may keep; ours is one, whatever the file says."""
    from xgboost import Booster

    native = _case(XGBoostRuntime(), "native")
    source = Booster({"nthread": 8})
    source.load_model(bytearray(native.model))
    config = json.loads(source.save_config())
    config["learner"]["generic_param"]["nthread"] = "8"
    source.load_config(json.dumps(config))
    session = native.load(bytes(source.save_raw("ubj")))
    before = _threads()
    session.run(np.repeat(native.rows, 8, axis=0))
    assert not _threads() - before
