"""Hostile models meet the ONNX library inside the sandbox only; the parent gets a finding or a reason."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from strongroom.adapters.sandbox.linux import LinuxSandbox
from strongroom.encoding import canonical
from strongroom.errors import SandboxError, UnavailableError
from strongroom.sealing.manifest import build_manifest
from strongroom.validation.ports import Job, Limits
from strongroom.validation.scanning import look
from tests.attacks.conftest import ALLOWED_TO_SKIP
from tests.validation import packages

HOSTILE = Path(__file__).parent / "hostile"


@pytest.fixture(scope="module")
def sandbox() -> LinuxSandbox:
    made = LinuxSandbox()
    try:
        made.run(Job(entry="strongroom.validation.jobs.none", inputs={}))
    except UnavailableError as error:
        (pytest.skip if ALLOWED_TO_SKIP else pytest.fail)(error.message)
    except SandboxError:
        pass  # there is no such job, but the walls stood
    return made


def _look(sandbox: LinuxSandbox, model: bytes) -> object:
    files = packages.files(model)
    manifest = build_manifest(files, {path: path.split(".")[0] for path in files} | {"model.toml": "contract"})
    return look(files, manifest, packages.contract(), sandbox, 1)


def test_sound_and_hostile_models_through_the_real_sandbox(sandbox: LinuxSandbox) -> None:
    sound = _look(sandbox, packages.model().SerializeToString())
    assert sound.verdict == "pass"  # type: ignore[attr-defined]
    assert sound.isolation == "linux-namespaces"  # type: ignore[attr-defined]
    hostile = packages.model()
    hostile.graph.initializer[0].data_location = 1
    hostile.graph.initializer[0].external_data.add(key="location", value="/etc/passwd")
    assert _look(sandbox, hostile.SerializeToString()).verdict == "fail"  # type: ignore[attr-defined]
    assert _look(sandbox, b"\x80\x04\x95pickle").verdict == "fail"  # type: ignore[attr-defined]


@pytest.mark.parametrize("seed", range(3))
def test_broken_bytes_are_findings_or_reasons(seed: int) -> None:
    files = packages.files()
    paths = sorted(files)
    inputs = {f"file-{i}": files[path] for i, path in enumerate(paths)}
    inputs["contract.json"] = canonical(packages.contract())
    fuzzing = LinuxSandbox(prefixes=("hostile.",), packages=(HOSTILE,))
    job = Job(
        entry="hostile.fuzz_scan",
        inputs=inputs,
        parameters={
            "files": [[f"file-{i}", path, "x"] for i, path in enumerate(paths)],
            "model": paths.index("model.onnx"),
            "seed": seed,
            "rounds": 100,
        },
        limits=Limits(cpu_s=30, wall_s=60),
    )
    try:
        result = fuzzing.run(job)
    except SandboxError as error:
        assert error.details["reason"] in {"crash", "memory", "cpu"}, error  # noqa: PT017 - one of two good ends
    except UnavailableError as error:
        (pytest.skip if ALLOWED_TO_SKIP else pytest.fail)(error.message)
    else:
        assert b'"fail": ' in result.files["verdicts.json"]


def test_the_library_stays_out_of_the_parent() -> None:
    code = (
        "import sys, strongroom.validation.scanning, strongroom.adapters.sandbox.linux as s; s.LinuxSandbox();"
        "sys.exit(any(m in sys.modules for m in ('onnx', 'onnxruntime', 'pyarrow')))"
    )
    source = Path(__file__).parents[2] / "src"
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(source)}, check=False)
    assert done.returncode == 0
