"""The command that hardens a package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from strongroom.cli.extras import demand
from strongroom.cli.output import Json, command, console, errors, table, tell
from strongroom.errors import InvalidInputError

if TYPE_CHECKING:
    from strongroom.adapters.packages.package_hardening import HardenedPackage
    from strongroom.registry.hardening import Measure


@command
def harden(
    folder: Annotated[Path, typer.Argument(help="Package folder of the model as it is.", show_default=False)],
    target: Annotated[Path, typer.Argument(help="New folder to write.", show_default=False)],
    monotone: Annotated[
        bool, typer.Option("--monotone", help="Train with the monotone constraints that model.toml declares.")
    ] = False,
    adversarial: Annotated[
        bool, typer.Option("--adversarial", help="Train against the cheapest changes that turn a decision.")
    ] = False,
    decimals: Annotated[int, typer.Option(min=0, max=6, help="Round scores to so many decimals; 0 leaves them.")] = 0,
    band: Annotated[
        float, typer.Option(min=0.0, help="Refer this much on both sides of each cut-off to a person.")
    ] = 0.0,
    refer_to: Annotated[str, typer.Option(help="The decision of the band.")] = "refer",
    rounds: Annotated[int, typer.Option(min=1, max=50, help="Rounds of adversarial training.")] = 3,
    attacked: Annotated[int, typer.Option(min=1, max=100_000, help="Rows attacked in each round.")] = 300,
    parameters: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="TOML with XGBoost's parameters, where the package names none."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make the model of a package harder to push about, in the sandbox, and measure it before and after.

    Example: strongroom harden pd-cards-1 pd-cards-2 --monotone --adversarial --band 0.02
    """
    from strongroom.adapters.packages.package_hardening import harden_package
    from strongroom.adapters.sandbox.linux import LinuxSandbox
    from strongroom.validation.workshop.hardening import HardeningOrder

    demand("package")
    demand("validation")
    asked: list[tuple[Measure, bool]] = [
        ("monotone", monotone), ("adversarial", adversarial), ("rounding", decimals > 0), ("band", band > 0),
    ]  # fmt: skip
    order = HardeningOrder(
        measures=tuple(measure for measure, wanted in asked if wanted),
        parameters={} if parameters is None else _given(parameters),
        rounds=rounds,
        attacked=attacked,
        decimals=decimals,
        band=f"{band:.10g}",
        refer_to=refer_to,
    )
    if as_json:
        made = harden_package(folder, target, order, sandbox=LinuxSandbox())
    else:
        with errors.status("hardening in the sandbox ...") as status:
            sandbox = LinuxSandbox(progress=lambda line: status.update(f"{line} ..."))
            made = harden_package(folder, target, order, sandbox=sandbox)
    _show(made, target, as_json)


def _show(made: HardenedPackage, target: Path, as_json: bool) -> None:
    told = made.package.contract.hardening
    measures = [] if not hasattr(told, "measures") else list(told.measures)
    if as_json:
        lines = [
            {"measure": one.title, "unit": one.unit, "before": one.before, "after": one.after, "better": one.better}
            for one in made.figures.lines
        ]
        facts: dict[str, Any] = {
            "model": made.package.ref.name,
            "manifest": made.package.ref.manifest,
            "folder": str(target),
            "from": made.former.ref.manifest,
            "measures": measures,
            "added_rows": made.added,
            "rows": made.figures.rows,
            "before_and_after": lines,
            "notes": list(made.figures.notes),
        }
        tell(True, facts)
        return
    rows = [(one.title, *(text or "none" for text in one.shown), one.better) for one in made.figures.lines]
    table(
        f"before and after, on {made.figures.rows:,} rows of the reference sample",
        ["measure", "before", "after", "better"], rows,
    )  # fmt: skip
    for note in made.figures.notes:
        console.print(note, soft_wrap=True)
    tell(
        False, {},
        [
            f"package {made.package.ref} in {target}, hardened from {made.former.ref.manifest[:12]}"
            + (f"; {made.added:,} changed rows joined the training" if made.added else ""),
            "the validation measures both models again, on the validator's rows",
            f"next: strongroom submit {target} --room ... --home ...",
        ],
    )  # fmt: skip


def _given(parameters: Path) -> dict[str, str]:
    """XGBoost's parameters as text."""
    import tomllib

    try:
        read = tomllib.loads(parameters.read_text())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInputError(f"`{parameters.name}` is not TOML: {error}", field="parameters") from error
    for name, value in read.items():
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise InvalidInputError(
                f"`{name[:40]}` of `{parameters.name}` is neither number nor text", field="parameters", rule="type"
            )
    return {name: str(value) for name, value in read.items()}
