"""What the registry needs from outside: its two books, and the door to them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from strongroom.office.acts import Act
from strongroom.office.ports import Notes
from strongroom.registry.versions import PointerChange, Version
from strongroom.vocabulary import ModelRef

B_co = TypeVar("B_co", covariant=True)


class Versions(Protocol):
    """The inventory. Part of one transaction: what is put here commits with the act."""

    def add(self, version: Version) -> None:
        """Enter a new version.

        Raises:
            ConflictError: it is there already; content is never replaced.
        """

    def save(self, version: Version) -> None:
        """Store a new state, sample, evidence or wrapped key of a known version.

        Raises:
            NotFoundError: it was never added.
            ConflictError: author, time, contract, bundle, manifest or container differ from what was added.
        """

    def get(self, ref: ModelRef) -> Version:
        """Raises NotFoundError."""

    def of_model(self, name: str) -> Sequence[Version]:
        """All versions of a model by submission, oldest first; empty when the model is unknown."""

    def models(self) -> Sequence[str]:
        """Names of all models, ascending."""


class Pointers(Protocol):
    """What was live when. Rows are only ever added."""

    def add(self, change: PointerChange) -> None:
        """Raises ConflictError unless `sequence` is the model's last plus one, from 1, and `at` not before the last."""

    def history(self, name: str) -> Sequence[PointerChange]:
        """Of one model, ascending by sequence."""


class RegistryBooks(Notes, Protocol):
    """What the books of an act must offer to this room."""

    @property
    def versions(self) -> Versions: ...

    @property
    def pointers(self) -> Pointers: ...


class Door(Protocol[B_co]):
    """The one door (`office.door.Office`): no act, no books."""

    def open(self, act: Act) -> AbstractContextManager[B_co]: ...

    def prepare(self, act: Act) -> AbstractContextManager[B_co]:
        """To look, before long work outside; nothing is kept."""
