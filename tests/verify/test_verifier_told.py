"""What the offline verifier says of each vector, word for word: refused is not enough, it must be for its reason.

`told.json` has exit code and text by vector; `python -m tests.verify.test_verifier_told` writes it anew, and whoever
does that reads every line that changed.
"""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest

from strongroom import verify
from tests.vectors.make_verify import FOLDER
from tests.verify.offline import remembered_signatures, write

TOLD = Path(__file__).parent / "told.json"


def run(*arguments: object) -> tuple[int, str, str]:
    """Exit code, output and errors of one command line."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = verify.main([str(one) for one in arguments])
    return code, out.getvalue(), err.getvalue()


def trusted(folder: Path, document: dict[str, Any]) -> list[str]:
    (folder / "openings").mkdir()
    (folder / "openings" / "notes.txt").write_text("no opening")
    for name, text in document.get("openings", {}).items():
        (folder / "openings" / name).write_text(text)
    (folder / "policy").write_text(document["policy"])
    return ["--policy", str(folder / "policy"), "--openings", str(folder / "openings"), "--jobs", "1"]


def asked(folder: Path, kind: str, document: dict[str, Any], case: dict[str, Any]) -> list[object]:
    """The command line that a vector is about, with its files written."""
    if kind == "shards":
        trust = trusted(folder, {**document, "openings": case["openings"]})
        shards = [write(folder / f"shard-{n}", files) for n, files in enumerate(case["shards"])]
        return ["shards", write(folder / "governance", case["governance"]), *shards, *trust]
    if kind == "openings":
        # an opening is read before the log of whose shard it speaks
        (folder / "none").write_bytes(b"")
        return ["receipt", folder / "none", *trusted(folder, {**document, "openings": {"a.json": case["disclosed"]}})]
    trust = trusted(folder, document)
    more: list[object] = ["--cosigned"] if case.get("cosigned") else []
    if kind == "logs":
        return ["log", write(folder / "log", case["files"]), *trust, *more]
    if kind == "consistency":
        for name in ("older", "newer"):
            (folder / name).write_text(case[name])
        (folder / "proof").write_text("".join(f"{line}\n" for line in case["proof"]))
        return ["consistency", folder / "older", folder / "newer", "--proof", folder / "proof", *trust]
    (folder / "receipt").write_text(case["receipt"])
    for name in ("request", "answer"):
        if name in case:
            (folder / name).write_text(json.dumps(case[name]))
            more += [f"--{name}", folder / name]
    if "row" in case:
        more += ["--row", case["row"]]
    return ["receipt", folder / "receipt", *trust, *more]


def told() -> dict[str, dict[str, list[Any]]]:
    """Exit code and text of every vector, by file and by what it is."""
    found: dict[str, dict[str, list[Any]]] = {}
    with pytest.MonkeyPatch.context() as patch, remembered_signatures(patch):
        for path in sorted(FOLDER.glob("*.json")):
            document = json.loads(path.read_text())
            for case in document["cases"]:
                with tempfile.TemporaryDirectory() as name:
                    code, out, err = run(*asked(Path(name), path.stem, document, case))
                text = (out + err).replace(name, "FOLDER")
                assert bool(out) == (code == 0) != bool(err)
                found.setdefault(path.stem, {})[case["what"]] = [code, text]
    return found


def test_every_vector_is_answered_in_its_words() -> None:
    assert told() == json.loads(TOLD.read_text())


if __name__ == "__main__":
    TOLD.write_text(json.dumps(told(), indent=1) + "\n")
