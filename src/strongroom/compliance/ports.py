"""What compliance needs from outside: stores that can forget, a shelf for requests, the door."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from strongroom.compliance.subjects import ErasureRequest
from strongroom.office.acts import Act, EntryRef
from strongroom.office.ports import Notes
from strongroom.sealing.subjects import Forgotten


class SubjectStore(Protocol):
    """Something that holds keys of data subjects and can destroy them everywhere it gave them to."""

    @property
    def name(self) -> str:
        """For the certificate; the same as `Forgotten.store`."""

    def forget(self, tag: bytes) -> Forgotten:
        """Destroy. Harmless to repeat.

        Raises:
            UnavailableError: not confirmed by all; ask again.
        """


class Erasures(Protocol):
    """Requests on the shelf. Part of the books: what is put here commits with the act."""

    def put(self, request: ErasureRequest) -> None:
        """Insert, or replace the one of the same region, tag and time."""

    def pending(self) -> Sequence[ErasureRequest]:
        """Not yet certified, oldest first."""

    def of_tag(self, region: str, tag: str) -> Sequence[ErasureRequest]:
        """All of one subject, oldest first."""


class ComplianceBooks(Notes, Protocol):
    """What the books of an act must offer to this room."""

    @property
    def erasures(self) -> Erasures: ...

    @property
    def receipt(self) -> EntryRef: ...


C_co = TypeVar("C_co", bound=ComplianceBooks, covariant=True)


class Door(Protocol[C_co]):
    """The office's door."""

    def open(self, act: Act) -> AbstractContextManager[C_co]: ...
