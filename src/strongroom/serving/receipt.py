"""A receipt: what the caller needs to prove an answer offline with public keys alone.

`{"document", "leaf", "proof", "salt", "v"}`: the answer document, the leaf and the salt as base64, the proof as
tlog-proof text (c2sp.org/tlog-proof). The leaf's commitment opens to the document with the salt; the proof leads from
the leaf to a checkpoint that the log's key has signed.
"""

from __future__ import annotations

import hmac
from typing import Literal

import msgspec

from strongroom.encoding import canonical, parse_as
from strongroom.errors import InvalidInputError, TamperedError
from strongroom.ledger.checkpoint import Checkpoint
from strongroom.ledger.leaf import Leaf, commitment
from strongroom.ledger.note import VerifierKey
from strongroom.ledger.proof import make_proof, verify_proof
from strongroom.serving.answer import Answer, read_answer

RECEIPT_LIMIT_BYTES = 4 * 1024 * 1024
LEAF_TYPES = {"answered": "decision", "refused": "refusal"}
"""By the status of the document: nobody's act, and no refusal, passes for an answer."""


class Receipt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As it travels."""

    document: bytes
    leaf: bytes
    proof: str
    salt: bytes
    v: Literal[1] = 1


def make_receipt(leaf: bytes, salt: bytes, document: bytes, index: int, path: list[bytes], checkpoint: bytes) -> bytes:
    """Canonical bytes of the receipt of one decision."""
    proof = make_proof(index, path, checkpoint)
    return canonical(Receipt(document=document, leaf=leaf, proof=proof, salt=salt))


def verify_receipt(data: bytes, log: VerifierKey) -> tuple[Answer, Leaf, Checkpoint]:
    """Check a receipt and hand back what it proves.

    1. it is canonical and has the fields of version 1
    2. the leaf is of format 2
    3. the leaf's commitment opens to the document with the salt
    4. the document is an answer, carries the leaf's decision id and release, and has the status of the leaf's type
    5. the leaf is in the tree of a checkpoint that the log signed

    Raises:
        TamperedError: any of these fails.
    """
    try:
        receipt = parse_as(data, Receipt, RECEIPT_LIMIT_BYTES)
        if canonical(receipt) != data:
            raise InvalidInputError("base64 that is not in canonical form", rule="base64")
        leaf = Leaf.decode(receipt.leaf)
        opened = commitment(receipt.salt, receipt.document)
    except InvalidInputError as error:
        raise TamperedError(f"the receipt is malformed: {error.message}") from error
    if not hmac.compare_digest(opened, leaf.commitment):
        raise TamperedError("the receipt's leaf commits to another answer document")
    answer = read_answer(receipt.document)
    if canonical(answer) != receipt.document:
        raise TamperedError("the receipt's document is not in canonical form")
    if (answer.decision_id, answer.release) != (leaf.decision_id, leaf.release):
        raise TamperedError("the receipt's document and leaf are of different decisions")
    if leaf.type != LEAF_TYPES.get(answer.status):
        raise TamperedError("the receipt's leaf is of another type than its document's status")
    _, checkpoint = verify_proof(receipt.proof, receipt.leaf, log)
    return answer, leaf, checkpoint
