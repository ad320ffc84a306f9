"""Runs the offline verifier on vectors, and beside it the implementation that serves: two readers of one format."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from strongroom import verify
from strongroom.encoding import canonical, parse_as
from strongroom.errors import InvalidInputError, NotFoundError, TamperedError
from strongroom.ledger.checkpoint import Checkpoint
from strongroom.ledger.entries import CloseEntry
from strongroom.ledger.leaf import Leaf
from strongroom.ledger.note import Note, VerifierKey
from strongroom.ledger.proof import LogProof, strict_base64, verify_proof
from strongroom.ledger.tiles import TileTree
from strongroom.ledger.tree import MemoryTree, leaf_hash, verify_consistency
from strongroom.ledger.trust import NONE, TrustPolicy, read_trust
from strongroom.sealing.records import open_plain
from strongroom.serving.opening import DisclosedEntry, check_opening
from strongroom.serving.receipt import verify_receipt


@contextmanager
def remembered_signatures(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each Ed25519 question is asked once: thousands of changed files share their signatures."""
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

    with monkeypatch.context() as patched:
        patched.setattr(verify, "verify_ed25519", remembered)
        yield


def write(folder: Path, files: dict[str, str]) -> Path:
    """A folder as a vector describes it."""
    for path, data in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(base64.b64decode(data))
    folder.mkdir(exist_ok=True)
    return folder


class Offline:
    """`verify.py`."""

    error = verify.TamperedError

    def __init__(self, document: dict[str, Any]) -> None:
        self.policy = verify.read_policy(document["policy"].encode())
        self.openings = [self.disclosed(one) for one in document.get("openings", {}).values()]
        self.keys = self.policy.logs + [verify.shard_key(one) for one in self.openings if one.leaf["type"] == "open"]
        self.witnesses = list(self.policy.witnesses.values())

    def disclosed(self, text: str) -> verify.Disclosed:
        return verify.read_disclosed(text.encode(), self.policy)

    def receipt(self, case: dict[str, Any]) -> tuple[Any, ...]:
        receipt = verify.verify_receipt(case["receipt"].encode(), self.policy, self.openings)
        if case.get("cosigned") and not receipt.cosigned:
            raise verify.TamperedError("not cosigned")
        return receipt.document, receipt.leaf, receipt.checkpoint.origin, receipt.checkpoint.size

    def messages(self, case: dict[str, Any]) -> None:
        receipt = verify.verify_receipt(case["receipt"].encode(), self.policy, self.openings)
        verify.verify_messages(receipt, case.get("request"), case.get("answer"), case.get("row", 0))

    def opening(self, text: str) -> dict[str, Any]:
        entry = self.disclosed(text)
        if entry.leaf["type"] == "open":
            verify.shard_key(entry)
        return entry.document

    def consistency(self, case: dict[str, Any]) -> None:
        older, newer = (
            verify.open_checkpoint(case[name].encode(), self.keys, self.witnesses) for name in ("older", "newer")
        )
        if older.origin != newer.origin:
            raise verify.TamperedError("other logs")
        path = [verify._base64(line) for line in case["proof"]]
        verify.verify_consistency(older.size, older.root, newer.size, newer.root, path)


class Serving:
    """The implementation in the rooms, on `cryptography`."""

    error = TamperedError

    def __init__(self, document: dict[str, Any]) -> None:
        self.policy = read_trust(document["policy"].encode())
        (self.governance,) = self.policy.logs.values()
        self.keys = {self.governance.name: self.governance}
        for one in document.get("openings", {}).values():
            entry = self.opening(one)
            if "vkey" in entry:
                self.keys[entry["origin"]] = VerifierKey.parse(entry["vkey"])

    def accept(self, note: bytes, quorum: bool = False) -> Checkpoint:
        origin = note.split(b"\n", 1)[0].decode("utf-8", "replace")
        if origin not in self.keys:
            raise TamperedError("nobody opened this log")
        policy = self.policy
        lenient = TrustPolicy(policy.logs, policy.witnesses, policy.groups, NONE)
        return (policy if quorum else lenient).accept(note, self.keys[origin])[0]

    def receipt(self, case: dict[str, Any]) -> tuple[Any, ...]:
        data = case["receipt"].encode()
        try:
            proof = LogProof.parse(json.loads(data)["proof"])
        except (ValueError, TypeError, KeyError, InvalidInputError) as error:
            raise TamperedError("no proof") from error
        self.accept(proof.checkpoint, bool(case.get("cosigned")))
        origin = Checkpoint.parse(Note.parse(proof.checkpoint).text).origin
        answer, leaf, checkpoint = verify_receipt(data, self.keys[origin])
        document = json.loads(base64.b64decode(json.loads(data)["document"]))
        assert document["decision_id"] == answer.decision_id
        return document, json.loads(leaf.encode()), checkpoint.origin, checkpoint.size

    def opening(self, text: str) -> dict[str, Any]:
        try:
            entry = parse_as(text.encode(), DisclosedEntry)
            leaf = Leaf.decode(entry.leaf)
            document = open_plain(entry.payload, leaf.payload_sha256)
            fields = json.loads(document)
            if leaf.type == "open":
                check_opening(text.encode(), VerifierKey.parse(fields["vkey"]), self.governance)
            else:
                verify_proof(entry.proof, entry.leaf, self.governance)
                if canonical(entry) != text.encode() or leaf.type != "close":
                    raise TamperedError("no closing")
                CloseEntry.decode(document)
        except (InvalidInputError, ValueError, KeyError, TypeError) as error:
            raise TamperedError("not a disclosed entry") from error
        return fields  # type: ignore[no-any-return]  # JSON

    def log(self, files: dict[str, str], cosigned: bool) -> int:
        """Size of a folder that holds: entries and tiles against each other, the root against the checkpoint."""
        stored = {path: base64.b64decode(data) for path, data in files.items()}
        try:
            kept = stored.get("checkpoint.cosigned")
            checkpoint = self.accept(stored.get("checkpoint", b""), cosigned and kept is None)
            tree, computed = TileTree(checkpoint.size, stored.get), MemoryTree()
            for index in range(checkpoint.size):
                leaf = tree.leaf(index)
                Leaf.decode(leaf)
                computed.append(leaf_hash(leaf))
            if computed.root() != checkpoint.root:
                raise TamperedError("another root")
            if kept is not None:
                older = self.accept(kept, cosigned)
                if older.size > checkpoint.size or computed_root(computed, older.size) != older.root:
                    raise TamperedError("cosigned in another history")
        except (InvalidInputError, NotFoundError) as error:
            raise TamperedError("not a log") from error
        return checkpoint.size

    def consistency(self, case: dict[str, Any]) -> None:
        try:
            older, newer = (self.accept(case[name].encode()) for name in ("older", "newer"))
            path = [strict_base64(line) for line in case["proof"]]
            if older.origin != newer.origin:
                raise TamperedError("other logs")
            verify_consistency(older.size, newer.size, older.root, newer.root, path)
        except InvalidInputError as error:
            raise TamperedError("no proof") from error


def computed_root(tree: MemoryTree, size: int) -> bytes:
    again = MemoryTree()
    for index in range(size):
        again.append(tree.node(0, index))
    return again.root()
