"""An act: who does what to which thing, and when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from strongroom.access.principals import Principal

Scalar = str | int | bool


@dataclass(frozen=True, slots=True)
class Resource:
    """The thing acted upon, as the policies see it.

    Attributes:
        kind: a Cedar entity type of the schema: Room, Model, Case, Subject, Log, People, Grant, Node.
        id: its name.
        attributes: what policies may ask, such as `author` of a Model.
    """

    kind: str
    id: str
    attributes: Mapping[str, Scalar | frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Act:
    """One request to change state, or to see what not everyone may see."""

    who: Principal
    verb: str
    on: Resource
    at: datetime
    context: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EntryRef:
    """Where an act or refusal stands in the governance log."""

    origin: str
    index: int

    def __str__(self) -> str:
        return f"{self.origin}#{self.index}"
