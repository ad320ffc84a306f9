"""Logs, receipts and openings from keys of our own, written from docs/spec alone, and damage to every layer of them.

Damage below a signature is signed again: what a dishonest operator could hand out, not only what a flipped bit makes.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

Files = dict[str, bytes]
ROOM = "bank.example/credit/eu"
GOVERNANCE = f"{ROOM}/control/governance/1"
FIRST, SECOND, NEXT = f"{ROOM}/n1/0/1", f"{ROOM}/n1/1/1", f"{ROOM}/n1/1/2"
WITNESSES = [f"witness.example/w{n}" for n in (1, 2, 3)]
AT_US = 1_790_000_000_000_000


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def canonical(document: Any) -> bytes:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")


class Key:
    def __init__(self, name: str, kind: int = 1, seed: str = "") -> None:
        self.name, self.kind = name, kind
        self.private = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(f"{seed}/{name}/{kind}".encode()).digest())
        self.coded = bytes([kind]) + self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.id = hashlib.sha256(name.encode() + b"\n" + self.coded).digest()[:4]
        self.vkey = f"{name}+{self.id.hex()}+{b64(self.coded)}"

    def line(self, body: bytes, at_s: int = AT_US // 1_000_000) -> str:
        if self.kind == 1:
            signature = self.private.sign(body)
        else:
            signature = struct.pack(">Q", at_s) + self.private.sign(b"cosignature/v1\ntime %d\n" % at_s + body)
        return f"\u2014 {self.name} {b64(self.id + signature)}\n"


KEYS = {origin: Key(origin) for origin in (GOVERNANCE, FIRST, SECOND, NEXT)}
COSIGNERS = [Key(name, 4) for name in WITNESSES]
POLICY = "".join(
    [
        "# whom we trust\n",
        f"log {KEYS[GOVERNANCE].vkey}\n",
        *(f"witness w{n} {key.vkey} https://w{n}.example/\n" for n, key in enumerate(COSIGNERS, 1)),
        "group two 2 w1 w2 w3\nquorum two\n",
    ]
)


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(hashes: list[bytes]) -> bytes:
    if len(hashes) < 2:
        return hashes[0] if hashes else hashlib.sha256().digest()
    half = 1 << (len(hashes) - 1).bit_length() - 1
    return node(root(hashes[:half]), root(hashes[half:]))


def path(hashes: list[bytes], index: int) -> list[bytes]:
    if len(hashes) == 1:
        return []
    half = 1 << (len(hashes) - 1).bit_length() - 1
    if index < half:
        return [*path(hashes[:half], index), root(hashes[half:])]
    return [*path(hashes[half:], index - half), root(hashes[:half])]


class Log:
    def __init__(self, origin: str, leaves: list[bytes]) -> None:
        self.origin, self.leaves = origin, leaves
        self.hashes = [hashlib.sha256(b"\x00" + leaf).digest() for leaf in leaves]

    def body(self, size: int | None = None) -> bytes:
        size = len(self.leaves) if size is None else size
        return f"{self.origin}\n{size}\n{b64(root(self.hashes[:size]))}\n".encode()

    def note(self, size: int | None = None, cosigners: int = 0, body: bytes | None = None) -> bytes:
        body = self.body(size) if body is None else body
        lines = [KEYS[self.origin].line(body), *(key.line(body) for key in COSIGNERS[:cosigners])]
        return body + b"\n" + "".join(lines).encode()

    def proof(self, index: int, size: int | None = None, cosigners: int = 0) -> str:
        size = len(self.leaves) if size is None else size
        hashes = "".join(b64(one) + "\n" for one in path(self.hashes[:size], index))
        return f"c2sp.org/tlog-proof@v1\nindex {index}\n{hashes}\n{self.note(size, cosigners).decode()}"

    def files(self, size: int | None = None, cosigners: int = 0) -> Files:
        size = len(self.leaves) if size is None else size
        files = {"checkpoint": self.note(size, cosigners)}
        for place in range(0, size, 256):
            bundle = self.leaves[place : min(place + 256, size)]
            files[tile("entries", place // 256, len(bundle))] = b"".join(
                struct.pack(">H", len(leaf)) + leaf for leaf in bundle
            )
        row, level = self.hashes[:size], 0
        while row:
            for place in range(0, len(row), 256):
                part = row[place : place + 256]
                files[tile(str(level), place // 256, len(part))] = b"".join(part)
            row = [root(row[place : place + 256]) for place in range(0, len(row) - 255, 256)]
            level += 1
        return files


def tile(level: str, index: int, width: int) -> str:
    name = f"{index % 1000:03d}"
    while index := index // 1000:
        name = f"x{index % 1000:03d}/{name}"
    return f"tile/{level}/{name}" + (f".p/{width}" if width < 256 else "")


def leaf(number: int, kind: str, document: bytes, payload: bytes = b"ciphertext", **changes: Any) -> dict[str, Any]:
    """Its salt is 32 bytes of its number."""
    plain = kind in ("open", "close")
    made = {
        "commitment": hmac.new(bytes([number % 256]) * 32, document, hashlib.sha256).hexdigest(),
        "decision_id": hashlib.sha256(b"decision %d" % number).hexdigest()[:32],
        "key_id": "none" if plain else "c" * 32,
        "payload_sha256": hashlib.sha256(payload).hexdigest(),
        "payload_size": len(payload),
        "policy": "d" * 64,
        "release": "e" * 64 if kind in ("decision", "refusal") else None,
        "retain_until_us": 2 * AT_US,
        "time_us": AT_US + number,
        "type": kind,
        "v": 1,
    }
    return made | changes


def f32(*numbers: float) -> str:
    return b64(struct.pack(f"<{len(numbers)}f", *numbers))


def tensor(name: str, shape: list[int], data: str, datatype: str = "FP32") -> dict[str, Any]:
    return {"data": data, "datatype": datatype, "name": name, "shape": shape}


def answer_document(kind: str) -> dict[str, Any]:
    document: dict[str, Any] = {
        "columns": [],
        "decision": "accept",
        "decision_id": "",
        "inputs": [tensor("input", [1, 3], f32(20000, 24, 2.5))],
        "manifest": "a" * 64,
        "model": "pd-cards",
        "outputs": [tensor("pd", [1], f32(0.125))],
        "reasons": [],
        "release": "e" * 64,
        "status": "answered",
        "v": 1,
    }
    if kind == "refused":
        reason = {"code": "invalid-input", "field": "age", "rule": "minimum"}
        document |= {"status": "refused", "inputs": [], "outputs": [], "decision": None, "reasons": [reason]}
    if kind == "columns":
        document["columns"] = ["limit", "age", "late"]
    if kind == "flagged":
        document["reasons"] = [{"code": "guard", "field": "", "rule": "flag"}]
    if kind == "explained":
        document["explanation"] = {
            "base": "0.25",
            "code_map": "2026-1",
            "codes": ["R1", "R3"],
            "contributions": b64(struct.pack("<3d", 0.5, -0.25, 1e-9)),
            "gap": "-1.5e-09",
            "method": "interventional",
            "reference": "c" * 64,
        }
    if kind == "fallback":
        document["instead_of"] = {"manifest": "b" * 64, "release": "f" * 64, "rule": "runtime"}
    if kind == "fixed":
        document["instead_of"] = {"manifest": "a" * 64, "release": "e" * 64, "rule": "output-contract"}
        document["outputs"] = []
    if kind == "whole":
        document["inputs"] = [tensor("input", [1, 2], b64(struct.pack("<2q", -7, 2**60 + 1)), "INT64")]
        document["outputs"] = [tensor("pd", [1], b64(struct.pack("<d", 0.1)), "FP64")]
    return document


KINDS = ["answered", "refused", "columns", "flagged", "fallback", "fixed", "whole", "explained"]


def messages(document: dict[str, Any], rows: int, row: int) -> tuple[Any, Any]:
    """A request and an answer of so many rows, of which one is the document's."""
    first = (int(document["decision_id"], 16) - row) % 2**128
    parameters = {"decision_id": f"{first:032x}", "model_version": document["manifest"], "release": document["release"]}
    if "instead_of" in document:
        parameters["instead_of"] = json.dumps([document["instead_of"]["manifest"]] * rows)
    width = document["inputs"][0]["shape"][1] if document["inputs"] else 1
    whole = bool(document["inputs"]) and document["inputs"][0]["datatype"] == "INT64"
    values = [[0.5 + place] * width for place in range(rows)]
    values[row] = [-7, 2**60 + 1] if whole else [20000.0, 24.0, 2.5][:width]
    if whole:
        values = [[int(x) for x in one] for one in values]
    subjects = {"name": "subject", "shape": [rows], "datatype": "BYTES", "data": [f"client-{n}" for n in range(rows)]}
    if document["columns"]:
        inputs = [
            {"name": name, "shape": [rows], "datatype": "FP32", "data": [one[place] for one in values]}
            for place, name in enumerate(document["columns"])
        ]
    else:
        kind = "INT64" if whole else "FP32"
        inputs = [{"name": "input", "shape": [rows, width], "datatype": kind, "data": values}]
    scores = [0.75] * rows
    scores[row] = 0.1 if whole else 0.125
    decisions = ["refer"] * rows
    decisions[row] = document["decision"] or ""
    outputs = [{"name": "decision", "shape": [rows], "datatype": "BYTES", "data": decisions}]
    if document["outputs"]:
        kind = "FP64" if whole else "FP32"
        outputs.insert(0, {"name": "pd", "shape": [rows], "datatype": kind, "data": scores})
    if "explanation" in document:
        codes = [*document["explanation"]["codes"], "", ""][:3]
        listed = [codes if place == row else ["R9", "", ""] for place in range(rows)]
        outputs.append({"name": "reason_codes", "shape": [rows, 3], "datatype": "BYTES", "data": listed})
        figures = [[0.5, -0.25, 1e-9] if place == row else [0.0] * 3 for place in range(rows)]
        outputs.append({"name": "contributions", "shape": [rows, 3], "datatype": "FP64", "data": figures})
    answer = {"model_name": document["model"], "model_version": document["manifest"], "outputs": outputs}
    return {"inputs": [*inputs, subjects]}, answer | {"parameters": parameters}


