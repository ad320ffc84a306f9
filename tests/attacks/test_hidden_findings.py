"""Nobody signs over a finding that the control plane hides, rewrites or has settled by the wrong hand; no new name of a
model sheds it, and an acceptance that runs out is not forgotten."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from strongroom.access.people import Person, person_key
from strongroom.approval import actions, papers
from strongroom.approval.inheritance import Family, Known
from strongroom.approval.live import Watched, watch_live
from strongroom.approval.papers import findings_of, sign_step
from strongroom.approval.signing import ApprovalPapers, check_approval_papers, sign_approval, sign_rejection
from strongroom.approval.statements import Approval, Finding
from strongroom.encoding import canonical
from strongroom.errors import EvidenceError, InvalidInputError, NotAuthenticatedError, TamperedError
from strongroom.monitoring.finding_alerts import FindingAlert, alerted, raise_finding_alerts
from strongroom.office.acts import Act, Resource
from strongroom.office.entries import Entry
from strongroom.registry.versions import Paper
from strongroom.sealing.dsse import sign_envelope
from strongroom.sealing.manifest import build_manifest
from strongroom.sealing.statements import APPROVAL, make_statement
from strongroom.validation.findings import DAY_US, Accepted, Closed, FindingStep, Raised
from strongroom.validation.human_text import SectionText
from strongroom.validation.policy import ValidationPolicy
from strongroom.vocabulary import Digest, ModelRef, PersonId, digest_of, micros
from strongroom.wiring import watching
from strongroom.wiring.checking import approval_findings
from tests.approval.control_room import VALIDATION_POLICY, ControlRoom, governance_log
from tests.simulator import MODEL, POLICIES, Version, signer


@pytest.fixture
def room(tmp_path: Path) -> ControlRoom:
    room = ControlRoom(tmp_path)
    room.found()
    return room


def version_in(room: ControlRoom, made: Version) -> Any:
    return room.desk.books.versions.get(made.ref)


def step_of(room: ControlRoom, made: Version, who: str, does: Any, name: str = "f-1") -> bytes:
    found = findings_of(version_in(room, made), room.blobs, room.means.register)
    previous = next((f.last.payload for f in found if f.name == name), None)
    step = FindingStep(v=1, finding=name, does=does, previous=previous, person=PersonId(who), at_us=micros(room.at))
    return sign_step(made.ref, step, signer(who))


def say(room: ControlRoom, made: Version, who: str, does: Any, name: str = "f-1", evidence: bytes | None = None) -> Any:
    room.tick()
    return papers.say_of_finding(
        room.office, room.who(who), room.at, ref=made.ref, envelope=step_of(room, made, who, does, name),
        evidence=evidence, means=room.means,
    )  # fmt: skip


def raised(room: ControlRoom, severity: Any = "high", owner: str = "ann") -> Raised:
    due = micros(room.at) + 30 * DAY_US
    return Raised(severity=severity, text="too low", owner=PersonId(owner), due_us=due, remediation="recalibrate")


def accepted(room: ControlRoom, days: int = 10) -> Accepted:
    return Accepted(until_us=micros(room.at) + days * DAY_US, reason="overlay")


CLOSED: dict[str, Any] = {
    "does": Closed(evidence=digest_of(b"rerun"), name="rerun", reason="holds now"), "evidence": b"rerun",
}  # fmt: skip


def ready(room: ControlRoom, number: int, model: str = MODEL) -> Version:
    made = room.submitted(number, model=model)
    room.machines(made)
    room.reviewed(made)
    room.proposed(made)
    return made


def sent(room: ControlRoom, made: Version) -> ApprovalPapers:
    room.tick()
    return actions.papers(
        room.office, room.who("abel"), room.at, ref=made.ref, policies=POLICIES, published=None, means=room.means
    )


def lose(room: ControlRoom, made: Version) -> None:
    """Somebody with the database in hand takes the findings of a version off the books."""
    books = room.desk.books
    kept = replace(version_in(room, made), papers=())
    books.versions.save(kept)


# what the approver's machine sees ------------------------------------------------------------------------------------


def test_a_finding_that_the_control_plane_holds_back_is_noticed_and_one_that_is_seen_is_not_signed(
    room: ControlRoom,
) -> None:
    made = ready(room, 7)
    say(room, made, "val", raised(room))
    told, read = sent(room, made), room.log_read()
    step = version_in(room, made).papers[-1].statement
    for kept in (
        {digest: data for digest, data in told.kept.items() if digest != step},
        {**told.kept, step: told.kept[made.ref.manifest]},
        {**told.kept, step: step_of(room, made, "val", raised(room, "low"), "f-9")},
    ):
        with pytest.raises(TamperedError, match="does not hand it over"):
            check_approval_papers(replace(told, kept=kept), read, micros(room.at))
    with pytest.raises(TamperedError, match="knows nothing of version"):
        check_approval_papers(told, replace(read, versions=()), micros(room.at))
    checked = check_approval_papers(told, read, micros(room.at))
    assert f"not closed   f-1 of {made.ref.name}@{made.ref.manifest[:12]} (high, open)" in checked.summary()
    assert "held up by   finding `f-1` is high and open" in checked.summary()
    with pytest.raises(EvidenceError, match="`f-1` is high and open; settle it with `strongroom findings accept"):
        sign_approval(checked, signer("abel"), PersonId("abel"), micros(room.at))
    sign_rejection(checked, signer("abel"), PersonId("abel"), micros(room.at), "see f-1")


def test_a_settlement_by_the_wrong_hand_counts_for_nothing(room: ControlRoom) -> None:
    """The control plane takes in what its own rules refuse: author or owner settles."""
    made = ready(room, 7)
    say(room, made, "val", raised(room, owner="bea"))
    for who, does, part in (
        ("ann", accepted(room), "who wrote the model"),
        ("bea", accepted(room), "who must mend it"),
        ("abel", accepted(room), "`abel` may not accept findings"),
        ("val", accepted(room, 400), "accepted for 365 days at most"),
        ("bea", CLOSED["does"], "who must mend it"),
        ("ann", CLOSED["does"], "who wrote the model"),
    ):
        room.tick()
        put(room, made, step_of(room, made, who, does))
        checked = check_approval_papers(sent(room, made), room.log_read(), micros(room.at))
        with pytest.raises(EvidenceError, match=f"what settled it does not count: .*{part}"):
            sign_approval(checked, signer("abel"), PersonId("abel"), micros(room.at))
    put(room, made, step_of(room, made, "val", CLOSED["does"]))
    assert room.approved(made, "abel").approvers == ("abel",)


def put(room: ControlRoom, made: Version, envelope: bytes) -> None:
    """Past every rule of the office, into books and log."""
    act = Act(room.who("val"), "finding", Resource("Model", MODEL, {"manifest": made.ref.manifest}), room.at)
    with room.office.open(act) as books:
        paper = Paper("finding", room.blobs.put(envelope))
        books.versions.save(books.versions.get(made.ref).with_paper(paper))
        books.note(manifest=made.ref.manifest, finding="f-1", statement=paper.statement)


def test_an_approval_names_the_findings_and_cannot_say_yes_over_an_open_one(room: ControlRoom) -> None:
    made = ready(room, 7)
    say(room, made, "val", raised(room))
    until = micros(room.at) + 10 * DAY_US
    say(room, made, "val", Accepted(until_us=until, reason="overlay"))
    say(room, made, "val", raised(room, "low"), "f-2")
    room.tick()
    signed = room.signed(made, "abel")
    decision, _ = room.means.register.statement(signed.envelope, made.ref, APPROVAL, Approval)
    assert not isinstance(decision.findings, msgspec.UnsetType)
    high, low = decision.findings
    assert (high.finding, high.severity, high.manifest, high.until_us) == ("f-1", "high", made.ref.manifest, until)
    assert (low.finding, low.until_us) == ("f-2", msgspec.UNSET)
    assert decision.governance == room.log.seen()
    for findings in (
        (msgspec.structs.replace(high, until_us=msgspec.UNSET), low),
        (msgspec.structs.replace(high, until_us=decision.at_us), low),
        (low, high),
        (high, high),
    ):
        fields = {**msgspec.to_builtins(decision), "findings": msgspec.to_builtins(findings)}
        wrong = sign_envelope(make_statement(made.ref, APPROVAL, fields), signer("abel"))
        with pytest.raises(TamperedError):
            room.means.register.statement(wrong, made.ref, APPROVAL, Approval)
    # somebody enters a finding while the approver reads; or their client looks at none
    say(room, made, "val", raised(room, "low"), "f-3")
    older = make_statement(made.ref, APPROVAL, msgspec.structs.replace(decision, findings=msgspec.UNSET))
    for envelope, words in (
        (signed.envelope, "names other findings than stand now"),
        (sign_envelope(older, signer("abel")), "does not say which findings stood"),
    ):
        with pytest.raises(EvidenceError, match=words):
            actions.approve(
                room.office, room.who("abel"), room.at, ref=made.ref, signed=replace(signed, envelope=envelope),
                means=room.means,
            )  # fmt: skip
    assert room.approved(made, "abel", "bea").state == "approved"


# books and logs that were tampered with ------------------------------------------------------------------------------


def test_books_that_lost_a_finding_let_nothing_through(room: ControlRoom) -> None:
    made = ready(room, 7)
    room.approved(made, "abel")
    room.tick()
    second = room.signed(made, "bea")
    say(room, made, "val", raised(room, "low"))
    room.desk.books.versions.save(replace(version_in(room, made), papers=()))
    for ask in (
        lambda: actions.approve(room.office, room.who("bea"), room.at, ref=made.ref, signed=second, means=room.means),
        lambda: sent(room, made),
        lambda: watched(room),
    ):
        with pytest.raises(TamperedError, match="the books no longer have it"):
            ask()


def test_another_history_is_not_believed_and_whoever_signed_it_has_signed_the_proof(room: ControlRoom) -> None:
    made = ready(room, 7)
    before = room.log.seen()
    say(room, made, "val", raised(room, "low"))
    room.approved(made, "abel", "bea")
    held = [version_in(room, made)]
    assert list(approval_findings(room.means, room.log, held)) == []
    # a fork without the finding
    (finding,) = findings_of(held[0], room.blobs, room.means.register)
    fork = governance_log()
    room.log.proven((), [before])
    with pytest.raises(TamperedError, match="cut or replaced"):
        fork.proven((), [before])
    for entry in room.log.entries():
        if finding.last.envelope.encode() not in entry.entry:
            fork.append(entry.document.act_id, entry.document.type, entry.entry, entry.ref.index)
    with pytest.raises(TamperedError, match="cut or replaced"):
        fork.proven((), [before])
    told = list(approval_findings(room.means, fork, held))
    assert ["shown another history" in one for one in told] == [True, True]
    # an approver's client that looked away
    (key, envelope), _ = sorted(room.shelf.approvals_by_key(made.ref).items())
    who = room.means.register.people.key_owner(key, micros(room.at)).person_id
    decision, _ = room.means.register.statement(envelope, made.ref, APPROVAL, Approval)
    blind = make_statement(made.ref, APPROVAL, msgspec.structs.replace(decision, findings=()))
    room.shelf.put_approval(made.ref, key, sign_envelope(blind, signer(who)))
    (one,) = approval_findings(room.means, room.log, held)
    assert f"of `{who}` names other findings than the governance log had then" in one


# new names -----------------------------------------------------------------------------------------------------------


def test_the_same_model_under_another_name_keeps_its_findings(room: ControlRoom) -> None:
    first = ready(room, 7)
    say(room, first, "val", raised(room))
    keys = [signer(name).public for name in ("abel", "bea", "cleo")]
    room.custodians_publish(models={MODEL: keys, "loans": keys})
    twin = ready(room, 7, "loans")
    assert twin.files["model.onnx"] == first.files["model.onnx"]
    wanted = rf"`f-1` of {MODEL}@{first.ref.manifest[:12]}, the same model, is high and open; settle it with "
    with pytest.raises(EvidenceError, match=wanted + f"`strongroom findings accept {MODEL}@"):
        room.approved(twin, "abel")
    say(room, first, "val", **CLOSED)
    assert room.approved(twin, "abel", "bea").state == "approved"


def manifest_of(room: ControlRoom, name: str, **files: bytes) -> Known:
    roles = {"model": "model", "former": "former-model", "rows": "reference"}
    manifest = build_manifest(dict(files), {path: roles[path] for path in files})
    room.blobs.put(manifest.encode())
    return Known(ModelRef(name, manifest.digest), PersonId("ann"))


def test_names_and_hardening_shed_nothing_and_strangers_inherit_nothing(room: ControlRoom) -> None:
    old = manifest_of(room, "cards", model=b"one", rows=b"1")
    mended = manifest_of(room, "cards", model=b"two", rows=b"1")
    renamed = manifest_of(room, "loans", model=b"two", rows=b"2")
    hardened = manifest_of(room, "autos", model=b"three", former=b"two", rows=b"3")
    stranger = manifest_of(room, "boats", model=b"four", rows=b"1")
    family = Family((old, mended, renamed, hardened, stranger), room.blobs.get)

    def names(of: Known) -> set[Digest]:
        return {one.ref.manifest for one in family.of(of.ref)}

    assert names(stranger) == {stranger.ref.manifest}, "the same rows are not the same model"
    assert names(old) == {old.ref.manifest}
    assert names(mended) == {mended.ref.manifest, old.ref.manifest, renamed.ref.manifest}
    assert names(renamed) == names(mended), "by its file it is the mended one, and so inherits from the old one"
    assert names(hardened) == {hardened.ref.manifest, *names(mended)}


# keys that leaked ----------------------------------------------------------------------------------------------------


def leaked(room: ControlRoom, name: str) -> None:
    """Custodians mark somebody's key as compromised."""
    old = room.people.person(name)
    lost = msgspec.structs.replace(old.keys[0], until_us=micros(room.at) + 1, reason="compromised")
    room.people = room.people.with_person(msgspec.structs.replace(old, keys=(lost,)))
    room.custodians_publish(files={"people.json": room.people.encode()})


