"""Commands of monitoring: outcomes, monitor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

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
    moment_of,
    read_frame,
)
from strongroom.cli.output import Json, command, table, tell
from strongroom.errors import InvalidInputError


@command
def outcomes(
    model: ModelArgument,
    file: Annotated[
        Path,
        typer.Argument(
            exists=True,
            dir_okay=False,
            help="CSV or Parquet: decision_id, outcome (0 or 1; an amount where the kind estimates one), observed_at.",
            show_default=False,
        ),
    ],
    room: RoomOption,
    home: HomeOption,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """Post what became of past decisions: 0 or 1, or the realised amount of an LGD, EAD or forecast model.

    Example: strongroom outcomes pd-cards outcomes.csv --room credit --home ~/omar
    """
    import numpy as np
    import pandas as pd

    from strongroom.monitoring.outcomes import Outcome, Realised
    from strongroom.vocabulary import micros
    from strongroom.wiring import observing

    frame = read_frame(file, "decision_id", "outcome", "observed_at")
    try:
        times = pd.to_datetime(frame["observed_at"], utc=True)
    except ValueError as error:
        raise InvalidInputError(
            "observed_at is written as 2026-11-21T12:00:00+00:00", field="observed_at", rule="time"
        ) from error
    if times.isna().any():
        raise InvalidInputError("observed_at is missing in a row", field="observed_at", rule="time")
    name, seen = model.partition("@")[0], [micros(when.to_pydatetime()) for when in times]
    rows = list(zip(map(str, frame["decision_id"]), frame["outcome"], seen, strict=True))
    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        if observing.outcome_type(desk.room, name) == "event":
            if not frame["outcome"].isin([0, 1]).all():
                raise InvalidInputError("an outcome is 0 or 1", field="outcome", rule="choice")
            entry = observing.post_outcomes(
                desk, name,
                [Outcome(decision_id=one, outcome=1 if int(what) else 0, observed_at_us=at) for one, what, at in rows],
            )  # fmt: skip
        else:
            amounts = pd.to_numeric(frame["outcome"], errors="coerce").astype(float)
            if not np.isfinite(amounts).all():
                raise InvalidInputError("an amount is a finite number", field="outcome", rule="number")
            entry = observing.post_realised(
                desk, name,
                [Realised(decision_id=one, realised=repr(float(amount)), observed_at_us=at)
                 for (one, _, at), amount in zip(rows, amounts, strict=True)],
            )  # fmt: skip
    tell(as_json, {"posted": len(rows), "entry": str(entry)}, [f"{len(rows)} outcomes posted"])


@command
def monitor(
    model: ModelArgument,
    node: NodeOption,
    room: RoomOption,
    home: HomeOption,
    since: Annotated[str | None, typer.Option(help="Only decisions from this time on (ISO 8601).")] = None,
    alert: Annotated[
        bool, typer.Option("--alert", help="Record an alert for every column or figure beyond its limit.")
    ] = False,
    node_passphrase: NodePassphrase = None,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """Drift of the live version, counted from the ledger, and performance where outcomes are known.

    Models of losses, exposures and forecasts: bias, error, order or coverage of realised amounts by window of time,
    against the limits of the validation policy.

    Example: strongroom monitor pd-cards --alert --node gw-1 --room credit --home ~/omar
    """
    from strongroom.vocabulary import micros
    from strongroom.wiring import observing
    from strongroom.wiring.records import NodeRecords

    name = model.partition("@")[0]
    since_us = 0
    if since is not None:
        since_us = micros(moment_of(since, "since"))
    with (
        at_gateway(node, node_passphrase, room, room_passphrase, home, passphrase_file) as (desk, secret),
        NodeRecords.open(node, secret) as records,
    ):
        report = observing.read_drift(desk, records, name, since_us)
        raised = observing.raise_alerts(desk, report) if alert else []
        known: Any
        if observing.outcome_type(desk.room, name) == "number":
            joined, rule, windows = observing.watch_amounts(desk, records, name)
            known = observing.amount_facts(joined, rule, windows)
            raised = [*raised, *(observing.raise_amount_alerts(desk, name, windows) if alert else [])]
        else:
            known = observing.read_outcomes(desk, records, name)
    facts = observing.drift_facts(report, known, raised)
    if as_json:
        tell(True, facts)
        return
    table(
        f"drift of {report.ref}, {report.rows} decisions",
        ["column", "PSI", "by chance below", "limit", "verdict"],
        [
            (row["column"], *(_figure(row[name]) for name in ("psi", "by_chance", "limit")), row["verdict"])
            for row in facts["drift"]
        ],
    )
    amounts = facts["outcomes"] if "windows" in facts["outcomes"] else None
    if amounts is not None:
        table(
            f"realised amounts by window of {amounts['window_days']} days, oldest first",
            ["decisions", "figure", "value", "error", "limit", "standing"],
            [
                (window["rows"], figure, found.get("value", found.get("reason")), found.get("error"),
                 found.get("limit"), found["standing"])
                for window in amounts["windows"]
                for figure, found in window["figures"].items()
            ],
        )  # fmt: skip
    told = f"{amounts['rows']} amounts, {amounts['waiting']} decisions wait" if amounts else facts["outcomes"]
    tell(False, facts, [f"outcomes: {told}", *(f"alert: {line}" for line in facts["alerts"])])


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