def opening(origin: str, **changes: Any) -> dict[str, Any]:
    generation = int(origin.rsplit("/", 1)[1])
    made = {"generation": generation, "opened_us": AT_US, "origin": origin, "type": "open", "v": 1}
    return made | {"vkey": KEYS[origin].vkey} | changes


def closing(log: Log, **changes: Any) -> dict[str, Any]:
    made = {"closed_us": AT_US, "origin": log.origin, "root": root(log.hashes).hex(), "size": len(log.leaves)}
    return made | {"type": "close", "v": 1} | changes


def plain(document: bytes) -> bytes:
    return b"SRP3\x01" + bytes(31) + document


class World:
    """A governance log, three shards and what was disclosed of them; `damage` meets every piece before it is signed."""

    def __init__(self, damage: Callable[[str, Any], Any], kind: str = "answered", size: int = 5, at: int = 1) -> None:
        self.damage, self.at = damage, at
        document = answer_document(kind) | {"decision_id": hashlib.sha256(b"decision %d" % at).hexdigest()[:32]}
        self.document = damage("document", document)
        self.document_bytes = damage("document bytes", canonical(self.document))
        word = "refusal" if kind == "refused" else "decision"
        self.leaf = damage("leaf", leaf(at, word, self.document_bytes))
        leaves = [canonical(leaf(n, "decision", b"%d" % n)) for n in range(size)]
        leaves[at] = self.leaf_bytes = damage("leaf bytes", canonical(self.leaf))
        self.first = Log(FIRST, damage("leaves", leaves))
        self.second = Log(SECOND, [canonical(leaf(1000 + n, "decision", b"%d" % n)) for n in range(3)])
        self.next = Log(NEXT, [canonical(leaf(2000 + n, "shadow", b"%d" % n)) for n in range(2)])
        acts = [
            opening(FIRST),
            opening(SECOND),
            closing(self.second),
            opening(NEXT),
        ]
        self.payloads: dict[int, bytes] = {}
        governed = [canonical(leaf(3000, "act", b"founded", release=None))]
        for number, act in enumerate(damage("acts", acts), 3001):
            act = damage("act", act)
            payload = damage("payload", plain(damage("act bytes", canonical(act))))
            kind_of = act.get("type") if isinstance(act, dict) else None
            word = kind_of if kind_of in ("open", "close") else "open"
            line = damage("act leaf", leaf(number, word, b"", payload))
            self.payloads[len(governed)] = payload
            governed.append(damage("act leaf bytes", canonical(line)))
            told = leaf(number, "act", b"told", decision_id=line.get("decision_id"))
            governed.append(canonical(told))
        self.governance = Log(GOVERNANCE, damage("governance leaves", governed))
        self.shards = [self.first, self.second, self.next]

    def openings(self) -> Files:
        files = {}
        for index, payload in self.payloads.items():
            if index >= len(self.governance.leaves):
                continue
            disclosed = {
                "leaf": b64(self.governance.leaves[index]),
                "payload": b64(payload),
                "proof": self.damage("act proof", self.governance.proof(index)),
            }
            files[f"{index}.json"] = self.damage("disclosed", canonical(self.damage("disclosed entry", disclosed)))
        return self.damage("openings", files)

    def receipt(self, size: int | None = None, cosigners: int = 0) -> bytes:
        receipt = {
            "document": b64(self.document_bytes),
            "leaf": b64(self.leaf_bytes),
            "proof": self.damage("proof", self.first.proof(self.at, size, cosigners)),
            "salt": b64(self.damage("salt", bytes([self.at]) * 32)),
            "v": 1,
        }
        return self.damage("receipt bytes", canonical(self.damage("receipt", receipt)))


