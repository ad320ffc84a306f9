"""in-toto statements about one model version, and the names of our predicates.

Source: https://github.com/in-toto/attestation, Statement v1.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec

from strongroom.encoding import canonical, parse_as, read_as
from strongroom.errors import InvalidInputError, TamperedError
from strongroom.vocabulary import Digest, ModelRef

T = TypeVar("T")

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
SCAN: Final = "urn:strongroom:predicate:scan:v1"
SAMPLE: Final = "urn:strongroom:predicate:sample:v1"
VALIDATION: Final = "urn:strongroom:predicate:validation:v1"
REVIEW: Final = "urn:strongroom:predicate:review:v1"
APPROVAL: Final = "urn:strongroom:predicate:approval:v1"
HALT: Final = "urn:strongroom:predicate:halt:v1"
LIFT: Final = "urn:strongroom:predicate:lift:v1"
SECTION: Final = "urn:strongroom:predicate:section:v1"
REPLICATION: Final = "urn:strongroom:predicate:replication:v1"
FINDING: Final = "urn:strongroom:predicate:finding:v1"
STATEMENT_LIMIT = 8 * 1024 * 1024


class _Digests(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sha256: str


class _Subject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    digest: _Digests
    name: str


class Statement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An in-toto Statement v1 with exactly one subject; the predicate is not yet read."""

    type: str = msgspec.field(name="_type")
    predicate: dict[str, Any]
    predicate_type: str = msgspec.field(name="predicateType")
    subject: tuple[_Subject, ...]


def make_statement(ref: ModelRef, predicate_type: str, predicate: Any) -> bytes:
    """The canonical bytes of a statement, ready for `sign_envelope`.

    Args:
        ref: the model version that the predicate is about.
        predicate_type: one of the URNs of this module.
        predicate: a msgspec struct or dict within format 1.

    Raises:
        InvalidInputError: the predicate is outside format 1.
    """
    return canonical(
        {
            "_type": STATEMENT_TYPE,
            "predicate": msgspec.to_builtins(predicate),
            "predicateType": predicate_type,
            "subject": [{"digest": {"sha256": ref.manifest}, "name": ref.name}],
        }
    )


def read_statement(payload: bytes, predicate_type: str, kind: type[T]) -> tuple[ModelRef, T]:
    """Read the payload of an envelope that was already verified.

    Args:
        payload: signed bytes, canonical.
        predicate_type: the only one accepted.
        kind: the struct that the predicate must be; give it `forbid_unknown_fields`.

    Returns:
        The model version it is about, and the predicate.

    Raises:
        TamperedError: it is not such a statement. A signer of ours never makes one, so somebody else did.
    """
    try:
        statement = parse_as(payload, Statement, STATEMENT_LIMIT)
        if statement.type != STATEMENT_TYPE or statement.predicate_type != predicate_type:
            raise InvalidInputError(f"the statement is not of type `{predicate_type}`", rule="predicate-type")
        if len(statement.subject) != 1:
            raise InvalidInputError("a statement has exactly one subject", rule="subject")
        subject = statement.subject[0]
        ref = ModelRef(subject.name, Digest(subject.digest.sha256))
        return ref, read_as(statement.predicate, kind)
    except InvalidInputError as error:
        raise TamperedError(f"the statement does not hold: {error.message}") from error
