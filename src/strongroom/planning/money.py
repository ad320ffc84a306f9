"""Amounts as people read them: one unit for a whole plan, in words, tables and pictures."""

from __future__ import annotations

from typing import Final

from strongroom.planning.results import Plan


class Money:
    """Amounts in one unit, chosen by the largest.

    Args:
        plan: whose amounts are written.

    Attributes:
        unit: currency and, where amounts are large, thousands or millions of it.
    """

    def __init__(self, plan: Plan) -> None:
        largest = max(float(plan.total.ead), float(plan.total.rwa), float(plan.total.drawn))
        self._scale, noun = (1e6, "millions") if largest >= 1e8 else (1e3, "thousands") if largest >= 1e5 else (1.0, "")
        self.unit: Final = f"{plan.inputs.currency} {noun}".strip()

    def __call__(self, text: str | None) -> str:
        if text is None:
            return ""
        return f"{float(text) / self._scale:,.{2 if self._scale > 1 else 0}f}"

    def scaled(self, text: str) -> str:
        """An amount in the unit, with every digit that a float has: for a picture."""
        return repr(float(text) / self._scale)
