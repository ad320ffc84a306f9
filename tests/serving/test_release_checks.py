"""The single checks of admission, each alone: what `admit` would refuse for another reason too, is told apart here."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from strongroom.approval.release import EvidenceRef
from strongroom.approval.role_metadata import Delegation, RoleMetadata, TargetEntry, release_path
from strongroom.encoding import canonical
from strongroom.errors import EvidenceError, NotFoundError, TamperedError
from strongroom.serving.release_checks import check_delegation, check_document, check_target, gather_evidence
from strongroom.vocabulary import Digest, ModelRef, digest_of
from tests.serving.house import release_of

PATHS = ("models/pd/*",)


def delegation(name: str = "model-pd", paths: tuple[str, ...] = PATHS, terminating: bool = True) -> Delegation:
    return Delegation(name, 2, terminating, paths, {})


def test_a_delegation_of_our_form_is_handed_back() -> None:
    mine, other = delegation(), delegation("model-lgd", ("models/lgd/*",))
    assert check_delegation("model-pd", {one.name: one for one in (other, mine)}, list(PATHS)) is mine


@pytest.mark.parametrize(
    ("found", "error", "words"),
    [
        ([], NotFoundError, "have not delegated `model-pd`"),
        ([delegation("model-lgd", ("models/lgd/*",))], NotFoundError, "have not delegated `model-pd`"),
        ([delegation(terminating=False)], TamperedError, "not terminating for exactly"),
        ([delegation(paths=("models/pd/*", "models/x/*"))], TamperedError, "not terminating for exactly"),
        ([delegation(paths=())], TamperedError, "not terminating for exactly"),
        ([delegation(), delegation("other", ("models/*/*",))], TamperedError, "`other` is delegated paths"),
    ],
)
def test_any_other_delegation_is_refused_for_its_reason(
    found: list[Delegation], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        check_delegation("model-pd", {one.name: one for one in found}, list(PATHS))


def test_a_target_is_the_bytes_that_are_named() -> None:
    entry = TargetEntry(3, digest_of(b"abc"), None)
    assert check_target({"a": entry}, "a", b"abc") is entry
    wrong: list[dict[str, TargetEntry]] = [
        {}, {"b": entry}, {"a": TargetEntry(4, digest_of(b"abc"), None)}, {"a": TargetEntry(3, digest_of(b"abd"), None)}
    ]  # fmt: skip
    for targets in wrong:
        with pytest.raises(TamperedError, match="`a` is not the file"):
            check_target(targets, "a", b"abc")


RELEASE = release_of()
REF = ModelRef(RELEASE.model, RELEASE.manifest)
PATH = release_path(REF.name, REF.manifest)


def role(path: str, content: bytes, custom: Any) -> RoleMetadata:
    entry = TargetEntry(len(content), digest_of(content), custom)
    return RoleMetadata(1, datetime(2030, 1, 1, tzinfo=UTC), b"", {}, {path: entry}, (), False)


def test_a_document_says_the_same_as_file_custom_and_path() -> None:
    content, custom = canonical(RELEASE), msgspec.to_builtins(RELEASE)
    assert check_document(role(PATH, content, custom), REF, content) == RELEASE
    with pytest.raises(NotFoundError, match="not among the approved"):
        check_document(role("models/x/y.json", content, custom), REF, content)
    with pytest.raises(NotFoundError, match="not among the approved"):
        check_document(role(PATH, content, custom), REF, None)
    with pytest.raises(TamperedError, match="two copies"):
        check_document(role(PATH, content, {**custom, "review_due_us": 1}), REF, content)
    with pytest.raises(TamperedError, match="does not read"):
        check_document(role(PATH, b"{}", {}), REF, b"{}")
    for changes in ({"model": "other"}, {"manifest": "cd" * 32}):
        other = msgspec.structs.replace(RELEASE, **changes)
        with pytest.raises(TamperedError, match="about another version"):
            check_document(role(PATH, canonical(other), msgspec.to_builtins(other)), REF, canonical(other))


class Shelf:
    """Envelopes by the name they are asked for, whatever they hold."""

    def __init__(self, held: dict[str, bytes]) -> None:
        self.held = held

    def evidence(self, digest: Digest) -> bytes:
        try:
            return self.held[digest]
        except KeyError as error:
            raise NotFoundError("not here") from error


def test_evidence_is_there_once_under_its_own_digest() -> None:
    one, two = digest_of(b"one"), digest_of(b"two")
    refs = (EvidenceRef(type="scan", sha256=one), EvidenceRef(type="review", sha256=two))
    release = msgspec.structs.replace(RELEASE, evidence=refs)
    shelf: Any = Shelf({one: b"one", two: b"two"})
    assert gather_evidence(release, shelf) == {"scan": b"one", "review": b"two"}
    twice = msgspec.structs.replace(RELEASE, evidence=(refs[0], EvidenceRef(type="scan", sha256=two)))
    with pytest.raises(EvidenceError, match="lists scan evidence twice"):
        gather_evidence(twice, shelf)
    shelf.held[two] = b"three"
    with pytest.raises(TamperedError, match="other bytes"):
        gather_evidence(release, shelf)
    del shelf.held[two]
    with pytest.raises(EvidenceError, match="not in the repository"):
        gather_evidence(release, shelf)
