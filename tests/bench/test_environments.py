"""Each server has an environment of its own, pinned, hashed, and free of addresses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from bench.processes import ROOT

from bench import environments, run, servers

LOCKS = sorted(environments.PEERS.glob("*/requirements.txt"))


def test_every_peer_has_a_lock_and_every_lock_a_peer() -> None:
    assert {path.parent.name for path in LOCKS} == set(run.PEERS) == {*servers.RECIPES, run.NOTEBOOK}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.parent.name)
def test_a_lock_pins_and_hashes_everything_and_names_no_address(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    assert "index-url" not in text
    blocks = [block for block in re.split(r"\n(?=[A-Za-z0-9])", text) if environments.PIN.match(block)]
    assert blocks
    for block in blocks:
        assert "--hash=sha256:" in block, block.splitlines()[0]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.parent.name)
def test_the_runtime_is_the_one_that_we_serve_with(lock: Path) -> None:
    ours = environments.pins(ROOT / "requirements" / "test.txt")
    assert environments.pins(lock)["onnxruntime"] == ours["onnxruntime"]


def test_an_environment_that_cannot_be_made_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "PEERS", tmp_path)
    monkeypatch.setattr(environments, "ENVIRONMENTS", tmp_path / "envs")
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "requirements.txt").write_text("no-hash-and-no-such-thing==0.0.0\n")
    with pytest.raises(environments.NoEnvironmentError, match="the environment of `x` could not be made: "):
        environments.make("x")


@pytest.mark.parametrize("arguments", [["--help"], ["make", "--help"], [], ["make", "nobody"], ["burn"]], ids=" ".join)
def test_asking_how_it_goes_makes_no_environment(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[str] = []
    monkeypatch.setattr(environments, "make", made.append)
    with pytest.raises(SystemExit) as ended:
        environments.main(arguments)
    said = "".join(capsys.readouterr())
    assert ended.value.code == (0 if "--help" in arguments else 2)
    assert made == []
    assert "usage: bench.environments" in said
    if "nobody" in arguments:
        assert "there is no server nobody; there are " in said
