"""A second verifier, in another language and by a reader of docs/spec alone, must judge as `strongroom.verify` does.

`verifier.mjs` was written and committed before its writer had seen any code of the project. Where the two
differed and the texts are clear, `strongroom.verify` was mended; each such place has its test at the end of this file.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from strongroom import verify
from tests.second_verifier import worlds
from tests.second_verifier.cases import Case, case, trust, under
from tests.second_verifier.worlds import COSIGNERS, FIRST, KEYS, World

VERIFIER = Path(__file__).with_name("verifier.mjs")
VECTORS = Path(__file__).parents[1] / "vectors"
VERIFIED, NOTHING_JUDGED, REFUSED = 0, 2, 4
FAST_CASES = 320


@cache
def no_node() -> str:
    """Why the second verifier cannot run here, or nothing."""
    found = shutil.which("node")
    if found is None:
        return "the second verifier needs node, which is not installed"
    told = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=60, check=False).stdout
    version = re.match(r"v(\d+)\.", told)
    return (
        ""
        if version and int(version[1]) >= 18
        else f"the second verifier needs node 18 or newer, this is {told.strip()}"
    )


pytestmark = pytest.mark.skipif(bool(no_node()), reason=no_node() or "node is there")


class Second:
    """`verifier.mjs batch`: starts at once, so that it works while the first verifier does."""

    def __init__(self, jobs: list[dict[str, Any]]) -> None:
        self.jobs, self.out = jobs, tempfile.TemporaryFile("w+b")  # noqa: SIM115
        with tempfile.TemporaryFile("w+b") as lines:
            lines.write("".join(json.dumps(job) + "\n" for job in jobs).encode())
            lines.seek(0)
            self.process = subprocess.Popen(["node", str(VERIFIER), "batch"], stdin=lines, stdout=self.out)

    def verdicts(self) -> list[dict[str, Any]]:
        code = self.process.wait(timeout=250)
        self.out.seek(0)
        told = [json.loads(line) for line in self.out.read().split(b"\n") if line]
        self.out.close()
        assert code == 0
        assert len(told) == len(self.jobs)
        assert not [one["error"] for one in told if "error" in one], "the second verifier itself broke"
        return told


def coded(data: str | bytes) -> str:
    return base64.b64encode(data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass")).decode()


# ------------------------------------------------------------------------------------------------------- vectors


def job(name: str, document: dict[str, Any], vector: dict[str, Any]) -> dict[str, Any]:
    openings = vector.get("openings") or document.get("openings") or {}
    common = {
        "policy": coded(document["policy"]),
        "openings": {path: coded(text) for path, text in openings.items()},
        "cosigned": vector.get("cosigned", False),
    }
    if name == "consistency":
        notes = {"older": coded(vector["older"]), "newer": coded(vector["newer"])}
        return {"op": "proof", "proof": vector["proof"]} | notes | common
    if name == "logs":
        return {"op": "log", "files": vector["files"]} | common
    if name == "openings":
        return {"op": "disclosed", "bytes": coded(vector["disclosed"])} | common
    if name == "shards":
        return {"op": "shards", "governance": vector["governance"], "shards": vector["shards"]} | common
    messages = {word: coded(json.dumps(vector[word])) for word in ("request", "answer") if word in vector}
    return {"op": "receipt", "bytes": coded(vector["receipt"]), "row": vector.get("row", 0)} | messages | common


@pytest.mark.parametrize("path", sorted((VECTORS / "verify").glob("*.json")), ids=lambda path: path.stem)
def test_it_agrees_with_every_vector(path: Path) -> None:
    document = json.loads(path.read_text())
    vectors = document["cases"]
    told = Second([job(path.stem, document, vector) for vector in vectors]).verdicts()
    wrong = [(one["what"], got) for one, got in zip(vectors, told, strict=True) if got["holds"] != one["holds"]]
    assert not wrong
    assert {one["holds"] for one in vectors} == {True, False}
    for vector, got in zip(vectors, told, strict=True):
        for known in ("size", "type"):
            assert known not in vector or vector[known] == got["got"]


def test_it_agrees_with_the_vectors_of_leaves_checkpoints_and_keys() -> None:
    document = json.loads((VECTORS / "ledger.json").read_text())
    notes = document["checkpoint"]
    policy = coded(f"log {notes['vkey']}\nwitness w {notes['witness']}\nquorum w\n")
    asked: list[tuple[bool, dict[str, Any]]] = []
    asked += [(True, {"op": "leaf", "bytes": coded(leaf)}) for leaf in document["leaf"]["accept"]]
    asked += [(False, {"op": "leaf", "bytes": coded(one["leaf"])}) for one in document["leaf"]["reject"]]
    for holds, word in ((True, "accept"), (False, "reject")):
        asked += [(holds, {"op": "checkpoint", "bytes": coded(one["note"]), "policy": policy}) for one in notes[word]]
    asked += [(False, {"op": "vkey", "bytes": coded(one["vkey"]), "type": 1}) for one in notes["vkeys_reject"]]
    told = Second([one for _, one in asked]).verdicts()
    assert [got["holds"] for got in told] == [holds for holds, _ in asked]
    for one, got in zip(
        notes["accept"], told[len(document["leaf"]["accept"]) + len(document["leaf"]["reject"]) :], strict=False
    ):
        assert got["got"] == {"size": one["size"], "root": one["root"], "quorum": bool(one["cosigned"])}


def test_it_agrees_with_the_vectors_of_the_encoding() -> None:
    document = json.loads((VECTORS / "encoding.json").read_text())
    asked = [
        (word == "accept", {"op": "parse", "bytes": coded(bytes.fromhex(one["hex"]))})
        for word in ("accept", "reject")
        for one in document[word]
    ]
    told = Second([one for _, one in asked]).verdicts()
    assert [got["holds"] for got in told] == [holds for holds, _ in asked]


# ------------------------------------------------------------------------------------------------- random damage


@pytest.fixture
def _remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each Ed25519 question is asked once: thousands of cases share their signatures."""
    real = verify.verify_ed25519

    @cache
    def outcome(public: bytes, signature: bytes, message: bytes) -> str | None:
        try:
            real(public, signature, message)
        except verify.TamperedError as error:
            return str(error)
        return None

    def remembered(public: bytes, signature: bytes, message: bytes) -> None:
        told = outcome(public, signature, message)
        if told is not None:
            raise verify.TamperedError(told)

    monkeypatch.setattr(verify, "verify_ed25519", remembered)


