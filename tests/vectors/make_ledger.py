"""Writes `ledger.json`: leaves, frames and checkpoints to accept and to reject.

Run with `python -m tests.vectors.make_ledger`.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from strongroom.ledger.checkpoint import Checkpoint, CosignerKey, Note, sign_checkpoint
from strongroom.ledger.frames import checkpoint_frame, entry_frame
from strongroom.ledger.tree import MemoryTree, leaf_hash
from tests.ledger.samples import ORIGIN, leaf_of, log_key, payload_of, records

FILE = Path(__file__).parent / "ledger.json"


def _leaves() -> dict[str, Any]:
    good = leaf_of(1, payload_of(1)).encode().decode()
    governance = good.replace(f'"release":"{"e" * 64}"', '"release":null').replace('"decision","v"', '"act","v"')
    plain = governance.replace(f'"key_id":"{"c" * 32}"', '"key_id":"none"').replace('"act"', '"open"')
    long_key = good.replace("c" * 32, "c" * 64)

    def changed(what: str, old: str, new: str) -> dict[str, str]:
        text = good.replace(old, new, 1)
        if text == good:
            raise ValueError(f"`{what}` changes nothing")
        return {"why": what, "leaf": text}

    reject = [
        changed("white space after a colon", '"v":1', '"v": 1'),
        changed("a later version", '"v":1', '"v":2'),
        changed("version as text", '"v":1', '"v":"1"'),
        changed("version as a float", '"v":1', '"v":1.0'),
        changed("an unknown type", '"decision"', '"guess"'),
        changed("an unknown field", '{"commitment"', '{"also":1,"commitment"'),
        changed("a field too few", f'"policy":"{"d" * 64}",', ""),
        changed("a duplicate field", '"v":1}', '"v":1,"v":1}'),
        changed("fields in another order", f'"policy":"{"d" * 64}","release":"{"e" * 64}"',
                f'"release":"{"e" * 64}","policy":"{"d" * 64}"'),
        changed("an escape in a text", '"decision"', '"\\u0064ecision"'),
        changed("an escape in a key", '"time_us"', '"\\u0074ime_us"'),
        changed("upper-case hexadecimal digits", "d" * 64, "D" * 64),
        changed("a digest one digit short", "d" * 64, "d" * 63),
        changed("a digest one digit long", "d" * 64, "d" * 65),
        changed("a decision id of another length", '"decision_id":"', '"decision_id":"0'),
        changed("an empty key id", "c" * 32, ""),
        changed("a key id that is a name", "c" * 32, "ann"),
        changed("a decision that is not sealed", "c" * 32, "none"),
        changed("a negative size", '"payload_size":', '"payload_size":-'),
        changed("a leading zero", '"payload_size":', '"payload_size":0'),
        changed("an exponent", '"payload_size":100', '"payload_size":1e2'),
        changed("a time beyond the limit", f'"time_us":{1_790_000_000_000_001}', f'"time_us":{9 * 10**15}'),
        changed("a null commitment", '{"commitment":"' + leaf_of(1, b"").commitment + '"', '{"commitment":null'),
        changed("a line feed at the end", "}", "}\n"),
        changed("a byte order mark", "{", "\ufeff{"),
        {"why": "empty", "leaf": ""},
        {"why": "not an object", "leaf": "[" + good + "]"},
        {"why": "two leaves", "leaf": good + good},
    ]  # fmt: skip
    shadow = good.replace('"decision","v"', '"shadow","v"')
    return {"accept": [good, governance, plain, long_key, shadow], "reject": reject}


def _frames() -> dict[str, Any]:
    leaf, payload = records(7, 1)[0]
    entry = entry_frame(7, leaf, payload)
    tree = MemoryTree()
    tree.append(leaf_hash(leaf))
    note = sign_checkpoint(Checkpoint(ORIGIN, 1, tree.root()), log_key())
    checkpoint = checkpoint_frame(1, note)

    def flip(data: bytes, at: int) -> str:
        return (data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]).hex()

    return {
        "accept": [
            {"frame": entry.hex(), "kind": 1, "number": 7, "leaf": leaf.decode(), "payload": payload.hex()},
            {"frame": checkpoint.hex(), "kind": 2, "number": 1, "note": note.decode()},
        ],
        "reject": [
            {"why": "nothing written here", "frame": bytes(64).hex()},
            {"why": "impossible length", "frame": flip(entry, 0)},
            {"why": "wrong checksum", "frame": flip(entry, 11)},
            {"why": "wrong checksum", "frame": flip(entry, 12)},
            {"why": "wrong checksum", "frame": flip(entry, 16)},
            {"why": "wrong checksum", "frame": flip(entry, len(entry) - 1)},
            {"why": "impossible length", "frame": entry[:-1].hex()},
            {"why": "impossible length", "frame": entry[:10].hex()},
            {"why": "impossible length", "frame": (bytes(4) + entry[4:]).hex()},
            {"why": "unknown kind", "frame": _other_kind().hex()},
            {"why": "end of the segment", "frame": ""},
        ],
    }


def _other_kind() -> bytes:
    from strongroom.ledger.frames import frame

    return frame(3, 0, b"what is this")


def _checkpoints() -> dict[str, Any]:
    tree = MemoryTree()
    for item in records(0, 5):
        tree.append(leaf_hash(item.leaf))
    key, witness = log_key(), CosignerKey("witness.example/w1", bytes(range(32)))
    checkpoint = Checkpoint(ORIGIN, 5, tree.root())
    note = sign_checkpoint(checkpoint, key)
    parsed = Note.parse(note)
    cosigned = parsed.with_lines([witness.sign(parsed.text, 1_790_000_000)]).encode()
    unknown = parsed.with_lines([log_key("other.example/log").sign(parsed.text)]).encode()
    two = parsed.with_lines([key.sign(b"something else\n")]).encode()
    text = note.decode()
    root = base64.b64encode(tree.root()).decode()

    def signed(body: str) -> str:
        return Note(body.encode(), (key.sign(body.encode()),)).encode().decode()

    return {
        "vkey": str(key.verifier),
        "witness": str(witness.verifier),
        "accept": [
            {"note": text, "size": 5, "root": tree.root().hex(), "cosigned": {}},
            {"note": cosigned.decode(), "size": 5, "root": tree.root().hex(),
             "cosigned": {"witness.example/w1": 1_790_000_000}},
            {"note": unknown.decode(), "size": 5, "root": tree.root().hex(), "cosigned": {}},
        ],
        "reject": [
            {"why": "no signature of the log", "note": cosigned.decode().replace(text.split("\n\n")[1], "")},
            {"why": "a second line of the log's key that fails", "note": two.decode()},
            {"why": "another size under the signature", "note": text.replace("\n5\n", "\n6\n")},
            {"why": "a leading zero", "note": signed(f"{ORIGIN}\n05\n{root}\n")},
            {"why": "an extension line", "note": signed(f"{ORIGIN}\n5\n{root}\nmore\n")},
            {"why": "65 signature lines", "note": text + "\u2014 x AAAAAAA=\n" * 64},
            {"why": "a root of 31 bytes", "note": signed(f"{ORIGIN}\n5\n{base64.b64encode(bytes(31)).decode()}\n")},
            {"why": "base 64 with stray bits", "note": signed(f"{ORIGIN}\n5\n{root[:-2]}{chr(ord(root[-2]) + 1)}=\n")},
            {"why": "an empty tree with another root", "note": signed(f"{ORIGIN}\n0\n{root}\n")},
            {"why": "another origin under the same key", "note": signed(f"{ORIGIN}x\n5\n{root}\n")},
            {"why": "no final newline", "note": text[:-1]},
            {"why": "carriage returns", "note": text.replace("\n", "\r\n")},
            {"why": "no empty line", "note": text.replace("\n\n", "\n")},
            {"why": "a hyphen for the dash", "note": text.replace("\u2014", "-")},
            {"why": "empty", "note": ""},
        ],
        "vkeys_reject": [
            {"why": "another key id", "vkey": _other_id(str(key.verifier))},
            {"why": "an unknown type", "vkey": "a+00000000+" + base64.b64encode(b"\x02" + bytes(32)).decode()},
            {"why": "too short", "vkey": "a+00000000+" + base64.b64encode(b"\x01" + bytes(31)).decode()},
            {"why": "no name", "vkey": str(key.verifier).replace(ORIGIN, "")},
            {"why": "a space in the name", "vkey": str(key.verifier).replace("credit", "cre dit")},
            {"why": "two parts", "vkey": "a+00000000"},
            {"why": "not base 64", "vkey": "a+00000000+****"},
        ],
    }  # fmt: skip


def _other_id(vkey: str) -> str:
    name, key_id, material = vkey.split("+", 2)
    return f"{name}+{int(key_id, 16) ^ 1:08x}+{material}"


def make() -> str:
    """The file's content; the same on every run."""
    document = {"leaf": _leaves(), "frame": _frames(), "checkpoint": _checkpoints()}
    return json.dumps(document, indent=1, ensure_ascii=True, sort_keys=True) + "\n"


if __name__ == "__main__":
    FILE.write_text(make())
