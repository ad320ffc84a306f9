"""The command `score`: through a gateway's door, or at a node itself."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from strongroom.cli.context import (
    NodePassphrase,
    node_secret,
    passphrase,
    read_frame,
)
from strongroom.cli.output import Json, command, errors, table, tell

TOKEN_VARIABLE: Final = "STRONGROOM_TOKEN"  # noqa: S105 - the name of a variable


@command
def score(
    rows: Annotated[
        Path,
        typer.Argument(
            exists=True, dir_okay=False, help="Parquet (or, by URL, CSV), one row an applicant.", show_default=False
        ),
    ],
    purpose: Annotated[str, typer.Option(help="Purpose to assert.", show_default=False)],
    jurisdiction: Annotated[str, typer.Option(help="Jurisdiction to assert.", show_default=False)],
    url: Annotated[
        str | None, typer.Option(envvar="STRONGROOM_URL", help="Address of the gateway.", show_default=False)
    ] = None,
    node: Annotated[
        Path | None,
        typer.Option(help="Instead of a URL: folder of a gateway on this machine; for files.", show_default=False),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            envvar="STRONGROOM_TOKEN_FILE",
            help="File with API key or token; else the variable STRONGROOM_TOKEN.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Model; may be left out by URL where only one may be asked.")
    ] = None,
    environment: Annotated[str | None, typer.Option(help="Environment to assert; the gateway's own if none.")] = None,
    subject: Annotated[str, typer.Option(help="Column that says who a row is about.")] = "subject",
    output: Annotated[Path | None, typer.Option(help="Write the answers as Parquet.")] = None,
    receipts: Annotated[Path | None, typer.Option(help="Folder for the receipts, one file a decision; by URL.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Reason codes too; with --node.")] = False,
    node_passphrase: NodePassphrase = None,
    as_json: Json = False,
) -> None:
    """As a calling system: score rows and keep receipts; or a whole Parquet file at a node, with a proof.

    Example: strongroom score rows.parquet --url http://127.0.0.1:8080 --purpose credit-decision --jurisdiction EU
    """
    if (node is None) == (url is None) and not (node is not None and "STRONGROOM_URL" in os.environ):
        raise typer.BadParameter("name a gateway by --url, or its folder by --node", param_hint="--url")
    if node is None and explain:
        raise typer.BadParameter("goes with --node", param_hint="--explain")
    if node is not None:
        if model is None or output is None:
            raise typer.BadParameter("is needed with --node", param_hint="--model" if model is None else "--output")
        if receipts is not None:
            raise typer.BadParameter(
                "goes with --url; for one decision of a file use `strongroom receipt`", param_hint="--receipts"
            )
        from strongroom.wiring.scoring import Job, wish_of

        wish = wish_of(model, purpose, jurisdiction, environment, explain=explain)
        secret = node_secret(node, node_passphrase)
        job = Job(rows, output, _credential(token_file).encode(), wish, subject)
        _score_at_node(node, secret, job, as_json)
        return
    from strongroom.adapters.client import Client

    frame = read_frame(rows)
    client = Client(
        url or "", _credential(token_file), model=model, purpose=purpose, jurisdiction=jurisdiction,
        environment=environment,
    )  # fmt: skip
    subjects = [str(value) for value in frame[subject]] if subject in frame.columns else None
    answers = client.score(frame, subjects=subjects, receipts=receipts is not None)
    if receipts is not None:
        receipts.mkdir(parents=True, exist_ok=True)
        for decision_id, text in zip(answers["decision_id"], answers["receipt"], strict=True):
            (receipts / f"{decision_id}.json").write_text(text)
        answers = answers.drop(columns="receipt")
    if output is not None:
        answers.to_parquet(output)
    if as_json:
        tell(True, json.loads(answers.to_json(orient="records")))
        return
    shown = answers.head(20)
    table(f"{len(answers)} decisions", list(shown.columns), [tuple(row) for row in shown.itertuples(index=False)])


def _credential(token_file: Path | None) -> str:
    """From a file, the environment or a prompt; never from an argument, which every process list shows."""
    if token_file is None and (found := os.environ.get(TOKEN_VARIABLE)):
        return found
    return passphrase(token_file, "the calling system", "--token-file").decode()


def _score_at_node(node: Path, secret: bytes, job: Any, as_json: bool) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from strongroom.wiring.scoring import score_file

    columns = (TextColumn("rows"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, disable=as_json or not errors.is_terminal, transient=True) as progress:
        bar = progress.add_task("rows", total=None)
        told: Callable[[int, int], None] = lambda done, rows: progress.update(bar, completed=done, total=rows)  # noqa: E731
        proof = score_file(node, secret, job, told)
    where = {"output": str(job.output), "rejects": str(job.rejects), "proof": str(job.proof)}
    tell(
        as_json,
        {**{name: proof[name] for name in ("answered", "rejected", "origin", "first_index", "last_index")}, **where},
        [
            f"{proof['answered']} decisions in {job.output}, {proof['rejected']} rows refused ({job.rejects})",
            f"proof {job.proof}: records {proof['first_index']} to {proof['last_index']} of {proof['origin']}",
        ],
    )