def second_validator(room: ControlRoom) -> None:
    key = person_key(signer("vic").public.spki, 0)
    room.people = room.people.with_person(
        Person(person_id=PersonId("vic"), kind="Person", keys=(key,), roles=("validator",))
    )
    room.custodians_publish(files={"people.json": room.people.encode()})


def test_what_a_leaked_key_said_against_a_model_stands_until_settled_and_in_favour_counts_no_more(
    room: ControlRoom,
) -> None:
    second_validator(room)
    first = ready(room, 6)
    say(room, first, "val", raised(room))
    say(room, first, "vic", accepted(room, 60))
    say(room, first, "vic", raised(room, "high"), "f-2")
    say(room, first, "val", **CLOSED, name="f-2")
    say(room, first, "val", raised(room), "f-3")
    say(room, first, "val", accepted(room, 90), "f-3")
    say(room, first, "vic", **CLOSED, name="f-3")
    made = ready(room, 7)
    room.approved(made, "abel", "bea")
    room.released(made)
    told = list(approval_findings(room.means, room.log, [version_in(room, made)]))
    leaked(room, "vic")
    # nothing breaks: what vic settled is open again, what vic raised and val closed is closed, val's acceptance stands
    with pytest.raises(EvidenceError, match=r"`f-1` of .* is high and open .*`vic`.* compromised") as held:
        room.pointed(made.ref.manifest)
    assert "f-2" not in held.value.message
    assert "f-3" not in held.value.message
    # what approvers signed then was true then
    assert told == list(approval_findings(room.means, room.log, [version_in(room, made)])) == []
    # the approver's own machine says the same of the next version
    later = ready(room, 8)
    room.tick()
    with pytest.raises(EvidenceError, match=r"`f-1` of version .* compromised"):
        room.signed(later, "abel")
    # the thief says nothing more, and somebody else settles it
    with pytest.raises(NotAuthenticatedError, match="compromised"):
        say(room, first, "vic", accepted(room))
    say(room, first, "val", accepted(room, 60))
    room.pointed(made.ref.manifest)
    assert room.approved(later, "abel").approvers == ("abel",)
    # a closing that counts no more can be said again
    say(room, first, "val", **CLOSED, name="f-3")


