"""Retention: which payloads may go, which must stay, and the signed proof of what was dropped.

Whole segments go, from the oldest on, so that what is kept stays in one piece. Leaves and tree stay for ever: every
receipt verifies as before, and a reader says `retention`, not `tampered`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from strongroom.encoding import canonical, parse_as
from strongroom.errors import ConflictError, InvalidInputError, NotFoundError, TamperedError
from strongroom.ledger.leaf import Leaf
from strongroom.sealing.dsse import open_envelope, sign_envelope
from strongroom.sealing.keys import PublicKey, Signer
from strongroom.vocabulary import Digest, KeyId, parse_digest, parse_name

PROOF_TYPE: Final = "application/vnd.strongroom.retention-proof.v1+json"
PROOF_LIMIT_BYTES: Final = 1024 * 1024
FOREVER_US: Final = 2**53 - 1
REASON_LIMIT: Final = 500


class Hold(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Records that must stay whatever their term, for a court or a supervisor. An entry of the governance log.

    Attributes:
        name: how people speak of it; never used twice.
        since_us, until_us: decisions of this time, both ends included.
        model: of one model only; None for all.
        reason: in words.
    """

    name: str
    since_us: int
    until_us: int
    model: str | None
    reason: str

    def __post_init__(self) -> None:
        parse_name(self.name, "hold")
        if self.model is not None:
            parse_name(self.model, "model")
        if not 0 <= self.since_us <= self.until_us <= FOREVER_US:
            raise InvalidInputError("a hold begins before it ends", field="until", rule="time")
        check_reason(self.reason)


def check_reason(reason: str) -> None:
    """Raises InvalidInputError where there is none, or a long one."""
    if not reason.strip() or len(reason) > REASON_LIMIT or not reason.isprintable():
        raise InvalidInputError(f"a reason has 1 to {REASON_LIMIT} characters in one line", field="reason")


def hold_facts(hold: Hold) -> dict[str, str | int]:
    """A hold as facts of an entry; a model that is not named is left out."""
    return {name: value for name, value in msgspec.to_builtins(hold).items() if value is not None}


def read_holds(acts: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, Hold]:
    """The holds in force, by name.

    Args:
        acts: verb and facts of every act of the governance log that took place, oldest first.

    Raises:
        TamperedError: an entry is not one that this house writes.
    """
    holds: dict[str, Hold] = {}
    for verb, facts in acts:
        if verb == "hold":
            try:
                hold = msgspec.convert({"model": None, **{k: v for k, v in facts.items() if k in _HOLD_FIELDS}}, Hold)
            except (msgspec.ValidationError, InvalidInputError) as error:
                raise TamperedError("the governance log has a hold that cannot be read") from error
            holds[hold.name] = hold
        elif verb == "lift-hold":
            holds.pop(str(facts.get("name")), None)
    return holds


_HOLD_FIELDS: Final = frozenset(Hold.__struct_fields__)


def new_hold(hold: Hold, used: Iterable[str]) -> Hold:
    """Raises ConflictError: the name was used before, so that lifting one could be read as lifting the other."""
    if hold.name in used:
        raise ConflictError(f"hold `{hold.name}` was entered before; use another name", field="name")
    return hold


