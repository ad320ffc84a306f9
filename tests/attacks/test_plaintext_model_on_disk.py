"""Threat: whoever reads a disk, a tmpfs or shared memory finds a model in the clear.

A bank takes a model from `submit` through sandbox, approval and release to a gateway's answers, through the command
line, while every file that is written, every memory file and shared mapping is searched for fragments of the model.
`test_plaintext_models` does the same for the control plane with strace; this one needs no system package.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.attacks.plaintext_watch import TMPFS, Needles, Watcher, search
from tests.journeys.bank import Bank

ROOT = Path(__file__).parents[2]


@dataclass
class Seen:
    hook: list[str]
    held: set[str]
    left: list[str]
    processes: int
    opened: list[str] = field(repr=False)

    @property
    def all(self) -> list[str]:
        return [*self.hook, *sorted(self.held), *self.left]


def watch(folder: Path, model: Path, kind: str) -> Seen:
    """Run the bank, or a mistake, and search. What lies beside the model is the author's own."""
    needles = Needles(model.read_bytes())
    assert len(needles) >= 16
    own = [model.parent, folder / "work"]
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.attacks.plaintext_bank", str(folder), str(model), kind],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": "src:.", "TMPDIR": str(temporary), "HOME": str(folder)},
    )  # fmt: skip
    with Watcher(needles, process.pid, own).watching() as watcher:
        out, complaints = process.communicate(timeout=240)
    assert process.returncode == 0, complaints.decode()[-3000:]
    report = json.loads(out.splitlines()[-1])
    opened = [path for path in report["opened"] if not any(Path(path).is_relative_to(one) for one in own)]
    elsewhere = [Path(path) for path in opened if not Path(path).is_relative_to(folder)]
    left = search(needles, [folder, Path(tempfile.gettempdir()) / "onnxruntime", *TMPFS], own)
    left += [str(path) for path in elsewhere if path.is_file() and needles.within(path.read_bytes())]
    return Seen(report["found"], watcher.found, left, len(watcher.processes), opened)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A founded room and the author's package; returns the model's file."""
    bank = Bank(tmp_path_factory.mktemp("bank"))
    bank.hire()
    bank.found()
    package = bank.package("first", trees=40)
    bank.delegate()
    return package / "model.onnx"


def test_from_submission_to_answers_no_plaintext_is_written(model: Path) -> None:
    folder = model.parents[2]
    seen = watch(folder, model, "none")
    assert seen.all == []
    # the nets were wide enough: the room's files, the gateway's workers and the sandbox's children were among them
    assert any("/room/blobs/" in path for path in seen.opened)
    assert any("/node/" in path or "/gw-1/" in path for path in seen.opened)
    assert seen.processes >= 5
    assert any((folder / "room" / "repository").rglob("*"))
    needles = Needles(model.read_bytes())
    assert search(needles, [folder]) != []  # the author's own file, which the search does find


@pytest.mark.parametrize("kind", ["deleted", "unnamed", "memory-file", "shared-memory", "native", "base64", "child"])
def test_positive_control_mistakes_are_seen(model: Path, tmp_path: Path, kind: str) -> None:
    assert watch(tmp_path, model, kind).all != []


def test_positive_control_what_stays_in_shared_memory_is_seen(model: Path) -> None:
    path = Path("/dev/shm") / f"strongroom-control-{os.getpid()}"
    path.write_bytes(b"before" + model.read_bytes())
    try:
        assert search(Needles(model.read_bytes()), TMPFS) == [str(path)]
    finally:
        path.unlink()
