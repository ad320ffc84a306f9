"""Commands that make a room and keep its people: init, people, policy, timestamp."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from strongroom.cli.context import (
    ROOM_PASSPHRASE,
    HomeOption,
    HomePassphrase,
    RoomOption,
    RoomPassphrase,
    at_desk,
    demand_new,
    home_secret,
    new_passphrase,
    room_open,
    room_secret,
)
from strongroom.cli.output import Json, ask_to_sign, command, table, tell
from strongroom.errors import InvalidInputError


class Ending(StrEnum):
    """Why a key counts no more."""

    LEFT = "left"
    ROTATED = "rotated"
    COMPROMISED = "compromised"


people = typer.Typer(no_args_is_help=True, help="Keep the people register: who is who, with which key, in which role.")
policy = typer.Typer(no_args_is_help=True, help="Check policies, try and sign new ones, tell a model's tier.")


@command
def init(
    folder: Annotated[Path, typer.Argument(help="New folder of the room.", show_default=False)],
    org: Annotated[str, typer.Option(help="Organisation, such as first-bank.", show_default=False)],
    name: Annotated[str, typer.Option(help="The room's name, such as credit.", show_default=False)],
    members: Annotated[
        Path,
        typer.Option(
            "--people",
            exists=True,
            dir_okay=False,
            help="TOML file: person_id, roles, key_pem of everyone.",
            show_default=False,
        ),
    ],
    region: Annotated[str, typer.Option(help="Region in which keys and records stay.")] = "eu",
    fips: Annotated[bool, typer.Option("--fips", help="Approved algorithms only (PBKDF2 in key files).")] = False,
    witness: Annotated[
        list[str] | None, typer.Option(help="A witness: verifier key, blank, address (may repeat).")
    ] = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """Make a room. Nothing is in force until two custodians have signed root and targets.

    Example: strongroom init credit --org first-bank --name credit --people people.toml
    """
    import msgspec

    from strongroom.wiring.control import now
    from strongroom.wiring.founding import Member, found
    from strongroom.wiring.settings import Layout, RoomSettings

    settings = RoomSettings(
        v=1,
        org=org,
        room=name,
        region=region,
        profile="fips" if fips else "default",
        witness_vkeys=tuple(witness or ()),
    )
    try:
        listed = msgspec.toml.decode(members.read_bytes(), type=dict[str, list[Member]]).get("people", [])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"`{members.name}` is not understood: {error}", field="people") from error
    demand_new(folder, "a room is made in a new folder")
    secret = new_passphrase(room_passphrase, "the new room", ROOM_PASSPHRASE)
    founding = found(Layout(folder), settings, listed, secret, now())
    tell(
        as_json,
        {"room": str(folder), "origin": settings.governance_origin, "missing_signatures": founding.waiting},
        [
            f"room {settings.org}/{settings.room} made in {folder}; {len(listed)} people",
            "next: two custodians sign, each with `strongroom people sign --room ... --home ...`",
        ],
    )


@people.command("new")
@command
def people_new(
    home: Annotated[Path, typer.Argument(help="New folder for your key, outside any room.", show_default=False)],
    person: Annotated[str, typer.Option(help="Your name in the register, such as ann.", show_default=False)],
    passphrase_file: HomePassphrase = None,
    as_json: Json = False,
) -> None:
    """Make your key. The private half never leaves your home; hand the printed public key to the custodians.

    Example: strongroom people new ~/strongroom-home --person ann
    """
    from strongroom.adapters.keys.homes import Home

    Home.demand_free(home)
    public = Home.create(home, person, new_passphrase(passphrase_file, f"home `{home.name}`"))
    pem = public.pem.decode()
    facts = {"person": person, "key_id": public.key_id, "key_pem": pem}
    tell(as_json, facts, [f"key {public.key_id}", *pem.splitlines()])


@people.command("list")
@command
def people_list(room: RoomOption, room_passphrase: RoomPassphrase = None, as_json: Json = False) -> None:
    """List the register in force.

    Example: strongroom people list --room credit
    """
    with room_open(room, room_passphrase) as control:
        register = control.register
    rows = [
        (p.person_id, p.kind, ", ".join(p.roles), ", ".join(key.id[:12] for key in p.keys)) for p in register.people
    ]
    if as_json:
        tell(
            True,
            {
                "version": register.version,
                "people": [dict(zip(("id", "kind", "roles", "keys"), row, strict=True)) for row in rows],
            },
        )
        return
    table(f"people register, version {register.version}", ["person", "kind", "roles", "keys"], rows)


@people.command("sign")
@command
def people_sign(
    room: RoomOption,
    home: HomeOption,
    yes: Annotated[bool, typer.Option("--yes", help="Sign without asking again.")] = False,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """Read and sign, as a custodian, what waits: root, register, policies, delegations. The last signature publishes.

    Example: strongroom people sign --room credit --home ~/strongroom-home
    """
    from strongroom.adapters.keys.homes import Home
    from strongroom.wiring.custody import read_waiting, sign_waiting

    secret = room_secret(room, room_passphrase)
    key = Home.open(home, home_secret(home, passphrase_file))
    waiting = read_waiting(room, secret)
    if waiting:
        ask_to_sign([line for one in waiting for line in one.lines], yes, as_json)
    signed = sign_waiting(room, secret, key, waiting)
    said = {one.role: list(one.lines) for one in waiting}
    tell(
        as_json,
        [
            {
                "role": one.role,
                "digest": one.digest,
                "missing": one.missing,
                "published": one.published,
                "entry": None if one.entry is None else str(one.entry),
                "signed": said[one.role],
            }
            for one in signed
        ],
        [
            f"{one.role}: signed, " + ("published" if one.published else f"{one.missing} more signature(s) needed")
            for one in signed
        ]
        or ["nothing waits for a custodian's signature"],
    )


@people.command("delegate")
@command
def people_delegate(
    model: Annotated[str, typer.Argument(help="Model name.", show_default=False)],
    approver: Annotated[list[str], typer.Option(help="Person who may approve it (at least two).", show_default=False)],
    room: RoomOption,
    home: HomeOption,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """Prepare the delegation of a model to its approvers; custodians then sign it.

    Example: strongroom people delegate pd-cards --approver paul --approver petra --room credit --home ~/cora
    """
    from strongroom.wiring import submitting

    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        entry = submitting.delegate(desk, model, approver)
    tell(as_json, {"model": model, "approvers": approver, "entry": str(entry)}, [f"`{model}` waits for two custodians"])


@people.command("enter")
@command
def people_enter(
    person: Annotated[str, typer.Argument(help="Person id.", show_default=False)],
    room: RoomOption,
    home: HomeOption,
    role: Annotated[list[str] | None, typer.Option(help="A role; together they replace the old (may repeat).")] = None,
    key: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="PEM that `people new` printed; one more key.")
    ] = None,
    unit: Annotated[list[str] | None, typer.Option(help="A department (may repeat).")] = None,
    service: Annotated[
        bool, typer.Option("--service", help="A machine with a key of its own, such as one that runs rules.")
    ] = False,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """Prepare a new person, or new roles or one more key for a known one; custodians then sign it.

    Example: strongroom people enter pia --role approver --key pia.pem --room credit --home ~/cora
    """
    from strongroom.wiring import registering

    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        pem = key.read_bytes() if key is not None else None
        entry = registering.enter_person(desk, person, role or [], pem, unit or [], service=service)
    tell(
        as_json,
        {"person": person, "entry": str(entry)},
        [f"`{person}` waits for two custodians", "next: strongroom people sign"],
    )


@people.command("end")
@command
def people_end(
    person: Annotated[str, typer.Argument(help="Person id.", show_default=False)],
    reason: Annotated[
        Ending,
        typer.Option(
            metavar="REASON", help="left, rotated or compromised; a compromised key never counted.", show_default=False
        ),
    ],
    room: RoomOption,
    home: HomeOption,
    key: Annotated[str | None, typer.Option(help="First digits of one key; all that still count if none.")] = None,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """Prepare the end of a person's keys; custodians then sign it. Earlier signatures count on, unless compromised.

    Example: strongroom people end paul --reason left --room credit --home ~/cora
    """
    from strongroom.wiring import registering

    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        entry = registering.end_keys(desk, person, reason.value, key)
    tell(
        as_json,
        {"person": person, "entry": str(entry)},
        [f"the end of `{person}`'s keys waits for two custodians", "next: strongroom people sign"],
    )


@people.command("renew")
@command
def people_renew(
    room: RoomOption,
    home: HomeOption,
    custodian: Annotated[
        list[str] | None, typer.Option(help="Who the custodians are from now on (at least three); as now if none.")
    ] = None,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """Prepare root and targets with fresh dates, before they expire; the custodians, old and new, then sign them.

    Example: strongroom people renew --room credit --home ~/cora
    """
    from strongroom.wiring import registering

    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        staged = registering.renew(desk, custodian or [])
    tell(
        as_json,
        {"custodians": staged.custodians, "threshold": staged.threshold, "entry": str(staged.entry)},
        [
            f"root and targets wait for {staged.threshold} of: {', '.join(staged.custodians)}",
            "next: strongroom people sign (a changed circle needs as many of the old custodians as well)",
        ],
    )


@policy.command("check")
@command
def policy_check(
    folder: Annotated[
        Path | None,
        typer.Argument(
            exists=True,
            file_okay=False,
            help="Folder with files named like the shipped ones, which stand in for what it lacks.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Parse policies and validate them against their schema, and check that the process diagram is one that can run.

    Example: strongroom policy check my-policies
    """
    from strongroom.wiring.custody import check_documents

    checked = check_documents(folder)
    tell(as_json, checked, [f"{name}: {what}" for name, what in checked.items()])


