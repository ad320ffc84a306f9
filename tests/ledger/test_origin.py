"""The name of a log: six parts, each within its bounds."""

from __future__ import annotations

import pytest

from strongroom.errors import InvalidInputError
from strongroom.ledger.origin import Origin

PARTS = ("bank.example", "credit", "eu", "n1", "0")


def test_an_origin_is_read_as_it_is_written_and_has_a_next_generation() -> None:
    made = Origin(*PARTS, 9)
    assert str(made) == "bank.example/credit/eu/n1/0/9"
    assert Origin.parse(str(made)) == made
    assert made.next() == Origin(*PARTS, 10)
    assert Origin.parse("/".join(("a" * 63, *PARTS[1:], "999999999"))) == Origin("a" * 63, *PARTS[1:], 10**9 - 1)


@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize("part", ["", "a" * 64, "A", "a_b", "a..b", "-a", "a-", "\u00e9", "a b", "a\n"])
def test_a_part_out_of_form_is_refused(place: int, part: str) -> None:
    with pytest.raises(InvalidInputError, match="of an origin has lower-case") as caught:
        Origin(*PARTS[:place], part, *PARTS[place + 1 :], 1)  # type: ignore[arg-type, misc]  # five parts
    assert caught.value.details["rule"] == "origin"


def test_generations_count_from_1_and_have_nine_digits() -> None:
    assert Origin.parse("/".join((*PARTS, "1"))) == Origin(*PARTS, 1)
    for generation in (-1, 0, 10**9):
        with pytest.raises(InvalidInputError, match="counts from 1") as caught:
            Origin(*PARTS, generation)
        assert (caught.value.details["field"], caught.value.details["rule"]) == ("generation", "origin")
    with pytest.raises(InvalidInputError):
        Origin(*PARTS, 10**9 - 1).next()
    for text in ("0", "01", "-1", "1000000000", "x", ""):
        with pytest.raises(InvalidInputError, match="an origin is org") as caught:
            Origin.parse("/".join((*PARTS, text)))
        assert caught.value.details["rule"] == "origin"
    for text in ("/".join((*PARTS[1:], "1")), "/".join(("x", *PARTS, "1"))):
        with pytest.raises(InvalidInputError, match="an origin is org"):
            Origin.parse(text)
