"""A tile store in a database table (PostgreSQL; SQLite for trials) through SQLAlchemy. Extra: `postgres`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Engine,
    LargeBinary,
    MetaData,
    String,
    Table,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from strongroom.errors import ConflictError, UnavailableError

_metadata = MetaData()
_tiles = Table(
    "published_tiles",
    _metadata,
    Column("origin", String(400), primary_key=True),
    Column("path", String(200), primary_key=True),
    Column("content", LargeBinary, nullable=False),
)


class TableTiles:
    """See `ledger.publication.TileStore`. Many logs share the table.

    Args:
        engine: with its credentials.
        origin: of the log.
    """

    def __init__(self, engine: Engine, origin: str) -> None:
        self._engine = engine
        self._origin = origin
        with self._reaching("the table"):
            _metadata.create_all(engine)

    def get(self, path: str) -> bytes | None:
        with self._reaching(path), self._engine.connect() as connection:
            return self._get(connection, path)

    def exists(self, path: str) -> bool:
        with self._reaching(path), self._engine.connect() as connection:
            return connection.execute(select(_tiles.c.path).where(*self._at(path))).first() is not None

    def put(self, path: str, content: bytes) -> None:
        if not self._inserted(path, content) and self.get(path) != content:
            raise ConflictError(f"`{path}` holds other bytes; what is published never changes")

    def replace(self, path: str, content: bytes, expected: bytes | None) -> None:
        if expected is None:
            done = self._inserted(path, content)
        else:
            # one statement: the database holds the row while it compares and writes
            statement = update(_tiles).where(*self._at(path), _tiles.c.content == expected).values(content=content)
            with self._reaching(path), self._engine.begin() as connection:
                done = connection.execute(statement).rowcount == 1
        if not done:
            raise ConflictError(f"`{path}` was replaced by another writer; read it again")

    def _inserted(self, path: str, content: bytes) -> bool:
        try:
            with self._reaching(path), self._engine.begin() as connection:
                connection.execute(insert(_tiles).values(origin=self._origin, path=path, content=content))
        except ConflictError:
            return False
        return True

    def _get(self, connection: Connection, path: str) -> bytes | None:
        row = connection.execute(select(_tiles.c.content).where(*self._at(path))).first()
        return None if row is None else bytes(row[0])

    def _at(self, path: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
        return _tiles.c.origin == self._origin, _tiles.c.path == path

    @contextmanager
    def _reaching(self, path: str) -> Iterator[None]:
        try:
            yield
        except IntegrityError as error:
            raise ConflictError(f"`{path}` is there already") from error
        except SQLAlchemyError as error:
            # the library's text may quote the address of the database
            raise UnavailableError(f"the database did not take or give `{path}`; the publication waits") from error
