"""A publication that stops at any write, and is repeated; and two processes that publish at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from strongroom.adapters.files.safe_files import locked
from strongroom.adapters.releases import tuf_files, tuf_repository
from strongroom.approval import actions
from strongroom.errors import ConflictError
from tests.approval.control_room import ControlRoom
from tests.simulator import MODEL, Version

WRITES = 8
"""More than a publication of a release needs."""


class PowerCutError(BaseException):
    """Nothing after it happens."""


@contextmanager
def power_cut(after: int) -> Iterator[list[str]]:
    """The process ends before its write number `after`; yields the names that were written."""
    written: list[str] = []
    whole = tuf_files.write

    def write(path: Path, data: bytes) -> None:
        if len(written) == after:
            raise PowerCutError
        written.append(path.name)
        whole(path, data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuf_files, "write", write)
        patch.setattr(tuf_repository, "write", write)
        yield written


@pytest.fixture
def room(tmp_path: Path) -> ControlRoom:
    room = ControlRoom(tmp_path)
    room.found()
    return room


def approved(room: ControlRoom) -> Version:
    made = room.submitted(1)
    room.machines(made)
    room.reviewed(made)
    room.proposed(made)
    room.approved(made, "abel", "bea")
    return made


@pytest.mark.parametrize("after", range(WRITES))
def test_a_release_that_stopped_at_any_write_is_published_by_repeating_it(room: ControlRoom, after: int) -> None:
    made = approved(room)
    try:
        with power_cut(after) as written:
            room.released(made)
    except PowerCutError:
        room.released(made)
    else:
        assert len(written) <= after, "the release needs more writes than this test cuts"
    room.point(champion=made.ref.manifest)
    assert [model.ref for model in room.admit()] == [made.ref]


def test_the_next_timestamp_brings_out_what_an_interrupted_publication_left(room: ControlRoom) -> None:
    made = approved(room)
    with pytest.raises(PowerCutError), power_cut(2) as written:
        room.released(made)
    assert any(name.endswith(f".model-{MODEL}.json") for name in written)
    assert MODEL not in room.state().releases
    room.repository.renew(room.at)
    assert made.ref.manifest in room.state().releases[MODEL]


def test_a_version_that_is_published_is_not_rejected(room: ControlRoom) -> None:
    made = approved(room)
    before = room.desk.books
    room.released(made)
    room.desk.books = before  # the database lost the act, the repository did not
    with pytest.raises(ConflictError, match="is published"):
        actions.reject(room.office, room.who("abel"), room.at, ref=made.ref, reason="too late", means=room.means)


@pytest.mark.parametrize("verb", ["renew", "publish_halts"])
def test_publications_of_two_processes_wait_for_each_other(room: ControlRoom, verb: str) -> None:
    arguments: tuple[Any, ...] = (room.at,) if verb == "renew" else (MODEL, [], room.at)
    other = threading.Thread(target=getattr(room.repository, verb), args=arguments)
    with locked(room.folder / "repository"):
        other.start()
        other.join(0.3)
        assert other.is_alive(), "it published while another process did"
    other.join(10)
    assert not other.is_alive()
    room.state()
