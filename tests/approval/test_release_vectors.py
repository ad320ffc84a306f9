"""Formats 6 and 9 against their vectors: what was accepted once must read for ever."""

from __future__ import annotations

import json
from typing import Any

import pytest

from strongroom.approval import pointers, release, statements
from strongroom.encoding import canonical, parse_as
from strongroom.errors import InvalidInputError
from strongroom.vocabulary import digest_of
from tests.vectors.make_release import FILE, vectors

VECTORS = json.loads(FILE.read_text())
TYPES: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        release.Release,
        pointers.Pointer,
        statements.Approval,
        statements.Halt,
        statements.Lift,
        statements.Review,
    )
}


def test_the_file_is_what_its_generator_writes() -> None:
    assert vectors() == VECTORS


@pytest.mark.parametrize("vector", VECTORS["accept"], ids=lambda vector: vector["type"])
def test_accept(vector: dict[str, str]) -> None:
    data = vector["document"].encode()
    assert digest_of(data) == vector["sha256"]
    assert canonical(parse_as(data, TYPES[vector["type"]])) == data


@pytest.mark.parametrize("vector", VECTORS["reject"], ids=lambda vector: f"{vector['type']}: {vector['why']}")
def test_reject(vector: dict[str, str]) -> None:
    with pytest.raises(InvalidInputError):
        parse_as(vector["document"].encode(), TYPES[vector["type"]])
