"""The validation sample: chosen, registered and signed by the validator, never by the author."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from strongroom.errors import InvalidInputError, UnsafeArtifactError
from strongroom.registry.packages import check_file, check_size
from strongroom.sealing.dsse import sign_envelope
from strongroom.sealing.keys import Signer
from strongroom.sealing.manifest import Manifest, build_manifest
from strongroom.sealing.statements import SAMPLE, make_statement
from strongroom.vocabulary import Digest, ModelRef, PersonId, parse_digest

VALIDATION_FILE = "validation.parquet"
"""Features and outcome, as the reference sample has them."""
PROTECTED_FILE = "protected.parquet"
"""The protected attributes alone, row for row; only when the model's contract lists some."""
ROLES: Mapping[str, str] = {VALIDATION_FILE: "validation", PROTECTED_FILE: "protected"}


class SampleStatement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Predicate of a `sample` statement.

    Attributes:
        manifest: digest of the manifest (format 4) of the sample's files; this is the sample's identity everywhere.
        rows: as the validator counts them.
        source: where the rows come from, in the validator's words.
        person: who chose them.
        at_us: when, in microseconds since 1970.
    """

    v: Literal[1] = 1
    manifest: Digest
    rows: int
    source: str
    person: PersonId
    at_us: int

    def __post_init__(self) -> None:
        parse_digest(self.manifest)
        if self.rows <= 0:
            raise InvalidInputError("a validation sample has rows", field="rows", rule="positive")
        if not 0 < len(self.source.strip()) <= 1000:
            raise InvalidInputError("say where the sample comes from", field="source", rule="documented")


def sample_manifest(files: Mapping[str, bytes]) -> Manifest:
    """The manifest of a sample's files, after the rules for samples were checked.

    Raises:
        UnsafeArtifactError: a file other than the two, or one that is not Parquet.
        InvalidInputError: the validation sample itself is missing.
    """
    check_size(files)
    if not files.keys() <= ROLES.keys():
        raise UnsafeArtifactError(f"a validation sample is `{VALIDATION_FILE}`, with `{PROTECTED_FILE}` where needed")
    if VALIDATION_FILE not in files:
        raise InvalidInputError(f"`{VALIDATION_FILE}` is missing", field="files", rule="missing")
    for path, content in files.items():
        check_file(path, ROLES[path], content)
    return build_manifest(files, {path: ROLES[path] for path in files})


def sign_sample(
    ref: ModelRef, files: Mapping[str, bytes], signer: Signer, *, person: PersonId, rows: int, source: str, at_us: int
) -> bytes:
    """On the validator's side: the signed `sample` statement about these files, for this version."""
    statement = SampleStatement(
        manifest=sample_manifest(files).digest, rows=rows, source=source, person=person, at_us=at_us
    )
    return sign_envelope(make_statement(ref, SAMPLE, statement), signer)
