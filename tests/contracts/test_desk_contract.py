"""Every desk and its shelves keep their ports' promises: memory and SQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

from strongroom.access.grants import Grants
from strongroom.adapters.database import desk as database
from strongroom.adapters.database import tables as database_tables
from strongroom.adapters.database.desk import SqlDesk, open_desk
from strongroom.approval.cases import Case
from strongroom.compliance.subjects import ErasureRequest
from strongroom.errors import ConflictError, NotFoundError, UnavailableError
from strongroom.monitoring.outcomes import Outcome, Realised
from strongroom.office.acts import EntryRef
from strongroom.office.ports import Pending
from strongroom.registry.versions import PointerChange, Sample, Sealed, Version
from strongroom.vocabulary import Digest, KeyId, ModelRef, PersonId
from tests.contracts.model_toml import contract
from tests.memory.office import MemoryDesk, MemoryNonces
from tests.office.conftest import AT

REF = ModelRef("pd-cards", Digest("1" * 64))
DIAGRAM = Digest("d" * 64)


@pytest.fixture(params=["memory", "sql"])
def desk(request, tmp_path):
    if request.param == "memory":
        yield MemoryDesk()
        return
    made = open_desk(tmp_path / "room.db")
    yield made
    made.close()


def put(desk, *rows, commit=True):
    with desk.begin() as transaction:
        for row in rows:
            transaction.put_outbox(row)
        if commit:
            transaction.commit()


def test_rows_wait_in_order_until_they_are_marked(desk):
    put(desk, Pending("a" * 32, b"1"), Pending("b" * 32, b"2"))
    put(desk, Pending("0" * 32, b"3"))
    assert [row.entry for row in desk.pending()] == [b"1", b"2", b"3"]
    desk.mark_logged("b" * 32, EntryRef("o", 7))
    desk.mark_logged("b" * 32, EntryRef("o", 7))
    assert [row.entry for row in desk.pending()] == [b"1", b"3"]
    assert [row.logged for row in desk.rows()] == [None, EntryRef("o", 7), None]
    with pytest.raises(ConflictError):
        desk.mark_logged("b" * 32, EntryRef("o", 8))
    with pytest.raises(ConflictError):
        desk.mark_logged("e" * 32, EntryRef("o", 8))


def test_without_commit_nothing_stays(desk):
    put(desk, Pending("a" * 32, b"1"), commit=False)
    with pytest.raises(ZeroDivisionError), desk.begin() as transaction:  # noqa: PT012  # the act is the block
        transaction.put_outbox(Pending("b" * 32, b"2"))
        transaction.books.grants.put(Grants(sequence=1))
        raise ZeroDivisionError
    assert desk.pending() == []
    with desk.begin() as transaction, pytest.raises(NotFoundError):
        transaction.books.grants.current()


def test_an_act_id_stands_once(desk):
    put(desk, Pending("a" * 32, b"1"))
    with pytest.raises(ConflictError):
        put(desk, Pending("a" * 32, b"2"))
    assert [row.entry for row in desk.pending()] == [b"1"]


def test_notes_do_not_pass_from_one_transaction_to_the_next(desk):
    with desk.begin() as transaction:
        transaction.books.note(x=1)
        transaction.commit()
    with desk.begin() as transaction:
        assert transaction.books.facts == {}


def version(ref=REF, minutes=0):
    sealed = Sealed(ref.manifest, Digest("2" * 64), Digest("3" * 64))
    return Version(ref, PersonId("ann"), AT + timedelta(minutes=minutes), contract(ref.name), Digest("4" * 64), sealed)


def test_versions_are_kept_as_they_were_given(desk):
    first, second = version(), version(ModelRef("pd-cards", Digest("0" * 64)), 1)
    with desk.begin() as transaction:
        shelf = transaction.books.versions
        shelf.add(second)
        shelf.add(first)
        with pytest.raises(ConflictError):
            shelf.add(first)
        transaction.commit()
    sample = Sample(PersonId("val"), AT, Digest("5" * 64), first.sealed)
    moved = first.advanced("scanned", scan=Digest("6" * 64)).with_sample(sample)
    with desk.begin() as transaction:
        transaction.books.versions.save(moved)
        transaction.commit()
    with desk.begin() as transaction:
        shelf = transaction.books.versions
        assert shelf.get(REF) == moved
        assert shelf.get(REF).evidence == {"scan": Digest("6" * 64)}
        assert list(shelf.of_model("pd-cards")) == [moved, second]
        assert list(shelf.of_model("other")) == []
        assert list(shelf.models()) == ["pd-cards"]
        with pytest.raises(NotFoundError):
            shelf.get(ModelRef("pd-cards", Digest("9" * 64)))
        with pytest.raises(NotFoundError):
            shelf.save(version(ModelRef("pd-cards", Digest("9" * 64))))
        for changed in (
            replace(moved, author=PersonId("eve")),
            replace(moved, bundle=Digest("7" * 64)),
            replace(moved, submitted_at=AT + timedelta(seconds=1)),
            replace(moved, sealed=replace(moved.sealed, container=Digest("7" * 64))),
        ):
            with pytest.raises(ConflictError):
                shelf.save(changed)
        shelf.save(moved.rewrapped(Digest("8" * 64)))


def test_pointers_only_grow(desk):
    first = PointerChange("pd-cards", 1, AT, PersonId("op"), Digest("1" * 64))
    second = replace(first, sequence=2, at=AT + timedelta(seconds=1), halted=True, reason="drift")
    with desk.begin() as transaction:
        shelf = transaction.books.pointers
        for wrong in (second, replace(first, sequence=0)):
            with pytest.raises(ConflictError):
                shelf.add(wrong)
        shelf.add(first)
        for wrong in (first, replace(second, sequence=3), replace(second, at=AT - timedelta(seconds=1))):
            with pytest.raises(ConflictError):
                shelf.add(wrong)
        shelf.add(second)
        transaction.commit()
    with desk.begin() as transaction:
        assert tuple(transaction.books.pointers.history("pd-cards")) == (first, second)
        assert tuple(transaction.books.pointers.history("other")) == ()


def case(case_id="c-1", at_us=1):
    return Case.opened(case_id, REF, DIAGRAM, PersonId("ann"), Digest("4" * 64), at_us)


def test_cases_follow_revision_by_revision(desk):
    opened = case()
    scanned = opened.with_evidence("scan", Digest("6" * 64), PersonId("scan-service"), 2)
    with desk.begin() as transaction:
        shelf = transaction.books.cases
        with pytest.raises(ConflictError):
            shelf.put(scanned)
        shelf.put(opened)
        with pytest.raises(ConflictError):
            shelf.put(opened)
        shelf.put(case("c-2", 5))
        transaction.commit()
    with desk.begin() as transaction:
        shelf = transaction.books.cases
        shelf.put(scanned)
        with pytest.raises(ConflictError):
            shelf.put(scanned)
        assert shelf.get("c-1") == scanned
        assert shelf.of_model(REF).id == "c-2"
        with pytest.raises(NotFoundError):
            shelf.get("c-9")
        with pytest.raises(NotFoundError):
            shelf.of_model(ModelRef("other", REF.manifest))


def test_grants_follow_one_by_one(desk):
    with desk.begin() as transaction:
        shelf = transaction.books.grants
        with pytest.raises(NotFoundError):
            shelf.current()
        with pytest.raises(ConflictError):
            shelf.put(Grants(sequence=2))
        shelf.put(Grants(sequence=1))
        with pytest.raises(ConflictError):
            shelf.put(Grants(sequence=1))
        shelf.put(Grants(sequence=2))
        assert shelf.current() == Grants(sequence=2)


@pytest.mark.parametrize("kind", ["memory", "sql"])
def test_a_nonce_is_spent_once(kind, tmp_path):
    nonces = MemoryNonces() if kind == "memory" else open_desk(tmp_path / "room.db").nonces
    nonces.spend(KeyId("a" * 64), "0" * 32, 5)
    nonces.spend(KeyId("b" * 64), "0" * 32, 5)
    nonces.spend(KeyId("a" * 64), "1" * 32, 9)
    with pytest.raises(ConflictError):
        nonces.spend(KeyId("a" * 64), "0" * 32, 5)


def test_sql_spent_nonces_are_forgotten_only_after_their_time(tmp_path):
    nonces = open_desk(tmp_path / "room.db").nonces
    nonces.spend(KeyId("a" * 64), "0" * 32, 5)
    nonces.spend(KeyId("a" * 64), "1" * 32, 9)
    assert nonces.forget(9) == 1
    with pytest.raises(ConflictError):
        nonces.spend(KeyId("a" * 64), "1" * 32, 9)


def test_sql_migrations_make_exactly_the_tables(tmp_path):
    path = tmp_path / "room.db"
    open_desk(path).close()
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), database_tables.metadata) == []
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_heads() == [database_tables.REVISION]


def test_sql_keeps_everything_over_a_restart(tmp_path):
    desk = open_desk(tmp_path / "room.db")
    put(desk, Pending("a" * 32, b"1"))
    desk.close()
    again = open_desk(tmp_path / "room.db")
    assert [row.act_id for row in again.pending()] == ["a" * 32]


def test_sql_is_set_up_for_durability(tmp_path):
    desk = open_desk(tmp_path / "room.db")
    with desk._engine.connect() as connection:
        found = {
            name: connection.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_sql_a_database_of_a_newer_version_is_refused(tmp_path):
    path = tmp_path / "room.db"
    open_desk(path).close()
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.execute(text("update alembic_version set version_num = '9999'"))
    with pytest.raises(ConflictError, match="9999"):
        open_desk(path)


def test_sql_an_unreachable_database_is_unavailable(tmp_path):
    with pytest.raises(UnavailableError):
        open_desk(tmp_path / "missing" / "room.db")
    (tmp_path / "garbage.db").write_bytes(b"this is not a database" * 100)
    with pytest.raises(UnavailableError):
        open_desk(tmp_path / "garbage.db")


def test_sql_two_writers_do_not_mix(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 50)
    first, second = open_desk(tmp_path / "room.db"), open_desk(tmp_path / "room.db")
    with first.begin() as transaction:
        transaction.put_outbox(Pending("a" * 32, b"1"))
        with pytest.raises(UnavailableError), second.begin():
            pytest.fail("two acts at once")
        transaction.commit()
    put(second, Pending("b" * 32, b"2"))
    assert len(second.pending()) == 2
    assert isinstance(second, SqlDesk)


def outcome(number, value=0):
    return Outcome(decision_id=f"{number:032x}", outcome=value, observed_at_us=number)


def test_outcomes_are_entered_once(desk):
    with desk.begin() as transaction:
        shelf = transaction.books.outcomes
        shelf.add("pd-cards", [outcome(2), outcome(1, 1)])
        shelf.add("pd-cards", [outcome(2), outcome(3)])
        shelf.add("other", [outcome(1)])
        with pytest.raises(ConflictError):
            shelf.add("pd-cards", [outcome(4), outcome(1, 0)])
        transaction.commit()
    with desk.begin() as transaction:
        shelf = transaction.books.outcomes
        assert list(shelf.of_model("pd-cards")) == [outcome(1, 1), outcome(2), outcome(3)]
        assert shelf.forget([outcome(1).decision_id, outcome(3).decision_id, "f" * 32]) == 3
        assert list(shelf.of_model("pd-cards")) == [outcome(2)]
        assert list(shelf.of_model("other")) == []


def amount(number, value="0.25"):
    return Realised(decision_id=f"{number:032x}", realised=value, observed_at_us=number)


def test_realised_amounts_are_entered_once_beside_events_and_forgotten_with_them(desk):
    with desk.begin() as transaction:
        shelf = transaction.books.outcomes
        shelf.add("pd-cards", [outcome(1)])
        shelf.add_realised("lgd", [amount(2, "-0.1"), amount(1)])
        shelf.add_realised("lgd", [amount(2, "-0.1"), amount(3)])
        with pytest.raises(ConflictError):
            shelf.add_realised("lgd", [amount(4), amount(1, "0.5")])
        transaction.commit()
    with desk.begin() as transaction:
        shelf = transaction.books.outcomes
        assert list(shelf.realised_of("lgd")) == [amount(1), amount(2, "-0.1"), amount(3)]
        assert list(shelf.of_model("lgd")) == list(shelf.realised_of("pd-cards")) == []
        assert shelf.forget([amount(1).decision_id, amount(3).decision_id]) == 3
        assert list(shelf.realised_of("lgd")) == [amount(2, "-0.1")]
        assert list(shelf.of_model("pd-cards")) == []


def test_many_outcomes_are_taken_at_once(desk):
    many = [outcome(number) for number in range(2_500)]
    with desk.begin() as transaction:
        transaction.books.outcomes.add("pd-cards", many)
        transaction.books.outcomes.add("pd-cards", many)
        assert transaction.books.outcomes.forget([one.decision_id for one in many]) == len(many)


def test_erasures_wait_until_they_are_done(desk):
    first = ErasureRequest(region="eu", tag="a" * 64, requested_by="dora", requested_us=5)
    second = ErasureRequest(region="eu", tag="b" * 64, requested_by="dora", requested_us=3)
    done = msgspec.structs.replace(first, state="done", certificate="c" * 64)
    with desk.begin() as transaction:
        shelf = transaction.books.erasures
        shelf.put(first)
        shelf.put(second)
        assert list(shelf.pending()) == [second, first]
        transaction.commit()
    with desk.begin() as transaction:
        shelf = transaction.books.erasures
        shelf.put(done)
        assert list(shelf.pending()) == [second]
        assert list(shelf.of_tag("eu", "a" * 64)) == [done]
        assert list(shelf.of_tag("us", "a" * 64)) == []
