"""The command `plan`: capital, provisions, stress and cash of a portfolio."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from strongroom.cli.context import (
    HomeOption,
    HomePassphrase,
    NodePassphrase,
    home_secret,
    node_secret,
    passphrase,
)
from strongroom.cli.output import Json, command, errors, table, tell
from strongroom.errors import InvalidInputError

if TYPE_CHECKING:
    from strongroom.planning.results import Inputs, Plan

scenario = typer.Typer(no_args_is_help=True, help="Keep scenario documents, which plans are made of.")

TOKEN_VARIABLE: Final = "STRONGROOM_TOKEN"  # noqa: S105 - the name of a variable


@command
def plan(
    portfolio: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="Parquet, one row an exposure.", show_default=False)
    ],
    scenario_file: Annotated[
        Path,
        typer.Option(
            "--scenario",
            exists=True,
            dir_okay=False,
            help="TOML with scenarios, staging and links, signed.",
            show_default=False,
        ),
    ],
    pd: Annotated[str | None, typer.Option("--pd", help="Model of the PD (model, or model@manifest).")] = None,
    lgd: Annotated[str | None, typer.Option("--lgd", help="Model of the LGD; supervisory LGD where none.")] = None,
    ead: Annotated[
        str | None, typer.Option("--ead", help="Model of the conversion factor; standardised ones where none.")
    ] = None,
    pd_column: Annotated[str | None, typer.Option(help="Column with PDs that are given, not scored.")] = None,
    lgd_column: Annotated[str | None, typer.Option(help="Column with LGDs that are given, not scored.")] = None,
    ead_column: Annotated[str | None, typer.Option(help="Column with EAD amounts that are given.")] = None,
    output: Annotated[Path | None, typer.Option(help="Folder of the results; <portfolio>.plan if none.")] = None,
    as_of: Annotated[str | None, typer.Option(help="Day of the plan, as 2026-12-31; today if none.")] = None,
    regime: Annotated[str, typer.Option(help="Whose rules: EU, UK or BCBS.")] = "EU",
    rules: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Another rule book than the shipped one.")
    ] = None,
    signature: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Of the scenario; <scenario>.dsse if none.", show_default=False),
    ] = None,
    people: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="The people register that says whose signature counts; the gateway's if none.",
            show_default=False,
        ),
    ] = None,
    currency: Annotated[str, typer.Option(help="The one currency of all amounts.")] = "EUR",
    node: Annotated[
        Path | None,
        typer.Option(envvar="STRONGROOM_NODE", help="Folder of the gateway that is asked.", show_default=False),
    ] = None,
    purpose: Annotated[str, typer.Option(help="Purpose to assert.")] = "capital-planning",
    jurisdiction: Annotated[str, typer.Option(help="Jurisdiction to assert.")] = "EU",
    environment: Annotated[str | None, typer.Option(help="Environment to assert; the gateway's own if none.")] = None,
    subject: Annotated[str, typer.Option(help="Column that says who a row is about.")] = "subject",
    token_file: Annotated[
        Path | None,
        typer.Option(
            envvar="STRONGROOM_TOKEN_FILE",
            help="File with API key or token; else the variable STRONGROOM_TOKEN.",
            show_default=False,
        ),
    ] = None,
    node_passphrase: NodePassphrase = None,
    as_json: Json = False,
) -> None:
    """Plan capital, provisions, stress and repayments of a portfolio with the models that are in force.

    Example: strongroom plan portfolio.parquet --pd pd-cards --lgd lgd-cards --scenario base.toml --node gw-1
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from strongroom.wiring.planning import Gateway, PlanJob
    from strongroom.wiring.planning import plan as run

    models = {name: model for name, model in (("pd", pd), ("lgd", lgd), ("ead", ead)) if model}
    columns = {name: column for name, column in (("pd", pd_column), ("lgd", lgd_column), ("ead", ead_column)) if column}
    gateway = None
    if models and node is not None:
        gateway = Gateway(
            node, node_secret(node, node_passphrase), _credential(token_file), purpose,
            jurisdiction, subject, environment,
        )  # fmt: skip
    job = PlanJob(
        portfolio=portfolio,
        scenario=scenario_file,
        output=output or portfolio.with_name(f"{portfolio.stem}.plan"),
        as_of=_day(as_of),
        regime=regime,
        currency=currency,
        models=models,  # type: ignore[arg-type]  # the keys are those of the line above
        columns=columns,  # type: ignore[arg-type]
        gateway=gateway,
        rules=rules,
        signature=signature,
        people=people,
        trust=node,
    )
    bars = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*bars, console=errors, disable=as_json or not errors.is_terminal, transient=True) as progress:
        tasks: dict[str, Any] = {}

        def told(what: str, done: int, rows: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=rows)
            progress.update(tasks[what], completed=done)

        found, where = run(job, told)
    files = {name: str(path) for name, path in where.items()}
    if as_json:
        tell(True, {"plan": msgspec.to_builtins(found), "files": files})
        return
    _show(found)
    tell(False, {}, ["", *(f"{name}: {path}" for name, path in sorted(files.items()))])


