"""The model card: front matter that Hugging Face reads, words from the records, nothing that a package could inject."""

from __future__ import annotations

from datetime import timedelta

import msgspec
from huggingface_hub import ModelCard

from strongroom.registry.card import Figure, model_card
from strongroom.registry.versions import PointerChange
from strongroom.vocabulary import PersonId
from tests.registry.room import AT, Room

FIGURES = (Figure("AUC", "0.7711", "0.7602 to 0.7820 (DeLong, 95 %)", "pass"), Figure("Parity", "exact", "", "pass"))


def test_hugging_face_reads_the_front_matter() -> None:
    version = Room().submit()
    change = PointerChange(
        "pd-small", 1, AT + timedelta(days=1), PersonId("olga"), version.ref.manifest, reason="first"
    )
    card = ModelCard(model_card(version, [change], FIGURES))
    assert card.data.library_name == "onnx"
    assert card.data.tags == ["pd", "tier-2", "strongroom"]
    assert card.data.model_name == "pd-small"
    (result,) = card.data.eval_results
    assert (result.metric_name, result.metric_value) == ("AUC", 0.7711)
    assert card.data["strongroom"]["manifest"] == version.ref.manifest
    for words in ("Small PD model", "arrears", "GDPR Art. 6(1)(b)", "0.7602 to 0.7820", "olga", "sex", version.bundle):
        assert words in card.text


def test_the_same_records_give_the_same_card() -> None:
    version = Room().submit()
    assert model_card(version) == model_card(version)
    assert "Not validated yet." in model_card(version)
    assert "Never live." in model_card(version)


def test_a_package_cannot_write_into_the_card() -> None:
    version = Room().submit()
    evil = "x\n---\nlicense: mit\n---\n# Approved by all | yes <script>alert(1)</script> ![a](http://evil)"
    contract = msgspec.structs.replace(version.contract, title=evil, owner=evil, description=evil)
    object.__setattr__(version, "contract", contract)
    card = ModelCard(model_card(version))
    assert card.data.license == "other"
    assert "\n# Approved" not in card.content
    assert "<script" not in card.content
    assert "](http" not in card.content.replace("\\[a](http", "")
    rows = [line for line in card.text.splitlines() if line.startswith("| owner")]
    assert rows[0].count("|") - rows[0].count("\\|") == 3
