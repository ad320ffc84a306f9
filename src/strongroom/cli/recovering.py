"""Commands for when a disk is lost: backup and restore."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from strongroom.cli.context import (
    NODE_PASSPHRASE,
    ROOM_PASSPHRASE,
    HomeOption,
    HomePassphrase,
    NodePassphrase,
    RoomOption,
    RoomPassphrase,
    at_desk,
    demand_new,
    demand_there,
    home_secret,
    passphrase,
)
from strongroom.cli.output import Json, command, tell
from strongroom.errors import InvalidInputError

CHECKPOINT_LIMIT_BYTES = 64 * 1024
Checkpoints = Annotated[
    list[Path] | None,
    typer.Option(
        "--checkpoint",
        exists=True,
        dir_okay=False,
        help="Newest checkpoint of a log that somebody outside holds (may repeat); one is needed for a room.",
    ),
]


@command
def backup(
    to: Annotated[Path, typer.Argument(help="New folder.", show_default=False)],
    room: RoomOption,
    home: HomeOption,
    node: Annotated[Path | None, typer.Option("--node", help="Instead of the room: this gateway.")] = None,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """As an operator or custodian: copy the room, or a gateway that may go on serving, with a signed list of digests.

    What is encrypted stays encrypted. Keys of people are not in a room, and so in no backup of it.

    Example: strongroom backup gw-1-monday --node gw-1 --room credit --home ~/omar
    """
    from strongroom.wiring import recovering

    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        made = recovering.back_up_room(desk, to) if node is None else recovering.back_up_node(desk, node, to)
    size = sum(file.size_bytes for file in made.manifest.files)
    logs = {log.origin: log.size for log in made.manifest.logs}
    tell(
        as_json,
        {
            "to": str(to), "files": len(made.manifest.files), "bytes": size, "manifest": made.digest, "logs": logs,
            "entry": str(made.entry),
        },
        [f"{len(made.manifest.files)} files, {size} bytes in {to}", *(f"{log}: {n} leaves" for log, n in logs.items())],
    )  # fmt: skip


@command
def restore(
    source: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Of the backup.", show_default=False)],
    room: RoomOption,
    home: HomeOption,
    node: Annotated[Path | None, typer.Option("--node", help="New folder of the gateway in the backup.")] = None,
    backup_keys: Annotated[
        Path | None, typer.Option(help="For a gateway: its folder `backup-keys`, which is in no backup.")
    ] = None,
    checkpoint: Checkpoints = None,
    node_passphrase: NodePassphrase = None,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """As a custodian: make a lost room again, or a lost gateway, in a new folder; say what came after the backup.

    Nothing is overwritten. A gateway serves again once an operator gave it new logs: `strongroom node rotate-logs`.

    Example: strongroom restore gw-1-monday --node gw-1 --backup-keys keys/gw-1 --room credit --home ~/cora
    """
    from strongroom.wiring import recovering

    seen = [_read_note(path) for path in checkpoint or ()]
    if node is None:
        if len(seen) != 1:
            raise InvalidInputError(
                "a room goes on only if nobody has seen more of its governance log: name the newest checkpoint that a "
                "witness, auditor or gateway holds with --checkpoint",
                field="checkpoint",
            )
        demand_there(None, home)
        demand_new(room, "a room is restored into a new folder")
        of_room = passphrase(room_passphrase, "the room", ROOM_PASSPHRASE)
        of_home = home_secret(home, passphrase_file)
        done = recovering.restore_room(source, room, of_room, home, of_home, seen[0])
        following = [f"next: strongroom timestamp, then strongroom fsck, with --room {room}"]
    else:
        if backup_keys is None:
            raise InvalidInputError(
                "the key store's backup opens with the keys in the gateway's folder `backup-keys`: name it with "
                "--backup-keys",
                field="backup_keys",
            )
        demand_there(room, home)
        demand_new(node, "a gateway is restored into a new folder")
        secret = passphrase(node_passphrase, "the gateway", NODE_PASSPHRASE)
        with at_desk(room, room_passphrase, home, passphrase_file) as desk:
            done = recovering.restore_node(desk, source, node, secret, backup_keys, seen)
        following = [f"next, as an operator: strongroom node rotate-logs {node}"]
    lost = [{"origin": one.origin, "first": one.first, "count": one.count} for one in done.lost]
    told = [f"{one.origin}: at least {one.count} entries from {one.first} on are lost" for one in done.lost]
    tell(
        as_json,
        {"lost": lost, "findings": list(done.findings), "entry": str(done.entry)},
        [f"{len(done.manifest.files)} files restored, each as it was backed up", *told, *done.findings, *following],
    )


def _read_note(path: Path) -> bytes:
    data = path.read_bytes()
    if len(data) > CHECKPOINT_LIMIT_BYTES:
        raise InvalidInputError(f"`{path.name}` is no checkpoint", field="checkpoint", rule="size")
    return data