# ------------------------------------------------------------------------------------------------------- damage


STRINGS = [
    "",
    "none",
    "act",
    "close",
    "open",
    "decision",
    "refusal",
    "shadow",
    "answered",
    "refused",
    "é",
    "\u2028",
    "0",
]


def hurt_value(rng: random.Random, value: Any) -> Any:
    """Another value in its place."""
    if isinstance(value, bool) or value is None:
        return rng.choice([None, True, False, 0, 1, "", "a" * 64, [], {}])
    if isinstance(value, int):
        others = [value + 1, value - 1, -value, value * 10, 2**53, 2**53 - 1, 9 * 10**15, 9 * 10**15 - 1, 0, 1]
        return rng.choice([*others, True, None, str(value), float(value), value + 0.5])
    if isinstance(value, str):
        at = rng.randrange(len(value) + 1)
        return rng.choice(
            [
                value.upper(),
                value.lower(),
                value[:at] + value[at + 1 :],
                value[:at] + rng.choice("0aAzé+ =/\n\x7f\u200b\u00a0") + value[at:],
                value * 2,
                value[:32],
                value[::-1],
                rng.choice(STRINGS),
                None,
                1,
                [value],
            ]
        )
    return rng.choice([None, 0, "", [], {}, [value], {"v": value}])


