"""Answers bound to their requests, from both sides."""

from __future__ import annotations

from typing import Any

import pytest

from strongroom.access.signed_answers import (
    ANSWER_TAG,
    Wish,
    answer_fields,
    answer_lines,
    demand_signable,
    read_wish,
    verify_answer,
)
from strongroom.access.signing_keys import MessageSigner
from strongroom.errors import InvalidInputError, TamperedError
from tests.access.signing import FIELDS, NODE, NOW_S, STRANGER, TARGET, signed

NONCE = "v" * 24
ACCEPT = b'sr=("@status" "content-digest");created;nonce="%b";tag="%b"' % (NONCE.encode(), ANSWER_TAG.encode())
ANSWER = b'{"outputs":[]}'
PINNED = {NODE.public.id: NODE.public.verifier()}
Request = tuple[bytes, bytes, dict[bytes, bytes]]


def question(**more: bytes) -> Request:
    return (
        b"POST",
        TARGET,
        signed(headers=FIELDS | {b"accept-signature": ACCEPT} | {k.encode(): v for k, v in more.items()}),
    )


def answer(
    request: Request, wish: Wish | None = None, status: int = 200, signer: MessageSigner = NODE, **headers: bytes
) -> dict[bytes, bytes]:
    fields = {b"content-type": b"application/json"} | {k.replace("_", "-").encode(): v for k, v in headers.items()}
    made = wish or read_wish(request[2], sign_answers=False, signer=NODE)
    assert made is not None
    return fields | answer_fields(made, signer, request, status, fields, ANSWER, NOW_S)


def verify(request: Request, headers: dict[bytes, bytes], **more: Any) -> None:
    given = {"keys": PINNED, "status": 200, "body": ANSWER, "at_s": NOW_S, "nonce": NONCE} | more
    verify_answer(given["keys"], request, given["status"], headers, given["body"], given["at_s"], given["nonce"])


def test_an_answer_is_of_its_request_and_of_no_other() -> None:
    request = question()
    headers = answer(request)
    verify(request, headers)
    others: list[Request] = [
        (b"GET", *request[1:]),
        (request[0], TARGET + b"x", request[2]),
        (request[0], TARGET, request[2] | {b"host": b"elsewhere"}),
        (request[0], TARGET, request[2] | {b"content-digest": b"sha-256=:AA==:"}),
        question(),  # signed anew: another nonce and another signature
        (request[0], TARGET, {k: v for k, v in request[2].items() if not k.startswith(b"signature")}),
    ]
    for other in others:
        with pytest.raises(TamperedError):
            verify(other, headers)


@pytest.mark.parametrize(
    "change",
    [
        {"status": 403},
        {"body": ANSWER + b" "},
        {"at_s": NOW_S + 301},
        {"at_s": NOW_S - 301},
        {"nonce": "w" * 24},
        {"nonce": None},
        {"keys": {STRANGER.public.id: STRANGER.public.verifier()}},
        {"keys": {NODE.public.id: STRANGER.public.verifier()}},
    ],
)
def test_whatever_differs_is_tampering(change: dict[str, Any]) -> None:
    request = question()
    headers = answer(request)
    with pytest.raises(TamperedError):
        verify(request, headers, **change)


def test_both_ends_of_the_age_of_an_answer_are_in_it() -> None:
    request = question()
    headers = answer(request)
    for at_s in (NOW_S - 300, NOW_S + 300):
        verify(request, headers, at_s=at_s)


def test_the_lines_of_an_answer_are_these() -> None:
    asked = {b"host": b"H", b"authorization": b"secret", b"signature": b"sr=:AA==:", b"x": b"1"}
    assert answer_lines((b"POST", b"/a?b", asked), 200, {b"content-digest": b"d", b"content-type": b"t"}) == {
        '"@status"': b"200", '"content-digest"': b"d", '"content-type"': b"t", '"@method";req': b"POST",
        '"@authority";req': b"h", '"@path";req': b"/a", '"@query";req': b"?b", '"signature";req': b"sr=:AA==:",
    }  # fmt: skip


