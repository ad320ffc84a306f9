"""What commands have in common: which room, whose home, and how passphrases come in."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from strongroom.errors import InvalidInputError, NotFoundError
from strongroom.vocabulary import quoted

if TYPE_CHECKING:
    import pandas as pd

    from strongroom.registry.versions import Version
    from strongroom.wiring.control import ControlPlane
    from strongroom.wiring.person import AtDesk

# The variables of passphrase files are in the help's last lines: in its tables they would be cut at 80 columns, and the
# options with them.
RoomOption = Annotated[
    Path, typer.Option("--room", envvar="STRONGROOM_ROOM", help="Folder of the room.", show_default=False)
]
RoomPassphrase = Annotated[
    Path | None,
    typer.Option(
        "--room-passphrase-file",
        envvar="STRONGROOM_ROOM_PASSPHRASE_FILE",
        show_envvar=False,
        help="File with the passphrase of the room's key file; asked for when missing.",
    ),
]
HomeOption = Annotated[
    Path, typer.Option("--home", envvar="STRONGROOM_HOME", help="Your home folder with your key.", show_default=False)
]
HomePassphrase = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        envvar="STRONGROOM_PASSPHRASE_FILE",
        show_envvar=False,
        help="File with your passphrase; asked for when missing.",
    ),
]
NodeFolder = Annotated[Path, typer.Argument(help="Folder of the gateway.", show_default=False)]
NodeOption = Annotated[
    Path, typer.Option("--node", envvar="STRONGROOM_NODE", help="Folder of the gateway.", show_default=False)
]
NodePassphrase = Annotated[
    Path | None,
    typer.Option(
        "--node-passphrase-file",
        envvar="STRONGROOM_NODE_PASSPHRASE_FILE",
        show_envvar=False,
        help="File with the passphrase of the gateway's key file; asked for when missing.",
    ),
]
System = Annotated[str, typer.Argument(help="Name of the calling system.", show_default=False)]
Reason = Annotated[str, typer.Option(help="Why, in words; it goes on the record.", show_default=False)]
ModelArgument = Annotated[str, typer.Argument(help="Model, or model@digits of one version.", show_default=False)]

PASSPHRASE_LIMIT = 1024
ROOM_PASSPHRASE = "--room-passphrase-file"  # noqa: S105 - the name of an option
NODE_PASSPHRASE = "--node-passphrase-file"  # noqa: S105 - the same


def passphrase(file: Path | None, what: str, option: str = "--passphrase-file") -> bytes:
    """A passphrase from a file that only its owner may read, or asked for on a terminal. Never from an argument.

    Raises:
        InvalidInputError: no file and no terminal, or others may read the file.
        NotFoundError: the file is not there.
    """
    if file is not None:
        from strongroom.adapters.files.safe_files import read_private

        return read_private(file, PASSPHRASE_LIMIT).rstrip(b"\r\n")
    if not sys.stdin.isatty():
        raise InvalidInputError(
            f"the passphrase of {what} is needed; name a file that holds it with {option}", field="passphrase"
        )
    return str(typer.prompt(f"passphrase of {what}", hide_input=True)).encode()


def demand_new(folder: Path, why: str) -> None:
    """Refuse a folder that holds something, before somebody makes up a passphrase for it.

    Raises:
        ConflictError: it does.
    """
    from strongroom.adapters.backup_folder import refuse_full

    refuse_full(folder, why)


def new_passphrase(file: Path | None, what: str, option: str = "--passphrase-file") -> bytes:
    """Like `passphrase`, asked for twice on a terminal; after `demand_new`, so that nobody makes one up in vain."""
    if file is not None or not sys.stdin.isatty():
        return passphrase(file, what, option)
    return str(typer.prompt(f"new passphrase of {what}", hide_input=True, confirmation_prompt=True)).encode()


def node_secret(node: Path, file: Path | None) -> bytes:
    """The passphrase of a gateway, asked for only where there is one."""
    demand_there(None, None, node)
    return passphrase(file, "the gateway", NODE_PASSPHRASE)


def room_secret(room: Path, file: Path | None) -> bytes:
    """The passphrase of a room, asked for only where there is one."""
    demand_there(room=room)
    return passphrase(file, "the room", ROOM_PASSPHRASE)


def home_secret(home: Path, file: Path | None) -> bytes:
    """The passphrase of a person's home, asked for only where there is one."""
    demand_there(home=home)
    return passphrase(file, f"home `{home.name}`")


