"""JSON objects that others wrote: tokens, key sets, discovery documents. Not in our form, but of one meaning.

Source: RFC 8259, section 4 (names should be unique), RFC 7515, section 4 (repeated names are refused).
"""

from __future__ import annotations

import json
from typing import Any


def read_object(data: bytes) -> dict[str, Any]:
    """A JSON object in UTF-8, in which no name is repeated at any depth and every number is one.

    Raises:
        ValueError: it is something else, or too deep; the message quotes nothing of it.
    """
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError("it is not a JSON object")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is repeated")
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
