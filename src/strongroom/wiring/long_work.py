"""Long work on a version: taken up while the room is ours, done while others have it, entered when it is ours again.

    with taken_up(desk, "validate", ref) as work:       the policies are asked; nobody else does the same meanwhile
        prepared = ...                                  what is needed, read from the room
        result = work.apart(lambda: ...)                the room is let go, and taken back
        ...                                             the grounds are looked at again, then it is written

Whoever is killed in between leaves a file that nobody has locked, which means nothing; anybody can take the work up at
once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn, TypeVar

from strongroom.access.principals import Principal
from strongroom.adapters.files.claim_files import HeldClaim
from strongroom.errors import StrongroomError
from strongroom.office.acts import Act, Resource
from strongroom.office.claims import LASTS, Claim
from strongroom.vocabulary import ModelRef, micros
from strongroom.wiring.control import ControlPlane
from strongroom.wiring.person import AtDesk

T = TypeVar("T")


@dataclass(slots=True)
class LongWork:
    """Work that this person has taken up.

    Attributes:
        desk: of the person.
        who: as the register has them; judged anew after each `apart`.
        claim: on the work.
    """

    desk: AtDesk
    who: Principal
    claim: HeldClaim
    verb: str
    ref: ModelRef

    def apart(self, work: Callable[[], T]) -> T:
        """Do the work while others have the room. What it must know is read from the room before.

        Raises:
            NotAuthenticatedError: the person's key does not count any more.
            ConflictError: the claim ended, or others kept the room for minutes afterwards.
            Exception: what the work raised; it is on the record then.
        """
        room = self.desk.room
        room.close()
        try:
            done = work()
        except Exception as error:
            try:
                self._back(room)
            except StrongroomError as failure:
                error.add_note(f"this failure could not be recorded in the governance log: {failure}")
                raise error from None
            self._refuse(error)
        self._back(room)
        with self.on_record():
            self.claim.check(micros(room.clock()))
        return done

    @contextmanager
    def on_record(self) -> Iterator[None]:
        """What the block raises, with the room open, is recorded as the refusal of this work."""
        try:
            yield
        except Exception as error:
            self._refuse(error)

    def _back(self, room: ControlPlane) -> None:
        room.take_back()
        self.who = self.desk.still(self.who)

    def _refuse(self, error: Exception) -> NoReturn:
        """What goes wrong before the door goes through it all the same."""
        room = self.desk.room
        with room.office.open(Act(self.who, self.verb, _model(self.ref), room.clock())):
            raise error
        raise error  # not reached: the door lets every error through


@contextmanager
def taken_up(desk: AtDesk, verb: str, ref: ModelRef, who: Principal | None = None) -> Iterator[LongWork]:
    """Claim long work on a version, if the person may do it and nobody does it now.

    Args:
        desk: with the room open.
        verb: of `access.verbs`.
        ref: the version.
        who: whoever signed a request for it; signed here when None.

    Raises:
        ConflictError: somebody does it now; the message says who, since when and until when at most.
        NotPermittedError: the policies.
    """
    who, at = who or desk.ask(verb, "Model", ref.name), desk.room.clock()
    claim = Claim(who=who.id, verb=verb, on=str(ref), at_us=micros(at), until_us=micros(at + LASTS))
    with desk.room.office.prepare(Act(who, verb, _model(ref), at)):
        held = desk.room.claims.take(claim)
    try:
        yield LongWork(desk, who, held, verb, ref)
    finally:
        held.drop(remove=desk.room.held)


def _model(ref: ModelRef) -> Resource:
    # with the version, so that the policies learn who its author is
    return Resource("Model", ref.name, {"manifest": ref.manifest})
