"""The part that all books share: facts for the entry, and the receipt that says where the entry stands."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from strongroom.office.acts import EntryRef, Scalar


class Notebook:
    """Base of every Books implementation; satisfies `office.ports.Notes`."""

    def __init__(self) -> None:
        self._facts: dict[str, Scalar] = {}
        self._receipt: EntryRef | None = None

    def note(self, **facts: Scalar) -> None:
        """Add facts to the act's entry.

        Raises:
            TypeError: a fact is not a text, integer or truth value; or it is noted twice with different values.
        """
        for name, value in facts.items():
            if not isinstance(value, (str, int)):
                raise TypeError(f"fact `{name}` is neither text, integer nor truth value")
            if self._facts.get(name, value) != value:
                raise TypeError(f"fact `{name}` was noted before with another value")
            self._facts[name] = value

    @property
    def facts(self) -> Mapping[str, Scalar]:
        """What was noted so far."""
        return MappingProxyType(self._facts)

    @property
    def receipt(self) -> EntryRef:
        """Where the act's entry stands.

        Raises:
            RuntimeError: the act is not over; ask after the `with` block.
        """
        if self._receipt is None:
            raise RuntimeError("the act has no receipt before its `with` block has ended")
        return self._receipt

    def file(self, receipt: EntryRef) -> None:
        """The door says where the entry stands. Nobody else calls this."""
        self._receipt = receipt
