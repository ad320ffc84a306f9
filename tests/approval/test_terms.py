"""Terms that no approver should have to read."""

from __future__ import annotations

from typing import Any

import pytest

from strongroom.errors import InvalidInputError
from strongroom.vocabulary import ModelRef, digest_of
from strongroom.wiring import judging


@pytest.mark.parametrize("days", [0, -1, 3651, 10**11])
def test_a_review_that_is_never_due_is_refused_before_anything_is_asked(days: int) -> None:
    nobody: Any = None
    with pytest.raises(InvalidInputError, match="due in 1 to 3650 days"):
        judging.propose(nobody, ModelRef("pd-cards", digest_of(b"m")), days=days)
