"""Each claim of the demo: true on an honest room, false once somebody sabotages what it is about."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from demo.story import Story

from demo import claims
from strongroom.encoding import canonical
from strongroom.errors import FourEyesError
from strongroom.ledger.checkpoint import Checkpoint, sign_checkpoint
from strongroom.ledger.leaf import Leaf, commitment
from strongroom.ledger.note import CosignerKey, LogKey, Note
from strongroom.ledger.tree import MemoryTree, inclusion_proof, leaf_hash
from strongroom.ledger.trust import TrustPolicy
from strongroom.serving.receipt import make_receipt
from strongroom.vocabulary import digest_of

LOG = LogKey("bank/room/eu/gw-1/0/1", b"k" * 32)
RELEASE = digest_of(b"release")
SCORE = 0.25


@pytest.fixture
def proof(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A receipt over a real tree, the trust policy, an empty folder of openings."""
    decision = "ab" * 16
    raw = base64.b64encode(np.float32(SCORE).tobytes()).decode()
    document = canonical(
        {
            "columns": [],
            "decision": "accept",
            "decision_id": decision,
            "inputs": [],
            "manifest": digest_of(b"m"),
            "model": "pd-cards",
            "outputs": [{"data": raw, "datatype": "FP32", "name": "pd", "shape": [1]}],
            "reasons": [],
            "release": RELEASE,
            "status": "answered",
            "v": 1,
        }
    )
    salt = b"s" * 32
    leaf = Leaf(
        commitment=commitment(salt, document),
        decision_id=decision,
        key_id="cd" * 16,
        payload_sha256=digest_of(b"payload"),
        payload_size=7,
        policy=digest_of(b"policy"),
        release=RELEASE,
        retain_until_us=2,
        time_us=1,
        type="decision",
    ).encode()
    tree = MemoryTree()
    for entry in (b"first", leaf, b"third"):
        tree.append(leaf_hash(entry))
    note = sign_checkpoint(Checkpoint(LOG.name, tree.size, tree.root()), LOG)
    receipt = tmp_path / "receipt.json"
    receipt.write_bytes(make_receipt(leaf, salt, document, 1, inclusion_proof(tree, 1, 3), note))
    policy = tmp_path / "log-policy"
    policy.write_bytes(TrustPolicy({LOG.name: LOG.verifier}, {}, {}, "none").encode())
    openings = tmp_path / "openings"
    openings.mkdir()
    return receipt, policy, openings


def _answer() -> dict[str, object]:
    return {
        "parameters": {"decision_id": "ab" * 16},
        "outputs": [{"name": "pd", "datatype": "FP32", "shape": [1], "data": [SCORE]}],
    }


def test_receipts(proof: tuple[Path, Path, Path]) -> None:
    receipt, policy, openings = proof
    assert claims.receipts_verify([receipt], policy, openings)[0]
    assert not claims.receipts_verify([], policy, openings)[0]
    receipt.write_bytes(receipt.read_bytes().replace(b'"salt":"c3', b'"salt":"d3'))
    assert not claims.receipts_verify([receipt], policy, openings)[0]


def test_a_receipt_binds_its_answer(proof: tuple[Path, Path, Path], tmp_path: Path) -> None:
    receipt, policy, openings = proof
    assert claims.receipt_binds_answer(receipt, _answer(), policy, openings, tmp_path)[0]
    other = _answer()
    other["outputs"] = [{"name": "pd", "datatype": "FP32", "shape": [1], "data": [0.5]}]
    assert not claims.receipt_binds_answer(receipt, other, policy, openings, tmp_path)[0]


def test_cosigned(proof: tuple[Path, Path, Path]) -> None:
    receipt, policy, openings = proof
    assert not claims.cosigned(0, receipt, policy, openings)[0], "no witness has signed this checkpoint"
    witness = CosignerKey("witness.example/w1", b"w" * 32)
    trust = TrustPolicy({LOG.name: LOG.verifier}, {"w1": witness.verifier}, {}, "w1")
    policy.write_bytes(trust.encode())
    document = json.loads(receipt.read_bytes())
    head, blank, note = document["proof"].partition("\n\n")
    parsed = Note.parse(note.encode())
    document["proof"] = head + blank + parsed.with_lines([witness.sign(parsed.text, 1)]).encode().decode()
    receipt.write_bytes(canonical(document))
    assert claims.cosigned(0, receipt, policy, openings)[0]
    assert not claims.cosigned(3, receipt, policy, openings)[0]


def test_scores() -> None:
    scores = np.array([0.1, 0.2])
    assert claims.same_scores(scores, scores, 1e-6)[0]
    assert not claims.same_scores(scores, scores + 0.001, 1e-6)[0]
    assert not claims.same_scores(scores, scores[:1], 1e-6)[0]
    assert not claims.same_scores(scores[:0], scores[:0], 1e-6)[0]


def test_replays() -> None:
    expected = {"a": 0.5, "b": 0.25}
    one = json.dumps([{"decision_id": "a", "score": 0.5}])
    two = json.dumps([{"decision_id": "b", "score": 0.25}])
    assert claims.replays([(0, 1, one), (0, 7, two)], expected)[0]
    assert not claims.replays([(4, 1, ""), (0, 7, two)], expected)[0], "a replay that found a changed bit"
    assert not claims.replays([(0, 1, one.replace("0.5", "0.5000001")), (0, 7, two)], expected)[0]
    assert not claims.replays([(0, 1, one), (0, 1, two)], expected)[0], "one batch size only"
    assert not claims.replays([(0, 1, "[]"), (0, 7, "[]")], expected)[0]


