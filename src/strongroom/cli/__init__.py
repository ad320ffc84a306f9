"""`strongroom`, the command line. Commands are thin: they open a room or a home and call `wiring`."""

from __future__ import annotations

import sys
from collections.abc import Callable

import typer

from strongroom import __version__
from strongroom.cli import (
    deploying,
    granting,
    hardening,
    judgement,
    models,
    monitoring,
    packaging,
    planning,
    policing,
    proof,
    recovering,
    reporting,
    rooms,
    rotation,
    running,
    scoring,
    upkeep,
)
from strongroom.cli.usage import Commands
from strongroom.wiring.log_lines import log_to

app = typer.Typer(
    name="strongroom",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Where a bank keeps, proves and runs its models.",
    epilog="Exit codes: 0 done, 1 unexpected, 2 usage, 3 refused, 4 tampered, 5 unavailable. "
    "STRONGROOM_PASSPHRASE_FILE, STRONGROOM_ROOM_PASSPHRASE_FILE and STRONGROOM_NODE_PASSPHRASE_FILE stand for the "
    "options of these names.",
)

SECTIONS: dict[str, list[Callable[..., None]]] = {
    "The room": [rooms.init, rooms.timestamp],
    "A model's way in": [
        packaging.package,
        packaging.convert,
        hardening.harden,
        models.submit,
        models.sample,
        models.scan,
        models.validate,
        models.replicate,
    ],
    "Judgement": [
        reporting.write,
        reporting.report,
        judgement.review,
        judgement.propose,
        judgement.approve,
        judgement.reject,
    ],
    "Running": [
        judgement.release,
        judgement.rollback,
        judgement.halt,
        judgement.lift,
        running.serve,
        running.witness,
        scoring.score,
        planning.plan,
    ],
    "Proof and care": [
        models.show,
        models.history,
        proof.log,
        proof.verify,
        proof.receipt,
        proof.replay,
        proof.letter,
        monitoring.outcomes,
        monitoring.monitor,
        deploying.compare,
        deploying.run_rules,
        proof.erase,
        proof.fsck,
        upkeep.retain,
        upkeep.hold,
        upkeep.lift_hold,
        upkeep.export,
        recovering.backup,
        recovering.restore,
        models.unseal,
    ],
}

for panel, commands in SECTIONS.items():
    for function in commands:
        app.command(rich_help_panel=panel)(function)
app.add_typer(rooms.people, name="people", rich_help_panel="The room")
app.add_typer(policing.policy, name="policy", rich_help_panel="The room")
app.add_typer(planning.scenario, name="scenario", rich_help_panel="Running")
app.add_typer(reporting.findings, name="findings", rich_help_panel="Judgement")
app.add_typer(rotation.room_keys, name="room", rich_help_panel="The room")
# `identity`, `granting` and `rotation` add commands to the groups of `running`, `policing` to that of `rooms`
app.add_typer(granting.grant, name="grant", rich_help_panel="Running")
app.add_typer(rotation.node, name="node", rich_help_panel="Running")


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"strongroom {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    _: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    log_to(sys.stderr, "%(levelname)s %(name)s: %(message)s")


def main() -> int:
    """Entry point. Typer itself exits with the code of the command."""
    app(prog_name="strongroom")
    return 0
