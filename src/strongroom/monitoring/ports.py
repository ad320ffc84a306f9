"""What monitoring needs from outside: past decisions, a shelf for outcomes, the door."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from strongroom.monitoring.outcomes import Decided, Outcome, Realised
from strongroom.monitoring.trials import Trial
from strongroom.office.acts import Act, EntryRef
from strongroom.office.ports import Notes
from strongroom.vocabulary import Digest


class DecisionReader(Protocol):
    """Reads decisions from the ledger; a projection can always be made again."""

    def decided(self, model: str, release: Digest | None = None) -> Iterator[Decided]:
        """Answered decisions of a model that can still be opened, in the order of the log.

        Raises:
            TamperedError: a record is not what its leaf says.
            UnavailableError: ledger or keys cannot be reached.
        """


class TrialReader(Protocol):
    """Reads from the ledger what every version of a model made of the rows it was asked about."""

    def trials(self, model: str) -> Iterator[Trial]:
        """Answers, shadows and failures that can still be opened, in the order of the logs.

        Raises:
            TamperedError: a record is not what its leaf says.
            UnavailableError: ledger or keys cannot be reached.
        """


class Outcomes(Protocol):
    """Outcomes on the shelf. Part of the books: what is put here commits with the act."""

    def add(self, model: str, outcomes: Sequence[Outcome]) -> None:
        """Enter outcomes; the same again changes nothing.

        Raises:
            ConflictError: a decision has another outcome already.
        """

    def of_model(self, model: str) -> Sequence[Outcome]:
        """All of them, by decision id."""

    def add_realised(self, model: str, amounts: Sequence[Realised]) -> None:
        """Enter realised amounts; the same again changes nothing.

        Raises:
            ConflictError: a decision has another amount already.
        """

    def realised_of(self, model: str) -> Sequence[Realised]:
        """All amounts, by decision id."""

    def forget(self, decision_ids: Sequence[str]) -> int:
        """Delete outcomes and amounts, for retention or with an erased subject; returns how many there were."""


class MonitoringBooks(Notes, Protocol):
    """What the books of an act must offer to this room."""

    @property
    def outcomes(self) -> Outcomes: ...

    @property
    def receipt(self) -> EntryRef: ...


M_co = TypeVar("M_co", bound=MonitoringBooks, covariant=True)


class Door(Protocol[M_co]):
    """The office's door."""

    def open(self, act: Act) -> AbstractContextManager[M_co]: ...
