"""Page 22: which `[source]` a reader takes, and which statement of a conversion stands for which files."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from strongroom.encoding import canonical
from strongroom.errors import InvalidInputError, TamperedError
from strongroom.registry.source import Source
from strongroom.registry.toml import read_contract
from strongroom.sealing.statements import REPLICATION, make_statement
from strongroom.sealing.statements import read_statement as read_statement_of
from strongroom.validation.jobs.scan import _conversion, _Findings
from strongroom.validation.workshop.conversion import read_statement
from strongroom.validation.workshop.replication import ReplicationPredicate
from strongroom.vocabulary import ModelRef, digest_of
from tests.registry.room import package_files
from tests.validation import packages
from tests.vectors.make_source import PAGE, vectors

VECTORS: dict[str, Any] = json.loads(PAGE.read_text())
CONTRACT = package_files()["model.toml"].decode()
STATED = Source(format="sklearn", files=("source/m.joblib",))


def cases(document: str) -> Any:
    listed = [(what, case) for what, these in VECTORS[document].items() for case in these]
    return pytest.mark.parametrize(("what", "vector"), listed, ids=[f"{what}-{case['name']}" for what, case in listed])


def test_the_file_is_what_its_generator_writes() -> None:
    assert vectors() == VECTORS


@cases("model.toml")
def test_a_source_is_read_or_refused_with_its_rule(what: str, vector: dict[str, Any]) -> None:
    document = f"{CONTRACT}\n{vector['toml']}".encode()
    if what == "reject":
        with pytest.raises(InvalidInputError) as caught:
            read_contract(document)
        assert caught.value.details["rule"] == vector["rule"]
        return
    source = read_contract(document).source
    assert not isinstance(source, msgspec.UnsetType)
    assert source.tolerance == vector["tolerance"]


@cases("training")
def test_a_training_is_read_or_refused_with_its_rule(what: str, vector: dict[str, Any]) -> None:
    document = f"{CONTRACT}\n{vector['toml']}".encode()
    if what == "reject":
        with pytest.raises(InvalidInputError) as caught:
            read_contract(document)
        assert caught.value.details["rule"] == vector["rule"]
    else:
        assert not isinstance(read_contract(document).training, msgspec.UnsetType)


@cases("replication")
def test_an_outcome_of_training_is_taken_or_refused(what: str, vector: dict[str, Any]) -> None:
    payload = make_statement(ModelRef("pd-cards", digest_of(b"m")), REPLICATION, vector["predicate"])
    if what == "reject":
        with pytest.raises(TamperedError):
            read_statement_of(payload, REPLICATION, ReplicationPredicate)
    else:
        _, said = read_statement_of(payload, REPLICATION, ReplicationPredicate)
        assert canonical(said) == canonical(vector["predicate"])


@cases("conversion.json")
def test_a_statement_stands_for_these_files_or_for_none(what: str, vector: dict[str, Any]) -> None:
    findings, said = _Findings(), canonical(vector["statement"])
    files = {path: text.encode() for path, text in vector["files"].items()}
    contract = msgspec.structs.replace(packages.contract(), source=STATED)
    _conversion({**files, "conversion.json": said}, contract, findings)
    assert {(one.rule, one.severity) for one in findings.all} == (
        {("conversion", "refuse")} if what == "reject" else set()
    )
    if what == "accept":
        digest, predicate = read_statement(said)
        assert digest == digest_of(files["model.onnx"])
        assert canonical(predicate) == canonical(vector["statement"]["predicate"])
