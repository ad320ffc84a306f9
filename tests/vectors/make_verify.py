"""Makes `verify/*.json`: what an offline verifier accepts and refuses. Run `python -m tests.vectors.make_verify`.

Keys and records come from fixed seeds; Ed25519 is deterministic, so every run writes the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from strongroom.encoding import canonical
from strongroom.ledger.actions import close_shard, open_shard
from strongroom.ledger.checkpoint import Checkpoint, sign_checkpoint
from strongroom.ledger.leaf import PLAIN, Leaf, LeafType, commitment
from strongroom.ledger.note import CosignerKey, LogKey, Note
from strongroom.ledger.proof import LogProof, make_proof
from strongroom.ledger.tiles import TileEdge
from strongroom.ledger.tree import MemoryTree, consistency_proof, inclusion_proof, leaf_hash
from strongroom.ledger.trust import TrustPolicy
from strongroom.sealing.records import plain_payload
from strongroom.serving.receipt import make_receipt
from strongroom.vocabulary import Digest, digest_of

FOLDER = Path(__file__).parent / "verify"
AT_US = 1_790_000_000_000_000
AT_S = AT_US // 1_000_000
MODEL, MANIFEST, RELEASE, POLICY = "pd-cards", "a" * 64, Digest("e" * 64), Digest("d" * 64)
COLUMNS = ["limit_balance", "age", "late_months"]
ROWS = [[20000.0, 24.0, 2.5], [120000.0, 26.0, -1.0]]
EXPLANATION = {
    "base": "-1.25", "code_map": "1", "codes": ["R01"], "contributions": base64.b64encode(bytes(24)).decode(),
    "gap": "1e-09", "method": "interventional", "reference": "9" * 64,
}  # fmt: skip
FIRST_ID = hashlib.sha256(b"first decision").hexdigest()[:32]


def seed(name: str) -> bytes:
    return hashlib.sha256(b"strongroom vectors " + name.encode()).digest()


def log_key(origin: str) -> LogKey:
    return LogKey(origin, seed(origin))


GOVERNANCE = log_key("bank.example/credit/eu/control/governance/1")
SHARD, SECOND = (log_key(f"bank.example/credit/eu/n1/{slot}/1") for slot in (0, 1))
WITNESS = CosignerKey("witness.example/w1", seed("witness"))
TRUST = TrustPolicy(
    {GOVERNANCE.name: GOVERNANCE.verifier}, {"w1": WITNESS.verifier}, {}, "w1", {"w1": "https://w1.example/"}
)


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


class Log:
    """A log in memory: its leaves, its notes, its published files."""

    def __init__(self, key: LogKey, leaves: Sequence[bytes] = ()) -> None:
        self.key, self.leaves = key, list(leaves)

    def tree(self, size: int | None = None) -> MemoryTree:
        tree = MemoryTree()
        for leaf in self.leaves[:size]:
            tree.append(leaf_hash(leaf))
        return tree

    def note(self, size: int | None = None, witnessed: bool = False) -> bytes:
        tree = self.tree(size)
        note = Note.parse(sign_checkpoint(Checkpoint(self.key.name, tree.size, tree.root()), self.key))
        return (note.with_lines([WITNESS.sign(note.text, AT_S)]) if witnessed else note).encode()

    def proof(self, index: int, witnessed: bool = False) -> str:
        return make_proof(index, inclusion_proof(self.tree(), index, len(self.leaves)), self.note(None, witnessed))

    def files(self, witnessed: bool = False) -> dict[str, str]:
        """The public folder, path to base64."""
        files = TileEdge().add(self.leaves, [leaf_hash(leaf) for leaf in self.leaves])
        return {path: text(data) for path, data in {"checkpoint": self.note(None, witnessed), **files}.items()}


def leaf(
    number: int, document: bytes, payload: bytes, kind: LeafType = "decision", decision_id: str | None = None
) -> bytes:
    return Leaf(
        commitment=commitment(seed(f"salt {number}"), document),
        decision_id=decision_id or hashlib.sha256(b"decision %d" % number).hexdigest()[:32],
        key_id=PLAIN if kind in ("open", "close") else "c" * 32,
        payload_sha256=digest_of(payload),
        payload_size=len(payload),
        policy=POLICY,
        release=RELEASE if kind == "decision" else None,
        retain_until_us=AT_US * 2,
        time_us=AT_US + number,
        type=kind,
    ).encode()


def row_document(row: int, by_column: bool = False, **changes: Any) -> bytes:
    """The answer document of one row of the question."""
    tensor = np.asarray(ROWS[row], "<f4").tobytes()
    score = np.asarray([0.125 + row / 3], "<f4").tobytes()
    return canonical(
        {
            "columns": COLUMNS if by_column else [],
            "decision": ["accept", "refer"][row],
            "decision_id": f"{(int(FIRST_ID, 16) + row) % 2**128:032x}",
            "inputs": [{"data": text(tensor), "datatype": "FP32", "name": "input", "shape": [1, 3]}],
            "manifest": MANIFEST,
            "model": MODEL,
            "outputs": [{"data": text(score), "datatype": "FP32", "name": "pd", "shape": [1]}],
            "reasons": [],
            "release": RELEASE,
            "status": "answered",
            "v": 1,
            **changes,
        }
    )


def question(by_column: bool = False) -> dict[str, Any]:
    subjects = {"name": "subject", "datatype": "BYTES", "shape": [2], "data": ["client-1", "client-2"]}
    if by_column:
        columns = [
            {"name": name, "datatype": "FP32", "shape": [2], "data": [row[at] for row in ROWS]}
            for at, name in enumerate(COLUMNS)
        ]
        return {"inputs": [*columns[::-1], subjects]}
    return {"inputs": [{"name": "input", "datatype": "FP32", "shape": [2, 3], "data": ROWS}, subjects]}


def answer() -> dict[str, Any]:
    scores = [float(np.float32(0.125 + row / 3)) for row in range(2)]
    return {
        "model_name": MODEL,
        "model_version": MANIFEST,
        "parameters": {"decision_id": FIRST_ID, "model_version": MANIFEST, "release": RELEASE},
        "outputs": [
            {"name": "pd", "datatype": "FP32", "shape": [2], "data": scores},
            {"name": "decision", "datatype": "BYTES", "shape": [2], "data": ["accept", "refer"]},
        ],
    }


class Room:
    """A governance log that opened a shard, and a shard with two answered rows, one of them asked by column."""

    def __init__(self) -> None:
        self.documents = [row_document(0), row_document(1), row_document(1, by_column=True)]
        self.shard = Log(SHARD)
        for number, document in enumerate([b"before", *self.documents, b"after"]):
            known = json.loads(document)["decision_id"] if document.startswith(b"{") else None
            if number == 3:  # the same row asked by column is another decision
                known = "f" * 32
                document = self.documents[2] = row_document(1, by_column=True, decision_id=known)
            self.shard.leaves.append(leaf(number, document, b"ciphertext %d" % number, decision_id=known))
        self.second = Log(SECOND, [leaf(20 + n, b"other", b"ciphertext", decision_id=None) for n in range(3)])
        self.governance = Log(GOVERNANCE, [leaf(10, b"act", b"sealed", "act")])
        self.payloads: dict[int, bytes] = {}
        for log in (self.shard, self.second):
            self.enter(open_shard(log.key.verifier, AT_US).encode(), "open")
        self.enter(close_shard(self.second.note(), SECOND.verifier, AT_US + 9).encode(), "close")

    def enter(self, document: bytes, kind: LeafType, number: int | None = None) -> int:
        """A plain entry and the sealed one behind it; returns its place."""
        place = len(self.governance.leaves)
        self.payloads[place] = plain_payload(document)
        act = hashlib.sha256(b"act %d" % place).hexdigest()[:32]
        self.governance.leaves.append(leaf(place, document, self.payloads[place], kind, act))
        self.governance.leaves.append(leaf(100 + place, document, b"sealed", "act", act))
        return place

    def disclose(self, place: int, governance: Log | None = None) -> str:
        log = governance or self.governance
        return canonical(
            {"leaf": text(log.leaves[place]), "payload": text(self.payloads[place]), "proof": log.proof(place)}
        ).decode()

    def disclosed(self) -> dict[str, str]:
        return {f"{place}.json": self.disclose(place) for place in sorted(self.payloads)}

    def receipt(self, place: int, document: bytes | None = None, witnessed: bool = False, salt: bytes = b"") -> str:
        log, shown = self.shard, document if document is not None else self.documents[place - 1]
        path = inclusion_proof(log.tree(), place, len(log.leaves))
        salt = salt or seed(f"salt {place}")
        return make_receipt(log.leaves[place], salt, shown, place, path, log.note(None, witnessed)).decode()


def case(what: str, holds: bool, **parts: Any) -> dict[str, Any]:
    return {"what": what, "holds": holds, **parts}


def receipts(room: Room) -> dict[str, Any]:
    good, cosigned, by_column = room.receipt(1), room.receipt(2, witnessed=True), room.receipt(3)
    cases = [
        case("as it was given", True, receipt=good),
        case("with the request and the answer", True, receipt=good, request=question(), answer=answer(), row=0),
        case("the second row", True, receipt=cosigned, request=question(), answer=answer(), row=1),
        case("one tensor a feature, in another order", True, receipt=by_column, request=question(True), row=1),
        case("cosigned by the quorum", True, receipt=cosigned, cosigned=True),
        case("cosignature demanded but not there", False, receipt=good, cosigned=True),
    ]
    cases += [case(what, False, receipt=text) for what, text in changed_receipts(room, good)]
    cases += [case(what, False, receipt=good, **parts) for what, parts in other_messages()]
    cases.append(case("another row of the request", False, receipt=cosigned, request=question(), row=0))
    cases.append(case("another row of the answer", False, receipt=cosigned, answer=answer(), row=0))
    cases.append(case("a row beyond the request", False, receipt=good, request=question(), row=7))
    cases.append(case("columns of another question", False, receipt=by_column, request=renamed(question(True)), row=1))
    for method in ("interventional", "path-dependent"):
        receipt, told = explained(room, good, method)
        cases.append(case(f"reason codes, {method}", True, receipt=receipt, request=question(), answer=told, row=0))
    for name, data in (("reason_codes", ["R02", "", "R01", ""]), ("contributions", [1.0, *[0.0] * 5])):
        forged = {**told, "outputs": [one | {"data": data} if one["name"] == name else one for one in told["outputs"]]}
        cases.append(case(f"other {name} than the receipt's", False, receipt=receipt, answer=forged, row=0))
    cases.append(case("reason codes that the receipt does not hold", False, receipt=good, answer=told, row=0))
    return {"policy": TRUST.encode().decode(), "openings": room.disclosed(), "cases": cases}


def explained(room: Room, good: str, method: str) -> tuple[str, dict[str, Any]]:
    """The receipt of an answer with reason codes, and the answer."""
    shown = row_document(0, explanation=EXPLANATION | {"method": method})
    own = json.loads(room.shard.leaves[1]) | {"commitment": commitment(seed("salt 1"), shown)}
    log = Log(SHARD, [canonical(own)])
    parts = {"document": text(shown), "leaf": text(log.leaves[0]), "proof": log.proof(0)}
    told = answer()
    told["outputs"] += [
        {"name": "reason_codes", "datatype": "BYTES", "shape": [2, 2], "data": ["R01", "", "R02", "R01"]},
        {"name": "contributions", "datatype": "FP64", "shape": [2, 3], "data": [0.0] * 6},
    ]
    return canonical({**json.loads(good), **parts}).decode(), told


def renamed(message: dict[str, Any]) -> dict[str, Any]:
    changed = json.loads(json.dumps(message))
    changed["inputs"][0]["name"] = "income"
    return changed  # type: ignore[no-any-return]  # JSON


def changed_receipts(room: Room, good: str) -> list[tuple[str, str]]:
    fields = json.loads(good)
    found: list[tuple[str, str]] = []

    def put(what: str, **changes: Any) -> None:
        found.append((what, canonical({**fields, **changes}).decode()))

    put("another answer document", document=text(room.documents[1]))
    document = json.loads(room.documents[0])
    for name, value in {
        "columns": ["age"], "decision": "decline", "decision_id": "0" * 32, "inputs": [], "manifest": "b" * 64,
        "model": "other", "outputs": [], "reasons": [{"code": "c", "field": "f", "rule": "r"}],
        "release": "f" * 64, "status": "refused", "v": 2,
    }.items():  # fmt: skip
        put(f"the document's {name} changed", document=text(canonical({**document, name: value})))
    known = json.loads(room.shard.leaves[1])
    for name, value in {
        "commitment": commitment(seed("salt 1"), b"another"), "decision_id": "0" * 32, "key_id": "d" * 32,
        "payload_sha256": "0" * 64, "payload_size": known["payload_size"] + 1, "policy": None, "release": "f" * 64,
        "retain_until_us": 1, "time_us": 1, "type": "act", "v": 2,
    }.items():  # fmt: skip
        put(f"the leaf's {name} changed", leaf=text(canonical({**known, name: value})))
    proof = LogProof.parse(fields["proof"])
    put("the leaf of another decision", leaf=text(room.shard.leaves[2]))
    put("leaf and proof of another decision", leaf=text(room.shard.leaves[2]), proof=room.shard.proof(2))
    put("another salt", salt=text(seed("another")))
    put("a salt of 31 bytes", salt=text(seed("salt 1")[:31]))
    put("version 2", v=2)
    put("version true", v=True)
    put("an unknown field", also=1)
    put("another index", proof=make_proof(2, proof.path, proof.checkpoint))
    put("a path too short", proof=make_proof(1, proof.path[:-1], proof.checkpoint))
    put("a path too long", proof=make_proof(1, (*proof.path, bytes(32)), proof.checkpoint))
    put("a path in another order", proof=make_proof(1, proof.path[::-1], proof.checkpoint))
    put("another size under the signature", proof=fields["proof"].replace("\n5\n", "\n6\n"))
    put("a checkpoint that a stranger signed", proof=foreign(room, SHARD.name))
    put("a checkpoint of a log that nobody opened", proof=foreign(room, "bank.example/credit/eu/n9/0/1"))
    note = Note.parse(room.shard.note())
    put("a cosignature that does not verify", proof=make_proof(1, proof.path, lying(note)))
    put("no checkpoint", proof=fields["proof"].partition("\n\n")[0])
    put("no proof", proof="")
    found.append(("a field too few", canonical({k: v for k, v in fields.items() if k != "salt"}).decode()))
    found.append(("white space", good.replace('"v":1', '"v": 1')))
    found.append(("not JSON", good[:-1]))
    found.append(("empty", ""))
    found.append(("a list", "[" + good + "]"))
    stray = fields["salt"][:-2] + chr(ord(fields["salt"][-2]) + 1) + "="
    put("base 64 with stray bits", salt=stray)
    # an insider who owns the shard's key commits to an answer where none was given
    for kind in ("refusal", "act"):
        own = json.loads(room.shard.leaves[1])
        log = Log(SHARD, [canonical({**own, "type": kind})])
        put(f"an answer under a leaf of type {kind}", leaf=text(log.leaves[0]), proof=log.proof(0))
    # or to a document of another decision
    own_place = {"manifest": MANIFEST, "release": RELEASE, "rule": "runtime"}
    for what, shown in {
        "a document that names another decision": row_document(1),
        "a document of another release": row_document(0, release="f" * 64),
        "a document that is no answer": b'{"v":1}',
        "a document that is a list": b"[]",
        "a document with a float": row_document(0).replace(b'"reasons":[]', b'"reasons":[1.5]'),
        "an answer that a model gave in its own place": row_document(0, instead_of=own_place),
        "no model answered, and no decision": row_document(0, instead_of=own_place, outputs=[], decision=None),
        "an explanation whose base is no number": row_document(0, explanation=EXPLANATION | {"base": "x"}),
        "an explanation whose gap is no number": row_document(0, explanation=EXPLANATION | {"gap": "nan"}),
        "contributions that are cut": row_document(0, explanation=EXPLANATION | {"contributions": text(bytes(23))}),
        "contributions with stray bits": row_document(0, explanation=EXPLANATION | {"contributions": "AAAAAAAAAAB="}),
        "a tensor with stray bits": row_document(0).replace(b'AAAAPg=="', b'AAAAPh=="'),
    }.items():
        own = json.loads(room.shard.leaves[1])
        own["commitment"] = commitment(seed("salt 1"), shown)
        log = Log(SHARD, [canonical(own)])
        put(what, document=text(shown), leaf=text(log.leaves[0]), proof=log.proof(0))
    # or leaves it readable, or to a refusal that holds what was asked
    for what, shown, changes in (
        ("an answer that is not sealed", row_document(0), {"key_id": PLAIN}),
        ("a refusal with inputs", row_document(0, status="refused", outputs=[]), {"type": "refusal"}),
        ("a refusal with outputs", row_document(0, status="refused", inputs=[]), {"type": "refusal"}),
    ):
        own = json.loads(room.shard.leaves[1]) | {"commitment": commitment(seed("salt 1"), shown)} | changes
        log = Log(SHARD, [canonical(own)])
        put(what, document=text(shown), leaf=text(log.leaves[0]), proof=log.proof(0))
    return found


def foreign(room: Room, origin: str) -> str:
    log = Log(LogKey(origin, seed("stranger")), room.shard.leaves)
    return log.proof(1)


def lying(note: Note) -> bytes:
    return note.with_lines([WITNESS.sign(b"another text\n", AT_S)]).encode()


def other_messages() -> list[tuple[str, dict[str, Any]]]:
    def changed(message: dict[str, Any], change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        copy: dict[str, Any] = json.loads(json.dumps(message))
        change(copy)
        return copy

    answers = {
        "another score": lambda m: m["outputs"][0]["data"].__setitem__(0, 0.5),
        "a score one bit away": lambda m: m["outputs"][0]["data"].__setitem__(
            0, float(np.nextafter(np.float32(m["outputs"][0]["data"][0]), np.float32(1)))
        ),
        "another decision than the logged one": lambda m: m["outputs"][1]["data"].__setitem__(0, "decline"),
        "another decision id": lambda m: m["parameters"].update(decision_id="0" * 32),
        "no decision id": lambda m: m["parameters"].pop("decision_id"),
        "another model": lambda m: m.update(model_name="other"),
        "another version": lambda m: m.update(model_version="b" * 64),
        "another release": lambda m: m["parameters"].update(release="f" * 64),
        "no output": lambda m: m.update(outputs=[]),
        "a further output": lambda m: m["outputs"].append(
            {"name": "lgd", "datatype": "FP32", "shape": [2], "data": [1, 1]}
        ),
        "an output twice": lambda m: m["outputs"].append(m["outputs"][0]),
        "an output of another shape": lambda m: m["outputs"][0].update(shape=[3]),
        "an output of another datatype": lambda m: m["outputs"][0].update(datatype="FP64"),
        "a score's bits as a whole number": lambda m: m["outputs"][0].update(as_integers(m["outputs"][0])),
    }
    requests = {
        "another value": lambda m: m["inputs"][0]["data"][0].__setitem__(1, 25.0),
        "a value missing": lambda m: m["inputs"][0]["data"][0].__setitem__(1, None),
        "no input": lambda m: m.update(inputs=[]),
        "an input of another name": lambda m: m["inputs"][0].update(name="other"),
        "a further input": lambda m: m["inputs"].append(
            {"name": "x", "datatype": "FP32", "shape": [2], "data": [1, 1]}
        ),
        "an input of another shape": lambda m: m["inputs"][0].update(shape=[3, 2]),
        "the bits of the values as whole numbers": lambda m: m["inputs"][0].update(as_integers(m["inputs"][0])),
    }
    found = [(f"answer: {what}", {"answer": changed(answer(), change)}) for what, change in answers.items()]
    found += [(f"request: {what}", {"request": changed(question(), change)}) for what, change in requests.items()]
    return found


def as_integers(tensor: dict[str, Any]) -> dict[str, Any]:
    """The same bytes under another datatype: 0.25 becomes 1048576000."""
    return {"datatype": "INT32", "data": np.asarray(tensor["data"], "<f4").view("<i4").tolist()}


def logs(room: Room) -> dict[str, Any]:
    good = room.shard
    files = good.files()
    bundle = "tile/entries/000.p/5"

    def with_leaves(leaves: Sequence[bytes], note: bytes | None = None) -> dict[str, str]:
        """Entries and tiles of `leaves` under the checkpoint of the true log, or under another note."""
        made = Log(SHARD, leaves)
        paths = TileEdge().add(made.leaves, [leaf_hash(one) for one in made.leaves])
        found = {path.replace(f".p/{len(leaves)}", ".p/5"): text(data) for path, data in paths.items()}
        return {**found, "checkpoint": text(note or good.note())}

    swapped = [*good.leaves[:1], good.leaves[2], good.leaves[1], *good.leaves[3:]]
    altered = [*good.leaves[:2], good.leaves[2].replace(b'"payload_size":1', b'"payload_size":9'), *good.leaves[3:]]
    twice = Log(SHARD, [*good.leaves, good.leaves[1]])
    fork = Log(SHARD, [*good.leaves[:4], leaf(40, b"fork", b"fork")])
    sixth = leaf(41, b"sixth", b"sixth")
    bytes_of = {path: base64.b64decode(data) for path, data in files.items()}
    cases = [
        case("as it was published", True, files=files, size=5),
        case("cosigned", True, files=good.files(True), size=5, cosigned=True),
        case("an empty log", True, files=Log(SHARD).files(), size=0),
        case("cosigned earlier", True, size=5, cosigned=True,
             files={**files, "checkpoint.cosigned": text(good.note(3, True))}),
        case("not cosigned", False, files=files, cosigned=True),
        case("cosigned earlier, in another history", False,
             files={**files, "checkpoint.cosigned": text(fork.note(5, True))}),
        case("two entries in another order", False, files=with_leaves(swapped)),
        case("an entry dropped", False, files=with_leaves([*good.leaves[:2], *good.leaves[3:]])),
        case("the tail dropped", False, files=with_leaves(good.leaves[:4])),
        case("an entry changed", False, files=with_leaves(altered)),
        case("an entry that is no leaf, signed by the log", False, files=Log(SHARD, [b"{}"]).files()),
        case("a decision twice, signed by the log", False, files=twice.files(), offline_only=True),
        case("entries cut", False, files={**files, bundle: text(bytes_of[bundle][:-1])}),
        case("a full bundle's name on five entries", False,
             files={**{p: d for p, d in files.items() if p != bundle}, "tile/entries/000": files[bundle]}),
        case("six entries under the name of five", False,
             files={**files, bundle: text(bytes_of[bundle] + len(sixth).to_bytes(2, "big") + sixth)}),
        case("bytes behind the entries", False, files={**files, bundle: text(bytes_of[bundle] + b"\0")}),
        case("no entries", False, files={path: data for path, data in files.items() if path != bundle}),
        case("no checkpoint", False, files={path: data for path, data in files.items() if path != "checkpoint"}),
        case("a stranger's checkpoint", False,
             files={**files, "checkpoint": text(Log(LogKey(SHARD.name, seed("stranger")), good.leaves).note())}),
        case("a checkpoint of another size", False,
             files={**files, "checkpoint": text(good.note().replace(b"\n5\n", b"\n4\n"))}),
        case("a cosignature that does not verify", False,
             files={**files, "checkpoint": text(lying(Note.parse(good.note())))}),
    ]  # fmt: skip
    return {"policy": TRUST.encode().decode(), "openings": room.disclosed(), "cases": cases}


def openings(room: Room) -> dict[str, Any]:
    place = min(room.payloads)
    good = json.loads(room.disclose(place))
    document = json.loads(room.payloads[place][36:])

    def logged(shown: Any, kind: LeafType = "open", head: bytes | None = None, **changes: str) -> str:
        """What the governance key itself would have to sign."""
        entry = shown if isinstance(shown, bytes) else canonical(shown)
        payload = plain_payload(entry) if head is None else head + entry
        log = Log(GOVERNANCE, [canonical(json.loads(leaf(0, entry, payload, kind)) | changes)])
        return canonical(
            {"leaf": text(log.leaves[0]), "payload": text(payload), "proof": log.proof(0)}
        ).decode()  # fmt: skip

    def put(**changes: Any) -> str:
        return canonical({**good, **changes}).decode()

    cases = [
        case("an opening", True, disclosed=room.disclose(place), type="open"),
        case("a closing", True, disclosed=room.disclose(max(room.payloads)), type="close"),
        case("another payload", False, disclosed=put(payload=text(room.payloads[max(room.payloads)]))),
        case("another leaf", False, disclosed=put(leaf=text(room.governance.leaves[0]))),
        case("another proof", False, disclosed=put(proof=room.governance.proof(0))),
        case("an unknown field", False, disclosed=put(also=1)),
        case("a field too few", False, disclosed=canonical({"leaf": good["leaf"], "proof": good["proof"]}).decode()),
        case("in a stranger's log", False,
             disclosed=room.disclose(place, Log(LogKey(GOVERNANCE.name, seed("stranger")), room.governance.leaves))),
        case("in a shard, not in the governance log", False,
             disclosed=room.disclose(place, Log(SHARD, room.governance.leaves))),
        case("a leaf of another type", False, disclosed=logged(document, "act")),
        case("an opening whose leaf names a key", False, disclosed=logged(document, key_id="c" * 32)),
        case("an opening called a closing", False, disclosed=logged(document, "close")),
        case("a sealed payload", False, disclosed=logged(document, head=b"SRP3" + bytes((1, 1, 0, 0)) + bytes(28))),
        case("a key of another origin", False, disclosed=logged({**document, "vkey": str(SECOND.verifier)})),
        case("a witness's key", False, disclosed=logged({**document, "vkey": str(WITNESS.verifier)})),
        case("another generation", False, disclosed=logged({**document, "generation": 2})),
        case("an origin out of form", False, disclosed=logged({**document, "origin": "credit"})),
        case("version 2", False, disclosed=logged({**document, "v": 2})),
        case("an unknown field in the entry", False, disclosed=logged({**document, "also": 1})),
        case("a list", False, disclosed=logged(b"[]")),
        case("not canonical", False, disclosed=logged(canonical(document).replace(b'"v":1', b'"v": 1'))),
        case("white space", False, disclosed=room.disclose(place) + "\n"),
        case("empty", False, disclosed=""),
    ]  # fmt: skip
    return {"policy": TRUST.encode().decode(), "cases": cases}


def shards(room: Room) -> dict[str, Any]:
    governance, shown = room.governance.files(), room.disclosed()
    first, second = room.shard.files(), room.second.files()
    opened, opened_second, closed = sorted(room.payloads)
    longer = Log(SECOND, [*room.second.leaves, leaf(30, b"late", b"late")])
    shorter = Log(SECOND, room.second.leaves[:2])
    other = Log(SECOND, [*room.second.leaves[:2], leaf(31, b"else", b"else")])
    history = Room()
    history.governance.leaves[opened] = history.governance.leaves[opened].replace(b'"policy":"d', b'"policy":"c')
    withheld = {name: data for name, data in shown.items() if name != f"{opened_second}.json"}
    unopened = Room()
    unopened.governance = Log(GOVERNANCE, room.governance.leaves[:1])
    unopened.payloads = {}
    unopened.enter(open_shard(SHARD.verifier, AT_US).encode(), "open")
    orphan = Room()
    orphan.enter(close_shard(room.shard.note(), SHARD.verifier, AT_US).encode(), "close")
    orphan.enter(close_shard(room.shard.note(), SHARD.verifier, AT_US).encode(), "close")
    late = Room()
    late.governance, late.payloads = Log(GOVERNANCE), {}
    late.enter(close_shard(room.shard.note(), SHARD.verifier, AT_US).encode(), "close")
    late.enter(open_shard(SHARD.verifier, AT_US).encode(), "open")

    def put(what: str, holds: bool, logs: list[dict[str, str]], **changes: Any) -> dict[str, Any]:
        return case(what, holds, **{"governance": governance, "openings": shown, **changes, "shards": logs})

    return {
        "policy": TRUST.encode().decode(),
        "cases": [
            put("one open, one closed", True, [first, second]),
            put("a shard that was never opened", False, [first, second],
                governance=unopened.governance.files(), openings=unopened.disclosed()),
            put("an opening withheld", False, [first], openings=withheld),
            put("a closing withheld", False, [first, second],
                openings={name: data for name, data in shown.items() if name != f"{closed}.json"}),
            put("nothing disclosed", False, [], openings={}),
            put("opened but missing", False, [first]),
            put("disclosed twice", False, [first, second],
                openings={**shown, "again.json": shown[f"{opened}.json"]}),
            put("longer than it was closed", False, [first, longer.files()]),
            put("shorter than it was closed", False, [first, shorter.files()]),
            put("closed with another root", False, [first, other.files()]),
            put("an opening of another history", False, [first, second],
                openings={**shown, f"{opened}.json": history.disclose(opened)}),
            put("closed twice", False, [first, second],
                governance=orphan.governance.files(), openings=orphan.disclosed()),
            put("closed before it was opened", False, [first],
                governance=late.governance.files(), openings=late.disclosed()),
            put("a shard twice", False, [first, first, second]),
            put("a governance log of a stranger", False, [first, second],
                governance=Log(LogKey(GOVERNANCE.name, seed("stranger")), room.governance.leaves).files()),
        ],
    }  # fmt: skip


def consistency(room: Room) -> dict[str, Any]:
    log = Log(SHARD, [leaf(200 + number, b"%d" % number, b"payload") for number in range(11)])
    fork = Log(SHARD, [*log.leaves[:5], *[leaf(300 + number, b"%d" % number, b"payload") for number in range(6)]])

    def pair(old: int, new: int, newer: Log = log) -> dict[str, Any]:
        proof = [text(node) for node in consistency_proof(newer.tree(new), old, new)]
        return {"older": log.note(old).decode(), "newer": newer.note(new).decode(), "proof": proof}

    def edited(change: Callable[[list[str]], list[str]], old: int = 6, new: int = 11) -> dict[str, Any]:
        parts = pair(old, new)
        return {**parts, "proof": change(parts["proof"])}

    back = pair(6, 11)
    cases = [case(f"{old} to {new}", True, **pair(old, new)) for old, new in
             ((0, 0), (0, 4), (1, 2), (3, 7), (4, 8), (6, 11), (8, 11), (10, 11), (11, 11))]  # fmt: skip
    cases += [
        case("a fork", False, **pair(6, 11, fork)),
        case("a fork of the same size", False, **pair(11, 11, fork)),
        case("backwards", False, older=back["newer"], newer=back["older"], proof=back["proof"]),
        case("no proof", False, **edited(lambda proof: [])),
        case("a proof too short", False, **edited(lambda proof: proof[:-1])),
        case("a proof too long", False, **edited(lambda proof: [*proof, text(bytes(32))])),
        case("a proof in another order", False, **edited(lambda proof: proof[::-1])),
        case("a hash changed", False, **edited(lambda proof: [text(bytes(32)), *proof[1:]])),
        case("a proof for one size", False, **edited(lambda proof: [text(bytes(32))], 11, 11)),
        case("a proof from nothing", False, **edited(lambda proof: [text(bytes(32))], 0, 4)),
        case("another log", False, older=log.note(6).decode(), newer=room.second.note(3).decode(), proof=[]),
        case("a stranger's checkpoint", False, **{**pair(6, 11), "older":
             Log(LogKey(SHARD.name, seed("stranger")), log.leaves).note(6).decode()}),
    ]  # fmt: skip
    return {"policy": TRUST.encode().decode(), "openings": room.disclosed(), "cases": cases}


def make() -> dict[str, str]:
    """File name to content; the same on every run."""
    room = Room()
    made = {
        "receipts": receipts(room),
        "logs": logs(room),
        "openings": openings(room),
        "shards": shards(room),
        "consistency": consistency(room),
    }
    return {
        f"{name}.json": json.dumps(document, indent=1, ensure_ascii=True, sort_keys=True) + "\n"
        for name, document in made.items()
    }


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, content in make().items():
        (FOLDER / name).write_text(content)
