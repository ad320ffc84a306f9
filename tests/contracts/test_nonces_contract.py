"""One suite for every memory of nonces: in one process, and in the file that the workers of a node share."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from strongroom.access.ports import Nonces
from strongroom.access.signed_requests import AHEAD_S, WINDOW_S
from strongroom.adapters.access.memory_nonces import MemoryNonces
from strongroom.adapters.access.nonce_files import FileNonces
from strongroom.errors import NotPermittedError, TooManyRequestsError, UnavailableError

START_S = 1_790_000_000
T = START_S + 1000


@pytest.fixture(params=["memory", "file"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Nonces]]:
    made: list[FileNonces] = []

    def one(limit: int = 1000) -> Nonces:
        if request.param == "memory":
            return MemoryNonces(START_S + AHEAD_S, limit=limit)
        made.append(FileNonces(tmp_path / "nonces", START_S, limit=limit))
        return made[-1]

    yield one
    for file in made:
        file.close()


def refuses(nonces: Nonces, who: str, nonce: str, created_s: int, now_s: int) -> None:
    with pytest.raises(NotPermittedError) as raised:
        nonces.spend(who, nonce, created_s, now_s)
    assert raised.value.details["rule"] == "signature-nonce"


def test_a_nonce_is_spent_once_for_each_principal(make: Callable[..., Nonces]) -> None:
    nonces = make()
    nonces.spend("ann", "n-1", T, T)
    refuses(nonces, "ann", "n-1", T, T)
    refuses(nonces, "ann", "n-1", T + 1, T + 1)
    nonces.spend("bob", "n-1", T, T)
    nonces.spend("ann", "n-2", T, T)
    # no two pairs of names run together
    nonces.spend("an", "nn-1", T, T)


def test_a_nonce_is_remembered_for_as_long_as_its_request_is_young(make: Callable[..., Nonces]) -> None:
    nonces = make()
    nonces.spend("ann", "n-1", T + AHEAD_S, T)
    for later in range(0, WINDOW_S + AHEAD_S + 1, 5):
        refuses(nonces, "ann", "n-1", T + AHEAD_S, T + later)
    # afterwards the window refuses the request; should its clock be set back, this does
    nonces.spend("ann", "n-2", T + 500, T + 500)
    refuses(nonces, "ann", "n-1", T + AHEAD_S, T)


def test_what_was_signed_before_the_memory_began_is_refused(make: Callable[..., Nonces]) -> None:
    nonces = make()
    refuses(nonces, "ann", "n-1", START_S, START_S)
    refuses(nonces, "ann", "n-2", START_S + AHEAD_S, START_S + AHEAD_S)
    nonces.spend("ann", "n-3", START_S + AHEAD_S + 1, START_S + AHEAD_S + 1)


def test_memory_is_bounded_for_each_principal_and_closes_when_full(make: Callable[..., Nonces]) -> None:
    nonces = make(limit=10)
    for number in range(10):
        nonces.spend("ann", f"n-{number}", T, T)
    with pytest.raises(TooManyRequestsError):
        nonces.spend("ann", "n-10", T, T)
    nonces.spend("bob", "n-0", T, T)
    later = T + 2 * (WINDOW_S + AHEAD_S)
    nonces.spend("ann", "n-11", later, later)


def test_workers_share_one_memory_and_a_restart_keeps_it(tmp_path: Path) -> None:
    one, two = (FileNonces(tmp_path / "nonces", START_S) for _ in range(2))
    one.spend("ann", "n-1", T, T)
    refuses(two, "ann", "n-1", T, T)
    one.close()
    two.close()
    again = FileNonces(tmp_path / "nonces", T)
    refuses(again, "ann", "n-1", T, T)
    again.spend("ann", "n-2", T, T)
    again.close()


def test_of_many_workers_at_once_one_wins(tmp_path: Path) -> None:
    workers = [FileNonces(tmp_path / "nonces", START_S) for _ in range(4)]

    def spend(worker: FileNonces) -> list[bool]:
        won = []
        for number in range(200):
            try:
                worker.spend("ann", f"n-{number}", T, T)
                won.append(True)
            except NotPermittedError:
                won.append(False)
        return won

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(spend, workers))
    assert [sum(column) for column in zip(*outcomes, strict=True)] == [1] * 200
    for worker in workers:
        worker.close()


def test_after_the_machine_was_down_nothing_from_before_passes(tmp_path: Path) -> None:
    before = FileNonces(tmp_path / "nonces", START_S, boot="boot-1")
    before.spend("ann", "n-1", T + AHEAD_S, T)
    before.close()
    after = FileNonces(tmp_path / "nonces", T + 1, boot="boot-2")
    for number, created in enumerate((T, T + 1, T + AHEAD_S, T + 1 + AHEAD_S)):
        refuses(after, "ann", f"m-{number}", created, T + 1)
    after.spend("ann", "m-9", T + 2 + AHEAD_S, T + 2 + AHEAD_S)
    after.close()


@pytest.mark.parametrize("trick", ["removed", "replaced"])
def test_a_file_that_was_taken_away_opens_no_door(tmp_path: Path, trick: str) -> None:
    path = tmp_path / "nonces"
    one, two = FileNonces(path, START_S), FileNonces(path, START_S)
    copy = path.read_bytes()
    one.spend("ann", "n-1", T, T)
    path.unlink()
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)
    if trick == "replaced":
        path.write_bytes(copy)
    three = FileNonces(path, T)
    for worker in (one, two, three):
        with pytest.raises((NotPermittedError, UnavailableError)):
            worker.spend("ann", "n-1", T, T)
    for worker in (one, two, three):
        worker.close()


def test_a_memory_that_cannot_be_asked_lets_nothing_through(tmp_path: Path) -> None:
    nonces = FileNonces(tmp_path / "nonces", START_S)
    holder = sqlite3.connect(tmp_path / "nonces", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(UnavailableError):
        nonces.spend("ann", "n-1", T, T)
    holder.execute("COMMIT")
    holder.close()
    nonces.spend("ann", "n-1", T, T)
    nonces.close()
    with pytest.raises(UnavailableError):
        FileNonces(tmp_path / "absent" / "nonces", START_S)
    (tmp_path / "rubbish").write_bytes(b"x" * 5000)
    with pytest.raises(UnavailableError):
        FileNonces(tmp_path / "rubbish", START_S)
