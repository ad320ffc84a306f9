"""Someone who has left keeps their key, and dates a lift back to when it counted."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from strongroom.errors import HaltedError
from strongroom.vocabulary import micros
from tests.simulator import Room


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room.built(tmp_path)


def leaves(room: Room, name: str) -> None:
    """As of now; what they signed before keeps counting."""
    person = room.people.person(name)
    keys = tuple(msgspec.structs.replace(key, until_us=micros(room.at), reason="left") for key in person.keys)
    room.people = room.people.with_person(msgspec.structs.replace(person, keys=keys))
    room.custodians_publish(files={"people.json": room.people.encode()})


def test_control_two_who_are_there_lift(room: Room) -> None:
    ref = room.version(1).ref
    halt = room.halt(ref)
    room.at += timedelta(hours=1)
    for name in ("hal", "hope"):
        room.lift(ref, halt, name)
    assert len(room.admit()) == 1


def test_one_who_left_before_the_halt_does_not_lift_it(room: Room) -> None:
    ref = room.version(1).ref
    leaves(room, "hope")
    room.at += timedelta(days=1)
    room.repository.renew(room.at)
    halt = room.halt(ref)
    room.lift(ref, halt, "hal")
    now, room.at = room.at, room.at - timedelta(days=2)
    room.lift(ref, halt, "hope")
    room.at = now
    room.repository.renew(room.at)
    assert isinstance(room.reason(), HaltedError)