def first(arguments: list[str]) -> int:
    """The exit code of `verify.py`."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            return verify.main(arguments)
        except SystemExit as stop:
            return int(stop.code or 0)


def agree(cases: list[Case], folder: Path) -> dict[str, int]:
    commands = [one.command(folder / str(number)) for number, one in enumerate(cases)]
    second = Second([{"op": "argv", "argv": command} for command in commands])
    codes = [first(command) for command in commands]
    counted = {"accepted": 0, "refused": 0}
    apart = []
    for one, code, told in zip(cases, codes, second.verdicts(), strict=True):
        accepted = told.get("holds", False)
        if accepted == (code == VERIFIED):
            counted["accepted" if accepted else "refused"] += 1
        else:
            apart.append((one.what, f"verify.py ended with {code}", told))
    assert not apart
    return counted


@pytest.mark.usefixtures("_remembered")
def test_they_agree_on_damaged_logs_and_receipts(tmp_path: Path) -> None:
    counted = agree([case(seed) for seed in range(FAST_CASES)], tmp_path)
    assert counted["accepted"] > FAST_CASES // 10
    assert counted["refused"] > FAST_CASES // 2


@pytest.mark.slow
@pytest.mark.usefixtures("_remembered")
def test_they_agree_on_many_more(tmp_path: Path) -> None:
    start = int(os.environ.get("SECOND_VERIFIER_SEED", "1000000"))
    counted = agree([case(seed) for seed in range(start, start + 3000)], tmp_path)
    assert min(counted.values()) > 300


# ------------------------------------------------------ where the texts are clear and `strongroom.verify` did otherwise


def both(one: Case, folder: Path) -> tuple[int, str]:
    command = one.command(folder)
    second = Second([{"op": "argv", "argv": command}])
    code = first(command)
    told = second.verdicts()[0]
    return code, told.get("why") or told.get("usage") or ""


def receipt(made: World, *more: str, files: worlds.Files | None = None) -> Case:
    given = {"receipt": made.receipt()} | (files or {})
    return Case(["receipt", "@receipt", *trust(given, made), *more], given, "receipt")


def untouched(_name: str, value: Any) -> Any:
    return value


def under_note(body: bytes, lines: list[str]) -> Case:
    """A receipt under a note of our own making."""
    made = World(untouched)
    head = made.first.proof(made.at).split("\n\n", maxsplit=1)[0]
    document = json.loads(made.receipt()) | {"proof": f"{head}\n\n{body.decode()}\n{''.join(lines)}"}
    return receipt(made, files={"receipt": worlds.canonical(document)})


def changed(where: str, change: dict[str, Any], kind: str = "answered") -> World:
    return World(lambda name, value: value | change if name == where else value, kind)


BODY = World(untouched).first.body()
OWN = KEYS[FIRST].line(BODY)
EXPLAINED = worlds.answer_document("explained")["explanation"]
FIXED = {"manifest": "a" * 64, "release": "e" * 64, "rule": "runtime"}


def refused_with_inputs() -> Case:
    inputs = worlds.answer_document("answered")["inputs"]
    made = changed("document", {"inputs": inputs}, "refused")
    request, _ = worlds.messages(made.document, 1, 0)
    return receipt(made, "--request", "@request", files={"request": json.dumps(request).encode()})


def truth_for_a_number() -> Case:
    made = changed("document", {"outputs": [worlds.tensor("pd", [1], worlds.f32(1.0))]})
    _, answer = worlds.messages(made.document, 1, 0)
    answer["outputs"][0]["data"] = [True]
    return receipt(made, "--answer", "@answer", files={"answer": json.dumps(answer).encode()})


def short_full_bundle() -> Case:
    made = World(untouched)
    published = made.first.files()
    published["tile/entries/000"] = published.pop("tile/entries/000.p/5")
    files = under("log", published)
    return Case(["log", "@log", *trust(files, made)], files, "log")


def opening_with_a_key() -> Case:
    return receipt(World(lambda name, value: value | {"key_id": "c" * 32} if name == "act leaf" else value))


BY_THE_TEXTS = {
    "spec/10: extension lines are not accepted": (
        lambda: under_note(BODY + b"more\n", [KEYS[FIRST].line(BODY + b"more\n")]),
        "a checkpoint has extension lines",
    ),
    "spec/10: a note has up to 64 signature lines": (
        lambda: under_note(BODY, [OWN, *["\u2014 x AAAAAAA=\n"] * 64]),
        "a note has too many signatures",
    ),
    "tlog-cosignature: the timestamp must not exceed 2^63 - 1": (
        lambda: under_note(BODY, [OWN, COSIGNERS[0].line(BODY, 2**63)]),
        "a cosignature has a time beyond all times",
    ),
    "spec/02: key id none is for opening and closing entries only": (
        lambda: receipt(changed("leaf", {"key_id": "none"})),
        "a leaf that must be sealed names no key",
    ),
    "spec/12: the plain document of an opening is under key id none": (
        opening_with_a_key,
        "the leaf of a plain entry names a key",
    ),
    "spec/16: where no model answered, outputs is empty": (
        lambda: receipt(changed("document", {"instead_of": FIXED})),
        "no model answered: a decision and no outputs",
    ),
    "spec/16: inputs and outputs are empty when refused, and a refusal is about no request": (
        refused_with_inputs,
        "a refusal with tensors",
    ),
    "spec/16: numbers are compared, and true is none": (truth_for_a_number, "a truth value is no number"),
    "spec/16: base and gap are decimal, contributions float64 in base 64 of one spelling": (
        lambda: receipt(changed("document", {"explanation": EXPLAINED | {"base": "x", "contributions": "AAAB="}})),
        "figures of an explanation are none",
    ),
    "tlog-tiles: a bundle without .p/<W> is 256 entries wide": (
        short_full_bundle,
        "an entry bundle has another width than its name",
    ),
}


@pytest.mark.parametrize("text", BY_THE_TEXTS)
def test_both_verifiers_refuse_by_the_texts(text: str, tmp_path: Path) -> None:
    made, why = BY_THE_TEXTS[text]
    assert both(made(), tmp_path) == (REFUSED, why)


def test_a_missing_folder_of_openings_judges_nothing(tmp_path: Path) -> None:
    """How-to: 2 where a file is missing; a missing folder was taken for an empty one."""
    one = receipt(World(untouched))
    one.words[one.words.index("@openings")] = "@elsewhere"
    code, why = both(one, tmp_path)
    assert why
    assert code == NOTHING_JUDGED
