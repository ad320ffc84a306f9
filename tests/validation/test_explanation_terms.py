"""The policy chooses which explanations are taken; a version that breaks it is not validated."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from strongroom.encoding import canonical, parse
from strongroom.errors import InvalidInputError
from strongroom.validation.explanation_terms import ExplanationTerms
from strongroom.validation.policy import ValidationPolicy
from tests.validation.test_explanation_traps import worked
from tests.validation.worked import POLICY, contract


def objections(terms: ExplanationTerms | msgspec.UnsetType, about: Any) -> tuple[str, ...]:
    policy = msgspec.structs.replace(ValidationPolicy.decode(POLICY.read_bytes()), explanation=terms)
    return ValidationPolicy.decode(policy.encode()).objections(about)


def test_a_policy_that_chooses_nothing_takes_everything_and_keeps_its_bytes() -> None:
    assert b'"explanation"' not in ValidationPolicy.decode(POLICY.read_bytes()).encode()
    assert objections(msgspec.UNSET, worked()[0]) == ()


def test_what_the_policy_does_not_take_is_named_with_the_next_step() -> None:
    explained = worked()[0]
    assert explained.explanation.method == "interventional"
    rows = len(explained.explanation.reference)
    assert objections(ExplanationTerms(methods=("interventional",), least_reference=rows), explained) == ()
    (method,) = objections(ExplanationTerms(methods=("path-dependent",)), explained)
    assert "not interventional; change `method`" in method
    (few,) = objections(ExplanationTerms(methods=("interventional",), least_reference=rows + 1), explained)
    assert f"has {rows}; add rows" in few
    plain = contract(("a",), "t", "m")
    assert objections(ExplanationTerms(methods=("interventional",)), plain) == ()
    (lacking,) = objections(ExplanationTerms(methods=("interventional",), required=("pd",)), plain)
    assert "add [explanation]" in lacking


def test_such_a_version_is_not_validated() -> None:
    from strongroom.errors import EvidenceError
    from tests.validation.test_validate_verb import InProcess, house

    terms = ExplanationTerms(methods=("interventional",), required=("pd",))
    policy = msgspec.structs.replace(ValidationPolicy.decode(POLICY.read_bytes()), explanation=terms)
    with pytest.raises(EvidenceError, match=r"is not validated: the policy wants reason codes .* add \[explanation\]"):
        house().validate(InProcess(), policy=policy.encode())


@pytest.mark.parametrize(
    "change",
    [{"methods": []}, {"methods": ["magic"]}, {"methods": ["interventional"] * 2}, {"least_reference": 0},
     {"least_reference": 65}, {"unknown": 1}],
)  # fmt: skip
def test_terms_that_make_no_sense_are_refused(change: dict[str, Any]) -> None:
    document = parse(POLICY.read_bytes())
    document["explanation"] = {"methods": ["interventional"], "least_reference": 4, "required": [], **change}
    with pytest.raises(InvalidInputError):
        ValidationPolicy.decode(canonical(document))