def hurt_document(rng: random.Random, document: Any) -> Any:
    """One change somewhere inside."""
    if isinstance(document, dict) and document and rng.random() < 0.93:
        changed = dict(document)
        name = rng.choice(sorted(changed))
        what = rng.random()
        if what < 0.1:
            del changed[name]
        elif what < 0.2:
            changed[rng.choice(["also", "V", "v2", "instead_of", "é", name.upper()])] = changed[name]
        elif isinstance(changed[name], dict | list):
            changed[name] = hurt_document(rng, changed[name])
        else:
            changed[name] = hurt_value(rng, changed[name])
        return changed
    if isinstance(document, list) and rng.random() < 0.9:
        changed = list(document)
        what = rng.random()
        if not changed or what < 0.2:
            changed.append(rng.choice(["x", 1, {}, None, *document[:1]]))
        elif what < 0.35:
            changed.pop(rng.randrange(len(changed)))
        else:
            at = rng.randrange(len(changed))
            changed[at] = hurt_document(rng, changed[at])
        return changed
    return hurt_value(rng, document)


PIECES = [
    b"\n",
    b" ",
    b"\t",
    b"\r",
    b"\x00",
    b"\x7f",
    b"\xff",
    b"0",
    b"=",
    b"+",
    b"\xc3\xa9",
    b"\xe2\x80\x94 ",
    b"\xef\xbb\xbf",
    b"\\u0061",
]


