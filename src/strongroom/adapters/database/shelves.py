"""The rooms' shelves over SQL. Each belongs to one transaction; its rules are its port's, to the letter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from strongroom.access.grants import Grants
from strongroom.adapters.database import tables
from strongroom.approval.cases import Case
from strongroom.errors import ConflictError, NotFoundError, TamperedError
from strongroom.registry.versions import PointerChange, Version
from strongroom.vocabulary import ModelRef, micros

T = TypeVar("T")


class SqlVersions:
    """`registry.ports.Versions`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, version: Version) -> None:
        try:
            self._connection.execute(
                insert(tables.versions).values(
                    model=version.ref.name,
                    manifest=version.ref.manifest,
                    submitted_us=micros(version.submitted_at),
                    document=_encode(version),
                )
            )
        except IntegrityError as error:
            raise ConflictError(f"version {version.ref} is registered already") from error

    def save(self, version: Version) -> None:
        if _fixed(self.get(version.ref)) != _fixed(version):
            raise ConflictError(f"version {version.ref} is immutable; submit a new one")
        table = tables.versions
        self._connection.execute(
            update(table)
            .where(table.c.model == version.ref.name, table.c.manifest == version.ref.manifest)
            .values(document=_encode(version))
        )

    def get(self, ref: ModelRef) -> Version:
        table = tables.versions
        row = self._connection.execute(
            select(table).where(table.c.model == ref.name, table.c.manifest == ref.manifest)
        ).one_or_none()
        if row is None:
            raise NotFoundError(f"no version {ref} is registered")
        return self._read(row)

    def of_model(self, name: str) -> Sequence[Version]:
        table = tables.versions
        rows = self._connection.execute(
            select(table).where(table.c.model == name).order_by(table.c.submitted_us, table.c.manifest)
        )
        return [self._read(row) for row in rows]

    def models(self) -> Sequence[str]:
        query = select(tables.versions.c.model).distinct().order_by(tables.versions.c.model)
        return [row.model for row in self._connection.execute(query)]

    def _read(self, row: Row[Any]) -> Version:
        version = _decode(row.document, Version)
        if version.ref != ModelRef(row.model, row.manifest):
            raise TamperedError(f"the database holds another version under {row.model}@{row.manifest[:12]}")
        return version


class SqlPointers:
    """`registry.ports.Pointers`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, change: PointerChange) -> None:
        table = tables.pointers
        last = self._connection.execute(
            select(table.c.sequence, table.c.at_us)
            .where(table.c.model == change.model)
            .order_by(table.c.sequence.desc())
            .limit(1)
        ).one_or_none()
        sequence, at_us = (0, 0) if last is None else (last.sequence, last.at_us)
        if change.sequence != sequence + 1 or micros(change.at) < at_us:
            raise ConflictError(f"pointer change {change.sequence} of `{change.model}` does not follow the last one")
        self._connection.execute(
            insert(table).values(
                model=change.model, sequence=change.sequence, at_us=micros(change.at), document=_encode(change)
            )
        )

    def history(self, name: str) -> Sequence[PointerChange]:
        table = tables.pointers
        rows = self._connection.execute(
            select(table.c.document).where(table.c.model == name).order_by(table.c.sequence)
        )
        return tuple(_decode(row.document, PointerChange) for row in rows)


class SqlCases:
    """`approval.ports.Cases`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, case_id: str) -> Case:
        row = self._connection.execute(
            select(tables.cases.c.document).where(tables.cases.c.id == case_id)
        ).one_or_none()
        if row is None:
            raise NotFoundError(f"there is no case `{case_id[:128]}`")
        return _decode(row.document, Case)

    def of_model(self, ref: ModelRef) -> Case:
        table = tables.cases
        row = self._connection.execute(
            select(table.c.document)
            .where(table.c.model == ref.name, table.c.manifest == ref.manifest)
            .order_by(table.c.opened_us.desc(), table.c.id.desc())
            .limit(1)
        ).one_or_none()
        if row is None:
            raise NotFoundError(f"there is no case about {ref}")
        return _decode(row.document, Case)

    def put(self, case: Case) -> None:
        table = tables.cases
        if case.revision == 1:
            try:
                self._connection.execute(
                    insert(table).values(
                        id=case.id,
                        model=case.ref.name,
                        manifest=case.ref.manifest,
                        opened_us=case.history[0].at_us if case.history else 0,
                        revision=1,
                        document=_encode(case),
                    )
                )
            except IntegrityError as error:
                raise ConflictError(f"case `{case.id}` is there already") from error
            return
        done = self._connection.execute(
            update(table)
            .where(table.c.id == case.id, table.c.revision == case.revision - 1)
            .values(revision=case.revision, document=_encode(case))
        )
        if done.rowcount != 1:
            raise ConflictError(f"case `{case.id}` was changed by someone else; read it again")


class SqlGrants:
    """`access.ports.GrantsShelf`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def current(self) -> Grants:
        row = self._connection.execute(
            select(tables.grants.c.document).order_by(tables.grants.c.sequence.desc()).limit(1)
        ).one_or_none()
        if row is None:
            raise NotFoundError("no calling system has been granted anything yet")
        return Grants.decode(row.document)

    def put(self, grants: Grants) -> None:
        try:
            last = self.current().sequence
        except NotFoundError:
            last = 0
        if grants.sequence != last + 1:
            raise ConflictError(f"grants {grants.sequence} do not follow {last}; read them again")
        self._connection.execute(insert(tables.grants).values(sequence=grants.sequence, document=grants.encode()))


def _fixed(version: Version) -> Version:
    """What must not change, with everything that may set to one value."""
    sealed = replace(version.sealed, wrapped=version.sealed.manifest)
    return replace(version, state="submitted", sample=None, evidence={}, papers=(), sealed=sealed)


def _encode(value: object) -> bytes:
    return msgspec.json.encode(value, enc_hook=_plain)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} cannot stand in the database")


def _decode(data: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise TamperedError(f"the database holds something that is not a {kind.__name__}") from error
