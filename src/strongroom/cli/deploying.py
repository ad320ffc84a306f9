"""Commands of deployment: compare a challenger with its champion, and let approved rules act."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from strongroom.cli.context import (
    HomeOption,
    HomePassphrase,
    ModelArgument,
    NodeOption,
    NodePassphrase,
    RoomOption,
    RoomPassphrase,
    at_desk,
    at_gateway,
    demand_there,
    find_version,
    moment_of,
    node_secret,
)
from strongroom.cli.output import Json, command, save, table, tell


def _latencies(node: Path) -> dict[str, float]:
    from strongroom.web.snapshots import latencies_of
    from strongroom.wiring.node import NodeLayout

    layout = NodeLayout(node)
    files = [layout.metrics(slot) for slot in range(layout.read().workers)]
    return latencies_of(file.read_bytes() for file in files if file.is_file())


@command
def compare(
    model: ModelArgument,
    node: NodeOption,
    room: RoomOption,
    home: HomeOption,
    champion: Annotated[str | None, typer.Option(help="Version (model@digits); the live one when left out.")] = None,
    challenger: Annotated[str | None, typer.Option(help="Version; the pointer's challenger when left out.")] = None,
    since: Annotated[str | None, typer.Option(help="Only decisions from this time on (ISO 8601).")] = None,
    report: Annotated[Path | None, typer.Option(help="Write the report (HTML) here.")] = None,
    node_passphrase: NodePassphrase = None,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """Champion beside challenger from the ledger: scores, decisions that would differ, drift, failures, outcomes.

    Example: strongroom compare pd-cards --report compare.html --node gw-1 --room credit --home ~/omar
    """
    from strongroom.monitoring.comparison import facts
    from strongroom.monitoring.comparison_page import render
    from strongroom.vocabulary import micros
    from strongroom.wiring.comparing import compare_versions
    from strongroom.wiring.records import NodeRecords

    name = model.partition("@")[0]
    since_us = micros(moment_of(since, "since")) if since is not None else 0
    with (
        at_gateway(node, node_passphrase, room, room_passphrase, home, passphrase_file) as (desk, secret),
        NodeRecords.open(node, secret) as records,
    ):
        first, second = (
            find_version(desk.room, one).ref.manifest if one is not None else None for one in (champion, challenger)
        )
        found = facts(compare_versions(desk, [records], name, first, second, _latencies(node), since_us))
    if report is not None:
        save(report, render(found))
    if as_json:
        tell(True, found)
        return
    sides = (found["champion"], found["challenger"])
    rows = [(key, *(side[key] for side in sides)) for key in ("version", "rows", "answered", "shadowed")]
    rows += [("failures", *(f"{side['errors']['share']:.2%}" for side in sides))]
    table(f"{name}: champion and challenger", ["", "champion", "challenger"], rows)
    shift = found["score_shift"]
    shifted = "too few rows" if shift is None else f"{shift['mean']:+.4g} +- {shift['error']:.2g}"
    tell(
        False,
        found,
        [
            f"decisions that would differ: {found['differing']['share']:.2%} of {found['pairs']} rows that both scored",
            f"score shift: {shifted}",
            *([f"report written to {report}"] if report is not None else []),
        ],
    )


@command
def run_rules(
    model: ModelArgument,
    node: NodeOption,
    room: RoomOption,
    home: HomeOption,
    every: Annotated[
        int | None, typer.Option(help="Look again after so many seconds, until stopped; once when left out.", min=1)
    ] = None,
    node_passphrase: NodePassphrase = None,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """Do what the approved rules of a release say: promote, roll back or halt, on figures from the ledger.

    Example: strongroom run-rules pd-cards --every 60 --node gw-1 --room credit --home ~/rules
    """
    from strongroom.monitoring.automatic import facts_of
    from strongroom.wiring.comparing import run_rules as look
    from strongroom.wiring.records import NodeRecords

    name = model.partition("@")[0]
    demand_there(room, home)
    secret = node_secret(node, node_passphrase)
    while True:
        with at_desk(room, room_passphrase, home, passphrase_file) as desk, NodeRecords.open(node, secret) as records:
            ran = look(desk, [records], name, _latencies(node))
        fired = ran.fired
        facts = {"model": name, "looked": ran.looked, "rows": ran.rows, "did": fired.rule.then if fired else None}
        if fired is not None:
            facts |= facts_of(fired)
        line = f"rule `{fired.rule.name}`: {fired.rule.then}" if fired else f"{ran.looked} rule(s), none holds"
        if every is None:
            tell(as_json, facts, [line])
            return
        sys.stdout.write((json.dumps(facts) if as_json else line) + "\n")
        sys.stdout.flush()
        time.sleep(every)
