"""Licences of what a package was made with and needs: what is declared, what the house's policy says of it.

The job `scan` reads and judges them (`jobs.licence_reading`); the rules are a part of the validation policy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from strongroom.errors import InvalidInputError

Standing = Literal["allowed", "denied", "unknown"]
PACKAGES_LIMIT: Final = 500
EXPRESSION_LIMIT: Final = 400
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,99}\Z")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?\Z")


class LicenceRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the house thinks of licences: `licences` of the validation policy.

    Attributes:
        allowed, denied: SPDX identifiers, or `id WITH exception`. Of `A OR B` the better one counts, of `A AND B` the
            worse.
        unknown: what becomes of a package whose licence is in neither list or cannot be read: `refuse` or `note`.
        stated: expressions of packages whose metadata says too little, by normalised name, as the house found out.
    """

    allowed: tuple[str, ...]
    denied: tuple[str, ...]
    unknown: Literal["refuse", "note"]
    stated: dict[str, str] = {}

    def __post_init__(self) -> None:
        for one in (*self.allowed, *self.denied):
            if not all(_ID.match(part) for part in one.split(" WITH ")):
                raise InvalidInputError(f"`{one[:40]}` is no SPDX identifier", field="licences", rule="spdx")
        if both := sorted(set(self.allowed) & set(self.denied)):
            raise InvalidInputError(f"`{both[0]}` is allowed and denied", field="licences", rule="unique")
        for name, expression in self.stated.items():
            if normal(name) != name or not 0 < len(expression) <= EXPRESSION_LIMIT:
                raise InvalidInputError(
                    f"`licences.stated` has normalised names and expressions, `{name[:40]}` is none",
                    field="licences.stated",
                    rule="name",
                )


class Licence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One package and the licence that it is judged by.

    Attributes:
        package: normalised name.
        wanted: version that the model's package names, or empty.
        installed: version whose metadata was read, or empty.
        expression: SPDX, normalised; None where nobody says what can be read.
        told_by: `metadata` (the packager's expression), `words` (the field `License` or a classifier), `house` (the
            policy), `nobody`.
        standing: by the policy.
    """

    package: str
    wanted: str
    installed: str
    expression: str | None
    told_by: Literal["metadata", "words", "house", "nobody"]
    standing: Standing


class LicenceFacts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The licence scan: the rules that judged, and every package by name."""

    rules: LicenceRules
    packages: tuple[Licence, ...]


def normal(name: str) -> str:
    """A project's name as indexes compare it (PEP 503).

    Raises:
        InvalidInputError: no name of a project.
    """
    if not _NAME.match(name):
        raise InvalidInputError("a package has a name of letters, digits, `.`, `_` and `-`", field="name", rule="name")
    return re.sub(r"[-_.]+", "-", name).lower()


def expressions(facts: Iterable[Licence]) -> dict[str, str]:
    """Expressions by package name, of those that have one: for the bill of materials."""
    return {one.package: one.expression for one in facts if one.expression is not None}