def test_a_request_that_no_answer_could_be_signed_with_is_told_which_field() -> None:
    demand_signable((b"POST", TARGET, FIELDS | {b"authorization": b"\xe9", b"user-agent": b"\xe9"}))
    for field, asked in (
        ("host", (b"POST", TARGET, {b"host": b"\xe9"})),
        ("content-type", (b"POST", TARGET, {b"content-type": b"\xe9"})),
        ("signature", (b"POST", TARGET, {b"signature": b"\xe9"})),
        ("@path", (b"POST", b"/\xe9", {})),
    ):
        with pytest.raises(InvalidInputError, match=f"`{field}` of the request") as caught:
            demand_signable(asked)  # type: ignore[arg-type]  # three parts
        assert (caught.value.details["field"], caught.value.details["rule"]) == (field, "ascii")


def test_the_signature_of_a_request_may_be_asked_for_where_there_is_one() -> None:
    wish = {b"accept-signature": b'sr=("@status" "signature";req "signature-input";req)'}
    signs = {b"signature": b"sr=:AA==:", b"signature-input": b"sr=()"}
    assert read_wish(wish | signs, sign_answers=False, signer=NODE) == Wish("sha-256", "sr")
    for missing in signs:
        with pytest.raises(InvalidInputError, match="not signed over"):
            read_wish(wish | {name: signs[name] for name in signs if name != missing}, sign_answers=False, signer=NODE)


def test_fields_of_meaning_are_covered_in_an_answer_too() -> None:
    request = question()
    headers = answer(request, inference_header_content_length=b"12")
    verify(request, headers)
    for bad in (
        headers | {b"inference-header-content-length": b"13"},
        {k: v for k, v in headers.items() if k != b"inference-header-content-length"},
        headers | {b"content-encoding": b"gzip"},
        headers | {b"content-type": b"text/html"},
        {k: v for k, v in headers.items() if k != b"signature"},
        {k: v for k, v in headers.items() if k != b"content-digest"},
        {},
    ):
        with pytest.raises(TamperedError):
            verify(request, bad)


def test_a_caller_gets_what_it_asked_for() -> None:
    none: dict[bytes, bytes] = {}
    assert read_wish(none, sign_answers=False, signer=NODE) is None
    assert read_wish(none, sign_answers=True, signer=NODE) == Wish("sha-256", "sr")
    digest = {b"want-content-digest": b"sha-512=1"}
    assert read_wish(digest, sign_answers=False, signer=None) == Wish("sha-512")
    fields = answer_fields(Wish("sha-512"), NODE, question(), 200, {}, ANSWER, NOW_S)
    assert fields.keys() == {b"content-digest"}
    assert read_wish({b"accept-signature": b"mine=()"}, sign_answers=False, signer=NODE) == Wish("sha-256", "mine")


@pytest.mark.parametrize(
    "accept",
    [
        b"",
        b"sr",
        b"sr=1",
        b"a=(), b=()",
        b'sr=("@status" "date")',
        b'sr=("signature";req)',
        b'sr=("@status";sf)',
        b'sr=();keyid="other"',
        b'sr=();alg="hmac-sha256"',
        b'sr=();tag="other"',
        b'sr=();nonce="short"',
        b'sr=();nonce="aaaaaaaaaaaaaaaaaaaa\\""',
        b"sr=();expires",
        b"sr=();created=1",
    ],
)
def test_a_wish_that_is_not_met_is_refused_and_not_forgotten(accept: bytes) -> None:
    with pytest.raises(InvalidInputError):
        read_wish({b"accept-signature": accept}, sign_answers=False, signer=NODE)


def test_a_node_without_a_key_says_so() -> None:
    with pytest.raises(InvalidInputError, match="no key"):
        read_wish({b"accept-signature": b"sr=()"}, sign_answers=False, signer=None)