def test_the_findings_of_a_review_by_a_leaked_key_hold_up_and_can_be_settled(room: ControlRoom) -> None:
    """Another version of the model is reviewed by somebody else; the old review must not lock it out for ever."""
    second_validator(room)
    first = room.submitted(6, sample_by="vic")
    room.machines(first)
    told = (Finding(id="r-1", severity="high", text="too low", status="accepted"),)
    review = room.review(first, "vic", findings=told)
    room.tick()
    actions.review(room.office, room.who("vic"), room.at, ref=first.ref, envelope=review, means=room.means)
    leaked(room, "vic")
    made = ready(room, 7)
    with pytest.raises(EvidenceError, match=r"the review's finding `r-1` of version .* stands in no register"):
        room.approved(made, "abel")
    say(room, first, "val", raised(room), "r-1")
    say(room, first, "val", **CLOSED, name="r-1")
    assert room.approved(made, "abel", "bea").state == "approved"


def test_a_version_whose_review_is_by_a_leaked_key_answers_no_more_than_it_does(room: ControlRoom) -> None:
    made = ready(room, 7)
    room.approved(made, "abel", "bea")
    room.released(made)
    room.pointed(None, made.ref.manifest)
    assert watched(room) == []
    leaked(room, "val")
    with pytest.raises(EvidenceError, match="key that signed its review is compromised, and gateways refuse it"):
        room.pointed(made.ref.manifest)
    (one,) = watched(room)
    assert (one.ref, one.what.name, one.due) == (made.ref, "review", "alert")


