"""What a room shares with its gateways: the peppers of API keys, and the KEKs under which models are sealed.

Each may be replaced. The next one lies apart in the room's key file, so that nothing is made under it before the
gateways have it; a gateway takes both at once, and drops an old one when the room has.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from strongroom.access.credentials import FIRST_PEPPER
from strongroom.adapters.keys.keyring import KeyFile, kek_id_of

PEPPER: Final = "api-key-pepper"
"""Name of the first one; a later one is `api-key-pepper-2` and so on. Numbers are not used twice."""
NEXT_KEK: Final = "next-model-kek"
_PEPPER = re.compile(r"api-key-pepper(?:-([1-9][0-9]{0,8}))?\Z")
_NEXT_PEPPER = re.compile(r"next-api-key-pepper-([1-9][0-9]{0,8})\Z")


def pepper_name(number: int) -> str:
    """Where a pepper lies in a key file."""
    return PEPPER if number == FIRST_PEPPER else f"{PEPPER}-{number}"


def next_pepper_name(number: int) -> str:
    """Where it lies in the room's before it is used."""
    return f"next-{PEPPER}-{number}"


def peppers(ring: KeyFile) -> Mapping[int, bytes]:
    """Those in use, by number, ascending. In a room's key file new digests are made under the last."""
    return _numbered(ring, _PEPPER)


def next_pepper(ring: KeyFile) -> Mapping[int, bytes]:
    """The one that is not in use yet, by its number; empty when none is being introduced."""
    return _numbered(ring, _NEXT_PEPPER)


def shared_peppers(ring: KeyFile) -> Mapping[int, bytes]:
    """What gateways hold: all of a room's."""
    return {**peppers(ring), **next_pepper(ring)}


def shared_keks(ring: KeyFile) -> Mapping[str, bytes]:
    """What gateways hold: all of a room's, the newest last."""
    older = [kek_id for kek_id in ring.keks if kek_id != ring.current_kek]
    found = {kek_id: ring.export_kek(kek_id) for kek_id in (*older, ring.current_kek)}
    if NEXT_KEK in ring.names:
        kek = ring.get(NEXT_KEK)
        found.pop(kek_id_of(kek), None)
        found[kek_id_of(kek)] = kek
    return found


def _numbered(ring: KeyFile, pattern: re.Pattern[str]) -> dict[int, bytes]:
    named = {int(found[1] or FIRST_PEPPER): name for name in ring.names if (found := pattern.match(name))}
    return {number: ring.get(named[number]) for number in sorted(named)}