@policy.command("propose")
@command
def policy_propose(
    room: RoomOption,
    home: HomeOption,
    folder: Annotated[
        Path | None,
        typer.Argument(
            exists=True,
            file_okay=False,
            help="Folder with files named like the shipped ones; the access policies of this version if none.",
        ),
    ] = None,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """As a custodian: prepare new policies, for example after an upgrade; custodians then sign them.

    Example: strongroom policy propose --room credit --home ~/cora
    """
    from strongroom.wiring.custody import propose_policies

    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        changed, entry = propose_policies(desk, folder)
    tell(
        as_json,
        {"changed": list(changed), "entry": str(entry)},
        [f"{', '.join(changed)} wait for two custodians", "next: strongroom people sign"],
    )


@command
def timestamp(
    room: RoomOption,
    every: Annotated[int, typer.Option(help="Repeat every so many seconds; 0 for once.", min=0)] = 0,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """Sign a fresh timestamp, so that gateways know that nothing is withheld from them. Run it every few minutes.

    Example: strongroom timestamp --room credit --every 600
    """
    import time

    from strongroom.wiring.custody import renew_timestamp

    secret = room_secret(room, room_passphrase)
    while True:
        fresh = renew_timestamp(room, secret)
        tell(
            as_json,
            {"expires": fresh.expires, "soon": [{"role": role, "expires": when} for role, when in fresh.soon]},
            [
                f"timestamp signed; it expires {fresh.expires}",
                *(f"soon: `{role}` expires {when}; {_renewal_of(role)}" for role, when in fresh.soon),
            ],
        )
        if not every:
            return
        time.sleep(every)


def _renewal_of(role: str) -> str:
    if role in ("root", "targets"):
        return "custodians renew it with `strongroom people renew`"
    if role == "operations":
        return "the operator renews it with any `strongroom release` or `strongroom grant`"
    return "its versions are due for review"
