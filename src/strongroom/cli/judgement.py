"""Commands of judgement and of what follows from it: review, terms, approve, reject, release, rollback, halt, lift."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Literal

import typer

from strongroom.cli.context import (
    HomeOption,
    HomePassphrase,
    ModelArgument,
    Reason,
    RoomOption,
    RoomPassphrase,
    at_desk,
    find_version,
    home_secret,
    room_secret,
)
from strongroom.cli.output import Json, ask_to_sign, command, console, save, tell
from strongroom.errors import ConflictError

Yes = Annotated[bool, typer.Option("--yes", help="Sign without asking again.")]


@command
def review(
    model: ModelArgument,
    opinion: Annotated[str, typer.Option(help="fit or unfit.", show_default=False)],
    room: RoomOption,
    home: HomeOption,
    finding: Annotated[
        list[str] | None, typer.Option(help="A finding as severity:text, severity low, medium or high (may repeat).")
    ] = None,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """As the independent validator: check every digest, judge, sign.

    Example: strongroom review pd-cards --opinion fit --finding "low:two grades inverted" --room credit --home ~/vera
    """
    from strongroom.wiring import judging, reporting

    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        ref = find_version(desk.room, model).ref
        found = judging.findings_of(finding or [], reporting.finding_names(desk, ref))
        with console.status("running the battery again in the sandbox ...") as status:
            case = judging.review(desk, ref, opinion, found, lambda line: status.update(f"{line} ..."))
    tell(as_json, {"case": case.id, "state": case.state}, [f"case {case.id}: {case.state}"])


@command
def propose(
    model: ModelArgument,
    room: RoomOption,
    home: HomeOption,
    days: Annotated[int, typer.Option(help="Days until the review is due.", min=1)] = 365,
    canary: Annotated[int, typer.Option(help="Largest canary share in percent.", min=0, max=100)] = 10,
    fallback: Annotated[
        str | None, typer.Option(help="Approved version that stands in, and to roll back to (model@digits).")
    ] = None,
    on_failure: Annotated[
        str | None, typer.Option(help="Decision, without a score, when nothing else can answer; for example refer.")
    ] = None,
    rules: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="TOML with rules by which a machine may move the release."),
    ] = None,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """As the operator: write the terms of a reviewed version, for the approvers to sign.

    Example: strongroom propose pd-cards --days 365 --fallback pd-cards@50fe21 --room credit --home ~/omar
    """
    from strongroom.wiring import judging

    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        back = find_version(desk.room, fallback).ref.manifest if fallback else None
        release = judging.propose(
            desk,
            find_version(desk.room, model).ref,
            days=days,
            canary_percent=canary,
            fallback=back,
            on_failure=on_failure,
            rules=rules.read_bytes() if rules is not None else None,
        )
    tell(
        as_json,
        {"model": release.model, "manifest": release.manifest, "case": release.case},
        [
            f"terms of {release.model}@{release.manifest[:12]} wait for two approvers",
            f"next: strongroom approve {release.model}@{release.manifest[:12]}",
        ],
    )


@command
def approve(
    model: ModelArgument,
    room: RoomOption,
    home: HomeOption,
    condition: Annotated[list[str] | None, typer.Option(help="A condition in words (may repeat).")] = None,
    yes: Yes = False,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """As an approver: recompute every digest, read what is signed, sign approval and metadata.

    Example: strongroom approve pd-cards --room credit --home ~/paul
    """
    from strongroom.wiring import judging

    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        ref = find_version(desk.room, model).ref
        checked = judging.check_papers(desk, ref)
        summary = checked.summary()
        # reading takes as long as it takes, and nobody waits for it
        with nullcontext() if yes else desk.room.apart():
            ask_to_sign(summary.splitlines(), yes, as_json)
            signed = judging.sign_shown(desk, checked, condition or [])
        case = judging.approve(desk, ref, signed=signed)
    tell(
        as_json,
        {"case": case.id, "state": case.state, "approvers": list(case.approvers), "signed": summary},
        [f"case {case.id}: {case.state}, approved by {', '.join(case.approvers)}"],
    )


@command
def reject(
    model: ModelArgument,
    reason: Reason,
    room: RoomOption,
    home: HomeOption,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """End the case of a version, with a reason. A new submission opens another.

    Example: strongroom reject pd-cards --reason "discrimination too weak for tier 1" --room credit --home ~/paul
    """
    from strongroom.wiring import judging

    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        case = judging.reject(desk, find_version(desk.room, model).ref, reason)
    tell(
        as_json,
        {"case": case.id, "state": case.state, "evidence": case.history[-1].evidence},
        [f"case {case.id}: {case.state}"],
    )


@command
def release(
    model: ModelArgument,
    room: RoomOption,
    home: HomeOption,
    stage: Annotated[
        Literal["live", "canary", "shadow", "none"],
        typer.Option(metavar="STAGE", help="live, canary or shadow; none publishes without pointing."),
    ] = "live",
    percent: Annotated[int, typer.Option(help="Share of a canary.", min=0, max=100)] = 0,
    reason: Annotated[str, typer.Option(help="Why, in words.")] = "approved",
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """As the operator: publish an approved version, and point at it within its plan.

    Example: strongroom release pd-cards --stage live --room credit --home ~/omar
    """
    from strongroom.wiring import releasing

    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        version = find_version(desk.room, model)
        if version.state == "approved":
            releasing.release(desk, version.ref)
        change = None
        if stage != "none":
            change = releasing.point_at(desk, version.ref, stage, percent, reason)
    tell(
        as_json,
        {"model": version.ref.name, "manifest": version.ref.manifest, "sequence": change.sequence if change else None},
        [f"{version.ref} is published" + (f" and {stage}" if change else "")],
    )


@command
def rollback(
    model: ModelArgument,
    reason: Reason,
    room: RoomOption,
    home: HomeOption,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """As the operator: point back at the champion's approved fallback.

    Example: strongroom rollback pd-cards --reason "drift alert" --room credit --home ~/omar
    """
    from strongroom.wiring import releasing

    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        change = releasing.rollback(desk, model.partition("@")[0], reason)
    tell(
        as_json,
        {"model": change.model, "champion": change.champion, "sequence": change.sequence},
        [f"{change.model}: {str(change.champion)[:12]} answers again"],
    )


@command
def halt(
    model: ModelArgument,
    reason: Reason,
    room: RoomOption,
    home: HomeOption,
    file: Annotated[
        Path | None, typer.Option(help="Also write the signed halt here; dropped into a node's halt/ it works at once.")
    ] = None,
    signed: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Publish this halt, signed while the room was busy."),
    ] = None,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """Stop all versions of a model. One named person may; two lift.

    Example: strongroom halt pd-cards --reason "scores look wrong" --room credit --home ~/paul
    """
    from strongroom.adapters.log.shard_files import LOCKED
    from strongroom.wiring import releasing

    given = None if signed is None else signed.read_bytes()
    try:
        with at_desk(room, room_passphrase, home, passphrase_file) as desk:
            name, envelope = releasing.halt(desk, find_version(desk.room, model).ref, reason, given)
    except ConflictError as error:
        # somebody keeps the room open, and a halt must not wait for them
        if error.details.get("rule") != LOCKED or signed is not None:
            raise
        if file is None:
            more = "; with --file you get the signed halt at once, for the halt/ folders of gateways"
            raise ConflictError(error.message + more, **error.details) from error
        of_room = room_secret(room, room_passphrase)
        of_home = home_secret(home, passphrase_file)
        save(file, releasing.halt_apart(room, of_room, home, of_home, model, reason))
        tell(
            as_json,
            {"model": model.partition("@")[0], "halt": None, "published": False},
            [
                "another command has the room open, so nothing is published yet",
                f"now: copy `{file}` into the halt/ folder of each gateway; it works there at once",
                f"then: strongroom halt {model} --signed {file} --reason ..., so that it is on the record and can be "
                "lifted",
            ],
        )
        return
    if file is not None:
        save(file, envelope)
    tell(
        as_json,
        {"model": model.partition("@")[0], "halt": name, "published": True},
        [f"halted; the halt is called {name[:12]}"],
    )


@command
def lift(
    model: ModelArgument,
    reason: Reason,
    room: RoomOption,
    home: HomeOption,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """One of the two voices that end a halt.

    Example: strongroom lift pd-cards --reason "cause found and mended" --room credit --home ~/petra
    """
    from strongroom.wiring import releasing

    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        free = releasing.lift(desk, find_version(desk.room, model).ref, reason)
    tell(
        as_json,
        {"model": model.partition("@")[0], "free": free},
        ["nothing halts the model any more" if free else "one more person must lift"],
    )
