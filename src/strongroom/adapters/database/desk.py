"""The control plane's database: SQLite by default, PostgreSQL by another address, through SQLAlchemy.

The desk gives transactions over one `SqlBooks`, which offers every room its shelves. State and outbox row are in one
database and one transaction, which is what the one door rests on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, delete, event, insert, inspect, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from strongroom.adapters.database import tables
from strongroom.adapters.database.shelves import SqlCases, SqlGrants, SqlPointers, SqlVersions
from strongroom.adapters.database.subjects import SqlErasures, SqlOutcomes
from strongroom.errors import ConflictError, UnavailableError
from strongroom.office.acts import EntryRef
from strongroom.office.notebook import Notebook
from strongroom.office.ports import OutboxRow, Pending
from strongroom.vocabulary import KeyId

BUSY_TIMEOUT_MS = 10_000


class SqlBooks(Notebook):
    """Everything that an act may change, in one transaction.

    One attribute per shelf. A room's Books Protocol names the shelves that it needs; this object satisfies them all.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.versions = SqlVersions(connection)
        self.pointers = SqlPointers(connection)
        self.cases = SqlCases(connection)
        self.grants = SqlGrants(connection)
        self.erasures = SqlErasures(connection)
        self.outcomes = SqlOutcomes(connection)


class SqlTransaction:
    """`office.ports.Transaction` over one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.books = SqlBooks(connection)

    def put_outbox(self, row: Pending) -> None:
        """Raises ConflictError when the act id is there already."""
        try:
            self._connection.execute(insert(tables.outbox).values(act_id=row.act_id, entry=row.entry))
        except IntegrityError as error:
            raise ConflictError(f"act `{row.act_id}` has an outbox row already") from error

    def commit(self) -> None:
        """Durable on return (SQLite: synchronous=FULL). Raises UnavailableError."""
        try:
            self._connection.commit()
        except SQLAlchemyError as error:
            raise UnavailableError("the control plane's database could not commit; nothing was changed") from error


class SqlDesk:
    """`office.ports.Desk`. Open it with `open_desk`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @contextmanager
    def begin(self) -> Iterator[SqlTransaction]:
        """A transaction; leaving the block without `commit` rolls back.

        Raises:
            UnavailableError: the database cannot be reached, or another writer holds it too long.
        """
        try:
            with self._engine.connect() as connection:
                # takes SQLite's write lock now: a reader that becomes a writer later could be refused half-way
                connection.begin()
                yield SqlTransaction(connection)
        except DBAPIError as error:
            raise UnavailableError(
                "the control plane's database did not answer; nothing was changed, try again"
            ) from error

    def pending(self) -> Sequence[Pending]:
        """Rows whose entry is not known to be in the log, oldest first."""
        query = (
            select(tables.outbox.c.act_id, tables.outbox.c.entry)
            .where(tables.outbox.c.entry_index.is_(None))
            .order_by(tables.outbox.c.position)
        )
        with _speaking(), self._engine.connect() as connection:
            return [Pending(row.act_id, row.entry) for row in connection.execute(query)]

    def mark_logged(self, act_id: str, ref: EntryRef) -> None:
        """Raises ConflictError when the row is unknown or names another place."""
        table = tables.outbox
        with _speaking(), self._engine.begin() as connection:
            done = connection.execute(
                update(table)
                .where(table.c.act_id == act_id, table.c.entry_index.is_(None))
                .values(origin=ref.origin, entry_index=ref.index)
            )
            if done.rowcount == 1:
                return
            known = connection.execute(
                select(table.c.origin, table.c.entry_index).where(table.c.act_id == act_id)
            ).one_or_none()
        if known is None or (known.origin, known.entry_index) != (ref.origin, ref.index):
            raise ConflictError(f"act `{act_id}` is unknown to the outbox, or marked at another place")

    def rows(self) -> Iterator[OutboxRow]:
        """Every row that was ever put, oldest first."""
        with _speaking(), self._engine.connect() as connection:
            found = connection.execute(select(tables.outbox).order_by(tables.outbox.c.position)).all()
        for row in found:
            logged = None if row.entry_index is None else EntryRef(row.origin, row.entry_index)
            yield OutboxRow(row.act_id, row.entry, logged)

    @property
    def nonces(self) -> SqlNonces:
        """Numbers of signed requests; not part of any act's transaction."""
        return SqlNonces(self._engine)

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()


class SqlNonces:
    """`access.requests.Nonces`: each is spent in a transaction of its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def spend(self, key_id: KeyId, nonce: str, until_us: int) -> None:
        """Durable on return. Raises ConflictError when it was spent before."""
        try:
            with _speaking(), self._engine.begin() as connection:
                connection.execute(insert(tables.nonces).values(key_id=key_id, nonce=nonce, until_us=until_us))
        except ConflictError as error:
            raise ConflictError("this nonce was used before") from error

    def forget(self, before_us: int) -> int:
        """Drop what no request could use any more; returns how many."""
        with _speaking(), self._engine.begin() as connection:
            return connection.execute(delete(tables.nonces).where(tables.nonces.c.until_us < before_us)).rowcount


def open_desk(where: Path | str) -> SqlDesk:
    """Open the database and bring its tables up to date.

    Args:
        where: a file (SQLite, made when missing) or an SQLAlchemy address such as `postgresql+psycopg://...`.

    Raises:
        UnavailableError: it cannot be reached or migrated.
        ConflictError: it was written by a newer version of this program.
    """
    engine = _engine(where)
    with _speaking():
        migrate(engine)
    return SqlDesk(engine)


def migrate(engine: Engine) -> None:
    """Run the migrations that are missing.

    Raises:
        ConflictError: the database is at a revision that this program does not know.
    """
    with engine.connect() as connection:
        known = inspect(connection).has_table("alembic_version")
        revision = connection.execute(text("select version_num from alembic_version")).scalar() if known else None
        connection.rollback()
    if revision == tables.REVISION:
        return
    # half a second of imports that a database in order never pays
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise ConflictError(
                f"the database is at revision `{revision}`, which this version does not know; use a newer strongroom"
            ) from error
        connection.commit()


def _engine(where: Path | str) -> Engine:
    if isinstance(where, Path):
        engine = create_engine(
            URL.create("sqlite", database=str(where)), connect_args={"timeout": BUSY_TIMEOUT_MS / 1000}
        )
    elif where.startswith("sqlite"):
        raise ConflictError("a SQLite database is given as a file path")
    else:
        return create_engine(where, isolation_level="SERIALIZABLE", pool_pre_ping=True)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        # the driver would begin transactions by itself, and not before reads; we say BEGIN ourselves
        connection.isolation_level = None
        # secure_delete: outcomes that go with an erased subject must not stay in free pages; not every build has it on
        durable = ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON")
        for pragma in (*durable, "foreign_keys=ON", f"busy_timeout={BUSY_TIMEOUT_MS}"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


@contextmanager
def _speaking() -> Iterator[None]:
    """The database's errors in our words."""
    try:
        yield
    except IntegrityError as error:
        raise ConflictError("this stands in the database already") from error
    except SQLAlchemyError as error:
        raise UnavailableError("the control plane's database did not answer; try again") from error