def test_words_by_a_leaked_key_are_left_out_and_written_anew(room: ControlRoom) -> None:
    made = ready(room, 7)

    def write(who: str) -> None:
        room.tick()
        said = SectionText(
            v=1,
            section="limitations",
            role="validator",
            text="small sample",
            person=PersonId(who),
            at_us=micros(room.at),
        )
        papers.write(
            room.office, room.who(who), room.at, ref=made.ref, means=room.means,
            envelope=papers.sign_section(made.ref, said, signer(who)),
        )  # fmt: skip

    second_validator(room)
    write("vic")
    leaked(room, "vic")
    assert papers.sections_of(version_in(room, made), room.blobs, room.means.register) == ()
    write("val")
    (text,) = papers.sections_of(version_in(room, made), room.blobs, room.means.register)
    assert text.said.person == "val"


# after the release ---------------------------------------------------------------------------------------------------


def watched(room: ControlRoom) -> list[Watched]:
    return watch_live(room.desk.books, room.means, room.at)


def live_rule(room: ControlRoom, then: str, days: int, warn_days: int = 30) -> None:
    policy = json.loads(VALIDATION_POLICY)
    policy["findings"]["live"] = {"then": then, "days": days, "warn_days": warn_days}
    room.validation_policy = canonical(policy)


