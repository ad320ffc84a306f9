"""Every released explanation is read for ever, and its contributions keep their bits; reject cases stay refused."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
import pytest

from strongroom.encoding import canonical, parse
from strongroom.errors import InvalidInputError
from strongroom.registry.explanation import Explanation
from strongroom.validation.trees.attribution import contributions
from strongroom.vocabulary import digest_of
from tests.vectors.make_explanations import FEATURES, FILE, forest, make, wish

VECTORS: dict[str, Any] = json.loads(FILE.read_text())


def test_the_generator_still_writes_this_file() -> None:
    assert FILE.read_text() == make()


@pytest.mark.parametrize("case", VECTORS["documents"]["accept"], ids=lambda case: case["sha256"][:8])
def test_explanations_are_accepted_and_keep_their_digest(case: dict[str, str]) -> None:
    found = msgspec.convert(parse(case["document"].encode()), Explanation)
    found.demand_features(FEATURES)
    assert canonical(found).decode() == case["document"]
    assert digest_of(canonical(found)) == case["sha256"]


@pytest.mark.parametrize("case", VECTORS["documents"]["reject"], ids=lambda case: case["why"])
def test_explanations_are_refused(case: dict[str, str]) -> None:
    with pytest.raises((InvalidInputError, msgspec.ValidationError)):
        msgspec.convert(parse(case["document"].encode()), Explanation)


@pytest.mark.parametrize("case", VECTORS["values"]["accept"], ids=lambda case: f"{case['method']}-{case['v']}")
def test_contributions_keep_their_bits(case: dict[str, Any]) -> None:
    made = contributions(wish(case["v"], case["method"], case["reference"]), forest(case["forest"]))
    rows = np.array([float(value) for value in case["rows"]], np.float32).reshape(-1, len(FEATURES))
    assert repr(made.base) == case["base"]
    assert made.values(rows).astype("<f8").tobytes().hex() == case["contributions"]


@pytest.mark.parametrize("case", VECTORS["values"]["reject"], ids=lambda case: case["why"])
def test_forests_that_cannot_be_explained_are_refused(case: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        contributions(wish(case["v"], case["method"], case["reference"]), forest(case["forest"]))
