"""The entry document: read strictly, written canonically, and the tables it waits in on either database."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from strongroom.access.verbs import VERBS
from strongroom.adapters.database.tables import metadata
from strongroom.encoding import canonical
from strongroom.errors import InvalidInputError, RefusedError, StrongroomError
from strongroom.office.acts import Act, Resource
from strongroom.office.entries import Entry, done, refused
from tests.office.conftest import ANN, AT

ACT = Act(ANN, "backup", Resource("Room", "credit"), AT)
GOOD = json.loads(done("0" * 32, ACT, {"digest": "a", "count": 3, "first": True}).encode())


def test_the_control() -> None:
    assert Entry.decode(canonical(GOOD)).encode() == canonical(GOOD)


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"v": True},
        {"at_us": True},
        {"type": "decision"},
        {"type": None},
        {"outcome": "perhaps"},
        {"at_us": "1"},
        {"on": {"kind": "Room"}},
        {"on": {"kind": "Room", "id": "x", "more": 1}},
        {"facts": []},
        {"facts": {"score": 0.5}},
        {"more": 1},
    ],
)
def test_an_entry_out_of_form_is_refused(change: dict[str, object]) -> None:
    data = json.dumps({**GOOD, **change}, sort_keys=True, separators=(",", ":")).encode()
    with pytest.raises(InvalidInputError):
        Entry.decode(data)


@pytest.mark.parametrize("field", sorted(GOOD))
def test_no_field_may_be_missing(field: str) -> None:
    short = {name: value for name, value in GOOD.items() if name != field}
    with pytest.raises(InvalidInputError):
        Entry.decode(canonical(short))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInputError):
        Entry.decode(data)


@settings(max_examples=200, deadline=None)
@given(
    message=st.text(st.characters(), max_size=3000),
    details=st.dictionaries(st.text(min_size=1, max_size=20), st.text(max_size=3000) | st.integers(), max_size=30),
    verb=st.text(max_size=100),
    name=st.text(max_size=400),
)
def test_any_refusal_can_be_written(message: str, details: dict[str, str | int], verb: str, name: str) -> None:
    error = RefusedError(message)
    error.details = details
    data = refused("0" * 32, Act(ANN, verb + "\udc80", Resource("Room", "\ud800" + name), AT), error).encode()
    assert Entry.decode(data).outcome == "refused"


def test_every_family_of_errors_is_recorded_by_its_code() -> None:
    def walk(kind: type[StrongroomError]) -> list[type[StrongroomError]]:
        return [kind, *(found for below in kind.__subclasses__() for found in walk(below))]

    for kind in walk(StrongroomError):
        if kind.__module__ == "strongroom.errors":
            entry = refused("0" * 32, ACT, kind("why", place=1))
            assert (entry.code, entry.reason, entry.facts) == (kind.code, "why", {"place": 1})


def test_the_kind_of_an_entry_is_the_verbs() -> None:
    for verb, rule in VERBS.items():
        if rule.entry not in ("open", "close"):
            assert done("0" * 32, Act(ANN, verb, Resource("Room", "r"), AT), {}).type == rule.entry


def test_the_tables_are_also_postgresql_tables() -> None:
    dialect = postgresql.dialect()
    for table in metadata.sorted_tables:
        text = str(CreateTable(table).compile(dialect=dialect))
        assert "BLOB" not in text
        for index in table.indexes:
            assert str(CreateIndex(index).compile(dialect=dialect))
