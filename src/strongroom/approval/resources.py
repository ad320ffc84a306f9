"""What the books know of a resource, for the policies: whose work it is, and who judged it.

The door reads this in the act's own transaction, so that nobody gets past a rule by leaving an attribute out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from strongroom.approval.ports import Cases
from strongroom.errors import InvalidInputError, NotFoundError
from strongroom.office.acts import Resource, Scalar
from strongroom.vocabulary import Digest, ModelRef


class HasCases(Protocol):
    """Books with the shelf of cases."""

    @property
    def cases(self) -> Cases: ...


def describe(books: HasCases, resource: Resource) -> Mapping[str, Scalar | frozenset[str]]:
    """`author` and `validator` of a Case, or of a Model whose attribute `manifest` names the version.

    Nothing is said of what is not known: rules that ask for an author then refuse.
    """
    try:
        if resource.kind == "Case":
            case = books.cases.get(resource.id)
        elif resource.kind == "Model" and "manifest" in resource.attributes:
            case = books.cases.of_model(ModelRef(resource.id, Digest(str(resource.attributes["manifest"]))))
        else:
            return {}
    except (NotFoundError, InvalidInputError):
        return {}
    known = {"author": case.author}
    return known if case.validator is None else {**known, "validator": case.validator}
