"""On a person's side: what was found wrong with versions that answer now, and what the policy has done about it."""

from __future__ import annotations

from dataclasses import dataclass

from strongroom.approval.inheritance import held_now, unsettled
from strongroom.approval.live import Watched, watch_live
from strongroom.approval.standing import LIFTERS, open_halts
from strongroom.errors import ConflictError, RefusedError
from strongroom.monitoring.finding_alerts import FindingAlert, alerted, raise_finding_alerts
from strongroom.office.acts import Act, EntryRef, Resource
from strongroom.validation.policy import ValidationPolicy
from strongroom.vocabulary import ModelRef, micros
from strongroom.wiring import releasing
from strongroom.wiring.person import AtDesk


@dataclass(frozen=True, slots=True)
class Done:
    """What came of what the policy asked: the verb, or why it did not happen."""

    ref: ModelRef
    verb: str
    refused: str | None


def watch_findings(desk: AtDesk) -> list[Watched]:
    """What holds up versions that answer, on the record; nothing else changes. Raises as `watch_live`."""
    room, at = desk.room, desk.room.clock()
    who = desk.ask("show", "Room", room.settings.room)
    with room.office.open(Act(who, "show", Resource("Room", room.settings.room), at)) as books:
        found = watch_live(books, room.means(), at)
        books.note(what="findings", found=len(found))
    return found


def alert_findings(desk: AtDesk, watched: list[Watched]) -> list[tuple[FindingAlert, EntryRef]]:
    """Record an alert for everything that holds up a version that answers, and for acceptances that end soon: once
    for each state that it comes to."""
    room, at_us = desk.room, micros(desk.room.clock())
    before = alerted(logged.document for logged in room.log.entries())
    alerts = [
        FindingAlert(
            model=one.ref.name,
            manifest=one.ref.manifest,
            of=f"{one.what.of.name}@{one.what.of.manifest}",
            finding=one.what.name,
            severity=one.what.severity,
            state="ends-soon" if one.due == "warning" else "blocks",
            step=one.what.step,
            raised_us=at_us,
        )
        for one in watched
    ]
    fresh = [alert for alert in alerts if alert.key not in before]
    return raise_finding_alerts(room.office, lambda model: desk.ask("alert", "Model", model), fresh, room.clock)


def act_on_findings(desk: AtDesk, watched: list[Watched]) -> list[Done]:
    """Do what the policy has done to versions that answer, once for each model: roll back, or halt.

    Whoever asks must be allowed to; what is refused is told, and stands on the record like any refusal.
    """
    done: list[Done] = []
    for one in watched:
        if one.due in ("warning", "alert") or any(past.ref == one.ref for past in done):
            continue
        if one.due == "halt" and _halted(desk, one.ref.name):
            continue
        reason = f"by the policy: finding `{one.what.name}` of {one.what.of} is {one.what.severity}, {one.what.state}"
        try:
            _act(desk, one, reason)
            done.append(Done(one.ref, one.due, None))
        except RefusedError as error:
            done.append(Done(one.ref, one.due, error.message))
    return done


def _act(desk: AtDesk, one: Watched, reason: str) -> None:
    if one.due == "halt":
        releasing.halt(desk, one.ref, reason)
    elif one.stage == "challenger":
        pointer = desk.room.repository.pointer(one.ref.name)
        releasing.point(desk, one.ref.name, champion=pointer.champion if pointer else None, reason=reason)
    else:
        _demand_sound_fallback(desk, one.ref)
        releasing.rollback(desk, one.ref.name, reason)


def _halted(desk: AtDesk, model: str) -> bool:
    voices = open_halts(model, desk.room.means()).values()
    return any(len(lifted) < LIFTERS for lifted in voices)


def _demand_sound_fallback(desk: AtDesk, ref: ModelRef) -> None:
    """Going back to a version with the same fault helps nobody, and the next watch would go back again."""
    room, at = desk.room, desk.room.clock()
    means = room.means()
    released = {one.manifest: one for one in means.publisher.releases(ref.name)}
    fallback = released[ref.manifest].plan.fallback if ref.manifest in released else None
    if fallback is None:
        return  # the roll-back says so
    back = ModelRef(ref.name, fallback)
    who = desk.ask("show", "Model", ref.name)
    with room.office.open(Act(who, "show", Resource("Model", ref.name), at)) as books:
        held = held_now(books, back, means)
        books.note(manifest=fallback)
    rule = ValidationPolicy.decode(means.judging).finding_rule
    if reasons := unsettled(back, held, rule, micros(at)):
        raise ConflictError(
            f"the fallback {fallback[:12]} is held up too: {reasons[0]}; `strongroom halt {ref.name} --reason ...`"
        )