def lifted_hold(name: str, holds: Mapping[str, Hold]) -> Hold:
    """Raises NotFoundError: no such hold is in force."""
    if name not in holds:
        raise NotFoundError(f"no hold `{name}` is in force")
    return holds[name]


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment that is full, as retention sees it.

    Attributes:
        first, end: its leaves, the end not included.
        size_bytes, sha256: of the file as it is.
        leaves: its leaves.
    """

    first: int
    end: int
    size_bytes: int
    sha256: Digest
    leaves: Sequence[Leaf]


@dataclass(frozen=True, slots=True)
class Dropping:
    """What may go now, and why nothing more.

    Attributes:
        segments: from the oldest on; empty when nothing may go.
        stopped_by: why the next one stays; empty when there is none.
    """

    segments: tuple[Segment, ...]
    stopped_by: str


def droppable(
    segments: Iterable[Segment], below: int, now_us: int, holds: Iterable[Hold], models: Mapping[Digest, str]
) -> Dropping:
    """The oldest segments whose every record is past its term, fixed by witnesses, and under no hold.

    Args:
        segments: full ones, oldest first; the one that is being written is not among them.
        below: size of the tree that witnesses have cosigned (or that is published, where there are none).
        now_us: the time.
        holds: in force.
        models: model of each release that is known. A hold on a model also keeps records of releases that are not.
    """
    held = list(holds)
    going: list[Segment] = []
    for segment in segments:
        why = _stays(segment, below, now_us, held, models)
        if why:
            return Dropping(tuple(going), why)
        going.append(segment)
    return Dropping(tuple(going), "")


def _stays(segment: Segment, below: int, now_us: int, holds: list[Hold], models: Mapping[Digest, str]) -> str:
    if segment.end > below:
        return f"entries from {below} on are not cosigned yet"
    for place, leaf in enumerate(segment.leaves, segment.first):
        if leaf.retain_until_us > now_us:
            return f"entry {place} has not reached its term"
        for hold in holds:
            if not hold.since_us <= leaf.time_us <= hold.until_us:
                continue
            model = None if leaf.release is None else models.get(leaf.release)
            if hold.model is None or model is None or model == hold.model:
                return f"entry {place} is under hold `{hold.name}`"
    return ""


class DroppedSegment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One segment that is gone."""

    first: int
    end: int
    size_bytes: int
    sha256: str


class RetentionProof(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Version 1 of the proof of what retention dropped (docs/spec/10-log.md).

    Attributes:
        origin: of the log.
        first, end: payloads of these leaves are gone, the end not included.
        checkpoint: the signed note under which the leaves stay provable.
        segments: what was deleted.
        latest_term_us: the latest term of any of its records.
        holds: names of the holds in force, none of which covered it.
        reason, requested_by, at_us: why, who, when.
    """

    v: Literal[1] = 1
    origin: str
    first: int
    end: int
    checkpoint: str
    segments: tuple[DroppedSegment, ...]
    latest_term_us: int
    holds: tuple[str, ...]
    reason: str
    requested_by: str
    at_us: int

    def __post_init__(self) -> None:
        at = self.first
        for segment in self.segments:
            parse_digest(segment.sha256)
            if segment.first != at or segment.end <= at:
                raise InvalidInputError("the segments of a retention proof leave no gap", rule="segments")
            at = segment.end
        if not self.segments or at != self.end or self.latest_term_us > self.at_us:
            raise InvalidInputError("a retention proof names what was dropped, all past its term", rule="segments")


def prove_dropped(
    dropping: Dropping, origin: str, checkpoint: bytes, holds: Iterable[str], reason: str, who: str, at_us: int
) -> RetentionProof:
    """The proof of one dropping, to be signed.

    Raises:
        ConflictError: nothing may go.
    """
    check_reason(reason)
    if not dropping.segments:
        raise ConflictError(f"nothing of `{origin}` may be dropped: {dropping.stopped_by or 'no segment is full'}")
    segments = dropping.segments
    return RetentionProof(
        origin=origin,
        first=segments[0].first,
        end=segments[-1].end,
        checkpoint=checkpoint.decode(),
        segments=tuple(
            DroppedSegment(first=one.first, end=one.end, size_bytes=one.size_bytes, sha256=one.sha256)
            for one in segments
        ),
        latest_term_us=max(leaf.retain_until_us for one in segments for leaf in one.leaves),
        holds=tuple(sorted(holds)),
        reason=reason,
        requested_by=who,
        at_us=at_us,
    )


def sign_proof(proof: RetentionProof, signer: Signer) -> bytes:
    """In a DSSE envelope, by the control plane's service key; the request is the person's own signature."""
    return sign_envelope(canonical(proof), signer, payload_type=PROOF_TYPE)


def open_proof(envelope: bytes, keys: Mapping[KeyId, PublicKey]) -> RetentionProof:
    """Verify and read a proof.

    Raises:
        TamperedError: not signed by one of `keys`, or not a retention proof.
    """
    opened = open_envelope(envelope, keys, payload_type=PROOF_TYPE)
    try:
        return parse_as(opened.payload, RetentionProof, PROOF_LIMIT_BYTES)
    except InvalidInputError as error:
        raise TamperedError(f"a signed document is not a retention proof: {error.message}") from error
