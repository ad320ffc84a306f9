#!/usr/bin/env python3
"""Verify what Strongroom promised, with public keys alone and nothing but Python's standard library.

One file, to be read in an hour and run anywhere; it imports nothing of Strongroom. It checks

* a receipt: the log's key committed to exactly this request and this answer (`receipt`);
* a log folder: every entry, the tree, the checkpoint and its cosignatures (`log`);
* consistency: a newer checkpoint of a log extends an older one (`consistency`);
* shards: every shard was opened (and closed) by an entry in the governance log (`shards`).

What is trusted is one file, the trust policy (C2SP tlog-policy): which logs, which witnesses, which quorum.

Exit codes: 0 verified, 1 unexpected, 2 usage, 4 malformed or not what was signed or logged (any TamperedError).

Sources: RFC 8032 (Ed25519), RFC 6962 (tree), C2SP signed-note, tlog-checkpoint, tlog-cosignature, tlog-proof,
tlog-tiles, tlog-policy; docs/spec for our own formats.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import hmac
import json
import os
import re
import struct
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache, partial
from math import prod
from pathlib import Path
from typing import Any


class TamperedError(Exception):
    """These bytes are not what was signed or logged."""


# --- Ed25519, verification only (RFC 8032 section 5.1.7) --------------------------------------------------------------

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P
_SQRT_M1 = pow(2, (_P - 1) // 4, _P)
_Point = tuple[int, int, int, int]
_ZERO: _Point = (0, 1, 1, 0)


def _add(a: _Point, b: _Point) -> _Point:
    aa = (a[1] - a[0]) * (b[1] - b[0]) % _P
    bb = (a[1] + a[0]) * (b[1] + b[0]) % _P
    cc = 2 * a[3] * b[3] * _D % _P
    dd = 2 * a[2] * b[2] % _P
    e, f, g, h = bb - aa, dd - cc, dd + cc, bb + aa
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _times(scalar: int, point: _Point) -> _Point:
    total = _ZERO
    while scalar:
        if scalar & 1:
            total = _add(total, point)
        point = _add(point, point)
        scalar >>= 1
    return total


def _decompress(data: bytes) -> _Point:
    value = int.from_bytes(data, "little")
    sign, y = value >> 255, value & (2**255 - 1)
    square = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _SQRT_M1 % _P
    if y >= _P or (x * x - square) % _P or (x == 0 and sign):
        raise TamperedError("a public key or signature is not a point of the curve")
    if x & 1 != sign:
        x = _P - x
    return x, y, 1, x * y % _P


def _compress(point: _Point) -> bytes:
    inverse = pow(point[2], _P - 2, _P)
    x, y = point[0] * inverse % _P, point[1] * inverse % _P
    return (y | (x & 1) << 255).to_bytes(32, "little")


_BASE = _decompress((4 * pow(5, _P - 2, _P) % _P).to_bytes(32, "little"))


def verify_ed25519(public: bytes, signature: bytes, message: bytes) -> None:
    """Check that this is `public`'s signature of `message`."""
    if len(public) != 32 or len(signature) != 64:
        raise TamperedError("a key has 32 bytes and a signature 64")
    s = int.from_bytes(signature[32:], "little")
    if s >= _L:
        raise TamperedError("the signature is not in canonical form")
    a = _decompress(public)
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % _L
    minus_a = (_P - a[0], a[1], 1, _P - a[3])
    if _compress(_add(_times(s, _BASE), _times(h, minus_a))) != signature[:32]:
        raise TamperedError("a signature does not verify")


# --- RFC 6962 tree ---------------------------------------------------------------------------------------------------


