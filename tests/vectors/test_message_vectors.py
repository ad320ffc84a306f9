"""`messages.json`: what RFC 9421 published verifies, and what we accept and refuse stays so."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from strongroom.access.content_digest import check_digest
from strongroom.access.signature_fields import signature_base
from strongroom.access.signed_answers import verify_answer
from strongroom.access.signed_requests import Terms, check_request
from strongroom.access.signing_keys import MessageKey
from strongroom.adapters.access.memory_nonces import MemoryNonces
from strongroom.errors import NotPermittedError, TamperedError
from strongroom.vocabulary import PersonId
from tests.vectors.make_messages import answers

VECTORS = json.loads((Path(__file__).parent / "messages.json").read_text())
TERMS = Terms(
    {key["id"]: msgspec.convert(key, MessageKey).verifier() for key in VECTORS["keys"]},
    require_signed=True,
    sign_answers=False,
)


@pytest.mark.parametrize("vector", VECTORS["published"], ids=lambda vector: vector["source"])
def test_published_signatures_verify_over_our_bases(vector: dict[str, Any]) -> None:
    key = MessageKey.from_pem(vector["pem"].encode()).verifier()
    signature = base64.b64decode(vector["signature"])
    lines = [(name, value.encode()) for name, value in vector["lines"]]
    key.verify(signature, signature_base(lines, vector["value"].encode()))
    for other in (lines[::-1], lines[1:], [(name, value + b"x") for name, value in lines]):
        with pytest.raises(TamperedError):
            key.verify(signature, signature_base(other, vector["value"].encode()))
    if "digest" in vector:
        check_digest(vector["digest"]["field"].encode(), vector["digest"]["body"].encode())


def check(case: dict[str, Any]) -> bool:
    headers = {name.encode(): value.encode() for name, value in case["headers"].items()}
    return check_request(
        PersonId("loan-desk"), TERMS, case["method"].encode(), case["target"].encode(), headers, case["body"].encode(),
        MemoryNonces(), case["now"] * 1_000_000,
    )  # fmt: skip


@pytest.mark.parametrize("case", VECTORS["accept"], ids=lambda case: case["name"])
def test_accepted(case: dict[str, Any]) -> None:
    assert check(case) is True


@pytest.mark.parametrize("case", VECTORS["reject"], ids=lambda case: case["name"])
def test_refused(case: dict[str, Any]) -> None:
    with pytest.raises(NotPermittedError) as raised:
        check(case)
    assert raised.value.details["rule"] == case["refused"]


def check_answer(case: dict[str, Any]) -> None:
    pinned = {VECTORS["answers"]["key"]["id"]: msgspec.convert(VECTORS["answers"]["key"], MessageKey).verifier()}
    headers, asked = (
        {name.encode(): value.encode() for name, value in case[which].items()} for which in ("headers", "request")
    )
    request = case["method"].encode(), case["target"].encode(), asked
    verify_answer(pinned, request, case["status"], headers, case["body"].encode(), case["now"], case["nonce"])


def test_the_answers_are_what_their_generator_writes() -> None:
    assert answers() == VECTORS["answers"]


@pytest.mark.parametrize("case", VECTORS["answers"]["accept"], ids=lambda case: case["name"])
def test_accepted_answers(case: dict[str, Any]) -> None:
    check_answer(case)


@pytest.mark.parametrize("case", VECTORS["answers"]["reject"], ids=lambda case: case["name"])
def test_refused_answers(case: dict[str, Any]) -> None:
    with pytest.raises(TamperedError) as raised:
        check_answer(case)
    assert raised.value.details["rule"] == case["refused"]
