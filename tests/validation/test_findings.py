"""Findings and people's words: what a statement may say, how one follows another, and what blocks."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import ConflictError, FourEyesError, InvalidInputError, NotFoundError, TamperedError
from strongroom.validation.finding_rules import DEFAULT_FINDINGS
from strongroom.validation.findings import (
    DAY_US,
    FAR_US,
    Accepted,
    Closed,
    FindingStep,
    Raised,
    SignedStep,
    blocking,
    check_step,
    read_findings,
)
from strongroom.validation.human_text import SectionText, Signed, current
from strongroom.vocabulary import Digest, PersonId, digest_of

AT = 1_764_000_000_000_000
ANN, VERA, RITA = PersonId("ann"), PersonId("vera"), PersonId("rita")


def raised(**changes: Any) -> Raised:
    values: dict[str, Any] = {
        "severity": "high", "text": "too low", "owner": ANN, "due_us": AT + DAY_US, "remediation": "recalibrate",
    }  # fmt: skip
    return Raised(**{**values, **changes})


def step(does: Raised | Accepted | Closed, previous: Digest | None = None, **changes: Any) -> SignedStep:
    values: dict[str, Any] = {"finding": "f-1", "person": VERA, "at_us": AT, **changes}
    said = FindingStep(v=1, does=does, previous=previous, **values)
    name = f"{values['finding']}{type(does).__name__}{values['at_us']}".encode()
    return SignedStep(said, digest_of(name), digest_of(b"e" + name))


FIRST = step(raised())
UNTIL = AT + 10 * DAY_US
ACCEPTED = step(Accepted(until_us=UNTIL, reason="small"), FIRST.payload, person=RITA)
CLOSED = step(Closed(evidence=digest_of(b"rerun"), name="rerun.pdf", reason="mended"), ACCEPTED.payload)


def test_a_finding_is_open_accepted_for_a_time_open_again_and_closed() -> None:
    (one,) = read_findings([FIRST])
    assert (one.status(AT), one.overdue(AT), one.overdue(AT + DAY_US)) == ("open", False, True)
    (one,) = read_findings([FIRST, ACCEPTED])
    assert [one.status(at) for at in (AT, UNTIL - 1, UNTIL)] == ["accepted", "accepted", "expired"]
    assert not blocking([one], DEFAULT_FINDINGS, UNTIL - 1)
    (why,) = blocking([one], DEFAULT_FINDINGS, UNTIL)
    assert "`f-1` is high and acceptance expired" in why
    (one,) = read_findings([FIRST, ACCEPTED, CLOSED])
    assert one.status(UNTIL + DAY_US) == "closed"
    assert not one.overdue(UNTIL)
    assert not blocking([one], DEFAULT_FINDINGS, UNTIL)


@pytest.mark.parametrize("severity", ["low", "medium"])
def test_what_the_policy_does_not_name_does_not_block(severity: str) -> None:
    assert not blocking(read_findings([step(raised(severity=severity))]), DEFAULT_FINDINGS, AT)


@given(st.permutations([FIRST, ACCEPTED, CLOSED]), st.integers(0, 3))
def test_no_step_can_be_dropped_or_moved(order: list[SignedStep], kept: int) -> None:
    some = order[:kept]
    if some == [FIRST, ACCEPTED, CLOSED][:kept]:
        assert len(read_findings(some)) == min(kept, 1)
    else:
        with pytest.raises(TamperedError):
            read_findings(some)


@pytest.mark.parametrize(
    ("said", "roles", "error"),
    [
        (step(raised()).said, {"validator"}, ConflictError),
        (step(Accepted(until_us=UNTIL, reason="x"), ACCEPTED.payload, person=RITA).said, {"risk"}, ConflictError),
        (step(Accepted(until_us=UNTIL, reason="x"), FIRST.payload, person=ANN).said, {"risk"}, FourEyesError),
        (step(Accepted(until_us=UNTIL, reason="x"), FIRST.payload, person=RITA).said, {"approver"}, FourEyesError),
        (
            step(Accepted(until_us=AT + 366 * DAY_US, reason="x"), FIRST.payload, person=RITA).said,
            {"risk"},
            InvalidInputError,
        ),
        (
            step(Closed(evidence=digest_of(b""), name="x", reason="x"), FIRST.payload, person=PersonId("zoe")).said,
            {"validator"},
            FourEyesError,
        ),
        (
            step(Closed(evidence=digest_of(b""), name="x", reason="x"), FIRST.payload, finding="f-2").said,
            {"validator"},
            NotFoundError,
        ),
    ],
)
def test_who_may_say_what(said: FindingStep, roles: set[str], error: type[Exception]) -> None:
    with pytest.raises(error):
        check_step(said, read_findings([FIRST]), frozenset(roles), PersonId("zoe"), DEFAULT_FINDINGS)


def test_what_may_be_said_is_said() -> None:
    found = read_findings([FIRST])
    check_step(step(raised(), finding="f-2").said, found, frozenset(), ANN, DEFAULT_FINDINGS)
    check_step(ACCEPTED.said, found, frozenset({"risk"}), ANN, DEFAULT_FINDINGS)
    closing = step(Closed(evidence=digest_of(b""), name="x", reason="x"), FIRST.payload).said
    check_step(closing, found, frozenset(), ANN, DEFAULT_FINDINGS)
    with pytest.raises(ConflictError, match="closed"):
        check_step(closing, read_findings([FIRST, ACCEPTED, CLOSED]), frozenset(), ANN, DEFAULT_FINDINGS)


@pytest.mark.parametrize("day", [AT, AT - 1, AT + FAR_US + 1])
def test_days_lie_ahead_and_not_beyond_reason(day: int) -> None:
    with pytest.raises(InvalidInputError):
        step(raised(due_us=day))
    with pytest.raises(InvalidInputError):
        step(Accepted(until_us=day, reason="x"), FIRST.payload)


def text(section: str = "intended-use", role: str = "author", at_us: int = AT, **changes: Any) -> SectionText:
    values: dict[str, Any] = {"section": section, "role": role, "text": "what it is for", **changes}
    return SectionText(v=1, person=ANN, at_us=at_us, **values)


def test_the_latest_words_of_each_role_count() -> None:
    said = [text(at_us=AT + n, role=role) for n, role in enumerate(("author", "validator", "author"))]
    signed = [Signed(one, digest_of(str(n).encode()), "k") for n, one in enumerate(said)]
    assert [one.said.at_us - AT for one in current(signed)] == [1, 2]


@pytest.mark.parametrize(
    "changes",
    [
        {"text": " \n"},
        {"text": "a\x1b[31m"},
        {"text": "x" * 20_001},
        {"role": "caller"},
        {"materiality": "high"},
        {"materiality": "high", "complexity": "low"},
        {"section": "elsewhere"},
    ],
)
def test_words_out_of_form_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        text(**changes)
    assert text(section="identity", materiality="high", complexity="low").paragraphs == ("what it is for",)