def test_an_acceptance_that_ends_while_a_version_answers_is_told_before_and_after(room: ControlRoom) -> None:
    """It stands with an earlier version, and only because it was accepted could the later one be released."""
    first = room.submitted(6)
    say(room, first, "val", raised(room))
    say(room, first, "val", accepted(room, 60))
    second = ready(room, 7)
    room.approved(second, "abel", "bea")
    room.released(second)
    room.pointed(None, second.ref.manifest)
    assert watched(room) == []
    room.at += timedelta(days=31)
    (one,) = watched(room)
    assert (one.ref, one.stage, one.due) == (second.ref, "challenger", "warning")
    assert one.what.of == first.ref
    room.at += timedelta(days=30)
    (one,) = watched(room)
    assert one.due == "alert"
    assert "acceptance expired" in str(one.what.reason)
    with pytest.raises(EvidenceError, match=f"`f-1` of version {first.ref.manifest[:12]} is high and acceptance exp"):
        room.pointed(second.ref.manifest)
    live_rule(room, "halt", 5)
    assert [one.due for one in watched(room)] == ["alert"]
    room.at += timedelta(days=5)
    assert [one.due for one in watched(room)] == ["halt"]
    say(room, first, "val", **CLOSED)
    assert watched(room) == []


def test_a_finding_after_the_release_meets_the_policy(room: ControlRoom) -> None:
    made = ready(room, 7)
    room.approved(made, "abel", "bea")
    room.released(made)
    room.pointed(None, made.ref.manifest)
    say(room, made, "val", raised(room, "medium"))
    assert watched(room) == []
    say(room, made, "val", raised(room), "f-2")
    (one,) = watched(room)
    assert (one.what.name, one.due) == ("f-2", "alert")
    alert = FindingAlert(
        model=MODEL, manifest=made.ref.manifest, of=str(one.what.of), finding="f-2", severity="high", state="blocks",
        step=one.what.step, raised_us=micros(room.at),
    )  # fmt: skip
    ((_, ref),) = raise_finding_alerts(room.office, lambda _: room.who("oscar"), [alert], lambda: room.at)
    entries = [Entry.decode(logged.entry) for logged in room.log.entries()]
    assert (entries[ref.index].type, entries[ref.index].facts["alert"]) == ("alert", digest_of(alert.encode()))
    assert alerted(entries) == {alert.key}, "each state is alerted once"
    live_rule(room, "roll-back", 0)
    assert [one.due for one in watched(room)] == ["roll-back"]
    say(room, made, "val", accepted(room), "f-2")
    assert [one.due for one in watched(room)] == ["warning"]
    live_rule(room, "roll-back", 0, warn_days=5)
    assert watched(room) == []
    policy = json.loads(room.validation_policy)
    policy["findings"]["max_accept_days"] = 5
    room.validation_policy = canonical(policy)
    (one,) = watched(room)
    assert "what settled it does not count: by the policy a finding is accepted for 5 days at most" in str(
        one.what.reason
    )


