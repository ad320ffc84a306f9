"""Page 21: which statements of people a reader takes, and which it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from strongroom.encoding import canonical
from strongroom.errors import TamperedError
from strongroom.sealing.statements import FINDING, SECTION, make_statement, read_statement
from strongroom.validation.findings import FindingStep
from strongroom.validation.human_text import SectionText
from strongroom.vocabulary import ModelRef, digest_of
from tests.vectors.make_papers import PAGE, vectors

VECTORS: dict[str, list[dict[str, Any]]] = json.loads(PAGE.read_text())
CASES = [(what, case) for what, listed in VECTORS.items() for case in listed]
SHAPES: dict[str, tuple[str, type[Any]]] = {"section": (SECTION, SectionText), "finding": (FINDING, FindingStep)}
REF = ModelRef("pd-cards", digest_of(b"m"))


def test_the_file_is_what_its_generator_writes() -> None:
    assert vectors() == VECTORS


@pytest.mark.parametrize(("what", "vector"), CASES, ids=[f"{what}-{case['name']}" for what, case in CASES])
def test_statements_are_taken_or_refused(what: str, vector: dict[str, Any]) -> None:
    predicate, shape = SHAPES[vector["predicate"]]
    payload = make_statement(REF, predicate, vector["document"])
    if what == "reject":
        with pytest.raises(TamperedError):
            read_statement(payload, predicate, shape)
        return
    ref, said = read_statement(payload, predicate, shape)
    assert ref == REF
    assert canonical(said) == canonical(vector["document"])
