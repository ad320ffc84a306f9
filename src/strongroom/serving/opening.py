"""A shard may answer only after the governance log has opened it, and everyone can see that it did."""

from __future__ import annotations

import msgspec

from strongroom.encoding import canonical, parse_as
from strongroom.errors import InvalidInputError, TamperedError
from strongroom.ledger.entries import OpenEntry
from strongroom.ledger.leaf import PLAIN, Leaf
from strongroom.ledger.note import VerifierKey
from strongroom.ledger.proof import verify_proof
from strongroom.sealing.records import open_plain

DISCLOSED_LIMIT = 256 * 1024


class DisclosedEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A plain governance entry with its inclusion proof, as the control plane discloses it."""

    leaf: bytes
    payload: bytes
    proof: str


def check_opening(disclosed: bytes, shard: VerifierKey, governance: VerifierKey) -> OpenEntry:
    """Demand that the governance log opened exactly this shard.

    1. the disclosure is canonical
    2. its leaf is in the governance log, under the key of this node's trust policy
    3. the payload is the leaf's, plain, and an opening entry
    4. the entry names this shard's origin and key

    Raises:
        TamperedError: any of these fails; the shard must not give an answer.
    """
    try:
        entry = parse_as(disclosed, DisclosedEntry, DISCLOSED_LIMIT)
        if canonical(entry) != disclosed:
            raise InvalidInputError("base64 that is not in canonical form", rule="base64")
        verify_proof(entry.proof, entry.leaf, governance)
        leaf = Leaf.decode(entry.leaf)
        opening = OpenEntry.decode(open_plain(entry.payload, leaf.payload_sha256))
    except InvalidInputError as error:
        raise TamperedError(f"the disclosed opening of `{shard.name}` does not read: {error.message}") from error
    if (leaf.type, leaf.key_id) != ("open", PLAIN) or opening.verifier() != shard:
        raise TamperedError(f"the governance log has not opened `{shard.name}` with the key that this node holds")
    return opening
