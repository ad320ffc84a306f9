"""Commands that replace a gateway's keys: they add themselves to the group `node`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from strongroom.cli.context import (
    NODE_PASSPHRASE,
    HomeOption,
    HomePassphrase,
    RoomOption,
    RoomPassphrase,
    at_desk,
    new_passphrase,
    passphrase,
)
from strongroom.cli.output import Json, command, tell
from strongroom.cli.running import NodeFolder, NodePassphrase, node

__all__ = ["node"]


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

    key_of_node = passphrase(node_passphrase, "the gateway", NODE_PASSPHRASE)
    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
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

    key_of_node = passphrase(node_passphrase, "the gateway", NODE_PASSPHRASE)
    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
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

    present = passphrase(node_passphrase, "the gateway", NODE_PASSPHRASE)
    new = new_passphrase(new_passphrase_file, "the gateway", "--new-passphrase-file")
    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        entry = rotating.change_passphrase(desk, folder, present, new)
    lines = ["the key file is under the new passphrase", "next: put it where `serve` reads it, and send SIGHUP"]
    tell(as_json, {"entry": str(entry)}, lines)
