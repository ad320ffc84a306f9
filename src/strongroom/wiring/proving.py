"""For auditors: decisions computed again, receipts and letters of past ones, entries of the log. On the record."""

from __future__ import annotations

from collections.abc import Sequence

from strongroom.errors import InvalidInputError, NotFoundError
from strongroom.office.acts import Act, Resource
from strongroom.office.ports import LoggedEntry
from strongroom.serving.letter import Letter, write_letter
from strongroom.serving.receipt import LEAF_TYPES, make_receipt
from strongroom.serving.replay import Replayed
from strongroom.wiring.person import AtDesk
from strongroom.wiring.records import NodeRecords


def replay(desk: AtDesk, node: NodeRecords, decision_ids: Sequence[str], batch_rows: int = 1) -> list[Replayed]:
    """Compute decisions again and demand the same bits; one entry for all of them.

    Raises:
        ErasedError: a subject's key is destroyed.
        TamperedError: a bit differs.
        NotFoundError: no log of the node has one of them.
    """
    room, name = desk.room, node.settings.node
    who = desk.ask("replay", "Log", name)
    with room.office.open(Act(who, "replay", Resource("Log", name), room.clock())) as books:
        books.note(decisions=len(decision_ids), batch_rows=batch_rows, first=decision_ids[0] if decision_ids else "")
        return [node.replay(decision_id, batch_rows) for decision_id in decision_ids]


def receipt(desk: AtDesk, node: NodeRecords, decision_id: str) -> bytes:
    """The receipt of a past decision under the newest published checkpoint, with its cosignatures.

    Raises:
        ErasedError: the subject's key is destroyed; the leaf stays provable, the answer does not.
        InvalidInputError: the record is a shadow's, which nobody was told.
    """
    room, name = desk.room, node.settings.node
    who = desk.ask("verify", "Log", name)
    with room.office.open(Act(who, "verify", Resource("Log", name), room.clock())) as books:
        books.note(decision=decision_id)
        decision = node.decision(decision_id)
        if decision.leaf.type not in LEAF_TYPES.values():
            raise InvalidInputError("this record is a shadow: it was no answer, so it has no receipt", rule="shadow")
        stored, note, path = node.receipt_parts(decision_id)
        return make_receipt(stored.leaf, decision.record.salt, decision.record.answer, stored.place, path, note)


def letter(desk: AtDesk, node: NodeRecords, decision_id: str, language: str) -> Letter:
    """The letter that tells the reasons of a past decision, in the texts of its release; entered in the log.

    Raises:
        ErasedError: the subject's key is destroyed.
        InvalidInputError: see `write_letter`.
        NotFoundError: no log of the node has it, or it reached no release.
    """
    room, name = desk.room, node.settings.node
    who = desk.ask("verify", "Log", name)
    with room.office.open(Act(who, "verify", Resource("Log", name), room.clock())) as books:
        books.note(decision=decision_id, letter=language[:40])
        decision = node.decision(decision_id)
        release = None if decision.leaf.release is None else node.releases().get(decision.leaf.release)
        if release is None:
            raise NotFoundError(f"decision {decision_id} reached no release that this node knows: it has no letter")
        return write_letter(decision.answer, release, language)


def entries(desk: AtDesk, limit: int = 50) -> list[LoggedEntry]:
    """The latest entries of the governance log, decrypted, oldest first; reading them is on the record."""
    room = desk.room
    who = desk.ask("history", "Room", room.settings.room)
    with room.office.open(Act(who, "history", Resource("Room", room.settings.room), room.clock())):
        return list(room.log.entries())[-limit:]