def hurt_bytes(rng: random.Random, data: bytes) -> bytes:
    if not data:
        return rng.choice(PIECES)
    at = rng.randrange(len(data) + 1)
    to = min(len(data), at + rng.randrange(1, 9))
    what = rng.randrange(8)
    if what == 0 and at < len(data):
        return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
    if what == 1:
        return data[:at] + rng.choice(PIECES) + data[at:]
    if what == 2:
        return data[:at] + data[to:]
    if what == 3:
        return data[:to] + data[at:]
    if what == 4:
        return data[:at]
    if what == 5:
        return rng.choice([data + rng.choice(PIECES), rng.choice(PIECES) + data])
    if what == 6:
        return data.replace(b":", rng.choice([b": ", b" :"]), 1)
    return data[:at] + data[at:].replace(b"1", b"2", 1)


EXTRA_LINES = [
    "",
    "extra ",
    "extra YQ==",
    "extra YR==",
    "extra !",
    "extra",
    "index 0",
    "quorum none",
    "quorum w1",
    "# x",
    " \t ",
    "log",
    "group g 1 w1",
]


def hurt_text(rng: random.Random, text: str) -> str:
    """Lines and words: what a careless or clever writer does to a note, a proof or a policy."""
    lines = text.split("\n")
    at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    what = rng.randrange(10)
    if what == 0:
        lines.insert(at, lines[other])
    elif what == 1:
        lines.pop(at)
    elif what == 2:
        lines[at], lines[other] = lines[other], lines[at]
    elif what == 3:
        lines.insert(at, rng.choice(EXTRA_LINES))
    elif what == 4:
        lines[at] = rng.choice(
            [
                lines[at] + " ",
                " " + lines[at],
                lines[at] + "\r",
                lines[at].replace(" ", "  "),
                lines[at].replace(" ", "\t"),
            ]
        )
    elif what == 5:
        words = lines[at].split(" ")
        place = rng.randrange(len(words))
        words[place] = rng.choice(
            [
                "0" + words[place],
                "+" + words[place],
                words[place] + "=",
                words[place][:-1],
                words[place].upper(),
                "1",
                "any",
                "all",
                "w2",
                "none",
                "-1",
            ]
        )
        lines[at] = " ".join(words)
    elif what == 6:
        lines[at] = lines[at][: rng.randrange(len(lines[at]) + 1)]
    elif what == 7:
        return text.rstrip("\n") if rng.random() < 0.5 else text + "\n"
    elif what == 8:
        return hurt_bytes(rng, text.encode()).decode("utf-8", "replace")
    else:
        place = rng.randrange(len(lines[at]) + 1)
        lines[at] = lines[at][:place] + rng.choice("0aé \u00a0\u3000\u0085\x1f+") + lines[at][place:]
    return "\n".join(lines)


def note_again(rng: random.Random, log: Log, size: int) -> bytes:
    """A note over another body, or with other lines, by the log's own key and the witnesses'."""
    body = log.body(size)
    if rng.random() < 0.5:
        body = hurt_text(rng, body.decode()).encode()
    own = KEYS[log.origin]
    stranger, twin = Key(own.name, 1, "stranger"), Key("other.example/log", 1)
    near = own.line(body).replace("\u2014 bank", "\u2014 other")
    at_s = rng.choice([0, 1, 2**31, 2**62, 2**63 - 1, 2**63, 2**64 - 1])
    choices = [
        own.line(body),
        *(key.line(body) for key in COSIGNERS),
        COSIGNERS[0].line(body, at_s),
        stranger.line(body),
    ]
    choices += [twin.line(body), near, KEYS[GOVERNANCE].line(body), KEYS[SECOND].line(body), KEYS[SECOND].line(b"x\n")]
    choices += [
        COSIGNERS[1].line(b"x\n"),
        "\u2014 x AAAAAA==\n",
        "\u2014 x AAAAAAA=\n",
        f"\u2014 {own.name} {b64(own.id)}\n",
    ]
    choices.append(f"\u2014 {own.name} {b64(own.id + bytes(63))}\n")
    lines = [own.line(body)] if rng.random() < 0.8 else []
    lines += [rng.choice(choices) for _ in range(rng.choice([0, 1, 1, 2, 3, 62, 63, 64]))]
    rng.shuffle(lines)
    note = body + b"\n" + "".join(lines).encode()
    return hurt_text(rng, note.decode("utf-8", "replace")).encode() if rng.random() < 0.2 else note


def write(folder: Path, files: Files) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return folder
