"""Commands that replace keys: a gateway's own, in the group `node`, and those that a room shares with its gateways."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from strongroom.cli.context import (
    HomeOption,
    HomePassphrase,
    NodeFolder,
    NodePassphrase,
    RoomOption,
    RoomPassphrase,
    at_desk,
    at_gateway,
    demand_there,
    new_passphrase,
    node_secret,
)
from strongroom.cli.output import Json, command, tell
from strongroom.cli.running import node

if TYPE_CHECKING:
    from strongroom.wiring.rotating_shared import Rotation

__all__ = ["node", "room_keys"]

Begin = Annotated[bool, typer.Option("--begin", help="Make the next key, unless a rotation is in progress.")]
room_keys = typer.Typer(no_args_is_help=True, help="Replace the keys that a room shares with its gateways.")


@node.command("rotate-logs")
@command
def rotate_logs(
    folder: NodeFolder,
    room: RoomOption,
    home: HomeOption,
    node_passphrase: NodePassphrase = None,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """As the operator: give each log of a gateway a next generation with a new key. It may be serving meanwhile.

    Repeat the command where it was interrupted: it completes what it had begun.

    Example: strongroom node rotate-logs gw-1 --room credit --home ~/omar
    """
    from strongroom.wiring import rotating

    with at_gateway(folder, node_passphrase, room, room_passphrase, home, passphrase_file) as (desk, key_of_node):
        done = rotating.rotate_logs(desk, folder, key_of_node)
    rows = [
        {"origin": one.origin, "vkey": str(one.key), "opened": str(one.opened), "closed": str(one.closed)}
        for one in done
    ]
    lines = [f"{one.origin} is written now; tell its witnesses {one.key}" for one in done]
    tell(as_json, {"logs": rows}, lines)


@node.command("rotate-subject-kek")
@command
def rotate_subject_kek(
    folder: NodeFolder,
    room: RoomOption,
    home: HomeOption,
    node_passphrase: NodePassphrase = None,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """As the operator: wrap the subjects' keys under a new key and destroy the old one. It may be serving meanwhile.

    Repeat the command where it was interrupted: it completes what it had begun.

    Example: strongroom node rotate-subject-kek gw-1 --room credit --home ~/omar
    """
    from strongroom.wiring import rotating

    with at_gateway(folder, node_passphrase, room, room_passphrase, home, passphrase_file) as (desk, key_of_node):
        done = rotating.rotate_subject_kek(desk, folder, key_of_node)
    tell(
        as_json,
        {"rows": done.rows, "backup": str(done.backup), "entry": str(done.entry)},
        [f"{done.rows} subject key(s) wrapped anew; the new backup is {done.backup}"],
    )


@node.command("change-passphrase")
@command
def change_passphrase(
    folder: NodeFolder,
    room: RoomOption,
    home: HomeOption,
    new_passphrase_file: Annotated[
        Path | None, typer.Option(help="File with the new passphrase; asked for when missing.", show_default=False)
    ] = None,
    node_passphrase: NodePassphrase = None,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """As the operator: put a gateway's key file under another passphrase.

    Example: strongroom node change-passphrase gw-1 --new-passphrase-file gw-1.next --room credit --home ~/omar
    """
    from strongroom.wiring import rotating

    demand_there(room, home)
    present = node_secret(folder, node_passphrase)
    new = new_passphrase(new_passphrase_file, "the gateway", "--new-passphrase-file")
    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        entry = rotating.change_passphrase(desk, folder, present, new)
    lines = ["the key file is under the new passphrase", "next: put it where `serve` reads it, and send SIGHUP"]
    tell(as_json, {"entry": str(entry)}, lines)


@node.command("take-keys")
@command
def take_keys(
    folder: NodeFolder,
    room: RoomOption,
    home: HomeOption,
    node_passphrase: NodePassphrase = None,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """As the operator: bring a gateway's key file up to its room's. It may be serving meanwhile.

    Repeat the command where it was interrupted, or where it kept a key that the gateway still needed.

    Example: strongroom node take-keys gw-1 --room credit --home ~/omar
    """
    from strongroom.wiring import rotating_shared

    with at_gateway(folder, node_passphrase, room, room_passphrase, home, passphrase_file) as (desk, key_of_node):
        taken = rotating_shared.take_keys(desk, folder, key_of_node)
    lines = [f"taken: {', '.join(taken.added) or 'nothing new'}; destroyed: {', '.join(taken.dropped) or 'nothing'}"]
    if taken.kept:
        lines.append(
            f"kept: {', '.join(taken.kept)}, which this gateway needs until it has seen the room's newest releases; "
            "repeat the command when it has been serving for a minute"
        )
    document = {"added": taken.added, "dropped": taken.dropped, "kept": taken.kept, "entry": str(taken.entry)}
    tell(as_json, document, lines)


@room_keys.command("rotate-pepper")
@command
def rotate_pepper(
    room: RoomOption,
    home: HomeOption,
    begin: Begin = False,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """As the operator: replace the pepper of API keys and canaries, as far as that can be done now.

    Begin with --begin, then repeat the command: each time it does what has become possible, and says what is missing.

    Example: strongroom room rotate-pepper --begin --room credit --home ~/omar
    """
    from strongroom.wiring import rotating_shared

    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        found = rotating_shared.rotate_pepper(desk, begin)
    lines = [f"pepper {found.key}: {_SAID[found.phase]}", *_missing(found)]
    for system in found.systems:
        lines.append(
            f"`{system}` still has a key under the old one; next: strongroom grant rotate {system}, then its end"
        )
    for model in found.canaries:
        lines.append(f"the canary of `{model}` is still divided by the old one; next: end it, or promote it")
    _tell(as_json, found, lines)


@room_keys.command("rotate-kek")
@command
def rotate_kek(
    room: RoomOption,
    home: HomeOption,
    begin: Begin = False,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """As the operator: replace the key under which models are sealed, as far as that can be done now.

    Begin with --begin, then repeat the command: each time it does what has become possible, and says what is missing.

    Example: strongroom room rotate-kek --begin --room credit --home ~/omar
    """
    from strongroom.wiring import rotating_shared

    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        found = rotating_shared.rotate_model_kek(desk, begin)
    lines = [f"key {str(found.key)[:12]}: {_SAID[found.phase]}", *_missing(found)]
    if found.wrapped:
        lines.append(f"{found.wrapped} data key(s) wrapped anew; next: strongroom node take-keys, for each gateway")
    _tell(as_json, found, lines)


_SAID = {
    "begun": "made, and not used before every gateway has it",
    "in-use": "in use for all that is made from now on",
    "done": "in use, and the room has no older one; gateways destroy theirs with `strongroom node take-keys`",
}


def _missing(found: Rotation) -> list[str]:
    return [f"gateway `{name}` does not have it yet; next: strongroom node take-keys" for name in found.gateways]


def _tell(as_json: bool, found: Rotation, lines: list[str]) -> None:
    document = {
        "phase": found.phase, "key": found.key, "gateways": found.gateways, "systems": found.systems,
        "canaries": found.canaries, "wrapped": found.wrapped,
    }  # fmt: skip
    tell(as_json, document, lines)