def desk_of(room: ControlRoom, name: str) -> Any:
    """Somebody at this room, as far as the watch needs them."""
    here = SimpleNamespace(
        clock=lambda: room.at, means=lambda: room.means, office=room.office, log=room.log, repository=room.repository,
        settings=SimpleNamespace(room="credit"), pepper_number=1,
    )  # fmt: skip
    return SimpleNamespace(
        home=signer(name), person=PersonId(name), room=here, ask=lambda verb, kind, on, body=b"": room.who(name)
    )


def test_the_policy_has_a_version_rolled_back_or_halted(room: ControlRoom) -> None:
    first = room.live(6)
    second = room.live(7, fallback=first.ref.manifest)
    say(room, second, "val", raised(room))
    live_rule(room, "roll-back", 0)
    oscar, hal = desk_of(room, "oscar"), desk_of(room, "hal")
    (one,) = found = watching.watch_findings(oscar)
    assert [alert.key for alert, _ in watching.alert_findings(oscar, found)] == [
        (MODEL, second.ref.manifest, f"{MODEL}@{second.ref.manifest}", "f-1", "blocks", one.what.step)
    ]
    assert watching.alert_findings(oscar, found) == [], "once"
    room.tick()
    say(room, first, "val", raised(room))
    found = watching.watch_findings(oscar)
    assert {str(one.what.of) for one in found} == {str(first.ref), str(second.ref)}
    (done,) = watching.act_on_findings(oscar, found)
    assert "is held up too: finding `f-1` is high and open" in str(done.refused), "the same fault there"
    say(room, first, "val", **CLOSED)
    room.tick()
    (done,) = watching.act_on_findings(hal, watching.watch_findings(hal))
    assert done.refused is not None, "halters do not move pointers"
    room.tick()
    assert watching.act_on_findings(oscar, watching.watch_findings(oscar)) == [
        watching.Done(second.ref, "roll-back", None)
    ]
    assert room.repository.pointer(MODEL).champion == first.ref.manifest
    assert watching.watch_findings(oscar) == []
    say(room, first, "val", raised(room), "f-2")
    live_rule(room, "halt", 0)
    room.tick()
    assert watching.act_on_findings(hal, watching.watch_findings(hal)) == [watching.Done(first.ref, "halt", None)]
    assert len(room.repository.halts(MODEL)) == 1
    assert watching.act_on_findings(hal, watching.watch_findings(hal)) == [], "it is halted already"


@pytest.mark.parametrize("changes", [{"then": "shrug"}, {"days": -1}, {"warn_days": 366}, {"more": 1}])
def test_a_policy_says_what_happens_or_is_refused(changes: dict[str, Any]) -> None:
    policy = json.loads(VALIDATION_POLICY)
    policy["findings"]["live"] = {"then": "halt", "days": 1, "warn_days": 1, **changes}
    with pytest.raises(InvalidInputError):
        ValidationPolicy.decode(canonical(policy))
