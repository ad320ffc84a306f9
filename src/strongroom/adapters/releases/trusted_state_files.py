"""The refresher's verified state, handed to the workers of the same node through one file.

TUF allows one client for a metadata folder, so one process of a node refreshes and verifies signatures, versions and
expiry; the workers read what it verified and judge the releases themselves (`serving.admission`). The file is trusted
as far as the node's own disk is: whoever can write it is root on the gateway.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import msgspec

from strongroom import errors
from strongroom.adapters.files.safe_files import replace_atomically
from strongroom.errors import StrongroomError, TamperedError, UnavailableError
from strongroom.serving.admission_ports import TrustedState
from strongroom.vocabulary import instant, micros

_KINDS: dict[str, type[StrongroomError]] = {
    kind.code: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, StrongroomError)
}


class _Kept(msgspec.Struct, forbid_unknown_fields=True):
    at_us: int
    expires_us: int
    root_version: int
    targets: bytes
    files: dict[str, bytes]
    operations: bytes | None
    pointers: dict[str, bytes]
    grants: bytes | None
    halts: dict[str, bytes]
    roles: dict[str, bytes]
    releases: dict[str, dict[str, bytes]]
    failures: dict[str, tuple[str, str]]


def says_the_same(one: TrustedState, other: TrustedState) -> bool:
    """Whether they differ in nothing but the moment.

    What a client found unchanged it hands on as the same bytes, so that thirty megabytes of grants are not looked at.
    """
    return msgspec.structs.replace(_keep(one), at_us=0) == msgspec.structs.replace(_keep(other), at_us=0)


def write_state(path: Path, state: TrustedState) -> None:
    """Write the file, at once or not at all.

    Raises:
        UnavailableError: it could not be written.
    """
    try:
        replace_atomically(path, msgspec.msgpack.encode(_keep(state)), 0o600)
    except OSError as error:
        raise UnavailableError(f"the refreshed state cannot be written: {error.strerror}") from error


def _keep(state: TrustedState) -> _Kept:
    return _Kept(
        at_us=micros(state.at),
        expires_us=micros(state.expires),
        root_version=state.root_version,
        targets=state.targets,
        files=dict(state.files),
        operations=state.operations,
        pointers=dict(state.pointers),
        grants=state.grants,
        halts=dict(state.halts),
        roles=dict(state.roles),
        releases={model: {str(name): data for name, data in found.items()} for model, found in state.releases.items()},
        failures={model: (error.code, error.message) for model, error in state.failures.items()},
    )


def read_state(path: Path) -> TrustedState:
    """Read the file.

    Raises:
        UnavailableError: nothing was refreshed yet, or it cannot be read.
        TamperedError: it holds something else.
    """
    try:
        kept = msgspec.msgpack.decode(path.read_bytes(), type=_Kept)
    except FileNotFoundError as error:
        raise UnavailableError(
            "this node has not refreshed its releases yet; start it with `strongroom serve`"
        ) from error
    except OSError as error:
        raise UnavailableError(f"the refreshed state cannot be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise TamperedError("the refreshed state of this node does not read") from error
    values: dict[str, Any] = {
        field.name: getattr(kept, field.name) for field in fields(TrustedState) if hasattr(kept, field.name)
    }
    values["at"], values["expires"] = instant(kept.at_us), instant(kept.expires_us)
    values["failures"] = {
        model: _KINDS.get(code, TamperedError)(message) for model, (code, message) in kept.failures.items()
    }
    return TrustedState(**values)
