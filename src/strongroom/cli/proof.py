"""Commands of proof and care: verify, receipt, replay, letter, erase, fsck, log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from strongroom.cli.context import (
    NODE_PASSPHRASE,
    HomeOption,
    HomePassphrase,
    NodeOption,
    NodePassphrase,
    RoomOption,
    RoomPassphrase,
    at_desk,
    at_gateway,
    demand_there,
    node_secret,
    passphrase,
    room_secret,
)
from strongroom.cli.output import EXIT_CODES, Json, command, demand_folder, save, table, tell
from strongroom.errors import InvalidInputError, TamperedError


@command
def verify(
    receipt: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="Receipt of a decision.", show_default=False)
    ],
    policy: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="Trust policy (tlog-policy).", show_default=False)
    ],
    openings: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Folder of disclosed openings of shards.")
    ] = None,
    request: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="The V2 request, as JSON.")] = None,
    answer: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="The V2 answer, as JSON.")] = None,
    row: Annotated[int, typer.Option(help="Which row of the request.", min=0)] = 0,
    cosigned: Annotated[bool, typer.Option("--cosigned", help="Refuse without the witnesses' quorum.")] = False,
    as_json: Json = False,
) -> None:
    """Verify a receipt offline, with public keys alone. The same as verify.py, which needs nothing of ours.

    Example: strongroom verify receipt.json --policy log-policy --openings openings --answer answer.json
    """
    from strongroom import verify as offline

    try:
        trusted = offline.read_policy(policy.read_bytes())
        disclosed = [
            offline.read_disclosed(path.read_bytes(), trusted)
            for path in sorted(openings.glob("*.json") if openings else [])
        ]
        checked = offline.verify_receipt(receipt.read_bytes(), trusted, disclosed)
        offline.verify_messages(checked, offline.read_message(request), offline.read_message(answer), row)
        if cosigned and not checked.cosigned:
            raise offline.TamperedError("no quorum of witnesses cosigned the checkpoint in this receipt")
    except offline.TamperedError as error:
        raise TamperedError(f"not verified: {error}") from error
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"a file cannot be read: {error}", field="file") from error
    facts = {
        "decision_id": checked.document["decision_id"],
        "origin": checked.checkpoint.origin,
        "index": checked.index,
        "cosigned": checked.cosigned,
    }
    tell(
        as_json,
        facts,
        [f"verified: decision {facts['decision_id']}, entry {checked.index} of {checked.checkpoint.origin}"],
    )


@command
def receipt(
    decision_id: Annotated[str, typer.Argument(help="Decision id.", show_default=False)],
    node: NodeOption,
    room: RoomOption,
    home: HomeOption,
    to: Annotated[Path, typer.Option(help="File to write.", show_default=False)],
    node_passphrase: NodePassphrase = None,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """Write the receipt of a past decision under the newest cosigned checkpoint.

    Example: strongroom receipt 6f1c... --to receipt.json --node gw-1 --room credit --home ~/audrey
    """
    from strongroom.wiring import proving
    from strongroom.wiring.records import NodeRecords

    demand_folder(to)
    with (
        at_gateway(node, node_passphrase, room, room_passphrase, home, passphrase_file) as (desk, secret),
        NodeRecords.open(node, secret) as records,
    ):
        save(to, proving.receipt(desk, records, decision_id))
    tell(as_json, {"decision_id": decision_id, "file": str(to)}, [f"receipt written to {to}"])


@command
def replay(
    decision_id: Annotated[list[str], typer.Argument(help="Decision ids.", show_default=False)],
    node: NodeOption,
    room: RoomOption,
    home: HomeOption,
    batch: Annotated[int, typer.Option(help="Rows that travel together.", min=1)] = 1,
    node_passphrase: NodePassphrase = None,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """Compute past decisions again and demand the same bits.

    Example: strongroom replay 6f1c... --batch 7 --node gw-1 --room credit --home ~/audrey
    """
    from strongroom.wiring import proving
    from strongroom.wiring.records import NodeRecords

    with (
        at_gateway(node, node_passphrase, room, room_passphrase, home, passphrase_file) as (desk, secret),
        NodeRecords.open(node, secret) as records,
    ):
        replayed = proving.replay(desk, records, decision_id, batch)
    facts = [
        {"decision_id": one.decision.leaf.decision_id, "score": one.score, "decision": one.decision.answer.decision}
        for one in replayed
    ]
    tell(as_json, facts, [f"{one['decision_id']}: {one['score']!r}, {one['decision']}: the same bits" for one in facts])


@command
def letter(
    decision_id: Annotated[str, typer.Argument(help="Decision id.", show_default=False)],
    node: NodeOption,
    room: RoomOption,
    home: HomeOption,
    language: Annotated[str, typer.Option(help="Of the release's approved texts, such as de.", show_default=False)],
    to: Annotated[Path | None, typer.Option(help="File to write; printed when missing.")] = None,
    node_passphrase: NodePassphrase = None,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """Write the letter that tells an applicant the reasons of a past decision, in the approved texts of its release.

    Example: strongroom letter 6f1c... --language de --node gw-1 --room credit --home ~/audrey
    """
    from strongroom.wiring import proving
    from strongroom.wiring.records import NodeRecords

    with (
        at_gateway(node, node_passphrase, room, room_passphrase, home, passphrase_file) as (desk, secret),
        NodeRecords.open(node, secret) as records,
    ):
        written = proving.letter(desk, records, decision_id, language)
    facts = {
        "decision_id": written.decision_id,
        "decision": written.decision,
        "language": written.language,
        "texts": written.version,
        "code_map": written.code_map,
        "codes": list(written.codes),
    }
    if to is None:
        if as_json:
            tell(True, facts | {"letter": written.text})
            return
        # approved text, held to printable characters when its package was made: it stands here as it is sent
        typer.echo(written.text, nl=False)
        return
    save(to, written.text.encode())
    tell(as_json, facts | {"file": str(to)}, [f"letter written to {to}"])


@command
def erase(
    node: NodeOption,
    room: RoomOption,
    home: HomeOption,
    subject: Annotated[
        str | None, typer.Argument(help="The data subject, as callers name them.", show_default=False)
    ] = None,
    pending: Annotated[
        bool, typer.Option("--pending", help="Instead: ask again for all erasures that could not be confirmed yet.")
    ] = False,
    certificate: Annotated[Path | None, typer.Option(help="Write the signed certificate here.")] = None,
    wait: Annotated[
        float, typer.Option(help="Ask again for so many seconds where something has not confirmed.", min=0)
    ] = 0.0,
    node_passphrase: NodePassphrase = None,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """As the data protection officer: destroy one subject's key: unreadable records, a log that still verifies.

    Example: strongroom erase client-4711 --certificate certificate.json --node gw-1 --room credit --home ~/dora
    """
    from strongroom.vocabulary import instant, rfc3339
    from strongroom.wiring.erasing import erase_patiently, finish_erasures

    demand_folder(certificate)
    if pending == (subject is not None):
        raise InvalidInputError("name one data subject, or say --pending", field="subject", rule="choice")
    if subject is None:
        with at_desk(room, room_passphrase, home, passphrase_file, node) as desk:
            done = finish_erasures(desk, node)
        tell(
            as_json,
            {"finished": [{"tag": one.certificate.tag, "entry": str(one.entry)} for one in done]},
            [f"{len(done)} pending erasure(s) finished"],
        )
        return
    if wait and (passphrase_file is None or room_passphrase is None):
        raise InvalidInputError(
            "--wait asks again by itself: name files with the passphrases of home and room", field="wait", rule="files"
        )
    demand_there(room, home)
    secret = node_secret(node, node_passphrase)
    erased = erase_patiently(lambda: at_desk(room, room_passphrase, home, passphrase_file), node, secret, subject, wait)
    if certificate is not None:
        save(certificate, erased.envelope)
    dates = {
        "online": rfc3339(instant(erased.certificate.online_us)),
        "backups": rfc3339(instant(erased.certificate.backups_us)),
    }
    tell(
        as_json,
        {**dates, "entry": str(erased.entry)},
        [f"unreadable online since {dates['online']}, in every backup from {dates['backups']} at the latest"],
    )


@command
def fsck(
    room: RoomOption,
    home: HomeOption,
    node: Annotated[list[Path] | None, typer.Option("--node", help="Also check this gateway (may repeat).")] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="First rebuild what can be, as an operator; the gateways are stopped.")
    ] = False,
    node_passphrase: NodePassphrase = None,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """Check every stored byte against what was signed. Without --repair it changes nothing.

    Example: strongroom fsck --room credit --home ~/audrey --node gw-1
    """
    from contextlib import ExitStack

    from strongroom.wiring import checking, upkeep
    from strongroom.wiring.records import NodeRecords

    mended: dict[str, dict[str, list[str]]] = {}
    nodes = node or []
    demand_there(room, home, *nodes)
    secret = passphrase(node_passphrase, "the gateway", NODE_PASSPHRASE) if nodes else b""
    if repair:
        of_room = room_secret(room, room_passphrase)
        governance = upkeep.mend_governance(room, of_room)
        with at_desk(room, room_passphrase, home, passphrase_file) as desk:
            upkeep.record_governance_repair(desk, governance)
            done = [(desk.room.settings.governance_origin, governance)]
            for folder in nodes:
                done += upkeep.repair_node(desk, folder, secret)
        for origin, one in done:
            lost = [f"{finding.where}: {finding.message}" for finding in one.lost]
            mended[origin] = {"rebuilt": list(one.rebuilt), "removed": list(one.removed), "lost": lost}
    with at_desk(room, room_passphrase, home, passphrase_file) as desk, ExitStack() as stack:
        records = [stack.enter_context(NodeRecords.open(folder, secret)) for folder in nodes]
        checked = checking.check_room(desk, records)
    found = sum(len(one.findings) for one in checked)
    if as_json:
        tell(
            True,
            {
                "findings": found,
                "checked": [
                    {"what": one.what, "findings": list(one.findings), "notes": list(one.notes)} for one in checked
                ],
                **({"repaired": mended} if repair else {}),
            },
        )
    else:
        if repair:
            rows = [(origin, *("\n".join(one[name]) for name in ("rebuilt", "lost"))) for origin, one in mended.items()]
            table("repaired", ["log", "rebuilt", "lost"], rows)
        table(
            "fsck",
            ["what", "findings"],
            [(one.what, "\n".join([*one.findings, *one.notes]) or "whole") for one in checked],
        )
    if found:
        raise typer.Exit(EXIT_CODES["tampered"])


@command
def log(
    room: RoomOption,
    home: HomeOption,
    last: Annotated[int, typer.Option(help="How many entries.", min=1)] = 50,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """The latest acts and refusals of the governance log; as JSON, with what each noted.

    Example: strongroom log --last 20 --room credit --home ~/audrey
    """
    from strongroom.office.entries import REQUEST
    from strongroom.vocabulary import instant, rfc3339
    from strongroom.wiring import proving

    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        found = [(one.ref, one.document) for one in proving.entries(desk, last)]
    rows = [
        {
            "entry": ref.index,
            "at": rfc3339(instant(entry.at_us)),
            "who": entry.who,
            "verb": entry.verb,
            "on": f"{entry.on.kind} {entry.on.id[:40]}",
            "outcome": entry.outcome if entry.outcome == "done" else f"{entry.code}: {entry.reason}",
        }
        for ref, entry in found
    ]
    if as_json:
        # what the rule noted; without the signed request, which is long and for `verify`
        facts = ({name: value for name, value in entry.facts.items() if name != REQUEST} for _, entry in found)
        tell(True, [{**row, "facts": noted} for row, noted in zip(rows, facts, strict=True)])
        return
    shown = [
        (
            row["entry"],
            f"{str(row['at'])[:19].replace('T', ' ')}",
            row["who"],
            row["verb"],
            str(row["on"]).removeprefix("Model "),
            row["outcome"],
        )
        for row in rows
    ]
    table("governance log, times in UTC", ["#", "at", "who", "verb", "on", "outcome"], shown)
