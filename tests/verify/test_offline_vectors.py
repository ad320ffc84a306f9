"""Released examples verify for ever and refused ones stay refused, in `verify.py` and in the rooms alike."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from strongroom import verify
from tests.vectors.make_verify import FOLDER, make
from tests.verify.offline import Offline, Serving, write

VECTORS: dict[str, dict[str, Any]] = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


def cases(name: str) -> Any:
    return pytest.mark.parametrize("case", VECTORS[name]["cases"], ids=lambda case: case["what"])


@pytest.fixture(scope="module")
def offline() -> dict[str, Offline]:
    return {name: Offline(document) for name, document in VECTORS.items()}


@pytest.fixture(scope="module")
def serving() -> dict[str, Serving]:
    return {name: Serving(document) for name, document in VECTORS.items()}


def test_the_generator_still_writes_these_files() -> None:
    assert {path.name: path.read_text() for path in FOLDER.glob("*.json")} == make()


def test_there_are_cases_of_both_kinds_everywhere() -> None:
    for name, document in VECTORS.items():
        assert {case["holds"] for case in document["cases"]} == {True, False}, name
        assert len({case["what"] for case in document["cases"]}) == len(document["cases"]), name
    assert sum(len(document["cases"]) for document in VECTORS.values()) > 150


@cases("receipts")
def test_receipts(case: dict[str, Any], offline: dict[str, Offline], serving: dict[str, Serving]) -> None:
    about_messages = "request" in case or "answer" in case
    if case["holds"] or about_messages:
        assert offline["receipts"].receipt(case) == serving["receipts"].receipt(case)
    if about_messages and case["holds"]:
        offline["receipts"].messages(case)
    elif about_messages:
        with pytest.raises(verify.TamperedError):
            offline["receipts"].messages(case)
    elif not case["holds"]:
        for reader in (offline["receipts"], serving["receipts"]):
            with pytest.raises(reader.error):
                reader.receipt(case)


@cases("openings")
def test_openings(case: dict[str, Any], offline: dict[str, Offline], serving: dict[str, Serving]) -> None:
    readers = offline["openings"], serving["openings"]
    if case["holds"]:
        first, second = (reader.opening(case["disclosed"]) for reader in readers)
        assert first == second
        assert first["type"] == case["type"]
        return
    for reader in readers:
        with pytest.raises(reader.error):
            reader.opening(case["disclosed"])


@cases("logs")
def test_logs(case: dict[str, Any], serving: dict[str, Serving], tmp_path: Path) -> None:
    trust = trusted(tmp_path, VECTORS["logs"])
    folder = write(tmp_path / "log", case["files"])
    more = ["--cosigned"] if case.get("cosigned") else []
    assert verify.main(["log", str(folder), *trust, *more]) == (0 if case["holds"] else 4)
    if case["holds"]:
        assert serving["logs"].log(case["files"], bool(case.get("cosigned"))) == case["size"]
    elif not case.get("offline_only"):
        with pytest.raises(Serving.error):
            serving["logs"].log(case["files"], bool(case.get("cosigned")))


@cases("shards")
def test_shards(case: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trust = trusted(tmp_path, {**VECTORS["shards"], "openings": case["openings"]})
    governance = write(tmp_path / "governance", case["governance"])
    folders = [str(write(tmp_path / f"shard-{n}", files)) for n, files in enumerate(case["shards"])]
    assert verify.main(["shards", str(governance), *folders, *trust]) == (0 if case["holds"] else 4)
    told = capsys.readouterr()
    assert ("closed" in told.out) == case["holds"]
    assert told.err.startswith("NOT VERIFIED: ") != case["holds"]


@cases("consistency")
def test_consistency(
    case: dict[str, Any], offline: dict[str, Offline], serving: dict[str, Serving], tmp_path: Path
) -> None:
    for reader in (offline["consistency"], serving["consistency"]):
        if case["holds"]:
            reader.consistency(case)
            continue
        with pytest.raises(reader.error):
            reader.consistency(case)
    for name in ("older", "newer"):
        (tmp_path / name).write_text(case[name])
    (tmp_path / "proof").write_text("".join(f"{line}\n" for line in case["proof"]))
    arguments = ["consistency", str(tmp_path / "older"), str(tmp_path / "newer"), "--proof", str(tmp_path / "proof")]
    assert verify.main([*arguments, *trusted(tmp_path, VECTORS["consistency"])]) == (0 if case["holds"] else 4)


def test_a_log_folder_extends_an_older_checkpoint_or_does_not(tmp_path: Path) -> None:
    document = VECTORS["logs"]
    trust = trusted(tmp_path, document)
    files = next(case["files"] for case in document["cases"] if case["what"] == "cosigned earlier")
    folder = write(tmp_path / "log", files)
    older = tmp_path / "log" / "checkpoint.cosigned"
    assert verify.main(["consistency", str(older), str(folder), *trust]) == 0
    forked = next(case["files"] for case in document["cases"] if "another history" in case["what"])
    (tmp_path / "fork").write_bytes(base64.b64decode(forked["checkpoint.cosigned"]))
    assert verify.main(["consistency", str(tmp_path / "fork"), str(folder), *trust]) == 4
    # an operator who sets a log back: the auditor's older checkpoint has more entries than there are now
    shorter = write(tmp_path / "shorter", next(c["files"] for c in document["cases"] if c["what"] == "an empty log"))
    assert verify.main(["log", str(shorter), *trust]) == 0
    assert verify.main(["consistency", str(older), str(shorter), *trust]) == 4


def trusted(folder: Path, document: dict[str, Any]) -> list[str]:
    """The options that say what is trusted."""
    openings = folder / "openings"
    openings.mkdir()
    for name, text in document["openings"].items():
        (openings / name).write_text(text)
    (folder / "log-policy").write_text(document["policy"])
    return ["--policy", str(folder / "log-policy"), "--openings", str(openings)]
