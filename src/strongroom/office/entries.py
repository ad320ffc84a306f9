"""What the governance log says of an act: one canonical document per act or refusal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from strongroom.access.verbs import VERBS, Verb
from strongroom.encoding import canonical, parse_as
from strongroom.errors import InvalidInputError, StrongroomError, TooLargeError
from strongroom.ledger.entries import CloseEntry, OpenEntry
from strongroom.office.acts import Act, Scalar
from strongroom.vocabulary import micros

ENTRY_LIMIT_BYTES = 64 * 1024
REASON_LIMIT = 2_000
DETAILS_LIMIT = 16
REQUEST = "request"
UNEXPECTED = "the act failed inside; its state is unchanged and the details stand in the operator's log"


class On(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the act was done to."""

    kind: str
    id: str


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Version 1 of the entry document (docs/spec/12-governance-entry.md).

    Attributes:
        type: kind of the leaf.
        act_id: 128 random bits, 32 hexadecimal digits; the leaf carries it as its decision id.
        who: name in the people register or of a grant.
        verb: one of `access.verbs`, or the unknown word that was asked for.
        at_us: time of the act as the control plane's clock had it.
        outcome: `done` or `refused`.
        code: of the refusal, empty when done.
        reason: of the refusal, in words, empty when done.
        facts: what the rule noted (digests, counts), or the refusal's details. Never data of applicants. `request` is
            the digest of the person's signed request, which lies among the room's blobs.
    """

    v: Literal[1] = 1
    type: Literal["act", "refusal", "open", "close", "alert", "erasure"]
    act_id: str
    who: str
    verb: str
    on: On
    at_us: int
    outcome: Literal["done", "refused"]
    code: str
    reason: str
    facts: dict[str, Any]

    def encode(self) -> bytes:
        """Canonical bytes (format 1)."""
        return canonical(self)

    @staticmethod
    def decode(data: bytes) -> Entry:
        """Read an entry.

        Raises:
            InvalidInputError: not canonical or not an entry.
            TooLargeError: more than 64 KiB.
        """
        return parse_as(data, Entry, ENTRY_LIMIT_BYTES)


def done(act_id: str, act: Act, facts: Mapping[str, Scalar]) -> Entry:
    """The entry of an act that took place.

    What the log could not take is refused here, while the act can still be undone.

    Raises:
        TooLargeError: the facts take more than 64 KiB.
        InvalidInputError: the facts of an opening or closing are not those of format 10.
    """
    entry = Entry(
        type=VERBS[Verb(act.verb)].entry,
        act_id=act_id,
        who=act.who.id,
        verb=act.verb,
        on=On(kind=act.on.kind, id=act.on.id),
        at_us=micros(act.at),
        outcome="done",
        code="",
        reason="",
        facts=_with_request(act, facts),
    )
    if len(entry.encode()) > ENTRY_LIMIT_BYTES:
        raise TooLargeError(f"the facts of `{act.verb}` take more than {ENTRY_LIMIT_BYTES} bytes", rule="size")
    public_part(entry)
    return entry


def public_part(entry: Entry) -> bytes | None:
    """What anyone may read of an entry: the opening or closing of a log as format 10 has it, else nothing.

    Raises:
        InvalidInputError: the facts do not make such a document.
    """
    if entry.type not in ("open", "close"):
        return None
    kind = OpenEntry if entry.type == "open" else CloseEntry
    public = {name: value for name, value in entry.facts.items() if name != REQUEST}
    try:
        return kind.decode(canonical({**public, "type": entry.type, "v": 1})).encode()
    except InvalidInputError as error:
        raise InvalidInputError(
            f"`{entry.verb}` needs the facts of an {entry.type} entry of format 10: {error.message}", rule="entry"
        ) from error


def refused(act_id: str, act: Act, error: BaseException) -> Entry:
    """The entry of an act that did not take place, and why.

    The text of an unexpected error stays out: it may quote anything.
    """
    if isinstance(error, StrongroomError):
        code, reason, facts = error.code, _text(error.message, REASON_LIMIT), _plain(error.details)
    else:
        code, reason, facts = "error", UNEXPECTED, {}
    return Entry(
        type="refusal",
        act_id=act_id,
        who=act.who.id,
        verb=_text(act.verb, 64),
        on=On(kind=_text(act.on.kind, 64), id=_text(act.on.id, 256)),
        at_us=micros(act.at),
        outcome="refused",
        code=code,
        reason=reason,
        facts=_with_request(act, facts),
    )


def _with_request(act: Act, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The door's own fact outranks what a rule might have noted under that name."""
    return {**facts, **({REQUEST: act.who.request} if act.who.request is not None else {})}


def _plain(details: Mapping[str, str | int]) -> dict[str, Any]:
    # an integer beyond 2**53 cannot stand in a signed document, and a refusal must never fail to be written
    return {
        name: _text(value, REASON_LIMIT) if isinstance(value, str) else value if abs(value) < 2**53 else str(value)
        for name, value in list(details.items())[:DETAILS_LIMIT]
        if name.isascii()
    }


def _text(text: str, limit: int) -> str:
    # a file name that is not UTF-8 comes as lone surrogates, which no document can hold
    return text[:limit].encode("utf-8", "replace").decode("utf-8")
