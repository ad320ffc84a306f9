"""Commands about the validation policy: sign it as the risk function, try it on live models, find a model's tier."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from strongroom.cli.context import HomeOption, HomePassphrase, RoomOption, RoomPassphrase, at_desk
from strongroom.cli.output import Json, command, save, table, tell
from strongroom.cli.rooms import policy as policy

PolicyFile = Annotated[
    Path, typer.Argument(exists=True, dir_okay=False, help="A validation policy (JSON).", show_default=False)
]


@policy.command("sign")
@command
def policy_sign(
    file: PolicyFile,
    room: RoomOption,
    home: HomeOption,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """As the risk function: sign a validation policy. The signature is written beside it, for the custodians.

    Example: strongroom policy sign my-policies/validation.json --room credit --home ~/rita
    """
    from strongroom.vocabulary import digest_of
    from strongroom.wiring import trying_policies

    content, target = file.read_bytes(), file.with_suffix(".dsse")
    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        save(target, trying_policies.sign(desk, content))
    tell(
        as_json,
        {"policy": digest_of(content), "signature": str(target)},
        [f"signed {digest_of(content)[:12]}; signature in {target}", "next: strongroom policy propose, by a custodian"],
    )


@policy.command("try")
@command
def policy_try(
    room: RoomOption,
    home: HomeOption,
    file: Annotated[
        Path | None,
        typer.Argument(exists=True, dir_okay=False, help="A validation policy (JSON); the one in force if none."),
    ] = None,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """Which models that answer now would fail under a policy: from their stored results, without a new run.

    Without a file: under the policy in force, by what was found, or has run out, since they were released.

    Example: strongroom policy try my-policies/validation.json --room credit --home ~/rita
    """
    from strongroom.wiring import trying_policies

    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        found = trying_policies.try_policy(desk, file.read_bytes() if file is not None else None)
    if as_json:
        lines = [
            {
                "model": one.ref.name,
                "manifest": one.ref.manifest,
                "stage": one.stage,
                "before": one.judged.before,
                "after": one.judged.after,
                "reasons": list(one.judged.reasons),
                "rerun": list(one.judged.rerun),
            }
            for one in found
        ]
        tell(True, lines)
        return
    rows = [
        (
            str(one.ref)[:48],
            one.stage,
            one.judged.before,
            one.judged.after,
            "\n".join(one.judged.reasons)
            + (f"\nneeds a new run for: {', '.join(one.judged.rerun)}" if one.judged.rerun else ""),
        )
        for one in found
    ]
    table(f"{len(rows)} version(s) answer now", ["version", "stage", "was", "would be", "why"], rows)


@policy.command("tier")
@command
def policy_tier(
    complexity: Annotated[str, typer.Option(help="Level of complexity.", show_default=False)],
    materiality: Annotated[str | None, typer.Option(help="Level of materiality; or give the exposure.")] = None,
    exposure: Annotated[str | None, typer.Option(help="Exposure in the house's currency, a decimal amount.")] = None,
    file: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Validation policy; the one that ships if none.")
    ] = None,
    as_json: Json = False,
) -> None:
    """The tier of a model by the policy's table of materiality and complexity.

    Example: strongroom policy tier --exposure 250000000 --complexity high
    """
    from importlib.resources import files

    import msgspec

    from strongroom.errors import InvalidInputError
    from strongroom.validation.policy import ValidationPolicy

    shipped = files("strongroom") / "policies" / "validation.json"
    tiering = ValidationPolicy.decode(file.read_bytes() if file else shipped.read_bytes()).tiering
    if isinstance(tiering, msgspec.UnsetType):
        raise InvalidInputError("this policy has no table of tiers", field="tiering", rule="missing")
    if (materiality is None) == (exposure is None):
        raise InvalidInputError("give either a level of materiality or an exposure", field="materiality", rule="either")
    level = materiality if materiality is not None else tiering.materiality_of(str(exposure))
    tier = tiering.tier(level, complexity)
    tell(
        as_json,
        {"materiality": level, "complexity": complexity, "tier": tier},
        [f"materiality {level}, complexity {complexity}: tier {tier}"],
    )
