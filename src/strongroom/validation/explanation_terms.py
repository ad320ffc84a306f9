"""Which explanations a house takes: the validation policy's say on the method and the reference of reason codes."""

from __future__ import annotations

import msgspec

from strongroom.errors import InvalidInputError
from strongroom.registry.contract import ModelContract
from strongroom.registry.explanation import ROWS_LIMIT, Method


class ExplanationTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The policy's part `explanation`; a policy without it takes every method.

    Attributes:
        methods: that are taken.
        least_reference: rows that the approved reference of an interventional explanation has at least.
        required: kinds of model that need reason codes.
    """

    methods: tuple[Method, ...]
    least_reference: int = 1
    required: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.methods or len(set(self.methods)) != len(self.methods):
            raise InvalidInputError("`explanation` of a policy takes one method or more", field="explanation")
        if not 1 <= self.least_reference <= ROWS_LIMIT:
            raise InvalidInputError(
                f"a reference has 1 to {ROWS_LIMIT} rows", field="explanation.least_reference", rule="range"
            )

    def objections(self, contract: ModelContract) -> tuple[str, ...]:
        """What the contract's explanation lacks by these terms, as reasons with the next step; empty where nothing."""
        wish = contract.explanation
        if isinstance(wish, msgspec.UnsetType):
            if contract.kind in self.required:
                return (f"the policy wants reason codes from models of kind `{contract.kind}`; add [explanation]",)
            return ()
        found = []
        if wish.method not in self.methods:
            found.append(
                f"the policy takes {' and '.join(self.methods)} explanations, not {wish.method}; change `method`"
            )
        if wish.method == "interventional" and len(wish.reference) < self.least_reference:
            found.append(
                f"the policy wants {self.least_reference} reference rows or more, and the explanation has "
                f"{len(wish.reference)}; add rows to `reference`"
            )
        return tuple(found)