@contextmanager
def room_open(room: Path, file: Path | None) -> Iterator[ControlPlane]:
    """The control plane of a room, let go at the end."""
    from strongroom.wiring.control import ControlPlane

    with ControlPlane.open(room, room_secret(room, file)) as control:
        yield control


@contextmanager
def at_desk(room: Path, room_file: Path | None, home: Path, home_file: Path | None, *nodes: Path) -> Iterator[AtDesk]:
    """A person at their desk with a room open; `nodes` are the folders of gateways that they will look after."""
    from strongroom.wiring.control import ControlPlane
    from strongroom.wiring.person import AtDesk

    demand_there(room, home, *nodes)
    # both are asked for before the room is open: others wait for it while somebody thinks at a prompt
    of_room = room_secret(room, room_file)
    of_home = home_secret(home, home_file)
    with ControlPlane.open(room, of_room) as control:
        yield AtDesk.sit_down(home, of_home, control)


@contextmanager
def at_gateway(
    node: Path, node_file: Path | None, room: Path, room_file: Path | None, home: Path, home_file: Path | None
) -> Iterator[tuple[AtDesk, bytes]]:
    """A person at their desk, and the passphrase of the gateway that they are going to open."""
    demand_there(room, home, node)
    secret = node_secret(node, node_file)
    with at_desk(room, room_file, home, home_file) as desk:
        yield desk, secret


def demand_there(room: Path | None = None, home: Path | None = None, *nodes: Path) -> None:
    """Before anybody is asked for a passphrase: whether what it opens is there.

    Raises:
        NotFoundError: one of them is not.
        InvalidInputError, TamperedError: what says so does not read.
    """
    from strongroom.adapters.keys.homes import Home
    from strongroom.wiring.node import NodeLayout
    from strongroom.wiring.settings import Layout

    if room is not None:
        Layout(room).read()
    if home is not None:
        Home.look(home)
    for node in nodes:
        NodeLayout(node).read()


def find_version(control: ControlPlane, text: str) -> Version:
    """The version that `model` or `model@digits` names; without digits the newest.

    Raises:
        NotFoundError: none, or digits that fit several.
    """
    name, _, digits = text.partition("@")
    with control.desk.begin() as transaction:
        known = transaction.books.versions.of_model(name)
    found = [version for version in known if version.ref.manifest.startswith(digits)]
    if not found:
        raise NotFoundError(f"no version fits `{text}`; `strongroom show` without a model lists what there is")
    if digits and len(found) > 1:
        raise NotFoundError(f"`{text}` fits {len(found)} versions; give more digits")
    return found[-1]


def read_frame(file: Path, *columns: str) -> pd.DataFrame:
    """A table from Parquet, or from CSV where the name does not say Parquet, with at least these columns.

    Raises:
        InvalidInputError: not such a file, or a column is missing.
    """
    import pandas as pd

    try:
        frame = pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file)
    except (ValueError, UnicodeDecodeError) as error:  # also ArrowInvalid, ParserError, EmptyDataError
        kind = "Parquet" if file.suffix == ".parquet" else "CSV; the name of a Parquet file ends in .parquet"
        raise InvalidInputError(f"`{file.name}` is not {kind}", field=file.name, rule="format") from error
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        noun = "column" if len(missing) == 1 else "columns"
        raise InvalidInputError(f"`{file.name}` lacks {noun} {quoted(missing)}", field=missing[0], rule="missing")
    return frame


def moment_of(text: str, field: str) -> datetime:
    """A moment as people write it, ISO 8601; UTC where no zone is said.

    Raises:
        InvalidInputError: another form.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInputError("a moment is written as 2026-11-21T12:00:00+00:00", field=field) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
