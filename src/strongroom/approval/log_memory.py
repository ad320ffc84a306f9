"""What a person's own machine keeps of the governance log, so that it reads every entry once and not each time.

Kept are the head up to which every leaf was hashed and every entry opened, the right edge of the tree there, and what
the entries said of versions. The next reading goes on from the edge: the new leaves must lead from it to the signed
root, and so behind the same first leaves as before. It is signed by the person's own key; whoever else writes it makes
the machine read the whole log again, and nothing more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final, Literal, NamedTuple, Protocol

import msgspec

from strongroom.approval.inheritance import LOGGED, Known, known_of_log
from strongroom.approval.signing import LogRead
from strongroom.approval.statements import GovernanceSeen
from strongroom.encoding import canonical, parse_as
from strongroom.errors import InvalidInputError, RefusedError, TamperedError
from strongroom.ledger.tree import Frontier
from strongroom.office.entries import Entry
from strongroom.sealing.dsse import open_envelope, sign_envelope
from strongroom.sealing.keys import PublicKey, Signer

MEMORY_TYPE: Final = "application/vnd.strongroom.log-memory.v1+json"
LIMIT_BYTES: Final = 64 * 1024 * 1024


class Proven(NamedTuple):
    """What a reading of the governance log proved.

    Attributes:
        head: the signed head that every leaf led to.
        entries: of the verbs that were asked for, oldest first; behind the edge that the reading went on from.
        edge: of the tree at the head.
    """

    head: GovernanceSeen
    entries: Sequence[Entry]
    edge: Frontier


class ProvenLog(Protocol):
    """The governance log, read without believing it."""

    def proven(
        self, verbs: Collection[str], since: Sequence[GovernanceSeen] = (), edge: Frontier | None = None
    ) -> Proven: ...


class LogMemory(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One log as one person's machine read it.

    Attributes:
        head: up to which it was read.
        edge: of the tree there (`ledger.tree.Frontier.encode`), hexadecimal.
        versions: what its entries say of versions and their findings.
    """

    v: Literal[1]
    head: GovernanceSeen
    edge: str
    versions: tuple[Known, ...]

    def __post_init__(self) -> None:
        if self.frontier().root().hex() != self.head.root:
            raise InvalidInputError("the edge is not of the tree at the head", field="edge", rule="root")

    def frontier(self) -> Frontier:
        """The edge, ready to grow."""
        try:
            return Frontier.decode(bytes.fromhex(self.edge), self.head.size)
        except ValueError as error:
            raise InvalidInputError("the edge is not hexadecimal", field="edge", rule="hex") from error

    def sign(self, signer: Signer) -> bytes:
        """As it is kept."""
        return sign_envelope(canonical(self), signer, payload_type=MEMORY_TYPE)

    @classmethod
    def open(cls, kept: bytes, key: PublicKey) -> LogMemory | None:
        """What this very key signed; None for anything else."""
        try:
            payload = open_envelope(kept, {key.key_id: key}, payload_type=MEMORY_TYPE).payload
            return parse_as(payload, cls, LIMIT_BYTES)
        except (RefusedError, TamperedError):
            return None


def read_on(log: ProvenLog, before: GovernanceSeen | None, memory: LogMemory | None) -> tuple[LogRead, LogMemory]:
    """Read the log from where this machine stopped, or the whole of it.

    Args:
        log: of the room.
        before: the newest head that this person saw; the log must go on from it.
        memory: as `LogMemory.open` gave it.

    Returns:
        All that the log says of versions, and what to keep.

    Raises:
        TamperedError: see `ShardGovernanceLog.proven` and `known_of_log`.
    """
    if memory is not None and (before is None or memory.head.origin != before.origin or memory.head.size > before.size):
        memory = None
    since = [one for one in (before, None if memory is None else memory.head) if one is not None]
    known: Iterable[Known] = () if memory is None else memory.versions
    read = log.proven(LOGGED, since, None if memory is None else memory.frontier())
    versions = known_of_log(read.entries, known)
    kept = LogMemory(v=1, head=read.head, edge=read.edge.encode().hex(), versions=versions)
    return LogRead(read.head, versions), kept
