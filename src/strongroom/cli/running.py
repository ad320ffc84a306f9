"""Commands of the data plane: node, grant, serve, witness."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from strongroom.cli.context import (
    NODE_PASSPHRASE,
    HomeOption,
    HomePassphrase,
    NodeFolder,
    NodePassphrase,
    RoomOption,
    RoomPassphrase,
    System,
    at_desk,
    at_gateway,
    demand_new,
    demand_there,
    new_passphrase,
    passphrase,
)
from strongroom.cli.output import Json, command, table, tell

node = typer.Typer(
    no_args_is_help=True, help="Make gateways, open and close their logs, back their keys up, restore them."
)
grant = typer.Typer(no_args_is_help=True, help="Let calling systems in, within bounds.")


@node.command("create")
@command
def node_create(
    folder: NodeFolder,
    name: Annotated[str, typer.Option(help="The node's name, part of its logs' origins.", show_default=False)],
    jurisdiction: Annotated[list[str], typer.Option(help="A jurisdiction it serves (may repeat).", show_default=False)],
    room: RoomOption,
    home: HomeOption,
    environment: Annotated[str, typer.Option(help="Which releases fit.")] = "production",
    listen: Annotated[str, typer.Option(help="host:port of the door.")] = "127.0.0.1:8080",
    metrics: Annotated[str, typer.Option(help="host:port of the metrics.")] = "127.0.0.1:9100",
    repository: Annotated[str | None, typer.Option(help="Release repository; the room's own folder if none.")] = None,
    workers: Annotated[int, typer.Option(help="Processes.", min=1, max=256)] = 1,
    node_passphrase: NodePassphrase = None,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """As the operator: make a gateway's folder and open its logs in the governance log.

    Example: strongroom node create gw-1 --name gw-1 --jurisdiction EU --room credit --home ~/omar
    """
    from strongroom.wiring.node_settings import NodeSettings
    from strongroom.wiring.nodes import create_node

    demand_there(room, home)
    demand_new(folder, "a gateway is made in a new folder")
    secret = new_passphrase(node_passphrase, "the new gateway", NODE_PASSPHRASE)
    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        known = desk.room.settings
        settings = NodeSettings(
            v=1,
            org=known.org,
            room=known.room,
            region=known.region,
            node=name,
            environment=environment,
            jurisdictions=tuple(jurisdiction),
            repository=repository or str((room / "repository").resolve()),
            listen=listen,
            metrics=metrics,
            workers=workers,
        )
        entries = create_node(desk, folder, settings, secret)
    tell(
        as_json,
        {
            "folder": str(folder),
            "origins": [settings.origin(slot) for slot in range(workers)],
            "entries": [str(e) for e in entries],
        },
        [f"gateway {name} made in {folder}; {workers} log(s) opened", f"next: strongroom serve {folder}"],
    )


@node.command("open-batch")
@command
def node_open_batch(
    folder: NodeFolder,
    room: RoomOption,
    home: HomeOption,
    node_passphrase: NodePassphrase = None,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """As the operator: give a gateway a log for files (`strongroom score --node`), and open it. It may be running.

    Example: strongroom node open-batch gw-1 --room credit --home ~/omar
    """
    from strongroom.wiring.nodes import open_batch_log

    with at_gateway(folder, node_passphrase, room, room_passphrase, home, passphrase_file) as (desk, secret):
        entry = open_batch_log(desk, folder, secret)
    following = f"next: strongroom score rows.parquet --node {folder} --purpose ... --jurisdiction ..."
    tell(as_json, {"entry": str(entry)}, ["the log for files is open", following])


@node.command("close")
@command
def node_close(
    folder: NodeFolder,
    room: RoomOption,
    home: HomeOption,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """As the operator: enter the end of a stopped gateway's logs, so that nothing can be added or dropped later.

    Example: strongroom node close gw-1 --room credit --home ~/omar
    """
    from strongroom.wiring.nodes import close_node

    with at_desk(room, room_passphrase, home, passphrase_file, folder) as desk:
        entries = close_node(desk, folder)
    tell(as_json, {"entries": [str(entry) for entry in entries]}, [f"{len(entries)} log(s) closed"])


@node.command("backup")
@command
def node_backup(
    folder: NodeFolder,
    expire: Annotated[bool, typer.Option("--expire", help="Only destroy backup keys whose time is up.")] = False,
    as_json: Json = False,
) -> None:
    """Back the key store up under today's backup key, and destroy backup keys older than 35 days.

    Example: strongroom node backup gw-1
    """
    from strongroom.wiring.records import back_up

    path, days = back_up(folder, only_expire=expire)
    tell(
        as_json,
        {"backup": str(path) if path else None, "expired": days},
        [*([f"backup {path}"] if path else []), f"backup keys destroyed: {', '.join(days) or 'none was due'}"],
    )


@node.command("restore")
@command
def node_restore(
    folder: NodeFolder,
    backup: Annotated[
        Path,
        typer.Option(exists=True, dir_okay=False, help="A file of the gateway's backups folder.", show_default=False),
    ],
    room: RoomOption,
    home: HomeOption,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """As a custodian: make a stopped gateway's lost key store again; who was erased since the backup stays erased.

    Example: strongroom node restore gw-1 --backup gw-1/backups/2026-11-21.6f1c.keys --room credit --home ~/cora
    """
    from strongroom.wiring.nodes import restore_keys

    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        entry = restore_keys(desk, folder, backup)
    tell(as_json, {"backup": str(backup), "entry": str(entry)}, [f"key store restored from {backup}"])


@grant.command("rotate")
@command
def grant_rotate(
    system: System,
    room: RoomOption,
    home: HomeOption,
    at_once: Annotated[bool, typer.Option("--at-once", help="The old secret ends now: it may have leaked.")] = False,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """As the operator: a new secret under the same id; the old one counts for seven more days, unless it leaked.

    Example: strongroom grant rotate loan-desk --room credit --home ~/omar
    """
    from strongroom.wiring import releasing

    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        key = releasing.rotate(desk, system, timedelta(0) if at_once else releasing.ROTATION_OVERLAP)
    tell(as_json, {"system": system, "api_key": str(key)}, [f"{key}", "keep it now: it is not shown again"])


@grant.command("sign")
@command
def grant_sign(
    system: System,
    room: RoomOption,
    home: HomeOption,
    public_key: Annotated[
        list[Path] | None, typer.Option(help="PEM public key it signs requests with (may repeat).", show_default=False)
    ] = None,
    require: Annotated[bool, typer.Option("--require", help="Refuse what it asks unsigned.")] = False,
    answers: Annotated[bool, typer.Option("--answers", help="Sign every answer to it.")] = False,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """As the operator: what holds for a calling system's signatures from now on. Without any option: nothing any more.

    Example: strongroom grant sign loan-desk --public-key loan-desk.pem --require --room credit --home ~/omar
    """
    from strongroom.access.grants import Signing
    from strongroom.access.signing_keys import MessageKey
    from strongroom.wiring import releasing

    keys = sorted((MessageKey.from_pem(path.read_bytes()) for path in public_key or ()), key=lambda key: key.id)
    wanted = bool(keys) or require or answers
    signing = Signing(keys=tuple(keys), require_signed=require, sign_answers=answers) if wanted else None
    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        releasing.set_signing(desk, system, signing)
    ids = [key.id for key in keys]
    lines = [f"`{system}` signs with {key}" for key in ids] or [f"`{system}` has no signing key"]
    tell(as_json, {"system": system, "keys": ids, "require_signed": require, "sign_answers": answers}, lines)


@grant.command("end")
@command
def grant_end(
    system: System,
    room: RoomOption,
    home: HomeOption,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """As the operator: let a calling system in no more. Its key and its tokens end once gateways have seen it.

    Example: strongroom grant end loan-desk --room credit --home ~/omar
    """
    from strongroom.wiring import releasing

    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        releasing.end_grant(desk, system)
    tell(as_json, {"system": system, "ended": True}, [f"`{system}` has no grant any more"])


@grant.command("list")
@command
def grant_list(
    room: RoomOption,
    home: HomeOption,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """List the calling systems and what each may ask for. No secret is kept, so none is shown.

    Example: strongroom grant list --room credit --home ~/omar
    """
    from strongroom.vocabulary import instant, rfc3339
    from strongroom.wiring import releasing

    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        systems = releasing.list_grants(desk)
    rows = [
        {
            "system": one.id,
            "models": one.bounds.models,
            "purposes": one.bounds.purposes,
            "jurisdictions": one.bounds.jurisdictions,
            "environments": one.bounds.environments,
            "key_id": one.key_id,
            "secrets_until": [None if s.until_us is None else rfc3339(instant(s.until_us)) for s in one.secrets],
            "tokens": [f"{token.issuer} {token.subject}" for token in one.tokens],
            "certificates": [f"{name.by} {name.value}" for name in one.certificate_names],
            "certificate_beside": one.beside is True,
            "signing_keys": [key.id for key in one.signing.keys] if one.signing else [],
            "require_signed": bool(one.signing and one.signing.require_signed),
            "sign_answers": bool(one.signing and one.signing.sign_answers),
        }
        for one in systems
    ]
    if as_json:
        tell(True, rows)
        return
    shown = ("system", "models", "purposes", "jurisdictions", "environments")
    table(
        f"{len(rows)} calling system(s)",
        [*shown, "API key"],
        [
            (one.id, *(", ".join(getattr(one.bounds, name)) for name in shown[1:]), one.key_id or "none")
            for one in systems
        ],
    )


@command
def serve(folder: NodeFolder, node_passphrase: NodePassphrase = None, as_json: Json = False) -> None:
    """Serve a gateway until it is told to stop (SIGTERM). SIGHUP starts its workers again, one after the other.

    Example: strongroom serve gw-1 --node-passphrase-file gw-1.pass
    """
    from strongroom.web.serve import serve as run

    def say(line: str) -> None:
        sys.stdout.write((json.dumps({"event": line}) if as_json else line) + "\n")
        sys.stdout.flush()

    def read() -> bytes:
        return passphrase(node_passphrase, "the gateway", NODE_PASSPHRASE)

    demand_there(None, None, folder)
    # asked for on a terminal, it is not asked for again
    raise typer.Exit(run(folder, read(), say, read if node_passphrase is not None else None))


@command
def witness(
    folder: Annotated[Path, typer.Argument(help="The witness's own folder.", show_default=False)],
    create: Annotated[str | None, typer.Option(help="Make a new witness with this key name, and stop.")] = None,
    add_log: Annotated[str | None, typer.Option(help="Know one more log, by its verifier key, and stop.")] = None,
    listen: Annotated[str, typer.Option(help="host:port.")] = "127.0.0.1:8090",
    passphrase_file: HomePassphrase = None,
    as_json: Json = False,
) -> None:
    """Run a witness: it cosigns checkpoints only if the log's past is as it saw it before.

    Example: strongroom witness w1 --create witness.example/w1
    """
    import asyncio

    from strongroom.adapters.log.witness_folder import WitnessFolder
    from strongroom.adapters.log.witness_folder import add_log as know
    from strongroom.web.witness import run
    from strongroom.wiring.node_settings import parse_address

    if create is not None:
        WitnessFolder.demand_free(folder)
        made = WitnessFolder.create(folder, create, new_passphrase(passphrase_file, "the witness"))
        tell(as_json, {"vkey": str(made.key.verifier)}, [str(made.key.verifier)])
        return
    if add_log is not None:
        know(folder, add_log)
        tell(as_json, {"added": add_log.partition("+")[0]}, [f"knows {add_log.partition('+')[0]}"])
        return
    host, port = parse_address(listen, "listen")
    WitnessFolder.look(folder)
    opened = WitnessFolder.open(folder, passphrase(passphrase_file, "the witness"))

    def ready(bound: int) -> None:
        sys.stdout.write((json.dumps({"port": bound}) if as_json else f"witnessing on port {bound}") + "\n")
        sys.stdout.flush()

    asyncio.run(run(opened, host, port, ready))
