"""The cast: who they are, what they may do, where their keys lie. Each has a home of their own outside the room."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from strongroom.adapters.keys.homes import Home
from strongroom.wiring.founding import Member

CAST: dict[str, tuple[str, ...]] = {
    "cora": ("custodian",),
    "cyril": ("custodian",),
    "celia": ("custodian",),
    "ann": ("author",),
    "vera": ("validator",),
    "paul": ("approver", "halter"),
    "petra": ("approver", "halter"),
    "omar": ("operator",),
    "audrey": ("auditor",),
    "dora": ("dpo",),
}
"""Three custodians; a data scientist, an independent validator, two approvers, an operator, an auditor, a data
protection officer. The calling system has no key of this kind: it has an API key and a token."""

SECOND_KEY = "paul"
"""Has a second key, as people with a laptop and a card do, and will try to be two people with it."""


@dataclass(frozen=True)
class Actor:
    """A person of the demo, with the random passphrase that the demo made for them."""

    name: str
    home: Path
    passphrase: bytes
    member: Member
    second_home: Path | None = None


def hire(folder: Path) -> dict[str, Actor]:
    """Make a home with a new key for everyone; the passphrases are random and live as long as this process."""
    cast = {}
    for name, roles in CAST.items():
        home, passphrase = folder / name, secrets.token_hex(16).encode()
        public = Home.create(home, name, passphrase)
        more, second = (), None
        if name == SECOND_KEY:
            second = folder / f"{name}-card"
            more = (Home.create(second, name, passphrase).pem.decode(),)
        member = Member(person_id=name, roles=roles, key_pem=public.pem.decode(), more_keys_pem=more)
        cast[name] = Actor(name, home, passphrase, member, second)
    return cast