def test_refusals() -> None:
    good = {"what": "x", "reason": "four-eyes: no", "entry": "log#1"}
    assert claims.all_refused([good])[0]
    assert not claims.all_refused([])[0]
    assert not claims.all_refused([good, {**good, "reason": "it was NOT refused"}])[0]
    assert not claims.all_refused([good, {**good, "reason": "refused for ANOTHER reason: conflict: no"}])[0]
    assert not claims.all_refused([good, {**good, "entry": None}])[0]


def test_drift() -> None:
    quiet = {"rows": 10, "drift": [{"column": "A", "verdict": "ok", "psi": 0.01}], "alerts": []}
    loud = {"rows": 10, "drift": [{"column": "A", "verdict": "alert", "psi": 2.0}], "alerts": ["A"]}
    assert claims.drift_shows(quiet, loud, "A")[0]
    assert not claims.drift_shows(loud, loud, "A")[0], "an alert without drift"
    assert not claims.drift_shows(quiet, quiet, "A")[0], "drift without an alert"
    assert not claims.drift_shows(quiet, {**loud, "alerts": []}, "A")[0], "an alert that nobody recorded"


def test_erasure() -> None:
    refused = json.dumps({"error": "erased"})
    assert claims.erased(1, 0, 3, refused, 0, True)[0]
    for sabotage in (
        (0, 0, 3, refused, 0, True),
        (1, 1, 3, refused, 0, True),
        (1, 0, 0, "[]", 0, True),
        (1, 0, 3, json.dumps({"error": "not-found"}), 0, True),
        (1, 0, 3, refused, 4, True),
        (1, 0, 3, refused, 0, False),
    ):
        assert not claims.erased(*sabotage)[0], sabotage


def test_plaintext(tmp_path: Path) -> None:
    model = bytes((7 * n * n + n) % 251 for n in range(4000))
    package = tmp_path / "model.onnx"
    package.write_bytes(model)
    room = tmp_path / "room"
    room.mkdir()
    (room / "sealed").write_bytes(bytes(255 - byte for byte in model))
    assert claims.no_plaintext([room], model, package)[0]
    (room / "forgotten.tmp").write_bytes(b"x" * 100 + model[1000:1500])
    assert not claims.no_plaintext([room], model, package)[0]
    (room / "forgotten.tmp").unlink()
    package.write_bytes(b"another file")
    assert not claims.no_plaintext([room], model, package)[0], "a search that finds nothing where the model is"


def test_the_public_tool() -> None:
    assert claims.public_tool_accepts(0, 1)[0]
    assert not claims.public_tool_accepts(1, 1)[0]
    assert not claims.public_tool_accepts(0, 0)[0], "a tool that accepts everything"


def test_roll_back() -> None:
    assert claims.went_back(["1", "2", "1"], "1", "2", "2")[0]
    assert not claims.went_back(["1", "2", "2"], "1", "2", "2")[0]
    assert not claims.went_back(["1", "1", "1"], "1", "2", "2")[0]
    assert not claims.went_back(["1", "2", "1"], "1", "2", "1")[0], "history that forgets the second version"


def test_halt() -> None:
    assert claims.halted([200, 409, 409, 200])[0]
    assert not claims.halted([200, 200, 200, 200])[0], "a halt without effect"
    assert not claims.halted([200, 409, 200, 200])[0], "one lift was enough"
    assert not claims.halted([200, 409, 409, 409])[0], "two lifts were not"


def test_fsck() -> None:
    places = [{"what": str(n), "findings": []} for n in range(5)]
    assert claims.whole(0, json.dumps({"findings": 0, "checked": places}))[0]
    assert not claims.whole(4, json.dumps({"findings": 1, "checked": places}))[0]
    assert not claims.whole(0, json.dumps({"findings": 0, "checked": []}))[0], "a check that looked nowhere"
    assert not claims.whole(0, "")[0]


def test_shards_and_admission() -> None:
    assert claims.accounted(0, "log: 3 entries, open")[0]
    assert not claims.accounted(4, "")[0]
    assert claims.admitted(["v1", "v2"], "v1")[0]
    assert not claims.admitted([], "v1")[0]
    assert not claims.admitted(["v2"], "v1")[0]


def test_the_story_is_good_only_when_every_claim_held(tmp_path: Path) -> None:
    from rich.console import Console

    story = Story(Console(quiet=True))
    assert not story.good, "nothing was proven yet"
    story.prove("one", True, "how")
    assert story.good

    def alone() -> None:
        raise FourEyesError("someone else must")

    assert story.refuse("a", "four-eyes", alone)
    assert not story.refuse("b", "four-eyes", lambda: None)
    assert not story.refuse("c", "tampered", alone), "something else was in the way"
    assert claims.all_refused(story.refused)[0] is False
    story.prove("two", False, "how")
    assert not story.good
    story.close(tmp_path / "summary.json")
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert set(summary) == {"steps", "proven", "refused", "figures"}
    assert [claim["held"] for claim in summary["proven"]] == [True, False]


def test_every_claim_of_the_story_is_computed_by_a_function_that_is_sabotaged_here() -> None:
    import ast

    tree = ast.parse((Path(claims.__file__).parent / "chapters.py").read_text())
    tree.body += ast.parse((Path(claims.__file__).parent / "__main__.py").read_text()).body
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "story.prove"]
    here = Path(__file__).read_text()
    assert len(calls) >= 14
    for call in calls:
        (_, starred) = call.args
        assert isinstance(starred, ast.Starred), "a claim's truth is never written down, it is computed"
        name = ast.unparse(starred.value).split("(")[0].removeprefix("claims.")
        name = {"_public_tool": "public_tool_accepts"}.get(name, name)
        assert f"not claims.{name}(" in here, name
