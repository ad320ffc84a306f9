"""`strongroom grant add`, `limit`, `limits`: let a calling system in, and say how much it may take."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from strongroom.cli.context import HomeOption, HomePassphrase, RoomOption, RoomPassphrase, System, at_desk
from strongroom.cli.identity import grant
from strongroom.cli.output import Json, command, table, tell
from strongroom.errors import InvalidInputError

if TYPE_CHECKING:
    from strongroom.access.allowance import Allowance

__all__ = ["grant"]

RequestsPerS = Annotated[
    int | None, typer.Option("--requests-per-s", help="Sustained rate of requests, refused ones included.", min=1)
]
Burst = Annotated[
    int | None, typer.Option("--burst", help="Requests at once after a pause; beside --requests-per-s.", min=1)
]
Concurrent = Annotated[int | None, typer.Option("--concurrent", help="Requests without an answer yet.", min=1)]
RowsPerS = Annotated[int | None, typer.Option("--rows-per-s", help="Sustained rate of rows.", min=1)]
Rows = Annotated[int | None, typer.Option("--rows", help="Rows of one request.", min=1)]
BytesPerS = Annotated[int | None, typer.Option("--bytes-per-s", help="Sustained rate of bytes of bodies.", min=1)]
BodyBytes = Annotated[int | None, typer.Option("--body-bytes", help="Bytes of one body.", min=1)]
WaitMs = Annotated[
    int | None, typer.Option("--wait-ms", help="How long a request may wait for its turn before it is refused.", min=1)
]
Weight = Annotated[
    int | None, typer.Option("--weight", help="Share of the queue beside others, 1 when left out.", min=1, max=100)
]


class Shared(StrEnum):
    """Whose limits they are."""

    SYSTEM = "system"
    UNIT = "unit"
    MODEL = "model"


def _allowance(**figures: int | None) -> Allowance | None:
    from strongroom.access.allowance import Allowance

    given = {name: figure for name, figure in figures.items() if figure is not None}
    return Allowance(**given) if given else None


def _facts(limits: Any) -> dict[str, int]:
    import msgspec

    found: dict[str, int] = {} if not limits else msgspec.to_builtins(limits)
    return found


def _words(limits: dict[str, int]) -> str:
    return ", ".join(f"{name} {figure}" for name, figure in limits.items()) or "no limit"


@grant.command("add")
@command
def grant_add(
    system: System,
    model: Annotated[list[str], typer.Option(help="Model it may ask (may repeat).", show_default=False)],
    jurisdiction: Annotated[list[str], typer.Option(help="Label it may assert (may repeat).", show_default=False)],
    purpose: Annotated[list[str], typer.Option(help="Purpose it may assert (may repeat).", show_default=False)],
    room: RoomOption,
    home: HomeOption,
    environment: Annotated[str, typer.Option(help="Environment it may ask in.")] = "production",
    unit: Annotated[
        list[str] | None, typer.Option(help="Department or tenant that it belongs to (may repeat).", show_default=False)
    ] = None,
    no_key: Annotated[bool, typer.Option("--no-key", help="No API key: tokens or certificates follow.")] = False,
    requests_per_s: RequestsPerS = None,
    burst: Burst = None,
    concurrent: Concurrent = None,
    rows_per_s: RowsPerS = None,
    rows: Rows = None,
    bytes_per_s: BytesPerS = None,
    body_bytes: BodyBytes = None,
    wait_ms: WaitMs = None,
    weight: Weight = None,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """As the operator: let a calling system in. Its API key is printed this once.

    Example: strongroom grant add loan-desk --model pd-cards --jurisdiction EU --purpose credit-decision
    """
    from strongroom.wiring import releasing

    limits = _allowance(
        requests_per_s=requests_per_s, burst=burst, concurrent=concurrent, rows_per_s=rows_per_s, rows=rows,
        bytes_per_s=bytes_per_s, body_bytes=body_bytes, wait_ms=wait_ms, weight=weight,
    )  # fmt: skip
    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        key = releasing.grant(
            desk, system, models=model, environments=[environment], jurisdictions=jurisdiction, purposes=purpose,
            units=unit or (), limits=limits, with_key=not no_key,
        )  # fmt: skip
    if no_key:
        lines = [
            f"`{system}` has a grant; name its tokens or certificates with `strongroom grant token` or `certificate`"
        ]
        tell(as_json, {"system": system, "api_key": None}, lines)
        return
    tell(as_json, {"system": system, "api_key": str(key)}, [f"{key}", "keep it now: it is not shown again"])


@grant.command("limit")
@command
def grant_limit(
    name: Annotated[str, typer.Argument(help="Of a calling system, a unit or a model.", show_default=False)],
    room: RoomOption,
    home: HomeOption,
    of: Annotated[Shared, typer.Option(help="A unit's and a model's limits are shared by all who fall under it.")] = (
        Shared.SYSTEM
    ),
    requests_per_s: RequestsPerS = None,
    burst: Burst = None,
    concurrent: Concurrent = None,
    rows_per_s: RowsPerS = None,
    rows: Rows = None,
    bytes_per_s: BytesPerS = None,
    body_bytes: BodyBytes = None,
    wait_ms: WaitMs = None,
    weight: Weight = None,
    end: Annotated[bool, typer.Option("--end", help="No limits any more.")] = False,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """As the operator: how much a calling system, a unit or a model may take from now on, as a whole.

    Example: strongroom grant limit loan-desk --requests-per-s 50 --burst 100 --rows 1000 --room credit --home ~/omar
    """
    from strongroom.wiring import releasing

    limits = _allowance(
        requests_per_s=requests_per_s, burst=burst, concurrent=concurrent, rows_per_s=rows_per_s, rows=rows,
        bytes_per_s=bytes_per_s, body_bytes=body_bytes, wait_ms=wait_ms, weight=weight,
    )  # fmt: skip
    if end == (limits is not None):
        raise InvalidInputError("name at least one figure, or say --end for none", field="limits", rule="choice")
    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        releasing.set_limits(desk, of.value, name, limits)
    facts = _facts(limits)
    tell(as_json, {"of": of.value, "name": name, "limits": facts}, [f"{of.value} `{name}`: {_words(facts)}"])


@grant.command("limits")
@command
def grant_limits(
    room: RoomOption,
    home: HomeOption,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """List what calling systems, units and models may take. Who is not listed has no limit beyond the gateway's own.

    Example: strongroom grant limits --room credit --home ~/omar
    """
    from strongroom.wiring import releasing

    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        listed = releasing.list_limits(desk)
    rows = [(of, name, _facts(limits)) for of, name, limits in listed]
    if as_json:
        tell(True, [{"of": of, "name": name, "limits": limits} for of, name, limits in rows])
        return
    shown = [(of, name, _words(limits)) for of, name, limits in rows]
    table(f"{len(rows)} limit(s)", ["of", "name", "limits"], shown)
