"""`verify.py` travels alone: one file, the standard library, under a thousand lines, and it never falls over."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from strongroom import verify
from strongroom.cli import app
from strongroom.cli.output import EXIT_CODES
from tests.vectors.make_verify import FOLDER

SOURCE = Path(verify.__file__)
RECEIPTS = json.loads((FOLDER / "receipts.json").read_text())


def test_it_imports_nothing_but_the_standard_library() -> None:
    tree = ast.parse(SOURCE.read_text())
    named = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            named |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            named.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"__import__", "eval", "exec", "compile"}
    assert named <= set(sys.stdlib_module_names)
    assert named.isdisjoint({"socket", "http", "urllib", "subprocess", "ctypes", "pickle", "importlib"})


def test_it_can_be_read_in_an_hour() -> None:
    assert len(SOURCE.read_text().splitlines()) < 1000


@pytest.fixture
def alone(tmp_path: Path) -> Path:
    """A folder with a copy of the file and what an auditor was handed."""
    shutil.copy(SOURCE, tmp_path / "check.py")
    (tmp_path / "log-policy").write_text(RECEIPTS["policy"])
    (tmp_path / "openings").mkdir()
    for name, text in RECEIPTS["openings"].items():
        (tmp_path / "openings" / name).write_text(text)
    whole = RECEIPTS["cases"][1]
    for name in ("request", "answer"):
        (tmp_path / f"{name}.json").write_text(json.dumps(whole[name]))
    (tmp_path / "receipt.json").write_text(whole["receipt"])
    return tmp_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # -I: no environment, no user packages; -S: no site packages
    return subprocess.run(
        [sys.executable, "-I", "-S", "check.py", *arguments], cwd=folder, capture_output=True, text=True, timeout=60
    )


TRUST = ("--policy", "log-policy", "--openings", "openings")


def test_a_copy_verifies_a_receipt_without_anything_of_ours(alone: Path) -> None:
    done = run(alone, "receipt", "receipt.json", *TRUST, "--request", "request.json", "--answer", "answer.json")
    assert (done.returncode, done.stderr) == (0, "")
    assert "the log's key committed to this request and this answer" in done.stdout
    assert run(alone, "receipt", "receipt.json", *TRUST, "--cosigned").returncode == 4
    answer = json.loads((alone / "answer.json").read_text())
    answer["outputs"][0]["data"][0] = 0.9
    (alone / "answer.json").write_text(json.dumps(answer))
    done = run(alone, "receipt", "receipt.json", *TRUST, "--answer", "answer.json")
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == "NOT VERIFIED: output `pd` is not the logged one\n"


def test_without_the_openings_the_shard_is_not_trusted(alone: Path) -> None:
    done = run(alone, "receipt", "receipt.json", "--policy", "log-policy")
    assert done.returncode == 4
    assert "no known key" in done.stderr


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"null", b'{"outputs": 5}', b"1" * 5000])
def test_files_that_are_no_messages_end_with_a_code_and_a_line(alone: Path, content: bytes) -> None:
    (alone / "answer.json").write_bytes(content)
    done = run(alone, "receipt", "receipt.json", *TRUST, "--answer", "answer.json")
    assert done.returncode in (2, 4)
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1


def test_missing_files_and_wrong_commands_are_usage(alone: Path) -> None:
    assert run(alone, "receipt", "nowhere.json", *TRUST).returncode == 2
    assert run(alone, "nonsense").returncode == 2
    assert run(alone).returncode == 2
    for command in ("receipt", "log", "consistency", "shards"):
        done = run(alone, command, "--help")
        assert done.returncode == 0
        assert "--policy" in done.stdout


@pytest.mark.parametrize("side", ["request", "answer"])
@pytest.mark.parametrize("message", ["null", "{}", "[]", "0", '""', "[" * 100_000, '{"outputs":[', "\x00"])
def test_the_command_line_judges_as_the_lone_file_does(
    message: str, side: str, alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(alone)
    (alone / "odd.json").write_text(message)
    code = verify.main(["receipt", "receipt.json", *TRUST, f"--{side}", "odd.json"])
    assert code in (2, 4)
    done = CliRunner().invoke(app, ["verify", "receipt.json", *TRUST, f"--{side}", "odd.json"])
    assert done.exit_code == {2: EXIT_CODES["refused"], 4: EXIT_CODES["tampered"]}[code], done.output
    assert not done.output.startswith("verified")
