"""The name of a log: `org/room/region/node/slot/generation` (format 10)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from strongroom.errors import InvalidInputError

PART_LIMIT = 63
_PART = re.compile(r"[a-z0-9]+(?:[.-][a-z0-9]+)*")
_GENERATION = re.compile(r"[1-9][0-9]{0,8}")
_PARTS = ("org", "room", "region", "node", "slot")


@dataclass(frozen=True, slots=True)
class Origin:
    """Which log. A restored backup or a new key never continues a log: it opens the next generation.

    Attributes:
        org: of the organisation, for example `bank.example`.
        room: of the strongroom, for example `credit`.
        region: where keys and records stay.
        node: the machine; the control plane's node for the governance log.
        slot: the worker, for example `0`, or `governance`.
        generation: from 1.
    """

    org: str
    room: str
    region: str
    node: str
    slot: str
    generation: int

    def __post_init__(self) -> None:
        for name in _PARTS:
            part = getattr(self, name)
            if len(part) > PART_LIMIT or not _PART.fullmatch(part):
                raise InvalidInputError(
                    f"the {name} of an origin has lower-case letters and digits with single dots or hyphens between "
                    f"them, at most {PART_LIMIT}",
                    field=name,
                    rule="origin",
                )
        if not 1 <= self.generation < 10**9:
            raise InvalidInputError("the generation of an origin counts from 1", field="generation", rule="origin")

    def __str__(self) -> str:
        return "/".join((self.org, self.room, self.region, self.node, self.slot, str(self.generation)))

    @classmethod
    def parse(cls, text: str) -> Origin:
        """Read an origin.

        Raises:
            InvalidInputError: it has another form.
        """
        parts = text.split("/")
        if len(parts) != 6 or not _GENERATION.fullmatch(parts[5]):
            raise InvalidInputError("an origin is org/room/region/node/slot/generation", rule="origin")
        org, room, region, node, slot, generation = parts
        return cls(org, room, region, node, slot, int(generation))

    def next(self) -> Origin:
        """The same place, one generation later."""
        return replace(self, generation=self.generation + 1)
