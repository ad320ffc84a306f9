"""Letters tell the recorded reasons in approved words: in each language, in their order, and in no other case."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from strongroom.encoding import canonical, parse_as
from strongroom.errors import InvalidInputError, TamperedError
from strongroom.registry.letters import Letters
from strongroom.serving.letter import write_letter
from strongroom.serving.replay import read_decision
from tests.serving.test_explaining import ROWS, WISH, House, ask, decide, key_of, native_release, ready, stored

PAGE = Path(__file__).parents[2] / "docs/how-to/write-letters-of-reasons.md"
CODES = {"R1": "R01", "R2": "R02", "R3": "R02", "M3": "M02"}
"""The page's texts, for the codes of the release under test."""


def letters() -> Letters:
    block = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.S)[0]
    found = tomllib.loads(block)["explanation"]["letters"]
    del found["decisions"]  # the recorded decision of these tests is `refer`
    for text in found["texts"]:
        text["reasons"] = {code: text["reasons"][word] + f" ({code})" for code, word in CODES.items()}
    return msgspec.convert(found, Letters)


def recorded() -> tuple[Any, Any]:
    """An answer out of a record, whose decision is against the applicant, and its release."""
    release = native_release(letters=letters())
    model = ready(letters=letters())
    house = House(model)
    values = ROWS[:20]
    asked = ask(model, values, [f"s-{n}" for n in range(20)])
    [answer] = decide(house, [asked])
    worst = int(np.argmax(answer.scores))
    record = stored(house, answer.decision_ids[worst])
    return read_decision(record, key_of(house, f"s-{worst}")).answer, release


@pytest.mark.parametrize(
    ("language", "subject", "label"),
    [
        ("en", "Your application", "Reference:"),
        ("de", "Ihr Antrag", "Aktenzeichen:"),
        ("fr", "Votre demande", "Référence :"),
        ("es", "Su solicitud", "Referencia:"),
    ],
)
def test_the_recorded_reasons_are_told_in_their_order(language: str, subject: str, label: str) -> None:
    answer, release = recorded()
    assert answer.decision != release.cut_offs[0].decision, "the worst of twenty is declined"
    letter = write_letter(answer, release, language)
    lines = letter.text.splitlines()
    assert lines[0] == subject
    assert lines[-1] == f"{label} {answer.decision_id}"
    told = [re.fullmatch(r"\d+\. .* \((\w+)\)", line) for line in lines]
    assert [found[1] for found in told if found] == list(answer.explanation.codes) == list(letter.codes)
    assert (letter.language, letter.version, letter.code_map) == (language, "2026-11", WISH.code_map)


def test_what_is_missing_is_refused_with_the_next_step() -> None:
    answer, release = recorded()
    with pytest.raises(InvalidInputError, match="it has de, en, es, fr; have the texts approved"):
        write_letter(answer, release, "it")
    bare = msgspec.structs.replace(release, explanation=WISH)
    with pytest.raises(InvalidInputError, match="have a new version approved"):
        write_letter(answer, bare, "en")
    silent = msgspec.structs.replace(answer, explanation=msgspec.UNSET)
    with pytest.raises(InvalidInputError, match=r"`always = true`"):
        write_letter(silent, release, "en")
    nothing = msgspec.structs.replace(answer, explanation=msgspec.structs.replace(answer.explanation, codes=()))
    with pytest.raises(InvalidInputError, match="a person looks at it"):
        write_letter(nothing, release, "en")
    refused = msgspec.structs.replace(answer, status="refused", decision=None, explanation=msgspec.UNSET)
    with pytest.raises(InvalidInputError, match="refused by a rule"):
        write_letter(refused, release, "en")
    glad = msgspec.structs.replace(answer, decision=release.cut_offs[0].decision)
    with pytest.raises(InvalidInputError, match="needs no letter"):
        write_letter(glad, release, "en")


