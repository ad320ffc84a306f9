"""Who may speak for a release: the checks of admission that count signatures, each alone and with real keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from strongroom.approval.evidence import Register
from strongroom.approval.four_eyes import Voice
from strongroom.approval.role_metadata import Delegation, RoleMetadata, read_role, signed_part
from strongroom.approval.statements import Approval, GovernanceSeen
from strongroom.approval.trust_policy import GRANTS_PATH
from strongroom.encoding import canonical
from strongroom.errors import (
    EvidenceError,
    ExpiredError,
    FourEyesError,
    NotAuthenticatedError,
    NotFoundError,
    TamperedError,
)
from strongroom.sealing.dsse import sign_envelope
from strongroom.sealing.statements import APPROVAL, make_statement
from strongroom.serving.admission_ports import TrustedState
from strongroom.serving.release_checks import (
    check_approvals,
    check_operations,
    check_parties,
    check_role,
    role_voices,
)
from strongroom.vocabulary import Digest, KeyId, ModelRef, PersonId, digest_of, micros
from tests.serving.house import release_of
from tests.simulator import register, signer

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
PEOPLE = register()
REGISTER = Register(PEOPLE, {key.id: signer(one.person_id).public for one in PEOPLE.people for key in one.keys})
RELEASE = release_of()
REF = ModelRef(RELEASE.model, RELEASE.manifest)
OPERATIONS = ("pointers/*", GRANTS_PATH)
MODEL = (f"models/{RELEASE.model}/*",)


def delegation(
    names: Sequence[str], threshold: int = 2, paths: tuple[str, ...] = MODEL, role: str = f"model-{RELEASE.model}"
) -> dict[str, Delegation]:
    keys = {signer(name).public.key_id: signer(name).public for name in names}
    return {role: Delegation(role, threshold, True, paths, keys)}


def metadata(
    names: Sequence[str], targets: Mapping[str, bytes] | None = None, ends: datetime | None = None, **more: Any
) -> bytes:
    """A role's metadata file, signed by these people."""
    signed = {
        "_type": "targets", "version": 1, "expires": f"{ends or NOW + timedelta(days=9):%Y-%m-%dT%H:%M:%SZ}",
        "targets": {
            path: {"length": len(content), "hashes": {"sha256": digest_of(content)}}
            for path, content in (targets or {}).items()
        },
        **more,
    }  # fmt: skip
    signatures = [
        {"keyid": signer(name).public.key_id, "sig": signer(name).sign(signed_part(signed)).hex()} for name in names
    ]
    return canonical({"signed": signed, "signatures": signatures})


def state(**more: Any) -> TrustedState:
    found: dict[str, Any] = {
        "at": NOW, "expires": NOW + timedelta(days=1), "root_version": 1, "targets": b"", "files": {},
        "operations": None, "pointers": {}, "grants": None, "halts": {}, "roles": {}, "releases": {},
    }  # fmt: skip
    return TrustedState(**{**found, **more})


def operations(names: Sequence[str] = ("oscar",)) -> dict[str, Delegation]:
    return delegation(names, 1, OPERATIONS, "operations")


def test_there_are_no_pointers_before_the_first() -> None:
    assert check_operations(state(), operations(), REGISTER) == {}
    with pytest.raises(NotFoundError, match="`operations`"):
        check_operations(state(), {}, REGISTER)


def test_pointers_are_an_operators_and_in_force() -> None:
    grants = b"grants"
    data = metadata(["oscar"], {GRANTS_PATH: grants, "pointers/pd.json": b"1"})
    found = check_operations(state(operations=data, grants=grants), operations(), REGISTER)
    assert {path: entry.length for path, entry in found.items()} == {GRANTS_PATH: 6, "pointers/pd.json": 1}
    assert set(check_operations(state(operations=metadata(["oscar"])), operations(), REGISTER)) == set()
    with pytest.raises(TamperedError, match=r"grants\.json"):
        check_operations(state(operations=data, grants=b"others"), operations(), REGISTER)
    for nobody in (["ann"], []):
        with pytest.raises(EvidenceError, match="not signed by an operator"):
            check_operations(state(operations=metadata(nobody)), operations(["ann", "oscar"]), REGISTER)
    # one operator among strangers is enough
    check_operations(state(operations=metadata(["ann", "oscar"])), operations(["ann", "oscar"]), REGISTER)


@pytest.mark.parametrize(("ends", "holds"), [(timedelta(0), False), (timedelta(seconds=1), True)])
def test_metadata_counts_until_the_moment_it_expires(ends: timedelta, holds: bool) -> None:
    both = state(
        operations=metadata(["oscar"], ends=NOW + ends), roles={RELEASE.model: metadata(["abel"], ends=NOW + ends)}
    )
    if holds:
        check_operations(both, operations(), REGISTER)
        check_role(both, RELEASE.model, delegation(["abel"]))
        return
    with pytest.raises(ExpiredError, match="`operations` expired on 2026-01-05"):
        check_operations(both, operations(), REGISTER)
    with pytest.raises(ExpiredError, match=f"`model-{RELEASE.model}` expired on 2026-01-05"):
        check_role(both, RELEASE.model, delegation(["abel"]))


def test_a_role_is_read_with_its_delegation() -> None:
    data = metadata(["abel", "bea"], {"models/x": b"y"})
    for threshold in (2, 3):
        mine = delegation(["abel", "bea"], threshold)
        role, found = check_role(state(roles={RELEASE.model: data}), RELEASE.model, mine)
        assert found is mine[f"model-{RELEASE.model}"]
        assert role == read_role(data)


