"""Waiting for what comes in its own time: sharp, since it must come, and patient, since the machine may be busy."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 60.0
"""Far beyond what a loaded machine needs; only a test that fails spends it."""


def until(holds: Callable[[], object], limit_s: float = PATIENCE_S, every_s: float = 0.01) -> None:
    """Return as soon as it holds.

    Raises:
        AssertionError: it never did.
    """
    deadline = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < deadline, f"did not happen within {limit_s} s"
        time.sleep(every_s)