def test_where_low_scores_are_adverse_the_last_decision_is_the_favourable_one() -> None:
    answer, release = recorded()
    turned = msgspec.structs.replace(release, explanation=msgspec.structs.replace(release.explanation, adverse="low"))
    glad = msgspec.structs.replace(answer, decision=release.cut_offs[-1].decision)
    with pytest.raises(InvalidInputError, match="needs no letter"):
        write_letter(glad, turned, "en")
    assert write_letter(msgspec.structs.replace(answer, decision=release.cut_offs[0].decision), turned, "en").text


def test_a_letter_of_refusal_is_not_written_while_a_person_still_looks() -> None:
    answer, release = recorded()
    other = release.cut_offs[1].decision if len(release.cut_offs) > 2 else "refer"
    said = msgspec.structs.replace(answer, decision=other)
    assert write_letter(said, release, "en").decision == other, "left out, every decision but the favourable one"
    wish = release.explanation
    narrow = msgspec.structs.replace(
        release,
        explanation=msgspec.structs.replace(wish, letters=msgspec.structs.replace(letters(), decisions=("decline",))),
    )
    with pytest.raises(InvalidInputError, match="tell of decline alone"):
        write_letter(said, narrow, "en")
    assert write_letter(msgspec.structs.replace(answer, decision="decline"), narrow, "en").text


def test_the_decisions_of_letters_are_decisions_against_the_applicant() -> None:
    given = msgspec.structs.replace(letters(), decisions=("decline", "refer"))
    given.demand_decisions(["accept", "refer", "decline"], "accept")
    for decisions in (("accept",), ("nonsense",)):
        with pytest.raises(InvalidInputError, match="are of refer, decline"):
            msgspec.structs.replace(given, decisions=decisions).demand_decisions(
                ["accept", "refer", "decline"], "accept"
            )
    for decisions in ((), ("decline", "decline")):
        with pytest.raises(InvalidInputError):
            msgspec.structs.replace(given, decisions=decisions)


def test_spaces_that_do_not_break_are_text() -> None:
    given = msgspec.to_builtins(letters())
    given["texts"][2]["opening"] = "Les motifs principaux sont\u00a0:"
    given["texts"][2]["reasons"]["R1"] = "Plus de 10\u202f000\u00a0euros"
    assert msgspec.convert(given, Letters).texts[2].opening.endswith("\u00a0:")


@pytest.mark.parametrize("change", [{"codes": ("R9",)}, {"code_map": "2020-01"}])
def test_codes_that_the_release_does_not_have_are_no_letter(change: dict[str, Any]) -> None:
    answer, release = recorded()
    other = msgspec.structs.replace(answer, explanation=msgspec.structs.replace(answer.explanation, **change))
    with pytest.raises(TamperedError):
        write_letter(other, release, "en")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("language", "DE"), ("language", "de_DE"), ("language", ""), ("subject", "two\nlines"), ("subject", " "),
        ("opening", "x" * 2001), ("opening", "a\x00b"), ("closing", "‮evil"), ("reference", ""),
        ("reasons", {"R1": "a", "R2": "b", "R3": "c"}), ("reasons", {"R1": "a", "R2": "b", "R3": "c", "M3": "a\nb"}),
        ("reasons", {"R1": "a", "R2": "b", "R3": "c", "M3": "d", "R9": "e"}),
    ],
)  # fmt: skip
def test_texts_that_break_a_rule_are_no_explanation(place: str, value: Any) -> None:
    given = msgspec.to_builtins(letters())
    given["texts"][0][place] = value
    with pytest.raises((InvalidInputError, msgspec.ValidationError)):
        msgspec.structs.replace(WISH, letters=msgspec.convert(given, Letters))


def test_a_language_stands_once_and_an_explanation_without_letters_keeps_its_bytes() -> None:
    given = letters()
    with pytest.raises(InvalidInputError):
        msgspec.structs.replace(given, texts=(*given.texts, given.texts[0]))
    with pytest.raises(InvalidInputError):
        msgspec.structs.replace(given, texts=())
    assert b"letters" not in canonical(WISH)
    whole = msgspec.structs.replace(WISH, letters=given)
    assert parse_as(canonical(whole), type(WISH)) == whole
