"""Format 1: what is canonical and what is not."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom import verify
from strongroom.encoding import canonical, parse, parse_as, pretty
from strongroom.errors import InvalidInputError, TamperedError, TooLargeError
from strongroom.registry.samples import SampleStatement
from strongroom.sealing.statements import SAMPLE, make_statement, read_statement
from strongroom.verify import parse_canonical
from strongroom.vocabulary import Digest, ModelRef, PersonId

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "encoding.json").read_text())
DOCUMENTS: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(max_codepoint=127)), inner, max_size=4)
    ),
    max_leaves=20,
)


@pytest.mark.parametrize("case", VECTORS["accept"], ids=lambda case: bytes.fromhex(case["hex"])[:20].decode())
def test_accept(case: dict[str, str]) -> None:
    data = bytes.fromhex(case["hex"])
    assert canonical(parse(data)) == data


@pytest.mark.parametrize("case", VECTORS["reject"], ids=lambda case: f"{case['rule']}-{case['hex'][:24]}")
def test_reject(case: dict[str, str]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse(bytes.fromhex(case["hex"]))
    assert caught.value.details["rule"] == case["rule"]


def test_the_offline_verifier_reads_the_same_documents() -> None:
    for case in VECTORS["accept"]:
        data = bytes.fromhex(case["hex"])
        assert parse_canonical(data) == parse(data)
    for case in VECTORS["reject"]:
        with pytest.raises(verify.TamperedError):
            parse_canonical(bytes.fromhex(case["hex"]))


@given(st.binary(max_size=40) | DOCUMENTS.map(canonical))
def test_the_offline_verifier_agrees_on_any_bytes(data: bytes) -> None:
    try:
        here = parse(data)
    except InvalidInputError:
        with pytest.raises(verify.TamperedError):
            parse_canonical(data)
    else:
        assert parse_canonical(data) == here


@given(DOCUMENTS)
def test_what_is_written_is_read_and_equals_the_standard_library(document: Any) -> None:
    data = canonical(document)
    assert parse(data) == document
    # The offline verifier has only the standard library; format 1 is the same bytes there.
    assert json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() == data


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(InvalidInputError):
        assert canonical(parse(data)) == data


def test_limits_and_kinds() -> None:
    with pytest.raises(TooLargeError):
        parse(b'"' + b"a" * 100 + b'"', 50)
    for wrong in (0.5, {"a": 1.0}, {1: 2}, "\ud800", {"ü": 1}, 2**53):
        with pytest.raises(InvalidInputError):
            canonical(wrong)
    assert canonical({"a": (1, 2)}) == b'{"a":[1,2]}'
    assert parse(b'"aaa"', 5) == "aaa"
    with pytest.raises(TooLargeError, match="5 bytes exceeds the limit of 4"):
        parse(b'"aaa"', 4)
    with pytest.raises(InvalidInputError, match="not JSON"):
        parse(bytes(64 * 1024 * 1024))
    with pytest.raises(TooLargeError, match="67108864"):
        parse(bytes(64 * 1024 * 1024 + 1))


@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: (inner,), lambda inner: {"a": inner}])
def test_a_document_nests_32_deep_at_most(wrap: Callable[[Any], Any]) -> None:
    document: Any = 1
    for _ in range(32):
        document = wrap(document)
    assert parse(canonical(document)) is not None
    for read, deeper in (
        (canonical, wrap(document)),
        (parse, json.dumps(wrap(document), separators=(",", ":")).encode()),
    ):
        with pytest.raises(InvalidInputError, match="more than 32 deep") as caught:
            read(deeper)
        assert caught.value.details["rule"] == "depth"


def test_for_people_it_is_indented_and_in_their_letters() -> None:
    assert pretty({"b": 1, "a": "\u00e9"}) == '{\n  "a": "\u00e9",\n  "b": 1\n}'


def test_a_document_without_its_version_is_none() -> None:
    told = SampleStatement(manifest=Digest("a" * 64), rows=1, source="2025", person=PersonId("vera"), at_us=1)
    plain = parse(canonical(told))
    ref = ModelRef("pd", Digest("b" * 64))
    assert read_statement(make_statement(ref, SAMPLE, plain), SAMPLE, SampleStatement) == (ref, told)
    for wrong in ({}, {"v": 2}):
        document = {name: value for name, value in plain.items() if name != "v"} | wrong
        with pytest.raises(InvalidInputError, match="version of its format" if not wrong else "SampleStatement"):
            parse_as(canonical(document), SampleStatement)
        with pytest.raises(TamperedError, match="SampleStatement"):
            read_statement(make_statement(ref, SAMPLE, document), SAMPLE, SampleStatement)