@scenario.command("sign")
@command
def scenario_sign(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="A scenario document (TOML).", show_default=False)
    ],
    home: HomeOption,
    passphrase_file: HomePassphrase = None,
    as_json: Json = False,
) -> None:
    """As its author: sign a scenario document. The signature is written beside it, with the ending `.dsse`.

    Example: strongroom scenario sign scenario.toml --home ~/rita
    """
    from strongroom.adapters.keys.homes import Home
    from strongroom.vocabulary import digest_of
    from strongroom.wiring.planning import sign

    target = sign(file, Home.open(home, home_secret(home, passphrase_file)))
    digest = digest_of(file.read_bytes())
    tell(
        as_json,
        {"scenario": digest, "signature": str(target)},
        [f"signed {digest[:12]}; signature in {target}", "next: strongroom plan, with both beside each other"],
    )


def _day(text: str | None) -> date:
    if text is None:
        return datetime.now(UTC).date()
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InvalidInputError("a day is written as 2026-12-31", field="as-of", rule="day") from error


def _credential(token_file: Path | None) -> bytes:
    if token_file is None and (found := os.environ.get(TOKEN_VARIABLE)):
        return found.encode()
    return passphrase(token_file, "the calling system", "--token-file")


def _show(plan: Plan) -> None:
    from strongroom.planning.money import Money

    inputs = plan.inputs
    money = Money(plan)
    unit = money.unit
    tell(
        False,
        {},
        [
            f"{inputs.exposures} exposures on {inputs.as_of} under the rules of {inputs.regime} "
            f"({inputs.rules_version}, {inputs.rules_unchecked} rules not checked against the text)",
            *_signed(inputs),
            *(f"{one.figure}: {_source(one.kind, one.name, one.answered, one.refused)}" for one in inputs.sources),
            *_by_default(inputs),
            "",
        ],
    )
    table(
        f"capital, {unit}",
        ("class", "number", "EAD", "PD", "LGD", "RWA", "density", "EL"),
        [
            (
                row.name, row.exposures, money(row.ead), _percent(row.mean_pd), _percent(row.mean_lgd, 1),
                money(row.rwa), _percent(row.density, 1), money(row.expected_loss),
            )
            for row in (*plan.classes, plan.total)
        ],
    )  # fmt: skip
    tell(False, {}, ["", *_sentences(plan, money), ""])
    table(
        f"stages (IFRS 9), {unit}",
        ("stage", "number", "EAD", "ECL", "coverage"),
        [
            (row.stage, row.exposures, money(row.ead), money(row.ecl), _percent(row.coverage))
            for row in plan.ifrs9.stages
        ],
    )
    tell(False, {}, [""])
    table(
        f"stress, {unit}",
        ("scenario", "year", "PD", "losses", "RWA", "CET1 ratio"),
        [
            (
                row.scenario, row.year, _percent(row.mean_pd), money(row.losses), money(row.rwa),
                _percent(row.cet1_ratio),
            )
            for row in plan.stress
        ],
    )  # fmt: skip


def _signed(inputs: Inputs) -> list[str]:
    found = inputs.scenario_signed
    if isinstance(found, msgspec.UnsetType):
        return []
    return [
        f"scenario `{inputs.scenario_name}` ({inputs.scenario_sha256[:12]}) signed by {found.author}, counts from "
        f"{found.effective_from} until before {found.effective_until}"
    ]


def _by_default(inputs: Inputs) -> list[str]:
    found = inputs.columns_by_default
    if isinstance(found, msgspec.UnsetType) or not found:
        return []
    return [f"not in the portfolio, taken at their default: {', '.join(found)}"]


def _sentences(plan: Plan, money: Callable[[str], str]) -> list[str]:
    today, against = plan.output_floor[0], plan.provisions
    if today.percent is None:
        found = ["output floor: none in force on this day"]
    else:
        what = f"adds {money(today.added)}" if today.binding else "does not bind"
        found = [f"output floor {float(today.percent):g}%: {what}; RWA {money(today.rwa)}"]
    found.append(
        f"expected loss {money(against.expected_loss)}, provisions {money(against.provisions)}: "
        f"off CET1 {money(against.cet1_deduction)}, to Tier 2 {money(against.tier2_addback)}"
    )
    if plan.ratios is not None:
        found.append(
            f"CET1 ratio {_percent(plan.ratios.after_floor)} ({_percent(plan.ratios.before_floor)} before the floor)"
        )
    found.append(
        f"ECL {money(plan.ifrs9.ecl)} over {len(plan.ifrs9.scenarios)} scenarios; "
        f"{money(plan.ifrs9.at_mean_path)} on the mean path alone"
    )
    found += [f"{_exposures(one.exposures)} {one.words}" for one in plan.treatments if one.words != "by IRB"]
    if plan.ifrs9.not_evaluable:
        found.append(f"no ECL for {_exposures(plan.ifrs9.not_evaluable)}, since a PD or LGD is missing")
    if not isinstance(plan.ifrs9.not_in_scope, msgspec.UnsetType):
        found.append(f"no stage and no ECL for {plan.ifrs9.not_in_scope} of equity, which is not impaired")
    return found


def _exposures(count: int) -> str:
    return "1 exposure" if count == 1 else f"{count} exposures"


def _source(kind: str, name: str, answered: int, refused: int) -> str:
    if kind == "model":
        return f"model {name}, {answered} decisions, {refused} rows refused"
    return f"column `{name}`, given and not scored" if kind == "column" else name


def _percent(text: str | None, places: int = 2) -> str:
    return "" if text is None else f"{100.0 * float(text):.{places}f}%"