def test_a_role_that_one_person_could_speak_for_is_refused() -> None:
    there = state(roles={RELEASE.model: metadata(["abel", "bea"])})
    with pytest.raises(FourEyesError, match="threshold 1; two must sign"):
        check_role(there, RELEASE.model, delegation(["abel", "bea"], 1))
    good = delegation(["abel"])[f"model-{RELEASE.model}"]
    key = signer("abel").public
    for keys in ({key.key_id: key, "another name": key}, {"another name": key}):
        twice = Delegation(good.name, 2, True, good.paths, keys)
        with pytest.raises(FourEyesError, match="lists a key twice or under a name"):
            check_role(there, RELEASE.model, {good.name: twice})
    with pytest.raises(NotFoundError, match="no version of"):
        check_role(state(), RELEASE.model, {good.name: good})
    on = state(roles={RELEASE.model: metadata(["abel"], delegations={"keys": {}, "roles": []})})
    with pytest.raises(TamperedError, match="hands its rights on"):
        check_role(on, RELEASE.model, {good.name: good})


def voices(signed_by: Sequence[str], threshold: int = 2, people: Register = REGISTER) -> list[Voice]:
    data = metadata(signed_by)
    mine = delegation(["abel", "ann", "bea", "cleo", "abel#2"], threshold)[f"model-{RELEASE.model}"]
    return role_voices(state(), read_role(data), mine, people)


def test_a_role_speaks_with_the_voices_of_its_approvers() -> None:
    both = [Voice(PersonId(name), KeyId(signer(name).public.key_id)) for name in ("abel", "bea")]
    assert voices(["abel", "bea"]) == both
    assert voices(["abel", "ann", "bea"]) == both
    assert len(voices(["abel", "bea", "cleo"], 3)) == 3
    for too_few, threshold, wanted in ((["abel", "bea"], 3, 3), (["abel"], 1, 2), (["abel", "ann"], 2, 2), ([], 2, 2)):
        with pytest.raises(FourEyesError, match=f"and {wanted} must sign"):
            voices(too_few, threshold)


def decision(name: str = "bea", said: str = "approve", **changes: Any) -> bytes:
    rejects = said == "reject"
    approval = Approval(
        v=1, manifest=RELEASE.manifest, release=digest_of(canonical(RELEASE)), evidence=RELEASE.evidence,
        policies=dict(RELEASE.policies), diagram=RELEASE.diagram, case=RELEASE.case, decision=said,  # type: ignore[arg-type]  # one of two words
        conditions=(), plan=RELEASE.plan, tuf_draft=None if rejects else ROLE.digest, person=PersonId(name),
        at_us=micros(NOW), governance=GovernanceSeen(origin="o", size=1, root=Digest("ab" * 32)),
        reason="too steep" if rejects else "",
    )  # fmt: skip
    return sign_envelope(make_statement(REF, APPROVAL, msgspec.structs.replace(approval, **changes)), signer(name))


ROLE: RoleMetadata = read_role(metadata(["abel", "bea"]))


class Shelf:
    """Approvals as they lie there."""

    def __init__(self, *envelopes: bytes) -> None:
        self.envelopes = envelopes

    def approvals(self, ref: ModelRef) -> Sequence[bytes]:
        assert ref == REF
        return self.envelopes


def approvals(*envelopes: bytes) -> list[str]:
    shelf: Any = Shelf(*envelopes)
    return [voice.person for voice in check_approvals(RELEASE, ROLE, REGISTER, shelf, micros(NOW))]


def test_approvals_about_exactly_this_release_count_whoever_else_laid_something_there() -> None:
    assert approvals() == []
    assert approvals(decision("bea"), decision("abel")) == ["bea", "abel"]
    foreign = decision("ann"), decision("cleo", case="another"), b"{}"
    for other in foreign:
        assert approvals(other, decision("bea"), other) == ["bea"]


def test_without_any_approval_that_counts_the_reason_of_the_last_is_given() -> None:
    with pytest.raises(EvidenceError, match="another case than the release"):
        approvals(decision("ann"), decision("bea", case="another"))
    with pytest.raises(EvidenceError, match="does not hold that role"):
        approvals(decision("bea", case="another"), decision("ann"))
    with pytest.raises(NotAuthenticatedError, match="nowhere in the people register"):
        approvals(decision("stranger"))
    with pytest.raises(TamperedError):
        approvals(b"{}")


def test_one_rejection_outweighs_every_approval() -> None:
    for laid in ((decision("bea"), decision("cleo", "reject")), (decision("cleo", "reject"), decision("bea"))):
        with pytest.raises(EvidenceError, match="`cleo` rejected version"):
            approvals(*laid)


def test_four_eyes_are_asked_of_the_approvals_and_of_the_signatures() -> None:
    ann, val, abel, bea, cleo = (Voice(PersonId(name), KeyId(name)) for name in ("ann", "val", "abel", "bea", "cleo"))
    check_parties(ann, val, [abel, bea], [bea, cleo], 2)
    # who wrote this version may sign the metadata for the others' sake, and is not counted for this one
    check_parties(ann, val, [ann, abel, val, bea], [bea, cleo], 2)
    for signers, approved in (([ann, abel], [bea, cleo]), ([abel, val], [bea, cleo]), ([abel, bea], [bea])):
        with pytest.raises(FourEyesError, match="1 person"):
            check_parties(ann, val, signers, approved, 2)
    with pytest.raises(FourEyesError, match="author and approver"):
        check_parties(ann, val, [abel, bea], [ann, bea], 2)
    with pytest.raises(FourEyesError, match="author and validator"):
        check_parties(ann, ann, [abel, bea], [abel, bea], 2)
