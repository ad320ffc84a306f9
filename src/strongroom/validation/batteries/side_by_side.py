"""One measure of two models, side by side: as it is computed, kept and shown."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

Better = Literal["higher", "lower"]
ABOVE: Final = "above"


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One measure of both models.

    Attributes:
        title: what is measured.
        unit: of the figures, as the catalogue writes units.
        before, after: decimal strings, or None where there is no answer; `above 4` for a cost that no change within the
            budget of 4 has.
        better: which way is better.
    """

    title: str
    unit: str
    before: str | None
    after: str | None
    better: Better

    @property
    def shown(self) -> tuple[str | None, str | None]:
        """Both figures as people write them."""
        return _shown(self.before, self.unit), _shown(self.after, self.unit)


def _shown(figure: str | None, unit: str) -> str | None:
    """A figure of a comparison as people write it."""
    if figure is None or figure.startswith(ABOVE):
        return figure
    if unit == "share":
        return f"{float(figure):.2%}"
    value = float(figure)
    # as many places on both sides, so that two figures are compared at one glance
    return f"{value:.4f}" if 0.0001 <= abs(value) < 1.0 else f"{value:.4g}"
