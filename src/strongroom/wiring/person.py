"""A person at their own desk: a home with a key, and a room to work with.

What needs the key happens here: requests, submissions, reviews, approvals, halts are checked from bytes and signed on
this side. The control plane is handed signatures.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from strongroom.access.people import principal_of
from strongroom.access.principals import Principal
from strongroom.access.requests import Target, new_request, sign_request
from strongroom.adapters.keys.homes import Home
from strongroom.adapters.sandbox.linux import LinuxSandbox
from strongroom.errors import NotAuthenticatedError
from strongroom.validation.ports import Sandbox
from strongroom.vocabulary import PersonId, micros
from strongroom.wiring.control import ControlPlane


@dataclass(slots=True)
class AtDesk:
    """One person working with one room.

    Attributes:
        home: opened with the person's passphrase.
        room: the control plane.
        sandbox: where unapproved models run.
    """

    home: Home
    room: ControlPlane
    sandbox: Sandbox

    @classmethod
    def sit_down(cls, home: Path, passphrase: bytes, room: ControlPlane) -> AtDesk:
        """Open the home. Raises as `Home.open` does."""
        return cls(Home.open(home, passphrase), room, LinuxSandbox())

    def watched(self, progress: Callable[[str], None] | None) -> Sandbox:
        """The sandbox, which tells how far its job is."""
        if progress is None or type(self.sandbox) is not LinuxSandbox:
            return self.sandbox
        return LinuxSandbox(progress=progress)

    @property
    def person(self) -> PersonId:
        """Whose desk this is."""
        return self.home.person

    def ask(self, verb: str, kind: str, name: str, body: bytes = b"") -> Principal:
        """Sign a request for one verb and have the room say who that is.

        Raises:
            NotAuthenticatedError: the key does not count in this room, or is not of the person that the home names.
        """
        at_us = micros(self.room.clock())
        request = new_request(
            self.room.settings.governance_origin, verb, Target(kind=kind, id=name), body, at_us, os.urandom
        )
        signed = sign_request(request, self.home.public.key_id, self.home)
        who, _ = self.room.authenticate(signed, body)
        if who.id != self.person:
            # home.json is not signed; the key alone says who somebody is
            raise NotAuthenticatedError(
                f"home `{self.home.folder.name}` says `{self.person}`, but its key is registered for `{who.id}`"
            )
        return who

    def still(self, who: Principal) -> Principal:
        """Whoever asked before the room was let go, as the register has them by now.

        Raises:
            NotAuthenticatedError: the key does not count any more, or is of another person now.
        """
        register, at_us = self.room.register, micros(self.room.clock())
        now = principal_of(register.key_owner(self.home.public.key_id, at_us))
        if now.id != who.id:
            raise NotAuthenticatedError(f"the key of `{who.id}` is registered for `{now.id}` by now")
        return replace(now, request=who.request)
