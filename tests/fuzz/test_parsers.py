"""A moment of fuzzing with every run: parsers raise what they document, hold what they promise, and end.

`make fuzz` does the same with atheris for as long as wanted. What it found stands in `FOUND` for ever.
"""

from __future__ import annotations

import random

import pytest

from tests.fuzz.harnesses import HARNESSES
from tests.fuzz.mutation import spoiled

ROUNDS = 150
NOT_ALONE = {"container", "receipt"}
"""Their seeds are of another key than the harness holds: that they are refused is the point."""

FOUND: list[tuple[str, bytes]] = []


@pytest.mark.parametrize("name", HARNESSES)
def test_good_documents_are_accepted(name: str) -> None:
    harness = HARNESSES[name]
    accepted = [harness.try_on(seed) for seed in harness.seeds()]
    assert accepted, "a parser without seeds is not fuzzed"
    if name not in NOT_ALONE:
        assert all(accepted) if name != "container" else any(accepted)


@pytest.mark.parametrize("name", HARNESSES)
def test_spoiled_documents_are_refused_in_our_own_words(name: str) -> None:
    harness, dice = HARNESSES[name], random.Random(f"strongroom/{name}")
    seeds = harness.seeds()
    for _ in range(ROUNDS):
        data = spoiled(seeds, dice)
        try:
            harness.try_on(data)
        except Exception as error:
            pytest.fail(f"{name} raises {type(error).__name__} ({error}) for {data[:2000]!r}")


@pytest.mark.parametrize(("name", "data"), FOUND)
def test_what_fuzzing_found_stays_mended(name: str, data: bytes) -> None:
    HARNESSES[name].try_on(data)