def leaf_hash(leaf: bytes) -> bytes:
    """SHA-256(0x00 || leaf)."""
    return hashlib.sha256(b"\0" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\1" + left + right).digest()


def root_of(hashes: list[bytes]) -> bytes:
    """The root over a list of leaf hashes; of none, SHA-256 of nothing."""
    if not hashes:
        return hashlib.sha256().digest()
    row, sha256 = hashes, hashlib.sha256
    while len(row) > 1:
        pairs = iter(row)
        above = [sha256(b"\1" + left + right).digest() for left, right in zip(pairs, pairs, strict=False)]
        # a last one without a neighbour is carried up as it is
        row = above + row[-1:] if len(row) & 1 else above
    return row[0]


def verify_inclusion(hashed: bytes, index: int, size: int, path: list[bytes], root: bytes) -> None:
    """Check that the leaf hash is at `index` of the tree: RFC 9162 section 2.1.3.2 (the same tree as RFC 6962)."""
    if not 0 <= index < size:
        raise TamperedError("the index is not in the tree")
    node, last, result = index, size - 1, hashed
    for sibling in path:
        if last == 0:
            raise TamperedError("the inclusion proof is too long")
        if node & 1 or node == last:
            result = node_hash(sibling, result)
            while not node & 1 and node:
                node >>= 1
                last >>= 1
        else:
            result = node_hash(result, sibling)
        node >>= 1
        last >>= 1
    if last or result != root:
        raise TamperedError("the inclusion proof does not lead to the root")


def verify_consistency(old_size: int, old_root: bytes, size: int, root: bytes, path: list[bytes]) -> None:
    """Check that the tree of `size` extends the tree of `old_size`: RFC 9162 section 2.1.4.2."""
    if old_size > size:
        raise TamperedError("the newer tree is smaller than the older one")
    if old_size in (0, size):
        if path or (old_size == size and old_root != root):
            raise TamperedError("two different trees of the same size, or a proof where none is needed")
        return
    nodes = list(path)
    if old_size & (old_size - 1) == 0:
        nodes.insert(0, old_root)
    if not nodes:
        raise TamperedError("the consistency proof is empty")
    first, last = old_size - 1, size - 1
    while first & 1:
        first >>= 1
        last >>= 1
    old = new = nodes[0]
    for sibling in nodes[1:]:
        if last == 0:
            raise TamperedError("the consistency proof is too long")
        if first & 1 or first == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not first & 1 and first:
                first >>= 1
                last >>= 1
        else:
            new = node_hash(new, sibling)
        first >>= 1
        last >>= 1
    if last or old != old_root or new != root:
        raise TamperedError("the newer tree does not extend the older one")


# --- Notes, checkpoints, cosignatures --------------------------------------------------------------------------------

LOG_KEY, WITNESS_KEY = 0x01, 0x04
NOTE_LIMIT, SIGNATURES_LIMIT = 64 * 1024, 64


def _base64(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise TamperedError("malformed base64") from error
    if base64.b64encode(data).decode() != text:
        raise TamperedError("base64 that is not in canonical form")
    return data


def _decimal(text: str) -> int:
    if not re.fullmatch(r"0|[1-9][0-9]{0,18}", text, re.ASCII):
        raise TamperedError("malformed number")
    return int(text)


@dataclass(frozen=True)
class Key:
    """A verifier key `name+hash+base64(type || public key)` (C2SP signed-note)."""

    name: str
    kind: int
    public: bytes

    @property
    def hash(self) -> bytes:
        """The first four bytes that a signature line names."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:4]

    @classmethod
    def parse(cls, text: str) -> Key:
        """Read a vkey, of type 0x01 or 0x04 and with its own hash."""
        parts = text.split("+", 2)
        if len(parts) != 3 or not parts[0] or any(c.isspace() or 0xD800 <= ord(c) < 0xE000 for c in parts[0]):
            raise TamperedError("malformed verifier key")
        material = _base64(parts[2])
        if len(material) != 33 or material[0] not in (LOG_KEY, WITNESS_KEY):
            raise TamperedError("a verifier key of a type that is not accepted")
        key = cls(parts[0], material[0], material[1:])
        if key.hash.hex() != parts[1]:
            raise TamperedError("the verifier key's hash is not its own")
        return key


@dataclass(frozen=True)
class Checkpoint:
    """A tree head that its log's key signed; `cosigned` are the keys of witnesses whose cosignatures verify."""

    origin: str
    size: int
    root: bytes
    cosigned: dict[Key, int] = field(default_factory=dict)


def _split_note(note: bytes) -> tuple[bytes, list[tuple[str, bytes]]]:
    if len(note) > NOTE_LIMIT:
        raise TamperedError("the note is too large")
    try:
        text = note.decode()
    except UnicodeDecodeError as error:
        raise TamperedError("the note is not UTF-8") from error
    if any(ord(c) < 0x20 and c != "\n" for c in text) or not text.endswith("\n"):
        raise TamperedError("malformed note")
    body, separator, signatures = text.rpartition("\n\n")
    if not separator or signatures.count("\n") > SIGNATURES_LIMIT:
        raise TamperedError("the note has no signatures, or too many")
    lines = []
    for line in signatures.removesuffix("\n").split("\n"):
        match = re.fullmatch(r"\u2014 ([^\s+\x7f]+) (\S+)", line)
        data = _base64(match[2]) if match else b""
        if match is None or len(data) < 5:
            raise TamperedError("malformed signature line")
        lines.append((match[1], data))
    return (body + "\n").encode(), lines


def open_checkpoint(note: bytes, log_keys: list[Key], witness_keys: list[Key]) -> Checkpoint:
    """Read a checkpoint that a known key of its origin signed. Each line of a known key must verify."""
    body, signatures = _split_note(note)
    lines = body.decode().removesuffix("\n").split("\n")
    if len(lines) != 3 or not all(lines):
        raise TamperedError("malformed checkpoint")
    origin, size, root = lines[0], _decimal(lines[1]), _base64(lines[2])
    if len(root) != 32 or (size == 0 and root != root_of([])):
        raise TamperedError("malformed root")
    signed = False
    cosigned: dict[Key, int] = {}
    for name, data in signatures:
        for key in log_keys:
            if key.kind == LOG_KEY and key.name == name == origin and key.hash == data[:4]:
                verify_ed25519(key.public, data[4:], body)
                signed = True
        for key in witness_keys:
            if key.kind == WITNESS_KEY and key.name == name and key.hash == data[:4]:
                if len(data) != 4 + 8 + 64 or data[4] >> 7:  # no time is 2**63 or later
                    raise TamperedError("malformed cosignature")
                time_s = int.from_bytes(data[4:12], "big")
                verify_ed25519(key.public, data[12:], b"cosignature/v1\ntime %d\n" % time_s + body)
                cosigned[key] = time_s
    if not signed:
        raise TamperedError(f"no known key of `{origin}` signed the checkpoint")
    return Checkpoint(origin, size, root, cosigned)


# --- The trust policy (C2SP tlog-policy) -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Policy:
    """Known logs and witnesses, and which witnesses suffice."""

    logs: list[Key]
    witnesses: dict[str, Key]
    groups: dict[str, tuple[int, list[str]]]
    quorum: str

    def satisfied(self, checkpoint: Checkpoint) -> bool:
        """Whether the cosignatures on the checkpoint reach the quorum; with `quorum none` there is nothing to reach."""
        return self.quorum != "none" and self._witnessed(self.quorum, checkpoint)

    def _witnessed(self, name: str, checkpoint: Checkpoint) -> bool:
        if name in self.witnesses:
            return self.witnesses[name] in checkpoint.cosigned
        threshold, members = self.groups[name]
        return sum(self._witnessed(member, checkpoint) for member in members) >= threshold


def read_policy(data: bytes) -> Policy:
    """Read a trust policy: no key or name twice, nothing named before it is defined, one quorum line."""
    if any(byte < 0x20 and byte not in b"\t\n" for byte in data) or 0x7F in data:
        raise TamperedError("the trust policy has control characters")
    logs: list[Key] = []
    witnesses: dict[str, Key] = {}
    groups: dict[str, tuple[int, list[str]]] = {}
    quorum: str | None = None
    used: set[str] = set()
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        words = re.split(r"[ \t]+", line.strip(" \t"))
        if words == [""] or words[0].startswith("#"):
            continue
        match words:
            case ["log", vkey] | ["log", vkey, _]:
                logs.append(_typed(vkey, LOG_KEY))
            case ["witness", name, vkey] | ["witness", name, vkey, _]:
                _new_name(name, witnesses, groups)
                witnesses[name] = _typed(vkey, WITNESS_KEY)
            case ["group", name, threshold, *members] if members:
                _new_name(name, witnesses, groups)
                for member in members:
                    if member in used or (member not in witnesses and member not in groups):
                        raise TamperedError(f"the trust policy names `{member}` twice or before it is defined")
                    used.add(member)
                k = {"all": len(members), "any": 1}.get(threshold) or _decimal(threshold)
                if not 1 <= k <= len(members):
                    raise TamperedError("a group's threshold is out of range")
                groups[name] = (k, members)
            case ["quorum", name] if quorum is None and (name == "none" or name in witnesses or name in groups):
                quorum = name
            case _:
                raise TamperedError("the trust policy has a line that is not understood")
    publics = [key.public for key in [*logs, *witnesses.values()]]
    if quorum is None or len(set(publics)) != len(publics):
        raise TamperedError("the trust policy needs one quorum line and no key twice")
    return Policy(logs, witnesses, groups, quorum)


def _typed(vkey: str, kind: int) -> Key:
    key = Key.parse(vkey)
    if key.kind != kind:
        raise TamperedError("the trust policy uses a key for what it is not meant")
    return key


def _new_name(name: str, *taken: dict[str, Any]) -> None:
    if name == "none" or any(name in names for names in taken):
        raise TamperedError(f"the trust policy defines `{name}` twice")


# --- Our formats -----------------------------------------------------------------------------------------------------


def parse_canonical(data: bytes) -> Any:
    """Read format 1 (docs/spec/01): canonical JSON, no floats, no duplicates."""

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) != len(pairs) or not all(key.isascii() for key, _ in pairs):
            raise TamperedError("a document with duplicate or foreign keys")
        return dict(pairs)

    def no_float(_: str) -> Any:
        raise TamperedError("a document with a float")

    def whole(text: str) -> int:
        if len(text) > 17 or not -(2**53) < int(text) < 2**53:
            raise TamperedError("a document with an integer of 2**53 or more")
        return int(text)

    def nesting(value: Any) -> int:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
        return 0 if inner is None else 1 + max(map(nesting, inner), default=0)

    try:
        value = json.loads(
            data, object_pairs_hook=members, parse_float=no_float, parse_constant=no_float, parse_int=whole
        )
        if nesting(value) > 32:
            raise TamperedError("a document that nests more than 32 deep")
        again = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise TamperedError("a document that is not JSON") from error
    if again != data:
        raise TamperedError("a document that is not in canonical form")
    return value


@dataclass(frozen=True)
class Proof:
    """A tlog-proof: index, path and the signed checkpoint."""

    index: int
    path: list[bytes]
    note: bytes


def read_proof(text: str) -> Proof:
    """Read C2SP tlog-proof text."""
    head, separator, note = text.partition("\n\n")
    lines = head.split("\n")
    if not separator or lines.pop(0) != "c2sp.org/tlog-proof@v1":
        raise TamperedError("malformed proof")
    if lines and lines[0].startswith("extra "):
        _base64(lines.pop(0)[6:])
    if not lines or not lines[0].startswith("index "):
        raise TamperedError("the proof names no index")
    index = _decimal(lines.pop(0)[6:])
    path = [_base64(line) for line in lines]
    if len(path) > 63 or any(len(node) != 32 for node in path):
        raise TamperedError("malformed proof")
    return Proof(index, path, note.encode())


_WHOLE = "(0|[1-9][0-9]{0,14}|[1-8][0-9]{15})"
# <n> stands for n hexadecimal digits: one spelling for each leaf, in which nothing is left open
_FORM = (
    r'\{"commitment":"<64>","decision_id":"<32>","key_id":"(?:<32>|<64>|none(?=[^}]*"type":"(?:open|close)"))",'
    rf'"payload_sha256":"<64>","payload_size":{_WHOLE},"policy":(?:null|"<64>"),"release":(?:null|"<64>"),"retain_until_us":{_WHOLE},'
    rf'"time_us":{_WHOLE},"type":"(?:act|alert|close|decision|erasure|open|refusal|shadow)","v":1\}}'
)
_LEAF = re.compile(re.sub("<(..)>", r"([0-9a-f]{\1})", _FORM).encode())
_HEX = b"0123456789abcdef"
_FREE = (_HEX, b"0123456789", b"123456789", b"12345678")
_AS_DIGITS = bytes.maketrans(_HEX, b"0" * 16)
LEAF_LIMIT = 1024
_PUBLIC = (b'"type":"open","v":1}', b'"type":"close","v":1}')
_PLAIN_HEADER = b"SRP3" + bytes((1, 0, 0, 0)) + bytes(28)
_PART = r"(?=[^/]{1,63}/)[a-z0-9]+(?:[.-][a-z0-9]+)*/"
_ORIGIN = re.compile(rf"(?:{_PART}){{5}}[1-9][0-9]{{0,8}}")
_OPEN = {"generation": int, "opened_us": int, "origin": _ORIGIN, "type": "open", "v": 1, "vkey": str}
_DIGEST = re.compile("[0-9a-f]{64}")
_CLOSE = {"closed_us": int, "origin": _ORIGIN, "root": _DIGEST, "size": int, "type": "close", "v": 1}
_NAME = (str, None)
_TENSOR = {"data": str, "datatype": str, "name": str, "shape": [int]}
_ANSWER = {
    "columns": [str], "decision": _NAME, "decision_id": str, "inputs": [_TENSOR], "manifest": _NAME, "model": _NAME,
    "outputs": [_TENSOR], "reasons": [{"code": str, "field": str, "rule": str}], "release": _NAME,
    "status": "answered", "v": 1,
}  # fmt: skip
_REFUSED = _ANSWER | {"inputs": [()], "outputs": [()], "status": "refused"}  # lists of nothing
_INSTEAD = {"instead_of": {"manifest": _DIGEST, "release": _DIGEST, "rule": re.compile("runtime|output-contract")}}
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?")
_TEXTS = dict.fromkeys(("code_map", "contributions", "method"), str) | dict.fromkeys(("base", "gap"), _FLOAT)
_REASONS = {"explanation": {**_TEXTS, "codes": [str], "reference": _DIGEST}}
_ANSWERS = (_REFUSED, *(_ANSWER | more for more in ({}, _INSTEAD, _REASONS, _INSTEAD | _REASONS)))


def fits(value: Any, form: Any) -> bool:
    """Whether a document has exactly this form: a dict names all members, [x] is a list of x, (x, y) is x or y."""
    if isinstance(form, dict):
        return isinstance(value, dict) and set(value) == set(form) and all(fits(value[k], form[k]) for k in form)
    if isinstance(form, list):
        return isinstance(value, list) and all(fits(one, form[0]) for one in value)
    if isinstance(form, tuple):
        return any(fits(value, one) for one in form)
    if isinstance(form, re.Pattern):
        return isinstance(value, str) and form.fullmatch(value) is not None
    # `True == 1` in Python, but not in a signed document
    return type(value) is form if isinstance(form, type) else type(value) is type(form) and value == form


def read_leaf(data: bytes) -> dict[str, Any]:
    """Read a log leaf (format 2); its form leaves one spelling for each leaf, so that it is canonical."""
    if len(data) > LEAF_LIMIT or not _LEAF.fullmatch(data):
        raise TamperedError("the leaf is not of format 2")
    leaf: dict[str, Any] = json.loads(data)
    return leaf


@dataclass(frozen=True)
class Disclosed:
    """A governance entry that anyone may read: where it stands, its leaf and its document."""

    index: int
    leaf: dict[str, Any]
    document: dict[str, Any]


def open_proof(proof_text: str, leaf_bytes: bytes, logs: list[Key], policy: Policy) -> tuple[Proof, Checkpoint]:
    """Check that a leaf is in a log whose key is in `logs`."""
    proof = read_proof(proof_text)
    checkpoint = open_checkpoint(proof.note, logs, list(policy.witnesses.values()))
    verify_inclusion(leaf_hash(leaf_bytes), proof.index, checkpoint.size, proof.path, checkpoint.root)
    return proof, checkpoint


def read_disclosed(data: bytes, policy: Policy) -> Disclosed:
    """Check that a disclosed governance entry `{leaf, payload, proof}` is in a log of the policy, with its payload."""
    outer = parse_canonical(data)
    if not fits(outer, {"leaf": str, "payload": str, "proof": str}):
        raise TamperedError("the disclosed entry has other fields than its format")
    leaf_bytes, payload = _base64(outer["leaf"]), _base64(outer["payload"])
    proof, _ = open_proof(outer["proof"], leaf_bytes, policy.logs, policy)
    leaf = read_leaf(leaf_bytes)
    if leaf["payload_sha256"] != hashlib.sha256(payload).hexdigest() or leaf["payload_size"] != len(payload):
        raise TamperedError("the payload is not the leaf's")
    if not payload.startswith(_PLAIN_HEADER) or leaf["key_id"] != "none":
        raise TamperedError("the payload is not a plain entry")
    document = parse_canonical(payload[len(_PLAIN_HEADER) :])
    if not fits(document, (_OPEN, _CLOSE)) or document["type"] != leaf["type"]:
        raise TamperedError("only entries that open or close a shard are disclosed")
    return Disclosed(proof.index, leaf, document)


def shard_key(opening: Disclosed) -> Key:
    """The log key that an `open` entry names, which must be of the entry's origin."""
    if opening.leaf["type"] != "open":
        raise TamperedError("the entry does not open a shard")
    key = _typed(opening.document["vkey"], LOG_KEY)
    if key.name != opening.document["origin"] or key.name.split("/")[5] != str(opening.document["generation"]):
        raise TamperedError("the opening names a key of another origin")
    return key


# --- Receipts --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Receipt:
    """A receipt that verified."""

    document: dict[str, Any]
    leaf: dict[str, Any]
    index: int
    checkpoint: Checkpoint
    cosigned: bool


def verify_receipt(data: bytes, policy: Policy, openings: list[Disclosed]) -> Receipt:
    """Check that a log's key committed to the answer document inside the receipt.

    1. The proof leads from the leaf to a checkpoint.
    2. The checkpoint is signed by a log of the policy, or by a shard that a governance entry opened.
    3. The leaf's commitment is HMAC-SHA-256 of the document under the receipt's salt.
    4. Document and leaf name the same decision and release; an answer stands under a `decision`, else a `refusal`.
    """
    outer = parse_canonical(data)
    if not fits(outer, {"document": str, "leaf": str, "proof": str, "salt": str, "v": 1}):
        raise TamperedError("the receipt has other fields than its format")
    leaf_bytes, salt, document_bytes = (_base64(outer[name]) for name in ("leaf", "salt", "document"))
    logs = policy.logs + [shard_key(opening) for opening in openings if opening.leaf["type"] == "open"]
    proof, checkpoint = open_proof(outer["proof"], leaf_bytes, logs, policy)
    leaf = read_leaf(leaf_bytes)
    commitment = hmac.new(salt, document_bytes, hashlib.sha256).hexdigest()
    if len(salt) != 32 or not hmac.compare_digest(commitment, leaf["commitment"]):
        raise TamperedError("the log committed to another answer")
    document = parse_canonical(document_bytes)
    if not fits(document, _ANSWERS):
        raise TamperedError("the document is not an answer")
    for tensor in document["inputs"] + document["outputs"]:
        _base64(tensor["data"])
    if len(_base64(document.get("explanation", {}).get("contributions", ""))) % 8:
        raise TamperedError("the contributions of an explanation are not float64")
    static = document.get("instead_of", {}).get("release") == document["release"] is not None
    if static and (document["outputs"] or document["decision"] is None):
        raise TamperedError("no model answered, but there is an output, or no decision")
    if document["decision_id"] != leaf["decision_id"] or document["release"] != leaf["release"]:
        raise TamperedError("document and leaf are about different decisions")
    if leaf["type"] != {"answered": "decision", "refused": "refusal"}[document["status"]]:
        raise TamperedError("the leaf is of another type than the document's status")
    return Receipt(document, leaf, proof.index, checkpoint, policy.satisfied(checkpoint))


_FORMATS = {"FP32": "f", "FP64": "d", "INT32": "i", "INT64": "q"}
_DECISION, _BY_ROW = "decision", (("manifest", "model_versions"), ("release", "releases"))


def _values(tensor: dict[str, Any], row: int) -> list[Any]:
    """The values of one row of a V2 JSON tensor, and as many as its shape says."""
    shape, values = tensor.get("shape"), tensor.get("data")
    if not fits(shape, [int]) or not shape or not isinstance(values, list) or min(shape) < 0:
        raise TamperedError("a tensor of the message is not understood")
    for _ in shape[1:]:
        if values and all(isinstance(value, list) for value in values):
            values = [value for inner in values for value in inner]
    width = prod(shape[1:])
    if not 0 <= row < shape[0] or len(values) != shape[0] * width:
        raise TamperedError("a tensor of the message has another shape than it says, or no such row")
    return values[row * width : (row + 1) * width]


def _raw(tensor: dict[str, Any], row: int) -> bytes:
    """One row of a V2 JSON tensor as raw little-endian bytes of its datatype."""
    letter, values = _FORMATS.get(str(tensor.get("datatype"))), _values(tensor, row)
    if letter is None or bool in map(type, values):
        raise TamperedError("a tensor of the message has a datatype that is not known, or a truth value")
    try:
        return struct.pack(f"<{len(values)}{letter}", *[float("nan") if value is None else value for value in values])
    except (struct.error, OverflowError) as error:
        raise TamperedError("a tensor of the message does not fit its datatype") from error


def _same(tensor: dict[str, Any], row: int, logged: dict[str, Any]) -> bool:
    """Datatype too: the bits of 0.25 are also those of a whole number."""
    return tensor.get("datatype") == logged["datatype"] and _raw(tensor, row) == _base64(logged["data"])


def _tensors(message: Any, side: str) -> dict[str, dict[str, Any]]:
    tensors = message.get(side) if isinstance(message, dict) else None
    if not isinstance(tensors, list) or not all(isinstance(one, dict) for one in tensors):
        raise TamperedError(f"the message has no `{side}`")
    found = {str(tensor.get("name")): tensor for tensor in tensors}
    if len(found) != len(tensors):
        raise TamperedError("the message has a tensor twice")
    return found


def verify_messages(receipt: Receipt, request: Any, answer: Any, row: int) -> None:
    """Check that the receipt is about this V2 request and this V2 answer (JSON form; None is not looked at).

    1. The answer names the receipt's decision, and no other model, version or release.
    2. Every output that it has is the logged one, bit for bit, and so is its decision; it has at least one.
    3. Every number of the request is the logged one, bit for bit, and none is missing. Texts (whom a row is about)
       are in the encrypted record, not in the receipt.
    """
    document = receipt.document
    if answer is not None:
        sent, parameters = _tensors(answer, "outputs"), answer.get("parameters")
        first = parameters.get("decision_id") if isinstance(parameters, dict) else None
        if first != f"{(int(document['decision_id'], 16) - row) % 2**128:032x}":
            raise TamperedError("the answer is about another decision than the receipt")
        named = [("model", answer.get("model_name")), ("manifest", answer.get("model_version"))]
        named += [("release", parameters.get("release")), ("manifest", parameters.get("model_version"))]
        try:  # a canary split the request: one for each row
            named += [(name, json.loads(parameters[key])[row]) for name, key in _BY_ROW if key in parameters]
        except (TypeError, ValueError, LookupError, RecursionError) as error:
            raise TamperedError("the versions that the answer names by row do not read") from error
        if "instead_of" in document and parameters.get("instead_of") is None:
            raise TamperedError("the answer does not say that another version stood in")
        for name, value in named:
            if value not in (None, document[name]):
                raise TamperedError(f"the answer names another {name} than the receipt")
        logged, told = {tensor["name"]: tensor for tensor in document["outputs"]}, document.get("explanation")
        texts = {_DECISION: [[document["decision"]]]}
        if told is not None:  # a row has fewer codes than the release tells at most
            texts["reason_codes"] = [told["codes"] + [""] * n for n in range(9)]
            logged["contributions"] = {"data": told["contributions"], "datatype": "FP64"}
        if not sent:
            raise TamperedError("the answer has no output: there is nothing that the receipt could be about")
        for name, tensor in sent.items():
            if name in texts and tensor.get("datatype") == "BYTES" and _values(tensor, row) in texts[name]:
                continue
            if name not in logged or not _same(tensor, row, logged[name]):
                raise TamperedError(f"output `{name}` is not the logged one")
    if request is not None:
        asked = {n: tensor for n, tensor in _tensors(request, "inputs").items() if tensor.get("datatype") != "BYTES"}
        kept, columns = {tensor["name"]: tensor for tensor in document["inputs"]}, document["columns"]
        if columns and len(kept) == 1 and set(columns) == set(asked):
            # one tensor a feature: the logged matrix holds them in the contract's order
            (whole,) = kept.values()
            joined = b"".join(_raw(asked[name], row) for name in columns)
            same = joined == _base64(whole["data"]) and {t["datatype"] for t in asked.values()} == {whole["datatype"]}
        else:
            same = set(asked) == set(kept) and all(_same(asked[n], row, kept[n]) for n in kept)
        if not same or not kept:  # of a refused request no value is in the receipt: it is about none
            raise TamperedError("the request's inputs are not the logged ones")


# --- Log folders (C2SP tlog-tiles) -----------------------------------------------------------------------------------

TILE_WIDTH = 256
_Public = dict[int, dict[str, Any]]
_SLAB = 64  # bundles that a process takes at once


def _tile_path(folder: Path, index: int, width: int) -> Path:
    digits = str(index).zfill(-(-len(str(index)) // 3) * 3)
    parts = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    parts = ["x" + part for part in parts[:-1]] + parts[-1:]
    path = folder.joinpath("tile", "entries", *parts)
    return path if width == TILE_WIDTH else path.with_name(path.name + ".p") / str(width)


def read_bundle(folder: Path, index: int, width: int) -> tuple[list[bytes], bool]:
    """The first `width` leaves (format 2) of an entry bundle, and whether any may be of type `open` or `close`."""
    data, wide = _bundle(folder, index, width)
    step, at = 2 + int.from_bytes(data[:2], "big"), 0
    alike: dict[int, list[bytes]] = {}
    if len(data) == step * wide and (data[::step], data[1::step]) == (data[:1] * wide, data[1:2] * wide):
        leaves, alike[step], at = [data[n + 2 : n + step] for n in range(0, len(data), step)], [data], len(data)
    else:
        leaves = []
        while at + 2 <= len(data):
            step = 2 + int.from_bytes(data[at : at + 2], "big")
            leaves.append(data[at + 2 : at + step])
            alike.setdefault(step, []).append(data[at : at + step])
            at += step
    sound = all(_one_shape(b"".join(some), step) for step, some in alike.items()) or all(map(_LEAF.fullmatch, leaves))
    if sound and at == len(data) and len(leaves) == wide:
        return leaves[:width], any(mark in data for mark in _PUBLIC)
    raise TamperedError(f"entry bundle {index} is cut or malformed, or a leaf in it is not of format 2")


def _one_shape(data: bytes, step: int) -> bool:
    """Whether leaves of one length, each behind its length, are of format 2 and differ in nothing but digits.

    All have a digit where the first has one and are like it elsewhere. What is not free there, is looked at by column,
    which is far faster than one leaf after the other.
    """
    match = _LEAF.fullmatch(data, 2, step)
    if match is None or data.translate(_AS_DIGITS) != data[:step].translate(_AS_DIGITS) * (len(data) // step):
        return False
    shape = bytearray(data[:step])
    for start, end in match.regs[1:]:
        if shape[start - 1] == ord('"'):
            shape[start:end] = bytes(end - start)  # may be any of these digits
        elif start < end:
            leading = {1: 1, 16: 3}.get(end - start, 2)  # by its length a number may begin with others of `_FREE`
            shape[start:end] = b"%c" % leading + b"\1" * (end - start - 1)
    columns = _columns(bytes(shape))
    return not any(b"".join([data[n::step] for n in places]).translate(None, may) for may, places in columns)


@lru_cache(64)
def _columns(shape: bytes) -> list[tuple[bytes, list[int]]]:
    """Where only some digits may stand, and which: as `_FREE` says, or the very one of a name."""
    places: dict[bytes, list[int]] = {}
    for place, byte in enumerate(shape[2:], 2):
        if 0 < byte < 4 or byte in _HEX:
            places.setdefault(_FREE[byte] if byte < 4 else b"%c" % byte, []).append(place)
    return list(places.items())


def _bundle(folder: Path, index: int, width: int) -> tuple[bytes, int]:
    """The bundle itself, or a wider one, and its width: a log may drop partial bundles once there is a fuller one."""
    for candidate in range(width, TILE_WIDTH + 1):
        with suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return _tile_path(folder, index, candidate).read_bytes(), candidate
    raise TamperedError(f"entry bundle {index} is missing")


@dataclass(frozen=True)
class Log:
    """A log folder that verified; `tiles` are roots of 256 hashes each, `public` leaves of type `open` and `close`."""

    checkpoint: Checkpoint
    hashes: list[bytes]
    tiles: list[bytes]
    public: _Public
    cosigned: Checkpoint | None

    def root(self, size: int) -> bytes:
        """The root of the tree of its first leaves."""
        whole, rest = divmod(size, TILE_WIDTH)
        return root_of(self.tiles[:whole] + [root_of(self.hashes[size - rest : size])] * (rest > 0))


def _check_bundle(folder: Path, size: int, index: int) -> tuple[list[bytes], bytes, list[bytes], _Public]:
    """Of one bundle in a log of `size`: leaf hashes, their root, decision ids, and the leaves that anyone may read."""
    first, sha256 = index * TILE_WIDTH, hashlib.sha256
    leaves, readable = read_bundle(folder, index, min(TILE_WIDTH, size - first))
    names, public = [leaf[96:128] for leaf in leaves], {}  # every leaf of format 2 has the decision's id there
    for place in [place for place, leaf in enumerate(leaves) if leaf.endswith(_PUBLIC)] if readable else ():
        # an act that opens or closes a shard has two entries: one that anyone may read, and the sealed one
        public[first + place], names[place] = read_leaf(leaves[place]), b"public " + names[place]
    hashes = [sha256(b"\0" + leaf).digest() for leaf in leaves]
    return hashes, root_of(hashes), names, public


def _map(run: Any, count: int, jobs: int) -> Iterator[Any]:
    """`run` of 0 to `count`, in order; a long row in several processes."""
    if jobs == 1 or count < 2 * _SLAB:
        yield from map(run, range(count))
        return
    with ProcessPoolExecutor(jobs) as pool:
        for start in range(0, count, 64 * _SLAB):  # not all at once: nobody has seen yet that the log is that long
            yield from pool.map(run, range(start, min(count, start + 64 * _SLAB)), chunksize=_SLAB)


def verify_log(folder: Path, logs: list[Key], policy: Policy, jobs: int = 1) -> Log:
    """Check every entry of a log folder against its signed checkpoint, and against the one that witnesses cosigned."""
    witnesses, kept = list(policy.witnesses.values()), folder / "checkpoint.cosigned"
    try:
        checkpoint = open_checkpoint((folder / "checkpoint").read_bytes(), logs, witnesses)
    except OSError as error:
        raise TamperedError(f"no checkpoint in {folder}") from error
    hashes: list[bytes] = []
    tiles: list[bytes] = []
    public: _Public = {}
    seen: set[bytes] = set()
    check = partial(_check_bundle, folder, checkpoint.size)
    for some, root, names, readable in _map(check, -(-checkpoint.size // TILE_WIDTH), jobs):
        hashes += some
        tiles.append(root)
        public |= readable
        seen.update(names)
        if len(seen) != len(hashes):
            raise TamperedError(f"a decision of entry bundle {len(tiles) - 1} stands twice in the log")
    if root_of(tiles) != checkpoint.root:
        raise TamperedError("the entries do not have the checkpoint's root")
    heads = [checkpoint]
    if kept.is_file():
        # a log that grows keeps the newest checkpoint that witnesses cosigned beside its newest one
        heads.append(open_checkpoint(kept.read_bytes(), logs, witnesses))
    log = Log(checkpoint, hashes, tiles, public, next((head for head in heads if policy.satisfied(head)), None))
    verify_extends(log, heads[-1])
    return log


def verify_extends(log: Log, older: Checkpoint) -> None:
    """Check that a verified log extends an older signed checkpoint of the same origin: no dropped tail, same past."""
    if older.origin != log.checkpoint.origin:
        raise TamperedError("the checkpoints are of different logs")
    if older.size > log.checkpoint.size:
        raise TamperedError("the log is shorter than it was: its tail was dropped")
    if log.root(older.size) != older.root:
        raise TamperedError("the log's past was changed")


def verify_shards(governance: Log, disclosed: list[Disclosed], shards: list[tuple[Path, Log]]) -> list[str]:
    """Check that shards and governance entries account for each other.

    1. Every opening and closing in the governance log is disclosed, as it stands there, and nothing twice.
    2. Every shard folder was opened, under the key and origin of its opening.
    3. A closed shard has exactly the size and root of its closing.
    4. Every opened shard is here.
    5. A shard whose next generation has entries was closed.

    Returns:
        One line for each shard.
    """
    shown = [entry.index for entry in disclosed]
    if sorted(shown) != sorted(governance.public):
        raise TamperedError("openings or closings of shards are withheld, or shown twice")
    if any(governance.public[entry.index] != entry.leaf for entry in disclosed):
        raise TamperedError("an opening or closing is of another history of the governance log")
    opened = {entry.document["origin"]: entry for entry in disclosed if entry.leaf["type"] == "open"}
    closed = {entry.document["origin"]: entry for entry in disclosed if entry.leaf["type"] == "close"}
    if len(opened) + len(closed) != len(disclosed) or any(
        name not in opened or opened[name].index > entry.index for name, entry in closed.items()
    ):
        raise TamperedError("a shard was opened or closed twice, or closed before it was opened")
    here = {log.checkpoint.origin: log for _, log in shards}
    if len(here) != len(shards):
        raise TamperedError("a shard is here twice")
    if set(here) - set(opened):
        raise TamperedError(f"shard `{min(set(here) - set(opened))}` was never opened")
    if set(opened) - set(here):
        raise TamperedError(f"shard `{min(set(opened) - set(here))}` was opened but is not here")
    lines = []
    for origin, log in sorted(here.items()):
        closing, (slot, generation) = closed.get(origin), origin.rsplit("/", 1)
        later = [name for name in opened if name.startswith(slot + "/") and int(name.rsplit("/")[-1]) > int(generation)]
        if closing is None and any(here[name].checkpoint.size for name in later):
            raise TamperedError(f"shard `{origin}` was followed by its next generation but never closed")
        ended = (log.checkpoint.size, log.checkpoint.root.hex())
        if closing is not None and (closing.document["size"], closing.document["root"]) != ended:
            raise TamperedError(f"shard `{origin}` is not as it was closed")
        lines.append(f"{origin}: {log.checkpoint.size} entries, {'closed' if closing else 'open'}")
    return lines


# --- Command line ----------------------------------------------------------------------------------------------------


def _trusted(options: argparse.Namespace) -> tuple[Policy, list[Disclosed], list[Key]]:
    policy = read_policy(options.policy.read_bytes())
    files = [] if options.openings is None else sorted(options.openings.iterdir())
    openings = [read_disclosed(path.read_bytes(), policy) for path in files if path.name.endswith(".json")]
    return policy, openings, policy.logs + [shard_key(entry) for entry in openings if entry.leaf["type"] == "open"]


def read_message(path: Path | None) -> Any:
    """A request or an answer. An empty document stays one: `null` is no message that could be left out."""
    try:
        return None if path is None else json.loads(path.read_bytes()) or {}
    except RecursionError as error:
        raise TamperedError("a message that nests too deep") from error


def _receipt(options: argparse.Namespace) -> list[str]:
    policy, openings, _ = _trusted(options)
    receipt = verify_receipt(options.receipt.read_bytes(), policy, openings)
    request, answer = (read_message(path) for path in (options.request, options.answer))
    verify_messages(receipt, request, answer, options.row)
    if options.cosigned and not receipt.cosigned:
        raise TamperedError("no quorum of witnesses cosigned the checkpoint in this receipt")
    about = {(1, 1): "this request and this answer", (1, 0): "this request", (0, 1): "this answer"}.get(
        (request is not None, answer is not None), "the answer document inside it"
    )
    return [
        f"decision {receipt.document['decision_id']} of {receipt.checkpoint.origin}, entry {receipt.index}: verified",
        f"the log's key committed to {about}",
        "cosigned by the witnesses" if receipt.cosigned else "not cosigned yet: signed evidence against the operator",
    ]


def _witnessed(log: Log) -> str:
    if log.cosigned is None:
        raise TamperedError(f"no quorum of witnesses cosigned a checkpoint of `{log.checkpoint.origin}`")
    return f"cosigned up to entry {log.cosigned.size}; {log.checkpoint.size - log.cosigned.size} newer ones not yet"


def _log(options: argparse.Namespace) -> list[str]:
    policy, _, keys = _trusted(options)
    log = verify_log(options.folder, keys, policy, options.jobs)
    lines = [f"{log.checkpoint.origin}: {log.checkpoint.size} entries verified, root {log.checkpoint.root.hex()}"]
    return [*lines, _witnessed(log)] if options.cosigned else lines


def _consistency(options: argparse.Namespace) -> list[str]:
    policy, _, keys = _trusted(options)
    older = open_checkpoint(options.older.read_bytes(), keys, list(policy.witnesses.values()))
    if options.proof is None:
        newer = verify_log(options.newer, keys, policy, options.jobs)
        verify_extends(newer, older)
        return [f"{older.origin}: {newer.checkpoint.size} entries extend the {older.size} of before"]
    head = open_checkpoint(options.newer.read_bytes(), keys, list(policy.witnesses.values()))
    if head.origin != older.origin:
        raise TamperedError("the checkpoints are of different logs")
    path = [_base64(line) for line in options.proof.read_text().splitlines()]
    verify_consistency(older.size, older.root, head.size, head.root, path)
    return [f"{older.origin}: {head.size} entries extend the {older.size} of before"]


def _shards(options: argparse.Namespace) -> list[str]:
    policy, openings, keys = _trusted(options)
    governance = verify_log(options.governance, policy.logs, policy, options.jobs)
    shards = [(folder, verify_log(folder, keys, policy, options.jobs)) for folder in options.shard]
    lines = verify_shards(governance, openings, shards)
    logs = {log.checkpoint.origin: log for log in (governance, *(log for _, log in shards))}
    for path in sorted(options.seen.iterdir()) if options.seen else ():
        # its key is of the policy or of an opening, so that its log is one of these
        older = open_checkpoint(path.read_bytes(), keys, list(policy.witnesses.values()))
        if older.origin not in logs:
            raise TamperedError(f"a checkpoint of `{older.origin}` was seen, but the log is not here")
        verify_extends(logs[older.origin], older)
    return lines + [f"{name}: {_witnessed(log)}" for name, log in logs.items() if options.cosigned]


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="verify.py", description=(__doc__ or "").split("\n\n")[0])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.add_argument("--policy", type=Path, required=True, help="the trust policy (C2SP tlog-policy)")
        made.add_argument("--openings", type=Path, help="folder of disclosed entries that open and close shards")
        made.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes that read a long log")
        made.set_defaults(run=run)
        return made

    receipt = command("receipt", _receipt, "Check a receipt, and that it is about a request and an answer.")
    receipt.add_argument("receipt", type=Path)
    receipt.add_argument("--request", type=Path, help="the V2 request as JSON")
    receipt.add_argument("--answer", type=Path, help="the V2 answer as JSON")
    receipt.add_argument("--row", type=int, default=0, help="which row of the request (default 0)")
    receipt.add_argument("--cosigned", action="store_true", help="refuse unless the witnesses' quorum is there")
    (log := command("log", _log, "Check every entry of a log folder.")).add_argument("folder", type=Path)
    log.add_argument("--cosigned", action="store_true", help="refuse unless the witnesses' quorum is there")
    consistency = command("consistency", _consistency, "Check that a log extends an older checkpoint of it.")
    consistency.add_argument("older", type=Path, help="the older checkpoint")
    consistency.add_argument("newer", type=Path, help="the log folder, or with --proof the newer checkpoint")
    consistency.add_argument("--proof", type=Path, help="a consistency proof, one base64 hash a line")
    shards = command("shards", _shards, "Check that shards and the governance log account for each other.")
    shards.add_argument("governance", type=Path, help="folder of the governance log")
    shards.add_argument("shard", type=Path, nargs="*", help="folders of the shards")
    shards.add_argument("--seen", type=Path, help="folder of checkpoints seen earlier, which the logs must extend")
    shards.add_argument("--cosigned", action="store_true", help="refuse unless witnesses cosigned each log")
    options = parser.parse_args(arguments)
    try:
        lines, code = options.run(options), 0
    except TamperedError as error:
        lines, code = [f"NOT VERIFIED: {error}"], 4
    except (OSError, ValueError) as error:
        lines, code = [f"cannot read: {error}"], 2
    for line in lines:  # names in it are others': spelled out, a control character neither breaks a line nor paints one
        print("".join(c if c.isprintable() else ascii(c)[1:-1] for c in line), file=sys.stderr if code else sys.stdout)
    return code


if __name__ == "__main__":
    sys.exit(main())
