"""A node's memory for halts: envelopes in `seen/<model>/`, and files that a person drops in `halt/`."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from pathlib import Path

from strongroom.adapters.files.safe_files import open_regular, replace_atomically
from strongroom.errors import UnavailableError
from strongroom.vocabulary import digest_of, parse_name, quoted

FILE_LIMIT = 1024 * 1024


class HaltFiles:
    """`serving.admission_ports.HaltMemory` over two folders.

    Args:
        seen: what this node has seen; nobody else writes here.
        dropped: `halt/`: a signed halt (a DSSE envelope as a `.json` file) works as soon as it lies here.
    """

    def __init__(self, seen: Path, dropped: Path) -> None:
        self._seen = seen
        self._dropped = dropped
        seen.mkdir(parents=True, exist_ok=True)
        dropped.mkdir(parents=True, exist_ok=True)

    def remembered(self, model: str) -> Sequence[bytes]:
        """See `HaltMemory`. A dropped file that names no model at all stops every model: somebody wanted a stop."""
        try:
            seen = [path.read_bytes() for path in sorted((self._seen / parse_name(model, "model name")).glob("*.json"))]
            paths = sorted(self._dropped.glob("*.json"))
        except OSError as error:
            raise UnavailableError(f"the halts of this node cannot be read: {error.strerror}") from error
        dropped = [_read(path) for path in paths]
        return [*seen, *(data for data in dropped if data is not None and _model_of(data) in (model, None))]

    def remember(self, model: str, envelopes: Sequence[bytes]) -> None:
        """See `HaltMemory`."""
        folder = self._seen / parse_name(model, "model name")
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise UnavailableError(f"a halt could not be remembered: {error.strerror}") from error
        for envelope in envelopes:
            path = folder / f"{digest_of(envelope)}.json"
            if not path.exists():
                replace_atomically(path, envelope, 0o644)


def _read(path: Path) -> bytes | None:
    """The beginning of a dropped file, enough for any halt; None if it was taken away meanwhile."""
    try:
        with open_regular(path) as file:
            return file.read(FILE_LIMIT)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnavailableError(
            f"{quoted([path.name])} in halt/ cannot be read, so no model answers ({error.strerror}); "
            "put a signed halt there or take it away"
        ) from error


def _model_of(envelope: bytes) -> str | None:
    """The model that an envelope claims to be about, unverified; None if it does not say."""
    try:
        statement = json.loads(base64.b64decode(json.loads(envelope)["payload"]))
        return str(statement["subject"][0]["name"])
    except (ValueError, KeyError, TypeError, IndexError, binascii.Error, RecursionError):
        return None
