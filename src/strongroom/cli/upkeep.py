"""Commands for the long life of logs: retain, hold, lift-hold, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from strongroom.cli.context import (
    HomeOption,
    HomePassphrase,
    NodeOption,
    Reason,
    RoomOption,
    RoomPassphrase,
    at_desk,
    moment_of,
)
from strongroom.cli.output import Json, command, tell


@command
def retain(
    node: NodeOption,
    room: RoomOption,
    home: HomeOption,
    reason: Reason,
    slot: Annotated[int, typer.Option(help="Which of the gateway's logs.", min=0)] = 0,
    generation: Annotated[
        int | None, typer.Option(help="Which generation of it, after its key was rotated; the first if none.", min=1)
    ] = None,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """As an operator or data protection officer: drop payloads that are past their term, with a signed proof.

    Only whole segments go, the oldest first, below what the witnesses cosigned, and none that a hold covers.

    Example: strongroom retain --node gw-1 --reason "ten years are over" --room credit --home ~/dora
    """
    from strongroom.wiring import upkeep

    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        done = upkeep.retain(desk, node, slot, reason, generation)
    proof = done.proof
    facts = {"origin": proof.origin, "first": proof.first, "end": proof.end, "proof": str(done.file)}
    tell(
        as_json,
        {**facts, "segments": len(proof.segments), "entry": str(done.entry)},
        [f"payloads of entries {proof.first} to {proof.end - 1} dropped; the proof is {done.file}"],
    )


@command
def hold(
    name: Annotated[str, typer.Argument(help="A new name, by which the hold is lifted.", show_default=False)],
    room: RoomOption,
    home: HomeOption,
    reason: Reason,
    since: Annotated[
        str, typer.Option(help="Decisions from this moment on (ISO 8601); all earlier ones if none.")
    ] = "",
    until: Annotated[str, typer.Option(help="Decisions up to this moment; also future ones if none.")] = "",
    model: Annotated[str | None, typer.Option(help="Of this model only.")] = None,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """As an auditor or data protection officer: keep records whatever their term, until the hold is lifted.

    Example: strongroom hold case-2026-114 --model pd-cards --since 2026-01-01 --reason "court order" --room credit
    """
    from strongroom.compliance.retention import FOREVER_US, Hold
    from strongroom.vocabulary import micros
    from strongroom.wiring import upkeep

    made = Hold(
        name=name,
        since_us=micros(moment_of(since, "since")) if since else 0,
        until_us=micros(moment_of(until, "until")) if until else FOREVER_US,
        model=model,
        reason=reason,
    )
    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        entry = upkeep.place_hold(desk, made)
    tell(as_json, {"hold": name, "entry": str(entry)}, [f"hold `{name}` is in force"])


@command
def lift_hold(
    name: Annotated[str, typer.Argument(help="Of the hold.", show_default=False)],
    room: RoomOption,
    home: HomeOption,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """As the data protection officer: end a hold, so that retention counts again.

    Example: strongroom lift-hold case-2026-114 --room credit --home ~/dora
    """
    from strongroom.wiring import upkeep

    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        entry = upkeep.lift_hold(desk, name)
    tell(as_json, {"hold": name, "entry": str(entry)}, [f"hold `{name}` is lifted"])


@command
def export(
    to: Annotated[Path, typer.Argument(help="New folder, or a new file that ends in .tar.", show_default=False)],
    room: RoomOption,
    home: HomeOption,
    node: Annotated[
        list[Path] | None, typer.Option("--node", help="Also the logs of this gateway (may repeat).")
    ] = None,
    up_to: Annotated[
        int | None, typer.Option(help="Of the gateways' logs: so many entries, to the next signed checkpoint.", min=1)
    ] = None,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """Write logs out with what checks them: public entries, trust policy, openings. No payload, no personal data.

    Example: strongroom export audit.tar --node gw-1 --room credit --home ~/audrey
    """
    from strongroom.adapters.log.export import write_folder, write_tar
    from strongroom.wiring import upkeep

    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        files, commands = upkeep.export(desk, node or [], up_to)
    if to.suffix == ".tar":
        with to.open("xb") as target:
            write_tar(target, files)
    else:
        write_folder(to, files)
    tell(
        as_json,
        {"to": str(to), "files": len(files), "check": commands},
        [f"{len(files)} files in {to}", "check them there with", *commands],
    )
