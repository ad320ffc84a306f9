"""The answer document equals the canonical encoding of the same thing."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.encoding import canonical
from strongroom.errors import TamperedError
from strongroom.registry.contract import InputContract, OutputContract
from strongroom.serving.answer import Answer, AnswerTemplate, Reason, Tensor, read_answer, refused_document
from strongroom.vocabulary import Digest, ModelRef
from tests.serving.house import feature

names = st.text(min_size=1, max_size=20).filter(str.isprintable)
REF = ModelRef("pd-cards", Digest("ab" * 32))
RELEASE = Digest("cd" * 32)


@given(
    names,
    names,
    names,
    st.binary(min_size=8, max_size=8),
    st.binary(min_size=4, max_size=4),
    st.booleans(),
    st.integers(0, 2**128 - 1),
)
def test_the_template_gives_canonical_bytes(tensor, output, decision, row, score, by_column, number):
    features = (feature("a"), feature('b"\\é'))
    template = AnswerTemplate.make(
        REF, RELEASE, InputContract(tensor=tensor, features=features),
        OutputContract(tensor="p", name=output, unit="1", minimum="0", maximum="1"), [decision],
    )  # fmt: skip
    decision_id = f"{number:032x}"
    document = template.answered(decision_id, row, score, decision, by_column)
    expected = Answer(
        columns=tuple(f.name for f in features) if by_column else (), decision=decision, decision_id=decision_id,
        inputs=(Tensor(row, "FP32", tensor, (1, 2)),), manifest=REF.manifest, model=REF.name,
        outputs=(Tensor(score, "FP32", output, (1,)),), reasons=(), release=RELEASE, status="answered",
    )  # fmt: skip
    assert document == canonical(expected)
    assert read_answer(document) == expected


def test_a_refusal_carries_the_rule_and_no_values():
    document = refused_document("ef" * 16, Reason("invalid-input", "age", "range"), REF, RELEASE)
    assert document == canonical(msgspec.json.decode(document))
    answer = read_answer(document)
    assert (answer.status, answer.inputs, answer.outputs, answer.decision) == ("refused", (), (), None)


ROW = [{"data": "AAAAAA==", "datatype": "FP32", "name": "x", "shape": [1]}]
FIXED = {
    "columns": [], "decision": "refer", "decision_id": "ef" * 16, "inputs": ROW, "manifest": REF.manifest,
    "model": REF.name, "outputs": [], "reasons": [], "release": RELEASE, "status": "answered", "v": 1,
    "instead_of": {"manifest": REF.manifest, "release": RELEASE, "rule": "runtime"},
}  # fmt: skip
ANSWERED = {name: value for name, value in FIXED.items() if name != "instead_of"} | {"outputs": ROW}
REFUSED = ANSWERED | {"decision": None, "inputs": [], "outputs": [], "status": "refused"}
TOLD = {
    "base": "-1.5e-05", "code_map": "1", "codes": [], "contributions": "AAAAAAAAAAA=", "gap": "0.0",
    "method": "interventional", "reference": "9" * 64,
}  # fmt: skip


@pytest.mark.parametrize("document", [FIXED, ANSWERED, REFUSED, ANSWERED | {"explanation": TOLD}])
def test_a_document_whose_parts_belong_together_is_read(document):
    assert canonical(read_answer(canonical(document))) == canonical(document)


@pytest.mark.parametrize(
    ("what", "document"),
    [
        ("a refusal with inputs", REFUSED | {"inputs": ROW}),
        ("a refusal with outputs", REFUSED | {"outputs": ROW}),
        ("a refusal that is explained", REFUSED | {"explanation": TOLD}),
        ("no model answered, and an output", FIXED | {"outputs": ROW}),
        ("no model answered, and no decision", FIXED | {"decision": None}),
        ("no version", {name: part for name, part in ANSWERED.items() if name != "v"}),
        ("a base that is no number", ANSWERED | {"explanation": TOLD | {"base": "x"}}),
        ("a gap that is no number", ANSWERED | {"explanation": TOLD | {"gap": "inf"}}),
        ("contributions that are cut", ANSWERED | {"explanation": TOLD | {"contributions": "AAAA"}}),
    ],
)
def test_a_document_whose_parts_contradict_each_other_is_not(what, document):
    with pytest.raises(TamperedError, match=r"a record (holds|does not hold) an"):
        read_answer(canonical(document))
