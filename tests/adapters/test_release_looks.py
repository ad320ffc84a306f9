"""A repository that stands still is not verified whole each second; what changed is, at once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tuf.ngclient import Updater

from strongroom.adapters.releases.trusted_state_files import read_state
from strongroom.adapters.releases.tuf_client import WHOLE_LOOK, ReleaseClient
from strongroom.errors import UnavailableError
from strongroom.serving.admission_ports import TrustedState
from strongroom.vocabulary import ModelRef
from tests.simulator import MODEL, Room

SECOND = timedelta(seconds=1)


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room.built(tmp_path)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The targets that the TUF client was asked about."""
    paths: list[str] = []
    inner = Updater.get_targetinfo

    def told(updater: Updater, path: str) -> object:
        paths.append(path)
        return inner(updater, path)

    monkeypatch.setattr(Updater, "get_targetinfo", told)
    return paths


def test_who_looks_before_the_first_start_is_told_what_to_start(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="start it with `strongroom serve`"):
        read_state(tmp_path / "trusted")


def but_for_the_moment(state: TrustedState) -> TrustedState:
    return replace(state, at=state.expires)


def test_an_unchanged_repository_is_not_loaded_role_by_role_again(room: Room, asked: list[str]) -> None:
    client = room.client()
    first = client.refresh(room.at)
    assert len(asked) > 5
    asked.clear()
    second = client.refresh(room.at + SECOND)
    assert asked == []
    assert second.at == room.at + SECOND
    assert but_for_the_moment(second) == but_for_the_moment(first)


def test_it_is_loaded_again_now_and_then(room: Room, asked: list[str]) -> None:
    client = room.client()
    client.refresh(room.at)
    asked.clear()
    client.refresh(room.at + WHOLE_LOOK - SECOND)
    assert asked == []
    client.refresh(room.at + WHOLE_LOOK)
    assert len(asked) > 5


def test_it_is_loaded_again_once_a_role_has_expired(room: Room, asked: list[str]) -> None:
    client = room.client()
    client.refresh(room.at)
    assert client._last is not None
    client._last = replace(client._last, until=room.at + SECOND)
    asked.clear()
    client.refresh(room.at + SECOND)
    assert len(asked) > 5


@pytest.mark.parametrize("what", ["release", "pointer", "halt", "people"])
def test_what_changed_is_seen_with_the_next_look(room: Room, what: str) -> None:
    client = room.client()
    first = client.refresh(room.at)
    if what == "release":
        number = len(first.releases[MODEL]) + 1
        room.release(room.version(number))
        assert len(client.refresh(room.at + SECOND).releases[MODEL]) == number
    elif what == "pointer":
        room.point(champion=None)
        assert client.refresh(room.at + SECOND).pointers != first.pointers
    elif what == "halt":
        manifest = next(iter(first.releases[MODEL]))
        room.halt(ModelRef(MODEL, manifest))
        assert client.refresh(room.at + SECOND).halts != first.halts
    else:
        room.custodians_publish()
        assert client.refresh(room.at + SECOND).targets != first.targets


def test_a_renewed_timestamp_alone_moves_the_end_and_costs_no_whole_look(room: Room, asked: list[str]) -> None:
    client = room.client()
    first = client.refresh(room.at)
    room.repository.renew(room.at + SECOND * 5)
    asked.clear()
    second = client.refresh(room.at + SECOND * 6)
    assert asked == []
    assert second.expires > first.expires


def test_after_trouble_with_a_model_each_look_is_whole(room: Room, asked: list[str]) -> None:
    client: ReleaseClient = room.client()
    metadata = room.folder / "repository" / "metadata"
    (role,) = metadata.glob(f"*.model*{MODEL}.json")
    kept = role.read_bytes()
    role.unlink()
    assert MODEL in client.refresh(room.at).failures
    role.write_bytes(kept)
    assert client.refresh(room.at + SECOND).failures == {}
