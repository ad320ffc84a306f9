"""What the how-to pages for auditors and witnesses show is what happens: each console block runs here."""

from __future__ import annotations

import base64
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from strongroom import verify
from tests.vectors.make_verify import FOLDER
from tests.verify.offline import write

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "how-to"


def console(page: str) -> list[tuple[str, str]]:
    """Commands and what is shown below each, of all console blocks of a page."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", (PAGES / page).read_text(), re.S):
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, _, shown = part.partition("\n")
            found.append((command, shown))
    return found


def run(command: str, folder: Path) -> str:
    words = shlex.split(command)
    program = {"python3": [sys.executable], "strongroom": [sys.executable, "-m", "strongroom"]}[words[0]]
    done = subprocess.run(
        [*program, *words[1:]], cwd=folder, capture_output=True, text=True, timeout=60,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT / "src"), "COLUMNS": "500"},
    )  # fmt: skip
    return done.stdout + done.stderr


@pytest.fixture
def auditor(tmp_path: Path) -> Path:
    """The files that the page lists, from the vectors."""
    receipts, logs, shards = (json.loads((FOLDER / f"{n}.json").read_text()) for n in ("receipts", "logs", "shards"))
    by_name = {case["what"]: case for case in receipts["cases"]}
    (tmp_path / "verify.py").write_bytes(Path(verify.__file__).read_bytes())
    (tmp_path / "log-policy").write_text(receipts["policy"])
    (tmp_path / "openings").mkdir()
    for name, text in receipts["openings"].items():
        (tmp_path / "openings" / name).write_text(text)
    whole = by_name["with the request and the answer"]
    (tmp_path / "receipt.json").write_text(whole["receipt"])
    (tmp_path / "cosigned-receipt.json").write_text(by_name["cosigned by the quorum"]["receipt"])
    (tmp_path / "request.json").write_text(json.dumps(whole["request"]))
    (tmp_path / "answer.json").write_text(json.dumps(whole["answer"]))
    other = by_name["answer: another decision than the logged one"]["answer"]
    (tmp_path / "another-answer.json").write_text(json.dumps(other))
    good = shards["cases"][0]
    write(tmp_path / "governance", good["governance"])
    for name, files in zip(("shard", "second-shard"), good["shards"], strict=True):
        write(tmp_path / name, files)
    earlier = next(case for case in logs["cases"] if case["what"] == "cosigned earlier")
    (tmp_path / "last-year.checkpoint").write_bytes(base64.b64decode(earlier["files"]["checkpoint.cosigned"]))
    return tmp_path


def test_the_auditors_page(auditor: Path) -> None:
    shown = console("verify-a-receipt.md")
    assert len(shown) >= 8
    for command, expected in shown:
        assert run(command, auditor) == expected, command


def test_the_witness_page(tmp_path: Path) -> None:
    (tmp_path / "w1.pass").write_text("a long passphrase")
    (tmp_path / "w1.pass").chmod(0o600)
    for command, expected in console("run-a-witness.md"):
        told = run(command, tmp_path)
        form = re.escape(expected.strip()).replace(r"\.\.\.", r"\S+")
        assert re.fullmatch(form, told.strip()), (command, told)
    assert (tmp_path / "w1" / "vkey").read_text().startswith("witness.example/w1+")


def test_the_options_in_shell_blocks_exist() -> None:
    blocks = re.findall(r"```shell\n(.*?)```", (PAGES / "run-a-witness.md").read_text(), re.S)
    assert blocks
    for block in blocks:
        words = shlex.split(block.replace("\\\n", " "))
        told = run(f"strongroom {words[1]} --help", ROOT)
        for option in (word for word in words if word.startswith("--")):
            assert option in told, option


def test_links_lead_somewhere() -> None:
    for page in ("verify-a-receipt.md", "run-a-witness.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", (PAGES / page).read_text()):
            assert (PAGES / target).exists(), target
