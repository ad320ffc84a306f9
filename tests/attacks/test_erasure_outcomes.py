"""An outcome that went with an erased subject is looked for in the bytes of the database."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from strongroom.adapters.database.desk import open_desk
from strongroom.errors import UnavailableError
from strongroom.monitoring.outcomes import Outcome
from strongroom.vocabulary import digest_of
from strongroom.wiring import erasing


def found(folder: Path, text: str) -> int:
    return sum(path.read_bytes().count(text.encode()) for path in folder.rglob("*") if path.is_file())


def test_a_forgotten_outcome_is_not_in_the_files_of_the_database(tmp_path: Path) -> None:
    ids = [digest_of(b"%d" % number)[:32] for number in range(500)]
    desk = open_desk(tmp_path / "room.db")
    with desk.begin() as transaction:
        transaction.books.outcomes.add(
            "pd-cards", [Outcome(decision_id=one, outcome=1, observed_at_us=1) for one in ids]
        )
        transaction.commit()
    assert found(tmp_path, ids[7]), "the search must be able to find it"
    with desk.begin() as transaction:
        assert transaction.books.outcomes.forget(ids[7:9]) == 2
        transaction.commit()
    desk.close()
    assert found(tmp_path, ids[6])
    for one in ids[7:9]:
        assert found(tmp_path, one) == 0


class Node:
    """What an erasure asks of a node's records."""

    settings = SimpleNamespace(region="eu")

    def __init__(self, ids: list[str]) -> None:
        self._ids = ids

    def __enter__(self) -> Node:
        return self

    def __exit__(self, *_: object) -> None: ...

    def tag(self, _: str) -> bytes:
        return bytes(32)

    def ids_of(self, _: bytes) -> list[str]:
        return self._ids


@pytest.mark.parametrize("pending", [True, False])
def test_outcomes_go_also_when_an_erasure_stays_pending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pending: bool
) -> None:
    """Once the key is destroyed nobody can tell which outcomes were the subject's."""
    gone, kept = "a" * 32, "b" * 32
    books = open_desk(tmp_path / "room.db")
    with books.begin() as transaction:
        transaction.books.outcomes.add(
            "m", [Outcome(decision_id=one, outcome=1, observed_at_us=1) for one in (gone, kept)]
        )
        transaction.commit()

    def erase(*_: object) -> None:
        raise UnavailableError("a cache has not confirmed", **({"pending": 1} if pending else {}))

    monkeypatch.setattr(erasing.compliance, "erase", erase)
    monkeypatch.setattr(erasing.NodeRecords, "open", lambda *_: Node([gone]))
    monkeypatch.setattr(erasing, "node_store", lambda _: None)
    room = SimpleNamespace(desk=books, keys=SimpleNamespace(signer=lambda _: None), office=None, clock=None)
    desk = SimpleNamespace(room=room, ask=lambda *_: None)
    with pytest.raises(UnavailableError):
        erasing.erase(desk, tmp_path, b"", "someone")  # type: ignore[arg-type]  # a desk as far as it is asked
    with books.begin() as transaction:
        left = [one.decision_id for one in transaction.books.outcomes.of_model("m")]
    assert left == ([kept] if pending else [gone, kept]), "before the decision is on the record nothing is deleted"
    books.close()
